//! What a server answers to one request, read to the end, so that two servers can be compared.

use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anygate_proto::h1::chunked::{Decoder, Step};
use anygate_proto::h1::response::{Asked, parse_response};
use anygate_proto::{BodyLength, Fields, Limits, Parsed};
use anygate_shard::{Io, Tick};
use rustls::StreamOwned;

use crate::identity;
use crate::load::h2::{Blocks, Seen, Session};
use crate::load::tls::{Sessions, agreed};
use crate::load::{Plan, Protocol, Tls, Versions};

/// A server that says nothing for this long does not answer.
const SILENCE: Duration = Duration::from_secs(10);

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status line and fields, as they came, with the empty line.
    pub head: String,
    /// The status.
    pub status: u16,
    /// Bytes of the body, without what a transfer coding adds.
    pub length: u64,
    /// A hash of the body; the same body has the same hash within one run of this program.
    pub hash: u64,
    /// Version, cipher suite and group; none without TLS.
    pub tls: Option<String>,
}

impl Answer {
    /// Whether the other answer is as good: the same status, the same body, and the same TLS.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        (self.status, self.length, self.hash, &self.tls) == (other.status, other.length, other.hash, &other.tls)
    }
}

/// Says who answers otherwise than the first one, where `answers` are names and what they answered to one request.
///
/// # Errors
/// Two differ: both names, and what each answered.
pub fn all_same(answers: &[(&str, Answer)]) -> Result<(), String> {
    let Some(((first, expected), others)) = answers.split_first() else { return Ok(()) };
    let shown = |answer: &Answer| {
        let tls = answer.tls.as_ref().map_or(String::new(), |tls| format!(", {tls}"));
        format!("{}, {} bytes, hash {:x}{tls}", answer.status, answer.length, answer.hash)
    };
    match others.iter().find(|(_, answer)| !answer.same(expected)) {
        Some((name, answer)) => {
            Err(format!("{first} and {name} do not do the same: {} and {}", shown(expected), shown(answer)))
        }
        None => Ok(()),
    }
}

/// Asks on a connection of its own, over TLS if that is said: `GET`, or in HTTP/1.1 `POST` with a body of `upload` bytes.
pub(crate) fn ask(
    address: SocketAddr,
    path: &str,
    upload: Option<u64>,
    tls: bool,
    protocol: Protocol,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let name = identity::NAME.to_owned();
    let offered = Tls { name, versions: Versions::Tls13, one_cipher: true, ..Tls::default() };
    let plan = Plan { path: path.to_owned(), protocol, tls: tls.then_some(offered), ..Plan::new(address, Io::Epoll) };
    let exchange = |stream: &mut dyn Stream| match protocol {
        Protocol::Http1 => exchange(stream, &plan.authority(), path, upload),
        Protocol::Http2 => session(stream, &Blocks::of(&plan).map_err(io::Error::other)?),
    };
    let Some(offered) = &plan.tls else { return exchange(&mut stream) };
    let sessions = Sessions::new(offered, protocol).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(sessions.connection().map_err(io::Error::other)?, stream);
    let answer = exchange(&mut stream)?;
    sessions.check(stream.conn.alpn_protocol()).map_err(io::Error::other)?;
    Ok(Answer { tls: Some(agreed(&stream.conn)), ..answer })
}

/// What is written to and read from.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// One answer in HTTP/2. Its head is shown as HTTP/1.1 would write it.
fn session(stream: &mut dyn Stream, blocks: &Blocks) -> io::Result<Answer> {
    let mut session = Session::new(blocks);
    session.ask(blocks, Tick::ZERO, 1);
    let (mut head, mut body, mut status) = (String::from("HTTP/2\r\n"), Body::default(), None);
    let mut input = Vec::new();
    while status.is_none() {
        stream.write_all(&std::mem::take(&mut session.out))?;
        stream.flush()?;
        input.clear();
        if !more(stream, &mut input)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut seen = |seen: Seen<'_>| match seen {
            Seen::Field(name, value) => {
                let field = [name, b": ", value, b"\r\n"].concat();
                head.push_str(&String::from_utf8_lossy(&field));
            }
            Seen::Content(content) => body.take(content),
            Seen::Answer { status: said, .. } => status = Some(said),
            Seen::Failed => status = Some(0),
        };
        session.feed(&input, &mut seen).map_err(|broken| invalid(broken.why))?;
    }
    head.push_str("\r\n");
    match status {
        Some(status @ 1..) => Ok(Answer { head, status, length: body.length, hash: body.hasher.finish(), tls: None }),
        _ => Err(io::Error::new(io::ErrorKind::ConnectionReset, "the stream is reset")),
    }
}

