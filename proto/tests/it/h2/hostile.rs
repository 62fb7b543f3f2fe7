//! What a client comes to that means harm, or that keeps to the rules at their edges.

use super::*;

/// The increments that the connection (0) or a stream was told.
fn given(output: &[String], stream: u32) -> u64 {
    let head = format!("WINDOW_UPDATE {stream} ");
    output.iter().filter_map(|frame| frame.strip_prefix(&head)?.parse::<u64>().ok()).sum()
}

/// So much content, in frames.
fn upload(stream: u32, mut len: usize) -> Vec<u8> {
    let mut input = Vec::new();
    while len > 0 {
        let piece = len.min(16_384);
        input.extend(data(stream, 0, &vec![b'x'; piece]));
        len -= piece;
    }
    input
}

#[test]
fn a_window_that_our_settings_make_smaller_than_what_came_opens_again() {
    let limits = Limits { window: 16_384, ..Limits::default() };
    let mut peer = Peer::new(&limits);
    peer.feed(&post(1));
    peer.feed(&upload(1, 30_000));
    let key = peer.key(1);
    peer.connection.consumed(key, 30_000);
    // All that came was taken. The client now learns that 16,384 bytes may be on their way, and has sent more than those.
    peer.feed(&settings_ack());
    let output = peer.output();
    assert_eq!(given(&output, 1), 30_000, "{output:?}");
}

#[test]
fn uploads_that_nobody_takes_do_not_shut_the_connection_to_others() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&settings_ack());
    for id in [1, 3, 5] {
        peer.feed(&post(id));
        peer.feed(&upload(id, 256 << 10));
    }
    // 256 KiB are left to the connection, and this one is taken as it comes.
    peer.feed(&post(7));
    peer.feed(&upload(7, 256 << 10));
    let key = peer.key(7);
    peer.connection.consumed(key, 256 << 10);
    let output = peer.output();
    assert_eq!(given(&output, 0), 256 << 10, "{output:?}");
}

#[test]
fn a_frame_that_means_nothing_and_never_ends_is_a_partial_one() {
    let mut peer = Peer::new(&Limits::default());
    let unknown = raw(0x77, 0, 0, &[0; 100]);
    peer.feed(&unknown[..50]);
    assert!(peer.connection.is_partial() && !peer.connection.is_at_rest());
    peer.feed(&unknown[50..]);
    assert!(!peer.connection.is_partial() && peer.connection.is_at_rest());
    // Content of a stream that is over is nobody's either, and nobody else's time runs for it.
    for flags in [0, flag::PADDED] {
        let mut peer = Peer::new(&Limits::default());
        peer.feed(&post(1));
        let key = peer.key(1);
        peer.connection.reset(key, ErrorCode::CANCEL);
        let content = data(1, flags, &[0; 100]);
        for cut in [9, 10, 50] {
            let mut peer = Peer::new(&Limits::default());
            peer.feed(&post(1));
            let key = peer.key(1);
            peer.connection.reset(key, ErrorCode::CANCEL);
            peer.feed(&content[..cut]);
            assert!(peer.connection.is_partial(), "cut at {cut}");
        }
    }
    // While a stream is open its own time runs.
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&post(1));
    peer.feed(&data(1, 0, b"content")[..12]);
    assert!(!peer.connection.is_partial());
}

#[test]
fn a_ping_for_each_frame_of_content_is_free() {
    let mut peer = Peer::new(&Limits { pings: 2, ..Limits::default() });
    let ping = raw(6, 0, 0, b"12345678");
    // gRPC measures its path so, with a PING for each piece that comes.
    for at in 0..100 {
        peer.feed(&get(2 * at + 1));
        let key = peer.key(2 * at + 1);
        assert!(peer.connection.answer(key, &[0x88], b"x"));
        peer.feed(&ping);
        peer.output();
        assert!(!peer.dead, "{at}");
    }
    for _ in 0..3 {
        assert!(!peer.dead);
        peer.feed(&ping);
    }
    assert_eq!(peer.events().last().map(String::as_str), Some("fatal ENHANCE_YOUR_CALM Pings"));
}

#[test]
fn streams_behind_the_last_one_use_no_budget_up() {
    let mut peer = Peer::new(&Limits { unknown: 3, ..Limits::default() });
    peer.feed(&get(1));
    peer.connection.close(ErrorCode::NO_ERROR);
    // As many as may be open are on their way when the client hears of it.
    for at in 1..200 {
        peer.feed(&get(2 * at + 1));
    }
    let key = peer.key(1);
    assert!(!peer.dead && peer.connection.answer(key, &[0x88], b"x"));
    assert!(peer.connection.is_drained());
}
