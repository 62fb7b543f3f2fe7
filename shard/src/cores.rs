//! Which processor cores a thread may use, and how it stays on one.

use std::io;

/// The cores this process may use, in ascending order.
///
/// # Errors
/// What `sched_getaffinity` says.
pub fn allowed() -> io::Result<Vec<usize>> {
    // SAFETY: all-zero is a valid, empty cpu_set_t, and the kernel writes at most its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        crate::sys::check(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set))?;
        set
    };
    // SAFETY: CPU_ISSET reads within the set for every index below CPU_SETSIZE.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect())
}

/// Keeps the calling thread on `core`.
///
/// # Errors
/// `InvalidInput` for a core that does not exist or is not allowed.
pub fn pin(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the set is valid and the core is within it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        crate::sys::check(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_pinned_to_an_allowed_core_and_to_no_other() {
        std::thread::spawn(|| {
            let cores = allowed().unwrap();
            let last = *cores.last().unwrap();
            pin(last).unwrap();
            assert_eq!(allowed().unwrap(), [last]);
            assert!(pin(1023).is_err());
            assert!(pin(usize::MAX).is_err());
        })
        .join()
        .unwrap();
    }
}
