//! A response's content as it comes from a server behind, and what must go on meanwhile: a request body that is still being
//! sent, the time the whole exchange may take.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anygate_shard::Deadline;

use crate::body::{Chunk, SpliceSource};
use crate::connection::Informer;
use crate::error::{Error, Kind, Phase, Side};
use crate::upstream::checkout::Checkout;

/// A request body on its way to a server behind.
pub(crate) type Upload = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

/// A response's content.
pub struct Content {
    checkout: Checkout,
    /// Whether the server lets the connection live.
    reusable: bool,
    /// Whom it is for.
    client: Informer,
    upload: Option<Upload>,
    total: Option<Deadline>,
}

impl Content {
    /// What the connection's reader delivers for `client`. `reusable` says that the server lets the connection live; it
    /// goes back to its pool if `upload` is done by the content's end.
    pub(crate) fn new(
        checkout: Checkout,
        reusable: bool,
        client: Informer,
        upload: Option<Upload>,
        total: Option<Deadline>,
    ) -> Self {
        Self { checkout, reusable, client, upload, total }
    }

    /// The next chunk.
    ///
    /// # Errors
    /// The server failed or closed before the end, the client failed with its own body or left, or the exchange took too
    /// long.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Chunk, Error>> {
        self.poll_upload(cx)?;
        let Some(reader) = self.checkout.reader() else { return Poll::Ready(Ok(Chunk::End)) };
        // Before the bytes: a server that always has some would never be asked.
        if self.total.as_mut().is_some_and(|total| total.poll_expired(cx).is_ready()) {
            return Poll::Ready(Err(Error::new(Kind::Timeout, Side::Upstream, Phase::InBody)));
        }
        let polled = reader.borrow_mut().poll_chunk(cx);
        match polled {
            Poll::Ready(Ok(end @ (Chunk::End | Chunk::Trailers(_)))) => {
                // Who agreed early wants the rest of the request, unless it has hung up.
                if self.upload.is_none() || reader.borrow().ended() {
                    self.finish();
                }
                Poll::Ready(Ok(end))
            }
            Poll::Pending => {
                self.client.poll_gone(cx).map(|()| Err(Error::new(Kind::Gone, Side::Downstream, Phase::InBody)))
            }
            ready => ready,
        }
    }

    /// Ready once the server has got the rest of the request, or wants no more of it. The client gets the content's end
    /// before: it may wait for that with what it still has to send.
    ///
    /// # Errors
    /// The client failed with its body, or the exchange took too long.
    pub fn poll_request_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_upload(cx)?;
        if self.upload.is_none() {
            self.finish();
            return Poll::Ready(Ok(()));
        }
        let Some(total) = &mut self.total else { return Poll::Pending };
        total.poll_expired(cx).map(|()| Err(Error::new(Kind::Timeout, Side::Upstream, Phase::InBody)))
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        let Poll::Ready(done) = upload.as_mut().poll(cx) else { return Ok(()) };
        self.upload = None;
        match done {
            Ok(()) => {
                self.checkout.sent_whole();
                Ok(())
            }
            Err(error) => {
                self.reusable = false;
                if error.side == Side::Upstream { Ok(()) } else { Err(error) }
            }
        }
    }

    /// The content was read to its end: the connection is free for others while the client still takes what it got.
    fn finish(&mut self) {
        let sent = self.upload.take().is_none();
        if self.reusable && sent {
            self.checkout.keep();
        }
        self.checkout.settle();
    }

    /// Bytes still to come, where that is known.
    #[must_use]
    pub fn len_hint(&self) -> Option<u64> {
        match self.checkout.reader() {
            Some(reader) => reader.borrow().body_left(),
            None => Some(0),
        }
    }

    /// Where the rest can be spliced from, while nothing else must be watched.
    #[must_use]
    pub fn splice_source(&self) -> Option<SpliceSource> {
        if self.upload.is_some() || self.total.is_some() {
            return None;
        }
        self.checkout.reader()?.borrow().splice_source()
    }

    /// `n` bytes of the [`SpliceSource`] were moved, for which its sender was `waited` for.
    ///
    /// # Errors
    /// They came too slowly.
    pub fn spliced(&mut self, n: u64, waited: Duration) -> Result<(), Error> {
        match self.checkout.reader() {
            Some(reader) => reader.borrow_mut().spliced(n, waited),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("checkout", &self.checkout).finish_non_exhaustive()
    }
}
