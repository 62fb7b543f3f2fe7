//! Is HPACK the same to us as to a naive reader, and does what we write read as what it was given?
//!
//! An input is a byte of flags, one of table sizes, and then either blocks, each behind its length, or fields to encode.

use anygate_proto::h2::hpack::{Block, Decoder, Encoder, Indexing, Line, Name};

use crate::naive_hpack::{Pair, Reader};
use crate::{Numbers, shown};

const SIZES: [u32; 8] = [4096, 4096, 0, 32, 100, 300, 10_000, 1 << 20];
const NAMES: [&str; 16] = [
    "server",
    "content-type",
    "x",
    "x-a",
    "cookie",
    "set-cookie",
    "authorization",
    "date",
    "etag",
    "content-length",
    "vary",
    "Cache-Control",
    "accept",
    "x-forwarded-for",
    "via",
    "location",
];

/// One input.
pub fn run(data: &[u8]) {
    let mut numbers = Numbers::of(data);
    let (flags, sizes) = (numbers.next(), numbers.next());
    let [own, other] = [SIZES[usize::from(sizes & 7)], SIZES[usize::from(sizes >> 3 & 7)]];
    if flags & 1 == 0 { read(numbers, own, flags) } else { write(numbers, own, other) }
}

/// Blocks are read, one after the other, until one is broken.
fn read(mut numbers: Numbers<'_>, own: u32, flags: u8) {
    let (mut decoder, mut naive) = (Decoder::new(own), Reader::new(own as usize));
    let all = numbers.rest();
    let mut count = 0;
    while !numbers.is_empty() && count < 40 {
        if count == i32::from(flags >> 1 & 3) {
            decoder.acknowledged();
            naive.allow(own as usize);
        }
        let length = usize::from(numbers.next()).min(numbers.rest().len());
        let (block, rest) = numbers.rest().split_at(length);
        numbers = Numbers::of(rest);
        let mut fields = Vec::new();
        let before = decoder.changes();
        let result = decoder.decode(block, &mut |line| fields.push(kept(&line)));
        let expected = naive.decode(block);
        match (&result, &expected) {
            (Ok(()), Ok(expected)) => assert!(fields == *expected, "{:?} {}", told(&fields), shown(all)),
            (Err(_), Err(_)) => return,
            _ => panic!("ours {result:?}, naively {:?}: {}", expected.map(|fields| told(&fields)), shown(all)),
        }
        // What changed nothing means the same again.
        if decoder.changes() == before {
            let mut again = Vec::new();
            let result = decoder.decode(block, &mut |line| again.push(kept(&line)));
            assert!(result.is_ok() && again == fields, "read again: {}", shown(all));
            assert!(naive.decode(block) == expected);
        }
        if flags & 8 != 0 {
            decoder.trim();
        }
        count += 1;
    }
}

/// A field, once it is seen that what is said of it is true.
fn kept(line: &Line<'_>) -> Pair {
    let lower = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(byte);
    let known = match line.name {
        b":authority" => Name::Authority,
        b":method" => Name::Method,
        b":path" => Name::Path,
        b":protocol" => Name::Protocol,
        b":scheme" => Name::Scheme,
        b":status" => Name::Status,
        [b':', ..] => Name::Undefined,
        name => Name::Field(anygate_proto::Known::of(name)),
    };
    assert_eq!(line.id, known, "{}", shown(line.name));
    let named = match known {
        Name::Undefined => false,
        Name::Field(_) => !line.name.is_empty() && line.name.iter().all(lower),
        _ => true,
    };
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let fine = |byte: &u8| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f;
    let sound = named && line.value.iter().all(fine) && !blank(line.value.first()) && !blank(line.value.last());
    assert_eq!(line.sound, sound, "{}: {}", shown(line.name), shown(line.value));
    (line.name.to_vec(), line.value.to_vec())
}

