//! Which files does a certificate come from, what is in them, and have they changed since they were read?

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anygate_core::Diagnostic;
use anygate_core::config::{Certificate, CertificatePair, LocatedName, LocatedPath};
use anygate_core::diagnostic::Span;
use anygate_proto::tls::{Authorities, Identity};

/// Largest file that a certificate, a key or authorities may be in.
const FILE_MOST: u64 = 4 << 20;
/// What was written so shortly before it was read may have been written once more without a trace in the file's times.
const RACY_SECONDS: i64 = 2;

/// The files of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// The certificate with those of its issuers.
    pub(crate) cert: LocatedPath,
    /// Its key.
    pub(crate) key: LocatedPath,
    /// An OCSP response.
    ocsp: Option<LocatedPath>,
    /// Names to serve in place of those it carries; none for its own.
    names: Vec<Box<str>>,
    /// The folder that lists them, where no configuration names them.
    folder: Option<PathBuf>,
}

/// Where a certificate stands: the number of its entry in the configuration, and within a folder the name it is listed by.
/// In this order the first is the default.
pub(crate) type Place = (usize, PathBuf);

/// What files looked like when they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    stamps: Vec<Option<Stamp>>,
    /// One of them may have been written again since, with the same stamp.
    racy: bool,
}

/// What tells one content of a file from the next without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Seen {
    /// What they look like at `now`, in seconds since 1970.
    fn look<'p>(paths: impl IntoIterator<Item = &'p Path>, now: u64) -> Self {
        let stamps: Vec<_> = paths.into_iter().map(Stamp::of).collect();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let racy = stamps.iter().flatten().any(|stamp| stamp.changed.0.abs_diff(now) < RACY_SECONDS as u64);
        Self { stamps, racy }
    }

    /// Whether what was seen earlier is known to be what is seen now.
    pub(crate) fn is_still(&self, earlier: &Self) -> bool {
        !earlier.racy && self.looks_like(earlier)
    }

    /// Whether one of them was written a moment ago, and may be written still.
    pub(crate) fn is_fresh(&self) -> bool {
        self.racy
    }

    /// Whether it looks the same as earlier.
    pub(crate) fn looks_like(&self, earlier: &Self) -> bool {
        self.stamps == earlier.stamps
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let facts = std::fs::metadata(path).ok()?;
        Some(Self {
            device: facts.dev(),
            inode: facts.ino(),
            size: facts.size(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
        })
    }
}

/// What came of reading a certificate's files.
pub(crate) struct Content {
    /// The certificate with its key.
    pub(crate) identity: Identity,
    /// Why its OCSP response could not be read, if so.
    pub(crate) no_staple: Option<Box<Diagnostic>>,
}

impl Files {
    fn of_pair(pair: &CertificatePair, stapling: bool) -> Self {
        Self {
            cert: pair.cert.clone(),
            key: pair.key.clone(),
            ocsp: pair.ocsp.clone().filter(|_| stapling),
            names: pair.names.iter().map(LocatedName::as_str).map(Box::from).collect(),
            folder: None,
        }
    }

    fn of_folder(folder: &LocatedPath, cert: PathBuf, key: PathBuf) -> Self {
        let place = |path| LocatedPath { path, span: folder.span };
        Self { cert: place(cert), key: place(key), ocsp: None, names: Vec::new(), folder: Some(folder.path.clone()) }
    }

    /// What they look like at `now`, in seconds since 1970.
    pub(crate) fn look(&self, now: u64) -> Seen {
        let all = [Some(&self.cert), Some(&self.key), self.ocsp.as_ref()];
        Seen::look(all.into_iter().flatten().map(|place| place.path.as_path()), now)
    }

    /// Whether a folder listed them, is still there, and has neither of them any more.
    pub(crate) fn are_gone(&self) -> bool {
        let gone =
            |path: &Path| matches!(std::fs::metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound);
        self.folder.as_deref().is_some_and(Path::is_dir) && gone(&self.cert.path) && gone(&self.key.path)
    }

    /// True where the configuration gives an OCSP response.
    pub(crate) fn have_staple(&self) -> bool {
        self.ocsp.is_some()
    }

