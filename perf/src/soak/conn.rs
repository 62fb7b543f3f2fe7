//! A client's connection: it sends bytes as they are, and believes nothing of what comes back.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anygate_proto::h1::chunked::{Decoder, Step};
use anygate_proto::h1::response::{Asked, parse_response};
use anygate_proto::{BodyLength, Fields, Limits, Parsed};

use super::pattern;

/// A server that says nothing for so long hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// A connection that rested so long may be closed at any moment: it is not used again.
const STALE: Duration = Duration::from_millis(3_500);
/// Bytes read at a time.
const PIECE: usize = 64 << 10;

/// What a client met instead of what it expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection was made.
    Refused(String),
    /// The connection ended or failed before the first byte of an answer.
    Unanswered(String),
    /// The connection ended or failed within an answer, and the answer's framing shows it.
    CutOff(String),
    /// A status that was not due.
    Status(u16),
    /// A byte, a length or a field that is not what it must be.
    Wrong(String),
    /// Nothing came for [`PATIENCE`].
    Silent,
}

impl Fault {
    /// Its kind, for counts.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Refused(_) => "no connection".to_owned(),
            Self::Unanswered(_) => "no answer".to_owned(),
            Self::CutOff(_) => "answer cut off".to_owned(),
            Self::Status(status) => format!("status {status}"),
            Self::Wrong(_) => "wrong answer".to_owned(),
            Self::Silent => "silence".to_owned(),
        }
    }
}

/// What the body of an answer must be.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// These bytes of a body: its seed, where they begin in it, and how many they are.
    Pattern(u32, u64, u64),
    /// This text.
    Text(String),
    /// Nothing that is looked at.
    Any,
}

/// A head that came, and what of its body was counted.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) keep_alive: bool,
}

impl Answer {
    /// A field's value.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (its_name, value) = line.split_once(':')?;
            its_name.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// How fast a client takes what comes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Thirst {
    /// Bytes of the body after which it leaves.
    pub(super) leaves_after: Option<u64>,
    /// How long it waits before each piece.
    pub(super) pause: Duration,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) stream: TcpStream,
    input: Vec<u8>,
    fields: Fields,
    used: Instant,
}

/// What is left of a body that is being read.
struct Body {
    expected: Expected,
    text: Vec<u8>,
    came: u64,
}

impl Conn {
    pub(super) fn open(address: SocketAddr) -> Result<Self, Fault> {
        let refused = |error: io::Error| Fault::Refused(error.to_string());
        let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(refused)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(refused)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        Ok(Self { stream, input: Vec::new(), fields: Fields::default(), used: Instant::now() })
    }

    /// Whether it rested too long to be used again.
    pub(super) fn is_stale(&self) -> bool {
        self.used.elapsed() > STALE
    }

