//! Which second a date and time of the internet names (RFC 3339).

use crate::date;

/// Seconds since 1970 of `2026-11-21T12:00:00.5+01:00`, fractions cut off; `None` for what is no such time or before 1970.
pub(super) fn parse(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let (head, rest) = bytes.split_at_checked(19)?;
    let separated = head[4] == b'-' && head[7] == b'-' && head[13] == b':' && head[16] == b':';
    if !separated || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let days = date::days(number(&head[..4])?, number(&head[5..7])?, number(&head[8..10])?)?;
    let (hour, minute, second) = (number(&head[11..13])?, number(&head[14..16])?, number(&head[17..19])?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let local = days * 86_400 + u64::from(hour * 3600 + minute * 60 + second.min(59));
    let offset = match rest.split_first() {
        Some((b'.', fraction)) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            &fraction[digits..]
        }
        _ => rest,
    };
    match offset {
        b"Z" | b"z" => Some(local),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = u64::from(hours * 3600 + minutes * 60);
            if *sign == b'+' { local.checked_sub(seconds) } else { Some(local + seconds) }
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    crate::text::digits(digits).and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_rfc_3339_name_their_second() {
        for (text, unix) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2021-01-03T00:00:00Z", 1_609_632_000),
            ("2025-01-02T04:00:00.999Z", 1_735_790_400),
            ("2025-01-02t05:00:00+01:00", 1_735_790_400),
            ("2025-01-01 20:30:00.123456789-07:30", 1_735_790_400),
            ("2016-12-31T23:59:60Z", 1_483_228_799),
        ] {
            assert_eq!(parse(text), Some(unix), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2025-01-02",
            "2025-01-02T04:00:00",
            "2025-02-30T04:00:00Z",
            "2025-13-01T04:00:00Z",
            "2025-01-02T24:00:00Z",
            "2025-01-02T04:60:00Z",
            "2025-01-02T04:00:00.Z",
            "2025-01-02T04:00:00+1:00",
            "2025-01-02T04:00:00+24:00",
            "2025-01-02T04:00:00Zx",
            "1970-01-01T00:00:00+01:00",
            "202\u{e9}-01-02T04:00:00Z",
            "+025-01-02T04:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
