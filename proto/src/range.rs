//! Which part of a representation a `Range` asks for (RFC 9110 §14).

use crate::text;

/// What a `Range` comes to for a representation of known length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeOutcome {
    /// The whole, 200: no range, several, or a unit or syntax that is not known.
    Full,
    /// 206: the bytes from `start` to before `end`.
    Part {
        /// Offset of the first byte.
        start: u64,
        /// Offset of the byte after the last.
        end: u64,
    },
    /// 416, with `Content-Range: bytes */LENGTH`.
    Unsatisfiable,
}

/// Reads `bytes=a-b`, `a-` or `-n` against a length. Several ranges are joined when together they are one piece, else
/// ignored, as is everything that cannot be read: a server may ignore `Range` (RFC 9110 §14.2).
#[must_use]
pub fn resolve(value: &[u8], length: u64) -> RangeOutcome {
    let Some(set) = value.get(..6).filter(|unit| unit.eq_ignore_ascii_case(b"bytes=")).map(|_| &value[6..]) else {
        return RangeOutcome::Full;
    };
    let mut specs = set.split(|&b| b == b',').map(text::trim).filter(|spec| !spec.is_empty());
    let Some(first) = specs.next() else {
        return RangeOutcome::Full;
    };
    let mut joined = match one(first, length) {
        None => return RangeOutcome::Full,
        Some(part) => part,
    };
    for spec in specs.by_ref().take(MAX_RANGES) {
        joined = match (joined, one(spec, length)) {
            (_, None) => return RangeOutcome::Full,
            (left, Some(None)) => left,
            (None, Some(right)) => right,
            // Overlapping or touching: one piece. Apart: the whole is sent instead.
            (Some((start, end)), Some(Some((from, to)))) if from <= end && start <= to => {
                Some((start.min(from), end.max(to)))
            }
            (Some(_), Some(Some(_))) => return RangeOutcome::Full,
        };
    }
    if specs.next().is_some() {
        return RangeOutcome::Full;
    }
    match joined {
        Some((start, end)) => RangeOutcome::Part { start, end },
        None => RangeOutcome::Unsatisfiable,
    }
}

/// Ranges beyond the first that are looked at.
const MAX_RANGES: usize = 7;

/// `None`: malformed. `Some(None)`: nothing of it lies within the length.
fn one(spec: &[u8], length: u64) -> Option<Option<(u64, u64)>> {
    let dash = spec.iter().position(|&b| b == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if first.is_empty() {
        let suffix = number(last)?;
        let start = length - suffix.min(length);
        return Some((start < length).then_some((start, length)));
    }
    let start = number(first)?;
    let end = if last.is_empty() {
        length
    } else {
        let last = number(last)?;
        if last < start {
            return None;
        }
        last.saturating_add(1).min(length)
    };
    Some((start < length).then_some((start, end)))
}

/// Digits; what is beyond 2^64-1 counts as that.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text::digits(digits).unwrap_or(u64::MAX))
}

/// The value of `Content-Range` for a part: `bytes 0-99/1000`. `end` is the offset after the last byte.
#[must_use]
pub fn content_range(start: u64, end: u64, length: u64) -> String {
    format!("bytes {start}-{}/{length}", end.saturating_sub(1))
}

/// The value of `Content-Range` in a 416: `bytes */1000`.
#[must_use]
pub fn content_range_unsatisfiable(length: u64) -> String {
    format!("bytes */{length}")
}
