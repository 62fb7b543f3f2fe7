//! Bytes both ways, unread: what a connection becomes after 101 (RFC 9110 §7.8).

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use anygate_core::limits::{BODY_QUEUED, SMALL_PIECE};
use anygate_core::metrics::Counter;
use anygate_shard::{Bytes, Class, Close, Shard, Wake};

use crate::connection::h2::Stream;
use crate::connection::outlet::passed_next;
use crate::connection::reader::Reader;
use crate::server::Server;
use crate::testing::{self, Spot};
use crate::upstream::Tunnel;

/// Reading one side stops while this much is queued on the other, where that is a connection.
const QUEUED: usize = 256 * 1024;
/// Longest silence of a side whose other side has said its end.
const LAST_WORDS: Duration = Duration::from_secs(30);
/// Reads of one direction before other tasks have their turn.
const BURST: usize = 16;

/// A side of a tunnel.
#[derive(Debug)]
pub enum End {
    /// A connection of HTTP/1.1.
    H1(Rc<RefCell<Reader>>),
    /// A stream of HTTP/2.
    H2(Rc<Stream>),
}

/// Copies both ways until both sides have said their end, one breaks, or neither says anything for the tunnel's idle
/// timeout. What one said before it ended or broke goes to the other first (RFC 9110 §9.3.6). The upstream's side is closed
/// then; the result tells how to close the client's. Of a stream and its server each is broken off where the other broke, as
/// an end would be another word of its (RFC 8441 §5).
pub async fn run(server: &Server, client: &End, tunnel: Box<Tunnel>) -> Close {
    let (upstream, idle_timeout) = tunnel.opened();
    let ended = match upstream.reader() {
        Some(reader) => pump(server, client, &End::H1(Rc::clone(reader)), idle_timeout).await,
        None => Ended::Silent,
    };
    let how = if ended == Ended::Said { Close::Graceful } else { Close::Abort };
    upstream.close(how);
    how
}

/// How a tunnel ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// One side or both said their end or broke, and what they said before has left, or will with the close.
    Said,
    /// One side of a stream's tunnel broke, and what it said before has left.
    Broken,
    /// Nobody said anything for too long.
    Silent,
}

async fn pump(at: &Server, client: &End, server: &End, idle_timeout: Duration) -> Ended {
    let shard = &at.shard;
    // What was read ahead of the client was counted then.
    let tells = matches!(client, End::H2(_));
    let mut up = Direction::new(shard, client, server, Counts::Received(&at.cells.bytes_in), tells);
    let mut down = Direction::new(shard, server, client, Counts::Queued(&at.cells.bytes_out), tells);
    let mut silence = shard.deadline(idle_timeout);
    let mut allowed = idle_timeout;
    poll_fn(|cx| {
        testing::reached(at, Spot::Tunnel);
        let mut moved = false;
        for direction in [&mut down, &mut up] {
            match direction.poll(cx, &mut moved) {
                Ok(()) => {}
                // Nobody is left whom the other direction could tell anything, and what was said is queued.
                Err(Broken::From) => return Poll::Ready(if tells { Ended::Broken } else { Ended::Said }),
                // What it said before lies unread in the other direction, up to its end or the news that it broke.
                Err(Broken::To) => direction.state = State::Over,
            }
        }
        if up.is_over() && down.is_over() {
            return Poll::Ready(Ended::Said);
        }
        // A side that is gone is not coming back: the other has a while to say its last words.
        let lasts = up.is_lasting() && down.is_lasting();
        let patience = if lasts { idle_timeout } else { idle_timeout.min(LAST_WORDS) };
        if moved || std::mem::replace(&mut allowed, patience) != patience {
            silence.reset(patience);
        }
        silence.poll_expired(cx).map(|()| Ended::Silent)
    })
    .await
}

/// One direction.
struct Direction<'a> {
    shard: &'a Shard,
    from: &'a End,
    to: &'a End,
    state: State,
    counts: Counts<'a>,
    /// Where it breaks, what was said before is to leave first.
    tells: bool,
    /// What was queued when it was last looked.
    behind: usize,
}

