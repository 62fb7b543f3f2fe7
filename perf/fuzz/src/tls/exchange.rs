//! What happens when a client does this at a listener, with TLS or without?

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;

use anygate_serve::plan::Plan;
use anygate_serve::tls::Front;
use anygate_shard::net::Address;
use anygate_shard::sim::{Peer, Personality};

use crate::house::{self, House};

use super::client::{Act, Session, keys};

/// Turns until everything must have happened, and then until nothing may be left.
const MOST_TURNS: u32 = 6000;
/// Turns in which nothing comes, after which nothing is to come.
const SILENT_TURNS: u32 = 600;
/// Bytes that are written at once.
const PIECE: usize = 2000;

/// How an exchange goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    personality: Personality,
    seed: u64,
    /// No fault at all; faults that lose nothing; every fault.
    faults: u8,
    cuts: u8,
    /// TLS 1.2.
    old: bool,
}

impl Setting {
    pub(super) fn of(flags: u8, seed: u8, cuts: u8) -> Self {
        Self {
            personality: if flags & 1 == 0 { Personality::Readiness } else { Personality::Completion },
            seed: u64::from(seed),
            faults: [0, 0, 1, 2][usize::from(flags >> 1 & 3)],
            cuts,
            old: flags & 16 != 0,
        }
    }

    /// Whether nothing in it depends on when bytes come.
    pub(super) fn is_repeatable(self) -> bool {
        self.faults == 0
    }

    /// Whether connections may be lost.
    pub(super) fn loses(self) -> bool {
        self.faults == 2
    }
}

/// What the client saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// All bytes.
    pub(super) raw: Vec<u8>,
    /// What they held.
    pub(super) content: Vec<u8>,
    /// The handshake had not ended when all was over.
    pub(super) handshaking: bool,
    /// The connection ended by a reset, which may take along what had come.
    pub(super) reset: bool,
    /// What was wrong with them.
    pub(super) error: Option<String>,
}

thread_local! {
    /// Copied for each exchange.
    static PLAN: Plan = house::plan(
        "server: {max_header_size: 1KiB, max_headers: 12, max_body_size: 300B, name: gate}\necho: {body: 64B}\n\
                routes:\n  GET /ok: OK fine\n  /up/: *\n  /r/:x: 301 /to/:x\n",
    );
}

/// What a client without TLS gets for these bytes, after which it ends its stream.
pub(super) fn plainly(acts: &[Act<'_>], setting: Setting) -> Seen {
    let mut caller = Caller::new(None, acts, setting);
    caller.shuts = true;
    serve(&mut caller, Front::default(), setting)
}

/// What a client gets at a TLS listener: after a handshake, or from its first byte on.
pub(super) fn exchange(acts: &[Act<'_>], setting: Setting, shakes: bool) -> Seen {
    let session = shakes.then(|| Session::new(setting.old));
    let mut caller = Caller::new(session, acts, setting);
    serve(&mut caller, Front { tls: Some(Arc::clone(&keys().server)), ..Front::default() }, setting)
}

fn serve(caller: &mut Caller<'_>, front: Front, setting: Setting) -> Seen {
    let address = Address::Ip(([10, 0, 0, 1], 443).into());
    let Setting { personality, seed, faults, .. } = setting;
    let house = House::open(personality, seed, faults, PLAN.with(Plan::clone), &address, front);
    house.turn();
    caller.peer = Some(house.world.connect(&address).expect("somebody listens"));
    let mut turns = 0;
    while caller.peer.is_some() && turns < MOST_TURNS {
        caller.step();
        house.turn();
        turns += 1;
    }
    caller.peer = None;
    house.close(MOST_TURNS, || (), || format!("{setting:?}"));
    caller.seen()
}

/// The client.
struct Caller<'a> {
    peer: Option<Peer>,
    session: Option<Session>,
    acts: VecDeque<Act<'a>>,
    /// What was said and not sent yet.
    out: Vec<u8>,
    finished: bool,
    /// Its end is that of its stream.
    shuts: bool,
    cuts: u8,
    state: u32,
    silent: u32,
    seen: Seen,
}

impl<'a> Caller<'a> {
    fn new(session: Option<Session>, acts: &[Act<'a>], setting: Setting) -> Self {
        Self {
            peer: None,
            session,
            acts: acts.iter().copied().collect(),
            out: Vec::new(),
            finished: false,
            shuts: false,
            cuts: setting.cuts,
            state: u32::from(setting.cuts),
            silent: 0,
            seen: Seen::default(),
        }
    }

    fn step(&mut self) {
        // Where nothing is under way the clock leaps to the next time limit: what is heard is answered at once.
        self.hear();
        self.say();
        self.send();
        self.silent += 1;
        // Somebody waits for more, which does not come.
        if self.finished && self.silent > SILENT_TURNS {
            self.peer = None;
        }
    }

    /// What is to be said next, once all that was said before is sent.
    fn say(&mut self) {
        if !self.out.is_empty() || self.finished {
            return;
        }
        if let Some(session) = &mut self.session {
            self.out = session.sealed();
            if !self.out.is_empty() || session.is_handshaking() && session.error.is_none() {
                return;
            }
        }
        while self.out.is_empty() && !self.finished {
            match (self.acts.pop_front(), &mut self.session) {
                (Some(act), Some(session)) => self.out = session.act(act),
                (Some(Act::Raw(bytes)), None) => self.out = bytes.to_vec(),
                (Some(_), None) => {}
                (None, session) => {
                    self.out = session.as_mut().map(Session::finish).unwrap_or_default();
                    self.finished = true;
                    if let Some(peer) = self.peer.as_mut().filter(|_| self.shuts) {
                        peer.shutdown();
                    }
                }
            }
        }
        self.silent = 0;
    }

    fn send(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        if self.out.is_empty() {
            return;
        }
        // Some in one piece, some in pieces of a few bytes.
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let few = 1 + (self.state >> 20) as usize % usize::from(self.cuts.max(1));
        let most = if self.cuts & 3 == 0 { PIECE } else { few };
        let size = most.min(self.out.len());
        match peer.write(&self.out[..size]) {
            Ok(written) => drop(self.out.drain(..written)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.out.clear(),
        }
    }

    fn hear(&mut self) {
        loop {
            let Some(peer) = &mut self.peer else { return };
            let mut room = [0; 4096];
            match peer.read(&mut room) {
                Ok(0) => self.peer = None,
                Ok(count) => {
                    self.silent = 0;
                    self.seen.raw.extend_from_slice(&room[..count]);
                    if let Some(session) = &mut self.session {
                        session.take(&room[..count], &mut self.seen.content);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.seen.reset = true;
                    self.peer = None;
                }
            }
        }
    }

    fn seen(&mut self) -> Seen {
        if let Some(session) = &self.session {
            self.seen.handshaking = session.is_handshaking();
            self.seen.error.clone_from(&session.error);
        }
        std::mem::take(&mut self.seen)
    }
}
