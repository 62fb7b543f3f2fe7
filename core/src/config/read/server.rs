//! What does the `server` section say?

use std::path::Path;

use crate::config::model::{CoreList, Io, Listen, Server, Steer};
use crate::config::node::{Node, Value};
use crate::config::report::Report;
use crate::diagnostic::Diagnostic;
use crate::limits;

use super::address::{Wrong, parse_cores, parse_listen, parse_prefix};
use super::table::Table;
use super::{list, scalar};

/// Reads the section over `server`.
pub(super) fn read(node: &Node, base_dir: &Path, server: &mut Server, report: &mut Report) {
    let Some(mut table) = Table::open(node, "server", report) else { return };
    table.set("listen", &mut server.listen, |node, report| listeners(node, base_dir, report));
    table.set("cores", &mut server.cores, cores);
    table.set("io", &mut server.io, |node, report| {
        scalar::word(node, &[("auto", Io::Auto), ("uring", Io::Uring), ("epoll", Io::Epoll)], report)
    });
    table.set("steer", &mut server.steer, |node, report| {
        scalar::word(node, &[("hash", Steer::Hash), ("cpu", Steer::Cpu)], report)
    });
    table.set("name", &mut server.name, |node, report| scalar::field_value(node, report).map(|value| value.text));
    table.set("header_timeout", &mut server.header_timeout, scalar::timeout);
    table.set("idle_timeout", &mut server.idle_timeout, scalar::timeout);
    table.set("read_timeout", &mut server.read_timeout, scalar::timeout);
    table.set("write_timeout", &mut server.write_timeout, scalar::timeout);
    table.set("min_body_rate", &mut server.min_body_rate, scalar::rate);
    table.set("min_send_rate", &mut server.min_send_rate, scalar::rate);
    table.set("drain_timeout", &mut server.drain_timeout, scalar::timeout);
    table.set("max_header_size", &mut server.max_header_size, |node, report| {
        scalar::size(node, limits::HEAD_SIZE_MIN, limits::HEAD_SIZE, report)
    });
    table.set("max_headers", &mut server.max_headers, |node, report| {
        scalar::count(node, 1, limits::HEADERS as u64, report).map(|count| count as usize)
    });
    table
        .set("max_uri_size", &mut server.max_uri_size, |node, report| scalar::size(node, 64, limits::URI_SIZE, report));
    table.set("max_body_size", &mut server.max_body_size, scalar::body_size);
    table.set("max_requests_per_connection", &mut server.max_requests_per_connection, scalar::limit);
    table.set("max_connections", &mut server.max_connections, scalar::limit);
    table.set("max_connections_per_ip", &mut server.max_connections_per_ip, scalar::limit);
    table.set("merge_slashes", &mut server.merge_slashes, scalar::boolean);
    table.set("trust", &mut server.trust, |node, report| {
        let prefixes = list(node, "addresses and prefixes such as `10.0.0.0/8`", report)?;
        Some(prefixes.iter().filter_map(|node| read_with(node, parse_prefix, report)).collect())
    });
    table.set("tcp_nodelay", &mut server.tcp_nodelay, scalar::boolean);
    table.set("tcp_keepalive", &mut server.tcp_keepalive, scalar::timeout_or_none);
    table.set("backlog", &mut server.backlog, |node, report| {
        scalar::count(node, 1, 65_535, report).map(|count| count as u32)
    });
    table.later("h2");
    table.close();
}

/// One listener or a list of them, each address once.
fn listeners(node: &Node, base_dir: &Path, report: &mut Report) -> Option<Vec<Listen>> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if items.is_empty() || items.len() > limits::LISTENERS {
        let message = format!("expected 1 to {} listeners, found {}", limits::LISTENERS, items.len());
        report.push(Diagnostic::error(message).at(node.span, ""));
        return None;
    }
    let mut listeners: Vec<Listen> = Vec::new();
    for item in items {
        let Some(listen) = listener(item, base_dir, report) else { continue };
        if let Some(first) = listeners.iter().find(|first| **first == listen && !ephemeral(first)) {
            let diagnostic = Diagnostic::error(format!("two listeners on `{}`", listen.addr)).at(item.span, "again");
            report.push(match first.span {
                Some(span) => diagnostic.and_at(span, "first here"),
                None => diagnostic,
            });
            continue;
        }
        listeners.push(listen);
    }
    Some(listeners)
}

/// Port 0 is another port each time.
fn ephemeral(listen: &Listen) -> bool {
    listen.addr.port() == Some(0)
}

/// An address, or a mapping with one.
fn listener(node: &Node, base_dir: &Path, report: &mut Report) -> Option<Listen> {
    let parse = |text: &str| parse_listen(text, base_dir);
    if !matches!(node.value, Value::Map(_)) {
        let addr = read_with(node, parse, report)?;
        return Some(Listen { addr, span: Some(node.span) });
    }
    let mut table = Table::open(node, "a listener", report)?;
    let addr = table.take("addr");
    for key in ["tls", "proxy_protocol", "h2"] {
        table.later(key);
    }
    let listen = match addr {
        Some(entry) => {
            read_with(&entry.value, parse, table.report()).map(|addr| Listen { addr, span: Some(entry.value.span) })
        }
        None => {
            table.missing(
                Diagnostic::error("a listener without `addr`")
                    .at(node.span, "this listener")
                    .help("write `{addr: \":8080\"}`, or the address alone"),
            );
            None
        }
    };
    table.close();
    listen
}

fn cores(node: &Node, report: &mut Report) -> Option<CoreList> {
    read_with(node, parse_cores, report)
}

/// Reads a text by a parser that says what is wrong with it.
pub(super) fn read_with<T>(
    node: &Node,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
    report: &mut Report,
) -> Option<T> {
    let place = scalar::text(node, report)?;
    match parse(&place.text) {
        Ok(value) => Some(value),
        Err((message, help)) => {
            let mut diagnostic = Diagnostic::error(message).at(place.span, "");
            diagnostic.help = help;
            report.push(diagnostic);
            None
        }
    }
}
