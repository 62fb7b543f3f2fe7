//! How other threads tell a shard that there is something to do, and end its sleep: the orderings that lose no wake.
//!
//! What is to be found (a message, a task's bit) is written first, then the bell is rung; the shard takes the ring first
//! and looks then. A ring and the announcement of sleep are both read-modify-writes of [`Bell::rung`], so one of them
//! comes first: either the shard sees the ring and stays awake, or the ringer sees it parked and sounds the alarm.
//! `shard/src/model` runs this file through every order of two ringers and a sleeper.

use std::sync::Arc;

use super::sync::{Alarm, AtomicBool, AtomicU64, BITMAP_CHUNKS, BITMAP_WORDS, OnceLock, Ordering, fence};

type BitmapChunk = Box<[AtomicU64; BITMAP_WORDS]>;

/// The part of a shard that other threads may touch.
pub(crate) struct Bell {
    pub(super) instance: u16,
    /// Set with every ring, taken by the shard each turn.
    rung: AtomicBool,
    /// True while the shard sleeps or is about to.
    parked: AtomicBool,
    tasks_woken: AtomicBool,
    bitmap: Box<[OnceLock<BitmapChunk>]>,
    pub(super) alarm: Alarm,
}

impl Bell {
    pub(super) fn new(instance: u16, alarm: Alarm) -> Bell {
        Bell {
            instance,
            rung: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            tasks_woken: AtomicBool::new(false),
            bitmap: (0..BITMAP_CHUNKS).map(|_| OnceLock::new()).collect(),
            alarm,
        }
    }

    /// Tells the shard to look at its mailbox and bitmap, and ends its sleep.
    pub(crate) fn ring(&self) {
        // Not a store: the shard that takes a later ring must see what every ring before it announced.
        self.rung.swap(true, Ordering::AcqRel);
        let sleeps = self.parked.load(Ordering::Relaxed);
        if sleeps && self.parked.compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.alarm.sound();
        }
    }

    /// Wakes the task at `index` and rings.
    pub(super) fn wake_task(&self, index: u32) {
        let bit = index as usize;
        let chunk =
            self.bitmap[bit / (BITMAP_WORDS * 64)].get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        chunk[bit / 64 % BITMAP_WORDS].fetch_or(1 << (bit % 64), Ordering::Release);
        self.tasks_woken.swap(true, Ordering::Release);
        self.ring();
    }

    /// Announces sleep. False when a ring came first and there is work to do.
    pub(crate) fn park(&self) -> bool {
        self.parked.store(true, Ordering::Relaxed);
        // Changes nothing, but takes its place among the rings: a later one sees the line above.
        if self.rung.fetch_or(false, Ordering::AcqRel) {
            self.parked.store(false, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// The sleep is over.
    pub(crate) fn unpark(&self) {
        self.parked.store(false, Ordering::Relaxed);
    }

    /// Whether somebody rang since the last call.
    pub(crate) fn take_rung(&self) -> bool {
        self.rung.load(Ordering::Relaxed) && self.rung.swap(false, Ordering::AcqRel)
    }

    /// Whether a ring waits to be taken. One that comes right now may be missed; [`park`](Self::park) misses none.
    pub(crate) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Relaxed)
    }

    /// Hands every task woken from elsewhere to `each`. Called after [`take_rung`](Self::take_rung).
    pub(crate) fn take_tasks(&self, mut each: impl FnMut(u32)) {
        if !self.tasks_woken.swap(false, Ordering::Acquire) {
            return;
        }
        for (at, chunk) in self.bitmap.iter().enumerate() {
            let Some(chunk) = chunk.get() else { continue };
            for (word, bits) in chunk.iter().enumerate() {
                if bits.load(Ordering::Relaxed) == 0 {
                    continue;
                }
                let mut set = bits.swap(0, Ordering::Acquire);
                while set != 0 {
                    let bit = set.trailing_zeros();
                    set &= set - 1;
                    each(((at * BITMAP_WORDS + word) * 64) as u32 + bit);
                }
            }
        }
    }
}

/// The way from a mailbox to its shard's bell, which is not there before the shard's first turn.
#[derive(Default)]
pub(crate) struct Rope(OnceLock<Arc<Bell>>);

impl Rope {
    /// Rings, if there is a bell already. Called after the message was put in.
    pub(crate) fn pull(&self) {
        if self.0.get().is_none() {
            // Either the bell is seen here, or whoever hangs it sees the message.
            fence(Ordering::SeqCst);
        }
        if let Some(bell) = self.0.get() {
            bell.ring();
        }
    }

    /// Hangs the bell, once, and rings: what was put in before nobody heard of. Called before the mailbox is read.
    pub(crate) fn hang(&self, bell: &Arc<Bell>) {
        if self.0.get().is_none() && self.0.set(Arc::clone(bell)).is_ok() {
            bell.ring();
            fence(Ordering::SeqCst);
        }
    }
}
