//! The control thread: it owns the configuration, the listeners and the shards, and tells the shards what to do. It never
//! waits for one.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anygate_core::Diagnostic;
use anygate_core::config::{Config, ListenAddr, Loaded};
use anygate_core::metrics::{Gauge, ShardCells};
use anygate_shard::mailbox::{Receiver, Sender};
use anygate_shard::net::Address;
use anygate_shard::signals::{Signal, Signals};
use anygate_shard::{Service, Shard, Side, Socket, SocketId, Tick, Wake, heap};

use crate::challenges::Challenges;
use crate::compile::{CompileEnv, compile};
use crate::connection::moving::Moved;
use crate::observe::limit::{Limit, QUIET, Told};
use crate::observe::log::Log;
use crate::plan::Plan;
use crate::tls::{Credentials, Front, keys};
use crate::upstream::endpoint::Key;

mod acme;
mod certificates;
mod crew;
mod fetch;
mod listeners;
mod reload;
mod resolve;
mod shards;
mod staples;
mod start;

pub use shards::ShardHandle;
pub use start::{Doors, First, StartError, Started, Startup, Warned, run};

use self::listeners::{Listeners, Opened};

/// What the control thread tells a shard.
#[derive(Debug)]
pub enum Order {
    /// Serve new requests by this.
    Install(Box<Plan>),
    /// Accept here.
    Listen {
        /// A listening socket of this shard's own.
        fd: OwnedFd,
        /// The listener's number, the same on every shard.
        number: u32,
        /// How its connections begin.
        front: Front,
    },
    /// Connections of a listener begin so from now on.
    Front {
        /// The listener's number.
        number: u32,
        /// How.
        front: Front,
    },
    /// A listener has another number from now on. Connections that came by the old one finish what is under way and close.
    Renumber {
        /// The old number.
        from: u32,
        /// The new one, whose front was said already.
        to: u32,
    },
    /// Answer these challenges of an authority, and no others.
    Challenges(Arc<Challenges>),
    /// Take who knocked, then close.
    Unlisten {
        /// The listener's number.
        number: u32,
    },
    /// Serve a client that came to another shard.
    Adopt {
        /// Its socket; nothing was read from it.
        socket: Socket,
        /// Who it is.
        peer: Address,
        /// The listener it came by.
        listener: u32,
    },
    /// Go on serving a client that another shard served.
    Resume(Box<Moved>),
    /// An upstream's name has these addresses now.
    Resolved {
        /// Which endpoint.
        key: Key,
        /// Its addresses.
        addresses: Vec<SocketAddr>,
    },
    /// Finish what is under way and take nothing new.
    Drain,
    /// End the loop.
    Stop,
}

/// What a shard tells the control thread.
#[derive(Debug)]
pub enum Report {
    /// This shard serves new requests by the table with this serial.
    Installed(u16, u64),
    /// A table nobody uses any more, to be freed here.
    Retired(Box<Plan>),
    /// This shard has no client left.
    Drained(u16),
    /// This shard stopped accepting for a moment: out of descriptors or memory.
    AcceptPaused(u16),
    /// Something panicked on this shard; what it served is closed.
    Panicked(u16),
    /// Clients of this shard reached a limit, at least once; one of them is named where that is known.
    Reached(Limit, Option<Address>),
    /// A listener could not be taken over.
    ListenFailed(u32, io::Error),
    /// This shard's thread ends by a panic.
    Died(u16),
}

/// How far the process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
    Stopping,
}

/// The control thread's state.
struct Control {
    shard: Shard,
    /// Where signals come from; a simulated server is told of them.
    signals: Option<(Signals, SocketId)>,
    log: Log,
    state: RefCell<State>,
    /// True while a task tries orders again.
    flushing: Cell<bool>,
    /// How often a reload was asked for since none is under way.
    reloads_wanted: Cell<u32>,
    /// When the log last said that accepting pauses.
    pause_said: Cell<Option<Tick>>,
    /// What the log was told of limits that clients reached.
    limits_told: Told,
    /// Tables that came back since memory was given back.
    retired: Cell<usize>,
    /// Panics of this thread that the log was told of.
    panics_told: Cell<u64>,
    /// Certificates that are ordered.
    acme: acme::Slot,
    /// True while a task looks after certificates.
    watching: Cell<bool>,
}

