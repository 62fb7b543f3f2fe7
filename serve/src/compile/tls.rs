//! What do TLS listeners begin their connections with? Certificates and authorities are read here, at load and at every
//! reload.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anygate_core::Diagnostic;
use anygate_core::config::{
    Certificate, ClientAuth, Config, ListenAddr, ListenerTls, LocatedName, LocatedPath, TlsProfile,
};
use anygate_core::diagnostic::Span;
use anygate_proto::tls::{self, Authorities, Identity, Names, Profile, Resolver, Settings};
use rustls::ServerConfig;

use crate::tls::{Front, keys};

/// Protocols that are spoken over TLS.
const PROTOCOLS: [&[u8]; 1] = [b"http/1.1"];
/// Largest file that a certificate, a key or authorities may be in.
const FILE_MOST: u64 = 4 << 20;

/// How the connections of each listener begin; a listener whose setting is wrong is left out.
pub(super) fn fronts(config: &Config, findings: &mut Vec<Diagnostic>) -> Vec<(ListenAddr, Front)> {
    not_yet(config, findings);
    let (now, _) = anygate_shard::wall_clock();
    let mut resolver = None;
    let mut made: Vec<(ListenerTls, Option<Arc<ServerConfig>>)> = Vec::new();
    let mut fronts = Vec::new();
    for listen in &config.server.listen {
        let front = match config.tls_for(listen) {
            None => Front { redirect: listen.redirect, ..Front::default() },
            Some(wanted) => {
                let resolver = resolver.get_or_insert_with(|| {
                    let identities = identities(config, now, findings);
                    (!identities.is_empty()).then(|| Resolver::new(Arc::new(Names::new(identities, false))))
                });
                let Some(resolver) = resolver else { continue };
                let known = made.iter().find(|(other, _)| *other == wanted).map(|(_, made)| made.clone());
                let tls = known.unwrap_or_else(|| {
                    let config = settings(config, &wanted, now, findings).and_then(|settings| {
                        let built = settings.build(Arc::clone(resolver));
                        built.map_err(|why| findings.push(located(why.to_string(), listen.span))).ok()
                    });
                    made.push((wanted, config.clone()));
                    config
                });
                let Some(tls) = tls else { continue };
                Front { tls: Some(tls), names: Some(Arc::clone(resolver)), ..Front::default() }
            }
        };
        fronts.push((listen.addr.clone(), front));
    }
    fronts
}

/// Files that no rule serves: configurations, and the keys of certificates, those in folders included.
pub(super) fn never_served(config: &Config) -> Vec<PathBuf> {
    let mut files = config.never_served();
    for certificate in &config.tls.certificates {
        if let Certificate::Folder(folder) = certificate {
            files.extend(pairs(&folder.path).into_iter().map(|(_, key)| key));
        }
    }
    files
}

/// Refuses what is understood and not served in this version.
fn not_yet(config: &Config, findings: &mut Vec<Diagnostic>) {
    if config.tls.self_signed {
        findings.push(Diagnostic::error("a certificate that the server makes itself is not served by this version"));
    }
}

fn located(message: String, span: Option<Span>) -> Diagnostic {
    let error = Diagnostic::error(message);
    match span {
        Some(span) => error.at(span, ""),
        None => error,
    }
}

fn settings(config: &Config, wanted: &ListenerTls, now: u64, findings: &mut Vec<Diagnostic>) -> Option<Settings> {
    let authorities = match &wanted.client_ca {
        None => None,
        Some(place) => {
            let bundle = read(&place.path, place.span, findings)?;
            match Authorities::load(&bundle) {
                Ok(authorities) => Some(authorities),
                Err(why) => {
                    findings.push(located(format!("`{}`: {why}", place.path.display()), place.span));
                    return None;
                }
            }
        }
    };
    let lifetime = u32::try_from(config.tls.ticket_lifetime.as_secs()).unwrap_or(u32::MAX);
    Some(Settings {
        profile: match wanted.profile {
            TlsProfile::Modern => Profile::Modern,
            TlsProfile::Intermediate => Profile::Intermediate,
            TlsProfile::FipsLike => Profile::FipsLike,
        },
        protocols: PROTOCOLS.map(<[u8]>::to_vec).to_vec(),
        client_auth: match (wanted.client_auth, authorities) {
            (ClientAuth::Optional, Some(authorities)) => tls::ClientAuth::Optional(authorities),
            (ClientAuth::Required, Some(authorities)) => tls::ClientAuth::Required(authorities),
            _ => tls::ClientAuth::None,
        },
        tickets: if config.tls.session_tickets { keys::tickets(lifetime, now) } else { None },
        sessions: (config.tls.session_cache > 0).then(|| keys::sessions(config.tls.session_cache, lifetime, now)),
        ..Settings::default()
    })
}

