//! One try with one server: a connection, the request on it, and the response's head back.

use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use anygate_proto::h1::response::Asked;
use anygate_proto::{BodyLength, ResponseHead};
use anygate_shard::{Bytes, Deadline};

use super::waiting::Waiting;
use super::{Asking, Begun, Proxy, head};
use crate::body::Body;
use crate::connection::Informer;
use crate::connection::outlet::{Framing, Outlet};
use crate::connection::reader::Pace;
use crate::error::{Error, Kind, Phase, Retry, Side};
use crate::exchange::Exchange;
use crate::response::{FieldSource, Outcome, Response};
use crate::server::Server;
use crate::testing::{self, Spot};
use crate::upstream::content::Upload;
use crate::upstream::pool::Pool;
use crate::upstream::{Checkout, Content, Tunnel, connect};

/// Most interim responses before a final one; a server that says more is broken.
const INTERIM: usize = 128;

/// Most bytes of their heads: they are queued for the client whether it takes them or not.
const INTERIM_BYTES: usize = 128 * 1024;

/// How much of a request may still be queued when the wait for its answer begins.
const UNSENT: usize = 16 * 1024;

/// One try.
pub(super) struct Attempt<'a> {
    pub(super) proxy: &'a Proxy,
    pub(super) server: &'a Rc<Server>,
    /// Which of the proxy's servers.
    pub(super) at: usize,
    pub(super) pool: &'a Rc<Pool>,
    /// The protocol the client asks to switch to.
    pub(super) upgrade: Option<&'a str>,
    /// Whether a kept connection will not do.
    pub(super) fresh: bool,
}

