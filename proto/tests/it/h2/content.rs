//! Content that comes in: windows, padding, lengths, trailers (RFC 9113 §5.2, §6.1, §6.9, §8.1).

use super::*;

/// POST of a promised length.
fn post_of(stream: u32, length: &str) -> Vec<u8> {
    headers(stream, OPEN, &with(&POST, &[("content-length", length)]))
}

const OPENED: &str = "request 1 POST /";

#[test]
fn content_is_passed_on_as_it_comes() {
    expect(
        &join(&[post(1), data(1, 0, b"ab"), data(1, 0, b"c"), data(1, flag::END_STREAM, b"d")]),
        &[OPENED, "data 1 abcd end"],
        &[],
    );
    expect(&join(&[post(1), data(1, flag::END_STREAM, b"")]), &[OPENED, "data 1  end"], &[]);
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&post(1));
    peer.feed(&data(1, 0, b"abcd")[..11]);
    assert_eq!(peer.events(), [OPENED, "data 1 ab"]);
}

#[test]
fn padding_is_left_out_and_given_back() {
    let padded = |flags, padding: u8, content: &[u8]| {
        let mut payload = vec![padding];
        payload.extend(content);
        payload.extend(vec![0; usize::from(padding)]);
        raw(0, flag::PADDED | flags, 1, &payload)
    };
    expect(&join(&[post(1), padded(0, 5, b"ab"), padded(flag::END_STREAM, 0, b"c")]), &[OPENED, "data 1 abc end"], &[]);
    expect(&join(&[post(1), padded(flag::END_STREAM, 5, b"")]), &[OPENED, "data 1  end"], &[]);
    expect(&join(&[post(1), padded(0, 255, b""), data(1, flag::END_STREAM, b"x")]), &[OPENED, "data 1 x end"], &[]);
    // Far more padding than the window has: none of it is held.
    let mut peer = Peer::new(&Limits { empty_data: 10_000, ..Limits::default() });
    peer.feed(&post(1));
    for _ in 0..2000 {
        peer.feed(&padded(0, 255, b""));
    }
    peer.feed(&padded(flag::END_STREAM, 255, b"x"));
    assert_eq!(peer.events(), [OPENED, "data 1 x end"]);
    assert!(peer.output().iter().any(|frame| frame == "WINDOW_UPDATE 1 65536"));
}

#[test]
fn padding_longer_than_its_frame_ends_the_connection() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&join(&[post(1), raw(0, flag::PADDED, 1, &[2, 0])]));
    assert_eq!(peer.events(), [OPENED, "fatal PROTOCOL_ERROR"]);
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&join(&[post(1), raw(0, flag::PADDED, 1, &[])]));
    assert_eq!(peer.events(), [OPENED, "fatal FRAME_SIZE_ERROR"]);
    // Also where the content is nobody's.
    for (payload, code) in [(&[2, 0][..], "fatal PROTOCOL_ERROR"), (&[], "fatal FRAME_SIZE_ERROR")] {
        let mut peer = Peer::new(&Limits::default());
        peer.feed(&join(&[post(1), rst_stream(1, 8), raw(0, flag::PADDED, 1, &[1, b'x', 0])]));
        assert!(!peer.dead);
        peer.feed(&raw(0, flag::PADDED, 1, payload));
        assert_eq!(peer.events().last().map(String::as_str), Some(code));
        let mut peer = Peer::new(&Limits::default());
        peer.feed(&join(&[get(1), raw(0, flag::PADDED, 1, payload)]));
        assert_eq!(peer.events().last().map(String::as_str), Some(code));
    }
}

#[test]
fn the_sum_of_all_content_is_what_was_promised() {
    let good = [
        join(&[post_of(1, "3"), data(1, 0, b"a"), data(1, flag::END_STREAM, b"bc")]),
        join(&[post_of(1, "3"), data(1, 0, b"abc"), data(1, flag::END_STREAM, b"")]),
    ];
    for input in good {
        expect(&input, &[OPENED, "data 1 abc end"], &[]);
    }
    expect(
        &join(&[post_of(1, "3"), data(1, 0, b"abc"), headers(1, END, &[("x", "y")])]),
        &[OPENED, "data 1 abc", "trailers 1 x=y"],
        &[],
    );
    expect(&headers(1, END, &with(&POST, &[("content-length", "0")])), &["request 1 POST / end"], &[]);
    let reset = ["RST_STREAM 1 PROTOCOL_ERROR"];
    expect(
        &join(&[post_of(1, "3"), data(1, 0, b"ab"), data(1, 0, b"cd")]),
        &[OPENED, "data 1 ab", "reset 1 PROTOCOL_ERROR"],
        &reset,
    );
    for short in [data(1, flag::END_STREAM, b"b"), headers(1, END, &[]), data(1, flag::END_STREAM, b"")] {
        expect(
            &join(&[post_of(1, "3"), data(1, 0, b"a"), short]),
            &[OPENED, "data 1 a", "reset 1 PROTOCOL_ERROR"],
            &reset,
        );
    }
    expect_turned_away(&headers(1, END, &with(&POST, &[("content-length", "1")])), "PROTOCOL_ERROR");
}

