//! How answers leave: heads, content within the client's windows, ends (RFC 9113 §5.2, §6.9, §8.1).

use super::*;

const OK: &[u8] = &[0x88];

/// A connection with requests on these streams, whose output is empty.
fn asked(limits: &Limits, theirs: &[(u16, u32)], ids: &[u32]) -> Peer {
    let mut peer = Peer::new(limits);
    peer.feed(&settings(theirs));
    for &id in ids {
        peer.feed(&get(id));
    }
    peer.output();
    peer.events();
    peer
}

/// Sends as a user does who has so much content for each stream, until nobody may send.
fn pump(peer: &mut Peer, content: &mut [(StreamKey, usize)]) {
    while let Some((key, allowed)) = peer.connection.turn() {
        let left = content.iter_mut().find(|(other, _)| *other == key).map(|(_, left)| left).expect("it wanted a turn");
        let now = allowed.min(*left);
        if now == 0 && *left > 0 {
            continue;
        }
        *left -= now;
        assert!(peer.connection.data(key, now, *left == 0));
        let length = peer.connection.output().len();
        peer.connection.output().resize(length + now, b'.');
    }
}

#[test]
fn a_small_answer_leaves_whole() {
    let mut peer = asked(&Limits::default(), &[], &[1, 3]);
    let (one, three) = (peer.key(1), peer.key(3));
    assert!(peer.connection.answer(three, OK, b"hello"));
    assert!(peer.connection.answer(one, &[0x89], b""));
    assert_eq!(peer.output(), ["HEADERS 3 :status=200", "DATA 3 hello end", "HEADERS 1 :status=204 end"]);
    assert!(!peer.connection.is_open(one) && peer.connection.open_streams() == 0);
    assert!(!peer.connection.answer(one, OK, b"again") && !peer.connection.respond(one, OK, true));
    assert!(!peer.connection.data(one, 0, true) && !peer.connection.end_with(one, OK));
    assert!(!peer.connection.inform(one, OK));
    peer.connection.wants(one);
    assert_eq!(peer.connection.turn(), None);
    assert!(peer.output().is_empty());
}

#[test]
fn an_answer_larger_than_a_frame_leaves_in_frames() {
    let mut peer = asked(&Limits::default(), &[], &[1]);
    let key = peer.key(1);
    assert!(peer.connection.answer(key, OK, &[b'x'; 40_000]));
    assert_eq!(
        peer.output(),
        ["HEADERS 1 :status=200", "DATA 1 16384 bytes", "DATA 1 16384 bytes", "DATA 1 7232 bytes end"]
    );
}

#[test]
fn an_answer_that_a_window_does_not_let_through_is_not_begun() {
    let mut peer = asked(&Limits::default(), &[(4, 10)], &[1, 3]);
    let (one, three) = (peer.key(1), peer.key(3));
    assert_eq!(peer.connection.window_left(one), 10);
    assert!(!peer.connection.answer(one, OK, b"eleven bytes"));
    assert!(peer.output().is_empty());
    assert!(peer.connection.answer(one, OK, b"ten bytes."));
    assert!(!peer.connection.answer(three, OK, b"eleven bytes"));
    peer.feed(&window_update(3, 2));
    assert!(peer.connection.answer(three, OK, b"eleven bytes"));
    // The connection's own window.
    let mut peer = asked(&Limits::default(), &[(4, 1 << 20)], &[1, 3]);
    let (one, three) = (peer.key(1), peer.key(3));
    assert!(peer.connection.answer(one, OK, &[0; 65_530]));
    assert_eq!((peer.connection.window_left(three), peer.connection.connection_window_left()), (5, 5));
    assert!(!peer.connection.answer(three, OK, b"sixsix"));
    peer.feed(&window_update(0, 1));
    assert!(peer.connection.answer(three, OK, b"sixsix"));
}

#[test]
fn content_leaves_as_the_windows_allow() {
    let mut peer = asked(&Limits::default(), &[(4, 100)], &[1]);
    let key = peer.key(1);
    assert!(peer.connection.respond(key, OK, false));
    peer.connection.wants(key);
    let mut content = [(key, 250)];
    pump(&mut peer, &mut content);
    assert_eq!(peer.output(), ["HEADERS 1 :status=200", "DATA 1 100 bytes"]);
    peer.feed(&window_update(1, 60));
    pump(&mut peer, &mut content);
    assert_eq!(peer.output(), ["DATA 1 60 bytes"]);
    peer.feed(&settings(&[(4, 150)]));
    pump(&mut peer, &mut content);
    assert_eq!(peer.output(), ["SETTINGS ACK", "DATA 1 50 bytes"]);
    // A window that became negative has to be made up for.
    peer.feed(&settings(&[(4, 50)]));
    peer.feed(&window_update(1, 100));
    pump(&mut peer, &mut content);
    assert_eq!(peer.output(), ["SETTINGS ACK"]);
    peer.feed(&window_update(1, 1));
    pump(&mut peer, &mut content);
    assert_eq!(peer.output(), ["DATA 1 ."]);
    peer.feed(&window_update(1, 1000));
    pump(&mut peer, &mut content);
    assert_eq!(peer.output(), ["DATA 1 39 bytes end"]);
    assert_eq!(peer.connection.open_streams(), 0);
}

