//! How a shard meets the kernel: io_uring, epoll, or a simulation, chosen once.
//!
//! The shard's own modules know sockets by slot and keep all state in the slot; a driver does system calls, watches
//! descriptors and reports what became of them to [`Inner::event`](crate::shard::Inner::event).

mod completion;
mod epoll;
pub mod sim;
mod uring;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use crate::arena::Class;
use crate::file::File;
use crate::net::Address;
use crate::random;
use crate::shard::Inner;
use crate::socket::{Side, Slot};
use crate::sys::{self, Pipe};
use crate::time::{self, Tick};

pub(crate) use epoll::Epoll;
pub(crate) use uring::Uring;
pub use uring::probe_uring;

/// What a shard does its input and output with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Io {
    /// io_uring.
    Uring,
    /// epoll.
    Epoll,
    /// The in-memory network of a simulation.
    Sim,
}

impl std::fmt::Display for Io {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Io::Uring => "io_uring",
            Io::Epoll => "epoll",
            Io::Sim => "simulation",
        })
    }
}

/// The driver of one shard.
pub(crate) enum Driver {
    Epoll(Epoll),
    Uring(Uring),
    Sim(sim::Sim),
}

/// What happened to a descriptor that a driver watches.
#[derive(Clone, Copy, Default)]
pub(crate) struct Happened {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer stopped sending, or the connection failed.
    pub(crate) hangup: bool,
}

impl Driver {
    pub(crate) fn io(&self) -> Io {
        match self {
            Driver::Epoll(_) => Io::Epoll,
            Driver::Uring(_) => Io::Uring,
            Driver::Sim(_) => Io::Sim,
        }
    }

