//! The way of interim answers, such as 103, to a client that may still be sending (RFC 9110 §15.2).

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use anygate_proto::head::Version;
use anygate_shard::{Bytes, Shard};

use crate::connection::reader::Reader;

/// Sends interim answers; to HTTP/1.0 never.
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
