//! What does `server.h2` say?

use crate::config::model::Http2;
use crate::config::node::Node;
use crate::config::report::Report;
use crate::diagnostic::Diagnostic;
use crate::limits;

use super::scalar;
use super::table::Table;

/// Reads the section over the defaults.
pub(super) fn read(node: &Node, report: &mut Report) -> Option<Http2> {
    let mut h2 = Http2::default();
    if matches!(node.as_scalar().map(|scalar| &*scalar.text), Some("true" | "false" | "on" | "off" | "yes" | "no")) {
        let help = "each listener says whether it speaks HTTP/2: `listen: {addr: \":8080\", h2: false}`";
        report.push(scalar::expected(node, "a mapping for `h2`").help(help));
        return None;
    }
    let mut table = Table::open(node, "h2", report)?;
    table.set("max_streams", &mut h2.max_streams, |node, report| count(node, limits::H2_STREAMS, report));
    let window = table.take("window");
    let connection_window = table.take("connection_window");
    for (entry, least, slot) in [
        (window, limits::H2_WINDOW_MIN, &mut h2.window),
        (connection_window, limits::H2_CONNECTION_WINDOW_MIN, &mut h2.connection_window),
    ] {
        if let Some(entry) = entry
            && let Some(size) = scalar::size(&entry.value, least, limits::H2_WINDOW, table.report())
        {
            *slot = size as u32;
        }
    }
    if h2.connection_window < h2.window
        && let Some(entry) = connection_window.or(window)
    {
        table
            .report()
            .push(Diagnostic::error("`connection_window` is smaller than `window`").at(entry.value.span, "").help(
            "a connection holds the content of one request at least: write both, the first no smaller than the second",
        ));
    }
    table.set("table_size", &mut h2.table_size, |node, report| {
        scalar::size(node, 0, limits::H2_TABLE_SIZE, report).map(|size| size as u32)
    });
    for (key, slot) in [
        ("max_resets", &mut h2.max_resets),
        ("max_pings", &mut h2.max_pings),
        ("max_settings", &mut h2.max_settings),
        ("max_empty_frames", &mut h2.max_empty_frames),
        ("max_window_updates", &mut h2.max_window_updates),
        ("max_priorities", &mut h2.max_priorities),
        ("max_unknown_frames", &mut h2.max_unknown_frames),
        ("max_continuations", &mut h2.max_continuations),
    ] {
        table.set(key, slot, |node, report| count(node, limits::H2_FRAMES, report));
    }
    table.close();
    Some(h2)
}

fn count(node: &Node, most: u32, report: &mut Report) -> Option<u32> {
    scalar::bound(node, u64::from(most), report).map(|count| count as u32)
}