    /// Reads them. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Everything for which there is no certificate to serve.
    pub(crate) fn read(&self, now: u64) -> Result<Content, Vec<Diagnostic>> {
        let (chain, secret) = match (read(&self.cert), read(&self.key)) {
            (Ok(chain), Ok(secret)) => (chain, secret),
            (chain, secret) => return Err(chain.err().into_iter().chain(secret.err()).map(|why| *why).collect()),
        };
        let (staple, no_staple) = match self.ocsp.as_ref().map(read) {
            None => (None, None),
            Some(Ok(staple)) => (Some(staple), None),
            Some(Err(why)) => (None, Some(why)),
        };
        let identity = Identity::load(&chain, &secret, staple.as_deref(), now).map_err(|why| {
            let place = if why.is_in_key() { &self.key } else { &self.cert };
            vec![located(format!("`{}`: {why}", place.path.display()), place.span)]
        })?;
        let identity = match &self.names[..] {
            [] => identity,
            names => identity.named(names.iter().map(AsRef::as_ref)),
        };
        Ok(Content { identity, no_staple })
    }
}

/// The files of every certificate, by where they stand; without `stapling` no OCSP responses. `empty` is told of folders
/// that list none, and why they cannot be read, if so.
pub(crate) fn listed(
    certificates: &[Certificate],
    stapling: bool,
    mut empty: impl FnMut(&LocatedPath, Option<io::Error>),
) -> BTreeMap<Place, Files> {
    let mut all = BTreeMap::new();
    for (number, certificate) in certificates.iter().enumerate() {
        match certificate {
            Certificate::Pair(pair) => {
                all.insert((number, PathBuf::new()), Files::of_pair(pair, stapling));
            }
            Certificate::Folder(folder) => match pairs(&folder.path) {
                Ok(pairs) if pairs.is_empty() => empty(folder, None),
                Ok(pairs) => all.extend(
                    pairs
                        .into_iter()
                        .map(|Pair { listed, cert, key }| ((number, listed), Files::of_folder(folder, cert, key))),
                ),
                Err(error) => empty(folder, Some(error)),
            },
        }
    }
    all
}

/// A bundle of authorities' certificates, and what its file looked like.
///
/// # Errors
/// It cannot be read, or there is none in it that clients' certificates can be verified by.
pub(crate) fn authorities(place: &LocatedPath) -> Result<Authorities, Box<Diagnostic>> {
    Authorities::load(&read(place)?)
        .map_err(|why| Box::new(located(format!("`{}`: {why}", place.path.display()), place.span)))
}

/// What one file looks like at `now`, in seconds since 1970.
pub(crate) fn look_at(place: &LocatedPath, now: u64) -> Seen {
    Seen::look([place.path.as_path()], now)
}

/// An error, and where what it is about is written.
pub(crate) fn located(message: String, span: Option<Span>) -> Diagnostic {
    let error = Diagnostic::error(message);
    match span {
        Some(span) => error.at(span, ""),
        None => error,
    }
}

fn read(place: &LocatedPath) -> Result<Vec<u8>, Box<Diagnostic>> {
    let content = match std::fs::metadata(&place.path) {
        // Reading a pipe could take for ever.
        Ok(facts) if !facts.is_file() => Err("is no file".to_owned()),
        Ok(facts) if facts.len() > FILE_MOST => Err(format!("is larger than {} MiB", FILE_MOST >> 20)),
        Ok(_) => std::fs::read(&place.path).map_err(|error| format!("cannot be read: {error}")),
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    content.map_err(|why| Box::new(located(format!("`{}` {why}", place.path.display()), place.span)))
}

/// A certificate with its key in a folder.
struct Pair {
    /// The folder's own entry for it; empty for the folder's `fullchain.pem`.
    listed: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

/// The keys of certificates in a folder and, as certbot has them, in its folders.
pub(crate) fn keys(folder: &Path) -> Vec<PathBuf> {
    pairs(folder).into_iter().flatten().map(|pair| pair.key).collect()
}

/// Certificates with their keys in a folder and in its folders, in the order of their names.
fn pairs(folder: &Path) -> io::Result<Vec<Pair>> {
    let whole = |listed: PathBuf, folder: &Path| Pair {
        listed,
        cert: folder.join("fullchain.pem"),
        key: folder.join("privkey.pem"),
    };
    let entries: BTreeSet<PathBuf> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let mut pairs = vec![whole(PathBuf::new(), folder)];
    for path in entries {
        if path.is_dir() {
            pairs.push(whole(path.clone(), &path));
        } else if path.extension().is_some_and(|kind| kind == "crt" || kind == "pem" || kind == "cer") {
            pairs.push(Pair { listed: path.clone(), key: path.with_extension("key"), cert: path });
        }
    }
    pairs.retain(|pair| pair.cert.is_file() && pair.key.is_file());
    Ok(pairs)
}
