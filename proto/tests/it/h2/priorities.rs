//! In which order answers leave (RFC 9218).

use super::*;
use anygate_proto::h2::PriorityField;

const OK: &[u8] = &[0x88];

fn update(id: u32, value: &str) -> Vec<u8> {
    let mut payload = id.to_be_bytes().to_vec();
    payload.extend(value.as_bytes());
    raw(0x10, 0, 0, &payload)
}

/// Requests with these `priority` fields, all with content to send; windows without bounds.
fn asked(fields: &[(u32, &str)]) -> Peer {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&settings(&[(4, 1 << 30)]));
    peer.feed(&window_update(0, 1 << 30));
    for (id, value) in fields {
        peer.feed(&headers(*id, END, &with(&GET, &[("priority", value)])));
        let key = peer.key(*id);
        assert!(peer.connection.respond(key, OK, false));
        peer.connection.wants(key);
    }
    peer.output();
    peer
}

/// The streams whose frames leave, when each has so many left.
fn order(peer: &mut Peer, frames: &[(u32, usize)]) -> Vec<u32> {
    let mut left = frames.to_vec();
    let mut order = Vec::new();
    while let Some((key, allowed)) = peer.connection.turn() {
        let frames = left.iter_mut().find(|(id, _)| *id == key.id).map(|(_, left)| left).expect("it wanted a turn");
        *frames -= 1;
        assert!(peer.connection.data(key, allowed, *frames == 0));
        order.push(key.id);
    }
    order
}

#[test]
fn answers_of_no_use_in_parts_go_one_after_another() {
    let mut peer = asked(&[(1, ""), (3, ""), (5, "u=3")]);
    assert_eq!(order(&mut peer, &[(1, 2), (3, 2), (5, 2)]), [1, 1, 3, 3, 5, 5]);
}

#[test]
fn the_order_of_streams_counts_and_not_that_of_asking() {
    let mut peer = asked(&[(1, ""), (3, ""), (5, "")]);
    for id in [1, 3, 5] {
        let key = peer.key(id);
        peer.connection.rests(key);
    }
    for id in [3, 5, 1] {
        let key = peer.key(id);
        peer.connection.wants(key);
    }
    assert_eq!(order(&mut peer, &[(1, 1), (3, 1), (5, 1)]), [1, 3, 5]);
}

#[test]
fn answers_of_use_in_parts_share() {
    let mut peer = asked(&[(1, "i"), (3, "i"), (5, "i")]);
    assert_eq!(order(&mut peer, &[(1, 3), (3, 2), (5, 1)]), [1, 3, 5, 1, 3, 1]);
}

#[test]
fn both_kinds_of_one_urgency_take_turns() {
    let mut peer = asked(&[(1, ""), (3, "i"), (5, "i"), (7, "")]);
    assert_eq!(order(&mut peer, &[(1, 2), (3, 2), (5, 1), (7, 1)]), [1, 3, 1, 5, 7, 3]);
}

#[test]
fn the_urgent_go_first() {
    let mut peer = asked(&[(1, "u=7"), (3, "u=5, i"), (5, "u=0"), (7, ""), (9, "u=0, i")]);
    assert_eq!(order(&mut peer, &[(1, 1), (3, 2), (5, 2), (7, 1), (9, 2)]), [5, 9, 5, 9, 7, 3, 3, 1]);
}

#[test]
fn priority_update_changes_an_answer_on_its_way() {
    let mut peer = asked(&[(1, ""), (3, ""), (5, "")]);
    peer.feed(&update(5, "u=1"));
    peer.feed(&update(1, "u=4"));
    assert_eq!(order(&mut peer, &[(1, 1), (3, 1), (5, 1)]), [5, 3, 1]);
    let key = peer.key(1);
    assert!(!peer.connection.is_open(key));
    peer.feed(&update(1, "u=0"));
}

#[test]
fn a_user_may_change_it_too() {
    let mut peer = asked(&[(1, ""), (3, "")]);
    let three = peer.key(3);
    let priority = anygate_proto::h2::Priority { urgency: 0, incremental: true };
    peer.connection.set_priority(three, priority);
    assert_eq!(peer.connection.priority(three), priority);
    assert_eq!(order(&mut peer, &[(1, 1), (3, 1)]), [3, 1]);
    assert_eq!(peer.connection.priority(three), anygate_proto::h2::Priority::default());
}

#[test]
fn priority_update_may_come_before_its_stream_and_wins_over_the_field() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&join(&[update(5, "u=6"), update(3, "u=1"), update(5, "u=0, i")]));
    peer.feed(&headers(5, END, &with(&GET, &[("priority", "u=7")])));
    let five = peer.key(5);
    let priority = peer.connection.priority(five);
    assert_eq!((priority.urgency, priority.incremental), (0, true));
    // What was passed over is forgotten.
    peer.feed(&headers(7, END, &with(&GET, &[("priority", "u=2")])));
    let seven = peer.key(7);
    assert_eq!(peer.connection.priority(seven).urgency, 2);
}

