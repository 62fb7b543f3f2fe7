//! What other threads share with a shard is made of these. The model puts its own in their place.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
pub(crate) use std::sync::{Mutex, OnceLock, PoisonError};

use std::os::fd::{AsRawFd, OwnedFd};

/// Words in one chunk of the bitmap of woken tasks.
pub(crate) const BITMAP_WORDS: usize = 1024;
/// Chunks of it: a bit for every task a shard can hold.
pub(crate) const BITMAP_CHUNKS: usize = crate::wake::MAX_TASKS as usize / (BITMAP_WORDS * 64);

/// What ends a shard's sleep: an eventfd. The simulated shard never sleeps and has none.
pub(crate) struct Alarm(pub(crate) Option<OwnedFd>);

impl Alarm {
    /// Ends the sleep that is, or the next one.
    pub(crate) fn sound(&self) {
        if let Some(fd) = &self.0 {
            crate::sys::eventfd_signal(fd);
        }
    }

    pub(crate) fn descriptor(&self) -> Option<i32> {
        self.0.as_ref().map(AsRawFd::as_raw_fd)
    }
}
