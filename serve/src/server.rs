//! One shard's server: its routing table, its rows, and what its connections share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anygate_core::limits::{ACCEPT_PAUSE, LISTENERS};
use anygate_core::metrics::ShardCells;
use anygate_proto::RequestView;
use anygate_proto::date;
use anygate_proto::head::Fields;
use anygate_route::Scratch;
use anygate_shard::mailbox::Sender;
use anygate_shard::net::Address;
use anygate_shard::{Bytes, Class, LaneId, Shard, SocketId, Tick, Wake};
use slab::Slab;

use crate::action::files::Cache;
use crate::body::Body;
use crate::challenges::Challenges;
use crate::connection::h2::{Link, Links};
use crate::connection::relay::Relay;
use crate::connection::row::{ClientRow, ListenerRow, PerAddress};
use crate::control::Report;
use crate::observe::limit::{Limit, SHARD_QUIET, Told};
use crate::peers::Neighbours;
use crate::plan::Plan;
use crate::response::Response;
use crate::tls::{Front, Fronts, HandshakeRate, Session, Sessions};
use crate::upstream::{Idle, Pools, Upstreams};
use crate::wire::Wire;

/// How long a draining shard waits for a request that a resting client may have sent already.
const GRACE: Duration = Duration::from_millis(250);

/// How soon a report is tried again that found the control thread's mailbox full.
const AGAIN: Duration = Duration::from_millis(5);

/// A snapshot in use: the last request that holds it sends the plan home to be freed.
#[derive(Debug)]
pub struct Live {
    /// What is served.
    pub plan: Box<Plan>,
    /// Where it leads: these pools stay as long as anyone is served by it.
    _pools: Pools,
}

/// Something that rests in the driver without a task.
#[derive(Debug)]
pub enum Row {
    /// A listener.
    Listener(ListenerRow),
    /// A client between requests.
    Client(ClientRow),
    /// A client whose request waits for its answer from a server behind.
    Relay(Box<Relay>),
    /// A client whose task runs; the row keeps its place.
    Busy,
    /// A client that speaks HTTP/2.
    H2(Rc<Link>),
    /// An idle connection to a server behind.
    Upstream(Idle),
}

impl Row {
    /// The connection of a client that speaks HTTP/2.
    pub(crate) fn link(&self) -> Option<&Rc<Link>> {
        match self {
            Self::H2(link) => Some(link),
            _ => None,
        }
    }
}

/// One shard's server. Lives behind an [`Rc`]; every connection's task holds one.
#[derive(Debug)]
pub struct Server {
    /// The runtime.
    pub shard: Shard,
    /// What is counted here.
    pub cells: Arc<ShardCells>,
    /// Files and answers in memory.
    pub files: Cache,
    /// Connections to servers behind.
    pub upstreams: Upstreams,
    /// This instance's own name in `Via`, random, the same on all shards.
    pub id: Arc<str>,
    /// The way to the control thread.
    pub control: Sender<Report>,
    /// How many connections each address has.
    pub per_address: PerAddress,
    /// How many handshakes each address began.
    pub handshakes: HandshakeRate,
    /// What TLS sessions share.
    pub(crate) sessions: Rc<Sessions>,
    /// Which HTTP/2 connections have something to say.
    pub(crate) links: Rc<Links>,
    /// What stands before the requests of each listener.
    pub(crate) fronts: Fronts,
    /// True while some or all requests must not be answered by the short way: it drains, a listener redirects, an
    /// authority's challenges are open, or some clients are to go.
    detours: Cell<bool>,
    /// Numbers of listeners whose clients finish what is under way and go.
    over: RefCell<Vec<u32>>,
    /// Challenges of an authority that are open; there are none nearly always.
    challenges: RefCell<Arc<Challenges>>,
    /// The other shards, where there are any.
    pub(crate) neighbours: Option<Neighbours>,
    pub(crate) rows: RefCell<Slab<Row>>,
    live: RefCell<Rc<Live>>,
    date: Cell<(u64, [u8; date::LEN])>,
    draining: Cell<bool>,
    /// True when the control thread was told that nobody is left, and nobody came since.
    drained: Cell<bool>,
    clients: Cell<usize>,
    idle_lane: Cell<LaneId>,
    handshake_lane: Cell<LaneId>,
    /// Listeners that wait for room.
    full: RefCell<Vec<u32>>,
    /// Whether somebody looks now and then whether there is room for them.
    looks_for_room: Cell<bool>,
    /// Which limits the control thread was told of.
    told: Told,
    /// Storage the short way uses again and again.
    pub(crate) bench: RefCell<Bench>,
}

/// Storage the short way uses again and again.
#[derive(Debug, Default)]
pub(crate) struct Bench {
    pub(crate) fields: Fields,
    pub(crate) scratch: Scratch,
    pub(crate) target: Vec<u8>,
}

