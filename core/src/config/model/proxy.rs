//! What do the `proxy` and `upstreams` sections say: how to reach a backend, and which backends there are?

use std::path::PathBuf;
use std::time::Duration;

use crate::config::schema;
use crate::diagnostic::{Located, Span};

/// Settings of a proxy route.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, default)]
pub struct Proxy {
    /// Longest wait for a connection to a server (504).
    #[schemars(with = "schema::Time", extend("default" = "2s"))]
    pub connect_timeout: Duration,
    /// Longest wait for the first byte of a response, counted from the request's last (504).
    #[schemars(with = "schema::Time", extend("default" = "30s"))]
    pub first_byte_timeout: Duration,
    /// Longest wait between two reads of a response.
    #[schemars(with = "schema::Time", extend("default" = "30s"))]
    pub read_timeout: Duration,
    /// Longest wait between two writes of a request that make progress.
    #[schemars(with = "schema::Time", extend("default" = "30s"))]
    pub write_timeout: Duration,
    /// Longest whole exchange (504); 0 for no limit.
    #[schemars(with = "schema::TimeOrOff", extend("default" = 0))]
    pub timeout: Option<Duration>,
    /// Longest silence of a tunnel, such as a WebSocket.
    #[schemars(with = "schema::Time", extend("default" = "1h"))]
    pub tunnel_timeout: Duration,
    /// Whether `X-Forwarded-For`, `-Host` and `-Proto` are sent.
    #[schemars(extend("default" = true))]
    pub x_forwarded: bool,
    /// Whether `Forwarded` (RFC 7239) is sent.
    #[schemars(extend("default" = false))]
    pub forwarded: bool,
    /// Whether `Via` is appended.
    #[schemars(extend("default" = true))]
    pub via: bool,
    /// The `Host` a server sees: `keep` the client's, `target` for the target's own, or a value.
    #[schemars(with = "String", extend("default" = "keep"))]
    pub host: HostHeader,
    /// Most further tries where a retry is safe, 0 to 10.
    #[schemars(extend("default" = 1))]
    pub retries: u32,
    /// Whether a client's certificate is sent as `Client-Cert` and `Client-Cert-Chain` (RFC 9440).
    #[schemars(extend("default" = false))]
    pub client_cert: bool,
}

/// Proxy settings of a group, an upstream or a rule; `None` leaves what was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyOverrides {
    /// See [`Proxy::connect_timeout`].
    pub connect_timeout: Option<Duration>,
    /// See [`Proxy::first_byte_timeout`].
    pub first_byte_timeout: Option<Duration>,
    /// See [`Proxy::read_timeout`].
    pub read_timeout: Option<Duration>,
    /// See [`Proxy::write_timeout`].
    pub write_timeout: Option<Duration>,
    /// See [`Proxy::timeout`]; `Some(None)` lifts it.
    pub timeout: Option<Option<Duration>>,
    /// See [`Proxy::tunnel_timeout`].
    pub tunnel_timeout: Option<Duration>,
    /// See [`Proxy::x_forwarded`].
    pub x_forwarded: Option<bool>,
    /// See [`Proxy::forwarded`].
    pub forwarded: Option<bool>,
    /// See [`Proxy::via`].
    pub via: Option<bool>,
    /// See [`Proxy::host`].
    pub host: Option<HostHeader>,
    /// See [`Proxy::retries`].
    pub retries: Option<u32>,
    /// See [`Proxy::client_cert`].
    pub client_cert: Option<bool>,
}

/// The `Host` a server sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostHeader {
    /// The client's.
    #[default]
    Keep,
    /// The target's host, and its port where the URL has one.
    Target,
    /// This one.
    Value(String),
}

/// A named pool of servers.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// The name routes use as a host.
    pub name: Located,
    /// Its servers in file order, at least one.
    pub servers: Vec<UpstreamServer>,
    /// How a request's server is chosen.
    pub balance: Balance,
    /// Most idle connections, divided among the shards.
    pub keep_alive: usize,
    /// Proxy settings of every route that goes there.
    pub proxy: ProxyOverrides,
}

/// One server of a pool.
#[derive(Debug, Clone)]
pub struct UpstreamServer {
    /// Where it listens.
    pub addr: UpstreamAddr,
    /// Where it is written.
    pub span: Span,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpstreamAddr {
    /// A name or address (IPv6 without brackets) and a port; without one, the target's scheme decides.
    Tcp {
        /// Name or address.
        host: String,
        /// Port, where one is written.
        port: Option<u16>,
    },
    /// A unix stream socket.
    Unix(PathBuf),
}

/// How a request's server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
}

impl Upstream {
    /// `keep_alive` where it is not given.
    pub const KEEP_ALIVE: usize = 256;
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            first_byte_timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            timeout: None,
            tunnel_timeout: Duration::from_secs(3600),
            x_forwarded: true,
            forwarded: false,
            via: true,
            host: HostHeader::Keep,
            retries: 1,
            client_cert: false,
        }
    }
}

impl ProxyOverrides {
    /// Writes what is given over `proxy`.
    pub fn apply(&self, proxy: &mut Proxy) {
        put(&mut proxy.connect_timeout, &self.connect_timeout);
        put(&mut proxy.first_byte_timeout, &self.first_byte_timeout);
        put(&mut proxy.read_timeout, &self.read_timeout);
        put(&mut proxy.write_timeout, &self.write_timeout);
        put(&mut proxy.timeout, &self.timeout);
        put(&mut proxy.tunnel_timeout, &self.tunnel_timeout);
        put(&mut proxy.x_forwarded, &self.x_forwarded);
        put(&mut proxy.forwarded, &self.forwarded);
        put(&mut proxy.via, &self.via);
        put(&mut proxy.host, &self.host);
        put(&mut proxy.retries, &self.retries);
        put(&mut proxy.client_cert, &self.client_cert);
    }
}

/// Writes `new`, where there is one, over `old`.
pub(super) fn put<T: Clone>(old: &mut T, new: &Option<T>) {
    if let Some(new) = new {
        old.clone_from(new);
    }
}
