//! Writing a response in HTTP/1.1's form: head, framing, body, and whether the connection stays (RFC 9112 §6, §9).

use std::future::poll_fn;
use std::rc::Rc;

use anygate_proto::h1::forward::{Edits, ForwardBack, forward_response};
use anygate_proto::h1::sink::Copied;
use anygate_proto::h1::write::{Answer, Persistence};
use anygate_proto::head::{BodyLength, Version};
use anygate_shard::{Bytes, Close, SocketId};
use smallvec::SmallVec;

use crate::body::Body;
use crate::connection::converse::{Conversation, Then};
use crate::connection::drain;
use crate::connection::outlet::Framing;
use crate::connection::way::Asked;
use crate::error::{Error, Kind, Phase, Side};
use crate::hsts::Hsts;
use crate::observe::limit::Limit;
use crate::response::{Edit, FieldSource, Response};
use crate::server::{Live, Server};

/// What may be left to leave together with the connection's end: the kernel has room for it.
const LAST: usize = 16 << 10;

/// Bytes of a body that weigh as much as an answer that is ready.
const BYTES_OF_WORK: u64 = 16 << 10;

impl Conversation {
    /// Sends a response, and says what becomes of the connection.
    pub(super) async fn respond(&mut self, live: &Rc<Live>, asked: &Asked, mut response: Response) -> Then {
        self.outlet.begin();
        let used_up = self.served >= live.plan.client.max_requests;
        // A client that asked for a tunnel may have begun to use it: nothing behind it is a request.
        let stay = asked.keep_alive
            && !asked.is_connect
            && !response.close
            && !self.closes()
            && !used_up
            && drain::is_cheap(&self.reader.borrow());
        let body = framing(asked, &response);
        let stay = stay && body != BodyLength::UntilClose;
        if used_up && asked.keep_alive {
            self.reached(Limit::Requests);
        }
        let persistence = Persistence::of(asked.version, stay);
        let head = match self.head(live, asked, &response, body, persistence) {
            Ok(head) => head,
            Err(error) => {
                // A field an upstream or a filter gave would have split the response.
                self.refuse(live, error.status(), asked.is_head).await;
                return Then::End(Close::Graceful);
            }
        };
        self.server().cells.response(response.status);
        self.server().cells.bytes_out.add(head.len() as u64);
        let head = self.server().lend(head);
        self.outlet.queue(head);
        // A server that answers early without content may still want the rest of the request.
        if sends_body(asked, response.status) || matches!(response.body, Body::Upstream(_)) {
            let framing = if body == BodyLength::Chunked { Framing::Chunked } else { Framing::Plain };
            let sent = self.outlet.send_body(&mut response.body, framing).await;
            let moved = self.outlet.take_moved();
            self.server().cells.bytes_out.add(moved);
            self.worked(moved / BYTES_OF_WORK);
            if let Err(error) = sent {
                self.count(error);
                // The announced length or the final chunk is missing: only a cut says so. What came goes before it: a client
                // that sees nothing but a reset takes it for a connection that was closed at rest, and asks again.
                if error.side == Side::Upstream {
                    self.outlet.flush();
                }
                return Then::End(Close::Abort);
            }
        }
        if let Body::Upstream(content) = &mut response.body
            && let Err(error) = poll_fn(|cx| content.poll_request_sent(cx)).await
        {
            self.count(error);
        }
        drop(response);
        if stay {
            return self.discard_body().await;
        }
        // Who asked for the end sends nothing more (RFC 9112 §9.6), unless it did already. What comes all the same would reset
        // the connection, and take the answer along.
        let heard = self.reader.borrow().body_done() && self.reader.borrow().held().is_empty();
        let how = if heard && !asked.keep_alive && asked.is_bare { Close::Plain } else { Close::Graceful };
        if how == Close::Plain && self.outlet.queued() <= LAST {
            return Then::End(how);
        }
        match self.outlet.sent(0).await {
            Ok(()) => Then::End(how),
            Err(error) => {
                self.count(error);
                Then::End(Close::Abort)
            }
        }
    }

    /// Sends the page of a status, or its head alone; the connection ends afterwards.
    pub(super) async fn refuse(&mut self, live: &Rc<Live>, status: u16, head_only: bool) {
        let server = Rc::clone(self.server());
        let hsts = live.plan.client.hsts(self.reader.borrow().wire());
        let page = page(&server, live, hsts, status, head_only);
        self.outlet.queue(page);
        if let Err(error) = self.outlet.sent(0).await {
            self.count(error);
        }
    }

    /// Sends the head that switches protocols.
    pub(super) fn switch(&self, live: &Rc<Live>, asked: &Asked, response: &Response) -> Result<(), Error> {
        let head = self.head(live, asked, response, BodyLength::None, Persistence::Implied)?;
        self.server().cells.response(response.status);
        self.server().cells.bytes_out.add(head.len() as u64);
        self.outlet.queue(Bytes::from(head));
        Ok(())
    }

