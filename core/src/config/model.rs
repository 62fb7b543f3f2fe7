//! What does a configuration say, once it is read? The model every other crate compiles from.
//!
//! The model holds values, never text to be parsed again; what the route language must still read
//! (heads, actions, expectations) is kept as [`Located`] text. Times are [`Duration`]s, sizes bytes,
//! rates bytes a second; a limit that is switched off is `None`. Keys that belong to a later version have no
//! field here: the loader refuses them.

use std::path::PathBuf;

use ipnet::IpNet;

use crate::diagnostic::Located;

mod h2;
mod log;
mod proxy;
mod server;
mod statics;
mod tls;

pub use h2::Http2;
pub use log::{Log, LogFormat, LogLevel};
pub use proxy::{Balance, HostHeader, Proxy, ProxyOverrides, Upstream, UpstreamAddr, UpstreamServer};
pub use server::{CoreList, HttpsRedirect, Io, Listen, ListenAddr, Server, Steer};
pub use statics::{CacheControl, Hidden, Spa, Static, StaticOverrides, Symlinks};
pub use tls::{
    Acme, AcmeChallenge, Certificate, CertificatePair, ClientAuth, ClientDemand, Hsts, ListenTls, ListenerTls,
    LocatedName, LocatedPath, Ocsp, Tls, TlsProfile,
};

/// A whole configuration: the file, what it includes, the environment's overrides and the `-r` rules.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Listeners, cores, limits and timeouts of the connections from clients.
    pub server: Server,
    /// Certificates, versions and handshakes of the listeners with `tls: true`.
    pub tls: Tls,
    /// What the echo action returns.
    pub echo: Echo,
    /// Named pools, in file order.
    pub upstreams: Vec<Upstream>,
    /// Defaults of every proxy route, the top-level `proxy` section.
    pub proxy: Proxy,
    /// Defaults of every static route, the top-level `static` section.
    pub statics: Static,
    /// Groups in file order; [`RouteEntry::group`] indexes them.
    pub groups: Vec<Group>,
    /// Every rule: `-r` rules first, then the file's in the order of its text (groups' rules too), then those of included files.
    pub routes: Vec<RouteEntry>,
    /// Tests beside the rules, such as `GET /x -> 405`.
    pub expect: Vec<Located>,
    /// The server's own log.
    pub log: Log,
    /// Folder of the main file, where relative paths start; empty (the current folder) without a file.
    pub base_dir: PathBuf,
    /// Configuration files that were read, the main one first: never to be served, and what a reload reads again.
    pub files: Vec<PathBuf>,
}

/// The `echo` section.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, default)]
pub struct Echo {
    /// First bytes of a request's body that an echo returns, 0 to 1 MiB.
    #[schemars(with = "super::schema::Size", extend("default" = "4KiB"))]
    pub body: usize,
}

/// Rules that share a host, settings or both.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Its name in messages.
    pub name: Option<Located>,
    /// Host of every rule of the group, as written; a rule with a host of its own is then refused by the route language.
    pub host: Option<Located>,
    /// Longest request body in bytes; `Some(None)` lifts the limit, `None` leaves the server's.
    pub max_body_size: Option<Option<u64>>,
    /// Proxy settings of the group's rules.
    pub proxy: ProxyOverrides,
    /// Static settings of the group's rules.
    pub statics: StaticOverrides,
    /// Whether the group's rules need a client certificate; `None` where it says nothing.
    pub client_auth: Option<ClientDemand>,
}

/// One rule as it is written: a head, an action, and its own settings.
#[derive(Debug, Clone)]
pub struct RouteEntry {
    /// Who may come in: `GET /users/:id`.
    pub head: Located,
    /// What happens: `http://users/`.
    pub action: Located,
    /// Index into [`Config::groups`].
    pub group: Option<usize>,
    /// The rule's own settings, from the mapping form of its action.
    pub settings: RouteSettings,
    /// Folder of the file it was written in, where its relative paths start.
    pub base_dir: PathBuf,
}

/// One rule's own settings: `{to: …, timeout: 5s, headers: {…}, max_body_size: …, client_auth: …, proxy: {…}, static: {…}}`.
#[derive(Debug, Clone, Default)]
pub struct RouteSettings {
    /// Fields added to the answer, in file order: name and value.
    pub headers: Vec<(Located, Located)>,
    /// Longest request body in bytes; `Some(None)` lifts the limit, `None` leaves the group's or the server's.
    pub max_body_size: Option<Option<u64>>,
    /// Proxy settings; `timeout` beside `to` is `proxy.timeout`.
    pub proxy: ProxyOverrides,
    /// Static settings.
    pub statics: StaticOverrides,
    /// Whether the rule needs a client certificate; `None` leaves what its group says.
    pub client_auth: Option<ClientDemand>,
}

