//! What a session makes of frames, wherever they are cut.

use anygate_shard::Io;

use super::frame::{CONTINUATION, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE};
use super::*;
use crate::load::Plan;

/// `:status: 200`, and `:status: 404`, as indices of the static table.
const OK: &[u8] = &[0x88];
const NOT_FOUND: &[u8] = &[0x8d];
const END: u8 = END_STREAM | END_HEADERS;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::put(kind, flags, stream, payload.len(), &mut out);
    out.extend_from_slice(payload);
    out
}

/// A session with so many requests, which began at 1, 2 and so on, and has said everything.
fn session(requests: u32) -> Session {
    let blocks = Blocks::of(&Plan::new("127.0.0.1:80".parse().unwrap(), Io::Epoll)).unwrap();
    let mut session = Session::new(&blocks);
    for began in 1..=requests {
        session.ask(&blocks, Tick::from_nanos(u64::from(began)), 1);
    }
    session.out.clear();
    session
}

/// What is seen, in words, and what is said to it.
fn hear(session: &mut Session, pieces: &[&[u8]]) -> Result<(String, Vec<u8>), &'static str> {
    let (mut words, mut content) = (String::new(), 0);
    for piece in pieces {
        let mut seen = |seen: Seen<'_>| match seen {
            Seen::Field(..) => {}
            Seen::Content(bytes) => content += bytes.len(),
            Seen::Answer { status, began } => {
                words.push_str(&format!("{status} to {} with {content}; ", began.as_nanos()));
                content = 0;
            }
            Seen::Failed => words.push_str("failed; "),
        };
        session.feed(piece, &mut seen).map_err(|broken| broken.why)?;
    }
    Ok((words, std::mem::take(&mut session.out)))
}

/// The same, however the bytes are cut in two, and byte by byte.
fn heard(requests: u32, frames: &[Vec<u8>]) -> Result<(String, Vec<u8>), &'static str> {
    let all = frames.concat();
    let whole = hear(&mut session(requests), &[&all]);
    for cut in 0..all.len() {
        assert_eq!(hear(&mut session(requests), &[&all[..cut], &all[cut..]]), whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = all.chunks(1).collect();
    assert_eq!(hear(&mut session(requests), &bytes), whole);
    whole
}

#[test]
fn answers_in_any_order_are_those_to_their_requests() {
    let length = [OK, &[0x0f, 0x0d, 1, b'3']].concat();
    let frames = [
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END, 5, NOT_FOUND),
        frame(HEADERS, END_HEADERS, 1, &length),
        frame(HEADERS, END_HEADERS, 3, OK),
        frame(DATA, 0, 1, b"a"),
        frame(DATA, END_STREAM, 3, b""),
        frame(DATA, PADDED | END_STREAM, 1, b"\x02bc\0\0"),
    ];
    let (words, said) = heard(3, &frames).unwrap();
    assert_eq!(words, "404 to 3 with 0; 200 to 2 with 1; 200 to 1 with 2; ");
    assert_eq!(said, frame(SETTINGS, ACK, 0, &[]));
}

#[test]
fn heads_come_in_pieces_behind_others_and_with_trailers() {
    let frames = [
        // 103, in a literal; priority and padding; trailers in two pieces.
        frame(HEADERS, END_HEADERS, 1, b"\x08\x03103"),
        frame(HEADERS, PADDED | PRIORITIZED, 1, b"\x01\0\0\0\0\x10\x88\0"),
        frame(CONTINUATION, 0, 1, b"\0\x01"),
        frame(CONTINUATION, END_HEADERS, 1, b"a\x01b"),
        frame(DATA, 0, 1, b"xyz"),
        frame(HEADERS, END_STREAM, 1, b"\0\x01a"),
        frame(CONTINUATION, END_HEADERS, 1, b"\x01b"),
    ];
    assert_eq!(heard(1, &frames).unwrap().0, "200 to 1 with 3; ");
}