struct State {
    startup: Startup,
    config: Config,
    shards: Vec<ShardHandle>,
    listeners: Listeners,
    /// How connections begin, by where they come in.
    fronts: Vec<(ListenAddr, Front)>,
    certificates: certificates::Keeping,
    staples: staples::Schedule,
    names: resolve::Names,
    serial: u64,
    /// The last table that was told to serve everywhere.
    told: u64,
    cores: Vec<usize>,
    phase: Phase,
    drained: Vec<bool>,
    /// A shard's thread died.
    died: bool,
    descriptors: usize,
}

/// How long the log is quiet about pauses after it told of one: each lasts a fraction of a second, and the counter has them all.
const PAUSE_QUIET: Duration = Duration::from_secs(10);
/// How often it is looked whether tickets need a new key.
const KEYS_LOOKED_AT: Duration = Duration::from_secs(60);
/// The row of the signal descriptor; the control shard has no other.
const SIGNALS: u32 = 0;

impl Control {
    fn watch_signals(self: &Rc<Self>) {
        let Some((signals, row)) = &self.signals else { return };
        // Readiness may be announced late: take everything, then ask to be woken again.
        while let std::task::Poll::Ready(Ok(())) = self.shard.poll_ready(*row, Side::Read, Wake::row(SIGNALS)) {
            match signals.take() {
                Ok(Some(signal)) => self.signal(signal),
                Ok(None) => continue,
                Err(error) => return self.log.error("signals cannot be read any more", &[("error", &error)]),
            }
        }
    }

    fn signal(self: &Rc<Self>, signal: Signal) {
        match signal {
            Signal::Hangup => self.reload(),
            Signal::Terminate | Signal::Interrupt => {
                let phase = self.state.borrow().phase;
                match phase {
                    Phase::Serving => self.drain(signal),
                    // Asked twice: those who wait are not waited for.
                    Phase::Draining => self.stop("stopping now, as asked again"),
                    Phase::Stopping => {}
                }
            }
        }
    }

    fn drain(self: &Rc<Self>, signal: Signal) {
        let timeout = {
            let mut state = self.state.borrow_mut();
            state.phase = Phase::Draining;
            state.config.server.drain_timeout
        };
        self.end_orders();
        self.log.info("draining", &[("signal", &format!("{signal:?}")), ("timeout_s", &timeout.as_secs_f32())]);
        self.order_all(|_| Order::Drain);
        let control = Rc::clone(self);
        self.shard.spawn(async move {
            control.shard.sleep(timeout).await;
            if control.state.borrow().phase == Phase::Draining {
                let left: u64 = control.cells().iter().map(|cells| cells.snapshot().connections_active()).sum();
                control.log.warn("the drain's time is over; connections are cut", &[("connections", &left)]);
                control.stop("stopping");
            }
        });
    }

    fn stop(self: &Rc<Self>, why: &str) {
        self.state.borrow_mut().phase = Phase::Stopping;
        self.end_orders();
        self.log.info(why, &[]);
        self.order_all(|_| Order::Stop);
        self.shard.stop();
    }

    /// Has the shards accept on these; every shard gets a socket of each.
    fn listen(self: &Rc<Self>, opened: Vec<Opened>) {
        for Opened { number, address, sockets } in opened {
            let mut sockets = sockets.into_iter();
            let front = self.front(&address);
            self.order_all(|_| {
                let fd = sockets.next().expect("a socket was opened for each shard");
                Order::Listen { fd, number, front: front.clone() }
            });
        }
    }

    /// How the connections begin that come in at `address`.
    fn front(&self, address: &ListenAddr) -> Front {
        let state = self.state.borrow();
        state.fronts.iter().find(|(at, _)| at == address).map(|(_, front)| front.clone()).unwrap_or_default()
    }

    /// Tells the shards how the connections of every listener begin: all of them, before one takes a client that it may
    /// hand to another.
    fn say_fronts(self: &Rc<Self>) {
        let numbers = self.state.borrow().listeners.numbers();
        for (number, address) in numbers {
            let front = self.front(&address);
            self.order_all(|_| Order::Front { number, front: front.clone() });
        }
    }

