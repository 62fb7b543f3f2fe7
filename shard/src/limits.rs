//! How many descriptors and how much locked memory the process may have.

use std::io;

/// A resource limit of the process. `u64::MAX` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What holds now.
    pub soft: u64,
    /// How far `soft` may be raised without privilege.
    pub hard: u64,
}

/// Open descriptors (RLIMIT_NOFILE).
///
/// # Errors
/// What `getrlimit` says.
pub fn descriptors() -> io::Result<Limit> {
    get(libc::RLIMIT_NOFILE)
}

/// Bytes of locked memory (RLIMIT_MEMLOCK), which io_uring's rings count against.
///
/// # Errors
/// What `getrlimit` says.
pub fn locked_memory() -> io::Result<Limit> {
    get(libc::RLIMIT_MEMLOCK)
}

/// Raises the limit of open descriptors to the hard limit and says what holds then.
///
/// # Errors
/// What `setrlimit` says.
pub fn raise_descriptors() -> io::Result<Limit> {
    let limit = descriptors()?;
    if limit.soft < limit.hard {
        let raised = libc::rlimit { rlim_cur: limit.hard, rlim_max: limit.hard };
        // SAFETY: a valid rlimit.
        crate::sys::check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) })?;
    }
    descriptors()
}

fn get(resource: libc::__rlimit_resource_t) -> io::Result<Limit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the valid rlimit.
    crate::sys::check(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
    Ok(Limit { soft: limit.rlim_cur, hard: limit.rlim_max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_raised_to_the_hard_limit() {
        let limit = raise_descriptors().unwrap();
        assert_eq!(limit.soft, limit.hard);
        assert!(locked_memory().unwrap().hard > 0);
    }
}
