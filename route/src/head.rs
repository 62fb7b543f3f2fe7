//! What does a head say: methods, host and path?

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use anygate_core::{Diagnostic, Located};

use crate::host::{Host, MAX_HOST, address_text};
use crate::methods::{Methods, is_token_byte, standard};
use crate::path::{BadPath, encoded, is_path_byte, unify};
use crate::pattern::{End, MAX_SEGMENTS, Pattern, Segment};
use crate::rule::Context;

/// Parses `[METHODS ] [HOST]PATH`; what is wrong goes to `errors`.
pub(crate) fn parse(
    head: &Located,
    group_host: Option<&Located>,
    context: &Context,
    errors: &mut Vec<Diagnostic>,
) -> Option<(Methods, Host, Pattern)> {
    let before = errors.len();
    let words = words(&head.text);
    let Some((place, methods)) = words.split_last() else {
        errors.push(Diagnostic::error("the head is empty").at(head.span, "a path belongs here").help("write `/`"));
        return None;
    };
    if let Some(path) = methods.iter().find(|w| head.text[(*w).clone()].contains('/')) {
        errors.push(blank_in_path(head, path.clone(), &words));
        return None;
    }
    let word = &head.text[place.clone()];
    let Some(slash) = word.find('/') else {
        errors.push(no_path(head, place.clone()));
        return None;
    };
    let (host_at, path_at) = (place.start..place.start + slash, place.start + slash..place.end);
    let methods = parse_methods(head, methods, &path_at, errors);
    let host = if head.text[host_at.clone()].ends_with(':') && head.text[path_at.clone()].starts_with("//") {
        errors.push(
            Diagnostic::error("a head has no scheme")
                .at(head.sub(host_at.start..path_at.start + 2), "not part of a head")
                .help(format!("write `{}`", &head.text[path_at.start + 2..path_at.end])),
        );
        return None;
    } else if host_at.is_empty() {
        Some(Host::Any)
    } else {
        parse_host(head, host_at.clone(), errors)
    };
    let group = group_host.and_then(|host| parse_host(host, 0..host.text.len(), errors));
    let pattern = parse_path(head, path_at, context, errors);
    let host = match (host?, group) {
        (host, None) => host,
        (Host::Any, Some(group)) => group,
        (host, Some(group)) if host == group => host,
        (_, Some(group)) => {
            let mut error = Diagnostic::error(format!("the rule's group is for the host `{group}`"))
                .at(head.sub(host_at), "another host")
                .help("leave the host out here, or put the rule into another group");
            if let Some(at) = group_host {
                error = error.and_at(at.span, "the group's host");
            }
            errors.push(error);
            return None;
        }
    };
    let (methods, pattern) = (methods?, pattern?);
    (errors.len() == before).then_some((methods, host, pattern))
}

/// The ranges of what stands between blanks.
pub(crate) fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices() {
        match (c.is_ascii_whitespace(), start) {
            (true, Some(from)) => {
                words.push(from..at);
                start = None;
            }
            (false, None) => start = Some(at),
            _ => {}
        }
    }
    words.extend(start.map(|from| from..text.len()));
    words
}

fn blank_in_path(head: &Located, path: Range<usize>, words: &[Range<usize>]) -> Diagnostic {
    let rest: Vec<&str> = words.iter().filter(|w| w.start > path.start).map(|w| &head.text[w.clone()]).collect();
    let error = Diagnostic::error("the path must be the head's last word").at(head.sub(path.clone()), "ends here");
    if rest.iter().all(|w| w.bytes().all(|b| is_token_byte(b) && !b.is_ascii_lowercase())) {
        error.help(format!("methods come first: `{} {}`", rest.join(" "), &head.text[path]))
    } else {
        error.help("a blank in a path is written `%20`")
    }
}

