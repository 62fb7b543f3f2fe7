//! What does the `tls` section say?

use std::path::Path;
use std::time::Duration;

use crate::config::model::{
    Acme, AcmeChallenge, Certificate, CertificatePair, ClientAuth, ClientDemand, Hsts, LocatedName, LocatedPath, Ocsp,
    Tls, TlsProfile,
};
use crate::config::node::{Node, Value};
use crate::config::report::Report;
use crate::diagnostic::Diagnostic;
use crate::limits;

use super::scalar;
use super::table::Table;

mod check;

pub(in crate::config) use check::check;
pub(super) use check::no_authorities;

/// The least `ticket_lifetime`.
const TICKET_LIFETIME_MIN: Duration = Duration::from_secs(60);
/// The most `ticket_lifetime` (RFC 8446 §4.6.1).
const TICKET_LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Reads the section over `tls`.
pub(super) fn read(node: &Node, base_dir: &Path, tls: &mut Tls, report: &mut Report) {
    let Some(mut table) = Table::open(node, "tls", report) else { return };
    table.set("certificates", &mut tls.certificates, |node, report| certificates(node, base_dir, report));
    table.set("profile", &mut tls.profile, profile);
    table.set("client_auth", &mut tls.client_auth, client_auth);
    table.set("client_ca", &mut tls.client_ca, |node, report| path_or_none(node, base_dir, report));
    table.set("session_tickets", &mut tls.session_tickets, scalar::boolean);
    table.set("ticket_lifetime", &mut tls.ticket_lifetime, |node, report| {
        let time = scalar::timeout(node, report)?;
        if (TICKET_LIFETIME_MIN..=TICKET_LIFETIME_MAX).contains(&time) {
            return Some(time);
        }
        report.push(scalar::expected(node, "a duration from 1m to 7d"));
        None
    });
    table.set("session_cache", &mut tls.session_cache, |node, report| {
        scalar::count(node, 0, limits::TLS_SESSIONS as u64, report).map(|count| count as usize)
    });
    table.set("early_data", &mut tls.early_data, scalar::boolean);
    table.set("handshake_timeout", &mut tls.handshake_timeout, scalar::timeout);
    table.set("max_handshakes_per_ip", &mut tls.max_handshakes_per_ip, scalar::limit);
    table.set("ocsp", &mut tls.ocsp, ocsp);
    table.set("hsts", &mut tls.hsts, |node, report| off_or(node, "{max_age: 1y}", report, hsts));
    table.set("acme", &mut tls.acme, |node, report| {
        off_or(node, "{domains: [example.com]}", report, |node, report| acme(node, base_dir, report))
    });
    table.close();
}

/// `modern`, `intermediate` or `fips-like`.
pub(super) fn profile(node: &Node, report: &mut Report) -> Option<TlsProfile> {
    let words = [
        ("modern", TlsProfile::Modern),
        ("intermediate", TlsProfile::Intermediate),
        ("fips-like", TlsProfile::FipsLike),
    ];
    let version = node.as_scalar().is_some_and(|scalar| scalar.text.to_ascii_uppercase().starts_with("TLS"));
    if version {
        let help = "`modern` is TLS 1.3 alone, `intermediate` 1.2 and 1.3";
        report.push(scalar::expected(node, "one of `modern`, `intermediate`, `fips-like`").help(help));
        return None;
    }
    scalar::word(node, &words, report)
}

/// `none`, `optional` or `required`.
pub(super) fn client_auth(node: &Node, report: &mut Report) -> Option<ClientAuth> {
    let words = [("none", ClientAuth::None), ("optional", ClientAuth::Optional), ("required", ClientAuth::Required)];
    scalar::word(node, &words, report)
}

/// What a group or a rule says: `none` or `required`.
pub(super) fn demand(node: &Node, report: &mut Report) -> Option<ClientDemand> {
    if node.located().is_some_and(|word| word.text == "optional") {
        report.push(
            scalar::expected(node, "one of `none`, `required`").help(
                "a rule needs a certificate or does not; whether one is asked for is the listener's `client_auth`",
            ),
        );
        return None;
    }
    let required = scalar::word(node, &[("none", false), ("required", true)], report)?;
    Some(ClientDemand { required, span: node.span })
}

/// The path of a file or folder.
pub(super) fn path(node: &Node, base_dir: &Path, report: &mut Report) -> Option<LocatedPath> {
    let place = scalar::text(node, report)?;
    if place.text.is_empty() || place.text.contains('\0') {
        report.push(Diagnostic::error("expected a path").at(place.span, ""));
        return None;
    }
    Some(LocatedPath { path: base_dir.join(&place.text), span: Some(place.span) })
}

/// The same; nothing stands for none.
pub(super) fn path_or_none(node: &Node, base_dir: &Path, report: &mut Report) -> Option<Option<LocatedPath>> {
    match node.value {
        Value::Null => Some(None),
        _ => path(node, base_dir, report).map(Some),
    }
}

