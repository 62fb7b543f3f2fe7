//! One request of an HTTP/2 connection as the task that serves it sees it: content both ways, and whether anybody is there.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use anygate_core::limits::{BODY_QUEUED, PIECES_MOST, RATE_GRACE, SMALL_PIECE};
use anygate_proto::ResponseView;
use anygate_proto::h1::chunked;
use anygate_proto::h1::forward::{ForwardBack, forward_fields};
use anygate_proto::h2::hpack::{Encoder, Indexing};
use anygate_proto::h2::{ErrorCode, StreamKey};
use anygate_shard::{Bytes, Tick, Wake};

use super::Link;
use super::received::Received;
use crate::body::Trailers;
use crate::error::{Error, Kind, Phase, Side};

/// A request's stream. The task that serves it, its body and who watches its client share it.
pub struct Stream {
    link: Rc<Link>,
    key: StreamKey,
    half: RefCell<Halves>,
}

/// What waits in both directions.
#[derive(Default)]
pub(super) struct Halves {
    /// Content that was not asked for yet.
    pub(super) received: Received,
    /// Content that was taken, for which the client may not send as much again yet, in bytes.
    owed: usize,
    /// The client has ended its side.
    pub(super) heard_all: bool,
    /// What it said behind its content.
    pub(super) trailers: Option<Box<Trailers>>,
    /// The stream, or its connection, is over: nothing comes any more and nothing can be sent.
    pub(super) gone: bool,
    /// Content that waits for its turn, and its length.
    pub(super) queue: VecDeque<Bytes>,
    pub(super) queued: usize,
    /// What stands behind it.
    pub(super) end: Option<End>,
    /// Our side is ended, or cannot be any more.
    pub(super) ended: bool,
    /// How the client takes the content.
    pub(super) pace: Pace,
    /// Who waits for any of it.
    wake: Option<Wake>,
}

impl Halves {
    /// True when no more content waits than that, in bytes; many small pieces take more memory than bytes.
    fn holds_at_most(&self, most: usize) -> bool {
        self.queued <= most && self.queue.len() <= PIECES_MOST as usize
    }
}

/// The end of an answer.
pub(super) enum End {
    /// Nothing.
    Bare,
    /// A trailer section, as a block.
    Trailers(Vec<u8>),
}

/// How a client takes content whose window it may keep shut: a stream's, or its connection's.
#[derive(Default)]
pub(super) struct Pace {
    /// Since when nothing can leave because the window is shut.
    shut_since: Option<Tick>,
    /// How long that was in all.
    waited: Duration,
    /// Bytes that it took.
    pub(super) taken: u64,
}

impl Pace {
    /// So many bytes leave.
    #[inline]
    pub(super) fn took(&mut self, len: usize, now: Tick) {
        self.taken += len as u64;
        if let Some(since) = self.shut_since.take() {
            self.waited += now - since;
        }
    }

    /// The window is shut, and there is more.
    #[inline]
    pub(super) fn shut(&mut self, now: Tick) {
        self.shut_since.get_or_insert(now);
    }

    /// True where it took less than that in a second, once it was waited for long enough. Only the time counts in which the
    /// window was shut.
    pub(super) fn is_too_slow(&self, rate: u64) -> bool {
        self.waited > RATE_GRACE && self.taken < rate.saturating_mul(self.waited.as_secs())
    }
}

/// What came of a request's content.
pub(super) enum Came {
    Content(Bytes),
    Trailers(Box<Trailers>),
    End,
}

impl Stream {
    pub(super) fn new(link: Rc<Link>, key: StreamKey, heard_all: bool) -> Rc<Self> {
        Rc::new(Self { link, key, half: RefCell::new(Halves { heard_all, ..Halves::default() }) })
    }

    pub(super) fn key(&self) -> StreamKey {
        self.key
    }

