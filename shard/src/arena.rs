//! Which buffers a shard has, and who may take one.

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;

use crate::block::{Block, Origin};
use crate::lease::Lease;
use crate::poison;

/// How large a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// 4 KiB: request heads.
    Head = 0,
    /// 18.5 KiB: one TLS record and its frame.
    Tls = 1,
    /// 64 KiB: bodies.
    Bulk = 2,
    /// 256 KiB: bodies known to be large.
    Large = 3,
}

impl Class {
    /// Every class, smallest first.
    pub const ALL: [Class; CLASSES] = [Class::Head, Class::Tls, Class::Bulk, Class::Large];

    /// Bytes in a buffer of this class.
    pub const fn size(self) -> usize {
        match self {
            Class::Head => 4 << 10,
            Class::Tls => 18_944,
            Class::Bulk => 64 << 10,
            Class::Large => 256 << 10,
        }
    }
}

/// The number of classes.
pub(crate) const CLASSES: usize = 4;
/// Memory is asked of the kernel in regions of about this many bytes.
const REGION: usize = 1 << 20;
/// Memory of free buffers that a class keeps; what comes back beyond that goes to the kernel.
const KEPT: usize = 16 << 20;
/// Buffers of a class whose memory goes to the kernel at once when free memory is looked through: some 100 µs of work.
const TRIMMED: usize = 64;

/// How many buffers of each class a shard may lend, and how many of these only favoured sockets (connections to
/// upstreams) and output get. In the order of [`Class::ALL`]; each at most 65,535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaLimits {
    /// Buffers of each class.
    pub buffers: [u16; CLASSES],
    /// The part of them that request reads cannot take.
    pub reserve: [u16; CLASSES],
}

impl Default for ArenaLimits {
    fn default() -> Self {
        ArenaLimits { buffers: [u16::MAX, 16_384, 16_384, 1024], reserve: [4096, 2048, 2048, 128] }
    }
}

/// One shard's buffers. The memory outlives this handle for as long as a buffer is on loan.
pub(crate) struct Arena(NonNull<Inner>);

/// What an arena is made of. Kept alive by `holders`: the handle and every block on loan.
pub(crate) struct Inner {
    holders: Cell<usize>,
    classes: [Shelf; CLASSES],
    /// Buffers given back since the start: a change tells those who wait that it is worth another try.
    returned: Cell<u64>,
}

#[derive(Default)]
struct Shelf {
    limit: u16,
    reserve: u16,
    out: Cell<u16>,
    /// Free blocks; the one that came back last goes out first.
    free: RefCell<Vec<NonNull<Block>>>,
    /// As many as these may be.
    kept: usize,
    /// How many there were when they were last looked through.
    seen: Cell<usize>,
    /// Free blocks beyond those, whose memory the kernel has.
    cold: RefCell<Vec<NonNull<Block>>>,
    /// Every block by its id.
    blocks: RefCell<Vec<NonNull<Block>>>,
    regions: RefCell<Vec<(NonNull<u8>, usize)>>,
}

impl Arena {
    pub(crate) fn new(limits: ArenaLimits) -> Arena {
        let classes = std::array::from_fn(|class| Shelf {
            limit: limits.buffers[class],
            reserve: limits.reserve[class].min(limits.buffers[class]),
            kept: KEPT / Class::ALL[class].size(),
            ..Shelf::default()
        });
        let inner = Box::new(Inner { holders: Cell::new(1), classes, returned: Cell::new(0) });
        Arena(NonNull::from(Box::leak(inner)))
    }

    fn inner(&self) -> &Inner {
        // SAFETY: the handle is one of the holders that keep `Inner` alive.
        unsafe { self.0.as_ref() }
    }

    /// A buffer on loan, empty; `None` when the class is used up, for favoured takers or for all others.
    pub(crate) fn take(&self, class: Class, favoured: bool) -> Option<Lease> {
        let inner = self.inner();
        let shelf = &inner.classes[class as usize];
        let limit = if favoured { shelf.limit } else { shelf.limit - shelf.reserve };
        if shelf.out.get() >= limit {
            return None;
        }
        let mut block = shelf.free.borrow_mut().pop();
        if block.is_none() {
            block = self.fetch(class);
        }
        let block = block?;
        shelf.out.set(shelf.out.get() + 1);
        inner.holders.set(inner.holders.get() + 1);
        // SAFETY: blocks are freed with the arena only; this one came off the free list, so nobody else refers to it,
        // and the one reference set here is the lease's.
        unsafe {
            debug_assert_eq!(block.as_ref().references.get(), 0);
            block.as_ref().references.set(1);
            poison::lift(block.as_ref().memory, block.as_ref().capacity as usize);
            Some(Lease::from_block(block))
        }
    }