    fn head(
        &self,
        live: &Live,
        asked: &Asked,
        response: &Response,
        body: BodyLength,
        persistence: Persistence,
    ) -> Result<Vec<u8>, Error> {
        let date = self.server().date();
        let mut out = Vec::with_capacity(512);
        let hsts = live.plan.client.hsts(self.reader.borrow().wire()).map(|hsts| (Hsts::NAME, hsts.value()));
        let split = |_| Error::new(Kind::Malformed { status: 502 }, Side::Upstream, Phase::AfterHead);
        match &response.fields {
            FieldSource::Upstream(head) => {
                let mut drop: Vec<&str> = response.edits.iter().filter_map(Edit::drops).collect();
                let mut add: Vec<(&str, &[u8])> = response.edits.iter().filter_map(Edit::adds).collect();
                drop.extend(hsts.map(|(name, _)| name));
                add.extend(hsts);
                let server = self.server();
                let back = ForwardBack {
                    version: asked.version,
                    body,
                    persistence,
                    via: response.via.then_some(&*server.id),
                    date: &date,
                    upgrade: response.status == 101,
                    edits: Edits { drop: &drop, add: &add },
                };
                let source = head.bytes.clone();
                forward_response(head.view(), &back, &mut Copied::new(&source, &mut out)).map_err(split)?;
            }
            FieldSource::Lines(lines) => {
                let dropped = |name: &str| {
                    response.edits.iter().filter_map(Edit::drops).any(|drop| drop.eq_ignore_ascii_case(name))
                };
                let mut fields: SmallVec<[(&str, &[u8]); 12]> =
                    own_fields(lines).filter(|(name, _)| !dropped(name)).collect();
                fields.extend(response.edits.iter().filter_map(Edit::adds));
                fields.extend(hsts);
                let answer = Answer {
                    status: response.status,
                    server: &live.plan.client.name,
                    fields: &fields,
                    body,
                    persistence,
                };
                answer.write(&date, &mut out).map_err(split)?;
            }
        }
        Ok(out)
    }

    pub(super) fn count(&self, error: Error) {
        if let Some(limit) = error.limit() {
            return self.reached(limit);
        }
        let cells = &self.server().cells;
        match (error.kind, error.side) {
            (Kind::Gone, _) => cells.clients_gone.add(1),
            (Kind::Timeout, _) => cells.timeouts_upstream.add(1),
            (_, Side::Upstream) => cells.upstream_failures.add(1),
            _ => {}
        }
    }
}

/// Names and values of field lines made here.
pub(super) fn own_fields(lines: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    lines.split(|&b| b == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = line.iter().position(|&b| b == b':')?;
        Some((std::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii()))
    })
}

/// How the response's body is framed for this client. `Length` for a `HEAD` too: the length GET would have.
fn framing(asked: &Asked, response: &Response) -> BodyLength {
    let known = response.length.or_else(|| response.body.len_hint());
    match (known, asked.version) {
        _ if !sends_body(asked, response.status) && matches!(response.fields, FieldSource::Upstream(_)) => {
            BodyLength::None
        }
        // To who asked for a tunnel, what follows has no length, whatever it is (RFC 9110 §9.3.6): it must be the last.
        _ if asked.is_connect && response.status < 300 => BodyLength::UntilClose,
        _ if response.status < 200 || matches!(response.status, 204 | 304) => BodyLength::None,
        (Some(length), _) => BodyLength::Length(length),
        (None, Version::Http10) if sends_body(asked, response.status) => BodyLength::UntilClose,
        (None, Version::Http10) => BodyLength::None,
        (None, _) => BodyLength::Chunked,
    }
}

fn sends_body(asked: &Asked, status: u16) -> bool {
    !asked.is_head && status >= 200 && !matches!(status, 204 | 304)
}

/// The page of a status on a connection that ends, or its head alone.
fn page(server: &Server, live: &Live, hsts: Option<&Hsts>, status: u16, head_only: bool) -> Bytes {
    let image = live.plan.pages.get(status);
    let mut out = Vec::new();
    image.write(head_only, Persistence::Close, &server.date(), &mut out);
    if let Some(hsts) = hsts {
        hsts.insert(&mut out, image.date_offset());
    }
    server.cells.response(image.status());
    server.cells.bytes_out.add(out.len() as u64);
    Bytes::from(out)
}

/// Answers a connection that is not let in, in plain text.
pub(super) fn refuse(server: &Server, live: &Live, socket: SocketId, status: u16) {
    server.shard.queue(socket, page(server, live, None, status, false));
}
