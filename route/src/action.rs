//! What does an action say?

use std::ops::Range;

use anygate_core::{Diagnostic, Located, nearest, status};

use crate::pattern::Pattern;
use crate::rule::{Action, Context, Fixed, Scheme, StaticTarget};
use crate::target;

/// The statuses that send elsewhere and carry a `Location`.
pub(crate) const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Parses an action. `pattern` is the head's, if that could be read; what is wrong goes to `errors`.
pub(crate) fn parse(
    action: &Located,
    pattern: Option<&Pattern>,
    context: &Context,
    errors: &mut Vec<Diagnostic>,
) -> Option<Action> {
    let start = action.text.len() - action.text.trim_start().len();
    let text = action.text.trim_start();
    let line = text.trim_end();
    let at = start..start + line.len();
    if line.is_empty() {
        errors.push(
            Diagnostic::error("the action is empty")
                .at(action.span, "an action belongs here")
                .help("write `OK` for an empty answer"),
        );
        return None;
    }
    if line == "*" {
        return Some(Action::Echo { status: 200 });
    }
    if line.starts_with(['/', '.', '~']) {
        return parse_static(action, at, errors);
    }
    let first = line.split_ascii_whitespace().next().unwrap_or_default();
    if Scheme::of(first).is_some() {
        return target::parse_targets(action, at, pattern, context, errors).map(Action::Proxy);
    }
    if let Some((scheme, _)) = first.split_once("://") {
        errors.push(unknown_scheme(action, start..start + scheme.len(), scheme));
        return None;
    }
    let word = start..start + first.len();
    let status = match parse_status(first) {
        Ok(status) => status,
        Err(message) => {
            errors.push(refuse_word(action, word, at, context, message));
            return None;
        }
    };
    let rest = text[first.len()..].trim_start();
    let rest_at = start + text.len() - rest.len();
    answer(action, status, word, rest_at..rest_at + rest.len(), pattern, errors)
}