/// Fields are encoded in blocks; between two of them the peer may say another table size.
fn write(mut numbers: Numbers<'_>, own: u32, other: u32) {
    let mut encoder = Encoder::new(own);
    // Who reads has any table it likes, ours is never larger.
    let mut reader = Reader::new(4096);
    let say = |encoder: &mut Encoder, reader: &mut Reader, size: u32| {
        encoder.set_peer_table(size);
        reader.allow(size as usize);
    };
    let mut compiled: Option<(Block, Vec<Pair>)> = None;
    say(&mut encoder, &mut reader, other);
    let mut out = Vec::new();
    while !numbers.is_empty() {
        let form = numbers.next();
        out.clear();
        encoder.begin(&mut out);
        let mut given: Vec<Pair> = Vec::new();
        if let Some((block, fields)) = compiled.take().filter(|_| form & 1 == 0) {
            block.write(b"Sat, 21 Nov 2026 18:00:00 GMT", &mut out);
            given = fields;
        } else if form & 2 != 0 {
            let status = 100 + u16::from(numbers.next()) * 3;
            encoder.status(status, &mut out);
            given.push((b":status".to_vec(), status.to_string().into_bytes()));
        }
        if given.len() < 2 {
            for _ in 0..form >> 2 & 7 {
                let (name, value, how) = field(&mut numbers);
                encoder.encode(&name, &value, how, &mut out);
                given.push((name.to_ascii_lowercase(), value));
            }
        }
        let read = reader.decode(&out);
        assert!(
            read.as_ref() == Ok(&given),
            "{:?} for {:?}: {}",
            read.map(|one| told(&one)),
            told(&given),
            shown(&out)
        );
        // The encoder's table is what the reader's is.
        if form & 0x20 != 0 {
            say(&mut encoder, &mut reader, SIZES[usize::from(numbers.next()) % SIZES.len()]);
            if form & 0x10 != 0 {
                say(&mut encoder, &mut reader, SIZES[usize::from(numbers.next()) % SIZES.len()]);
            }
        }
        if form & 0x40 != 0 {
            encoder.trim();
        }
        if form & 0x80 != 0 {
            compiled = Some(compile(&mut numbers));
        }
    }
}

fn field(numbers: &mut Numbers<'_>) -> (Vec<u8>, Vec<u8>, Indexing) {
    let (which, shape) = (numbers.next(), numbers.next());
    let name = match which & 31 {
        at @ 0..16 => NAMES[usize::from(at)].as_bytes().to_vec(),
        at => format!("x-{}", at & 3).into_bytes(),
    };
    let size = usize::from(shape & 15);
    let mut value: Vec<u8> = (0..size).map(|_| numbers.next().max(b' ')).filter(|byte| *byte != 0x7f).collect();
    if shape & 0x10 != 0 {
        value = value.repeat(20);
    }
    let value = value.trim_ascii().to_vec();
    let how = [Indexing::Auto, Indexing::Auto, Indexing::No, Indexing::Never][usize::from(which >> 5 & 3)];
    (name, value, how)
}

fn compile(numbers: &mut Numbers<'_>) -> (Block, Vec<Pair>) {
    let form = numbers.next();
    let fields: Vec<_> = (0..form & 3).map(|_| field(numbers)).collect();
    let status = 100 + u16::from(numbers.next()) * 3;
    let lines = fields.iter().map(|(name, value, _)| (name.as_slice(), value.as_slice()));
    let block = Block::compile(status, lines, form & 4 != 0).expect("sound fields");
    let mut given = vec![(b":status".to_vec(), status.to_string().into_bytes())];
    if form & 4 != 0 {
        given.push((b"date".to_vec(), b"Sat, 21 Nov 2026 18:00:00 GMT".to_vec()));
    }
    given.extend(fields.iter().map(|(name, value, _)| (name.to_ascii_lowercase(), value.clone())));
    (block, given)
}

fn told(fields: &[Pair]) -> Vec<String> {
    fields.iter().map(|(name, value)| format!("{}: {}", shown(name), shown(value))).collect()
}
