//! Reading a request body that nobody wants, so that the connection can carry the next request.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;

use anygate_core::limits::DRAIN_BODY;

use crate::body::Chunk;
use crate::connection::reader::Reader;
use crate::error::Error;

/// True when what is left of the body is known to be little and on its way.
pub(super) fn is_cheap(reader: &Reader) -> bool {
    reader.body_done()
        || (!reader.failed()
            && !reader.awaits_continue()
            && !reader.is_in_pipe()
            && reader.body_left().is_none_or(|left| left <= DRAIN_BODY))
}

/// Reads to the body's end; false when that is too far, or when bytes of the body are stuck in a pipe.
///
/// # Errors
/// What is wrong with the body.
pub(super) async fn discard(reader: &Rc<RefCell<Reader>>) -> Result<bool, Error> {
    let mut budget = DRAIN_BODY;
    loop {
        if reader.borrow().body_done() {
            return Ok(true);
        }
        if reader.borrow().is_in_pipe() {
            return Ok(false);
        }
        match poll_fn(|cx| reader.borrow_mut().poll_chunk(cx)).await? {
            Chunk::Bytes(bytes) => match budget.checked_sub(bytes.len() as u64) {
                Some(left) => budget = left,
                None => return Ok(false),
            },
            Chunk::End | Chunk::Trailers(_) => return Ok(true),
            Chunk::File(_) => return Ok(false),
        }
    }
}
