//! The short way: what was compiled at load is answered as soon as its request lies in the buffer, with no task, no await and
//! no allocation. Everything else goes to [`converse`](super::converse).

use std::io;
use std::rc::Rc;
use std::task::Poll;

use anygate_core::limits::PIPELINE_QUEUED;
use anygate_proto::h1::Parsed;
use anygate_proto::h1::request::parse_request;
use anygate_proto::h1::write::{Image, Persistence};
use anygate_proto::head::{Request, RequestView, TargetForm, Version};
use anygate_proto::tls::Fault;
use anygate_route::{Found, Lookup, Scratch};
use anygate_shard::{Class, Close, Lease, Wake};

use crate::action::Action;
use crate::action::files::Quick;
use crate::action::proxy::{Asking, Begun, For};
use crate::connection::moving::{self, Went};
use crate::connection::relay::Relay;
use crate::connection::row::ClientRow;
use crate::connection::{accept, converse, h2, relay};
use crate::filter::Filter;
use crate::hsts::Hsts;
use crate::observe::limit::Limit;
use crate::server::{Bench, Live, Row, Server};
use crate::testing::{self, Spot};
use crate::tls::TlsInfo;
use crate::wire::Wire;

/// Something happened on a resting client's socket.
pub(crate) fn arrive(server: &Rc<Server>, row: u32) {
    let Some(Row::Client(client)) = server.swap_row(row, Row::Busy) else { return };
    let handshaking = client.wire.is_handshaking();
    let mut place = Place { server, row, client: Some(client) };
    let mut heard = false;
    while let Some(client) = &mut place.client {
        if let Some(to) = server.leaves_to(row) {
            match moving::go(server, row, client, to) {
                Went::Away => return place.gone(),
                Went::Waits => return place.rest(true),
                Went::Lost => return place.leave(Close::Abort),
                Went::Stays => {}
            }
        }
        match client.wire.poll_recv(&server.shard, Class::Head, Wake::row(row)) {
            Poll::Pending => {
                let settled = handshaking && !client.wire.is_handshaking();
                if settled && h2::is_agreed(&client.wire) {
                    return place.h2(None);
                }
                return place.rest(heard || settled);
            }
            Poll::Ready(Ok(lease)) if handshaking && h2::is_agreed(&client.wire) => {
                server.cells.bytes_in.add(lease.len() as u64);
                return place.h2(Some(lease));
            }
            Poll::Ready(Ok(lease)) if !lease.is_empty() => {
                heard = true;
                server.cells.bytes_in.add(lease.len() as u64);
                testing::reached(server, Spot::Row);
                let served = client.served;
                let next = answer(server, row, client, lease);
                server.worked(row, client.served - served, client.stays);
                match next {
                    Next::Stay => {}
                    Next::Close(how) => return place.leave(how),
                    Next::Converse(left) if served == 0 && begins_h2(server, client, left.filled()) => {
                        return place.h2(Some(left));
                    }
                    Next::Converse(left) => return place.converse(left),
                    Next::Relay(sent) => return place.relay(sent),
                }
            }
            Poll::Ready(Ok(_)) => return place.leave(Close::Graceful),
            Poll::Ready(Err(error)) => {
                let how = match client.wire.fault() {
                    Some(fault) => broke_off(server, client, fault),
                    // What it asked for came whole, and its answers are on their way (RFC 9112 §9.8).
                    None if error.kind() == io::ErrorKind::UnexpectedEof => Close::Graceful,
                    None => Close::Abort,
                };
                return place.leave(how);
            }
        }
    }
}

/// True where a client speaks HTTP/2 with these first bytes.
pub(super) fn begins_h2(server: &Server, client: &ClientRow, first: &[u8]) -> bool {
    h2::is_meant(first) && matches!(client.wire, Wire::Plain(_)) && server.fronts.speaks_h2(client.listener)
}

/// TLS ended before its time, and said why to who understands it; whoever speaks plain HTTP is told so in plain HTTP.
#[cold]
fn broke_off(server: &Server, client: &ClientRow, fault: Fault) -> Close {
    if fault == Fault::PlainHttp {
        super::respond::refuse(server, &server.live(), client.wire.socket(), 400);
    }
    Close::Graceful
}

