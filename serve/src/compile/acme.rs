//! Which certificate stands for the names that an authority certifies (ACME)? The one that was kept, or a stand-in until
//! there is one.

use std::fmt::Display;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
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

/// Files that no rule serves: the certificate's with its key, the account's, and those of earlier names and other
/// authorities that are in the storage.
pub(super) fn never_served(acme: &Acme) -> Vec<PathBuf> {
    let root = &acme.storage.path;
    let mut never: Vec<PathBuf> = place(acme).into_iter().collect();
    never.push(root.join(store::account_name(&acme.directory)));
    let list = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for file in list(root).flat_map(|folder| list(&folder)) {
        let is_secret = file.extension().is_some_and(|kind| kind == "pem") || file.ends_with(store::ACCOUNT);
        if is_secret && !never.contains(&file) {
            never.push(file);
        }
    }
    never
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
    let read = fs::File::open(&path).and_then(|file| file.take(FILE_MOST).read_to_end(&mut bytes));
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

#[cfg(test)]
mod tests {
    use anygate_core::config::{Env, load_text};

    use super::*;

    #[test]
    fn no_key_in_the_storage_is_served_whoever_it_was_for() {
        let root = std::env::temp_dir().join(format!("anygate-never-served-{}", std::process::id()));
        let files = ["ca/old.example.pem", "ca/account.json", "other/account.json", "site/manifest.json"];
        for file in files.map(|file| root.join(file)) {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let text = format!(
            "server: {{listen: [':80', {{addr: ':443', tls: true}}]}}\nroutes: {{/: OK}}\ntls: {{acme: {{email: a@b.example, domains: \
             [a.example], directory: 'https://ca/', storage: '{}'}}}}\n",
            root.display()
        );
        let config = load_text("test.yml", &text, &Env::new(), &[]).config.expect("it is good");
        let never = never_served(config.tls.acme.as_ref().unwrap());
        assert!(never.contains(&root.join("ca/a.example.pem")), "it is yet to come: {never:?}");
        let hidden = files.map(|file| never.contains(&root.join(file)));
        assert_eq!(hidden, [true, true, true, false], "{never:?}");
        let _ = fs::remove_dir_all(&root);
    }
}
