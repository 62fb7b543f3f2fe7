//! Streams through their states (RFC 9113 §5.1, §6.2–§6.4, §6.9, §6.10).

use super::*;

#[test]
fn a_request_opens_a_stream() {
    expect(&get(1), &["request 1 GET / end"], &[]);
    expect(&join(&[get(1), post(3), get(5)]), &["request 1 GET / end", "request 3 POST /", "request 5 GET / end"], &[]);
    expect(&get(0x7fff_ffff), &["request 2147483647 GET / end"], &[]);
}

#[test]
fn a_stream_that_is_not_the_clients_is_an_error() {
    expect_end(&get(2), &[], 0, "PROTOCOL_ERROR");
    expect_end(&get(0), &[], 0, "PROTOCOL_ERROR");
}

#[test]
fn identifiers_only_rise() {
    expect_end(&join(&[get(5), get(3)]), &["request 5 GET / end"], 5, "PROTOCOL_ERROR");
}

#[test]
fn frames_on_streams_that_were_never_opened_are_errors() {
    for id in [1, 2, 4] {
        expect_end(&data(id, 0, b"x"), &[], 0, "PROTOCOL_ERROR");
        expect_end(&rst_stream(id, 8), &[], 0, "PROTOCOL_ERROR");
        expect_end(&window_update(id, 1), &[], 0, "PROTOCOL_ERROR");
    }
    expect_end(&join(&[get(5), window_update(4, 1)]), &["request 5 GET / end"], 5, "PROTOCOL_ERROR");
    expect_end(&raw(9, 4, 1, b""), &[], 0, "PROTOCOL_ERROR");
    // The old priorities may come for any stream.
    expect(&raw(2, 0, 1, &[0, 0, 0, 3, 9]), &[], &[]);
}

#[test]
fn a_streams_frame_on_stream_0_is_an_error() {
    expect_end(&data(0, 0, b"x"), &[], 0, "PROTOCOL_ERROR");
    expect_end(&rst_stream(0, 8), &[], 0, "PROTOCOL_ERROR");
    expect_end(&raw(2, 0, 0, &[0; 5]), &[], 0, "PROTOCOL_ERROR");
    expect_end(&raw(9, 4, 0, b""), &[], 0, "PROTOCOL_ERROR");
}

#[test]
fn what_follows_the_end_of_a_request_resets_its_stream() {
    for late in [data(1, 0, b"x"), headers(1, END, &[("x", "y")])] {
        expect(
            &join(&[get(1), late]),
            &["request 1 GET / end", "reset 1 STREAM_CLOSED"],
            &["RST_STREAM 1 STREAM_CLOSED"],
        );
    }
}

#[test]
fn window_updates_and_priorities_may_follow_the_end_of_a_request() {
    expect(&join(&[get(1), window_update(1, 5), raw(2, 0, 1, &[0; 5])]), &["request 1 GET / end"], &[]);
}

#[test]
fn a_reset_ends_a_stream_and_what_is_late_is_an_error_of_the_stream() {
    let opened = ["request 1 POST /", "reset 1 CANCEL by client"];
    expect(&join(&[post(1), rst_stream(1, 8)]), &opened, &[]);
    expect(&join(&[post(1), rst_stream(1, 8), window_update(1, 9), rst_stream(1, 8)]), &opened, &[]);
    expect(
        &join(&[post(1), rst_stream(1, 8), data(1, 0, b"x"), data(1, 0, b"y")]),
        &opened,
        &["RST_STREAM 1 STREAM_CLOSED"],
    );
    let mut all = opened.to_vec();
    all.push("fatal STREAM_CLOSED");
    expect(&join(&[post(1), rst_stream(1, 8), headers(1, END, &[])]), &all, &["GOAWAY 1 STREAM_CLOSED"]);
}

