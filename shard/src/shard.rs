//! What one core does, turn by turn.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::arena::{Arena, ArenaLimits, Class};
use crate::blocking::{Blocking, job};
use crate::counters::ShardCounters;
use crate::driver::{Driver, Epoll, Io, Uring};
use crate::executor::{Tasks, discard};
use crate::lease::Lease;
use crate::mailbox::Receiver;
use crate::pool::Pool;
use crate::random::Random;
use crate::socket::Sockets;
use crate::sys;
use crate::time::Tick;
use crate::timer::{Deadline, Due, LaneEntry, LaneId, Lanes, Wheel};
use crate::wake::{Bell, Entered, Target, TaskId, Wake};

/// Polls of tasks in one turn.
const POLLS_PER_TURN: usize = 512;
/// Calls of [`Service::ready`] in one turn.
const ROWS_PER_TURN: usize = 1024;
/// Bytes that one poll of a task, or one call of the service, moves by calls of its own (receives that found something,
/// splices, steps of sendfile): after them it waits for the next turn, however much more there is.
pub(crate) const BYTES_PER_POLL: usize = 2 << 20;
/// What such a call counts at least.
const LEAST_CHARGE: usize = 4 << 10;
/// Messages taken from the mailbox in one turn.
const MESSAGES_PER_TURN: usize = 64;
/// Lane entries that run out in one turn.
const DUE_PER_TURN: usize = 4096;
/// What a row or a poll costs a simulated shard.
const SIMULATED_COST: Duration = Duration::from_micros(100);
/// How often free memory is looked through for what nobody uses.
const TRIM_EVERY: Duration = Duration::from_secs(10);
/// How long a listener rests after it ran out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a shard is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The shard's number, for logs and metrics.
    pub index: u16,
    /// The driver; one for all shards of a process.
    pub io: Io,
    /// The core the shard's thread is pinned to, if any.
    pub core: Option<usize>,
    /// Where blocking work goes.
    pub pool: Option<Pool>,
    /// Sockets this shard may have open, listeners included. Accepting pauses at this number.
    pub max_sockets: u32,
    /// io_uring: entries of the submission queue.
    pub submission_entries: u32,
    /// io_uring: entries of the completion queue.
    pub completion_entries: u32,
    /// Buffers.
    pub arena: ArenaLimits,
    /// Called with the message of every panic caught in a task or in the service.
    pub on_panic: fn(&str),
}

impl Options {
    /// A shard's usual measures: 262,144 sockets, queues of 512 and 4096 entries.
    pub fn new(index: u16, io: Io) -> Options {
        Options {
            index,
            io,
            core: None,
            pool: None,
            max_sockets: 1 << 18,
            submission_entries: 512,
            completion_entries: 4096,
            arena: ArenaLimits::default(),
            on_panic: |_| {},
        }
    }
}

/// What runs on a shard: told of rows that have something to do.
///
/// Every call may call back into the shard. A panic in one is caught and counted.
pub trait Service {
    /// What comes by the mailbox.
    type Message: Send + 'static;

    /// A socket watched with [`Wake::row`] has an event. May be called for nothing.
    fn ready(&self, row: u32);

    /// A lane entry of this row has run out.
    fn expired(&self, row: u32);

    /// A message from the mailbox.
    fn message(&self, message: Self::Message);

    /// After rows and tasks ran, before what they queued is flushed.
    fn turn_ended(&self) {}
}

/// What a thread has used of its core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Processor time, the kernel's share included.
    pub used: Duration,
    /// Time it could have run but others did; zero where the kernel does not tell.
    pub waited: Duration,
}

/// How long a turn may sleep when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Park {
    /// Not at all: collect what is there.
    Never,
    /// At most this long.
    AtMost(Duration),
    /// Until something happens.
    UntilEvent,
}

/// What a turn left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// There is something to do at once.
    pub runnable: bool,
    /// When the next timer is due (or, rarely, a little earlier).
    pub next: Option<Tick>,
}

