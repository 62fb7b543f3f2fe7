//! How a connection begins and ends, and the frames that are about it alone (RFC 9113 §3.4, §4, §5.4.1, §6.5–§6.8).

use super::*;

#[test]
fn our_settings_come_first_with_the_window_of_the_connection() {
    let mut peer = Peer::silent(&Limits::default());
    let ours = std::mem::take(Connection::new(&Limits::default()).output());
    assert_eq!(peer.words(&ours), ["SETTINGS 1=4096 3=128 4=262144 5=16384 6=32768 9=1 8=1", "WINDOW_UPDATE 0 983041"]);
    let plain = Limits { extended_connect: false, connection_window: 0, ..Limits::default() };
    let ours = std::mem::take(Connection::new(&plain).output());
    assert_eq!(peer.words(&ours), ["SETTINGS 1=4096 3=128 4=262144 5=16384 6=32768 9=1"]);
}

#[test]
fn limits_are_brought_within_the_protocols_ranges() {
    let odd = Limits { max_frame: 1, window: u32::MAX, connection_window: u32::MAX, ..Limits::default() };
    let mut peer = Peer::silent(&odd);
    let ours = std::mem::take(Connection::new(&odd).output());
    assert_eq!(
        peer.words(&ours),
        ["SETTINGS 1=4096 3=128 4=2147483647 5=16384 6=32768 9=1 8=1", "WINDOW_UPDATE 0 2147418112"]
    );
}

#[test]
fn a_preface_that_is_none_ends_the_connection_at_its_first_wrong_byte() {
    for at in 0..PREFACE.len() {
        let mut wrong = PREFACE.to_vec();
        wrong[at] ^= 1;
        for cut in 0..=at {
            let mut peer = Peer::silent(&Limits::default());
            peer.feed(&wrong[..cut]);
            assert!(peer.events().is_empty());
            peer.feed(&wrong[cut..=at]);
            assert_eq!(peer.events(), ["fatal PROTOCOL_ERROR"]);
            assert_eq!(peer.output(), ["GOAWAY 0 PROTOCOL_ERROR"]);
        }
    }
}

#[test]
fn the_first_frame_must_be_settings() {
    for first in [get(1), raw(6, 0, 0, b"12345678"), settings_ack(), window_update(0, 1), raw(0x55, 0, 0, b"")] {
        let mut peer = Peer::silent(&Limits::default());
        peer.feed(&join(&[PREFACE.to_vec(), first]));
        assert_eq!(peer.events(), ["fatal PROTOCOL_ERROR"]);
    }
}

#[test]
fn nothing_is_read_after_the_end() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&raw(6, 0, 1, b"12345678"));
    assert_eq!(peer.events(), ["fatal PROTOCOL_ERROR"]);
    assert_eq!(peer.output(), ["GOAWAY 0 PROTOCOL_ERROR"]);
    peer.feed(&get(1));
    assert!(peer.events().is_empty() && peer.output().is_empty());
    assert!(peer.connection.is_ended() && peer.connection.is_drained() && !peer.connection.is_at_rest());
    peer.connection.shut_down();
    peer.connection.close(ErrorCode::NO_ERROR);
    assert!(peer.output().is_empty());
}

#[test]
fn a_ping_is_answered_with_the_same_bytes() {
    expect(&raw(6, 0, 0, b"12345678"), &[], &["PING ACK 12345678"]);
    expect(&raw(6, flag::ACK, 0, b"12345678"), &[], &[]);
    expect(&raw(6, 0xfe, 0, b"12345678"), &[], &["PING ACK 12345678"]);
}

#[test]
fn a_ping_must_have_8_bytes_and_no_stream() {
    expect_end(&raw(6, 0, 0, b"1234567"), &[], 0, "FRAME_SIZE_ERROR");
    expect_end(&raw(6, 0, 0, b"123456789"), &[], 0, "FRAME_SIZE_ERROR");
    expect_end(&raw(6, 0, 1, b"12345678"), &[], 0, "PROTOCOL_ERROR");
}