/// One certificate or folder, or a list of them.
fn certificates(node: &Node, base_dir: &Path, report: &mut Report) -> Option<Vec<Certificate>> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Null => &[],
        _ => std::slice::from_ref(node),
    };
    if items.len() > limits::CERTIFICATES {
        let message = format!("more than {} certificates", limits::CERTIFICATES);
        report.push(Diagnostic::error(message).at(node.span, "").help("put them into a folder, and name that"));
        return None;
    }
    let mut list: Vec<Certificate> = Vec::with_capacity(items.len());
    for node in items {
        let Some(certificate) = certificate(node, base_dir, report) else { continue };
        let (first, again) = (list.iter().find(|first| first.place() == certificate.place()), certificate.place());
        if let Some(first) = first {
            let message = format!("`{}` stands here twice", again.path.display());
            report.push(twice(Diagnostic::error(message).help("keep one of them"), again, first.place()));
            continue;
        }
        list.push(certificate);
    }
    Some(list)
}

/// Points at both places of what stands in a list twice.
fn twice(diagnostic: Diagnostic, again: &LocatedPath, first: &LocatedPath) -> Diagnostic {
    let (Some(again), Some(first)) = (again.span, first.span) else { return diagnostic };
    diagnostic.at(again, "again").and_at(first, "first here")
}

/// A folder as a text, or a mapping with a certificate and its key.
fn certificate(node: &Node, base_dir: &Path, report: &mut Report) -> Option<Certificate> {
    match &node.value {
        Value::Scalar(_) => {
            let folder = path(node, base_dir, report)?;
            let end = folder.path.extension().and_then(|end| end.to_str()).unwrap_or("");
            if ["pem", "crt", "cer", "key"].contains(&end) {
                report.push(
                    Diagnostic::error("a certificate without its key")
                        .at(node.span, "a text names a folder")
                        .help("write `{cert: FILE, key: FILE}`; where one file holds both, name it twice"),
                );
                return None;
            }
            return Some(Certificate::Folder(folder));
        }
        Value::Map(_) => {}
        _ => {
            report.push(scalar::expected(node, "a certificate").help("write `{cert: FILE, key: FILE}`, or a folder"));
            return None;
        }
    }
    let mut table = Table::open(node, "a certificate", report)?;
    let (cert, key) = (table.take("cert"), table.take("key"));
    let (mut ocsp, mut names) = (None, Vec::new());
    table.set("ocsp", &mut ocsp, |node, report| path_or_none(node, base_dir, report));
    table.set("names", &mut names, |node, report| self::names(node, true, report));
    let pair = match (cert, key) {
        (Some(cert), Some(key)) => {
            let cert = path(&cert.value, base_dir, table.report());
            let key = path(&key.value, base_dir, table.report());
            cert.zip(key)
        }
        (cert, _) => {
            let (message, help) = if cert.is_some() {
                ("a certificate without `key`", "give it `key: FILE`; where one file holds both, name it twice")
            } else {
                ("a certificate without `cert`", "write `{cert: FILE, key: FILE}`, or the path of a folder")
            };
            table.missing(Diagnostic::error(message).at(node.span, "this certificate").help(help));
            None
        }
    };
    table.close();
    let (cert, key) = pair?;
    Some(Certificate::Pair(CertificatePair { cert, key, ocsp, names }))
}

/// One host name or a list of them, each once.
fn names(node: &Node, wildcards: bool, report: &mut Report) -> Option<Vec<LocatedName>> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Null => &[],
        _ => std::slice::from_ref(node),
    };
    let mut names: Vec<LocatedName> = Vec::new();
    for node in items {
        let Some(name) = name(node, wildcards, report) else { continue };
        if let Some(first) = names.iter().find(|first| **first == name) {
            report.push(
                Diagnostic::error(format!("`{}` stands here twice", name.as_str()))
                    .at(name.0.span, "again")
                    .and_at(first.0.span, "first here")
                    .help("keep one of them"),
            );
            continue;
        }
        names.push(name);
    }
    Some(names)
}

