//! The servers behind a soak: they answer with bodies that can be checked, mirror what they get, and misbehave when asked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::pattern::{self, Rng};

/// What switches a connection to a tunnel, for the key of RFC 6455 §1.3.
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// Bytes read or written at a time.
const PIECE: usize = 16 << 10;

/// Serves until the process ends, a thread for each connection; `listening` is told the address.
///
/// # Errors
/// The address cannot be had.
pub fn serve(listen: SocketAddr, listening: impl FnOnce(SocketAddr)) -> Result<(), String> {
    let fault = |error: io::Error| format!("listening on {listen}: {error}");
    let listener = TcpListener::bind(listen).map_err(fault)?;
    listening(listener.local_addr().map_err(fault)?);
    for stream in listener.incoming() {
        // A connection that was gone before it was taken is nobody's loss.
        let Ok(stream) = stream else { continue };
        let started = thread::Builder::new().stack_size(256 << 10).spawn(move || drop(converse(stream)));
        drop(started);
    }
    Ok(())
}

/// A request's head.
struct Head {
    method: String,
    /// The parts of the path between its slashes, decoded as numbers where they are such.
    parts: Vec<String>,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

impl Head {
    fn read(input: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            if input.read_line(&mut text)? == 0 {
                return Ok(None);
            }
        }
        let mut words = text.lines().next().unwrap_or_default().split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let path = words.next().unwrap_or_default();
        let parts = path.split('/').skip(1).map(str::to_owned).collect();
        let field = |wanted: &str| {
            text.lines()
                .filter_map(|line| line.split_once(": "))
                .find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then(|| value.to_owned()))
        };
        Ok(Some(Self {
            method,
            parts,
            length: field("Content-Length").and_then(|value| value.parse().ok()),
            chunked: field("Transfer-Encoding").is_some(),
            upgrade: field("Upgrade").is_some(),
        }))
    }

    fn number(&self, at: usize) -> u64 {
        self.parts.get(at).and_then(|part| part.parse().ok()).unwrap_or(0)
    }
}

fn converse(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::with_capacity(PIECE, stream.try_clone()?);
    while let Some(head) = Head::read(&mut input)? {
        if head.upgrade {
            stream.write_all(SWITCH)?;
            io::copy(&mut input, &mut stream)?;
            return stream.shutdown(Shutdown::Write);
        }
        let mut body = Incoming::of(&head);
        let (seed, length) = (head.number(1) as u32, head.number(2));
        let ends = match head.parts.first().map(String::as_str) {
            Some("bytes") => {
                body.skip(&mut input)?;
                answer(&mut stream, length, head.method != "HEAD", seed, Duration::ZERO)?;
                false
            }
            Some("slow") => {
                body.skip(&mut input)?;
                answer(&mut stream, length, true, seed, Duration::from_millis(5))?;
                false
            }
            Some("chunks") => {
                body.skip(&mut input)?;
                chunks(&mut stream, seed, length)?;
                false
            }
            Some("hints") => {
                body.skip(&mut input)?;
                stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")?;
                answer(&mut stream, length, true, seed, Duration::ZERO)?;
                false
            }
            Some("close") => {
                body.skip(&mut input)?;
                stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                send(&mut stream, seed, 0, length, Duration::ZERO)?;
                true
            }
            Some("sum") => {
                let sum = check(&mut body, &mut input, seed)?;
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{sum}", sum.len())?;
                false
            }
            Some("mirror") => {
                mirror(&mut stream, &mut body, &mut input)?;
                false
            }
            Some("short") => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
                send(&mut stream, seed, 0, length / 2, Duration::ZERO)?;
                true
            }
            Some("half-chunk") => {
                write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n")?;
                send(&mut stream, seed, 0, length / 2, Duration::ZERO)?;
                true
            }
            Some("garbage") => {
                stream.write_all(b"HTTP/2.0 what\r\n\r\n")?;
                true
            }
            Some("nothing") => true,
            Some("early") => {
                stream
                    .write_all(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?;
                true
            }
            _ => {
                body.skip(&mut input)?;
                stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
                false
            }
        };
        if ends {
            // What still comes is read, so that the end is no reset.
            stream.shutdown(Shutdown::Write)?;
            io::copy(&mut input, &mut io::sink())?;
            return Ok(());
        }
    }
    Ok(())
}

fn answer(stream: &mut TcpStream, length: u64, body: bool, seed: u32, pause: Duration) -> io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")?;
    if body { send(stream, seed, 0, length, pause) } else { Ok(()) }
}

/// A pattern's bytes.
fn send(stream: &mut TcpStream, seed: u32, from: u64, length: u64, pause: Duration) -> io::Result<()> {
    let mut piece = Vec::with_capacity(PIECE);
    let (mut at, end) = (from, from + length);
    while at < end {
        piece.clear();
        pattern::write(seed, at, ((end - at) as usize).min(PIECE), &mut piece);
        stream.write_all(&piece)?;
        at += piece.len() as u64;
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
    Ok(())
}

/// A pattern in chunks of any size, and a trailer.
fn chunks(stream: &mut TcpStream, seed: u32, length: u64) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let (mut rng, mut at, mut piece) = (Rng::new(length), 0, Vec::new());
    while at < length {
        let size = (1 + rng.below(2 * PIECE as u64)).min(length - at);
        piece.clear();
        write!(piece, "{size:x}\r\n")?;
        pattern::write(seed, at, size as usize, &mut piece);
        piece.extend_from_slice(b"\r\n");
        stream.write_all(&piece)?;
        at += size;
    }
    stream.write_all(b"0\r\nX-Trailer: here\r\n\r\n")
}

