//! What the TLS sessions of a shard share: who has something to seal, and how many hellos may be answered in a turn.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use anygate_core::metrics::ShardCells;
use anygate_proto::tls::challenge::PROTOCOL;
use anygate_proto::tls::hello::offers_only;
use anygate_proto::tls::records::RECORD_CONTENT;
use anygate_shard::{Shard, Wake};
use rustls::ServerConfig;

use super::Session;

/// Hellos answered in one turn. Each takes a signature and a key exchange, some 150 µs, for which everybody else waits.
const HELLOS_PER_TURN: u32 = 1;

/// What the TLS sessions of one shard share.
#[derive(Debug)]
pub struct Sessions {
    pub(super) shard: Shard,
    pub(super) cells: Arc<ShardCells>,
    /// Sessions with content that is queued and not sealed.
    unsealed: RefCell<Vec<Rc<Session>>>,
    /// Where small pieces are put together to a record.
    pub(super) scratch: RefCell<Vec<u8>>,
    /// What a challenge of an authority is led by; none nearly always.
    challenge: RefCell<Option<Arc<ServerConfig>>>,
    /// Hellos that may still be answered in this turn.
    hellos: Cell<u32>,
    /// Who waits with a whole hello.
    waiting: RefCell<VecDeque<Wake>>,
    /// Listeners that go on in the next turn.
    paused: RefCell<Vec<Wake>>,
}

impl Sessions {
    /// For a shard without sessions.
    #[must_use]
    pub fn new(shard: Shard, cells: Arc<ShardCells>) -> Rc<Self> {
        Rc::new(Self {
            shard,
            cells,
            unsealed: RefCell::default(),
            scratch: RefCell::new(Vec::with_capacity(RECORD_CONTENT)),
            challenge: RefCell::default(),
            hellos: Cell::new(HELLOS_PER_TURN),
            waiting: RefCell::default(),
            paused: RefCell::default(),
        })
    }

    /// Leads challenges by this from now on.
    pub(crate) fn set_challenge(&self, config: Option<Arc<ServerConfig>>) {
        self.challenge.replace(config);
    }

    /// What a whole hello is answered by that is an authority's challenge (RFC 8737 §4); none for all others.
    pub(super) fn challenge(&self, hello: &[u8]) -> Option<Arc<ServerConfig>> {
        let challenge = self.challenge.borrow();
        challenge.as_ref().filter(|_| offers_only(hello, PROTOCOL)).cloned()
    }

    /// This session has something to seal, which nobody else said.
    pub(super) fn unsealed(&self, session: &Rc<Session>) {
        self.unsealed.borrow_mut().push(Rc::clone(session));
    }

    /// Whether a hello may be answered in this turn; otherwise who waits is woken when it may.
    pub(super) fn admit(&self, wake: Wake) -> bool {
        match self.hellos.get().checked_sub(1) {
            Some(left) => {
                self.hellos.set(left);
                true
            }
            None => {
                self.waiting.borrow_mut().push_back(wake);
                false
            }
        }
    }

    /// Whether a hello that is whole waits for its turn.
    pub(crate) fn hellos_wait(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Wakes a listener in the next turn; only while [hellos wait](Self::hellos_wait).
    pub(crate) fn pause(&self, listener: Wake) {
        let mut paused = self.paused.borrow_mut();
        if !paused.contains(&listener) {
            paused.push(listener);
        }
    }

    /// After rows and tasks ran, before what they queued leaves: seals it, and lets hellos in again.
    #[inline]
    pub fn turn_ended(&self) {
        // Also where none was answered: who was let in may be gone, and others wait behind.
        if self.hellos.get() < HELLOS_PER_TURN || !self.waiting.borrow().is_empty() {
            self.let_in();
        }
        if !self.unsealed.borrow().is_empty() {
            self.seal();
        }
    }

    fn seal(&self) {
        let mut sessions = self.unsealed.take();
        for session in sessions.drain(..) {
            session.seal();
        }
        self.unsealed.replace(sessions);
    }

    fn let_in(&self) {
        self.hellos.set(HELLOS_PER_TURN);
        self.paused.borrow_mut().drain(..).for_each(|listener| self.shard.wake(listener));
        let mut waiting = self.waiting.borrow_mut();
        for _ in 0..HELLOS_PER_TURN {
            let Some(wake) = waiting.pop_front() else { return };
            self.shard.wake(wake);
        }
    }
}