/// The runtime of one core. A handle, cheap to clone, that stays on its thread.
#[derive(Clone)]
pub struct Shard(pub(crate) Rc<Inner>);

/// What a shard is made of.
pub(crate) struct Inner {
    index: u16,
    bell: Arc<Bell>,
    pub(crate) driver: Driver,
    pub(crate) tasks: Tasks,
    /// Rows to call in this turn.
    rows: RefCell<VecDeque<u32>>,
    /// Rows that had their share of this turn.
    rows_later: RefCell<VecDeque<u32>>,
    pub(crate) sockets: Sockets,
    pub(crate) max_sockets: u32,
    pub(crate) arena: Arena,
    pub(crate) lanes: Lanes,
    pub(crate) wheel: Rc<Wheel>,
    now: Cell<Tick>,
    unix: Cell<u64>,
    /// Turns so far, for what is limited per turn.
    pub(crate) turn: Cell<u32>,
    /// When paused listeners are tried again.
    resume_at: Cell<Option<Tick>>,
    /// When free memory is looked through; a shard that sleeps does it in the turn after.
    trim_at: Cell<Tick>,
    /// The arena's count of returned buffers when starved sockets were last looked at.
    returned: Cell<u64>,
    /// Starved sockets were woken in this turn.
    fed: Cell<bool>,
    /// What is left of `BYTES_PER_POLL` to who runs now.
    left: Cell<usize>,
    /// An empty list to swap with `sockets.dirty`.
    flushing: Cell<Vec<u32>>,
    in_turn: Cell<bool>,
    /// The service panicked when it was told of the last turn's end.
    ended_badly: Cell<bool>,
    stopping: Cell<bool>,
    finished: Cell<bool>,
    pool: Option<Pool>,
    /// Every helper job that has not ended holds one more.
    pub(crate) jobs: Arc<()>,
    random: Random,
    #[cfg(any(test, feature = "testing"))]
    pub(crate) lines: crate::waits::Lines,
    /// Where the kernel tells how long this thread waited for its core; opened when it is first asked.
    delays: OnceCell<Option<std::fs::File>>,
    on_panic: fn(&str),
    pub(crate) counters: Arc<ShardCounters>,
}

impl Shard {
    /// Makes a shard on the thread it is to run on.
    ///
    /// # Errors
    /// The core cannot be had, or the kernel refuses the driver's descriptors or memory.
    pub fn new(options: &Options) -> io::Result<Shard> {
        if let Some(core) = options.core {
            crate::cores::pin(core)?;
        }
        let bell = register(Some(sys::eventfd()?))?;
        let eventfd = bell.eventfd().expect("made with one");
        let driver = match options.io {
            Io::Epoll => Epoll::new(eventfd).map(Driver::Epoll),
            Io::Uring => Uring::new(eventfd, options.submission_entries, options.completion_entries).map(Driver::Uring),
            Io::Sim => Err(io::ErrorKind::Unsupported.into()),
        };
        match driver {
            Ok(driver) => Ok(Shard::with_driver(options, bell, driver)),
            Err(error) => {
                bell.unregister();
                Err(error)
            }
        }
    }

    pub(crate) fn with_driver(options: &Options, bell: Arc<Bell>, driver: Driver) -> Shard {
        let now = driver.now();
        Shard(Rc::new(Inner {
            index: options.index,
            tasks: Tasks::new(bell.instance()),
            bell,
            rows: RefCell::default(),
            rows_later: RefCell::default(),
            sockets: Sockets::new(options.max_sockets.saturating_add(SPARE_SLOTS)),
            max_sockets: options.max_sockets,
            arena: Arena::new(options.arena),
            lanes: Lanes::default(),
            wheel: Wheel::new(now),
            now: Cell::new(now),
            unix: Cell::new(driver.unix()),
            turn: Cell::new(0),
            resume_at: Cell::new(None),
            trim_at: Cell::new(now + TRIM_EVERY),
            returned: Cell::new(0),
            fed: Cell::new(false),
            left: Cell::new(BYTES_PER_POLL),
            flushing: Cell::default(),
            in_turn: Cell::new(false),
            ended_badly: Cell::new(false),
            stopping: Cell::new(false),
            finished: Cell::new(false),
            pool: options.pool.clone(),
            jobs: Arc::default(),
            random: Random::new(driver.seed()),
            #[cfg(any(test, feature = "testing"))]
            lines: crate::waits::Lines::default(),
            delays: OnceCell::new(),
            on_panic: options.on_panic,
            counters: Arc::default(),
            driver,
        }))
    }