    /// When each shard has given a table back, the memory of all of them goes back to the kernel.
    fn retired(&self) {
        self.retired.set(self.retired.get() + 1);
        // Where nobody sends signals the process is not this server's alone.
        if self.signals.is_some() && self.retired.get() >= self.state.borrow().shards.len() {
            self.retired.set(0);
            heap::give_back();
        }
    }

    /// Tells the log of a limit that clients reached.
    fn reached(&self, limit: Limit, peer: Option<&Address>) {
        let total = self.cells().iter().map(|cells| limit.counter(cells).get()).sum();
        let Some(times) = self.limits_told.tell(limit, self.shard.now(), total) else { return };
        let section = limit.section();
        let key = format!("{section}.{}", limit.keys().join(&format!(" or {section}.")));
        let peer = peer.map_or_else(|| "unknown".to_owned(), Address::to_string);
        self.log.write(limit.level(), limit.message(), &[("limit", &key), ("peer", &peer), ("times", &times)]);
    }

    fn cells(&self) -> Vec<Arc<ShardCells>> {
        self.state.borrow().shards.iter().map(|shard| Arc::clone(&shard.cells)).collect()
    }
}

/// What the control thread begins with.
pub struct Opening {
    /// Its own shard.
    pub shard: Shard,
    /// Where signals come from, and the socket that watches; none where [`Desk::signal`] is called instead.
    pub signals: Option<(Signals, SocketId)>,
    /// What the caller of everything brought.
    pub startup: Startup,
    /// The configuration that the shards run with.
    pub first: First,
    /// Its listeners, for the shards to accept from.
    pub doors: Doors,
    /// Why io_uring is not used, where it was wanted.
    pub fallback: Option<String>,
    /// The shards, in their order.
    pub shards: Vec<ShardHandle>,
    /// Where everything is told.
    pub log: Log,
}

/// The control shard's service.
pub struct Desk(Rc<Control>);

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("phase", &self.0.state.borrow().phase).finish_non_exhaustive()
    }
}

impl Desk {
    /// Opens the house: names are resolved, then the shards accept.
    #[must_use]
    pub fn open(opening: Opening) -> Self {
        let Opening { shard, signals, startup, first, doors, fallback, shards, log } = opening;
        let First { config, plan, credentials, cores, descriptors } = first;
        let Doors { mut listeners, change } = doors;
        listeners.agree(|address| credentials.terms(address));
        let started = Started {
            listeners: listeners
                .addresses()
                .map(|(stands, configured)| (stands.clone(), plan.front(configured).tls.is_some()))
                .collect(),
            cores: cores.clone(),
            io: shard.io(),
            fallback,
            routes: plan.routes.len(),
        };
        let count = shards.len();
        let control = Rc::new(Control {
            shard,
            signals,
            log,
            state: RefCell::new(State {
                startup,
                names: resolve::Names::of(&plan),
                config,
                shards,
                listeners,
                fronts: plan.fronts.clone(),
                certificates: certificates::Keeping::new(credentials),
                staples: staples::Schedule::default(),
                serial: plan.serial,
                told: plan.serial,
                cores,
                phase: Phase::Serving,
                drained: vec![false; count],
                died: false,
                descriptors,
            }),
            flushing: Cell::new(false),
            reloads_wanted: Cell::new(0),
            pause_said: Cell::new(None),
            limits_told: Told::new(QUIET),
            retired: Cell::new(0),
            panics_told: Cell::new(0),
            acme: acme::Slot::default(),
            watching: Cell::new(false),
        });
        control.watch_signals();
        let keeper = Rc::clone(&control);
        control.shard.spawn(async move {
            loop {
                keeper.shard.sleep(KEYS_LOOKED_AT).await;
                keys::tick(keeper.shard.unix_time());
            }
        });
        let opening = Rc::clone(&control);
        control.shard.spawn(async move {
            opening.resolve_new().await;
            opening.say_fronts();
            opening.listen(change.opened);
            opening.watch_certificates();
            opening.keep_certificates_coming();
            (opening.state.borrow().startup.started)(&started);
            opening.resolve();
        });
        Self(control)
    }

    /// What the process does when it gets a signal.
    pub fn signal(&self, signal: Signal) {
        self.0.signal(signal);
    }

    /// Looks at the files of certificates now, and not only when it is time.
    pub fn look_at_certificates(&self) {
        let control = Rc::clone(&self.0);
        self.0.shard.spawn(async move { _ = control.look_at_certificates().await });
    }

