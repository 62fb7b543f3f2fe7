//! The sending half of one HTTP/1.1 connection, towards a client or an upstream: bodies leave at the pace the peer takes them.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use anygate_core::limits::{
    BODY_QUEUED, OWN_SEGMENT_FROM, PIECES_MOST, PIECES_QUEUED, RATE_GRACE, SENDFILE_STEP, SMALL_PIECE,
};
use anygate_proto::h1::chunked;
use anygate_proto::h1::sink::Copied;
use anygate_shard::{Bytes, Class, Deadline, Lease, Shard, Tick, Wake};

use crate::body::{Body, Chunk, FileRange, SpliceSource, Trailers};
use crate::connection::h2::StreamBody;
use crate::connection::reader::Reader;
use crate::error::{Error, Kind, Phase, Side, is_out_of_descriptors};

/// Bytes of a file read at a time: whole records.
const READ_STEP: usize = 64 * 1024;

/// Bytes asked of one splice; a pipe's worth.
const SPLICE_STEP: usize = 256 * 1024;

/// A chunk below this leaves in one piece with its framing.
const SMALL_CHUNK: usize = 1024;

/// Content of a stream below this is waited for until all of it has left.
const OWED_LITTLE: usize = 32 * 1024;

/// How a body is framed as it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Its bytes as they are: so many, or until the connection closes.
    Plain,
    /// Chunked (RFC 9112 §7.1).
    Chunked,
}

/// The sending half. It shares the transport with the receiving half.
#[derive(Debug)]
pub struct Outlet {
    shard: Shard,
    reader: Rc<RefCell<Reader>>,
    side: Side,
    timeout: Duration,
    deadline: Deadline,
    /// Least bytes a second of the time the peer is waited for, once that is 10 s.
    min_rate: Option<u64>,
    /// Bytes of bodies that left, or are queued, and were not asked about yet.
    moved: u64,
    /// How long the peer was waited for since it had taken everything, and what it took while it was.
    waited: Duration,
    taken: u64,
    /// Pieces of bodies queued since the queue was seen empty.
    pieces: u32,
}

/// So little may be queued, in bytes, before a client whose window is less by `owed` is told that it may send more: half of
/// it, so that it sends on while the rest leaves; a little leaves at once.
#[must_use]
pub(crate) fn passed_next(owed: usize) -> usize {
    if owed > OWED_LITTLE { owed / 2 } else { 0 }
}

/// A wait for the peer: since when, and what was queued then.
struct Wait {
    since: Tick,
    queued: usize,
}

impl Outlet {
    /// Sends on the connection `reader` reads from; a peer that takes nothing for `timeout` is given up.
    #[must_use]
    pub fn new(shard: Shard, reader: Rc<RefCell<Reader>>, side: Side, timeout: Duration) -> Self {
        let deadline = shard.deadline_unset();
        let [moved, taken] = [0; 2];
        Self { shard, reader, side, timeout, deadline, min_rate: None, moved, waited: Duration::ZERO, taken, pieces: 0 }
    }

    /// The same for a peer that must take `min_rate` bytes a second of the time it is waited for, once that is 10 s.
    #[must_use]
    pub fn at_least(mut self, min_rate: Option<u64>) -> Self {
        self.min_rate = min_rate;
        self
    }

    /// A new message begins: a peer that has taken everything so far has all its time again.
    pub fn begin(&mut self) {
        if !self.waited.is_zero() && self.queued() == 0 {
            (self.waited, self.taken) = (Duration::ZERO, 0);
        }
    }

    /// Queues bytes; they leave with everything else of this turn.
    pub fn queue(&self, bytes: Bytes) {
        self.reader.borrow().wire().queue(&self.shard, bytes);
    }

    /// Hands the kernel what it takes of the queue, before a cut drops the rest.
    pub fn flush(&self) {
        self.reader.borrow().wire().flush(&self.shard);
    }

    /// Bytes that bodies took on the way, their framing included, since this was last asked.
    pub fn take_moved(&mut self) -> u64 {
        std::mem::take(&mut self.moved)
    }

