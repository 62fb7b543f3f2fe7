//! Which signal asks for what: SIGTERM and SIGINT to drain, SIGHUP to reload.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A signal the process acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGHUP.
    Hangup,
}

/// The signals that wait to be read. Make it before the first thread: threads inherit that the signals are blocked.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks the signals' default actions in the calling thread and opens a queue of them.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn block() -> io::Result<Signals> {
        // SAFETY: `sigemptyset` makes the set valid, the rest works on that valid set; the descriptor is new.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
            let rc = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            if rc != 0 {
                return Err(io::Error::from_raw_os_error(rc));
            }
            let fd = crate::sys::check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
            Ok(Signals(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// The next signal, or `None` when none waits.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn take(&self) -> io::Result<Option<Signal>> {
        loop {
            // SAFETY: all-zero is a valid signalfd_siginfo, and the kernel writes at most one.
            let (read, info) = unsafe {
                let mut info: libc::signalfd_siginfo = std::mem::zeroed();
                let size = size_of::<libc::signalfd_siginfo>();
                (libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size), info)
            };
            if read < 0 {
                let error = io::Error::last_os_error();
                match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => return Ok(None),
                    _ => return Err(error),
                }
            }
            match info.ssi_signo as i32 {
                libc::SIGTERM => return Ok(Some(Signal::Terminate)),
                libc::SIGINT => return Ok(Some(Signal::Interrupt)),
                libc::SIGHUP => return Ok(Some(Signal::Hangup)),
                _ => {}
            }
        }
    }

    /// Blocks the thread until a signal comes.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn wait(&self) -> io::Result<Signal> {
        loop {
            if let Some(signal) = self.take()? {
                return Ok(signal);
            }
            let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid pollfd.
            crate::sys::uninterrupted(|| crate::sys::check(unsafe { libc::poll(&raw mut poll, 1, -1) }))?;
        }
    }

    /// A second descriptor of the queue, for `Shard::adopt` and `Shard::poll_ready`.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn watch(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_waits_to_be_read() {
        std::thread::spawn(|| {
            let signals = Signals::block().unwrap();
            assert_eq!(signals.take().unwrap(), None);
            // SAFETY: the thread blocks SIGHUP, so it is queued for this thread and kills nobody.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGHUP) };
            assert_eq!(signals.wait().unwrap(), Signal::Hangup);
            assert_eq!(signals.take().unwrap(), None);
        })
        .join()
        .unwrap();
    }
}