#[test]
fn what_is_asked_for_is_answered() {
    let frames = [
        frame(PING, 0, 0, b"12345678"),
        frame(PING, ACK, 0, b"12345678"),
        frame(SETTINGS, ACK, 0, &[]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(0xbe, 0xff, 7, b"unknown"),
    ];
    assert_eq!(heard(0, &frames).unwrap(), (String::new(), frame(PING, ACK, 0, b"12345678")));
}

#[test]
fn windows_are_given_back_when_half_of_them_is_used() {
    let mut session = session(1);
    let mut given = 0;
    let mut updates = 0;
    hear(&mut session, &[&frame(HEADERS, END_HEADERS, 1, OK)]).unwrap();
    let piece = frame(DATA, 0, 1, &[0; 16 << 10]);
    for _ in 0..(64 << 20) / (16 << 10) {
        let (_, said) = hear(&mut session, &[&piece]).unwrap();
        for update in said.chunks(HEADER + 4) {
            if Header::read(update).unwrap().stream == 1 {
                given += frame::number(update, HEADER).unwrap();
            }
            updates += 1;
        }
    }
    let left = (64 << 20) - given;
    assert!(left < STREAM_WINDOW / 2 && updates < 40, "{left} bytes not given back, {updates} updates");
}

#[test]
fn a_stream_that_is_reset_fails_alone() {
    let frames = [
        frame(RST_STREAM, 0, 1, &[0, 0, 0, 7]),
        frame(HEADERS, END, 3, OK),
        // The whole answer was here before.
        frame(RST_STREAM, 0, 3, &[0; 4]),
        frame(DATA, 0, 1, b"late"),
    ];
    assert_eq!(heard(2, &frames).unwrap().0, "failed; 200 to 2 with 0; ");
}

#[test]
fn after_a_goaway_those_are_answered_that_it_names() {
    let mut session = session(3);
    let goaway = frame(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]);
    hear(&mut session, &[&goaway]).unwrap();
    assert!(session.is_ending() && !session.is_over());
    assert_eq!(session.untouched().collect::<Vec<_>>(), [Tick::from_nanos(3)]);
    let (words, _) = hear(&mut session, &[&frame(HEADERS, END, 3, OK), &frame(HEADERS, END, 1, OK)]).unwrap();
    assert_eq!(words, "200 to 2 with 0; 200 to 1 with 0; ");
    assert!(session.is_over());
    assert_eq!(session.untouched().count(), 1);
}

#[test]
fn the_server_says_how_many_streams_there_are_and_that_it_keeps_no_table() {
    let blocks = Blocks::of(&Plan::new("127.0.0.1:80".parse().unwrap(), Io::Epoll)).unwrap();
    let mut session = session(1);
    assert_eq!((session.most(32), session.most(1000)), (32, STREAMS));
    let mut settings = Vec::new();
    frame::put_setting(MAX_CONCURRENT_STREAMS, 7, &mut settings);
    frame::put_setting(HEADER_TABLE_SIZE, 0, &mut settings);
    hear(&mut session, &[&frame(SETTINGS, 0, 0, &settings)]).unwrap();
    assert_eq!(session.most(32), 7);
    let asked = |session: &mut Session| {
        session.ask(&blocks, Tick::ZERO, 1);
        let block = session.out.split_off(HEADER);
        session.out.clear();
        block
    };
    let (first, second) = (asked(&mut session), asked(&mut session));
    assert_eq!((first[0], &first[1..]), (0x20, &second[..]));
}

#[test]
fn what_no_server_may_send_is_refused() {
    let head = || frame(HEADERS, END_HEADERS, 1, OK);
    let short = frame(HEADERS, END_HEADERS, 1, &[OK, &[0x0f, 0x0d, 1, b'3']].concat());
    for (frames, why) in [
        (vec![frame(HEADERS, END, 2, OK)], "nobody asked"),
        (vec![frame(HEADERS, END, 3, OK)], "nobody asked"),
        (vec![frame(DATA, 0, 1, b"x")], "before a head"),
        (vec![frame(HEADERS, END, 1, &[0x10])], "broken"),
        (vec![frame(HEADERS, END, 1, b"\0\x01a\x01b")], "no status"),
        (vec![frame(HEADERS, END, 1, b"\x08\x03103")], "no status"),
        (vec![head(), head()], "trailers"),
        (vec![short.clone(), frame(DATA, END_STREAM, 1, b"ab")], "less content"),
        (vec![short, frame(DATA, 0, 1, b"abcd")], "more content"),
        (vec![head(), frame(DATA, PADDED, 1, b"\x05ab")], "more padding"),
        (vec![frame(HEADERS, 0, 1, OK), frame(PING, 0, 0, &[0; 8])], "one piece"),
        (vec![frame(CONTINUATION, END_HEADERS, 1, OK)], "one piece"),
        (vec![frame(SETTINGS, 0, 0, &[0; 7])], "part of a setting"),
        (vec![frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 2])], "for an error"),
        (vec![frame(0x5, 0, 1, &[0; 5])], "promise"),
        (vec![frame(SETTINGS, 0, 0, &[0; 17_000])], "too long"),
    ] {
        let said = hear(&mut session(1), &[&frames.concat()]).expect_err(why);
        assert!(said.contains(why), "{said}, not {why}");
    }
}