fn exchange(stream: &mut dyn Stream, host: &str, path: &str, upload: Option<u64>) -> io::Result<Answer> {
    match upload {
        None => write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")?,
        Some(length) => {
            write!(stream, "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n")?;
            io::copy(&mut io::repeat(b'u').take(length), stream)?;
        }
    }
    stream.flush()?;
    read(stream)
}

/// Reads one final answer to its end.
fn read(stream: &mut dyn Read) -> io::Result<Answer> {
    let limits = Limits::default();
    let mut fields = Fields::default();
    let mut input = Vec::new();
    let (response, head) = loop {
        let parsed = parse_response(&input, &limits, &mut fields, Asked::Other);
        match parsed.map_err(|reject| invalid(&format!("{reject:?}")))? {
            Parsed::Complete(response) if response.is_interim() => {
                input.drain(..response.head_len as usize);
            }
            Parsed::Complete(response) => {
                let head: Vec<u8> = input.drain(..response.head_len as usize).collect();
                break (response, String::from_utf8_lossy(&head).into_owned());
            }
            Parsed::Partial if more(stream, &mut input)? => {}
            Parsed::Partial => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    let mut body = Body::default();
    match response.body {
        BodyLength::None => {}
        BodyLength::Length(length) => loop {
            let left = usize::try_from(length - body.length).unwrap_or(usize::MAX);
            body.take(&input[..left.min(input.len())]);
            if body.length == length {
                break;
            }
            input.clear();
            if !more(stream, &mut input)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        },
        BodyLength::Chunked => body.chunked(stream, &mut input)?,
        BodyLength::UntilClose => loop {
            body.take(&input);
            input.clear();
            if !more(stream, &mut input)? {
                break;
            }
        },
    }
    Ok(Answer { head, status: response.status, length: body.length, hash: body.hasher.finish(), tls: None })
}

#[derive(Default)]
struct Body {
    length: u64,
    hasher: DefaultHasher,
}

impl Body {
    fn take(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hasher.write(bytes);
    }

    fn chunked(&mut self, stream: &mut dyn Read, input: &mut Vec<u8>) -> io::Result<()> {
        let mut decoder = Decoder::default();
        loop {
            let step = decoder.decode(input).map_err(|reject| invalid(&format!("{reject:?}")))?;
            match step {
                Step::Data(range) => {
                    let end = range.end;
                    self.take(&input[range]);
                    input.drain(..end);
                }
                Step::End(_) => return Ok(()),
                Step::NeedMore => {
                    input.clear();
                    if !more(stream, input)? {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }
}

/// Appends what comes next; false at the end of the stream.
fn more(stream: &mut dyn Read, input: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0; 16 << 10];
    let length = stream.read(&mut piece)?;
    input.extend_from_slice(&piece[..length]);
    Ok(length > 0)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that comes a few bytes at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let few = buffer.len().min(3);
            self.0.read(&mut buffer[..few])
        }
    }

    fn answer(bytes: &[u8]) -> io::Result<Answer> {
        read(&mut Slow(bytes))
    }

    #[test]
    fn the_same_body_is_the_same_however_it_is_framed() {
        let length = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellorest").unwrap();
        let chunked = answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
        let until_close = answer(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello").unwrap();
        let other = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhallo").unwrap();
        assert_eq!(length.length, 5);
        assert!(length.same(&chunked.unwrap()) && length.same(&until_close) && !length.same(&other));
    }

    #[test]
    fn an_answer_that_is_cut_off_is_an_error() {
        for cut in [
            &b"HTTP/1.1 200 OK\r\nContent-Le"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            b"SSH-2.0-OpenSSH\r\n\r\n",
        ] {
            assert!(answer(cut).is_err(), "{}", String::from_utf8_lossy(cut));
        }
    }

    #[test]
    fn who_differs_is_named() {
        let one = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").unwrap();
        let two = answer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\na").unwrap();
        assert_eq!(all_same(&[("a", one.clone()), ("b", one.clone())]), Ok(()));
        let error = all_same(&[("a", one.clone()), ("b", one), ("c", two)]).unwrap_err();
        assert!(error.starts_with("a and c do not do the same: 200, 1 bytes") && error.contains("404"), "{error}");
    }
}
