//! What a client may not do too often, and that it is told so (RFC 9113 §10.5).

use super::*;

/// So many are let through, one more is not, and after a refill as many again.
#[track_caller]
fn budget(limits: &Limits, allowed: u32, prepare: &[u8], kind: &str, frame: impl Fn(u32) -> Vec<u8>) {
    let mut peer = Peer::new(limits);
    peer.feed(prepare);
    let mut at = 0;
    for round in 0..2 {
        for _ in 0..allowed {
            peer.feed(&frame(at));
            at += 1;
            assert!(!peer.dead, "round {round}: {at} of {kind}");
        }
        if round == 0 {
            peer.connection.refill();
        }
    }
    peer.output();
    peer.feed(&frame(at));
    assert_eq!(peer.events().last(), Some(&format!("fatal ENHANCE_YOUR_CALM {kind}")));
    let last = peer.connection.last_stream();
    assert_eq!(peer.output(), [format!("GOAWAY {last} ENHANCE_YOUR_CALM")]);
}

fn limits() -> Limits {
    Limits {
        resets: 7,
        pings: 5,
        settings: 4,
        empty_data: 6,
        window_updates: 9,
        priorities: 8,
        unknown: 3,
        continuations: 4,
        head: anygate_proto::Limits { max_header_size: 8192, ..anygate_proto::Limits::default() },
        ..Limits::default()
    }
}

#[test]
fn rapid_reset_is_cut_off() {
    budget(&limits(), 7, &[], "Resets", |at| join(&[post(2 * at + 1), rst_stream(2 * at + 1, 8)]));
}

#[test]
fn made_you_reset_is_cut_off() {
    let id = |at| 2 * at + 1;
    let tricks: [fn(u32) -> Vec<u8>; 6] = [
        |id| window_update(id, 0),
        |id| window_update(id, 0x7fff_ffff),
        |id| data(id, 0, b"x"),
        |id| headers(id, END, &[]),
        |id| raw(2, 0, id, &[0; 4]),
        |id| headers(id, OPEN, &[]),
    ];
    for trick in tricks {
        budget(&limits(), 7, &[], "Resets", |at| join(&[get(id(at)), trick(id(at))]));
    }
    budget(&limits(), 7, &[], "Resets", |at| headers(id(at), END, &[]));
}

#[test]
fn streams_beyond_the_limit_are_refused_and_then_cut_off() {
    let limits = Limits { max_streams: 1, ..limits() };
    budget(&limits, 7, &join(&[settings_ack(), get(1)]), "Resets", |at| get(2 * at + 3));
    let mut peer = Peer::new(&limits);
    peer.feed(&join(&[get(1), get(3), get(5)]));
    assert_eq!((peer.connection.take_refused(), peer.connection.take_refused()), (2, 0));
}

#[test]
fn a_client_that_cannot_know_the_limits_yet_is_refused_and_not_cut_off() {
    let update = |id: u32| raw(0x10, 0, 0, &[&id.to_be_bytes()[..], b"u=1"].concat());
    for (head, with_priorities) in [(END, false), (OPEN, false), (END, true)] {
        let mut peer = Peer::new(&Limits::default());
        for id in (1..2000).step_by(2) {
            if with_priorities {
                peer.feed(&update(id));
            }
            peer.feed(&headers(id, head, &POST));
        }
        // What else left before it heard of the refusals.
        if head == OPEN {
            (1..2000).step_by(2).for_each(|id| peer.feed(&data(id, 0, b"x")));
            (1..2000).step_by(2).for_each(|id| peer.feed(&headers(id, END, &[])));
        }
        assert!(!peer.dead, "{:?}", peer.events.last());
        let output = peer.output();
        assert_eq!(output.iter().filter(|frame| frame.ends_with(" REFUSED_STREAM")).count(), 1000 - 128);
        assert_eq!((output.len(), peer.connection.open_streams()), (1000 - 128, 128));
        // From now on it knows.
        peer.feed(&settings_ack());
        for at in 0..=Limits::default().resets {
            assert!(!peer.dead, "after {at}");
            peer.feed(&get(2001 + 2 * at));
        }
        assert_eq!(peer.events.last().map(String::as_str), Some("fatal ENHANCE_YOUR_CALM Resets"));
    }
}

#[test]
fn a_client_that_never_acknowledges_is_cut_off_all_the_same() {
    let mut peer = Peer::new(&Limits { max_streams: 1, ..limits() });
    let mut opened = 0;
    while !peer.dead {
        peer.connection.refill();
        for _ in 0..100 {
            peer.feed(&get(2 * opened + 1));
            opened += u32::from(!peer.dead);
        }
        peer.connection.output().clear();
    }
    assert!((4096..4300).contains(&opened), "{opened} streams");
    assert_eq!(peer.events.last().map(String::as_str), Some("fatal ENHANCE_YOUR_CALM Resets"));
}

#[test]
fn a_priority_that_comes_with_each_request_is_free() {
    let limits = limits();
    let mut peer = Peer::new(&limits);
    for id in (1..200u32).step_by(2) {
        let update = raw(0x10, 0, 0, &[&id.to_be_bytes()[..], b"u=1"].concat());
        peer.feed(&join(&[update.clone(), get(id)]));
        let key = peer.key(id);
        assert!(!peer.dead && peer.connection.priority(key).urgency == 1);
        assert!(peer.connection.respond(key, &[0x88], true));
    }
    // For one stream more than one is not.
    for _ in 0..=limits.priorities {
        assert!(!peer.dead);
        peer.feed(&raw(0x10, 0, 0, &[0, 0, 2, 1]));
    }
    assert_eq!(peer.events.last().map(String::as_str), Some("fatal ENHANCE_YOUR_CALM Priorities"));
}