#[test]
fn the_lines_of_a_priority_field_are_one_dictionary() {
    for (lines, urgency, incremental) in [
        (&["u=1", "i"][..], 1, true),
        (&["u=1, i", "u=2"], 2, true),
        (&["i=?0", "u=0", "i"], 0, true),
        (&["u=1", "u=9"], 3, false),
        (&["u=1", "i,"], 3, false),
        (&["u=1", ""], 3, false),
    ] {
        let fields: Vec<_> = lines.iter().map(|&line| ("priority", line)).collect();
        let mut peer = Peer::new(&Limits::default());
        peer.feed(&headers(1, END, &with(&GET, &fields)));
        let priority = peer.connection.priority(peer.key(1));
        assert_eq!((priority.urgency, priority.incremental), (urgency, incremental), "{lines:?}");
    }
}

#[test]
fn a_response_says_over_its_request_which_goes_first() {
    let said = |value: &[u8]| {
        let mut field = PriorityField::default();
        field.add(value);
        field
    };
    let mut peer = asked(&[(1, "u=2"), (3, "u=4, i"), (5, "u=5"), (7, "u=6")]);
    for (id, value, expected) in
        [(3, &b"u=1"[..], (1, true)), (5, b"i", (5, true)), (7, b"u=x", (6, false)), (1, b"u=7, i=?1", (7, true))]
    {
        let key = peer.key(id);
        peer.connection.prefer(key, &said(value));
        let priority = peer.connection.priority(key);
        assert_eq!((priority.urgency, priority.incremental), expected, "{id}");
    }
    // The client's last word counts.
    peer.feed(&update(7, "u=0"));
    assert_eq!(order(&mut peer, &[(1, 1), (3, 1), (5, 1), (7, 1)]), [7, 3, 5, 1]);
    let over = peer.key(1);
    peer.connection.prefer(over, &said(b"u=0"));
    assert!(peer.connection.turn().is_none());
}

#[test]
fn priority_update_must_be_well_made() {
    expect_end(&update(0, "u=1"), &[], 0, "PROTOCOL_ERROR");
    expect_end(&update(2, "u=1"), &[], 0, "PROTOCOL_ERROR");
    expect_end(&raw(0x10, 0, 1, &[0, 0, 0, 1]), &[], 0, "PROTOCOL_ERROR");
    expect_end(&raw(0x10, 0, 0, &[0, 0, 1]), &[], 0, "FRAME_SIZE_ERROR");
    expect(&join(&[update(1, "u=\u{0}{"), get(1)]), &["request 1 GET / end"], &[]);
    expect(&update(0x8000_0001, ""), &[], &[]);
}

#[test]
fn no_more_streams_get_a_priority_beforehand_than_may_be_open() {
    let limits = Limits { max_streams: 3, ..Limits::default() };
    let known = join(&[settings_ack(), get(1), update(3, ""), update(5, ""), update(3, "i")]);
    expect_with(&limits, &known, &["request 1 GET / end"], &[]);
    expect_with(
        &limits,
        &join(&[known, update(7, "")]),
        &["request 1 GET / end", "fatal PROTOCOL_ERROR"],
        &["GOAWAY 1 PROTOCOL_ERROR"],
    );
}

#[test]
fn a_whole_answer_does_not_overtake_those_that_go_before_it() {
    let mut peer = asked(&[(3, "u=3"), (5, "u=5")]);
    for (id, value, goes) in
        [(7, "u=2", true), (9, "u=3", false), (11, "u=4", false), (13, "u=3, i", false), (15, "u=0, i", true)]
    {
        peer.feed(&headers(id, END, &with(&GET, &[("priority", value)])));
        let key = peer.key(id);
        assert_eq!(peer.connection.answer(key, OK, b"x"), goes, "{value}");
        // What has no content waits for nobody.
        assert!(goes || peer.connection.answer(key, OK, b""));
    }
    let mut peer = asked(&[(1, ""), (5, "")]);
    let one = peer.key(1);
    peer.connection.rests(one);
    assert!(peer.connection.answer(one, OK, b"x"), "an earlier stream goes first");
}

#[test]
fn a_stream_that_waits_for_its_window_holds_up_nobody() {
    let mut peer = Peer::new(&Limits::default());
    peer.feed(&settings(&[(4, 10)]));
    for id in [1, 3] {
        peer.feed(&get(id));
        let key = peer.key(id);
        assert!(peer.connection.respond(key, OK, false));
        peer.connection.wants(key);
    }
    let (one, three) = (peer.key(1), peer.key(3));
    assert!(peer.connection.data(one, 10, false));
    assert_eq!(peer.connection.turn(), Some((one, 0)));
    assert_eq!(peer.connection.turn(), Some((three, 10)));
    assert!(peer.connection.data(three, 10, false));
    peer.feed(&window_update(3, 5));
    peer.feed(&window_update(1, 5));
    assert_eq!(peer.connection.turn(), Some((one, 5)));
}