impl Config {
    /// Proxy settings of a rule: the defaults, then its group's, its upstream's and its own, the later winning.
    #[must_use]
    pub fn proxy_for(&self, route: &RouteEntry) -> Proxy {
        let mut proxy = self.proxy.clone();
        if let Some(group) = self.group_of(route) {
            group.proxy.apply(&mut proxy);
        }
        if let Some(upstream) = self.upstream_of(route) {
            upstream.proxy.apply(&mut proxy);
        }
        route.settings.proxy.apply(&mut proxy);
        proxy
    }

    /// Static settings of a rule: the defaults, then its group's and its own, the later winning.
    #[must_use]
    pub fn static_for(&self, route: &RouteEntry) -> Static {
        let mut statics = self.statics.clone();
        if let Some(group) = self.group_of(route) {
            group.statics.apply(&mut statics);
        }
        route.settings.statics.apply(&mut statics);
        statics
    }

    /// Longest request body of a rule in bytes, `None` for no limit.
    #[must_use]
    pub fn max_body_size_for(&self, route: &RouteEntry) -> Option<u64> {
        let group = self.group_of(route).and_then(|group| group.max_body_size);
        route.settings.max_body_size.or(group).unwrap_or(self.server.max_body_size)
    }

    /// Whether a rule needs a client certificate that verified: `Required` or `None`. Checked after the match.
    #[must_use]
    pub fn client_auth_for(&self, route: &RouteEntry) -> ClientAuth {
        match self.client_demand_of(route) {
            Some(demand) if demand.required => ClientAuth::Required,
            _ => ClientAuth::None,
        }
    }

    /// What a rule, or else its group, says of client certificates.
    pub(super) fn client_demand_of(&self, route: &RouteEntry) -> Option<ClientDemand> {
        route.settings.client_auth.or_else(|| self.group_of(route)?.client_auth)
    }

    /// What counts for a listener that speaks TLS: its own settings, then the section's; `None` for a plain one.
    #[must_use]
    pub fn tls_for(&self, listen: &Listen) -> Option<ListenerTls> {
        let own = listen.tls.as_ref()?;
        let client_auth = own.client_auth.unwrap_or(self.tls.client_auth);
        let client_ca = own.client_ca.clone().or_else(|| self.tls.client_ca.clone());
        Some(ListenerTls {
            profile: own.profile.unwrap_or(self.tls.profile),
            client_auth,
            client_ca: client_ca.filter(|_| client_auth != ClientAuth::None),
        })
    }

    /// Files that no rule may serve, wherever they lie: the configuration's own, and the private keys it names. Those of a
    /// folder of certificates are known to who reads the folder.
    #[must_use]
    pub fn never_served(&self) -> Vec<PathBuf> {
        let keys = self.tls.certificates.iter().filter_map(|certificate| match certificate {
            Certificate::Pair(pair) => Some(pair.key.path.clone()),
            Certificate::Folder(_) => None,
        });
        self.files.iter().cloned().chain(keys).collect()
    }

    /// The group a rule stands in.
    #[must_use]
    pub fn group_of(&self, route: &RouteEntry) -> Option<&Group> {
        self.groups.get(route.group?)
    }

    /// The pool a proxy rule names: its first target whose host, without a port, is declared under `upstreams`.
    #[must_use]
    pub fn upstream_of(&self, route: &RouteEntry) -> Option<&Upstream> {
        route.action.text.split_ascii_whitespace().find_map(|target| {
            let (_, rest) = target.split_once("://")?;
            let host = rest.split(['/', '?', '#']).next()?;
            self.upstreams.iter().find(|upstream| upstream.name.text.eq_ignore_ascii_case(host))
        })
    }

    /// True when forwarding fields of a peer with this address are believed; IPv4-mapped addresses count as IPv4.
    #[must_use]
    pub fn trusts(&self, peer: std::net::IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.server.trust.iter().any(|net: &IpNet| net.contains(&peer))
    }
}

impl Default for Echo {
    fn default() -> Self {
        Self { body: 4 * 1024 }
    }
}
