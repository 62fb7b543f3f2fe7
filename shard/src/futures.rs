//! The polls as futures: the same names without `poll_`. Dropping one drops interest, never data.

use std::future::{Future, poll_fn};
use std::io;
use std::task::Poll;
use std::time::Duration;

use crate::arena::Class;
use crate::file::File;
use crate::lease::Lease;
use crate::receive::Accepted;
use crate::shard::Shard;
use crate::socket::Side;
use crate::wake::{SocketId, Wake};

impl Shard {
    /// [`poll_accept`](Self::poll_accept) as a future.
    pub fn accept(&self, listener: SocketId) -> impl Future<Output = io::Result<Accepted>> {
        poll_fn(move |cx| self.poll_accept(listener, Wake::of(cx)))
    }

    /// [`poll_connected`](Self::poll_connected) as a future.
    pub fn connected(&self, id: SocketId) -> impl Future<Output = io::Result<()>> {
        poll_fn(move |cx| self.poll_connected(id, Wake::of(cx)))
    }

    /// [`poll_recv`](Self::poll_recv) as a future.
    pub fn recv(&self, id: SocketId, want: Class) -> impl Future<Output = io::Result<Lease>> {
        poll_fn(move |cx| self.poll_recv(id, want, Wake::of(cx)))
    }

    /// [`poll_recv_into`](Self::poll_recv_into) as a future.
    pub fn recv_into(&self, id: SocketId, lease: Lease) -> impl Future<Output = io::Result<Lease>> {
        let mut lease = Some(lease);
        poll_fn(move |cx| self.poll_recv_into(id, &mut lease, Wake::of(cx)))
    }

    /// [`poll_sent`](Self::poll_sent) as a future.
    pub fn sent(&self, id: SocketId, low_water: usize) -> impl Future<Output = io::Result<()>> {
        poll_fn(move |cx| self.poll_sent(id, low_water, Wake::of(cx)))
    }

    /// [`poll_ready`](Self::poll_ready) as a future.
    pub fn readiness(&self, id: SocketId, side: Side) -> impl Future<Output = io::Result<()>> {
        poll_fn(move |cx| self.poll_ready(id, side, Wake::of(cx)))
    }

    /// [`poll_splice`](Self::poll_splice) as a future.
    pub fn splice(&self, from: SocketId, to: SocketId, max: usize) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.poll_splice(from, to, max, Wake::of(cx)))
    }

    /// [`poll_sendfile`](Self::poll_sendfile) as a future.
    pub fn sendfile(
        &self,
        id: SocketId,
        file: &File,
        offset: u64,
        length: usize,
    ) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.poll_sendfile(id, file, offset, length, Wake::of(cx)))
    }

    /// Ready after `duration`.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        let mut deadline = self.deadline(duration);
        poll_fn(move |cx| deadline.poll_expired(cx))
    }

    /// Ready in the next turn: lets others run.
    pub fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        let mut yielded = false;
        poll_fn(move |cx| {
            if yielded {
                return Poll::Ready(());
            }
            yielded = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }
}