#[test]
fn settings_are_acknowledged() {
    expect(&settings(&[(1, 0), (2, 0), (3, 5), (4, 70_000), (5, 20_000), (6, 9), (0x99, 7)]), &[], &["SETTINGS ACK"]);
    expect(&settings_ack(), &[], &[]);
}

#[test]
fn settings_must_be_well_made() {
    expect_end(&raw(4, 0, 0, b"12345"), &[], 0, "FRAME_SIZE_ERROR");
    expect_end(&raw(4, flag::ACK, 0, &[0, 3, 0, 0, 0, 1]), &[], 0, "FRAME_SIZE_ERROR");
    expect_end(&raw(4, 0, 1, &[]), &[], 0, "PROTOCOL_ERROR");
    expect_end(&settings(&[(2, 2)]), &[], 0, "PROTOCOL_ERROR");
    expect_end(&settings(&[(4, 1 << 31)]), &[], 0, "FLOW_CONTROL_ERROR");
    expect_end(&settings(&[(5, 16_383)]), &[], 0, "PROTOCOL_ERROR");
    expect_end(&settings(&[(5, 1 << 24)]), &[], 0, "PROTOCOL_ERROR");
    expect_end(&settings(&[(8, 2)]), &[], 0, "PROTOCOL_ERROR");
    expect_end(&settings(&[(9, 2)]), &[], 0, "PROTOCOL_ERROR");
    expect(
        &join(&[settings(&[(9, 1)]), settings(&[(9, 0)])]),
        &["fatal PROTOCOL_ERROR"],
        &["SETTINGS ACK", "GOAWAY 0 PROTOCOL_ERROR"],
    );
}

#[test]
fn a_frame_may_be_as_large_as_we_said_and_no_larger() {
    let mut open = post(1);
    open.extend(data(1, 0, &[b'x'; 16_384]));
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&open);
    assert_eq!(peer.events().len(), 2);
    for kind in [0u8, 1, 2, 3, 4, 6, 7, 8, 9, 0x10, 0x77] {
        let mut peer = Peer::new(&Limits::default());
        peer.feed(&raw(kind, 0, 1, &[0; 16_385])[..9]);
        assert_eq!(peer.events(), ["fatal FRAME_SIZE_ERROR"], "kind {kind}");
    }
}

#[test]
fn frames_of_unknown_kinds_and_unknown_flags_are_ignored() {
    expect(&join(&[raw(0xbe, 0xff, 0, b"anything"), raw(0x20, 0, 77, b""), get(1)]), &["request 1 GET / end"], &[]);
    expect(&raw(1, END | 0xc2, 1, &block(&GET)), &["request 1 GET / end"], &[]);
}

#[test]
fn the_reserved_bit_is_ignored() {
    expect(&raw(1, END, 0x8000_0001, &block(&GET)), &["request 1 GET / end"], &[]);
    expect(&raw(8, 0, 0, &0x8000_0001u32.to_be_bytes()), &[], &[]);
}

#[test]
fn push_promise_is_an_error() {
    expect_end(&raw(5, 4, 1, &[0, 0, 0, 2]), &[], 0, "PROTOCOL_ERROR");
}

#[test]
fn the_clients_goaway_is_told_and_its_open_streams_go_on() {
    let mut goaway = raw(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2, b'd']);
    goaway.splice(0..0, post(1));
    goaway.extend(data(1, flag::END_STREAM, b"x"));
    expect(&goaway, &["request 1 POST /", "goaway INTERNAL_ERROR", "data 1 x end"], &[]);
    expect_end(&raw(7, 0, 1, &[0; 8]), &[], 0, "PROTOCOL_ERROR");
    expect_end(&raw(7, 0, 0, &[0; 7]), &[], 0, "FRAME_SIZE_ERROR");
}

