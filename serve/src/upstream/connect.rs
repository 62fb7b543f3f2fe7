//! How does a request get a connection to its server: an idle one, or a new one to the first address that answers?

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use anygate_shard::net::Address;
use anygate_shard::{Bytes, Close, SocketId, Wake};

use crate::connection::reader::Reader;
use crate::error::{Error, Kind, Phase, Retry, Side, is_out_of_descriptors};
use crate::server::Server;
use crate::upstream::checkout::{Checkout, Link};
use crate::upstream::pool::Pool;
use crate::wire::Wire;

/// Most addresses of one server tried for one request.
const TRIED: usize = 4;

/// The connection that was used last, or a new one; `fresh` asks for a new one.
///
/// # Errors
/// No address is known, none could be reached, or none in time. No byte of the request has left: retrying is safe.
pub(crate) async fn acquire(
    server: &Rc<Server>,
    pool: &Rc<Pool>,
    fresh: bool,
    timeout: Duration,
) -> Result<Checkout, Error> {
    if !fresh && let Some(link) = poll_fn(|cx| Poll::Ready(pool.take(server, Wake::of(cx)))).await {
        server.cells.upstream_reuses.add(1);
        return Ok(Checkout::new(server, pool, link, true));
    }
    let (addresses, first) = pool.addresses();
    let tried = addresses.len().min(TRIED);
    let mut failure = error(Kind::Unavailable);
    let mut time_left = timeout;
    for attempt in 0..tried {
        let at = (first + attempt) % addresses.len();
        let began = server.shard.now();
        // A share of what is left, so that one address that swallows packets does not use up the others' time.
        let patience = time_left / (tried - attempt) as u32;
        match connect(server, &addresses[at], patience).await {
            Ok(socket) => {
                server.cells.upstream_connects.add(1);
                pool.reached(at);
                let reader = Reader::new(server.shard.clone(), Wire::Plain(socket), Side::Upstream, Bytes::empty());
                let link = Link { reader: Rc::new(RefCell::new(reader)), address: addresses[at].clone() };
                return Ok(Checkout::new(server, pool, link, false));
            }
            Err(kind) => {
                server.cells.upstream_failures.add(1);
                failure = error(kind);
                if kind == Kind::Unavailable {
                    // It is us who have no socket left: no other server helps.
                    return Err(failure.retry(Retry::Never));
                }
            }
        }
        time_left = time_left.saturating_sub(server.shard.now() - began);
    }
    pool.missed(server.shard.now());
    if failure.kind == Kind::Timeout {
        server.cells.timeouts_upstream_connect.add(1);
    }
    Err(failure)
}

fn error(kind: Kind) -> Error {
    Error::new(kind, Side::Upstream, Phase::BeforeHead).retry(Retry::Safe)
}

/// A socket on its way; a task that is dropped meanwhile takes it along.
struct Pending<'a> {
    server: &'a Server,
    socket: Option<SocketId>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.server.shard.close(socket, Close::Abort);
        }
    }
}

async fn connect(server: &Server, address: &Address, patience: Duration) -> Result<SocketId, Kind> {
    let socket = server.shard.connect(address).map_err(|error| kind_of(&error))?;
    let mut pending = Pending { server, socket: Some(socket) };
    let mut deadline = server.shard.deadline(patience);
    let connected = poll_fn(|cx| {
        if let Poll::Ready(connected) = server.shard.poll_connected(socket, Wake::of(cx)) {
            return Poll::Ready(connected);
        }
        deadline.poll_expired(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await;
    match connected {
        Ok(()) => {
            pending.socket = None;
            Ok(socket)
        }
        Err(error) => Err(kind_of(&error)),
    }
}

fn kind_of(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::TimedOut => Kind::Timeout,
        io::ErrorKind::OutOfMemory | io::ErrorKind::AddrNotAvailable => Kind::Unavailable,
        // The descriptor limits have no kind of their own.
        _ if is_out_of_descriptors(error) || error.raw_os_error() == Some(libc::ENOBUFS) => Kind::Unavailable,
        _ => Kind::Connect,
    }
}
