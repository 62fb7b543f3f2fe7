//! One client's TLS session over a socket: the handshake, content out of records, and content into records.
//!
//! Whoever reads sees content alone; the handshake goes on inside of reading. What is queued in a turn is sealed at its end,
//! so that a head and a small body share a record.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anygate_proto::tls::challenge::PROTOCOL;
use anygate_proto::tls::records::{AHEAD, RECORD_CONTENT, Records, sealed_len};
use anygate_proto::tls::{Fault, Hello, hello};
use anygate_shard::{Bytes, Class, Close, Lease, Shard, SocketId, Tick, Wake};
use rustls::ServerConfig;

use super::{Sessions, TlsInfo, counter};

/// Content of a record while the client cannot be taking much at a time yet: it can use a record only when it has all of it.
const FIRST_RECORDS: usize = 4 << 10;
/// Content that leaves in such records.
const FIRST_CONTENT: usize = 64 << 10;
/// A connection that said nothing for this long begins anew with them.
const FIRST_AGAIN: Duration = Duration::from_secs(1);
/// Content below this is put together with what follows; longer pieces are sealed where they lie.
const GATHERED: usize = 4 << 10;

/// One client's session.
#[derive(Debug)]
pub struct Session {
    socket: SocketId,
    sessions: Rc<Sessions>,
    inner: RefCell<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Content that was not read yet.
    ready: VecDeque<Lease>,
    /// Content that is not sealed yet, and its length.
    content: VecDeque<Bytes>,
    content_len: usize,
    /// True while it stands in the list of those who have some.
    listed: bool,
    /// Content sealed since the client was last at rest, and when the last of it was.
    sealed: usize,
    sealed_at: Tick,
    /// The stream is at its end.
    ended: bool,
    /// It ended without the client's word for it.
    cut: bool,
    info: Option<Rc<TlsInfo>>,
}

#[derive(Debug)]
enum State {
    /// A hello comes.
    Greeting(Box<Greeting>),
    /// It was answered.
    Open(Box<Records>),
    /// It ended before its time.
    Broken(Fault),
}

#[derive(Debug)]
struct Greeting {
    config: Arc<ServerConfig>,
    input: Vec<u8>,
    /// The hello is whole, and asks for this name.
    whole: Option<Option<Box<str>>>,
}

impl Session {
    /// A session that begins.
    #[must_use]
    pub fn new(sessions: &Rc<Sessions>, socket: SocketId, config: &Arc<ServerConfig>) -> Rc<Self> {
        let greeting = Greeting { config: Arc::clone(config), input: Vec::new(), whole: None };
        let inner = Inner {
            state: State::Greeting(Box::new(greeting)),
            ready: VecDeque::new(),
            content: VecDeque::new(),
            content_len: 0,
            listed: false,
            sealed: 0,
            sealed_at: Tick::ZERO,
            ended: false,
            cut: false,
            info: None,
        };
        Rc::new(Self { socket, sessions: Rc::clone(sessions), inner: RefCell::new(inner) })
    }

    /// The socket below.
    #[must_use]
    pub fn socket(&self) -> SocketId {
        self.socket
    }

    /// What is known of the client, once the handshake has ended or early data came.
    #[must_use]
    pub fn info(&self) -> Option<Rc<TlsInfo>> {
        self.inner.borrow().info.clone()
    }

    /// True while what came is early data.
    #[must_use]
    pub fn is_early(&self) -> bool {
        self.inner.borrow().info.as_ref().is_some_and(|info| info.early_data)
    }

