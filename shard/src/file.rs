//! Which file a path below a directory names, and what is in it.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::driver::sim::memory;
use crate::sys;

/// A directory that paths are opened below. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dir(Arc<OwnedFd>);

/// How a path below a directory is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resolve {
    /// Refuse every symbolic link (ELOOP). Otherwise links are followed as long as they stay below the directory.
    pub no_symlinks: bool,
    /// Look in the kernel's cache only: `WouldBlock` when the path is not there, to be opened on the pool instead.
    pub cached: bool,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A device, a pipe, a socket.
    Other,
}

/// What is known of a file since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Length in bytes.
    pub len: u64,
    /// Last change of its content: seconds since 1970.
    pub modified: i64,
    /// And nanoseconds.
    pub modified_nanos: u32,
    /// Last change of anything about it, which no tool can set to another time: seconds since 1970.
    pub changed: i64,
    /// And nanoseconds.
    pub changed_nanos: u32,
    /// Number within its device.
    pub inode: u64,
    /// The device.
    pub device: u64,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
}

/// An open file. Cheap to clone; may go to other threads.
#[derive(Clone)]
pub struct File(Arc<Opened>);

struct Opened {
    fd: OwnedFd,
    stat: Stat,
    /// True once it was found that nothing of it ever shows as being in memory.
    silent: AtomicBool,
}

impl Dir {
    /// Opens a directory to be the root of what it serves.
    ///
    /// # Errors
    /// What `open` says; `NotADirectory` for anything else.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Dir> {
        let path = c_path(path.as_ref())?;
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the path ends with a zero; the descriptor is new.
        let fd = unsafe { OwnedFd::from_raw_fd(sys::check(libc::open(path.as_ptr(), flags))?) };
        Ok(Dir(Arc::new(fd)))
    }

    /// Opens a file below the directory for reading. `.` is the directory itself. A relative path only; `..`, links
    /// and magic links that lead out are refused by the kernel (`openat2` with RESOLVE_BENEATH).
    ///
    /// # Errors
    /// EXDEV for a path that leads out, ELOOP for a refused link, `WouldBlock` when `cached` finds nothing, `NotFound` …
    pub fn open_beneath(&self, path: impl AsRef<Path>, how: Resolve) -> io::Result<File> {
        let path = c_path(path.as_ref())?;
        let mut resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
        if how.no_symlinks {
            resolve |= libc::RESOLVE_NO_SYMLINKS;
        }
        if how.cached {
            match memory::is_cold() {
                None => resolve |= libc::RESOLVE_CACHED,
                Some(true) => return Err(io::ErrorKind::WouldBlock.into()),
                Some(false) => {}
            }
        }
        let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
        // SAFETY: all-zero is a valid open_how.
        let mut open: libc::open_how = unsafe { std::mem::zeroed() };
        open.flags = flags as u64;
        open.resolve = resolve;
        // SAFETY: the path ends with a zero, the size is the structure's; the descriptor is new.
        let fd = unsafe {
            let fd = libc::syscall(
                libc::SYS_openat2,
                self.0.as_raw_fd(),
                path.as_ptr(),
                &raw const open,
                size_of::<libc::open_how>(),
            );
            OwnedFd::from_raw_fd(sys::check(fd as libc::c_int)?)
        };
        File::new(fd)
    }
}