/// What a server is made of.
#[derive(Debug)]
pub struct Parts {
    /// The runtime.
    pub shard: Shard,
    /// What is counted here.
    pub cells: Arc<ShardCells>,
    /// The first table.
    pub plan: Box<Plan>,
    /// This instance's own name in `Via`.
    pub id: Arc<str>,
    /// The way to the control thread.
    pub control: Sender<Report>,
    /// How many shards there are.
    pub shards: usize,
    /// The other shards, where there are any.
    pub peers: Option<Neighbours>,
}

impl Server {
    /// A server without listeners.
    #[must_use]
    pub fn new(parts: Parts) -> Rc<Self> {
        let upstreams = Upstreams::new(parts.shards);
        let pools = upstreams.install(&parts.plan);
        let idle_lane = parts.shard.lane(parts.plan.client.idle_timeout);
        let handshake_lane = parts.shard.lane(parts.plan.client.handshake_timeout);
        Rc::new(Self {
            files: Cache::new(),
            upstreams,
            sessions: Sessions::new(parts.shard.clone(), Arc::clone(&parts.cells)),
            links: Rc::default(),
            handshakes: HandshakeRate::default(),
            fronts: Fronts::default(),
            detours: Cell::new(false),
            over: RefCell::default(),
            challenges: RefCell::default(),
            shard: parts.shard,
            cells: parts.cells,
            id: parts.id,
            control: parts.control,
            per_address: PerAddress::default(),
            neighbours: parts.peers,
            rows: RefCell::new(Slab::new()),
            live: RefCell::new(Rc::new(Live { plan: parts.plan, _pools: pools })),
            date: Cell::new((u64::MAX, *date::PLACEHOLDER)),
            idle_lane: Cell::new(idle_lane),
            handshake_lane: Cell::new(handshake_lane),
            draining: Cell::new(false),
            drained: Cell::new(false),
            clients: Cell::new(0),
            full: RefCell::default(),
            looks_for_room: Cell::new(false),
            told: Told::new(SHARD_QUIET),
            bench: RefCell::default(),
        })
    }

    /// The table new requests are served by.
    #[must_use]
    pub fn live(&self) -> Rc<Live> {
        Rc::clone(&self.live.borrow())
    }

    /// Serves new requests by `plan`; those under way keep theirs.
    pub fn install(&self, plan: Box<Plan>) {
        let pools = self.upstreams.install(&plan);
        if !self.draining.get() {
            self.idle_lane.set(self.shard.lane(plan.client.idle_timeout));
        }
        self.handshake_lane.set(self.shard.lane(plan.client.handshake_timeout));
        let old = self.live.replace(Rc::new(Live { plan, _pools: pools }));
        self.files.clear();
        self.retire(old);
        self.use_room();
    }

    /// Tells the control thread which table new requests are served by, as soon as its mailbox has room.
    pub(crate) fn report_installed(self: &Rc<Self>) {
        let (server, shard) = (Rc::clone(self), self.shard.index());
        let told = move || {
            let serial = server.live.borrow().plan.serial;
            server.control.send(Report::Installed(shard, serial)).is_ok()
        };
        if !told() {
            let shard = self.shard.clone();
            self.shard.spawn(async move {
                while !told() {
                    shard.sleep(AGAIN).await;
                }
            });
        }
    }

    /// Lets a snapshot go; the last holder sends it home.
    pub fn retire(&self, live: Rc<Live>) {
        if let Some(live) = Rc::into_inner(live) {
            // A full mailbox frees it here: slower, not wrong.
            let _ = self.control.send(Report::Retired(live.plan));
        }
    }

    /// The queue of those who are idle.
    pub(crate) fn idle_lane(&self) -> LaneId {
        self.idle_lane.get()
    }

    /// The queue of those who are to go, and whose next request may be on its way.
    pub(crate) fn grace_lane(&self) -> LaneId {
        self.shard.lane(GRACE.min(self.live.borrow().plan.client.idle_timeout))
    }

    /// The queue of those whose handshake is under way.
    pub(crate) fn handshake_lane(&self) -> LaneId {
        self.handshake_lane.get()
    }

    /// Connections of listener `number` begin so from now on.
    pub(crate) fn set_front(&self, number: u32, front: Front) {
        self.fronts.set(number, front);
        self.look_for_detours();
    }

    fn look_for_detours(&self) {
        let some_go = !self.over.borrow().is_empty();
        let challenged = !self.challenges.borrow().is_empty();
        self.detours.set(self.fronts.redirect_some() || some_go || challenged || self.draining.get());
    }

