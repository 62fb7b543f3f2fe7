//! How does the control thread ask another server something? One request a connection, HTTP/1.1, plain or over TLS, with a
//! bound on everything.

mod answer;
mod carrier;
mod trust;

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anygate_proto::h1::response::Asked;
use anygate_proto::url::Target;
use anygate_shard::net::{self, Address};
use anygate_shard::{Shard, Wake};

pub(super) use self::trust::Trust;

use self::answer::Reading;
use self::carrier::Carrier;

/// Most addresses of one name that are tried.
const TRIED: usize = 4;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'r> {
    /// `GET`, `HEAD`, `POST`.
    pub(super) method: &'r str,
    /// Absolute, `http` or `https`.
    pub(super) url: &'r str,
    /// Fields besides `Host`, `Connection` and `Content-Length`.
    pub(super) fields: &'r [(&'r str, &'r str)],
    /// The content; empty for none.
    pub(super) body: &'r [u8],
    /// Bytes of the answer's content, at most.
    pub(super) limit: usize,
    /// For everything together, from the name's resolution to the answer's last byte.
    pub(super) timeout: Duration,
    /// By whom a server's certificate must be vouched for; none where `http` alone is asked.
    pub(super) trust: Option<&'r Trust>,
}

/// A final answer; redirects are not followed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Answer {
    /// 200–599.
    pub(super) status: u16,
    /// Fields in their order.
    pub(super) headers: Vec<(String, String)>,
    /// The content without its transfer coding.
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum FetchError {
    /// The URL is none to go to.
    Url,
    /// A URL of `https`, and nobody to vouch for its server.
    Untrusted,
    /// The name has no address.
    Unresolved(String),
    /// No address of it takes a connection; the last one that was tried.
    Unreachable(SocketAddr, io::Error),
    /// The time is over, at this point.
    Timeout(Stage),
    /// TLS could not be agreed on, or the server's certificate is not to be believed.
    Tls(String),
    /// The connection broke.
    Broken(io::Error),
    /// The connection ended before the answer did.
    Cut,
    /// What came is no answer.
    Malformed(&'static str),
    /// The answer is longer than it may be.
    TooLarge(usize),
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The name is being resolved.
    Resolving,
    /// A connection is being made.
    Connecting,
    /// TLS is being agreed on.
    Securing,
    /// The answer is waited for.
    Waiting,
}

/// Asks, and reads the whole answer. To be dropped at any time, which cuts the connection.
///
/// # Errors
/// See [`FetchError`]. What the server did with the request is not known then.
pub(super) async fn fetch(shard: &Shard, request: &Request<'_>) -> Result<Answer, FetchError> {
    let stage = Cell::new(Stage::Resolving);
    let mut deadline = shard.deadline(request.timeout);
    let mut exchange = pin!(exchange(shard, request, &stage));
    poll_fn(|cx| match exchange.as_mut().poll(cx) {
        Poll::Pending => deadline.poll_expired(cx).map(|()| Err(FetchError::Timeout(stage.get()))),
        done => done,
    })
    .await
}

async fn exchange(shard: &Shard, request: &Request<'_>, stage: &Cell<Stage>) -> Result<Answer, FetchError> {
    let target = Target::of(request.url).ok_or(FetchError::Url)?;
    let trust = match (target.secure, request.trust) {
        (true, None) => return Err(FetchError::Untrusted),
        (true, trust) => trust,
        (false, _) => None,
    };
    let addresses = resolve(shard, &target).await?;
    stage.set(Stage::Connecting);
    let mut carrier = connect(shard, &addresses, request.timeout).await?;
    if let Some(trust) = trust {
        stage.set(Stage::Securing);
        carrier.secure(trust, target.host).await?;
    }
    stage.set(Stage::Waiting);
    carrier.send(&[&head(request, &target), request.body].concat()).await?;
    let mut reading = Reading::new(Asked::by(request.method.as_bytes()), request.limit);
    loop {
        let (bytes, ended) = carrier.receive().await?;
        if let Some(answer) = reading.feed(&bytes, ended)? {
            carrier.close();
            return Ok(answer);
        }
    }
}

fn head(request: &Request<'_>, target: &Target<'_>) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, target.path, target.authority);
    for (name, value) in request.fields {
        debug_assert!(!name.contains(['\r', '\n', ':']) && !value.contains(['\r', '\n']), "{name}: {value}");
        head += &format!("{name}: {value}\r\n");
    }
    if !request.body.is_empty() || request.method == "POST" {
        head += &format!("Content-Length: {}\r\n", request.body.len());
    }
    head += "Connection: close\r\n\r\n";
    head.into_bytes()
}

/// The addresses of a name, or the address that is given itself.
async fn resolve(shard: &Shard, target: &Target<'_>) -> Result<Vec<SocketAddr>, FetchError> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Ok(vec![(address, target.port).into()]);
    }
    let (host, port) = (target.host.to_owned(), target.port);
    let unresolved = |why: String| FetchError::Unresolved(format!("{}: {why}", target.host));
    let answer =
        shard.blocking(move || net::resolve(&host, port)).await.map_err(|gone| unresolved(gone.to_string()))?;
    match answer {
        Ok(addresses) if addresses.is_empty() => Err(unresolved("it has no address".to_owned())),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(unresolved(error.to_string())),
    }
}

/// A connection to the first address that takes one. Each gets its share of the time.
async fn connect<'s>(shard: &'s Shard, addresses: &[SocketAddr], time: Duration) -> Result<Carrier<'s>, FetchError> {
    let tried = &addresses[..addresses.len().min(TRIED)];
    let mut failure = FetchError::Timeout(Stage::Connecting);
    for address in tried {
        let unreachable = |error| FetchError::Unreachable(*address, error);
        let carrier = match shard.connect(&Address::Ip(*address)) {
            Ok(socket) => Carrier::new(shard, socket),
            Err(error) => {
                failure = unreachable(error);
                continue;
            }
        };
        let mut deadline = shard.deadline(time / tried.len() as u32);
        let connected = poll_fn(|cx| match shard.poll_connected(carrier.socket(), Wake::of(cx)) {
            Poll::Pending => deadline.poll_expired(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            done => done,
        });
        match connected.await {
            Ok(()) => return Ok(carrier),
            Err(error) => failure = unreachable(error),
        }
    }
    Err(failure)
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("not a URL of `http` or `https`"),
            Self::Untrusted => f.write_str("nobody vouches for servers of `https` here"),
            Self::Unresolved(why) => write!(f, "the name does not resolve: {why}"),
            Self::Unreachable(address, error) => write!(f, "no connection to {address}: {error}"),
            Self::Timeout(Stage::Resolving) => f.write_str("the name did not resolve in time"),
            Self::Timeout(Stage::Connecting) => f.write_str("no connection in time"),
            Self::Timeout(Stage::Securing) => f.write_str("no TLS handshake in time"),
            Self::Timeout(Stage::Waiting) => f.write_str("no whole answer in time"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Cut => f.write_str("the connection ended before the answer did"),
            Self::Malformed(why) => write!(f, "what came is no answer of HTTP/1.1: {why}"),
            Self::TooLarge(limit) => write!(f, "the answer is longer than {limit} bytes"),
        }
    }
}

#[cfg(test)]
mod tests;
