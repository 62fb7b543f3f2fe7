//! What passes between gate and client while the answer is awaited: interim answers, such as 103 (RFC 9110 §15.2), and the
//! news that the client has left.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};

use anygate_proto::head::Version;
use anygate_shard::{Bytes, Shard};

use crate::connection::reader::Reader;

/// Sends interim answers, to HTTP/1.0 never, and watches the client.
#[derive(Clone)]
pub struct Informer {
    shard: Shard,
    reader: Rc<RefCell<Reader>>,
    version: Version,
}

impl Informer {
    pub(crate) fn new(shard: Shard, reader: Rc<RefCell<Reader>>, version: Version) -> Self {
        Self { shard, reader, version }
    }

    /// Sends one: a whole head, as it stands on an HTTP/1.1 connection.
    pub fn inform(&self, head: Bytes) {
        if self.version != Version::Http10 {
            self.reader.borrow().wire().queue(&self.shard, head);
        }
    }

    /// Ready when the client has left, and what is done for it is done for nobody.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.reader.borrow_mut().poll_gone(cx)
    }

    /// True when the client understands interim answers.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.version != Version::Http10
    }
}

impl fmt::Debug for Informer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Informer").field("version", &self.version).finish_non_exhaustive()
    }
}
