//! What a client comes to that means harm, or that keeps to the rules at their edges.

use super::*;
use std::time::{Duration, Instant};

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
    let limits = Limits { window: 4096, ..Limits::default() };
    let mut peer = Peer::new(&limits);
    peer.feed(&post(1));
    peer.feed(&upload(1, 16_000));
    let key = peer.key(1);
    peer.connection.consumed(key, 16_000);
    assert!(peer.output().is_empty(), "less than a quarter of the first window");
    // All that came was taken. The client now learns that 4,096 bytes may be on their way, and has sent more than those.
    peer.feed(&settings_ack());
    let output = peer.output();
    assert_eq!(given(&output, 1), 16_000, "{output:?}");
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

/// So many streams that all want to send, opened so that the later ones have the lower indices, while the windows are shut.
fn shut(count: u32, settings_of_client: &[(u16, u32)], priority: &str) -> Peer {
    let limits = Limits { max_streams: count, resets: u32::MAX, settings: 1000, ..Limits::default() };
    let mut peer = Peer::new(&limits);
    peer.feed(&settings(settings_of_client));
    let head = with(&GET, &[("priority", priority)]);
    for at in 0..count {
        peer.feed(&headers(2 * at + 1, END, &head));
    }
    for key in std::mem::take(&mut peer.keys) {
        assert!(peer.connection.answer(key, &[0x88], b""));
    }
    for at in count..2 * count {
        peer.feed(&headers(2 * at + 1, END, &head));
    }
    assert!(peer.keys[0].index > peer.keys[1].index);
    peer
}

#[test]
fn a_byte_of_room_for_a_hundred_streams_is_a_turn_or_two_and_not_a_hundred() {
    for priority in ["u=3", "i"] {
        let mut peer = shut(100, &[(4, 1 << 20)], priority);
        let keys = peer.keys.clone();
        for key in &keys {
            assert!(peer.connection.respond(*key, &[0x88], false));
        }
        // All of the connection's window is taken.
        peer.connection.wants(keys[0]);
        while let Some((key, allowed @ 1..)) = peer.connection.turn() {
            assert!(peer.connection.data(key, allowed, false));
        }
        for key in &keys {
            peer.connection.wants(*key);
        }
        // Each has its chance to say its end, once.
        let mut turns = std::iter::from_fn(|| peer.connection.turn()).collect::<Vec<_>>();
        turns.sort_unstable_by_key(|(key, _)| key.id);
        assert_eq!(turns, keys.iter().map(|key| (*key, 0)).collect::<Vec<_>>());
        let mut taken = vec![0; 400];
        for _ in 0..200 {
            peer.feed(&window_update(0, 1));
            let (key, allowed) = peer.connection.turn().expect("there is room");
            assert_eq!(allowed, 1);
            assert!(peer.connection.data(key, 1, false));
            taken[key.id as usize] += 1;
            // The end may follow the last byte.
            assert_eq!(peer.connection.turn(), Some((key, 0)));
            assert_eq!(peer.connection.turn(), None);
            peer.connection.output().clear();
        }
        let most = if priority == "i" { 2 } else { 200 };
        assert_eq!(taken.iter().max(), Some(&most), "{priority}");
    }
}

#[test]
fn windows_that_shut_and_open_for_thousands_of_streams_cost_little() {
    let mut peer = shut(10_000, &[(4, 0)], "u=3");
    peer.feed(&window_update(0, 1 << 20));
    let keys = peer.keys.clone();
    for key in &keys {
        assert!(peer.connection.respond(*key, &[0x88], false));
        peer.connection.wants(*key);
    }
    let begun = Instant::now();
    for _ in 0..40 {
        assert_eq!(std::iter::from_fn(|| peer.connection.turn()).filter(|(_, allowed)| *allowed > 0).count(), 0);
        peer.feed(&settings(&[(4, 1)]));
        let first = peer.connection.turn();
        assert_eq!(first, Some((keys[0], 1)));
        peer.connection.wants(keys[0]);
        peer.feed(&settings(&[(4, 0)]));
    }
    let spent = begun.elapsed();
    assert!(spent < Duration::from_secs(2), "{spent:?}");
}

#[test]
fn a_stream_that_asks_again_before_the_next_turn_keeps_its_place() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&get(1));
    let key = peer.key(1);
    assert!(peer.connection.respond(key, &[0x88], false));
    peer.connection.wants(key);
    assert!(peer.connection.turn().is_some());
    // The turn was not used, but something has come for it since.
    peer.connection.wants(key);
    assert!(peer.connection.turn().is_some());
    // Not used, and nothing has come.
    assert_eq!(peer.connection.turn(), None);
}

#[test]
fn a_turn_that_was_not_used_is_over_whoever_comes_next() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&join(&[headers(1, END, &GET), headers(3, END, &with(&GET, &[("priority", "u=0")]))]));
    let (one, three) = (peer.key(1), peer.key(3));
    for key in [one, three] {
        assert!(peer.connection.respond(key, &[0x88], false));
    }
    peer.connection.wants(one);
    assert_eq!(peer.connection.turn().map(|(key, _)| key), Some(one));
    peer.connection.wants(three);
    assert_eq!(peer.connection.turn().map(|(key, _)| key), Some(three));
    assert!(peer.connection.data(three, 1, true));
    assert_eq!(peer.connection.turn(), None);
}

#[test]
fn a_block_that_means_much_costs_little() {
    let mut peer = Peer::new(&Limits { table_size: 64 << 10, ..Limits::default() });
    // A name as large as the table, which every two bytes that follow enter again.
    let mut bomb = vec![0x3f, 0xe1, 0xff, 0x03, 0x40, 0x7f, 0x81, 0xfc, 0x03];
    bomb.extend([b'x'; 65_152]);
    bomb.push(0);
    let pieces: Vec<_> = bomb.chunks(16_384).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let ends = if at + 1 == pieces.len() { flag::END_HEADERS } else { 0 };
        peer.feed(&raw(if at == 0 { 1 } else { 9 }, ends, 1, piece));
    }
    assert_eq!(peer.events(), ["refused 1 431"]);
    let begun = Instant::now();
    peer.feed(&raw(1, END, 3, &[0x7e, 0].repeat(8192)));
    let spent = begun.elapsed();
    assert_eq!(peer.events(), ["fatal ENHANCE_YOUR_CALM Continuations"]);
    // It took 140 ms when nothing bounded it.
    assert!(spent < Duration::from_millis(20), "{spent:?}");
}
