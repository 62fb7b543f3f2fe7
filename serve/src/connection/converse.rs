//! The long way: a client's requests one after the other, until the connection rests or ends.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use anygate_core::limits::PIPELINE_QUEUED;
use anygate_proto::error::Reject;
use anygate_proto::h1::Parsed;
use anygate_proto::h1::request::parse_request;
use anygate_proto::head::{BodyLength, Fields, Head, Request};
use anygate_route::Scratch;
use anygate_shard::net::Address;
use anygate_shard::{Bytes, Close, Deadline, Lease, SocketId, Tick, Wake};

use crate::action::proxy::Begun;
use crate::body::Body;
use crate::connection::inform::Informer;
use crate::connection::outlet::Outlet;
use crate::connection::reader::{Pace, Reader};
use crate::connection::row::ClientRow;
use crate::connection::way::{self, Asked, Errand, Way};
use crate::connection::{accept, drain, h2, short};
use crate::error::{Error, Side};
use crate::observe::limit::Limit;
use crate::pipeline;
use crate::response::Outcome;
use crate::server::{Live, Row, Server};
use crate::testing::{self, Spot};
use crate::tls::TlsInfo;
use crate::upstream::tunnel;
use crate::wire::Wire;

/// What a request weighs that needs a task, where an answer that is ready weighs 1.
const TASK_WORK: u64 = 4;

/// Spawns the task of a connection whose next request needs one; `left` holds its beginning.
pub(crate) fn begin(server: &Rc<Server>, row: u32, client: ClientRow, left: Lease) {
    let held = if left.is_empty() { Bytes::empty() } else { left.freeze() };
    spawn(server, row, client, held, None);
}

/// Spawns the task of a connection whose next request, with which `held` begins, is on its way to a server already, served
/// by the table `live`.
pub(crate) fn take_over(server: &Rc<Server>, row: u32, client: ClientRow, held: Bytes, live: Rc<Live>, begun: Begun) {
    spawn(server, row, client, held, Some((live, begun)));
}

fn spawn(server: &Rc<Server>, row: u32, client: ClientRow, held: Bytes, begun: Option<(Rc<Live>, Begun)>) {
    let ClientRow { wire, peer, listener, counted, served, stays, moves, .. } = client;
    let (owner, socket) = (Rc::clone(server), wire.socket());
    let seat = Seat { server: owner, row, socket, peer, listener, counted, stays, moves, taken: true };
    let shard = server.shard.clone();
    let reader = Rc::new(RefCell::new(Reader::new(shard.clone(), wire, Side::Downstream, held)));
    let live = server.live();
    let settings = &live.plan.client;
    let outlet = Outlet::new(shard.clone(), Rc::clone(&reader), Side::Downstream, settings.write_timeout)
        .at_least(settings.min_send_rate);
    let conversation = Conversation { head_deadline: shard.deadline_unset(), reader, outlet, served, begun, seat };
    server.shard.spawn(conversation.run());
}

/// A connection's place among the rows. However its task ends, a panic included, the place is given back.
struct Seat {
    server: Rc<Server>,
    row: u32,
    socket: SocketId,
    peer: Address,
    listener: u32,
    counted: bool,
    stays: Tick,
    moves: u8,
    taken: bool,
}

impl Seat {
    fn leave(mut self, wire: Wire, how: Close) {
        self.taken = false;
        accept::farewell(&self.server, self.client(wire, 0), self.row, how);
    }

    fn rest(mut self, wire: Wire, served: u64) {
        self.taken = false;
        let client = self.client(wire, served);
        self.server.swap_row(self.row, Row::Client(client));
        short::arrive(&self.server, self.row);
    }

    fn go_on_in_h2(mut self, wire: Wire, held: &[u8]) {
        self.taken = false;
        let client = self.client(wire, 0);
        let mut first = Lease::with_capacity(held.len());
        first.extend_from_slice(held);
        h2::begin(&self.server, self.row, client, Some(first));
    }

    fn client(&self, wire: Wire, served: u64) -> ClientRow {
        let Self { listener, counted, stays, moves, .. } = *self;
        ClientRow { wire, peer: self.peer.clone(), listener, counted, served, idle: None, stays, moves }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.taken {
            let client = self.client(Wire::Plain(self.socket), 0);
            accept::farewell(&self.server, client, self.row, Close::Abort);
        }
    }
}

/// A connection whose task runs.
pub(super) struct Conversation {
    pub(super) reader: Rc<RefCell<Reader>>,
    pub(super) outlet: Outlet,
    pub(super) served: u64,
    /// The first request, where it is on its way to a server already, and the table it is served by.
    begun: Option<(Rc<Live>, Begun)>,
    head_deadline: Deadline,
    seat: Seat,
}

/// What follows on the stream.
enum Next {
    Request(Request, Fields),
    /// Nothing yet: the connection can rest.
    Nothing,
    Rejected(Reject),
    /// The client speaks HTTP/2.
    Http2,
    TimedOut,
    Gone,
}

