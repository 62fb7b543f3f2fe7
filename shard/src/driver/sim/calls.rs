//! What are a simulated shard's system calls? The ones of `sys`, on handles instead of descriptors: streams have even
//! handles, listeners odd ones.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use super::net::{DoorId, EndId, Notice, Owner};
use super::world::{Meaning, World};
use crate::driver::Socket;
use crate::file::File;
use crate::net::Address;
use crate::socket::Side;
use crate::sys::Pipe;

/// The most one `sendfile` moves: what a socket buffer may have room for.
const FILE_STEP: usize = 256 << 10;

/// No stream's handle.
const NOBODY: i32 = -1;

/// A listener of this shard. The descriptor keeps the door open.
struct Watch {
    door: DoorId,
    token: Option<u64>,
    _ticket: OwnedFd,
}

/// What is in a pipe, and the stream it came from.
struct Contents {
    from: i32,
    bytes: VecDeque<u8>,
}

/// One simulated shard's view of its world.
pub(crate) struct Calls {
    pub(crate) world: World,
    shard: u16,
    watches: RefCell<Vec<Option<Watch>>>,
    /// The pipes of splices, by their number.
    pipes: RefCell<Vec<Contents>>,
}

fn end(handle: i32) -> EndId {
    debug_assert_eq!(handle & 1, 0, "a stream's handle is even");
    handle.unsigned_abs() >> 1
}

fn handle(end: EndId) -> i32 {
    i32::try_from(end << 1).expect("fewer than 2^30 connections in one world")
}

impl Calls {
    pub(crate) fn new(world: World) -> Calls {
        let shard = world.network().join();
        Calls { world, shard, watches: RefCell::default(), pipes: RefCell::default() }
    }

    /// The number of this shard in its world.
    pub(crate) fn shard(&self) -> u16 {
        self.shard
    }

    /// Whether events wait.
    pub(crate) fn has_events(&self) -> bool {
        self.world.network().has_notices(self.shard)
    }

    /// The events that wait.
    pub(crate) fn take_events(&self, into: &mut Vec<Notice>) {
        self.world.network().take_notices(self.shard, into);
    }

