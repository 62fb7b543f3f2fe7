//! What do TLS listeners show, and whom do they believe? Certificates and authorities as they were read, and as their files
//! are now.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use anygate_core::Diagnostic;
use anygate_core::config::{Certificate, Config, ListenAddr, LocatedPath};
use anygate_proto::tls::ocsp::{OcspFault, Staple};
use anygate_proto::tls::{Authorities, ClientAuth, ConfigError, Identity, Names, Profile, Resolver, Settings};
use rustls::ServerConfig;

use super::files::{self, Place, Seen};
use super::kept::{Kept, News, Trouble, tell};

/// Certificates, authorities, and the listeners they are for. A copy is cheap.
#[derive(Clone)]
pub struct Credentials {
    sources: Arc<[Certificate]>,
    stapling: bool,
    kept: BTreeMap<Place, Arc<Kept>>,
    /// Certificates that no file of the configuration holds, by who brought them; behind all others.
    given: BTreeMap<&'static str, Arc<Identity>>,
    believed: Vec<Believed>,
    listeners: Vec<Listening>,
    resolver: Arc<Resolver>,
}

/// Authorities of clients' certificates.
#[derive(Debug, Clone)]
struct Believed {
    place: LocatedPath,
    seen: Seen,
    authorities: Authorities,
    trouble: Option<Trouble>,
}

/// A TLS listener.
#[derive(Debug, Clone)]
struct Listening {
    address: ListenAddr,
    settings: Settings,
    /// The file of its authorities.
    client_ca: Option<PathBuf>,
}

/// Under which terms a listener's connections begin: those that began under others do not go on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms(Option<(Profile, ClientAuth)>);

/// What a look at the files found.
#[derive(Debug)]
pub(crate) struct Looked {
    /// What is to be kept from now on.
    pub(crate) next: Credentials,
    /// The certificates to be served from now on, where those changed.
    pub(crate) names: Option<Arc<Names>>,
    /// Listeners that are to be set up anew, as whose authorities changed.
    pub(crate) listeners: Vec<ListenAddr>,
    /// What is to be told.
    pub(crate) news: Vec<News>,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            sources: Arc::from([]),
            stapling: false,
            kept: BTreeMap::new(),
            given: BTreeMap::new(),
            believed: Vec::new(),
            listeners: Vec::new(),
            resolver: Resolver::new(Arc::new(Names::new(Vec::new(), false))),
        }
    }
}

impl Credentials {
    /// Reads the certificates of a configuration. `now` is in seconds since 1970.
    pub(crate) fn load(config: &Config, now: u64, findings: &mut Vec<Diagnostic>) -> Self {
        let stapling = config.tls.ocsp.stapling;
        let mut credentials = Self { sources: config.tls.certificates.as_slice().into(), stapling, ..Self::default() };
        let listed = files::listed(&credentials.sources, stapling, |folder, error| {
            let folder_name = folder.path.display();
            findings.push(match error {
                Some(error) => files::located(format!("`{folder_name}` cannot be read: {error}"), folder.span),
                None => files::located(format!("no certificate with its key in `{folder_name}`"), folder.span).help(
                    "a pair is `NAME.crt`, `NAME.pem` or `NAME.cer` with `NAME.key`, or `fullchain.pem` with `privkey.pem`",
                ),
            });
        });
        for (place, files) in listed {
            if let Some(kept) = Kept::load(files, now, findings) {
                credentials.kept.insert(place, Arc::new(kept));
            }
        }
        credentials.serve();
        findings.extend(credentials.never_chosen());
        credentials
    }

    /// Authorities that clients' certificates are verified by; the same file is read once.
    ///
    /// # Errors
    /// It cannot be read, or there is none in it.
    pub(crate) fn believe(&mut self, place: &LocatedPath, now: u64) -> Result<Authorities, Box<Diagnostic>> {
        if let Some(known) = self.believed.iter().find(|known| known.place == *place) {
            return Ok(known.authorities.clone());
        }
        let seen = files::look_at(place, now);
        let authorities = files::authorities(place)?;
        let believed = Believed { place: place.clone(), seen, authorities: authorities.clone(), trouble: None };
        self.believed.push(believed);
        Ok(authorities)
    }

    /// What the connections of a listener begin with.
    ///
    /// # Errors
    /// It cannot be set up.
    pub(crate) fn listen(
        &mut self,
        address: &ListenAddr,
        settings: Settings,
        client_ca: Option<&LocatedPath>,
    ) -> Result<Arc<ServerConfig>, ConfigError> {
        let built = settings.build(Arc::clone(&self.resolver))?;
        let client_ca = client_ca.map(|place| place.path.clone());
        self.listeners.push(Listening { address: address.clone(), settings, client_ca });
        Ok(built)
    }

