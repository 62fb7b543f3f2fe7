//! How bytes come in: accepting connections and receiving on them.

use std::io;
use std::task::Poll;

use crate::arena::Class;
use crate::driver::Happened;
use crate::lease::Lease;
use crate::net::Address;
use crate::shard::{Inner, Shard};
use crate::socket::{Side, Slot, errno, flag, gone};
use crate::wake::{SocketId, Wake};

/// Connections accepted from one listener in one turn.
const ACCEPTS_PER_TURN: u32 = 17;

/// A new connection.
#[derive(Debug)]
pub struct Accepted {
    /// Its socket.
    pub socket: SocketId,
    /// Who it is from.
    pub peer: Address,
}

impl Shard {
    /// The next connection of a listener. Out of descriptors or memory the listener rests, and nothing fails.
    ///
    /// # Errors
    /// The listener itself is broken, or closed (ENOTCONN).
    pub fn poll_accept(&self, listener: SocketId, wake: Wake) -> Poll<io::Result<Accepted>> {
        let shard = &*self.0;
        let Some(slot) = shard.sockets.get(listener) else { return Poll::Ready(Err(gone())) };
        slot.read_wake.set(wake);
        shard.watch(slot, listener.index)?;
        if slot.has(flag::PAUSED) {
            return Poll::Pending;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            if !slot.has(flag::READABLE) {
                shard.driver.await_side(slot, listener.index, Side::Read);
                return Poll::Pending;
            }
            if shard.sockets.open.get() >= shard.max_sockets {
                return shard.pause_accepting(slot, listener, true);
            }
            if !shard.may_accept(slot) {
                slot.read_wake.set(Wake::NONE);
                shard.wake_later(wake);
                return Poll::Pending;
            }
            match shard.driver.accept(slot.fd.get()) {
                Ok((fd, peer)) => {
                    let Some(index) = shard.sockets.insert(fd, flag::READABLE | flag::WRITABLE) else {
                        shard.driver.close(fd, true);
                        return shard.pause_accepting(slot, listener, true);
                    };
                    slot.read_wake.set(Wake::NONE);
                    shard.counters.accepted.add(1);
                    let socket = shard.sockets.at(index).id(index);
                    return Poll::Ready(Ok(Accepted { socket, peer }));
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => slot.clear(flag::READABLE),
                    Some(libc::EMFILE | libc::ENFILE) => return shard.pause_accepting(slot, listener, true),
                    Some(libc::ENOBUFS | libc::ENOMEM) => return shard.pause_accepting(slot, listener, false),
                    // The listener is not a listener any more; everything else is one connection's own failure.
                    Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP | libc::EFAULT) | None => {
                        return Poll::Ready(Err(error));
                    }
                    Some(_) => {}
                },
            }
        }
        slot.read_wake.set(Wake::NONE);
        shard.wake_later(wake);
        Poll::Pending
    }

    /// The next bytes, in a buffer of class `want` (or another, if a receive was under way). An empty lease is the end
    /// of the stream. Out of buffers, the socket waits for its turn.
    ///
    /// # Errors
    /// The connection failed, or the socket is closed (ENOTCONN).
    pub fn poll_recv(&self, id: SocketId, want: Class, wake: Wake) -> Poll<io::Result<Lease>> {
        let shard = &*self.0;
        let Some(slot) = shard.sockets.get(id) else { return Poll::Ready(Err(gone())) };
        slot.reclaim();
        if let Some(lease) = slot.held.take() {
            slot.clear(flag::INTO_DONE);
            return Poll::Ready(Ok(lease));
        }
        if let Some(error) = slot.read_error() {
            return Poll::Ready(Err(error));
        }
        if slot.has(flag::ENDED) {
            let end = shard.arena.take(Class::Head, true);
            return Poll::Ready(Ok(end.unwrap_or_else(|| Lease::with_capacity(0))));
        }
        slot.read_wake.set(wake);
        if want != Class::Head || !wake.is_row() {
            shard.receive_one_by_one(slot, id.index);
        }
        if slot.has(flag::CONNECTING | flag::READ_ARMED | flag::STARVED) {
            return Poll::Pending;
        }
        shard.sockets.reclaim_pipe(slot);
        // Who connected has mostly sent its request by now: trying once costs less than being told.
        let first = slot.has(flag::READABLE) && !slot.has(flag::ATTACHED);
        if !first && shard.await_bytes(slot, id.index, want)? {
            return Poll::Pending;
        }
        if !shard.may_move(wake) {
            return Poll::Pending;
        }
        let refused = shard.driver.refuses_buffer();
        let lease = if refused { None } else { shard.arena.take(want, slot.has(flag::FAVOURED)) };
        let Some(mut lease) = lease else {
            if first {
                slot.clear(flag::READABLE);
                shard.await_bytes(slot, id.index, want)?;
            } else {
                shard.starve(slot, id, want);
            }
            return Poll::Pending;
        };
        match shard.receive_now(slot, &mut lease) {
            Some(result) => {
                slot.read_wake.set(Wake::NONE);
                Poll::Ready(result.map(|()| lease))
            }
            None => {
                shard.await_bytes(slot, id.index, want)?;
                Poll::Pending
            }
        }
    }

    /// Continues in a lease's room: takes the lease out of `lease`, keeps it while it waits, and gives it back with
    /// more bytes at its end. An unchanged length is the end of the stream. After `Pending`, call again with `None`.
    ///
    /// Bytes received but not read are given first. When the wait is given up, what its lease held is received but not
    /// read.
    ///
    /// # Errors
    /// The connection failed (the lease is gone then), the socket is closed (ENOTCONN), or `InvalidInput`: the lease has no
    /// room, or the kernel still fills one of a wait that was given up; then `lease` keeps it.
    pub fn poll_recv_into(&self, id: SocketId, lease: &mut Option<Lease>, wake: Wake) -> Poll<io::Result<Lease>> {
        let shard = &*self.0;
        let Some(slot) = shard.sockets.get(id) else { return Poll::Ready(Err(gone())) };
        if let Some(fresh) = lease.take() {
            if fresh.spare() == 0 || slot.has(flag::READ_INTO) {
                *lease = Some(fresh);
                return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
            }
            slot.clear(flag::INTO_DONE);
            slot.reclaim();
            slot.into.set(Some(fresh));
        }
        if slot.has(flag::INTO_DONE) {
            slot.clear(flag::INTO_DONE);
            return Poll::Ready(slot.held.take().ok_or_else(gone));
        }
        slot.read_wake.set(wake);
        shard.receive_one_by_one(slot, id.index);
        if slot.has(flag::CONNECTING | flag::READ_ARMED) {
            return Poll::Pending;
        }
        let Some(mut into) = slot.into.take() else { return Poll::Ready(Err(io::ErrorKind::InvalidInput.into())) };
        if let Some(mut held) = slot.held.take() {
            let copied = into.extend_from_slice(held.filled());
            held.consume(copied);
            if !held.is_empty() {
                slot.held.set(Some(held));
            }
            return Poll::Ready(Ok(into));
        }
        if let Some(error) = slot.read_error() {
            return Poll::Ready(Err(error));
        }
        if slot.has(flag::ENDED) {
            return Poll::Ready(Ok(into));
        }
        shard.watch(slot, id.index)?;
        if shard.driver.receives_ahead_into() {
            slot.into.set(Some(into));
            shard.driver.arm_receive(slot, id.index, None);
            return Poll::Pending;
        }
        if slot.has(flag::READABLE) {
            if !shard.may_move(wake) {
                slot.into.set(Some(into));
                return Poll::Pending;
            }
            if let Some(result) = shard.receive_now(slot, &mut into) {
                return Poll::Ready(result.map(|()| into));
            }
        }
        slot.into.set(Some(into));
        shard.driver.await_side(slot, id.index, Side::Read);
        Poll::Pending
    }

    /// Puts bytes back in front: the next `poll_recv` gives them first.
    pub fn unread(&self, id: SocketId, lease: Lease) {
        let shard = &*self.0;
        let Some(slot) = shard.sockets.get(id) else { return };
        if lease.is_empty() {
            return;
        }
        let joined = match slot.held.take() {
            None => lease,
            Some(later) => join(lease, &later),
        };
        slot.held.set(Some(joined));
        shard.wake(slot.read_wake.take());
    }

    /// Ready when a read or a write would make progress right now. For descriptors that the caller reads itself.
    ///
    /// # Errors
    /// The socket is closed (ENOTCONN) or cannot be watched.
    pub fn poll_ready(&self, id: SocketId, side: Side, wake: Wake) -> Poll<io::Result<()>> {
        let shard = &*self.0;
        let Some(slot) = shard.sockets.get(id) else { return Poll::Ready(Err(gone())) };
        shard.watch(slot, id.index)?;
        let held = side == Side::Read && slot.with_held(|held| held.is_some() || slot.has(flag::ENDED));
        if held || shard.driver.is_ready(slot.fd.get(), side) {
            return Poll::Ready(Ok(()));
        }
        match side {
            Side::Read => {
                slot.clear(flag::READABLE);
                slot.read_wake.set(wake);
                if slot.has(flag::READ_ARMED) {
                    return Poll::Pending;
                }
            }
            Side::Write => {
                slot.clear(flag::WRITABLE | flag::WAITS_SENT);
                slot.write_wake.set(wake);
                if slot.has(flag::WRITE_ARMED) {
                    return Poll::Pending;
                }
            }
        }
        shard.driver.await_side(slot, id.index, side);
        Poll::Pending
    }

    /// Drops a side's interest. What is under way goes on; no data is lost.
    pub fn forget(&self, id: SocketId, side: Side) {
        if let Some(slot) = self.0.sockets.get(id) {
            match side {
                Side::Read => slot.read_wake.set(Wake::NONE),
                Side::Write => slot.write_wake.set(Wake::NONE),
            }
        }
    }
}

