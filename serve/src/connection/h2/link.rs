//! One HTTP/2 connection: what comes is taken in, requests go their ways, and the connection ends.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;

use anygate_core::metrics::ShardCells;
use anygate_proto::h2::hpack::Encoder;
use anygate_proto::h2::{Connection, ErrorCode, PriorityField, StreamKey};
use anygate_shard::net::Address;
use anygate_shard::{Class, Close, Lease, Shard, Tick};

use super::Links;
use super::half;
use super::links::Round;
use super::output::QUEUED_MOST;
use super::receive::Taken;
use super::stream::{Pace, Stream, Window};
use super::watch::Timer;
use crate::connection::accept;
use crate::connection::row::ClientRow;
use crate::server::{Row, Server};
use crate::testing::{self, Spot};
use crate::wire::Wire;

/// One client's HTTP/2 connection.
pub struct Link {
    pub(super) shard: Shard,
    pub(super) cells: Arc<ShardCells>,
    pub(super) wire: Wire,
    pub(super) peer: Address,
    pub(super) listener: u32,
    pub(super) row: u32,
    /// The list it stands in while it has something to say. It belongs to the server: what tasks say that are dropped with
    /// the server keeps neither.
    links: Weak<Links>,
    /// Where heads are encoded.
    block: Rc<RefCell<Vec<u8>>>,
    counted: bool,
    /// It stands in the list of those with something to say.
    listed: Cell<bool>,
    /// It has ended; what its requests still say goes nowhere.
    over: Cell<bool>,
    /// Its client has ended its half: nothing more comes.
    pub(super) heard_end: Cell<bool>,
    /// Content of all answers that waits for its turn, in bytes.
    waiting: Cell<usize>,
    pub(super) state: RefCell<State>,
}

/// What changes in it.
pub(super) struct State {
    pub(super) codec: Connection,
    /// Requests that tasks serve, by the index of their streams.
    streams: Vec<Option<Rc<Stream>>>,
    /// What came while too much waits to leave: looked at later, from there on.
    pub(super) held: Option<(Lease, usize)>,
    /// The class of buffer that what comes next is read into.
    pub(super) wants: Class,
    pub(super) served: u64,
    pub(super) refilled: Tick,
    pub(super) leaving: Leaving,
    pub(super) timer: Timer,
    /// How the client takes the content of all answers.
    pub(super) pace: Pace,
    /// Bytes given to the wire since it began.
    pub(super) given: u64,
    /// Something came since the connection was looked at last.
    pub(super) heard: bool,
}

/// How far a connection is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It is not.
    No,
    /// The client was asked to begin no more requests.
    Asked,
    /// It was told the last one that is served.
    Told,
}

impl State {
    /// The stream of a key, where a task serves it.
    #[inline]
    pub(super) fn stream(&self, key: StreamKey) -> Option<&Rc<Stream>> {
        self.streams.get(key.index as usize)?.as_ref().filter(|stream| stream.key() == key)
    }

    /// All streams that tasks serve.
    pub(super) fn streams(&self) -> impl Iterator<Item = &Rc<Stream>> {
        self.streams.iter().flatten()
    }

    pub(super) fn enter(&mut self, stream: Rc<Stream>) {
        let index = stream.key().index as usize;
        if self.streams.len() <= index {
            self.streams.resize(index + 1, None);
        }
        self.streams[index] = Some(stream);
    }

    pub(super) fn remove(&mut self, key: StreamKey) -> Option<Rc<Stream>> {
        self.stream(key)?;
        self.streams[key.index as usize].take()
    }

    /// Gives back the memory that a connection at rest does not need.
    pub(super) fn trim(&mut self) {
        self.codec.trim();
        if self.streams.iter().all(Option::is_none) {
            self.streams = Vec::new();
        }
    }
}

/// A client that speaks HTTP/2 begins; this came of it already.
pub(crate) fn begin(server: &Rc<Server>, row: u32, mut client: ClientRow, first: Option<Lease>) {
    if let Some(idle) = client.idle.take() {
        server.shard.lane_remove(idle);
    }
    let live = server.live();
    let ClientRow { wire, peer, listener, counted, served, .. } = client;
    let state = State {
        codec: Connection::new(&live.plan.client.h2),
        streams: Vec::new(),
        held: first.map(|lease| (lease, 0)),
        wants: Class::Head,
        served,
        refilled: server.shard.now(),
        leaving: Leaving::No,
        timer: Timer::default(),
        pace: Pace::default(),
        given: 0,
        heard: true,
    };
    let link = Rc::new(Link {
        shard: server.shard.clone(),
        cells: Arc::clone(&server.cells),
        wire,
        peer,
        listener,
        row,
        links: Rc::downgrade(&server.links),
        block: Rc::clone(&server.links.block),
        counted,
        listed: Cell::new(false),
        over: Cell::new(false),
        heard_end: Cell::new(false),
        waiting: Cell::new(0),
        state: RefCell::new(state),
    });
    server.swap_row(row, Row::H2(Rc::clone(&link)));
    server.cells.h2_connections.add(1);
    if server.closes(listener) {
        link.ask_to_leave();
    }
    ready(server, &link);
}

