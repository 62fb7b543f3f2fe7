//! One client at a time: who it asks, what it is excused for, and what it counts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anygate_proto::h1::response::Asked;

use super::conn::{Answer, Conn, Expected, Fault};
use super::habits::{Habit, Leans};
use super::ledger::Ledger;
use super::pattern::Rng;

/// An outage touches what ran this long after it: a kernel tells of a dead peer at once, a loaded machine's threads do not.
const AFTERMATH: Duration = Duration::from_millis(300);
/// A connection serves so many acts, on average.
const ACTS: u64 = 24;

/// When the server behind was dead.
#[derive(Clone, Copy, Debug)]
struct Outage {
    from: Instant,
    to: Option<Instant>,
}

/// What all clients share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) address: SocketAddr,
    pub(super) extra: SocketAddr,
    pub(super) ledger: Ledger,
    pub(super) began: Instant,
    /// The longest pause between two acts.
    pub(super) pause: Duration,
    over: AtomicBool,
    clients: AtomicUsize,
    outages: Mutex<Vec<Outage>>,
}

impl World {
    pub(super) fn new(address: SocketAddr, extra: SocketAddr, habits: &[Habit], pause: Duration) -> Self {
        Self {
            address,
            extra,
            ledger: Ledger::new(habits.iter().map(|habit| habit.name)),
            began: Instant::now(),
            pause,
            over: AtomicBool::new(false),
            clients: AtomicUsize::new(0),
            outages: Mutex::default(),
        }
    }

    /// Nobody begins anything new.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// A client comes.
    pub(super) fn enters(&self) {
        self.clients.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the last client has left.
    pub(super) fn is_empty(&self) -> bool {
        self.clients.load(Ordering::Relaxed) == 0
    }

    /// The server behind dies now.
    pub(super) fn dies(&self) {
        self.outages().push(Outage { from: Instant::now(), to: None });
    }

    /// It is back.
    pub(super) fn is_back(&self) {
        if let Some(outage) = self.outages().last_mut() {
            outage.to = Some(Instant::now());
        }
    }

    fn outages(&self) -> std::sync::MutexGuard<'_, Vec<Outage>> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server behind died, or was dead, while something ran that began then and is over now. With `at_once`
    /// only its dying counts, not its being dead.
    fn suffered(&self, began: Instant, at_once: bool) -> bool {
        self.outages().iter().rev().any(|outage| {
            let until = if at_once { Some(outage.from) } else { outage.to };
            until.is_none_or(|until| began <= until + AFTERMATH)
        })
    }

    /// Whether this fault is no failure of the gate's.
    fn permits(&self, leans: Leans, fault: &Fault, began: Instant) -> bool {
        // An answer that is cut off ends by a reset, which may come before its beginning is read.
        let behind = matches!(fault, Fault::Status(502..=504) | Fault::CutOff(_) | Fault::Unanswered(_));
        match leans {
            Leans::Nobody => false,
            Leans::Flaky => behind && self.suffered(began, false),
            Leans::Pair => behind && self.suffered(began, true),
            Leans::Extra => matches!(fault, Fault::Refused(_) | Fault::Unanswered(_)),
        }
    }
}

/// A client, for whom [`World::enters`] was called; it leaves when it is dropped.
pub(super) struct Visit<'w> {
    pub(super) world: &'w World,
    pub(super) rng: Rng,
    /// A connection that may carry another request.
    pub(super) conn: Option<Conn>,
    /// Exchanges of this act that went as they must.
    pub(super) right: u64,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.world.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Visit<'_> {
    /// Acts until all is over.
    pub(super) fn live(mut self, number: usize, habit: &Habit) {
        let world = self.world;
        while !world.is_over() {
            let began = Instant::now();
            let outcome = (habit.act)(&mut self);
            world.ledger.right(number, std::mem::take(&mut self.right));
            if let Err(fault) = outcome {
                self.conn = None;
                if world.permits(habit.leans, &fault, began) {
                    world.ledger.permitted(number, &fault);
                } else {
                    world.ledger.failed(number, &fault, world.began.elapsed().as_secs_f64());
                }
                // A server that is dead is not asked ten thousand times a second.
                thread::sleep(Duration::from_millis(20));
            }
            if self.rng.below(ACTS) == 0 {
                self.conn = None;
            }
            let pause = world.pause.as_micros() as u64;
            if pause > 0 {
                thread::sleep(Duration::from_micros(self.rng.below(pause)));
            }
        }
    }

