//! What happens when on a simulated network, and who is told? Listeners, connections, what is under way, and a queue of
//! events for each shard.

mod stream;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::choice::{Choices, Kind, mix};
use super::faults::Faults;
use crate::net::Address;

/// Bytes under way and unread on a connection in one direction, at most.
const WINDOW: usize = 256 << 10;
/// The least window of a connection that is given a small one.
const SMALL_WINDOW: u64 = 1 << 10;
/// How long a piece takes when nothing is wrong.
const LATENCY_NS: u64 = 20_000;
/// The most a late piece or event takes.
const LATE_NS: u64 = 50_000_000;
/// When a connection attempt to a full backlog is repeated first; each further time it takes twice as long.
const RETRY_NS: u64 = 1_000_000_000;
/// How often it is repeated.
const RETRIES: u32 = 6;
/// When an attempt that nobody answers is given up, as a kernel does after so many repetitions.
const UNANSWERED_NS: u64 = RETRY_NS * ((2 << RETRIES) - 1);
/// Connections that may wait at a listener, usually and at most at one with a small backlog.
const BACKLOG: usize = 4096;
const SMALL_BACKLOG: u64 = 6;
/// The most bytes in one direction of a connection that is to be cut, or whose client is to close its half.
const CUT_BYTES: u64 = 64 << 10;
const HALF_CLOSE_BYTES: u64 = 16 << 10;

/// Something may be read: bytes, the end, or an error.
pub(crate) const READ: u8 = 1;
/// Something may be written, or a connection attempt has come to its end.
pub(crate) const WRITE: u8 = 2;

/// With either: the peer has ended its stream, or the connection has failed.
pub(crate) const HANGUP: u8 = 4;

/// The token of a socket whose shard has not asked for events yet.
pub(crate) const NO_TOKEN: u64 = u64::MAX;

/// An event for a shard: the token it gave with a socket, and what may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Notice {
    pub(crate) token: u64,
    pub(crate) bits: u8,
}

/// One end of a connection, by number; numbers are never used twice.
pub(crate) type EndId = u32;
/// A listening address, by number; numbers are never used twice.
pub(crate) type DoorId = u32;

/// Who is told about an end or a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody: outside of every shard, in a backlog, or on its way between shards.
    Nobody,
    /// The shard with this number, which knows it by the token.
    Shard(u16, u64),
}

#[derive(Debug)]
enum Piece {
    Data(Vec<u8>),
    Fin,
    Rst,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Connecting,
    Connected,
    Failed(i32),
}

#[derive(Debug)]
pub(crate) struct End {
    peer: EndId,
    owner: Owner,
    local: Address,
    remote: Address,
    link: Link,
    /// Landed bytes; the first chunk is read up to `taken`.
    inbox: VecDeque<Vec<u8>>,
    taken: usize,
    unread: usize,
    /// On their way to this end, in the order of their arrival.
    coming: VecDeque<(u64, Piece)>,
    coming_bytes: usize,
    last_arrival: u64,
    window: usize,
    /// The peer's end of stream has landed.
    ended: bool,
    /// A reset has landed; the error is told once a direction.
    reset: bool,
    reset_told: bool,
    /// This end has sent its own end of stream.
    finished: bool,
    closed: bool,
    /// A send found no room, and its owner waits for an event.
    wants_room: bool,
    operations: u64,
    /// Until then every call says `EAGAIN`.
    storm_until: u64,
    /// When the next of its events for nothing comes.
    storm_event: u64,
    /// Bytes sent, and after how many the connection is reset or this half of it is closed.
    sent: u64,
    cut_after: u64,
    half_close_after: u64,
    /// Connection attempts that found the backlog full.
    attempts: u32,
}

