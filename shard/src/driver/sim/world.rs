//! What do simulated shards share? One network, one clock, one helper, and descriptors that stand for its sockets; and
//! how is each of them given its turn?

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, PipeReader};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use super::choice::{Choices, Kind};
use super::faults::Faults;
use super::memory;
use super::net::{DoorId, EndId, Network, Owner, nanoseconds};
use super::peer::{Listener, Peer};
use crate::net::Address;
use crate::{Park, Progress};

/// How far the clock moves in a round in which somebody worked.
const WORK_NS: u64 = 2_000;
/// Busy rounds in a row after which it moves twice as far: who tries the same again and again waits for a time.
const SPIN_ROUNDS: u64 = 64;
/// The most that doubles.
const SPIN_DOUBLINGS: u64 = 9;
/// How far the clock moves when nothing at all is to come.
const IDLE_NS: u64 = 1_000_000;
/// The most a slow helper job takes.
const SLOW_JOB_NS: u64 = 200_000_000;
/// The most the clock jumps.
const JUMP_NS: u64 = 5_000_000_000;
/// The most the wall clock is set to and fro.
const WALL_CLOCK_S: u64 = 3600;
/// Descriptors that were closed are noticed when nobody has work, and else in a round of so many.
const SWEEP_ROUNDS: u64 = 32;
/// A round of so many in which somebody worked may be one in which the clock jumps.
const JUMPING_ROUNDS: u64 = 16;
/// Seconds since 1970 when a world's clock starts.
const EPOCH_S: u64 = 1_790_000_000;

/// How the simulated driver behaves towards those above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    /// As epoll: calls try at once, and events say when to try again.
    Readiness,
    /// As io_uring: operations are started, end in a later turn, and cancelling one may come too late.
    Completion,
}

/// What a descriptor handed out by a world stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Stream(EndId),
    Door(DoorId),
}

/// A descriptor that stands for a socket: the writing end of a pipe, whose reading end sees when all copies are closed.
struct Ticket {
    inode: u64,
    reader: PipeReader,
    meaning: Meaning,
}

type Job = Box<dyn FnOnce() + Send>;

struct Inner {
    network: RefCell<Network>,
    personality: Personality,
    tickets: RefCell<Vec<Ticket>>,
    jobs: RefCell<Vec<(u64, Job)>>,
    submitted: Cell<u64>,
    hosts: RefCell<BTreeMap<String, Vec<IpAddr>>>,
    rounds: Cell<u64>,
    /// Rounds since nobody had work.
    busy_rounds: Cell<u64>,
    /// What was added to the wall clock.
    wall_clock_s: Cell<u64>,
    /// A shard has started something that its next turn goes on with.
    more_to_do: Cell<bool>,
}

/// A simulated network with its clock, shared by shards that take turns on one thread. The same seed and the same calls
/// give the same run, which [`World::trace`] shows.
#[derive(Clone)]
pub struct World(Rc<Inner>);

impl World {
    /// A world without faults; see [`World::set_faults`].
    pub fn new(seed: u64, personality: Personality) -> World {
        let world = World(Rc::new(Inner {
            network: RefCell::new(Network::new(seed)),
            personality,
            tickets: RefCell::default(),
            jobs: RefCell::default(),
            submitted: Cell::new(0),
            hosts: RefCell::default(),
            rounds: Cell::new(0),
            busy_rounds: Cell::new(0),
            wall_clock_s: Cell::new(WALL_CLOCK_S),
            more_to_do: Cell::new(false),
        }));
        world.set_faults(Faults::none());
        world
    }

