//! Starting: cores, driver, listeners, shards; and the end of it all.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use anygate_core::config::{CoreList, Io as IoChoice, Loaded};
use anygate_core::limits::{DESCRIPTOR_RESERVE, MAILBOX};
use anygate_core::metrics::ShardCells;
use anygate_core::{Diagnostic, Sources};
use anygate_shard::mailbox::{self, Receiver, Sender};
use anygate_shard::net::Address;
use anygate_shard::signals::Signals;
use anygate_shard::{Io, Options, Pool, Shard, cores, limits};
use crossbeam_channel as channel;

use super::listeners::{How, Listeners};
use super::shards::ShardHandle;
use super::{Control, Desk, Order, Phase, Report, Reports, State, prepare, resolve};
use crate::compile::CompileEnv;
use crate::door::Door;
use crate::observe::log::Log;
use crate::peers::Peers;
use crate::plan::Plan;
use crate::server::{Parts, Server};

/// Threads for work that blocks, shared by all shards.
const HELPERS: usize = 2;

/// Threads that ask for the names of upstreams.
const RESOLVERS: usize = 2;

/// Told what was found, and the texts it was found in.
pub type Warned = dyn Fn(&Sources, &[Diagnostic]);

/// What the caller brings.
pub struct Startup {
    /// Reads the configuration, now and at every reload.
    pub load: Box<dyn Fn() -> Loaded + Send>,
    /// Told once, when clients can come.
    pub started: Box<dyn Fn(&Started)>,
    /// Told the warnings of the first load.
    pub warned: Box<Warned>,
}

/// What runs, for people to read.
#[derive(Debug)]
pub struct Started {
    /// Where clients come in.
    pub listeners: Vec<Address>,
    /// One shard on each.
    pub cores: Vec<usize>,
    /// The driver.
    pub io: Io,
    /// Why io_uring is not used, where it was wanted.
    pub fallback: Option<String>,
    /// How many rules there are.
    pub routes: usize,
}

/// Why nothing runs.
pub enum StartError {
    /// The configuration is refused.
    Refused(Sources, Vec<Diagnostic>),
    /// The system does not let us.
    System(String),
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(_, diagnostics) => f.debug_tuple("Refused").field(diagnostics).finish(),
            Self::System(why) => f.debug_tuple("System").field(why).finish(),
        }
    }
}

/// What a shard's thread is told before it runs.
enum Begin {
    /// Make a driver of this kind, and say whether it worked.
    Try(Io),
    /// Run with the one that was made.
    Go(Box<Plan>, Arc<Peers>),
}

/// Runs the server until it is told to end. Call it on the main thread, before any other thread exists.
///
/// # Errors
/// Nothing was started.
pub fn run(startup: Startup) -> Result<(), StartError> {
    let system = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| StartError::System(format!("{what}: {error}"))
    };
    let signals = Signals::block().map_err(system("cannot block signals"))?;
    let descriptors = limits::raise_descriptors().map_err(system("cannot read the limit of descriptors"))?;
    let descriptors = usize::try_from(descriptors.soft).unwrap_or(usize::MAX).saturating_sub(DESCRIPTOR_RESERVE);

    let first = prepare(&startup, &CompileEnv { shards: 1, descriptors, serial: 1 });
    let (Some(config), Some(_)) = (&first.loaded.config, &first.plan) else {
        return Err(StartError::Refused(first.loaded.sources, first.diagnostics));
    };
    (startup.warned)(&first.loaded.sources, &first.diagnostics);
    let cores = chosen_cores(&config.server.cores)?;
    let env = CompileEnv { shards: cores.len(), descriptors, serial: 1 };
    let prepared = prepare(&startup, &env);
    let (Some(config), Some(plan)) = (prepared.loaded.config, prepared.plan) else {
        return Err(StartError::Refused(prepared.loaded.sources, prepared.diagnostics));
    };

    let mut listeners = Listeners::default();
    let wanted: Vec<_> = config.server.listen.iter().map(|listen| listen.addr.clone()).collect();
    let mut change = listeners
        .change(&wanted, &How { cores: &cores, backlog: config.server.backlog, steer: config.server.steer })
        .map_err(|(address, error)| StartError::System(format!("cannot listen on {address}: {error}")))?;
    listeners.commit(&mut change);

    let (log, writer) =
        Log::start(config.log.level, config.log.format).map_err(system("cannot start the log's thread"))?;
    let helpers = Pool::new(HELPERS).map_err(system("cannot start helper threads"))?;
    // Names that do not answer must not hold up files.
    let resolvers = Pool::new(RESOLVERS).map_err(system("cannot start resolver threads"))?;
    let (reports, mailbox): Reports = mailbox::channel(MAILBOX);
    let id: Arc<str> = crate::id::random().into();
    let mut crew = Crew::hire(&cores, &helpers, &reports, &id).map_err(system("cannot start a shard's thread"))?;
    let (io, fallback) = crew.agree(config.server.io)?;
    if let Some(why) = &fallback {
        log.warn("io_uring is not available; using epoll", &[("why", why)]);
    }
    let shard = Shard::new(&Options { pool: Some(resolvers), ..Options::new(u16::MAX, io) })
        .map_err(system("cannot make the control thread's driver"))?;
    let shards = crew.go(&plan);
    let started =
        Started { listeners: listeners.addresses(), cores: cores.clone(), io, fallback, routes: plan.routes.len() };

    let signal_row = signals.watch().and_then(|fd| shard.adopt(fd)).map_err(system("cannot watch for signals"))?;
    let count = shards.len();
    let control = Rc::new(Control {
        shard: shard.clone(),
        signals,
        signal_row,
        log: log.clone(),
        state: RefCell::new(State {
            startup,
            names: resolve::Names::of(&plan),
            config,
            shards,
            listeners,
            serial: 1,
            cores: cores.clone(),
            phase: Phase::Serving,
            drained: vec![false; count],
            descriptors,
        }),
        flushing: Cell::new(false),
        reloads_wanted: Cell::new(0),
        pause_said: Cell::new(None),
    });
    drop(plan);
    control.watch_signals();
    let opening = Rc::clone(&control);
    shard.spawn(async move {
        opening.resolve_new().await;
        opening.listen(change.opened);
        (opening.state.borrow().startup.started)(&started);
        opening.resolve();
    });
    shard.run(&Desk(Rc::clone(&control)), &mailbox);

    let mut state = control.state.borrow_mut();
    for shard in &mut state.shards {
        if !shard.join() {
            log.error("a shard's thread panicked", &[]);
        }
    }
    state.listeners = Listeners::default();
    log.info("stopped", &[]);
    drop(state);
    drop(control);
    drop(log);
    writer.finish();
    Ok(())
}

