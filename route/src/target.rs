//! Where do requests go: which URIs name proxy targets and redirects?

use std::net::Ipv6Addr;
use std::ops::Range;

use anygate_core::{Diagnostic, Located, nearest};

use crate::head::{encode_path, name_length, words};
use crate::path::escape;
use crate::pattern::{Pattern, Segment};
use crate::rule::{Authority, Context, PathKind, Scheme, Target, TargetPath};
use crate::template::{Piece, Place, Template};

/// Longest path of a Unix socket, in bytes: `sun_path` less its NUL.
const MAX_SOCKET_PATH: usize = 107;

impl Scheme {
    /// The scheme a target begins with.
    pub(crate) fn of(text: &str) -> Option<Self> {
        [Scheme::Http, Scheme::Https, Scheme::H2c, Scheme::HttpUnix]
            .into_iter()
            .find(|scheme| text.strip_prefix(scheme.as_str()).is_some_and(|rest| rest.starts_with("://")))
    }
}

/// Parses blank-separated proxy targets with equal paths.
pub(crate) fn parse_targets(
    action: &Located,
    at: Range<usize>,
    pattern: Option<&Pattern>,
    context: &Context,
    errors: &mut Vec<Diagnostic>,
) -> Option<Vec<Target>> {
    let before = errors.len();
    let mut targets: Vec<(Target, Range<usize>)> = Vec::new();
    for word in words(&action.text[at.clone()]) {
        let word = at.start + word.start..at.start + word.end;
        let Some(target) = parse_target(action, word.clone(), pattern, context, errors) else { continue };
        match targets.first() {
            Some((first, place)) if first.path != target.path => errors.push(
                Diagnostic::error("targets that share a rule must have equal paths")
                    .at(action.sub(word.clone()), "another path")
                    .and_at(action.sub(place.clone()), "the first target")
                    .help(format!("write `{}{}`", target.origin(), &first.text[first.origin_len..])),
            ),
            _ => targets.push((target, word)),
        }
    }
    (errors.len() == before).then(|| targets.into_iter().map(|(target, _)| target).collect())
}

fn parse_target(
    action: &Located,
    at: Range<usize>,
    pattern: Option<&Pattern>,
    context: &Context,
    errors: &mut Vec<Diagnostic>,
) -> Option<Target> {
    let text = &action.text[at.clone()];
    let Some(scheme) = Scheme::of(text) else {
        errors.push(
            Diagnostic::error("every word of a proxy action is a target")
                .at(action.sub(at), "no scheme")
                .help(format!("write `http://{text}`, or leave it out")),
        );
        return None;
    };
    let after_scheme = scheme.as_str().len() + 3;
    let rest = &text[after_scheme..];
    let origin_len = after_scheme
        + match scheme {
            Scheme::HttpUnix => rest.find(":/").unwrap_or(rest.len()),
            _ => rest.find(['/', '?', '#']).unwrap_or(rest.len()),
        };
    let authority_at = at.start + after_scheme..at.start + origin_len;
    let authority = match scheme {
        Scheme::HttpUnix => parse_socket(action, authority_at),
        _ => parse_authority(action, scheme, authority_at, context),
    };
    let authority = match authority {
        Ok(authority) => Some(authority),
        Err(error) => {
            errors.push(*error);
            None
        }
    };
    let skip = usize::from(scheme == Scheme::HttpUnix && origin_len < text.len());
    let path_at = at.start + origin_len + skip..at.end;
    let template = parse_template(action, path_at.clone(), pattern, Place::Upstream, errors);
    let path = &action.text[path_at];
    let path = &path[..path.find('?').unwrap_or(path.len())];
    let kind = match path {
        "" => PathKind::Keep,
        _ if path.ends_with('/') => PathKind::Append,
        _ => PathKind::Replace,
    };
    let path = TargetPath { kind, template: template? };
    Some(Target { scheme, authority: authority?, path, text: text.to_owned(), origin_len })
}

