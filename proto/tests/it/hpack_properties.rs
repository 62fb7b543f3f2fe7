//! HPACK: whatever is encoded is decoded the same, whatever came before; and no bytes bring a decoder down.

use anygate_proto::h2::hpack::{Decoder, Encoder, Indexing, Name};
use proptest::prelude::*;

/// A field: name, value, how.
type Field = (Vec<u8>, Vec<u8>, Indexing);

fn field() -> impl Strategy<Value = Field> {
    const NAMES: &[&str] = &[
        ":status",
        ":path",
        "Server",
        "server",
        "Content-Type",
        "Set-Cookie",
        "cookie",
        "x-a",
        "X-A",
        "x-b",
        "etag",
        "accept-encoding",
        "access-control-allow-origin",
        "date",
    ];
    let name = prop_oneof![
        4 => prop::sample::select(NAMES).prop_map(|name| name.as_bytes().to_vec()),
        1 => "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,40}".prop_map(String::into_bytes),
    ];
    let value = prop_oneof![
        4 => prop::sample::select(&["", "a", "gzip", "gzip, deflate", "200", "a value that is longer than most"][..])
            .prop_map(|value| value.as_bytes().to_vec()),
        2 => "[ -~]{0,60}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (any::<u8>(), 0..3000usize).prop_map(|(byte, count)| vec![byte; count]),
    ];
    let how = prop_oneof![6 => Just(Indexing::Auto), 1 => Just(Indexing::No), 1 => Just(Indexing::Never)];
    (name, value, how)
}

/// What happens before a block.
#[derive(Clone, Debug)]
enum Turn {
    Nothing,
    /// The peer's table changes, twice.
    Sizes(u32, u32),
    Trim,
    /// A block is made and never sent.
    Lost,
}

fn turn() -> impl Strategy<Value = Turn> {
    let size = || prop_oneof![0..200u32, 0..10_000u32];
    prop_oneof![6 => Just(Turn::Nothing), 2 => (size(), size()).prop_map(|(a, b)| Turn::Sizes(a, b)), 1 => Just(Turn::Trim),
        1 => Just(Turn::Lost),]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_the_same_whatever_came_before(
        own in prop_oneof![Just(4096u32), 0..300u32, 0..20_000u32],
        blocks in prop::collection::vec((turn(), prop::collection::vec(field(), 0..12)), 1..20),
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(own), Decoder::new(10_000));
        for (turn, fields) in blocks {
            match turn {
                Turn::Nothing => {}
                Turn::Sizes(first, second) => {
                    encoder.set_peer_table(first);
                    encoder.set_peer_table(second);
                }
                Turn::Trim => {
                    encoder.trim();
                    decoder.trim();
                }
                Turn::Lost => {
                    for (name, value, how) in fields.iter().rev() {
                        encoder.encode(name, value, *how, &mut Vec::new());
                    }
                    encoder.lost();
                }
            }
            let (mut list, mut block) = (Vec::new(), Vec::new());
            for (name, value, how) in &fields {
                encoder.encode(name, value, *how, &mut list);
            }
            encoder.begin(&mut block);
            block.extend_from_slice(&list);
            let mut decoded = Vec::new();
            let result = decoder.decode(&block, &mut |line| {
                assert_eq!(line.id, Name::of(line.name));
                decoded.push((line.name.to_vec(), line.value.to_vec(), line.never_indexed));
            });
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(decoded.len(), fields.len());
            for ((name, value, how), (decoded_name, decoded_value, never)) in fields.iter().zip(&decoded) {
                prop_assert_eq!(&name.to_ascii_lowercase(), decoded_name);
                prop_assert_eq!(value, decoded_value);
                prop_assert!(*how != Indexing::Never || *never);
            }
        }
    }

    #[test]
    fn no_bytes_bring_a_decoder_down_and_a_second_one_says_the_same(
        size in prop_oneof![Just(4096u32), 0..10_000u32],
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 1..8),
    ) {
        let (mut one, mut other) = (Decoder::new(size), Decoder::new(size));
        for block in &blocks {
            let (mut lines, mut again) = (Vec::new(), Vec::new());
            let first = one.decode(block, &mut |line| lines.push((line.name.to_vec(), line.value.to_vec(), line.sound)));
            other.trim();
            let second =
                other.decode(block, &mut |line| again.push((line.name.to_vec(), line.value.to_vec(), line.sound)));
            prop_assert_eq!(first, second);
            prop_assert_eq!(lines, again);
            if first.is_err() {
                break;
            }
        }
    }
}