/// Every certificate that can be read, in the order of the configuration.
fn identities(config: &Config, now: u64, findings: &mut Vec<Diagnostic>) -> Vec<Arc<Identity>> {
    let mut all = Vec::new();
    for certificate in &config.tls.certificates {
        match certificate {
            Certificate::Pair(pair) => {
                let names: Vec<&str> = pair.names.iter().map(LocatedName::as_str).collect();
                let ocsp = pair.ocsp.as_ref().filter(|_| config.tls.ocsp.stapling);
                all.extend(identity(&pair.cert, &pair.key, ocsp, &names, now, findings));
            }
            Certificate::Folder(folder) => {
                let pairs = pairs(&folder.path);
                if pairs.is_empty() {
                    let message = format!("no certificate with its key in `{}`", folder.path.display());
                    let help = "a pair is `NAME.crt`, `NAME.pem` or `NAME.cer` with `NAME.key`, or `fullchain.pem` with `privkey.pem`";
                    findings.push(located(message, folder.span).help(help));
                }
                for (cert, key) in pairs {
                    let place = |path| LocatedPath { path, span: folder.span };
                    all.extend(identity(&place(cert), &place(key), None, &[], now, findings));
                }
            }
        }
    }
    all
}

fn identity(
    cert: &LocatedPath,
    key: &LocatedPath,
    ocsp: Option<&LocatedPath>,
    names: &[&str],
    now: u64,
    findings: &mut Vec<Diagnostic>,
) -> Option<Arc<Identity>> {
    let (chain, secret) = (read(&cert.path, cert.span, findings), read(&key.path, key.span, findings));
    let staple = match ocsp {
        Some(place) => Some(read(&place.path, place.span, findings)?),
        None => None,
    };
    let mut identity = match Identity::load(&chain?, &secret?, staple.as_deref(), now) {
        Ok(identity) => identity,
        Err(why) => {
            findings.push(located(format!("`{}`: {why}", cert.path.display()), cert.span));
            return None;
        }
    };
    if !names.is_empty() {
        identity = identity.named(names.iter().copied());
    }
    for warning in identity.warnings() {
        let warning = Diagnostic::warning(format!("`{}`: {warning}", cert.path.display()));
        findings.push(match cert.span {
            Some(span) => warning.at(span, ""),
            None => warning,
        });
    }
    Some(Arc::new(identity))
}

fn read(path: &Path, span: Option<Span>, findings: &mut Vec<Diagnostic>) -> Option<Vec<u8>> {
    let content = match std::fs::metadata(path) {
        Ok(facts) if facts.len() > FILE_MOST => Err(format!("is larger than {} MiB", FILE_MOST >> 20)),
        Ok(_) => std::fs::read(path).map_err(|error| format!("cannot be read: {error}")),
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    content.map_err(|why| findings.push(located(format!("`{}` {why}", path.display()), span))).ok()
}

/// Certificates with their keys in a folder and, as certbot has them, in its folders; in the order of their names.
fn pairs(folder: &Path) -> Vec<(PathBuf, PathBuf)> {
    let entries = |folder: &Path| -> BTreeSet<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    let whole = |folder: &Path| (folder.join("fullchain.pem"), folder.join("privkey.pem"));
    let mut pairs = vec![whole(folder)];
    for path in entries(folder) {
        if path.is_dir() {
            pairs.push(whole(&path));
        } else if path.extension().is_some_and(|kind| kind == "crt" || kind == "pem" || kind == "cer") {
            pairs.push((path.clone(), path.with_extension("key")));
        }
    }
    pairs.retain(|(cert, key)| cert.is_file() && key.is_file());
    pairs
}