    /// Runs turns until [`stop`](Self::stop), then ends everything: tasks are dropped, sockets closed, memory freed.
    pub fn run<S: Service>(&self, service: &S, mailbox: &Receiver<S::Message>) {
        while !self.0.stopping.get() {
            self.turn(service, mailbox, Park::UntilEvent);
        }
        self.shutdown();
    }

    /// One turn: takes in what happened, runs rows and tasks, flushes each socket once, and sleeps as `park` allows. After
    /// [`shutdown`](Self::shutdown) it does nothing.
    ///
    /// # Panics
    /// When called from within a turn of the same shard.
    pub fn turn<S: Service>(&self, service: &S, mailbox: &Receiver<S::Message>, park: Park) -> Progress {
        self.0.turn(service, mailbox, park)
    }

    /// Makes [`run`](Self::run) return after this turn.
    pub fn stop(&self) {
        self.0.stopping.set(true);
    }

    /// Ends everything, for who drives [`turn`](Self::turn) by hand: drops all tasks, closes all sockets, waits for the
    /// kernel to let go of buffers. Tasks hold handles of their shard, so a shard is not freed before this.
    ///
    /// # Panics
    /// When called from within a turn.
    pub fn shutdown(&self) {
        assert!(!self.0.in_turn.get(), "a shard does not end within its turn");
        self.0.shutdown();
    }

    /// The time, cached at the beginning of the turn.
    pub fn now(&self) -> Tick {
        self.0.now.get()
    }

    /// The time by the clock, for measuring within a turn.
    pub fn stamp(&self) -> Tick {
        self.0.driver.now()
    }

    /// Seconds since 1970-01-01 UTC, cached at the beginning of the turn.
    pub fn unix_time(&self) -> u64 {
        self.0.unix.get()
    }

    /// 64 random bits, for what must differ and need not stay secret: who sees some of them can tell the next. On a simulated
    /// shard its world's seed decides them.
    pub fn random(&self) -> u64 {
        self.0.random.next()
    }

    /// What this thread has used of its core, and how long it waited for it. Two system calls: for measuring, not for every
    /// turn. A simulated shard has used 100 µs for each row and each poll of a task, and never waits.
    pub fn effort(&self) -> Effort {
        let counters = &self.0.counters;
        let Some(used) = self.0.driver.cpu_time() else {
            let calls = u32::try_from(counters.rows.get() + counters.polls.get()).unwrap_or(u32::MAX);
            return Effort { used: SIMULATED_COST * calls, waited: Duration::ZERO };
        };
        let delays = self.0.delays.get_or_init(|| std::fs::File::open("/proc/thread-self/schedstat").ok());
        Effort { used, waited: delays.as_ref().and_then(sys::run_delay).unwrap_or_default() }
    }

    /// The driver.
    pub fn io(&self) -> Io {
        self.0.driver.io()
    }

    /// The shard's number.
    pub fn index(&self) -> u16 {
        self.0.index
    }

    /// What the shard counts; other threads may keep it and read it.
    pub fn cells(&self) -> &Arc<ShardCounters> {
        &self.0.counters
    }

    /// A buffer for output, from the arena or, when the class is used up, from the heap.
    pub fn lease(&self, class: Class) -> Lease {
        self.try_lease(class).unwrap_or_else(|| Lease::with_capacity(class.size()))
    }

    /// A buffer for output from the arena, reserve included; `None` when the class is used up.
    pub fn try_lease(&self, class: Class) -> Option<Lease> {
        self.0.arena.take(class, true)
    }

