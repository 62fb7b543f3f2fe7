//! What memory is behind leases and bytes, and when is it given back: one reference-counted block a buffer.

use std::cell::Cell;
use std::ptr::NonNull;

use crate::arena::Inner;

/// The header of one buffer. It lives apart from the buffer, which the kernel may be writing.
pub(crate) struct Block {
    pub(crate) memory: NonNull<u8>,
    pub(crate) capacity: u32,
    /// How many leases and bytes share this block; 0 while it is free.
    pub(crate) references: Cell<u32>,
    pub(crate) origin: Origin,
}

/// Where a block's memory came from, and so where it returns to.
#[derive(Clone, Copy)]
pub(crate) enum Origin {
    /// The arena's table of `class`, entry `id`.
    Arena { arena: NonNull<Inner>, class: u8, id: u16 },
    /// A vector taken over; its capacity is the block's.
    Heap,
}

/// Makes a heap block of a vector's memory with one reference. All of its capacity must be initialised or unused.
pub(crate) fn from_vec(vec: Vec<u8>) -> NonNull<Block> {
    let mut vec = std::mem::ManuallyDrop::new(vec);
    let capacity = u32::try_from(vec.capacity()).expect("a buffer is smaller than 4 GiB");
    let memory = NonNull::new(vec.as_mut_ptr()).unwrap_or(NonNull::dangling());
    let block = Box::new(Block { memory, capacity, references: Cell::new(1), origin: Origin::Heap });
    NonNull::from(Box::leak(block))
}

/// Adds a reference.
///
/// # Safety
/// The caller holds a reference to `block` already, on the block's own thread.
pub(crate) unsafe fn retain(block: NonNull<Block>) {
    // SAFETY: a block with a reference is alive; the caller holds one.
    let references = unsafe { &block.as_ref().references };
    references.set(references.get().checked_add(1).expect("fewer than 2^32 references to one buffer"));
}

/// Gives one reference back; the last returns the memory to its origin.
///
/// # Safety
/// The caller holds a reference to `block`, on the block's own thread, and never uses it again.
pub(crate) unsafe fn release(block: NonNull<Block>) {
    // SAFETY: a block with a reference is alive; the caller holds one.
    let header = unsafe { block.as_ref() };
    let left = header.references.get() - 1;
    header.references.set(left);
    if left > 0 {
        return;
    }
    match header.origin {
        // SAFETY: an arena outlives its blocks on loan (it counts them), and this one was on loan until now.
        Origin::Arena { arena, class, .. } => unsafe { Inner::give_back(arena, block, class) },
        Origin::Heap => {
            // SAFETY: the block was leaked from a Box in `from_vec`, its memory from a Vec of this capacity; nobody
            // refers to either any more.
            unsafe {
                let block = Box::from_raw(block.as_ptr());
                drop(Vec::from_raw_parts(block.memory.as_ptr(), 0, block.capacity as usize));
            }
        }
    }
}
