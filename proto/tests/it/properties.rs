//! What is written is read back in whatever pieces it comes, several ranges are what a naive slicer cuts, and a head
//! that went through one gate goes through the next unchanged.

use std::collections::BTreeSet;

use anygate_proto::h1::forward::{Edits, ForwardBack, ForwardTo, HostRule, forward_request, forward_response};
use anygate_proto::h1::request::parse_request;
use anygate_proto::h1::response::{Asked, parse_response};
use anygate_proto::h1::sink::Copied;
use anygate_proto::h1::write::Persistence;
use anygate_proto::range::{RangeOutcome, resolve};
use anygate_proto::{BodyLength, Fields, Limits, Parsed, Scheme, Version};
use proptest::prelude::*;

use super::{near, request};

/// Fields that mean nothing to anybody, with values of every kind that may be sent.
fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    let value = prop_oneof![Just(String::new()), "[!-~]{1,12}", "[!-~][ \t!-~é]{0,16}[!-~]"];
    prop::collection::vec(("X-[A-Za-z0-9!#$%&'*+.^`|~-]{1,9}", value), 0..6)
}

fn lines(fields: &[(String, String)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// How a body is framed, and the line that says so.
fn framing() -> impl Strategy<Value = (String, Option<u64>, bool)> {
    prop_oneof![
        Just((String::new(), None, false)),
        any::<u64>().prop_map(|length| (format!("Content-Length: {length}\r\n"), Some(length), false)),
        Just(("Transfer-Encoding: chunked\r\n".to_owned(), None, true)),
    ]
}

#[test]
fn a_long_method_is_refused_in_whatever_pieces_it_comes() {
    let limits = Limits { max_uri: 24, ..Limits::default() };
    let whole = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(89));
    let status = |piece: &str| match parse_request(piece.as_bytes(), &limits, &mut Fields::new()) {
        Err(reject) => Some(reject.status),
        _ => None,
    };
    assert_eq!(status(&whole[..88]), None);
    for piece in 89..=whole.len() {
        assert_eq!(status(&whole[..piece]), Some(414), "{piece}");
    }
    assert_eq!(status(&whole[1..]), None);
}

proptest! {
    #[test]
    fn a_request_head_is_read_back_and_no_shorter_piece_is_one(
        method in "[A-Z!#$%&'*+.^_`|~-]{1,9}",
        target in "/[!-\"$-~]{0,20}",
        host in "[a-z0-9.-]{1,12}(:[0-9]{1,4})?",
        fields in fields(),
        (line, length, chunked) in framing(),
        body in "[ -~]{0,8}",
    ) {
        prop_assume!(method != "CONNECT");
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{}{line}\r\n", lines(&fields));
        let raw = format!("{head}{body}").into_bytes();
        let (limits, mut found) = (Limits::default(), Fields::new());
        for piece in 0..head.len() {
            prop_assert_eq!(parse_request(&raw[..piece], &limits, &mut found), Ok(Parsed::Partial));
        }
        for piece in head.len()..=raw.len() {
            let Ok(Parsed::Complete(read)) = parse_request(&raw[..piece], &limits, &mut found) else {
                return Err(TestCaseError::fail(format!("{head:?} is refused")));
            };
            let view = read.view(&raw, &found);
            prop_assert_eq!(read.head_len as usize, head.len());
            prop_assert_eq!((view.method(), view.target()), (method.as_bytes(), target.as_bytes()));
            prop_assert_eq!(view.authority(), host.as_bytes());
            let wanted = match length {
                _ if chunked => BodyLength::Chunked,
                Some(length) => BodyLength::Length(length),
                None => BodyLength::None,
            };
            prop_assert_eq!(read.body, wanted);
            let plain = view.fields().filter(|(name, _)| name.starts_with(b"X-"));
            prop_assert!(plain.eq(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))));
        }
    }

    #[test]
    fn a_response_head_is_read_back_and_no_shorter_piece_is_one(
        status in 200u16..1000,
        reason in "[ -~é]{0,12}",
        fields in fields(),
        (line, length, chunked) in framing(),
    ) {
        prop_assume!(status != 204 && status != 304);
        let head = format!("HTTP/1.1 {status} {reason}\r\n{}{line}\r\n", lines(&fields)).into_bytes();
        let (limits, mut found) = (Limits::default(), Fields::new());
        for piece in 0..head.len() {
            prop_assert_eq!(parse_response(&head[..piece], &limits, &mut found, Asked::Other), Ok(Parsed::Partial));
        }
        let Ok(Parsed::Complete(read)) = parse_response(&head, &limits, &mut found, Asked::Other) else {
            return Err(TestCaseError::fail(format!("{} is refused", head.escape_ascii())));
        };
        let view = read.view(&head, &found);
        prop_assert_eq!((read.status, view.reason()), (status, reason.as_bytes()));
        let wanted = match length {
            _ if chunked => BodyLength::Chunked,
            Some(length) => BodyLength::Length(length),
            None => BodyLength::UntilClose,
        };
        prop_assert_eq!(read.body, wanted);
        let plain = view.fields().filter(|(name, _)| name.starts_with(b"X-"));
        prop_assert!(plain.eq(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))));
    }

    #[test]
    fn several_ranges_are_the_one_piece_a_naive_slicer_cuts_or_the_whole(
        specs in prop::collection::vec((prop::option::of(0usize..30), prop::option::of(0usize..30)), 1..10),
        huge in any::<bool>(),
        length in 0usize..25,
    ) {
        let number = |number: Option<usize>| match number {
            // As good as any number that is larger than the length.
            Some(29) if huge => "99999999999999999999999".to_owned(),
            number => number.map_or(String::new(), |number| number.to_string()),
        };
        let texts: Vec<String> = specs.iter().map(|(from, to)| format!("{}-{}", number(*from), number(*to))).collect();
        let found = resolve(format!("bytes={}", texts.join(" , ")).as_bytes(), length as u64);
        let malformed = |(from, to): &(Option<usize>, Option<usize>)| match (from, to) {
            (None, None) => true,
            (Some(from), Some(to)) => to < from,
            _ => false,
        };
        let cut = |(from, to): &(Option<usize>, Option<usize>)| -> Vec<usize> {
            match (from, to) {
                (Some(from), to) => (0..length).filter(|at| at >= from && to.is_none_or(|to| *at <= to)).collect(),
                (None, to) => (0..length).rev().take(to.unwrap_or(0)).collect(),
            }
        };
        let kept: BTreeSet<usize> = specs.iter().flat_map(cut).collect();
        let whole = specs.iter().any(malformed) || specs.len() > 8;
        match found {
            // Never less than what was asked for.
            RangeOutcome::Full => prop_assert!(whole || specs.len() > 1),
            RangeOutcome::Part { start, end } => {
                prop_assert!(!whole);
                prop_assert!((start as usize..end as usize).eq(kept));
            }
            RangeOutcome::Unsatisfiable => prop_assert!(!whole && kept.is_empty()),
        }
    }

    #[test]
    fn a_request_that_went_through_one_gate_goes_through_the_next_unchanged(
        raw in near(&["POST /a?b HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nX: y\r\nConnection: x, keep-alive\r\nContent-Length: 5\r\n\r\n"]),
        (trusted, expect, upgrade) in any::<(bool, bool, bool)>(),
    ) {
        let (limits, mut found) = (Limits::default(), Fields::new());
        let Ok(Parsed::Complete(read)) = parse_request(&raw, &limits, &mut found) else { return Ok(()) };
        prop_assume!(read.method.of(&raw) != b"CONNECT" && !found.has(anygate_proto::Known::MaxForwards));
        let to = ForwardTo {
            target: b"/up", host: HostRule::Keep { or: b"target" }, client: None, trusted, scheme: Scheme::Http,
            port: None, x_forwarded: false, forwarded: false, via: None, upgrade: upgrade.then_some("websocket"),
            body: read.body, expect, edits: Edits::default(),
        };
        let mut once = Vec::new();
        forward_request(read.view(&raw, &found), &to, &mut Copied::new(&raw, &mut once)).expect("nothing is edited");
        let head = request(&once);
        let mut twice = Vec::new();
        forward_request(head.view(), &to, &mut Copied::new(&once, &mut twice)).expect("nothing is edited");
        prop_assert_eq!(once.escape_ascii().to_string(), twice.escape_ascii().to_string());
    }

    #[test]
    fn a_response_that_went_through_one_gate_goes_through_the_next_unchanged(
        raw in near(&["HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX: y\r\nConnection: x\r\nContent-Length: 5\r\n\r\n"]),
    ) {
        let (limits, mut found) = (Limits::default(), Fields::new());
        let Ok(Parsed::Complete(read)) = parse_response(&raw, &limits, &mut found, Asked::Other) else { return Ok(()) };
        prop_assume!(read.version == Version::Http11 && read.status != 101);
        let back = ForwardBack {
            version: Version::Http11, body: read.body, persistence: Persistence::Implied, via: None,
            date: b"Sun, 06 Nov 1994 08:49:37 GMT", upgrade: false, edits: Edits::default(),
        };
        let mut once = Vec::new();
        forward_response(read.view(&raw, &found), &back, &mut Copied::new(&raw, &mut once)).expect("nothing is edited");
        let Ok(Parsed::Complete(again)) = parse_response(&once, &limits, &mut found, Asked::Other) else {
            return Err(TestCaseError::fail(format!("{} is refused", once.escape_ascii())));
        };
        prop_assert_eq!(again.body, read.body);
        let mut twice = Vec::new();
        forward_response(again.view(&once, &found), &back, &mut Copied::new(&once, &mut twice)).expect("as before");
        // A `Date` that was added stands elsewhere in the second, but every line is there.
        let lines = |head: &[u8]| -> BTreeSet<Vec<u8>> { head.split(|&b| b == b'\n').map(<[u8]>::to_vec).collect() };
        prop_assert_eq!(lines(&once), lines(&twice));
    }
}
