//! What does a client hear on an HTTP/2 connection, and does the gate keep the rules of RFC 9113 while it speaks?
//!
//! Whatever comes is checked: frame sizes, windows, the states of streams, header blocks. A fault is an item `WRONG …`.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::hpack::Decoder;
use super::words::{ACK, END_HEADERS, END_STREAM, Frame, Item, code_name, kind_name, setting_name};
use crate::cases::{Cut, End};
use crate::ground::Field;
use crate::pipe::{Carrier, Way, keys};

/// RFC 9113 §3.4.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Windows before anybody says anything (RFC 9113 §6.9.2).
const WINDOW: i64 = 65_535;

const SETTINGS: u8 = 0x4;

/// A frame that came.
struct Heard {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A stream as this side sees it.
#[derive(Default)]
struct Stream {
    /// What the gate may still send of DATA, beside the initial window.
    window: i64,
    /// What this client may still send, beside the gate's initial window.
    credit: i64,
    /// A head came that is no 1xx.
    answered: bool,
    /// No frame but RST_STREAM may come any more; or none at all.
    ended: bool,
    reset: bool,
}

/// One client's connection.
pub(crate) struct Talker {
    pipe: Box<dyn Carrier>,
    bytes: Vec<u8>,
    end: Option<End>,
    decoder: Decoder,
    /// HEADERS whose block is not whole.
    block: Option<Heard>,
    streams: HashMap<u32, Stream>,
    /// What came, with what belongs together joined.
    pub(crate) items: Vec<(u32, Item)>,
    /// Settings sent and not acknowledged, oldest first.
    pending: Vec<Vec<u8>>,
    /// The first SETTINGS of the gate came.
    begun: bool,
    /// What the gate may send on the connection, on a new stream, in a frame.
    window: i64,
    initial: i64,
    largest: usize,
    /// What this client may send on the connection, on a new stream, in a frame.
    credit: i64,
    initial_credit: i64,
    largest_sent: usize,
    /// A table size that the next block must begin with an update to (RFC 7541 §4.2).
    shrinks: Option<usize>,
    /// PINGs that were answered.
    pub(crate) pongs: u64,
    /// It does not acknowledge the gate's SETTINGS.
    pub(crate) mute: bool,
}

impl Talker {
    /// Comes in this way; nothing is said yet.
    pub(crate) fn connect(field: &Field, address: SocketAddr, way: Way) -> Self {
        let settings = (way == Way::Tls).then(|| {
            let mut config = keys().client.as_ref().clone();
            config.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(config)
        });
        let pipe = field.connect(address, settings);
        Self {
            pipe,
            bytes: Vec::new(),
            end: None,
            decoder: Decoder::new(),
            block: None,
            streams: HashMap::new(),
            items: Vec::new(),
            pending: Vec::new(),
            begun: false,
            window: WINDOW,
            initial: WINDOW,
            largest: 16_384,
            credit: WINDOW,
            initial_credit: WINDOW,
            largest_sent: 16_384,
            shrinks: None,
            pongs: 0,
            mute: false,
        }
    }

    /// Its own address, as the gate sees it.
    pub(crate) fn address(&self) -> String {
        self.pipe.local().to_string()
    }

    /// How the connection ended, if it did.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// No more bytes will come from here.
    pub(crate) fn finish(&mut self) {
        let _ = self.pipe.finish();
    }

    /// Sends bytes that are no concern of this side's accounts. That the gate takes no more is no failure: it may have
    /// refused already.
    pub(crate) fn send(&mut self, bytes: &[u8], cut: Cut) {
        cut.send(&mut self.pipe, bytes);
    }

    /// Notes what a frame that is being sent means for the gate.
    pub(crate) fn note(&mut self, frame: &Frame) {
        let word = |at: usize| frame.payload.get(at..at + 4).map(|w| u32::from_be_bytes(w.try_into().expect("four")));
        match (frame.kind, frame.stream) {
            (SETTINGS, 0) if frame.flags & ACK == 0 => self.pending.push(frame.payload.clone()),
            (0x8, 0) => self.window += i64::from(word(0).unwrap_or(0)),
            (0x8, stream) => self.stream(stream).window += i64::from(word(0).unwrap_or(0)),
            (0x0, stream) => {
                self.credit -= frame.payload.len() as i64;
                self.stream(stream).credit -= frame.payload.len() as i64;
            }
            _ => {}
        }
    }

    fn stream(&mut self, id: u32) -> &mut Stream {
        self.streams.entry(id).or_default()
    }

    /// How many octets of DATA this client may send on a stream now.
    pub(crate) fn credit(&mut self, stream: u32) -> usize {
        let least = self.credit.min(self.initial_credit + self.stream(stream).credit);
        usize::try_from(least).unwrap_or(0).min(self.largest_sent)
    }

    /// Whether a stream came to its end, or was reset.
    pub(crate) fn ended(&self, stream: u32) -> bool {
        self.streams.get(&stream).is_some_and(|stream| stream.ended)
    }

    /// Whether every SETTINGS was acknowledged, and the gate's own came.
    pub(crate) fn settled(&self) -> bool {
        self.begun && self.pending.is_empty()
    }