    // ---- tasks -------------------------------------------------------------------------------------

    /// Starts a task; it runs in this turn if there is time. A panic in it ends that task alone.
    pub fn spawn<F: Future<Output = ()> + 'static>(&self, future: F) -> TaskId {
        self.0.tasks.spawn(future)
    }

    /// Drops a task's future, at once or after its current poll. Says whether it was alive.
    pub fn cancel(&self, task: TaskId) -> bool {
        self.0.tasks.cancel(task)
    }

    /// Wakes whoever `wake` names.
    pub fn wake(&self, wake: Wake) {
        self.0.wake(wake);
    }

    /// Runs `work` on the pool; the task is woken by its result.
    pub fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Blocking<T> {
        let running = Arc::clone(&self.0.jobs);
        let (job, result) = job(move || {
            let done = work();
            drop(running);
            done
        });
        if let Some(job) = self.0.driver.take_job(job)
            && let Some(pool) = &self.0.pool
        {
            pool.submit(job);
        }
        result
    }

    // ---- timers ------------------------------------------------------------------------------------

    /// The lane of this timeout, made when it is first asked for.
    pub fn lane(&self, timeout: Duration) -> LaneId {
        self.0.lanes.lane(timeout, false)
    }

    /// Lets `row` run out after the lane's timeout: [`Service::expired`] is called with it, once.
    pub fn lane_push(&self, lane: LaneId, row: u32) -> LaneEntry {
        self.0.lanes.push(lane, row, self.0.now.get())
    }

    /// Takes a row out of its lane. Says whether it was still in.
    pub fn lane_remove(&self, entry: LaneEntry) -> bool {
        self.0.lanes.remove(entry)
    }

    /// A deadline `after` from now.
    pub fn deadline(&self, after: Duration) -> Deadline {
        Deadline::new(&self.0.wheel, Some(after))
    }

    /// A deadline that is not set.
    pub fn deadline_unset(&self) -> Deadline {
        Deadline::new(&self.0.wheel, None)
    }
}

/// Slots beyond the accept limit, for sockets that are closing and connections to upstreams.
const SPARE_SLOTS: u32 = 4096;

pub(crate) fn register(eventfd: Option<std::os::fd::OwnedFd>) -> io::Result<Arc<Bell>> {
    if let Some(fd) = &eventfd {
        debug_assert!(fd.as_raw_fd() >= 0);
    }
    Bell::register(eventfd).ok_or_else(|| io::Error::other("this process has 65,535 shards already"))
}

impl Inner {
    pub(crate) fn now(&self) -> Tick {
        self.now.get()
    }

    /// Makes whoever `wake` names run in this turn.
    pub(crate) fn wake(&self, wake: Wake) {
        match wake.target() {
            Target::Nothing => {}
            Target::Task(task) => self.tasks.wake(task),
            Target::Row(row) => self.rows.borrow_mut().push_back(row),
        }
    }

    /// Makes whoever `wake` names run in the next turn.
    pub(crate) fn wake_later(&self, wake: Wake) {
        match wake.target() {
            Target::Row(row) => self.rows_later.borrow_mut().push_back(row),
            _ => self.wake(wake),
        }
    }

    /// Whether who runs now may move more bytes. If not, `wake` is woken in the next turn.
    pub(crate) fn may_move(&self, wake: Wake) -> bool {
        let may = self.left.get() > 0;
        if !may {
            self.wake_later(wake);
        }
        may
    }

    /// Counts what who runs now has moved.
    pub(crate) fn charge(&self, bytes: usize) {
        self.left.set(self.left.get().saturating_sub(bytes.max(LEAST_CHARGE)));
    }

    /// Notes that a listener rests, and until when.
    pub(crate) fn resume_accepting_later(&self) {
        let at = self.now() + ACCEPT_PAUSE;
        self.resume_at.set(Some(self.resume_at.get().map_or(at, |before| before.min(at))));
    }

    /// Nothing rests any more.
    pub(crate) fn resumed(&self) {
        self.resume_at.set(None);
    }

