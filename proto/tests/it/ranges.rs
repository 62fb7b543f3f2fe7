//! Ranges: each line is a value, a length and what they come to; and a slice is what a naive slicer cuts.

use anygate_proto::range::{RangeOutcome, content_range, content_range_unsatisfiable, resolve};
use proptest::prelude::*;

fn part(start: u64, end: u64) -> RangeOutcome {
    RangeOutcome::Part { start, end }
}

#[test]
fn ranges_are_resolved_ignored_or_refused() {
    use RangeOutcome::{Full, Unsatisfiable};
    for (value, length, expected) in [
        ("bytes=0-0", 10, part(0, 1)),
        ("bytes=0-9", 10, part(0, 10)),
        ("bytes=2-5", 10, part(2, 6)),
        ("bytes=2-", 10, part(2, 10)),
        ("bytes=-3", 10, part(7, 10)),
        ("bytes=-30", 10, part(0, 10)),
        ("bytes=5-99", 10, part(5, 10)),
        ("BYTES=0-0", 10, part(0, 1)),
        ("bytes=9-", 10, part(9, 10)),
        ("bytes=10-", 10, Unsatisfiable),
        ("bytes=10-20", 10, Unsatisfiable),
        ("bytes=-0", 10, Unsatisfiable),
        ("bytes=0-", 0, Unsatisfiable),
        ("bytes=-1", 0, Unsatisfiable),
        ("bytes=0-18446744073709551615", 10, part(0, 10)),
        ("bytes=0-99999999999999999999999", 10, part(0, 10)),
        ("bytes=99999999999999999999999-", 10, Unsatisfiable),
        ("bytes=-99999999999999999999999", 10, part(0, 10)),
        ("bytes=18446744073709551614-", u64::MAX, part(u64::MAX - 1, u64::MAX)),
        ("bytes=5-2", 10, Full),
        ("bytes=", 10, Full),
        ("bytes=,", 10, Full),
        ("bytes=-", 10, Full),
        ("bytes=a-b", 10, Full),
        ("bytes=1", 10, Full),
        ("bytes=+1-2", 10, Full),
        ("bytes=1-2-3", 10, Full),
        ("bytes=1 - 2", 10, Full),
        ("bytes =1-2", 10, Full),
        ("bytes 1-2", 10, Full),
        ("items=1-2", 10, Full),
        ("byte", 10, Full),
        ("", 10, Full),
        ("bytes= 1-2 ", 10, part(1, 3)),
        // Several: one piece, or the whole.
        ("bytes=0-3,2-5", 10, part(0, 6)),
        ("bytes=0-3, 4-5", 10, part(0, 6)),
        ("bytes=4-5,0-3", 10, part(0, 6)),
        ("bytes=-3,0-6", 10, part(0, 10)),
        ("bytes=0-1,3-4", 10, Full),
        ("bytes=0-1,20-30", 10, part(0, 2)),
        ("bytes=20-30,0-1", 10, part(0, 2)),
        ("bytes=20-30,40-50", 10, Unsatisfiable),
        ("bytes=0-1,x", 10, Full),
        ("bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0", 10, part(0, 1)),
        ("bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0", 10, Full),
    ] {
        assert_eq!(resolve(value.as_bytes(), length), expected, "{value} of {length}");
    }
}

#[test]
fn content_range_counts_the_last_byte_in() {
    assert_eq!(content_range(0, 1, 10), "bytes 0-0/10");
    assert_eq!(content_range(2, 10, 10), "bytes 2-9/10");
    assert_eq!(content_range_unsatisfiable(10), "bytes */10");
}

proptest! {
    #[test]
    fn a_part_is_what_a_naive_slicer_cuts(first in prop::option::of(0usize..30), last in prop::option::of(0usize..30), length in 0usize..25) {
        prop_assume!(first.is_some() || last.is_some());
        let body: Vec<usize> = (0..length).collect();
        let text = |number: Option<usize>| number.map_or(String::new(), |number| number.to_string());
        let found = resolve(format!("bytes={}-{}", text(first), text(last)).as_bytes(), length as u64);
        let kept: Vec<usize> = match (first, last) {
            (Some(first), Some(last)) if last < first => {
                prop_assert_eq!(found, RangeOutcome::Full);
                return Ok(());
            }
            (Some(first), last) => body.iter().copied().filter(|at| *at >= first && last.is_none_or(|last| *at <= last)).collect(),
            (None, last) => body.iter().rev().take(last.unwrap_or(0)).rev().copied().collect(),
        };
        match found {
            RangeOutcome::Part { start, end } => prop_assert_eq!(&body[start as usize..end as usize], &kept[..]),
            RangeOutcome::Unsatisfiable => prop_assert!(kept.is_empty()),
            RangeOutcome::Full => prop_assert!(false, "it is well-formed"),
        }
    }

    #[test]
    fn no_value_makes_it_panic_and_a_part_lies_within(value in "bytes=([0-9]{0,22}-[0-9]{0,22},? ?){0,10}", other in "\\PC{0,12}", length: u64) {
        for value in [value, other] {
            if let RangeOutcome::Part { start, end } = resolve(value.as_bytes(), length) {
                prop_assert!(start < end && end <= length);
            }
        }
    }
}
