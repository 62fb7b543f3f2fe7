//! Elsewhere: a status and a `Location` that is filled in from the request.

use anygate_route::Template;

use crate::body::Body;
use crate::exchange::Exchange;
use crate::response::Response;

/// A compiled redirect.
#[derive(Debug, Clone)]
pub struct Redirect {
    status: u16,
    location: Template,
}

impl Redirect {
    /// `status` is 301, 302, 303, 307 or 308.
    #[must_use]
    pub fn new(status: u16, location: Template) -> Self {
        Self { status, location }
    }

    /// The redirect of this request: an empty body, and the request's query behind the rule's own (RFC 9110 §15.4).
    #[must_use]
    pub fn respond(&self, exchange: &Exchange) -> Response {
        let view = exchange.head.view();
        let captures = exchange.live.plan.table.captures(exchange.rule as u32, view.path(), &exchange.matched);
        let mut lines = b"Location: ".to_vec();
        self.location.render(&captures, view.query(), &mut lines);
        lines.extend_from_slice(b"\r\n");
        Response::new(self.status, exchange.server.lend(lines), Body::Empty)
    }
}