fn parse_socket(action: &Located, at: Range<usize>) -> Result<Authority, Box<Diagnostic>> {
    let text = &action.text[at.clone()];
    let refuse = |message: &str, help: String| {
        Err(Box::new(Diagnostic::error(message).at(action.sub(at.clone()), "the socket's path").help(help)))
    };
    if !text.starts_with('/') || text == "/" {
        let name = text.trim_start_matches('/');
        let name = if name.is_empty() { "run/app.sock" } else { name };
        return refuse("a socket's path is absolute", format!("write `http+unix:///{name}`"));
    }
    if let Some(cut) = text.find(['?', '#']) {
        return refuse("a socket's path has no query", format!("a path follows the socket's: `{}:/`", &text[..cut]));
    }
    if text.len() > MAX_SOCKET_PATH {
        return refuse("the socket's path is too long", format!("at most {MAX_SOCKET_PATH} bytes"));
    }
    Ok(Authority::Unix(text.to_owned()))
}

fn parse_authority(
    action: &Located,
    scheme: Scheme,
    at: Range<usize>,
    context: &Context,
) -> Result<Authority, Box<Diagnostic>> {
    let text = &action.text[at.clone()];
    let refuse = |message: String, range: Range<usize>, label: &str, help: String| {
        Err(Box::new(Diagnostic::error(message).at(action.sub(range), label).help(help)))
    };
    if let Some(sign) = text.rfind('@') {
        let range = at.start..at.start + sign + 1;
        let help = format!("write `{}://{}`, and the credentials as a header", scheme.as_str(), &text[sign + 1..]);
        return refuse("a target has no user info".into(), range, "user info", help);
    }
    let (host, port) = split_port(text);
    if host.contains('*') || port.is_some_and(|p| p.starts_with(|c: char| c.is_ascii_alphabetic())) {
        return refuse("a target's host is never filled in".into(), at, "in the host", FILLED_IN.into());
    }
    if host.is_empty() {
        let help = format!("write `{}://localhost`", scheme.as_str());
        return refuse("a target needs a host".into(), at, "a host belongs here", help);
    }
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = match address.map(str::parse::<Ipv6Addr>) {
        Some(Ok(address)) => address.to_string(),
        Some(Err(_)) => {
            return refuse(format!("`{host}` is no IPv6 address"), at, "not an address", "as in `[::1]`".into());
        }
        None => host.to_ascii_lowercase(),
    };
    if address.is_none() && !host.bytes().all(is_named) {
        return refuse(format!("`{host}` is no host name"), at, "not a host", HOST.into());
    }
    let declared = context.upstreams.contains(&host);
    let Some(port) = port else {
        return Ok(match scheme.default_port() {
            Some(port) if !declared => Authority::Host { host, port },
            _ => Authority::Upstream(host),
        });
    };
    let range = at.end - port.len() - 1..at.end;
    if declared {
        let help = format!("write `{}://{host}`: its servers have their own ports", scheme.as_str());
        return refuse(format!("`{host}` is declared under `upstreams`"), range, "a pool has no port", help);
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(Authority::Host { host, port }),
        _ => refuse(format!("`{port}` is no port"), range, "not a port", PORT.into()),
    }
}