#[test]
fn rst_stream_and_window_update_must_have_4_bytes() {
    expect_end(&join(&[get(1), raw(3, 0, 1, b"123")]), &["request 1 GET / end"], 1, "FRAME_SIZE_ERROR");
    expect_end(&join(&[get(1), raw(3, 0, 1, b"12345")]), &["request 1 GET / end"], 1, "FRAME_SIZE_ERROR");
    expect_end(&join(&[get(1), raw(8, 0, 1, b"123")]), &["request 1 GET / end"], 1, "FRAME_SIZE_ERROR");
    expect_end(&raw(8, 0, 0, b"12345"), &[], 0, "FRAME_SIZE_ERROR");
}

#[test]
fn what_comes_for_a_stream_we_have_reset_is_ignored() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&post(1));
    let key = peer.key(1);
    peer.connection.reset(key, ErrorCode::CANCEL);
    peer.connection.reset(key, ErrorCode::CANCEL);
    assert_eq!(peer.output(), ["RST_STREAM 1 CANCEL"]);
    peer.events();
    peer.feed(&join(&[data(1, 0, b"x"), window_update(1, 3), headers(1, END, &[("x", "y")]), rst_stream(1, 8)]));
    assert!(peer.events().is_empty() && peer.output().is_empty());
    assert!(!peer.connection.is_open(key));
}

#[test]
fn headers_on_a_stream_that_is_done_end_the_connection() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&get(1));
    let key = peer.key(1);
    assert!(peer.connection.respond(key, &[0x88], true));
    peer.feed(&window_update(1, 1));
    peer.feed(&rst_stream(1, 8));
    assert_eq!(peer.events(), ["request 1 GET / end"]);
    peer.feed(&get(1));
    assert_eq!(peer.events(), ["fatal STREAM_CLOSED"]);
}

#[test]
fn data_on_a_stream_that_is_done_is_reset_once() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&get(1));
    let key = peer.key(1);
    assert!(peer.connection.respond(key, &[0x88], true));
    peer.output();
    peer.feed(&data(1, 0, b"x"));
    peer.feed(&data(1, 0, b"x"));
    assert_eq!(peer.output(), ["RST_STREAM 1 STREAM_CLOSED"]);
}

#[test]
fn more_streams_than_were_offered_are_refused_and_the_others_go_on() {
    let limits = Limits { max_streams: 2, ..Limits::default() };
    expect_with(
        &limits,
        &join(&[post(1), get(3), get(5), data(1, flag::END_STREAM, b"x"), get(7)]),
        &["request 1 POST /", "request 3 GET / end", "data 1 x end"],
        &["RST_STREAM 5 REFUSED_STREAM", "RST_STREAM 7 REFUSED_STREAM"],
    );
    let mut peer = Peer::new(&limits);
    peer.feed(&join(&[get(1), get(3)]));
    let key = peer.key(1);
    assert!(peer.connection.respond(key, &[0x88], true));
    peer.feed(&get(5));
    assert_eq!(peer.events().len(), 3);
    let numbers: Vec<u32> = peer.keys.iter().map(|key| key.index).collect();
    assert_eq!(numbers, [0, 1, 0], "indexes are dense");
}

#[test]
fn a_header_block_may_come_in_pieces() {
    let whole = block(&GET);
    let (a, rest) = whole.split_at(7);
    let (b, c) = rest.split_at(0);
    let input = join(&[raw(1, flag::END_STREAM, 1, a), raw(9, 0, 1, b), raw(9, flag::END_HEADERS, 1, c), get(3)]);
    expect(&input, &["request 1 GET / end", "request 3 GET / end"], &[]);
    let empty = join(&[raw(1, flag::END_STREAM, 1, b""), raw(9, 0, 1, &whole), raw(9, flag::END_HEADERS, 1, b"")]);
    expect(&empty, &["request 1 GET / end"], &[]);
}

