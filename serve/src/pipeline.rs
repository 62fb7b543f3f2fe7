//! The way of one request that takes the long way: `pre` filters, the action, `post` filters in reverse.

use std::future::poll_fn;
use std::rc::Rc;

use crate::error::{Error, Kind, Side};
use crate::exchange::Exchange;
use crate::response::Outcome;
use crate::testing::{self, Spot};

/// Runs an exchange to its outcome.
pub(crate) async fn run(exchange: &mut Exchange) -> Outcome {
    let live = Rc::clone(&exchange.live);
    let route = &live.plan.routes[exchange.rule];
    let mut entered = 0;
    let mut outcome = None;
    for filter in &route.filters {
        entered += 1;
        testing::reached(&exchange.server, Spot::Filter);
        match poll_fn(|cx| filter.pre(exchange, cx)).await {
            Ok(None) => {}
            Ok(Some(answer)) => {
                outcome = Some(answer);
                break;
            }
            Err(error) => {
                outcome = Some(error.into());
                break;
            }
        }
    }
    let mut outcome = match outcome {
        Some(outcome) => outcome,
        None => route.action.run(exchange).await.unwrap_or_else(|error| {
            count(exchange, error);
            error.into()
        }),
    };
    let Outcome::Response(response) = &mut outcome else { return outcome };
    for filter in route.filters[..entered].iter().rev() {
        if let Err(error) = poll_fn(|cx| filter.post(exchange, response, cx)).await {
            return error.into();
        }
    }
    outcome
}

/// Counts what a client did wrong; what a server behind did was counted where it happened.
fn count(exchange: &Exchange, error: Error) {
    if let Some(limit) = error.limit() {
        return exchange.server.reached(limit, Some(&exchange.peer.raw));
    }
    let cells = &exchange.server.cells;
    match (error.kind, error.side) {
        (Kind::Gone, _) => cells.clients_gone.add(1),
        (Kind::Malformed { .. }, Side::Downstream) => cells.parse_errors.add(1),
        _ => {}
    }
}
