//! What passes between gate and client while the answer is awaited: interim answers, such as 103 (RFC 9110 §15.2), and the
//! news that the client has left.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};

use anygate_proto::ResponseHead;
use anygate_proto::h1::forward::{Edits, ForwardBack, forward_response};
use anygate_proto::h1::sink::Copied;
use anygate_proto::h1::write::Persistence;
use anygate_proto::head::{BodyLength, Version};
use anygate_shard::{Bytes, Shard};

use crate::connection::h2::Stream;
use crate::connection::reader::Reader;
use crate::server::Server;

/// Sends interim answers, to HTTP/1.0 never, and watches the client.
#[derive(Clone)]
pub struct Informer(To);

#[derive(Clone)]
enum To {
    H1 { shard: Shard, reader: Rc<RefCell<Reader>>, version: Version },
    H2(Rc<Stream>),
}

impl Informer {
    /// For the client of an HTTP/1 connection.
    pub(crate) fn h1(shard: Shard, reader: Rc<RefCell<Reader>>, version: Version) -> Self {
        Self(To::H1 { shard, reader, version })
    }

    /// For the client of a stream.
    pub(crate) fn h2(stream: Rc<Stream>) -> Self {
        Self(To::H2(stream))
    }

    /// Passes an interim answer of a server behind on, unless the client would not understand it.
    pub fn inform(&self, server: &Server, head: &ResponseHead<Bytes>) {
        let back = ForwardBack {
            version: self.version(),
            body: BodyLength::None,
            persistence: Persistence::Implied,
            via: None,
            date: &server.date(),
            upgrade: false,
            edits: Edits::default(),
        };
        match &self.0 {
            To::H1 { version: Version::Http10, .. } => {}
            To::H1 { shard, reader, .. } => {
                let mut out = Vec::with_capacity(head.bytes.len());
                if forward_response(head.view(), &back, &mut Copied::new(&head.bytes, &mut out)).is_ok() {
                    server.cells.bytes_out.add(out.len() as u64);
                    reader.borrow().wire().queue(shard, server.lend(out));
                }
            }
            To::H2(stream) => stream.inform(head.view(), &back),
        }
    }

    /// Ready when the client has left, and what is done for it is done for nobody.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.0 {
            To::H1 { reader, .. } => reader.borrow_mut().poll_gone(cx),
            To::H2(stream) => stream.poll_gone(cx),
        }
    }

    fn version(&self) -> Version {
        match &self.0 {
            To::H1 { version, .. } => *version,
            To::H2(_) => Version::Http2,
        }
    }
}

impl fmt::Debug for Informer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Informer").field("version", &self.version()).finish_non_exhaustive()
    }
}
