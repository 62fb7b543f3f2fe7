//! The receiving half of one HTTP/1.1 connection, towards a client or an upstream: heads out of a byte stream, bodies out of
//! what follows, and never a byte of the next message in this one.

use std::mem;
use std::task::{Context, Poll};
use std::time::Duration;

use anygate_core::limits::RATE_GRACE;
use anygate_proto::h1::{chunked, write};
use anygate_proto::head::BodyLength;
use anygate_shard::{Bytes, Class, Deadline, Lease, Shard, Tick, Wake};

use crate::body::{Chunk, SpliceSource, Trailers};
use crate::error::{Error, Kind, Phase, Side};
use crate::wire::Wire;

/// Bytes of later requests that are read while an answer is awaited, to see whether its client still waits.
const READ_AHEAD: usize = 16 * 1024;

/// The receiving half of a connection.
#[derive(Debug)]
pub struct Reader {
    shard: Shard,
    wire: Wire,
    side: Side,
    held: Held,
    ended: bool,
    framing: Framing,
    /// The last body was long, and most of it was moved within the kernel.
    was_long: bool,
    /// What is awaited from the peer before the body's first byte.
    expect: bool,
    received: u64,
    /// Bytes of the stream that were not asked about yet.
    arrived: u64,
    /// How long this body's sender was waited for, the wait that goes on aside.
    waited: Duration,
    /// Since when it is waited for.
    waits: Option<Tick>,
    pace: Pace,
    deadline: Deadline,
    armed: bool,
}

/// Bytes that were read and not used yet.
#[derive(Debug)]
enum Held {
    /// As they came, in the arena's buffer.
    Lent(Bytes),
    /// A head that is not complete yet, out of the arena so that a slow peer holds no lease.
    Growing(Vec<u8>),
}

/// Where in the message the stream stands.
#[derive(Debug)]
enum Framing {
    /// Between messages, or the body was read to its end.
    Done,
    /// So many bytes are due.
    Length(u64),
    /// RFC 9112 §7.1.
    Chunked(chunked::Decoder),
    /// Until the peer closes; only a response may.
    UntilClose,
    /// The end could not be found: the connection is of no more use.
    Failed(Error),
}

/// How fast, and how much.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Longest wait between two reads.
    pub timeout: Duration,
    /// Least bytes a second of the time its sender is waited for, once that is 10 s.
    pub min_rate: Option<u64>,
    /// Most bytes of a body.
    pub max_body: Option<u64>,
}

impl Pace {
    /// Only a timeout between reads.
    #[must_use]
    pub fn timeout(timeout: Duration) -> Self {
        Self { timeout, min_rate: None, max_body: None }
    }
}

impl Reader {
    /// Reads from `wire`, whose other end is `side`; `held` was read already.
    #[must_use]
    pub fn new(shard: Shard, wire: Wire, side: Side, held: Bytes) -> Self {
        let deadline = shard.deadline_unset();
        Self {
            shard,
            wire,
            side,
            held: Held::Lent(held),
            ended: false,
            framing: Framing::Done,
            was_long: false,
            expect: false,
            received: 0,
            arrived: 0,
            waited: Duration::ZERO,
            waits: None,
            pace: Pace::timeout(Duration::from_secs(30)),
            deadline,
            armed: false,
        }
    }

    /// The transport.
    #[must_use]
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Bytes that arrived here since this was last asked.
    pub fn take_arrived(&mut self) -> u64 {
        mem::take(&mut self.arrived)
    }

    /// Gives the transport and what was read ahead back.
    #[must_use]
    pub fn into_parts(self) -> (Wire, Bytes) {
        let held = match self.held {
            Held::Lent(bytes) => bytes,
            Held::Growing(bytes) => Bytes::from(bytes),
        };
        (self.wire, held)
    }

    // ---- heads ------------------------------------------------------------------------------------------------------

