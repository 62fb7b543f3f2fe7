//! A crowd that is slow in every way there is, held by one thread: heads and bodies a byte a second, readers that do not
//! read, and such that say nothing. Whoever is sent away comes again.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use anygate_shard::mailbox;
use anygate_shard::{Address, Bytes, Class, Close, Io, Options, Park, Service, Shard, SocketId, Tick, Wake};

/// Connections that are made at a time: ten thousand clients come within seconds, not at once, and so do those who were
/// sent away.
const OPENING: usize = 16;
/// A second, in steps: each has its part of the crowd's bytes. Ten thousand clients do not agree on when to send, so that a
/// step is short: what they send in one comes to the gate as a burst.
const STEPS: usize = 1000;
/// A step.
const STEP: Duration = Duration::from_millis(1);
/// Who is missing is looked for once in so many steps.
const LOOK: usize = 10;
/// Who does not read cannot see that he was sent away: he leaves before, and comes again.
const VISIT: Duration = Duration::from_secs(25);

/// What is sent at first, by kind; the byte that follows every second; and whether answers are read.
const KINDS: [(&str, Option<&str>, bool); 8] = [
    ("", None, true),
    ("GET /fixed HTTP/1.1\r\nHost: slow.example\r\nX: ", Some("x"), true),
    ("POST /echo HTTP/1.1\r\nHost: slow.example\r\nContent-Length: 100000\r\n\r\n", Some("x"), true),
    ("GET /files/10m HTTP/1.1\r\nHost: slow.example\r\n\r\n", None, false),
    ("G", Some("E"), true),
    ("POST /origin/ HTTP/1.1\r\nHost: slow.example\r\nContent-Length: 100000\r\n\r\n", Some("x"), true),
    ("GET /origin/10m HTTP/1.1\r\nHost: slow.example\r\n\r\n", None, false),
    ("GET /fixed HTTP/1.1\r\n", None, true),
];

/// Who is visited by how many.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// The server.
    pub target: SocketAddr,
    /// How many connections.
    pub connections: usize,
    /// The core it runs on.
    pub core: Option<usize>,
    /// Whether the server lets them be: who does not read stays for good, too.
    pub held: bool,
}

struct Line {
    socket: Option<SocketId>,
    stands: bool,
    since: Tick,
}

struct Holder {
    shard: Shard,
    target: Address,
    first: Vec<Bytes>,
    next: Vec<Option<Bytes>>,
    held: bool,
    lines: RefCell<Vec<Line>>,
}

impl Crowd {
    /// Comes and stays until the process ends; `told` gets, every second, how many are held and how many were sent away.
    ///
    /// # Errors
    /// The runtime cannot be made.
    pub fn stay(&self, told: &mut dyn FnMut(usize, u64)) -> Result<(), String> {
        let mut options = Options::new(0, Io::Epoll);
        options.core = self.core;
        let shard = Shard::new(&options).map_err(|error| format!("a shard for the crowd: {error}"))?;
        let (_sender, mailbox) = mailbox::channel::<()>(1);
        let now = shard.now();
        let holder = Holder {
            shard: shard.clone(),
            target: Address::Ip(self.target),
            first: KINDS.iter().map(|(first, ..)| Bytes::from(first.as_bytes().to_vec())).collect(),
            next: KINDS.iter().map(|(_, next, _)| next.map(|next| Bytes::from(next.as_bytes().to_vec()))).collect(),
            held: self.held,
            lines: RefCell::new(
                (0..self.connections).map(|_| Line { socket: None, stands: false, since: now }).collect(),
            ),
        };
        let mut sent_away = 0;
        for step in 0.. {
            let end = shard.stamp() + STEP;
            loop {
                let left = end - shard.stamp();
                if left.is_zero() {
                    break;
                }
                shard.turn(&holder, &mailbox, Park::AtMost(left));
            }
            if step % LOOK == 0 {
                sent_away += holder.open();
            }
            holder.drip(step % STEPS);
            if step % STEPS == 0 {
                told(holder.standing(), std::mem::take(&mut sent_away));
            }
        }
        Ok(())
    }
}

impl Holder {
    fn standing(&self) -> usize {
        self.lines.borrow().iter().filter(|line| line.stands).count()
    }

    /// Makes connections for those who have none; how many.
    fn open(&self) -> u64 {
        let mut lines = self.lines.borrow_mut();
        let under_way = lines.iter().filter(|line| line.socket.is_some() && !line.stands).count();
        let mut opened = 0;
        let missing = lines.iter_mut().enumerate().filter(|(_, line)| line.socket.is_none());
        for (row, line) in missing.take(OPENING.saturating_sub(under_way)) {
            // Out of ports for a moment: the next step tries again.
            let Ok(socket) = self.shard.connect(&self.target) else { break };
            self.shard.queue(socket, self.first[row % KINDS.len()].clone());
            self.shard.wake(Wake::row(row as u32));
            *line = Line { socket: Some(socket), stands: false, since: self.shard.now() };
            opened += 1;
        }
        opened
    }

    /// Sends the next byte of this step's part of the crowd.
    fn drip(&self, step: usize) {
        let now = self.shard.now();
        for (row, line) in self.lines.borrow_mut().iter_mut().enumerate().skip(step).step_by(STEPS) {
            let Some(socket) = line.socket.filter(|_| line.stands) else { continue };
            let reads = KINDS[row % KINDS.len()].2;
            if let Some(byte) = &self.next[row % KINDS.len()] {
                self.shard.queue(socket, byte.clone());
            } else if !reads && !self.held && now - line.since > VISIT {
                self.leave(line);
            }
        }
    }

    fn leave(&self, line: &mut Line) {
        if let Some(socket) = line.socket.take() {
            self.shard.close(socket, Close::Abort);
        }
        line.stands = false;
    }
}

impl Service for Holder {
    type Message = ();

    fn ready(&self, row: u32) {
        let mut lines = self.lines.borrow_mut();
        let Some(line) = lines.get_mut(row as usize) else { return };
        let Some(socket) = line.socket else { return };
        if !line.stands {
            match self.shard.poll_connected(socket, Wake::row(row)) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => line.stands = true,
                Poll::Ready(Err(_)) => return self.leave(line),
            }
        }
        if !KINDS[row as usize % KINDS.len()].2 {
            return;
        }
        loop {
            match self.shard.poll_recv(socket, Class::Head, Wake::row(row)) {
                Poll::Pending => return,
                // An answer, which says what was too slow; the end follows.
                Poll::Ready(Ok(lease)) if !lease.is_empty() => {}
                Poll::Ready(_) => return self.leave(line),
            }
        }
    }

    fn expired(&self, _row: u32) {}

    fn message(&self, (): ()) {}
}