#[test]
fn what_is_cut_off_by_an_error_is_skipped_to_the_byte() {
    expect(
        &join(&[post_of(1, "1"), data(1, 0, b"abc"), get(3)]),
        &[OPENED, "reset 1 PROTOCOL_ERROR", "request 3 GET / end"],
        &["RST_STREAM 1 PROTOCOL_ERROR"],
    );
    let padded = raw(0, flag::PADDED, 1, &[2, b'a', b'b', 0, 0]);
    expect(
        &join(&[post_of(1, "1"), padded, get(3)]),
        &[OPENED, "reset 1 PROTOCOL_ERROR", "request 3 GET / end"],
        &["RST_STREAM 1 PROTOCOL_ERROR"],
    );
}

#[test]
fn a_stream_that_is_reset_within_a_frame_lets_the_rest_of_it_pass() {
    for cut in 9..16 {
        let frame = raw(0, flag::PADDED, 1, &[2, b'a', b'b', b'c', b'd', 0, 0]);
        let mut peer = Peer::new(&Limits::default());
        peer.feed(&post(1));
        peer.feed(&frame[..cut]);
        peer.events();
        let key = peer.key(1);
        peer.connection.reset(key, ErrorCode::CANCEL);
        peer.feed(&frame[cut..]);
        peer.feed(&get(3));
        assert_eq!(peer.events(), ["request 3 GET / end"], "cut at {cut}");
    }
}

#[test]
fn trailers_end_a_request_and_hold_no_field_that_must_not_be_one() {
    expect(
        &join(&[
            post(1),
            data(1, 0, b"ab"),
            headers(1, END, &[("grpc-status", "0"), ("content-length", "7"), ("x-sum", "1"), ("host", "b")]),
        ]),
        &[OPENED, "data 1 ab", "trailers 1 grpc-status=0 x-sum=1"],
        &[],
    );
    expect(&join(&[post(1), headers(1, END, &[])]), &[OPENED, "trailers 1"], &[]);
}

#[test]
fn malformed_trailers_reset_the_stream() {
    let long = "x".repeat(300);
    for (fields, flags) in [
        (vec![("x", "y")], OPEN),
        (vec![(":path", "/")], END),
        (vec![("x", "y"), (":status", "200")], END),
        (vec![("X", "y")], END),
        (vec![("x", "a\nb")], END),
        (vec![("connection", "close")], END),
        (vec![("te", "gzip")], END),
        (vec![("transfer-encoding", "chunked")], END),
        (vec![("x", &*long), (":x", "y")], END),
    ] {
        expect(
            &join(&[post(1), headers(1, flags, &fields)]),
            &[OPENED, "reset 1 PROTOCOL_ERROR"],
            &["RST_STREAM 1 PROTOCOL_ERROR"],
        );
    }
}

#[test]
fn trailers_over_their_limit_reset_the_stream() {
    let limits = Limits {
        head: anygate_proto::Limits { max_header_size: 200, ..anygate_proto::Limits::default() },
        ..Limits::default()
    };
    expect_with(
        &limits,
        &join(&[post(1), headers(1, END, &[("x", &"y".repeat(180))])]),
        &[OPENED, "reset 1 ENHANCE_YOUR_CALM"],
        &["RST_STREAM 1 ENHANCE_YOUR_CALM"],
    );
}

/// Windows small enough to be used up in a test.
fn narrow() -> Limits {
    Limits { window: 65_535, connection_window: 131_070, ..Limits::default() }
}

#[test]
fn more_content_than_the_streams_window_resets_it() {
    let mut peer = Peer::new(&narrow());
    peer.feed(&post(1));
    for _ in 0..4 {
        peer.feed(&data(1, 0, &[b'x'; 16_383]));
    }
    peer.feed(&data(1, 0, b"xxx"));
    assert!(peer.output().is_empty());
    peer.feed(&data(1, 0, b"y"));
    assert_eq!(peer.output(), ["RST_STREAM 1 FLOW_CONTROL_ERROR", "WINDOW_UPDATE 0 65536"]);
    assert_eq!(peer.events().last().map(String::as_str), Some("reset 1 FLOW_CONTROL_ERROR"));
}

#[test]
fn more_content_than_the_connections_window_ends_it() {
    let mut peer = Peer::new(&narrow());
    for id in [1, 3, 5] {
        peer.feed(&post(id));
    }
    for id in [1, 3] {
        for _ in 0..4 {
            peer.feed(&data(id, 0, &[b'x'; 16_383]));
        }
        peer.feed(&data(id, 0, b"xxx"));
    }
    assert!(!peer.dead);
    peer.feed(&data(5, 0, b"x"));
    assert_eq!(peer.events().last().map(String::as_str), Some("fatal FLOW_CONTROL_ERROR"));
}