    /// What was read and not used.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        match &self.held {
            Held::Lent(bytes) => bytes,
            Held::Growing(bytes) => bytes,
        }
    }

    /// Uses the first `n` bytes of [`Reader::held`].
    pub fn take(&mut self, n: usize) -> Bytes {
        if let Held::Growing(bytes) = &mut self.held {
            self.held = Held::Lent(Bytes::from(mem::take(bytes)));
        }
        match &mut self.held {
            // Nothing is kept: an empty rest would keep the buffer.
            Held::Lent(bytes) if n == bytes.len() => mem::take(bytes),
            Held::Lent(bytes) => bytes.split_to(n),
            Held::Growing(_) => Bytes::empty(),
        }
    }

    /// Reads more behind what is held; false at the end of the stream. The wait is the caller's to limit.
    ///
    /// # Errors
    /// The socket failed.
    pub fn poll_more(&mut self, wake: Wake) -> Poll<Result<bool, Error>> {
        if self.ended {
            return Poll::Ready(Ok(false));
        }
        if let Held::Lent(bytes) = &self.held
            && !bytes.is_empty()
        {
            self.held = Held::Growing(bytes.to_vec());
        }
        let Poll::Ready(lease) = self.wire.poll_recv(&self.shard, self.head_buffer(), wake) else {
            return Poll::Pending;
        };
        let lease = lease.map_err(|error| self.fail(Error::from_io(&error, self.side, Phase::BeforeHead)))?;
        if lease.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(false));
        }
        self.arrived += lease.len() as u64;
        match &mut self.held {
            Held::Growing(bytes) if !bytes.is_empty() => bytes.extend_from_slice(lease.filled()),
            held => *held = Held::Lent(lease.freeze()),
        }
        Poll::Ready(Ok(true))
    }

    /// The buffer the next head is read into. Most answers of servers behind come whole in one of the larger kind, and most
    /// requests are small; but who sent a long answer last will send another, and what of it comes with its head is copied.
    #[must_use]
    pub fn head_buffer(&self) -> Class {
        if self.side == Side::Upstream && !self.was_long { Class::Tls } else { Class::Head }
    }

    /// The peer's time for its next head begins; none: it has all the time there is.
    pub fn expect_head(&mut self, patience: Option<Duration>) {
        match patience {
            Some(patience) => self.deadline.reset(patience),
            None => self.deadline.clear(),
        }
    }

    /// Ready when that time is over.
    pub fn poll_late(&mut self, wake: Wake) -> Poll<()> {
        self.deadline.poll_expired_wake(wake)
    }

    /// Ready when the peer is gone: its stream ended or broke while nothing more of it was awaited. A client that merely
    /// closes its sending half cannot be told from one that left. What comes instead, the next requests, is kept, out of
    /// the arena; behind 16 KiB of them the end goes unnoticed.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.body_done() {
            return Poll::Pending;
        }
        while self.held().len() < READ_AHEAD {
            match self.poll_more(Wake::of(cx)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(true)) => {
                    if let Held::Lent(bytes) = &self.held {
                        self.held = Held::Growing(bytes.to_vec());
                    }
                }
                Poll::Ready(Ok(false) | Err(_)) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    // ---- bodies -----------------------------------------------------------------------------------------------------

    /// A head was used; its body follows. `expect` sends `100 Continue` with the first pull.
    pub fn begin_body(&mut self, length: BodyLength, pace: Pace, expect: bool) {
        self.framing = match length {
            BodyLength::None | BodyLength::Length(0) => Framing::Done,
            BodyLength::Length(n) => Framing::Length(n),
            BodyLength::Chunked => Framing::Chunked(chunked::Decoder::new()),
            BodyLength::UntilClose => Framing::UntilClose,
        };
        self.was_long = false;
        self.expect = expect && !self.body_done();
        self.received = 0;
        (self.waited, self.waits) = (Duration::ZERO, None);
        self.pace = pace;
        self.armed = false;
    }

    /// True between messages: the body was read to its clean end.
    #[must_use]
    pub fn body_done(&self) -> bool {
        matches!(self.framing, Framing::Done)
    }

    /// True when `100 Continue` is still awaited: the body was not asked for.
    #[must_use]
    pub fn awaits_continue(&self) -> bool {
        self.expect
    }

    /// True when the body's end cannot be found any more.
    #[must_use]
    pub fn failed(&self) -> bool {
        matches!(self.framing, Framing::Failed(_))
    }

    /// True after the end of the stream.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Bytes of the body still due, where that is known.
    #[must_use]
    pub fn body_left(&self) -> Option<u64> {
        match self.framing {
            Framing::Done => Some(0),
            Framing::Length(n) => Some(n),
            _ => None,
        }
    }

    /// The next piece of the body.
    ///
    /// # Errors
    /// The body is malformed, too long, too slow or truncated, or the socket failed; every later call says the same.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Chunk, Error>> {
        loop {
            if let Some(chunk) = self.decode()? {
                self.armed = false;
                // A body that came without being asked for is not asked for any more (RFC 9110 §10.1.1).
                self.expect = false;
                return Poll::Ready(Ok(chunk));
            }
            if mem::take(&mut self.expect) && self.held().is_empty() {
                self.wire.queue(&self.shard, Bytes::from_static(write::CONTINUE));
            }
            let want = match self.framing {
                Framing::Length(left) if left <= 4096 => Class::Head,
                _ => Class::Bulk,
            };
            match self.wire.poll_recv(&self.shard, want, Wake::of(cx)) {
                Poll::Ready(Ok(lease)) => self.arrived(lease)?,
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(self.fail(Error::from_io(&error, self.side, Phase::InBody))));
                }
                Poll::Pending => return self.poll_patience(cx),
            }
        }
    }

    /// Decodes what is held: a chunk, the end, or nothing yet.
    fn decode(&mut self) -> Result<Option<Chunk>, Error> {
        let available = self.held().len();
        match &mut self.framing {
            Framing::Done => Ok(Some(Chunk::End)),
            Framing::Failed(error) => Err(*error),
            _ if available == 0 && !self.ended => Ok(None),
            Framing::Length(left) => {
                let n = available.min(usize::try_from(*left).unwrap_or(usize::MAX));
                if n == 0 {
                    return Err(self.fail(Error::new(Kind::Truncated, self.side, Phase::InBody)));
                }
                *left -= n as u64;
                if *left == 0 {
                    self.framing = Framing::Done;
                }
                self.count(n)?;
                Ok(Some(Chunk::Bytes(self.take(n))))
            }
            Framing::UntilClose if available == 0 => {
                self.framing = Framing::Done;
                Ok(Some(Chunk::End))
            }
            Framing::UntilClose => {
                self.count(available)?;
                Ok(Some(Chunk::Bytes(self.take(available))))
            }
            Framing::Chunked(_) => self.decode_chunked(),
        }
    }

    fn decode_chunked(&mut self) -> Result<Option<Chunk>, Error> {
        let Framing::Chunked(decoder) = &mut self.framing else { return Ok(Some(Chunk::End)) };
        let held = match &self.held {
            Held::Lent(bytes) => &bytes[..],
            Held::Growing(bytes) => &bytes[..],
        };
        let len = held.len();
        match decoder.decode(held) {
            Ok(chunked::Step::Data(range)) => {
                let mut data = self.take(range.end);
                data.split_to(range.start).clear();
                self.count(data.len())?;
                Ok(Some(Chunk::Bytes(data)))
            }
            Ok(chunked::Step::End(consumed)) => {
                let (lines, fields) = decoder.trailers();
                let trailers = if fields.is_empty() { None } else { Some((lines.to_vec(), fields.clone())) };
                self.framing = Framing::Done;
                self.take(consumed);
                Ok(Some(match trailers {
                    None => Chunk::End,
                    Some((lines, fields)) => Chunk::Trailers(Box::new(Trailers { lines, fields })),
                }))
            }
            Ok(chunked::Step::NeedMore) => {
                self.take(len);
                if self.ended {
                    return Err(self.fail(Error::new(Kind::Truncated, self.side, Phase::InBody)));
                }
                Ok(None)
            }
            Err(_) => Err(self.fail(Error::new(Kind::Malformed { status: 400 }, self.side, Phase::InBody))),
        }
    }

    fn arrived(&mut self, lease: Lease) -> Result<(), Error> {
        if let Some(since) = self.waits.take() {
            self.waited += self.shard.now() - since;
        }
        if lease.is_empty() {
            self.ended = true;
            return Ok(());
        }
        self.arrived += lease.len() as u64;
        if self.held().is_empty() {
            self.held = Held::Lent(lease.freeze());
        } else {
            let mut joined = self.held().to_vec();
            joined.extend_from_slice(lease.filled());
            self.held = Held::Lent(Bytes::from(joined));
        }
        Ok(())
    }

    fn count(&mut self, n: usize) -> Result<(), Error> {
        self.received += n as u64;
        if self.pace.max_body.is_some_and(|max| self.received > max) {
            return Err(self.fail(Error::new(Kind::TooLarge, self.side, Phase::AfterHead)));
        }
        Ok(())
    }

    /// Waits for the peer, but not for ever and not at any pace.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Result<Chunk, Error>> {
        if !mem::replace(&mut self.armed, true) {
            self.deadline.reset(self.pace.timeout);
        }
        if self.deadline.poll_expired(cx).is_ready() {
            return Poll::Ready(Err(self.fail(Error::new(Kind::Timeout, self.side, Phase::InBody))));
        }
        let since = *self.waits.get_or_insert_with(|| self.shard.now());
        self.keep_pace(since)?;
        Poll::Pending
    }

    /// An error once the body came too slowly for too long; its sender is waited for since `since`. The time that others
    /// took, such as a server behind that takes the body slowly, is not the sender's.
    fn keep_pace(&mut self, since: Tick) -> Result<(), Error> {
        let Some(rate) = self.pace.min_rate else { return Ok(()) };
        let spent = self.waited + (self.shard.now() - since);
        if spent > RATE_GRACE && self.received < rate.saturating_mul(spent.as_secs()) {
            return Err(self.fail(Error::new(Kind::TooSlow, self.side, Phase::InBody)));
        }
        Ok(())
    }

    fn fail(&mut self, error: Error) -> Error {
        self.framing = Framing::Failed(error);
        error
    }

    // ---- bypass -----------------------------------------------------------------------------------------------------

    /// Where the rest of the body can be spliced from: a known length, nothing held, a plain socket,
    /// and the peer is not waiting to be asked for it.
    #[must_use]
    pub fn splice_source(&self) -> Option<SpliceSource> {
        match self.framing {
            Framing::Length(len) if self.held().is_empty() && !self.ended && !self.expect => {
                Some(SpliceSource { socket: self.wire.bypass()?, len, side: self.side, timeout: self.pace.timeout })
            }
            _ => None,
        }
    }

    /// True when bytes of the body were taken off the stream and have not gone past us: they lie in the pipe of a splice, and
    /// are due still. Where that splice ended nothing that follows may be taken for them, so the connection ends.
    #[must_use]
    pub fn is_in_pipe(&self) -> bool {
        self.wire.bypass().is_some_and(|socket| self.shard.in_pipe(socket) > 0)
    }

    /// `n` bytes of the body went past us, for which the sender was `waited` for.
    ///
    /// # Errors
    /// They came too slowly.
    pub fn spliced(&mut self, n: u64, waited: Duration) -> Result<(), Error> {
        if let Framing::Length(left) = &mut self.framing {
            *left = left.saturating_sub(n);
            if *left == 0 {
                self.framing = Framing::Done;
            }
        }
        self.was_long = true;
        self.received += n;
        self.arrived += n;
        self.waited += waited;
        if self.body_done() { Ok(()) } else { self.keep_pace(self.shard.now()) }
    }
}
