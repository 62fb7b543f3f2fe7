//! How a socket leaves its shard alive, for another to adopt.
//!
//! Bytes are never carried along: what the kernel still has it gives to the next owner. So a socket goes only while this
//! shard holds none of its bytes and the kernel owes it no completion.

use std::task::Poll;

use crate::driver::Socket;
use crate::shard::Shard;
use crate::socket::{Side, Slot, flag};
use crate::wake::{SocketId, Wake};

impl Shard {
    /// Gives a socket away, for another shard to adopt. `None`, and the socket stays, once anything was asked of it.
    pub fn release(&self, id: SocketId) -> Option<Socket> {
        let shard = &*self.0;
        let slot = shard.sockets.get(id)?;
        let asked = flag::ATTACHED | flag::USED | flag::DIRTY | flag::CONNECTING | flag::FIN_WANTED;
        if slot.has(asked | flag::READ_ARMED | flag::WRITE_ARMED) || slot.with_held(|held| held.is_some()) {
            return None;
        }
        let fd = shard.sockets.remove(id.index);
        Some(shard.driver.socket(fd))
    }

    /// Gives a socket away that was in use, once everything queued has left and what was armed has ended. While that
    /// takes, call again when `wake` is woken. `None`, and the socket stays: it has received something that nobody took
    /// (read it, then ask again), its stream has ended or failed, or it is no open stream.
    pub fn poll_release(&self, id: SocketId, wake: Wake) -> Poll<Option<Socket>> {
        let shard = &*self.0;
        let Some(slot) = shard.sockets.get(id) else { return Poll::Ready(None) };
        let unfit = flag::LISTENER | flag::CONNECTING | flag::ENDED | flag::FIN_WANTED | flag::INTO_DONE;
        if slot.has(unfit) || holds_something(slot) || slot.read_error.get() != 0 || slot.write_error.get() != 0 {
            return Poll::Ready(None);
        }
        shard.sockets.reclaim_pipe(slot);
        let mut waits = false;
        if slot.has(flag::READ_ARMED) {
            slot.read_wake.set(wake);
            // It may find bytes all the same: then the socket stays until they are taken.
            shard.driver.cancel(slot, id.index, Side::Read);
            waits = true;
        }
        match self.poll_sent(id, 0, wake) {
            Poll::Pending => waits = true,
            Poll::Ready(Err(_)) => return Poll::Ready(None),
            Poll::Ready(Ok(())) if slot.has(flag::WRITE_ARMED) => {
                slot.write_wake.set(wake);
                shard.driver.cancel(slot, id.index, Side::Write);
                waits = true;
            }
            Poll::Ready(Ok(())) if slot.has(flag::DIRTY) => {
                // It is on the list of this turn's flush.
                shard.wake_later(wake);
                waits = true;
            }
            Poll::Ready(Ok(())) => {}
        }
        if waits {
            return Poll::Pending;
        }
        shard.driver.unwatch(slot);
        let fd = shard.sockets.remove(id.index);
        Poll::Ready(Some(shard.driver.socket(fd)))
    }
}

/// Whether bytes of the stream are in this shard's hands, or may come to be.
fn holds_something(slot: &Slot) -> bool {
    let pipe = slot.pipe.take();
    let piped = pipe.as_ref().is_some_and(|pipe| pipe.filled > 0);
    slot.pipe.set(pipe);
    let into = slot.into.take();
    let continued = into.is_some();
    slot.into.set(into);
    piped || continued || slot.with_held(|held| held.is_some())
}
