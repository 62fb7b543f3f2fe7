//! Which idle connections to a server does this shard have, and which of its addresses are known?
//!
//! An idle connection is a row: no task and no buffer. Whatever it receives there, the end of the stream or bytes nobody
//! asked for, ends it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use anygate_shard::net::Address;
use anygate_shard::{Close, LaneEntry, SocketId, Tick, Wake};
use foldhash::fast::FixedState;

use crate::plan::Plan;
use crate::server::{Row, Server};
use crate::testing::{self, Spot};
use crate::upstream::checkout::Link;
use crate::upstream::endpoint::{self, Endpoint, Key, Place};

/// How long an idle connection is kept. Servers behind commonly close theirs after 60 s or more; closing first avoids the
/// race in which a request meets a connection that is just being closed.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// How long other servers are preferred to one that could not be reached.
const REST: Duration = Duration::from_secs(5);

/// One shard's pools, by endpoint. They outlive reloads.
#[derive(Debug)]
pub struct Upstreams {
    shards: usize,
    pools: RefCell<HashMap<Key, Rc<Pool>, FixedState>>,
}

/// The pools of one plan, kept from being forgotten.
#[derive(Debug)]
pub struct Pools {
    _all: Vec<Rc<Pool>>,
}

/// One endpoint on one shard: its addresses and its idle connections, the last used first.
#[derive(Debug)]
pub(crate) struct Pool {
    addresses: RefCell<Rc<[Address]>>,
    /// The address that answered last.
    good: Cell<usize>,
    /// Since when it could not be reached.
    failed: Cell<Option<Tick>>,
    /// Rows of idle connections, oldest first.
    idle: RefCell<Vec<u32>>,
    /// Most idle connections; none once no plan leads here.
    keep: Cell<usize>,
}

/// An idle connection's row.
#[derive(Debug)]
pub struct Idle {
    link: Link,
    pool: Rc<Pool>,
    expiry: LaneEntry,
}

impl Upstreams {
    /// No pools yet; `shards` is how many share a configured total.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self { shards: shards.max(1), pools: RefCell::default() }
    }

    /// Makes the pools a plan needs. Those it does not need keep nothing more, and what is idle in them runs out; they
    /// are there as long as requests of an earlier plan may need them, who hold what was returned for it.
    pub fn install(&self, plan: &Plan) -> Pools {
        let mut pools = self.pools.borrow_mut();
        let mut needed = Vec::new();
        pools.values().for_each(|pool| pool.keep.set(0));
        for endpoint in endpoint::of_plan(plan) {
            let pool = pools.entry(endpoint.key.clone()).or_insert_with(Pool::unknown);
            if let Place::Fixed(addresses) = &endpoint.place {
                pool.know(addresses.clone());
            }
            pool.keep.set(pool.keep.get().max(self.share(endpoint)));
            needed.push(Rc::clone(pool));
        }
        pools.retain(|_, pool| Rc::strong_count(pool) > 1);
        Pools { _all: needed }
    }

    fn share(&self, endpoint: &Endpoint) -> usize {
        match endpoint.keep_alive {
            0 => 0,
            total => (total / self.shards).max(1),
        }
    }

    /// Takes the addresses the control thread resolved. They may come before the plan that wants them.
    pub fn resolved(&self, key: &Key, addresses: &[SocketAddr]) {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(key.clone()).or_insert_with(Pool::unknown);
        pool.know(addresses.iter().copied().map(Address::Ip).collect());
    }

    /// The pool of an endpoint.
    pub(crate) fn pool(&self, key: &Key) -> Option<Rc<Pool>> {
        self.pools.borrow().get(key).map(Rc::clone)
    }

    /// Idle connections of this shard, over all pools.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.pools.borrow().values().map(|pool| pool.idle.borrow().len()).sum()
    }

    /// An idle connection's socket has an event.
    pub fn row_ready(&self, server: &Server, row: u32) {
        testing::reached(server, Spot::Idle);
        watch(server, row);
    }

    /// An idle connection was idle for [`IDLE_TIMEOUT`].
    pub fn row_expired(&self, server: &Server, row: u32) {
        discard(server, row);
    }
}

