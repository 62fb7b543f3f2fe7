//! How long may a connection do nothing, take to say a frame, or take nothing of what it is told?

use std::rc::Rc;
use std::time::Duration;

use anygate_core::limits::RATE_GRACE;
use anygate_shard::{Close, LaneEntry, LaneId, Tick};

use super::link::{self, Leaving, Link, State};
use crate::observe::limit::Limit;
use crate::server::Server;

/// How long after the first GOAWAY the last stream is named: requests may be on their way (RFC 9113 §6.8).
const ON_THEIR_WAY: Duration = Duration::from_secs(1);
/// How long a connection at rest keeps the memory that it will need again.
const KEEPS_MEMORY: Duration = Duration::from_secs(1);

/// What a connection's time runs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The end of the TLS handshake, where requests came as early data.
    Handshake,
    /// Requests, before it gives back memory.
    Rest,
    /// Requests.
    Idle,
    /// The rest of a frame, of a head, or of the client's first words.
    Head,
    /// The client, to take what it is told.
    Taking,
    /// Requests on their way to a client that was asked to begin no more.
    Last,
}

/// A connection's time.
#[derive(Debug, Default)]
pub(super) struct Timer {
    running: Option<Running>,
    /// How the client takes what it is told, while something waits for it.
    taking: Option<Taking>,
}

#[derive(Debug)]
struct Running {
    entry: LaneEntry,
    wait: Wait,
    /// How many frames had begun by then.
    frames: u64,
}

/// How a client takes what it is told.
#[derive(Debug)]
struct Taking {
    /// Since when something waits for it, and what it had been given and had taken by then, in bytes.
    since: Tick,
    given: u64,
    taken: u64,
    /// When it was last seen to have taken something, and what it had taken by then.
    moved: Tick,
    moved_to: u64,
}

impl Taking {
    fn new(now: Tick, given: u64, taken: u64) -> Self {
        Self { since: now, given, taken, moved: now, moved_to: taken }
    }
}

impl Timer {
    /// The place in a lane, which is the caller's to give back.
    pub(super) fn take(&mut self) -> Option<LaneEntry> {
        self.running.take().map(|running| running.entry)
    }

    fn waits_for(&self) -> Option<Wait> {
        self.running.as_ref().map(|running| running.wait)
    }
}

impl Link {
    /// Lets the time run that the connection has for what it does now, or ends it where the time is over of something that
    /// went on beside what it ran for.
    pub(super) fn look_to_time(self: &Rc<Self>, server: &Server) {
        if let Some(limit) = self.look(server) {
            server.reached(limit, Some(&self.peer));
            link::leave(server, self, Close::Abort);
        }
    }

    fn look(&self, server: &Server) -> Option<Limit> {
        let state = &mut *self.state.borrow_mut();
        self.look_at_taking(state);
        if let Some(limit) = self.too_slow(server, state) {
            return Some(limit);
        }
        let wanted = self.wanted(state);
        let heard = std::mem::take(&mut state.heard);
        let now = state.timer.waits_for();
        let runs_on = match (now, wanted) {
            // Who says something is not idle.
            (Some(Wait::Rest | Wait::Idle), Some(Wait::Rest)) => !heard,
            (now, wanted) => now == wanted,
        };
        if !runs_on {
            self.run(server, state, wanted);
        }
        None
    }

    fn wanted(&self, state: &State) -> Option<Wait> {
        if self.wire.is_handshaking() {
            Some(Wait::Handshake)
        } else if state.leaving == Leaving::Asked {
            Some(Wait::Last)
        } else if state.codec.is_at_rest() && state.held.is_none() {
            Some(Wait::Rest)
        } else if state.held.is_none() && (state.codec.is_partial() || state.codec.open_streams() == 0) {
            // Without a stream, whose own time would run, also what is nobody's has to come to its end.
            Some(Wait::Head)
        } else if self.wire.queued(&self.shard) > 0 {
            Some(Wait::Taking)
        } else {
            None
        }
    }

