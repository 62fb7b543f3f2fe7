//! The short way of a request of HTTP/2: what was compiled at load, and small files in memory, are answered as soon as the head
//! was read, with no task and no allocation; what a server behind answers leaves for it at once.

use std::cell::RefCell;
use std::rc::Rc;

use anygate_proto::date;
use anygate_proto::h2::hpack::Block;
use anygate_proto::h2::{Connection, StreamKey};
use anygate_proto::head::TargetForm;
use anygate_shard::Wake;
use anygate_shard::net::Address;

use super::Link;
use crate::action::Action;
use crate::action::files::QuickBlock;
use crate::action::proxy::{Asking, Begun};
use crate::connection::short::{Session, rule_of};
use crate::hsts::Hsts;
use crate::server::{Live, Server};
use crate::tls::TlsInfo;

/// What the requests of one read have in common.
pub(super) struct Shortcut<'s> {
    server: &'s Rc<Server>,
    live: &'s Live,
    listener: u32,
    peer: &'s Address,
    session: Option<Session<'s>>,
    hsts: Option<&'s Hsts>,
    date: [u8; date::LEN],
    block: &'s RefCell<Vec<u8>>,
    /// False where every request needs a closer look.
    open: bool,
}

/// An answer that only wants its date.
enum Ready<'l> {
    /// A fixed one, compiled at load.
    Fixed(&'l Block, &'l [u8]),
    /// A small file in memory.
    File(QuickBlock),
}

/// Where a request leads that goes the short way.
enum Found<'l> {
    /// To an answer, with its status, of which the head alone is wanted or not.
    Ready(Ready<'l>, u16, bool),
    /// To a server behind, by this rule.
    Begun(u32, Begun),
}

/// What became of a request.
pub(super) enum Gone {
    /// It is answered.
    Answered,
    /// It is on its way to a server behind, by this rule.
    Begun(u32, Begun),
    /// Nothing: it takes the long way.
    Nowhere,
}

impl<'s> Shortcut<'s> {
    pub(super) fn new(server: &'s Rc<Server>, live: &'s Live, link: &'s Link, tls: Option<&'s TlsInfo>) -> Self {
        let compares = tls.is_some() && server.fronts.compare_hosts(link.listener);
        Self {
            server,
            live,
            listener: link.listener,
            peer: &link.peer,
            session: tls.map(|tls| Session { tls, compares }),
            hsts: live.plan.client.hsts(&link.wire),
            date: server.date(),
            block: link.block(),
            open: !link.wire.is_early(),
        }
    }

    /// Answers the request that was read last, if its answer is ready and may leave at once, or sends it on to a server behind,
    /// if that is all there is to do.
    #[inline]
    pub(super) fn go(&self, codec: &mut Connection, stream: StreamKey) -> Gone {
        let (ready, status, head_only) = match self.look(codec) {
            Some(Found::Ready(ready, status, head_only)) => (ready, status, head_only),
            Some(Found::Begun(rule, begun)) => return Gone::Begun(rule, begun),
            None => return Gone::Nowhere,
        };
        let mut out = self.block.borrow_mut();
        out.clear();
        let (block, content) = match &ready {
            Ready::Fixed(block, content) => (*block, *content),
            Ready::File(file) => (file.block(), file.content()),
        };
        block.write(&self.date, &mut out);
        if let Some(hsts) = self.hsts {
            out.extend_from_slice(hsts.block());
        }
        if !codec.answer(stream, &out, if head_only { &[] } else { content }) {
            return Gone::Nowhere;
        }
        self.server.cells.response(status);
        Gone::Answered
    }

    fn look(&self, codec: &Connection) -> Option<Found<'s>> {
        let view = codec.request();
        let request = view.request;
        if !self.open || !request.body.is_empty() || request.form != TargetForm::Origin || codec.protocol().is_some() {
            return None;
        }
        if self.server.detours(self.listener, view.path()) {
            return None;
        }
        let bench = &mut *self.server.bench.borrow_mut();
        let rule = rule_of(self.live, self.session, view, &mut bench.scratch)?;
        match &self.live.plan.routes[rule as usize].action {
            Action::Fixed(fixed) => {
                let (block, content) = fixed.block()?;
                Some(Found::Ready(Ready::Fixed(block, content), fixed.image().status(), request.is_head))
            }
            Action::Files(files) => {
                let captures = self.live.plan.table.captures(rule, view.path(), &bench.scratch);
                let now = self.server.shard.now();
                let file = files.quick_block(&self.server.files, view, captures.tail(), now)?;
                let status = file.status;
                Some(Found::Ready(Ready::File(file), status, request.is_head))
            }
            Action::Proxy(proxy) => {
                let (matched, target) = (&bench.scratch, &mut bench.target);
                let tls = self.session.map(|session| session.tls);
                let asking = Asking { view, live: self.live, rule, matched, peer: self.peer, tls };
                // Its task asks the connection before anything else happens.
                let begun = proxy.begin(self.server, &asking, target, Wake::NONE)?;
                Some(Found::Begun(rule, begun))
            }
            _ => None,
        }
    }
}