/// A client taken out of its row. If serving it panics, its place is given back all the same.
struct Place<'s> {
    server: &'s Rc<Server>,
    row: u32,
    client: Option<ClientRow>,
}

impl Place<'_> {
    fn rest(mut self, anew: bool) {
        if let Some(client) = self.client.take() {
            rest(self.server, self.row, client, anew);
        }
    }

    fn converse(mut self, left: Lease) {
        if let Some(mut client) = self.client.take() {
            if let Some(idle) = client.idle.take() {
                self.server.shard.lane_remove(idle);
            }
            converse::begin(self.server, self.row, client, left);
        }
    }

    fn h2(mut self, first: Option<Lease>) {
        if let Some(client) = self.client.take() {
            h2::begin(self.server, self.row, client, first);
        }
    }

    fn relay(mut self, Sent { request, live, rule, to, begun }: Sent) {
        if let Some(mut client) = self.client.take() {
            if let Some(idle) = client.idle.take() {
                self.server.shard.lane_remove(idle);
            }
            let relay = Relay { client, request, live, rule, to, begun };
            relay::go_on(self.server, self.row, Box::new(relay));
        }
    }

    fn gone(mut self) {
        if let Some(client) = self.client.take() {
            moving::gone(self.server, client, self.row);
        }
    }

    fn leave(mut self, how: Close) {
        if let Some(client) = self.client.take() {
            accept::farewell(self.server, client, self.row, how);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            accept::farewell(self.server, client, self.row, Close::Abort);
        }
    }
}

/// The connection waits for its next request, but not for ever: its time begins `anew` after a request, or a handshake.
fn rest(server: &Server, row: u32, mut client: ClientRow, anew: bool) {
    let handshaking = client.wire.is_handshaking();
    if let Some(idle) = client.idle {
        if server.closes(client.listener) || handshaking || !anew {
            // Woken for nothing, or for a part of a handshake or of a record: that gives it no more time.
            server.swap_row(row, Row::Client(client));
            return;
        }
        server.shard.lane_remove(idle);
    }
    let lane = match handshaking {
        _ if server.closes(client.listener) => server.grace_lane(),
        true => server.handshake_lane(),
        false => server.idle_lane(),
    };
    client.idle = Some(server.shard.lane_push(lane, row));
    server.swap_row(row, Row::Client(client));
}

/// A resting client made no request for too long.
pub(crate) fn expired(server: &Rc<Server>, row: u32) {
    if let Some(Row::Client(mut client)) = server.swap_row(row, Row::Busy) {
        client.idle = None;
        let place = Place { server, row, client: Some(client) };
        testing::reached(server, Spot::Expired);
        if let Some(client) = place.client.as_ref().filter(|client| !server.closes(client.listener)) {
            let limit = if client.wire.is_handshaking() { Limit::Handshake } else { Limit::Idle };
            server.reached(limit, Some(&client.peer));
        }
        place.leave(Close::Graceful);
    }
}

/// Gives a client that rests only the time its next request may be on its way.
pub(crate) fn hurry(server: &Server, row: u32) {
    if let Some(Row::Client(client)) = server.rows.borrow_mut().get_mut(row as usize) {
        if let Some(idle) = client.idle.take() {
            server.shard.lane_remove(idle);
        }
        client.idle = Some(server.shard.lane_push(server.grace_lane(), row));
    }
}

/// What becomes of a connection once the short way did what it can.
enum Next {
    /// Everything is answered.
    Stay,
    /// The last answer said that it is the last.
    Close(Close),
    /// What is left begins with a request for the long way.
    Converse(Lease),
    /// What is left is a request that is on its way to a server behind.
    Relay(Sent),
}

/// A request on its way to a server behind.
struct Sent {
    request: Lease,
    live: Rc<Live>,
    rule: u32,
    to: For,
    begun: Begun,
}