#[test]
fn nothing_may_come_between_the_pieces_of_a_header_block() {
    let begun = raw(1, flag::END_STREAM, 1, &block(&GET));
    for other in [
        data(1, 0, b"x"),
        get(1),
        get(3),
        raw(9, 4, 3, b""),
        raw(6, 0, 0, b"12345678"),
        settings(&[]),
        window_update(0, 1),
        raw(0x77, 0, 0, b""),
        raw(2, 0, 1, &[0; 5]),
    ] {
        expect_end(&join(&[begun.clone(), other]), &[], 0, "PROTOCOL_ERROR");
    }
    expect_end(&join(&[get(1), raw(9, 4, 1, b"")]), &["request 1 GET / end"], 1, "PROTOCOL_ERROR");
}

#[test]
fn padding_and_old_priorities_of_headers_are_left_out() {
    let fields = block(&GET);
    let mut padded = vec![3];
    padded.extend(&fields);
    padded.extend([0; 3]);
    expect(&raw(1, END | flag::PADDED, 1, &padded), &["request 1 GET / end"], &[]);
    let mut weighed = vec![0x80, 0, 0, 1, 255];
    weighed.extend(&fields);
    expect(&raw(1, END | flag::PRIORITY, 1, &weighed), &["request 1 GET / end"], &[]);
    let mut both = vec![2, 0, 0, 0, 9, 1];
    both.extend(&fields);
    both.extend([0; 2]);
    expect(&raw(1, END | flag::PADDED | flag::PRIORITY, 1, &both), &["request 1 GET / end"], &[]);
}

#[test]
fn headers_that_are_too_short_for_padding_or_priority_are_errors() {
    expect_end(&raw(1, END | flag::PADDED, 1, b""), &[], 0, "FRAME_SIZE_ERROR");
    expect_end(&raw(1, END | flag::PADDED, 1, &[2, 0]), &[], 0, "PROTOCOL_ERROR");
    expect_end(&raw(1, END | flag::PRIORITY, 1, &[0; 4]), &[], 0, "FRAME_SIZE_ERROR");
    expect_end(&raw(1, END | flag::PADDED | flag::PRIORITY, 1, &[3, 0, 0, 0, 0, 1, 0, 0]), &[], 0, "FRAME_SIZE_ERROR");
}

#[test]
fn a_priority_of_another_size_is_an_error_of_its_stream_or_of_the_connection() {
    expect(
        &join(&[post(1), raw(2, 0, 1, &[0; 4])]),
        &["request 1 POST /", "reset 1 FRAME_SIZE_ERROR"],
        &["RST_STREAM 1 FRAME_SIZE_ERROR"],
    );
    expect_end(&raw(2, 0, 1, &[0; 6]), &[], 0, "FRAME_SIZE_ERROR");
}

#[test]
fn a_field_block_that_cannot_be_decoded_ends_the_connection() {
    expect_end(&raw(1, END, 1, &[0x80]), &[], 0, "COMPRESSION_ERROR");
    expect_end(&raw(1, END, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), &[], 0, "COMPRESSION_ERROR");
    // Also of a stream that nobody cares for any more.
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&post(1));
    let key = peer.key(1);
    peer.connection.reset(key, ErrorCode::CANCEL);
    peer.feed(&raw(1, END, 1, &[0x80]));
    assert_eq!(peer.events(), ["request 1 POST /", "fatal COMPRESSION_ERROR"]);
}

#[test]
fn the_table_is_kept_in_step_by_blocks_of_refused_and_malformed_requests() {
    let limits = Limits { max_streams: 1, ..Limits::default() };
    let mut peer = Peer::new(&limits);
    peer.feed(&post(1));
    let mut refused = block(&GET);
    refused.extend(b"\x40\x01k\x01v");
    peer.feed(&raw(1, END, 3, &refused));
    let mut malformed = block(&[(":method", "GET"), ("UPPER", "x")]);
    malformed.extend(b"\x40\x01l\x01w");
    peer.feed(&raw(1, END, 5, &malformed));
    peer.feed(&raw(1, END, 1, &[0xbe, 0xbf]));
    assert_eq!(peer.events(), ["request 1 POST /", "trailers 1 l=w k=v"]);
}
