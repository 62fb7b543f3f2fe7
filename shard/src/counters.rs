//! What a shard counts: cells one thread writes and every thread may read.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number with one writer. Reading it is always allowed and never exact.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    pub(crate) fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }
}

/// A shard's counters. Those that do not only grow say so.
#[derive(Debug, Default)]
pub struct ShardCounters {
    /// Turns of the shard's loop.
    pub turns: Cell,
    /// Polls of tasks.
    pub polls: Cell,
    /// Calls of the service for rows that had something to do.
    pub rows: Cell,
    /// Tasks alive. Goes up and down; updated once a turn.
    pub tasks: Cell,
    /// Slots in use, listeners included. Goes up and down; updated once a turn.
    pub sockets: Cell,
    /// Arena buffers on loan. Goes up and down; updated once a turn.
    pub buffers: Cell,
    /// Connections accepted.
    pub accepted: Cell,
    /// Connections begun.
    pub connects: Cell,
    /// Times a listener paused because something ran out.
    pub accept_pauses: Cell,
    /// Of these pauses: out of descriptors (EMFILE, ENFILE, or the shard's own limit of sockets).
    pub out_of_descriptors: Cell,
    /// Receives that had to wait for a buffer.
    pub out_of_buffers: Cell,
    /// Panics caught in tasks and in the service.
    pub panics: Cell,
    /// Graceful closes that ran out of time or of patience for what the peer still sent.
    pub forced_closes: Cell,
}
