//! How bytes go from one descriptor to another without passing through user memory.

use std::io;
use std::task::Poll;

use crate::file::File;
use crate::shard::{Inner, Shard};
use crate::socket::{Side, Slot, errno, flag, gone};
use crate::wake::{SocketId, Wake};

/// The most one step of sendfile moves: a larger one would keep the shard from its other sockets.
pub const SENDFILE_STEP: usize = 2 << 20;

impl Shard {
    /// Bytes a splice took from `from` that its other end did not take yet: none while it waits for `from`.
    pub fn in_pipe(&self, from: SocketId) -> usize {
        let Some(source) = self.0.sockets.get(from) else { return 0 };
        let pipe = source.pipe.take();
        let filled = pipe.as_ref().map_or(0, |pipe| pipe.filled);
        source.pipe.set(pipe);
        filled
    }

    /// Moves up to `max` bytes from one socket to another, through a pipe that belongs to `from`: one step. Gives the
    /// bytes that reached `to`; 0 is the end of `from`'s stream, with nothing left in the pipe.
    ///
    /// What was received on `from` but not read goes first. What is queued on `to` leaves before.
    ///
    /// # Errors
    /// Either connection failed, or is closed (ENOTCONN), or there is no descriptor for the pipe.
    pub fn poll_splice(&self, from: SocketId, to: SocketId, max: usize, wake: Wake) -> Poll<io::Result<usize>> {
        let shard = &*self.0;
        let (Some(source), Some(target)) = (shard.sockets.get(from), shard.sockets.get(to)) else {
            return Poll::Ready(Err(gone()));
        };
        source.reclaim();
        if let Some(mut held) = source.held.take() {
            source.clear(flag::INTO_DONE);
            let bytes = held.len().min(max);
            let front = held.split_to(bytes);
            if !held.is_empty() {
                source.held.set(Some(held));
            }
            self.queue(to, front);
            return Poll::Ready(Ok(bytes));
        }
        if target.queued() > 0 || target.write_error.get() != 0 {
            return match self.poll_sent(to, 0, wake) {
                // The queue emptied in between: come again at once.
                Poll::Ready(Ok(())) => {
                    shard.wake_later(wake);
                    Poll::Pending
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            };
        }
        if let Some(error) = source.read_error() {
            return Poll::Ready(Err(error));
        }
        shard.watch(source, from.index)?;
        shard.watch(target, to.index)?;
        let mut pipe = match source.pipe.take() {
            Some(pipe) => pipe,
            None if source.has(flag::ENDED) => return Poll::Ready(Ok(0)),
            None => match shard.sockets.pipes.borrow_mut().pop() {
                Some(pipe) => pipe,
                None => Box::new(shard.driver.pipe()?),
            },
        };
        if pipe.filled == 0 && !source.has(flag::ENDED) {
            if source.has(flag::READ_ARMED) {
                source.pipe.set(Some(pipe));
                source.read_wake.set(wake);
                // Splice and a receive would fight over the stream. Its data, if it has some, is held and goes first.
                if !source.has(flag::READ_POLLS) {
                    shard.driver.cancel(source, from.index, Side::Read);
                }
                return Poll::Pending;
            }
            let filled = if source.has(flag::READABLE) {
                shard.driver.splice_in(source.fd.get(), &pipe, max.min(crate::sys::PIPE_SIZE))
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
            match filled {
                Ok(0) => {
                    source.ended();
                    if let Some(error) = source.read_error() {
                        source.pipe.set(Some(pipe));
                        return Poll::Ready(Err(error));
                    }
                }
                Ok(bytes) => pipe.filled = bytes,
                Err(error) => {
                    source.pipe.set(Some(pipe));
                    if error.kind() != io::ErrorKind::WouldBlock {
                        source.read_error.set(errno(&error));
                        return Poll::Ready(Err(error));
                    }
                    source.clear(flag::READABLE);
                    source.read_wake.set(wake);
                    shard.driver.await_side(source, from.index, Side::Read);
                    return Poll::Pending;
                }
            }
        }
        if pipe.filled == 0 {
            shard.sockets.recycle_pipe(pipe);
            return Poll::Ready(Ok(0));
        }
        let moved = if target.has(flag::WRITABLE) {
            if !shard.may_move(wake) {
                source.pipe.set(Some(pipe));
                return Poll::Pending;
            }
            shard.driver.splice_out(&pipe, target.fd.get(), pipe.filled)
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        };
        if let Ok(bytes) = moved {
            pipe.filled -= bytes;
        }
        source.pipe.set(Some(pipe));
        shard.moved(target, to, moved, wake)
    }

    /// Sends up to `length` bytes (at most 2 MiB a step) of a file from `offset` on; what is queued leaves before, with
    /// MSG_MORE. Gives the bytes that left; 0 means that the file ends before `offset`.
    ///
    /// # Errors
    /// The connection failed or is closed (ENOTCONN), or the file cannot be read.
    pub fn poll_sendfile(
        &self,
        id: SocketId,
        file: &File,
        offset: u64,
        length: usize,
        wake: Wake,
    ) -> Poll<io::Result<usize>> {
        let shard = &*self.0;
        let Some(slot) = shard.sockets.get(id) else { return Poll::Ready(Err(gone())) };
        shard.watch(slot, id.index)?;
        if slot.queued() > 0 {
            self.flush_now(id, true);
        }
        if slot.queued() > 0 || slot.write_error.get() != 0 {
            match self.poll_sent(id, 0, wake) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let sent = if slot.has(flag::WRITABLE) {
            if !shard.may_move(wake) {
                return Poll::Pending;
            }
            shard.driver.sendfile(slot.fd.get(), file, offset, length.min(SENDFILE_STEP))
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        };
        shard.moved(slot, id, sent, wake)
    }
}

impl Inner {
    /// Turns the result of a direct write into a poll's.
    fn moved(&self, slot: &Slot, id: SocketId, moved: io::Result<usize>, wake: Wake) -> Poll<io::Result<usize>> {
        match moved {
            Ok(bytes) => {
                self.charge(bytes);
                Poll::Ready(Ok(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                slot.clear(flag::WRITABLE | flag::WAITS_SENT);
                slot.write_wake.set(wake);
                if !slot.has(flag::WRITE_ARMED) {
                    self.driver.await_side(slot, id.index, Side::Write);
                }
                Poll::Pending
            }
            Err(error) => {
                slot.write_error.set(errno(&error));
                Poll::Ready(Err(error))
            }
        }
    }
}