    /// True until the handshake has ended, whether or not early data came.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.inner.borrow().is_handshaking()
    }

    /// Why it ended before its time, if it did.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self.inner.borrow().state {
            State::Broken(fault) => Some(fault),
            _ => None,
        }
    }

    /// Content; an empty lease is the end that the client declared.
    ///
    /// # Errors
    /// What the socket reports; `InvalidData` for what is no TLS, with [`Session::fault`]; `UnexpectedEof` where the stream
    /// ends without the client's word for it (RFC 8446 §6.1).
    pub fn poll_recv(&self, want: Class, wake: Wake) -> Poll<io::Result<Lease>> {
        let inner = &mut *self.inner.borrow_mut();
        let shard = &self.sessions.shard;
        loop {
            if let Some(lease) = inner.ready.pop_front() {
                return Poll::Ready(Ok(lease));
            }
            if inner.ended {
                return Poll::Ready(Ok(Lease::with_capacity(0)));
            }
            match &mut inner.state {
                State::Broken(_) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                State::Greeting(greeting) if greeting.whole.is_some() => {
                    if !self.sessions.admit(wake) {
                        return Poll::Pending;
                    }
                    self.answer(inner);
                    continue;
                }
                _ => {}
            }
            let room = if want == Class::Bulk { want } else { Class::Tls };
            let Poll::Ready(received) = shard.poll_recv(self.socket, room, wake) else { return Poll::Pending };
            let lease = received?;
            if lease.is_empty() {
                // Who comes and goes without a hello, or without ending it, has cut nothing off.
                if inner.info.is_some() && !std::mem::replace(&mut inner.cut, true) {
                    self.sessions.cells.tls_truncated.add(1);
                }
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.arrived(inner, lease);
        }
    }

    /// More of the stream came.
    fn arrived(&self, inner: &mut Inner, mut lease: Lease) {
        match &mut inner.state {
            State::Greeting(greeting) => {
                greeting.input.extend_from_slice(lease.filled());
                match hello::read(&greeting.input) {
                    Ok(Hello::Partial) => {}
                    Ok(Hello::Whole { server_name }) => greeting.whole = Some(server_name),
                    Err(fault) => self.break_off(inner, fault),
                }
            }
            State::Open(_) => self.feed(inner, lease.filled_mut()),
            State::Broken(_) => {}
        }
    }

    /// Answers a hello that is whole.
    fn answer(&self, inner: &mut Inner) {
        let State::Greeting(greeting) = &mut inner.state else { return };
        let mut input = std::mem::take(&mut greeting.input);
        let server_name = greeting.whole.take().flatten();
        let challenge = self.sessions.challenge(&input);
        match Records::new(challenge.as_ref().unwrap_or(&greeting.config)) {
            Ok(records) => {
                inner.state = State::Open(Box::new(records.named(server_name)));
                self.feed(inner, &mut input);
            }
            Err(fault) => self.break_off(inner, fault),
        }
    }

    fn feed(&self, inner: &mut Inner, input: &mut [u8]) {
        let was_handshaking = inner.is_handshaking();
        let State::Open(records) = &mut inner.state else { return };
        let shard = &self.sessions.shard;
        let mut out = Vec::new();
        let ready = &mut inner.ready;
        let fed = records.feed(input, |content| deliver(shard, ready, content), &mut out);
        if !out.is_empty() {
            shard.queue(self.socket, Bytes::from(out));
        }
        inner.ended = records.is_closed();
        // Also where a later record is no good: what came behind the handshake, and before that, is the client's.
        if was_handshaking && !records.is_handshaking() {
            let agreed = records.agreed();
            let cells = &self.sessions.cells;
            let counter = if agreed.resumed { &cells.tls_resumed } else { &cells.tls_handshakes };
            counter.add(1);
            if agreed.protocol.as_deref() == Some(PROTOCOL) {
                // The handshake was all it was about: nothing that follows is a request.
                inner.ready.clear();
                inner.ended = true;
            }
            inner.info = Some(Rc::new(TlsInfo::new(agreed)));
        }
        match fed {
            Ok(fed) if fed.early && inner.info.is_none() => {
                self.sessions.cells.tls_early_data.add(1);
                inner.info = Some(Rc::new(TlsInfo::early(records.agreed())));
            }
            Ok(_) => {}
            Err(fault) => self.break_off(inner, fault),
        }
    }

    fn break_off(&self, inner: &mut Inner, fault: Fault) {
        counter(fault, &self.sessions.cells).add(1);
        inner.state = State::Broken(fault);
        if inner.info.is_none() {
            // Early data that nobody was told is early: it would be taken for a request that cannot be repeated.
            inner.ready.clear();
        }
        inner.content.clear();
        inner.content_len = 0;
    }

    /// Queues content; it is sealed and leaves with everything else of this turn.
    pub fn queue(self: &Rc<Self>, bytes: Bytes) {
        let mut inner = self.inner.borrow_mut();
        if bytes.is_empty() || !matches!(inner.state, State::Open(_)) {
            return;
        }
        inner.content_len += bytes.len();
        inner.content.push_back(bytes);
        if !std::mem::replace(&mut inner.listed, true) {
            self.sessions.unsealed(self);
        }
    }

    /// Bytes queued and not yet taken by the kernel.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.inner.borrow().content_len + self.sessions.shard.queued(self.socket)
    }

    /// Ready when at most `low_water` bytes are queued.
    ///
    /// # Errors
    /// The send side failed.
    pub fn poll_sent(&self, low_water: usize, wake: Wake) -> Poll<io::Result<()>> {
        if self.queued() > low_water {
            self.seal_now();
        }
        self.sessions.shard.poll_sent(self.socket, low_water, wake)
    }

    /// Hands the kernel what it takes of what is queued.
    pub fn flush(&self) {
        self.seal_now();
        self.sessions.shard.flush_now(self.socket, false);
    }

    /// Says that no more is sent, behind what is queued. Nothing can be queued after it.
    pub fn shutdown_write(&self) {
        self.finish();
        self.sessions.shard.shutdown_write(self.socket);
    }

    /// Ends the session and its socket; never fails. Cut off, the client gets no word of ours that it was the end.
    pub fn close(&self, how: Close) {
        if how == Close::Abort {
            let mut inner = self.inner.borrow_mut();
            inner.content.clear();
            inner.content_len = 0;
        } else {
            self.finish();
        }
        self.sessions.shard.close(self.socket, how);
    }

    /// Seals what is queued, and the word that it was the last.
    fn finish(&self) {
        self.seal_now();
        let inner = &mut *self.inner.borrow_mut();
        let State::Open(records) = &mut inner.state else { return };
        let mut lease = lease(&self.sessions.shard, AHEAD);
        lease.write_with(|room| records.close(room));
        self.sessions.shard.queue(self.socket, lease.freeze());
    }

    /// Seals what is queued; this is the turn's end.
    pub(super) fn seal(&self) {
        self.inner.borrow_mut().listed = false;
        self.seal_now();
    }

    fn seal_now(&self) {
        let inner = &mut *self.inner.borrow_mut();
        let State::Open(records) = &mut inner.state else { return };
        if inner.content_len == 0 {
            return;
        }
        let shard = &self.sessions.shard;
        let now = shard.now();
        if now - inner.sealed_at > FIRST_AGAIN {
            inner.sealed = 0;
        }
        inner.sealed_at = now;
        let mut scratch = self.sessions.scratch.borrow_mut();
        while inner.content_len > 0 {
            let most = if inner.sealed < FIRST_CONTENT { FIRST_RECORDS } else { RECORD_CONTENT };
            let piece = match next(&mut inner.content, most, &mut scratch) {
                Some(piece) => Piece::Own(piece),
                None => Piece::Gathered(&scratch),
            };
            let piece = piece.bytes();
            inner.content_len -= piece.len();
            inner.sealed += piece.len();
            let mut lease = lease(shard, sealed_len(piece.len()));
            let mut fault = None;
            lease.write_with(|room| {
                records.seal(piece, room).unwrap_or_else(|why| {
                    fault = Some(why);
                    0
                })
            });
            if let Some(fault) = fault {
                drop(scratch);
                return self.break_off(inner, fault);
            }
            shard.queue(self.socket, lease.freeze());
        }
    }
}

