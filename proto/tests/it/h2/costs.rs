//! What a request and a connection at rest cost in memory.

use super::*;
use anygate_shard::testing::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// So many requests behind one another, as a browser's are after its first.
fn requests(first: u32, count: u32) -> Vec<u8> {
    let mut input = Vec::new();
    for at in 0..count {
        // GET, http, /, and an authority and an agent of the dynamic table.
        input.extend(raw(1, END, first + 2 * at, &[0x82, 0x86, 0x84, 0xbf, 0xbe]));
    }
    input
}

fn warm() -> Peer {
    let mut peer = Peer::new(&Limits::default());
    let mut first = vec![0x82, 0x86, 0x84];
    first.extend(b"\x41\x0bexample.com\x7a\x08test/1.0");
    peer.feed(&raw(1, END, 1, &first));
    let key = peer.key(1);
    assert!(peer.connection.answer(key, &[0x88], b"hello"));
    peer
}

/// Answers every request of `input`.
fn serve(connection: &mut Connection, input: &[u8]) -> u32 {
    let (mut at, mut count) = (0, 0);
    while let Ok(Some(event)) = connection.next(input, &mut at) {
        if let Event::Request { stream, .. } = event {
            assert_eq!(connection.request().authority(), b"example.com");
            assert!(connection.answer(stream, &[0x88], b"hello"));
            count += 1;
        }
    }
    count
}

#[test]
fn a_request_allocates_nothing_once_its_connection_is_warm() {
    let mut peer = warm();
    let mut next = 3;
    for round in 0..50 {
        let input = requests(next, 32);
        next += 64;
        let before = CountingAllocator::allocations();
        assert_eq!(serve(&mut peer.connection, &input), 32);
        let used = CountingAllocator::allocations() - before;
        assert!(round < 2 || used == 0, "{used} allocations in round {round}");
        peer.connection.output().clear();
    }
}

#[test]
fn a_stream_that_goes_the_long_way_allocates_what_its_owner_keeps_alone() {
    let mut peer = warm();
    let mut next = 3;
    for round in 0..20 {
        let input =
            join(&[raw(1, OPEN, next, &[0x82, 0x86, 0x84, 0xbf, 0xbe]), data(next, flag::END_STREAM, b"content")]);
        let mut at = 0;
        let before = CountingAllocator::allocations();
        let Ok(Some(Event::Request { stream, .. })) = peer.connection.next(&input, &mut at) else {
            panic!("a request")
        };
        let Ok(Some(Event::Data { .. })) = peer.connection.next(&input, &mut at) else { panic!("content") };
        peer.connection.consumed(stream, 7);
        assert!(peer.connection.respond(stream, &[0x88], false));
        peer.connection.wants(stream);
        assert_eq!(peer.connection.turn().map(|(key, _)| key), Some(stream));
        assert!(peer.connection.data(stream, 0, true));
        let used = CountingAllocator::allocations() - before;
        assert!(round < 2 || used == 0, "{used} allocations in round {round}");
        peer.connection.output().clear();
        next += 2;
    }
}

#[test]
fn a_connection_at_rest_holds_little() {
    let before = CountingAllocator::live_bytes();
    let mut peer = warm();
    let connection = &mut peer.connection;
    for round in 0..20 {
        serve(connection, &requests(3 + 200 * round, 100));
        connection.output().clear();
    }
    let mut at = 0;
    let _ = connection.next(&raw(1, END, 9001, &block(&with(&GET, &[("x", &"y".repeat(9000))]))), &mut at);
    assert_eq!(connection.open_streams(), 1);
    connection.reset(StreamKey { index: 0, id: 9001 }, ErrorCode::CANCEL);
    connection.output().clear();
    connection.trim();
    assert!(connection.is_at_rest());
    peer.events = Vec::new();
    peer.keys = Vec::new();
    peer.decoder = hpack::Decoder::new(4096);
    let heap = CountingAllocator::live_bytes() - before;
    let inline = size_of::<Connection>();
    // The two entries of the dynamic table included.
    assert!(inline as i64 + heap <= 2048, "{inline} bytes and {heap} bytes of heap");
    // And it serves on.
    assert_eq!(serve(connection, &requests(9003, 32)), 32);
}

#[test]
fn a_new_connection_holds_its_settings_alone() {
    let before = CountingAllocator::live_bytes();
    let connection = Connection::new(&Limits::default());
    let heap = CountingAllocator::live_bytes() - before;
    assert!(heap <= 128, "{heap} bytes of heap");
    drop(connection);
}