#[test]
fn what_is_consumed_is_given_back_once_it_is_a_quarter_of_a_window() {
    let mut peer = Peer::new(&Limits { connection_window: 128_000, ..narrow() });
    peer.feed(&post(1));
    let key = peer.key(1);
    peer.feed(&data(1, 0, &[b'x'; 16_000]));
    peer.connection.consumed(key, 16_000);
    assert!(peer.output().is_empty());
    peer.feed(&data(1, 0, &[b'x'; 16_000]));
    peer.connection.consumed(key, 1000);
    assert_eq!(peer.output(), ["WINDOW_UPDATE 1 17000"]);
    peer.feed(&data(1, 0, &[b'x'; 16_000]));
    // No more than was handed out can be given back.
    peer.connection.consumed(key, 1 << 40);
    assert_eq!(peer.output(), ["WINDOW_UPDATE 0 48000", "WINDOW_UPDATE 1 31000"]);
    peer.connection.consumed(key, 1 << 40);
    assert!(peer.output().is_empty());
}

#[test]
fn what_is_free_again_of_the_connection_is_not_kept_back_for_what_streams_hold() {
    let mut peer = Peer::new(&Limits { connection_window: 128_000, ..narrow() });
    for id in [1, 3, 5] {
        peer.feed(&post(id));
    }
    peer.feed(&data(1, 0, &[b'x'; 16_384]));
    peer.connection.consumed(peer.key(1), 16_000);
    assert!(peer.output().is_empty(), "less than a quarter of either window");
    for (id, len) in [(3, 16_384), (3, 16_384), (3, 16_384), (3, 16_383), (5, 16_384), (5, 13_696)] {
        peer.feed(&data(id, 0, &vec![b'x'; len]));
    }
    assert!(peer.output().is_empty(), "the client has more left than that");
    peer.feed(&data(5, 0, b"x"));
    assert_eq!(peer.output(), ["WINDOW_UPDATE 0 16000"]);
}

#[test]
fn a_stream_that_is_at_its_end_gets_no_more_window_but_the_connection_does() {
    let mut peer = Peer::new(&narrow());
    peer.feed(&post(1));
    let key = peer.key(1);
    for _ in 0..4 {
        peer.feed(&data(1, 0, &[b'x'; 16_000]));
    }
    peer.feed(&data(1, flag::END_STREAM, &[b'x'; 1535]));
    peer.connection.consumed(key, 65_535);
    assert_eq!(peer.output(), ["WINDOW_UPDATE 0 65535"]);
}

#[test]
fn what_a_stream_held_is_given_back_when_it_ends_in_any_way() {
    for way in 0..4 {
        let mut peer = Peer::new(&narrow());
        peer.feed(&post(1));
        let key = peer.key(1);
        for _ in 0..4 {
            peer.feed(&data(1, 0, &[b'x'; 16_383]));
        }
        peer.feed(&data(1, 0, b"xxx"));
        match way {
            0 => peer.connection.reset(key, ErrorCode::CANCEL),
            1 => peer.feed(&rst_stream(1, 8)),
            2 => {
                assert!(peer.connection.respond(key, &[0x88], true));
                peer.connection.reset(key, ErrorCode::NO_ERROR);
            }
            _ => peer.feed(&window_update(1, 0)),
        }
        peer.connection.consumed(key, 65_535);
        let output = peer.output();
        assert_eq!(output.last().map(String::as_str), Some("WINDOW_UPDATE 0 65535"), "way {way}: {output:?}");
        assert_eq!(output.iter().filter(|frame| frame.starts_with("WINDOW_UPDATE")).count(), 1);
    }
}

#[test]
fn content_for_streams_that_are_over_uses_no_window_up() {
    let mut peer = Peer::new(&narrow());
    peer.feed(&post(1));
    let key = peer.key(1);
    assert!(peer.connection.respond(key, &[0x88], true));
    peer.connection.reset(key, ErrorCode::NO_ERROR);
    assert_eq!(peer.output(), ["HEADERS 1 :status=200 end", "RST_STREAM 1 NO_ERROR"]);
    for _ in 0..100 {
        peer.feed(&data(1, 0, &[b'x'; 16_384]));
    }
    assert!(!peer.dead);
    let given: u64 =
        peer.output().iter().map(|frame| frame.rsplit(' ').next().map_or(0, |n| n.parse().unwrap_or(0))).sum();
    assert!(given >= 100 * 16_384 - 65_535);
}

#[test]
fn until_settings_are_acknowledged_the_first_window_holds() {
    let small = Limits { window: 1000, ..Limits::default() };
    let mut peer = Peer::new(&small);
    peer.feed(&join(&[post(1), data(1, 0, &[b'x'; 16_000]), settings_ack(), post(3), data(3, 0, &[b'x'; 1000])]));
    assert!(peer.output().is_empty());
    peer.events();
    peer.feed(&data(3, 0, b"x"));
    assert_eq!(peer.output(), ["RST_STREAM 3 FLOW_CONTROL_ERROR"]);
    // Of the first stream more has come than it may have now.
    peer.feed(&data(1, 0, b"x"));
    assert_eq!(peer.output(), ["RST_STREAM 1 FLOW_CONTROL_ERROR"]);
}

#[test]
fn a_refused_request_may_have_content() {
    let bad = headers(1, OPEN, &[(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a b")]);
    expect(&join(&[bad, data(1, flag::END_STREAM, b"x")]), &["refused 1 400", "data 1 x end"], &[]);
}