    fn turn<S: Service>(&self, service: &S, mailbox: &Receiver<S::Message>, park: Park) -> Progress {
        if self.finished.get() {
            return Progress { runnable: false, next: None };
        }
        assert!(!self.in_turn.replace(true), "a shard's turn is not entered twice");
        let entered = Entered::enter(self.bell.instance(), &self.tasks);
        mailbox.bind(&self.bell);
        self.now.set(self.driver.now());
        self.unix.set(self.driver.unix());
        self.turn.set(self.turn.get().wrapping_add(1));

        self.driver.reap(self);
        self.expire(service);
        if self.bell.take_rung() {
            self.bell.take_tasks(|index| self.tasks.wake_index(index));
            self.deliver(service, mailbox);
        }
        self.feed();
        self.run_ready(service, &entered);
        self.counters.panics.add(self.tasks.take_drop_panics());
        self.end_turn(service);
        self.flush_all();
        self.publish();

        let progress = self.progress();
        self.sleep(park, progress);
        drop(entered);
        self.in_turn.set(false);
        progress
    }

    /// Rows and tasks that are to run.
    pub(crate) fn runnable(&self) -> usize {
        self.tasks.runnable() + self.rows.borrow().len() + self.rows_later.borrow().len()
    }

    fn progress(&self) -> Progress {
        let runnable = self.tasks.is_runnable()
            || !self.rows.borrow().is_empty()
            || !self.rows_later.borrow().is_empty()
            || !self.sockets.dirty.borrow().is_empty()
            || self.bell.is_rung()
            || self.may_feed()
            || self.stopping.get();
        let timers = [self.lanes.next(), self.wheel.next(), self.resume_at.get()];
        Progress { runnable, next: timers.into_iter().flatten().min() }
    }

    fn sleep(&self, park: Park, progress: Progress) {
        let limit = match park {
            _ if progress.runnable => Some(Duration::ZERO),
            Park::Never => Some(Duration::ZERO),
            Park::AtMost(limit) => Some(limit),
            Park::UntilEvent => None,
        };
        let until_timer = progress.next.map(|next| next.since(self.driver.now()));
        let limit = limit.into_iter().chain(until_timer).min();
        if limit == Some(Duration::ZERO) || !self.bell.park() {
            self.driver.park(Some(Duration::ZERO));
        } else {
            self.driver.park(limit);
            self.bell.unpark();
        }
    }

    fn expire<S: Service>(&self, service: &S) {
        let now = self.now();
        self.wheel.advance(now, |wake| self.wake(wake));
        for _ in 0..DUE_PER_TURN {
            match self.lanes.take_due(now) {
                Some(Due::Row(row)) => {
                    self.guard(|| service.expired(row));
                }
                Some(Due::Close(index)) => self.close_ran_out(index),
                None => break,
            }
        }
        if self.trim_at.get() <= now {
            self.trim_at.set(now + TRIM_EVERY);
            self.arena.trim();
        }
        if self.resume_at.get().is_some_and(|at| at <= now) {
            self.resume_accepting();
        }
    }

    fn deliver<S: Service>(&self, service: &S, mailbox: &Receiver<S::Message>) {
        for _ in 0..MESSAGES_PER_TURN {
            match mailbox.take() {
                Some(message) => {
                    self.guard(|| service.message(message));
                }
                None => return,
            }
        }
        if !mailbox.is_empty() {
            self.bell.ring();
        }
    }

    /// Whether a socket waits for a buffer and there may be one.
    fn may_feed(&self) -> bool {
        !self.sockets.starved.borrow().is_empty() && (self.fed.get() || self.arena.returned() != self.returned.get())
    }

    /// Lets sockets that wait for a buffer try again, as many as there are buffers.
    fn feed(&self) {
        let returned = self.arena.returned();
        if returned == self.returned.replace(returned) && !self.fed.get() {
            return;
        }
        self.driver.refill(self);
        // Who is woken may not take the buffer after all, so look again next turn.
        self.fed.set(!self.sockets.starved.borrow().is_empty() && self.feed_starved());
    }

