//! What path does a request mean: its normal form for matching, and the form that is forwarded?

use std::fmt;

/// Why a request's path gets `400`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPath {
    /// It does not begin with `/`.
    NotAbsolute,
    /// A `..` climbs above the root.
    LeavesRoot,
    /// It holds `%00`.
    EncodedNul,
    /// A `\`, or a byte below 0x21 or above 0x7e, that is not percent-encoded.
    RawByte(u8),
    /// A `%` without two hexadecimal digits.
    BadEscape,
    /// It holds `%2F` or `%5C`, and the decoded path belongs elsewhere.
    Ambiguous,
}

/// The buffers that matching writes to: owned by the shard, used again for every request.
///
/// A path that is normal already, as nearly all are, is not copied.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The path for matching.
    matching: Vec<u8>,
    /// The path as it came, with dot segments resolved and slashes merged.
    forward: Vec<u8>,
    /// The path for matching with `%2F` and `%5C` decoded.
    decoded: Vec<u8>,
    /// False when the request's path is normal as it stands.
    copied: bool,
}

/// What normalising found out beside the path itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Normal {
    /// True if the path holds `%2F` or `%5C`.
    pub(crate) encoded_slash: bool,
}

/// What decoding `%2F` and `%5C` made of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// True if a dot segment came to light.
    pub(crate) dots: bool,
}

const ROOT: &[u8] = b"/";

impl Scratch {
    /// Empty buffers; they grow to the longest path that needed them and stay.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The path to forward, after a lookup of `raw`: as it came, dot segments resolved, slashes merged.
    #[must_use]
    pub fn forward_path<'a>(&'a self, raw: &'a [u8]) -> &'a [u8] {
        if self.copied { &self.forward } else { or_root(raw) }
    }

    /// The path in matching form, after a lookup of `raw`.
    #[must_use]
    pub fn matching_path<'a>(&'a self, raw: &'a [u8]) -> &'a [u8] {
        if self.copied { &self.matching } else { or_root(raw) }
    }

    /// The path in matching form with `%2F` and `%5C` decoded, after [`Scratch::decode_slashes`].
    pub(crate) fn decoded_path(&self) -> &[u8] {
        &self.decoded
    }

    /// Brings a path into both forms. An empty one is the root (RFC 9110 §4.2.3).
    pub(crate) fn normalise(&mut self, raw: &[u8], merge_slashes: bool) -> Result<Normal, BadPath> {
        self.copied = false;
        if is_normal(raw, merge_slashes) {
            return Ok(Normal { encoded_slash: false });
        }
        self.copied = true;
        self.matching.clear();
        self.forward.clear();
        let path = raw.strip_prefix(ROOT).ok_or(BadPath::NotAbsolute)?;
        let mut encoded_slash = false;
        let mut segments = path.split(|b| *b == b'/').peekable();
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            if segment.is_empty() && !last && merge_slashes {
                continue;
            }
            let before = self.matching.len();
            self.matching.push(b'/');
            encoded_slash |= unify(segment, &mut self.matching)?;
            match &self.matching[before + 1..] {
                b"." => {
                    self.matching.truncate(before);
                    self.end_in_slash(last);
                }
                b".." => {
                    self.matching.truncate(before);
                    pop(&mut self.matching)?;
                    pop(&mut self.forward)?;
                    self.end_in_slash(last);
                }
                _ => {
                    self.forward.push(b'/');
                    self.forward.extend_from_slice(segment);
                }
            }
        }
        Ok(Normal { encoded_slash })
    }

    fn end_in_slash(&mut self, last: bool) {
        if last {
            self.matching.push(b'/');
            self.forward.push(b'/');
        }
    }

    /// Decodes `%2F` and `%5C` of a normalised path, both as a slash, because that is how a backend that decodes
    /// them understands them, and resolves what comes to light.
    pub(crate) fn decode_slashes(&mut self, merge_slashes: bool) -> Result<Decoded, BadPath> {
        self.decoded.clear();
        let mut dots = false;
        let mut rest = self.matching.get(1..).unwrap_or_default();
        loop {
            let (len, skip) = next_slash(rest);
            let last = skip == 0;
            let segment = &rest[..len];
            match segment {
                b"" if !last && merge_slashes => {}
                b"." | b".." => {
                    dots = true;
                    if segment == b".." {
                        pop(&mut self.decoded)?;
                    }
                    if last {
                        self.decoded.push(b'/');
                    }
                }
                _ => {
                    self.decoded.push(b'/');
                    self.decoded.extend_from_slice(segment);
                }
            }
            if last {
                return Ok(Decoded { dots });
            }
            rest = &rest[len + skip..];
        }
    }
}

