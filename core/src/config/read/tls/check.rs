//! Do certificates, listeners and rules fit together? Asked once, when all of them are read.

use crate::config::model::{Acme, AcmeChallenge, ClientAuth, Config, ListenAddr};
use crate::config::node::{Entry, Node, Value};
use crate::config::report::Report;
use crate::diagnostic::{Diagnostic, Span};

use super::empty;

/// Reports what does not fit, and has listeners ask for the certificates that rules demand.
pub(in crate::config) fn check(root: &Node, config: &mut Config, report: &mut Report) {
    ask_for_demanded(root, config);
    without_certificate(root, config, report);
    without_authorities(root, config, report);
    demanded_in_vain(config, report);
    early_without_cache(root, config, report);
    if let Some(acme) = &config.tls.acme {
        challenge_in_vain(root, acme, config, report);
    }
    if !report.has_errors() {
        of_no_effect(root, config, report);
    }
}

/// Where only the authorities are given and a rule demands a certificate, clients are asked and may have none.
fn ask_for_demanded(root: &Node, config: &mut Config) {
    if find(root, &["tls", "client_auth"]).is_some() || demands(config).next().is_none() {
        return;
    }
    if config.tls.client_ca.is_some() {
        config.tls.client_auth = ClientAuth::Optional;
        return;
    }
    for tls in config.server.listen.iter_mut().filter_map(|listen| listen.tls.as_mut()) {
        if tls.client_ca.is_some() && tls.client_auth.is_none() {
            tls.client_auth = Some(ClientAuth::Optional);
        }
    }
}

/// A TLS listener needs a certificate.
fn without_certificate(root: &Node, config: &Config, report: &mut Report) {
    // One that is written and wrong was told of already.
    let written = |key| find(root, &["tls", key]).is_some_and(|entry| !empty(&entry.value) && !is_off(&entry.value));
    if config.tls.self_signed || written("certificates") || written("acme") {
        return;
    }
    let Some((listen, tls)) = config.server.listen.iter().find_map(|listen| Some((listen, listen.tls.as_ref()?)))
    else {
        return;
    };
    let message = format!("the listener `{}` speaks TLS, and there is no certificate", listen.addr);
    let help = "add `tls: {certificates: [{cert: /etc/tls/a.pem, key: /etc/tls/a.key}]}`, or start with `--tls-self-signed` to try it";
    report.push(at(Diagnostic::error(message).help(help), tls.span.or(listen.span), "with which certificate?"));
}

/// A certificate of a client is worth something only by those who vouch for it.
fn without_authorities(root: &Node, config: &Config, report: &mut Report) {
    // One that is written and wrong was told of already.
    if find(root, &["tls", "client_ca"]).is_some_and(|entry| !empty(&entry.value))
        || config.tls.client_auth == ClientAuth::None
    {
        return;
    }
    let mut own = config.server.listen.iter().filter_map(|listen| listen.tls.as_ref()).peekable();
    let covered = own.peek().is_some() && own.all(|tls| tls.client_ca.is_some() || tls.client_auth.is_some());
    if !covered && let Some(entry) = find(root, &["tls", "client_auth"]) {
        report.push(no_authorities(entry.value.span));
    }
}

/// The one wording for clients that are asked for a certificate nobody vouches for.
pub(in crate::config::read) fn no_authorities(span: Span) -> Diagnostic {
    Diagnostic::error("`client_auth` without `client_ca`")
        .at(span, "whose certificates count?")
        .help("name the file of their authorities beside it: `client_ca: /etc/tls/clients.pem`")
}

/// Sessions that bring early data are kept in the cache.
fn early_without_cache(root: &Node, config: &Config, report: &mut Report) {
    if config.tls.early_data
        && config.tls.session_cache == 0
        && let Some(entry) = find(root, &["tls", "session_cache"])
    {
        let diagnostic = Diagnostic::error("`early_data: true` without a session cache").help(
            "each session may bring early data once, so it is kept here: leave `session_cache` out, or say how many",
        );
        report.push(diagnostic.at(entry.value.span, "nothing is kept"));
    }
}

