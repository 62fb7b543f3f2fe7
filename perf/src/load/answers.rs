//! Where answers end in the stream that comes back.

use std::ops::Range;

use anygate_proto::h1::chunked::{Decoder, Step};
use anygate_proto::h1::response::{Asked, parse_response};
use anygate_proto::{BodyLength, Fields, Known, Limits, Parsed, Reject, Response};

/// The longest answer that is remembered whole.
const LONGEST_TWIN: usize = 4096;

/// A whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The connection may carry another request.
    pub(super) keep_alive: bool,
}

/// What all connections of a load read answers with.
#[derive(Debug, Default)]
pub(super) struct Bench {
    limits: Limits,
    fields: Fields,
    twin: Option<Twin>,
    /// What the answers are to.
    asked: Asked,
    /// Bytes of an answer whose length was known.
    usual: usize,
}

/// The last answer that lay whole in one buffer. An answer with the same bytes but for its date is the same answer and
/// is not parsed again, so that reading costs the load less than answering costs a server.
#[derive(Debug)]
struct Twin {
    bytes: Vec<u8>,
    /// Where the date's value is; empty when there is none.
    date: Range<usize>,
    answer: Answer,
}

impl Twin {
    #[inline]
    fn starts(&self, input: &[u8]) -> bool {
        let Some(input) = input.get(..self.bytes.len()) else { return false };
        input[..self.date.start] == self.bytes[..self.date.start]
            && input[self.date.end..] == self.bytes[self.date.end..]
    }
}

/// What of an answer is still to come.
#[derive(Debug, Default)]
enum Rest {
    #[default]
    Head,
    Length(u64),
    Chunked(Box<Decoder>),
    UntilClose,
}

/// One connection's answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The beginning of a head whose end did not come yet.
    partial: Vec<u8>,
    rest: Rest,
    current: Option<Answer>,
}

impl Answers {
    /// Bytes that are still to come of an answer that has begun, as far as that is known; `None` between answers.
    #[inline]
    pub(super) fn rest(&self) -> Option<u64> {
        match self.rest {
            Rest::Head => None,
            Rest::Length(length) => Some(length),
            Rest::Chunked(_) | Rest::UntilClose => Some(u64::MAX),
        }
    }

    /// Takes in what came and calls `each` for every answer that ends in it.
    pub(super) fn feed(&mut self, input: &[u8], bench: &mut Bench, mut each: impl FnMut(Answer)) -> Result<(), Reject> {
        if self.partial.is_empty() {
            return self.read(input, bench, &mut each);
        }
        let mut joined = std::mem::take(&mut self.partial);
        joined.extend_from_slice(input);
        self.read(&joined, bench, &mut each)
    }

    /// The stream ended: the answer that this completes, if there is one.
    pub(super) fn end(&mut self) -> Option<Answer> {
        match std::mem::take(&mut self.rest) {
            Rest::UntilClose => self.current.take(),
            _ => None,
        }
    }

    fn read(&mut self, input: &[u8], bench: &mut Bench, each: &mut impl FnMut(Answer)) -> Result<(), Reject> {
        let mut at = 0;
        while at < input.len() {
            let left = &input[at..];
            at += match &mut self.rest {
                Rest::Head => {
                    if let Some(twin) = bench.twin.as_ref().filter(|twin| twin.starts(left)) {
                        each(twin.answer);
                        twin.bytes.len()
                    } else {
                        match self.head(left, bench, each)? {
                            Some(used) => used,
                            None => {
                                self.partial = left.to_vec();
                                return Ok(());
                            }
                        }
                    }
                }
                Rest::Length(length) => {
                    let taken = left.len().min(usize::try_from(*length).unwrap_or(usize::MAX));
                    *length -= taken as u64;
                    if *length == 0 {
                        self.finish(each);
                    }
                    taken
                }
                Rest::Chunked(decoder) => match decoder.decode(left)? {
                    Step::Data(range) => range.end,
                    Step::NeedMore => left.len(),
                    Step::End(used) => {
                        self.finish(each);
                        used
                    }
                },
                Rest::UntilClose => left.len(),
            };
        }
        Ok(())
    }