impl BadPath {
    /// What is wrong, for a log line: one clause in lower case.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            BadPath::NotAbsolute => "the path does not begin with `/`",
            BadPath::LeavesRoot => "a dot segment leaves the root",
            BadPath::EncodedNul => "the path holds an encoded NUL",
            BadPath::RawByte(_) => "the path holds a byte that must be percent-encoded",
            BadPath::BadEscape => "a `%` in the path is not followed by two hexadecimal digits",
            BadPath::Ambiguous => "the path means another rule once its encoded slashes are decoded",
        }
    }
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for BadPath {}

/// Appends a segment in matching form: unreserved bytes decoded, hexadecimal digits upper-case.
/// Tells whether it holds an encoded slash or backslash.
pub(crate) fn unify(segment: &[u8], out: &mut Vec<u8>) -> Result<bool, BadPath> {
    let mut encoded_slash = false;
    let mut at = 0;
    while let Some(byte) = segment.get(at).copied() {
        if byte != b'%' {
            if !is_path_byte(byte) {
                return Err(BadPath::RawByte(byte));
            }
            out.push(byte);
            at += 1;
            continue;
        }
        let decoded = escape(&segment[at..]).ok_or(BadPath::BadEscape)?;
        match decoded {
            0 => return Err(BadPath::EncodedNul),
            b'/' | b'\\' => encoded_slash = true,
            _ => {}
        }
        if is_unreserved(decoded) {
            out.push(decoded);
        } else {
            out.extend_from_slice(&encoded(decoded));
        }
        at += 3;
    }
    Ok(encoded_slash)
}

/// The byte that `%xy` at the start of `text` stands for.
pub(crate) fn escape(text: &[u8]) -> Option<u8> {
    match text {
        [b'%', high, low, ..] => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    }
}

