//! Starting: the first configuration, cores, driver, listeners, shards; and the end of it all.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anygate_core::config::{Config, CoreList, Loaded};
use anygate_core::limits::{DESCRIPTOR_RESERVE, MAILBOX};
use anygate_core::{Diagnostic, Sources};
use anygate_shard::mailbox;
use anygate_shard::net::Address;
use anygate_shard::signals::Signals;
use anygate_shard::{Io, Options, Pool, Shard, cores, limits};

use super::crew::Crew;
use super::listeners::{Change, How, Listeners};
use super::{Desk, Opening, Reports, prepare};
use crate::compile::CompileEnv;
use crate::observe::log::Log;
use crate::plan::Plan;
use crate::tls::Credentials;

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
    /// Where clients come in, and whether by TLS.
    pub listeners: Vec<(Address, bool)>,
    /// One shard on each.
    pub cores: Vec<usize>,
    /// The driver.
    pub io: Io,
    /// Why io_uring is not used, where it was wanted.
    pub fallback: Option<String>,
    /// How many rules there are.
    pub routes: usize,
}

/// Why nothing runs, or nothing any more.
pub enum StartError {
    /// The configuration is refused.
    Refused(Sources, Vec<Diagnostic>),
    /// The system does not let us.
    System(String),
    /// It ran, and ended by a fault of its own.
    Died(String),
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(_, diagnostics) => f.debug_tuple("Refused").field(diagnostics).finish(),
            Self::System(why) => f.debug_tuple("System").field(why).finish(),
            Self::Died(why) => f.debug_tuple("Died").field(why).finish(),
        }
    }
}

/// The first configuration, checked and compiled.
pub struct First {
    pub(super) config: Config,
    /// What every shard gets a copy of.
    pub plan: Plan,
    pub(super) credentials: Credentials,
    /// One shard on each.
    pub(super) cores: Vec<usize>,
    pub(super) descriptors: usize,
}

impl First {
    /// Loads, checks and compiles for shards on `cores`, or on those that the configuration names, which may hold
    /// `descriptors` descriptors in all.
    ///
    /// # Errors
    /// The configuration is refused, or names a core that is not to be had.
    pub fn load(startup: &Startup, cores: Option<Vec<usize>>, descriptors: usize) -> Result<Self, StartError> {
        let first = prepare(startup, &CompileEnv { shards: 1, descriptors, serial: 1 });
        let (Some(config), Some(_)) = (&first.loaded.config, &first.plan) else {
            return Err(StartError::Refused(first.loaded.sources, first.diagnostics));
        };
        (startup.warned)(&first.loaded.sources, &first.diagnostics);
        let cores = match cores {
            Some(cores) => cores,
            None => chosen_cores(&config.server.cores)?,
        };
        let env = CompileEnv { shards: cores.len(), descriptors, serial: 1 };
        let prepared = prepare(startup, &env);
        let credentials = prepared.credentials;
        match (prepared.loaded.config, prepared.plan) {
            (Some(config), Some(plan)) => Ok(Self { config, plan, credentials, cores, descriptors }),
            _ => Err(StartError::Refused(prepared.loaded.sources, prepared.diagnostics)),
        }
    }

    /// Opens the listeners of the configuration through the control shard.
    ///
    /// # Errors
    /// An address that cannot be opened.
    pub fn listen(&self, shard: &Shard) -> Result<Doors, StartError> {
        let server = &self.config.server;
        let wanted: Vec<_> = server.listen.iter().map(|listen| listen.addr.clone()).collect();
        let how = How { shard, cores: &self.cores, backlog: server.backlog, steer: server.steer };
        let mut listeners = Listeners::default();
        let mut change = listeners
            .change(&wanted, &how)
            .map_err(|(address, error)| StartError::System(format!("cannot listen on {address}: {error}")))?;
        listeners.commit(&mut change);
        Ok(Doors { listeners, change })
    }
}

/// Listeners that are open, and that no shard accepts from yet.
#[derive(Debug)]
pub struct Doors {
    pub(super) listeners: Listeners,
    pub(super) change: Change,
}

/// Runs the server until it is told to end. Call it on the main thread, before any other thread exists.
///
/// # Errors
/// Nothing was started, or a shard's thread died and everything was ended for that.
pub fn run(startup: Startup) -> Result<(), StartError> {
    let system = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| StartError::System(format!("{what}: {error}"))
    };
    let signals = Signals::block().map_err(system("cannot block signals"))?;
    let descriptors = limits::raise_descriptors().map_err(system("cannot read the limit of descriptors"))?;
    let descriptors = usize::try_from(descriptors.soft).unwrap_or(usize::MAX);
    let descriptors = descriptors - DESCRIPTOR_RESERVE.min(descriptors / 2);
    let first = First::load(&startup, None, descriptors)?;

    let (log, writer) =
        Log::start(first.config.log.level, first.config.log.format).map_err(system("cannot start the log's thread"))?;
    let helpers = Pool::new(HELPERS).map_err(system("cannot start helper threads"))?;
    // Names that do not answer must not hold up files.
    let resolvers = Pool::new(RESOLVERS).map_err(system("cannot start resolver threads"))?;
    let (reports, mailbox): Reports = mailbox::channel(MAILBOX);
    let id: Arc<str> = crate::id::random().into();
    let mut crew =
        Crew::hire(&first.cores, &helpers, &reports, &id).map_err(system("cannot start a shard's thread"))?;
    let (io, fallback) = crew.agree(first.config.server.io)?;
    let shard = Shard::new(&Options { pool: Some(resolvers), ..Options::new(u16::MAX, io) })
        .map_err(system("cannot make the control thread's driver"))?;
    let doors = first.listen(&shard)?;
    if let Some(why) = &fallback {
        log.warn("io_uring is not available; using epoll", &[("why", why)]);
    }
    let signal_row = signals.watch().and_then(|fd| shard.adopt(fd)).map_err(system("cannot watch for signals"))?;
    let shards = crew.go(&first.plan);
    let desk = Desk::open(Opening {
        shard: shard.clone(),
        signals: Some((signals, signal_row)),
        startup,
        first,
        doors,
        fallback,
        shards,
        log: log.clone(),
    });
    if catch_unwind(AssertUnwindSafe(|| shard.run(&desk, &mailbox))).is_err() {
        log.error("the control thread panicked; nothing can be served without it", &[]);
        drop(log);
        writer.finish();
        // A shard in mid-turn is not taken apart. The others run until the process ends, which is at once.
        std::mem::forget((desk, shard));
        return Err(StartError::Died("the control thread panicked, so everything was ended".to_owned()));
    }
    let ended = desk.close();
    drop(log);
    writer.finish();
    ended
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