/// Parses the target of a redirect; `status` is where the status stands.
pub(crate) fn parse_location(
    action: &Located,
    status: Range<usize>,
    at: Range<usize>,
    pattern: Option<&Pattern>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Template> {
    let text = &action.text[at.clone()];
    let word = &action.text[status.clone()];
    if text.is_empty() {
        errors.push(
            Diagnostic::error("a redirect needs a target")
                .at(action.sub(status.end..status.end), "a target belongs here")
                .help(format!("write `{word} /new`")),
        );
        return None;
    }
    let scheme = scheme_length(text);
    if scheme == 0 && !text.starts_with(['/', '?', '#', '.']) {
        let first = text.split('/').next().unwrap_or_default();
        let help = if first.contains(['.', ':']) {
            format!("write `{word} https://{text}` for another host, or `{word} /{text}` for a path")
        } else {
            format!("it begins with `/`, `?`, `#`, `.` or a scheme: `{word} /{}`", text.replace(' ', "%20"))
        };
        let error = Diagnostic::error("this is no target for a redirect").at(action.sub(at), "not a reference");
        errors.push(error.help(help));
        return None;
    }
    let after = &text[scheme..];
    let fixed = if let Some(rest) = after.strip_prefix("//") {
        let host = scheme + 2;
        let end = host + rest.find(['/', '?', '#']).unwrap_or(rest.len());
        if let Err(error) = check_location_host(action, &text[..scheme], at.start + host..at.start + end) {
            errors.push(*error);
            return None;
        }
        let before = errors.len();
        refuse_bytes(action, at.start + host..at.start + end, errors);
        if errors.len() > before {
            return None;
        }
        end
    } else {
        scheme
    };
    let mut template = parse_template(action, at.start + fixed..at.end, pattern, Place::Location, errors)?;
    if fixed > 0 {
        template.path.insert(0, Piece::Text(text[..fixed].to_owned()));
    }
    Some(template)
}

/// Whether a redirect's authority is one, behind a scheme with its colon or none; what other schemes than http and https
/// call so is theirs, but filled in it is never.
fn check_location_host(action: &Located, scheme: &str, at: Range<usize>) -> Result<(), Box<Diagnostic>> {
    let authority = &action.text[at.clone()];
    let refuse = |message: String, label: &str, help: &str| {
        Err(Box::new(Diagnostic::error(message).at(action.sub(at.clone()), label).help(help)))
    };
    let (host, port) = split_port(authority.rsplit('@').next().unwrap_or_default());
    if authority.contains('*') || port.is_some_and(|p| p.starts_with(|c: char| c.is_ascii_alphabetic())) {
        return refuse("a redirect's host is never filled in".into(), "in the host", FILLED_IN);
    }
    if !["", "http:", "https:"].iter().any(|web| web.eq_ignore_ascii_case(scheme)) {
        return Ok(());
    }
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if host.is_empty() {
        return refuse("a redirect needs a host here".into(), "a host belongs here", "as in `https://example.com/`");
    }
    if !address.map_or_else(|| host.bytes().all(is_named), |address| address.parse::<Ipv6Addr>().is_ok()) {
        return refuse(format!("`{host}` is no host name"), "not a host", HOST);
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        _ => refuse(format!("`{}` is no port", port.unwrap_or_default()), "not a port", PORT),
    }
}

const FILLED_IN: &str = "only a target's path and query are filled in";
const HOST: &str = "letters, digits, `-` and dots; an IPv6 address in brackets";
const PORT: &str = "a number from 1 to 65535";

/// Host and port of an authority; an IPv6 address keeps its brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let bracket = authority.rfind(']').map_or(0, |end| end + 1);
    match authority[bracket..].find(':') {
        Some(colon) => (&authority[..bracket + colon], Some(&authority[bracket + colon + 1..])),
        None => (authority, None),
    }
}

/// Whether a byte may stand in a host's name.
fn is_named(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')
}

/// How long the scheme of a URI is, with its colon; a host with its port is none.
fn scheme_length(text: &str) -> usize {
    let length = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')).count();
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
    match text[length..].strip_prefix(':') {
        Some(after) if begins && !after.starts_with(|c: char| c.is_ascii_digit()) => length + 1,
        _ => 0,
    }
}

fn parse_template(
    action: &Located,
    at: Range<usize>,
    pattern: Option<&Pattern>,
    place: Place,
    errors: &mut Vec<Diagnostic>,
) -> Option<Template> {
    let before = errors.len();
    let text = &action.text[at.clone()];
    let cut = text.find('#').unwrap_or(text.len());
    if cut < text.len() && place == Place::Upstream {
        errors.push(
            Diagnostic::error("a target has no fragment")
                .at(action.sub(at.start + cut..at.end), "never sent to a server")
                .help("leave it out"),
        );
        return None;
    }
    refuse_bytes(action, at.clone(), errors);
    let question = text[..cut].find('?');
    let path_end = question.unwrap_or(cut);
    let pieces = |range: Range<usize>, errors: &mut Vec<Diagnostic>| {
        parse_pieces(action, at.start + range.start..at.start + range.end, pattern, errors)
    };
    let path = pieces(0..path_end, errors);
    if place == Place::Upstream && text[..path_end].split('/').any(|s| s == "." || s == "..") {
        errors.push(
            Diagnostic::error("a target's path holds a dot segment")
                .at(action.sub(at.start..at.start + path_end), "a dot segment")
                .help("write the path it leads to"),
        );
    }
    let query = question.map(|q| pieces(q + 1..cut, errors));
    (errors.len() == before).then(|| Template { path, query, fragment: text[cut..].to_owned(), place })
}