/// A host name (RFC 1123 §2.1, and `_`), perhaps with `*` for its first label.
fn name(node: &Node, wildcards: bool, report: &mut Report) -> Option<LocatedName> {
    let mut place = scalar::text(node, report)?;
    place.text.make_ascii_lowercase();
    let wildcard = place.text.strip_prefix("*.");
    if wildcard.is_some() && !wildcards {
        report.push(
            Diagnostic::error("a wildcard cannot be shown to be ours by this challenge")
                .at(place.span, "")
                .help("write each name"),
        );
        return None;
    }
    let name = wildcard.unwrap_or(&place.text);
    let label = |label: &str| {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(valid) && !label.starts_with('-') && !label.ends_with('-')
    };
    let address = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if name.len() <= 253 && name.split('.').all(label) && !address {
        return Some(LocatedName(place));
    }
    let diagnostic = Diagnostic::error(format!("{} is not a host name", scalar::quote(&place.text))).at(place.span, "");
    report.push(if name.contains('*') {
        diagnostic.help("a `*` stands for the whole first label alone: `*.example.com`")
    } else if !name.is_ascii() {
        diagnostic.help("write its ASCII form, `xn--…`")
    } else if address || name.contains(':') {
        diagnostic.help("clients ask for a name, never for an address or a port")
    } else {
        diagnostic
    });
    None
}

/// `off`, or a mapping such as `example`.
fn off_or<T>(
    node: &Node,
    example: &str,
    report: &mut Report,
    read: impl FnOnce(&Node, &mut Report) -> Option<T>,
) -> Option<Option<T>> {
    match &node.value {
        Value::Scalar(word) if word.text == "off" => Some(None),
        Value::Map(_) => read(node, report).map(Some),
        _ => {
            report.push(scalar::expected(node, "`off` or a mapping").help(format!("write `{example}`")));
            None
        }
    }
}

fn ocsp(node: &Node, report: &mut Report) -> Option<Ocsp> {
    let mut ocsp = Ocsp::default();
    let mut table = Table::open(node, "ocsp", report)?;
    table.set("stapling", &mut ocsp.stapling, scalar::boolean);
    table.close();
    Some(ocsp)
}

fn hsts(node: &Node, report: &mut Report) -> Option<Hsts> {
    let mut hsts = Hsts::default();
    let mut table = Table::open(node, "hsts", report)?;
    table.set("max_age", &mut hsts.max_age, |node, report| scalar::duration(node, limits::HSTS_MAX_AGE, report));
    table.set("include_subdomains", &mut hsts.include_subdomains, scalar::boolean);
    let preload = table.take("preload");
    if let Some(entry) = preload {
        hsts.preload = scalar::boolean(&entry.value, table.report())?;
        if hsts.preload && (hsts.max_age < Hsts::PRELOAD_AGE || !hsts.include_subdomains) {
            table.report().push(
                Diagnostic::error("`preload` wants a `max_age` of at least `1y`, and `include_subdomains: true`")
                    .at(entry.key.span, "no browser would build this in")
                    .help("write `{max_age: 1y, include_subdomains: true, preload: true}`, or remove `preload`"),
            );
        }
    }
    table.close();
    Some(hsts)
}

fn acme(node: &Node, base_dir: &Path, report: &mut Report) -> Option<Acme> {
    let mut acme = Acme {
        email: None,
        domains: Vec::new(),
        directory: Acme::LETSENCRYPT.to_owned(),
        storage: LocatedPath::new(Acme::STORAGE),
        challenge: AcmeChallenge::default(),
        ca: None,
    };
    let mut table = Table::open(node, "acme", report)?;
    table.opt("email", &mut acme.email, email);
    let domains = table.take("domains");
    table.set("directory", &mut acme.directory, directory);
    table.set("storage", &mut acme.storage, |node, report| path(node, base_dir, report));
    table.set("challenge", &mut acme.challenge, |node, report| {
        scalar::word(node, &[("http-01", AcmeChallenge::Http01), ("tls-alpn-01", AcmeChallenge::TlsAlpn01)], report)
    });
    table.set("ca", &mut acme.ca, |node, report| path_or_none(node, base_dir, report));
    match domains {
        Some(entry) if !empty(&entry.value) => acme.domains = names(&entry.value, false, table.report())?,
        _ => table.missing(
            Diagnostic::error("`acme` without `domains`")
                .at(domains.map_or(node.span, |entry| entry.key.span), "")
                .help("name what the certificate is for: `domains: [example.com, www.example.com]`"),
        ),
    }
    if let Some(name) = acme.domains.iter().find(|name| name.as_str().contains('_')) {
        let diagnostic = Diagnostic::error(format!("no authority certifies {}", scalar::quote(name.as_str())));
        table.report().push(diagnostic.at(name.0.span, "a host's name has no `_`"));
    }
    if acme.domains.len() > limits::ACME_DOMAINS {
        let message = format!("more than {} domains for one certificate", limits::ACME_DOMAINS);
        table.report().push(Diagnostic::error(message).at(node.span, ""));
    }
    table.close();
    Some(acme)
}

/// True for nothing, and for a list with nothing in it.
fn empty(node: &Node) -> bool {
    matches!(&node.value, Value::Null) || matches!(&node.value, Value::List(items) if items.is_empty())
}