    /// Listens until `enough`, the end of the stream, or for `patience`; false: not enough came.
    pub(crate) fn hear(&mut self, patience: Duration, enough: impl Fn(&Self) -> bool) -> bool {
        let until = self.pipe.now() + patience;
        loop {
            if enough(self) {
                return true;
            }
            let left = until.saturating_sub(self.pipe.now());
            if self.end.is_some() || left.is_zero() {
                return false;
            }
            self.pipe.wait_at_most(left);
            let mut bytes = [0; 16 * 1024];
            match self.pipe.read(&mut bytes) {
                Ok(0) => self.end = Some(End::Closed),
                Ok(n) => {
                    self.bytes.extend_from_slice(&bytes[..n]);
                    self.read();
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => self.end = Some(End::Reset),
                    _ => panic!("{error}"),
                },
            }
        }
    }

    fn wrong(&mut self, stream: u32, why: &str) {
        self.item(stream, [b"WRONG".to_vec(), why.as_bytes().to_vec()]);
    }

    fn item(&mut self, stream: u32, words: impl IntoIterator<Item = Vec<u8>>) {
        self.items.push((stream, words.into_iter().collect()));
    }

    /// Takes every whole frame of what came.
    fn read(&mut self) {
        if !self.begun && self.bytes.starts_with(b"HTTP/1.") {
            let text = String::from_utf8_lossy(&self.bytes);
            let line = text.split("\r\n").next().unwrap_or_default().as_bytes().to_vec();
            self.items = vec![(0, vec![b"raw".to_vec(), line])];
            return;
        }
        let mut rest = &self.bytes[..];
        let mut frames = Vec::new();
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let [a, b, c, kind, flags, s, t, u, v] = *head;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let Some(payload) = after.get(..length) else { break };
            let stream = u32::from_be_bytes([s, t, u, v]);
            frames.push(Heard { kind, flags, stream, payload: payload.to_vec() });
            rest = &after[length..];
        }
        let left = rest.len();
        self.bytes.drain(..self.bytes.len() - left);
        for frame in frames {
            self.frame(frame);
        }
    }

    fn frame(&mut self, frame: Heard) {
        if frame.payload.len() > self.largest {
            self.wrong(frame.stream, "a frame is too large");
        }
        if !self.begun && (frame.kind, frame.flags & ACK) != (SETTINGS, 0) {
            self.wrong(0, "the first frame is no SETTINGS");
        }
        self.begun = true;
        if self.block.is_some() != (frame.kind == 0x9) {
            self.wrong(frame.stream, "a header block is not in one piece");
        }
        let at_stream_0 = matches!(frame.kind, 0x4 | 0x6 | 0x7);
        if matches!(frame.kind, 0x0..=0x7 | 0x9) && at_stream_0 != (frame.stream == 0) {
            self.wrong(frame.stream, "a frame is on a stream where it does not belong");
        }
        match frame.kind {
            0x0 => self.data(&frame),
            0x1 => self.headers(frame),
            0x9 => {
                if let Some(begun) = &mut self.block {
                    begun.payload.extend_from_slice(&frame.payload);
                    begun.flags |= frame.flags & END_HEADERS;
                }
                if let Some(whole) = self.block.take() {
                    self.headers(whole);
                }
            }
            0x3 => {
                let stream = self.stream(frame.stream);
                let again = stream.reset;
                (stream.ended, stream.reset) = (true, true);
                if again {
                    self.wrong(frame.stream, "a stream is reset twice");
                }
                self.item(frame.stream, [b"RST_STREAM".to_vec(), decimal(frame.stream), code(&frame.payload, 0)]);
            }
            SETTINGS if frame.flags & ACK != 0 => self.acknowledged(&frame),
            SETTINGS => self.settings(&frame),
            0x6 => {
                self.pongs += u64::from(frame.flags & ACK != 0);
                let ack = (frame.flags & ACK != 0).then(|| b"ACK".to_vec());
                self.item(0, [b"PING".to_vec()].into_iter().chain(ack).chain([frame.payload]));
            }
            0x7 => {
                let last = frame.payload.first_chunk().map_or(0, |last| u32::from_be_bytes(*last));
                self.item(0, [b"GOAWAY".to_vec(), decimal(last), code(&frame.payload, 4)]);
            }
            0x8 => {
                let more = frame.payload.first_chunk().map_or(0, |last| u32::from_be_bytes(*last));
                match frame.stream {
                    0 => self.credit += i64::from(more),
                    id => self.stream(id).credit += i64::from(more),
                }
                if more == 0 || self.credit > i64::from(i32::MAX) {
                    self.wrong(frame.stream, "a window grows by nothing, or too far");
                }
                self.item(frame.stream, [b"WINDOW_UPDATE".to_vec(), decimal(frame.stream), decimal(more)]);
            }
            kind => self.item(frame.stream, [kind_name(kind).into_bytes(), decimal(frame.stream), frame.payload]),
        }
    }