/// Which bytes of a direction are counted, and where.
#[derive(Clone, Copy)]
enum Counts<'a> {
    Received(&'a Counter),
    Queued(&'a Counter),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Bytes come.
    Open,
    /// The end was read; what is queued is on its way, the end behind it.
    Ending,
    /// It broke where bytes come from; what is queued is on its way.
    Breaking,
    /// All of it has left.
    Over,
}

/// Which side of a direction broke.
enum Broken {
    /// It says nothing more.
    From,
    /// It takes nothing more.
    To,
}

impl<'a> Direction<'a> {
    fn new(shard: &'a Shard, from: &'a End, to: &'a End, counts: Counts<'a>, tells: bool) -> Self {
        Self { shard, from, to, state: State::Open, counts, tells, behind: 0 }
    }

    fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// False once one of its sides is gone.
    fn is_lasting(&self) -> bool {
        !matches!(self.state, State::Breaking | State::Over)
    }

    /// Moves what there is; `moved` becomes true when something did.
    fn poll(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Result<(), Broken> {
        for _ in 0..BURST {
            let low_water = match self.state {
                // The stream's window is the limit.
                State::Open if matches!(self.from, End::H2(_)) => usize::MAX,
                State::Open => self.to.queued_most(),
                State::Ending | State::Breaking => 0,
                State::Over => return Ok(()),
            };
            // Whatever left meanwhile is progress, also of a peer that takes long for the rest.
            let queued = self.to.queued(self.shard);
            *moved |= queued < std::mem::replace(&mut self.behind, queued);
            match self.to.poll_sent(self.shard, low_water, cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(false) => return Err(Broken::To),
                Poll::Ready(true) => {}
            }
            match self.state {
                State::Ending => {
                    self.state = State::Over;
                    return Ok(());
                }
                State::Breaking => return Err(Broken::From),
                State::Open | State::Over => {}
            }
            if let End::H2(stream) = self.from
                && !self.pass_on(stream, cx)?
            {
                return Ok(());
            }
            match self.poll_bytes(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) if self.tells => self.state = State::Breaking,
                Poll::Ready(None) => return Err(Broken::From),
                Poll::Ready(Some(bytes)) if bytes.is_empty() => {
                    self.to.shutdown_write(self.shard);
                    self.state = State::Ending;
                }
                Poll::Ready(Some(bytes)) => {
                    // What leaves by a stream is counted when its connection gives it away.
                    if let (Counts::Queued(counter), End::H1(_)) = (self.counts, self.to) {
                        counter.add(bytes.len() as u64);
                    }
                    // It would keep all of the buffer it came in until the receiver takes what is before it.
                    let lags = self.behind > 0 && bytes.len() < SMALL_PIECE;
                    let bytes = if lags { Bytes::from(bytes.to_vec()) } else { bytes };
                    self.to.queue(self.shard, bytes);
                }
            }
            *moved = true;
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Lets a stream's client send as much again as the other side has taken; false while that is waited for before the next
    /// piece is taken. What was queued counts against the stream's window until then.
    fn pass_on(&self, stream: &Stream, cx: &mut Context<'_>) -> Result<bool, Broken> {
        loop {
            let owed = stream.pass_on(self.to.queued(self.shard));
            if owed == 0 || stream.has_piece() {
                return Ok(true);
            }
            match self.to.poll_sent(self.shard, passed_next(owed), cx) {
                // Who left is not waited for.
                Poll::Pending => return Ok(stream.poll_gone(cx).is_ready()),
                Poll::Ready(false) => return Err(Broken::To),
                Poll::Ready(true) => {}
            }
        }
    }

    /// What was read ahead, then what comes; no bytes at the end, `None` when the connection broke.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut from = match self.from {
            End::H1(reader) => reader.borrow_mut(),
            // What comes by a stream was counted when its connection took it in.
            End::H2(stream) => return stream.poll_bytes(cx),
        };
        let held = from.held().len();
        if held > 0 || from.ended() {
            return Poll::Ready(Some(from.take(held)));
        }
        match from.wire().poll_recv(self.shard, Class::Bulk, Wake::of(cx)) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(lease)) if lease.is_empty() => Poll::Ready(Some(Bytes::empty())),
            Poll::Ready(Ok(lease)) => {
                if let Counts::Received(counter) = self.counts {
                    counter.add(lease.len() as u64);
                }
                Poll::Ready(Some(lease.freeze()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(None),
        }
    }
}

impl End {
    /// Reading the other side stops while more than this is queued here. A client has one connection, but many streams.
    fn queued_most(&self) -> usize {
        match self {
            Self::H1(_) => QUEUED,
            Self::H2(_) => BODY_QUEUED,
        }
    }

    fn queued(&self, shard: &Shard) -> usize {
        match self {
            Self::H1(reader) => reader.borrow().wire().queued(shard),
            Self::H2(stream) => stream.queued(),
        }
    }

    /// Ready when at most `low_water` bytes are queued: whether it can take more.
    fn poll_sent(&self, shard: &Shard, low_water: usize, cx: &mut Context<'_>) -> Poll<bool> {
        match self {
            Self::H1(reader) => {
                reader.borrow().wire().poll_sent(shard, low_water, Wake::of(cx)).map(|sent| sent.is_ok())
            }
            Self::H2(stream) => stream.poll_sent(low_water, cx).map(|sent| sent.is_ok()),
        }
    }

    fn queue(&self, shard: &Shard, bytes: Bytes) {
        match self {
            Self::H1(reader) => reader.borrow().wire().queue(shard, bytes),
            Self::H2(stream) => stream.queue(bytes),
        }
    }

    fn shutdown_write(&self, shard: &Shard) {
        match self {
            Self::H1(reader) => reader.borrow().wire().shutdown_write(shard),
            Self::H2(stream) => stream.finish(),
        }
    }
}
