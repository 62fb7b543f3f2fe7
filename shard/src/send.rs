//! How bytes leave: connecting, queueing, and one send a socket and turn.

use std::io;
use std::task::Poll;

use crate::bytes::Bytes;
use crate::net::Address;
use crate::out::{BYTES_PER_SEND, SEGMENTS_PER_SEND};
use crate::shard::{Inner, Shard};
use crate::socket::{Side, Slot, errno, flag, gone};
use crate::wake::{SocketId, Wake};

/// The most that leaves by a call of its own before a FIN: more is the driver's to send.
const LAST_SEND: usize = 64 << 10;

impl Shard {
    /// Begins a connection; [`poll_connected`](Self::poll_connected) tells how it ends. The socket is favoured: its
    /// receives may use the arena's reserve. TCP_NODELAY is set.
    ///
    /// # Errors
    /// The kernel refuses at once, or the shard has no slot left (EMFILE).
    pub fn connect(&self, to: &Address) -> io::Result<SocketId> {
        let shard = &*self.0;
        let (fd, done) = shard.driver.connect(to)?;
        let flags = flag::FAVOURED | if done { flag::WRITABLE } else { flag::CONNECTING };
        let Some(index) = shard.sockets.insert(fd, flags) else {
            shard.driver.close(fd, false);
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        };
        shard.counters.connects.add(1);
        Ok(shard.sockets.at(index).id(index))
    }

    /// Ready when the connection stands.
    ///
    /// # Errors
    /// It does not: refused, unreachable, timed out; or the socket is closed (ENOTCONN).
    pub fn poll_connected(&self, id: SocketId, wake: Wake) -> Poll<io::Result<()>> {
        let shard = &*self.0;
        let Some(slot) = shard.sockets.get(id) else { return Poll::Ready(Err(gone())) };
        if let Some(error) = slot.write_error() {
            return Poll::Ready(Err(error));
        }
        if !slot.has(flag::CONNECTING) {
            return Poll::Ready(Ok(()));
        }
        shard.watch(slot, id.index)?;
        if slot.has(flag::WRITABLE) {
            shard.connect_ended(slot, id.index);
            return Poll::Ready(slot.write_error().map_or(Ok(()), Err));
        }
        slot.write_wake.set(wake);
        if !slot.has(flag::WRITE_ARMED) {
            shard.driver.await_side(slot, id.index, Side::Write);
        }
        Poll::Pending
    }

    /// Adds a segment to what leaves at the turn's end. On a socket that failed or is closed it goes nowhere.
    pub fn queue(&self, id: SocketId, bytes: Bytes) {
        let shard = &*self.0;
        let Some(slot) = shard.sockets.get(id) else { return };
        if bytes.is_empty() || slot.write_error.get() != 0 || slot.has(flag::FIN_WANTED) {
            return;
        }
        let mut out = slot.out.take().unwrap_or_else(|| shard.sockets.fresh_out());
        out.push(bytes);
        slot.out.set(Some(out));
        shard.sockets.mark_dirty(id.index);
    }

    /// Bytes queued that the kernel has not taken yet.
    pub fn queued(&self, id: SocketId) -> usize {
        self.0.sockets.get(id).map_or(0, Slot::queued)
    }

    /// Ready when at most `low_water` bytes are queued; 0 means that the kernel has them all.
    ///
    /// # Errors
    /// The connection failed; what was queued is dropped. Or the socket is closed (ENOTCONN).
    pub fn poll_sent(&self, id: SocketId, low_water: usize, wake: Wake) -> Poll<io::Result<()>> {
        let Some(slot) = self.0.sockets.get(id) else { return Poll::Ready(Err(gone())) };
        if let Some(error) = slot.write_error() {
            return Poll::Ready(Err(error));
        }
        let waits = slot.with_out(|out| match out {
            Some(out) if out.queued() > low_water => {
                out.low_water = low_water;
                true
            }
            _ => false,
        });
        if !waits {
            return Poll::Ready(Ok(()));
        }
        slot.write_wake.set(wake);
        slot.set(flag::WAITS_SENT);
        Poll::Pending
    }

    /// Lets what is queued leave now: the head before a file. `more` tells TCP that what follows belongs in the same segment.
    pub fn flush_now(&self, id: SocketId, more: bool) {
        let shard = &*self.0;
        if let Some(slot) = shard.sockets.get(id)
            && !slot.has(flag::WRITE_ARMED | flag::CONNECTING)
            && shard.watch(slot, id.index).is_ok()
        {
            shard.send_now(slot, id.index, more);
            shard.sent(slot, id.index);
        }
    }