struct Door {
    address: Address,
    watchers: Vec<Owner>,
    backlog: VecDeque<EndId>,
    open: bool,
    operations: u64,
    /// Watchers take turns, as with exclusive wakes.
    turn: usize,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Flight {
    Land(EndId),
    Knock(DoorId),
    Attempt(EndId),
    Tell(u16, Notice),
    /// A storm is over.
    Calm(EndId),
    /// Nothing but a time to stop at.
    Stop,
}

/// The network of one world.
pub(crate) struct Network {
    choices: Choices,
    pub(crate) faults: Faults,
    pub(crate) now: u64,
    ends: Vec<Option<Box<End>>>,
    doors: Vec<Door>,
    addresses: BTreeMap<String, DoorId>,
    flights: BinaryHeap<Reverse<(u64, u64, Flight)>>,
    sequence: u64,
    queues: Vec<Vec<Notice>>,
    trace: u64,
    /// Sends of shards that took something.
    pub(crate) sends: u64,
    next_port: u32,
    /// Ends and doors that shards own.
    descriptors: usize,
    pub(crate) descriptor_limit: usize,
}

fn error<T>(code: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(code))
}

fn key(address: &Address) -> String {
    match address {
        Address::Ip(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.as_deref().unwrap_or("".as_ref()).display()),
    }
}

impl Network {
    pub(crate) fn new(seed: u64) -> Network {
        Network {
            choices: Choices { seed },
            faults: Faults::none(),
            now: 1_000_000_000,
            ends: Vec::new(),
            doors: Vec::new(),
            addresses: BTreeMap::new(),
            flights: BinaryHeap::new(),
            sequence: 0,
            queues: Vec::new(),
            trace: seed,
            sends: 0,
            next_port: 40_000,
            descriptors: 0,
            descriptor_limit: usize::MAX,
        }
    }

    pub(crate) fn choices(&self) -> Choices {
        self.choices
    }

    /// Folds an observation into the trace.
    pub(crate) fn note(&mut self, what: u64, which: u64, how_much: u64) {
        self.trace = mix(self.trace ^ mix(what ^ mix(which ^ mix(how_much ^ self.now))));
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace
    }

    /// A queue of events for one more shard.
    pub(crate) fn join(&mut self) -> u16 {
        self.queues.push(Vec::new());
        u16::try_from(self.queues.len() - 1).expect("fewer than 65,536 shards")
    }

    /// The ends that are not freed, for a look at a run that hangs.
    pub(crate) fn live_ends(&self) -> Vec<&End> {
        self.ends.iter().flatten().map(|end| &**end).collect()
    }

    /// Ends that somebody still holds or that are still in a backlog.
    pub(crate) fn open_ends(&self) -> usize {
        self.ends.iter().flatten().filter(|end| !end.closed).count()
    }

    // ---- time ----------------------------------------------------------------------------------

    /// When something is under way, the time of its arrival.
    pub(crate) fn next_arrival(&self) -> Option<u64> {
        self.flights.peek().map(|Reverse((time, _, _))| *time)
    }

    /// Moves the clock to `time` and lets everything arrive that is due.
    pub(crate) fn advance(&mut self, time: u64) {
        self.now = self.now.max(time);
        while let Some(Reverse((time, _, _))) = self.flights.peek()
            && *time <= self.now
        {
            let Some(Reverse((_, _, flight))) = self.flights.pop() else { break };
            match flight {
                Flight::Land(end) => self.land(end),
                Flight::Knock(door) => self.knock(door),
                Flight::Attempt(end) => self.attempt(end),
                Flight::Tell(shard, notice) => self.queues[usize::from(shard)].push(notice),
                Flight::Calm(end) => self.calm(end),
                Flight::Stop => {}
            }
        }
    }

    /// Makes the clock stop at this time on its way.
    pub(crate) fn stop_at(&mut self, time: u64) {
        self.depart(time, Flight::Stop);
    }

    /// Whether events wait for any shard.
    pub(crate) fn has_any_notices(&self) -> bool {
        self.queues.iter().any(|queue| !queue.is_empty())
    }

    /// Whether events wait for this shard.
    pub(crate) fn has_notices(&self, shard: u16) -> bool {
        !self.queues[usize::from(shard)].is_empty()
    }

