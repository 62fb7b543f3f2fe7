//! Which buffers the kernel may receive into: a ring of them for each class and kind of taker.

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::ring::Ring;
use crate::arena::{Arena, Class};
use crate::block::{self, Block};
use crate::lease::Lease;
use crate::sys;

/// Provided buffers of one class. The ring owns the blocks in it until a completion names them.
pub(super) struct Buffers {
    class: Class,
    favoured: bool,
    group: u16,
    entries: NonNull<BufRingEntry>,
    mask: u16,
    tail: Cell<u16>,
    /// Buffers in the ring, and how many there should be.
    count: Cell<u16>,
    target: Cell<u16>,
    /// The blocks in the ring, by their id.
    inside: RefCell<Vec<Option<NonNull<Block>>>>,
}

impl Buffers {
    /// Registers a ring for `class` and puts the first buffers in.
    pub(super) fn new(ring: &Ring, arena: &Arena, class: Class, favoured: bool, group: u16) -> io::Result<Buffers> {
        // At first enough for a busy turn; `more` doubles it when that was too few.
        let (entries, target): (u16, u16) = match class {
            Class::Head => (1024, 128),
            Class::Tls => (256, 32),
            Class::Bulk | Class::Large => (64, 8),
        };
        let bytes = usize::from(entries) * size_of::<BufRingEntry>();
        let memory = sys::map_anonymous(bytes)?;
        // SAFETY: the mapping is page-aligned, holds `entries` entries, and is unmapped in `close` after it was
        // unregistered, or never.
        if let Err(error) = unsafe { ring.register_buffers(memory.as_ptr().addr() as u64, entries, group) } {
            // SAFETY: mapped above with this length; the kernel refused it.
            unsafe { sys::unmap(memory, bytes) };
            return Err(error);
        }
        let buffers = Buffers {
            class,
            favoured,
            group,
            entries: memory.cast(),
            mask: entries - 1,
            tail: Cell::new(0),
            count: Cell::new(0),
            target: Cell::new(target),
            inside: RefCell::default(),
        };
        buffers.fill(arena);
        Ok(buffers)
    }

    pub(super) fn group(&self) -> u16 {
        self.group
    }

    pub(super) fn class(&self) -> Class {
        self.class
    }

    /// Buffers the kernel can still take.
    pub(super) fn count(&self) -> u16 {
        self.count.get()
    }

    /// The ring ran empty: keep more in it from now on.
    pub(super) fn more(&self) {
        self.target.set(self.target.get().saturating_mul(2).min(self.mask + 1));
    }

    /// Puts buffers in until there are as many as there should be, or the arena has none left.
    pub(super) fn fill(&self, arena: &Arena) {
        let mut tail = self.tail.get();
        while self.count.get() < self.target.get() {
            let Some(lease) = arena.take(self.class, self.favoured) else { break };
            let id = lease.id().expect("an arena's lease");
            let address = lease.spare_ptr().addr() as u64;
            // SAFETY: `tail & mask` is within the ring's entries, and the kernel reads an entry only after the tail
            // passed it.
            unsafe {
                let entry = &mut *self.entries.as_ptr().add(usize::from(tail & self.mask));
                entry.set_addr(address);
                entry.set_len(self.class.size() as u32);
                entry.set_bid(id);
            }
            let mut inside = self.inside.borrow_mut();
            if inside.len() <= usize::from(id) {
                inside.resize(usize::from(id) + 1, None);
            }
            inside[usize::from(id)] = Some(lease.into_block());
            self.count.set(self.count.get() + 1);
            tail = tail.wrapping_add(1);
        }
        if tail != self.tail.replace(tail) {
            // SAFETY: the kernel and this thread both treat the tail as an atomic 16-bit number; Release makes the
            // entries visible before it.
            unsafe {
                let shared = BufRingEntry::tail(self.entries.as_ptr()).cast_mut();
                AtomicU16::from_ptr(shared).store(tail, Ordering::Release);
            }
        }
    }

    /// The buffer that a completion named.
    pub(super) fn take(&self, id: u16) -> Option<Lease> {
        let block = self.inside.borrow_mut().get_mut(usize::from(id))?.take()?;
        self.count.set(self.count.get() - 1);
        // SAFETY: the ring's reference passes to the lease; the kernel is done with the buffer.
        Some(unsafe { Lease::from_block(block) })
    }

    /// Takes the ring away from the kernel and gives its buffers back. `leak`: the kernel may still write to them.
    pub(super) fn close(&self, ring: &Ring, leak: bool) {
        // Nothing is put in any more: the entries may be gone.
        self.target.set(0);
        if leak || ring.unregister_buffers(self.group).is_err() {
            return;
        }
        for block in self.inside.borrow_mut().drain(..).flatten() {
            // SAFETY: the reference is the ring's, which gives it up; the kernel does not know the buffer any more.
            unsafe { block::release(block) };
        }
        self.count.set(0);
        let bytes = (usize::from(self.mask) + 1) * size_of::<BufRingEntry>();
        // SAFETY: mapped in `new` with this length, and unregistered.
        unsafe { sys::unmap(self.entries.cast(), bytes) };
    }
}
