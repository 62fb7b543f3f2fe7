//! Waiting for a response's head while the request's body is still on its way.

use std::cell::RefCell;
use std::task::{Context, Poll};
use std::time::Duration;

use anygate_core::limits::LINGER_TIME;
use anygate_core::metrics::ShardCells;
use anygate_proto::h1::response::{Asked, may_begin_response, parse_response};
use anygate_proto::{Fields, Limits, Parsed, ResponseHead};
use anygate_shard::{Bytes, Deadline, Wake};

use super::attempt::{gone, malformed};
use crate::connection::Informer;
use crate::connection::reader::Reader;
use crate::error::{Error, Kind, Phase, Retry, Side};
use crate::server::Server;
use crate::upstream::content::Upload;

/// Bounds of a response's head. Servers behind are more talkative than clients may be.
pub(super) const LIMITS: Limits = Limits { max_uri: 0, max_header_size: 64 * 1024, max_headers: Limits::MOST_HEADERS };

/// Waits for one response.
pub(super) struct Waiting<'a> {
    cells: &'a ShardCells,
    reader: &'a RefCell<Reader>,
    /// Who waits for it.
    client: &'a Informer,
    asked: Asked,
    /// The body, while it is being sent.
    upload: Option<Upload>,
    /// Whether another try may be made as long as nothing was heard.
    retry: Retry,
    /// From the request's last byte to the head.
    patience: Duration,
    total: &'a mut Option<Deadline>,
    fields: Fields,
    /// How much of what is held was looked at.
    seen: usize,
    sent: bool,
}

impl<'a> Waiting<'a> {
    /// Waits on `reader` for the answer to what `client` `asked`, while `upload` sends the request's body; `patience` long
    /// from the request's last byte, and for `total` at most.
    pub(super) fn new(
        server: &'a Server,
        reader: &'a RefCell<Reader>,
        client: &'a Informer,
        asked: Asked,
        upload: Option<Upload>,
        patience: Duration,
        total: &'a mut Option<Deadline>,
    ) -> Self {
        let sent = upload.is_none();
        let (cells, fields) = (&*server.cells, Fields::with_capacity(16));
        Self { cells, reader, client, asked, upload, retry: Retry::Never, patience, total, fields, seen: 0, sent }
    }

    /// Until something is heard, another try may be made where the method allows it.
    pub(super) fn retriable(mut self) -> Self {
        self.retry = Retry::IfIdempotent;
        self
    }

    /// What is left when the final head is there: the body's sending, if it goes on, and the exchange's time.
    pub(super) fn into_rest(self) -> (bool, Option<Upload>, Option<Deadline>) {
        (self.sent, self.upload, self.total.take())
    }

    /// The next head, final or not.
    ///
    /// # Errors
    /// The server closed, failed, is too slow or sent what is no head; or the client's body failed, or it left.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead<Bytes>, Error>> {
        self.poll_upload(cx)?;
        loop {
            if let Some(head) = self.parse()? {
                return Poll::Ready(Ok(head));
            }
            let more = self.reader.borrow_mut().poll_more(Wake::of(cx));
            match more {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Err(self.lost(Kind::Truncated))),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.lost(error.kind))),
                Poll::Pending => break,
            }
        }
        if self.client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(gone()));
        }
        if self.total.as_mut().is_some_and(|total| total.poll_expired(cx).is_ready()) {
            self.cells.timeouts_upstream.add(1);
        } else if self.reader.borrow_mut().poll_late(Wake::of(cx)).is_ready() {
            self.cells.timeouts_upstream_first_byte.add(1);
        } else {
            return Poll::Pending;
        }
        Poll::Ready(Err(Error::new(Kind::Timeout, Side::Upstream, Phase::BeforeHead)))
    }

    /// An interim response was heard: the server is at work.
    pub(super) fn encouraged(&mut self) {
        self.retry = Retry::Never;
        if self.sent {
            self.allow(self.patience);
        }
    }

    fn allow(&self, patience: Duration) {
        self.reader.borrow_mut().expect_head(Some(patience));
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        let Poll::Ready(done) = upload.as_mut().poll(cx) else { return Ok(()) };
        self.upload = None;
        match done {
            Ok(()) => {
                self.sent = true;
                self.allow(self.patience);
                Ok(())
            }
            // It takes nothing more, but may have said why before it stopped listening.
            Err(error) if error.side == Side::Upstream && error.kind != Kind::Timeout => {
                self.allow(LINGER_TIME.min(self.patience));
                Ok(())
            }
            Err(error) => {
                if error.side == Side::Upstream {
                    self.cells.timeouts_upstream.add(1);
                }
                Err(error)
            }
        }
    }

    fn parse(&mut self) -> Result<Option<ResponseHead<Bytes>>, Error> {
        let mut reader = self.reader.borrow_mut();
        let held = reader.held();
        // Only a line's end completes a head, and only growth breaks a limit.
        let news = held.get(self.seen..).unwrap_or_default();
        if news.is_empty() || memchr::memchr(b'\n', news).is_none() && held.len() < LIMITS.max_header_size {
            self.seen = held.len();
            // A server that greets in another protocol may wait for an answer to that.
            return if may_begin_response(held) { Ok(None) } else { Err(malformed()) };
        }
        self.seen = held.len();
        match parse_response(held, &LIMITS, &mut self.fields, self.asked) {
            Ok(Parsed::Partial) => Ok(None),
            Ok(Parsed::Complete(response)) => {
                self.seen = 0;
                let bytes = reader.take(response.head_len as usize);
                Ok(Some(response.into_head(bytes, std::mem::take(&mut self.fields))))
            }
            Err(_) => Err(malformed()),
        }
    }

    /// The connection ended before the head did.
    fn lost(&self, kind: Kind) -> Error {
        let retry = if self.reader.borrow().held().is_empty() { self.retry } else { Retry::Never };
        Error::new(kind, Side::Upstream, Phase::BeforeHead).retry(retry)
    }
}
