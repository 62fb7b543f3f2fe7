//! What a shard knows of a socket: a slot with a read side and a write side, each with at most one waiter.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;

use crate::arena::Class;
use crate::chunks::Chunks;
use crate::lease::Lease;
use crate::out::Out;
use crate::sys::Pipe;
use crate::timer::LaneEntry;
use crate::wake::{SocketId, Wake};

/// Output queues and pipes kept for the next socket that needs one.
const KEPT: usize = 256;

const EPIPE: u16 = libc::EPIPE as u16;

/// One side of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Receiving, accepting, splicing from.
    Read,
    /// Sending, connecting, splicing to.
    Write,
}

/// A socket's state. Bits of [`Slot::flags`].
pub(crate) mod flag {
    /// The slot holds a socket.
    pub(crate) const OPEN: u32 = 1;
    /// The driver watches the descriptor.
    pub(crate) const ATTACHED: u32 = 1 << 1;
    pub(crate) const LISTENER: u32 = 1 << 2;
    /// May take buffers from the reserve.
    pub(crate) const FAVOURED: u32 = 1 << 3;
    /// A read may find something. Cleared by what finds nothing.
    pub(crate) const READABLE: u32 = 1 << 4;
    /// A write may find room. Cleared by what finds none.
    pub(crate) const WRITABLE: u32 = 1 << 5;
    /// RDHUP, HUP or ERR was seen: a short read does not mean that the end is not there.
    pub(crate) const HANGUP: u32 = 1 << 6;
    /// End of stream was read.
    pub(crate) const ENDED: u32 = 1 << 7;
    /// On the list of sockets to flush.
    pub(crate) const DIRTY: u32 = 1 << 8;
    /// The writer waits for the queue to shrink, not for room in the socket.
    pub(crate) const WAITS_SENT: u32 = 1 << 9;
    pub(crate) const CONNECTING: u32 = 1 << 10;
    /// On the list of sockets that wait for a buffer.
    pub(crate) const STARVED: u32 = 1 << 11;
    /// A FIN is to follow what is queued.
    pub(crate) const FIN_WANTED: u32 = 1 << 12;
    pub(crate) const FIN_SENT: u32 = 1 << 13;
    /// Accepting rests until descriptors or memory are there again.
    pub(crate) const PAUSED: u32 = 1 << 14;
    /// `Slot::held` is a lease of `poll_recv_into` that has what it waited for.
    pub(crate) const INTO_DONE: u32 = 1 << 15;

    /// Closed by its owner: the id is void.
    pub(crate) const CLOSING: u32 = 1 << 16;
    /// Everything was sent; what the peer still sends is discarded.
    pub(crate) const DRAINING: u32 = 1 << 17;
    /// Waits for its last completion only.
    pub(crate) const ZOMBIE: u32 = 1 << 18;
    /// Its descriptor is closed by a reset.
    pub(crate) const RESETS: u32 = 1 << 19;

    /// A completion for the read side is outstanding.
    pub(crate) const READ_ARMED: u32 = 1 << 20;
    /// A completion for the write side is outstanding.
    pub(crate) const WRITE_ARMED: u32 = 1 << 21;
    /// The outstanding read is a poll, not a receive.
    pub(crate) const READ_POLLS: u32 = 1 << 22;
    /// The outstanding read writes to `Slot::into`.
    pub(crate) const READ_INTO: u32 = 1 << 23;
    /// The outstanding write is a poll, not a send.
    pub(crate) const WRITE_POLLS: u32 = 1 << 24;
    pub(crate) const READ_CANCELLED: u32 = 1 << 25;
    pub(crate) const WRITE_CANCELLED: u32 = 1 << 26;
    /// Came from outside: others may hold descriptors of the same file.
    pub(crate) const SHARED: u32 = 1 << 27;
    /// Its close waits for nothing from the peer.
    pub(crate) const PLAIN: u32 = 1 << 28;
    /// Bytes were received or sent: it can be given to nobody else.
    pub(crate) const USED: u32 = 1 << 29;
    /// The outstanding receive completes again and again, until it is told to end.
    pub(crate) const READ_REPEATS: u32 = 1 << 30;
    /// More than requests came, or may come: its receives end one by one.
    pub(crate) const ONE_BY_ONE: u32 = 1 << 31;
}

