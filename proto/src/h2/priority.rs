//! Which of two answers goes first: urgency and whether it is of use in parts (RFC 9218 §4).

/// The priority of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Priority {
    /// 0, the most urgent, to 7.
    pub urgency: u8,
    /// Whether parts of the answer are of use before the rest: such answers share the connection.
    pub incremental: bool,
}

impl Default for Priority {
    fn default() -> Self {
        Self { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// Reads the value of a `priority` field, or of PRIORITY_UPDATE: a dictionary of structured fields (RFC 8941 §3.2)
    /// of which `u` and `i` count; the last of a repeated member counts, and a member of another type or out of range is
    /// as if it were not there. What cannot be read at all says nothing: the default.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let mut read = Self::default();
        let mut rest = trim_start(value);
        while !rest.is_empty() {
            let Some((key, after)) = key(rest) else { return Self::default() };
            let Some((item, after)) = item(after) else { return Self::default() };
            match (key, item) {
                (b"u", Item::Digits(digits)) => {
                    read.urgency = match crate::text::digits(digits) {
                        Some(urgency) if urgency <= 7 => urgency as u8,
                        _ => 3,
                    };
                }
                (b"u", _) => read.urgency = 3,
                (b"i", Item::Boolean(incremental)) => read.incremental = incremental,
                (b"i", _) => read.incremental = false,
                _ => {}
            }
            rest = trim_start(after);
            match rest {
                [] => break,
                [b',', after @ ..] => rest = trim_start(after),
                _ => return Self::default(),
            }
            // A comma at the end makes the whole unreadable.
            if rest.is_empty() {
                return Self::default();
            }
        }
        read
    }
}

/// The value of a member, as far as it matters here.
enum Item<'a> {
    Boolean(bool),
    Digits(&'a [u8]),
    Other,
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn split_where(bytes: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|&b| ends(b)).unwrap_or(bytes.len()))
}

/// A key (RFC 8941 §3.1.2), and what follows.
fn key(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *bytes.first()?;
    (first.is_ascii_lowercase() || first == b'*').then(|| {
        split_where(bytes, |b| {
            !(b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.' | b'*'))
        })
    })
}

/// A member's value with its parameters, and what follows. No value at all is true.
fn item(bytes: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let (item, mut rest) = match bytes {
        [b'=', value @ ..] => bare(value)?,
        _ => (Item::Boolean(true), bytes),
    };
    while let [b';', after @ ..] = rest {
        let (_, after) = key(trim_start(after))?;
        rest = match after {
            [b'=', value @ ..] => bare(value)?.1,
            _ => after,
        };
    }
    Some((item, rest))
}

/// A bare item, or an inner list without looking into it.
fn bare(bytes: &[u8]) -> Option<(Item<'_>, &[u8])> {
    match bytes {
        [b'?', b'0', rest @ ..] => Some((Item::Boolean(false), rest)),
        [b'?', b'1', rest @ ..] => Some((Item::Boolean(true), rest)),
        [b'0'..=b'9', ..] => {
            let (number, rest) = split_where(bytes, |b| !(b.is_ascii_digit() || b == b'.'));
            let digits = number.iter().all(u8::is_ascii_digit);
            Some((if digits { Item::Digits(number) } else { Item::Other }, rest))
        }
        [b'"', inner @ ..] => {
            let mut escaped = false;
            let end = inner.iter().position(|&b| {
                let ends = b == b'"' && !escaped;
                escaped = b == b'\\' && !escaped;
                ends
            })?;
            Some((Item::Other, inner.get(end + 1..)?))
        }
        [b'(', inner @ ..] => {
            let end = inner.iter().position(|&b| b == b')')?;
            Some((Item::Other, inner.get(end + 1..)?))
        }
        [first, ..] if !matches!(first, b',' | b';' | b' ' | b'\t') => {
            Some((Item::Other, split_where(bytes, |b| matches!(b, b',' | b';' | b' ' | b'\t')).1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> (u8, bool) {
        let Priority { urgency, incremental } = Priority::parse(value.as_bytes());
        (urgency, incremental)
    }

    #[test]
    fn urgency_and_incremental_are_read() {
        for (value, expected) in [
            ("", (3, false)),
            ("u=0", (0, false)),
            ("u=7, i", (7, true)),
            ("i", (3, true)),
            ("i=?1", (3, true)),
            ("i=?0", (3, false)),
            ("  u=5 ,\ti  ", (5, true)),
            ("u=1,u=2", (2, false)),
            ("a, u=4;x=1;y, b=\"c,u=1\", c=(1 2)", (4, false)),
            ("i;foo, u=6", (6, true)),
        ] {
            assert_eq!(parse(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_out_of_range_or_of_another_type_is_as_if_it_were_not_there() {
        for value in ["u=8", "u=-1", "u=1.5", "u", "u=\"1\"", "u=?1", "i=1", "i=x", "u=99999999999999999999"] {
            assert_eq!(parse(value), (3, false), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for value in ["u=1,", "u=1 i", "=", "U=1", "u=", "u=1,,i", "i=\"", "i=(", "u=1;", "u=2, \u{e9}"] {
            assert_eq!(parse(value), (3, false), "{value}");
        }
    }
}