/// A byte as `%XY`.
pub(crate) fn encoded(byte: u8) -> [u8; 3] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// True for the bytes that mean the same encoded and plain (RFC 3986 §2.3).
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// True for the bytes a path may hold unencoded.
pub(crate) fn is_path_byte(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && byte != b'\\'
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn or_root(raw: &[u8]) -> &[u8] {
    if raw.is_empty() { ROOT } else { raw }
}

/// One look at each byte: true if normalising would change nothing. It may be wrong for an odd path, never for one
/// that would change: anything with `%`, or a segment that begins with `.`, is looked at again.
fn is_normal(raw: &[u8], merge_slashes: bool) -> bool {
    let mut previous = b'/';
    let Some((first, rest)) = raw.split_first() else { return true };
    if *first != b'/' {
        return false;
    }
    for byte in rest.iter().copied() {
        let odd = match byte {
            b'/' => merge_slashes && previous == b'/',
            b'.' => previous == b'/',
            b'%' | b'\\' => true,
            other => !(0x21..=0x7e).contains(&other),
        };
        if odd {
            return false;
        }
        previous = byte;
    }
    true
}

/// Takes the last segment off a path that is a sequence of `/segment`.
fn pop(path: &mut Vec<u8>) -> Result<(), BadPath> {
    let slash = path.iter().rposition(|b| *b == b'/').ok_or(BadPath::LeavesRoot)?;
    path.truncate(slash);
    Ok(())
}

/// Where the next slash is, plain or encoded, and how many bytes it takes: 1, 3, or 0 at the end.
fn next_slash(text: &[u8]) -> (usize, usize) {
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'/' => return (at, 1),
            b'%' if matches!(escape(&text[at..]), Some(b'/' | b'\\')) => return (at, 3),
            _ => {}
        }
    }
    (text.len(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(raw: &str, merge_slashes: bool) -> Result<(String, String), BadPath> {
        let mut scratch = Scratch::new();
        scratch.normalise(raw.as_bytes(), merge_slashes)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((text(scratch.matching_path(raw.as_bytes())), text(scratch.forward_path(raw.as_bytes()))))
    }

    #[test]
    fn matching_form_and_forward_form_differ_in_escapes_only() {
        for (raw, matching, forward) in [
            ("/", "/", "/"),
            ("", "/", "/"),
            ("/a/b", "/a/b", "/a/b"),
            ("/a/./b", "/a/b", "/a/b"),
            ("/a/../b/", "/b/", "/b/"),
            ("/a/..", "/", "/"),
            ("/a/b/..", "/a/", "/a/"),
            ("/a/.", "/a/", "/a/"),
            ("/a/%2e%2E/b", "/b", "/b"),
            ("//a///b//", "/a/b/", "/a/b/"),
            ("/a//../b", "/b", "/b"),
            ("/%41%7e%c3%a9", "/A~%C3%A9", "/%41%7e%c3%a9"),
            ("/.well-known/x", "/.well-known/x", "/.well-known/x"),
            ("/...", "/...", "/..."),
            ("/a%2fb", "/a%2Fb", "/a%2fb"),
            ("/%252F", "/%252F", "/%252F"),
        ] {
            assert_eq!(both(raw, true), Ok((matching.into(), forward.into())), "{raw}");
        }
    }

    #[test]
    fn repeated_slashes_stay_where_they_are_kept() {
        for (raw, form) in [("//a//b", "//a//b"), ("/a//../b", "/a/b"), ("//..", "/"), ("//", "//"), ("/a/.//", "/a//")]
        {
            assert_eq!(both(raw, false), Ok((form.into(), form.into())), "{raw}");
        }
    }

    #[test]
    fn what_is_no_path_says_why() {
        for (raw, bad) in [
            ("a", BadPath::NotAbsolute),
            ("*", BadPath::NotAbsolute),
            ("/..", BadPath::LeavesRoot),
            ("/a/../../b", BadPath::LeavesRoot),
            ("//..", BadPath::LeavesRoot),
            ("/%2e./", BadPath::LeavesRoot),
            ("/a%00", BadPath::EncodedNul),
            ("/a\\b", BadPath::RawByte(b'\\')),
            ("/a b", BadPath::RawByte(b' ')),
            ("/\u{7f}", BadPath::RawByte(0x7f)),
            ("/\u{e9}", BadPath::RawByte(0xc3)),
            ("/%", BadPath::BadEscape),
            ("/%4", BadPath::BadEscape),
            ("/%g0", BadPath::BadEscape),
            ("/%/1", BadPath::BadEscape),
        ] {
            assert_eq!(both(raw, true), Err(bad), "{raw}");
        }
    }

    #[test]
    fn decoding_slashes_resolves_what_comes_to_light() {
        for (raw, decoded, dots) in [
            ("/a%2Fb", "/a/b", false),
            ("/a%5cb", "/a/b", false),
            ("/a/..%2f", "/", true),
            ("/a/x%2F..%2Fb", "/a/b", true),
            ("/a%2F", "/a/", false),
            ("/a%2F%2Fb", "/a/b", false),
            ("/a%2F.", "/a/", true),
        ] {
            let mut scratch = Scratch::new();
            assert!(scratch.normalise(raw.as_bytes(), true).expect("a path").encoded_slash, "{raw}");
            let found = scratch.decode_slashes(true).expect("a path");
            assert_eq!(String::from_utf8_lossy(scratch.decoded_path()), decoded, "{raw}");
            assert_eq!(found.dots, dots, "{raw}");
        }
        let mut scratch = Scratch::new();
        scratch.normalise(b"/a/..%2F..%2F..", true).expect("a path");
        assert_eq!(scratch.decode_slashes(true), Err(BadPath::LeavesRoot));
    }
}
