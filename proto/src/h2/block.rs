//! What a header block means: it opens a stream, ends a request by trailers, or only keeps the tables in step.

use super::code::ErrorCode;
use super::connection::{Connection, Leaving};
use super::event::{Event, Fatal, Flood, StreamKey};
use super::floods;
use super::frame::{self, FrameHeader, flag};
use super::hpack;
use super::limits::Limits;
use super::receive::fatal;
use super::section::{Purpose, Verdict};
use super::stream::{Closed, Stream};

/// Bytes of one header block that are kept while its CONTINUATION frames come, at least; more when a head may be larger.
const MOST_BLOCK: usize = 64 << 10;

/// Bytes that one header block may have. What it means may count twice as many: more than that no table and no Huffman code
/// makes of an honest one.
pub(super) fn most_block(limits: &Limits) -> usize {
    MOST_BLOCK.max(limits.head.max_header_size.saturating_mul(2))
}

/// A header block that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfinished {
    pub(super) stream: u32,
    end: bool,
    frames: u32,
}

impl Connection {
    /// HEADERS (RFC 9113 §6.2).
    #[inline]
    pub(super) fn headers(&mut self, header: FrameHeader, payload: &[u8]) -> Result<Option<Event>, Fatal> {
        let mut fragment = payload;
        if header.has(flag::PADDED) {
            let [padding, rest @ ..] = fragment else {
                return fatal(ErrorCode::FRAME_SIZE_ERROR, "HEADERS is too short for its padding");
            };
            let Some(kept) = rest.len().checked_sub(usize::from(*padding)) else {
                return fatal(ErrorCode::PROTOCOL_ERROR, "the padding of HEADERS is longer than it");
            };
            fragment = &rest[..kept];
        }
        if header.has(flag::PRIORITY) {
            let Some(rest) = fragment.get(5..) else {
                return fatal(ErrorCode::FRAME_SIZE_ERROR, "HEADERS is too short for its priority");
            };
            fragment = rest;
        }
        let end = header.has(flag::END_STREAM);
        if header.has(flag::END_HEADERS) {
            return self.block(header.stream, end, fragment);
        }
        if fragment.is_empty() {
            self.budgets.charge(Flood::EmptyData)?;
        }
        self.block.clear();
        self.block.extend_from_slice(fragment);
        self.unfinished = Some(Unfinished { stream: header.stream, end, frames: 1 });
        Ok(None)
    }

    /// CONTINUATION (RFC 9113 §6.10), which has been seen to belong to the block that is unfinished.
    pub(super) fn continuation(&mut self, header: FrameHeader, payload: &[u8]) -> Result<Option<Event>, Fatal> {
        let Some(mut unfinished) = self.unfinished.take() else {
            return fatal(ErrorCode::PROTOCOL_ERROR, "CONTINUATION without a header block");
        };
        unfinished.frames += 1;
        let most = most_block(&self.limits);
        if unfinished.frames > self.limits.continuations || self.block.len() + payload.len() > most {
            return Err(floods::flood(Flood::Continuations));
        }
        let ended = header.has(flag::END_HEADERS);
        if payload.is_empty() && !ended {
            self.budgets.charge(Flood::EmptyData)?;
        }
        self.block.extend_from_slice(payload);
        if !ended {
            self.unfinished = Some(unfinished);
            return Ok(None);
        }
        let mut block = std::mem::take(&mut self.block);
        let event = self.block(unfinished.stream, unfinished.end, &block);
        block.clear();
        self.block = block;
        event
    }

    /// A whole header block.
    #[inline]
    fn block(&mut self, id: u32, end: bool, block: &[u8]) -> Result<Option<Event>, Fatal> {
        if id > self.highest {
            self.highest = id;
            return self.opening(id, end, block);
        }
        match self.streams.find(id) {
            Some(key) => self.ending(key, end, block),
            None => match self.closed(id) {
                Closed::ByUs => {
                    self.budgets.charge(Flood::Unknown)?;
                    self.decode(Purpose::Nothing, end, block).map(|_| None)
                }
                Closed::Done => fatal(ErrorCode::STREAM_CLOSED, "HEADERS on a stream that is over"),
                Closed::Forgotten => {
                    fatal(ErrorCode::PROTOCOL_ERROR, "a stream identifier that is not above the others")
                }
            },
        }
    }

