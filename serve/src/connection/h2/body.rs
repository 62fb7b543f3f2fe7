//! The content of a request of HTTP/2, as it is asked for: what came waits, as much as its window allows.

use std::fmt;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use anygate_core::limits::RATE_GRACE;
use anygate_proto::head::BodyLength;
use anygate_shard::{Deadline, Tick};

use super::stream::{Came, Stream, gone};
use crate::body::Chunk;
use crate::connection::reader::Pace;
use crate::error::{Error, Kind, Phase, Side};

/// A request's content.
pub struct StreamBody {
    stream: Rc<Stream>,
    length: BodyLength,
    /// `100 Continue` is awaited.
    expect: bool,
    received: u64,
    /// What of the content that was taken has not gone on yet, in bytes.
    under_way: usize,
    failed: Option<Error>,
    /// How long its sender was waited for, the wait that goes on aside, and since when that goes on.
    waited: Duration,
    waits: Option<Tick>,
    pace: Pace,
    deadline: Deadline,
    armed: bool,
}

impl StreamBody {
    /// The content of this stream, at that pace. `expect` sends `100 Continue` with the first pull.
    pub(super) fn new(stream: Rc<Stream>, length: BodyLength, pace: Pace, expect: bool) -> Self {
        let deadline = stream.link().shard.deadline_unset();
        let (waited, waits) = (Duration::ZERO, None);
        let (received, under_way) = (0, 0);
        Self { stream, length, expect, received, under_way, failed: None, waited, waits, pace, deadline, armed: false }
    }

    /// Bytes still to come, where that is known.
    #[must_use]
    pub fn len_hint(&self) -> Option<u64> {
        self.length.known().map(|length| length.saturating_sub(self.received))
    }

    /// Says that so many bytes of the content that was taken have not gone on yet: the client may send as much as the others
    /// again. Where nobody says so, all has gone on by the next pull. What the client may not send again yet, in bytes; 0 where
    /// the next pull is not to wait for that.
    pub fn pass_on(&mut self, under_way: usize) -> usize {
        self.under_way = under_way;
        let owed = self.stream.pass_on(under_way);
        if self.stream.has_piece() { 0 } else { owed }
    }

    /// The next piece, at most 64 KiB.
    ///
    /// # Errors
    /// The content is too long or too slow, or the client gave the request up; every later call says the same.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Chunk, Error>> {
        if let Some(error) = self.failed {
            return Poll::Ready(Err(error));
        }
        self.stream.pass_on(self.under_way);
        // Content that came without being asked for is not asked for any more (RFC 9110 §10.1.1).
        if mem::take(&mut self.expect) && !self.stream.has_content() && !self.stream.has_heard_all() {
            self.stream.say_continue();
        }
        match self.stream.poll_came(cx) {
            Poll::Pending => self.poll_patience(cx),
            Poll::Ready(None) => Poll::Ready(Err(self.fail(gone()))),
            Poll::Ready(Some(came)) => {
                self.armed = false;
                if let Some(since) = self.waits.take() {
                    self.waited += self.stream.link().shard.now() - since;
                }
                Poll::Ready(Ok(match came {
                    Came::End => Chunk::End,
                    Came::Trailers(trailers) => Chunk::Trailers(trailers),
                    Came::Content(bytes) => {
                        self.received += bytes.len() as u64;
                        if self.pace.max_body.is_some_and(|max| self.received > max) {
                            let error = Error::new(Kind::TooLarge, Side::Downstream, Phase::AfterHead);
                            return Poll::Ready(Err(self.fail(error)));
                        }
                        Chunk::Bytes(bytes)
                    }
                }))
            }
        }
    }

    /// Waits for the client, but not for ever and not at any pace.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Result<Chunk, Error>> {
        if !mem::replace(&mut self.armed, true) {
            self.deadline.reset(self.pace.timeout);
        }
        if self.deadline.poll_expired(cx).is_ready() {
            return Poll::Ready(Err(self.fail(Error::new(Kind::Timeout, Side::Downstream, Phase::InBody))));
        }
        let now = self.stream.link().shard.now();
        let since = *self.waits.get_or_insert(now);
        let spent = self.waited + (now - since);
        if let Some(rate) = self.pace.min_rate.filter(|_| spent > RATE_GRACE)
            && self.received < rate.saturating_mul(spent.as_secs())
        {
            return Poll::Ready(Err(self.fail(Error::new(Kind::TooSlow, Side::Downstream, Phase::InBody))));
        }
        Poll::Pending
    }

    fn fail(&mut self, error: Error) -> Error {
        self.failed = Some(error);
        error
    }
}

impl fmt::Debug for StreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamBody").field("stream", &self.stream).field("length", &self.length).finish_non_exhaustive()
    }
}
