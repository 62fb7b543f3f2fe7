//! How answers leave: heads, content in the order of priorities and as windows allow, and the end of a stream.

use super::code::ErrorCode;
use super::connection::Connection;
use super::event::StreamKey;
use super::frame::{self, Kind, flag};
use super::hpack;
use super::priority::{Priority, PriorityField};
use super::stream::{Closed, NONE, Stream};

impl Connection {
    /// The encoder, to make a header block that uses the dynamic table. The block must be given to
    /// [`respond`](Self::respond), [`answer`](Self::answer), [`inform`](Self::inform) or [`end_with`](Self::end_with)
    /// before another is made; table size updates are put in front of it there.
    pub fn encoder(&mut self) -> &mut hpack::Encoder {
        &mut self.encoder
    }

    /// Sends the head of the answer: HEADERS, and CONTINUATION where the block is long; with `end` nothing follows it.
    /// False: the stream is over, and nothing was written.
    ///
    /// A stream whose answer is complete is over once its request is too. Until then what comes of the request is told
    /// as before; who does not want it [`reset`](Self::reset)s the stream with NO_ERROR (RFC 9113 §8.1).
    pub fn respond(&mut self, stream: StreamKey, block: &[u8], end: bool) -> bool {
        let Some(open) = self.streams.get_mut(stream).filter(|open| !open.local_ended) else {
            self.encoder.lost();
            return false;
        };
        open.responded = true;
        self.put_block(stream.id, block, end);
        if end {
            self.end_local(stream);
        }
        true
    }

    /// Sends a whole answer if all of it may leave now: the windows have room for it, and nobody goes before it by
    /// priority. False: nothing was written; use [`respond`](Self::respond) and [`wants`](Self::wants).
    #[inline]
    pub fn answer(&mut self, stream: StreamKey, block: &[u8], content: &[u8]) -> bool {
        let Some(open) = self.streams.get_mut(stream).filter(|open| !open.local_ended) else {
            self.encoder.lost();
            return false;
        };
        if content.is_empty() {
            self.put_block(stream.id, block, true);
            self.end_local(stream);
            return true;
        }
        let priority = open.priority;
        let fits = content.len() <= open.send.left().min(self.send.left());
        if !fits || self.order.goes_before(&self.streams, priority.urgency, stream.id, priority.incremental) {
            return false;
        }
        self.put_block(stream.id, block, false);
        let most = self.most_data();
        let mut rest = content;
        while rest.len() > most {
            let (now, later) = rest.split_at(most);
            frame::put_header(&mut self.output, now.len(), Kind::Data, 0, stream.id);
            self.output.extend_from_slice(now);
            self.budgets.sent();
            rest = later;
        }
        frame::put_header(&mut self.output, rest.len(), Kind::Data, flag::END_STREAM, stream.id);
        self.output.extend_from_slice(rest);
        self.budgets.sent();
        self.send.take(content.len());
        self.end_local(stream);
        true
    }

    /// The user has content for this stream, or its end to say. It has a place in the order of RFC 9218 until
    /// [`rests`](Self::rests) or its end.
    pub fn wants(&mut self, stream: StreamKey) {
        if let Some(open) = self.streams.get_mut(stream).filter(|open| !open.local_ended) {
            open.wants = true;
            if self.offered == stream.index {
                self.offered = NONE;
            }
            self.order.ask(&mut self.streams, stream.index);
        }
    }

    /// There is nothing to send on this stream just now.
    pub fn rests(&mut self, stream: StreamKey) {
        if let Some(open) = self.streams.get_mut(stream) {
            open.wants = false;
            self.order.leave(&mut self.streams, stream.index);
            if self.offered == stream.index {
                self.offered = NONE;
            }
        }
    }

    /// Whose turn it is, and how many bytes one frame of content may have now. A stream without room gets one turn of 0
    /// bytes, in which its end can be said, and then none until there is room or it [`wants`](Self::wants) again. A turn
    /// with room that is not used by [`data`](Self::data), [`end_with`](Self::end_with) or [`reset`](Self::reset) before
    /// the next call counts as [`rests`](Self::rests), unless the stream [`wants`](Self::wants) again in between.
    #[inline]
    pub fn turn(&mut self) -> Option<(StreamKey, usize)> {
        if self.offered != NONE {
            let id = self.streams.at(self.offered).id;
            self.rests(StreamKey { index: self.offered, id });
        }
        let (left, most) = (self.send.left(), self.most_data());
        loop {
            // Where the connection has no room the others keep their places, and wait for nothing but that.
            let first = if left == 0 { self.order.first_asking(&mut self.streams) } else { self.order.first() };
            let index = first?;
            let stream = self.streams.at(index);
            let key = StreamKey { index, id: stream.id };
            let (room, told) = (stream.send.left(), stream.told);
            let allowed = room.min(left).min(most);
            self.order.tell(&mut self.streams, index);
            if allowed > 0 {
                self.offered = index;
                return Some((key, allowed));
            }
            if room == 0 {
                self.order.leave(&mut self.streams, index);
            }
            if !told {
                return Some((key, 0));
            }
        }
    }