    /// Bytes queued and not yet taken by the kernel.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.reader.borrow().wire().queued(&self.shard)
    }

    /// Waits until at most `low_water` bytes are queued. Progress renews the peer's time.
    ///
    /// # Errors
    /// The peer takes nothing for too long, or the connection broke.
    pub async fn sent(&mut self, low_water: usize) -> Result<(), Error> {
        if self.queued() <= low_water && low_water > 0 {
            return Ok(());
        }
        let mut wait = None;
        poll_fn(|cx| self.poll_sent(low_water, &mut wait, cx)).await
    }

    fn poll_sent(
        &mut self,
        low_water: usize,
        wait: &mut Option<Wait>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let sent = self.reader.borrow().wire().poll_sent(&self.shard, low_water, Wake::of(cx));
        if let Poll::Ready(Err(error)) = sent {
            return Poll::Ready(Err(Error::from_io(&error, self.side, Phase::InBody)));
        }
        if sent.is_pending() && wait.is_none() {
            *wait = Some(Wait { since: self.shard.now(), queued: self.queued() });
            self.deadline.reset(self.timeout);
        }
        if let Some(wait) = wait {
            let (now, queued) = (self.shard.now(), self.queued());
            if queued < wait.queued {
                self.waited += now - wait.since;
                self.taken += (wait.queued - queued) as u64;
                *wait = Wait { since: now, queued };
                self.deadline.reset(self.timeout);
                self.keep_pace()?;
            }
        }
        if sent.is_pending() {
            return self.poll_patience(cx);
        }
        self.deadline.clear();
        Poll::Ready(Ok(()))
    }

    /// An error once the peer took what it was sent too slowly for too long. What the kernel took before there was a wait
    /// counts too.
    fn keep_pace(&self) -> Result<(), Error> {
        let Some(rate) = self.min_rate else { return Ok(()) };
        if self.waited <= RATE_GRACE {
            return Ok(());
        }
        let taken = self.taken.max(self.moved.saturating_sub(self.queued() as u64));
        if taken < rate.saturating_mul(self.waited.as_secs()) {
            return Err(Error::new(Kind::TakenTooSlowly, self.side, Phase::InBody));
        }
        Ok(())
    }

    /// Sends a whole body.
    ///
    /// # Errors
    /// The body's sender or this connection's peer failed; the error's side tells which.
    pub async fn send_body(&mut self, body: &mut Body, framing: Framing) -> Result<(), Error> {
        loop {
            if framing == Framing::Plain
                && let Some(source) = body.splice_source()
                && self.splice(source, body).await?
            {
                continue;
            }
            match body.chunk().await? {
                Chunk::Bytes(bytes) => self.queue_chunk(bytes, framing),
                Chunk::File(range) => self.send_file(range).await?,
                Chunk::Trailers(trailers) => {
                    self.queue_end(Some(&trailers), framing);
                    return Ok(());
                }
                Chunk::End => {
                    self.queue_end(None, framing);
                    return Ok(());
                }
            }
            if let Body::H2(content) = body {
                self.pass_on(content).await?;
                continue;
            }
            // Many small pieces take more memory than bytes.
            let low_water = if self.pieces > PIECES_MOST { 0 } else { BODY_QUEUED };
            self.sent(low_water).await?;
        }
    }

    /// Waits for the peer to take content of a stream, unless there is a whole piece more of it. What was queued counts
    /// against the stream's window until it has left, and so there is no other limit to it.
    async fn pass_on(&mut self, content: &mut StreamBody) -> Result<(), Error> {
        loop {
            let owed = content.pass_on(self.queued());
            if owed == 0 {
                return Ok(());
            }
            self.sent(passed_next(owed)).await?;
        }
    }

    fn queue_content(&mut self, bytes: Bytes) {
        self.moved += bytes.len() as u64;
        self.queue(bytes);
    }

    fn queue_chunk(&mut self, mut bytes: Bytes, framing: Framing) {
        self.pieces += 1;
        if self.pieces > PIECES_QUEUED && self.queued() == 0 {
            self.pieces = 1;
        }
        // It would keep all of the buffer it came in, which others wait for, until the peer takes what is before it.
        let lags = self.pieces > PIECES_QUEUED && bytes.len() < SMALL_PIECE;
        if framing == Framing::Plain {
            if lags {
                bytes = Bytes::from(bytes.to_vec());
            }
            return self.queue_content(bytes);
        }
        let mut line = [0; chunked::SIZE_LINE];
        if lags || bytes.len() < SMALL_CHUNK {
            let line = chunked::size_line(bytes.len() as u64, &mut line);
            return self.queue_content(Bytes::from([line, &bytes, chunked::CHUNK_END].concat()));
        }
        self.queue_content(Bytes::from(chunked::size_line(bytes.len() as u64, &mut line).to_vec()));
        self.queue_content(bytes);
        self.queue_content(Bytes::from_static(chunked::CHUNK_END));
    }

    fn queue_end(&mut self, trailers: Option<&Trailers>, framing: Framing) {
        match (framing, trailers) {
            (Framing::Plain, _) => {}
            (Framing::Chunked, None) => self.queue_content(Bytes::from_static(chunked::LAST_CHUNK)),
            (Framing::Chunked, Some(trailers)) => {
                let mut out = Vec::new();
                chunked::last_chunk(&trailers.lines, &trailers.fields, &mut Copied::new(&trailers.lines, &mut out));
                self.queue_content(Bytes::from(out));
            }
        }
    }

    /// Sends a file's range by the kernel, where the transport lets it.
    async fn send_file(&mut self, mut range: FileRange) -> Result<(), Error> {
        let Some(socket) = self.reader.borrow().wire().bypass() else { return self.read_file(range).await };
        if self.queued() > 0 {
            self.shard.flush_now(socket, range.len < OWN_SEGMENT_FROM);
        }
        let mut warm = 0;
        while range.len > 0 {
            if warm == 0 {
                warm = range.len.min(SENDFILE_STEP as u64);
                self.warm(&range, warm).await;
            }
            let step = usize::try_from(warm).unwrap_or(SENDFILE_STEP);
            self.deadline.reset(self.timeout);
            let mut since = None;
            let sent =
                poll_fn(|cx| match self.shard.poll_sendfile(socket, &range.file, range.offset, step, Wake::of(cx)) {
                    Poll::Ready(sent) => {
                        Poll::Ready(sent.map_err(|error| Error::from_io(&error, self.side, Phase::InBody)))
                    }
                    Poll::Pending => {
                        since.get_or_insert_with(|| self.shard.now());
                        self.poll_patience(cx)
                    }
                })
                .await?;
            if sent == 0 {
                // The file became shorter than announced: only a cut tells the client.
                return Err(Error::new(Kind::Internal, Side::Internal, Phase::InBody));
            }
            self.moved += sent as u64;
            if let Some(since) = since {
                self.took(sent, since)?;
            }
            range.offset += sent as u64;
            range.len -= (sent as u64).min(range.len);
            warm -= (sent as u64).min(warm);
        }
        self.deadline.clear();
        Ok(())
    }

    /// Sends a file's range through memory.
    async fn read_file(&mut self, mut range: FileRange) -> Result<(), Error> {
        let shortened = || Error::new(Kind::Internal, Side::Internal, Phase::InBody);
        let mut warm = 0;
        while range.len > 0 {
            if warm == 0 {
                warm = range.len.min(SENDFILE_STEP as u64);
                self.warm(&range, warm).await;
            }
            let mut lease = self.shard.try_lease(Class::Bulk).unwrap_or_else(|| Lease::with_capacity(READ_STEP));
            let step = usize::try_from(warm).unwrap_or(READ_STEP).min(lease.spare()).min(READ_STEP);
            let read = lease.write_with(|room| range.file.read_at(&mut room[..step], range.offset).unwrap_or(0));
            if read == 0 {
                // The file became shorter than announced: only a cut tells the client.
                return Err(shortened());
            }
            range.offset += read as u64;
            range.len -= (read as u64).min(range.len);
            warm -= (read as u64).min(warm);
            self.queue_content(lease.freeze());
            self.sent(BODY_QUEUED).await?;
        }
        Ok(())
    }

    /// The peer took so many bytes that it was waited for since then.
    fn took(&mut self, bytes: usize, since: Tick) -> Result<(), Error> {
        self.waited += self.shard.now() - since;
        self.taken += bytes as u64;
        self.keep_pace()
    }

    /// Brings a range of a file into memory, on the pool, so that the shard waits for no disk. A file that does not tell
    /// what of it is there is taken to be.
    async fn warm(&self, range: &FileRange, len: u64) {
        if !range.file.is_in_memory(range.offset, len).unwrap_or(true) {
            let (file, offset) = (range.file.clone(), range.offset);
            // Whatever goes wrong here, sending meets it again.
            let _ = self.shard.blocking(move || file.load(offset, len)).await;
        }
    }

    /// Moves the rest of a body from socket to socket within the kernel; false when this transport cannot, or when there is no
    /// descriptor for a pipe just now: then what comes next is copied.
    async fn splice(&mut self, source: SpliceSource, body: &mut Body) -> Result<bool, Error> {
        let Some(to) = self.reader.borrow().wire().bypass() else { return Ok(false) };
        self.sent(0).await?;
        let mut left = source.len;
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(SPLICE_STEP).min(SPLICE_STEP);
            let mut waits: Option<(Side, Tick)> = None;
            let mut source_waited = Duration::ZERO;
            let mut lacks_pipe = false;
            let moved = poll_fn(|cx| {
                let moved = self.shard.poll_splice(source.socket, to, step, Wake::of(cx));
                lacks_pipe = matches!(&moved, Poll::Ready(Err(error)) if is_out_of_descriptors(error));
                // What lies in the pipe waits for its receiver; an empty pipe waits for the sender.
                let (side, timeout) = match self.shard.in_pipe(source.socket) {
                    0 => (source.side, source.timeout),
                    _ => (self.side, self.timeout),
                };
                if moved.is_ready() || waits.is_none_or(|(waited_for, _)| waited_for != side) {
                    let now = self.shard.now();
                    match waits.take() {
                        Some((waited_for, since)) if waited_for == source.side => source_waited += now - since,
                        Some((_, since)) => self.waited += now - since,
                        None => {}
                    }
                    if moved.is_pending() {
                        waits = Some((side, now));
                        self.deadline.reset(timeout);
                    }
                }
                match moved {
                    Poll::Ready(moved) => {
                        Poll::Ready(moved.map_err(|error| Error::from_io(&error, side, Phase::InBody)))
                    }
                    // A client that left while its server is silent takes the server's work along.
                    Poll::Pending if side != self.side && self.is_left(cx) => {
                        Poll::Ready(Err(Error::new(Kind::Gone, Side::Downstream, Phase::InBody)))
                    }
                    Poll::Pending => self.poll_patience_with(side, cx),
                }
            })
            .await;
            if lacks_pipe {
                self.deadline.clear();
                return Ok(false);
            }
            let moved = moved?;
            if moved == 0 {
                return Err(Error::new(Kind::Truncated, source.side, Phase::InBody));
            }
            self.moved += moved as u64;
            self.taken += moved as u64;
            left -= (moved as u64).min(left);
            body.spliced(moved as u64, source_waited)?;
            self.keep_pace()?;
        }
        self.deadline.clear();
        Ok(true)
    }

    /// Whether this is a client's connection, and the client has left.
    fn is_left(&self, cx: &mut Context<'_>) -> bool {
        self.side == Side::Downstream && self.reader.borrow_mut().poll_gone(cx).is_ready()
    }

    fn poll_patience<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        self.poll_patience_with(self.side, cx)
    }

    /// Nothing yet, or the timeout of the one who was waited for.
    fn poll_patience_with<T>(&mut self, side: Side, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let late = if side == self.side && side == Side::Downstream { Kind::NotTaken } else { Kind::Timeout };
        self.deadline.poll_expired(cx).map(|()| Err(Error::new(late, side, Phase::InBody)))
    }
}
