//! The server behind every proxy that is measured: answers by path, takes uploads, and costs next to nothing.
//!
//! It reads heads, for it must know what is asked and how long an upload is; a head like the one before is not read again.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::task::Poll;

use anygate_proto::h1::request::parse_request;
use anygate_proto::{BodyLength, Fields, Limits, Parsed};
use anygate_shard::mailbox::Receiver;
use anygate_shard::{Bytes, Class, Close, Io, Lease, Service, Shard, SocketId, Wake};

use super::rows::Rows;
use super::{LISTENER, Stop, open};

/// Paths, and the lengths in bytes of what they are answered with. Any other path is not found.
pub const BODIES: [(&str, usize); 5] =
    [("/", 0), ("/1k", 1 << 10), ("/16k", 16 << 10), ("/100k", 100 << 10), ("/10m", 10 << 20)];

/// The longest head that is remembered.
const LONGEST_TWIN: usize = 4096;
const LINE: &[u8] = b"What a server behind says, a line at a time, for as long as is asked.\n";

/// What an origin is made with.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The driver.
    pub io: Io,
    /// The core it is pinned to.
    pub core: Option<usize>,
}

impl Origin {
    /// Serves on the calling thread until the mailbox brings [`Stop`]; `listening` is told the address.
    ///
    /// # Errors
    /// The address, the core or the driver cannot be had.
    pub fn serve(&self, mailbox: &Receiver<Stop>, listening: impl FnOnce(SocketAddr)) -> Result<(), String> {
        let place = open(self.listen, self.io, self.core)?;
        let service = Answering {
            shard: place.shard.clone(),
            listener: place.listener,
            images: Images::new(),
            state: RefCell::default(),
        };
        listening(place.address);
        place.shard.run(&service, mailbox);
        Ok(())
    }
}

/// Everything that is ever answered.
struct Images {
    /// By [`BODIES`]: kept connections, and such that end.
    found: Vec<[Bytes; 2]>,
    /// The same, for other paths.
    other: [Bytes; 2],
    /// The request was not understood.
    refused: Bytes,
}

impl Images {
    fn new() -> Self {
        let both = |status: &str, length: usize| [false, true].map(|close| image(status, close, length));
        Self {
            found: BODIES.iter().map(|&(_, length)| both("200 OK", length)).collect(),
            other: both("404 Not Found", 0),
            refused: image("400 Bad Request", true, 0),
        }
    }

    fn of(&self, asked: Asked) -> Bytes {
        let both = asked.body.map_or(&self.other, |at| &self.found[at]);
        both[usize::from(asked.close)].clone()
    }
}

/// A whole answer in one piece.
fn image(status: &str, close: bool, length: usize) -> Bytes {
    let close = if close { "Connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nDate: Sat, 21 Nov 2026 03:00:00 GMT\r\n{close}Content-Type: text/plain\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    Bytes::from(head.into_bytes().into_iter().chain(LINE.iter().copied().cycle().take(length)).collect::<Vec<u8>>())
}

/// What a head asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// Which of [`BODIES`].
    body: Option<usize>,
    /// Bytes that follow.
    upload: u64,
    /// The connection ends after the answer.
    close: bool,
}

#[derive(Debug, Default)]
struct Client {
    socket: Option<SocketId>,
    /// The beginning of a head.
    partial: Vec<u8>,
    /// An upload under way: what asked for it, and how much of it is still to come.
    upload: Option<(Asked, u64)>,
}

/// How the heads of all clients are read.
#[derive(Default)]
struct Reader {
    limits: Limits,
    fields: Fields,
    /// The last head that lay whole in one buffer, and what it asks for.
    twin: Option<(Vec<u8>, Asked)>,
}

#[derive(Default)]
struct State {
    clients: Rows<Client>,
    reader: Reader,
}

struct Answering {
    shard: Shard,
    listener: SocketId,
    images: Images,
    state: RefCell<State>,
}

/// A head that cannot be served.
#[derive(Debug)]
struct Refused;

impl Reader {
    /// The head at the beginning of `input`, and its length; `None` when its end did not come yet.
    fn read(&mut self, input: &[u8]) -> Result<Option<(Asked, usize)>, Refused> {
        if let Some((twin, asked)) = &self.twin
            && input.starts_with(twin)
        {
            return Ok(Some((*asked, twin.len())));
        }
        let parsed = parse_request(input, &self.limits, &mut self.fields).map_err(|_| Refused)?;
        let Parsed::Complete(request) = parsed else { return Ok(None) };
        let upload = match request.body {
            BodyLength::None => 0,
            BodyLength::Length(length) => length,
            BodyLength::Chunked | BodyLength::UntilClose => return Err(Refused),
        };
        if request.is_head {
            return Err(Refused);
        }
        let path = request.path.of(input);
        let body = BODIES.iter().position(|(known, _)| known.as_bytes() == path);
        let asked = Asked { body, upload, close: !request.keep_alive };
        let length = request.head_len as usize;
        if length <= LONGEST_TWIN {
            self.twin = Some((input[..length].to_vec(), asked));
        }
        Ok(Some((asked, length)))
    }
}