    /// The connection that is kept, or a new one.
    pub(super) fn conn(&mut self) -> Result<Conn, Fault> {
        let kept = self.conn.take().filter(|conn| !conn.is_stale());
        kept.map_or_else(|| Conn::open(self.world.address), Ok)
    }

    /// One request on the kept connection; its answer must be this.
    pub(super) fn ask(&mut self, request: &[u8], status: u16, expected: Expected) -> Result<Answer, Fault> {
        let mut conn = self.conn()?;
        conn.send(request)?;
        let asked = Asked::by(request.split(|&byte| byte == b' ').next().unwrap_or_default());
        let answer = conn.answer(asked, status, expected)?;
        self.settled(conn, &answer)?;
        Ok(answer)
    }

    /// Keeps a connection that was not to be closed.
    pub(super) fn settled(&mut self, conn: Conn, answer: &Answer) -> Result<(), Fault> {
        if !answer.keep_alive {
            return Err(Fault::Wrong(format!("it closes: {}", answer.head)));
        }
        self.right += 1;
        self.conn = Some(conn);
        Ok(())
    }

    /// The same where an answer that began before the request was whole may be the last; then the end is clean.
    pub(super) fn settled_or_ended(&mut self, mut conn: Conn, answer: &Answer) -> Result<(), Fault> {
        if answer.keep_alive {
            return self.settled(conn, answer);
        }
        conn.ends()?;
        self.right += 1;
        Ok(())
    }

    /// A file, or what one of the servers behind has: 200, and this body.
    pub(super) fn get(&mut self, path: &str, expected: Expected) -> Result<Answer, Fault> {
        self.ask(request("GET", path, "").as_bytes(), 200, expected)
    }
}

/// A request's head; `fields` are lines with their ends.
pub(super) fn request(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: soak.example\r\n{fields}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        let address = "127.0.0.1:1".parse().unwrap();
        World::new(address, address, &[], Duration::ZERO)
    }

    #[test]
    fn a_bad_gateway_is_permitted_while_its_server_is_dead_and_at_no_other_time() {
        let (world, before, fault) = (world(), Instant::now(), Fault::Status(502));
        assert!(!world.permits(Leans::Flaky, &fault, before));
        world.dies();
        assert!(world.permits(Leans::Flaky, &fault, before));
        assert!(!world.permits(Leans::Nobody, &fault, before));
        world.is_back();
        assert!(world.permits(Leans::Flaky, &fault, before), "it began before");
        let later = Instant::now() + AFTERMATH + Duration::from_millis(1);
        assert!(!world.permits(Leans::Flaky, &fault, later));
        assert!(!world.permits(Leans::Flaky, &Fault::Wrong(String::new()), before), "a wrong byte never is");
        assert!(!world.permits(Leans::Flaky, &Fault::Silent, before), "nor is a hang");
    }

    #[test]
    fn one_of_two_servers_that_is_dead_excuses_only_who_was_there_when_it_died() {
        let (world, fault) = (world(), Fault::Status(502));
        world.dies();
        assert!(world.permits(Leans::Pair, &fault, Instant::now()));
        let later = Instant::now() + AFTERMATH + Duration::from_millis(1);
        assert!(!world.permits(Leans::Pair, &fault, later), "it is dead still, and the other serves");
        assert!(world.permits(Leans::Flaky, &fault, later));
    }
}
