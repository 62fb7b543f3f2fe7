//! What a client says and hears on one connection of HTTP/2 (RFC 9113), without its socket.

mod frame;
mod request;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;

use anygate_proto::h2::hpack::{Decoder, Line};
use anygate_shard::Tick;

pub(crate) use request::Blocks;

use super::Fault;
use frame::{ACK, DATA, END_HEADERS, END_STREAM, HEADER, Header, PADDED, PRIORITIZED};
use request::{TABLE, Turn};

/// What a connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Names of settings (RFC 9113 §6.5.2).
const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Windows as a browser has them: 6 MiB a stream, 15 MiB a connection; half of one is given back at a time.
const STREAM_WINDOW: u32 = 6 << 20;
const CONNECTION_WINDOW: u32 = 15 << 20;
/// A connection has this window until it is told more (RFC 9113 §6.9.2).
const FIRST_WINDOW: u32 = 65_535;
/// Streams at a time before the server says how many.
pub(crate) const STREAMS: u32 = 100;
/// The last number of a stream (RFC 9113 §5.1.1).
const LAST: u32 = 0x7fff_ffff;
/// The longest header block that is taken, in bytes as it came.
const LONGEST_BLOCK: usize = 256 << 10;
/// Nobody said how long an answer is.
const UNKNOWN: u64 = u64::MAX;

/// What came.
#[derive(Debug)]
pub(crate) enum Seen<'a> {
    /// A field of a final answer's head.
    Field(&'a [u8], &'a [u8]),
    /// Content.
    Content(&'a [u8]),
    /// The end of an answer that was asked for then.
    Answer { status: u16, began: Tick },
    /// A request came to nothing.
    Failed,
}

/// Why a connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) fault: Fault,
    pub(crate) why: &'static str,
}

const fn malformed(why: &'static str) -> Broken {
    Broken { fault: Fault::Malformed, why }
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    began: Tick,
    open: bool,
    /// The final answer's, 0 before its head.
    status: u16,
    /// Bytes of content that were promised, and that came.
    promised: u64,
    came: u64,
    /// Bytes that the window was not given back for.
    used: u32,
}

/// A DATA frame whose payload is coming.
#[derive(Debug, Default)]
struct Coming {
    header: Header,
    /// Bytes of content.
    content: usize,
    /// Bytes of padding behind it.
    padding: usize,
    /// The byte that says how many these are comes first.
    unsaid: bool,
}

/// A number as text, as RFC 9110 §8.6 writes a length.
fn decimal(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("first", &self.first).field("streams", &self.streams).finish_non_exhaustive()
    }
}

/// One connection.
pub(crate) struct Session {
    /// What waits to leave.
    pub(crate) out: Vec<u8>,
    decoder: Decoder,
    /// A frame that is not whole yet.
    partial: Vec<u8>,
    coming: Option<Coming>,
    /// A header block that is not whole yet, and the first of its frames.
    block: Option<(Header, Vec<u8>)>,
    /// From the first that is open, by number.
    streams: VecDeque<Stream>,
    first: u32,
    /// As many as the server lets be open.
    most: u32,
    /// The last that the server answers, once it said so; or as we do.
    last: Option<u32>,
    turn: Turn,
    bodiless: bool,
    /// Bytes that the connection's window was not given back for.
    used: u32,
    usual: usize,
}

impl Session {
    /// Begins: what is said first waits to leave.
    pub(crate) fn new(blocks: &Blocks) -> Self {
        let mut out = PREFACE.to_vec();
        frame::put(frame::SETTINGS, 0, 0, 12, &mut out);
        frame::put_setting(ENABLE_PUSH, 0, &mut out);
        frame::put_setting(INITIAL_WINDOW_SIZE, STREAM_WINDOW, &mut out);
        frame::put_window_update(0, CONNECTION_WINDOW - FIRST_WINDOW, &mut out);
        Self {
            out,
            decoder: Decoder::new(TABLE),
            partial: Vec::new(),
            coming: None,
            block: None,
            streams: VecDeque::new(),
            first: 1,
            most: STREAMS,
            last: None,
            turn: Turn::First,
            bodiless: blocks.bodiless,
            used: 0,
            usual: 0,
        }
    }