    /// The events that wait for this shard, in the order a kernel may give them.
    pub(crate) fn take_notices(&mut self, shard: u16, into: &mut Vec<Notice>) {
        let queue = &mut self.queues[usize::from(shard)];
        into.append(queue);
        if into.len() > 1 && self.choices.happens(Kind::Reorder, self.faults.reorder, u64::from(shard), self.sequence) {
            for at in (1..into.len()).rev() {
                let operation = mix(self.sequence ^ at as u64);
                let other = self.choices.below(Kind::Reorder, at as u64 + 1, u64::from(shard), operation) as usize;
                into.swap(at, other);
            }
        }
        for notice in into.iter() {
            self.note(1, notice.token, u64::from(notice.bits));
        }
    }

    fn depart(&mut self, time: u64, flight: Flight) {
        self.sequence += 1;
        self.flights.push(Reverse((time, self.sequence, flight)));
    }

    fn latency(&self, connection: u64, operation: u64) -> u64 {
        if self.choices.happens(Kind::Late, self.faults.late, connection, operation) {
            return LATENCY_NS + self.choices.below(Kind::Late, LATE_NS, connection, operation);
        }
        if self.faults.late == 0 {
            return LATENCY_NS;
        }
        LATENCY_NS / 4 + self.choices.below(Kind::Latency, 4 * LATENCY_NS, connection, operation)
    }

    fn tell(&mut self, owner: Owner, bits: u8, connection: u64, operation: u64) {
        let Owner::Shard(shard, token) = owner else { return };
        if token == NO_TOKEN {
            return;
        }
        let notice = Notice { token, bits };
        if self.choices.happens(Kind::Late, self.faults.late, !connection, operation) {
            let time = self.now + self.latency(!connection, operation);
            self.depart(time, Flight::Tell(shard, notice));
        } else {
            self.queues[usize::from(shard)].push(notice);
        }
    }

    fn tell_later(&mut self, owner: Owner, bits: u8, connection: u64, operation: u64) {
        let Owner::Shard(shard, token) = owner else { return };
        if token != NO_TOKEN {
            let time = self.now + self.latency(connection, operation);
            self.depart(time, Flight::Tell(shard, Notice { token, bits }));
        }
    }

    fn tell_end(&mut self, id: EndId, bits: u8) {
        let Some(end) = self.ends[id as usize].as_mut() else { return };
        end.operations += 1;
        let (owner, operation) = (end.owner, end.operations);
        self.tell(owner, bits, u64::from(id), operation);
    }

    /// Tells an end's owner once more that something is readable.
    pub(crate) fn tell_readable(&mut self, id: EndId) {
        self.tell_end(id, READ);
    }

    /// Whether the peer has ended its stream, or the connection has failed.
    pub(crate) fn hung_up(&self, id: EndId) -> bool {
        self.ends[id as usize].as_ref().is_some_and(|end| end.ended || end.reset || matches!(end.link, Link::Failed(_)))
    }

    // ---- doors ---------------------------------------------------------------------------------

    /// Opens a listening address.
    pub(crate) fn open_door(&mut self, address: &Address) -> io::Result<DoorId> {
        let name = key(address);
        if self.addresses.get(&name).is_some_and(|door| self.doors[*door as usize].open) {
            return error(libc::EADDRINUSE);
        }
        let id = u32::try_from(self.doors.len()).expect("fewer than 2^32 listeners");
        self.doors.push(Door {
            address: address.clone(),
            watchers: Vec::new(),
            backlog: VecDeque::new(),
            open: true,
            operations: 0,
            turn: 0,
        });
        self.addresses.insert(name, id);
        Ok(id)
    }

    /// The open door at an address.
    pub(crate) fn door_at(&self, address: &Address) -> Option<DoorId> {
        self.addresses.get(&key(address)).copied().filter(|door| self.doors[*door as usize].open)
    }

    /// A shard listens at a door; it is told at once if somebody waits already.
    pub(crate) fn watch_door(&mut self, id: DoorId, owner: Owner) {
        self.descriptors += 1;
        let door = &mut self.doors[id as usize];
        door.watchers.push(owner);
        if !door.backlog.is_empty() {
            self.tell(owner, READ, u64::MAX - u64::from(id), 0);
        }
    }