    /// Buffers of all classes on loan.
    pub(crate) fn out(&self) -> u64 {
        self.inner().classes.iter().map(|shelf| u64::from(shelf.out.get())).sum()
    }

    /// A number that changes whenever a buffer comes back.
    pub(crate) fn returned(&self) -> u64 {
        self.inner().returned.get()
    }

    /// Gives the kernel memory of buffers that were free when this was last asked and are free now, half of it each time: what
    /// a burst took comes back, and what is in use now and then stays.
    pub(crate) fn trim(&self) {
        for shelf in &self.inner().classes {
            let mut free = shelf.free.borrow_mut();
            let idle = free.len().min(shelf.seen.get());
            // The one that was used last is the last.
            for block in free.drain(..idle.div_ceil(2).min(TRIMMED)) {
                // SAFETY: a free block's memory is mapped while the arena lives, and nobody refers to it.
                unsafe { crate::sys::discard(block.as_ref().memory, block.as_ref().capacity as usize) };
                shelf.cold.borrow_mut().push(block);
            }
            shelf.seen.set(free.len());
        }
    }

    /// How many buffers of a class could be taken now.
    pub(crate) fn available(&self, class: Class, favoured: bool) -> u32 {
        let shelf = &self.inner().classes[class as usize];
        let limit = if favoured { shelf.limit } else { shelf.limit - shelf.reserve };
        u32::from(limit.saturating_sub(shelf.out.get()))
    }

    /// A block whose memory the kernel has, or a new one.
    #[cold]
    fn fetch(&self, class: Class) -> Option<NonNull<Block>> {
        let shelf = &self.inner().classes[class as usize];
        let cold = shelf.cold.borrow_mut().pop();
        cold.or_else(|| self.grow(class).ok().and_then(|()| shelf.free.borrow_mut().pop()))
    }

    fn grow(&self, class: Class) -> io::Result<()> {
        let shelf = &self.inner().classes[class as usize];
        let mut blocks = shelf.blocks.borrow_mut();
        let more = (REGION / class.size()).min(usize::from(shelf.limit) - blocks.len());
        if more == 0 {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let length = more * class.size();
        let region = crate::sys::map_anonymous(length)?;
        shelf.regions.borrow_mut().push((region, length));
        let mut free = shelf.free.borrow_mut();
        let first = blocks.len();
        for at in 0..more {
            // SAFETY: `at * size` lies inside the region of `more * size` bytes just mapped.
            let memory = unsafe { region.add(at * class.size()) };
            // SAFETY: nobody has it before it is lent.
            unsafe { poison::lay(memory, class.size()) };
            let id = u16::try_from(first + at).expect("a class has at most 65,535 buffers");
            let origin = Origin::Arena { arena: self.0, class: class as u8, id };
            let block = Block { memory, capacity: class.size() as u32, references: Cell::new(0), origin };
            blocks.push(NonNull::from(Box::leak(Box::new(block))));
        }
        free.extend(blocks[first..].iter().rev());
        Ok(())
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the handle is one holder and goes away.
        unsafe { Inner::let_go(self.0) };
    }
}

impl Inner {
    /// Takes back a block whose last reference is gone.
    ///
    /// # Safety
    /// `block` belongs to `arena`'s `class`, was on loan and has no reference left; called on the arena's thread.
    pub(crate) unsafe fn give_back(arena: NonNull<Inner>, block: NonNull<Block>, class: u8) {
        // SAFETY: the loan that ends is one of the holders that keep `Inner` alive.
        let inner = unsafe { arena.as_ref() };
        let shelf = &inner.classes[usize::from(class)];
        // SAFETY: the block is alive until its arena goes, and its last reference is gone.
        unsafe { poison::lay(block.as_ref().memory, block.as_ref().capacity as usize) };
        let mut free = shelf.free.borrow_mut();
        if free.len() < shelf.kept {
            free.push(block);
        } else {
            // SAFETY: as above: nobody refers to the block's memory, and whoever gets it next asks for nothing in it.
            unsafe { crate::sys::discard(block.as_ref().memory, block.as_ref().capacity as usize) };
            shelf.cold.borrow_mut().push(block);
        }
        drop(free);
        shelf.out.set(shelf.out.get() - 1);
        inner.returned.set(inner.returned.get() + 1);
        // SAFETY: as above; this loan is over.
        unsafe { Inner::let_go(arena) };
    }

