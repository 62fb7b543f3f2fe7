//! Which certificate a client gets: by the name it asks for (RFC 6066 §3), and by what it can verify.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::identity::Identity;

/// The longest name there is, in bytes (RFC 1035 §2.3.4), without a dot at its end.
const NAME_MOST: usize = 253;
/// The longest part between two dots (RFC 1035 §2.3.4).
const LABEL_MOST: usize = 63;

/// A fatal alert `unrecognized_name` (RFC 6066 §3) as a record, for a client that [`Names::refuses`]: the answer to a hello
/// that gets no other.
pub const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Certificates by name. A whole name goes before one with `*.` in front, which stands for exactly one label (RFC 6125
/// §6.4.3).
///
/// Of several certificates for a name the client gets one that it can verify: ECDSA and Ed25519 before RSA, which costs
/// far more to sign with; among those of one kind, the one that is valid for longer, then the one that was given first.
pub struct Names {
    identities: Vec<Arc<Identity>>,
    exact: HashMap<Box<str>, Box<[usize]>>,
    /// Without `*`, with the dot.
    below: HashMap<Box<str>, Box<[usize]>>,
    strict: bool,
}

impl Names {
    /// Certificates, the first of which is the default: for clients that ask for no name, and for an unknown one unless
    /// `strict`.
    #[must_use]
    pub fn new(identities: Vec<Arc<Identity>>, strict: bool) -> Self {
        let mut exact: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let mut below: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for (at, identity) in identities.iter().enumerate() {
            for name in identity.names() {
                let places = match name.strip_prefix('*') {
                    Some(suffix) => below.entry(suffix.into()).or_default(),
                    None => exact.entry(name.clone()).or_default(),
                };
                places.push(at);
            }
        }
        let ordered = |mut places: Vec<usize>| {
            places.sort_by_key(|at| rank(&identities[*at]));
            places.into_boxed_slice()
        };
        let exact = exact.into_iter().map(|(name, places)| (name, ordered(places))).collect();
        let below = below.into_iter().map(|(name, places)| (name, ordered(places))).collect();
        Self { identities, exact, below, strict }
    }

    /// The certificate for a client that asks for `name`, and can verify what is signed by `offered`. None where there is no
    /// certificate at all, and for an unknown name when strict. Where the client can verify none of those for the name, it
    /// gets the first of them, and says so itself.
    #[must_use]
    pub fn find(&self, name: Option<&str>, offered: &[SignatureScheme]) -> Option<&Arc<Identity>> {
        let places = match name {
            Some(name) => match self.places(name) {
                Some(places) => places,
                None if self.strict => return None,
                None => &[0],
            },
            None => &[0],
        };
        let can = |identity: &Identity| identity.schemes().iter().any(|scheme| offered.contains(scheme));
        match places {
            [one] => self.identities.get(*one),
            many => {
                let mut all = many.iter().filter_map(|at| self.identities.get(*at));
                all.clone().find(|identity| can(identity)).or_else(|| all.next())
            }
        }
    }

    /// Certificates for a name, the preferred one first.
    fn places(&self, name: &str) -> Option<&[usize]> {
        let mut lower = [0; NAME_MOST];
        let name = name.strip_suffix('.').unwrap_or(name).as_bytes();
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let name = std::str::from_utf8(lower).ok()?;
        let dot = name.find('.');
        let below = || dot.filter(|dot| *dot > 0).and_then(|dot| self.below.get(&name[dot..]));
        self.exact.get(name).or_else(below).map(AsRef::as_ref)
    }

    /// True for a client whose hello gets the answer [`UNRECOGNIZED_NAME`]: it asks for a name that is not known, and these
    /// are strict. The engine itself would answer `access_denied`.
    #[must_use]
    pub fn refuses(&self, name: Option<&str>) -> bool {
        self.strict && name.is_some_and(|name| self.places(name).is_none())
    }

    /// True when there is a certificate for the name itself, not only the default: what a request's host is held against
    /// where the session is for another (RFC 9110 §7.4).
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.places(name).is_some()
    }

    /// True when a certificate that a client gets who asks for `name`, or for none, is for `host` too: then a request for
    /// that host may come in the same session (RFC 9110 §7.4).
    #[must_use]
    pub fn covers(&self, name: Option<&str>, host: &str) -> bool {
        let Some(host) = normal(host) else { return false };
        let places = name.and_then(|name| self.places(name)).unwrap_or(&[0]);
        let names = places.iter().filter_map(|at| self.identities.get(*at)).flat_map(|identity| identity.names());
        names.into_iter().any(|own| *own == host || is_below(&host, own))
    }

    /// The certificates, the default first.
    #[must_use]
    pub fn identities(&self) -> &[Arc<Identity>] {
        &self.identities
    }

    /// Names of which one certificate keeps another of the same kind from ever being used: the name, the place of the one
    /// that is used, and that of the one that is not; places as in [`Names::identities`].
    #[must_use]
    pub fn shadowed(&self) -> Vec<(Box<str>, usize, usize)> {
        let mut shadowed = Vec::new();
        let wild = self.below.iter().map(|(name, places)| (format!("*{name}").into_boxed_str(), places));
        for (name, places) in self.exact.iter().map(|(name, places)| (name.clone(), places)).chain(wild) {
            for pair in places.windows(2) {
                if self.identities[pair[0]].schemes() == self.identities[pair[1]].schemes() {
                    shadowed.push((name.clone(), pair[0], pair[1]));
                }
            }
        }
        shadowed.sort();
        shadowed
    }

    /// Certificates that no client gets: another of the same kind stands before them for each of their names, and they are
    /// not the default. The place of one that is used instead, and their own, as in [`Names::identities`].
    #[must_use]
    pub fn never_chosen(&self) -> Vec<(usize, usize)> {
        let shadowed = self.shadowed();
        let mut never = Vec::new();
        for (at, identity) in self.identities.iter().enumerate().skip(1) {
            let mut instead = shadowed.iter().filter(|(_, _, unused)| *unused == at).map(|(_, used, _)| *used);
            if let Some(first) = instead.next()
                && instead.count() + 1 == identity.names().len()
            {
                never.push((first, at));
            }
        }
        never
    }
}

