//! Which keys does the environment override? `ANYGATE_SERVER__LISTEN=:80` sets `server.listen`.

use super::Env;
use super::node::{Entry, Kind, Node, Scalar, Value};
use super::report::Report;
use super::{read, yaml};
use crate::diagnostic::{Diagnostic, Located, SourceId, Sources, Span};

const PREFIX: &str = "ANYGATE_";

/// Writes the environment's overrides into `root`, in the order of their names.
///
/// Only names with `__` whose first part is a section count: Kubernetes puts `ANYGATE_PORT_80_TCP` and its like into
/// every container. A value is one text, or a list or mapping in YAML's flow form (`[":80", ":81"]`).
pub(super) fn apply(root: &mut Node, env: &Env, sources: &mut Sources, report: &mut Report) {
    for (name, value) in env {
        let Some(path) = name.strip_prefix(PREFIX).filter(|path| path.contains("__")) else { continue };
        let parts: Vec<(usize, String)> = parts(path);
        if !read::ROOT_KEYS.contains(&parts[0].1.as_str()) {
            continue;
        }
        let text = format!("{name}={value}");
        let source = sources.add("environment", text.clone());
        let keys: Vec<Located> = parts
            .into_iter()
            .map(|(start, text)| {
                let start = PREFIX.len() + start;
                Located { span: Span::new(source, start..start + text.len()), text, verbatim: false }
            })
            .collect();
        if let Some(refusal) = refused(&keys, name) {
            report.push(refusal);
            continue;
        }
        let Some(node) = node_of(source, &text, name.len() + 1, report) else { continue };
        set(root, &keys, node, report);
    }
}

/// The parts of a path in lower case, each with the byte it starts at.
fn parts(path: &str) -> Vec<(usize, String)> {
    let mut at = 0;
    path.split("__")
        .map(|part| {
            let start = at;
            at += part.len() + 2;
            (start, part.to_ascii_lowercase())
        })
        .collect()
}

fn refused(keys: &[Located], name: &str) -> Option<Diagnostic> {
    let first = &keys[0];
    if let Some(empty) = keys.iter().find(|key| key.text.is_empty()) {
        return Some(
            Diagnostic::error(format!("the environment variable `{name}` names no key"))
                .at(empty.span, "a part of the path is empty")
                .help("write `ANYGATE_SECTION__KEY`, such as `ANYGATE_SERVER__LISTEN`"),
        );
    }
    matches!(first.text.as_str(), "routes" | "groups" | "expect" | "include").then(|| {
        Diagnostic::error(format!("`{}` cannot be set from the environment", first.text))
            .at(first.span, "not a section with keys")
            .help("write it in the configuration file, where `${VAR}` works in every value")
    })
}

/// The value of an override, which starts at byte `start` of its source.
fn node_of(source: SourceId, text: &str, start: usize, report: &mut Report) -> Option<Node> {
    let value = &text[start..];
    let span = Span::new(source, start..text.len());
    if !value.trim_start().starts_with(['[', '{']) {
        let scalar = Scalar { text: value.to_owned(), kind: Kind::Loose, verbatim: true };
        return Some(Node { span, value: Value::Scalar(scalar) });
    }
    // Blanks for the name keep the places true.
    let padded = " ".repeat(start) + value;
    let mut own = Report::default();
    let node = yaml::parse(source, &padded, &mut own);
    own.into_list().into_iter().for_each(|diagnostic| report.push(diagnostic));
    node
}

/// Puts `value` at the path `keys`, making the mappings on its way.
fn set(node: &mut Node, keys: &[Located], value: Node, report: &mut Report) {
    let Some((key, rest)) = keys.split_first() else {
        *node = value;
        return;
    };
    if matches!(node.value, Value::Null) {
        *node = Node { span: key.span, value: Value::Map(Vec::new()) };
    }
    let place = node.span;
    let Value::Map(entries) = &mut node.value else {
        report.push(
            Diagnostic::error(format!("`{}` is set below a value that is not a mapping", key.text))
                .at(key.span, "this key")
                .and_at(place, "the value"),
        );
        return;
    };
    let at = entries.iter().position(|entry| entry.key.text.eq_ignore_ascii_case(&key.text)).unwrap_or_else(|| {
        entries.push(Entry { key: key.clone(), value: Node { span: key.span, value: Value::Null } });
        entries.len() - 1
    });
    set(&mut entries[at].value, rest, value, report);
}
