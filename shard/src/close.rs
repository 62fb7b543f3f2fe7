//! How a socket comes in from elsewhere, and how it ends: the three steps of a graceful close.
//!
//! Plain: what is queued leaves and takes the FIN along, in one segment where it is little.
//! Graceful: what is queued leaves, a FIN follows, and what the peer still sends is discarded until it closes too or a
//! limit is reached. Closing at once instead would answer the peer's late bytes with a reset, which destroys an answer
//! that is still on its way. The slot stays until the last outstanding operation has completed.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::driver::Socket;
use crate::net::Address;
use crate::shard::{Inner, Shard};
use crate::socket::{Side, Slot, flag, gone};
use crate::timer::LaneEntry;
use crate::wake::{SocketId, Wake};

/// How long what is queued may take to leave a socket that is being closed.
const FLUSH_LIMIT: Duration = Duration::from_secs(30);
/// How long what the peer still sends is discarded, and as long again for every [`DISCARD_STEP`] of it.
const DISCARD_LIMIT: Duration = Duration::from_secs(2);
const DISCARD_STEP: u32 = 1 << 20;
/// How many bytes of it are discarded at most.
const DISCARD_BYTES: u32 = 16 << 20;
/// And how many in one turn, about: others want to be served.
const DISCARD_PER_TURN: u32 = 512 << 10;

/// How a socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// What is queued leaves first (30 s at most), then a FIN; what the peer sends is discarded for up to 2 s, and 2 s more
    /// for every MiB it goes on to send, up to 16 MiB.
    Graceful,
    /// What is queued leaves first (30 s at most), then the socket is closed without waiting for the peer. For a peer that
    /// said it sends nothing more: what it sends all the same is answered by a reset. Where bytes of the peer's are known
    /// to be unread, or a receive is under way, or the FIN was sent before, this is `Graceful`.
    Plain,
    /// At once and by a reset: what is queued is dropped.
    Abort,
}

impl Shard {
    /// Takes in a listener that is bound and listens.
    ///
    /// # Errors
    /// The shard has no slot left (EMFILE).
    pub fn listen(&self, socket: impl Into<Socket>) -> io::Result<SocketId> {
        self.0.take_in(socket.into(), flag::LISTENER | flag::SHARED)
    }

    /// Takes in a connected stream, or any descriptor to wait for with [`poll_ready`](Self::poll_ready).
    ///
    /// # Errors
    /// The shard has no slot left (EMFILE).
    pub fn adopt(&self, socket: impl Into<Socket>) -> io::Result<SocketId> {
        self.0.take_in(socket.into(), flag::READABLE | flag::WRITABLE | flag::SHARED)
    }

    /// Sockets whose close has something left to do: bytes that must leave, or a peer that goes on sending and whose
    /// bytes are discarded. Not those that only wait for their peer's end. Looks at every slot.
    #[must_use]
    pub fn closing(&self) -> usize {
        let sockets = &self.0.sockets;
        let works = |slot: &Slot| {
            slot.has(flag::CLOSING)
                && !slot.has(flag::ZOMBIE)
                && (!slot.has(flag::FIN_SENT) || (slot.tally.get() > 0 && !slot.has(flag::ENDED)))
        };
        (0..sockets.made()).filter(|&index| works(sockets.at(index))).count()
    }