    /// What the connections of a listener begin with from now on, where its authorities changed.
    ///
    /// # Errors
    /// It cannot be set up.
    pub(crate) fn rebuilt(&self, address: &ListenAddr) -> Option<Result<Arc<ServerConfig>, ConfigError>> {
        let listening = self.listeners.iter().find(|listening| listening.address == *address)?;
        Some(listening.settings.build(Arc::clone(&self.resolver)))
    }

    /// What all listeners take their certificates from.
    #[must_use]
    pub fn resolver(&self) -> &Arc<Resolver> {
        &self.resolver
    }

    /// The terms of a listener.
    #[must_use]
    pub fn terms(&self, address: &ListenAddr) -> Terms {
        let listening = self.listeners.iter().find(|listening| listening.address == *address);
        Terms(listening.map(|listening| (listening.settings.profile, listening.settings.client_auth.clone())))
    }

    /// True where there is nothing to look after.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.given.is_empty() && self.believed.is_empty()
    }

    /// The certificates, the default first.
    pub fn identities(&self) -> impl Iterator<Item = &Arc<Identity>> {
        self.kept.values().filter_map(|kept| kept.identity.as_ref()).chain(self.given.values())
    }

    /// Serves a certificate that no file of the configuration holds, in place of the one that the same `giver` brought
    /// before; from the next handshake on, on all listeners.
    pub fn give(&mut self, giver: &'static str, identity: Arc<Identity>) {
        self.given.insert(giver, identity);
        self.serve();
    }

    /// The certificate that this giver brought last.
    pub(crate) fn given(&self, giver: &str) -> Option<&Arc<Identity>> {
        self.given.get(giver)
    }

    /// Takes over what was learned since `before` was loaded, and is not in the files: OCSP responses that were fetched.
    pub(crate) fn take_over(&mut self, before: &Self) {
        let mut changed = false;
        let stapled: Vec<_> = before.identities().filter(|identity| identity.staple().is_some()).collect();
        let known = |new: &Arc<Identity>| {
            let is_bare = new.staple().is_none();
            stapled.iter().find(|old| is_bare && old.is_same(new)).map(|old| Arc::clone(old))
        };
        for kept in self.kept.values_mut().filter(|kept| !kept.files.have_staple()) {
            if let Some(old) = kept.identity.as_ref().and_then(known) {
                Arc::make_mut(kept).identity = Some(old);
                changed = true;
            }
        }
        for identity in self.given.values_mut() {
            if let Some(old) = known(identity) {
                *identity = old;
                changed = true;
            }
        }
        if changed {
            self.serve();
        }
    }

    /// Certificates whose OCSP response is to be fetched: their issuer says where, no file holds it, and stapling is on.
    pub(crate) fn to_be_stapled(&self) -> impl Iterator<Item = &Arc<Identity>> {
        let of_files = self.kept.values().filter(|kept| !kept.files.have_staple());
        let all = of_files.filter_map(|kept| kept.identity.as_ref()).chain(self.given.values());
        all.filter(|identity| self.stapling && identity.facts().ocsp_url.is_some() && identity.chain().len() > 1)
    }

    /// Staples a response that was fetched for the certificate with this fingerprint, and says until when it is good; none
    /// where there is no such certificate any more. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// It cannot be stapled; what was stapled before is as it was.
    pub(crate) fn staple(
        &mut self,
        fingerprint: &[u8; 32],
        response: &[u8],
        now: u64,
    ) -> Result<Option<Staple>, OcspFault> {
        let is_it = |identity: &&Arc<Identity>| identity.facts().fingerprint == *fingerprint;
        let mut staple = None;
        for kept in self.kept.values_mut().filter(|kept| !kept.files.have_staple()) {
            if let Some(identity) = kept.identity.as_ref().filter(is_it) {
                let stapled = Arc::new(identity.stapled(response, now)?);
                staple = stapled.staple();
                Arc::make_mut(kept).identity = Some(stapled);
            }
        }
        for identity in self.given.values_mut().filter(|identity| is_it(&&**identity)) {
            *identity = Arc::new(identity.stapled(response, now)?);
            staple = identity.staple();
        }
        self.serve();
        Ok(staple)
    }

    fn names(&self) -> Arc<Names> {
        Arc::new(Names::new(self.identities().cloned().collect(), false))
    }

    /// Handshakes from now on are for what is kept now.
    fn serve(&self) {
        self.resolver.replace(self.names());
    }

    /// Looks whether files changed, and reads those that did; none where nothing is different. Nothing is served by it yet.
    /// `now` is in seconds since 1970.
    pub(crate) fn look(&self, now: u64) -> Option<Looked> {
        let mut news = Vec::new();
        let mut kept = BTreeMap::new();
        for (place, files) in files::listed(&self.sources, self.stapling, |_, _| {}) {
            let next = match self.kept.get(&place) {
                Some(before) => before.look(now, &mut news),
                None => Arc::new(Kept::found(files, now, &mut news)),
            };
            kept.insert(place, next);
        }
        // A folder's that it does not list any more. The last one is not taken away.
        let others = !self.given.is_empty() || kept.values().any(|kept| kept.identity.is_some());
        for (place, before) in &self.kept {
            if kept.contains_key(place) {
                continue;
            }
            if others && before.files.are_gone() {
                if before.going {
                    news.push(News::Gone(before.files.cert.path.clone()));
                } else {
                    kept.insert(place.clone(), Arc::new(before.going()));
                }
                continue;
            }
            kept.insert(place.clone(), before.look(now, &mut news));
        }
        let mut next = Self { kept, ..self.clone() };
        next.drop_staples(now, &mut news);
        let listeners = next.look_at_authorities(now, &mut news);
        let same = |one: &Self, other: &Self| one.identities().map(Arc::as_ptr).eq(other.identities().map(Arc::as_ptr));
        let names = (!same(self, &next)).then(|| next.names());
        let kept_anew = self.kept.len() != next.kept.len()
            || self.kept.values().zip(next.kept.values()).any(|(one, other)| !Arc::ptr_eq(one, other));
        let is_news = names.is_some() || kept_anew || !listeners.is_empty() || !news.is_empty();
        let believed_anew = self
            .believed
            .iter()
            .zip(&next.believed)
            .any(|(one, other)| one.trouble != other.trouble || one.seen != other.seen);
        (is_news || believed_anew).then_some(Looked { next, names, listeners, news })
    }

    /// Takes away what is stapled and over.
    fn drop_staples(&mut self, now: u64, news: &mut Vec<News>) {
        let over = |identity: &Arc<Identity>| {
            let until = identity.staple().map(|staple| staple.until()).filter(|until| *until < now)?;
            Some(Arc::new(identity.unstapled(Some(OcspFault::Outdated(until)))))
        };
        for kept in self.kept.values_mut() {
            if let Some(bare) = kept.identity.as_ref().and_then(over) {
                news.push(News::StapleOver(Arc::clone(&bare)));
                Arc::make_mut(kept).identity = Some(bare);
            }
        }
        for identity in self.given.values_mut() {
            if let Some(bare) = over(identity) {
                news.push(News::StapleOver(Arc::clone(&bare)));
                *identity = bare;
            }
        }
    }

    /// Reads authorities whose file changed; the listeners that believe them.
    fn look_at_authorities(&mut self, now: u64, news: &mut Vec<News>) -> Vec<ListenAddr> {
        let mut changed = Vec::new();
        for believed in &mut self.believed {
            let path = &believed.place.path;
            let seen = files::look_at(&believed.place, now);
            if seen.is_still(&believed.seen) {
                tell(&mut believed.trouble, path, news);
                continue;
            }
            match files::authorities(&believed.place) {
                Ok(authorities) => {
                    let trouble = believed.trouble.take();
                    if authorities != believed.authorities {
                        news.push(News::Believed(path.clone()));
                        changed.push((path.clone(), authorities.clone()));
                        believed.authorities = authorities;
                    } else if trouble.is_some_and(|trouble| trouble.told) {
                        news.push(News::Mended(path.clone()));
                    }
                }
                Err(why) => {
                    let same = seen.looks_like(&believed.seen);
                    believed.trouble = Some(Trouble::after(believed.trouble.take(), why.message, same, path, news));
                }
            }
            believed.seen = seen;
        }
        let mut listeners = Vec::new();
        for listening in &mut self.listeners {
            let new = changed.iter().find(|(path, _)| listening.client_ca.as_ref() == Some(path));
            let Some((_, authorities)) = new else { continue };
            match &mut listening.settings.client_auth {
                ClientAuth::None => continue,
                ClientAuth::Optional(before) | ClientAuth::Required(before) => before.clone_from(authorities),
            }
            listeners.push(listening.address.clone());
        }
        listeners
    }

    /// Warnings of certificates that no client ever gets.
    fn never_chosen(&self) -> Vec<Diagnostic> {
        let files: Vec<_> = self.kept.values().filter(|kept| kept.identity.is_some()).map(|kept| &kept.files).collect();
        let names = self.resolver.names();
        let mut found = Vec::new();
        for (used, unused) in names.never_chosen() {
            let (Some(used), Some(unused)) = (files.get(used), files.get(unused)) else { continue };
            let message = format!(
                "`{}` is never chosen: `{}` has its names and is valid for as long or longer",
                unused.cert.path.display(),
                used.cert.path.display()
            );
            let warning = Diagnostic::warning(message).help("remove it, or give one of them other `names`");
            found.push(match unused.cert.span {
                Some(span) => warning.at(span, ""),
                None => warning,
            });
        }
        found
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("certificates", &self.kept.len())
            .field("given", &self.given.keys())
            .field("listeners", &self.listeners.len())
            .finish_non_exhaustive()
    }
}