/// A request's body, as it is read.
enum Incoming {
    Length(u64),
    /// Bytes left of the chunk; `None` before the first.
    Chunked(Option<u64>),
    Over,
}

impl Incoming {
    fn of(head: &Head) -> Self {
        match head.length {
            _ if head.chunked => Self::Chunked(None),
            Some(length) if length > 0 => Self::Length(length),
            _ => Self::Over,
        }
    }

    /// The next piece; empty at the end.
    fn piece(&mut self, input: &mut impl BufRead, into: &mut Vec<u8>) -> io::Result<()> {
        into.clear();
        let left = match self {
            Self::Over => return Ok(()),
            Self::Length(left) => *left,
            Self::Chunked(left) => {
                let mut line = String::new();
                while left.is_none_or(|left| left == 0) {
                    if left.is_some() {
                        input.read_line(&mut line)?;
                        line.clear();
                    }
                    if input.read_line(&mut line)? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    let size = u64::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
                    *left = Some(size);
                    line.clear();
                    if size == 0 {
                        input.read_line(&mut line)?;
                        *self = Self::Over;
                        return Ok(());
                    }
                }
                left.unwrap_or(0)
            }
        };
        let read = input.take(left.min(PIECE as u64)).read_to_end(into)? as u64;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match self {
            Self::Length(left) if *left == read => *self = Self::Over,
            Self::Length(left) | Self::Chunked(Some(left)) => *left -= read,
            Self::Chunked(None) | Self::Over => {}
        }
        Ok(())
    }

    fn skip(&mut self, input: &mut impl BufRead) -> io::Result<()> {
        let mut piece = Vec::new();
        loop {
            self.piece(input, &mut piece)?;
            if piece.is_empty() {
                return Ok(());
            }
        }
    }
}

/// `LENGTH ok`, or where a body is not the pattern.
fn check(body: &mut Incoming, input: &mut impl BufRead, seed: u32) -> io::Result<String> {
    let (mut at, mut wrong, mut piece) = (0, None, Vec::new());
    loop {
        body.piece(input, &mut piece)?;
        if piece.is_empty() {
            return Ok(wrong.unwrap_or_else(|| format!("{at} ok")));
        }
        if !pattern::matches(seed, at, &piece) {
            wrong.get_or_insert_with(|| format!("a wrong byte behind {at}"));
        }
        at += piece.len() as u64;
    }
}

/// Sends each piece back when it comes.
fn mirror(stream: &mut TcpStream, body: &mut Incoming, input: &mut impl BufRead) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let (mut piece, mut chunk) = (Vec::new(), Vec::new());
    loop {
        body.piece(input, &mut piece)?;
        if piece.is_empty() {
            return stream.write_all(b"0\r\n\r\n");
        }
        chunk.clear();
        write!(chunk, "{:x}\r\n", piece.len())?;
        chunk.extend_from_slice(&piece);
        chunk.extend_from_slice(b"\r\n");
        stream.write_all(&chunk)?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use anygate_proto::h1::response::Asked;

    use super::super::conn::{Conn, Expected, Fault};
    use super::*;

    fn behind() -> SocketAddr {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || serve("127.0.0.1:0".parse().unwrap(), |address| tell.send(address).unwrap()));
        told.recv().unwrap()
    }

    #[test]
    fn bodies_are_the_pattern_however_they_are_framed() {
        let mut conn = Conn::open(behind()).unwrap();
        for path in ["bytes", "chunks", "hints", "slow"] {
            conn.send(format!("GET /{path}/7/50000 HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
            conn.answer(Asked::Other, 200, Expected::Pattern(7, 0, 50_000)).unwrap();
        }
        conn.send(b"GET /close/7/50000 HTTP/1.1\r\n\r\n").unwrap();
        conn.answer(Asked::Other, 200, Expected::Pattern(7, 0, 50_000)).unwrap();
    }

    #[test]
    fn uploads_are_checked_and_mirrored_in_both_framings() {
        let mut conn = Conn::open(behind()).unwrap();
        let body = pattern::body(3, 40_000);
        let chunked = [b"64\r\n", &body[..100], b"\r\n9bdc\r\n", &body[100..], b"\r\n0\r\n\r\n"].concat();
        for (field, body) in [("Content-Length: 40000", &body), ("Transfer-Encoding: chunked", &chunked)] {
            conn.send(format!("POST /sum/3 HTTP/1.1\r\n{field}\r\n\r\n").as_bytes()).unwrap();
            conn.send(body).unwrap();
            conn.answer(Asked::Other, 200, Expected::Text("40000 ok".into())).unwrap();
            conn.send(format!("POST /mirror HTTP/1.1\r\n{field}\r\n\r\n").as_bytes()).unwrap();
            conn.send(body).unwrap();
            conn.answer(Asked::Other, 200, Expected::Pattern(3, 0, 40_000)).unwrap();
        }
        conn.send(b"POST /sum/4 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").unwrap();
        conn.answer(Asked::Other, 200, Expected::Text("a wrong byte behind 0".into())).unwrap();
    }

    #[test]
    fn it_cuts_off_what_it_is_asked_to() {
        for path in ["short", "half-chunk"] {
            let mut conn = Conn::open(behind()).unwrap();
            conn.send(format!("GET /{path}/1/1000 HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
            let cut = conn.answer(Asked::Other, 200, Expected::Pattern(1, 0, 1000));
            assert!(matches!(cut, Err(Fault::CutOff(_))), "{path}: {cut:?}");
        }
    }
}
