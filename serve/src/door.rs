//! One shard's side of the house: what the driver, the timers and the control thread tell it, and where that goes.

use std::cell::Cell;
use std::rc::Rc;

use anygate_shard::Service;

use crate::connection::{accept, short};
use crate::control::{Order, Report};
use crate::server::{Row, Server};

/// Receives a shard's events for its [`Server`].
#[derive(Debug)]
pub struct Door {
    server: Rc<Server>,
    pauses: Cell<u64>,
    panics: Cell<u64>,
}

impl Door {
    /// The door of `server`.
    #[must_use]
    pub fn new(server: Rc<Server>) -> Self {
        Self { server, pauses: Cell::new(0), panics: Cell::new(0) }
    }

    fn listener(&self, row: u32) -> Option<(anygate_shard::SocketId, u32)> {
        match self.server.rows.borrow().get(row as usize)? {
            Row::Listener(listener) => Some((listener.socket, listener.number)),
            _ => None,
        }
    }

    fn rows(&self, wanted: impl Fn(&Row) -> bool) -> Vec<u32> {
        let rows = self.server.rows.borrow();
        rows.iter().filter(|(_, row)| wanted(row)).map(|(key, _)| key as u32).collect()
    }

    /// Takes who knocked already, then closes: what comes later is refused by the kernel.
    fn unlisten(&self, row: u32) {
        let Some((socket, number)) = self.listener(row) else { return };
        accept::accept_all(&self.server, socket, number);
        self.server.remove_row(row);
        self.server.shard.close(socket, anygate_shard::Close::Abort);
    }

    fn drain(&self) {
        for row in self.rows(|row| matches!(row, Row::Listener(_))) {
            self.unlisten(row);
        }
        self.server.begin_drain();
        for row in self.rows(|row| matches!(row, Row::Client(_))) {
            short::dismiss(&self.server, row);
        }
        self.server.report_if_drained();
    }
}

impl Service for Door {
    type Message = Order;

    fn ready(&self, row: u32) {
        enum Kind {
            Client,
            Listener(anygate_shard::SocketId, u32),
            Upstream,
        }
        let kind = match self.server.rows.borrow().get(row as usize) {
            Some(Row::Client(_)) => Kind::Client,
            Some(Row::Listener(listener)) => Kind::Listener(listener.socket, listener.number),
            Some(Row::Upstream(_)) => Kind::Upstream,
            Some(Row::Busy) | None => return,
        };
        match kind {
            Kind::Client => short::arrive(&self.server, row),
            Kind::Listener(socket, number) => accept::accept(&self.server, row, socket, number),
            Kind::Upstream => self.server.upstreams.row_ready(&self.server, row),
        }
    }

    fn expired(&self, row: u32) {
        let upstream = matches!(self.server.rows.borrow().get(row as usize), Some(Row::Upstream(_)));
        if upstream {
            self.server.upstreams.row_expired(&self.server, row);
        } else {
            short::expired(&self.server, row);
        }
    }

    fn message(&self, order: Order) {
        match order {
            Order::Listen { fd, number } => match self.server.shard.listen(fd) {
                Ok(socket) => {
                    let row =
                        self.server.add_row(Row::Listener(crate::connection::row::ListenerRow { socket, number }));
                    accept::accept(&self.server, row, socket, number);
                }
                Err(error) => {
                    let _ = self.server.control.send(Report::ListenFailed(number, error));
                }
            },
            Order::Unlisten { number } => {
                for row in self.rows(|row| matches!(row, Row::Listener(l) if l.number == number)) {
                    self.unlisten(row);
                }
            }
            Order::Install(plan) => self.server.install(plan),
            Order::Adopt { socket, peer, listener } => accept::adopt(&self.server, socket, peer, listener),
            Order::Resolved { key, addresses } => self.server.upstreams.resolved(&key, &addresses),
            Order::Drain => self.drain(),
            Order::Stop => self.server.shard.stop(),
        }
    }

    fn turn_ended(&self) {
        let (shard, cells) = (&self.server.shard, &self.server.cells);
        let pauses = shard.cells().accept_pauses.get();
        if pauses != self.pauses.replace(pauses) {
            cells.accept_paused.add(1);
            let _ = self.server.control.send(Report::AcceptPaused(shard.index()));
        }
        let panics = shard.cells().panics.get();
        if panics != self.panics.replace(panics) {
            cells.panics.add(1);
            let _ = self.server.control.send(Report::Panicked(shard.index()));
        }
    }
}