    fn data(&mut self, frame: &Heard) {
        let length = frame.payload.len() as i64;
        self.window -= length;
        let initial = self.initial;
        let stream = self.stream(frame.stream);
        stream.window -= length;
        let over = length > 0 && stream.window + initial < 0;
        let out_of_place = !stream.answered || stream.ended;
        stream.ended |= frame.flags & END_STREAM != 0;
        if over || (length > 0 && self.window < 0) {
            self.wrong(frame.stream, "a window is overrun");
        }
        if out_of_place || frame.flags & 0x8 != 0 {
            self.wrong(frame.stream, "DATA is out of place, or padded");
        }
        let end = frame.flags & END_STREAM != 0;
        let words = [b"DATA".to_vec(), decimal(frame.stream)].into_iter().chain(end.then(|| b"END_STREAM".to_vec()));
        self.item(frame.stream, words.chain([frame.payload.clone()]).filter(|word| !word.is_empty()));
    }

    fn headers(&mut self, frame: Heard) {
        if frame.flags & END_HEADERS == 0 {
            self.block = Some(frame);
            return;
        }
        if let Some(size) = self.shrinks.take()
            && frame.payload.first().is_none_or(|first| first & 0xe0 != 0x20)
        {
            self.wrong(frame.stream, &format!("no update of the table's size to {size}"));
        }
        let end = frame.flags & END_STREAM != 0;
        let fields = match self.decoder.decode(&frame.payload) {
            Ok(fields) => fields,
            Err(why) => {
                self.wrong(frame.stream, &why);
                return;
            }
        };
        let informs = fields.first().is_some_and(|(n, v)| n == b":status" && v.len() == 3 && v[0] == b'1');
        let stream = self.stream(frame.stream);
        let trailers = stream.answered;
        let fault = stream.ended || (trailers && !end) || (informs && end);
        stream.answered |= !informs;
        stream.ended |= end;
        let status = fields.iter().filter(|(name, _)| name.starts_with(b":")).count();
        let sound = |name: &[u8]| name.iter().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
        let hop = |name: &[u8]| {
            [&b"connection"[..], b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"].contains(&name)
        };
        if fault || fields.iter().any(|(name, _)| !sound(name) || hop(name)) {
            self.wrong(frame.stream, "HEADERS are out of place, or have a field that may not be there");
        }
        if status != usize::from(!trailers) || (!trailers && fields[0].0 != b":status") {
            self.wrong(frame.stream, "one :status, first, is due in a head, and none in trailers");
        }
        let words = fields.iter().map(|(name, value)| [name, &b"="[..], &plain(name, value)].concat());
        let begin = [b"HEADERS".to_vec(), decimal(frame.stream)];
        let end = end.then(|| b"END_STREAM".to_vec());
        self.item(frame.stream, begin.into_iter().chain(end).chain(words.collect::<Vec<_>>()));
    }

    fn settings(&mut self, frame: &Heard) {
        let mut words = vec![b"SETTINGS".to_vec()];
        for setting in frame.payload.chunks_exact(6) {
            let (name, value) = setting.split_first_chunk::<2>().expect("six octets");
            let value = u32::from_be_bytes(value.try_into().expect("four octets"));
            match u16::from_be_bytes(*name) {
                0x4 => self.initial_credit = i64::from(value),
                0x5 => self.largest_sent = value as usize,
                _ => {}
            }
            words.push(format!("{}={value}", setting_name(u16::from_be_bytes(*name))).into_bytes());
        }
        self.item(0, words);
        if !self.mute {
            let ack = Frame { kind: SETTINGS, flags: ACK, ..Frame::default() };
            self.send(&ack.bytes(), Cut::Whole);
        }
    }

    fn acknowledged(&mut self, frame: &Heard) {
        if self.pending.is_empty() || !frame.payload.is_empty() {
            self.wrong(0, "an acknowledgement of nothing");
        } else {
            for setting in self.pending.remove(0).chunks_exact(6) {
                let (name, value) = setting.split_first_chunk::<2>().expect("six octets");
                let value = u32::from_be_bytes(value.try_into().expect("four octets"));
                match u16::from_be_bytes(*name) {
                    0x1 => {
                        let size = value as usize;
                        let shrinks = size < self.decoder.largest.min(self.decoder.size);
                        self.decoder.largest = size;
                        self.shrinks = if shrinks { Some(size) } else { self.shrinks };
                    }
                    0x4 => self.initial = i64::from(value),
                    0x5 => self.largest = value as usize,
                    _ => {}
                }
            }
        }
        self.item(0, [b"SETTINGS".to_vec(), b"ACK".to_vec()]);
    }
}

fn decimal(number: u32) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// The name of an error code in a payload.
fn code(payload: &[u8], at: usize) -> Vec<u8> {
    let four = payload.get(at..).and_then(|rest| rest.first_chunk());
    four.map_or_else(|| b"none".to_vec(), |four| code_name(u32::from_be_bytes(*four)).into_bytes())
}

/// A value; a date is `<date>`.
fn plain(name: &[u8], value: &[u8]) -> Vec<u8> {
    if name == b"date" && value.len() == 29 && value.ends_with(b" GMT") { b"<date>".to_vec() } else { value.to_vec() }
}