/// Refuses what no URI holds.
fn refuse_bytes(action: &Located, at: Range<usize>, errors: &mut Vec<Diagnostic>) {
    let text = &action.text[at.clone()];
    let bytes = text.as_bytes();
    let bad = |i: usize| match bytes[i] {
        b'%' => escape(&bytes[i..]).is_none(),
        b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => true,
        byte => !(0x21..=0x7e).contains(&byte),
    };
    let Some(first) = (0..bytes.len()).find(|i| bad(*i)) else { return };
    let length = text[first..].chars().next().map_or(1, char::len_utf8);
    let place = action.sub(at.start + first..at.start + first + length);
    let error = Diagnostic::error("this is no URI").at(place, "not allowed here");
    errors.push(match bytes[first] {
        b'%' => error.help("a `%` is followed by two hexadecimal digits; the character itself is written `%25`"),
        b'{' | b'}' => error.help("a parameter is written `:name`; the character itself is percent-encoded"),
        _ => error.help(format!("write `{}`", encode_path(text))),
    });
}

fn parse_pieces(
    action: &Located,
    at: Range<usize>,
    pattern: Option<&Pattern>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Piece> {
    let text = &action.text[at.clone()];
    let mut pieces = Vec::new();
    let mut literal = 0;
    let mut i = 0;
    while i < text.len() {
        let hole = match text.as_bytes()[i] {
            b'*' => Some((Piece::Rest, 1)),
            b':' if !text[..i].ends_with(|c: char| c.is_ascii_alphanumeric()) => {
                param(action, at.start + i, &text[i + 1..], pattern, errors)
            }
            _ => None,
        };
        let Some((piece, length)) = hole else {
            i += 1;
            continue;
        };
        if piece == Piece::Rest && pattern.is_some_and(|p| !p.has_rest()) {
            errors.push(no_rest(action, at.start + i, pattern));
        }
        if literal < i {
            pieces.push(Piece::Text(text[literal..i].to_owned()));
        }
        pieces.push(piece);
        i += length;
        literal = i;
    }
    if literal < text.len() {
        pieces.push(Piece::Text(text[literal..].to_owned()));
    }
    pieces
}

fn no_rest(action: &Located, at: usize, pattern: Option<&Pattern>) -> Diagnostic {
    let error = Diagnostic::error("`*` has nothing to stand for: the head ends in neither `/` nor `/*`")
        .at(action.sub(at..at + 1), "nothing to fill in");
    match pattern.and_then(|p| p.params().last()) {
        Some((name, _)) => error.help(format!("write `:{name}`, or `%2A` for the character itself")),
        None => error.help("let the head end in `/*`, or write `%2A` for the character itself"),
    }
}

/// The parameter after a `:`: the longest declared name there. No name at all is plain text.
fn param(
    action: &Located,
    colon: usize,
    after: &str,
    pattern: Option<&Pattern>,
    errors: &mut Vec<Diagnostic>,
) -> Option<(Piece, usize)> {
    let length = name_length(after);
    let pattern = pattern?;
    if length == 0 {
        return None;
    }
    let ends_at = |end: usize| end == length || matches!(after.as_bytes()[end], b'-' | b'_');
    let declared = (1..=length).rev().filter(|end| ends_at(*end)).find_map(|end| {
        let found = pattern.params().find(|(name, _)| *name == &after[..end]);
        found.map(|(_, segment)| (Piece::Segment(segment), end + 1))
    });
    if declared.is_none() {
        let name = &after[..length];
        let error = Diagnostic::error(format!("the head declares no parameter `{name}`"))
            .at(action.sub(colon..colon + 1 + length), "not declared");
        let known: Vec<&str> = pattern.params().map(|(name, _)| name).collect();
        errors.push(match (nearest(name, known.iter().copied()), known.as_slice()) {
            (Some(near), _) => error.help(format!("did you mean `:{near}`?")),
            (None, [only]) => error.help(format!("the head declares `:{only}`")),
            (None, []) if pattern.segments.iter().any(|s| matches!(s, Segment::Literal(l) if l == name)) => {
                error.help(format!("write `/:{name}` in the head to make that segment a parameter"))
            }
            (None, _) => error.help("declare it in the head, or write `%3A` for the character itself"),
        });
    }
    declared
}
