//! Which rules does a `routes` section hold? A mapping or a list of heads and actions; what they mean is the route language's.

use std::ops::Range;
use std::path::Path;

use crate::config::model::{Config, RouteEntry, RouteSettings};
use crate::config::node::{Entry, Node, Value};
use crate::config::report::Report;
use crate::diagnostic::{Diagnostic, Located};

use super::table::{Table, unique};
use super::{proxy, scalar, statics, tls};

/// Keys of the `proxy` and `static` sections that people write beside `to`.
const NESTED: [(&str, &str); 18] = [
    ("connect_timeout", "proxy"),
    ("first_byte_timeout", "proxy"),
    ("read_timeout", "proxy"),
    ("write_timeout", "proxy"),
    ("tunnel_timeout", "proxy"),
    ("x_forwarded", "proxy"),
    ("forwarded", "proxy"),
    ("via", "proxy"),
    ("host", "proxy"),
    ("retries", "proxy"),
    ("client_cert", "proxy"),
    ("index", "static"),
    ("spa", "static"),
    ("precompressed", "static"),
    ("compress", "static"),
    ("cache_control", "static"),
    ("listing", "static"),
    ("hidden", "static"),
];

/// Reads the rules of the file, or of a group.
pub(super) fn read(node: &Node, group: Option<usize>, base_dir: &Path, config: &mut Config, report: &mut Report) {
    match &node.value {
        Value::Null => {}
        Value::Map(entries) => {
            for entry in unique(entries, report) {
                pair(entry, group, base_dir, config, report);
            }
        }
        Value::List(items) => {
            for item in items {
                listed(item, group, base_dir, config, report);
            }
        }
        Value::Scalar(_) => report
            .push(scalar::expected(node, "a mapping or a list of rules").help("write `routes: {\"GET /x\": \"OK\"}`")),
    }
}

/// One item of a list: `"GET /x": "OK"`, or `{match: "GET /x", to: "OK"}`.
fn listed(node: &Node, group: Option<usize>, base_dir: &Path, config: &mut Config, report: &mut Report) {
    let Value::Map(entries) = &node.value else {
        return report.push(
            scalar::expected(node, "a rule")
                .help("write `- \"GET /x\": \"OK\"` or `- {match: \"GET /x\", to: \"OK\"}`"),
        );
    };
    let long = entries.iter().any(|entry| matches!(entry.key.text.as_str(), "match" | "to"));
    match entries.as_slice() {
        [entry] if !long => pair(entry, group, base_dir, config, report),
        _ if long => {
            let Some(mut table) = Table::open(node, "a rule", report) else { return };
            let head = match table.take("match") {
                Some(entry) => scalar::text(&entry.value, table.report()),
                None => {
                    table.report().push(
                        Diagnostic::error("a rule without `match`")
                            .at(node.span, "this rule")
                            .help("say who may come in: `match: \"GET /x\"`"),
                    );
                    None
                }
            };
            let rule = settings(table, node);
            if let (Some(head), Some((action, settings))) = (head, rule) {
                config.routes.push(RouteEntry { head, action, group, settings, base_dir: base_dir.to_owned() });
            }
        }
        _ => report.push(
            Diagnostic::error(format!("an item of `routes` is one rule, this one has {} keys", entries.len()))
                .at(node.span, "")
                .help("begin each rule with a `- ` of its own, or write `{match: …, to: …}`"),
        ),
    }
}

/// A head and what belongs to it: an action, or a mapping with one.
fn pair(entry: &Entry, group: Option<usize>, base_dir: &Path, config: &mut Config, report: &mut Report) {
    let rule = match &entry.value.value {
        Value::Map(_) => Table::open(&entry.value, "a rule", report).and_then(|table| settings(table, &entry.value)),
        Value::Null => {
            report.push(
                Diagnostic::error(format!("the rule `{}` has no action", entry.key.text))
                    .at(entry.key.span, "what happens then?")
                    .help("write a status (`OK`), a URL, a directory (`./dist/`), or `*` for echo"),
            );
            None
        }
        Value::List(_) => {
            report.push(
                scalar::expected(&entry.value, "an action")
                    .help("several targets stand in one text, with blanks between"),
            );
            None
        }
        Value::Scalar(_) => scalar::text(&entry.value, report).map(|action| (action, RouteSettings::default())),
    };
    if let Some((action, settings)) = rule {
        let head = entry.key.clone();
        config.routes.push(RouteEntry { head, action, group, settings, base_dir: base_dir.to_owned() });
    }
}