/// Answers every complete request in the lease that the short way can.
fn answer(server: &Rc<Server>, row: u32, client: &mut ClientRow, mut lease: Lease) -> Next {
    let live = server.live();
    let mut bench = server.bench.borrow_mut();
    let mut out = None;
    let mut used = 0;
    let short = !server.detours(client.listener, lease.filled()) && !client.wire.is_early();
    let hsts = live.plan.client.hsts(&client.wire);
    let tls = client.wire.tls();
    let compares = tls.is_some() && server.fronts.compare_hosts(client.listener);
    let session = tls.as_deref().map(|tls| Session { tls, compares });
    let date = server.date();
    let (mut last, mut bare) = (false, false);
    let mut sent = None;
    while short && !last && used < lease.len() {
        if client.served + 1 >= live.plan.client.max_requests {
            break;
        }
        let bytes = &lease.filled()[used..];
        let (ready, head_len) = match lookup(server, &live, session, bytes, &mut bench) {
            Some(Served::Ready(ready, head_len)) => (ready, head_len),
            Some(Served::Proxy(rule, request)) => {
                sent = forward(server, row, client, &live, (rule, &request), bytes, &mut bench);
                break;
            }
            None => break,
        };
        if !copy(server, client, &ready, &date, hsts, &mut out) {
            break;
        }
        used += head_len;
        last = ready.is_last();
        if last {
            bare = bytes.starts_with(b"GET ") || bytes.starts_with(b"HEAD ");
        }
        client.served += 1;
        server.cells.requests.add(1);
        server.cells.response(ready.status());
    }
    if let Some(out) = out {
        server.cells.bytes_out.add(out.len() as u64);
        client.wire.queue(&server.shard, out.freeze());
    }
    if last {
        // It asked for the end, so it sends nothing more (RFC 9112 §9.6), unless it did already, or may by mistake.
        return Next::Close(if bare && used == lease.len() { Close::Plain } else { Close::Graceful });
    }
    if used == lease.len() && client.wire.queued(&server.shard) <= PIPELINE_QUEUED {
        return Next::Stay;
    }
    drop(lease.split_to(used));
    match sent {
        Some((rule, to, begun)) => Next::Relay(Sent { request: lease, live, rule, to, begun }),
        None => Next::Converse(lease),
    }
}

/// Sends a request on to a server behind, if that is all there is to do: nothing came after it, and not much is queued.
fn forward(
    server: &Rc<Server>,
    row: u32,
    client: &ClientRow,
    live: &Live,
    (rule, request): (u32, &Request),
    bytes: &[u8],
    bench: &mut Bench,
) -> Option<(u32, For, Begun)> {
    let Action::Proxy(proxy) = &live.plan.routes[rule as usize].action else { return None };
    let alone = request.head_len as usize == bytes.len() && client.wire.queued(&server.shard) <= PIPELINE_QUEUED;
    if !alone || !request.keep_alive {
        return None;
    }
    let tls = client.wire.tls();
    let asking = Asking {
        view: request.view(bytes, &bench.fields),
        live,
        rule,
        matched: &bench.scratch,
        peer: &client.peer,
        tls: tls.as_deref(),
    };
    let begun = proxy.begin(server, &asking, &mut bench.target, Wake::row(row))?;
    Some((rule, For { version: request.version, is_head: request.is_head }, begun))
}

/// What the request at the start of what came is served by.
enum Served<'l> {
    /// An answer that is ready, and the length of the request's head.
    Ready(Ready<'l>, usize),
    /// A server behind, by this rule.
    Proxy(u32, Request),
}

/// An answer that only wants its date.
enum Ready<'l> {
    /// A fixed one, compiled at load; its head alone for `HEAD`, and what it says of the connection.
    Image(&'l Image, bool, Persistence),
    /// A small file in memory.
    File(Quick),
}

impl Ready<'_> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Image(image, head_only, persistence) => image.bytes(*head_only, *persistence),
            Self::File(file) => &file.bytes,
        }
    }

    #[inline]
    fn date_offset(&self) -> usize {
        match self {
            Self::Image(image, ..) => image.date_offset(),
            Self::File(file) => file.date_offset,
        }
    }

    fn status(&self) -> u16 {
        match self {
            Self::Image(image, ..) => image.status(),
            Self::File(file) => file.status,
        }
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Image(_, _, Persistence::Close))
    }
}

