//! What is on disk under a name? Opens, checks and, when it is small, reads it; on the shard as long as that blocks nobody,
//! else on the pool.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use anygate_core::config::Symlinks;
use anygate_core::limits::SENDFILE_FROM;
use anygate_shard::file::{Dir, File, FileKind, Resolve, Stat};
use libc::{EACCES, EINVAL, ELOOP, ENAMETOOLONG, ENODEV, ENOENT, ENOTDIR, ENXIO, EPERM, EXDEV};

use super::site::Site;

/// What is there.
#[derive(Debug)]
pub(super) enum Found {
    /// A file to be served.
    File(Opened),
    /// A directory with an index, named without its slash.
    Directory,
    /// Nothing that is served.
    Missing,
    /// Something the process may not read.
    Forbidden,
}

/// A file to be served.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    /// What was known of it when its content was read.
    pub(super) stat: Stat,
    /// Its content, when it is small.
    pub(super) body: Option<Vec<u8>>,
    /// Its name below the directory: for a directory, the index's.
    pub(super) name: Vec<u8>,
}

/// Tries to read a small file that changes while it is read.
const READ_TRIES: usize = 3;
/// Tries of an open that the kernel could not finish because of renames or mounts under way.
const OPEN_TRIES: usize = 8;

/// Looks for `name` (see [`name::on_disk`](super::name::on_disk)) below `dir`. With `cached`, `WouldBlock` when that would
/// wait for a disk.
///
/// # Errors
/// What has nothing to do with the name: out of descriptors or memory, a broken disk.
pub(super) fn look(site: &Site, dir: &Dir, name: &[u8], cached: bool) -> io::Result<Found> {
    if let Some(only) = &site.only {
        return file(site, dir, only.as_bytes(), cached);
    }
    if !name.is_empty() && !name.ends_with(b"/") {
        let found = file(site, dir, name, cached)?;
        if !matches!(found, Found::Directory) {
            return Ok(found);
        }
        let index = index(site, dir, &[name, b"/"].concat(), cached)?;
        return Ok(if matches!(index, Found::File(_)) { Found::Directory } else { Found::Missing });
    }
    index(site, dir, name, cached)
}

/// Opens one file below the directory, as the site lets links be followed.
pub(super) fn open(site: &Site, dir: &Dir, name: &[u8], cached: bool) -> io::Result<File> {
    let path = OsStr::from_bytes(name);
    let how = match site.symlinks {
        Symlinks::Inside => Resolve { no_symlinks: false, cached },
        Symlinks::Deny => Resolve { no_symlinks: true, cached },
        Symlinks::Follow if cached => return Err(io::ErrorKind::WouldBlock.into()),
        Symlinks::Follow => {
            // Opening a pipe would wait for its writer.
            let path = site.root.join(path);
            let kind = path.metadata()?.file_type();
            return if kind.is_file() || kind.is_dir() {
                File::open(path)
            } else {
                Err(io::ErrorKind::NotFound.into())
            };
        }
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match dir.open_beneath(path, how) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !cached && tries < OPEN_TRIES => {}
            result => return result,
        }
    }
}

fn index(site: &Site, dir: &Dir, name: &[u8], cached: bool) -> io::Result<Found> {
    for index in &site.index {
        match file(site, dir, &[name, index.as_bytes()].concat(), cached)? {
            Found::Missing | Found::Directory => {}
            found => return Ok(found),
        }
    }
    Ok(Found::Missing)
}

fn file(site: &Site, dir: &Dir, name: &[u8], cached: bool) -> io::Result<Found> {
    let file = match open(site, dir, name, cached) {
        Ok(file) => file,
        // Kernels before 5.12 know no look at the cache alone.
        Err(error) if cached && error.raw_os_error() == Some(EINVAL) => return Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => return refused(error),
    };
    let stat = *file.stat();
    match stat.kind {
        FileKind::Regular => {}
        FileKind::Directory => return Ok(Found::Directory),
        FileKind::Other => return Ok(Found::Missing),
    }
    if cached && site.looks_twice() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    if !site.allows(stat.device, stat.inode) {
        return Ok(Found::Missing);
    }
    if stat.len >= SENDFILE_FROM {
        return Ok(Found::File(Opened { file, stat, body: None, name: name.to_vec() }));
    }
    if cached && !file.is_in_memory(0, stat.len).unwrap_or(false) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let (stat, body) = read(&file, stat)?;
    Ok(Found::File(Opened { file, stat, body, name: name.to_vec() }))
}

/// What an error of opening says about the name.
fn refused(error: io::Error) -> io::Result<Found> {
    match error.raw_os_error() {
        Some(ENOENT | ENOTDIR | ENAMETOOLONG | ELOOP | EXDEV | EINVAL | ENXIO | ENODEV) => Ok(Found::Missing),
        Some(EACCES | EPERM) => Ok(Found::Forbidden),
        None if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => Ok(Found::Missing),
        _ => Err(error),
    }
}

/// Reads a small file whole, and again when it changed meanwhile; no content when it became large.
fn read(file: &File, mut stat: Stat) -> io::Result<(Stat, Option<Vec<u8>>)> {
    let mut tries = 0;
    loop {
        tries += 1;
        // One byte more than there should be, so that growth shows.
        let mut body = vec![0; stat.len as usize + 1];
        let read = file.read_at(&mut body, 0)?;
        let after = file.stat_again()?;
        if read as u64 == stat.len && is_same(&after, &stat) || tries == READ_TRIES {
            body.truncate(read.min(stat.len as usize));
            stat.len = body.len() as u64;
            body.shrink_to_fit();
            return Ok((stat, Some(body)));
        }
        stat = after;
        if stat.len >= SENDFILE_FROM {
            return Ok((stat, None));
        }
    }
}

/// Whether both describe the same content of the same file, as far as times tell.
pub(super) fn is_same(a: &Stat, b: &Stat) -> bool {
    let key = |s: &Stat| (s.device, s.inode, s.len, s.modified, s.modified_nanos, s.changed, s.changed_nanos, s.kind);
    key(a) == key(b)
}
