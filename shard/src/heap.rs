//! How does memory that was freed go back to the kernel?

/// Gives back the pages of the heap that nothing uses. Takes up to a millisecond for each MiB, in which other threads that
/// allocate may wait: for after a large change, not for the way of a request. Does nothing where the C library is not
/// glibc, which keeps what is freed within its arenas.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and may be called by any thread at any time (malloc_trim(3), MT-Safe).
    unsafe {
        libc::malloc_trim(0);
    }
}
