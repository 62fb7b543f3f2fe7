//! Where what came of orders is kept: written whole or not at all, read by nobody else, one process at a time.

use std::collections::hash_map::RandomState;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::BuildHasher as _;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anygate_proto::acme::{Entry, store};

use crate::compile::acme::FILE_MOST;

/// The file that whoever orders has locked.
const LOCK: &str = "lock";

/// The folder of the configuration, as one authority's things are kept in it.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    root: PathBuf,
    /// The authority's own folder, below it.
    folder: String,
}

impl Storage {
    /// In the folder `root` for the authority at `directory`.
    pub(super) fn new(root: &Path, directory: &str) -> Self {
        Self { root: root.to_owned(), folder: store::folder(directory) }
    }

    /// Makes the folders where they are not there.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.root.join(&self.folder))
    }

    /// Locks it against other processes, which is over when the file is dropped; none where another one has it.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        let path = self.root.join(&self.folder).join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// What the entry of this name holds; none where there is none.
    ///
    /// # Errors
    /// What the system says; it is too large.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.root.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(FILE_MOST + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > FILE_MOST {
            true => Err(io::Error::other(format!("larger than {} MiB", FILE_MOST >> 20))),
            false => Ok(Some(bytes)),
        }
    }

    /// True where others than its owner may read the entry of this name.
    pub(super) fn is_open_to_others(&self, name: &str) -> bool {
        fs::metadata(self.root.join(name)).is_ok_and(|facts| facts.permissions().mode() & 0o077 != 0)
    }

    /// Puts an entry in the place of what was there: after a crash it is the one or the other, whole.
    ///
    /// # Errors
    /// What the system says; what was there is still there.
    pub(super) fn write(&self, entry: &Entry) -> io::Result<()> {
        let path = self.root.join(&entry.name);
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
        // A hidden name, so that no rule that serves files shows it even for a moment, and one that nobody else writes to: a
        // task that was ended may be writing yet, and processes in two containers may have the same number.
        let new = folder.join(format!(".{name}.{:016x}", RandomState::new().hash_one(std::process::id())));
        let mode = if entry.secret { 0o600 } else { 0o644 };
        let written = (|| {
            let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&new)?;
            file.write_all(&entry.bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(folder)?.sync_all()
        })();
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTORY: &str = "https://ca.example/dir";

    fn entry(bytes: &[u8], secret: bool) -> Entry {
        Entry { name: format!("{}/a.pem", store::folder(DIRECTORY)), bytes: bytes.to_vec(), secret }
    }

    fn storage(what: &str) -> (PathBuf, Storage) {
        let root = std::env::temp_dir().join(format!("anygate-storage-{what}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        (root.clone(), Storage::new(&root, DIRECTORY))
    }

    #[test]
    fn what_is_written_is_read_by_its_owner_alone_and_replaced_whole() {
        let (root, storage) = storage("write");
        storage.make().unwrap();
        storage.make().unwrap();
        assert_eq!(storage.read(&entry(b"", true).name).unwrap(), None);
        for (bytes, secret) in [(&b"one"[..], true), (b"two, longer", true), (b"3", false)] {
            storage.write(&entry(bytes, secret)).unwrap();
            assert_eq!(storage.read(&entry(b"", true).name).unwrap().as_deref(), Some(bytes));
            let mode = fs::metadata(root.join(entry(b"", true).name)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, if secret { 0o600 } else { 0o644 });
            assert_eq!(storage.is_open_to_others(&entry(b"", true).name), !secret);
        }
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        let names: Vec<_> = fs::read_dir(root.join(store::folder(DIRECTORY))).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing else is left: {names:?}");
        fs::write(root.join("large"), vec![0; FILE_MOST as usize + 1]).unwrap();
        assert!(storage.read("large").is_err());
        let _ = fs::remove_dir_all(&root);
    }

    #[test]
    fn where_it_cannot_be_written_what_was_there_stays() {
        let (root, storage) = storage("refused");
        assert!(storage.write(&entry(b"x", true)).is_err(), "there is no folder");
        storage.make().unwrap();
        fs::create_dir_all(root.join(entry(b"", true).name).join("in the way")).unwrap();
        assert!(storage.write(&entry(b"x", true)).is_err());
        let names: Vec<_> = fs::read_dir(root.join(store::folder(DIRECTORY))).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let _ = fs::remove_dir_all(&root);
    }

    #[test]
    fn of_two_who_write_at_once_each_leaves_a_whole_entry() {
        let (root, storage) = storage("at-once");
        storage.make().unwrap();
        let whole = |bytes: &[u8]| bytes.len() == 300_000 && bytes.iter().all(|byte| *byte == bytes[0]);
        storage.write(&entry(&[b'0'; 300_000], true)).unwrap();
        std::thread::scope(|scope| {
            let writers = [b'1', b'2'].map(|byte| {
                let (storage, entry) = (storage.clone(), entry(&[byte; 300_000], true));
                scope.spawn(move || (0..20).all(|_| storage.write(&entry).is_ok()))
            });
            while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                let read = storage.read(&entry(b"", true).name).unwrap().expect("one is always there");
                assert!(whole(&read), "{} bytes", read.len());
            }
            assert!(writers.into_iter().all(|writer| writer.join().unwrap()), "one kept the other from writing");
        });
        let names: Vec<_> = fs::read_dir(root.join(store::folder(DIRECTORY))).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let _ = fs::remove_dir_all(&root);
    }

    #[test]
    fn one_at_a_time_has_the_lock() {
        let (root, storage) = storage("lock");
        storage.make().unwrap();
        let lock = storage.lock().unwrap();
        assert!(lock.is_some() && storage.lock().unwrap().is_none());
        drop(lock);
        assert!(storage.lock().unwrap().is_some());
        let _ = fs::remove_dir_all(&root);
    }
}
