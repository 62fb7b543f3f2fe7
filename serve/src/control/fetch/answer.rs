//! Where does an answer end, and what is in it? Whatever pieces it comes in.

use anygate_proto::h1::chunked::{Decoder, Step};
use anygate_proto::h1::response::{Asked, may_begin_response, parse_response};
use anygate_proto::h1::{Limits, Parsed};
use anygate_proto::head::{BodyLength, Fields, Response};

use super::{Answer, FetchError};

/// Bytes and fields of a head, at most.
const LIMITS: Limits = Limits { max_uri: 0, max_header_size: 32 << 10, max_headers: 100 };
/// Interim answers before the final one, at most.
const MOST_INTERIM: u32 = 8;

/// An answer that is on its way.
pub(super) struct Reading {
    asked: Asked,
    /// Bytes of the content, at most.
    limit: usize,
    interim: u32,
    /// What came and was not taken over yet: of the head, or of a chunked body between its chunks.
    held: Vec<u8>,
    body: Option<Content>,
    answer: Answer,
}

/// How the content's end is found.
enum Content {
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks.
    Chunked(Box<Decoder>),
    /// Where the connection ends.
    UntilClose,
}

impl Reading {
    /// Nothing came yet of the answer to what was `asked`.
    pub(super) fn new(asked: Asked, limit: usize) -> Self {
        Self { asked, limit, interim: 0, held: Vec::new(), body: None, answer: Answer::default() }
    }

    /// Takes what came; the answer once it is whole. What comes behind it is ignored.
    ///
    /// # Errors
    /// It is none, too long, or cut.
    pub(super) fn feed(&mut self, bytes: &[u8], ended: bool) -> Result<Option<Answer>, FetchError> {
        self.held.extend_from_slice(bytes);
        while self.body.is_none() {
            let Some(response) = self.head()? else {
                return if ended { Err(FetchError::Cut) } else { Ok(None) };
            };
            if response.status == 101 {
                return Err(FetchError::Malformed("it changes to another protocol"));
            }
            if !response.is_interim() {
                self.body = Some(match response.body {
                    BodyLength::None => Content::Length(0),
                    BodyLength::Length(length) if length > self.limit as u64 => {
                        return Err(FetchError::TooLarge(self.limit));
                    }
                    BodyLength::Length(length) => Content::Length(length),
                    BodyLength::Chunked => Content::Chunked(Box::default()),
                    BodyLength::UntilClose => Content::UntilClose,
                });
                break;
            }
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Err(FetchError::Malformed("interim answers without end"));
            }
        }
        match self.content(ended)? {
            true => Ok(Some(std::mem::take(&mut self.answer))),
            false if ended => Err(FetchError::Cut),
            false => Ok(None),
        }
    }

    /// The next head, taken out of what is held.
    fn head(&mut self) -> Result<Option<Response>, FetchError> {
        if !may_begin_response(&self.held) {
            return Err(FetchError::Malformed("it does not begin with a version"));
        }
        let mut fields = Fields::new();
        let response = match parse_response(&self.held, &LIMITS, &mut fields, self.asked) {
            Ok(Parsed::Complete(response)) => response,
            Ok(Parsed::Partial) => return Ok(None),
            Err(reject) => return Err(FetchError::Malformed(reject.reason)),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let all = fields.iter().map(|field| (text(field.name.of(&self.held)), text(field.value.of(&self.held))));
        self.answer.headers = all.collect();
        self.answer.status = response.status;
        self.held.drain(..response.head_len as usize);
        Ok(Some(response))
    }

    /// Takes what is held over into the body; true at its end.
    fn content(&mut self, ended: bool) -> Result<bool, FetchError> {
        let Self { held, answer, limit, .. } = self;
        let body = &mut answer.body;
        match self.body.as_mut().unwrap_or(&mut Content::UntilClose) {
            Content::Length(left) => {
                let taken = held.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                body.extend(held.drain(..taken));
                *left -= taken as u64;
                Ok(*left == 0)
            }
            Content::UntilClose => {
                body.append(held);
                if body.len() > *limit { Err(FetchError::TooLarge(*limit)) } else { Ok(ended) }
            }
            Content::Chunked(decoder) => {
                let mut at = 0;
                loop {
                    match decoder.decode(&held[at..]).map_err(|reject| FetchError::Malformed(reject.reason))? {
                        Step::Data(range) => {
                            body.extend_from_slice(&held[at..][range.clone()]);
                            at += range.end;
                            if body.len() > *limit {
                                return Err(FetchError::TooLarge(*limit));
                            }
                        }
                        Step::NeedMore => {
                            held.clear();
                            return Ok(false);
                        }
                        Step::End(_) => return Ok(true),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to what is fed in pieces of `step` bytes, and then the end.
    fn read(method: &str, text: &str, step: usize) -> Result<Answer, String> {
        let mut reading = Reading::new(Asked::by(method.as_bytes()), 10);
        for piece in text.as_bytes().chunks(step) {
            if let Some(answer) = reading.feed(piece, false).map_err(|error| error.to_string())? {
                return Ok(answer);
            }
        }
        reading.feed(b"", true).map_err(|error| error.to_string()).map(|answer| answer.expect("the end is an end"))
    }

    #[test]
    fn an_answer_is_the_same_in_whatever_pieces_it_comes() {
        for (method, text, expected) in [
            ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello, and more", "200 hello"),
            ("GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n", "201 "),
            (
                "GET",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: u\r\n\r\n",
                "200 hello",
            ),
            ("GET", "HTTP/1.0 404 Not Found\r\n\r\nhello", "404 hello"),
            ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "200 "),
            ("POST", "HTTP/1.1 204 None\r\n\r\n", "204 "),
        ] {
            for step in [1, 2, 7, 1000] {
                let answer = read(method, text, step).unwrap_or_else(|why| panic!("{text:?} by {step}: {why}"));
                let shown = format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
                assert_eq!(shown, expected, "{text:?} by {step}");
            }
        }
        let answer = read("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello", 1000).unwrap();
        assert_eq!(answer.headers, [("Content-Length", "5"), ("A", "b")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn what_is_cut_too_long_or_no_answer_is_an_error() {
        for (text, expected) in [
            ("", "the connection ended before the answer did"),
            ("HTTP/1.1 200", "the connection ended before the answer did"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "the connection ended before the answer did"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "ended before the answer did"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", "the answer is longer than 10 bytes"),
            ("HTTP/1.1 200 OK\r\n\r\nhello, hello", "the answer is longer than 10 bytes"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello hello\r\n", "longer than 10 bytes"),
            ("HTTP/1.1 101 Other\r\n\r\n", "it changes to another protocol"),
            ("SSH-2.0-x\r\n", "it does not begin with a version"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "Content-Length is not a number"),
        ] {
            for step in [1, 1000] {
                let why = read("GET", text, step).expect_err(text);
                assert!(why.contains(expected), "{text:?} by {step}: {why}");
            }
        }
        let endless = "HTTP/1.1 103 Early\r\n\r\n".repeat(20);
        assert!(read("GET", &endless, 7).unwrap_err().contains("without end"));
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(40_000));
        assert!(read("GET", &long, 4096).unwrap_err().contains("too large"));
    }
}
