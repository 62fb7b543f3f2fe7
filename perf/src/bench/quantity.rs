//! How rates, durations and sizes are written: read from a command line, and shown to a person.

use std::time::Duration;

/// Reads requests a second: `500`, `20k`, `1.5M`.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn rate(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is no rate: write requests a second, such as `500`, `20k` or `1.5M`");
    let (number, unit) = split(text.strip_suffix("/s").unwrap_or(text));
    let factor = match unit {
        "" => 1.0,
        "k" | "K" => 1e3,
        "m" | "M" => 1e6,
        _ => return Err(wrong()),
    };
    let rate = number.parse::<f64>().map_err(|_| wrong())? * factor;
    if rate > 0.0 && rate <= 1e9 { Ok(rate) } else { Err(wrong()) }
}

/// Reads a time: `500ms`, `10s`, `1.5m`, `1m30s`, `1h`; a number alone is seconds. At most a day.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: write `500ms`, `10s`, `1m30s` or `1h`");
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, behind) = split(rest);
        let unit = &behind[..behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len())];
        let factor = match unit {
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "" if number.len() == text.len() => 1.0,
            _ => return Err(wrong()),
        };
        seconds += number.parse::<f64>().map_err(|_| wrong())? * factor;
        rest = &behind[unit.len()..];
    }
    if text.is_empty() || !(0.0..=86_400.0).contains(&seconds) {
        Err(wrong())
    } else {
        Ok(Duration::from_secs_f64(seconds))
    }
}

/// Reads a number of bytes: `512`, `4KiB`, `1MiB`, `1GB`. At most 1 TiB.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size: write `512`, `4KiB`, `1MiB` or `16MB`");
    let (number, unit) = split(text);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    bytes.filter(|&bytes| bytes <= 1 << 40).ok_or_else(wrong)
}

/// The number at the beginning, and what follows it.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()))
}

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.3 MB`.
pub(super) fn bytes(number: f64) -> String {
    scaled(number, 1000.0, &["B", "KB", "MB", "GB", "TB"])
}

/// `12.3 ms`, of microseconds.
pub(super) fn time(microseconds: f64) -> String {
    scaled(microseconds, 1000.0, &["µs", "ms", "s"])
}

/// Three digits and a unit.
fn scaled(mut number: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while number >= 999.5 && unit + 1 < units.len() {
        number /= step;
        unit += 1;
    }
    let decimals =
        if number >= 99.95 || (number.fract() == 0.0 && unit == 0) { 0 } else { 1 + usize::from(number < 9.995) };
    format!("{number:.decimals$} {}", units[unit])
}

/// `10 s`, `1.5 s`, `500 ms`.
pub(super) fn span(duration: Duration) -> String {
    let text = format!("{:.3}", duration.as_secs_f64());
    match duration.as_millis() {
        milliseconds @ 1..1000 => format!("{milliseconds} ms"),
        _ => format!("{} s", text.trim_end_matches('0').trim_end_matches('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_durations_and_sizes_are_read_as_people_write_them() {
        assert_eq!((rate("500"), rate("20k"), rate("1.5M/s")), (Ok(500.0), Ok(20_000.0), Ok(1_500_000.0)));
        for (text, milliseconds) in
            [("500ms", 500), ("10s", 10_000), ("1m30s", 90_000), ("1.5m", 90_000), ("1h", 3_600_000), ("7", 7000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!((size("512"), size("4KiB"), size("2MB"), size("0")), (Ok(512), Ok(4096), Ok(2_000_000), Ok(0)));
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_what_would_be() {
        for text in ["", "0", "-1", "k", "1.2.3", "20q", "inf", "1e400", "2000M"] {
            assert!(rate(text).is_err_and(|why| why.contains("20k")), "{text}");
        }
        for text in ["", "s", "10x", "1m30", "-5s", "25h", "1..5s", "10 s"] {
            assert!(duration(text).is_err_and(|why| why.contains("1m30s")), "{text}");
        }
        for text in ["", "1M", "1.5MiB", "KiB", "-1", "99999999999999999999", "2048GiB"] {
            assert!(size(text).is_err_and(|why| why.contains("1MiB")), "{text}");
        }
    }

    #[test]
    fn numbers_are_shown_in_three_digits_and_a_unit() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        let shown = [0.0, 7.25, 99.96, 999.4, 999.6, 12_345.0, 61e6, 7.2e9].map(time);
        assert_eq!(shown, ["0 µs", "7.25 µs", "100 µs", "999 µs", "1.00 ms", "12.3 ms", "61.0 s", "7200 s"]);
        assert_eq!([12.0, 1.5e6].map(bytes), ["12 B", "1.50 MB"]);
        assert_eq!(
            [500, 1500, 10_000, 0].map(|ms| span(Duration::from_millis(ms))),
            ["500 ms", "1.5 s", "10 s", "0 s"]
        );
    }
}
