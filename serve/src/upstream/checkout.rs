//! A connection to a server behind while a request uses it: it goes back to its pool by itself when it can carry another,
//! and is closed otherwise.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;

use anygate_shard::net::Address;
use anygate_shard::{Close, SocketId, Wake};

use crate::connection::reader::Reader;
use crate::server::Server;
use crate::upstream::pool::Pool;

/// A connection's own state, at rest or in use. Making it once for all its requests saves allocations.
#[derive(Debug)]
pub(crate) struct Link {
    /// Its receiving half.
    pub(crate) reader: Rc<RefCell<Reader>>,
    /// Where it leads.
    pub(crate) address: Address,
}

/// A connection in use.
#[derive(Debug)]
pub struct Checkout {
    server: Rc<Server>,
    pool: Rc<Pool>,
    /// Gone once the connection is.
    link: Option<Link>,
    reused: bool,
    answered: bool,
    whole: bool,
    keep: bool,
}

impl Link {
    pub(crate) fn socket(&self) -> SocketId {
        self.reader.borrow().wire().socket()
    }

    /// Whether something arrived, or the connection ended, while nobody uses it; else `wake` is told when.
    pub(crate) fn poll_stirred(&self, server: &Server, wake: Wake) -> Poll<()> {
        let reader = self.reader.borrow();
        server.shard.poll_recv(reader.wire().socket(), reader.head_buffer(), wake).map(drop)
    }
}

impl Checkout {
    pub(crate) fn new(server: &Rc<Server>, pool: &Rc<Pool>, link: Link, reused: bool) -> Self {
        Self {
            server: Rc::clone(server),
            pool: Rc::clone(pool),
            link: Some(link),
            reused,
            answered: false,
            whole: false,
            keep: false,
        }
    }

    /// True when it carried a request before: its server may be closing it at this moment.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Its receiving half; none after [`Checkout::settle`].
    #[must_use]
    pub fn reader(&self) -> Option<&Rc<RefCell<Reader>>> {
        self.link.as_ref().map(|link| &link.reader)
    }

    /// Says that the final head of an answer is here.
    pub fn answered(&mut self) {
        self.answered = true;
    }

    /// Says that all of the request is queued or has left: what is queued still leaves before the end.
    pub fn sent_whole(&mut self) {
        self.whole = true;
    }

    /// Says that both peers want to go on: the request has left whole, and the response allows another.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Ends the use: back to the pool when [`Checkout::keep`] was said and the response was read to its end, nothing more
    /// and nothing less (RFC 9112 §9.3); else closed, by a reset where either side is in mid-message or an answer is due:
    /// that ends the server's work for a client that left, where an end of our sending half need not.
    pub fn settle(&mut self) {
        let Some(link) = self.link.take() else { return };
        let (done, clean) = {
            let reader = link.reader.borrow();
            let sent = reader.wire().queued(&self.server.shard) == 0;
            let answered = self.answered && (sent || self.whole);
            let done = reader.body_done() && (answered || sent && reader.ended());
            (done, done && sent && reader.held().is_empty() && !reader.ended())
        };
        if self.keep && clean {
            self.pool.put(&self.server, link);
        } else {
            self.server.shard.close(link.socket(), if done { Close::Graceful } else { Close::Abort });
        }
    }

    /// Closes the connection.
    pub fn close(mut self, how: Close) {
        if let Some(link) = self.link.take() {
            self.server.shard.close(link.socket(), how);
        }
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        self.settle();
    }
}