    /// Asks so often.
    pub(crate) fn ask(&mut self, blocks: &Blocks, began: Tick, count: u32) {
        for _ in 0..count {
            let number = self.next();
            self.turn = blocks.put(self.turn, number, &mut self.out);
            self.streams.push_back(Stream { began, open: true, status: 0, promised: UNKNOWN, came: 0, used: 0 });
        }
        if self.next() >= LAST - 2 * STREAMS {
            self.last = Some(LAST);
        }
    }

    /// The number of the next stream.
    fn next(&self) -> u32 {
        self.first + 2 * self.streams.len() as u32
    }

    /// How many requests may be unanswered at a time, of so many that are wanted.
    pub(crate) fn most(&self, wanted: u32) -> u32 {
        wanted.min(self.most)
    }

    /// No more can be asked here: the server said so, or the numbers of streams are used up.
    pub(crate) fn is_ending(&self) -> bool {
        self.last.is_some()
    }

    /// And all that will be answered is.
    pub(crate) fn is_over(&self) -> bool {
        self.last.is_some_and(|last| self.numbered().all(|(number, stream)| number > last || !stream.open))
    }

    fn numbered(&self) -> impl Iterator<Item = (u32, &Stream)> {
        (self.first..).step_by(2).zip(&self.streams)
    }

    /// When those began that the server said it has not looked at: they may be asked again.
    pub(crate) fn untouched(&self) -> impl Iterator<Item = Tick> {
        let last = self.last.unwrap_or(LAST);
        self.numbered().filter(move |(number, stream)| *number > last && stream.open).map(|(_, stream)| stream.began)
    }

    /// Bytes that an answer takes, by the last one.
    pub(crate) fn usual(&self) -> usize {
        self.usual
    }