impl Client {
    /// Takes in what came, and calls `answer` for every request that ends in it.
    fn feed(&mut self, input: &[u8], reader: &mut Reader, mut answer: impl FnMut(Asked)) -> Result<(), Refused> {
        let joined;
        let mut left = input;
        if !self.partial.is_empty() {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(input);
            joined = whole;
            left = &joined;
        }
        while !left.is_empty() {
            if let Some((asked, length)) = self.upload {
                let taken = left.len().min(usize::try_from(length).unwrap_or(usize::MAX));
                left = &left[taken..];
                self.upload = Some((asked, length - taken as u64)).filter(|&(_, length)| length > 0);
                if self.upload.is_none() {
                    answer(asked);
                }
                continue;
            }
            match reader.read(left)? {
                None => {
                    self.partial = left.to_vec();
                    return Ok(());
                }
                Some((asked, length)) => {
                    left = &left[length..];
                    if asked.upload == 0 {
                        answer(asked);
                    } else {
                        self.upload = Some((asked, asked.upload));
                    }
                }
            }
        }
        Ok(())
    }

    /// The buffer to receive in: a large one for what is left of a long upload.
    fn class(&self) -> Class {
        match self.upload {
            Some((_, length)) if length > Class::Bulk.size() as u64 => Class::Large,
            Some((_, length)) if length > Class::Head.size() as u64 => Class::Bulk,
            _ => Class::Head,
        }
    }
}

impl Answering {
    fn accept(&self) {
        while let Poll::Ready(Ok(accepted)) = self.shard.poll_accept(self.listener, Wake::row(LISTENER)) {
            let state = &mut *self.state.borrow_mut();
            let place = state.clients.insert(Client { socket: Some(accepted.socket), ..Client::default() });
            self.serve(state, place);
        }
    }

    fn serve(&self, state: &mut State, place: usize) {
        let State { clients, reader } = state;
        let Some(client) = clients.get_mut(place) else { return };
        let Some(socket) = client.socket else { return };
        loop {
            match self.shard.poll_recv(socket, client.class(), Wake::row(place as u32 + 1)) {
                Poll::Pending => return,
                Poll::Ready(Ok(lease)) if !lease.is_empty() => {
                    if self.take(client, socket, &lease, reader) {
                        break;
                    }
                }
                Poll::Ready(_) => break,
            }
        }
        self.shard.close(socket, Close::Graceful);
        clients.remove(place);
    }

    /// Answers what came; true when the connection ends.
    fn take(&self, client: &mut Client, socket: SocketId, lease: &Lease, reader: &mut Reader) -> bool {
        let mut close = false;
        let fed = client.feed(lease.filled(), reader, |asked| {
            if !close {
                self.shard.queue(socket, self.images.of(asked));
                close = asked.close;
            }
        });
        if fed.is_err() {
            self.shard.queue(socket, self.images.refused.clone());
        }
        close || fed.is_err()
    }
}

impl Service for Answering {
    type Message = Stop;

    fn ready(&self, row: u32) {
        match row {
            LISTENER => self.accept(),
            row => self.serve(&mut self.state.borrow_mut(), row as usize - 1),
        }
    }

    fn expired(&self, _row: u32) {}

    fn message(&self, Stop: Stop) {
        self.shard.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET /100k?x HTTP/1.1\r\nHost: a\r\n\r\n";
    const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    const LAST: &[u8] = b"GET /else HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    fn answers(pieces: &[&[u8]]) -> Result<Vec<Asked>, Refused> {
        let (mut client, mut reader, mut seen) = (Client::default(), Reader::default(), Vec::new());
        for piece in pieces {
            client.feed(piece, &mut reader, |asked| seen.push(asked))?;
        }
        Ok(seen)
    }

    #[test]
    fn requests_are_read_wherever_the_stream_is_cut() {
        let stream = [GET, GET, POST, POST, GET, LAST].concat();
        let get = Asked { body: Some(3), upload: 0, close: false };
        let post = Asked { body: Some(0), upload: 5, close: false };
        let expected = [get, get, post, post, get, Asked { body: None, upload: 0, close: true }];
        for cut in 0..=stream.len() {
            let (first, second) = stream.split_at(cut);
            assert_eq!(answers(&[first, second]).unwrap(), expected, "cut at {cut}");
        }
        assert_eq!(answers(&stream.chunks(1).collect::<Vec<_>>()).unwrap(), expected);
    }

    #[test]
    fn what_it_cannot_swallow_is_refused() {
        assert!(answers(&[b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"]).is_err());
        assert!(answers(&[b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"]).is_err());
        assert!(answers(&[b"\x16\x03\x01 no HTTP\r\n\r\n"]).is_err());
    }

    #[test]
    fn long_uploads_are_received_in_large_buffers() {
        let mut client = Client::default();
        assert_eq!(client.class(), Class::Head);
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
        client.feed(head, &mut Reader::default(), |_| panic!("the upload did not come yet")).unwrap();
        assert_eq!(client.class(), Class::Large);
    }
}
