//! One shard's side of the house: what the driver, the timers and the control thread tell it, and where that goes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use anygate_shard::{Service, SocketId};

use crate::connection::{accept, h2, moving, relay, short};
use crate::control::{Order, Report};
use crate::server::{Row, Server};
use crate::testing::{self, Spot};

/// How often a draining shard looks whether it is done.
const LOOK: Duration = Duration::from_millis(10);

/// Receives a shard's events for its [`Server`].
#[derive(Debug)]
pub struct Door {
    server: Rc<Server>,
    /// The shard's own counts, as far as they were taken over.
    pauses: Cell<u64>,
    panics: Cell<u64>,
    descriptors: Cell<u64>,
    buffers: Cell<u64>,
}

impl Door {
    /// The door of `server`.
    #[must_use]
    pub fn new(server: Rc<Server>) -> Self {
        let [pauses, panics, descriptors, buffers] = Default::default();
        Self { server, pauses, panics, descriptors, buffers }
    }

    fn rows(&self, wanted: impl Fn(&Row) -> bool) -> Vec<u32> {
        let rows = self.server.rows.borrow();
        rows.iter().filter(|(_, row)| wanted(row)).map(|(key, _)| key as u32).collect()
    }

    /// A listener has another number; who came by the old one finishes and goes.
    fn renumber(&self, from: u32, to: u32) {
        for (_, row) in self.server.rows.borrow_mut().iter_mut() {
            if let Row::Listener(listener) = row
                && listener.number == from
            {
                listener.number = to;
            }
        }
        self.server.end_those_of(from);
        self.drain_h2(|listener| listener == from);
        // Who is in a handshake has its time for that still.
        let resting = |row: &Row| matches!(row, Row::Client(c) if c.listener == from && !c.wire.is_handshaking());
        for row in self.rows(resting) {
            short::hurry(&self.server, row);
        }
    }

    /// Connections of HTTP/2 that came by such a listener finish what is under way and go.
    fn drain_h2(&self, by: impl Fn(u32) -> bool) {
        let links: Vec<_> = self.server.rows.borrow().iter().filter_map(|(_, row)| row.link().cloned()).collect();
        links.iter().filter(|link| by(link.listener())).for_each(h2::drain);
    }

    fn drain(&self) {
        for row in self.rows(|row| matches!(row, Row::Listener(_))) {
            accept::unlisten(&self.server, row);
        }
        self.server.begin_drain();
        self.drain_h2(|_| true);
        for row in self.rows(|row| matches!(row, Row::Client(_))) {
            short::hurry(&self.server, row);
        }
        let server = Rc::clone(&self.server);
        self.server.shard.spawn(async move {
            loop {
                server.report_if_drained();
                server.shard.sleep(LOOK).await;
            }
        });
    }
}

impl Service for Door {
    type Message = Order;

    fn ready(&self, row: u32) {
        enum Kind {
            Client,
            H2(Rc<h2::Link>),
            Listener(SocketId, u32),
            Leaving,
            Relay,
            Upstream,
        }
        let kind = match self.server.rows.borrow().get(row as usize) {
            Some(Row::Client(_)) => Kind::Client,
            Some(Row::H2(link)) => Kind::H2(Rc::clone(link)),
            Some(Row::Listener(listener)) if listener.leaving.is_some() => Kind::Leaving,
            Some(Row::Listener(listener)) => Kind::Listener(listener.socket, listener.number),
            Some(Row::Relay(_)) => Kind::Relay,
            Some(Row::Upstream(_)) => Kind::Upstream,
            Some(Row::Busy) | None => return,
        };
        match kind {
            Kind::Client => short::arrive(&self.server, row),
            Kind::H2(link) => h2::ready(&self.server, &link),
            Kind::Listener(socket, number) => accept::accept(&self.server, row, socket, number),
            Kind::Leaving => accept::leave(&self.server, row),
            Kind::Relay => relay::ready(&self.server, row),
            Kind::Upstream => self.server.upstreams.row_ready(&self.server, row),
        }
    }

    fn expired(&self, row: u32) {
        let (link, upstream) = match self.server.rows.borrow().get(row as usize) {
            Some(Row::H2(link)) => (Some(Rc::clone(link)), false),
            Some(Row::Upstream(_)) => (None, true),
            _ => (None, false),
        };
        match link {
            Some(link) => h2::expired(&self.server, &link),
            None if upstream => self.server.upstreams.row_expired(&self.server, row),
            None => short::expired(&self.server, row),
        }
    }

    fn message(&self, order: Order) {
        testing::reached(&self.server, Spot::Message);
        match order {
            Order::Listen { fd, number, front } => match self.server.shard.listen(fd) {
                Ok(socket) => {
                    self.server.set_front(number, front);
                    accept::listen(&self.server, socket, number);
                }
                Err(error) => {
                    let _ = self.server.control.send(Report::ListenFailed(number, error));
                }
            },
            Order::Front { number, front } => self.server.set_front(number, front),
            Order::Renumber { from, to } => self.renumber(from, to),
            Order::Challenges(open) => self.server.set_challenges(open),
            Order::Unlisten { number } => {
                for row in self.rows(|row| matches!(row, Row::Listener(l) if l.number == number)) {
                    accept::unlisten(&self.server, row);
                }
            }
            Order::Install(plan) => {
                self.server.install(plan);
                accept::tune_all(&self.server);
                self.server.report_installed();
            }
            Order::Adopt { socket, peer, listener } => accept::adopt(&self.server, socket, peer, listener),
            Order::Resume(moved) => moving::resume(&self.server, *moved),
            Order::Resolved { key, addresses } => self.server.upstreams.resolved(&key, &addresses),
            Order::Drain => self.drain(),
            Order::Stop => self.server.shard.stop(),
        }
    }

    fn turn_ended(&self) {
        testing::reached(&self.server, Spot::Turn);
        self.server.balance();
        self.server.use_room();
        h2::turn_ended(&self.server);
        self.server.sessions.turn_ended();
        let (shard, cells) = (self.server.shard.cells(), &self.server.cells);
        let more = |seen: &Cell<u64>, now: u64| now.wrapping_sub(seen.replace(now));
        cells.descriptors_exhausted.add(more(&self.descriptors, shard.out_of_descriptors.get()));
        cells.buffers_exhausted.add(more(&self.buffers, shard.out_of_buffers.get()));
        if more(&self.pauses, shard.accept_pauses.get()) > 0 {
            self.server.accepting_paused();
        }
        let panics = more(&self.panics, shard.panics.get());
        if panics > 0 {
            cells.panics.add(panics);
            let _ = self.server.control.send(Report::Panicked(self.server.shard.index()));
        }
    }
}