/// A rule that needs a certificate nobody is asked for answers nobody.
fn demanded_in_vain(config: &Config, report: &mut Report) {
    let Some(span) = demands(config).next() else { return };
    let mut listeners = config.server.listen.iter().filter_map(|listen| config.tls_for(listen)).peekable();
    let plain = listeners.peek().is_none();
    if listeners.any(|tls| tls.client_auth != ClientAuth::None) {
        return;
    }
    let (what, help) = if plain {
        ("no listener speaks TLS", "give a listener `tls: true`, and `tls` a `client_ca: FILE`")
    } else {
        ("no listener asks for one", "add `client_ca: FILE` to `tls`: the authorities whose certificates count")
    };
    report.push(
        Diagnostic::error(format!("a client certificate is needed here, and {what}"))
            .at(span, "nobody could meet this")
            .help(help),
    );
}

/// Each demand for a certificate that some rule is under.
fn demands(config: &Config) -> impl Iterator<Item = Span> {
    let rules = config.routes.iter().filter_map(|route| config.client_demand_of(route));
    rules.filter(|demand| demand.required).map(|demand| demand.span)
}

/// An authority asks for `http-01` without TLS.
fn challenge_in_vain(root: &Node, acme: &Acme, config: &Config, report: &mut Report) {
    let plain = |addr: &ListenAddr| !matches!(addr, ListenAddr::Unix(_));
    let reachable = config.server.listen.iter().any(|listen| listen.tls.is_none() && plain(&listen.addr));
    if acme.challenge != AcmeChallenge::Http01 || reachable {
        return;
    }
    let diagnostic = Diagnostic::error("the challenge `http-01` comes without TLS, and no listener is without it")
        .help(
            "listen on `:80` too, which may be `{addr: \":80\", redirect: https}`, or write `challenge: tls-alpn-01`",
        );
    report.push(at(diagnostic, find(root, &["tls", "acme"]).map(|entry| entry.key.span), ""));
}

/// What is written and does nothing, in a configuration that is right otherwise.
fn of_no_effect(root: &Node, config: &Config, report: &mut Report) {
    let listeners = &config.server.listen;
    let section =
        find(root, &["tls"]).filter(|entry| matches!(&entry.value.value, Value::Map(keys) if !keys.is_empty()));
    if !listeners.iter().any(|listen| listen.tls.is_some()) {
        if let Some(entry) = section.filter(|_| !config.tls.self_signed) {
            report.push(
                Diagnostic::warning("`tls` is written, and no listener speaks TLS")
                    .at(entry.key.span, "of no effect")
                    .help("write `server: {listen: [\":80\", {addr: \":443\", tls: true}]}`"),
            );
        }
        if let Some(listen) = listeners.iter().find(|listen| listen.redirect.is_some()) {
            let diagnostic = Diagnostic::warning("requests are sent to https, and no listener speaks TLS");
            report.push(at(diagnostic, listen.span, "redirects").help("give another listener `tls: true`"));
        }
        return;
    }
    let unused = |span: Option<Span>| {
        let diagnostic = Diagnostic::warning("`client_ca` is named, and nobody is asked for a certificate")
            .help("write `client_auth: optional` or `required` beside it, or leave that to the rules that need one");
        at(diagnostic, span, "of no effect")
    };
    for listen in listeners {
        if let (Some(own), Some(tls)) = (&listen.tls, config.tls_for(listen))
            && let Some(authorities) = &own.client_ca
            && tls.client_auth == ClientAuth::None
        {
            report.push(unused(authorities.span));
        }
    }
    if let Some(authorities) = &config.tls.client_ca
        && !listeners.iter().filter_map(|listen| config.tls_for(listen)).any(|tls| tls.client_auth != ClientAuth::None)
    {
        report.push(unused(authorities.span));
    }
}

fn at(diagnostic: Diagnostic, span: Option<Span>, label: &str) -> Diagnostic {
    match span {
        Some(span) => diagnostic.at(span, label),
        None => diagnostic,
    }
}

fn is_off(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(word) if word.text == "off")
}

/// The entry at a path of keys.
fn find<'n>(root: &'n Node, path: &[&str]) -> Option<&'n Entry> {
    let (key, rest) = path.split_first()?;
    let Value::Map(entries) = &root.value else { return None };
    let entry = entries.iter().find(|entry| entry.key.text == *key)?;
    if rest.is_empty() { Some(entry) } else { find(&entry.value, rest) }
}
