//! What do TLS listeners begin their connections with? Certificates and authorities are read here, at load and at every
//! reload.

use std::path::PathBuf;
use std::sync::Arc;

use anygate_core::Diagnostic;
use anygate_core::config::{Certificate, ClientAuth, Config, ListenAddr, ListenerTls, TlsProfile};
use anygate_proto::tls::{self, Profile, Settings};

use super::acme;
use crate::connection::h2;
use crate::tls::files::{self, located};
use crate::tls::{Credentials, Front, keys, stand_in};

/// Protocols that are spoken over TLS, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [h2::PROTOCOL, b"http/1.1"];

/// How the connections of each listener begin, and the certificates they do so with; a listener whose setting is wrong is
/// left out.
pub(super) fn fronts(config: &Config, findings: &mut Vec<Diagnostic>) -> (Vec<(ListenAddr, Front)>, Credentials) {
    let (now, _) = anygate_shard::wall_clock();
    let is_tls = config.server.listen.iter().any(|listen| listen.tls.is_some());
    let mut credentials = if is_tls { Credentials::load(config, now, findings) } else { Credentials::default() };
    if let Some(settings) = config.tls.acme.as_ref().filter(|_| is_tls)
        && let Some(identity) = acme::identity(settings, now, findings)
    {
        credentials.give(acme::GIVER, identity);
    }
    if config.tls.self_signed && is_tls {
        match stand_in::identity(config, now) {
            Ok(identity) => credentials.give(stand_in::GIVER, identity),
            Err(why) => findings.push(located(format!("no certificate can be made: {why}"), None)),
        }
    }
    let mut made: Vec<((ListenerTls, bool), Option<Settings>)> = Vec::new();
    let mut fronts = Vec::new();
    for listen in &config.server.listen {
        let front = match config.tls_for(listen) {
            None => Front { redirect: listen.redirect, h2: listen.h2, ..Front::default() },
            Some(wanted) => {
                let wanted = (wanted, listen.h2);
                let known = made.iter().find(|(other, _)| *other == wanted).map(|(_, made)| made.clone());
                let settings = known.unwrap_or_else(|| {
                    let settings = settings(config, &wanted.0, wanted.1, now, &mut credentials, findings);
                    made.push((wanted.clone(), settings.clone()));
                    settings
                });
                let Some(settings) = settings else { continue };
                match credentials.listen(&listen.addr, settings, wanted.0.client_ca.as_ref()) {
                    Ok(tls) => {
                        let names = Some(Arc::clone(credentials.resolver()));
                        Front { tls: Some(tls), names, h2: listen.h2, ..Front::default() }
                    }
                    Err(why) => {
                        findings.push(located(why.to_string(), listen.span));
                        continue;
                    }
                }
            }
        };
        fronts.push((listen.addr.clone(), front));
    }
    (fronts, credentials)
}

/// Files that no rule serves: configurations, and the keys of certificates, those in folders included.
pub(super) fn never_served(config: &Config) -> Vec<PathBuf> {
    let mut hidden = config.never_served();
    for certificate in &config.tls.certificates {
        if let Certificate::Folder(folder) = certificate {
            hidden.extend(files::keys(&folder.path));
        }
    }
    hidden.extend(config.tls.acme.iter().flat_map(acme::never_served));
    hidden
}

fn settings(
    config: &Config,
    wanted: &ListenerTls,
    h2: bool,
    now: u64,
    credentials: &mut Credentials,
    findings: &mut Vec<Diagnostic>,
) -> Option<Settings> {
    let authorities = match &wanted.client_ca {
        None => None,
        Some(place) => Some(credentials.believe(place, now).map_err(|why| findings.push(*why)).ok()?),
    };
    let lifetime = u32::try_from(config.tls.ticket_lifetime.as_secs()).unwrap_or(u32::MAX);
    Some(Settings {
        profile: match wanted.profile {
            TlsProfile::Modern => Profile::Modern,
            TlsProfile::Intermediate => Profile::Intermediate,
            TlsProfile::FipsLike => Profile::FipsLike,
        },
        protocols: PROTOCOLS[usize::from(!h2)..].iter().map(|protocol| protocol.to_vec()).collect(),
        client_auth: match (wanted.client_auth, authorities) {
            (ClientAuth::Optional, Some(authorities)) => tls::ClientAuth::Optional(authorities),
            (ClientAuth::Required, Some(authorities)) => tls::ClientAuth::Required(authorities),
            _ => tls::ClientAuth::None,
        },
        // A session may bring early data once, which a ticket cannot assure (RFC 8446 §8).
        tickets: if config.tls.session_tickets && !config.tls.early_data { keys::tickets(lifetime, now) } else { None },
        early_data: config.tls.early_data,
        sessions: (config.tls.session_cache > 0).then(|| keys::sessions(config.tls.session_cache, lifetime, now)),
        ..Settings::default()
    })
}
