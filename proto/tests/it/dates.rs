//! Dates: what is written, and what is read of the three forms.

use anygate_proto::date::{self, format, parse};
use proptest::prelude::*;
use std::hint::black_box;

const NOW: u64 = 1_763_690_000; // November 2025

#[test]
fn dates_are_written_as_imf_fixdate() {
    for (unix, expected) in [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (date::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        assert_eq!(String::from_utf8_lossy(&format(unix)), expected);
    }
}

#[test]
fn all_three_forms_are_read_and_nothing_else_is() {
    let moment = Some(784_111_777);
    for (value, expected) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", moment),
        ("Sunday, 06-Nov-94 08:49:37 GMT", moment),
        ("Sun Nov  6 08:49:37 1994", moment),
        ("Sun Nov 06 08:49:37 1994", moment),
        ("Sat Nov 26 08:49:37 1994", Some(785_839_777)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("Wed, 31 Dec 1969 23:59:59 GMT", None),
        ("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800)),
        ("Tue, 29 Feb 2023 00:00:00 GMT", None),
        ("Sun, 31 Apr 1994 08:49:37 GMT", None),
        ("Sun, 00 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 24:00:00 GMT", None),
        ("Sun, 06 Nov 1994 08:60:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:60 GMT", Some(784_111_799)),
        ("Sun, 06 Nov 1994 08:49:61 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 UTC", None),
        ("Sun, 06 Nov 1994 08:49:37 +00", None),
        ("Sun, 6 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 nov 1994 08:49:37 GMT", None),
        ("Xxx, 06 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT ", None),
        ("Sun, +6 Nov 1994 08:49:37 GMT", None),
        ("784111777", None),
        ("0", None),
        ("", None),
        (",", None),
        ("Sun,", None),
        ("Sunday,", None),
    ] {
        assert_eq!(parse(value.as_bytes(), NOW), expected, "{value}");
    }
}

#[test]
fn a_year_of_two_digits_lies_at_most_fifty_years_ahead() {
    let year = |two: &str, now| {
        let at = parse(format!("Sunday, 06-Nov-{two} 08:49:37 GMT").as_bytes(), now)?;
        Some(String::from_utf8_lossy(&format(at)[12..16]).into_owned())
    };
    for (two, expected) in [("94", "1994"), ("25", "2025"), ("75", "2075"), ("76", "1976"), ("00", "2000")] {
        assert_eq!(year(two, NOW).as_deref(), Some(expected), "{two}");
    }
    // Before 1970 there is no second to name.
    assert_eq!(year("60", 0), None);
    assert_eq!(year("00", u64::MAX).as_deref(), Some("9900"));
}

/// Year, month and day by counting days one by one.
fn naive_days() -> impl Iterator<Item = (u32, u32, u32)> {
    let leap = |year: u32| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let lengths = move |year| [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    (1970..2410).flat_map(move |year| {
        lengths(year).into_iter().zip(1..).flat_map(move |(days, month)| (1..=days).map(move |day| (year, month, day)))
    })
}

#[test]
fn every_day_of_four_centuries_is_the_day_a_calendar_says() {
    for ((year, month, day), at) in naive_days().zip(0u64..) {
        let text = format(at * 86_400);
        let number = |range: std::ops::Range<usize>| std::str::from_utf8(&text[range]).ok()?.parse::<u32>().ok();
        let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        assert_eq!((number(12..16), number(5..7)), (Some(year), Some(day)));
        assert_eq!(&text[8..11], names[month as usize - 1].as_bytes());
        assert_eq!(parse(&text, NOW), Some(at * 86_400));
    }
}

proptest! {
    #[test]
    fn a_date_goes_round(unix in 0..=date::MAX) {
        prop_assert_eq!(parse(&format(unix), NOW), Some(unix));
    }

    #[test]
    fn no_bytes_make_it_panic(
        value in "(Sun|Sunday|, ?|,|06|[ -]Nov[ -]|1994|94| |08:49:37|:| GMT|[0-9]{2}|\u{e9}){0,12}",
        bytes in prop::collection::vec(any::<u8>(), 20..34),
        now: u64,
    ) {
        black_box((parse(value.as_bytes(), now), parse(&bytes, now)));
    }
}
