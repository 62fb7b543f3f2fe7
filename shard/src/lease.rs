//! Who may write a buffer: the one holder of its lease.

use std::fmt;
use std::ptr::NonNull;
use std::slice;

use crate::arena::Class;
use crate::block::{self, Block, Origin};
use crate::bytes::Bytes;

/// One buffer on loan, with a single owner. Its front part is filled, the rest is room to write.
///
/// A filled front part can be frozen and split off; frozen and writable bytes never overlap. Not `Send`: a buffer stays
/// on the shard that lent it, and returns there when its last part is dropped.
pub struct Lease {
    block: NonNull<Block>,
    start: u32,
    len: u32,
}

const _: () = assert!(size_of::<Option<Lease>>() == 16);

impl Lease {
    /// A lease over heap memory of exactly `capacity` bytes, outside of any arena.
    pub fn with_capacity(capacity: usize) -> Lease {
        let mut vec = Vec::new();
        vec.reserve_exact(capacity);
        vec.resize(vec.capacity(), 0);
        Lease { block: block::from_vec(vec), start: 0, len: 0 }
    }

    /// The lease that owns a block's one reference, empty.
    ///
    /// # Safety
    /// The block has one reference, which becomes the lease's, and all of its memory is initialised.
    pub(crate) unsafe fn from_block(block: NonNull<Block>) -> Lease {
        Lease { block, start: 0, len: 0 }
    }

    fn block(&self) -> &Block {
        // SAFETY: the lease holds a reference, which keeps the block alive.
        unsafe { self.block.as_ref() }
    }

    /// Filled bytes.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether nothing is filled.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes this lease can hold: filled and spare.
    pub fn capacity(&self) -> usize {
        (self.block().capacity - self.start) as usize
    }

    /// Bytes of room behind the filled ones.
    pub fn spare(&self) -> usize {
        self.capacity() - self.len()
    }

    /// The arena's class, or `None` for heap memory.
    pub fn class(&self) -> Option<Class> {
        match self.block().origin {
            Origin::Arena { class, .. } => Some(Class::ALL[usize::from(class)]),
            Origin::Heap => None,
        }
    }

    pub(crate) fn id(&self) -> Option<u16> {
        match self.block().origin {
            Origin::Arena { id, .. } => Some(id),
            Origin::Heap => None,
        }
    }

    /// The filled bytes.
    pub fn filled(&self) -> &[u8] {
        // SAFETY: start + len is within the block; arena memory is initialised from the start; bytes from `start` on
        // are this lease's alone.
        unsafe { slice::from_raw_parts(self.block().memory.add(self.start as usize).as_ptr(), self.len()) }
    }

    /// The filled bytes, to change in place.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `filled`, and `&mut self` makes this the only access to the lease's part.
        unsafe { slice::from_raw_parts_mut(self.block().memory.add(self.start as usize).as_ptr(), self.len()) }
    }

    /// The room behind the filled bytes. What it contains is unspecified, but initialised.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let at = (self.start + self.len) as usize;
        let room = self.spare();
        // SAFETY: the room lies within the block, behind every frozen part, initialised; `&mut self` is exclusive.
        unsafe { slice::from_raw_parts_mut(self.block().memory.add(at).as_ptr(), room) }
    }

    /// Where the kernel writes next.
    pub(crate) fn spare_ptr(&self) -> *mut u8 {
        // SAFETY: start + len is at most the capacity, so the result is within or one past the block.
        unsafe { self.block().memory.add((self.start + self.len) as usize).as_ptr() }
    }

    /// Counts `bytes` of the room as filled.
    ///
    /// # Panics
    /// When there is less room.
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.spare());
        self.len += bytes as u32;
    }

    /// Copies as much as there is room for, and says how much that was.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let copied = bytes.len().min(spare.len());
        spare[..copied].copy_from_slice(&bytes[..copied]);
        self.len += copied as u32;
        copied
    }

    /// Lets `write` fill the room; it returns how many bytes it wrote.
    pub fn write_with(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let written = write(self.spare_mut());
        self.advance(written);
        written
    }

    /// Keeps the first `len` filled bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// Forgets the filled bytes. The whole buffer is room again when no frozen part of it is left.
    pub fn clear(&mut self) {
        self.len = 0;
        if self.is_unique() {
            self.start = 0;
        }
    }

    /// Forgets the first `bytes` filled bytes.
    ///
    /// # Panics
    /// When fewer are filled.
    pub fn consume(&mut self, bytes: usize) {
        assert!(bytes <= self.len());
        self.start += bytes as u32;
        self.len -= bytes as u32;
    }

    /// Moves the filled bytes to the buffer's front to make room behind them. Does nothing, and says so by `false`,
    /// while a frozen part lives.
    pub fn compact(&mut self) -> bool {
        if !self.is_unique() {
            return false;
        }
        if self.start > 0 {
            let memory = self.block().memory.as_ptr();
            // SAFETY: both ranges are within the block, which nobody else refers to; `copy` allows overlap.
            unsafe { std::ptr::copy(memory.add(self.start as usize), memory, self.len()) };
            self.start = 0;
        }
        true
    }

    /// Whether no frozen part of this buffer is alive.
    pub fn is_unique(&self) -> bool {
        self.block().references.get() == 1
    }

    /// All filled bytes, immutable from now on.
    pub fn freeze(self) -> Bytes {
        let lease = std::mem::ManuallyDrop::new(self);
        // SAFETY: the lease's reference passes to the bytes; the range is filled, and nobody writes it any more.
        unsafe { Bytes::from_block(lease.block, lease.start, lease.len) }
    }

    /// The first `bytes` filled bytes, immutable; the lease keeps the rest.
    ///
    /// # Panics
    /// When fewer are filled.
    pub fn split_to(&mut self, bytes: usize) -> Bytes {
        assert!(bytes <= self.len());
        // SAFETY: the lease holds a reference; the new one is the bytes'. The range is filled, and from here on the
        // lease reads and writes behind it only.
        let front = unsafe {
            block::retain(self.block);
            Bytes::from_block(self.block, self.start, bytes as u32)
        };
        self.consume(bytes);
        front
    }

    /// The block's reference, without the lease.
    pub(crate) fn into_block(self) -> NonNull<Block> {
        std::mem::ManuallyDrop::new(self).block
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // SAFETY: the lease holds a reference and gives it back once; a lease never leaves its thread.
        unsafe { block::release(self.block) };
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("len", &self.len).field("spare", &self.spare()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_front_keeps_its_bytes_while_the_rest_is_written() {
        let mut lease = Lease::with_capacity(16);
        assert_eq!(lease.extend_from_slice(b"abcdef"), 6);
        let front = lease.split_to(3);
        assert!(!lease.compact());
        lease.filled_mut()[0] = b'D';
        lease.extend_from_slice(b"gh");
        assert_eq!(&*front, b"abc");
        assert_eq!(lease.filled(), b"Defgh");
        drop(front);
        assert!(lease.compact());
        assert_eq!(lease.spare(), 11);
        assert_eq!(lease.filled(), b"Defgh");
    }

    #[test]
    fn a_full_lease_takes_no_more() {
        let mut lease = Lease::with_capacity(4);
        assert_eq!(lease.extend_from_slice(b"abcdef"), 4);
        assert_eq!(lease.spare(), 0);
        assert_eq!(lease.extend_from_slice(b"g"), 0);
        lease.clear();
        assert_eq!(lease.spare(), 4);
    }
}