    /// Closes a socket. Never fails; its id is void at once, the rest may take its time.
    pub fn close(&self, id: SocketId, how: Close) {
        let shard = &*self.0;
        let Some(slot) = shard.sockets.get(id) else { return };
        slot.set(flag::CLOSING);
        slot.read_wake.set(Wake::NONE);
        slot.write_wake.set(Wake::NONE);
        let unread = slot.held.take().is_some() || slot.has(flag::READABLE | flag::READ_ARMED);
        slot.tally.set(0);
        let connected = !slot.has(flag::LISTENER | flag::CONNECTING);
        if how != Close::Abort && connected && slot.write_error.get() == 0 && slot.read_error.get() == 0 {
            if slot.has(flag::ENDED) && slot.queued() == 0 && !slot.has(flag::WRITE_ARMED) {
                // Both are done: the descriptor's end is the FIN.
                return shard.finish(slot, id.index, false);
            }
            slot.set(flag::FIN_WANTED);
            if how == Close::Plain && !unread {
                slot.set(flag::PLAIN);
            }
            if slot.has(flag::WRITE_ARMED) || !slot.has(flag::PLAIN) {
                shard.set_close_timer(slot, id.index, FLUSH_LIMIT);
            }
            shard.sockets.mark_dirty(id.index);
        } else {
            shard.finish(slot, id.index, how == Close::Abort && connected);
        }
    }

    /// Whether a TCP socket sends small segments at once. What a listener accepts does as the listener is told.
    ///
    /// # Errors
    /// Not a TCP socket, or closed (ENOTCONN).
    pub fn set_nodelay(&self, id: SocketId, at_once: bool) -> io::Result<()> {
        let slot = self.0.sockets.get(id).ok_or_else(gone)?;
        self.0.driver.set_option(slot.fd.get(), libc::IPPROTO_TCP, libc::TCP_NODELAY, i32::from(at_once))
    }

    /// Lets the kernel ask a silent peer whether it is there, first after `idle` (whole seconds, at least 1), or never.
    /// What a listener accepts does as the listener is told.
    ///
    /// # Errors
    /// Not a TCP socket, or closed (ENOTCONN).
    pub fn set_keepalive(&self, id: SocketId, idle: Option<Duration>) -> io::Result<()> {
        let slot = self.0.sockets.get(id).ok_or_else(gone)?;
        let driver = &self.0.driver;
        driver.set_option(slot.fd.get(), libc::SOL_SOCKET, libc::SO_KEEPALIVE, i32::from(idle.is_some()))?;
        let Some(idle) = idle else { return Ok(()) };
        let seconds = i32::try_from(idle.as_secs().max(1)).unwrap_or(i32::MAX);
        driver.set_option(slot.fd.get(), libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, seconds)
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// Not connected any more, or closed (ENOTCONN).
    pub fn peer(&self, id: SocketId) -> io::Result<Address> {
        let slot = self.0.sockets.get(id).ok_or_else(gone)?;
        self.0.driver.peer(slot.fd.get())
    }

    /// This end's address.
    ///
    /// # Errors
    /// Closed (ENOTCONN).
    pub fn local(&self, id: SocketId) -> io::Result<Address> {
        let slot = self.0.sockets.get(id).ok_or_else(gone)?;
        self.0.driver.local(slot.fd.get())
    }

    /// The descriptor's number, for logs and for reading what [`poll_ready`](Self::poll_ready) announced. It stays the
    /// shard's.
    pub fn descriptor(&self, id: SocketId) -> Option<RawFd> {
        self.0.sockets.get(id).map(|slot| slot.fd.get())
    }

    /// Lets a socket's receives use the arena's reserve, as those of [`connect`](Self::connect) may.
    pub fn favour(&self, id: SocketId) {
        if let Some(slot) = self.0.sockets.get(id) {
            slot.set(flag::FAVOURED);
        }
    }
}

impl Inner {
    fn take_in(&self, socket: Socket, flags: u32) -> io::Result<SocketId> {
        let fd = self.driver.take_in(socket, flags & flag::LISTENER != 0)?;
        match self.sockets.insert(fd, flags) {
            Some(index) => Ok(self.sockets.at(index).id(index)),
            None => {
                self.driver.close(fd, false);
                Err(io::Error::from_raw_os_error(libc::EMFILE))
            }
        }
    }

    fn set_close_timer(&self, slot: &Slot, index: u32, limit: Duration) {
        self.lanes.remove(slot.close_timer.get());
        let lane = self.lanes.lane(limit, true);
        slot.close_timer.set(self.lanes.push(lane, index, self.now()));
    }

