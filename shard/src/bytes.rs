//! What leaves: immutable bytes that are cheap to clone and to slice, whoever owns the memory.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, Deref, RangeBounds};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use crate::block::{self, Block};

/// Immutable bytes: static, a part of a lease's buffer, a shared image, or a vector. Cloning copies no bytes. Not `Send`.
pub struct Bytes {
    at: NonNull<u8>,
    len: u32,
    /// The length of the whole image, when the owner is one.
    whole: u32,
    /// A `Block`, the first byte of an `Arc<[u8]>`, or nothing.
    owner: *const (),
    kind: Kind,
    not_send: PhantomData<*const ()>,
}

const _: () = assert!(size_of::<Bytes>() <= 32);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Static,
    Block,
    Image,
}

impl Bytes {
    /// No bytes.
    pub const fn empty() -> Bytes {
        Bytes::from_static(b"")
    }

    /// Bytes that are part of the program. At most 4 GiB.
    pub const fn from_static(bytes: &'static [u8]) -> Bytes {
        assert!(bytes.len() <= u32::MAX as usize);
        let at = NonNull::from_ref(bytes).cast();
        let len = bytes.len() as u32;
        Bytes { at, len, whole: 0, owner: ptr::null(), kind: Kind::Static, not_send: PhantomData }
    }

    /// # Safety
    /// One reference of the block passes to the result; the range is within it, filled, and written by nobody.
    pub(crate) unsafe fn from_block(block: NonNull<Block>, start: u32, len: u32) -> Bytes {
        // SAFETY: the block is alive by the reference the caller hands over, and the range is within it.
        let at = unsafe { block.as_ref().memory.add(start as usize) };
        let owner = block.as_ptr().cast_const().cast();
        Bytes { at, len, whole: 0, owner, kind: Kind::Block, not_send: PhantomData }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A part of these bytes.
    ///
    /// # Panics
    /// When the range is not within them.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Bytes {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&end) => end + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len(),
        };
        assert!(start <= end && end <= self.len());
        let mut part = self.clone();
        part.narrow(start, end - start);
        part
    }

    /// The first `bytes` bytes; `self` keeps the rest.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn split_to(&mut self, bytes: usize) -> Bytes {
        let front = self.slice(..bytes);
        self.advance(bytes);
        front
    }

    /// Forgets the first `bytes` bytes.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.len());
        self.narrow(bytes, self.len() - bytes);
    }

    /// Keeps the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.narrow(0, len.min(self.len()));
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        *self = Bytes::empty();
    }

    fn narrow(&mut self, start: usize, len: usize) {
        debug_assert!(start + len <= self.len());
        // SAFETY: the callers keep start + len within the present range.
        self.at = unsafe { self.at.add(start) };
        self.len = len as u32;
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Bytes::empty()
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the owner keeps the range alive and nobody writes it.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), self.len as usize) }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Clone for Bytes {
    fn clone(&self) -> Self {
        match self.kind {
            Kind::Static => {}
            // SAFETY: a block's bytes hold a reference to it, on its own thread (not `Send`).
            Kind::Block => unsafe { block::retain(NonNull::new_unchecked(self.owner.cast_mut().cast())) },
            // SAFETY: the pointer and length are what `Arc::into_raw` gave, and these bytes hold one count.
            Kind::Image => unsafe { Arc::increment_strong_count(image(self.owner, self.whole)) },
        }
        Bytes { ..*self }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        match self.kind {
            Kind::Static => {}
            // SAFETY: a block's bytes hold a reference and give it back once, on its own thread.
            Kind::Block => unsafe { block::release(NonNull::new_unchecked(self.owner.cast_mut().cast())) },
            // SAFETY: as in `clone`; this count is given back once.
            Kind::Image => unsafe { Arc::decrement_strong_count(image(self.owner, self.whole)) },
        }
    }
}

fn image(owner: *const (), whole: u32) -> *const [u8] {
    ptr::slice_from_raw_parts(owner.cast(), whole as usize)
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes)
    }
}

impl From<&'static str> for Bytes {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(vec: Vec<u8>) -> Self {
        let len = u32::try_from(vec.len()).expect("bytes are shorter than 4 GiB");
        // SAFETY: the new block has one reference, which passes to the bytes; its first `len` bytes are the vector's.
        unsafe { Bytes::from_block(block::from_vec(vec), 0, len) }
    }
}

impl From<Box<[u8]>> for Bytes {
    fn from(bytes: Box<[u8]>) -> Self {
        Bytes::from(Vec::from(bytes))
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Bytes::from(text.into_bytes())
    }
}

impl From<Arc<[u8]>> for Bytes {
    fn from(bytes: Arc<[u8]>) -> Self {
        let whole = u32::try_from(bytes.len()).expect("bytes are shorter than 4 GiB");
        let raw = Arc::into_raw(bytes);
        // SAFETY: `Arc::into_raw` never gives null.
        let at = unsafe { NonNull::new_unchecked(raw.cast::<u8>().cast_mut()) };
        Bytes { at, len: whole, whole, owner: raw.cast(), kind: Kind::Image, not_send: PhantomData }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_owner_gives_the_same_bytes_when_cloned_sliced_and_split() {
        let text = b"one two three";
        let image: Arc<[u8]> = Arc::from(&text[..]);
        let all = [Bytes::from_static(text), Bytes::from(text.to_vec()), Bytes::from(Arc::clone(&image))];
        for mut bytes in all {
            let copy = bytes.clone();
            let front = bytes.split_to(4);
            assert_eq!(&*front, b"one ");
            assert_eq!(&*bytes, b"two three");
            assert_eq!(&*bytes.slice(4..), b"three");
            drop(bytes);
            assert_eq!(&*copy, text);
        }
        assert_eq!(Arc::strong_count(&image), 1);
    }

    #[test]
    fn empty_bytes_own_nothing() {
        assert!(Bytes::empty().is_empty());
        assert!(Bytes::from(Vec::new()).slice(..).is_empty());
    }
}