/// Something happened on a connection's socket.
pub(crate) fn ready(server: &Rc<Server>, link: &Rc<Link>) {
    let watch = Watch { server, link };
    if link.over.get() {
        return;
    }
    link.speaks();
    if link.has_heard_end() {
        return;
    }
    loop {
        let held = link.state.borrow_mut().held.take();
        let (lease, mut at) = match held {
            Some(held) => held,
            None => match link.read() {
                Poll::Pending => return,
                Poll::Ready(Ok(lease)) if !lease.is_empty() => (lease, 0),
                Poll::Ready(Ok(_)) => return half::ended(server, watch.link),
                Poll::Ready(Err(error)) => {
                    let graceful = link.wire.fault().is_some() || error.kind() == io::ErrorKind::UnexpectedEof;
                    return leave(server, link, if graceful { Close::Graceful } else { Close::Abort });
                }
            },
        };
        if link.is_congested() {
            link.state.borrow_mut().held = Some((lease, at));
            return;
        }
        testing::reached(server, Spot::Row);
        match link.take_in(server, lease.filled(), &mut at) {
            Taken::All => {}
            Taken::UpTo(at) => {
                link.state.borrow_mut().held = Some((lease, at));
                return;
            }
            Taken::Fatal(fatal) => {
                link.broke(server, fatal);
                return leave(server, link, Close::Graceful);
            }
        }
    }
}

/// A connection's work. If it panics, its place is given back all the same.
struct Watch<'s> {
    server: &'s Rc<Server>,
    link: &'s Rc<Link>,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            leave(self.server, self.link, Close::Abort);
        }
    }
}

/// At a turn's end: what connections have to say leaves, and those that are done end.
pub(crate) fn turn_ended(server: &Rc<Server>) {
    if server.links.is_empty() {
        return;
    }
    let round = Round::of(&server.links);
    while let Some(link) = round.next() {
        let _watch = Watch { server, link };
        link.listed.set(false);
        if !link.over.get() {
            testing::reached(server, Spot::Settle);
            link.settle(server);
        }
    }
}

/// This connection finishes what is under way and goes.
pub(crate) fn drain(link: &Rc<Link>) {
    link.ask_to_leave();
}

/// A connection's time is over.
pub(crate) fn expired(server: &Rc<Server>, link: &Rc<Link>) {
    let _watch = Watch { server, link };
    testing::reached(server, Spot::Expired);
    if !link.over.get() {
        link.time_is_over(server);
    }
}

/// Ends a connection: what its requests still say goes nowhere.
pub(super) fn leave(server: &Server, link: &Rc<Link>, how: Close) {
    if link.over.replace(true) {
        return;
    }
    let mut idle = None;
    // It is in use where its work panicked.
    if let Ok(mut state) = link.state.try_borrow_mut() {
        let state = &mut *state;
        if how != Close::Abort {
            link.flush(state);
        }
        state.held = None;
        idle = state.timer.take();
        for stream in std::mem::take(&mut state.streams).into_iter().flatten() {
            stream.lost();
        }
    }
    let Link { listener, counted, .. } = **link;
    let (wire, peer) = (link.wire.clone(), link.peer.clone());
    let client = ClientRow { wire, peer, listener, counted, served: 0, idle, stays: Tick::ZERO, moves: 0 };
    accept::farewell(server, client, link.row, how);
}

impl Link {
    /// The listener it came by.
    pub(crate) fn listener(&self) -> u32 {
        self.listener
    }

    /// It has something to say, or is to be looked after, when the turn ends.
    pub(super) fn speaks(self: &Rc<Self>) {
        if !self.over.get()
            && !self.listed.replace(true)
            && let Some(links) = self.links.upgrade()
        {
            links.add(self);
        }
    }

    // ---- leaving ----------------------------------------------------------------------------------------------------

    /// Asks the client to begin no more requests; those on their way are served.
    fn ask_to_leave(self: &Rc<Self>) {
        let state = &mut *self.state.borrow_mut();
        if state.leaving == Leaving::No {
            state.leaving = Leaving::Asked;
            state.codec.shut_down();
            self.speaks();
        }
    }

