//! Which name on disk does a request's path mean, if it may mean one at all?

/// Longest name that is looked for, in bytes; the kernel takes no longer one (`PATH_MAX`).
const LONGEST: usize = 4095;

/// The directory whose files are never hidden (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// Takes the percent-encoding off a path below a served directory; `buffer` is used where there is any.
///
/// The result is relative, without `.`, `..` and empty segments; it is empty for the directory itself and ends in `/`
/// where the path does. `None` when nothing on disk can be meant: an encoded slash or NUL, a segment that is no name, a
/// hidden name where `hidden` does not allow them.
pub(super) fn on_disk<'a>(tail: &'a [u8], hidden: bool, buffer: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let name = if tail.contains(&b'%') {
        decode(tail, buffer)?;
        &buffer[..]
    } else {
        tail
    };
    is_served(name, hidden).then_some(name)
}

/// The same where a copy does no harm.
pub(super) fn owned(tail: &[u8], hidden: bool) -> Option<Vec<u8>> {
    let mut buffer = Vec::new();
    on_disk(tail, hidden, &mut buffer).map(<[u8]>::to_vec)
}

/// The last segment's extension, when it has one: what follows its last dot, unless that is its first or last byte.
pub(super) fn extension(name: &[u8]) -> Option<&[u8]> {
    let last = last_segment(name);
    let dot = last.iter().rposition(|&b| b == b'.')?;
    (dot > 0 && dot + 1 < last.len()).then(|| &last[dot + 1..])
}

/// What follows the last slash.
pub(super) fn last_segment(name: &[u8]) -> &[u8] {
    name.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

fn decode(tail: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    let mut rest = tail;
    while let [first, after @ ..] = rest {
        if *first != b'%' {
            out.push(*first);
            rest = after;
            continue;
        }
        let [high, low, after @ ..] = after else { return None };
        let byte = (hex(*high)? << 4) | hex(*low)?;
        if matches!(byte, b'/' | 0) {
            return None;
        }
        out.push(byte);
        rest = after;
    }
    Some(())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn is_served(name: &[u8], hidden: bool) -> bool {
    if name.is_empty() {
        return true;
    }
    if name.len() > LONGEST {
        return false;
    }
    let inner = name.strip_suffix(b"/").unwrap_or(name);
    inner.split(|&b| b == b'/').all(|segment| match segment {
        b"" | b"." | b".." => false,
        [b'.', ..] => hidden || segment == WELL_KNOWN,
        _ => !segment.contains(&0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn display(name: &[u8]) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(name)
    }

    fn name(tail: &str) -> Option<String> {
        owned(tail.as_bytes(), false).map(|name| display(&name).into_owned())
    }

    #[test]
    fn a_path_is_decoded_once() {
        assert_eq!(name("").as_deref(), Some(""));
        assert_eq!(name("a/b.js").as_deref(), Some("a/b.js"));
        assert_eq!(name("a%20b/%c3%a4").as_deref(), Some("a b/ä"));
        assert_eq!(name("%2541").as_deref(), Some("%41"));
        assert_eq!(name("sub/").as_deref(), Some("sub/"));
        assert_eq!(name("a%5Cb").as_deref(), Some("a\\b"));
    }

    #[test]
    fn what_no_file_can_be_called_is_nothing() {
        for tail in
            ["a%2Fb", "%2f", "a%00", "a%", "a%4", "a%zz", "/", "/a", "a//b", "a//", "..", "a/../b", "%2e%2e/a", "."]
        {
            assert_eq!(name(tail), None, "{tail}");
        }
        assert_eq!(name(&"a".repeat(LONGEST + 1)), None);
    }

    #[test]
    fn a_hidden_name_is_nothing_unless_it_is_well_known_or_allowed() {
        for tail in [".git/config", "a/.env", "%2eenv", ".well-known/.x", ".well-knownx"] {
            assert_eq!(name(tail), None, "{tail}");
            assert!(owned(tail.as_bytes(), true).is_some(), "{tail}");
        }
        assert!(name(".well-known/acme-challenge/x").is_some());
    }

    #[test]
    fn an_extension_is_what_follows_the_last_dot_of_the_last_segment() {
        assert_eq!(extension(b"a/b.tar.gz"), Some(&b"gz"[..]));
        for without in [&b"a.d/b"[..], b"a", b".env", b"a.", b"", b"a.b/"] {
            assert_eq!(extension(without), None, "{}", display(without));
        }
    }
}