    /// Sets how often each fault happens from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.network().faults = faults;
        memory::enter(Rc::as_ptr(&self.0).addr(), self.network().choices(), faults.cold_file);
    }

    /// The faults set now.
    pub fn faults(&self) -> Faults {
        self.network().faults
    }

    /// How the driver behaves.
    pub fn personality(&self) -> Personality {
        self.0.personality
    }

    /// A hash of everything that has happened: two runs that did the same have the same.
    pub fn trace(&self) -> u64 {
        self.network().trace()
    }

    /// Sends of all shards that took something.
    pub fn sends(&self) -> u64 {
        self.network().sends
    }

    /// Nanoseconds on the virtual clock.
    pub fn now_ns(&self) -> u64 {
        self.network().now
    }

    /// Seconds since 1970 on the virtual clock.
    pub fn unix_time(&self) -> u64 {
        EPOCH_S - WALL_CLOCK_S + self.0.wall_clock_s.get() + self.now_ns() / 1_000_000_000
    }

    /// Ends of connections that somebody still holds, or that wait to be accepted. 0 is a world at rest.
    pub fn open_ends(&self) -> usize {
        self.network().open_ends()
    }

    /// Descriptors handed out that stand for a listener, or for a stream on its way between shards, and are still open.
    pub fn tickets(&self) -> usize {
        self.sweep();
        self.0.tickets.borrow().len()
    }

    /// Helper jobs that have not ended.
    pub fn jobs(&self) -> usize {
        self.0.jobs.borrow().len()
    }

    /// How many sockets and listeners all shards together may have before they are told `EMFILE`.
    pub fn set_descriptor_limit(&self, limit: usize) {
        self.network().descriptor_limit = limit;
    }

    /// What a host name resolves to from now on; no address at all makes the name fail.
    pub fn set_host(&self, name: &str, addresses: &[IpAddr]) {
        self.0.hosts.borrow_mut().insert(name.to_owned(), addresses.to_vec());
    }

    /// A listening address as a descriptor for [`Shard::listen`](crate::Shard::listen). Copies of the descriptor share
    /// the listener; it goes when the last copy and the last shard's listener have been closed.
    ///
    /// # Errors
    /// `AddrInUse`, or no descriptor for the ticket.
    pub fn bind(&self, address: &Address) -> io::Result<OwnedFd> {
        let door = self.network().open_door(address)?;
        self.issue(Meaning::Door(door))
    }

    /// The same once more for an address that was bound here before, if it may be `shared`.
    pub(crate) fn bind_again(&self, address: &Address, shared: bool) -> io::Result<OwnedFd> {
        let door = self.network().door_at(address).filter(|_| shared).map(Meaning::Door);
        match door.filter(|door| self.0.tickets.borrow().iter().any(|ticket| ticket.meaning == *door)) {
            Some(door) => self.issue(door),
            None => self.bind(address),
        }
    }

    /// A listener outside of every shard.
    ///
    /// # Errors
    /// `AddrInUse`.
    pub fn listen(&self, address: &Address) -> io::Result<Listener> {
        let door = self.network().open_door(address)?;
        Ok(Listener::new(self.clone(), door))
    }

    /// A connection from outside of every shard. It stands at once.
    ///
    /// # Errors
    /// `ConnectionRefused`, or `NotFound` for a path, when nobody listens.
    pub fn connect(&self, to: &Address) -> io::Result<Peer> {
        let end = self.network().connect(to, Owner::Nobody)?;
        Ok(Peer::new(self.clone(), end))
    }

    /// Gives every shard one turn, in an order the seed chooses; moves the clock a little, or to the next thing that is
    /// due when nobody had work. Each of `turns` calls [`Shard::turn`](crate::Shard::turn) of one shard with the park it
    /// is given. True when somebody had work.
    pub fn turn_all(&self, turns: &mut [&mut dyn FnMut(Park) -> Progress]) -> bool {
        let round = self.0.rounds.get();
        self.0.rounds.set(round + 1);
        if round.is_multiple_of(SWEEP_ROUNDS) {
            self.sweep();
        }
        self.run_jobs();
        let choices = self.network().choices();
        let mut order: Vec<usize> = (0..turns.len()).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, choices.below(Kind::ShardOrder, at as u64 + 1, round, at as u64) as usize);
        }
        let mut busy = false;
        let mut next = None::<u64>;
        for at in order {
            let progress = turns[at](Park::Never);
            busy |= progress.runnable;
            next = earlier(next, progress.next.map(crate::Tick::as_nanos));
        }
        busy |= self.0.more_to_do.take() || self.network().has_any_notices();
        let now = self.now_ns();
        if busy {
            let spins = self.0.busy_rounds.get();
            self.0.busy_rounds.set(spins + 1);
            self.advance(now + (WORK_NS << (spins / SPIN_ROUNDS).min(SPIN_DOUBLINGS)));
            if round.is_multiple_of(JUMPING_ROUNDS) {
                self.jump(choices, round);
            }
        } else {
            self.0.busy_rounds.set(0);
            self.sweep();
            let due = earlier(next, self.next_due());
            self.advance(due.unwrap_or(now + IDLE_NS).max(now + 1));
            self.jump(choices, round);
        }
        busy
    }

    fn jump(&self, choices: Choices, round: u64) {
        let faults = self.faults();
        if choices.happens(Kind::Jump, faults.clock_jump, 0, round) {
            let by = choices.below(Kind::Jump, JUMP_NS, 0, round);
            self.advance(self.now_ns() + by);
        }
        if choices.happens(Kind::WallClock, faults.wall_clock, 0, round) {
            self.0.wall_clock_s.set(choices.below(Kind::WallClock, 2 * WALL_CLOCK_S, 0, round));
        }
    }

    /// Lets time pass without giving anybody a turn.
    pub fn pass(&self, time: Duration) {
        self.advance(self.now_ns() + nanoseconds(time));
    }

    pub(crate) fn advance(&self, time: u64) {
        self.network().advance(time);
    }

    /// The shards are to have another turn before the clock jumps to what is due.
    pub(crate) fn more_to_do(&self) {
        self.0.more_to_do.set(true);
    }

    /// The clock is to stop at this time.
    pub(crate) fn wake_at(&self, time: u64) {
        self.network().stop_at(time);
    }

    /// The time of the next thing under way, an arrival or the end of a job.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let job = self.0.jobs.borrow().iter().map(|(due, _)| *due).min();
        earlier(job, self.network().next_arrival())
    }

    pub(crate) fn network(&self) -> std::cell::RefMut<'_, Network> {
        self.0.network.borrow_mut()
    }

    // ---- descriptors ---------------------------------------------------------------------------

    /// A descriptor that stands for a socket.
    pub(crate) fn issue(&self, meaning: Meaning) -> io::Result<OwnedFd> {
        let (reader, writer) = io::pipe()?;
        let fd = OwnedFd::from(writer);
        let inode = inode(&fd)?;
        self.0.tickets.borrow_mut().push(Ticket { inode, reader, meaning });
        Ok(fd)
    }

    /// What a descriptor stands for. A stream's is used up by this, a listener's may be used again.
    ///
    /// # Errors
    /// `InvalidInput` for a descriptor that is not of this world.
    pub(crate) fn redeem(&self, fd: &OwnedFd) -> io::Result<Meaning> {
        let inode = inode(fd)?;
        let mut tickets = self.0.tickets.borrow_mut();
        let Some(at) = tickets.iter().position(|ticket| ticket.inode == inode) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let meaning = tickets[at].meaning;
        if matches!(meaning, Meaning::Stream(_)) {
            tickets.swap_remove(at);
        }
        Ok(meaning)
    }

    /// Closes what descriptors stood for that have all been closed.
    pub(crate) fn sweep(&self) {
        let mut lost = Vec::new();
        let mut tickets = self.0.tickets.borrow_mut();
        let mut at = 0;
        let gone = hung_up(&tickets);
        tickets.retain(|ticket| {
            let gone = gone.get(at).copied().unwrap_or(false);
            at += 1;
            if gone {
                lost.push(ticket.meaning);
            }
            !gone
        });
        drop(tickets);
        for meaning in lost {
            match meaning {
                Meaning::Stream(end) => self.network().close(end),
                Meaning::Door(_) if self.0.tickets.borrow().iter().any(|ticket| ticket.meaning == meaning) => {}
                Meaning::Door(door) => self.network().close_door(door),
            }
        }
    }

    // ---- helper jobs ---------------------------------------------------------------------------

    /// Takes a job that blocks; it runs in a later round.
    pub(crate) fn submit(&self, job: Job) {
        let number = self.0.submitted.get();
        self.0.submitted.set(number + 1);
        let network = self.network();
        let (choices, rate) = (network.choices(), network.faults.slow_job);
        if choices.happens(Kind::LostJob, network.faults.lost_job, 0, number) {
            drop(network);
            // Its owner hears that it is gone.
            return drop(job);
        }
        let mut due = network.now + 1000;
        if choices.happens(Kind::JobDelay, rate, 0, number) {
            due += choices.below(Kind::JobDelay, SLOW_JOB_NS, 0, number);
        }
        drop(network);
        self.0.jobs.borrow_mut().push((due, job));
    }

    pub(crate) fn run_jobs(&self) {
        let now = self.now_ns();
        let mut jobs = std::mem::take(&mut *self.0.jobs.borrow_mut());
        jobs.sort_by_key(|(due, _)| *due);
        let later = jobs.split_off(jobs.partition_point(|(due, _)| *due <= now));
        *self.0.jobs.borrow_mut() = later;
        for (due, job) in jobs {
            self.network().note(11, due, 0);
            super::resolver::with(&self.0.hosts.borrow(), job);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        memory::leave(std::ptr::from_ref(self).addr());
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self.network();
        f.debug_struct("World")
            .field("now_ns", &network.now)
            .field("ends", &network.live_ends())
            .finish_non_exhaustive()
    }
}

fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn inode(fd: &OwnedFd) -> io::Result<u64> {
    // SAFETY: all-zero is a valid stat, and the kernel fills it.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        crate::sys::check(libc::fstat(fd.as_raw_fd(), &raw mut stat))?;
        Ok(stat.st_ino)
    }
}

/// Of which tickets every copy of the writing end has been closed. Empty when it is none.
fn hung_up(tickets: &[Ticket]) -> Vec<bool> {
    let entry = |ticket: &Ticket| libc::pollfd { fd: ticket.reader.as_raw_fd(), events: 0, revents: 0 };
    let mut polls: Vec<_> = tickets.iter().map(entry).collect();
    // SAFETY: as many entries as are said, which live as long as the call; the descriptors are open for all of it.
    let count = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, 0) };
    if count <= 0 {
        return Vec::new();
    }
    polls.iter().map(|poll| poll.revents & libc::POLLHUP != 0).collect()
}
