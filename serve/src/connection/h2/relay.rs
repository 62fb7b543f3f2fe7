//! The short way of a proxied request of HTTP/2: it left as its head was read, and a small task waits for an answer that comes
//! whole, which goes out in the turn it came in. Whatever else comes is the long way's, which takes over what was begun.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use anygate_proto::ResponseView;
use anygate_proto::h1::forward::{Edits, ForwardBack, forward_fields};
use anygate_proto::h1::write::Persistence;
use anygate_proto::h2::PriorityField;
use anygate_proto::head::Version;
use anygate_shard::{Bytes, Wake};

use super::fields;
use super::serve::{Asked, Task};
use super::stream::Stream;
use crate::action::Action;
use crate::action::proxy::Begun;
use crate::hsts::Hsts;
use crate::server::{Live, Server};
use crate::testing::{self, Spot};

/// Spawns the task of a request that is on its way to a server behind by this rule.
pub(super) fn begin(
    server: &Rc<Server>,
    stream: Rc<Stream>,
    live: Rc<Live>,
    asked: Asked,
    (rule, mut begun): (u32, Begun),
) {
    let mut task = Task::new(server, stream, &live);
    server.shard.spawn(async move {
        task.heard(&mut begun).await;
        testing::reached(&task.server, Spot::Relay);
        if task.stream.is_gone() {
            task.server.cells.clients_gone.add(1);
            task.server.retire(live);
        } else if task.relay(&live, rule, asked.is_head(), &mut begun) {
            drop((begun, asked));
            task.end().await;
            task.server.retire(live);
        } else {
            Box::pin(task.run(live, asked, Some(begun))).await;
        }
    });
}

impl Task {
    /// Waits for something to happen: of the server behind, its time, or the client.
    async fn heard(&self, begun: &mut Begun) {
        poll_fn(|cx| {
            let Some(reader) = begun.upstream.reader() else { return Poll::Ready(()) };
            let mut reader = reader.borrow_mut();
            if reader.poll_more(Wake::of(cx)).is_ready() || reader.poll_late(Wake::of(cx)).is_ready() {
                return Poll::Ready(());
            }
            self.stream.poll_gone(cx)
        })
        .await;
    }

    /// Sends the answer on, if all of it is here; false: nothing was sent.
    fn relay(&self, live: &Live, rule: u32, is_head: bool, begun: &mut Begun) -> bool {
        let Action::Proxy(proxy) = &live.plan.routes[rule as usize].action else { return false };
        let hsts = live.plan.client.hsts(&self.stream.link().wire).map(|hsts| [(Hsts::NAME, hsts.value())]);
        let edits = hsts.as_ref().map_or(Edits::default(), |hsts| Edits { drop: &[Hsts::NAME], add: hsts });
        let bench = &mut *self.server.bench.borrow_mut();
        let via = proxy.via(&self.server);
        let status = proxy.whole_answer(begun, is_head, &mut bench.fields, |view, content| {
            self.write(view, content, via, edits);
        });
        if let Some(status) = status {
            self.server.cells.response(status);
        }
        status.is_some()
    }

    fn write(&self, view: ResponseView<'_>, content: &[u8], via: Option<&str>, edits: Edits<'_>) {
        let back = ForwardBack {
            version: Version::Http2,
            body: view.response.body,
            persistence: Persistence::Implied,
            via,
            date: &self.server.date(),
            upgrade: false,
            edits,
        };
        let link = self.stream.link();
        let mut priority = PriorityField::default();
        link.encode(|encoder, block| {
            encoder.status(view.response.status, block);
            let mut put = |name: &[u8], value: &[u8]| fields::put(name, value, encoder, block, &mut priority);
            // What is added was checked at load.
            let _ = forward_fields(view, &back, &mut put);
        });
        link.prefer(self.stream.key(), &priority);
        if !self.stream.answer(content) {
            self.stream.respond(content.is_empty());
            self.stream.queue(Bytes::from(content.to_vec()));
            self.stream.finish();
        }
    }
}