#[test]
fn a_flood_of_pings_is_cut_off() {
    budget(&limits(), 5, &[], "Pings", |at| raw(6, (at % 2) as u8, 0, b"12345678"));
}

#[test]
fn a_flood_of_settings_is_cut_off() {
    budget(
        &limits(),
        4,
        &settings_ack(),
        "Settings",
        |at| if at % 2 == 0 { settings(&[(4, at)]) } else { settings_ack() },
    );
}

#[test]
fn a_flood_of_empty_frames_is_cut_off() {
    budget(&limits(), 6, &post(1), "EmptyData", |_| data(1, 0, b""));
    budget(&limits(), 6, &post(1), "EmptyData", |_| raw(0, flag::PADDED, 1, &[3, 0, 0, 0]));
    // For a stream that is over too.
    budget(&Limits { resets: 99, ..limits() }, 6, &join(&[post(1), rst_stream(1, 0)]), "EmptyData", |_| {
        data(1, 0, b"")
    });
}

#[test]
fn a_flood_of_window_updates_is_cut_off() {
    budget(&limits(), 9, &[], "WindowUpdates", |_| window_update(0, 1));
    budget(&limits(), 9, &get(1), "WindowUpdates", |at| window_update(at % 2, 1));
}

#[test]
fn window_updates_are_free_where_content_was_sent() {
    let mut peer = Peer::new(&limits());
    peer.feed(&get(1));
    let key = peer.key(1);
    peer.connection.wants(key);
    for _ in 0..1000 {
        let Some((_, allowed)) = peer.connection.turn() else { panic!("there is room") };
        assert!(peer.connection.data(key, allowed.min(100), false));
        peer.feed(&join(&[window_update(0, 100), window_update(1, 100)]));
    }
    assert!(!peer.dead);
}

#[test]
fn a_flood_of_priorities_is_cut_off() {
    budget(&limits(), 8, &get(1), "Priorities", |at| {
        if at % 2 == 0 { raw(2, 0, 1, &[0; 5]) } else { raw(0x10, 0, 0, &[0, 0, 0, 1, b'i']) }
    });
}

#[test]
fn a_flood_of_frames_that_mean_nothing_is_cut_off() {
    budget(&limits(), 3, &[], "Unknown", |at| raw(0x80 + at as u8, 0, 0, b"x"));
    budget(&limits(), 3, &[], "Unknown", |_| raw(7, 0, 0, &[0; 8]));
    let mut peer = Peer::new(&limits());
    peer.feed(&get(1));
    peer.connection.reset(peer.key(1), ErrorCode::CANCEL);
    for at in 0..4 {
        assert!(!peer.dead, "{at}");
        peer.feed(&headers(1, END, &[]));
    }
    assert_eq!(peer.events().last().map(String::as_str), Some("fatal ENHANCE_YOUR_CALM Unknown"));
}

#[test]
fn resets_that_cross_an_answer_are_free() {
    let mut peer = Peer::new(&limits());
    for at in 0..100 {
        let id = 2 * at + 1;
        peer.feed(&get(id));
        let key = peer.key(id);
        assert!(peer.connection.answer(key, &[0x88], b"x"));
        peer.feed(&rst_stream(id, 8));
        peer.output();
    }
    assert!(!peer.dead);
    for _ in 0..8 {
        assert!(!peer.dead);
        peer.feed(&rst_stream(1, 8));
    }
    assert_eq!(peer.events().last().map(String::as_str), Some("fatal ENHANCE_YOUR_CALM Resets"));
}

#[test]
fn a_header_block_of_too_many_frames_is_cut_off() {
    let begin = raw(1, flag::END_STREAM, 1, &[]);
    let more = |flags| raw(9, flags, 1, &block(&[("x", "y")]));
    let mut peer = Peer::new(&limits());
    peer.feed(&join(&[begin, more(0), more(0), more(0)]));
    assert!(!peer.dead);
    peer.feed(&more(flag::END_HEADERS));
    assert_eq!(peer.events(), ["fatal ENHANCE_YOUR_CALM Continuations"]);
    // Empty ones count as often as they come.
    let wide = Limits { continuations: 100, ..limits() };
    budget(&wide, 6, &raw(1, flag::END_STREAM, 1, &block(&GET)), "EmptyData", |_| raw(9, 0, 1, b""));
}

#[test]
fn a_header_block_of_too_many_bytes_is_cut_off() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&raw(1, flag::END_STREAM, 1, &[0; 16_384]));
    for _ in 0..3 {
        peer.feed(&raw(9, 0, 1, &[0; 16_384]));
        assert!(!peer.dead);
    }
    peer.feed(&raw(9, 0, 1, &[0]));
    assert_eq!(peer.events(), ["fatal ENHANCE_YOUR_CALM Continuations"]);
}

#[test]
fn a_block_that_decodes_to_much_is_refused_and_not_kept_and_one_to_very_much_is_cut_off() {
    let mut peer = Peer::new(&Limits::default());
    // One entry as large as the table, then it again and again: 25 bytes that mean 100 KB.
    let mut bomb = vec![0x40, 1, b'x'];
    let value = "v".repeat(4000);
    bomb.extend([0x7f, 0x80 | ((value.len() - 127) % 128) as u8, ((value.len() - 127) / 128) as u8]);
    bomb.extend(value.as_bytes());
    bomb.resize(bomb.len() + 25, 0xbe);
    let input = [block(&GET), bomb].concat();
    peer.feed(&raw(1, END, 1, &input));
    assert_eq!(peer.events(), ["refused 1 431 end"]);
    assert!(peer.connection.request().bytes.len() <= 64 << 10);
    peer.feed(&raw(1, END, 3, &[0xbe; 40]));
    assert_eq!(peer.events(), ["fatal ENHANCE_YOUR_CALM Continuations"]);
}
