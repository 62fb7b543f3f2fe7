//! Which duration, size, rate, word or number does a text stand for?

use std::time::Duration;

use crate::config::node::{Kind, Node, Scalar, Value};
use crate::config::report::Report;
use crate::diagnostic::{Diagnostic, Located, nearest};
use crate::limits;

/// Says what should stand here instead of what does.
pub(super) fn expected(node: &Node, what: &str) -> Diagnostic {
    let found = match &node.value {
        Value::Scalar(scalar) if scalar.kind != Kind::Date => quote(&scalar.text),
        _ => node.kind_name().to_owned(),
    };
    Diagnostic::error(format!("expected {what}, found {found}")).at(node.span, "")
}

/// A text of the file in a message: in backquotes, its first line, not too long.
pub(super) fn quote(text: &str) -> String {
    const LONGEST: usize = 60;
    let line = text.lines().next().unwrap_or("");
    let short: String = line.chars().take(LONGEST).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("`{short}{more}`")
}

/// A text; numbers and booleans count as they are written.
pub(super) fn text(node: &Node, report: &mut Report) -> Option<Located> {
    let located = node.located();
    if located.is_none() {
        report.push(expected(node, "a text"));
    }
    located
}

/// The value of a header field: visible ASCII, blanks inside, bytes above ASCII (RFC 9110 §5.5).
pub(super) fn field_value(node: &Node, report: &mut Report) -> Option<Located> {
    let located = text(node, report)?;
    let bad = located.text.char_indices().find(|(_, c)| c.is_ascii_control() && *c != '\t');
    if let Some((at, c)) = bad {
        let span = located.sub(at..at + c.len_utf8());
        report.push(Diagnostic::error("a header field cannot hold a control character").at(span, "this one"));
        return None;
    }
    if located.text.trim_matches([' ', '\t']) != located.text {
        report.push(Diagnostic::error("a header field neither begins nor ends with a blank").at(located.span, ""));
        return None;
    }
    Some(located)
}

/// `true` or `false`, nothing else.
pub(super) fn boolean(node: &Node, report: &mut Report) -> Option<bool> {
    let scalar = scalar(node, "`true` or `false`", report)?;
    let word = scalar.text.as_str();
    if matches!(scalar.kind, Kind::Bool | Kind::Loose) && matches!(word, "true" | "false") {
        return Some(word == "true");
    }
    let diagnostic = match word {
        "true" | "false" => Diagnostic::error(format!("expected a boolean, found the text `{word}`")).at(node.span, ""),
        _ => expected(node, "`true` or `false`"),
    };
    report.push(match word.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "1" | "true" => diagnostic.help("write `true`, without quotes"),
        "no" | "off" | "n" | "0" | "false" => diagnostic.help("write `false`, without quotes"),
        _ => diagnostic,
    });
    None
}

/// A whole number from `min` to `max`.
pub(super) fn count(node: &Node, min: u64, max: u64, report: &mut Report) -> Option<u64> {
    whole(node, min, max, None, report)
}

/// The same from 1 on, for a limit that cannot be lifted.
pub(super) fn bound(node: &Node, max: u64, report: &mut Report) -> Option<u64> {
    whole(node, 1, max, Some(format!("this limit always holds; the widest is {max}")), report)
}

/// `off` is what to say to one who wants no limit.
fn whole(node: &Node, min: u64, max: u64, off: Option<String>, report: &mut Report) -> Option<u64> {
    let what =
        if max == u64::MAX { "a whole number".to_owned() } else { format!("a whole number from {min} to {max}") };
    let scalar = scalar(node, &what, report)?;
    let digits = scalar.text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = scalar.text.split_at(digits);
    let number: Option<u64> = number.parse().ok();
    let fits = number.filter(|number| (min..=max).contains(number));
    let is_number = matches!(scalar.kind, Kind::Number | Kind::Loose);
    let off = off.filter(|_| matches!(&*scalar.text, "0" | "-1" | "off" | "none" | "false" | "unlimited"));
    let (found, help) = match (number, fits) {
        (_, Some(fits)) if rest.is_empty() && is_number => return Some(fits),
        (_, Some(fits)) if rest.is_empty() => {
            (format!("the text `{fits}`"), Some(format!("write `{fits}`, without quotes")))
        }
        (_, Some(fits)) if rest.starts_with("/s") => {
            (quote(&scalar.text), Some(format!("write the number alone: `{fits}`")))
        }
        (Some(number), None) if rest.is_empty() => (number.to_string(), off),
        _ => (quote(&scalar.text), off),
    };
    let diagnostic = Diagnostic::error(format!("expected {what}, found {found}")).at(node.span, "");
    report.push(match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    });
    None
}

/// The same; 0 stands for no limit.
pub(super) fn limit<T: TryFrom<u64>>(node: &Node, report: &mut Report) -> Option<Option<T>> {
    let number = count(node, 0, u64::from(u32::MAX), report)?;
    if number == 0 { Some(None) } else { T::try_from(number).ok().map(Some) }
}

/// A duration of at least a millisecond, at most [`limits::TIMEOUT`].
pub(super) fn timeout(node: &Node, report: &mut Report) -> Option<Duration> {
    let time = duration(node, limits::TIMEOUT, report)?;
    if time.is_zero() {
        report.push(
            Diagnostic::error("a timeout of 0 would never let anything happen")
                .at(node.span, "")
                .help("write a duration such as `30s`"),
        );
        return None;
    }
    Some(time)
}

/// The same; 0 and `off` stand for none.
pub(super) fn timeout_or_none(node: &Node, report: &mut Report) -> Option<Option<Duration>> {
    if matches!(&node.value, Value::Scalar(scalar) if scalar.text == "off") {
        return Some(None);
    }
    duration(node, limits::TIMEOUT, report).map(|time| (!time.is_zero()).then_some(time))
}

