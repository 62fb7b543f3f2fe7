//! What does a tree of values mean? Hand-written readers, one a section, that go on after an error to find the next.

use std::path::Path;

use super::model::{Config, Echo, Group, Log, LogFormat, LogLevel};
use super::node::{Node, Value};
use super::report::Report;
use crate::diagnostic::{Diagnostic, Located};
use crate::limits;

mod address;
mod h2;
mod meant;
mod proxy;
mod routes;
mod scalar;
mod server;
mod statics;
mod table;
mod tls;

pub(super) use address::{parse_cores, parse_listen};
#[cfg(test)]
pub(super) use meant::named;
pub(super) use routes::split_rule;
pub(super) use tls::check as check_tls;

use table::Table;

/// Every key of a file's top level, those of later versions too.
pub(super) const ROOT_KEYS: [&str; 15] = [
    "include",
    "server",
    "echo",
    "upstreams",
    "proxy",
    "static",
    "groups",
    "routes",
    "expect",
    "log",
    "tls",
    "plugins",
    "metrics",
    "tracing",
    "admin",
];

/// Reads the main file into `config` and returns what it includes.
pub(super) fn main_file(root: &Node, base_dir: &Path, config: &mut Config, report: &mut Report) -> Vec<Located> {
    let Some(mut table) = Table::open(root, "the configuration", report) else { return Vec::new() };
    let mut include = Vec::new();
    table.set("include", &mut include, |node, report| {
        let patterns = list(node, "file patterns such as `conf.d/*.yml`", report)?;
        Some(patterns.iter().filter_map(|node| scalar::text(node, report)).collect())
    });
    if let Some(entry) = table.take("tls") {
        tls::read(&entry.value, base_dir, &mut config.tls, table.report());
    }
    if let Some(entry) = table.take("server") {
        server::read(&entry.value, base_dir, config, table.report());
    }
    if let Some(entry) = table.take("echo") {
        echo(&entry.value, &mut config.echo, table.report());
    }
    if let Some(entry) = table.take("proxy") {
        proxy::overrides(&entry.value, "proxy", table.report()).apply(&mut config.proxy);
    }
    if let Some(entry) = table.take("static") {
        statics::overrides(&entry.value, table.report()).apply(&mut config.statics);
    }
    if let Some(entry) = table.take("log") {
        log(&entry.value, &mut config.log, table.report());
    }
    table.set("expect", &mut config.expect, |node, report| {
        let lines = list(node, "expectations such as `GET /x -> 405`", report)?;
        Some(lines.iter().filter_map(|node| scalar::text(node, report)).collect())
    });
    shared(&mut table, base_dir, config);
    for key in ["plugins", "metrics", "tracing", "admin"] {
        table.later(key);
    }
    table.close();
    include
}

/// Reads an included file into `config`: groups, routes and upstreams.
pub(super) fn included(root: &Node, base_dir: &Path, config: &mut Config, report: &mut Report) {
    let Some(mut table) = Table::open(root, "an included file", report) else { return };
    shared(&mut table, base_dir, config);
    table.close_with(|key| {
        ROOT_KEYS.contains(&key).then(|| {
            format!("`{key}` belongs in the main file; an included file holds `groups`, `routes` and `upstreams`")
        })
    });
}

/// The keys that an included file may have too.
fn shared(table: &mut Table<'_, '_>, base_dir: &Path, config: &mut Config) {
    if let Some(entry) = table.take("upstreams") {
        proxy::upstreams(&entry.value, base_dir, config, table.report());
    }
    let first = config.routes.len();
    if let Some(entry) = table.take("groups") {
        groups(&entry.value, base_dir, config, table.report());
    }
    if let Some(entry) = table.take("routes") {
        routes::read(&entry.value, None, base_dir, config, table.report());
    }
    // Groups and routes stand in any order; the rules' order is that of the text.
    config.routes[first..].sort_by_key(|route| route.head.span.start);
    if config.routes.len() > limits::ROUTES {
        let span = config.routes[limits::ROUTES].head.span;
        table.report().push(Diagnostic::error(format!("more than {} rules", limits::ROUTES)).at(span, "one too many"));
        config.routes.truncate(limits::ROUTES);
    }
}

fn groups(node: &Node, base_dir: &Path, config: &mut Config, report: &mut Report) {
    for node in list(node, "groups", report).unwrap_or_default() {
        if config.groups.len() >= limits::GROUPS {
            report
                .push(Diagnostic::error(format!("more than {} groups", limits::GROUPS)).at(node.span, "one too many"));
            return;
        }
        let Some(mut table) = Table::open(node, "a group", report) else { continue };
        let mut group = Group::default();
        table.opt("name", &mut group.name, scalar::text);
        table.opt("host", &mut group.host, scalar::text);
        table.opt("max_body_size", &mut group.max_body_size, scalar::body_size);
        if let Some(entry) = table.take("proxy") {
            group.proxy = proxy::overrides(&entry.value, "proxy", table.report());
        }
        if let Some(entry) = table.take("static") {
            group.statics = statics::overrides(&entry.value, table.report());
        }
        table.opt("client_auth", &mut group.client_auth, tls::demand);
        table.later("plugins");
        let rules = table.take("routes");
        let index = config.groups.len();
        config.groups.push(group);
        match rules {
            Some(entry) => routes::read(&entry.value, Some(index), base_dir, config, table.report()),
            None => table.missing(
                Diagnostic::error("a group without `routes`")
                    .at(node.span, "this group")
                    .help("give it `routes: {\"/path\": \"action\"}`, or remove it"),
            ),
        }
        table.close();
    }
}

fn echo(node: &Node, echo: &mut Echo, report: &mut Report) {
    let Some(mut table) = Table::open(node, "echo", report) else { return };
    table.set("body", &mut echo.body, |node, report| scalar::size(node, 0, limits::ECHO_BODY, report));
    table.close();
}

fn log(node: &Node, log: &mut Log, report: &mut Report) {
    let Some(mut table) = Table::open(node, "log", report) else { return };
    table.later_unless("access", "off");
    table.set("format", &mut log.format, |node, report| {
        scalar::word(node, &[("json", LogFormat::Json), ("text", LogFormat::Text)], report)
    });
    table.set("level", &mut log.level, |node, report| {
        let levels = [
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ];
        scalar::word(node, &levels, report)
    });
    table.close();
}

/// The items of a list; nothing is an empty list. `of` says what they are.
fn list<'n>(node: &'n Node, of: &str, report: &mut Report) -> Option<&'n [Node]> {
    match &node.value {
        Value::List(items) => Some(items),
        Value::Null => Some(&[]),
        _ => {
            let diagnostic = scalar::expected(node, &format!("a list of {of}"));
            let scalar = node.as_scalar().filter(|scalar| !scalar.text.contains(['"', '\n']));
            report.push(match (scalar, &node.value) {
                (Some(scalar), _) => diagnostic.help(format!("write `[\"{}\"]`", scalar.text)),
                (_, Value::Map(_)) => diagnostic.help("one is a list too: `[{…}]`, or lines that begin with `- `"),
                _ => diagnostic,
            });
            None
        }
    }
}