impl Inner {
    /// True until the handshake has ended, whether or not early data came.
    fn is_handshaking(&self) -> bool {
        self.info.as_ref().is_none_or(|info| info.early_data)
    }
}

/// Content of one record.
enum Piece<'s> {
    Own(Bytes),
    Gathered(&'s [u8]),
}

impl Piece<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Gathered(bytes) => bytes,
        }
    }
}

/// Takes at most `most` bytes: a long piece as it lies, or, where nothing is returned, several put together in `scratch`.
fn next(content: &mut VecDeque<Bytes>, most: usize, scratch: &mut Vec<u8>) -> Option<Bytes> {
    if let Some(first) = content.front_mut()
        && (first.len() >= most || (first.len() >= GATHERED && content.len() == 1))
    {
        let first = content.front_mut()?;
        let piece = first.split_to(first.len().min(most));
        if first.is_empty() {
            content.pop_front();
        }
        return Some(piece);
    }
    scratch.clear();
    while let Some(first) = content.front_mut() {
        let room = most - scratch.len();
        if room == 0 {
            break;
        }
        let piece = first.split_to(first.len().min(room));
        scratch.extend_from_slice(&piece);
        if first.is_empty() {
            content.pop_front();
        }
    }
    None
}

/// Hands content over, behind what was not read yet.
fn deliver(shard: &Shard, ready: &mut VecDeque<Lease>, content: &[u8]) {
    if content.is_empty() {
        return;
    }
    if let Some(last) = ready.back_mut()
        && last.spare() >= content.len()
    {
        last.extend_from_slice(content);
        return;
    }
    let mut lease = lease(shard, content.len());
    lease.extend_from_slice(content);
    ready.push_back(lease);
}

/// A buffer with room for so many bytes: of the arena where it has one, which is never waited for here.
fn lease(shard: &Shard, room: usize) -> Lease {
    let class = if room <= 4 << 10 { Class::Head } else { Class::Tls };
    match shard.try_lease(class) {
        Some(lease) if lease.spare() >= room => lease,
        _ => Lease::with_capacity(room),
    }
}