    /// What is to be known of the process as a whole, as it is now.
    #[must_use]
    pub fn gauges(&self) -> Vec<Gauge> {
        certificates::gauges(&self.0.state.borrow().certificates)
    }

    /// True once every shard was told to end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.state.borrow().phase == Phase::Stopping
    }

    /// Waits for the shards' threads, once the control shard's own loop has ended, and closes the listeners.
    ///
    /// # Errors
    /// A shard's thread died.
    pub fn close(self) -> Result<(), StartError> {
        let Self(control) = self;
        let mut state = control.state.borrow_mut();
        for shard in &mut state.shards {
            if !shard.join() {
                control.log.error("a shard's thread panicked", &[]);
            }
        }
        state.listeners = Listeners::default();
        control.log.info("stopped", &[]);
        match state.died {
            true => Err(StartError::Died("a shard's thread panicked, so everything was ended".to_owned())),
            false => Ok(()),
        }
    }
}

impl Service for Desk {
    type Message = Report;

    fn ready(&self, _row: u32) {
        self.0.watch_signals();
    }

    fn expired(&self, _row: u32) {}

    fn turn_ended(&self) {
        let panics = self.0.shard.cells().panics.get();
        if panics != self.0.panics_told.replace(panics) {
            self.0.log.error("a panic was caught in the control thread; what it was about is left as it was", &[]);
        }
    }

    fn message(&self, report: Report) {
        let control = &self.0;
        match report {
            Report::Installed(shard, serial) => control.installed(shard, serial),
            Report::Retired(plan) => {
                drop(plan);
                control.retired();
            }
            Report::AcceptPaused(shard) => {
                let now = control.shard.now();
                if control.pause_said.get().is_some_and(|said| now.since(said) < PAUSE_QUIET) {
                    return;
                }
                control.pause_said.set(Some(now));
                let paused: u64 = control.cells().iter().map(|cells| cells.accept_paused.get()).sum();
                control.log.warn(
                    "accepting pauses: out of descriptors or memory; raise LimitNOFILE or lower server.max_connections",
                    &[("shard", &shard), ("pauses", &paused)],
                );
            }
            Report::Reached(limit, peer) => control.reached(limit, peer.as_ref()),
            Report::Panicked(shard) => {
                control.log.error("a panic was caught; the connection it served is closed", &[("shard", &shard)]);
            }
            Report::ListenFailed(number, error) => {
                control.log.error("a shard cannot listen", &[("listener", &number), ("error", &error)]);
            }
            Report::Died(shard) => {
                control.log.error("a shard's thread panicked; nothing can be served without it", &[("shard", &shard)]);
                control.state.borrow_mut().died = true;
                control.stop("stopping, so that a new process can take over");
            }
            Report::Drained(shard) => {
                let all = {
                    let mut state = control.state.borrow_mut();
                    if let Some(drained) = state.drained.get_mut(usize::from(shard)) {
                        *drained = true;
                    }
                    state.phase == Phase::Draining && state.drained.iter().all(|drained| *drained)
                };
                // One that was handed to a shard that had said so is still served there: it says so again.
                let left: u64 = control.cells().iter().map(|cells| cells.snapshot().connections_active()).sum();
                if all && left == 0 {
                    control.stop("drained");
                }
            }
        }
    }
}

/// A configuration that was loaded and compiled, or everything that is wrong with it.
struct Prepared {
    loaded: Loaded,
    plan: Option<Plan>,
    credentials: Credentials,
    diagnostics: Vec<Diagnostic>,
}

fn prepare(startup: &Startup, env: &CompileEnv) -> Prepared {
    let mut loaded = (startup.load)();
    let mut diagnostics = std::mem::take(&mut loaded.diagnostics);
    let mut credentials = Credentials::default();
    let plan = match &loaded.config {
        Some(config) if !diagnostics.iter().any(Diagnostic::is_error) => {
            let compiled = compile(config, env);
            credentials = compiled.credentials;
            diagnostics.extend(compiled.diagnostics);
            compiled.plan.filter(|_| !diagnostics.iter().any(Diagnostic::is_error))
        }
        _ => None,
    };
    Prepared { loaded, plan, credentials, diagnostics }
}

/// The mailbox's two ends for the shards' reports.
type Reports = (Sender<Report>, Receiver<Report>);
