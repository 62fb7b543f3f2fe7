//! Which memory may nobody touch until it is lent? Tells the address sanitizer, in builds that have one (`cargo xtask asan`): a
//! buffer that was given back is mapped all the same, so it would see no wrong in its use.

use std::ptr::NonNull;

// SAFETY: the sanitizer's own functions, as its interface header declares them; they are in every build with this switch.
#[cfg(anygate_asan)]
unsafe extern "C" {
    fn __asan_poison_memory_region(memory: *const std::ffi::c_void, length: usize);
    fn __asan_unpoison_memory_region(memory: *const std::ffi::c_void, length: usize);
}

/// From now on nobody may touch it.
///
/// # Safety
/// The memory is mapped, and nobody refers to it.
#[inline]
pub(crate) unsafe fn lay(memory: NonNull<u8>, length: usize) {
    #[cfg(anygate_asan)]
    // SAFETY: marks shadow memory only, of a range that is mapped, as the caller promises.
    unsafe {
        __asan_poison_memory_region(memory.as_ptr().cast(), length);
    }
    let _ = (memory, length);
}

/// It may be touched again.
///
/// # Safety
/// The memory is mapped.
#[inline]
pub(crate) unsafe fn lift(memory: NonNull<u8>, length: usize) {
    #[cfg(anygate_asan)]
    // SAFETY: marks shadow memory only, of a range that is mapped, as the caller promises.
    unsafe {
        __asan_unpoison_memory_region(memory.as_ptr().cast(), length);
    }
    let _ = (memory, length);
}