/// What becomes of the connection.
pub(super) enum Then {
    /// It may carry another request.
    Stay,
    /// It ends.
    End(Close),
}

impl Conversation {
    async fn run(mut self) {
        let how = loop {
            if let Err(error) = self.outlet.sent(PIPELINE_QUEUED).await {
                self.count(error);
                break Close::Abort;
            }
            let (live, begun) = match self.begun.take() {
                Some((live, begun)) => (live, Some(begun)),
                None => (self.server().live(), None),
            };
            let refused = match self.next(&live).await {
                Next::Nothing => {
                    self.server().retire(live);
                    return self.rest();
                }
                Next::Http2 => {
                    self.server().retire(live);
                    return self.go_on_in_h2();
                }
                Next::Gone => None,
                Next::Rejected(reject) => {
                    match reject.status {
                        414 => self.reached(Limit::Target),
                        431 => self.reached(Limit::HeadSize),
                        _ => self.server().cells.parse_errors.add(1),
                    }
                    Some(reject.status)
                }
                Next::TimedOut => {
                    self.reached(Limit::Head);
                    Some(408)
                }
                Next::Request(request, fields) => {
                    self.served += 1;
                    self.server().cells.requests.add(1);
                    let then = self.serve(live, request, fields, begun).await;
                    let arrived = self.reader.borrow_mut().take_arrived();
                    self.server().cells.bytes_in.add(arrived);
                    self.worked(TASK_WORK);
                    if let Then::End(how) = then {
                        break how;
                    }
                    continue;
                }
            };
            if let Some(status) = refused {
                let head_only = self.asks_for_a_head();
                self.refuse(&live, status, head_only).await;
            }
            self.server().retire(live);
            break Close::Graceful;
        };
        let Self { reader, seat, outlet, .. } = self;
        drop(outlet);
        // A body that something still holds keeps the transport; the seat then closes the socket.
        if let Some(reader) = Rc::into_inner(reader) {
            seat.leave(reader.into_inner().into_parts().0, how);
        }
    }

    pub(super) fn server(&self) -> &Rc<Server> {
        &self.seat.server
    }

    /// True when this client goes after what is under way.
    pub(super) fn closes(&self) -> bool {
        self.server().closes(self.seat.listener)
    }

    /// This client reached a limit.
    pub(super) fn reached(&self, limit: Limit) {
        self.server().reached(limit, Some(&self.seat.peer));
    }

    /// Counts what this client asked for.
    pub(super) fn worked(&self, work: u64) {
        self.server().worked(self.seat.row, work, self.seat.stays);
    }

    /// Hands the connection back to its row.
    fn rest(self) {
        let Self { reader, seat, outlet, served, .. } = self;
        drop(outlet);
        let Some(reader) = Rc::into_inner(reader) else { return };
        let (wire, _) = reader.into_inner().into_parts();
        seat.rest(wire, served);
    }

    /// True where the connection's first bytes, of which the first ones came alone, begin HTTP/2.
    fn begins_h2(&self, held: &[u8]) -> bool {
        let is_plain = self.reader.borrow().wire().bypass().is_some();
        h2::is_meant(held) && is_plain && self.server().fronts.speaks_h2(self.seat.listener)
    }

    /// Hands the connection over, with what came of it.
    fn go_on_in_h2(self) {
        let Self { reader, seat, outlet, .. } = self;
        drop(outlet);
        let Some(reader) = Rc::into_inner(reader) else { return };
        let (wire, held) = reader.into_inner().into_parts();
        seat.go_on_in_h2(wire, &held);
    }

    /// Reads up to the end of the next head.
    async fn next(&mut self, live: &Rc<Live>) -> Next {
        let limits = live.plan.client.limits;
        let mut fields = Fields::new();
        let mut parse_from = 0;
        let mut line_seen = false;
        let mut timed = false;
        loop {
            {
                let reader = self.reader.borrow();
                let held = reader.held();
                if held.is_empty() {
                    return if reader.ended() { Next::Gone } else { Next::Nothing };
                }
                // Only a line's end can complete a head; only growth can break a limit: the target's while the first line
                // lasts, then the head's. Looking at every byte that trickles in would be the peer's to abuse; at the first
                // ones, it tells at once who does not speak HTTP.
                if self.served == 0 && parse_from < held.len() && self.begins_h2(held) {
                    return Next::Http2;
                }
                let line = memchr::memchr(b'\n', &held[parse_from.min(held.len())..]).is_some();
                line_seen |= line;
                let limit = if line_seen { limits.max_header_size } else { limits.max_uri.min(limits.max_header_size) };
                if line || parse_from == 0 || held.len() >= limit {
                    match parse_request(held, &limits, &mut fields) {
                        Ok(Parsed::Complete(request)) => return Next::Request(request, fields),
                        Ok(Parsed::Partial) => {}
                        Err(reject) => return Next::Rejected(reject),
                    }
                }
                parse_from = held.len();
                if reader.ended() {
                    return Next::Gone;
                }
            }
            if !std::mem::replace(&mut timed, true) {
                self.head_deadline.reset(live.plan.client.header_timeout);
            }
            match poll_fn(|cx| self.poll_more(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(_)) => return Next::Gone,
                None => return Next::TimedOut,
            }
        }
    }