/// `first` and then `second`, in the first's room if there is enough. Else with as much room again: one receive may bring
/// dozens of buffers, and each joins the ones before.
pub(crate) fn join(mut first: Lease, second: &Lease) -> Lease {
    if first.spare() < second.len() {
        let mut larger = Lease::with_capacity((first.len() + second.len()).max(first.len() * 2));
        larger.extend_from_slice(first.filled());
        first = larger;
    }
    let copied = first.extend_from_slice(second.filled());
    debug_assert_eq!(copied, second.len());
    first
}

/// Keeps received bytes behind those that were put back while they were on their way.
pub(crate) fn hold(slot: &Slot, lease: Lease) {
    let lease = match slot.held.take() {
        None => lease,
        Some(front) => join(front, &lease),
    };
    slot.held.set(Some(lease));
}

impl Inner {
    /// Lets the driver watch a slot, once.
    pub(crate) fn watch(&self, slot: &Slot, index: u32) -> io::Result<()> {
        if !slot.has(flag::ATTACHED) {
            self.driver.attach(slot, index)?;
            slot.set(flag::ATTACHED);
        }
        Ok(())
    }

    /// Waits for bytes, with a receive under way where the driver can. False when a receive may find some now.
    fn await_bytes(&self, slot: &Slot, index: u32, want: Class) -> io::Result<bool> {
        self.watch(slot, index)?;
        if self.driver.receives_ahead(self, want, slot.has(flag::FAVOURED)) {
            self.driver.arm_receive(slot, index, Some(want));
            return Ok(true);
        }
        if slot.has(flag::READABLE) {
            return Ok(false);
        }
        self.driver.await_side(slot, index, Side::Read);
        Ok(true)
    }