    /// A request.
    #[inline]
    fn opening(&mut self, id: u32, end: bool, block: &[u8]) -> Result<Option<Event>, Fatal> {
        if self.leaving == Leaving::Told {
            // As many as may be open, and more, are on their way when the client hears of it.
            return self.decode(Purpose::Nothing, end, block).map(|_| None);
        }
        let verdict = self.decode(Purpose::Request, end, block)?;
        self.last = id;
        let priority = self.priority_of(id);
        if self.streams.len() >= self.limits.max_streams as usize {
            return self.one_too_many(id);
        }
        if verdict == Verdict::Malformed {
            return self.malformed_one(id);
        }
        let stream = Stream {
            remote_ended: end,
            tunnel: self.section.is_connect(),
            priority,
            expected: self.section.expected().filter(|_| !end),
            ..self.fresh(id)
        };
        let stream = self.streams.open(stream);
        Ok(Some(match verdict {
            Verdict::Refused(status) => Event::Refused { stream, status, end },
            _ => Event::Request { stream, end },
        }))
    }

    /// Trailers, or what must not come any more (RFC 9113 §8.1).
    fn ending(&mut self, key: StreamKey, end: bool, block: &[u8]) -> Result<Option<Event>, Fatal> {
        let verdict = self.decode(Purpose::Trailers, end, block)?;
        let Some(stream) = self.streams.get_mut(key) else { return Ok(None) };
        if stream.remote_ended {
            return self.fault(key, ErrorCode::STREAM_CLOSED);
        }
        if !end || stream.tunnel || verdict == Verdict::Malformed || stream.expected.is_some_and(|left| left > 0) {
            return self.fault(key, ErrorCode::PROTOCOL_ERROR);
        }
        if verdict != Verdict::Good {
            return self.fault(key, ErrorCode::ENHANCE_YOUR_CALM);
        }
        stream.remote_ended = true;
        if stream.local_ended {
            self.close_stream(key, Closed::Done);
        }
        Ok(Some(Event::Trailers { stream: key }))
    }

    /// The tables of both sides differ when a block is not decoded, so each is, whole.
    #[inline]
    fn decode(&mut self, purpose: Purpose, end: bool, block: &[u8]) -> Result<Verdict, Fatal> {
        let before = self.decoder.changes();
        if purpose == Purpose::Request
            && let Some(verdict) = self.section.again(block, before, end)
        {
            return Ok(verdict);
        }
        let Self { section, decoder, limits, .. } = self;
        section.begin(purpose);
        let decoded = match purpose {
            Purpose::Nothing => decoder.decode(block, &mut |_| {}),
            _ => decoder.decode(block, &mut |line| section.field(line, limits)),
        };
        if let Err(error) = decoded {
            return match error {
                hpack::Error::TooLong => Err(floods::flood(Flood::Continuations)),
                error => fatal(ErrorCode::COMPRESSION_ERROR, error.why()),
            };
        }
        let verdict = section.finish(end, limits);
        if purpose == Purpose::Request {
            section.keep(block, before, decoder.changes(), end);
        }
        Ok(verdict)
    }

    /// How a stream that is not open came to its end. Those behind the last one we named were ignored from the start.
    pub(super) fn closed(&self, id: u32) -> Closed {
        if id > self.last { Closed::ByUs } else { self.streams.closed(id) }
    }

    /// A stream above the limit, which a client does not know before it has our SETTINGS.
    #[cold]
    fn one_too_many(&mut self, id: u32) -> Result<Option<Event>, Fatal> {
        self.refused = self.refused.saturating_add(1);
        if self.acknowledged {
            self.budgets.charge(Flood::Resets)?;
        } else {
            self.budgets.unaware(Flood::Resets)?;
        }
        self.turn_away(id, ErrorCode::REFUSED_STREAM)
    }

    /// A request that is none.
    #[cold]
    fn malformed_one(&mut self, id: u32) -> Result<Option<Event>, Fatal> {
        self.malformed = self.malformed.saturating_add(1);
        self.budgets.charge(Flood::Resets)?;
        self.turn_away(id, ErrorCode::PROTOCOL_ERROR)
    }

    /// A stream that the user never hears of.
    fn turn_away(&mut self, id: u32, code: ErrorCode) -> Result<Option<Event>, Fatal> {
        frame::put_reset(&mut self.output, id, code);
        self.streams.remember(id, Closed::ByUs);
        Ok(None)
    }

    /// The client broke the protocol on a stream: it is reset, and the user hears of it.
    #[cold]
    pub(super) fn fault(&mut self, key: StreamKey, code: ErrorCode) -> Result<Option<Event>, Fatal> {
        self.budgets.charge(Flood::Resets)?;
        frame::put_reset(&mut self.output, key.id, code);
        self.close_stream(key, Closed::ByUs);
        Ok(Some(Event::Reset { stream: key, code, by_client: false }))
    }
}
