//! A client of HTTP/2 that says what a test tells it, frame by frame.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use anygate_proto::h2::PREFACE;
use anygate_proto::h2::hpack::{Decoder, Encoder, Indexing, Line};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::harness::{Gate, PATIENCE};

/// Kinds of frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A frame as it came.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The number at `at` of the payload, of four bytes.
    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }

    pub(crate) fn ends(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// What came of one request.
#[derive(Debug, Default, Clone)]
pub(crate) struct Answer {
    /// The statuses of interim answers.
    pub(crate) interim: Vec<u16>,
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) ended: bool,
    /// The code of an `RST_STREAM`.
    pub(crate) reset: Option<u32>,
}

impl Answer {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

trait Stream: Read + Write + Send {
    /// Says what a transport says besides the end of its socket.
    fn end(&mut self) {}
}
impl Stream for TcpStream {}
impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn end(&mut self) {
        self.conn.send_close_notify();
        self.flush().expect("the server takes bytes");
    }
}

/// A connection.
pub(crate) struct H2 {
    stream: Box<dyn Stream>,
    socket: TcpStream,
    read: Vec<u8>,
    encoder: Encoder,
    decoder: Decoder,
    pub(crate) answers: HashMap<u32, Answer>,
    /// Whether content that came is allowed again.
    pub(crate) gives_room: bool,
    /// Frames that are about no request, acknowledgements and windows aside.
    pub(crate) others: Vec<Frame>,
}

impl H2 {
    /// A connection with prior knowledge.
    pub(crate) fn plain(gate: &Gate) -> Self {
        let socket = gate.client().stream;
        let stream = socket.try_clone().expect("a descriptor");
        Self::over(Box::new(stream), &socket).settled(&[])
    }

    /// The same, with settings of its own.
    pub(crate) fn with_settings(gate: &Gate, settings: &[(u16, u32)]) -> Self {
        let socket = gate.client().stream;
        let stream = socket.try_clone().expect("a descriptor");
        Self::over(Box::new(stream), &socket).settled(settings)
    }

    /// A connection over TLS.
    pub(crate) fn tls(gate: &Gate, config: &Arc<ClientConfig>, name: &str) -> Self {
        Self::tls_with_settings(gate, config, name, &[])
    }

    /// The same, with settings of its own.
    pub(crate) fn tls_with_settings(
        gate: &Gate,
        config: &Arc<ClientConfig>,
        name: &str,
        settings: &[(u16, u32)],
    ) -> Self {
        let socket = gate.client().stream;
        let mut config = ClientConfig::clone(config);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut session = ClientConnection::new(Arc::new(config), name).expect("good settings");
        let mut transport = socket.try_clone().expect("a descriptor");
        while session.is_handshaking() {
            session.complete_io(&mut transport).expect("a handshake");
        }
        assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
        Self::over(Box::new(StreamOwned::new(session, transport)), &socket).settled(settings)
    }

    /// A connection whose requests `asked` come as early data: there must be a session that allows it.
    pub(crate) fn early(gate: &Gate, config: &Arc<ClientConfig>, name: &str, asked: &[Request<'_>]) -> Self {
        let socket = gate.client().stream;
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut session = ClientConnection::new(Arc::clone(config), name).expect("good settings");
        let mut first = [&PREFACE[..], &frame(SETTINGS, 0, 0, b"")].concat();
        let mut encoder = Encoder::new(4096);
        for (stream, fields) in asked {
            first.extend(head(&mut encoder, *stream, fields, true));
        }
        session.early_data().expect("a session that allows it").write_all(&first).expect("there is room");
        let transport = socket.try_clone().expect("a descriptor");
        let mut client = Self::over(Box::new(StreamOwned::new(session, transport)), &socket);
        client.encoder = encoder;
        client
    }

    fn over(stream: Box<dyn Stream>, socket: &TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        Self {
            stream,
            socket: socket.try_clone().expect("a descriptor"),
            read: Vec::new(),
            encoder: Encoder::new(4096),
            decoder: Decoder::new(4096),
            answers: HashMap::new(),
            gives_room: true,
            others: Vec::new(),
        }
    }

    fn settled(mut self, settings: &[(u16, u32)]) -> Self {
        let mut first = PREFACE.to_vec();
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        first.extend(frame(SETTINGS, 0, 0, &payload));
        self.send(&first);
        self
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).expect("the server takes bytes");
    }

    /// No more bytes will come from here.
    pub(crate) fn finish(&mut self) {
        self.stream.end();
        self.socket.shutdown(Shutdown::Write).expect("the socket is open");
    }

