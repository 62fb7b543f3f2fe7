//! What does the `static` section say?

use crate::config::model::{CacheControl, Hidden, Spa, StaticOverrides, Symlinks};
use crate::config::node::{Node, Value};
use crate::config::report::Report;
use crate::diagnostic::Diagnostic;

use super::table::{Table, later};
use super::{list, scalar};

/// Reads static settings, at the top, in a group or in a rule.
pub(super) fn overrides(node: &Node, report: &mut Report) -> StaticOverrides {
    let mut statics = StaticOverrides::default();
    let Some(mut table) = Table::open(node, "static", report) else { return statics };
    table.opt("index", &mut statics.index, index);
    table.opt("spa", &mut statics.spa, |node, report| {
        scalar::word(node, &[("auto", Spa::Auto), ("on", Spa::On), ("off", Spa::Off)], report)
    });
    table.opt("precompressed", &mut statics.precompressed, |node, report| only_false(node, "precompressed", report));
    table.later_unless("compress", "off");
    table.opt("cache_control", &mut statics.cache_control, cache_control);
    table.opt("listing", &mut statics.listing, |node, report| only_false(node, "listing", report));
    table.opt("hidden", &mut statics.hidden, |node, report| {
        scalar::word(node, &[("deny", Hidden::Deny), ("allow", Hidden::Allow)], report)
    });
    table.opt("symlinks", &mut statics.symlinks, |node, report| {
        let words = [("inside", Symlinks::Inside), ("follow", Symlinks::Follow), ("deny", Symlinks::Deny)];
        scalar::word(node, &words, report)
    });
    table.close();
    statics
}

/// File names, not paths.
fn index(node: &Node, report: &mut Report) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for node in list(node, "file names such as `index.html`", report)? {
        let Some(place) = scalar::text(node, report) else { continue };
        if place.text.is_empty() || place.text.contains(['/', '\0']) || matches!(place.text.as_str(), "." | "..") {
            report.push(Diagnostic::error(format!("`{}` is not the name of a file", place.text)).at(place.span, ""));
            continue;
        }
        names.push(place.text);
    }
    Some(names)
}

fn only_false(node: &Node, key: &str, report: &mut Report) -> Option<bool> {
    if scalar::boolean(node, report)? {
        report.push(later(&format!("`{key}: true`")).at(node.span, "not available yet"));
        return None;
    }
    Some(false)
}

/// `auto`, `off`, or a value for every file; rules by glob come later.
fn cache_control(node: &Node, report: &mut Report) -> Option<CacheControl> {
    if matches!(node.value, Value::Map(_) | Value::List(_)) {
        report.push(later("`cache_control` by file").at(node.span, "not available yet"));
        return None;
    }
    let place = scalar::field_value(node, report)?;
    match place.text.as_str() {
        "auto" => Some(CacheControl::Auto),
        "off" => Some(CacheControl::Off),
        "" => {
            report.push(
                Diagnostic::error("an empty `Cache-Control`").at(place.span, "").help("write `off` to send none"),
            );
            None
        }
        _ => Some(CacheControl::Value(place.text)),
    }
}
