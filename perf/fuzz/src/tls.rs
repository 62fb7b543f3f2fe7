//! Does a TLS listener, on a simulated network, take no byte for content that its client did not seal, answer what it did
//! seal as a plain listener does, and come to rest, whatever is sent?
//!
//! An input is three bytes (flags, seed, cuts) and, where the flags say so, the bytes of a client as they are. Otherwise it
//! is sections with the byte 255 between them, each an [`Act`] of a client that has ended its handshake.

mod client;
mod exchange;

use anygate_proto::tls::{Hello, hello};

use self::client::Act;
use self::exchange::{Seen, Setting, exchange, plainly};
use crate::{Numbers, shown};

/// What stands between two sections.
const SECTION: u8 = 0xff;
/// The types of records that a server may begin with: an alert, a handshake.
const FIRST: [u8; 2] = [21, 22];

/// One input.
pub fn run(data: &[u8]) {
    let mut numbers = Numbers::of(data);
    let (flags, seed, cuts) = (numbers.next(), numbers.next(), numbers.next());
    let setting = Setting::of(flags, seed, cuts);
    let rest = numbers.rest();
    if flags & 8 != 0 {
        grows(rest);
        let seen = exchange(&[Act::Raw(rest)], setting, false);
        let begins = |byte: &u8| FIRST.contains(byte);
        let right = seen.raw.first().is_none_or(begins) || seen.raw.starts_with(b"HTTP/1.1 400 ");
        assert!(right, "{} for {}", shown(&seen.raw), shown(rest));
        return;
    }
    let acts: Vec<Act<'_>> = rest.split(|&byte| byte == SECTION).filter_map(Act::of).collect();
    let seen = exchange(&acts, setting, true);
    judge(&acts, &seen, setting);
}

/// A hello that is read anew as it grows is not whole, and then for ever what it was when it was so first.
fn grows(bytes: &[u8]) {
    let mut first = None;
    for length in 0..=bytes.len() {
        let read = hello::read(&bytes[..length]);
        match &first {
            None if read == Ok(Hello::Partial) => {}
            None => first = Some(read),
            Some(Ok(_)) => assert_eq!(Some(&read), first.as_ref(), "{length} of {}", shown(bytes)),
            Some(Err(_)) => assert!(read.is_err(), "{read:?} at {length} of {}", shown(bytes)),
        }
    }
}

fn judge(acts: &[Act<'_>], seen: &Seen, setting: Setting) {
    let (intact, content) = sealed(acts);
    let told =
        || format!("{setting:?} {acts:?}, {} bytes came, reset {}, {:?}", seen.raw.len(), seen.reset, seen.error);
    if let Some(error) = &seen.error {
        assert!(!intact || setting.loses(), "{error}: {}", told());
    }
    if !setting.is_repeatable() || seen.handshaking {
        return;
    }
    let plain = plainly(&content, setting);
    let lost = plain.reset || seen.reset;
    let (plain, came) = (served(&undated(&plain.raw)), served(&undated(&seen.content)));
    let right = match (lost, intact) {
        (true, _) => plain.starts_with(&came) || came.starts_with(&plain),
        (false, true) => plain == came,
        (false, false) => plain.starts_with(&came),
    };
    assert!(right, "{}, where it is {}: {}", shown(&came), shown(&plain), told());
}

/// Answers without a refusal at their end: whether what is no request is refused and how, or is not answered as the end comes
/// with it, depends on the pieces it comes in.
fn served(answers: &[u8]) -> Vec<u8> {
    let is_refusal = |at: &usize| {
        let rest = &answers[*at..];
        let head = rest.windows(4).position(|four| four == b"\r\n\r\n").map_or(rest, |end| &rest[..end]);
        let refuses = rest.starts_with(b"HTTP/1.1 4") || rest.starts_with(b"HTTP/1.1 5");
        refuses && head.ends_with(b"\r\nConnection: close")
    };
    let end = (0..answers.len()).rev().find(is_refusal).unwrap_or(answers.len());
    answers[..end].to_vec()
}

/// Whether nothing of what a client sealed was changed, and the pieces of content that were sealed and came through.
fn sealed<'a>(acts: &[Act<'a>]) -> (bool, Vec<Act<'a>>) {
    let mut content = Vec::new();
    for act in acts {
        match act {
            Act::Content(bytes) => content.push(Act::Raw(bytes)),
            Act::Refresh => {}
            // Of nothing, nothing is changed.
            Act::Raw([]) | Act::Bent([], _) | Act::Short([], _) => {}
            Act::Raw(_) | Act::Bent(..) | Act::Short(..) | Act::Alarm => return (false, content),
        }
    }
    (true, content)
}

/// Answers without their dates.
fn undated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        if !line.starts_with(b"Date: ") {
            out.extend_from_slice(line);
        }
    }
    out
}
