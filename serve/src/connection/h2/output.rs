//! What a connection says at a turn's end, and how much of it may wait for the client to take it.

use std::rc::Rc;
use std::task::Poll;

use anygate_proto::h2::StreamKey;
use anygate_shard::{Close, Lease, Wake};

use super::link::{self, Leaving, Link, State};
use super::stream::{End, Halves};
use crate::server::Server;

/// Content leaves while less than this waits for the client to take it. More would only stand before what is more urgent.
pub(super) const QUEUED_MOST: usize = 256 << 10;
/// Content leaves again when no more than this waits.
const QUEUED_FEW: usize = 128 << 10;
/// Less than this is not worth a buffer while something waits for the client to take it: it waits for what follows.
const GATHERED: usize = 4 << 10;
/// Nothing more is taken in while more than this waits.
pub(super) const READ_STOP: usize = QUEUED_MOST + (64 << 10);
/// A piece of content from here on leaves as it lies; smaller ones are put together.
const OWN_PIECE: usize = 4 << 10;

impl Link {
    /// Sends what there is to say, ends the connection where it is done, and looks to its time.
    pub(super) fn settle(self: &Rc<Self>, server: &Rc<Server>) {
        let failed = loop {
            let state = &mut *self.state.borrow_mut();
            let waits = self.wire.queued(&self.shard) > 0;
            let full = self.pump(state);
            if self.has_heard_end() {
                self.give_up_stuck(state);
            }
            let said = state.codec.output().len();
            let gathers = waits && said > 0 && said < GATHERED;
            if !gathers {
                self.flush(state);
            }
            let holds = state.held.is_some();
            if !full && !gathers && !holds {
                break false;
            }
            // More follows when the client has taken some of it, or all where more is only a little.
            let few = if full || holds { QUEUED_FEW } else { 0 };
            match self.wire.poll_sent(&self.shard, few, Wake::row(self.row)) {
                Poll::Ready(Ok(())) if full || !holds => {}
                Poll::Ready(Ok(())) => {
                    self.shard.wake(Wake::row(self.row));
                    break false;
                }
                Poll::Ready(Err(_)) => break true,
                Poll::Pending => break false,
            }
        };
        if failed {
            return link::leave(server, self, Close::Abort);
        }
        if self.is_done() {
            return link::leave(server, self, Close::Graceful);
        }
        self.look_to_time(server);
    }

    fn is_done(&self) -> bool {
        let state = self.state.borrow();
        state.leaving == Leaving::Told && state.codec.is_drained() && state.held.is_none()
    }

    /// Puts content behind what waits to leave, in its order; true when there may be more than may wait.
    fn pump(&self, state: &mut State) -> bool {
        loop {
            if self.wire.queued(&self.shard) + state.codec.output().len() >= QUEUED_MOST {
                return true;
            }
            let Some((key, allowed)) = state.codec.turn() else { return false };
            let Some(stream) = state.stream(key).map(Rc::clone) else {
                state.codec.rests(key);
                continue;
            };
            let mut half = stream.halves();
            let len = allowed.min(half.queued);
            let all = len == half.queued;
            let end = if all { half.end.take() } else { None };
            if len > 0 || matches!(end, Some(End::Bare)) {
                if !state.codec.data(key, len, matches!(end, Some(End::Bare))) {
                    continue;
                }
                self.put(state, &mut half, len);
            }
            if let Some(End::Trailers(block)) = &end {
                state.codec.end_with(key, block);
            }
            half.ended |= end.is_some();
            // Nobody hears the rest of a request whose answer is complete.
            half.gone |= half.ended && !state.codec.is_open(key) && !half.heard_all;
            if all && end.is_none() {
                state.codec.rests(key);
            }
            self.note(state, &mut half, key, len);
            stream.wake(&mut half);
        }
    }

    /// Remembers what the client took, and since when it takes nothing.
    fn note(&self, state: &mut State, half: &mut Halves, key: StreamKey, len: usize) {
        let now = self.shard.now();
        if len > 0 {
            half.pace.took(len, now);
            state.pace.took(len, now);
        }
        if half.queued == 0 {
            return;
        }
        if state.codec.connection_window_left() == 0 {
            state.pace.shut(now);
        } else if state.codec.window_left(key) == 0 {
            half.pace.shut(now);
        }
    }

    /// Puts so much of a stream's content behind what waits to leave.
    fn put(&self, state: &mut State, half: &mut Halves, mut len: usize) {
        half.queued -= len;
        self.left(len);
        while len > 0 {
            let Some(first) = half.queue.front_mut() else { return };
            let piece = first.split_to(first.len().min(len));
            if first.is_empty() {
                half.queue.pop_front();
            }
            len -= piece.len();
            if piece.len() < OWN_PIECE {
                state.codec.output().extend_from_slice(&piece);
            } else {
                self.flush(state);
                state.given += piece.len() as u64;
                self.cells.bytes_out.add(piece.len() as u64);
                self.wire.queue(&self.shard, piece);
            }
        }
    }

    /// Hands what waits to leave to the wire.
    pub(super) fn flush(&self, state: &mut State) {
        let output = state.codec.output();
        if output.is_empty() {
            return;
        }
        let len = output.len() as u64;
        let mut rest = &output[..];
        while !rest.is_empty() {
            let mut lease =
                self.shard.try_lease(link::class_for(rest.len())).unwrap_or_else(|| Lease::with_capacity(rest.len()));
            let written = lease.extend_from_slice(rest);
            rest = &rest[written..];
            self.wire.queue(&self.shard, lease.freeze());
        }
        output.clear();
        state.given += len;
        self.cells.bytes_out.add(len);
    }
}