fn no_path(head: &Located, word: Range<usize>) -> Diagnostic {
    let text = &head.text[word.clone()];
    let error = Diagnostic::error("the head has no path");
    if text == "*" || text.bytes().all(|b| is_token_byte(b) && !b.is_ascii_lowercase() && b != b'.') {
        return error
            .at(head.sub(word.end..word.end), "a path belongs here")
            .help(format!("write `{} /`", head.text.trim()));
    }
    let error = error.at(head.sub(word.clone()), "a path begins with `/`");
    if text.contains('.') || text.contains(':') {
        error.help(format!("write `{text}/` for that host, or `/{text}` for that path"))
    } else {
        error.help(format!("write `{}/{text}`", &head.text[..word.start]))
    }
}

fn parse_methods(
    head: &Located,
    words: &[Range<usize>],
    path: &Range<usize>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Methods> {
    let before = errors.len();
    let mut list: Vec<String> = Vec::new();
    for word in words {
        let text = &head.text[word.clone()];
        if text == "*" {
            if words.len() > 1 {
                errors.push(
                    Diagnostic::error("`*` already means every method")
                        .at(head.sub(word.clone()), "beside others")
                        .help("keep either the `*` or the methods' names"),
                );
            }
        } else if let Some(error) = refuse_method(head, word.clone(), path) {
            errors.push(error);
        } else if list.iter().any(|m| m == text) {
            errors.push(
                Diagnostic::error(format!("the method `{text}` stands here twice"))
                    .at(head.sub(word.clone()), "again")
                    .help("leave one out"),
            );
        } else {
            list.push(text.to_owned());
        }
    }
    match (errors.len() == before, list.is_empty()) {
        (false, _) => None,
        (true, true) => Some(Methods::Every),
        (true, false) => Some(Methods::Named(list)),
    }
}

fn refuse_method(head: &Located, word: Range<usize>, path: &Range<usize>) -> Option<Diagnostic> {
    let text = &head.text[word.clone()];
    let error = |message: String| Diagnostic::error(message).at(head.sub(word.clone()), "not a method");
    let (before, path) = (&head.text[..path.start], &head.text[path.clone()]);
    if text.contains(',') {
        let before = before.replace(',', " ");
        let list: Vec<&str> = before.split_ascii_whitespace().collect();
        let help = format!("write `{} {path}`", list.join(" "));
        return Some(error("methods are separated by blanks".into()).help(help));
    }
    if text.contains('.') || text.contains(':') || text.starts_with('[') {
        return Some(
            error(format!("`{text}` is no method, it looks like a host"))
                .help(format!("a host stands right before the path: `{text}{path}`")),
        );
    }
    if !text.bytes().all(is_token_byte) {
        return Some(error(format!("`{text}` is no method")).help("a method is a token of RFC 9110, such as `GET`"));
    }
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        let help = match standard(text) {
            Some(known) => format!("write `{known}`"),
            None => format!("write `{}`, or `{text}{path}` if it is a host", text.to_ascii_uppercase()),
        };
        return Some(error(format!("methods are case-sensitive, and `{text}` has lower-case letters")).help(help));
    }
    None
}

fn parse_host(source: &Located, at: Range<usize>, errors: &mut Vec<Diagnostic>) -> Option<Host> {
    match read_host(source, at) {
        Ok(host) => Some(host),
        Err(error) => {
            errors.push(*error);
            None
        }
    }
}