#[test]
fn the_connections_window_holds_for_all_streams_together() {
    let mut peer = asked(&Limits::default(), &[(4, 1 << 20)], &[1, 3]);
    let (one, three) = (peer.key(1), peer.key(3));
    for key in [one, three] {
        assert!(peer.connection.respond(key, OK, false));
        peer.connection.wants(key);
    }
    let mut content = [(one, 65_000), (three, 65_000)];
    pump(&mut peer, &mut content);
    assert_eq!(content, [(one, 0), (three, 65_000 - 535)]);
    peer.output();
    peer.feed(&window_update(0, 100));
    pump(&mut peer, &mut content);
    assert_eq!(peer.output(), ["DATA 3 100 bytes"]);
    peer.feed(&window_update(0, 1_000_000));
    pump(&mut peer, &mut content);
    assert_eq!(content, [(one, 0), (three, 0)]);
    assert_eq!(peer.connection.open_streams(), 0);
}

#[test]
fn an_end_needs_no_window() {
    let mut peer = asked(&Limits::default(), &[(4, 0)], &[1, 3, 5]);
    let keys = [peer.key(1), peer.key(3), peer.key(5)];
    for key in keys {
        assert!(peer.connection.respond(key, OK, false));
        peer.connection.wants(key);
    }
    peer.output();
    assert_eq!(peer.connection.turn(), Some((keys[0], 0)));
    assert!(peer.connection.data(keys[0], 0, true));
    assert_eq!(peer.connection.turn(), Some((keys[1], 0)));
    assert!(peer.connection.end_with(keys[1], &block(&[("x", "y")])));
    // The third has content, and waits; it may want again.
    assert_eq!(peer.connection.turn(), Some((keys[2], 0)));
    assert_eq!(peer.connection.turn(), None);
    peer.connection.wants(keys[2]);
    assert_eq!(peer.connection.turn(), Some((keys[2], 0)));
    assert_eq!(peer.connection.turn(), None);
    assert_eq!(peer.output(), ["DATA 1  end", "HEADERS 3 x=y end"]);
    peer.feed(&window_update(5, 9));
    assert_eq!(peer.connection.turn(), Some((keys[2], 9)));
}

#[test]
fn a_turn_that_is_not_used_is_over() {
    let mut peer = asked(&Limits::default(), &[], &[1, 3]);
    let (one, three) = (peer.key(1), peer.key(3));
    for key in [one, three] {
        assert!(peer.connection.respond(key, OK, false));
        peer.connection.wants(key);
    }
    assert_eq!(peer.connection.turn(), Some((one, 16_384)));
    assert_eq!(peer.connection.turn(), Some((three, 16_384)));
    assert_eq!(peer.connection.turn(), None);
    peer.connection.wants(one);
    assert_eq!(peer.connection.turn(), Some((one, 16_384)));
    peer.connection.rests(one);
    assert_eq!(peer.connection.turn(), None);
}

#[test]
fn frames_are_no_larger_than_either_side_wants() {
    for (theirs, expected) in [(16_384, 16_384), (20_000, 16_384), (1 << 20, 16_384)] {
        let mut peer = asked(&Limits::default(), &[(5, theirs)], &[1]);
        let key = peer.key(1);
        peer.connection.wants(key);
        assert_eq!(peer.connection.turn(), Some((key, expected)));
    }
    let large = Limits { max_frame: 100_000, ..Limits::default() };
    let mut peer = asked(&large, &[(5, 20_000)], &[1]);
    let key = peer.key(1);
    peer.connection.wants(key);
    assert_eq!(peer.connection.turn(), Some((key, 20_000)));
}

#[test]
fn a_long_header_block_is_continued() {
    let mut peer = asked(&Limits::default(), &[], &[1]);
    let key = peer.key(1);
    assert!(peer.connection.respond(key, &block(&[("x", &"y".repeat(40_000))]), true));
    assert_eq!(
        peer.output(),
        ["HEADERS 1 16384 bytes end", "CONTINUATION 1 16384 bytes", "CONTINUATION 1 7239 bytes END_HEADERS"]
    );
}

#[test]
fn interim_heads_come_before_the_final_one_alone() {
    let mut peer = asked(&Limits::default(), &[], &[1]);
    let key = peer.key(1);
    let hints = block(&[(":status", "103"), ("link", "</a>")]);
    assert!(peer.connection.inform(key, &hints) && peer.connection.inform(key, &hints));
    assert!(peer.connection.respond(key, OK, false));
    assert!(!peer.connection.inform(key, &hints));
    let interim = "HEADERS 1 :status=103 link=</a>";
    assert_eq!(peer.output(), [interim, interim, "HEADERS 1 :status=200"]);
    // Nor behind an answer that was whole, while its request goes on.
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&post(1));
    let key = peer.key(1);
    assert!(peer.connection.answer(key, OK, b"x") && !peer.connection.inform(key, &hints));
    assert_eq!(peer.output(), ["HEADERS 1 :status=200", "DATA 1 x end"]);
}