    fn run(&self, server: &Server, state: &mut State, wanted: Option<Wait>) {
        if let Some(entry) = state.timer.take() {
            self.shard.lane_remove(entry);
        }
        let Some(wait) = wanted else { return };
        let entry = self.shard.lane_push(self.lane(server, wait), self.row);
        let frames = state.codec.frames();
        state.timer.running = Some(Running { entry, wait, frames });
    }

    fn lane(&self, server: &Server, wait: Wait) -> LaneId {
        let live = server.live();
        let client = &live.plan.client;
        let idle = if server.draining() { client.idle_timeout.min(ON_THEIR_WAY) } else { client.idle_timeout };
        self.shard.lane(match wait {
            Wait::Handshake => client.handshake_timeout,
            Wait::Rest => idle.min(KEEPS_MEMORY),
            Wait::Idle => idle.saturating_sub(KEEPS_MEMORY),
            Wait::Head => client.header_timeout,
            Wait::Taking => client.write_timeout,
            Wait::Last => client.idle_timeout.min(ON_THEIR_WAY),
        })
    }

    /// The time that ran is over.
    pub(super) fn time_is_over(self: &Rc<Self>, server: &Rc<Server>) {
        let ends = {
            let state = &mut *self.state.borrow_mut();
            let Some(running) = state.timer.running.take() else { return };
            self.look_at_taking(state);
            // What it ran for may have come since, and something else be waited for.
            match (running.wait, self.wanted(state)) {
                (Wait::Handshake, Some(Wait::Handshake)) => {
                    server.reached(Limit::Handshake, Some(&self.peer));
                    Some(Close::Graceful)
                }
                (Wait::Last, _) => {
                    self.say_last(state);
                    None
                }
                (Wait::Rest, Some(Wait::Rest)) if !self.lane_of_rest_is_all(server) => {
                    state.trim();
                    self.run(server, state, Some(Wait::Idle));
                    return;
                }
                (Wait::Rest | Wait::Idle, Some(Wait::Rest)) => {
                    if !server.closes(self.listener) {
                        server.reached(Limit::Idle, Some(&self.peer));
                    }
                    self.say_last(state);
                    Some(Close::Graceful)
                }
                (Wait::Head, Some(Wait::Head)) if running.frames == state.codec.frames() => {
                    server.reached(Limit::Head, Some(&self.peer));
                    self.say_last(state);
                    Some(Close::Graceful)
                }
                (_, Some(Wait::Head | Wait::Taking)) => self.too_slow(server, state).map(|limit| {
                    server.reached(limit, Some(&self.peer));
                    Close::Abort
                }),
                _ => None,
            }
        };
        match ends {
            Some(how) => link::leave(server, self, how),
            None => self.settle(server),
        }
    }

    /// True where a connection at rest is closed before it gives memory back.
    fn lane_of_rest_is_all(&self, server: &Server) -> bool {
        server.live().plan.client.idle_timeout <= KEEPS_MEMORY
    }

    /// Remembers what the client has taken by now, if something waits for it.
    fn look_at_taking(&self, state: &mut State) {
        let queued = self.wire.queued(&self.shard) as u64;
        if queued == 0 {
            state.timer.taking = None;
            return;
        }
        let (now, given) = (self.shard.now(), state.given);
        let taken = given - queued.min(given);
        match &mut state.timer.taking {
            // What waits now is other than what waited then.
            Some(taking) if taken >= taking.given => *taking = Taking::new(now, given, taken),
            Some(taking) if taken > taking.moved_to => (taking.moved, taking.moved_to) = (now, taken),
            Some(_) => {}
            slot @ None => *slot = Some(Taking::new(now, given, taken)),
        }
    }

    /// Which limit a client has reached that takes so little, if any.
    fn too_slow(&self, server: &Server, state: &State) -> Option<Limit> {
        let taking = state.timer.taking.as_ref()?;
        let now = self.shard.now();
        let live = server.live();
        let client = &live.plan.client;
        if now - taking.moved >= client.write_timeout {
            return Some(Limit::Write);
        }
        let spent = now - taking.since;
        let rate = client.min_send_rate.filter(|_| spent > RATE_GRACE)?;
        (taking.moved_to - taking.taken < rate.saturating_mul(spent.as_secs())).then_some(Limit::SendRate)
    }
}