fn read_host(source: &Located, at: Range<usize>) -> Result<Host, Box<Diagnostic>> {
    let text = &source.text[at.clone()];
    let refuse = |message: &str, range: Range<usize>, label: &str, help: String| {
        Err(Box::new(Diagnostic::error(message).at(source.sub(range), label).help(help)))
    };
    if text.is_empty() {
        return refuse("the host is empty", at, "a host belongs here", "leave it out to mean every host".into());
    }
    if let Some(sign) = text.find('@') {
        let range = at.start..at.start + sign + 1;
        return refuse("a host has no user", range, "not part of a host", format!("write `{}`", &text[sign + 1..]));
    }
    if text.starts_with('[') {
        let end = text.find(']').map_or(text.len(), |end| end + 1);
        if end < text.len() {
            let range = at.start + end..at.end;
            return refuse(PORT, range, PORT_LABEL, format!("write `{}`: any port will do", &text[..end]));
        }
        let address = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or_default();
        return match address.parse::<Ipv6Addr>() {
            Ok(address) => Ok(Host::Exact(address_text(address))),
            Err(_) => refuse(
                &format!("`{text}` is no IPv6 address"),
                at,
                "not an address",
                "write it as in `[2001:db8::1]`".into(),
            ),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return refuse("an IPv6 address needs brackets", at, "bare address", format!("write `[{text}]`"));
    }
    if let Some(colon) = text.find(':') {
        let range = at.start + colon..at.end;
        return refuse(PORT, range, PORT_LABEL, format!("write `{}`: any port will do", &text[..colon]));
    }
    if text == "*" {
        return refuse("`*` is no host", at, "every host", "leave the host out to mean every host".into());
    }
    let (wildcard, name) = match text.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if name.contains('*') {
        let help = "a wildcard stands first and for whole labels: `*.example.com`".into();
        return refuse("a misplaced wildcard in a host", at, "not a wildcard", help);
    }
    if !name.is_ascii() {
        let help = "write it in its ASCII form, which begins `xn--`".into();
        return refuse("a host is ASCII", at, "not ASCII", help);
    }
    let label = |l: &str| {
        !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > MAX_HOST || !name.split('.').all(label) {
        let help = "labels of letters, digits and `-`, joined by dots".into();
        return refuse(&format!("`{text}` is no host name"), at, "not a host name", help);
    }
    if wildcard && name.parse::<Ipv4Addr>().is_ok() {
        return refuse("an address has no wildcard", at, "not a name", format!("write `{name}`"));
    }
    Ok(if wildcard { Host::Wildcard(name) } else { Host::Exact(name) })
}

const PORT: &str = "a head has no port";
const PORT_LABEL: &str = "not part of a head";

fn parse_path(head: &Located, at: Range<usize>, context: &Context, errors: &mut Vec<Diagnostic>) -> Option<Pattern> {
    let before = errors.len();
    let text = &head.text[at.clone()];
    if let Some(cut) = text.find(['?', '#']) {
        let what = if text.as_bytes()[cut] == b'?' { "query" } else { "fragment" };
        errors.push(
            Diagnostic::error(format!("a head has no {what}"))
                .at(head.sub(at.start + cut..at.end), "never compared")
                .help(format!("write `{}`", &text[..cut])),
        );
        return None;
    }
    let mut segments = Vec::new();
    let mut end = End::Exact;
    let mut start = at.start + 1;
    let count = text[1..].split('/').count();
    for (number, segment) in text[1..].split('/').enumerate() {
        let range = start..start + segment.len();
        start = range.end + 1;
        let last = number + 1 == count;
        match (segment, last) {
            ("", true) => end = End::Subtree,
            ("*", true) => end = End::Splat,
            ("{$}", true) => end = End::Slash,
            _ => match parse_segment(head, range.clone(), &segments, context) {
                Ok(segment) => segments.push(segment),
                Err(error) => errors.push(*error),
            },
        }
    }
    if segments.len() > MAX_SEGMENTS {
        errors.push(
            Diagnostic::error(format!("the path has more than {MAX_SEGMENTS} segments"))
                .at(head.sub(at), format!("{} segments", segments.len()))
                .help("end it earlier with `/` or `/*`"),
        );
    }
    (errors.len() == before).then_some(Pattern { segments, end })
}

fn parse_segment(
    head: &Located,
    at: Range<usize>,
    earlier: &[Segment],
    context: &Context,
) -> Result<Segment, Box<Diagnostic>> {
    let text = &head.text[at.clone()];
    let refuse = |message: String, label: &str, help: String| {
        Err(Box::new(Diagnostic::error(message).at(head.sub(at.clone()), label).help(help)))
    };
    match text {
        "" if context.merge_slashes => {
            let message = "repeated slashes are merged before a path is compared";
            let place = head.sub(at.start - 1..at.end + 1);
            return Err(Box::new(Diagnostic::error(message).at(place, "no path has this").help("write one `/`")));
        }
        "." | ".." => {
            let message = "dot segments are resolved before a path is compared".into();
            return refuse(message, "no path has this", "write the path without it".into());
        }
        "*" => {
            let message = "`*` stands at the end of a path only".into();
            return refuse(message, "more follows", "a parameter takes one whole segment: `:name`".into());
        }
        "{$}" => {
            let message = "`{$}` stands at the end of a path only".into();
            return refuse(message, "more follows", "leave it out".into());
        }
        _ => {}
    }
    if let Some(name) = text.strip_prefix(':') {
        return parse_param(head, at.clone(), name, earlier);
    }
    if text.contains('*') {
        let message = "`*` is a whole last segment".into();
        return refuse(message, "part of a segment", "write `/*`, or `%2A` for the character".into());
    }
    let in_braces =
        |name: &str| refuse(format!("a parameter is not written `{text}`"), "braces", format!("write `:{name}`"));
    if let Some(name) = braces(text) {
        return in_braces(name);
    }
    let mut form = Vec::new();
    match unify(text.as_bytes(), &mut form) {
        Ok(_) => {}
        Err(BadPath::BadEscape) => {
            let message = "a `%` that is not followed by two hexadecimal digits".into();
            return refuse(message, "bad escape", "the character itself is written `%25`".into());
        }
        Err(BadPath::EncodedNul) => {
            let message = "no request has an encoded NUL in its path".into();
            return refuse(message, "always answered 400", "leave it out".into());
        }
        Err(_) => {
            let message = "characters that a request's path never holds unencoded".into();
            return refuse(message, "always answered 400", format!("write `{}`", encode_path(text)));
        }
    }
    match String::from_utf8(form) {
        Ok(form) if form == "." || form == ".." => {
            let message = "dot segments are resolved before a path is compared".into();
            refuse(message, "no path has this", "write the path without it".into())
        }
        Ok(form) => match braces(&form) {
            Some(name) => in_braces(name),
            None => Ok(Segment::Literal(form)),
        },
        Err(_) => refuse("a segment that is not ASCII".into(), "not ASCII", "percent-encode it".into()),
    }
}

fn parse_param(head: &Located, at: Range<usize>, name: &str, earlier: &[Segment]) -> Result<Segment, Box<Diagnostic>> {
    let refuse = |message: String, label: &str, help: String| {
        Err(Box::new(Diagnostic::error(message).at(head.sub(at.clone()), label).help(help)))
    };
    let valid = name_length(name);
    if name.is_empty() {
        return refuse("a parameter has no name".into(), "a name belongs here", "write `:id`".into());
    }
    if valid == 0 {
        let help = "a name begins with a letter: `:id`; a literal `:` is written `%3A`".into();
        return refuse(format!("`{name}` is no name for a parameter"), "not a name", help);
    }
    if valid < name.len() {
        let help = format!("a parameter is a whole segment of letters, digits, `_` and `-`: `:{}`", &name[..valid]);
        return refuse(format!("`:{name}` is more than a parameter"), "not a name", help);
    }
    if earlier.iter().any(|s| matches!(s, Segment::Param(other) if other == name)) {
        return refuse(format!("the parameter `{name}` stands here twice"), "again", "give it another name".into());
    }
    Ok(Segment::Param(name.to_owned()))
}

/// How many bytes at the start of `text` make a parameter's name.
pub(crate) fn name_length(text: &str) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return 0;
    }
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count()
}

/// The name in `{name}`, `{name...}` and `<name>`, as other routers write parameters.
fn braces(text: &str) -> Option<&str> {
    let inner = text
        .strip_prefix('{')
        .and_then(|t| t.strip_suffix('}'))
        .or_else(|| text.strip_prefix('<').and_then(|t| t.strip_suffix('>')))?;
    let length = name_length(inner);
    (length > 0).then(|| &inner[..length])
}

/// A path with what it may not hold percent-encoded.
pub(crate) fn encode_path(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_path_byte(byte) {
            out.push(char::from(byte));
        } else {
            out.extend(encoded(byte).into_iter().map(char::from));
        }
    }
    out
}