fn answer(
    action: &Located,
    status: u16,
    word: Range<usize>,
    rest: Range<usize>,
    pattern: Option<&Pattern>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Action> {
    let body = &action.text[rest.clone()];
    let line = body.trim_end();
    if REDIRECTS.contains(&status) {
        let target = rest.start..rest.start + line.len();
        return target::parse_location(action, word, target, pattern, errors)
            .map(|location| Action::Redirect { status, location });
    }
    if status::forbids_body(status) && !body.is_empty() {
        errors.push(
            Diagnostic::error(format!("a {status} answer never has a body"))
                .at(action.sub(rest), "a body")
                .help(format!("write `{}` alone, or another status", &action.text[word])),
        );
        return None;
    }
    if line == "*" {
        return Some(Action::Echo { status });
    }
    if body.is_empty() {
        return Some(Action::Fixed(Fixed { status, body: None, content_type: None }));
    }
    let json = body.starts_with(['{', '[']);
    if json && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(body) {
        errors.push(bad_json(action, rest, &error));
        return None;
    }
    let content_type = Some(if json { JSON } else { TEXT });
    Some(Action::Fixed(Fixed { status, body: Some(body.to_owned()), content_type }))
}

fn bad_json(action: &Located, body: Range<usize>, error: &serde_json::Error) -> Diagnostic {
    let text = &action.text[body.clone()];
    let lines: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut at = (lines + error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let length = text[at..].chars().next().map_or(0, char::len_utf8);
    let message = error.to_string();
    let reason = message.split(" at line ").next().unwrap_or("not JSON").to_owned();
    Diagnostic::error("a body that begins with `{` or `[` must be JSON")
        .at(action.sub(body.start + at..body.start + at + length), reason)
        .help("mend the JSON, or begin the text with another character")
}

fn parse_static(action: &Located, at: Range<usize>, errors: &mut Vec<Diagnostic>) -> Option<Action> {
    let path = &action.text[at.clone()];
    let refuse =
        |message: &str, help: String| Diagnostic::error(message).at(action.sub(at.clone()), "this path").help(help);
    let error = if let Some(rest) = path.strip_prefix('~') {
        refuse("`~` is not expanded", format!("write the folder out: `/home/…{rest}`"))
    } else if path == "." || path == ".." {
        refuse("a directory needs its final slash", format!("write `{path}/`"))
    } else if path.starts_with('.') && !path.starts_with("./") && !path.starts_with("../") {
        refuse("a path begins with `/`, `./` or `../`", format!("write `./{path}`"))
    } else if path.ends_with("/.") || path.ends_with("/..") {
        refuse("a directory needs its final slash", format!("write `{path}/`"))
    } else if path.ends_with(".agpk") {
        refuse("packs cannot be served yet", "unpack it and name the directory".into())
    } else if path.contains('\0') {
        refuse("a path holds no NUL", "leave it out".into())
    } else {
        return Some(Action::Static(StaticTarget { path: path.to_owned(), is_dir: path.ends_with('/') }));
    };
    errors.push(error);
    None
}

/// A status as a number or an upper-case name; the error says what is wrong with it.
pub(crate) fn parse_status(word: &str) -> Result<u16, String> {
    let number = if word.bytes().all(|b| b.is_ascii_digit()) {
        word.parse::<u16>().map_err(|_| format!("{word} is no status"))?
    } else {
        status::number(word).ok_or_else(|| format!("unknown action or status `{word}`"))?
    };
    match number {
        100..200 => Err(format!("{word} is not a final answer")),
        200..600 => Ok(number),
        _ => Err(format!("{word} is no status")),
    }
}

fn unknown_scheme(action: &Located, at: Range<usize>, scheme: &str) -> Diagnostic {
    let known = [Scheme::Http, Scheme::Https, Scheme::H2c, Scheme::HttpUnix].map(Scheme::as_str);
    let lower = scheme.to_ascii_lowercase();
    let help = match lower.as_str() {
        "ws" => "write `http://`: a WebSocket is upgraded from it".to_owned(),
        "wss" => "write `https://`: a WebSocket is upgraded from it".to_owned(),
        "h2" => "write `https://`, or `h2c://` in the clear".to_owned(),
        "unix" => "write `http+unix://`".to_owned(),
        "file" => "write the path alone, such as `/dir/`".to_owned(),
        _ => match nearest(&lower, known) {
            Some(near) => format!("did you mean `{near}://`?"),
            None => format!("a target begins with {}", known.map(|k| format!("`{k}://`")).join(", ")),
        },
    };
    Diagnostic::error(format!("unknown scheme `{scheme}`")).at(action.sub(at), "unknown").help(help)
}

/// Says what an action that begins with no status was probably meant to be.
fn refuse_word(
    action: &Located,
    word: Range<usize>,
    line: Range<usize>,
    context: &Context,
    message: String,
) -> Diagnostic {
    let (text, all) = (&action.text[word.clone()], &action.text[line.clone()]);
    let error = |message: String| Diagnostic::error(message).at(action.sub(word.clone()), "not an action");
    if text.bytes().all(|b| b.is_ascii_digit()) || message.ends_with("a final answer") {
        return error(message).help("a status is a number from 200 to 599 or a name such as `OK`");
    }
    if text.starts_with(['{', '[']) {
        return error("a body needs a status before it".into()).help(format!("write `OK {all}`"));
    }
    if text.starts_with('*') {
        return error("`*` stands alone or after a status".into()).help("write `*` or `OK *`");
    }
    let upper: String = text.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_uppercase() }).collect();
    if status::number(&upper).is_some() {
        return error(format!("a status is an upper-case word, `{text}` is not")).help(format!("write `{upper}`"));
    }
    let phrase: String = all.chars().map(|c| if c == ' ' || c == '-' { '_' } else { c.to_ascii_uppercase() }).collect();
    if status::number(&phrase).is_some() {
        return error(format!("a status is one word, `{all}` is not")).help(format!("write `{phrase}`"));
    }
    if context.upstreams.contains(text) {
        return error(message).help(format!("the upstream is written `http://{text}`"));
    }
    if let Some(near) = nearest(&upper, status::names().map(|(name, _)| name)) {
        return error(message).help(format!("did you mean `{near}`?"));
    }
    if text.contains('/') && !text.contains(':') {
        return error(message).help(format!("a file or directory begins with `/` or `./`: `./{text}`"));
    }
    if text.contains(':') || text.contains('.') {
        return error(message).help(format!("a proxy target needs its scheme: `http://{text}`"));
    }
    if let Some(url) = all.split_ascii_whitespace().skip(1).find(|word| word.contains("://")) {
        return error(message).help(format!("to pass requests on write the URL alone: `{url}`"));
    }
    error(message).help(format!("for that text as an answer write `OK {all}`"))
}