/// The action and the settings of a rule in its mapping form.
fn settings(mut table: Table<'_, '_>, node: &Node) -> Option<(Located, RouteSettings)> {
    let mut settings = RouteSettings::default();
    let action = match table.take("to") {
        Some(entry) => scalar::text(&entry.value, table.report()),
        None => {
            table.report().push(
                Diagnostic::error("a rule without `to`")
                    .at(node.span, "this rule")
                    .help("say what happens: `to: \"OK\"`"),
            );
            None
        }
    };
    let kind = action.as_ref().map(|action| Kind::of(&action.text));
    if let Some(entry) = table.take("proxy") {
        settings.proxy = proxy::overrides(&entry.value, "proxy", table.report());
        idle(entry, kind, Kind::Proxy, table.report());
    }
    let nested = settings.proxy.timeout.is_some();
    if let Some(entry) = table.take("timeout") {
        settings.proxy.timeout = scalar::timeout_or_none(&entry.value, table.report()).or(settings.proxy.timeout);
        idle(entry, kind, Kind::Proxy, table.report());
        if nested {
            table.report().push(
                Diagnostic::error("`timeout` and `proxy.timeout` are one setting, given twice")
                    .at(entry.key.span, "")
                    .help("keep one of them"),
            );
        }
    }
    if let Some(entry) = table.take("static") {
        settings.statics = statics::overrides(&entry.value, table.report());
        idle(entry, kind, Kind::Static, table.report());
    }
    table.opt("max_body_size", &mut settings.max_body_size, scalar::body_size);
    table.opt("client_auth", &mut settings.client_auth, tls::demand);
    if let Some(entry) = table.take("headers") {
        settings.headers = headers(&entry.value, table.report());
    }
    table.later("plugins");
    table.close_with(|key| {
        let (_, section) = NESTED.iter().find(|(known, _)| *known == key)?;
        Some(format!("it belongs one level down: `{section}: {{{key}: …}}`"))
    });
    Some((action?, settings))
}

/// What an action seems to be, as far as its settings need to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Proxy,
    Static,
    Answer,
}

impl Kind {
    fn of(action: &str) -> Self {
        match action.split_ascii_whitespace().next().unwrap_or("") {
            word if word.contains("://") => Self::Proxy,
            word if word.starts_with(['/', '.']) => Self::Static,
            _ => Self::Answer,
        }
    }
}

/// Warns of a setting that the rule's action has no use for.
fn idle(entry: &Entry, action: Option<Kind>, wants: Kind, report: &mut Report) {
    if action.is_none_or(|action| action == wants) {
        return;
    }
    let what = if wants == Kind::Proxy { "proxies" } else { "serves files" };
    report.push(
        Diagnostic::warning(format!("`{}` has no effect on this rule", entry.key.text))
            .at(entry.key.span, format!("only for a rule that {what}"))
            .help("remove it"),
    );
}

/// Fields added to an answer.
fn headers(node: &Node, report: &mut Report) -> Vec<(Located, Located)> {
    let entries = match &node.value {
        Value::Map(entries) => unique(entries, report),
        Value::Null => return Vec::new(),
        _ => {
            report.push(scalar::expected(node, "a mapping from names to values"));
            return Vec::new();
        }
    };
    let mut fields: Vec<(Located, Located)> = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = &entry.key;
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.text.is_empty() || !name.text.chars().all(token) {
            report.push(
                Diagnostic::error(format!("`{}` cannot be the name of a header field", name.text)).at(name.span, ""),
            );
            continue;
        }
        let own = ["Connection", "Content-Length", "Date", "Keep-Alive", "Trailer", "Transfer-Encoding", "Upgrade"];
        if own.iter().any(|own| own.eq_ignore_ascii_case(&name.text)) {
            report.push(
                Diagnostic::error(format!("`{}` is written by the server alone", name.text))
                    .at(name.span, "")
                    .help("remove it"),
            );
            continue;
        }
        if let Some((first, _)) = fields.iter().find(|(first, _)| first.text.eq_ignore_ascii_case(&name.text)) {
            report.push(
                Diagnostic::error(format!("`{}` stands here twice", name.text))
                    .at(name.span, "again; case does not count")
                    .and_at(first.span, "first here"),
            );
            continue;
        }
        if let Some(value) = scalar::field_value(&entry.value, report) {
            fields.push((name.clone(), value));
        }
    }
    fields
}

/// Splits `HEAD: ACTION` at the first `:` that a blank or the end follows; either part may stand in quotes.
pub(in crate::config) fn split_rule(text: &str) -> Option<(Range<usize>, Range<usize>)> {
    let start = text.len() - text.trim_start().len();
    let mut at = start;
    if let Some(quote) = text[start..].chars().next().filter(|c| matches!(c, '"' | '\'')) {
        at = start + 1 + text[start + 1..].find(quote)? + 1;
    }
    let bytes = text.as_bytes();
    let ends = |colon: usize| bytes.get(colon + 1).is_none_or(|byte| b" \t".contains(byte));
    let colon = (at..bytes.len()).find(|&colon| bytes[colon] == b':' && ends(colon))?;
    Some((unquoted(text, start..colon), unquoted(text, colon + 1..text.len())))
}

/// A range without blanks around it, and without a pair of quotes.
fn unquoted(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + part.len() - part.trim_start().len();
    let end = start + part.trim().len();
    let inner = &text[start..end];
    let quoted = ['"', '\''].iter().any(|quote| {
        inner
            .strip_prefix(*quote)
            .and_then(|rest| rest.strip_suffix(*quote))
            .is_some_and(|inner| !inner.contains(*quote))
    });
    if quoted { start + 1..end - 1 } else { start..end }
}