    pub(crate) fn now(&self) -> Tick {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => time::monotonic(),
            Driver::Sim(sim) => sim.now(),
        }
    }

    /// Processor time of this thread; `None` where nothing costs any.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => Some(time::thread_cpu()),
            Driver::Sim(_) => None,
        }
    }

    /// Seconds since 1970.
    pub(crate) fn unix(&self) -> u64 {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => time::unix(),
            Driver::Sim(sim) => sim.unix(),
        }
    }

    /// What a shard's random numbers begin with.
    pub(crate) fn seed(&self) -> u64 {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => random::of_system(),
            Driver::Sim(sim) => sim.seed(),
        }
    }

    /// Begins to watch a slot's descriptor. Called once a socket, before anything waits for it.
    pub(crate) fn attach(&self, slot: &Slot, index: u32) -> io::Result<()> {
        match self {
            Driver::Epoll(epoll) => epoll.attach(slot, index),
            Driver::Uring(_) => Ok(()),
            Driver::Sim(sim) => sim.attach(slot, index),
        }
    }

    /// Ends watching a slot's descriptor, which is about to be closed.
    pub(crate) fn detach(&self, slot: &Slot) {
        match self {
            Driver::Epoll(epoll) => epoll.detach(slot),
            Driver::Uring(_) | Driver::Sim(_) => {}
        }
    }

    /// Ends watching a slot's descriptor, which lives on elsewhere.
    pub(crate) fn unwatch(&self, slot: &Slot) {
        match self {
            Driver::Epoll(epoll) => epoll.unwatch(slot),
            // Nothing is armed; a simulated stream forgets its owner when it is given away.
            Driver::Uring(_) | Driver::Sim(_) => {}
        }
    }

    /// Sees to it that an event comes when this side of the slot may make progress. The caller found it cannot now.
    pub(crate) fn await_side(&self, slot: &Slot, index: u32, side: Side) {
        match self {
            // Edge-triggered and registered for both sides from the start: the edge comes.
            Driver::Epoll(_) => {}
            Driver::Uring(uring) => uring.await_side(slot, index, side),
            Driver::Sim(sim) => sim.await_side(slot, index, side),
        }
    }

    /// Whether receives of this class are started ahead of readiness ([`arm_receive`](Self::arm_receive)).
    pub(crate) fn receives_ahead(&self, shard: &Inner, want: Class, favoured: bool) -> bool {
        match self {
            Driver::Epoll(_) => false,
            Driver::Uring(uring) => uring.receives_ahead(shard, want, favoured),
            Driver::Sim(sim) => sim.receives_ahead(),
        }
    }

    /// Whether receives into a slot's own lease are started ahead of readiness.
    pub(crate) fn receives_ahead_into(&self) -> bool {
        match self {
            Driver::Epoll(_) => false,
            Driver::Uring(_) => true,
            Driver::Sim(sim) => sim.receives_ahead(),
        }
    }

    /// Whether a receive is to find no buffer although there is one; it is woken later.
    pub(crate) fn refuses_buffer(&self) -> bool {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => false,
            Driver::Sim(sim) => sim.refuses_buffer(),
        }
    }

    /// Starts a receive into a buffer the driver chooses, or into the slot's own lease.
    pub(crate) fn arm_receive(&self, slot: &Slot, index: u32, want: Option<Class>) {
        match self {
            Driver::Epoll(_) => unreachable!("only asked for when receives_ahead says so"),
            Driver::Uring(uring) => uring.arm_receive(slot, index, want),
            Driver::Sim(sim) => sim.arm_receive(slot, index, want),
        }
    }

    /// Whether sends are started, to end later ([`start_send`](Self::start_send)), or made at once (`send`).
    pub(crate) fn sends_ahead(&self) -> bool {
        match self {
            Driver::Epoll(_) => false,
            Driver::Uring(_) => true,
            Driver::Sim(sim) => sim.sends_ahead(),
        }
    }

    /// Starts to send what is queued, without waiting.
    pub(crate) fn start_send(&self, slot: &Slot, index: u32) {
        match self {
            Driver::Epoll(_) => unreachable!("only asked for when sends_ahead says so"),
            Driver::Uring(uring) => uring.start_send(slot, index),
            Driver::Sim(sim) => sim.start_send(slot, index),
        }
    }

    /// Asks the outstanding operation of a side to end; its completion comes in any case.
    pub(crate) fn cancel(&self, slot: &Slot, index: u32, side: Side) {
        match self {
            Driver::Epoll(_) => {}
            Driver::Uring(uring) => uring.cancel(slot, index, side),
            Driver::Sim(sim) => sim.cancel(slot, index, side),
        }
    }

    // ---- calls that never block ------------------------------------------------------------------

    pub(crate) fn accept(&self, fd: i32) -> io::Result<(i32, Address)> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => sys::accept(fd),
            Driver::Sim(sim) => sim.calls.accept(fd),
        }
    }

    /// A new socket on its way to `to`, and whether it arrived.
    pub(crate) fn connect(&self, to: &Address) -> io::Result<(i32, bool)> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => sys::connect(to).map(|(fd, done)| (fd.into_raw_fd(), done)),
            Driver::Sim(sim) => sim.calls.connect(to).map(|fd| (fd, false)),
        }
    }

    /// How a connect ended.
    pub(crate) fn take_error(&self, fd: i32) -> io::Result<()> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => sys::take_error(fd),
            Driver::Sim(sim) => sim.calls.take_error(fd),
        }
    }

    pub(crate) fn recv(&self, fd: i32, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => sys::recv(fd, into),
            Driver::Sim(sim) => sim.calls.recv(fd, into),
        }
    }

    pub(crate) fn send(&self, fd: i32, parts: &[&[u8]], more: bool) -> io::Result<usize> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => sys::send(fd, parts, more),
            Driver::Sim(sim) => sim.calls.send(fd, parts),
        }
    }

    pub(crate) fn is_ready(&self, fd: i32, side: Side) -> bool {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => {
                let events = if side == Side::Read { libc::POLLIN | libc::POLLRDHUP } else { libc::POLLOUT };
                sys::is_ready(fd, events)
            }
            Driver::Sim(sim) => sim.calls.is_ready(fd, side),
        }
    }

    pub(crate) fn shutdown_write(&self, fd: i32) {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => sys::shutdown_write(fd),
            Driver::Sim(sim) => sim.calls.shutdown_write(fd),
        }
    }

    /// Closes a descriptor, by a reset when `reset` is set.
    pub(crate) fn close(&self, fd: i32, reset: bool) {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => {
                if reset {
                    sys::reset_on_close(fd);
                }
                sys::close(fd);
            }
            Driver::Sim(sim) => sim.calls.close(fd, reset),
        }
    }

    pub(crate) fn peer(&self, fd: i32) -> io::Result<Address> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => sys::peer(fd),
            Driver::Sim(sim) => Ok(sim.calls.peer(fd)),
        }
    }

    pub(crate) fn local(&self, fd: i32) -> io::Result<Address> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => sys::local(fd),
            Driver::Sim(sim) => Ok(sim.calls.local(fd)),
        }
    }

    pub(crate) fn set_option<T>(&self, fd: i32, level: i32, name: i32, value: T) -> io::Result<()> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => sys::set_option(fd, level, name, value),
            Driver::Sim(_) => Ok(()),
        }
    }

    pub(crate) fn sendfile(&self, fd: i32, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => sys::sendfile(fd, file.as_raw_fd(), offset, length),
            Driver::Sim(sim) => sim.calls.sendfile(fd, file, offset, length),
        }
    }

    pub(crate) fn pipe(&self) -> io::Result<Pipe> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => sys::pipe(),
            Driver::Sim(sim) => sim.calls.pipe(),
        }
    }

    /// Moves up to `length` bytes from a socket to an empty pipe; 0 is end of stream.
    pub(crate) fn splice_in(&self, fd: i32, pipe: &Pipe, length: usize) -> io::Result<usize> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => sys::splice(fd, pipe.write, length),
            Driver::Sim(sim) => sim.calls.splice_in(fd, pipe.write, length),
        }
    }

    /// Moves up to `length` bytes from a pipe to a socket.
    pub(crate) fn splice_out(&self, pipe: &Pipe, fd: i32, length: usize) -> io::Result<usize> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => sys::splice(pipe.read, fd, length),
            Driver::Sim(sim) => sim.calls.splice_out(pipe.read, fd, length),
        }
    }

    /// Takes in a blocking job instead of the pool, or gives it back.
    pub(crate) fn take_job(&self, job: Job) -> Option<Job> {
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => Some(job),
            Driver::Sim(sim) => sim.take_job(job),
        }
    }

    // ---- the turn --------------------------------------------------------------------------------

    /// Reports everything that happened since the last call.
    pub(crate) fn reap(&self, shard: &Inner) {
        match self {
            Driver::Epoll(epoll) => epoll.reap(shard),
            Driver::Uring(uring) => uring.reap(shard),
            Driver::Sim(sim) => sim.reap(shard),
        }
    }

    /// Hands what was started to the kernel and sleeps until something happened, at most `timeout` (`None`: no limit).
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        match self {
            Driver::Epoll(epoll) => epoll.park(timeout),
            Driver::Uring(uring) => uring.park(timeout),
            Driver::Sim(sim) => sim.park(timeout),
        }
    }

    /// Buffers of a class that lie ready where only this driver can give them.
    pub(crate) fn ready_buffers(&self, want: Class, favoured: bool) -> u32 {
        match self {
            Driver::Epoll(_) | Driver::Sim(_) => 0,
            Driver::Uring(uring) => uring.ready_buffers(want, favoured),
        }
    }

    /// Buffers of the arena that lie in buffer rings and that nobody holds.
    pub(crate) fn lying_buffers(&self) -> u64 {
        match self {
            Driver::Epoll(_) | Driver::Sim(_) => 0,
            Driver::Uring(uring) => uring.lying(),
        }
    }

    /// Operations under way whose last completion is to come.
    pub(crate) fn outstanding(&self) -> usize {
        match self {
            Driver::Epoll(_) => 0,
            Driver::Uring(uring) => uring.outstanding(),
            Driver::Sim(sim) => sim.outstanding(),
        }
    }

    /// Buffers came back to the arena: takes what is missing in buffer rings.
    pub(crate) fn refill(&self, shard: &Inner) {
        match self {
            Driver::Epoll(_) | Driver::Sim(_) => {}
            Driver::Uring(uring) => uring.refill(shard),
        }
    }

    /// Ends every outstanding operation and waits for it. What the kernel will not let go of is leaked.
    pub(crate) fn quiesce(&self, shard: &Inner) {
        match self {
            Driver::Epoll(_) => {}
            Driver::Uring(uring) => uring.quiesce(shard),
            Driver::Sim(sim) => sim.quiesce(shard),
        }
    }

    /// Takes ownership of a socket, for a number this driver knows.
    pub(crate) fn take_in(&self, socket: Socket, listener: bool) -> io::Result<i32> {
        let Socket(Kind::Descriptor(fd)) = socket;
        match self {
            Driver::Epoll(_) | Driver::Uring(_) => {
                // Ring operations and splice wait properly on a non-blocking socket only.
                let _ = sys::set_nonblocking(fd.as_raw_fd());
                Ok(fd.into_raw_fd())
            }
            Driver::Sim(sim) if listener => sim.calls.listen(fd),
            Driver::Sim(sim) => sim.calls.adopt(fd),
        }
    }

    /// A slot's descriptor as something to give away.
    pub(crate) fn socket(&self, fd: i32) -> Socket {
        match self {
            // SAFETY: the slot owned the descriptor and gave it up.
            Driver::Epoll(_) | Driver::Uring(_) => Socket(Kind::Descriptor(unsafe { OwnedFd::from_raw_fd(fd) })),
            Driver::Sim(sim) => sim.calls.release(fd),
        }
    }
}

/// Work for a helper thread.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// A socket that belongs to no shard yet, or no more: a descriptor, or a simulated one. Goes from thread to thread.
#[derive(Debug)]
pub struct Socket(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Descriptor(OwnedFd),
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Socket(Kind::Descriptor(fd))
    }
}

impl Socket {
    /// The descriptor, if it is one.
    pub fn into_fd(self) -> Option<OwnedFd> {
        match self.0 {
            Kind::Descriptor(fd) => Some(fd),
        }
    }
}
