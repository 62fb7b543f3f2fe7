//! What a server behind answers: the request goes on to it, and its response comes back.
//!
//! `Expect: 100-continue` ends here: the client's `100 Continue` comes from this gate when the first byte of its body is
//! wanted, which is when a connection to a server stands. A server that refuses by the head alone still can: its final
//! answer is passed on while the body is being sent.

use std::cell::Cell;
use std::rc::Rc;

use anygate_core::config::Proxy as Settings;
use anygate_proto::h1::forward;
use anygate_proto::{Known, RequestView};
use anygate_route::TargetPath;
use smallvec::SmallVec;

use crate::error::{Error, Kind, Phase, Retry, Side};
use crate::exchange::Exchange;
use crate::response::{Outcome, Response};
use crate::server::Server;
use crate::upstream::Endpoint;
use crate::upstream::pool::Pool;

mod attempt;
mod compile;
mod head;
mod kept;
mod local;
mod waiting;

use attempt::Attempt;
pub(crate) use head::Asking;
pub use kept::Begun;
pub(crate) use kept::{Answer, For};

/// A compiled proxy route.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// The servers, in the order of the targets; never empty.
    endpoints: Vec<Endpoint>,
    /// For each of them its target's own host, as `Host` would say it.
    hosts: Vec<Box<str>>,
    path: TargetPath,
    settings: Settings,
    /// Counts requests: which server is next.
    turn: Cell<usize>,
}

impl Proxy {
    /// Its servers.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Sends the request on, and returns what came back. Tries again where that is safe: with the next server while no
    /// byte of the request has left, and on a new connection when an idempotent request without a body met a kept one
    /// that its server was just closing.
    ///
    /// # Errors
    /// 502 where no server could be reached or none answered properly, 503 where none is known, 504 where one was too
    /// slow, 508 where the request has been here before; or whatever was wrong with the client's body.
    ///
    /// The answer is 425 where a peer in front says that an unsafe request came in TLS early data, which anybody may have
    /// sent again (RFC 8470 §5.2).
    pub async fn respond(&self, exchange: &mut Exchange) -> Result<Outcome, Error> {
        let server = Rc::clone(&exchange.server);
        if forward::via_loop(exchange.head.view(), server.id.as_bytes()) {
            return Err(Error::new(Kind::Loop, Side::Internal, Phase::BeforeHead));
        }
        if forward::ends_here(exchange.head.view()) {
            return Ok(local::answer(exchange).into());
        }
        let view = exchange.head.view();
        if view.fields.has(Known::EarlyData) && !may_come_again(view) {
            return Ok(Response::page(425).into());
        }
        let upgrade = head::upgrade(view)?;
        let mut total = self.settings.timeout.map(|timeout| server.shard.deadline(timeout));
        let mut failure = Error::new(Kind::Unavailable, Side::Upstream, Phase::BeforeHead);
        let mut retries = self.settings.retries;
        let mut fresh = false;
        let mut begun = exchange.begun.take();
        let turn = begun.as_ref().map_or_else(|| self.next_turn(), |begun| begun.turn);
        let mut servers = self.servers(&server, turn).into_iter().peekable();
        while let Some((at, pool)) = servers.peek() {
            exchange.attempts += 1;
            let attempt = Attempt { proxy: self, server: &server, at: *at, pool, upgrade: upgrade.as_deref(), fresh };
            failure = match attempt.run(exchange, begun.take(), &mut total).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) => error,
            };
            match failure.retry {
                Retry::Safe if retries > 0 => {
                    retries -= 1;
                    servers.next();
                }
                // Only a reused connection says so, and a new one is the next: at most once. That is no fault of the
                // server's, so it does not count as one of `retries`.
                Retry::IfIdempotent if !fresh && is_idempotent(exchange.head.view().method()) => fresh = true,
                _ => return Err(failure),
            }
            if servers.peek().is_some() {
                server.cells.upstream_retries.add(1);
            }
        }
        Err(failure)
    }

    fn next_turn(&self) -> usize {
        self.turn.replace(self.turn.get().wrapping_add(1))
    }

    /// The servers to try in this turn, in this order: those that answer take turns, those that could not be reached lately come last,
    /// those without an address not at all.
    fn servers(&self, server: &Server, turn: usize) -> SmallVec<[(usize, Rc<Pool>); 4]> {
        let now = server.shard.now();
        let usable = |(at, endpoint): (usize, &Endpoint)| {
            let pool = server.upstreams.pool(&endpoint.key).filter(|pool| pool.is_usable())?;
            Some((at, pool))
        };
        let mut order: SmallVec<[_; 4]> = self.endpoints.iter().enumerate().filter_map(usable).collect();
        order.sort_by_key(|(_, pool)| pool.is_resting(now));
        let well = order.iter().take_while(|(_, pool)| !pool.is_resting(now)).count();
        // Turns are taken by those alone that are well: else who comes behind one that is not would serve for two.
        let turning = if well > 0 { &mut order[..well] } else { &mut order[..] };
        if !turning.is_empty() {
            let first = turn % turning.len();
            turning.rotate_left(first);
        }
        order
    }
}

/// Whether a request may do what it does once more, unasked: a safe one, and none that opens a tunnel, for what that carries
/// would come again too.
pub(crate) fn may_come_again(view: RequestView<'_>) -> bool {
    is_safe(view.method()) && !view.request.upgrade
}

/// RFC 9110 §9.2.1.
fn is_safe(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &[u8]) -> bool {
    is_safe(method) || matches!(method, b"PUT" | b"DELETE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_nobody_knows_is_not_idempotent() {
        assert!(is_idempotent(b"GET") && is_idempotent(b"DELETE"));
        assert!(!is_idempotent(b"POST") && !is_idempotent(b"PATCH") && !is_idempotent(b"get"));
    }
}