    /// Sends a FIN once everything queued is sent. Nothing can be queued after it.
    pub fn shutdown_write(&self, id: SocketId) {
        let shard = &*self.0;
        if let Some(slot) = shard.sockets.get(id)
            && !slot.has(flag::FIN_WANTED)
        {
            slot.set(flag::FIN_WANTED);
            shard.sockets.mark_dirty(id.index);
        }
    }
}

impl Inner {
    /// Takes in how a connect ended.
    pub(crate) fn connect_ended(&self, slot: &Slot, index: u32) {
        slot.clear(flag::CONNECTING);
        if let Err(error) = self.driver.take_error(slot.fd.get()) {
            slot.write_error.set(errno(&error));
            slot.read_error.set(errno(&error));
        }
        self.wake(slot.read_wake.take());
        if slot.queued() > 0 || slot.has(flag::FIN_WANTED) {
            self.sockets.mark_dirty(index);
        }
    }

    /// Sends what a socket has queued, as far as it goes now, and takes the next step of a close.
    pub(crate) fn flush(&self, index: u32) {
        let slot = self.sockets.at(index);
        slot.clear(flag::DIRTY);
        if !slot.has(flag::OPEN) || slot.has(flag::ZOMBIE) {
            return;
        }
        // A send under way goes on by itself, and so does a wait for room; but a FIN with nothing before it needs no room.
        if slot.has(flag::WRITE_ARMED) && !(slot.has(flag::WRITE_POLLS) && slot.queued() == 0) {
            return;
        }
        if slot.has(flag::CONNECTING) {
            if !slot.has(flag::CLOSING) {
                return;
            }
        } else if slot.queued() > 0 && slot.write_error.get() == 0 {
            slot.set(flag::USED);
            // The last bytes leave with the FIN that follows at once, in one segment.
            let last = slot.has(flag::FIN_WANTED) && slot.queued() <= LAST_SEND;
            if last || !self.driver.sends_ahead() {
                self.send_now(slot, index, last);
            } else {
                match self.watch(slot, index) {
                    Ok(()) => return self.driver.start_send(slot, index),
                    Err(error) => self.send_failed(slot, errno(&error)),
                }
            }
        }
        self.sent(slot, index);
    }

    /// Sends until nothing is left, the kernel has no room, or a step is done: then the rest is for the next turn.
    pub(crate) fn send_now(&self, slot: &Slot, index: u32, more: bool) {
        debug_assert!(!slot.has(flag::WRITE_ARMED));
        let Some(mut out) = slot.out.take() else { return };
        let mut failed = None;
        let mut step = 0;
        while out.queued() > 0 && slot.has(flag::WRITABLE) {
            if step >= BYTES_PER_SEND {
                self.sockets.mark_dirty(index);
                break;
            }
            let mut parts: [&[u8]; SEGMENTS_PER_SEND] = [&[]; SEGMENTS_PER_SEND];
            let count = out.gather(&mut parts);
            match self.driver.send(slot.fd.get(), &parts[..count], more) {
                Ok(bytes) => {
                    out.sent(bytes);
                    step += bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => slot.clear(flag::WRITABLE),
                Err(error) => {
                    failed = Some(errno(&error));
                    break;
                }
            }
        }
        slot.out.set(Some(out));
        if let Some(errno) = failed {
            self.send_failed(slot, errno);
        }
    }

    /// The write side is broken: what is queued goes nowhere.
    pub(crate) fn send_failed(&self, slot: &Slot, errno: u16) {
        slot.write_error.set(errno);
        slot.with_out(|out| out.into_iter().for_each(crate::out::Out::clear));
    }

    /// After a send, or when none was needed: gives the empty queue back, sends a FIN that was to follow, wakes the
    /// writer, goes on with a close.
    pub(crate) fn sent(&self, slot: &Slot, index: u32) {
        let (queued, low_water) = slot.with_out(|out| out.map_or((0, 0), |out| (out.queued(), out.low_water)));
        if queued == 0 {
            if let Some(out) = slot.out.take() {
                self.sockets.recycle(out);
            }
            if slot.has(flag::FIN_WANTED) && !slot.has(flag::FIN_SENT | flag::CONNECTING) {
                if slot.has(flag::PLAIN) {
                    return self.finish(slot, index, false);
                }
                slot.set(flag::FIN_SENT);
                self.driver.shutdown_write(slot.fd.get());
            }
        } else if !slot.has(flag::WRITE_ARMED) && !slot.has(flag::WRITABLE) {
            match self.watch(slot, index) {
                Ok(()) => self.driver.await_side(slot, index, Side::Write),
                Err(error) => self.send_failed(slot, errno(&error)),
            }
        }
        if slot.has(flag::CLOSING) {
            self.advance_close(slot, index);
        } else if slot.write_error.get() != 0 || (queued <= low_water && slot.has(flag::WAITS_SENT)) {
            slot.clear(flag::WAITS_SENT);
            self.wake(slot.write_wake.take());
        }
    }
}