/// One socket. Everything the kernel may write belongs to the slot, never to a future.
#[derive(Default)]
pub(crate) struct Slot {
    /// The descriptor, or the simulation's handle.
    pub(crate) fd: Cell<i32>,
    pub(crate) generation: Cell<u32>,
    pub(crate) flags: Cell<u32>,
    /// Listener: accepts in this turn. Closing: bytes discarded.
    pub(crate) tally: Cell<u32>,
    pub(crate) read_wake: Cell<Wake>,
    pub(crate) write_wake: Cell<Wake>,
    /// Received bytes that nobody took yet.
    pub(crate) held: Cell<Option<Lease>>,
    /// The lease a `poll_recv_into` is filling.
    pub(crate) into: Cell<Option<Lease>>,
    pub(crate) out: Cell<Option<Box<Out>>>,
    /// Splice: what left this socket and did not arrive yet.
    pub(crate) pipe: Cell<Option<Box<Pipe>>>,
    pub(crate) read_error: Cell<u16>,
    pub(crate) write_error: Cell<u16>,
    /// What the outstanding read is, in the driver's own terms.
    pub(crate) read_op: Cell<u8>,
    pub(crate) close_timer: Cell<LaneEntry>,
}

const _: () = assert!(size_of::<Slot>() <= 96);

impl Slot {
    #[inline]
    pub(crate) fn has(&self, flags: u32) -> bool {
        self.flags.get() & flags != 0
    }

    #[inline]
    pub(crate) fn set(&self, flags: u32) {
        self.flags.set(self.flags.get() | flags);
    }

    #[inline]
    pub(crate) fn clear(&self, flags: u32) {
        self.flags.set(self.flags.get() & !flags);
    }

    pub(crate) fn id(&self, index: u32) -> SocketId {
        SocketId { index, generation: self.generation.get() }
    }

    /// Looks at the output without taking it.
    pub(crate) fn with_out<T>(&self, look: impl FnOnce(Option<&mut Out>) -> T) -> T {
        let mut out = self.out.take();
        let seen = look(out.as_deref_mut());
        self.out.set(out);
        seen
    }

    /// Looks at the received bytes without taking them.
    pub(crate) fn with_held<T>(&self, look: impl FnOnce(Option<&Lease>) -> T) -> T {
        let held = self.held.take();
        let seen = look(held.as_ref());
        self.held.set(held);
        seen
    }

    pub(crate) fn queued(&self) -> usize {
        self.with_out(|out| out.map_or(0, |out| out.queued()))
    }

    /// Bytes of a `poll_recv_into` that nobody waits for any more become bytes to be read first.
    pub(crate) fn reclaim(&self) {
        if self.has(flag::READ_INTO | flag::INTO_DONE) {
            return;
        }
        let Some(lease) = self.into.take() else { return };
        if lease.is_empty() {
            return;
        }
        let joined = match self.held.take() {
            None => lease,
            Some(later) => crate::receive::join(lease, &later),
        };
        self.held.set(Some(joined));
    }

    /// A receive gave nothing: the end of the stream. Unless a send was told of a failure: the kernel tells that once,
    /// and a reader must not take a reset for an end. EPIPE is no such failure: it is what a reset after the end is told by.
    pub(crate) fn ended(&self) {
        match self.write_error.get() {
            0 | EPIPE => self.set(flag::ENDED),
            errno => self.read_error.set(errno),
        }
    }

    pub(crate) fn read_error(&self) -> Option<io::Error> {
        let errno = self.read_error.get();
        (errno != 0).then(|| io::Error::from_raw_os_error(i32::from(errno)))
    }

    pub(crate) fn write_error(&self) -> Option<io::Error> {
        let errno = self.write_error.get();
        (errno != 0).then(|| io::Error::from_raw_os_error(i32::from(errno)))
    }
}

/// An error's number; what has none becomes EIO.
pub(crate) fn errno(error: &io::Error) -> u16 {
    error.raw_os_error().and_then(|errno| u16::try_from(errno).ok()).filter(|&errno| errno != 0).unwrap_or(5)
}

/// The error of an id whose socket was closed.
pub(crate) fn gone() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOTCONN)
}

/// All sockets of a shard.
pub(crate) struct Sockets {
    slots: Chunks<Slot>,
    free: RefCell<Vec<u32>>,
    /// Slots in use, zombies included.
    pub(crate) open: Cell<u32>,
    /// Sockets with something queued this turn.
    pub(crate) dirty: RefCell<Vec<u32>>,
    /// Sockets that wait for a buffer, first come first served.
    pub(crate) starved: RefCell<VecDeque<(SocketId, Class)>>,
    /// The shard has ended: nobody is let in any more.
    pub(crate) shut: Cell<bool>,
    /// Listeners that rest.
    pub(crate) paused: RefCell<Vec<SocketId>>,
    #[expect(clippy::vec_box, reason = "a slot takes the box as it is")]
    outs: RefCell<Vec<Box<Out>>>,
    #[expect(clippy::vec_box, reason = "a slot takes the box as it is")]
    pub(crate) pipes: RefCell<Vec<Box<Pipe>>>,
}

impl Sockets {
    pub(crate) fn new(limit: u32) -> Sockets {
        Sockets {
            slots: Chunks::new(limit),
            free: RefCell::default(),
            open: Cell::new(0),
            dirty: RefCell::default(),
            starved: RefCell::default(),
            shut: Cell::new(false),
            paused: RefCell::default(),
            outs: RefCell::default(),
            pipes: RefCell::default(),
        }
    }