    fn run_ready<S: Service>(&self, service: &S, entered: &Entered<'_>) {
        self.tasks.begin_turn();
        self.rows.borrow_mut().append(&mut self.rows_later.borrow_mut());
        let (mut rows, mut polls) = (0, 0);
        let (rows_limit, polls_limit) = self.turn_limits();
        loop {
            let mut idle = true;
            if rows < rows_limit {
                let row = self.rows.borrow_mut().pop_front();
                if let Some(row) = row {
                    rows += 1;
                    idle = false;
                    self.guard(|| service.ready(row));
                }
            }
            if idle && polls < polls_limit {
                self.left.set(BYTES_PER_POLL);
                idle = !self.tasks.run_one(entered, &mut |panic| self.panicked(panic));
                polls += usize::from(!idle);
            }
            if idle {
                break;
            }
        }
        self.counters.polls.add(polls as u64);
        self.counters.rows.add(rows as u64);
        #[cfg(any(test, feature = "testing"))]
        self.lines.turn_ended((rows, self.rows.borrow().len()), (polls, self.tasks.runnable()));
    }

    /// Calls of the service for rows, and polls of tasks, in this turn.
    #[cfg(not(any(test, feature = "testing")))]
    const fn turn_limits(&self) -> (usize, usize) {
        (ROWS_PER_TURN, POLLS_PER_TURN)
    }

    /// The same where a simulation may make turns short.
    #[cfg(any(test, feature = "testing"))]
    fn turn_limits(&self) -> (usize, usize) {
        match &self.driver {
            Driver::Sim(sim) => sim.turn_limits(ROWS_PER_TURN, POLLS_PER_TURN),
            _ => (ROWS_PER_TURN, POLLS_PER_TURN),
        }
    }

    /// Tells the service that the turn is over. Where that panics it is told again soon, and so hears of its panic; unless
    /// it panicked the last time too.
    fn end_turn<S: Service>(&self, service: &S) {
        let panicked = !self.guard(|| service.turn_ended());
        if !self.ended_badly.replace(panicked) && panicked {
            self.bell.ring();
        }
    }

    /// Flushes every socket that something was queued on, once.
    fn flush_all(&self) {
        let mut list = self.flushing.take();
        std::mem::swap(&mut list, &mut self.sockets.dirty.borrow_mut());
        for index in list.drain(..) {
            self.flush(index);
        }
        self.flushing.set(list);
    }

    fn publish(&self) {
        self.counters.turns.add(1);
        self.counters.tasks.set(u64::from(self.tasks.live()));
        self.counters.sockets.set(u64::from(self.sockets.open.get()));
        self.counters.buffers.set(self.arena.out().saturating_sub(self.driver.lying_buffers()));
    }

    /// Runs a call into the service; a panic ends that call alone. Says whether there was none.
    fn guard(&self, call: impl FnOnce()) -> bool {
        self.left.set(BYTES_PER_POLL);
        let Err(panic) = catch_unwind(AssertUnwindSafe(call)) else { return true };
        self.panicked(&*panic);
        discard(panic);
        false
    }

    fn panicked(&self, panic: &(dyn Any + Send)) {
        self.counters.panics.add(1);
        let message = panic.downcast_ref::<String>().map(String::as_str);
        (self.on_panic)(message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic"));
    }

    fn shutdown(&self) {
        if self.finished.replace(true) {
            return;
        }
        self.stopping.set(true);
        let entered = Entered::enter(self.bell.instance(), &self.tasks);
        self.tasks.clear();
        drop(entered);
        // From here on nothing is begun: the kernel would outlast the memory.
        self.sockets.shut.set(true);
        for index in 0..self.sockets.made() {
            self.abandon(index);
        }
        self.driver.quiesce(self);
        self.counters.panics.add(self.tasks.take_drop_panics());
        self.publish();
        self.bell.unregister();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("index", &self.0.index).field("io", &self.io()).finish_non_exhaustive()
    }
}
