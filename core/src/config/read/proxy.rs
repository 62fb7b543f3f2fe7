//! What do `proxy` and `upstreams` say?

use std::net::Ipv6Addr;
use std::path::Path;

use crate::config::model::{Balance, Config, HostHeader, ProxyOverrides, Upstream, UpstreamServer};
use crate::config::node::{Entry, Node, Value};
use crate::config::report::Report;
use crate::diagnostic::Diagnostic;
use crate::limits;

use super::address::parse_server;
use super::server::read_with;
use super::table::{Table, later, unique};
use super::{list, scalar};

/// Reads proxy settings, at the top, in a group, in an upstream or in a rule.
pub(super) fn overrides(node: &Node, section: &'static str, report: &mut Report) -> ProxyOverrides {
    let mut proxy = ProxyOverrides::default();
    let Some(mut table) = Table::open(node, section, report) else { return proxy };
    table.opt("connect_timeout", &mut proxy.connect_timeout, scalar::timeout);
    table.opt("first_byte_timeout", &mut proxy.first_byte_timeout, scalar::timeout);
    table.opt("read_timeout", &mut proxy.read_timeout, scalar::timeout);
    table.opt("write_timeout", &mut proxy.write_timeout, scalar::timeout);
    table.opt("timeout", &mut proxy.timeout, scalar::timeout_or_none);
    table.opt("tunnel_timeout", &mut proxy.tunnel_timeout, scalar::timeout);
    table.opt("x_forwarded", &mut proxy.x_forwarded, scalar::boolean);
    table.opt("forwarded", &mut proxy.forwarded, scalar::boolean);
    table.opt("via", &mut proxy.via, scalar::boolean);
    table.opt("host", &mut proxy.host, host);
    table.opt("retries", &mut proxy.retries, |node, report| {
        scalar::count(node, 0, u64::from(limits::RETRIES), report).map(|count| count as u32)
    });
    table.opt("client_cert", &mut proxy.client_cert, scalar::boolean);
    table.close();
    proxy
}

/// `keep`, `target`, or a value.
fn host(node: &Node, report: &mut Report) -> Option<HostHeader> {
    let place = scalar::field_value(node, report)?;
    match place.text.as_str() {
        "keep" => return Some(HostHeader::Keep),
        "target" => return Some(HostHeader::Target),
        _ => {}
    }
    if !is_authority(&place.text) {
        report.push(
            Diagnostic::error(format!("`{}` is not a host", place.text))
                .at(place.span, "")
                .help("write `keep`, `target`, or a host such as `app.example.com`"),
        );
        return None;
    }
    Some(HostHeader::Value(place.text))
}

/// A host as a field may say it: a name or an address, IPv6 in brackets, and perhaps a port (RFC 9110 §7.2).
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.split_once(']') {
        Some((address, port)) => (address.strip_prefix('[').filter(|a| a.parse::<Ipv6Addr>().is_ok()), port),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let valid = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=".contains(c);
            (Some(name).filter(|name| !name.is_empty() && name.chars().all(valid)), port)
        }
    };
    let port_fits = match port.strip_prefix(':') {
        Some(port) => port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0),
        None => port.is_empty(),
    };
    host.is_some() && port_fits
}

/// Reads the declared pools into `config`.
pub(super) fn upstreams(node: &Node, base_dir: &Path, config: &mut Config, report: &mut Report) {
    let entries = match &node.value {
        Value::Map(entries) => unique(entries, report),
        Value::Null => return,
        _ => return report.push(scalar::expected(node, "a mapping from names to upstreams")),
    };
    for entry in entries {
        let name = &entry.key;
        if config.upstreams.len() >= limits::GROUPS {
            report.push(Diagnostic::error(format!("more than {} upstreams", limits::GROUPS)).at(name.span, ""));
            return;
        }
        let valid = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if name.text.is_empty() || name.text.len() > 253 || !name.text.chars().all(valid) {
            report.push(
                Diagnostic::error(format!("`{}` cannot be the name of an upstream", name.text))
                    .at(name.span, "")
                    .help("a name has letters, digits, `.`, `-` and `_`; ports belong to its servers"),
            );
            continue;
        }
        if let Some(first) = config.upstreams.iter().find(|first| first.name.text.eq_ignore_ascii_case(&name.text)) {
            report.push(
                Diagnostic::error(format!("two upstreams are called `{}`", name.text))
                    .at(name.span, "again")
                    .and_at(first.name.span, "first here")
                    .help("rename one of them"),
            );
            continue;
        }
        if let Some(upstream) = upstream(entry, base_dir, report) {
            config.upstreams.push(upstream);
        }
    }
}

