//! What do `${VAR}`, `${VAR:-default}` and `$$` stand for? Every value is filled in after parsing, so no variable can
//! change what the file's syntax says.

use super::Env;
use super::node::{Kind, Node, Scalar, Value};
use super::report::Report;
use crate::diagnostic::{Diagnostic, Located, Span, nearest};

/// Fills in every value below `node`. Keys stay as they are.
pub(super) fn expand(node: &mut Node, env: &Env, report: &mut Report) {
    match &mut node.value {
        Value::Null => {}
        Value::List(items) => items.iter_mut().for_each(|item| expand(item, env, report)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| expand(&mut entry.value, env, report)),
        Value::Scalar(scalar) => {
            if !scalar_value(scalar, node.span, env, report) {
                report.give_up(node.span);
            }
        }
    }
}

/// Fills in one value; `false` after an error.
fn scalar_value(scalar: &mut Scalar, span: Span, env: &Env, report: &mut Report) -> bool {
    if scalar.kind != Kind::Text || !scalar.text.contains('$') {
        return true;
    }
    let mut good = true;
    let place = Located { text: scalar.text.clone(), span, verbatim: scalar.verbatim };
    let mut out = String::with_capacity(scalar.text.len());
    let mut at = 0;
    while let Some(dollar) = place.text[at..].find('$') {
        let dollar = at + dollar;
        out.push_str(&place.text[at..dollar]);
        let rest = &place.text[dollar + 1..];
        if rest.starts_with('$') {
            out.push('$');
            at = dollar + 2;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let Some(length) = inner.find('}') else {
                report.push(
                    Diagnostic::error("`${` without `}`")
                        .at(place.sub(dollar..place.text.len()), "never closed")
                        .help("write `$${` for the two characters themselves"),
                );
                return false;
            };
            at = dollar + 2 + length + 1;
            match variable(&inner[..length], env) {
                Ok(value) => out.push_str(value),
                Err(diagnostic) => {
                    report.push(diagnostic.at(place.sub(dollar..at), ""));
                    good = false;
                }
            }
            scalar.kind = Kind::Loose;
        } else {
            out.push('$');
            at = dollar + 1;
        }
    }
    out.push_str(&place.text[at..]);
    if out != scalar.text {
        (scalar.text, scalar.verbatim) = (out, false);
    }
    good
}

/// What stands for `VAR` or `VAR:-default`.
fn variable<'v>(inner: &'v str, env: &'v Env) -> Result<&'v str, Box<Diagnostic>> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let valid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !valid || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Box::new(
            Diagnostic::error(match name {
                "" => "`${}` names no environment variable".to_owned(),
                _ => format!("`{name}` is not the name of an environment variable"),
            })
            .help("write `${NAME}` or `${NAME:-default}`, or `$${` for the two characters themselves"),
        ));
    }
    match (env.get(name).map(String::as_str), default) {
        // As in a shell, `:-` fills in for an empty variable too.
        (Some("") | None, Some(default)) => Ok(default),
        (Some(value), _) => Ok(value),
        (None, None) => {
            let diagnostic = Diagnostic::error(format!("the environment variable `{name}` is not set"));
            Err(Box::new(match nearest(name, env.keys().map(String::as_str)) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`? Or give a default: `${{{name}:-…}}`")),
                None => diagnostic.help(format!("set it, or give a default: `${{{name}:-…}}`")),
            }))
        }
    }
}