    /// The next step of a graceful close: called when the queue moved, the socket became ready, or an operation ended.
    pub(crate) fn advance_close(&self, slot: &Slot, index: u32) {
        debug_assert!(slot.has(flag::CLOSING));
        if slot.has(flag::ZOMBIE) {
            return self.bury(slot, index);
        }
        if slot.write_error.get() != 0 || slot.read_error.get() != 0 {
            return self.finish(slot, index, false);
        }
        if !slot.has(flag::FIN_SENT) {
            if slot.close_timer.get() == LaneEntry::NONE {
                self.set_close_timer(slot, index, FLUSH_LIMIT);
            }
            return;
        }
        if !slot.has(flag::DRAINING) {
            slot.set(flag::DRAINING);
            self.set_close_timer(slot, index, DISCARD_LIMIT);
        }
        if slot.has(flag::READ_ARMED) {
            // What is under way ends with the peer's bytes, its FIN, or the time limit.
            return;
        }
        let mut scratch = [0; 8 << 10];
        let before = slot.tally.get();
        while !slot.has(flag::ENDED) {
            let tally = slot.tally.get();
            if tally > DISCARD_BYTES {
                self.counters.forced_closes.add(1);
                return self.finish(slot, index, false);
            }
            if tally - before >= DISCARD_PER_TURN {
                self.sockets.mark_dirty(index);
                return;
            }
            match self.driver.recv(slot.fd.get(), &mut scratch) {
                Ok(0) => slot.set(flag::ENDED),
                Ok(bytes) => {
                    slot.tally.set(tally + bytes as u32);
                    if slot.tally.get() / DISCARD_STEP > tally / DISCARD_STEP {
                        self.set_close_timer(slot, index, DISCARD_LIMIT);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    slot.clear(flag::READABLE);
                    if self.watch(slot, index).is_ok() {
                        self.driver.await_side(slot, index, Side::Read);
                        return;
                    }
                    break;
                }
                Err(_) => break,
            }
        }
        self.finish(slot, index, false);
    }

    /// A graceful close ran out of time.
    pub(crate) fn close_ran_out(&self, index: u32) {
        let slot = self.sockets.at(index);
        if slot.has(flag::CLOSING) {
            slot.close_timer.set(LaneEntry::NONE);
            self.counters.forced_closes.add(1);
            self.finish(slot, index, !slot.has(flag::DRAINING));
        }
    }

    /// Ends a socket now, or as soon as its outstanding operations have completed.
    pub(crate) fn finish(&self, slot: &Slot, index: u32, reset: bool) {
        self.lanes.remove(slot.close_timer.replace(LaneEntry::NONE));
        slot.set(flag::ZOMBIE);
        if reset {
            slot.set(flag::RESETS);
        }
        if slot.has(flag::READ_ARMED) {
            self.driver.cancel(slot, index, Side::Read);
        }
        if slot.has(flag::WRITE_ARMED) {
            self.driver.cancel(slot, index, Side::Write);
        }
        self.bury(slot, index);
    }

    /// Frees a zombie's slot and descriptor, unless a completion is still to come.
    pub(crate) fn bury(&self, slot: &Slot, index: u32) {
        debug_assert!(slot.has(flag::ZOMBIE));
        if slot.has(flag::READ_ARMED | flag::WRITE_ARMED) {
            return;
        }
        let reset = slot.has(flag::RESETS);
        self.driver.detach(slot);
        let fd = self.sockets.remove(index);
        self.driver.close(fd, reset);
        if !self.sockets.paused.borrow().is_empty() {
            self.resume_accepting();
        }
    }

    /// Ends whatever lives in a slot, at the shard's own end.
    pub(crate) fn abandon(&self, index: u32) {
        let slot = self.sockets.at(index);
        if slot.has(flag::OPEN) && !slot.has(flag::ZOMBIE) {
            slot.set(flag::CLOSING);
            self.finish(slot, index, false);
        }
    }
}
