//! Which certificate stands for the names that an authority certifies (ACME)? The one that was kept, or a stand-in until
//! there is one.

use std::fmt::Display;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use anygate_core::Diagnostic;
use anygate_core::config::{Acme, LocatedName};
use anygate_proto::acme::{Identifier, store};
use anygate_proto::tls::{Identity, self_signed};

/// Who brings the certificate, among those that no file of the configuration holds.
pub(crate) const GIVER: &str = "acme";
/// Largest file that is read.
pub(crate) const FILE_MOST: u64 = 1 << 20;

/// What is asked of the authority; the configuration holds no other names.
pub(crate) fn names(acme: &Acme) -> Vec<Identifier> {
    acme.domains.iter().filter_map(|name| Identifier::parse(name.as_str()).ok()).collect()
}

/// Files that no rule serves: the certificate's with its key, and the account's.
pub(super) fn never_served(acme: &Acme) -> Vec<PathBuf> {
    let account = acme.storage.path.join(store::account_name(&acme.directory));
    place(acme).into_iter().chain([account]).collect()
}

/// The certificate that was kept, or one that nobody vouches for until the authority gives one; none where neither can be
/// had. `now` is in seconds since 1970.
pub(super) fn identity(acme: &Acme, now: u64, findings: &mut Vec<Diagnostic>) -> Option<Arc<Identity>> {
    let at = |finding: Diagnostic| match acme.domains.first() {
        Some(name) => finding.at(name.0.span, "of these names"),
        None => finding,
    };
    match kept(acme, now) {
        Ok(Some(identity)) => return Some(Arc::new(identity)),
        Ok(None) => {}
        Err(why) => {
            let what = "the certificate that was kept is of no use, and one that nobody vouches for stands in";
            findings.push(at(Diagnostic::warning(format!("{what}: {why}"))));
        }
    }
    match stand_in(acme, now) {
        Ok(identity) => Some(Arc::new(identity)),
        Err(why) => {
            let what = "no certificate can be made to stand in for the authority's";
            findings.push(at(Diagnostic::error(format!("{what}: {why}"))));
            None
        }
    }
}

/// The file that holds the certificate and its key; none without a name.
fn place(acme: &Acme) -> Option<PathBuf> {
    let first = names(acme).into_iter().next()?;
    Some(acme.storage.path.join(store::certificate_name(&acme.directory, &first)))
}

fn kept(acme: &Acme, now: u64) -> Result<Option<Identity>, String> {
    let Some(path) = place(acme) else { return Ok(None) };
    let told = |why: &dyn Display| format!("`{}`: {why}", path.display());
    let mut bytes = Vec::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(FILE_MOST).read_to_end(&mut bytes));
    match read {
        Ok(_) => Identity::load(&bytes, &bytes, None, now).map(Some).map_err(|why| told(&why)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(told(&error)),
    }
}

fn stand_in(acme: &Acme, now: u64) -> Result<Identity, String> {
    let names: Vec<&str> = acme.domains.iter().map(LocatedName::as_str).collect();
    let pair = self_signed::make(&names, now)?;
    let identity = Identity::load(pair.cert.as_bytes(), pair.key.as_bytes(), None, now);
    identity.map_err(|why| why.to_string())
}
