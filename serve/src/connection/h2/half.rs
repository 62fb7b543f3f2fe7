//! What becomes of the requests of a client that says nothing more, but may listen still?

use std::rc::Rc;

use anygate_proto::h2::{Connection, ErrorCode};
use anygate_shard::Close;

use super::Stream;
use super::link::{self, Link, State};
use crate::server::Server;

/// The client has ended its half of the connection. What was asked whole is answered, as far as the windows let it that nobody
/// opens any more; what waits for a server behind is given up, for most who do this have left.
#[cold]
pub(super) fn ended(server: &Server, link: &Rc<Link>) {
    link.heard_end.set(true);
    let is_idle = {
        let state = &mut *link.state.borrow_mut();
        state.cancel(|_, stream| !stream.has_heard_all());
        for stream in state.streams() {
            stream.wake(&mut stream.halves());
        }
        let is_idle = state.codec.open_streams() == 0;
        if !is_idle {
            link.say_last(state);
        }
        is_idle
    };
    if is_idle {
        return link::leave(server, link, Close::Graceful);
    }
    link.speaks();
}

impl Link {
    /// True when the client says nothing more.
    pub(super) fn has_heard_end(&self) -> bool {
        self.heard_end.get()
    }

    /// Gives up what waits for room that a client that says nothing more cannot give.
    #[cold]
    pub(super) fn give_up_stuck(&self, state: &mut State) {
        state.cancel(|codec, stream| stream.queued() > 0 && codec.window_left(stream.key()) == 0);
    }
}

impl State {
    /// Ends the streams of which that is so.
    fn cancel(&mut self, is_so: impl Fn(&Connection, &Stream) -> bool) {
        let chosen: Vec<_> = self.streams().filter(|stream| is_so(&self.codec, stream)).map(Rc::clone).collect();
        for stream in chosen {
            self.remove(stream.key());
            self.codec.reset(stream.key(), ErrorCode::CANCEL);
            stream.lost();
        }
    }
}
