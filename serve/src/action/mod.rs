//! What a route does with a request. A new action is a module here and one variant of [`Action`].

use crate::error::Error;
use crate::exchange::Exchange;
use crate::response::Outcome;

pub mod echo;
pub mod files;
pub mod fixed;
pub mod proxy;
pub mod redirect;

/// A compiled action, matched in place.
#[derive(Debug, Clone)]
pub enum Action {
    /// The same answer to everyone.
    Fixed(fixed::Fixed),
    /// Elsewhere.
    Redirect(redirect::Redirect),
    /// The request itself.
    Echo(echo::Echo),
    /// A file.
    Files(Box<files::Files>),
    /// What a server behind answers.
    Proxy(Box<proxy::Proxy>),
}

impl Action {
    /// Runs it.
    ///
    /// # Errors
    /// The exchange failed before a response was there; the error has its status.
    pub async fn run(&self, exchange: &mut Exchange) -> Result<Outcome, Error> {
        match self {
            Self::Fixed(fixed) => Ok(fixed.respond().into()),
            Self::Redirect(redirect) => Ok(redirect.respond(exchange).into()),
            Self::Echo(echo) => echo.respond(exchange).await.map(Into::into),
            Self::Files(files) => files.respond(exchange).await.map(Into::into),
            Self::Proxy(proxy) => proxy.respond(exchange).await,
        }
    }
}