    /// Clients that came by listener `number` finish what is under way and go.
    pub(crate) fn end_those_of(&self, number: u32) {
        let mut over = self.over.borrow_mut();
        if over.len() > 2 * LISTENERS {
            over.remove(0);
        }
        over.push(number);
        drop(over);
        self.look_for_detours();
    }

    /// True when a client of listener `number` goes when it has finished what is under way: the server drains, or the
    /// listener's terms are others now.
    #[inline]
    pub(crate) fn closes(&self, number: u32) -> bool {
        self.detours.get() && self.closes_while_some_detour(number)
    }

    #[cold]
    fn closes_while_some_detour(&self, number: u32) -> bool {
        self.draining.get() || self.over.borrow().contains(&number)
    }

    /// True while these requests of a client of listener `number` must not be answered by the short way.
    #[inline]
    pub(crate) fn detours(&self, number: u32, requests: &[u8]) -> bool {
        self.detours.get() && self.detours_while_some_do(number, requests)
    }

    #[cold]
    fn detours_while_some_do(&self, number: u32, requests: &[u8]) -> bool {
        self.closes_while_some_detour(number)
            || self.fronts.redirect(number).is_some()
            || self.challenges.borrow().may_be_asked_for(requests)
    }

    /// Answers these challenges of an authority, and no others.
    pub(crate) fn set_challenges(&self, open: Arc<Challenges>) {
        self.sessions.set_challenge(open.tls().cloned());
        self.challenges.replace(Arc::clone(&open));
        self.look_for_detours();
        open.take();
    }

    /// What answers a request that asks for the answer to an open challenge (RFC 8555 §8.3), by whatever listener it came:
    /// an authority follows redirects.
    pub(crate) fn proof(&self, request: RequestView<'_>) -> Option<Response> {
        if !self.detours.get() || !matches!(request.method(), b"GET" | b"HEAD") {
            return None;
        }
        let body = Bytes::from(self.challenges.borrow().answer(request.path())?.as_bytes().to_vec());
        let lines = Bytes::from_static(b"Content-Type: application/octet-stream\r\nCache-Control: no-store\r\n");
        Some(Response::new(200, lines, Body::Bytes(body)))
    }

    /// What carries the bytes of a client that came by listener `number`.
    pub(crate) fn wire(&self, socket: SocketId, number: u32) -> Wire {
        match self.fronts.tls(number) {
            Some(config) => Wire::Tls(Session::new(&self.sessions, socket, &config)),
            None => Wire::Plain(socket),
        }
    }

    /// The `Date` of this turn.
    #[inline]
    #[must_use]
    pub fn date(&self) -> [u8; date::LEN] {
        let now = self.shard.unix_time();
        let (second, text) = self.date.get();
        if second == now {
            return text;
        }
        let text = date::format(now);
        self.date.set((now, text));
        text
    }