    /// The slot at `index`, whoever lives there now.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> &Slot {
        self.slots.get(index).expect("an index comes from a slot")
    }

    /// The socket `id` names, if its owner has not closed it.
    #[inline]
    pub(crate) fn get(&self, id: SocketId) -> Option<&Slot> {
        let slot = self.slots.get(id.index)?;
        let alive =
            slot.generation.get() == id.generation && slot.flags.get() & (flag::OPEN | flag::CLOSING) == flag::OPEN;
        alive.then_some(slot)
    }

    /// The slot of an event that carries this much of the generation, closing or not.
    #[inline]
    pub(crate) fn for_event(&self, index: u32, generation: u32, mask: u32) -> Option<&Slot> {
        let slot = self.slots.get(index)?;
        (slot.generation.get() & mask == generation && slot.has(flag::OPEN)).then_some(slot)
    }

    /// Takes a free slot for a descriptor; `None` at the shard's limit and after its end.
    pub(crate) fn insert(&self, fd: i32, flags: u32) -> Option<u32> {
        if self.shut.get() {
            return None;
        }
        let free = self.free.borrow_mut().pop();
        let index = free.or_else(|| self.slots.grow())?;
        let slot = self.at(index);
        debug_assert_eq!(slot.flags.get(), 0);
        slot.fd.set(fd);
        slot.flags.set(flags | flag::OPEN);
        self.open.set(self.open.get() + 1);
        Some(index)
    }

    /// Empties a slot that has nothing outstanding. The descriptor is the caller's to close.
    pub(crate) fn remove(&self, index: u32) -> i32 {
        let slot = self.at(index);
        debug_assert!(!slot.has(flag::READ_ARMED | flag::WRITE_ARMED));
        drop(slot.held.take());
        drop(slot.into.take());
        if let Some(mut out) = slot.out.take() {
            out.in_flight = 0;
            self.recycle(out);
        }
        if let Some(pipe) = slot.pipe.take() {
            self.recycle_pipe(pipe);
        }
        let fd = slot.fd.replace(-1);
        slot.generation.set(slot.generation.get().wrapping_add(1));
        slot.flags.set(0);
        slot.tally.set(0);
        slot.read_wake.set(Wake::NONE);
        slot.write_wake.set(Wake::NONE);
        slot.read_error.set(0);
        slot.write_error.set(0);
        slot.close_timer.set(LaneEntry::NONE);
        self.free.borrow_mut().push(index);
        self.open.set(self.open.get() - 1);
        fd
    }

    pub(crate) fn made(&self) -> u32 {
        self.slots.made()
    }

    pub(crate) fn fresh_out(&self) -> Box<Out> {
        self.outs.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn recycle(&self, mut out: Box<Out>) {
        out.clear();
        let mut outs = self.outs.borrow_mut();
        if outs.len() < KEPT {
            outs.push(out);
        }
    }

    /// Keeps an empty pipe; one with bytes of a stranger in it is closed.
    pub(crate) fn recycle_pipe(&self, pipe: Box<Pipe>) {
        let mut pipes = self.pipes.borrow_mut();
        if pipe.filled == 0 && pipes.len() < KEPT {
            pipes.push(pipe);
        }
    }

    /// Takes back a pipe that nothing is in: the splice it was for is over.
    #[inline]
    pub(crate) fn reclaim_pipe(&self, slot: &Slot) {
        match slot.pipe.take() {
            Some(pipe) if pipe.filled == 0 => self.recycle_pipe(pipe),
            pipe => slot.pipe.set(pipe),
        }
    }

    /// Notes that a socket has something to flush at the turn's end.
    #[inline]
    pub(crate) fn mark_dirty(&self, index: u32) {
        let slot = self.at(index);
        if !slot.has(flag::DIRTY) {
            slot.set(flag::DIRTY);
            self.dirty.borrow_mut().push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_an_earlier_socket_finds_nobody() {
        let sockets = Sockets::new(4);
        let index = sockets.insert(7, 0).unwrap();
        let old = sockets.at(index).id(index);
        assert!(sockets.get(old).is_some());
        assert_eq!(sockets.remove(index), 7);
        assert!(sockets.get(old).is_none());
        assert_eq!(sockets.insert(8, 0), Some(index));
        assert!(sockets.get(old).is_none());
        assert!(sockets.for_event(old.index, old.generation, u32::MAX).is_none());
        sockets.at(index).set(flag::CLOSING);
        assert!(sockets.get(sockets.at(index).id(index)).is_none(), "a closed socket's id is void");
    }

    #[test]
    fn the_table_refuses_one_socket_too_many() {
        let sockets = Sockets::new(2);
        assert!(sockets.insert(1, 0).is_some() && sockets.insert(2, 0).is_some());
        assert!(sockets.insert(3, 0).is_none());
    }
}
