//! The short way of a proxied request: while its answer is awaited the client is a row still, and an answer that comes whole
//! goes out in the turn it came in. Whatever else happens is told to a task, which finds everything as it stands.

use std::rc::Rc;
use std::task::Poll;

use anygate_shard::{Bytes, Class, Close, Lease, Wake};

use crate::action::Action;
use crate::action::proxy::{Answer, Begun, For};
use crate::connection::row::ClientRow;
use crate::connection::{accept, converse, short};
use crate::server::{Live, Row, Server};
use crate::testing::{self, Spot};

/// What a request weighs that a server behind answers, where an answer that is ready weighs 1.
const RELAY_WORK: u64 = 2;

/// A client whose request is on its way to a server behind.
#[derive(Debug)]
pub struct Relay {
    /// The client.
    pub(super) client: ClientRow,
    /// Its request as it came, all that came.
    pub(super) request: Lease,
    /// The table it is served by.
    pub(super) live: Rc<Live>,
    /// Which of its routes.
    pub(super) rule: u32,
    /// What the answer's form depends on.
    pub(super) to: For,
    /// The request's way so far.
    pub(super) begun: Begun,
}

/// What becomes of a relay.
enum Next {
    /// It waits.
    Wait,
    /// The answer is here.
    Answer(Answer),
    /// It needs a task; this came from the client meanwhile.
    Converse(Option<Lease>),
}

/// Something happened on one of a relay's sockets, or its time is over.
pub(crate) fn ready(server: &Rc<Server>, row: u32) {
    if let Some(Row::Relay(relay)) = server.swap_row(row, Row::Busy) {
        go_on(server, row, relay);
    }
}

/// Goes as far as it goes now, and waits in the row for the rest.
pub(super) fn go_on(server: &Rc<Server>, row: u32, relay: Box<Relay>) {
    let mut place = Place { server, row, relay: Some(relay) };
    let Some(relay) = &mut place.relay else { return };
    testing::reached(server, Spot::Relay);
    match relay.poll(server, Wake::row(row)) {
        Next::Wait => place.wait(),
        Next::Answer(answer) => place.answer(answer),
        Next::Converse(early) => place.converse(early),
    }
}

impl Relay {
    fn poll(&mut self, server: &Rc<Server>, wake: Wake) -> Next {
        let Some(upstream) = self.begun.upstream.reader().map(Rc::clone) else { return Next::Converse(None) };
        let heard = upstream.borrow_mut().poll_more(wake);
        if heard.is_ready() {
            return self.answer(server).map_or(Next::Converse(None), Next::Answer);
        }
        match self.client.wire.poll_recv(&server.shard, Class::Head, wake) {
            Poll::Pending => {}
            Poll::Ready(early) => return Next::Converse(early.ok()),
        }
        if upstream.borrow_mut().poll_late(wake).is_ready() { Next::Converse(None) } else { Next::Wait }
    }

    fn answer(&mut self, server: &Server) -> Option<Answer> {
        let Action::Proxy(proxy) = &self.live.plan.routes[self.rule as usize].action else { return None };
        let hsts = self.live.plan.client.hsts(&self.client.wire);
        let mut bench = server.bench.borrow_mut();
        if server.closes(self.client.listener) {
            None
        } else {
            proxy.answer(server, &mut self.begun, self.to, hsts, &mut bench.fields)
        }
    }
}

/// A relay taken out of its row. If going on panics, its place is given back all the same.
struct Place<'s> {
    server: &'s Rc<Server>,
    row: u32,
    relay: Option<Box<Relay>>,
}

impl Place<'_> {
    fn wait(mut self) {
        if let Some(relay) = self.relay.take() {
            self.server.swap_row(self.row, Row::Relay(relay));
        }
    }

    fn answer(mut self, answer: Answer) {
        let Some(relay) = self.relay.take() else { return };
        let Relay { mut client, live, .. } = *relay;
        let (server, cells) = (self.server, &self.server.cells);
        client.served += 1;
        cells.requests.add(1);
        cells.response(answer.status);
        cells.bytes_out.add((answer.head.len() + answer.content.len()) as u64);
        client.wire.queue(&server.shard, answer.head);
        client.wire.queue(&server.shard, answer.content);
        server.retire(live);
        server.worked(self.row, RELAY_WORK, client.stays);
        server.swap_row(self.row, Row::Client(client));
        short::arrive(server, self.row);
    }

    fn converse(mut self, early: Option<Lease>) {
        let Some(relay) = self.relay.take() else { return };
        let Relay { client, request, live, begun, .. } = *relay;
        let held = match early {
            Some(early) => {
                self.server.cells.bytes_in.add(early.len() as u64);
                Bytes::from([request.filled(), early.filled()].concat())
            }
            None => request.freeze(),
        };
        converse::take_over(self.server, self.row, client, held, live, begun);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(relay) = self.relay.take() {
            accept::farewell(self.server, relay.client, self.row, Close::Abort);
        }
    }
}