    /// Receives into a lease's room. `None`: nothing is there yet.
    fn receive_now(&self, slot: &Slot, lease: &mut Lease) -> Option<io::Result<()>> {
        let room = lease.spare();
        match self.driver.recv(slot.fd.get(), lease.spare_mut()) {
            Ok(0) => {
                slot.ended();
                return Some(slot.read_error().map_or(Ok(()), Err));
            }
            Ok(bytes) => {
                slot.set(flag::USED);
                lease.advance(bytes);
                self.charge(bytes);
                if bytes < room && !slot.has(flag::HANGUP) {
                    slot.clear(flag::READABLE);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                slot.clear(flag::READABLE);
                return None;
            }
            Err(error) => {
                slot.read_error.set(errno(&error));
                return Some(Err(error));
            }
        }
        Some(Ok(()))
    }

    /// From now on each receive brings what one buffer of the wanted size holds, and then ends: for who may leave bytes
    /// where they are, or wants other buffers.
    fn receive_one_by_one(&self, slot: &Slot, index: u32) {
        slot.set(flag::ONE_BY_ONE);
        self.stop_repeating(slot, index);
    }

    /// Lets a receive that completes again and again end; its last completion wakes who waits.
    pub(crate) fn stop_repeating(&self, slot: &Slot, index: u32) {
        if slot.has(flag::READ_REPEATS) {
            self.driver.cancel(slot, index, Side::Read);
        }
    }

    /// Puts a socket in the line of those that wait for a buffer.
    pub(crate) fn starve(&self, slot: &Slot, id: SocketId, want: Class) {
        if !slot.has(flag::STARVED) {
            slot.set(flag::STARVED);
            self.counters.out_of_buffers.add(1);
            self.sockets.starved.borrow_mut().push_back((id, want));
        }
    }

    /// Wakes sockets of that line, each class as many as there are buffers. Says whether any was woken.
    pub(crate) fn feed_starved(&self) -> bool {
        let mut left: [[Option<u32>; 2]; Class::ALL.len()] = Default::default();
        let mut fed = false;
        let waiting = self.sockets.starved.borrow().len();
        for _ in 0..waiting {
            let Some((id, want)) = self.sockets.starved.borrow_mut().pop_front() else { break };
            let Some(slot) = self.sockets.get(id) else { continue };
            let favoured = slot.has(flag::FAVOURED);
            let left = left[want as usize][usize::from(favoured)].get_or_insert_with(|| {
                self.arena.available(want, favoured).max(self.driver.ready_buffers(want, favoured))
            });
            if *left == 0 {
                self.sockets.starved.borrow_mut().push_back((id, want));
            } else {
                *left -= 1;
                fed = true;
                slot.clear(flag::STARVED);
                self.wake(slot.read_wake.take());
            }
        }
        fed
    }

    /// Whether this listener has accepted less than its share of this turn; counts one more.
    fn may_accept(&self, slot: &Slot) -> bool {
        let turn = self.turn.get() << 8;
        let tally = slot.tally.get();
        let taken = if tally & !0xff == turn { tally & 0xff } else { 0 };
        slot.tally.set(turn | (taken + 1).min(ACCEPTS_PER_TURN + 1));
        taken < ACCEPTS_PER_TURN
    }

    fn pause_accepting<T>(&self, slot: &Slot, listener: SocketId, descriptors: bool) -> Poll<T> {
        slot.set(flag::PAUSED);
        self.counters.accept_pauses.add(1);
        if descriptors {
            self.counters.out_of_descriptors.add(1);
        }
        self.sockets.paused.borrow_mut().push(listener);
        self.resume_accepting_later();
        Poll::Pending
    }

    /// Lets listeners that rest try again.
    pub(crate) fn resume_accepting(&self) {
        self.resumed();
        loop {
            let Some(id) = self.sockets.paused.borrow_mut().pop() else { return };
            if let Some(slot) = self.sockets.get(id) {
                slot.clear(flag::PAUSED);
                self.wake(slot.read_wake.take());
            }
        }
    }

    /// A driver's report that a descriptor became ready. `generation` is compared under `mask`.
    pub(crate) fn event(&self, index: u32, generation: u32, mask: u32, happened: Happened) {
        let Some(slot) = self.sockets.for_event(index, generation, mask) else { return };
        if happened.hangup {
            slot.set(flag::HANGUP);
        }
        if happened.readable {
            slot.set(flag::READABLE);
        }
        if happened.writable {
            slot.set(flag::WRITABLE);
        }
        if slot.has(flag::CLOSING) {
            self.sockets.mark_dirty(index);
            return;
        }
        // Also who starves: the owner may have turned to a splice, which needs no buffer.
        if happened.readable && !slot.has(flag::PAUSED) {
            self.wake(slot.read_wake.take());
        }
        if happened.writable {
            if slot.has(flag::WAITS_SENT) || slot.queued() > 0 {
                self.sockets.mark_dirty(index);
            }
            if !slot.has(flag::WAITS_SENT) {
                self.wake(slot.write_wake.take());
            }
        }
    }
}