    /// A shard listens no more.
    pub(crate) fn leave_door(&mut self, id: DoorId, owner: Owner) {
        self.descriptors -= 1;
        let door = &mut self.doors[id as usize];
        door.watchers.retain(|watcher| *watcher != owner);
        if !door.backlog.is_empty() {
            self.knock(id);
        }
    }

    /// Closes a listening address; connections nobody has accepted are reset.
    pub(crate) fn close_door(&mut self, id: DoorId) {
        let door = &mut self.doors[id as usize];
        if !door.open {
            return;
        }
        door.open = false;
        let name = key(&door.address);
        for end in std::mem::take(&mut door.backlog) {
            self.abort(end);
        }
        self.addresses.remove(&name);
    }

    /// Whether a connection waits to be accepted.
    pub(crate) fn somebody_waits(&self, id: DoorId) -> bool {
        !self.doors[id as usize].backlog.is_empty()
    }

    pub(crate) fn door_address(&self, id: DoorId) -> Address {
        self.doors[id as usize].address.clone()
    }

    fn knock(&mut self, id: DoorId) {
        let door = &mut self.doors[id as usize];
        if door.watchers.is_empty() || door.backlog.is_empty() {
            return;
        }
        door.turn += 1;
        door.operations += 1;
        let owner = door.watchers[door.turn % door.watchers.len()];
        let operation = door.operations;
        self.tell(owner, READ, u64::MAX - u64::from(id), operation);
    }

    /// Takes a connection from a door's backlog for `owner`.
    pub(crate) fn accept(&mut self, id: DoorId, owner: Option<u16>) -> io::Result<EndId> {
        let door = &mut self.doors[id as usize];
        if !door.open {
            return error(libc::EINVAL);
        }
        door.operations += 1;
        let operation = door.operations;
        let connection = u64::MAX - u64::from(id);
        if let Some(shard) = owner {
            if door.backlog.is_empty() {
                return error(libc::EAGAIN);
            }
            if self.descriptors >= self.descriptor_limit
                || self.choices.happens(Kind::NoDescriptor, self.faults.no_descriptor, connection, operation)
            {
                self.note(2, connection, 0);
                return error(libc::EMFILE);
            }
            if self.choices.happens(Kind::Again, self.faults.again, connection, operation) {
                let time = self.now + self.latency(connection, operation);
                // An event that comes to nothing now comes again, to the one who tried.
                let door = &self.doors[id as usize];
                let mine = |watcher: &&Owner| matches!(watcher, Owner::Shard(other, _) if *other == shard);
                if let Some(Owner::Shard(_, token)) = door.watchers.iter().find(mine) {
                    let notice = Notice { token: *token, bits: READ };
                    self.depart(time, Flight::Tell(shard, notice));
                }
                return error(libc::EAGAIN);
            }
            self.descriptors += 1;
        }
        let Some(end) = self.doors[id as usize].backlog.pop_front() else {
            return error(libc::EAGAIN);
        };
        if let Some(shard) = owner {
            self.set_quiet_owner(end, shard);
            if self.end(end).reset && self.choices.below(Kind::Aborted, 2, u64::from(end), 1) == 0 {
                self.abort(end);
                return error(libc::ECONNABORTED);
            }
        }
        self.note(3, u64::from(end), 0);
        Ok(end)
    }

    // ---- connections ---------------------------------------------------------------------------

    fn port(&mut self) -> u16 {
        self.next_port = if self.next_port >= 65_535 { 40_000 } else { self.next_port + 1 };
        u16::try_from(self.next_port).expect("within the range of ports")
    }