impl File {
    /// Opens a file anywhere, for reading.
    ///
    /// # Errors
    /// What `open` says.
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        File::new(std::fs::File::open(path)?.into())
    }

    fn new(fd: OwnedFd) -> io::Result<File> {
        let stat = stat(&fd)?;
        Ok(File(Arc::new(Opened { fd, stat, silent: AtomicBool::new(false) })))
    }

    /// What was known when it was opened.
    pub fn stat(&self) -> &Stat {
        &self.0.stat
    }

    /// What is known now.
    ///
    /// # Errors
    /// What `fstat` says.
    pub fn stat_again(&self) -> io::Result<Stat> {
        stat(&self.0.fd)
    }

    /// Reads from `offset` on; fewer bytes than asked at the file's end only. Blocks when they are not in memory.
    ///
    /// # Errors
    /// What `pread` says.
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len() {
            let rest = &mut into[read..];
            let at = libc::off_t::try_from(offset + read as u64).map_err(|_| io::ErrorKind::InvalidInput)?;
            // SAFETY: the kernel writes at most `rest.len()` bytes to `rest`.
            let got = unsafe { libc::pread(self.as_raw_fd(), rest.as_mut_ptr().cast(), rest.len(), at) };
            match usize::try_from(got) {
                Ok(0) => break,
                Ok(got) => read += got,
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
        Ok(read)
    }

    /// Whether all of a range is in memory, so that sending it blocks nobody.
    ///
    /// # Errors
    /// `Unsupported` on kernels before 6.5, and once [`File::load`] has found that this file does not tell.
    pub fn is_in_memory(&self, offset: u64, length: u64) -> io::Result<bool> {
        const PAGE: u64 = 4096;
        #[repr(C)]
        struct Range {
            offset: u64,
            length: u64,
        }
        #[repr(C)]
        #[derive(Default)]
        struct Cached {
            cached: u64,
            dirty: u64,
            writeback: u64,
            evicted: u64,
            recently_evicted: u64,
        }
        if self.0.silent.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let end = offset.saturating_add(length).min(self.0.stat.len);
        if end <= offset {
            return Ok(true);
        }
        if let Some(cold) = memory::is_cold() {
            return Ok(!cold);
        }
        let (first, last) = (offset / PAGE, (end - 1) / PAGE);
        let range = Range { offset: first * PAGE, length: (last - first + 1) * PAGE };
        let mut cached = Cached::default();
        // SAFETY: both structures are the kernel's (struct cachestat_range, struct cachestat) and outlive the call.
        let rc = unsafe {
            libc::syscall(SYS_CACHESTAT, self.as_raw_fd(), &raw const range, &raw mut cached, 0u32) as libc::c_int
        };
        sys::check(rc).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOSYS | libc::EOPNOTSUPP) => io::ErrorKind::Unsupported.into(),
            _ => error,
        })?;
        Ok(cached.cached > last - first)
    }

    /// Brings a range into memory. Blocks: run it on the pool. Where none of it shows as being there afterwards, as with
    /// every file of an overlay, which most containers have, [`File::is_in_memory`] is not to be asked again.
    ///
    /// # Errors
    /// What `pread` says.
    pub fn load(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut scratch = vec![0; 128 << 10];
        let mut at = offset;
        let end = offset.saturating_add(length).min(self.0.stat.len);
        while at < end {
            let step = usize::try_from(end - at).unwrap_or(usize::MAX).min(scratch.len());
            let read = self.read_at(&mut scratch[..step], at)?;
            if read == 0 {
                break;
            }
            at += read as u64;
        }
        if at > offset && !self.is_in_memory(at - 1, 1).unwrap_or(true) {
            self.0.silent.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// `cachestat(2)` has the same number on every architecture.
const SYS_CACHESTAT: libc::c_long = 451;

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.0.fd.as_raw_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("stat", &self.0.stat).finish()
    }
}

fn stat(fd: &OwnedFd) -> io::Result<Stat> {
    // SAFETY: all-zero is a valid stat, which the kernel fills.
    let stat = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        sys::check(libc::fstat(fd.as_raw_fd(), &raw mut stat))?;
        stat
    };
    let kind = match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => FileKind::Regular,
        libc::S_IFDIR => FileKind::Directory,
        _ => FileKind::Other,
    };
    Ok(Stat {
        len: u64::try_from(stat.st_size).unwrap_or(0),
        modified: stat.st_mtime,
        modified_nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        changed: stat.st_ctime,
        changed_nanos: u32::try_from(stat.st_ctime_nsec).unwrap_or(0),
        inode: stat.st_ino,
        device: stat.st_dev,
        kind,
        mode: stat.st_mode & 0o7777,
    })
}

fn c_path(path: &Path) -> io::Result<std::ffi::CString> {
    std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_of_the_directory_is_opened() {
        let root = std::env::temp_dir().join(format!("anygate-file-{}", std::process::id()));
        std::fs::create_dir_all(root.join("www/sub")).unwrap();
        std::fs::write(root.join("secret"), "s").unwrap();
        std::fs::write(root.join("www/sub/page"), "0123456789").unwrap();
        for (link, to) in [("out", "../secret"), ("in", "sub/page"), ("abs", "/etc/passwd")] {
            let _ = std::fs::remove_file(root.join("www").join(link));
            std::os::unix::fs::symlink(to, root.join("www").join(link)).unwrap();
        }
        let dir = Dir::open(root.join("www")).unwrap();
        let any = Resolve::default();
        for path in ["../secret", "sub/../../secret", "out", "abs", "/etc/passwd"] {
            let error = dir.open_beneath(path, any).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{path}");
        }
        let page = dir.open_beneath("in", any).unwrap();
        assert_eq!((page.stat().len, page.stat().kind), (10, FileKind::Regular));
        let strict = Resolve { no_symlinks: true, ..any };
        assert_eq!(dir.open_beneath("in", strict).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert_eq!(dir.open_beneath("sub", any).unwrap().stat().kind, FileKind::Directory);
        assert_eq!(dir.open_beneath(".", any).unwrap().stat().kind, FileKind::Directory);
        assert_eq!(dir.open_beneath("none", any).unwrap_err().kind(), io::ErrorKind::NotFound);

        let mut part = [0; 6];
        assert_eq!(page.read_at(&mut part, 6).unwrap(), 4);
        assert_eq!(&part[..4], b"6789");
        page.load(0, 100).unwrap();
        assert!(page.is_in_memory(0, 10).is_ok_and(|all| all) || page.is_in_memory(0, 10).is_err());
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_file_that_never_shows_as_being_in_memory_is_asked_once() {
        // Files of sysfs have a length and no pages.
        let file = File::open("/sys/devices/system/cpu/online").unwrap();
        if file.is_in_memory(0, 1).is_ok() {
            assert!(!file.is_in_memory(0, 1).unwrap());
            file.load(0, 4096).unwrap();
        }
        assert_eq!(file.is_in_memory(0, 1).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
}