    pub(super) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    pub(super) fn halves(&self) -> std::cell::RefMut<'_, Halves> {
        self.half.borrow_mut()
    }

    /// Tells who waits that something has changed.
    pub(super) fn wake(&self, half: &mut Halves) {
        if let Some(wake) = half.wake.take() {
            self.link.shard.wake(wake);
        }
    }

    /// The stream is over, whatever the task still has to say.
    pub(super) fn lost(&self) {
        let mut half = self.half.borrow_mut();
        (half.gone, half.ended) = (true, true);
        half.queue.clear();
        self.link.left(half.queued);
        half.queued = 0;
        self.wake(&mut half);
    }

    /// True when nothing can be said any more.
    pub(super) fn is_gone(&self) -> bool {
        self.half.borrow().gone
    }

    /// Ready when the client has given the request up, or has ended its half of the connection, which cannot be told from that
    /// while it has to wait.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut half = self.half.borrow_mut();
        if half.gone || self.link.has_heard_end() {
            return Poll::Ready(());
        }
        half.wake = Some(Wake::of(cx));
        Poll::Pending
    }

    // ---- content that comes -----------------------------------------------------------------------------------------

    /// What came, and is the caller's from now on: [`pass_on`](Self::pass_on) says when it has gone on.
    pub(super) fn poll_came(&self, cx: &mut Context<'_>) -> Poll<Option<Came>> {
        let mut half = self.half.borrow_mut();
        if let Some(content) = half.received.take() {
            half.owed += content.len();
            return Poll::Ready(Some(Came::Content(Bytes::from(content))));
        }
        if half.heard_all {
            return Poll::Ready(Some(half.trailers.take().map_or(Came::End, Came::Trailers)));
        }
        if half.gone {
            return Poll::Ready(None);
        }
        half.wake = Some(Wake::of(cx));
        Poll::Pending
    }

    /// The same of a tunnel, where content alone means something: no bytes at the end, `None` where it was given up.
    pub(crate) fn poll_bytes(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.poll_came(cx).map(|came| match came? {
            Came::Content(bytes) => Some(bytes),
            Came::Trailers(_) | Came::End => Some(Bytes::empty()),
        })
    }

    /// Of the content that was taken so many bytes are still under way: the client may send as much as the rest again. What
    /// it may not send again yet, in bytes.
    pub(crate) fn pass_on(&self, under_way: usize) -> usize {
        let mut half = self.half.borrow_mut();
        let passed = half.owed.saturating_sub(under_way);
        half.owed -= passed;
        let owed = half.owed;
        drop(half);
        if passed > 0 {
            self.link.consumed(self.key, passed);
        }
        owed
    }

    /// True when there is no use in waiting for more before the next piece is taken: it is a whole one, or nothing comes.
    pub(crate) fn has_piece(&self) -> bool {
        let half = self.half.borrow();
        half.heard_all || half.gone || half.received.has_whole()
    }

    /// True when all of the request has come, taken or not.
    pub(super) fn has_heard_all(&self) -> bool {
        self.half.borrow().heard_all
    }

    /// True when content waits to be taken.
    pub(super) fn has_content(&self) -> bool {
        !self.half.borrow().received.is_empty()
    }

    /// Asks for the content (RFC 9110 §15.2.1).
    pub(super) fn say_continue(&self) {
        self.link.encode(|encoder, block| encoder.status(100, block));
        self.link.send_block(|codec, block| codec.inform(self.key, block));
    }

    // ---- content that leaves ----------------------------------------------------------------------------------------

    /// Passes an interim answer on.
    pub(crate) fn inform(&self, view: ResponseView<'_>, back: &ForwardBack<'_>) {
        if self.is_gone() {
            return;
        }
        let sound = self.link.encode(|encoder, block| {
            encoder.status(view.response.status, block);
            let mut encode = |name: &[u8], value: &[u8]| encoder.encode(name, value, Indexing::Auto, block);
            let sound = forward_fields(view, back, &mut encode).is_ok();
            if !sound {
                encoder.lost();
            }
            sound
        });
        if sound {
            self.link.send_block(|codec, block| codec.inform(self.key, block));
        }
    }

    /// Sends the head that was encoded last, the content and the end, if all of it may leave at once.
    pub(super) fn answer(&self, content: &[u8]) -> bool {
        let answered = self.link.send_block(|codec, block| codec.answer(self.key, block, content));
        self.half.borrow_mut().ended |= answered;
        answered
    }

    /// Sends the head that was encoded last, and with it the end where there is no content.
    pub(super) fn respond(&self, end: bool) {
        self.link.send_block(|codec, block| codec.respond(self.key, block, end));
        self.half.borrow_mut().ended |= end;
    }

    /// Queues content.
    pub(crate) fn queue(&self, bytes: Bytes) {
        let mut half = self.half.borrow_mut();
        if half.gone || half.end.is_some() || bytes.is_empty() {
            return;
        }
        // It would keep all of the buffer it came in until the client takes it.
        let lags = bytes.len() < SMALL_PIECE
            && (half.queued > 0 || self.link.window_left(self.key) < bytes.len() || self.link.is_full());
        half.queued += bytes.len();
        self.link.waits(bytes.len());
        half.queue.push_back(if lags { Bytes::from(bytes.to_vec()) } else { bytes });
        drop(half);
        self.link.wants(self.key);
    }

    /// Says that there is no more content, behind what is queued.
    pub(crate) fn finish(&self) {
        self.finish_with(End::Bare);
    }

    /// The same with a trailer section.
    pub(super) fn finish_with(&self, end: End) {
        let mut half = self.half.borrow_mut();
        if half.gone || half.ended || half.end.is_some() {
            return;
        }
        half.end = Some(end);
        drop(half);
        self.link.wants(self.key);
    }

    /// What the client lets come of it just now, in bytes.
    pub(super) fn window_left(&self) -> usize {
        self.link.window_left(self.key)
    }

    /// Content that waits for its turn.
    pub(crate) fn queued(&self) -> usize {
        self.half.borrow().queued
    }

    /// True when our side is ended.
    pub(super) fn is_ended(&self) -> bool {
        self.half.borrow().ended
    }

    /// Ready when at most `low_water` bytes wait in not too many pieces, at 0 when the end that was said has left too.
    ///
    /// # Errors
    /// The client gave the request up.
    pub(crate) fn poll_sent(&self, low_water: usize, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut half = self.half.borrow_mut();
        if half.holds_at_most(low_water) && (low_water > 0 || half.end.is_none()) && (half.ended || !half.gone) {
            return Poll::Ready(Ok(()));
        }
        if half.gone {
            return Poll::Ready(Err(gone()));
        }
        half.wake = Some(Wake::of(cx));
        Poll::Pending
    }

    /// Ends the stream at once, whatever is queued.
    pub(super) fn reset(&self, code: ErrorCode) {
        self.lost();
        self.link.reset(self.key, code);
    }

    /// Ready when more content is of use: none waits, or little and the client lets more come, of this answer and of all.
    ///
    /// # Errors
    /// The client gave the request up.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let (queued, little) = {
            let half = self.half.borrow();
            (half.queued, half.holds_at_most(BODY_QUEUED))
        };
        if queued > 0 && little && queued < self.link.window_left(self.key) && !self.link.is_full() {
            return Poll::Ready(Ok(()));
        }
        self.poll_sent(0, cx)
    }

    /// How much of this answer the client has taken, and of all others: what does not change, it takes no more of.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.half.borrow().pace.taken, self.link.taken())
    }

    /// True while the client lets nothing of this answer come, though it could, since then: what waits behind other answers
    /// of its connection has time, as long as the client takes those.
    pub(super) fn is_shut_since(&self, then: (u64, u64)) -> bool {
        let now = self.progress();
        match self.link.window_of(self.key) {
            Window::Open => false,
            Window::Shut => now.0 == then.0,
            Window::ConnectionShut => now == then,
        }
    }

    /// An error once the client took this answer, or all those of its connection, too slowly for too long.
    pub(super) fn keep_pace(&self, rate: Option<u64>) -> Result<(), Error> {
        let Some(rate) = rate else { return Ok(()) };
        if self.half.borrow().pace.is_too_slow(rate) || self.link.is_taken_too_slowly(rate) {
            return Err(Error::new(Kind::TakenTooSlowly, Side::Downstream, Phase::InBody));
        }
        Ok(())
    }
}

/// What a client lets come.
pub(super) enum Window {
    /// Something, of this stream.
    Open,
    /// Nothing of this stream.
    Shut,
    /// Nothing at all.
    ConnectionShut,
}

/// Encodes one trailer section. What is encoded so depends on nothing that was sent before, and can wait.
pub(super) fn trailers_block(trailers: &Trailers) -> Vec<u8> {
    let mut block = Vec::new();
    let mut encoder = Encoder::new(0);
    for (name, value) in chunked::trailers(&trailers.lines, &trailers.fields) {
        encoder.encode(name, value, Indexing::No, &mut block);
    }
    block
}

/// The client has left.
pub(super) fn gone() -> Error {
    Error::new(Kind::Gone, Side::Downstream, Phase::InBody)
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("key", &self.key).finish_non_exhaustive()
    }
}