    /// Sends bytes that a server that has closed need not take.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).is_ok()
    }

    /// Sends a frame.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send(&frame(kind, flags, stream, payload));
    }

    /// A request's head, as a frame.
    pub(crate) fn head(&mut self, stream: u32, fields: &[(&str, &str)], end: bool) -> Vec<u8> {
        head(&mut self.encoder, stream, fields, end)
    }

    /// Begins a request.
    pub(crate) fn ask(&mut self, stream: u32, method: &str, path: &str, more: &[(&str, &str)], end: bool) {
        let mut fields = vec![(":method", method), (":scheme", "http"), (":authority", "a.test"), (":path", path)];
        fields.extend_from_slice(more);
        let head = self.head(stream, &fields, end);
        self.send(&head);
    }

    /// Asks for a path, and takes the answer.
    pub(crate) fn get(&mut self, stream: u32, path: &str) -> Answer {
        self.ask(stream, "GET", path, &[], true);
        self.answer(stream)
    }

    pub(crate) fn data(&mut self, stream: u32, content: &[u8], end: bool) {
        self.frame(DATA, u8::from(end), stream, content);
    }

    /// The whole answer of a stream.
    pub(crate) fn answer(&mut self, stream: u32) -> Answer {
        self.until(|client| client.answers.get(&stream).is_some_and(|answer| answer.ended || answer.reset.is_some()));
        self.answers.remove(&stream).expect("it is there")
    }

    /// Takes frames until something is so.
    pub(crate) fn until(&mut self, so: impl Fn(&Self) -> bool) {
        while !so(self) {
            let Some(frame) = self.next() else {
                panic!("the connection ended; {:?}, others {:?}", self.answers, self.others)
            };
            self.take(frame);
        }
    }

    /// Takes a frame; false at the end of the connection.
    pub(crate) fn step(&mut self) -> bool {
        let frame = self.next();
        let came = frame.is_some();
        frame.into_iter().for_each(|frame| self.take(frame));
        came
    }

    /// Takes frames until the connection ends.
    pub(crate) fn drain(&mut self) {
        while let Some(frame) = self.next() {
            self.take(frame);
        }
    }

    /// The codes of the `GOAWAY`s so far, with the last streams they name.
    pub(crate) fn goaways(&self) -> Vec<(u32, u32)> {
        let goaways = self.others.iter().filter(|frame| frame.kind == GOAWAY);
        goaways.map(|frame| (frame.number(0) & 0x7fff_ffff, frame.number(4))).collect()
    }

    fn take(&mut self, came: Frame) {
        match came.kind {
            HEADERS => {
                assert!(came.flags & END_HEADERS != 0, "heads of tests are small");
                let mut fields = Vec::new();
                let mut put = |line: Line<'_>| {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    fields.push((text(line.name), text(line.value)));
                };
                self.decoder.decode(&came.payload, &mut put).expect("a good block");
                let answer = self.answers.entry(came.stream).or_default();
                answer.ended |= came.ends();
                if answer.status >= 200 {
                    return answer.trailers = fields;
                }
                assert_eq!(fields[0].0, ":status");
                let status = fields[0].1.parse().expect("a number");
                if status < 200 {
                    return answer.interim.push(status);
                }
                (answer.status, answer.fields) = (status, fields);
            }
            DATA => {
                let answer = self.answers.entry(came.stream).or_default();
                answer.ended |= came.ends();
                answer.body.extend_from_slice(&came.payload);
                if self.gives_room && !came.payload.is_empty() {
                    let room = (came.payload.len() as u32).to_be_bytes();
                    let both = [frame(WINDOW_UPDATE, 0, 0, &room), frame(WINDOW_UPDATE, 0, came.stream, &room)];
                    // The last ones may cross the connection's end.
                    self.try_send(&both.concat());
                }
            }
            RST_STREAM => self.answers.entry(came.stream).or_default().reset = Some(came.number(0)),
            SETTINGS if came.flags & ACK == 0 => self.others.push(came),
            WINDOW_UPDATE | SETTINGS => {}
            _ => self.others.push(came),
        }
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let begun = Instant::now();
        loop {
            if self.read.len() >= 9 {
                let len = u32::from_be_bytes([0, self.read[0], self.read[1], self.read[2]]) as usize;
                if self.read.len() >= 9 + len {
                    let (kind, flags) = (self.read[3], self.read[4]);
                    let stream = u32::from_be_bytes(self.read[5..9].try_into().expect("four bytes")) & 0x7fff_ffff;
                    let payload = self.read[9..9 + len].to_vec();
                    self.read.drain(..9 + len);
                    return Some(Frame { kind, flags, stream, payload });
                }
            }
            let mut bytes = [0; 64 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(n) => self.read.extend_from_slice(&bytes[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {
                    return None;
                }
                Err(error) => panic!("nothing came for {:?}: {error}; {:?}", begun.elapsed(), self.answers),
            }
        }
    }
}

/// A stream, and the fields of a request on it.
pub(crate) type Request<'a> = (u32, &'a [(&'a str, &'a str)]);

fn head(encoder: &mut Encoder, stream: u32, fields: &[(&str, &str)], end: bool) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        encoder.encode(name.as_bytes(), value.as_bytes(), Indexing::Auto, &mut block);
    }
    frame(HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, stream, &block)
}

/// A frame as it goes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
