//! What holds for whatever a client sends.

use super::*;
use proptest::prelude::*;

/// Frames that are well made, nearly so, or not at all.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let id = || prop::sample::select(vec![0u32, 1, 1, 1, 2, 3, 3, 5, 7, 9, 0x7fff_ffff]);
    let fields = prop::sample::select(vec![
        ("x", "y"),
        ("content-length", "3"),
        ("priority", "u=1, i"),
        ("cookie", "a"),
        ("UPPER", ""),
        (":path", "/"),
        ("te", "trailers"),
        ("host", "a"),
    ]);
    let head =
        (id(), any::<bool>(), any::<bool>(), prop::collection::vec(fields, 0..3)).prop_map(|(id, end, whole, more)| {
            let flags = u8::from(end) | if whole { flag::END_HEADERS } else { 0 };
            headers(id, flags, &with(if end { &GET } else { &POST }, &more))
        });
    let any_frame = (0u8..=0x11, any::<u8>(), id(), prop::collection::vec(any::<u8>(), 0..24))
        .prop_map(|(kind, flags, id, payload)| raw(kind, flags, id, &payload));
    let content = (id(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(id, flags, payload)| raw(0, flags & 9, id, &payload.iter().map(|b| b & 0x7f).collect::<Vec<_>>()));
    let continuation = (id(), any::<bool>())
        .prop_map(|(id, whole)| raw(9, if whole { flag::END_HEADERS } else { 0 }, id, &block(&[("x", "y")])));
    let setting = (0u16..10, any::<u32>(), 0u32..3)
        .prop_map(|(name, value, small)| settings(&[(name, if small > 0 { value >> 14 } else { value })]));
    let window = (id(), any::<u32>(), 0u32..3)
        .prop_map(|(id, value, small)| window_update(id, if small > 0 { value >> 18 } else { value }));
    prop_oneof![
        6 => head,
        4 => content,
        1 => continuation,
        1 => setting,
        2 => window,
        2 => id().prop_map(|id| rst_stream(id, 8)),
        1 => any_frame,
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

/// What a user does between two reads.
#[derive(Clone, Copy, Debug)]
enum Act {
    Nothing,
    Answer(usize),
    Respond(usize, bool),
    Consume(usize),
    Reset(usize),
    Pump,
    Trailers(usize),
    Trim,
    ShutDown,
    Close,
    Refill,
}

fn act() -> impl Strategy<Value = Act> {
    let any_of = 0usize..8;
    prop_oneof![
        3 => Just(Act::Nothing),
        3 => any_of.clone().prop_map(Act::Answer),
        3 => (any_of.clone(), any::<bool>()).prop_map(|(at, end)| Act::Respond(at, end)),
        2 => any_of.clone().prop_map(Act::Consume),
        1 => any_of.clone().prop_map(Act::Reset),
        4 => Just(Act::Pump),
        1 => any_of.prop_map(Act::Trailers),
        1 => Just(Act::Trim),
        1 => Just(Act::ShutDown),
        1 => Just(Act::Close),
        1 => Just(Act::Refill),
    ]
}

fn run(connection: &mut Connection, keys: &[StreamKey], act: Act) {
    let key = |at: usize| keys.iter().rev().nth(at).copied();
    match act {
        Act::Answer(at) => {
            if let Some(key) = key(at) {
                let _ = connection.answer(key, &[0x88], b"some content");
            }
        }
        Act::Respond(at, end) => {
            if let Some(key) = key(at)
                && connection.respond(key, &[0x88], end)
                && !end
            {
                connection.wants(key);
            }
        }
        Act::Consume(at) => {
            if let Some(key) = key(at) {
                connection.consumed(key, 7);
            }
        }
        Act::Reset(at) => {
            if let Some(key) = key(at) {
                connection.reset(key, ErrorCode::CANCEL);
            }
        }
        Act::Pump => {
            for _ in 0..8 {
                let Some((key, allowed)) = connection.turn() else { break };
                assert!(connection.is_open(key) && allowed <= connection.window_left(key));
                if allowed > 0 {
                    let len = allowed.min(100);
                    assert!(connection.data(key, len, false));
                    let length = connection.output().len();
                    connection.output().resize(length + len, b'.');
                }
            }
        }
        Act::Trailers(at) => {
            if let Some(key) = key(at) {
                let _ = connection.end_with(key, &block(&[("x", "y")]));
            }
        }
        Act::Trim => connection.trim(),
        Act::ShutDown => connection.shut_down(),
        Act::Close => connection.close(ErrorCode::NO_ERROR),
        Act::Refill => connection.refill(),
        Act::Nothing => {}
    }
}

/// Reads all of `input`, and says whether the connection lives on.
fn feed(connection: &mut Connection, keys: &mut Vec<StreamKey>, input: &[u8], log: &mut Vec<String>) -> bool {
    let mut at = 0;
    loop {
        match connection.next(input, &mut at) {
            Ok(Some(event)) => {
                if let Event::Request { stream, .. } | Event::Refused { stream, .. } = &event {
                    assert!(stream.index < 128 + 2);
                    keys.push(*stream);
                    let view = connection.request();
                    assert!(view.bytes.len() <= 64 << 10);
                    let fields: Vec<_> = view.fields().collect();
                    log.push(format!("{event:?} {:?} {:?} {fields:?}", view.method(), view.target()));
                } else if let Event::Data { stream, range, end } = &event {
                    assert!(range.end <= at && at <= input.len());
                    let name = format!("data {} ", stream.id);
                    let content = format!("{:?}", &input[range.clone()]);
                    match log.last_mut() {
                        Some(last) if last.starts_with(&name) && !last.ends_with("end") => *last += &content,
                        _ => log.push(name + &content),
                    }
                    if let Some(last) = log.last_mut().filter(|_| *end) {
                        last.push_str("end");
                    }
                    if let Some(last) = log.last_mut() {
                        *last = last.replace("][", ", ").replace(", []", "");
                    }
                } else {
                    log.push(format!("{event:?}"));
                }
            }
            Ok(None) => {
                assert_eq!(at, input.len());
                return true;
            }
            Err(fatal) => {
                log.push(format!("{fatal:?}"));
                return false;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever comes, nothing panics, what leaves is well made, and there is no more of it than was asked for.
    #[test]
    fn any_frames_with_any_user_keep_the_codec_whole(
        parts in prop::collection::vec((frames(), act()), 0..40),
    ) {
        let limits = Limits { max_streams: 4, ..Limits::default() };
        let mut peer = Peer::new(&limits);
        let (mut keys, mut log) = (Vec::new(), Vec::new());
        for (input, act) in parts {
            if !feed(&mut peer.connection, &mut keys, &input, &mut log) {
                break;
            }
            let written = peer.connection.output().len();
            prop_assert!(written <= 64 + 4 * input.len(), "{written} bytes for {}", input.len());
            run(&mut peer.connection, &keys, act);
            prop_assert!(peer.connection.open_streams() <= 4);
            let bytes = std::mem::take(peer.connection.output());
            peer.words(&bytes);
        }
        let words = peer.output();
        if peer.connection.is_ended() {
            prop_assert!(words.last().is_some_and(|last| last.starts_with("GOAWAY")));
        }
    }

    /// How the bytes are cut says nothing.
    #[test]
    fn any_cut_means_the_same(
        parts in prop::collection::vec(frames(), 0..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let input = parts.concat();
        let outcome = |pieces: &[&[u8]]| {
            let mut peer = Peer::new(&Limits::default());
            let (mut keys, mut log) = (Vec::new(), Vec::new());
            for piece in pieces {
                if !feed(&mut peer.connection, &mut keys, piece, &mut log) {
                    break;
                }
            }
            (log, peer.output())
        };
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        at.extend([0, input.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|two| &input[two[0]..two[1]]).collect();
        prop_assert_eq!(outcome(&[&input]), outcome(&pieces));
    }

    /// Bytes that are no frames at all.
    #[test]
    fn any_bytes_are_survived(input in prop::collection::vec(any::<u8>(), 0..400), preface in any::<bool>()) {
        let mut peer = if preface { Peer::new(&Limits::default()) } else { Peer::silent(&Limits::default()) };
        let (mut keys, mut log) = (Vec::new(), Vec::new());
        feed(&mut peer.connection, &mut keys, &input, &mut log);
        prop_assert!(peer.connection.output().len() <= 64 + 4 * input.len());
        peer.output();
    }
}
