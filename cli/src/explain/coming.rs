//! How does a request come in: by which listener, is it sent to https there, and which certificate does it see?

use std::net::IpAddr;

use anygate_core::config::{ClientAuth, Config, HttpsRedirect, Listen};
use anygate_route::Request;
use anygate_serve::hsts::Hsts;
use anygate_serve::plan::Plan;

/// The scheme of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// That of `METHOD TARGET`, where the target names one.
    pub(super) fn of(text: &str) -> Option<Self> {
        let target = text.split_ascii_whitespace().nth(1)?;
        match target.split_once("://")?.0 {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// How a request comes in.
pub(super) struct Coming<'a> {
    pub(super) config: &'a Config,
    /// What is served, where the configuration is not refused.
    pub(super) plan: Option<&'a Plan>,
    pub(super) scheme: Option<Scheme>,
    pub(super) request: &'a Request,
}

impl Coming<'_> {
    /// Where it is sent in place of being served.
    pub(super) fn redirected(&self) -> Option<String> {
        let (listen, to) = self.redirect().filter(|_| self.scheme == Some(Scheme::Http))?;
        Some(format!("{} to {}, from every request on {}", to.status, self.location(to), listen.addr))
    }

    /// What is said of the way in: a label, and a text for each.
    pub(super) fn said(&self) -> Vec<(&'static str, String)> {
        let mut said = Vec::new();
        match self.scheme {
            Some(Scheme::Https) => self.secured(&mut said),
            Some(Scheme::Http) => {
                if self.config.server.listen.iter().all(|listen| listen.tls.is_some()) {
                    said.push(("http", "no listener is without TLS: the answer is 400".to_owned()));
                }
            }
            None => {
                if let Some((listen, to)) = self.redirect() {
                    said.push(("http", format!("{} to {} on {}", to.status, self.location(to), listen.addr)));
                }
            }
        }
        said
    }

    fn secured(&self, said: &mut Vec<(&'static str, String)>) {
        let Some(listen) = self.listener(|listen| listen.tls.is_some(), Scheme::Https) else {
            return said.push(("tls", "no listener speaks TLS: there is no connection".to_owned()));
        };
        // An address is not asked for in a handshake.
        let name = Some(self.host().0)
            .filter(|host| !host.is_empty() && host.trim_matches(['[', ']']).parse::<IpAddr>().is_err());
        if let Some(shown) = self.plan.and_then(|plan| plan.front(&listen.addr).shown(name)) {
            said.push(("tls", format!("{} shows the certificate of {}", listen.addr, shown.certificate)));
            if !shown.is_for_name {
                said.push(("", format!("there is none for {}: this is the default", self.host().0)));
            }
        }
        match self.config.tls_for(listen).map(|tls| tls.client_auth) {
            Some(ClientAuth::Required) => {
                said.push(("", "a client without a certificate gets no connection".to_owned()));
            }
            Some(ClientAuth::Optional) => said.push(("", "a client may show a certificate".to_owned())),
            _ => {}
        }
        if let Some(hsts) = &self.config.tls.hsts {
            said.push(("adds", format!("{}: {hsts}", Hsts::NAME)));
        }
    }

    /// The listener that sends it to https.
    fn redirect(&self) -> Option<(&Listen, HttpsRedirect)> {
        let plain = |listen: &Listen| listen.tls.is_none();
        let listen = self.listener(plain, Scheme::Http)?;
        let to = listen.redirect?;
        let meant = self.is_meant(listen, Scheme::Http);
        // Where it is not known which listener is meant, all of them must do the same.
        let all = || self.config.server.listen.iter().filter(|listen| plain(listen)).all(|one| one.redirect.is_some());
        (meant || all()).then_some((listen, to))
    }

    /// The listener of this kind that is meant by the request's port, or else the first one.
    fn listener(&self, kind: impl Fn(&Listen) -> bool, scheme: Scheme) -> Option<&Listen> {
        let mut of_kind = self.config.server.listen.iter().filter(|listen| kind(listen));
        of_kind.clone().find(|listen| self.is_meant(listen, scheme)).or_else(|| of_kind.next())
    }

    fn is_meant(&self, listen: &Listen, scheme: Scheme) -> bool {
        self.scheme == Some(scheme) && listen.addr.port() == Some(self.host().1.unwrap_or_else(|| scheme.port()))
    }

    /// Host and port; an IPv6 address keeps its brackets.
    fn host(&self) -> (&str, Option<u16>) {
        let authority = self.request.host.as_str();
        match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            _ => (authority, None),
        }
    }

    fn location(&self, to: HttpsRedirect) -> String {
        let host = Some(self.host().0).filter(|host| !host.is_empty()).unwrap_or("HOST");
        let port = if to.port == Scheme::Https.port() { String::new() } else { format!(":{}", to.port) };
        let query = self.request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("https://{host}{port}{}{query}", self.request.path)
    }
}