fn upstream(entry: &Entry, base_dir: &Path, report: &mut Report) -> Option<Upstream> {
    if !matches!(entry.value.value, Value::Map(_) | Value::Null) {
        report.push(scalar::expected(&entry.value, "a mapping").help("write `{servers: [\"10.0.0.1:8001\"]}`"));
        return None;
    }
    let mut upstream = Upstream {
        name: entry.key.clone(),
        servers: Vec::new(),
        balance: Balance::RoundRobin,
        keep_alive: Upstream::KEEP_ALIVE,
        proxy: ProxyOverrides::default(),
    };
    let mut table = Table::open(&entry.value, "an upstream", report)?;
    let servers = table.take("servers");
    match servers {
        Some(entry) => upstream.servers = list_of_servers(&entry.value, base_dir, table.report()),
        None => table.report().push(
            Diagnostic::error(format!("the upstream `{}` has no servers", upstream.name.text))
                .at(upstream.name.span, "")
                .help("give it `servers: [\"10.0.0.1:8001\"]`"),
        ),
    }
    table.set("balance", &mut upstream.balance, |node, report| {
        now(node, "balance", "round_robin", Balance::RoundRobin, report)
    });
    table.set("protocol", &mut (), |node, report| now(node, "protocol", "h1", (), report));
    table.set("keep_alive", &mut upstream.keep_alive, |node, report| {
        scalar::count(node, 0, limits::KEEP_ALIVE as u64, report).map(|count| count as usize)
    });
    if let Some(entry) = table.take("proxy") {
        upstream.proxy = overrides(&entry.value, "proxy", table.report());
    }
    table.close();
    Some(upstream)
}

/// A key with one value so far; its others belong to a later version.
fn now<T>(node: &Node, key: &str, word: &str, value: T, report: &mut Report) -> Option<T> {
    if scalar::text(node, report)?.text == word {
        return Some(value);
    }
    report.push(later(&format!("`{key}` other than `{word}`")).at(node.span, "not available yet"));
    None
}

fn list_of_servers(node: &Node, base_dir: &Path, report: &mut Report) -> Vec<UpstreamServer> {
    let Some(items) = list(node, "servers such as `10.0.0.1:8001`", report) else { return Vec::new() };
    if items.is_empty() || items.len() > limits::UPSTREAM_SERVERS {
        let message = format!("expected 1 to {} servers, found {}", limits::UPSTREAM_SERVERS, items.len());
        report.push(Diagnostic::error(message).at(node.span, ""));
        return Vec::new();
    }
    items.iter().filter_map(|node| server(node, base_dir, report)).collect()
}

fn server(node: &Node, base_dir: &Path, report: &mut Report) -> Option<UpstreamServer> {
    let parse = |text: &str| parse_server(text, base_dir);
    if !matches!(node.value, Value::Map(_)) {
        let addr = read_with(node, parse, report)?;
        return Some(UpstreamServer { addr, span: node.span });
    }
    let mut table = Table::open(node, "a server", report)?;
    let addr = table.take("addr");
    for key in ["weight", "backup"] {
        table.later(key);
    }
    let server = match addr {
        Some(entry) => {
            read_with(&entry.value, parse, table.report()).map(|addr| UpstreamServer { addr, span: entry.value.span })
        }
        None => {
            table.missing(Diagnostic::error("a server without `addr`").at(node.span, "this server"));
            None
        }
    };
    table.close();
    server
}

#[cfg(test)]
mod tests {
    use super::is_authority;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in ["a", "a.example", "a.example:8080", "my_host", "%41", "10.0.0.1:1", "[::1]", "[::1]:65535"] {
            assert!(is_authority(host), "{host}");
        }
        for other in [
            "", ":80", "a:", "a:0", "a:99999", "a:+1", "a:http", "a:1:2", "::1", "[::1", "[::1]x", "[x]", "[]",
            "a[::1]", "a]:1", "a b", "a/b", "u@a", "[::1]:",
        ] {
            assert!(!is_authority(other), "{other}");
        }
    }
}
