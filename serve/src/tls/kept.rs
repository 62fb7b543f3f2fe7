//! One certificate's files: what is served of them, what came of looking at them again, and what is to be told of that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anygate_core::Diagnostic;
use anygate_proto::tls::{Identity, Warning};

use super::files::{Files, Seen};

/// A certificate's files, and what is served of them.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) files: Files,
    seen: Seen,
    /// None for files of a folder that were never good.
    pub(super) identity: Option<Arc<Identity>>,
    trouble: Option<Trouble>,
    /// They were gone when it was looked last.
    pub(super) going: bool,
}

/// Why what the files hold now is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    why: String,
    /// It was the same twice, and is known: what is still being written is in trouble for a moment only.
    pub(super) told: bool,
}

/// Something about files that changed. The path is that of the certificate, or of authorities.
#[derive(Debug)]
pub(crate) enum News {
    /// A certificate is served anew.
    Renewed(PathBuf, Arc<Identity>),
    /// A folder has one more certificate.
    Added(PathBuf, Arc<Identity>),
    /// A folder has one less.
    Gone(PathBuf),
    /// What is there now cannot be served, and why; what was there before is.
    Broken(PathBuf, String),
    /// What could not be served is what is served again.
    Mended(PathBuf),
    /// What was stapled is over.
    StapleOver(Arc<Identity>),
    /// Authorities changed.
    Believed(PathBuf),
}

impl Kept {
    /// Files at load, with everything that is to be said of them; none where there is nothing to serve.
    pub(super) fn load(files: Files, now: u64, findings: &mut Vec<Diagnostic>) -> Option<Self> {
        let seen = files.look(now);
        let content = files.read(now).map_err(|why| findings.extend(why)).ok()?;
        findings.extend(content.no_staple.map(|why| *why));
        findings.extend(warnings(&files, &content.identity));
        Some(Self { files, seen, identity: Some(Arc::new(content.identity)), trouble: None, going: false })
    }

    /// Files that a folder lists since it was looked last.
    pub(super) fn found(files: Files, now: u64, news: &mut Vec<News>) -> Self {
        let (seen, read) = (files.look(now), files.read(now));
        let mut kept = Self { files, seen, identity: None, trouble: None, going: false };
        match read {
            Ok(content) => {
                let identity = Arc::new(content.identity);
                news.push(News::Added(kept.files.cert.path.clone(), Arc::clone(&identity)));
                kept.identity = Some(identity);
            }
            Err(why) => kept.trouble = Some(Trouble { why: messages(&why), told: false }),
        }
        kept
    }

    /// The same, which were gone when it was looked last.
    pub(super) fn going(&self) -> Self {
        Self { going: true, ..self.clone() }
    }

    /// What is to be kept of them now.
    pub(super) fn look(self: &Arc<Self>, now: u64, news: &mut Vec<News>) -> Arc<Self> {
        let seen = self.files.look(now);
        let mut next = Self { going: false, ..Self::clone(self) };
        let path = &self.files.cert.path;
        if seen.is_still(&self.seen) {
            let told = tell(&mut next.trouble, path, news);
            return if told || self.going { Arc::new(next) } else { Arc::clone(self) };
        }
        match self.files.read(now) {
            // What is still being written may end with any of its certificates.
            Ok(content) if seen.is_fresh() && self.is_longer_than(&content.identity) => {}
            Ok(content) => {
                let no_staple = content.no_staple.map(|why| why.message).or_else(|| ocsp_fault(&content.identity));
                let had_trouble = next.trouble.take().is_some_and(|trouble| trouble.told);
                let identity = self.with_staple(content.identity, now);
                if self.identity.as_ref().is_none_or(|before| !shows_the_same(before, &identity)) {
                    let identity = Arc::new(identity);
                    news.push(match self.identity {
                        Some(_) => News::Renewed(path.clone(), Arc::clone(&identity)),
                        None => News::Added(path.clone(), Arc::clone(&identity)),
                    });
                    next.identity = Some(identity);
                } else if had_trouble && no_staple.is_none() {
                    news.push(News::Mended(path.clone()));
                }
                let same = seen.looks_like(&self.seen);
                next.trouble = no_staple.map(|why| Trouble::after(self.trouble.clone(), why, same, path, news));
            }
            Err(why) => {
                let same = seen.looks_like(&self.seen);
                next.trouble = Some(Trouble::after(next.trouble, messages(&why), same, path, news));
            }
        }
        next.seen = seen;
        Arc::new(next)
    }

    /// Whether fewer certificates are there now than are served.
    fn is_longer_than(&self, now: &Identity) -> bool {
        self.identity.as_ref().is_some_and(|before| now.chain().len() < before.chain().len())
    }

    /// The same certificate keeps what was stapled before where its files bring nothing better.
    fn with_staple(&self, identity: Identity, now: u64) -> Identity {
        let before = self.identity.as_ref().filter(|before| identity.staple().is_none() && before.is_same(&identity));
        let response = before.and_then(|before| before.key().ocsp.as_deref());
        response.and_then(|response| identity.stapled(response, now).ok()).unwrap_or(identity)
    }
}

impl Trouble {
    /// What is wrong with files now; the same that was wrong before, with files that look the same, is told, once.
    pub(super) fn after(before: Option<Self>, why: String, same: bool, path: &Path, news: &mut Vec<News>) -> Self {
        let mut trouble = before.filter(|before| same && before.why == why);
        tell(&mut trouble, path, news);
        trouble.unwrap_or(Self { why, told: false })
    }
}

/// Tells what was in trouble already when it was looked last; says whether there was something to tell.
pub(super) fn tell(trouble: &mut Option<Trouble>, path: &Path, news: &mut Vec<News>) -> bool {
    let Some(trouble) = trouble.as_mut().filter(|trouble| !trouble.told) else { return false };
    trouble.told = true;
    news.push(News::Broken(path.to_owned(), trouble.why.clone()));
    true
}

fn shows_the_same(one: &Identity, other: &Identity) -> bool {
    one.is_same(other) && one.key().ocsp == other.key().ocsp
}

fn ocsp_fault(identity: &Identity) -> Option<String> {
    identity.warnings().iter().find(|warning| matches!(warning, Warning::Ocsp(_))).map(Warning::to_string)
}

fn messages(findings: &[Diagnostic]) -> String {
    findings.iter().map(|finding| finding.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// What is odd about a certificate, for who wrote its path.
fn warnings<'i>(files: &'i Files, identity: &'i Identity) -> impl Iterator<Item = Diagnostic> + 'i {
    identity.warnings().iter().map(|warning| {
        let warning = Diagnostic::warning(format!("`{}`: {warning}", files.cert.path.display()));
        match files.cert.span {
            Some(span) => warning.at(span, ""),
            None => warning,
        }
    })
}
