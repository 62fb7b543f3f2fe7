//! What does the `server` section say?

use std::path::Path;

use crate::config::model::{ClientAuth, Config, CoreList, HttpsRedirect, Io, Listen, ListenTls, Steer, Tls};
use crate::config::node::{Node, Value};
use crate::config::report::Report;
use crate::diagnostic::Diagnostic;
use crate::limits;

use super::address::{Wrong, parse_cores, parse_listen, parse_prefix};
use super::table::Table;
use super::{h2, list, scalar, tls};

/// Reads the section over the configuration's; its `tls` is read already.
pub(super) fn read(node: &Node, base_dir: &Path, config: &mut Config, report: &mut Report) {
    let Config { server, tls, .. } = config;
    let Some(mut table) = Table::open(node, "server", report) else { return };
    table.set("listen", &mut server.listen, |node, report| listeners(node, base_dir, tls, report));
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
    table.set("h2", &mut server.h2, h2::read);
    table.close();
}

/// One listener or a list of them, each address once.
fn listeners(node: &Node, base_dir: &Path, tls: &Tls, report: &mut Report) -> Option<Vec<Listen>> {
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
        let Some(listen) = listener(item, base_dir, tls, report) else { continue };
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
fn listener(node: &Node, base_dir: &Path, section: &Tls, report: &mut Report) -> Option<Listen> {
    let parse = |text: &str| parse_listen(text, base_dir);
    if !matches!(node.value, Value::Map(_)) {
        let addr = read_with(node, parse, report)?;
        return Some(Listen { span: Some(node.span), ..Listen::plain(addr) });
    }
    let mut table = Table::open(node, "a listener", report)?;
    let addr = table.take("addr");
    let tls = listen_tls(&mut table, base_dir, section);
    let mut redirect = None;
    if let Some(entry) = table.take("redirect") {
        redirect = self::redirect(&entry.value, table.report());
        if tls.is_some() {
            table.report().push(
                Diagnostic::error("a listener with `tls: true` cannot redirect to https")
                    .at(entry.key.span, "where the request would come from")
                    .help("redirect on the plain one: `listen: [{addr: \":80\", redirect: https}, {addr: \":443\", tls: true}]`"),
            );
        }
    }
    table.later("proxy_protocol");
    let mut h2 = true;
    table.set("h2", &mut h2, |node, report| {
        if matches!(node.value, Value::Map(_)) {
            let help = "its limits are those of every listener and stand in `server.h2`";
            report.push(scalar::expected(node, "`true` or `false`").help(help));
            return None;
        }
        scalar::boolean(node, report)
    });
    let listen = match addr {
        Some(entry) => read_with(&entry.value, parse, table.report()).map(|addr| Listen {
            addr,
            span: Some(entry.value.span),
            tls,
            redirect,
            h2,
        }),
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

/// `tls`, and what a listener that has it may have of its own.
fn listen_tls(table: &mut Table<'_, '_>, base_dir: &Path, section: &Tls) -> Option<ListenTls> {
    let mut own = ListenTls::default();
    let mut on = false;
    if let Some(entry) = table.take("tls") {
        if matches!(entry.value.value, Value::Map(_)) {
            table.report().push(
                scalar::expected(&entry.value, "`true` or `false`")
                    .help("write `tls: true`; `profile`, `client_auth` and `client_ca` stand beside it, all else in `tls` at the top"),
            );
            return None;
        }
        // One that is wrong was meant to be on, so that nothing else is said of it.
        on = scalar::boolean(&entry.value, table.report()).unwrap_or(true);
        own.span = Some(entry.value.span);
    }
    let keys = [table.take("profile"), table.take("client_auth"), table.take("client_ca")];
    if !on {
        for entry in keys.into_iter().flatten() {
            table.report().push(
                Diagnostic::error(format!("`{}` on a listener without TLS", entry.key.text))
                    .at(entry.key.span, "of no effect")
                    .help("add `tls: true` beside it"),
            );
        }
        return None;
    }
    let [profile, client_auth, client_ca] = keys;
    own.profile = profile.and_then(|entry| tls::profile(&entry.value, table.report()));
    own.client_ca = client_ca.and_then(|entry| tls::path(&entry.value, base_dir, table.report()));
    if let Some(entry) = client_auth {
        own.client_auth = tls::client_auth(&entry.value, table.report());
        let asks = matches!(own.client_auth, Some(ClientAuth::Optional | ClientAuth::Required));
        if asks && client_ca.is_none() && section.client_ca.is_none() {
            table.report().push(tls::no_authorities(entry.value.span));
        }
    }
    Some(own)
}

/// `https`, or a mapping with a port and a status.
fn redirect(node: &Node, report: &mut Report) -> Option<HttpsRedirect> {
    let mut redirect = HttpsRedirect::default();
    if !matches!(node.value, Value::Map(_)) {
        return scalar::word(node, &[("https", redirect)], report);
    }
    let mut table = Table::open(node, "a redirect", report)?;
    table.set("to", &mut (), |node, report| scalar::word(node, &[("https", ())], report));
    table
        .set("port", &mut redirect.port, |node, report| scalar::count(node, 1, 65_535, report).map(|port| port as u16));
    table.set("status", &mut redirect.status, |node, report| {
        scalar::word(node, &[("301", 301), ("302", 302), ("307", 307), ("308", 308)], report)
    });
    table.close();
    Some(redirect)
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
