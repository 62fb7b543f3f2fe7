//! Bytes both ways, unread: what a connection becomes after 101 (RFC 9110 §7.8).

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use anygate_core::limits::SMALL_PIECE;
use anygate_core::metrics::Counter;
use anygate_shard::{Bytes, Class, Close, Shard, Wake};

use crate::connection::reader::Reader;
use crate::server::Server;
use crate::testing::{self, Spot};
use crate::upstream::Tunnel;

/// Reading one side stops while this much is queued on the other.
const QUEUED: usize = 256 * 1024;
/// Longest silence of a side whose other side has said its end.
const LAST_WORDS: Duration = Duration::from_secs(30);
/// Reads of one direction before other tasks have their turn.
const BURST: usize = 16;

/// Copies both ways until both sides have said their end, one breaks, or neither says anything for the tunnel's idle
/// timeout. What one said before it ended or broke goes to the other first (RFC 9110 §9.3.6). The upstream's side is closed
/// then; the result tells how to close the client's.
pub async fn run(server: &Server, client: &Rc<RefCell<Reader>>, tunnel: Box<Tunnel>) -> Close {
    let (upstream, idle_timeout) = tunnel.opened();
    let ended = match upstream.reader() {
        Some(reader) => pump(server, client, reader, idle_timeout).await,
        None => Ended::Silent,
    };
    let how = if ended == Ended::Silent { Close::Abort } else { Close::Graceful };
    upstream.close(how);
    how
}

/// How a tunnel ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// One side or both said their end or broke, and what they said before has left, or will with the close.
    Said,
    /// Nobody said anything for too long.
    Silent,
}

async fn pump(at: &Server, client: &RefCell<Reader>, server: &RefCell<Reader>, idle_timeout: Duration) -> Ended {
    let shard = &at.shard;
    // What was read ahead of the client was counted then.
    let mut up = Direction::new(shard, client, server, Counts::Received(&at.cells.bytes_in));
    let mut down = Direction::new(shard, server, client, Counts::Queued(&at.cells.bytes_out));
    let mut silence = shard.deadline(idle_timeout);
    let mut allowed = idle_timeout;
    poll_fn(|cx| {
        testing::reached(at, Spot::Tunnel);
        let mut moved = false;
        for direction in [&mut down, &mut up] {
            match direction.poll(cx, &mut moved) {
                Ok(()) => {}
                // Nobody is left whom the other direction could tell anything, and what was said is queued.
                Err(Broken::From) => return Poll::Ready(Ended::Said),
                // What it said before lies unread in the other direction, up to its end or the news that it broke.
                Err(Broken::To) => direction.state = State::Over,
            }
        }
        if up.is_over() && down.is_over() {
            return Poll::Ready(Ended::Said);
        }
        // A side that is gone is not coming back: the other has a while to say its last words.
        let patience = if up.is_over() || down.is_over() { idle_timeout.min(LAST_WORDS) } else { idle_timeout };
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
    from: &'a RefCell<Reader>,
    to: &'a RefCell<Reader>,
    state: State,
    counts: Counts<'a>,
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
    fn new(shard: &'a Shard, from: &'a RefCell<Reader>, to: &'a RefCell<Reader>, counts: Counts<'a>) -> Self {
        Self { shard, from, to, state: State::Open, counts, behind: 0 }
    }

    fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Moves what there is; `moved` becomes true when something did.
    fn poll(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Result<(), Broken> {
        for _ in 0..BURST {
            let low_water = match self.state {
                State::Open => QUEUED,
                State::Ending => 0,
                State::Over => return Ok(()),
            };
            // Whatever left meanwhile is progress, also of a peer that takes long for the rest.
            let queued = self.to.borrow().wire().queued(self.shard);
            *moved |= queued < std::mem::replace(&mut self.behind, queued);
            match self.to.borrow().wire().poll_sent(self.shard, low_water, Wake::of(cx)) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(_)) => return Err(Broken::To),
                Poll::Ready(Ok(())) => {}
            }
            if self.state == State::Ending {
                self.state = State::Over;
                return Ok(());
            }
            match self.poll_bytes(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => return Err(Broken::From),
                Poll::Ready(Some(bytes)) if bytes.is_empty() => {
                    self.to.borrow().wire().shutdown_write(self.shard);
                    self.state = State::Ending;
                }
                Poll::Ready(Some(bytes)) => {
                    if let Counts::Queued(counter) = self.counts {
                        counter.add(bytes.len() as u64);
                    }
                    // It would keep all of the buffer it came in until the receiver takes what is before it.
                    let lags = self.behind > 0 && bytes.len() < SMALL_PIECE;
                    let bytes = if lags { Bytes::from(bytes.to_vec()) } else { bytes };
                    self.to.borrow().wire().queue(self.shard, bytes);
                }
            }
            *moved = true;
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// What was read ahead, then what comes; no bytes at the end, `None` when the connection broke.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut from = self.from.borrow_mut();
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
