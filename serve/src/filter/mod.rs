//! What may look at an exchange before its action and at the response after it.
//!
//! A new filter is a module here and one variant of [`Filter`].

use std::task::{Context, Poll};

use crate::error::Error;
use crate::exchange::Exchange;
use crate::response::{Outcome, Response};

mod client_certificate;
mod headers;

pub use headers::Headers;

/// A compiled filter, matched in place.
#[derive(Debug, Clone)]
pub enum Filter {
    /// Refuses who shows no certificate: a rule's `client_auth`.
    ClientCertificate,
    /// Sets response fields: a rule's `headers`.
    Headers(Headers),
}

impl Filter {
    /// Before the action, in order; an outcome ends the exchange here.
    ///
    /// # Errors
    /// The exchange fails with this error's status.
    pub fn pre(&self, exchange: &mut Exchange, cx: &mut Context<'_>) -> Poll<Result<Option<Outcome>, Error>> {
        let _ = cx;
        match self {
            Self::ClientCertificate => Poll::Ready(Ok(client_certificate::refusal(exchange).map(Into::into))),
            Self::Headers(_) => Poll::Ready(Ok(None)),
        }
    }

    /// After the action, in reverse order, with the response and its body.
    ///
    /// # Errors
    /// The exchange fails with this error's status.
    pub fn post(
        &self,
        exchange: &mut Exchange,
        response: &mut Response,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let _ = (exchange, cx);
        match self {
            Self::ClientCertificate => {}
            Self::Headers(headers) => headers.post(response),
        }
        Poll::Ready(Ok(()))
    }

    /// True when it needs nothing of the request, so that a fixed answer can be compiled with it.
    #[must_use]
    pub fn compiles_into_fixed(&self) -> Option<&Headers> {
        match self {
            Self::ClientCertificate => None,
            Self::Headers(headers) => Some(headers),
        }
    }

    /// Its name in `explain`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ClientCertificate => "client_auth",
            Self::Headers(_) => "headers",
        }
    }
}