    /// Sends these bytes. A server that answered and closed meanwhile is no fault here: what it said is read next.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.used = Instant::now();
        match self.stream.write_all(bytes) {
            Err(error) if is_silence(&error) => Err(Fault::Silent),
            _ => Ok(()),
        }
    }

    /// Says that nothing more comes.
    pub(super) fn finish(&self) {
        // Where the server ended it before, reading tells.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next head, interim ones too.
    pub(super) fn head(&mut self, asked: Asked) -> Result<(Answer, BodyLength), Fault> {
        loop {
            let parsed = parse_response(&self.input, &Limits::default(), &mut self.fields, asked);
            match parsed.map_err(|reject| Fault::Wrong(format!("{reject:?}: {}", self.shown())))? {
                Parsed::Complete(response) => {
                    let head: Vec<u8> = self.input.drain(..response.head_len as usize).collect();
                    let answer = Answer {
                        status: response.status,
                        head: String::from_utf8_lossy(&head).into_owned(),
                        keep_alive: response.keep_alive,
                    };
                    return Ok((answer, response.body));
                }
                Parsed::Partial => {
                    let begun = !self.input.is_empty();
                    self.more().map_err(|error| self.fault(&error, begun))?;
                }
            }
        }
    }

    /// One final answer, whose body must be as `expected`, read to its end.
    pub(super) fn answer(&mut self, asked: Asked, status: u16, expected: Expected) -> Result<Answer, Fault> {
        self.take(asked, status, expected, Thirst::default())
    }

    /// The same by who is slow, or leaves early; who left must not use the connection again.
    pub(super) fn take(
        &mut self,
        asked: Asked,
        status: u16,
        expected: Expected,
        thirst: Thirst,
    ) -> Result<Answer, Fault> {
        let (answer, length) = loop {
            let (answer, length) = self.head(asked)?;
            if answer.status >= 200 || answer.status == 101 {
                break (answer, length);
            }
        };
        if answer.status != status {
            return Err(Fault::Status(answer.status));
        }
        let mut body = Body { expected, text: Vec::new(), came: 0 };
        self.body(length, &mut body, thirst)?;
        if thirst.leaves_after.is_none() {
            body.is_whole()?;
        }
        Ok(answer)
    }

    fn body(&mut self, length: BodyLength, body: &mut Body, thirst: Thirst) -> Result<(), Fault> {
        let left = |body: &Body| thirst.leaves_after.is_some_and(|most| body.came >= most);
        let mut decoder = Decoder::default();
        loop {
            let (consumed, ended) = match length {
                BodyLength::None => return Ok(()),
                BodyLength::Length(length) => {
                    let here = usize::try_from(length - body.came).unwrap_or(usize::MAX).min(self.input.len());
                    body.feed(&self.input[..here])?;
                    (here, body.came == length)
                }
                BodyLength::Chunked => {
                    let step = decoder.decode(&self.input);
                    match step.map_err(|reject| Fault::Wrong(format!("{reject:?}: {}", self.shown())))? {
                        Step::Data(range) => {
                            let end = range.end;
                            body.feed(&self.input[range])?;
                            (end, false)
                        }
                        Step::End(end) => (end, true),
                        Step::NeedMore => (self.input.len(), false),
                    }
                }
                BodyLength::UntilClose => {
                    body.feed(&self.input)?;
                    (self.input.len(), false)
                }
            };
            self.input.drain(..consumed);
            if ended || left(body) {
                return Ok(());
            }
            if self.input.is_empty() {
                if !thirst.pause.is_zero() {
                    std::thread::sleep(thirst.pause);
                }
                match self.more() {
                    Err(error) if is_end(&error) && length == BodyLength::UntilClose => return Ok(()),
                    more => more.map_err(|error| self.fault(&error, true))?,
                }
            }
        }
    }

    /// Exactly these bytes.
    pub(super) fn exactly(&mut self, expected: &[u8]) -> Result<(), Fault> {
        while self.input.len() < expected.len() {
            self.more().map_err(|error| self.fault(&error, true))?;
        }
        if self.input[..expected.len()] != *expected {
            return Err(Fault::Wrong("other bytes than were sent through".to_owned()));
        }
        self.input.drain(..expected.len());
        Ok(())
    }

    /// The end of the stream, without another byte and without a reset.
    pub(super) fn ends(&mut self) -> Result<(), Fault> {
        if !self.input.is_empty() {
            return Err(Fault::Wrong(format!("more than was due: {}", self.shown())));
        }
        match self.more() {
            Err(error) if is_end(&error) => Ok(()),
            Err(error) if is_silence(&error) => Err(Fault::Silent),
            Err(error) => Err(Fault::CutOff(format!("{error} instead of an end"))),
            Ok(()) => Err(Fault::Wrong(format!("more than was due: {}", self.shown()))),
        }
    }

    /// Receives more; the end of the stream is an error.
    fn more(&mut self) -> io::Result<()> {
        let before = self.input.len();
        self.input.resize(before + PIECE, 0);
        let read = loop {
            match self.stream.read(&mut self.input[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.input.truncate(before + *read.as_ref().unwrap_or(&0));
        if read? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn fault(&self, error: &io::Error, begun: bool) -> Fault {
        match error {
            error if is_silence(error) => Fault::Silent,
            error if begun => Fault::CutOff(error.to_string()),
            error => Fault::Unanswered(error.to_string()),
        }
    }

    /// The beginning of what is there.
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.input[..self.input.len().min(160)]).into_owned()
    }
}

impl Body {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let wrong = |what: String| Err(Fault::Wrong(what));
        match &self.expected {
            Expected::Pattern(seed, from, length) => {
                if self.came + bytes.len() as u64 > *length {
                    return wrong(format!("a body longer than {length}"));
                }
                if !pattern::matches(*seed, from + self.came, bytes) {
                    return wrong(format!("a wrong byte within {} of {}", bytes.len(), self.came));
                }
            }
            Expected::Text(_) => self.text.extend_from_slice(bytes),
            Expected::Any => {}
        }
        self.came += bytes.len() as u64;
        Ok(())
    }

    /// What ended as if it were whole must be whole.
    fn is_whole(&self) -> Result<(), Fault> {
        match &self.expected {
            Expected::Pattern(_, _, length) if self.came != *length => {
                Err(Fault::Wrong(format!("a clean end after {} of {length} bytes", self.came)))
            }
            Expected::Text(text) if self.text != text.as_bytes() => {
                let came = String::from_utf8_lossy(&self.text[..self.text.len().min(100)]);
                Err(Fault::Wrong(format!("{came:?} instead of {text:?}")))
            }
            _ => Ok(()),
        }
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A connection to a server that says these bytes and closes.
    fn told(bytes: &'static [u8]) -> Conn {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(bytes).unwrap();
        });
        Conn::open(address).unwrap()
    }

    #[test]
    fn a_wrong_byte_a_clean_end_too_early_and_a_cut_are_told_apart() {
        let whole = |bytes| told(bytes).answer(Asked::Other, 200, Expected::Text("hello".into())).map(drop);
        assert_eq!(whole(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Ok(()));
        assert_eq!(whole(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), Ok(()));
        let clean = whole(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n0\r\n\r\n");
        assert!(matches!(clean, Err(Fault::Wrong(_))), "{clean:?}");
        let cut = whole(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell");
        assert!(matches!(cut, Err(Fault::CutOff(_))), "{cut:?}");
        assert!(matches!(whole(b""), Err(Fault::Unanswered(_))));
        assert_eq!(whole(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), Err(Fault::Status(502)));
        let short = told(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").answer(
            Asked::Other,
            200,
            Expected::Pattern(1, 0, 4),
        );
        assert!(matches!(short, Err(Fault::Wrong(_))), "{short:?}");
    }

    #[test]
    fn bytes_behind_the_last_answer_are_wrong() {
        let mut conn = told(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n");
        conn.answer(Asked::Other, 204, Expected::Any).unwrap();
        assert!(matches!(conn.ends(), Err(Fault::Wrong(_))));
    }
}
