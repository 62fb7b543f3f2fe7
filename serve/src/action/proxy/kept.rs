//! The short way to a server behind: a request without content on a connection that is kept, and an answer that comes whole
//! in one piece. No task waits for it; whatever else happens is the long way's, which takes over what was begun.

use std::cell::RefMut;
use std::rc::Rc;

use anygate_proto::h1::forward::{Edits, ForwardBack, forward_response};
use anygate_proto::h1::response::{Asked, parse_response};
use anygate_proto::h1::sink::Sink;
use anygate_proto::h1::write::Persistence;
use anygate_proto::{Fields, Known, Parsed, Response, ResponseView, Version};
use anygate_shard::{Bytes, Class, Wake};

use super::waiting::LIMITS;
use super::{Asking, Proxy};
use crate::connection::outgoing::Outgoing;
use crate::connection::reader::Reader;
use crate::hsts::Hsts;
use crate::server::Server;
use crate::upstream::Checkout;

/// A request that has left before its exchange began.
#[derive(Debug)]
pub struct Begun {
    pub(crate) upstream: Checkout,
    /// The turn it took.
    pub(super) turn: usize,
}

/// Who the answer is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct For {
    pub(crate) version: Version,
    pub(crate) is_head: bool,
}

/// A whole answer, as the client gets it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Bytes,
    /// What of the content does not lie behind the head already.
    pub(crate) content: Bytes,
}

impl Proxy {
    /// Sends a request without content on, if nothing about it needs the long way and a connection is kept to the server
    /// whose turn it is. `wake` is told of the answer; `target` is room to write in.
    pub(crate) fn begin(
        &self,
        server: &Rc<Server>,
        asking: &Asking<'_>,
        target: &mut Vec<u8>,
        wake: Wake,
    ) -> Option<Begun> {
        let safe = matches!(asking.view.method(), b"GET" | b"HEAD");
        if !safe || self.settings.timeout.is_some() || asking.view.fields.has(Known::Via) {
            return None;
        }
        let turn = self.turn.get();
        let (at, pool) = self.servers(server, turn).into_iter().next()?;
        let link = pool.take(server, wake)?;
        let mut upstream = Checkout::new(server, &pool, link, true);
        let reader = Rc::clone(upstream.reader()?);
        let Ok(head) = self.write_head(at, server, asking, None, target) else {
            upstream.answered();
            upstream.keep();
            return None;
        };
        self.turn.set(turn.wrapping_add(1));
        server.cells.upstream_reuses.add(1);
        let mut reader = reader.borrow_mut();
        reader.wire().queue(&server.shard, head);
        reader.expect_head(Some(self.settings.first_byte_timeout));
        drop(reader);
        Some(Begun { upstream, turn })
    }

    /// The answer to what was begun, if all of it lies there and the connection may be kept, which then goes back to its
    /// pool. Else nothing is used of what came.
    pub(crate) fn answer(
        &self,
        server: &Server,
        begun: &mut Begun,
        to: For,
        hsts: Option<&Hsts>,
        fields: &mut Fields,
    ) -> Option<Answer> {
        let reader = Rc::clone(begun.upstream.reader()?);
        let mut reader = reader.borrow_mut();
        let held = reader.held();
        let (response, head_len, length) = whole(held, to.is_head, fields)?;
        let hsts = hsts.map(|hsts| [(Hsts::NAME, hsts.value())]);
        let back = ForwardBack {
            version: to.version,
            body: response.body,
            persistence: Persistence::of(to.version, true),
            via: self.settings.via.then_some(&*server.id),
            date: &server.date(),
            upgrade: false,
            edits: hsts.as_ref().map_or(Edits::default(), |hsts| Edits { drop: &[Hsts::NAME], add: hsts }),
        };
        let mut out = Outgoing::new(held, server.shard.try_lease(Class::Head));
        forward_response(response.view(held, fields), &back, &mut out).ok()?;
        let content_fits = length <= out.spare();
        if content_fits {
            out.put(&held[head_len..]);
        }
        let head = out.into_bytes();
        let mut content = reader.take(head_len + length);
        content.advance(if content_fits { content.len() } else { head_len });
        end(reader, &mut begun.upstream);
        Some(Answer { status: response.status, head, content })
    }

    /// The same for who writes it in another form: `write` is given the head and the content. The status is returned.
    pub(crate) fn whole_answer(
        &self,
        begun: &mut Begun,
        is_head: bool,
        fields: &mut Fields,
        write: impl FnOnce(ResponseView<'_>, &[u8]),
    ) -> Option<u16> {
        let reader = Rc::clone(begun.upstream.reader()?);
        let mut reader = reader.borrow_mut();
        let held = reader.held();
        let (response, head_len, length) = whole(held, is_head, fields)?;
        write(response.view(held, fields), &held[head_len..]);
        drop(reader.take(head_len + length));
        end(reader, &mut begun.upstream);
        Some(response.status)
    }

    /// The name that is added to `Via`, if one is.
    pub(crate) fn via<'s>(&self, server: &'s Server) -> Option<&'s str> {
        self.settings.via.then_some(&*server.id)
    }
}

/// A response that lies there whole, with nothing behind it, on a connection that may be kept: the lengths of its head and its
/// content.
#[inline]
fn whole(held: &[u8], is_head: bool, fields: &mut Fields) -> Option<(Response, usize, usize)> {
    let asked = if is_head { Asked::Head } else { Asked::Other };
    let Ok(Parsed::Complete(response)) = parse_response(held, &LIMITS, fields, asked) else { return None };
    let (head_len, length) = (response.head_len as usize, usize::try_from(response.body.known()?).ok()?);
    let is_all = response.status >= 200 && response.keep_alive && held.len() - head_len == length;
    is_all.then_some((response, head_len, length))
}

/// The answer was used: the connection goes back to its pool.
#[inline]
fn end(mut reader: RefMut<'_, Reader>, upstream: &mut Checkout) {
    // The time for an answer runs on, but tells nobody: that costs less than to stop it.
    let _ = reader.poll_late(Wake::NONE);
    drop(reader);
    upstream.answered();
    upstream.keep();
    upstream.settle();
}
