//! A flood of handshakes that are begun and never ended: what it costs who floods is next to nothing.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use anygate_shard::mailbox::{self, Receiver};
use anygate_shard::{Address, Bytes, Class, Close, Io, Options, Park, Service, Shard, SocketId, Tick, Wake};

use super::schedule::Schedule;
use super::tls::{Client, Sessions};
use super::{Protocol, Tls, on_own_thread};

/// A handshake that is not answered within this time is given up.
const PATIENCE: Duration = Duration::from_millis(100);
/// Handshakes open at a time, at most.
const OPEN: usize = 8192;
/// Handshakes begun in a turn, at most: others that are due wait.
const AT_ONCE: usize = 64;

/// What a flood does.
#[derive(Clone, Debug)]
pub struct Flood {
    /// Who is flooded.
    pub target: SocketAddr,
    /// What is said in the hello.
    pub tls: Tls,
    /// Handshakes begun a second.
    pub rate: f64,
    /// How long.
    pub duration: Duration,
    /// The driver.
    pub io: Io,
    /// The core it is pinned to.
    pub core: Option<usize>,
}

/// What became of a flood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flooded {
    /// Handshakes begun: connections that were made, or were tried.
    pub begun: u64,
    /// Those of them that the server answered.
    pub answered: u64,
}

/// Floods: each connection says the same hello, and ends when anything comes back, or nothing for a tenth of a second.
///
/// # Errors
/// The runtime cannot be made, or there is no such name.
pub fn flood(flood: &Flood) -> Result<Flooded, String> {
    on_own_thread(|| {
        let mut options = Options::new(0, flood.io);
        options.core = flood.core;
        let shard = Shard::new(&options).map_err(|error| format!("a shard for the flood: {error}"))?;
        let mut hello = Vec::new();
        Client::begin(&Sessions::new(&flood.tls, Protocol::Http1)?, &mut hello).map_err(|error| error.to_string())?;
        let (_sender, mailbox) = mailbox::channel(1);
        let mut schedule = Schedule::new(flood.rate);
        schedule.start(shard.stamp());
        let waves = Waves {
            shard: &shard,
            target: Address::Ip(flood.target),
            hello: Bytes::from(hello),
            state: RefCell::new(State {
                schedule,
                lines: Vec::new(),
                free: Vec::new(),
                open: VecDeque::new(),
                seen: Flooded::default(),
            }),
        };
        waves.run(&mailbox, flood.duration);
        shard.shutdown();
        Ok(waves.state.into_inner().seen)
    })
}

struct State {
    schedule: Schedule,
    /// A row is a connection, and then another one.
    lines: Vec<Option<SocketId>>,
    free: Vec<u32>,
    /// In the order they were begun.
    open: VecDeque<(Tick, u32, SocketId)>,
    seen: Flooded,
}

struct Waves<'s> {
    shard: &'s Shard,
    target: Address,
    hello: Bytes,
    state: RefCell<State>,
}

impl Waves<'_> {
    fn run(&self, mailbox: &Receiver<()>, duration: Duration) {
        let end = self.shard.stamp() + duration;
        while self.shard.stamp() < end {
            let due = self.state.borrow().schedule.next() - self.shard.now();
            let park = if due.is_zero() { Park::Never } else { Park::AtMost(due.min(PATIENCE)) };
            self.shard.turn(self, mailbox, park);
        }
    }

    /// Begins what is due.
    fn begin(&self, state: &mut State) {
        let now = self.shard.stamp();
        for _ in 0..AT_ONCE {
            if state.open.len() >= OPEN || state.schedule.take(now).is_none() {
                return;
            }
            state.seen.begun += 1;
            let Ok(socket) = self.shard.connect(&self.target) else { continue };
            self.shard.queue(socket, self.hello.clone());
            let row = state.free.pop().unwrap_or_else(|| {
                state.lines.push(None);
                state.lines.len() as u32 - 1
            });
            state.lines[row as usize] = Some(socket);
            state.open.push_back((now, row, socket));
            self.shard.wake(Wake::row(row));
        }
    }

    /// Gives up what is not answered.
    fn give_up(&self, state: &mut State) {
        let now = self.shard.now();
        while let Some(&(began, row, socket)) = state.open.front() {
            if state.lines[row as usize] == Some(socket) {
                if now - began < PATIENCE {
                    return;
                }
                self.end(state, row, socket);
            }
            state.open.pop_front();
        }
    }

    fn end(&self, state: &mut State, row: u32, socket: SocketId) {
        self.shard.close(socket, Close::Abort);
        state.lines[row as usize] = None;
        state.free.push(row);
    }
}

impl Service for Waves<'_> {
    type Message = ();

    fn ready(&self, row: u32) {
        let state = &mut *self.state.borrow_mut();
        let Some(socket) = state.lines.get(row as usize).copied().flatten() else { return };
        match self.shard.poll_connected(socket, Wake::row(row)) {
            Poll::Pending => return,
            Poll::Ready(Err(_)) => return self.end(state, row, socket),
            Poll::Ready(Ok(())) => {}
        }
        match self.shard.poll_recv(socket, Class::Head, Wake::row(row)) {
            Poll::Pending => return,
            Poll::Ready(Ok(lease)) => state.seen.answered += u64::from(!lease.is_empty()),
            Poll::Ready(Err(_)) => {}
        }
        self.end(state, row, socket);
    }

    fn expired(&self, _row: u32) {}

    fn message(&self, (): ()) {}

    fn turn_ended(&self) {
        let state = &mut *self.state.borrow_mut();
        self.give_up(state);
        self.begin(state);
    }
}
