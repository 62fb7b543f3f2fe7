//! What each frame means (RFC 9113 §4–§6, RFC 9218 §7.1).

use super::PREFACE;
use super::code::ErrorCode;
use super::connection::{Connection, Reading};
use super::event::{Event, Fatal, Flood};
use super::frame::{self, FrameHeader, HEADER_LEN, Kind, flag, u32_at};
use super::priority::Priority;
use super::stream::Closed;

/// Streams that are not open yet whose priorities are kept, whatever `max_streams` is: each is looked for among all.
const MOST_EARLY: usize = 1024;

/// The end of a connection.
#[cold]
pub(super) const fn fatal<T>(code: ErrorCode, why: &'static str) -> Result<T, Fatal> {
    Err(Fatal { code, why, flood: None })
}

const fn protocol<T>(why: &'static str) -> Result<T, Fatal> {
    fatal(ErrorCode::PROTOCOL_ERROR, why)
}

const fn size<T>(why: &'static str) -> Result<T, Fatal> {
    fatal(ErrorCode::FRAME_SIZE_ERROR, why)
}

impl Connection {
    /// Reads on until something happened, or the input is used up.
    pub(super) fn read(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Event>, Fatal> {
        *at = (*at).min(input.len());
        loop {
            let event = match self.reading {
                Reading::Header(kept) => match self.header(kept, input, at) {
                    Some(header) => self.frame(header, input, at)?,
                    None => return Ok(None),
                },
                Reading::Content(content) => {
                    let event = self.content(content, input, at);
                    if event.is_none() && *at == input.len() && matches!(self.reading, Reading::Content(_)) {
                        return Ok(None);
                    }
                    event
                }
                Reading::Payload(header) => {
                    let missing = (header.len as usize).saturating_sub(self.held.len());
                    let rest = &input[*at..];
                    let taken = missing.min(rest.len());
                    self.held.extend_from_slice(&rest[..taken]);
                    *at += taken;
                    if taken < missing {
                        return Ok(None);
                    }
                    self.reading = Reading::Header(0);
                    let mut held = std::mem::take(&mut self.held);
                    let event = self.payload(header, &held);
                    held.clear();
                    self.held = held;
                    event?
                }
                Reading::PadLength(header) => {
                    let Some(&padding) = input.get(*at) else { return Ok(None) };
                    *at += 1;
                    self.padding_known(header, padding)?
                }
                Reading::Skip(left) => {
                    let taken = left.min(u32::try_from(input.len() - *at).unwrap_or(u32::MAX));
                    *at += taken as usize;
                    if taken < left {
                        self.reading = Reading::Skip(left - taken);
                        return Ok(None);
                    }
                    self.reading = Reading::Header(0);
                    None
                }
                Reading::Preface(matched) => {
                    let expected = &PREFACE[usize::from(matched)..];
                    let rest = &input[*at..];
                    let taken = expected.len().min(rest.len());
                    if expected[..taken] != rest[..taken] {
                        return protocol("no HTTP/2 preface");
                    }
                    *at += taken;
                    if taken < expected.len() {
                        self.reading = Reading::Preface(matched + taken as u8);
                        return Ok(None);
                    }
                    self.reading = Reading::Header(0);
                    None
                }
                Reading::Ended(fatal) => return Err(fatal),
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// The next frame header; `None`: it has not come whole.
    #[inline]
    fn header(&mut self, kept: u8, input: &[u8], at: &mut usize) -> Option<FrameHeader> {
        let rest = &input[*at..];
        if kept == 0
            && let Some(whole) = rest.first_chunk::<HEADER_LEN>()
        {
            *at += HEADER_LEN;
            return Some(FrameHeader::read(whole));
        }
        let kept = usize::from(kept);
        let taken = (HEADER_LEN - kept).min(rest.len());
        self.header[kept..kept + taken].copy_from_slice(&rest[..taken]);
        *at += taken;
        if kept + taken < HEADER_LEN {
            self.reading = Reading::Header((kept + taken) as u8);
            return None;
        }
        self.reading = Reading::Header(0);
        Some(FrameHeader::read(&self.header))
    }

    /// A frame whose header has come: its payload is looked at where it lies when it has come too.
    #[inline]
    fn frame(&mut self, header: FrameHeader, input: &[u8], at: &mut usize) -> Result<Option<Event>, Fatal> {
        self.check(header)?;
        // However many frames a head comes in, its time is one.
        self.frames = self.frames.wrapping_add(u64::from(header.kind != Kind::Continuation));
        match header.kind {
            Kind::Data => self.data_begins(header),
            Kind::Unknown => {
                self.budgets.charge(Flood::Unknown)?;
                self.reading = Reading::Skip(header.len);
                Ok(None)
            }
            _ => {
                let Some(payload) = input.get(*at..*at + header.len as usize) else {
                    self.reading = Reading::Payload(header);
                    return Ok(None);
                };
                *at += payload.len();
                self.payload(header, payload)
            }
        }
    }

    /// What can be wrong with a frame that its header shows.
    #[inline]
    fn check(&self, header: FrameHeader) -> Result<(), Fatal> {
        if header.len > self.limits.max_frame {
            return size("a frame is larger than SETTINGS_MAX_FRAME_SIZE");
        }
        if let Some(unfinished) = self.unfinished {
            if header.kind != Kind::Continuation || header.stream != unfinished.stream {
                return protocol("a header block is not continued");
            }
            return Ok(());
        }
        if !self.settled && (header.kind != Kind::Settings || header.has(flag::ACK)) {
            return protocol("the first frame is not SETTINGS");
        }
        let on_connection = header.stream == 0;
        match header.kind {
            Kind::Data | Kind::Priority | Kind::RstStream if on_connection => protocol("a stream's frame on stream 0"),
            Kind::Headers if header.stream.is_multiple_of(2) => {
                protocol("HEADERS on a stream that is not the client's")
            }
            Kind::Settings | Kind::Ping | Kind::GoAway | Kind::PriorityUpdate if !on_connection => {
                protocol("a connection's frame on a stream")
            }
            Kind::PushPromise => protocol("PUSH_PROMISE from a client"),
            Kind::Continuation => protocol("CONTINUATION without a header block"),
            Kind::RstStream | Kind::WindowUpdate if header.len != 4 => size("a frame is not 4 bytes"),
            Kind::Settings if header.has(flag::ACK) && header.len != 0 => {
                size("an acknowledgement of SETTINGS is not empty")
            }
            Kind::Settings if !header.len.is_multiple_of(6) => size("SETTINGS is not a multiple of 6 bytes"),
            Kind::Ping if header.len != 8 => size("PING is not 8 bytes"),
            Kind::GoAway if header.len < 8 => size("GOAWAY is shorter than 8 bytes"),
            Kind::PriorityUpdate if header.len < 4 => size("PRIORITY_UPDATE is shorter than 4 bytes"),
            _ => Ok(()),
        }
    }

    /// A frame that has come whole.
    #[inline]
    fn payload(&mut self, header: FrameHeader, payload: &[u8]) -> Result<Option<Event>, Fatal> {
        match header.kind {
            Kind::Headers => self.headers(header, payload),
            Kind::Continuation => self.continuation(header, payload),
            Kind::WindowUpdate => self.window_update(header.stream, u32_at(payload, 0) & frame::MOST),
            Kind::RstStream => self.rst_stream(header.stream, ErrorCode(u32_at(payload, 0))),
            Kind::Settings => self.settings(header, payload).map(|()| None),
            Kind::Ping => self.ping(header, payload).map(|()| None),
            Kind::Priority => self.old_priority(header),
            Kind::PriorityUpdate => self.priority_update(payload).map(|()| None),
            Kind::GoAway => {
                self.budgets.charge(Flood::Unknown)?;
                Ok(Some(Event::GoAway { code: ErrorCode(u32_at(payload, 4)) }))
            }
            Kind::Data | Kind::PushPromise | Kind::Unknown => Ok(None),
        }
    }

    /// Whether a stream was never opened. Those we would open count: we open none.
    #[inline]
    fn is_idle(&self, id: u32) -> bool {
        id > self.highest || id.is_multiple_of(2)
    }

    /// WINDOW_UPDATE (RFC 9113 §6.9).
    fn window_update(&mut self, id: u32, increment: u32) -> Result<Option<Event>, Fatal> {
        self.budgets.window_update()?;
        if id == 0 {
            if increment == 0 {
                return protocol("WINDOW_UPDATE of 0");
            }
            if !self.send.add(i64::from(increment)) {
                return fatal(ErrorCode::FLOW_CONTROL_ERROR, "the connection's window is above 2^31-1");
            }
            return Ok(None);
        }
        let Some(key) = self.streams.find(id) else {
            return if self.is_idle(id) {
                protocol("WINDOW_UPDATE on a stream that was never opened")
            } else {
                Ok(None)
            };
        };
        if increment == 0 {
            return self.fault(key, ErrorCode::PROTOCOL_ERROR);
        }
        let Some(stream) = self.streams.get_mut(key) else { return Ok(None) };
        if !stream.send.add(i64::from(increment)) {
            return self.fault(key, ErrorCode::FLOW_CONTROL_ERROR);
        }
        if stream.wants && stream.send.left() > 0 {
            self.order.enter(&mut self.streams, key.index);
        }
        Ok(None)
    }

    /// RST_STREAM (RFC 9113 §6.4).
    fn rst_stream(&mut self, id: u32, code: ErrorCode) -> Result<Option<Event>, Fatal> {
        let Some(key) = self.streams.find(id) else {
            if self.is_idle(id) {
                return protocol("RST_STREAM on a stream that was never opened");
            }
            return self.budgets.late_reset().map(|()| None);
        };
        // What was answered whole was worth its while.
        if self.streams.get(key).is_some_and(|stream| stream.local_ended) {
            self.budgets.late_reset()?;
        } else {
            self.budgets.charge(Flood::Resets)?;
        }
        self.close_stream(key, Closed::Done);
        Ok(Some(Event::Reset { stream: key, code, by_client: true }))
    }

    /// SETTINGS (RFC 9113 §6.5).
    fn settings(&mut self, header: FrameHeader, payload: &[u8]) -> Result<(), Fatal> {
        if header.has(flag::ACK) {
            if self.acknowledged {
                return self.budgets.charge(Flood::Settings);
            }
            self.acknowledged = true;
            self.decoder.acknowledged();
            let Self { streams, output, limits, .. } = self;
            for (key, stream) in streams.iter_mut() {
                stream.receive.resize(limits.window);
                // It may have shut, and with all of its content taken nothing else would open it.
                if let Some(increment) = stream.receive.give_back(0).filter(|_| !stream.remote_ended) {
                    frame::put_window_update(output, key.id, increment);
                }
            }
            return Ok(());
        }
        // The first SETTINGS are not more than what every client must send.
        if self.settled {
            self.budgets.charge(Flood::Settings)?;
        }
        self.settled = true;
        let before = self.theirs;
        if let Err((code, why)) = self.theirs.apply(payload) {
            return fatal(code, why);
        }
        let change = i64::from(self.theirs.initial_window_size) - i64::from(before.initial_window_size);
        if change != 0 {
            for (_, stream) in self.streams.iter_mut() {
                if !stream.send.add(change) {
                    return fatal(ErrorCode::FLOW_CONTROL_ERROR, "a stream's window is above 2^31-1");
                }
            }
        }
        if change > 0 {
            self.unblock();
        }
        if let Some(smallest) = self.theirs.smallest_table_size {
            self.encoder.set_peer_table(smallest);
            self.encoder.set_peer_table(self.theirs.header_table_size);
        }
        frame::put_header(&mut self.output, 0, Kind::Settings, flag::ACK, 0);
        Ok(())
    }

    /// PING (RFC 9113 §6.7). We ask nothing, so an answer means nothing.
    fn ping(&mut self, header: FrameHeader, payload: &[u8]) -> Result<(), Fatal> {
        self.budgets.ping()?;
        if !header.has(flag::ACK)
            && let Ok(opaque) = payload.try_into()
        {
            frame::put_pong(&mut self.output, opaque);
        }
        Ok(())
    }

    /// PRIORITY (RFC 9113 §6.3), which says nothing any more, but must be well made.
    fn old_priority(&mut self, header: FrameHeader) -> Result<Option<Event>, Fatal> {
        self.budgets.charge(Flood::Priorities)?;
        if header.len == 5 {
            return Ok(None);
        }
        match self.streams.find(header.stream) {
            Some(key) => self.fault(key, ErrorCode::FRAME_SIZE_ERROR),
            None => size("PRIORITY is not 5 bytes"),
        }
    }

    /// PRIORITY_UPDATE (RFC 9218 §7.1).
    fn priority_update(&mut self, payload: &[u8]) -> Result<(), Fatal> {
        self.budgets.charge(Flood::Priorities)?;
        let id = u32_at(payload, 0) & frame::MOST;
        let priority = Priority::parse(payload.get(4..).unwrap_or_default());
        if id.is_multiple_of(2) {
            return protocol("PRIORITY_UPDATE for a stream that is not the client's");
        }
        if let Some(key) = self.streams.find(id) {
            self.set_priority(key, priority);
            return Ok(());
        }
        if id <= self.highest {
            return Ok(());
        }
        if let Some((_, early)) = self.early.iter_mut().find(|(other, _)| *other == id) {
            *early = priority;
            return Ok(());
        }
        if self.early.len() + self.streams.len() >= self.limits.max_streams as usize {
            if self.acknowledged {
                return protocol("PRIORITY_UPDATE for more streams than may be open");
            }
            self.budgets.priority_is_free(&self.limits);
            return self.budgets.unaware(Flood::Priorities);
        }
        if self.early.len() < MOST_EARLY {
            self.early.push((id, priority));
        }
        Ok(())
    }

    /// The priority of a stream that opens: PRIORITY_UPDATE wins over the field, which came later but was said earlier.
    #[inline]
    pub(super) fn priority_of(&mut self, id: u32) -> Priority {
        let said = self.section.priority();
        if self.early.is_empty() { said } else { self.early_priority_of(id).unwrap_or(said) }
    }

    /// What PRIORITY_UPDATE said of a stream before it opened. Streams that it passes over never open.
    #[cold]
    fn early_priority_of(&mut self, id: u32) -> Option<Priority> {
        let early = self.early.iter().find(|(other, _)| *other == id).map(|&(_, priority)| priority);
        self.early.retain(|&(other, _)| other > id);
        if early.is_some() {
            self.budgets.priority_is_free(&self.limits);
        }
        early
    }
}
