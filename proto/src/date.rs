//! How a moment is written in HTTP, and which moment a date names (RFC 9110 §5.6.7).

/// Bytes of an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const LEN: usize = 29;

/// What stands where a date will be written.
pub const PLACEHOLDER: &[u8; LEN] = b"Thu, 01 Jan 1970 00:00:00 GMT";

const DAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
const LONG_DAYS: [&[u8]; 7] = [b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday", b"Sunday"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// The last second of the year 9999, the last one that four digits can write.
pub const MAX: u64 = 253_402_300_799;

/// Writes `unix`, in seconds since 1970, as an IMF-fixdate. What is beyond [`MAX`] is written as [`MAX`].
pub fn write(unix: u64, out: &mut [u8; LEN]) {
    let unix = unix.min(MAX);
    let days = unix / 86_400;
    let second = (unix % 86_400) as u32;
    let (year, month, day) = civil(days);
    out.copy_from_slice(PLACEHOLDER);
    // 1 January 1970 was a Thursday.
    out[..3].copy_from_slice(DAYS[((days + 3) % 7) as usize]);
    two(&mut out[5..7], day);
    out[8..11].copy_from_slice(MONTHS[month as usize - 1]);
    two(&mut out[12..14], year / 100);
    two(&mut out[14..16], year % 100);
    two(&mut out[17..19], second / 3600);
    two(&mut out[20..22], second / 60 % 60);
    two(&mut out[23..25], second % 60);
}

/// [`write()`] into an array of its own.
#[must_use]
pub fn format(unix: u64) -> [u8; LEN] {
    let mut out = [0; LEN];
    write(unix, &mut out);
    out
}

/// The second since 1970 that `value` names, in any of the three forms RFC 9110 asks a recipient to read; `None` when it
/// is no valid date, or one before 1970. `now` settles the century of RFC 850's two-digit year.
#[must_use]
pub fn parse(value: &[u8], now: u64) -> Option<u64> {
    let comma = value.iter().position(|&b| b == b',');
    match comma {
        Some(3) => imf(value),
        Some(at) => rfc850(&value[..at], value.get(at + 1..)?, now),
        None => asctime(value),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf(value: &[u8]) -> Option<u64> {
    let fits = value.len() == LEN && [4, 7, 11, 16].iter().all(|&at| value[at] == b' ') && &value[25..] == b" GMT";
    if !fits {
        return None;
    }
    let days = days(number(&value[12..16])?, month(&value[8..11])?, number(&value[5..7])?)?;
    index(&DAYS.map(|name| &name[..]), &value[..3])?;
    Some(days * 86_400 + time(&value[17..25])?)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(day_name: &[u8], rest: &[u8], now: u64) -> Option<u64> {
    index(&LONG_DAYS, day_name)?;
    let fits = rest.len() == 23
        && rest[0] == b' '
        && rest[3] == b'-'
        && rest[7] == b'-'
        && rest[10] == b' '
        && &rest[19..] == b" GMT";
    if !fits {
        return None;
    }
    let (month, day, second) = (month(&rest[4..7])?, number(&rest[1..3])?, time(&rest[11..19])?);
    let (this_year, ..) = civil(now.min(MAX) / 86_400);
    let mut year = this_year / 100 * 100 + number(&rest[8..10])?;
    // More than 50 years ahead means the most recent year in the past that ends so.
    if year > this_year + 50 {
        year -= 100;
    }
    Some(days(year, month, day)? * 86_400 + second)
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<u64> {
    let fits = value.len() == 24 && value[3] == b' ' && value[7] == b' ' && value[10] == b' ' && value[19] == b' ';
    if !fits {
        return None;
    }
    index(&DAYS.map(|name| &name[..]), &value[..3])?;
    let day = match &value[8..10] {
        [b' ', digit] => number(&[*digit])?,
        both => number(both)?,
    };
    Some(days(number(&value[20..24])?, month(&value[4..7])?, day)? * 86_400 + time(&value[11..19])?)
}

fn two(out: &mut [u8], number: u32) {
    out[0] = b'0' + (number / 10 % 10) as u8;
    out[1] = b'0' + (number % 10) as u8;
}

fn number(digits: &[u8]) -> Option<u32> {
    crate::text::digits(digits).and_then(|number| u32::try_from(number).ok())
}

fn index(names: &[&[u8]], name: &[u8]) -> Option<usize> {
    names.iter().position(|&one| one == name)
}

fn month(name: &[u8]) -> Option<u32> {
    MONTHS.iter().position(|&one| one == name).map(|at| at as u32 + 1)
}

/// Seconds of `08:49:37`; a leap second counts as the one before it.
fn time(value: &[u8]) -> Option<u64> {
    if value[2] != b':' || value[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (number(&value[..2])?, number(&value[3..5])?, number(&value[6..8])?);
    (hour < 24 && minute < 60 && second <= 60).then(|| u64::from(hour * 3600 + minute * 60 + second.min(59)))
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` before 1970 or when there is no such month or day.
pub(crate) fn days(year: u32, month: u32, day: u32) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) {
        return None;
    }
    let before = u64::from(year - 1);
    let years = before * 365 + before / 4 - before / 100 + before / 400;
    let months: u32 = (1..month).map(|month| days_in(year, month)).sum();
    // 719,162 days lie before 1970.
    Some(years + u64::from(months) + u64::from(day) - 1 - 719_162)
}

/// Year, month and day of a day since 1970: eras of 400 years, years that begin in March so that the leap day is last.
#[must_use]
pub fn civil(days: u64) -> (u32, u32, u32) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year as u32, month as u32, day as u32)
}