    /// Reads a head, and the whole answer where it lies complete. `None`: the head's end did not come yet.
    fn head(&mut self, left: &[u8], bench: &mut Bench, each: &mut impl FnMut(Answer)) -> Result<Option<usize>, Reject> {
        let parsed = parse_response(left, &bench.limits, &mut bench.fields, bench.asked)?;
        let Parsed::Complete(response) = parsed else { return Ok(None) };
        let head = response.head_len as usize;
        if response.is_interim() {
            return Ok(Some(head));
        }
        let answer = Answer { status: response.status, keep_alive: response.keep_alive };
        self.current = Some(answer);
        self.rest = match response.body {
            BodyLength::None => Rest::Length(0),
            BodyLength::Length(length) => Rest::Length(length),
            BodyLength::Chunked => Rest::Chunked(Box::default()),
            BodyLength::UntilClose => Rest::UntilClose,
        };
        if let Rest::Length(length) = self.rest {
            let whole = head.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
            bench.usual = whole;
            if whole <= left.len() {
                self.finish(each);
                bench.remember(&left[..whole], &response, answer);
                return Ok(Some(whole));
            }
        }
        Ok(Some(head))
    }

    fn finish(&mut self, each: &mut impl FnMut(Answer)) {
        self.rest = Rest::Head;
        if let Some(answer) = self.current.take() {
            each(answer);
        }
    }
}

impl Bench {
    /// For answers to requests of this method.
    pub(super) fn new(method: &str) -> Self {
        Self { asked: Asked::by(method.as_bytes()), ..Self::default() }
    }

    /// How long an answer is, by the last one that said so.
    #[inline]
    pub(super) fn usual(&self) -> usize {
        self.usual
    }

    fn remember(&mut self, bytes: &[u8], response: &Response, answer: Answer) {
        if bytes.len() <= LONGEST_TWIN {
            let date = self.fields.first(Known::Date).map(|field| field.value);
            let date = date.map_or(0..0, |span| span.start as usize..span.end());
            debug_assert!(date.end <= response.head_len as usize);
            self.twin = Some(Twin { bytes: bytes.to_vec(), date, answer });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 03:00:00 GMT\r\nContent-Length: 2\r\n\r\nok";
    const LATER: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 03:00:01 GMT\r\nContent-Length: 2\r\n\r\nok";
    const CHUNKED: &[u8] = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";

    fn statuses(pieces: &[&[u8]]) -> Result<Vec<u16>, Reject> {
        let (mut answers, mut bench, mut seen) = (Answers::default(), Bench::default(), Vec::new());
        for piece in pieces {
            answers.feed(piece, &mut bench, |answer| seen.push(answer.status))?;
        }
        seen.extend(answers.end().map(|answer| answer.status));
        Ok(seen)
    }

    #[test]
    fn answers_are_found_wherever_the_stream_is_cut() {
        let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n";
        let stream = [OK, LATER, CHUNKED, interim, OK].concat();
        for cut in 0..stream.len() {
            let (first, second) = stream.split_at(cut);
            assert_eq!(statuses(&[first, second]).unwrap(), [200, 200, 404, 200], "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(statuses(&bytes).unwrap(), [200, 200, 404, 200]);
    }

    #[test]
    fn an_answer_that_differs_in_more_than_its_date_is_read_anew() {
        let other = OK.to_vec().iter().map(|&b| if b == b'2' { b'5' } else { b }).collect::<Vec<u8>>();
        assert!(other.starts_with(b"HTTP/1.1 500"));
        let other = [&other[..], b"abc"].concat();
        assert_eq!(statuses(&[OK, LATER, &other, OK]).unwrap(), [200, 200, 500, 200]);
    }

    #[test]
    fn an_answer_without_a_length_ends_with_the_stream() {
        assert_eq!(statuses(&[b"HTTP/1.1 200 OK\r\n\r\n", b"any", b"thing"]).unwrap(), [200]);
        assert_eq!(statuses(&[b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"any"]).unwrap(), [0; 0]);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert!(statuses(&[b"SSH-2.0-OpenSSH\r\n\r\n"]).is_err());
    }
}