/// A duration of at most `max`, which is whole days.
pub(super) fn duration(node: &Node, max: Duration, report: &mut Report) -> Option<Duration> {
    const WHAT: &str = "a duration such as `250ms`, `5s`, `1m`, `2h`, `7d` or `1y`";
    let scalar = scalar(node, WHAT, report)?;
    let (number, unit) = number_and_unit(&scalar.text);
    let unit_ms: Option<u64> = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        "y" => Some(365 * 86_400_000),
        "" if number == Some(0) => Some(0),
        _ => None,
    };
    let (Some(number), Some(unit_ms)) = (number, unit_ms) else {
        let diagnostic = expected(node, WHAT);
        report.push(match (number, unit) {
            (Some(number), "") => diagnostic.help(format!("a duration has a unit: `{number}s` or `{number}ms`")),
            _ => diagnostic,
        });
        return None;
    };
    match number.checked_mul(unit_ms).map(Duration::from_millis).filter(|time| *time <= max) {
        Some(time) => Some(time),
        None => {
            let message = format!("a duration is at most {} days", max.as_secs() / 86_400);
            report.push(Diagnostic::error(message).at(node.span, "longer"));
            None
        }
    }
}

/// A size in bytes from `min` to `max`.
pub(super) fn size(node: &Node, min: usize, max: usize, report: &mut Report) -> Option<usize> {
    let bytes = bytes(node, "a size such as `512`, `4KiB`, `1MiB` or `16KB`", "", report)?;
    match usize::try_from(bytes).ok().filter(|bytes| (min..=max).contains(bytes)) {
        Some(bytes) => Some(bytes),
        None => {
            report.push(expected(node, &format!("a size from {} to {}", shown(min), shown(max))));
            None
        }
    }
}

/// The longest body; 0 for no limit.
pub(super) fn body_size(node: &Node, report: &mut Report) -> Option<Option<u64>> {
    let bytes = bytes(node, "a size such as `512KiB` or `16MiB`, or 0 for no limit", "", report)?;
    Some((bytes > 0).then_some(bytes))
}

/// Bytes a second; 0 for none.
pub(super) fn rate(node: &Node, report: &mut Report) -> Option<Option<u64>> {
    let bytes = bytes(node, "a rate such as `256B/s` or `1MiB/s`", "/s", report)?;
    Some((bytes > 0).then_some(bytes))
}

fn bytes(node: &Node, what: &str, suffix: &str, report: &mut Report) -> Option<u64> {
    let scalar = scalar(node, what, report)?;
    let (number, unit) = number_and_unit(&scalar.text);
    let factor: Option<u64> = match unit.strip_suffix(suffix).unwrap_or(if number == Some(0) { unit } else { "?" }) {
        "" if suffix.is_empty() || number == Some(0) => Some(1),
        "B" => Some(1),
        "KB" => Some(1000),
        "KiB" => Some(1 << 10),
        "MB" => Some(1_000_000),
        "MiB" => Some(1 << 20),
        "GB" => Some(1_000_000_000),
        "GiB" => Some(1 << 30),
        "TB" => Some(1_000_000_000_000),
        "TiB" => Some(1 << 40),
        _ => None,
    };
    let (Some(number), Some(factor)) = (number, factor) else {
        let diagnostic = expected(node, what);
        report.push(match (number, unit.chars().next().map(|c| c.to_ascii_uppercase())) {
            (Some(number), Some(letter @ ('K' | 'M' | 'G' | 'T'))) => diagnostic
                .help(format!("write `{number}{letter}iB{suffix}`: sizes know B, KB, KiB, MB, MiB, GB, GiB, TB, TiB")),
            _ => diagnostic,
        });
        return None;
    };
    let bytes = number.checked_mul(factor).filter(|bytes| *bytes <= i64::MAX as u64);
    if bytes.is_none() {
        report.push(Diagnostic::error("a size is at most 8 EiB").at(node.span, "larger"));
    }
    bytes
}

/// One of the words of a list.
pub(super) fn word<T: Copy>(node: &Node, words: &[(&str, T)], report: &mut Report) -> Option<T> {
    let names: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    let what = format!("one of {}", names.join(", "));
    let scalar = scalar(node, &what, report)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == scalar.text) {
        return Some(*value);
    }
    let diagnostic = expected(node, &what);
    let text = scalar.text.to_ascii_lowercase();
    let mut all = words.iter().map(|(word, _)| *word);
    let begun = |word: &&str| !text.is_empty() && (text.starts_with(word) || word.starts_with(&text));
    let meant = match text.as_str() {
        "true" | "yes" => all.clone().find(|word| *word == "on"),
        "false" | "no" => all.clone().find(|word| *word == "off"),
        _ => all.clone().find(begun),
    };
    report.push(match meant.or_else(|| nearest(&text, &mut all)) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic,
    });
    None
}

/// The scalar of a node, or an error that says `what` was expected.
fn scalar<'n>(node: &'n Node, what: &str, report: &mut Report) -> Option<&'n Scalar> {
    let scalar = node.as_scalar();
    if scalar.is_none() {
        report.push(expected(node, what));
    }
    scalar
}

/// `12KiB` is 12 and `KiB`; a blank may stand between.
fn number_and_unit(text: &str) -> (Option<u64>, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (text[..digits].parse().ok(), text[digits..].trim_start_matches(' '))
}

/// A size as a person would write it.
fn shown(bytes: usize) -> String {
    const UNITS: [(usize, &str); 2] = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}