    fn add(&mut self, peer: EndId, local: Address, remote: Address, link: Link) -> EndId {
        let id = u32::try_from(self.ends.len()).expect("fewer than 2^32 ends");
        let small = self.choices.happens(Kind::Window, self.faults.small_window, u64::from(id), 0);
        let window = SMALL_WINDOW + self.choices.below(Kind::Window, 8 * SMALL_WINDOW, u64::from(id), 0);
        self.ends.push(Some(Box::new(End {
            peer,
            owner: Owner::Nobody,
            local,
            remote,
            link,
            inbox: VecDeque::new(),
            taken: 0,
            unread: 0,
            coming: VecDeque::new(),
            coming_bytes: 0,
            last_arrival: 0,
            window: if small { usize::try_from(window).expect("small") } else { WINDOW },
            ended: false,
            reset: false,
            reset_told: false,
            finished: false,
            closed: false,
            wants_room: false,
            operations: 0,
            storm_until: 0,
            storm_event: 0,
            sent: 0,
            cut_after: self.limit(Kind::Cut, self.faults.cut, CUT_BYTES, id),
            half_close_after: if link == Link::Connecting {
                self.limit(Kind::HalfClose, self.faults.half_close, HALF_CLOSE_BYTES, id)
            } else {
                u64::MAX
            },
            attempts: 0,
        })));
        id
    }

    /// After how many bytes a fault strikes an end, if it does.
    fn limit(&self, kind: Kind, rate: u16, most: u64, id: EndId) -> u64 {
        let id = u64::from(id);
        // Small numbers are as likely as large ones: heads are short.
        let scale = most >> self.choices.below(kind, 12, id, 1);
        if self.choices.happens(kind, rate, id, 0) { 1 + self.choices.below(kind, scale, id, 0) } else { u64::MAX }
    }

    /// Starts a connection from `local`'s host to `to`. From a shard it is decided later, from outside at once.
    pub(crate) fn connect(&mut self, to: &Address, owner: Owner) -> io::Result<EndId> {
        let door = self.addresses.get(&key(to)).copied();
        let outside = owner == Owner::Nobody;
        if !outside && (self.descriptors >= self.descriptor_limit || self.lacks_socket()) {
            return error(libc::EMFILE);
        }
        match (to, door) {
            (Address::Unix(_), None) => return error(libc::ENOENT),
            (Address::Ip(_), None) if outside => return error(libc::ECONNREFUSED),
            _ => {}
        }
        let local = match to {
            // As with a kernel, who asks a loopback address comes from there.
            Address::Ip(to) if to.ip().is_loopback() => Address::Ip(SocketAddr::new(to.ip(), self.port())),
            Address::Ip(_) => {
                let host = if outside { [10, 0, 8, 1] } else { [10, 0, 7, 1] };
                Address::Ip(SocketAddr::from((host, self.port())))
            }
            Address::Unix(_) => Address::Unix(None),
        };
        let client = self.add(0, local.clone(), to.clone(), Link::Connecting);
        let server = self.add(client, to.clone(), local, Link::Connected);
        self.end(client).peer = server;
        self.note(4, u64::from(client), 0);
        if outside {
            self.end(client).link = Link::Connected;
            let door = door.expect("refused above");
            self.doors[door as usize].backlog.push_back(server);
            let time = self.now + self.latency(u64::from(client), 0);
            self.depart(time, Flight::Knock(door));
        } else {
            self.end(client).owner = owner;
            self.descriptors += 1;
            let mut time = self.now + self.latency(u64::from(client), 0);
            if self.is_unanswered(client) {
                time = self.now + UNANSWERED_NS;
            }
            self.depart(time, Flight::Attempt(client));
        }
        Ok(client)
    }

    /// Whether a fault refuses a descriptor that is no accepted connection's.
    pub(crate) fn lacks_socket(&mut self) -> bool {
        self.sequence += 1;
        self.choices.happens(Kind::NoSocket, self.faults.no_socket, 0, self.sequence)
    }

    fn is_unanswered(&self, client: EndId) -> bool {
        self.choices.happens(Kind::Unanswered, self.faults.unanswered, u64::from(client), 0)
    }