    /// From now on this shard hears of a handle by `token`, first of what there is to do already.
    pub(crate) fn attach(&self, handle: i32, token: u64) -> io::Result<()> {
        let owner = Owner::Shard(self.shard, token);
        if handle & 1 == 0 {
            self.world.network().set_owner(end(handle), owner);
            return Ok(());
        }
        match self.watches.borrow_mut().get_mut((handle >> 1) as usize) {
            Some(Some(watch)) => {
                watch.token = Some(token);
                self.world.network().watch_door(watch.door, owner);
                Ok(())
            }
            _ => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    /// Makes a listener of a descriptor the world handed out.
    pub(crate) fn listen(&self, fd: OwnedFd) -> io::Result<i32> {
        let Meaning::Door(door) = self.world.redeem(&fd)? else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut watches = self.watches.borrow_mut();
        watches.push(Some(Watch { door, token: None, _ticket: fd }));
        Ok(i32::try_from(watches.len() - 1).expect("few listeners") << 1 | 1)
    }

    /// Makes a stream of a descriptor that [`Calls::release`] of some shard handed out.
    pub(crate) fn adopt(&self, fd: OwnedFd) -> io::Result<i32> {
        let Meaning::Stream(end) = self.world.redeem(&fd)? else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut network = self.world.network();
        network.count_descriptor(true);
        network.set_quiet_owner(end, self.shard);
        Ok(handle(end))
    }

    /// Gives a stream away as a descriptor.
    ///
    /// # Panics
    /// When the process has no descriptors left for it.
    pub(crate) fn release(&self, handle: i32) -> Socket {
        let fd = self.world.issue(Meaning::Stream(end(handle))).expect("a descriptor for a simulated socket");
        let mut network = self.world.network();
        network.count_descriptor(false);
        network.disown(end(handle));
        fd.into()
    }

    pub(crate) fn accept(&self, listener: i32) -> io::Result<(i32, Address)> {
        let door = match self.watches.borrow().get((listener >> 1) as usize) {
            Some(Some(watch)) => watch.door,
            _ => return Err(io::Error::from_raw_os_error(libc::EBADF)),
        };
        let mut network = self.world.network();
        let end = network.accept(door, Some(self.shard))?;
        let (_, peer) = network.addresses(end);
        Ok((handle(end), peer))
    }

    /// Starts a connection; it never stands at once.
    pub(crate) fn connect(&self, to: &Address) -> io::Result<i32> {
        let mut network = self.world.network();
        let end = network.connect(to, Owner::Shard(self.shard, super::net::NO_TOKEN))?;
        Ok(handle(end))
    }

    /// How a connect ended.
    pub(crate) fn take_error(&self, handle: i32) -> io::Result<()> {
        self.world.network().connected(end(handle))
    }

    pub(crate) fn recv(&self, handle: i32, into: &mut [u8]) -> io::Result<usize> {
        self.world.network().recv(end(handle), into)
    }

    pub(crate) fn send(&self, handle: i32, parts: &[&[u8]]) -> io::Result<usize> {
        self.world.network().send(end(handle), parts)
    }

    pub(crate) fn is_readable(&self, handle: i32) -> bool {
        self.world.network().readable(end(handle))
    }

    pub(crate) fn is_ready(&self, handle: i32, side: Side) -> bool {
        let mut network = self.world.network();
        if handle & 1 == 1 {
            let watches = self.watches.borrow();
            let watch = watches.get((handle >> 1) as usize).and_then(Option::as_ref);
            return side == Side::Read && watch.is_some_and(|watch| network.somebody_waits(watch.door));
        }
        match side {
            Side::Read => network.readable(end(handle)),
            Side::Write => network.writable(end(handle)),
        }
    }

    /// What a poll of a side says, as `poll(2)` does; `None` while it is not ready.
    pub(crate) fn ready_bits(&self, handle: i32, side: Side) -> Option<i32> {
        if !self.is_ready(handle, side) {
            return None;
        }
        if handle & 1 == 0 && self.world.network().storms(end(handle)) {
            return None;
        }
        let ready = if side == Side::Read { libc::POLLIN } else { libc::POLLOUT };
        let hung_up = handle & 1 == 0 && self.world.network().hung_up(end(handle));
        Some(i32::from(ready | if hung_up { libc::POLLRDHUP } else { 0 }))
    }

    /// Says again soon that a stream is readable.
    pub(crate) fn nudge(&self, handle: i32) {
        self.world.network().tell_readable(end(handle));
    }

    pub(crate) fn shutdown_write(&self, handle: i32) {
        self.world.network().shutdown(end(handle));
    }

    /// Closes a stream or a listener; a stream with a reset if `abort` says so or something is unread.
    pub(crate) fn close(&self, handle: i32, abort: bool) {
        if handle & 1 == 0 {
            self.empty_pipe(handle);
            let mut network = self.world.network();
            return if abort { network.abort(end(handle)) } else { network.close(end(handle)) };
        }
        let watch = self.watches.borrow_mut().get_mut((handle >> 1) as usize).and_then(Option::take);
        if let Some(watch) = watch {
            if let Some(token) = watch.token {
                self.world.network().leave_door(watch.door, Owner::Shard(self.shard, token));
            }
            drop(watch);
            self.world.sweep();
        }
    }

    /// Sends bytes of a file, at most what there is room for; 0 is the file's end.
    pub(crate) fn sendfile(&self, handle: i32, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        let mut network = self.world.network();
        if !network.writable(end(handle)) {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        let mut bytes = vec![0; length.min(FILE_STEP)];
        let count = file.read_at(&mut bytes, offset)?;
        if count == 0 {
            return Ok(0);
        }
        network.send(end(handle), &[&bytes[..count]])
    }

    /// A new pipe.
    pub(crate) fn pipe(&self) -> io::Result<Pipe> {
        if self.world.network().lacks_socket() {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let mut pipes = self.pipes.borrow_mut();
        let number = i32::try_from(pipes.len()).expect("few pipes");
        pipes.push(Contents { from: NOBODY, bytes: VecDeque::new() });
        Ok(Pipe { read: number, write: number, filled: 0, owned: false })
    }

    /// Moves from a stream into an empty pipe; 0 is the end of the stream.
    pub(crate) fn splice_in(&self, from: i32, pipe: i32, most: usize) -> io::Result<usize> {
        let mut bytes = vec![0; most];
        let count = self.recv(from, &mut bytes)?;
        bytes.truncate(count);
        let contents = &mut self.pipes.borrow_mut()[pipe.unsigned_abs() as usize];
        assert!(contents.bytes.is_empty(), "a stranger's bytes in a pipe");
        *contents = Contents { from, bytes: bytes.into() };
        Ok(count)
    }

    /// Moves from a pipe to a stream.
    pub(crate) fn splice_out(&self, pipe: i32, to: i32, most: usize) -> io::Result<usize> {
        let bytes = &mut self.pipes.borrow_mut()[pipe.unsigned_abs() as usize].bytes;
        let (front, back) = bytes.as_slices();
        let front = &front[..front.len().min(most)];
        let back = &back[..back.len().min(most - front.len())];
        let count = self.world.network().send(end(to), &[front, back])?;
        bytes.drain(..count);
        Ok(count)
    }

    /// What is left in a stream's pipe goes with the stream.
    fn empty_pipe(&self, from: i32) {
        for contents in self.pipes.borrow_mut().iter_mut().filter(|contents| contents.from == from) {
            *contents = Contents { from: NOBODY, bytes: VecDeque::new() };
        }
    }

    pub(crate) fn peer(&self, handle: i32) -> Address {
        if handle & 1 == 0 { self.world.network().addresses(end(handle)).1 } else { Address::Unix(None) }
    }

    pub(crate) fn local(&self, handle: i32) -> Address {
        if handle & 1 == 0 {
            return self.world.network().addresses(end(handle)).0;
        }
        match self.watches.borrow().get((handle >> 1) as usize) {
            Some(Some(watch)) => self.world.network().door_address(watch.door),
            _ => Address::Unix(None),
        }
    }
}