#[test]
fn an_early_answer_leaves_the_request_open_until_it_ends_or_is_reset() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&join(&[post(1), post(3), post(5)]));
    for id in [1, 3, 5] {
        let key = peer.key(id);
        assert!(peer.connection.answer(key, OK, b"early"));
        assert!(peer.connection.is_open(key) && !peer.connection.respond(key, OK, true));
        assert_eq!(peer.connection.turn(), None);
    }
    peer.events();
    peer.output();
    peer.feed(&join(&[data(1, 0, b"more"), data(1, flag::END_STREAM, b""), headers(3, END, &[("x", "y")])]));
    assert_eq!(peer.events(), ["data 1 more end", "trailers 3 x=y"]);
    assert_eq!(peer.connection.open_streams(), 1);
    peer.connection.reset(peer.key(5), ErrorCode::NO_ERROR);
    assert_eq!(peer.output(), ["RST_STREAM 5 NO_ERROR"]);
    assert_eq!(peer.connection.open_streams(), 0);
}

#[test]
fn nothing_comes_between_the_header_of_a_frame_and_its_content() {
    let mut peer = Peer::new(&Limits { connection_window: 65_535, ..Limits::default() });
    peer.feed(&post(1));
    for _ in 0..3 {
        peer.feed(&data(1, 0, &[b'x'; 16_000]));
    }
    peer.feed(&data(1, flag::END_STREAM, b"x"));
    let key = peer.key(1);
    assert!(peer.connection.respond(key, OK, false));
    assert!(peer.connection.data(key, 3, true));
    peer.connection.output().extend(b"end");
    assert_eq!(peer.output(), ["HEADERS 1 :status=200", "WINDOW_UPDATE 0 48001", "DATA 1 end end"]);
}

#[test]
fn a_tunnel_ends_on_each_side_by_itself() {
    let connect = headers(1, OPEN, &[(":method", "CONNECT"), (":authority", "a:1")]);
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&connect);
    let key = peer.key(1);
    assert!(peer.connection.respond(key, OK, false));
    assert!(peer.connection.data(key, 0, true));
    peer.events();
    peer.feed(&data(1, 0, b"x"));
    peer.feed(&data(1, flag::END_STREAM, b"y"));
    assert_eq!(peer.events(), ["data 1 xy end"]);
    assert_eq!(peer.connection.open_streams(), 0);
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&connect);
    peer.feed(&headers(1, END, &[("x", "y")]));
    assert_eq!(peer.events(), ["request 1 CONNECT a:1", "reset 1 PROTOCOL_ERROR"]);
}

#[test]
fn a_window_above_its_maximum_is_an_error() {
    expect_end(&window_update(0, 0x7fff_0001), &[], 0, "FLOW_CONTROL_ERROR");
    expect(&window_update(0, 0x7fff_0000), &[], &[]);
    expect(
        &join(&[get(1), window_update(1, 0x7fff_0001)]),
        &["request 1 GET / end", "reset 1 FLOW_CONTROL_ERROR"],
        &["RST_STREAM 1 FLOW_CONTROL_ERROR"],
    );
    let grown = join(&[settings(&[(4, 0)]), get(1), window_update(1, 1), settings(&[(4, 0x7fff_ffff)])]);
    expect(
        &grown,
        &["request 1 GET / end", "fatal FLOW_CONTROL_ERROR"],
        &["SETTINGS ACK", "GOAWAY 1 FLOW_CONTROL_ERROR"],
    );
}

#[test]
fn a_window_update_of_0_is_an_error() {
    expect_end(&window_update(0, 0), &[], 0, "PROTOCOL_ERROR");
    expect(
        &join(&[get(1), window_update(1, 0)]),
        &["request 1 GET / end", "reset 1 PROTOCOL_ERROR"],
        &["RST_STREAM 1 PROTOCOL_ERROR"],
    );
}

#[test]
fn a_change_of_the_clients_table_is_said_in_front_of_the_next_block() {
    let mut peer = asked(&Limits::default(), &[], &[1, 3, 5]);
    let keys = [peer.key(1), peer.key(3), peer.key(5)];
    for (at, key) in keys.into_iter().enumerate() {
        if at == 1 {
            peer.feed(&settings(&[(1, 0), (1, 50)]));
            peer.feed(&settings(&[(1, 100)]));
        }
        let mut head = Vec::new();
        peer.connection.encoder().status(200, &mut head);
        peer.connection.encoder().encode(b"server", b"gate", hpack::Indexing::Auto, &mut head);
        assert!(peer.connection.respond(key, &head, true));
    }
    // The tests' decoder follows the same changes.
    let head = |id| format!("HEADERS {id} :status=200 server=gate end");
    let output = std::mem::take(peer.connection.output());
    let second = output.windows(2).filter(|two| two == &[0x20, 0x3f]).count();
    assert_eq!(second, 1, "both sizes are said: {output:?}");
    assert_eq!(peer.words(&output), [&*head(1), "SETTINGS ACK", "SETTINGS ACK", &*head(3), &*head(5)]);
}
