//! The short way of a request of HTTP/2: what was compiled at load, and small files in memory, are answered as soon as the head
//! was read, with no task and no allocation.

use std::cell::RefCell;

use anygate_core::metrics::ShardCells;
use anygate_proto::date;
use anygate_proto::h2::hpack::Block;
use anygate_proto::h2::{Connection, StreamKey};
use anygate_proto::head::TargetForm;

use super::Link;
use crate::action::Action;
use crate::action::files::QuickBlock;
use crate::connection::short::{Session, rule_of};
use crate::hsts::Hsts;
use crate::server::{Live, Server};
use crate::tls::TlsInfo;

/// What the requests of one read have in common.
pub(super) struct Shortcut<'s> {
    server: &'s Server,
    live: &'s Live,
    listener: u32,
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

impl<'s> Shortcut<'s> {
    pub(super) fn new(server: &'s Server, live: &'s Live, link: &'s Link, tls: Option<&'s TlsInfo>) -> Self {
        let compares = tls.is_some() && server.fronts.compare_hosts(link.listener);
        Self {
            server,
            live,
            listener: link.listener,
            session: tls.map(|tls| Session { tls, compares }),
            hsts: live.plan.client.hsts(&link.wire),
            date: server.date(),
            block: link.block(),
            open: !link.wire.is_early(),
        }
    }

    /// Answers the request that was read last, if its answer is ready and may leave at once.
    #[inline]
    pub(super) fn answer(&self, codec: &mut Connection, stream: StreamKey) -> bool {
        let Some((ready, status, head_only)) = self.ready(codec) else { return false };
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
        let answered = codec.answer(stream, &out, if head_only { &[] } else { content });
        if answered {
            self.count(&self.server.cells, status);
        }
        answered
    }

    fn count(&self, cells: &ShardCells, status: u16) {
        cells.response(status);
    }

    fn ready(&self, codec: &Connection) -> Option<(Ready<'s>, u16, bool)> {
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
                Some((Ready::Fixed(block, content), fixed.image().status(), request.is_head))
            }
            Action::Files(files) => {
                let captures = self.live.plan.table.captures(rule, view.path(), &bench.scratch);
                let now = self.server.shard.now();
                let file = files.quick_block(&self.server.files, view, captures.tail(), now)?;
                let status = file.status;
                Some((Ready::File(file), status, request.is_head))
            }
            _ => None,
        }
    }
}