    /// Takes what came.
    pub(crate) fn feed(&mut self, mut input: &[u8], seen: &mut impl FnMut(Seen<'_>)) -> Result<(), Broken> {
        loop {
            if self.coming.is_some() {
                input = self.content(input, seen)?;
            }
            if input.is_empty() {
                return Ok(());
            }
            if !self.partial.is_empty() {
                input = self.complete(input, seen)?;
                continue;
            }
            let Some(header) = Header::read(input) else {
                self.partial.extend_from_slice(input);
                return Ok(());
            };
            if header.kind == DATA {
                self.begin(header, seen)?;
                input = &input[HEADER..];
                continue;
            }
            if header.length > frame::LONGEST {
                return Err(malformed("a frame is too long"));
            }
            match input[HEADER..].get(..header.length) {
                Some(payload) => {
                    self.frame(header, payload, seen)?;
                    input = &input[HEADER + header.length..];
                }
                None => {
                    self.partial.extend_from_slice(input);
                    return Ok(());
                }
            }
        }
    }

    /// Goes on with a frame that was not whole; what of `input` is left.
    fn complete<'i>(&mut self, input: &'i [u8], seen: &mut impl FnMut(Seen<'_>)) -> Result<&'i [u8], Broken> {
        let header = Header::read(&self.partial);
        let length = header.map_or(0, |header| if header.kind == DATA { 0 } else { header.length });
        if length > frame::LONGEST {
            return Err(malformed("a frame is too long"));
        }
        let (more, left) = input.split_at((HEADER + length - self.partial.len()).min(input.len()));
        self.partial.extend_from_slice(more);
        match Header::read(&self.partial) {
            Some(header) if header.kind == DATA => {
                self.partial.clear();
                self.begin(header, seen)?;
            }
            Some(header) if self.partial.len() == HEADER + header.length => {
                let whole = std::mem::take(&mut self.partial);
                self.frame(header, &whole[HEADER..], seen)?;
            }
            _ => {}
        }
        Ok(left)
    }

    /// A DATA frame begins (RFC 9113 §6.1).
    fn begin(&mut self, header: Header, seen: &mut impl FnMut(Seen<'_>)) -> Result<(), Broken> {
        if header.length > frame::LONGEST || header.stream == 0 || self.block.is_some() {
            return Err(malformed("a DATA frame is out of place or too long"));
        }
        let length = header.length as u32;
        self.used += length;
        if self.used >= CONNECTION_WINDOW / 2 {
            frame::put_window_update(0, std::mem::take(&mut self.used), &mut self.out);
        }
        if let Some(stream) = self.stream(header.stream)? {
            if stream.status == 0 {
                return Err(malformed("content comes before a head"));
            }
            stream.used += length;
            if stream.used >= STREAM_WINDOW / 2 && !header.has(END_STREAM) {
                let used = std::mem::take(&mut stream.used);
                frame::put_window_update(header.stream, used, &mut self.out);
            }
        }
        let unsaid = header.has(PADDED);
        self.coming = Some(Coming { header, content: header.length, padding: 0, unsaid });
        self.content(&[], seen).map(drop)
    }

    /// Goes on with a DATA frame; what of `input` is left.
    fn content<'i>(&mut self, mut input: &'i [u8], seen: &mut impl FnMut(Seen<'_>)) -> Result<&'i [u8], Broken> {
        let Some(mut coming) = self.coming.take() else { return Ok(input) };
        if coming.unsaid
            && let Some((&padding, rest)) = input.split_first()
        {
            (coming.unsaid, coming.padding, input) = (false, usize::from(padding), rest);
            let content = coming.content.checked_sub(1 + coming.padding);
            coming.content = content.ok_or(malformed("a frame has more padding than it is long"))?;
        }
        if coming.unsaid {
            self.coming = Some(coming);
            return Ok(input);
        }
        let (content, rest) = input.split_at(coming.content.min(input.len()));
        let (padding, rest) = rest.split_at(coming.padding.min(rest.len()));
        coming.content -= content.len();
        coming.padding -= padding.len();
        if !content.is_empty()
            && let Some(stream) = self.stream(coming.header.stream)?
        {
            stream.came += content.len() as u64;
            if stream.came > stream.promised {
                return Err(malformed("more content came than was promised"));
            }
            seen(Seen::Content(content));
        }
        if coming.content + coming.padding > 0 {
            self.coming = Some(coming);
        } else if coming.header.has(END_STREAM) {
            self.end(coming.header.stream, seen)?;
        }
        Ok(rest)
    }

    /// A stream that was opened; `None` when it is closed already.
    #[inline]
    fn stream(&mut self, number: u32) -> Result<Option<&mut Stream>, Broken> {
        if number.is_multiple_of(2) || number >= self.next() {
            return Err(malformed("nobody asked on this stream"));
        }
        let at = number.checked_sub(self.first).map(|after| after as usize / 2);
        Ok(at.and_then(|at| self.streams.get_mut(at)).filter(|stream| stream.open))
    }

    /// A frame of any other kind.
    fn frame(&mut self, header: Header, payload: &[u8], seen: &mut impl FnMut(Seen<'_>)) -> Result<(), Broken> {
        if self.block.is_some() != (header.kind == frame::CONTINUATION) {
            return Err(malformed("a header block is not in one piece"));
        }
        match header.kind {
            frame::HEADERS => {
                let payload = frame::unpadded(header, payload).ok_or(malformed("padding is longer than its frame"))?;
                let block = if header.has(PRIORITIZED) { payload.get(5..) } else { Some(payload) };
                let block = block.ok_or(malformed("a HEADERS frame is too short"))?;
                if header.has(END_HEADERS) {
                    return self.head(header, block, seen);
                }
                self.block = Some((header, block.to_vec()));
            }
            frame::CONTINUATION => {
                let Some((first, mut block)) = self.block.take() else { return Ok(()) };
                block.extend_from_slice(payload);
                if header.stream != first.stream || block.len() > LONGEST_BLOCK {
                    return Err(malformed("a header block is too long or of two streams"));
                }
                if header.has(END_HEADERS) {
                    return self.head(first, &block, seen);
                }
                self.block = Some((first, block));
            }
            frame::RST_STREAM => {
                if payload.len() != 4 {
                    return Err(malformed("an RST_STREAM has another length than 4"));
                }
                // After a whole answer a server may say that it wants no more of the request.
                if self.close(header.stream)?.is_some() {
                    seen(Seen::Failed);
                }
            }
            frame::SETTINGS if !header.has(ACK) => self.settings(payload)?,
            frame::PING if !header.has(ACK) => {
                frame::put(frame::PING, ACK, 0, payload.len(), &mut self.out);
                self.out.extend_from_slice(payload);
            }
            frame::GOAWAY => {
                let (last, code) = (frame::number(payload, 0), frame::number(payload, 4));
                let (Some(last), Some(code)) = (last, code) else { return Err(malformed("a GOAWAY is too short")) };
                if code != 0 {
                    return Err(Broken { fault: Fault::Ended, why: "the server ends the connection for an error" });
                }
                self.last = Some(last & LAST);
            }
            frame::PUSH_PROMISE => return Err(malformed("a promise was made that nobody wants")),
            // Nothing is sent that has windows or priorities, and unknown kinds are for others (RFC 9113 §4.1).
            frame::WINDOW_UPDATE | frame::PRIORITY | frame::SETTINGS | frame::PING => {}
            _ => {}
        }
        Ok(())
    }

    /// The server's settings (RFC 9113 §6.5).
    fn settings(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(malformed("a SETTINGS frame has a part of a setting"));
        }
        for &[a, b, w, x, y, z] in settings {
            let value = u32::from_be_bytes([w, x, y, z]);
            match u16::from_be_bytes([a, b]) {
                HEADER_TABLE_SIZE if value < TABLE && self.turn != Turn::Plain => self.turn = Turn::Without,
                MAX_CONCURRENT_STREAMS => self.most = value,
                _ => {}
            }
        }
        frame::put(frame::SETTINGS, ACK, 0, 0, &mut self.out);
        Ok(())
    }

    /// A head, or trailers.
    fn head(&mut self, header: Header, block: &[u8], seen: &mut impl FnMut(Seen<'_>)) -> Result<(), Broken> {
        let (mut status, mut length) = (0, None);
        let had = self.stream(header.stream)?.map_or(0, |stream| stream.status);
        let mut field = |Line { name, value, .. }: Line<'_>| {
            match name {
                b":status" => status = decimal(value).and_then(|status| u16::try_from(status).ok()).unwrap_or(0),
                b"content-length" => length = decimal(value),
                _ => {}
            }
            if status >= 200 && had == 0 {
                seen(Seen::Field(name, value));
            }
        };
        let decoded = self.decoder.decode(block, &mut field);
        decoded.map_err(|_| malformed("a header block is broken"))?;
        let (end, bodiless) = (header.has(END_STREAM), self.bodiless);
        let usual = HEADER + block.len();
        let Some(stream) = self.stream(header.stream)? else { return Ok(()) };
        if stream.status == 0 {
            if !(100..600).contains(&status) || (status < 200 && end) {
                return Err(malformed("a head has no status"));
            }
            if status < 200 {
                return Ok(());
            }
            stream.status = status;
            if !bodiless && status != 304 {
                stream.promised = length.unwrap_or(UNKNOWN);
            }
            self.usual = usual.saturating_add(length.map_or(0, |length| length as usize + HEADER));
        } else if !end {
            return Err(malformed("trailers do not end the answer"));
        }
        if end { self.end(header.stream, seen) } else { Ok(()) }
    }

    /// An answer is whole.
    fn end(&mut self, number: u32, seen: &mut impl FnMut(Seen<'_>)) -> Result<(), Broken> {
        let Some(Stream { status, promised, came, began, .. }) = self.close(number)? else { return Ok(()) };
        if promised != UNKNOWN && promised != came {
            return Err(malformed("less content came than was promised"));
        }
        seen(Seen::Answer { status, began });
        Ok(())
    }

    /// Forgets an open stream; `None` when it is closed already.
    fn close(&mut self, number: u32) -> Result<Option<Stream>, Broken> {
        let Some(stream) = self.stream(number)? else { return Ok(None) };
        stream.open = false;
        let closed = *stream;
        while self.streams.front().is_some_and(|stream| !stream.open) {
            self.streams.pop_front();
            self.first += 2;
        }
        Ok(Some(closed))
    }
}