/// What of a client's session matters to its requests.
#[derive(Clone, Copy)]
pub(super) struct Session<'s> {
    pub(super) tls: &'s TlsInfo,
    /// Whether it is not for every host.
    pub(super) compares: bool,
}

/// Whether filters have nothing to do, as all that they want is a client's certificate, and it was shown to this host.
#[inline(never)]
fn are_met(filters: &[Filter], session: Option<Session<'_>>, host: &[u8]) -> bool {
    let meets = |session: Session<'_>| session.tls.has_certificate() && session.tls.is_for(host);
    matches!(filters, [Filter::ClientCertificate]) && session.is_some_and(meets)
}

/// The rule that serves a request, if nothing stands before its action.
#[inline]
pub(super) fn rule_of(
    live: &Live,
    session: Option<Session<'_>>,
    view: RequestView<'_>,
    matched: &mut Scratch,
) -> Option<u32> {
    if session.is_some_and(|session| session.compares && !session.tls.is_for(view.host())) {
        return None;
    }
    let lookup = Lookup { method: view.method(), host: view.authority(), path: view.path() };
    let Found::Rule(rule) = live.plan.table.find(&lookup, matched) else { return None };
    let filters = &live.plan.routes[rule as usize].filters;
    (filters.is_empty() || are_met(filters, session, view.host())).then_some(rule)
}

/// The answer to the request at the start of `bytes`, if it is ready.
#[inline]
fn lookup<'l>(
    server: &Server,
    live: &'l Live,
    session: Option<Session<'_>>,
    bytes: &[u8],
    bench: &mut Bench,
) -> Option<Served<'l>> {
    let Ok(Parsed::Complete(request)) = parse_request(bytes, &live.plan.client.limits, &mut bench.fields) else {
        return None;
    };
    if request.upgrade
        || !request.body.is_empty()
        || matches!(request.form, TargetForm::Asterisk | TargetForm::Authority)
    {
        return None;
    }
    let view = request.view(bytes, &bench.fields);
    let rule = rule_of(live, session, view, &mut bench.scratch)?;
    let ready = match &live.plan.routes[rule as usize].action {
        Action::Fixed(fixed) => {
            Ready::Image(fixed.image(), request.is_head, Persistence::of(request.version, request.keep_alive))
        }
        Action::Files(files) if request.keep_alive && request.version == Version::Http11 => {
            let captures = live.plan.table.captures(rule, view.path(), &bench.scratch);
            Ready::File(files.quick(&server.files, view, captures.tail(), server.shard.now())?)
        }
        Action::Proxy(_) => return Some(Served::Proxy(rule, request)),
        _ => return None,
    };
    Some(Served::Ready(ready, request.head_len as usize))
}

/// Copies an answer into the output lease and puts the date in; false when there is no room for more.
#[inline]
fn copy(
    server: &Server,
    client: &ClientRow,
    ready: &Ready<'_>,
    date: &[u8],
    hsts: Option<&Hsts>,
    out: &mut Option<Lease>,
) -> bool {
    let bytes = ready.bytes();
    let length = bytes.len() + hsts.map_or(0, |hsts| hsts.line().len());
    if out.as_ref().is_some_and(|lease| lease.spare() < length) {
        if let Some(full) = out.take() {
            server.cells.bytes_out.add(full.len() as u64);
            client.wire.queue(&server.shard, full.freeze());
        }
        if client.wire.queued(&server.shard) > PIPELINE_QUEUED {
            return false;
        }
    }
    let lease = match out {
        Some(lease) => lease,
        None => {
            let class = if length <= 4096 { Class::Head } else { Class::Bulk };
            match server.shard.try_lease(class) {
                Some(lease) => out.insert(lease),
                None => return false,
            }
        }
    };
    if lease.spare() < length {
        return false;
    }
    let at = lease.len() + ready.date_offset();
    match hsts {
        None => _ = lease.extend_from_slice(bytes),
        Some(hsts) => hsts.copy(bytes, ready.date_offset(), lease),
    }
    lease.filled_mut()[at..at + date.len()].copy_from_slice(date);
    true
}