#[test]
fn a_drain_goes_in_two_steps() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&post(1));
    peer.connection.shut_down();
    peer.connection.shut_down();
    assert_eq!(peer.output(), ["GOAWAY 2147483647 NO_ERROR"]);
    // What was on its way is served.
    peer.feed(&post(3));
    assert_eq!(peer.events(), ["request 1 POST /", "request 3 POST /"]);
    peer.connection.close(ErrorCode::NO_ERROR);
    peer.connection.close(ErrorCode::NO_ERROR);
    assert_eq!(peer.output(), ["GOAWAY 3 NO_ERROR"]);
    assert_eq!((peer.connection.last_stream(), peer.connection.open_streams()), (3, 2));
    // What comes later is not, but the tables and the window are kept right.
    let mut indexed = raw(1, OPEN, 5, &block(&POST));
    let value = b"\x40\x01k\x01v";
    let len = indexed.len() - HEADER_LEN + value.len();
    indexed[2] = len as u8;
    indexed.extend(value);
    peer.feed(&indexed);
    peer.feed(&data(5, 0, &[0; 16_000]));
    peer.feed(&window_update(5, 1));
    peer.feed(&rst_stream(5, 8));
    assert!(peer.events().is_empty() && peer.output().is_empty());
    let mut trailers = raw(1, END, 1, b"\xbe");
    trailers.extend(data(3, flag::END_STREAM, b""));
    peer.feed(&trailers);
    assert_eq!(peer.events(), ["trailers 1 k=v", "data 3  end"]);
    assert!(!peer.connection.is_drained());
    let (one, three) = (peer.key(1), peer.key(3));
    assert!(peer.connection.respond(one, &[0x88], true));
    assert!(!peer.connection.is_drained());
    assert!(peer.connection.respond(three, &[0x88], true));
    assert!(peer.connection.is_drained() && !peer.connection.is_ended());
    assert_eq!(peer.output(), ["HEADERS 1 :status=200 end", "HEADERS 3 :status=200 end"]);
}

#[test]
fn streams_behind_the_last_one_are_ignored_however_many_they_are() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&get(1));
    peer.connection.close(ErrorCode::NO_ERROR);
    peer.output();
    for at in 1..300 {
        peer.feed(&post(2 * at + 1));
    }
    peer.feed(&join(&[data(3, 0, b"x"), headers(3, END, &[("x", "y")]), rst_stream(5, 8)]));
    assert_eq!(peer.events(), ["request 1 GET / end"]);
    assert!(peer.output().is_empty() && peer.connection.last_stream() == 1);
}

#[test]
fn a_goaway_with_an_error_may_follow_one_without() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&get(7));
    peer.connection.close(ErrorCode::NO_ERROR);
    peer.connection.close(ErrorCode::ENHANCE_YOUR_CALM);
    assert_eq!(peer.output(), ["GOAWAY 7 NO_ERROR", "GOAWAY 7 ENHANCE_YOUR_CALM"]);
}

#[test]
fn an_error_names_the_last_stream() {
    expect(
        &join(&[get(1), get(9), raw(6, 0, 0, b"1")]),
        &["request 1 GET / end", "request 9 GET / end", "fatal FRAME_SIZE_ERROR"],
        &["GOAWAY 9 FRAME_SIZE_ERROR"],
    );
}

#[test]
fn a_connection_is_at_rest_between_requests_alone() {
    let mut peer = Peer::silent(&Limits::default());
    assert!(!peer.connection.is_at_rest());
    peer.feed(PREFACE);
    peer.feed(&settings(&[]));
    assert!(peer.connection.is_at_rest());
    peer.feed(&get(1)[..5]);
    assert!(!peer.connection.is_at_rest());
    peer.feed(&get(1)[5..]);
    assert!(!peer.connection.is_at_rest());
    let key = peer.key(1);
    assert!(peer.connection.answer(key, &[0x88], b"hi"));
    assert!(peer.connection.is_at_rest());
    peer.feed(&raw(1, flag::END_STREAM, 3, &block(&GET)));
    assert!(!peer.connection.is_at_rest());
}
