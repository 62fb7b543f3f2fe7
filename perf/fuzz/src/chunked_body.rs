//! Is a chunked body the same however its bytes come, and does what we write read as what it was?
//!
//! An input is a byte of flags, a byte from which the cuts are made, and the body with what follows it.

use anygate_proto::h1::chunked::{Decoder, LAST_CHUNK, SIZE_LINE, Step, last_chunk, size_line};
use anygate_proto::h1::sink::Copied;

use crate::naive::{self, NaiveChunks};
use crate::{Numbers, shown};

/// What became of a body.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It ended after so many bytes.
    Whole(usize),
    /// It goes on.
    More,
    /// It is refused.
    Refused,
}

/// What was read of a body.
#[derive(Debug)]
struct Read {
    data: Vec<u8>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
    end: End,
    /// The last chunk as it would be sent on.
    last: Vec<u8>,
}

/// One input.
pub fn run(data: &[u8]) {
    let mut numbers = Numbers::of(data);
    let (flags, cuts) = (numbers.next(), numbers.next());
    let bytes = numbers.rest();
    let whole = read(bytes, 0, false);
    let pieces = read(bytes, u32::from(cuts) + 1, flags & 1 != 0);
    assert_eq!(whole.end, pieces.end, "in pieces: {}", shown(bytes));
    assert!(whole.data == pieces.data, "in pieces: {}", shown(bytes));
    assert_eq!(whole.trailers, pieces.trailers, "in pieces: {}", shown(bytes));
    agrees_with_a_naive_reader(bytes, &whole);
    survives_being_written(&whole, u32::from(cuts) + 1);
}

/// Reads a body in pieces, whose sizes are made from `cuts`; whole where it is 0. With `skip`, data is moved unseen.
fn read(bytes: &[u8], cuts: u32, skip: bool) -> Read {
    let mut decoder = Decoder::new();
    let mut out = Read { data: Vec::new(), trailers: Vec::new(), end: End::More, last: Vec::new() };
    let mut state = cuts;
    let mut at = 0;
    while at < bytes.len() && out.end == End::More {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let most = bytes.len() - at;
        let size = if cuts == 0 { most } else { most.min(1 + (state >> 24) as usize % (1 + cuts as usize % 23)) };
        let piece = &bytes[at..at + size];
        let mut inner = 0;
        loop {
            let moved = decoder.in_chunk().min((size - inner) as u64) as usize;
            if skip && moved > 0 {
                out.data.extend_from_slice(&piece[inner..inner + moved]);
                decoder.skip(moved as u64);
                inner += moved;
            }
            match decoder.decode(&piece[inner..]) {
                Ok(Step::Data(range)) => {
                    assert!(!range.is_empty() && range.end <= size - inner, "{range:?} of {}", size - inner);
                    out.data.extend_from_slice(&piece[inner..][range.clone()]);
                    inner += range.end;
                }
                Ok(Step::NeedMore) => break,
                Ok(Step::End(consumed)) => {
                    assert!(consumed <= size - inner && decoder.is_done());
                    out.end = End::Whole(at + inner + consumed);
                    break;
                }
                Err(reject) => {
                    assert_eq!(reject.status, 400);
                    out.end = End::Refused;
                    break;
                }
            }
        }
        at += size;
    }
    if matches!(out.end, End::Whole(_)) {
        let (text, fields) = decoder.trailers();
        let owned = |field: &anygate_proto::Field| (field.name.of(text).to_vec(), field.value.of(text).to_vec());
        out.trailers = fields.iter().map(owned).collect();
        last_chunk(text, fields, &mut Copied::new(text, &mut out.last));
    }
    out
}

fn agrees_with_a_naive_reader(bytes: &[u8], read: &Read) {
    let naive = naive::chunks(bytes);
    match (&read.end, naive) {
        (End::Whole(length), Ok(naive)) => {
            assert!(naive.whole, "a naive reader sees no end: {}", shown(bytes));
            assert!(*length == naive.length && read.data == naive.data, "{}", shown(bytes));
            let ours = read.trailers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
            assert!(ours.eq(naive.trailers.iter().cloned()), "{}", shown(bytes));
        }
        (End::Whole(_), Err(why)) => panic!("{why}: {}", shown(bytes)),
        (End::More, Ok(NaiveChunks { whole, data, .. })) => {
            assert!(!whole, "a naive reader sees an end: {}", shown(bytes));
            assert!(data == read.data, "{}", shown(bytes));
        }
        // What is not whole yet may be refused later; what is, must not be refused unless it is over a limit.
        (End::More, Err(_)) => {}
        (End::Refused, Ok(naive)) => assert!(!naive.whole || is_large(bytes), "refused: {}", shown(bytes)),
        (End::Refused, Err(_)) => {}
    }
}

/// Whether a body may be over a limit of the decoder: the extensions of a line, the digits of a size, the trailers.
fn is_large(bytes: &[u8]) -> bool {
    bytes.len() > 1024 || bytes.iter().filter(|&&b| b == b'\n').count() > 64
}

/// The same data written in chunks, with the trailers that may be relayed, is the same body.
fn survives_being_written(read_before: &Read, cuts: u32) {
    let mut written = Vec::new();
    let mut room = [0; SIZE_LINE];
    for chunk in read_before.data.chunks(cuts as usize) {
        written.extend_from_slice(size_line(chunk.len() as u64, &mut room));
        written.extend_from_slice(chunk);
        written.extend_from_slice(b"\r\n");
    }
    let last = if read_before.last.is_empty() { &LAST_CHUNK[..] } else { &read_before.last };
    written.extend_from_slice(last);
    written.extend_from_slice(b"GET / HTTP/1.1\r\n");
    let again = read(&written, cuts % 7, false);
    assert_eq!(again.end, End::Whole(written.len() - 16), "{}", shown(&written));
    assert!(again.data == read_before.data, "{}", shown(&written));
    let naive = naive::chunks(&written).unwrap_or_else(|why| panic!("{why}: {}", shown(&written)));
    assert_eq!(naive.length, written.len() - 16, "{}", shown(&written));
    // Nothing that frames comes back as a trailer, and what comes back came.
    for (name, value) in &again.trailers {
        let lower = name.to_ascii_lowercase();
        let frames: [&[u8]; 5] = [b"content-length", b"transfer-encoding", b"host", b"authorization", b"set-cookie"];
        assert!(!frames.contains(&lower.as_slice()), "{}", shown(&written));
        assert!(read_before.trailers.contains(&(name.clone(), value.clone())), "{}", shown(&written));
    }
    // What was filtered once is filtered.
    if !read_before.last.is_empty() {
        assert!(again.last == last, "{}", shown(&written));
    }
}
