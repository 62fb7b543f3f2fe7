//! How a chunked body is read and written (RFC 9112 §7.1), whatever pieces it comes in.

use super::sink::Sink;
use crate::error::Reject;
use crate::fields::Fields;
use crate::h1::framing;
use crate::text;
use std::ops::Range;

/// Bytes of extensions one chunk line may carry.
const MAX_EXTENSION_LINE: u32 = 1024;

/// Bytes of extensions all chunk lines of one body may carry together.
const MAX_EXTENSIONS: u32 = 16 << 10;

/// Bytes of a trailer section.
const MAX_TRAILERS: usize = 8 << 10;

/// Fields of a trailer section.
const MAX_TRAILER_FIELDS: usize = 64;

/// Hexadecimal digits of a chunk size, leading zeros included.
const MAX_SIZE_DIGITS: u8 = 16;

/// What the next bytes of a chunked body were.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Data: this range of the input. Everything up to its end is consumed; go on behind it.
    Data(Range<usize>),
    /// The input is consumed to its end, and the body goes on.
    NeedMore,
    /// The body ended; this many bytes of the input belonged to it, and what follows is the next message.
    End(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// In the digits of a size.
    Size,
    /// Behind the digits, in white space or an extension.
    Extension,
    /// The LF of a chunk line is due.
    SizeLf,
    /// In data.
    Data,
    /// CR, then LF, behind data.
    DataCr,
    DataLf,
    /// In the trailer section.
    Trailers,
    Done,
}

/// Reads one chunked body. It holds no bytes of the body, only where in it the input stands, so data is handed on where
/// it lies in the receive buffer.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    digits: u8,
    line: u32,
    extensions: u32,
    /// Of the current chunk, what is to come.
    left: u64,
    /// The trailer section so far, the last line's end included.
    trailers: Vec<u8>,
    fields: Fields,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// At the start of a body. Allocates nothing unless there are trailers.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Size,
            digits: 0,
            line: 0,
            extensions: 0,
            left: 0,
            trailers: Vec::new(),
            fields: Fields::new(),
        }
    }

    /// Whether the body ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of the current chunk that are still to come: what may be moved without looking at it (splice). Tell
    /// [`Decoder::skip`] how many were.
    #[must_use]
    pub fn in_chunk(&self) -> u64 {
        if self.state == State::Data { self.left } else { 0 }
    }

    /// `bytes` of the current chunk were moved elsewhere; more than [`Decoder::in_chunk`] are cut to it.
    pub fn skip(&mut self, bytes: u64) {
        if self.state == State::Data {
            self.left = self.left.saturating_sub(bytes);
            if self.left == 0 {
                self.state = State::DataCr;
            }
        }
    }

    /// The trailer fields and the bytes their spans point into, once the body ended. Fields that must not be trailers
    /// (framing, routing, authentication; RFC 9110 §6.5.1) are not removed here but when they are written.
    #[must_use]
    pub fn trailers(&self) -> (&[u8], &Fields) {
        (&self.trailers, &self.fields)
    }

    /// Reads on. Call again with what is behind the consumed bytes, until [`Step::NeedMore`] or [`Step::End`].
    ///
    /// # Errors
    ///
    /// 400: a size that is none or overflows, extensions or trailers beyond their bounds, a bare CR or LF, a control
    /// character. From an upstream it means the body is broken. The decoder must not be used again.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Reject> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Size => {
                    at += 1;
                    self.size(byte)?;
                }
                State::Extension => {
                    at += 1;
                    self.extension(byte)?;
                }
                State::SizeLf => {
                    at += 1;
                    self.size_line_end(byte)?;
                }
                State::Data => {
                    let room = (input.len() - at) as u64;
                    let taken = self.left.min(room) as usize;
                    self.left -= taken as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Step::Data(at..at + taken));
                }
                State::DataCr if byte == b'\r' => {
                    at += 1;
                    self.state = State::DataLf;
                }
                State::DataLf if byte == b'\n' => {
                    at += 1;
                    self.state = State::Size;
                }
                State::DataCr | State::DataLf => return Err(bad("a chunk is not followed by CR LF")),
                State::Trailers => {
                    if let Some(end) = self.trailer(&input[at..])? {
                        return Ok(Step::End(at + end));
                    }
                    return Ok(Step::NeedMore);
                }
                State::Done => return Ok(Step::End(at)),
            }
        }
        Ok(if self.state == State::Done { Step::End(at) } else { Step::NeedMore })
    }

    fn size(&mut self, byte: u8) -> Result<(), Reject> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if self.digits > 0 => {
                self.state = State::SizeLf;
                return Ok(());
            }
            b';' | b' ' | b'\t' if self.digits > 0 => {
                self.state = State::Extension;
                self.line = 0;
                return self.extension(byte);
            }
            _ => return Err(bad("a chunk size is malformed")),
        };
        self.digits += 1;
        if self.digits > MAX_SIZE_DIGITS {
            return Err(bad("a chunk size is too large"));
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(())
    }

    /// An extension is `;` with anything a field value may hold, blanks before it allowed (RFC 9112 §7.1.1); it is read
    /// over. Blanks alone are none.
    fn extension(&mut self, byte: u8) -> Result<(), Reject> {
        if byte == b'\r' {
            if self.line & BLANK != 0 {
                return Err(bad("a chunk size is malformed"));
            }
            self.state = State::SizeLf;
            return Ok(());
        }
        let blank = self.line == 0 || self.line & BLANK != 0;
        if blank && !matches!(byte, b';' | b' ' | b'\t') {
            return Err(bad("a chunk size is malformed"));
        }
        if !text::is_field_value(&[byte]) {
            return Err(bad("a chunk extension has a control character"));
        }
        let length = (self.line & !BLANK) + 1;
        self.extensions += 1;
        if length > MAX_EXTENSION_LINE || self.extensions > MAX_EXTENSIONS {
            return Err(bad("chunk extensions are too long"));
        }
        self.line = if blank && byte != b';' { length | BLANK } else { length };
        Ok(())
    }

    fn size_line_end(&mut self, byte: u8) -> Result<(), Reject> {
        if byte != b'\n' {
            return Err(bad("a chunk line ends in a bare CR"));
        }
        self.state = if self.left == 0 { State::Trailers } else { State::Data };
        self.digits = 0;
        Ok(())
    }

    /// Collects lines up to the empty one, behind the end of the last chunk's line, so that every field has a line end
    /// before it. Returns how many bytes of `input` belonged to the body when it ended.
    fn trailer(&mut self, input: &[u8]) -> Result<Option<usize>, Reject> {
        if self.trailers.is_empty() {
            if input.starts_with(b"\r\n") {
                self.state = State::Done;
                return Ok(Some(2));
            }
            self.trailers.extend_from_slice(b"\r\n");
        }
        for (at, &byte) in input.iter().enumerate() {
            if self.trailers.len() >= MAX_TRAILERS {
                return Err(bad("the trailer section is too large"));
            }
            self.trailers.push(byte);
            if byte == b'\n' {
                if !self.trailers.ends_with(b"\r\n") {
                    return Err(bad("a trailer line ends in a bare LF"));
                }
                if self.trailers.ends_with(b"\r\n\r\n") {
                    self.read_trailers()?;
                    self.state = State::Done;
                    return Ok(Some(at + 1));
                }
            }
        }
        Ok(None)
    }

    fn read_trailers(&mut self) -> Result<(), Reject> {
        let mut storage = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
        let parsed = match httparse::parse_headers(&self.trailers[2..], &mut storage) {
            Ok(httparse::Status::Complete((length, parsed))) if length + 2 == self.trailers.len() => parsed,
            Err(httparse::Error::TooManyHeaders) => return Err(bad("too many trailer fields")),
            _ => return Err(bad("a trailer field is malformed")),
        };
        if framing::collect(&self.trailers, self.trailers.len(), parsed, &mut self.fields) {
            Ok(())
        } else {
            Err(bad("a trailer line ends in a bare LF"))
        }
    }
}

