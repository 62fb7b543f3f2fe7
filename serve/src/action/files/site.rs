//! What is served, and by which rules? A static route as it was checked and opened at load.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anygate_core::config::{CacheControl, Hidden, Spa, Static, Symlinks};
use anygate_route::StaticTarget;
use anygate_shard::file::Dir;

use super::look;

/// A static route's target and settings. All shards share one.
#[derive(Debug)]
pub(super) struct Site {
    /// Tells it from every other one of this process, those of earlier configurations too.
    pub(super) id: u64,
    /// The directory, absolute; of a single file, the one it is in.
    pub(super) root: PathBuf,
    /// The directory, open.
    pub(super) dir: Dir,
    /// The name of the only file that is served.
    pub(super) only: Option<Box<str>>,
    /// Files that stand for a directory.
    pub(super) index: Vec<String>,
    pub(super) spa: Spa,
    /// Whether names that begin with a dot are served.
    pub(super) hidden: bool,
    pub(super) symlinks: Symlinks,
    pub(super) cache_control: CacheControl,
    protected: Vec<Protected>,
}

/// A file that is never served, under whatever name it is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Protected {
    path: PathBuf,
    /// Device and inode at load, when it was there.
    at_load: Option<(u64, u64)>,
    /// True when it may be reached from the directory under its own name, so that what an editor puts in its place must
    /// be recognised too.
    reachable: bool,
}

impl Site {
    pub(super) fn open(
        target: &StaticTarget,
        settings: &Static,
        base_dir: &Path,
        protected: &[PathBuf],
    ) -> Result<Arc<Self>, String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);

        let path = std::path::absolute(base_dir.join(&target.path))
            .map_err(|error| format!("the folder of `{}` cannot be found: {error}", target.path))?;
        if let Some(bad) = settings.index.iter().find(|name| !is_segment(name)) {
            return Err(format!(
                "`{bad}` is not the name of a file in a directory: `index` takes names without a slash"
            ));
        }
        check_kind(&path, target)?;
        let (root, only) = if target.is_dir {
            (path, None)
        } else {
            let name = path.file_name().and_then(|name| name.to_str()).ok_or("the file's name is not UTF-8")?;
            (path.parent().unwrap_or(&path).to_path_buf(), Some(Box::from(name)))
        };
        let dir = Dir::open(&root).map_err(|error| cannot("directory", &root, &error))?;
        let follows = settings.symlinks == Symlinks::Follow;
        let site = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            protected: protected.iter().map(|path| Protected::new(path, &root, follows)).collect(),
            root,
            dir,
            only,
            index: settings.index.clone(),
            spa: settings.spa,
            hidden: settings.hidden == Hidden::Allow,
            symlinks: settings.symlinks,
            cache_control: settings.cache_control.clone(),
        };
        match &site.only {
            Some(name) => site.check_only(name)?,
            None => site.check_kernel()?,
        }
        Ok(Arc::new(site))
    }

    /// Whether a file may be served, as far as it is not one of those that never are. May block.
    pub(super) fn allows(&self, device: u64, inode: u64) -> bool {
        let file = Some((device, inode));
        !self.protected.iter().any(|one| one.at_load == file || one.reachable && identity(&one.path) == file)
    }

    /// Whether [`Site::allows`] looks at the disk.
    pub(super) fn looks_twice(&self) -> bool {
        self.protected.iter().any(|one| one.reachable)
    }

    /// A sandbox that knows the call too little refuses it, and then nothing could be served. (That the directory may not
    /// be listed is no reason not to serve what is in it.)
    fn check_kernel(&self) -> Result<(), String> {
        match look::open(self, &self.dir, b".", false) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                Err(format!("files cannot be served here: the kernel refuses `openat2` ({error})"))
            }
            _ => Ok(()),
        }
    }

    fn check_only(&self, name: &str) -> Result<(), String> {
        let path = self.root.join(name);
        let file = look::open(self, &self.dir, name.as_bytes(), false).map_err(|error| match error.raw_os_error() {
            Some(libc::EXDEV | libc::ELOOP) => format!(
                "`{}` is a symbolic link that `symlinks` does not let be followed: name the file itself, or set `symlinks: follow`",
                path.display()
            ),
            _ => cannot("file", &path, &error),
        })?;
        if self.allows(file.stat().device, file.stat().inode) {
            Ok(())
        } else {
            Err(format!("`{}` belongs to the configuration and is never served", path.display()))
        }
    }
}

impl Protected {
    fn new(path: &Path, root: &Path, follows: bool) -> Self {
        let within = match (path.canonicalize(), root.canonicalize()) {
            (Ok(path), Ok(root)) => path.starts_with(root),
            _ => true,
        };
        Self { path: path.to_path_buf(), at_load: identity(path), reachable: within || follows }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|meta| (meta.dev(), meta.ino()))
}

fn check_kind(path: &Path, target: &StaticTarget) -> Result<(), String> {
    let what = if target.is_dir { "directory" } else { "file" };
    let meta = path.metadata().map_err(|error| cannot(what, path, &error))?;
    let shown = path.display();
    match (target.is_dir, meta.is_dir(), meta.is_file()) {
        (true, false, _) => Err(format!("`{shown}` is not a directory: a file is named without a slash at the end")),
        (false, true, _) => Err(format!("`{shown}` is a directory: it is named with a slash at the end")),
        (false, false, false) => Err(format!("`{shown}` is not a regular file")),
        _ => Ok(()),
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!("the {what} `{shown}` does not exist"),
        io::ErrorKind::PermissionDenied => format!("the {what} `{shown}` may not be read"),
        _ => format!("the {what} `{shown}` cannot be opened: {error}"),
    }
}

fn is_segment(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}