/// An address as a `mailto` URL takes it (RFC 8555 §7.3).
fn email(node: &Node, report: &mut Report) -> Option<String> {
    let place = scalar::text(node, report)?;
    let (name, host) = place.text.split_once('@').unwrap_or(("", ""));
    let valid = |c: char| c.is_ascii_graphic() && !"@,?&#%\"<>\\".contains(c);
    if name.is_empty() || host.is_empty() || !name.chars().all(valid) || !host.chars().all(valid) {
        let message = format!("{} is not an e-mail address", scalar::quote(&place.text));
        report.push(Diagnostic::error(message).at(place.span, "").help("write `name@example.com`, alone"));
        return None;
    }
    Some(place.text)
}

/// A word for a known authority, or the https URL of a directory.
fn directory(node: &Node, report: &mut Report) -> Option<String> {
    let place = scalar::text(node, report)?;
    match place.text.as_str() {
        "letsencrypt" => return Some(Acme::LETSENCRYPT.to_owned()),
        "letsencrypt-staging" => return Some(Acme::LETSENCRYPT_STAGING.to_owned()),
        _ => {}
    }
    let host = place.text.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#']).next());
    let graphic = place.text.bytes().all(|byte| byte.is_ascii_graphic());
    if graphic && host.is_some_and(|host| !host.is_empty() && !host.contains('@')) {
        return Some(place.text);
    }
    let help = "write `letsencrypt`, `letsencrypt-staging`, or the URL of a directory, `https://ca.example/directory`";
    report.push(scalar::expected(node, "the directory of an authority").help(help));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;
    use crate::diagnostic::{Sources, render};

    /// What the reader makes of the mapping behind `acme:`, and what it says of it.
    fn read_acme(text: &str) -> (Option<Acme>, Vec<String>) {
        let (mut report, mut sources) = (Report::default(), Sources::new());
        let source = sources.add("anygate.yml", text);
        let node = yaml::parse(source, text, &mut report).expect("it is YAML");
        let acme = acme(&node, Path::new("/etc/gate"), &mut report);
        let said = report.into_list();
        (acme, said.iter().map(|finding| render(&sources, finding, false)).collect())
    }

    #[test]
    fn automatic_certificates_need_nothing_but_their_names() {
        let (acme, said) = read_acme("domains: [Example.com, www.example.com]");
        assert_eq!(said, [""; 0]);
        let acme = acme.expect("it is good");
        let names: Vec<_> = acme.domains.iter().map(LocatedName::as_str).collect();
        assert_eq!(names, ["example.com", "www.example.com"]);
        assert_eq!((acme.directory.as_str(), acme.challenge), (Acme::LETSENCRYPT, AcmeChallenge::Http01));
        assert_eq!((acme.storage.path.as_path(), acme.email, acme.ca), (Path::new(Acme::STORAGE), None, None));
    }

    #[test]
    fn automatic_certificates_may_come_from_any_authority() {
        let text = "{email: a@b.example, domains: a.example, directory: 'https://127.0.0.1:14000/dir', storage: acme, challenge: tls-alpn-01, ca: pebble.pem}";
        let (acme, said) = read_acme(text);
        assert_eq!(said, [""; 0]);
        let acme = acme.expect("it is good");
        assert_eq!(acme.directory, "https://127.0.0.1:14000/dir");
        assert_eq!(acme.storage.path, Path::new("/etc/gate/acme"));
        assert_eq!(acme.ca, Some(LocatedPath::new("/etc/gate/pebble.pem")));
        assert_eq!((acme.challenge, acme.email.as_deref()), (AcmeChallenge::TlsAlpn01, Some("a@b.example")));
        let (acme, _) = read_acme("{domains: [a.example], directory: letsencrypt-staging}");
        assert_eq!(acme.expect("it is good").directory, Acme::LETSENCRYPT_STAGING);
    }

    #[test]
    fn what_an_authority_would_refuse_is_refused_at_once() {
        for (text, expected) in [
            ("{email: a@b.example}", "`acme` without `domains`"),
            ("{domains: []}", "`acme` without `domains`"),
            ("{domains: ['*.example.com']}", "a wildcard cannot be shown to be ours by this challenge"),
            ("{domains: [10.0.0.1]}", "`10.0.0.1` is not a host name"),
            ("{domains: [a_b.example]}", "no authority certifies `a_b.example`"),
            ("{domains: [a.example, A.example]}", "`a.example` stands here twice"),
            ("{domains: [a.example], email: 'a@b.example,c@d.example'}", "is not an e-mail address"),
            ("{domains: [a.example], directory: 'http://ca.example/'}", "expected the directory of an authority"),
            ("{domains: [a.example], challenge: dns-01}", "expected one of `http-01`, `tls-alpn-01`, found `dns-01`"),
            ("{domain: [a.example]}", "did you mean `domains`?"),
        ] {
            let (_, said) = read_acme(text);
            assert!(said.len() == 1 && said[0].contains(expected), "{text}: {said:?}");
        }
    }
}