    /// Puts the header of a DATA frame of `len` bytes into [`output`](Self::output) and takes them from the windows: no
    /// more than [`turn`](Self::turn) allowed. The content is the user's to send behind what is there. False: the stream
    /// is over, and nothing was written.
    #[inline]
    #[must_use]
    pub fn data(&mut self, stream: StreamKey, len: usize, end: bool) -> bool {
        let left = self.send.left();
        let Some(open) = self.streams.get_mut(stream).filter(|open| !open.local_ended) else { return false };
        debug_assert!(len <= open.send.left().min(left), "a window is not kept to");
        open.send.take(len);
        self.send.take(len);
        self.budgets.sent();
        self.offered = NONE;
        self.order.turned(&mut self.streams, stream.index, end);
        // What the end has to say of itself leaves before the header, behind which nothing but the content may come.
        let flags = if end {
            self.end_local(stream);
            flag::END_STREAM
        } else {
            0
        };
        frame::put_header(&mut self.output, len, Kind::Data, flags, stream.id);
        true
    }

    /// Ends a stream by trailers, behind all of its content. False: the stream is over, and nothing was written.
    pub fn end_with(&mut self, stream: StreamKey, trailers: &[u8]) -> bool {
        self.respond(stream, trailers, true)
    }

    /// Sends an interim head, 1xx. False: the stream is over, or has its final head.
    pub fn inform(&mut self, stream: StreamKey, block: &[u8]) -> bool {
        if self.streams.get(stream).is_none_or(|open| open.responded || open.local_ended) {
            self.encoder.lost();
            return false;
        }
        self.put_block(stream.id, block, false);
        true
    }

    /// Ends a stream at once by RST_STREAM. Nothing when it is over.
    pub fn reset(&mut self, stream: StreamKey, code: ErrorCode) {
        if self.streams.get(stream).is_some() {
            frame::put_reset(&mut self.output, stream.id, code);
            self.close_stream(stream, Closed::ByUs);
        }
    }

    /// Bytes of content that may be sent on a stream before the client gives more room; 0 when it is over.
    #[must_use]
    pub fn window_left(&self, stream: StreamKey) -> usize {
        self.streams.get(stream).map_or(0, |open| open.send.left().min(self.send.left()))
    }

    /// Bytes of content that may be sent on all streams together before the client gives more room.
    #[must_use]
    pub fn connection_window_left(&self) -> usize {
        self.send.left()
    }

    /// Whether a stream is open, or half-closed.
    #[inline]
    #[must_use]
    pub fn is_open(&self, stream: StreamKey) -> bool {
        self.streams.get(stream).is_some()
    }

    /// The priority of a stream; the default when it is over.
    #[must_use]
    pub fn priority(&self, stream: StreamKey) -> Priority {
        self.streams.get(stream).map_or_else(Priority::default, |open| open.priority)
    }

    /// Takes in what the `priority` field of a stream's response says (RFC 9218 §8), from here on and until the client says
    /// something else by PRIORITY_UPDATE.
    pub fn prefer(&mut self, stream: StreamKey, field: &PriorityField) {
        self.set_priority(stream, field.over(self.priority(stream)));
    }

    /// Changes the priority of a stream.
    pub fn set_priority(&mut self, stream: StreamKey, priority: Priority) {
        let Some(open) = self.streams.get(stream) else { return };
        let queued = open.queued;
        self.order.leave(&mut self.streams, stream.index);
        self.streams.at(stream.index).priority = priority;
        if queued {
            self.order.enter(&mut self.streams, stream.index);
        }
    }

    /// What a frame of content may have.
    #[inline]
    fn most_data(&self) -> usize {
        self.theirs.max_frame_size.min(self.limits.max_frame) as usize
    }

    #[inline]
    fn put_block(&mut self, id: u32, block: &[u8], end: bool) {
        // Nearly always there is no update, and an empty `Vec` costs nothing.
        let mut update = Vec::new();
        self.encoder.begin(&mut update);
        let most = self.theirs.max_frame_size as usize;
        if update.is_empty() {
            frame::put_block(&mut self.output, id, block, end, most);
        } else {
            update.extend_from_slice(block);
            frame::put_block(&mut self.output, id, &update, end, most);
        }
    }

    /// Our side of a stream has ended.
    #[inline]
    fn end_local(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.remote_ended {
            self.close_stream(key, Closed::Done);
        } else {
            (stream.local_ended, stream.wants) = (true, false);
            self.order.leave(&mut self.streams, key.index);
        }
    }

    /// The streams' windows are larger: who waited for that has a place in the order again. Identifiers rise, so that each
    /// finds its place at once.
    pub(super) fn unblock(&mut self) {
        let Self { streams, order, .. } = self;
        let enters = |stream: &Stream| match stream.queued {
            true => !stream.priority.incremental,
            false => stream.wants && stream.send.left() > 0,
        };
        let mut all: Vec<_> =
            streams.iter_mut().filter(|(_, stream)| enters(stream)).map(|(key, _)| (key.id, key.index)).collect();
        all.sort_unstable();
        for &(_, index) in &all {
            order.leave(streams, index);
        }
        for &(_, index) in &all {
            order.enter(streams, index);
        }
    }
}
