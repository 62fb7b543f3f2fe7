//! What stands in the model for the atomics, the locks and the eventfd of a shard.

use std::ptr;

pub(crate) use loom::sync::Mutex;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
pub(crate) use std::sync::PoisonError;

use loom::sync::Condvar;
use loom::sync::atomic::AtomicPtr;

pub(crate) const BITMAP_WORDS: usize = 2;
pub(crate) const BITMAP_CHUNKS: usize = 1;

/// An eventfd: a count that a sleeper waits for and takes.
#[derive(Default)]
pub(crate) struct Alarm {
    sounded: Mutex<bool>,
    heard: Condvar,
}

impl Alarm {
    pub(crate) fn sound(&self) {
        *self.sounded.lock().unwrap() = true;
        self.heard.notify_one();
    }

    pub(crate) fn wait(&self) {
        let mut sounded = self.sounded.lock().unwrap();
        while !*sounded {
            sounded = self.heard.wait(sounded).unwrap();
        }
        *sounded = false;
    }
}

/// A cell set once, with no more order than the standard library promises: who sees the value sees what made it.
pub(crate) struct OnceLock<T>(AtomicPtr<T>);

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        OnceLock::new()
    }
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> OnceLock<T> {
        OnceLock(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn get(&self) -> Option<&T> {
        // SAFETY: the pointer is null or a box's that `set` leaked into this cell, which alone frees it when it is dropped.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let fresh = Box::into_raw(Box::new(value));
        match self.0.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            // SAFETY: leaked just above, and the cell did not take it.
            Err(_) => Err(*unsafe { Box::from_raw(fresh) }),
        }
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if self.get().is_none() {
            drop(self.set(make()));
        }
        self.get().expect("set now, by whomever")
    }
}

impl<T> Drop for OnceLock<T> {
    fn drop(&mut self) {
        let value = self.0.load(Ordering::Acquire);
        if !value.is_null() {
            // SAFETY: leaked by `set`; the cell goes away, so nobody borrows from it.
            drop(unsafe { Box::from_raw(value) });
        }
    }
}