impl Attempt<'_> {
    /// Makes the try, or goes on with one that was `begun`; `total` is what is left of the whole exchange's time.
    pub(super) async fn run(
        &self,
        exchange: &mut Exchange,
        begun: Option<Begun>,
        total: &mut Option<Deadline>,
    ) -> Result<Outcome, Error> {
        let result = self.exchange(exchange, begun, total).await;
        if let Err(error) = &result
            && error.side == Side::Upstream
            && error.retry != Retry::Safe
            && error.kind != Kind::Timeout
        {
            // Timeouts, and servers that could not be reached, were counted where they happened.
            self.server.cells.upstream_failures.add(1);
        }
        result
    }

    async fn exchange(
        &self,
        exchange: &mut Exchange,
        begun: Option<Begun>,
        total: &mut Option<Deadline>,
    ) -> Result<Outcome, Error> {
        let patience = self.proxy.settings.first_byte_timeout;
        let (checkout, upload) = match begun {
            Some(begun) => (begun.upstream, None),
            None => {
                let checkout = self.acquire(&exchange.informer, total).await?;
                let upload = self.send(&checkout, exchange)?;
                if let Some(reader) = checkout.reader() {
                    reader.borrow_mut().expect_head(upload.is_none().then_some(patience));
                }
                (checkout, upload)
            }
        };
        let Some(reader) = checkout.reader().map(Rc::clone) else {
            return Err(Error::new(Kind::Internal, Side::Internal, Phase::BeforeHead));
        };
        testing::reached(self.server, Spot::Attempt);
        let again = checkout.is_reused() && upload.is_none();
        let asked = Asked::by(exchange.head.view().method());
        let client = &exchange.informer;
        let mut waiting = Waiting::new(self.server, &reader, client, asked, upload, patience, total);
        if again {
            waiting = waiting.retriable();
        }
        let mut told = 0;
        for _ in 0..=INTERIM {
            let head = poll_fn(|cx| waiting.poll_head(cx)).await?;
            if head.response.is_interim() {
                told += head.bytes.len();
                if told > INTERIM_BYTES {
                    break;
                }
                exchange.informer.inform(self.server, &head);
                waiting.encouraged();
                continue;
            }
            let (sent, upload, total) = waiting.into_rest();
            if head.response.status == 101 {
                return self.switch(checkout, head, sent);
            }
            return Ok(self.response(checkout, head, client, sent, upload, total).into());
        }
        Err(malformed())
    }

    /// Sends the request's head, and returns what sends its body.
    fn send(&self, checkout: &Checkout, exchange: &mut Exchange) -> Result<Option<Upload>, Error> {
        let Some(reader) = checkout.reader() else { return Ok(None) };
        let mut target = Vec::with_capacity(exchange.head.request.target.len as usize + 64);
        let asking = Asking::of(exchange);
        let head = self.proxy.write_head(self.at, self.server, &asking, self.upgrade, &mut target)?;
        let shard = &self.server.shard;
        reader.borrow().wire().queue(shard, head);
        if exchange.body.is_empty() {
            return Ok(None);
        }
        let timeout = self.proxy.settings.write_timeout;
        let outlet = Outlet::new(shard.clone(), Rc::clone(reader), Side::Upstream, timeout);
        Ok(Some(send(outlet, exchange)))
    }

    async fn acquire(&self, client: &Informer, total: &mut Option<Deadline>) -> Result<Checkout, Error> {
        let timeout = self.proxy.settings.connect_timeout;
        let mut connecting = pin!(connect::acquire(self.server, self.pool, self.fresh, timeout));
        poll_fn(|cx| {
            if let Poll::Ready(checkout) = connecting.as_mut().poll(cx) {
                return Poll::Ready(checkout);
            }
            if client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(gone()));
            }
            let Some(total) = total else { return Poll::Pending };
            total.poll_expired(cx).map(|()| {
                self.server.cells.timeouts_upstream.add(1);
                Err(Error::new(Kind::Timeout, Side::Upstream, Phase::BeforeHead))
            })
        })
        .await
    }

    /// A 101: a tunnel, if it is what was asked for.
    fn switch(&self, mut checkout: Checkout, head: ResponseHead<Bytes>, sent: bool) -> Result<Outcome, Error> {
        let agreed = self.upgrade.is_some_and(|asked| head::switches_to(head.view(), asked));
        if !agreed || !sent {
            return Err(malformed());
        }
        checkout.answered();
        let response = self.dressed(head, Body::Empty);
        let idle_timeout = self.proxy.settings.tunnel_timeout;
        Ok(Outcome::Tunnel(Box::new(Tunnel { response, upstream: checkout, idle_timeout })))
    }

    /// A final response, its content still to come.
    fn response(
        &self,
        mut checkout: Checkout,
        head: ResponseHead<Bytes>,
        client: &Informer,
        sent: bool,
        upload: Option<Upload>,
        total: Option<Deadline>,
    ) -> Response {
        let facts = head.response;
        // A refusal needs no more of the request's body. Who begins a good answer early may well want all of it.
        let upload = upload.filter(|_| facts.status < 300);
        let reusable = facts.keep_alive && (sent || upload.is_some());
        let length = facts.body.known();
        checkout.answered();
        if sent {
            checkout.sent_whole();
        }
        let body = match checkout.reader() {
            Some(reader)
                if upload.is_none() && length.is_some_and(|length| length <= reader.borrow().held().len() as u64) =>
            {
                // All of it came with the head: the connection is free at once.
                let bytes =
                    reader.borrow_mut().take(length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0));
                if reusable {
                    checkout.keep();
                }
                checkout.settle();
                if bytes.is_empty() { Body::Empty } else { Body::Bytes(bytes) }
            }
            Some(reader) => {
                let pace = Pace::timeout(self.proxy.settings.read_timeout);
                reader.borrow_mut().begin_body(facts.body, pace, false);
                Body::Upstream(Box::new(Content::new(checkout, reusable, client.clone(), upload, total)))
            }
            None => Body::Empty,
        };
        let mut response = self.dressed(head, body);
        response.length = facts.content_length;
        // What of the client's body is on its way when the exchange ends may be lost between the sockets.
        response.close = !sent;
        response
    }

    fn dressed(&self, head: ResponseHead<Bytes>, body: Body) -> Response {
        let mut response = Response::new(head.response.status, Bytes::empty(), body);
        response.via = self.proxy.settings.via;
        response.fields = FieldSource::Upstream(Box::new(head));
        response
    }
}

/// Sends the request's body, framed as it came.
fn send(mut outlet: Outlet, exchange: &mut Exchange) -> Upload {
    let mut body = mem::replace(&mut exchange.body, Body::Empty);
    let framing = match exchange.head.request.body {
        BodyLength::Chunked => Framing::Chunked,
        _ => Framing::Plain,
    };
    Box::pin(async move {
        outlet.send_body(&mut body, framing).await?;
        // The server's time to answer begins when it has got the request, all but a little.
        outlet.sent(UNSENT).await?;
        if let Body::H2(content) = &mut body {
            content.pass_on(0);
        }
        Ok(())
    })
}

pub(super) fn gone() -> Error {
    Error::new(Kind::Gone, Side::Downstream, Phase::BeforeHead)
}

pub(super) fn malformed() -> Error {
    Error::new(Kind::Malformed { status: 502 }, Side::Upstream, Phase::BeforeHead)
}