/// What comes first among certificates for one name comes first in this order.
fn rank(identity: &Identity) -> (bool, u64) {
    (identity.schemes().contains(&SignatureScheme::RSA_PSS_SHA256), u64::MAX - identity.facts().not_after)
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("identities", &self.identities)
            .field("strict", &self.strict)
            .finish_non_exhaustive()
    }
}

/// A name in the form that is looked up, or none: lower case, without a dot at the end, `*.` in front or no `*` at all.
pub(super) fn normal(name: &str) -> Option<Box<str>> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let host = name.strip_prefix("*.").unwrap_or(&name);
    let label = |label: &str| {
        (1..=LABEL_MOST).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    (name.len() <= NAME_MOST && host.split('.').all(label)).then(|| name.into())
}

/// Whether `pattern` has `*.` in front and `name` is one label below the rest of it.
pub(super) fn is_below(name: &str, pattern: &str) -> bool {
    let Some(suffix) = pattern.strip_prefix('*') else { return false };
    name.strip_suffix(suffix).is_some_and(|label| !label.is_empty() && !label.contains('.'))
}

/// The names that are served now: those of a listener's configuration, which can be replaced while it serves.
pub struct Resolver {
    names: RwLock<Arc<Names>>,
    /// Whether there is more than one certificate among them.
    several: AtomicBool,
}

impl Resolver {
    /// A resolver of these names.
    #[must_use]
    pub fn new(names: Arc<Names>) -> Arc<Self> {
        let several = AtomicBool::new(names.identities.len() > 1);
        Arc::new(Self { names: RwLock::new(names), several })
    }

    /// Handshakes that begin from now on are for these names.
    pub fn replace(&self, names: Arc<Names>) {
        self.several.store(names.identities.len() > 1, Ordering::Relaxed);
        let before = std::mem::replace(&mut *self.names.write().unwrap_or_else(PoisonError::into_inner), names);
        // What is to be freed is freed without the lock.
        drop(before);
    }

    /// True where there is more than one certificate. Takes no lock.
    #[inline]
    #[must_use]
    pub fn has_several(&self) -> bool {
        self.several.load(Ordering::Relaxed)
    }

    /// The names that are served now.
    #[must_use]
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.find(hello.server_name(), hello.signature_schemes()).map(|identity| Arc::clone(identity.key()))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.names().fmt(f)
    }
}