    /// # Safety
    /// The caller is one of the holders, and is none any more after the call.
    unsafe fn let_go(arena: NonNull<Inner>) {
        // SAFETY: the caller is a holder, so `Inner` is alive.
        let left = unsafe {
            let holders = &arena.as_ref().holders;
            holders.set(holders.get() - 1);
            holders.get()
        };
        if left == 0 {
            // SAFETY: `Inner` was leaked from a Box in `Arena::new`; the last holder is gone, so this is the only one
            // to look at it.
            drop(unsafe { Box::from_raw(arena.as_ptr()) });
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for shelf in &self.classes {
            for block in shelf.blocks.borrow_mut().drain(..) {
                // SAFETY: every block was leaked from a Box in `grow`, and none is on loan.
                drop(unsafe { Box::from_raw(block.as_ptr()) });
            }
            for (region, length) in shelf.regions.borrow_mut().drain(..) {
                // SAFETY: mapped in `grow` with this length; no block in it is on loan.
                unsafe { poison::lift(region, length) };
                // SAFETY: mapped in `grow` with this length; no block in it is on loan.
                unsafe { crate::sys::unmap(region, length) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Arena {
        Arena::new(ArenaLimits { buffers: [3, 1, 1, 1], reserve: [1, 0, 0, 0] })
    }

    #[test]
    fn the_reserve_is_for_the_favoured_alone() {
        let arena = tiny();
        let one = arena.take(Class::Head, false).unwrap();
        let _two = arena.take(Class::Head, false).unwrap();
        assert!(arena.take(Class::Head, false).is_none());
        let _three = arena.take(Class::Head, true).unwrap();
        assert!(arena.take(Class::Head, true).is_none());
        drop(one);
        assert!(arena.take(Class::Head, false).is_none());
        assert!(arena.take(Class::Head, true).is_some());
    }

    #[test]
    fn a_buffer_comes_back_when_its_last_part_is_dropped() {
        let arena = tiny();
        let mut lease = arena.take(Class::Bulk, false).unwrap();
        lease.extend_from_slice(b"head and body");
        let head = lease.split_to(4);
        let body = lease.freeze();
        assert_eq!(arena.out(), 1);
        drop(head);
        assert_eq!(arena.out(), 1);
        drop(body);
        assert_eq!(arena.out(), 0);
        assert_eq!(arena.returned(), 1);
    }

    #[test]
    fn memory_beyond_what_a_class_keeps_goes_back_to_the_kernel() {
        let arena = Arena::new(ArenaLimits { buffers: [0, 0, 400, 0], reserve: [0; 4] });
        let resident = |leases: &[(usize, usize)]| {
            let in_memory = |&&(at, len): &&(usize, usize)| {
                let mut page = 0u8;
                let at = std::ptr::with_exposed_provenance_mut(at);
                // SAFETY: the kernel writes one byte for the one page asked about, which is mapped while the arena lives.
                let rc = unsafe { libc::mincore(at, len.min(4096), &raw mut page) };
                rc == 0 && page & 1 == 1
            };
            leases.iter().filter(in_memory).count()
        };
        let mut pages = Vec::new();
        for _ in 0..2 {
            let mut leases: Vec<Lease> = (0..400).map(|_| arena.take(Class::Bulk, false).unwrap()).collect();
            for lease in &mut leases {
                lease.extend_from_slice(&[b'x'; 64 << 10]);
            }
            pages = leases.iter().map(|lease| (lease.filled().as_ptr().expose_provenance(), 4096)).collect();
            assert_eq!(resident(&pages), 400);
            drop(leases);
            assert_eq!(resident(&pages), KEPT / (64 << 10), "what came back beyond that is given back");
        }
        assert_eq!(pages.len(), 400, "and is lent again");
    }

    #[test]
    fn what_a_burst_took_goes_back_and_what_is_used_stays() {
        let arena = Arena::new(ArenaLimits { buffers: [0, 0, 16, 0], reserve: [0; 4] });
        let shelf = || &arena.inner().classes[Class::Bulk as usize];
        let burst: Vec<Lease> = (0..16).map(|_| arena.take(Class::Bulk, false).unwrap()).collect();
        drop(burst);
        arena.trim();
        assert_eq!(shelf().cold.borrow().len(), 0, "it was in use since the last look");
        for left in [8, 4, 2, 1, 0] {
            let used = arena.take(Class::Bulk, false).unwrap();
            drop(used);
            arena.trim();
            assert_eq!(shelf().free.borrow().len(), left);
        }
        let all: Vec<Lease> = (0..16).map(|_| arena.take(Class::Bulk, false).unwrap()).collect();
        assert_eq!(all.len(), 16, "it is lent again");
    }

    #[test]
    fn a_lease_outlives_its_arena() {
        let arena = tiny();
        let mut lease = arena.take(Class::Head, false).unwrap();
        drop(arena);
        lease.extend_from_slice(b"still here");
        assert_eq!(lease.filled(), b"still here");
    }
}