/// Set in `Decoder::line` while only blanks were seen behind the size.
const BLANK: u32 = 1 << 31;

const fn bad(reason: &'static str) -> Reject {
    Reject::closing(400, reason)
}

/// What stands behind the data of each chunk.
pub const CHUNK_END: &[u8; 2] = b"\r\n";

/// The last chunk and an empty trailer section.
pub const LAST_CHUNK: &[u8; 5] = b"0\r\n\r\n";

/// The most a chunk line needs.
pub const SIZE_LINE: usize = 18;

/// Writes the line before a chunk of `length` bytes, which must not be 0 (that would end the body), and returns it.
pub fn size_line(length: u64, out: &mut [u8; SIZE_LINE]) -> &[u8] {
    debug_assert!(length > 0, "a chunk of no bytes ends the body");
    let mut at = SIZE_LINE - 2;
    out[at..].copy_from_slice(b"\r\n");
    let mut rest = length;
    loop {
        at -= 1;
        out[at] = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    &out[at..]
}

/// Writes the last chunk with the trailer fields that may be relayed (RFC 9110 §6.5.1): none that frames, routes,
/// authenticates or controls the message. `bytes` and `fields` are what [`Decoder::trailers`] gave; [`Sink::keep`] is
/// not used.
pub fn last_chunk(bytes: &[u8], fields: &Fields, sink: &mut impl Sink) {
    sink.put(b"0\r\n");
    for (name, value) in trailers(bytes, fields) {
        sink.put(name);
        sink.put(b": ");
        sink.put(value);
        sink.put(b"\r\n");
    }
    sink.put(b"\r\n");
}

/// Names and values of the trailer fields that may be relayed (RFC 9110 §6.5.1).
pub fn trailers<'a>(bytes: &'a [u8], fields: &'a Fields) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let lines = fields.iter().map(|field| (field.name.of(bytes), field.value.of(bytes), field.known));
    lines.filter(|(name, _, known)| super::hop::may_be_trailer(name, *known)).map(|(name, value, _)| (name, value))
}