    /// True once the server finishes what it has and takes nothing new.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.get()
    }

    /// Clients connected to this shard.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.get()
    }

    /// Adds a row.
    pub fn add_row(&self, row: Row) -> u32 {
        let key = self.rows.borrow_mut().insert(row);
        u32::try_from(key).expect("fewer rows than descriptors")
    }

    /// Removes a row.
    pub fn remove_row(&self, row: u32) -> Option<Row> {
        self.rows.borrow_mut().try_remove(row as usize)
    }

    /// Puts something else in a row's place and returns what was there.
    pub(crate) fn swap_row(&self, row: u32, new: Row) -> Option<Row> {
        let mut rows = self.rows.borrow_mut();
        Some(std::mem::replace(rows.get_mut(row as usize)?, new))
    }

    pub(crate) fn client_came(&self) {
        self.cells.connections_accepted.add(1);
        self.drained.set(false);
        self.count_clients(self.clients.get() + 1);
    }

    /// A client came from another shard that served it.
    pub(crate) fn client_resumed(&self) {
        self.cells.connections_resumed.add(1);
        self.drained.set(false);
        self.count_clients(self.clients.get() + 1);
    }

    /// A client went to another shard, which counts it there.
    pub(crate) fn client_moved(&self) {
        self.count_clients(self.clients.get() - 1);
        self.use_room();
    }

    fn count_clients(&self, clients: usize) {
        self.clients.set(clients);
        self.publish_load();
    }

    /// Tells the other shards how many clients there are.
    pub(crate) fn publish_load(&self) {
        if let Some(neighbours) = &self.neighbours {
            neighbours.publish(self.clients.get());
        }
    }

    /// After a turn: looks whether other shards have less to do.
    #[inline]
    pub(crate) fn balance(&self) {
        if let Some(neighbours) = &self.neighbours
            && !self.draining.get()
        {
            neighbours.turn_ended(&self.shard, || self.live.borrow().plan.client.max_connections);
        }
    }

    /// Counts what a client asked for, while that matters. The unit is an answer that was ready.
    #[inline]
    pub(crate) fn worked(&self, row: u32, work: u64, stays: Tick) {
        if let Some(neighbours) = &self.neighbours
            && neighbours.balance.is_counting()
        {
            neighbours.balance.count(row, work, stays <= self.shard.now());
        }
    }

    /// The shard that a client is to go to, if it is.
    #[inline]
    pub(crate) fn leaves_to(&self, row: u32) -> Option<usize> {
        self.neighbours.as_ref()?.balance.leaves(row)
    }

    /// True when there are as many clients as there may be, or as many sockets: those of servers behind count, and those
    /// that are being closed.
    pub(crate) fn is_full(&self) -> bool {
        let client = &self.live.borrow().plan.client;
        self.clients.get() >= client.max_connections || self.sockets() >= client.max_sockets
    }

    /// True when more than half of the sockets there may be are in use.
    pub(crate) fn is_crowded(&self) -> bool {
        self.sockets() > self.live.borrow().plan.client.max_sockets / 2
    }

    /// Sockets of this shard, as of the last turn.
    fn sockets(&self) -> usize {
        usize::try_from(self.shard.cells().sockets.get()).unwrap_or(usize::MAX)
    }

    /// A client, if it is known which, reached a limit: counts it, and tells the control thread, now and then.
    #[cold]
    pub(crate) fn reached(&self, limit: Limit, peer: Option<&Address>) {
        limit.counter(&self.cells).add(1);
        if self.told.tell(limit, self.shard.now(), 0).is_some() {
            let _ = self.control.send(Report::Reached(limit, peer.cloned()));
        }
    }

    /// Wakes a listener's row once there is room.
    pub(crate) fn wait_for_room(self: &Rc<Self>, listener: u32) {
        let mut full = self.full.borrow_mut();
        if full.contains(&listener) {
            return;
        }
        full.push(listener);
        self.reached(Limit::Connections, None);
        if !self.looks_for_room.replace(true) {
            // A socket may be closed after everything else of a turn, and no other may follow: nothing tells of its room.
            let server = Rc::clone(self);
            self.shard.spawn(async move {
                while !server.full.borrow().is_empty() {
                    server.shard.sleep(ACCEPT_PAUSE).await;
                    server.use_room();
                }
                server.looks_for_room.set(false);
            });
        }
    }

    /// Lets listeners go on that waited, if there is room.
    pub(crate) fn use_room(&self) {
        if !self.full.borrow().is_empty() && !self.is_full() {
            for row in self.full.take() {
                self.shard.wake(Wake::row(row));
            }
        }
    }

    /// Counts and reports that accepting pauses.
    pub(crate) fn accepting_paused(&self) {
        self.cells.accept_paused.add(1);
        let _ = self.control.send(Report::AcceptPaused(self.shard.index()));
    }

    /// The listener in a row.
    pub(crate) fn listener(&self, row: u32) -> Option<ListenerRow> {
        match self.rows.borrow().get(row as usize)? {
            Row::Listener(listener) => Some(*listener),
            _ => None,
        }
    }

    pub(crate) fn client_went(&self) {
        self.cells.connections_closed.add(1);
        self.count_clients(self.clients.get() - 1);
        self.use_room();
    }

    /// Starts draining: who rests from now on rests briefly. Listeners and those who rest already are the caller's.
    pub(crate) fn begin_drain(&self) {
        self.draining.set(true);
        self.look_for_detours();
        self.neighbours.iter().for_each(|neighbours| neighbours.balance.nobody_leaves());
        self.idle_lane.set(self.grace_lane());
    }

    /// Tells the control thread, once, that nobody is left; again when another shard handed one over since.
    pub(crate) fn report_if_drained(&self) {
        if !self.drained.get() && self.is_drained() {
            self.drained.set(self.control.send(Report::Drained(self.shard.index())).is_ok());
        }
    }

    /// True when a draining shard has no client left, nor one on its way in, nor an answer on its way out.
    fn is_drained(&self) -> bool {
        let listens = || self.rows.borrow().iter().any(|(_, row)| matches!(row, Row::Listener(_)));
        let moving = || self.neighbours.as_ref().is_some_and(Neighbours::are_moving);
        self.draining.get() && self.clients.get() == 0 && !listens() && !moving() && self.shard.closing() == 0
    }

    /// Bytes made here, in a lease where one is to be had.
    #[must_use]
    pub fn lend(&self, bytes: Vec<u8>) -> Bytes {
        match self.shard.try_lease(Class::Head) {
            Some(mut lease) if bytes.len() <= lease.spare() => {
                lease.extend_from_slice(&bytes);
                lease.freeze()
            }
            _ => Bytes::from(bytes),
        }
    }
}