/// Waits for anything to happen on an idle connection, which ends it.
fn watch(server: &Server, row: u32) {
    let stirred = match server.rows.borrow().get(row as usize) {
        Some(Row::Upstream(idle)) => idle.link.poll_stirred(server, Wake::row(row)),
        _ => return,
    };
    if stirred.is_ready() {
        discard(server, row);
    }
}

/// Closes an idle connection.
fn discard(server: &Server, row: u32) {
    if let Some(Row::Upstream(idle)) = server.remove_row(row) {
        idle.pool.idle.borrow_mut().retain(|other| *other != row);
        server.shard.lane_remove(idle.expiry);
        server.shard.close(idle.link.socket(), Close::Graceful);
    }
}

impl Pool {
    fn unknown() -> Rc<Self> {
        Rc::new(Self {
            addresses: RefCell::new(Rc::new([])),
            good: Cell::new(0),
            failed: Cell::new(None),
            idle: RefCell::default(),
            keep: Cell::new(0),
        })
    }

    fn know(&self, addresses: Vec<Address>) {
        if **self.addresses.borrow() != *addresses {
            self.good.set(0);
            self.failed.set(None);
            self.addresses.replace(addresses.into());
        }
    }

    /// Its addresses, none while unresolved, and which of them to try first.
    pub(crate) fn addresses(&self) -> (Rc<[Address]>, usize) {
        let addresses = Rc::clone(&self.addresses.borrow());
        let first = if self.good.get() < addresses.len() { self.good.get() } else { 0 };
        (addresses, first)
    }

    /// True when there is an address to connect to.
    pub(crate) fn is_usable(&self) -> bool {
        !self.addresses.borrow().is_empty()
    }

    /// That address answered: it is tried first from now on.
    pub(crate) fn reached(&self, address: usize) {
        self.good.set(address);
        self.failed.set(None);
    }

    /// No address answered: others come first for a while.
    pub(crate) fn missed(&self, now: Tick) {
        self.failed.set(Some(now));
    }

    /// True for [`REST`] after it could not be reached.
    pub(crate) fn is_resting(&self, now: Tick) -> bool {
        self.failed.get().is_some_and(|since| now - since < REST)
    }

    /// Whether a connection still leads to this endpoint: its name may mean other addresses by now.
    fn leads_here(&self, link: &Link) -> bool {
        self.addresses.borrow().contains(&link.address)
    }

    /// The connection that was used last, if it still lives.
    pub(crate) fn take(&self, server: &Server, wake: Wake) -> Option<Link> {
        loop {
            let row = self.idle.borrow_mut().pop()?;
            let Some(Row::Upstream(idle)) = server.remove_row(row) else { continue };
            server.shard.lane_remove(idle.expiry);
            // What arrived since, and its row was not told yet, is its end.
            match idle.link.poll_stirred(server, wake) {
                Poll::Pending if self.leads_here(&idle.link) => return Some(idle.link),
                _ => server.shard.close(idle.link.socket(), Close::Graceful),
            }
        }
    }

    /// Lets a connection rest here, or closes it: there are enough, it has ended, or it leads elsewhere by now.
    pub(crate) fn put(self: &Rc<Self>, server: &Server, link: Link) {
        if self.idle.borrow().len() >= self.keep.get() || !self.leads_here(&link) {
            return server.shard.close(link.socket(), Close::Graceful);
        }
        let lane = server.shard.lane(IDLE_TIMEOUT);
        let row = server.add_row(Row::Busy);
        let expiry = server.shard.lane_push(lane, row);
        server.swap_row(row, Row::Upstream(Idle { link, pool: Rc::clone(self), expiry }));
        self.idle.borrow_mut().push(row);
        watch(server, row);
    }
}

impl Idle {
    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> SocketId {
        self.link.socket()
    }
}
