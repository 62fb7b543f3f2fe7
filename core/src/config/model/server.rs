//! What does the `server` section say: where to listen, on which cores, and how patient to be with clients?

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::h2::Http2;
use super::tls::ListenTls;
use crate::config::{read, schema};
use crate::diagnostic::Span;

/// The `server` section.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, default)]
pub struct Server {
    /// Where to listen: `:8080` (every address, IPv6 and IPv4), `127.0.0.1:80`, `[::1]:80`, `unix:/run/anygate.sock`, or a list of them.
    #[schemars(with = "schema::OneOrMany<schema::Listener>", extend("default" = ":8080"))]
    pub listen: Vec<Listen>,
    /// Processors to run on, one shard each: `all`, `0-7`, `0,2,4-6`.
    #[schemars(with = "schema::Cores", extend("default" = "all"))]
    pub cores: CoreList,
    /// How to talk to the kernel: `auto` takes io_uring and falls back to epoll.
    #[schemars(extend("default" = "auto"))]
    pub io: Io,
    /// How the kernel spreads connections over the shards: by `hash`, or by the receiving `cpu`.
    #[schemars(extend("default" = "hash"))]
    pub steer: Steer,
    /// Value of the `Server` header; empty for none.
    #[schemars(extend("default" = ""))]
    pub name: String,
    /// Longest wait for a whole request head (408).
    #[schemars(with = "schema::Time", extend("default" = "10s"))]
    pub header_timeout: Duration,
    /// Longest keep-alive without a request (close).
    #[schemars(with = "schema::Time", extend("default" = "60s"))]
    pub idle_timeout: Duration,
    /// Longest wait between two reads of a request body (408).
    #[schemars(with = "schema::Time", extend("default" = "30s"))]
    pub read_timeout: Duration,
    /// Longest wait between two writes that make progress (close).
    #[schemars(with = "schema::Time", extend("default" = "30s"))]
    pub write_timeout: Duration,
    /// Slowest request body, in bytes a second, measured after its first 10 s (408); 0 for no minimum.
    #[schemars(with = "schema::Rate", extend("default" = "256B/s"))]
    pub min_body_rate: Option<u64>,
    /// Slowest pace at which an answer is taken, in bytes a second, measured after 10 s of waiting for the client (close); 0 for no minimum.
    #[schemars(with = "schema::Rate", extend("default" = "256B/s"))]
    pub min_send_rate: Option<u64>,
    /// How long a drain waits for what is in flight.
    #[schemars(with = "schema::Time", extend("default" = "30s"))]
    pub drain_timeout: Duration,
    /// Longest request head in bytes (431).
    #[schemars(with = "schema::Size", extend("default" = "32KiB"))]
    pub max_header_size: usize,
    /// Most header fields of a request (431).
    #[schemars(extend("default" = 100))]
    pub max_headers: usize,
    /// Longest request target in bytes (414).
    #[schemars(with = "schema::Size", extend("default" = "8KiB"))]
    pub max_uri_size: usize,
    /// Longest request body in bytes (413); 0 for no limit. Groups and rules may have their own.
    #[schemars(with = "schema::Size", extend("default" = "16MiB"))]
    pub max_body_size: Option<u64>,
    /// Requests after which a connection is closed; 0 for no limit.
    #[schemars(with = "u64", extend("default" = 0))]
    pub max_requests_per_connection: Option<u64>,
    /// Most connections at once; 0 for what the descriptors allow, less a reserve.
    #[schemars(with = "u64", extend("default" = 0))]
    pub max_connections: Option<usize>,
    /// Most connections of one address at once; 0 for no limit.
    #[schemars(with = "u64", extend("default" = 0))]
    pub max_connections_per_ip: Option<usize>,
    /// Whether `//` in a path counts as `/`.
    #[schemars(extend("default" = true))]
    pub merge_slashes: bool,
    /// Addresses and prefixes whose `X-Forwarded-*` and `Forwarded` are believed.
    #[schemars(with = "Vec<schema::Prefix>", extend("default" = []))]
    pub trust: Vec<IpNet>,
    /// Whether small segments leave at once.
    #[schemars(extend("default" = true))]
    pub tcp_nodelay: bool,
    /// Idle time before TCP probes a silent peer; `off` for never.
    #[schemars(with = "schema::TimeOrOff", extend("default" = "60s"))]
    pub tcp_keepalive: Option<Duration>,
    /// Connections the kernel queues for each listener, 1 to 65535.
    #[schemars(extend("default" = 4096))]
    pub backlog: u32,
    /// What one HTTP/2 connection may hold and ask for.
    #[schemars(extend("default" = {}))]
    pub h2: Http2,
}