    /// How many connections may wait at a door.
    fn backlog_limit(&self, door: DoorId) -> usize {
        let (choices, rate, door) = (self.choices, self.faults.small_backlog, u64::from(door));
        let small = choices.happens(Kind::SmallBacklog, rate, door, 0);
        if small { 1 + choices.below(Kind::SmallBacklog, SMALL_BACKLOG, door, 0) as usize } else { BACKLOG }
    }

    /// A new connection waits at a door, and may be reset there.
    fn arrive(&mut self, door: DoorId, client: EndId, server: EndId) {
        self.doors[door as usize].backlog.push_back(server);
        if self.choices.happens(Kind::Aborted, self.faults.aborted, u64::from(client), 0) {
            self.take_reset(server);
            self.send_reset(client);
        }
        self.knock(door);
    }

    fn attempt(&mut self, client: EndId) {
        let Some(end) = self.ends[client as usize].as_ref() else { return };
        let (server, remote, closed) = (end.peer, end.remote.clone(), end.closed);
        if closed {
            self.ends[server as usize] = None;
            self.ends[client as usize] = None;
            return;
        }
        let refused = self.choices.happens(Kind::Refused, self.faults.refused, u64::from(client), 0);
        let door = self.addresses.get(&key(&remote)).copied().filter(|_| !refused);
        let full = |door: DoorId| self.doors[door as usize].backlog.len() >= self.backlog_limit(door);
        let failed = match door {
            _ if self.is_unanswered(client) => libc::ETIMEDOUT,
            Some(door) if full(door) => {
                let end = self.end(client);
                end.attempts += 1;
                if end.attempts <= RETRIES {
                    let time = self.now + (RETRY_NS << (self.end(client).attempts - 1));
                    return self.depart(time, Flight::Attempt(client));
                }
                libc::ETIMEDOUT
            }
            Some(door) => {
                self.end(client).link = Link::Connected;
                self.arrive(door, client, server);
                return self.tell_end(client, READ | WRITE);
            }
            None => libc::ECONNREFUSED,
        };
        self.end(client).link = Link::Failed(failed);
        self.end(server).closed = true;
        self.tell_end(client, READ | WRITE);
    }

    fn end(&mut self, id: EndId) -> &mut End {
        self.ends[id as usize].as_mut().expect("an end lives until both owners have closed")
    }

    /// Changes who is told about an end; a new shard is told at once what there is to do.
    pub(crate) fn set_owner(&mut self, id: EndId, owner: Owner) {
        let end = self.end(id);
        end.owner = owner;
        let mut bits = if end.ended || end.reset { HANGUP } else { 0 };
        if self.readable(id) {
            bits |= READ;
        }
        if self.writable(id) {
            bits |= WRITE;
        }
        if bits != 0 {
            self.tell_end(id, bits);
        }
    }

    /// A shard takes an end that it does not ask for events of yet.
    pub(crate) fn set_quiet_owner(&mut self, id: EndId, shard: u16) {
        self.end(id).owner = Owner::Shard(shard, NO_TOKEN);
    }

    /// An end is on its way to another shard.
    pub(crate) fn disown(&mut self, id: EndId) {
        self.end(id).owner = Owner::Nobody;
    }

    /// An end leaves a shard or comes to one, for the count of descriptors.
    pub(crate) fn count_descriptor(&mut self, more: bool) {
        self.descriptors = if more { self.descriptors + 1 } else { self.descriptors - 1 };
    }

    pub(crate) fn addresses(&self, id: EndId) -> (Address, Address) {
        match self.ends[id as usize].as_ref() {
            Some(end) => (end.local.clone(), end.remote.clone()),
            None => (Address::Unix(None), Address::Unix(None)),
        }
    }

    /// Whether a connection attempt has succeeded or failed; `EAGAIN` while neither.
    pub(crate) fn connected(&mut self, id: EndId) -> io::Result<()> {
        match self.end(id).link {
            Link::Connected => Ok(()),
            Link::Connecting => error(libc::EAGAIN),
            Link::Failed(code) => error(code),
        }
    }
}

/// A time span in the network's nanoseconds.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
