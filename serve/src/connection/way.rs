//! The way of one request from its head to its outcome, whatever protocol it came by: what answers before the rules, which rule
//! it is, and the exchange that carries it through the pipeline.

use std::rc::Rc;

use anygate_proto::forwarded;
use anygate_proto::head::{BodyLength, Head, Request, RequestView, TargetForm, Version};
use anygate_route::{Found, Lookup, Scratch, Table};
use anygate_shard::Bytes;
use anygate_shard::net::Address;

use crate::action::proxy::Begun;
use crate::body::Body;
use crate::connection::before;
use crate::connection::inform::Informer;
use crate::exchange::{Exchange, Peer};
use crate::response::{Outcome, Response};
use crate::server::{Live, Server};
use crate::tls::TlsInfo;

/// What of a request its response depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
    /// `GET` or `HEAD`: nothing comes behind it. Behind a `POST` some clients put a line end that belongs to nothing.
    pub(super) is_bare: bool,
    pub(super) keep_alive: bool,
}

impl Asked {
    pub(super) fn of(request: &Request) -> Self {
        Self {
            version: request.version,
            is_head: request.is_head,
            // No other method has a target of this form.
            is_connect: request.form == TargetForm::Authority,
            is_bare: request.is_get || request.is_head,
            keep_alive: request.keep_alive,
        }
    }
}

/// Where a request leads.
pub(super) struct Way {
    /// What answers before any rule is asked.
    before: Option<Response>,
    found: Found,
}

impl Way {
    /// Looks where the request leads that came by listener `number`.
    pub(super) fn find(
        server: &Server,
        live: &Live,
        number: u32,
        tls: Option<&TlsInfo>,
        view: RequestView<'_>,
        matched: &mut Scratch,
    ) -> Self {
        let before = before::answer(server, number, tls, view);
        Self { found: if before.is_some() { Found::NotFound } else { found(live, view, matched) }, before }
    }

    /// The same for what is on its way to a server, and was looked at before it left.
    pub(super) fn of_begun(live: &Live, view: RequestView<'_>, matched: &mut Scratch) -> Self {
        Self { before: None, found: found(live, view, matched) }
    }

    /// Longest request body.
    pub(super) fn max_body(&self, live: &Live) -> Option<u64> {
        match self.found {
            Found::Rule(rule) => live.plan.routes[rule as usize].max_body,
            _ => None,
        }
    }

    /// The exchange that goes through the pipeline.
    ///
    /// # Errors
    /// The answer, where no rule is asked.
    pub(super) fn exchange(self, errand: Errand) -> Result<Exchange, Outcome> {
        match (self.before, self.found) {
            (Some(answer), _) => Err(answer.into()),
            (None, Found::Rule(rule)) => Ok(errand.exchange(rule)),
            (None, found) => Err(unmatched(&errand.live, found, &errand.head, &errand.matched).into()),
        }
    }
}

/// True where a body is announced that is longer than it may be.
pub(super) fn is_too_large(body: BodyLength, max_body: Option<u64>) -> bool {
    matches!((body, max_body), (BodyLength::Length(len), Some(max)) if len > max)
}

fn found(live: &Live, view: RequestView<'_>, matched: &mut Scratch) -> Found {
    if view.request.form == TargetForm::Asterisk {
        return Found::NotFound;
    }
    let lookup = Lookup { method: view.method(), host: view.authority(), path: view.path() };
    live.plan.table.find(&lookup, matched)
}

/// One request, with everything its exchange is made of.
pub(super) struct Errand {
    pub(super) server: Rc<Server>,
    pub(super) live: Rc<Live>,
    pub(super) head: Head<Bytes>,
    pub(super) body: Body,
    pub(super) matched: Scratch,
    pub(super) peer: Address,
    pub(super) listener: u32,
    pub(super) tls: Option<Rc<TlsInfo>>,
    pub(super) begun: Option<Begun>,
    pub(super) informer: Informer,
}

impl Errand {
    fn exchange(self, rule: u32) -> Exchange {
        let Self { server, live, head, body, matched, peer: raw, listener, tls, begun, informer } = self;
        let effective = raw.ip().map(|at| forwarded::client_address(at.ip(), head.view(), &live.plan.client.trust));
        Exchange {
            server,
            live,
            rule: rule as usize,
            head,
            body,
            matched,
            peer: Peer { raw, effective },
            listener,
            tls,
            attempts: 0,
            begun,
            informer,
        }
    }
}

/// The page of a status on a connection that ends.
pub(super) fn refusal(status: u16) -> Response {
    let mut page = Response::page(status);
    page.close = true;
    page
}

/// The answer to a request no rule serves.
fn unmatched(live: &Live, found: Found, head: &Head<Bytes>, matched: &Scratch) -> Response {
    let view = head.view();
    let allow = |allow| {
        let mut lines = b"Allow: ".to_vec();
        live.plan.table.write_allow(allow, &mut lines);
        lines.extend_from_slice(b"\r\n");
        lines
    };
    match found {
        Found::Options(methods) => Response::new(204, Bytes::from(allow(methods)), Body::Empty),
        Found::MethodNotAllowed(methods) => Response::page(405).with_lines(&allow(methods)),
        Found::AddSlash(_) => {
            let mut lines = b"Location: ".to_vec();
            let path = matched.forward_path(view.path());
            Table::slash_location(path, view.query(), &mut lines);
            lines.extend_from_slice(b"\r\n");
            Response::new(308, Bytes::from(lines), Body::Empty)
        }
        Found::Bad(_) => Response::page(400),
        // `OPTIONS *` asks about the server as a whole (RFC 9110 §9.3.7).
        _ if head.request.form == TargetForm::Asterisk => Response::new(204, Bytes::empty(), Body::Empty),
        // What it names is no resource of ours: no method is allowed there (RFC 9110 §10.2.1).
        _ if view.method() == b"CONNECT" => Response::page(405).with_lines(b"Allow:\r\n"),
        _ => Response::page(404),
    }
}