    /// Whether what is held begins with a `HEAD`, however broken it is behind: not even a refusal has a body then.
    #[cold]
    fn asks_for_a_head(&self) -> bool {
        self.reader.borrow().held().trim_ascii_start().starts_with(b"HEAD ")
    }

    /// More bytes, or `None` when the head's time is over.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<bool, Error>>> {
        if let Poll::Ready(more) = self.reader.borrow_mut().poll_more(Wake::of(cx)) {
            return Poll::Ready(Some(more));
        }
        self.head_deadline.poll_expired(cx).map(|()| None)
    }

    /// Serves one request whose head lies complete at the start of what is held.
    async fn serve(&mut self, live: Rc<Live>, request: Request, fields: Fields, begun: Option<Begun>) -> Then {
        testing::reached(self.server(), Spot::Task);
        let bytes = self.take_head(&request);
        let head = request.into_head(bytes, fields);
        let mut matched = Scratch::new();
        let tls = self.reader.borrow().wire().tls();
        let way = match begun {
            Some(_) => Way::of_begun(&live, head.view(), &mut matched),
            None => Way::find(self.server(), &live, self.seat.listener, tls.as_deref(), head.view(), &mut matched),
        };
        let max_body = way.max_body(&live);
        let client = &live.plan.client;
        let pace = Pace { timeout: client.read_timeout, min_rate: client.min_body_rate, max_body };
        self.reader.borrow_mut().begin_body(request.body, pace, request.expect_continue);
        let asked = Asked::of(&request);
        let outcome = if way::is_too_large(request.body, max_body) {
            self.reached(Limit::Body);
            way::refusal(413).into()
        } else {
            match way.exchange(self.errand(Rc::clone(&live), head, matched, tls, begun)) {
                Ok(mut exchange) => pipeline::run(&mut exchange).await,
                Err(answer) => answer,
            }
        };
        testing::reached(self.server(), Spot::Answer);
        let then = match outcome {
            Outcome::Response(response) => self.respond(&live, &asked, *response).await,
            Outcome::Tunnel(tunnel) => self.tunnel(&live, &asked, tunnel).await,
            // Nothing of this answer was said; what was said before is the client's, who may have ended its own half alone.
            Outcome::Abort(_) => Then::End(Close::Graceful),
        };
        self.server().retire(live);
        then
    }

    /// The head's bytes: in the buffer they came in, unless the rest of the request may take its time.
    fn take_head(&self, request: &Request) -> Bytes {
        let mut reader = self.reader.borrow_mut();
        let whole = match request.body {
            BodyLength::None => true,
            BodyLength::Length(length) => {
                length.saturating_add(u64::from(request.head_len)) <= reader.held().len() as u64
            }
            BodyLength::Chunked | BodyLength::UntilClose => false,
        };
        let bytes = reader.take(request.head_len as usize);
        if whole { bytes } else { Bytes::from(bytes.to_vec()) }
    }

    fn errand(
        &self,
        live: Rc<Live>,
        head: Head<Bytes>,
        matched: Scratch,
        tls: Option<Rc<TlsInfo>>,
        begun: Option<Begun>,
    ) -> Errand {
        let server = Rc::clone(self.server());
        let informer = Informer::h1(server.shard.clone(), Rc::clone(&self.reader), head.request.version);
        let body = if self.reader.borrow().body_done() { Body::Empty } else { Body::H1(Rc::clone(&self.reader)) };
        let (peer, listener) = (self.seat.peer.clone(), self.seat.listener);
        Errand { server, live, head, body, matched, peer, listener, tls, begun, informer }
    }

    async fn tunnel(&mut self, live: &Rc<Live>, asked: &Asked, tunnel: Box<crate::upstream::Tunnel>) -> Then {
        if let Err(error) = self.switch(live, asked, &tunnel.response) {
            self.refuse(live, error.status(), asked.is_head).await;
            return Then::End(Close::Graceful);
        }
        self.server().cells.tunnels.add(1);
        let how = tunnel::run(self.server(), &tunnel::End::H1(Rc::clone(&self.reader)), tunnel).await;
        Then::End(how)
    }

    /// Reads what is left of a body that nobody wanted, as far as that keeps the connection cheaply.
    pub(super) async fn discard_body(&mut self) -> Then {
        match drain::discard(&self.reader).await {
            Ok(true) => return Then::Stay,
            Ok(false) => {}
            Err(error) => self.count(error),
        }
        Then::End(Close::Graceful)
    }
}
