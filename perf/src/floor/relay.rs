//! A relay that copies bytes: what passing on costs a proxy that reads nothing.
//!
//! Every client has a connection to the server behind, for as long as it stays. An end on either side ends both.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::task::Poll;

use anygate_shard::mailbox::Receiver;
use anygate_shard::{Address, Class, Close, Io, Service, Shard, SocketId, Wake};

use super::rows::Rows;
use super::{LISTENER, Stop, open};

/// Bytes queued on one socket beyond which its other end is not read.
const MOST_QUEUED: usize = 256 << 10;
/// What is left of them when reading goes on.
const LOW_WATER: usize = 64 << 10;

/// What a relay is made with.
#[derive(Clone, Debug)]
pub struct Relay {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The driver.
    pub io: Io,
    /// The core it is pinned to.
    pub core: Option<usize>,
    /// The server behind.
    pub to: SocketAddr,
}

impl Relay {
    /// Serves on the calling thread until the mailbox brings [`Stop`]; `listening` is told the address.
    ///
    /// # Errors
    /// The address, the core or the driver cannot be had.
    pub fn serve(&self, mailbox: &Receiver<Stop>, listening: impl FnOnce(SocketAddr)) -> Result<(), String> {
        let place = open(self.listen, self.io, self.core)?;
        let service = Relaying {
            shard: place.shard.clone(),
            listener: place.listener,
            to: Address::Ip(self.to),
            pairs: RefCell::default(),
        };
        listening(place.address);
        place.shard.run(&service, mailbox);
        Ok(())
    }
}

/// A client, and its own connection to the server behind.
struct Pair {
    client: SocketId,
    behind: SocketId,
    connected: bool,
    up: Way,
    down: Way,
}

/// One direction.
#[derive(Clone, Copy)]
struct Way {
    /// How large a buffer is asked for: the smallest until one came full, then larger ones.
    class: Class,
}

/// How far one direction came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waits,
    Ended,
}

struct Relaying {
    shard: Shard,
    listener: SocketId,
    to: Address,
    pairs: RefCell<Rows<Pair>>,
}

/// The row that is called when `place` has something to copy from its client.
fn up_row(place: usize) -> u32 {
    place as u32 * 2 + 1
}

impl Relaying {
    fn accept(&self) {
        while let Poll::Ready(Ok(accepted)) = self.shard.poll_accept(self.listener, Wake::row(LISTENER)) {
            let Ok(behind) = self.shard.connect(&self.to) else {
                self.shard.close(accepted.socket, Close::Abort);
                continue;
            };
            let way = Way { class: Class::Head };
            let pair = Pair { client: accepted.socket, behind, connected: false, up: way, down: way };
            let pairs = &mut *self.pairs.borrow_mut();
            let place = pairs.insert(pair);
            self.turn(pairs, place, true);
            self.turn(pairs, place, false);
        }
    }

    fn turn(&self, pairs: &mut Rows<Pair>, place: usize, upwards: bool) {
        let Some(pair) = pairs.get_mut(place) else { return };
        let progress = if upwards {
            self.copy(pair.client, pair.behind, &mut pair.up, Wake::row(up_row(place)))
        } else {
            self.copy_down(pair, Wake::row(up_row(place) + 1))
        };
        if progress == Progress::Ended {
            self.shard.close(pair.client, Close::Graceful);
            self.shard.close(pair.behind, Close::Graceful);
            pairs.remove(place);
        }
    }

    fn copy_down(&self, pair: &mut Pair, wake: Wake) -> Progress {
        if !pair.connected {
            match self.shard.poll_connected(pair.behind, wake) {
                Poll::Pending => return Progress::Waits,
                Poll::Ready(Err(_)) => return Progress::Ended,
                Poll::Ready(Ok(())) => pair.connected = true,
            }
        }
        self.copy(pair.behind, pair.client, &mut pair.down, wake)
    }

    fn copy(&self, from: SocketId, to: SocketId, way: &mut Way, wake: Wake) -> Progress {
        loop {
            if self.shard.queued(to) > MOST_QUEUED {
                match self.shard.poll_sent(to, LOW_WATER, wake) {
                    Poll::Pending => return Progress::Waits,
                    Poll::Ready(Err(_)) => return Progress::Ended,
                    Poll::Ready(Ok(())) => {}
                }
            }
            match self.shard.poll_recv(from, way.class, wake) {
                Poll::Pending => return Progress::Waits,
                Poll::Ready(Ok(lease)) if !lease.is_empty() => {
                    if lease.spare() == 0 {
                        way.class = larger(way.class);
                    }
                    self.shard.queue(to, lease.freeze());
                }
                Poll::Ready(_) => return Progress::Ended,
            }
        }
    }
}

/// The class to ask for after one came full.
fn larger(class: Class) -> Class {
    match class {
        Class::Head | Class::Tls => Class::Bulk,
        Class::Bulk | Class::Large => Class::Large,
    }
}

impl Service for Relaying {
    type Message = Stop;

    fn ready(&self, row: u32) {
        match row {
            LISTENER => self.accept(),
            row => self.turn(&mut self.pairs.borrow_mut(), (row as usize - 1) / 2, row % 2 == 1),
        }
    }

    fn expired(&self, _row: u32) {}

    fn message(&self, Stop: Stop) {
        self.shard.stop();
    }
}