fn chosen_cores(list: &CoreList) -> Result<Vec<usize>, StartError> {
    let allowed =
        cores::allowed().map_err(|error| StartError::System(format!("cannot read the allowed cores: {error}")))?;
    let CoreList::These(wanted) = list else { return Ok(allowed) };
    match wanted.iter().find(|core| !allowed.contains(core)) {
        None => Ok(wanted.clone()),
        Some(core) => Err(StartError::System(format!(
            "core {core} does not exist or is not allowed for this process; it may use {}",
            CoreList::These(allowed)
        ))),
    }
}

/// The shards' threads before they run.
struct Crew {
    members: Vec<Member>,
}

struct Member {
    begin: channel::Sender<Begin>,
    made: channel::Receiver<Result<(), String>>,
    handle: ShardHandle,
}

impl Crew {
    fn hire(cores: &[usize], helpers: &Pool, reports: &Sender<Report>, id: &Arc<str>) -> std::io::Result<Self> {
        let shards = cores.len();
        let members = cores.iter().enumerate().map(|(index, &core)| {
            let (begin, told) = channel::bounded(1);
            let (say, made) = channel::bounded(1);
            let (orders, mailbox) = mailbox::channel(MAILBOX);
            let cells = Arc::new(ShardCells::new());
            let berth = Berth {
                index: index as u16,
                core,
                shards,
                helpers: helpers.clone(),
                cells: Arc::clone(&cells),
                reports: reports.clone(),
                id: Arc::clone(id),
            };
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || berth.work(&told, &say, mailbox))?;
            Ok(Member { begin, made, handle: ShardHandle::new(orders, thread, cells) })
        });
        Ok(Self { members: members.collect::<std::io::Result<_>>()? })
    }

    /// One driver for all: io_uring where every shard can have it, else epoll for every one.
    fn agree(&mut self, choice: IoChoice) -> Result<(Io, Option<String>), StartError> {
        if choice == IoChoice::Epoll {
            self.attempt(Io::Epoll).map_err(|why| StartError::System(format!("cannot use epoll: {why}")))?;
            return Ok((Io::Epoll, None));
        }
        let uring = anygate_shard::probe_uring().and_then(|()| self.attempt(Io::Uring));
        match (uring, choice) {
            (Ok(()), _) => Ok((Io::Uring, None)),
            (Err(why), IoChoice::Uring) => Err(StartError::System(format!("cannot use io_uring: {why}"))),
            (Err(why), _) => {
                self.attempt(Io::Epoll).map_err(|why| StartError::System(format!("cannot use epoll: {why}")))?;
                Ok((Io::Epoll, Some(why)))
            }
        }
    }

    fn attempt(&mut self, io: Io) -> Result<(), String> {
        for member in &self.members {
            let _ = member.begin.send(Begin::Try(io));
        }
        let mut answer = Ok(());
        for member in &self.members {
            let made = member.made.recv().unwrap_or_else(|_| Err("a shard's thread ended".to_owned()));
            answer = answer.and(made);
        }
        answer
    }

    fn go(self, plan: &Plan) -> Vec<ShardHandle> {
        let peers = Peers::new(self.members.iter().map(|member| member.handle.orders.clone()));
        self.members
            .into_iter()
            .map(|member| {
                let _ = member.begin.send(Begin::Go(Box::new(plan.clone()), Arc::clone(&peers)));
                member.handle
            })
            .collect()
    }
}

/// What a shard's thread is born with.
struct Berth {
    index: u16,
    core: usize,
    shards: usize,
    helpers: Pool,
    cells: Arc<ShardCells>,
    reports: Sender<Report>,
    id: Arc<str>,
}

impl Berth {
    fn work(
        self,
        told: &channel::Receiver<Begin>,
        say: &channel::Sender<Result<(), String>>,
        mailbox: Receiver<Order>,
    ) {
        let mut shard = None;
        while let Ok(begin) = told.recv() {
            match begin {
                Begin::Try(io) => {
                    shard = None;
                    let options = Options {
                        core: Some(self.core),
                        pool: Some(self.helpers.clone()),
                        ..Options::new(self.index, io)
                    };
                    let answer = match Shard::new(&options) {
                        Ok(made) => {
                            shard = Some(made);
                            Ok(())
                        }
                        Err(error) => Err(format!("shard {}: {error}", self.index)),
                    };
                    let _ = say.send(answer);
                }
                Begin::Go(plan, peers) => {
                    let Some(shard) = shard else { return };
                    let server = Server::new(Parts {
                        shard: shard.clone(),
                        cells: self.cells,
                        plan,
                        id: self.id,
                        control: self.reports,
                        shards: self.shards,
                        peers: peers.around(usize::from(self.index)),
                    });
                    return shard.run(&Door::new(server), &mailbox);
                }
            }
        }
    }
}
