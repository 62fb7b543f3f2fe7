//! How DATA is taken in: windows first, then the length that was promised, then the bytes as they come (RFC 9113 §6.1).

use super::code::ErrorCode;
use super::connection::{Connection, Reading};
use super::event::{Event, Fatal, Flood, StreamKey};
use super::frame::{self, FrameHeader, flag};
use super::receive::fatal;
use super::stream::Closed;

/// What is to come yet of a DATA frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    stream: StreamKey,
    left: u32,
    padding: u32,
    end: bool,
}

const TOO_SHORT: &str = "DATA is too short for its padding";

impl Connection {
    /// The header of a DATA frame: all of its payload counts against the windows, padding too.
    pub(super) fn data_begins(&mut self, header: FrameHeader) -> Result<Option<Event>, Fatal> {
        if !self.receive.receive(header.len) {
            return fatal(ErrorCode::FLOW_CONTROL_ERROR, "more content than the connection's window");
        }
        // What one stream holds must not keep from others what is free again.
        if self.receive.is_short() {
            self.give_back(0);
        }
        let Some(key) = self.streams.find(header.stream) else {
            return self.data_of_none(header);
        };
        let Some(stream) = self.streams.get_mut(key) else { return Ok(None) };
        let refused = if stream.remote_ended {
            Some(ErrorCode::STREAM_CLOSED)
        } else if !stream.receive.receive(header.len) {
            Some(ErrorCode::FLOW_CONTROL_ERROR)
        } else {
            None
        };
        if let Some(code) = refused {
            self.skip(header)?;
            return self.fault(key, code);
        }
        if !header.has(flag::PADDED) {
            return self.content_begins(key, header.len, 0, header.has(flag::END_STREAM));
        }
        if header.len == 0 {
            return fatal(ErrorCode::FRAME_SIZE_ERROR, TOO_SHORT);
        }
        self.reading = Reading::PadLength(header);
        Ok(None)
    }

    /// The length of the padding is known.
    pub(super) fn padding_known(&mut self, header: FrameHeader, padding: u8) -> Result<Option<Event>, Fatal> {
        let padding = u32::from(padding);
        let Some(content) = (header.len - 1).checked_sub(padding) else {
            return fatal(ErrorCode::PROTOCOL_ERROR, "the padding of DATA is longer than it");
        };
        self.give_back(padding + 1);
        let Some(key) = self.streams.find(header.stream) else {
            // It is over, since long or since its header was read: what follows is content of nobody.
            self.give_back(content);
            self.reading = skipping(content + padding);
            return Ok(None);
        };
        self.consume(key, padding + 1);
        self.content_begins(key, content, padding, header.has(flag::END_STREAM))
    }

    /// `content` bytes are to come, then `padding`. The sum of all DATA must be what was promised (RFC 9113 §8.1.1).
    #[inline]
    fn content_begins(
        &mut self,
        key: StreamKey,
        content: u32,
        padding: u32,
        end: bool,
    ) -> Result<Option<Event>, Fatal> {
        let Some(stream) = self.streams.get_mut(key) else { return Ok(None) };
        if let Some(expected) = &mut stream.expected {
            let left = expected.checked_sub(u64::from(content)).filter(|&left| left == 0 || !end);
            let Some(left) = left else {
                self.give_back(content);
                self.reading = skipping(content + padding);
                return self.fault(key, ErrorCode::PROTOCOL_ERROR);
            };
            *expected = left;
        }
        if content == 0 && !end {
            self.budgets.charge(Flood::EmptyData)?;
        }
        self.reading = Reading::Content(Content { stream: key, left: content, padding, end });
        Ok(None)
    }

    /// What has come of a DATA frame's payload.
    #[inline]
    pub(super) fn content(&mut self, mut content: Content, input: &[u8], at: &mut usize) -> Option<Event> {
        let key = content.stream;
        let Some(stream) = self.streams.get_mut(key) else {
            // The user has reset it: the rest is nobody's.
            self.give_back(content.left);
            self.reading = skipping(content.left + content.padding);
            return None;
        };
        let come = u32::try_from(input.len() - *at).unwrap_or(u32::MAX);
        if content.left > 0 {
            let taken = content.left.min(come);
            let range = *at..*at + taken as usize;
            *at = range.end;
            content.left -= taken;
            stream.held += taken;
            let whole = content.left == 0 && content.padding == 0;
            self.reading = if whole { Reading::Header(0) } else { Reading::Content(content) };
            return self.content_came(key, range, whole && content.end);
        }
        let taken = content.padding.min(come);
        *at += taken as usize;
        content.padding -= taken;
        if content.padding > 0 {
            self.reading = Reading::Content(content);
            return None;
        }
        self.reading = Reading::Header(0);
        if content.end { self.content_came(key, *at..*at, true) } else { None }
    }

    #[inline]
    fn content_came(&mut self, key: StreamKey, range: std::ops::Range<usize>, end: bool) -> Option<Event> {
        if end {
            let stream = self.streams.get_mut(key)?;
            stream.remote_ended = true;
            if stream.local_ended {
                self.close_stream(key, Closed::Done);
            }
        } else if range.is_empty() {
            return None;
        }
        Some(Event::Data { stream: key, range, end })
    }

    /// DATA on a stream that is not open: the connection's window is given back.
    #[cold]
    fn data_of_none(&mut self, header: FrameHeader) -> Result<Option<Event>, Fatal> {
        let id = header.stream;
        if id > self.highest || id.is_multiple_of(2) {
            return fatal(ErrorCode::PROTOCOL_ERROR, "DATA on a stream that was never opened");
        }
        if header.len == 0 {
            self.budgets.charge(Flood::EmptyData)?;
        }
        if self.closed(id) != Closed::ByUs {
            self.budgets.charge(Flood::Resets)?;
            frame::put_reset(&mut self.output, id, ErrorCode::STREAM_CLOSED);
            self.streams.remember(id, Closed::ByUs);
        }
        self.skip(header)?;
        Ok(None)
    }

    /// A payload that is nobody's; its padding must be right all the same.
    fn skip(&mut self, header: FrameHeader) -> Result<(), Fatal> {
        if header.has(flag::PADDED) {
            if header.len == 0 {
                return fatal(ErrorCode::FRAME_SIZE_ERROR, TOO_SHORT);
            }
            self.reading = Reading::PadLength(header);
        } else {
            self.give_back(header.len);
            self.reading = skipping(header.len);
        }
        Ok(())
    }

    /// The user has taken so many bytes of a stream's content: the client may send as many again. Nothing for a stream
    /// that is over, whose content was given back when it ended.
    #[inline]
    pub fn consumed(&mut self, stream: StreamKey, bytes: usize) {
        let Some(open) = self.streams.get_mut(stream) else { return };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(open.held);
        open.held -= bytes;
        self.give_back(bytes);
        self.consume(stream, bytes);
    }

    /// The stream's part of giving back.
    #[inline]
    fn consume(&mut self, key: StreamKey, bytes: u32) {
        if let Some(stream) = self.streams.get_mut(key)
            && !stream.remote_ended
            && let Some(increment) = stream.receive.give_back(bytes)
        {
            frame::put_window_update(&mut self.output, key.id, increment);
        }
    }
}

const fn skipping(len: u32) -> Reading {
    if len == 0 { Reading::Header(0) } else { Reading::Skip(len) }
}