/// One listener.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Where.
    pub addr: ListenAddr,
    /// Where it is written; `None` for the default and for `--listen`.
    pub span: Option<Span>,
    /// What it has of its own where it speaks TLS; `None` for a plain one.
    pub tls: Option<ListenTls>,
    /// Where it sends every request, instead of asking the rules; never beside `tls`.
    pub redirect: Option<HttpsRedirect>,
    /// Whether HTTP/2 is spoken: over TLS where the client agrees (ALPN), in the clear where it begins so (RFC 9113 §3.3).
    pub h2: bool,
}

/// Every request of a listener is answered by a redirect to the same host, path and query under https.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpsRedirect {
    /// The port of the new address; 443 is left out of it.
    pub port: u16,
    /// 301, 302, 307 or 308.
    pub status: u16,
}

/// Where a listener stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddr {
    /// `:8080`: every address; `[::]` for both families, `0.0.0.0` where there is no IPv6.
    Any(u16),
    /// One address and port; port 0 lets the kernel choose.
    Ip(SocketAddr),
    /// A unix stream socket at this path; a relative one has been joined to its file's folder.
    Unix(PathBuf),
}

/// Processors to run on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CoreList {
    /// Every processor the process is allowed.
    #[default]
    All,
    /// These, ascending, each once, never empty. Whether they exist is checked where shards start.
    These(Vec<usize>),
}

/// How to talk to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, schemars::JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Io {
    /// io_uring, or epoll where that is not to be had.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// epoll.
    Epoll,
}

/// How the kernel spreads connections over shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, schemars::JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Steer {
    /// By a hash of the four addresses and ports.
    #[default]
    Hash,
    /// By the processor that received the handshake.
    Cpu,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec![Listen::plain(ListenAddr::Any(8080))],
            cores: CoreList::All,
            io: Io::Auto,
            steer: Steer::Hash,
            name: String::new(),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            min_body_rate: Some(256),
            min_send_rate: Some(256),
            drain_timeout: Duration::from_secs(30),
            max_header_size: 32 * 1024,
            max_headers: 100,
            max_uri_size: 8 * 1024,
            max_body_size: Some(16 * 1024 * 1024),
            max_requests_per_connection: None,
            max_connections: None,
            max_connections_per_ip: None,
            merge_slashes: true,
            trust: Vec::new(),
            tcp_nodelay: true,
            tcp_keepalive: Some(Duration::from_secs(60)),
            backlog: 4096,
            h2: Http2::default(),
        }
    }
}

/// Two listeners are equal when their addresses are, wherever they are written.
impl PartialEq for Listen {
    fn eq(&self, other: &Self) -> bool {
        self.addr == other.addr
    }
}

impl Eq for Listen {}

impl Listen {
    /// A plain listener that no file names.
    #[must_use]
    pub fn plain(addr: ListenAddr) -> Self {
        Self { addr, span: None, tls: None, redirect: None, h2: true }
    }
}

impl Default for HttpsRedirect {
    fn default() -> Self {
        Self { port: 443, status: 308 }
    }
}

impl ListenAddr {
    /// Its port; none for a unix socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Any(port) => Some(*port),
            Self::Ip(addr) => Some(addr.port()),
            Self::Unix(_) => None,
        }
    }
}

/// Reads the form the file uses, as `--listen` has it; the error says what is wrong and what would be right.
impl FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read::parse_listen(text, Path::new("")).map_err(said)
    }
}

/// Reads `all`, `0-7`, `0,2,4-6`, as `--cores` has it; the error says what is wrong and what would be right.
impl FromStr for CoreList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read::parse_cores(text).map_err(said)
    }
}

/// Reads `auto`, `uring` or `epoll`, as `--io` has it.
impl FromStr for Io {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "uring" => Ok(Self::Uring),
            "epoll" => Ok(Self::Epoll),
            _ => Err(format!("expected one of `auto`, `uring`, `epoll`, found `{text}`")),
        }
    }
}

fn said((message, help): (String, Option<String>)) -> String {
    match help {
        Some(help) => format!("{message}; {help}"),
        None => message,
    }
}

/// The form the file uses.
impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(port) => write!(f, ":{port}"),
            Self::Ip(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The form `--cores` uses: `all`, `0-3,6`.
impl fmt::Display for CoreList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::These(cores) = self else { return f.write_str("all") };
        let mut rest = cores.as_slice();
        let mut comma = "";
        while let Some(&first) = rest.first() {
            let run = rest.iter().enumerate().take_while(|&(i, &core)| core == first + i).count();
            match run {
                1 => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{}", first + run - 1)?,
            }
            (rest, comma) = (&rest[run..], ",");
        }
        Ok(())
    }
}

/// The word the file uses.
impl fmt::Display for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        })
    }
}
