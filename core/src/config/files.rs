//! Where do configuration files come from? From disk, or from wherever a test has them.

use std::io::{self, Read};
use std::path::Path;

use crate::limits;

/// Gives the loader files; a test or a fuzzer gives texts instead.
pub trait Files {
    /// The bytes of a file.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The names in a folder, in any order.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being read.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
}

/// The disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    /// At most one byte more than [`limits::CONFIG_FILE_SIZE`], which tells the loader that it is too long.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(limits::CONFIG_FILE_SIZE as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let names = std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name()));
        names.filter_map(|name| name.map(|name| name.into_string().ok()).transpose()).collect()
    }
}