    /// Tells the client the last request that is served.
    pub(super) fn say_last(&self, state: &mut State) {
        if state.leaving != Leaving::Told {
            state.leaving = Leaving::Told;
            state.codec.close(ErrorCode::NO_ERROR);
        }
    }

    // ---- what streams ask for ---------------------------------------------------------------------------------------

    /// Content went on: the client may send as much again.
    pub(super) fn consumed(self: &Rc<Self>, key: StreamKey, bytes: usize) {
        // It is in use where its work panicked.
        let Ok(mut state) = self.state.try_borrow_mut() else { return };
        state.codec.consumed(key, bytes);
        drop(state);
        self.speaks();
    }

    /// A stream has something to send.
    pub(super) fn wants(self: &Rc<Self>, key: StreamKey) {
        self.state.borrow_mut().codec.wants(key);
        self.speaks();
    }

    /// Takes in what a response says of its priority, if it does.
    #[inline]
    pub(super) fn prefer(&self, key: StreamKey, priority: &PriorityField) {
        if !priority.is_absent() {
            self.state.borrow_mut().codec.prefer(key, priority);
        }
    }

    /// So much content waits for its turn.
    pub(super) fn waits(&self, bytes: usize) {
        self.waiting.set(self.waiting.get() + bytes);
    }

    /// So much of what waited had its turn, or waits for none any more.
    pub(super) fn left(&self, bytes: usize) {
        self.waiting.set(self.waiting.get().saturating_sub(bytes));
    }

    /// True where so much waits for the client, of all answers, that none is to hold more than a piece.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.get() + self.wire.queued(&self.shard) >= QUEUED_MOST
    }

    /// What the client lets come on a stream just now, in bytes.
    pub(super) fn window_left(&self, key: StreamKey) -> usize {
        self.state.borrow().codec.window_left(key)
    }

    /// The same in words.
    pub(super) fn window_of(&self, key: StreamKey) -> Window {
        let state = self.state.borrow();
        if state.codec.connection_window_left() == 0 {
            Window::ConnectionShut
        } else if state.codec.window_left(key) == 0 {
            Window::Shut
        } else {
            Window::Open
        }
    }

    /// What the client took of all answers, in bytes.
    pub(super) fn taken(&self) -> u64 {
        self.state.borrow().pace.taken
    }

    /// True where it lets all of them come more slowly than that in a second.
    pub(super) fn is_taken_too_slowly(&self, rate: u64) -> bool {
        self.state.borrow().pace.is_too_slow(rate)
    }

    /// Ends a stream.
    pub(super) fn reset(self: &Rc<Self>, key: StreamKey, code: ErrorCode) {
        self.state.borrow_mut().codec.reset(key, code);
        self.speaks();
    }

    /// Encodes a head: it must be sent at once.
    pub(super) fn encode<T>(&self, write: impl FnOnce(&mut Encoder, &mut Vec<u8>) -> T) -> T {
        let mut block = self.block.borrow_mut();
        block.clear();
        write(self.state.borrow_mut().codec.encoder(), &mut block)
    }

    /// Where heads are encoded.
    pub(super) fn block(&self) -> &RefCell<Vec<u8>> {
        &self.block
    }

    /// Sends the head that was encoded last.
    pub(super) fn send_block<T>(self: &Rc<Self>, send: impl FnOnce(&mut Connection, &[u8]) -> T) -> T {
        let sent = send(&mut self.state.borrow_mut().codec, &self.block.borrow());
        self.speaks();
        sent
    }

    /// A task is done with its stream: what it did not take is given back, what it did not say is not said any more.
    pub(super) fn done(self: &Rc<Self>, stream: &Stream) {
        let Ok(mut state) = self.state.try_borrow_mut() else { return };
        if state.remove(stream.key()).is_none() {
            return;
        }
        if !stream.is_ended() {
            state.codec.reset(stream.key(), ErrorCode::INTERNAL_ERROR);
        } else if !stream.has_heard_all() {
            // The answer is complete, and nobody wants the rest of the request (RFC 9113 §8.1).
            state.codec.reset(stream.key(), ErrorCode::NO_ERROR);
        }
        drop(state);
        self.speaks();
    }
}

/// The smallest class of buffer that so many bytes fit in, or the largest.
pub(super) fn class_for(len: usize) -> Class {
    match len {
        0..=4096 => Class::Head,
        4097..=16_384 => Class::Tls,
        _ => Class::Bulk,
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("peer", &self.peer).field("row", &self.row).finish_non_exhaustive()
    }
}
