//! What a load knows of one connection, and of the connections that do the same.

use std::collections::VecDeque;

use anygate_shard::{Bytes, Class, Shard, SocketId, Tick};

use super::answers::Answers;
use super::h2::{Blocks, Session};
use super::schedule::Schedule;
use super::tls::Client;
use super::{Group, Pace, Plan, Tally};

/// Content that is sealed at a time, in bytes.
const SEALED: usize = 64 << 10;

/// Bodies are sent from one buffer of at most this many bytes.
const BODY: u64 = 1 << 20;

/// Requests of a connection that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// When they began, oldest first, and how many began then.
    began: VecDeque<(Tick, u32)>,
    count: u32,
}

impl Owed {
    /// How many there are.
    #[inline]
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Notes requests that begin.
    #[inline]
    pub(super) fn add(&mut self, began: Tick, count: u32) {
        self.count += count;
        self.began.push_back((began, count));
    }

    /// Of those that were [taken](Self::take) these are owed again, and no others; says how many others there were.
    pub(super) fn left(&mut self, again: &[Tick]) -> u32 {
        self.began.extend(again.iter().map(|&began| (began, 1)));
        let count = again.len() as u32;
        std::mem::replace(&mut self.count, count).saturating_sub(count)
    }

    /// Who answers in another order than was asked keeps by itself when requests began: these, and how many.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (Tick, u32)> {
        self.began.drain(..)
    }

    /// One of those is not owed any more.
    #[inline]
    pub(super) fn settle_any(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// When the request began that is answered now; `None` when nobody asked.
    #[inline]
    pub(super) fn settle(&mut self) -> Option<Tick> {
        let (began, count) = self.began.front_mut()?;
        let began = *began;
        *count -= 1;
        if *count == 0 {
            self.began.pop_front();
        }
        self.count -= 1;
        Some(began)
    }

    /// Forgets all, and says how many these were.
    pub(super) fn forgive(&mut self) -> u32 {
        self.began.clear();
        std::mem::take(&mut self.count)
    }
}

/// One connection, and then the next one in its place.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The fleet it belongs to.
    pub(super) fleet: u16,
    pub(super) socket: Option<SocketId>,
    pub(super) client: Option<Box<Client>>,
    /// Bytes of requests that are to be sealed.
    pub(super) unsealed: u64,
    pub(super) connected: bool,
    /// It has been open, or could not be opened.
    pub(super) tried: bool,
    /// The last answer is here.
    pub(super) ending: bool,
    /// And the server will not end the connection.
    pub(super) leaving: bool,
    /// It is in its fleet's list of those that may be asked.
    pub(super) idle: bool,
    pub(super) answers: Answers,
    /// Where HTTP/2 is spoken.
    pub(super) session: Option<Box<Session>>,
    pub(super) owed: Owed,
    /// When bytes last moved.
    pub(super) moved: Tick,
    /// Bytes that waited to leave when it was last looked at.
    pub(super) queued: usize,
    /// With [`Pace::Each`], how many batches have begun.
    pub(super) begun: u64,
}

impl Line {
    pub(super) fn new(fleet: u16) -> Self {
        Self { fleet, ..Self::default() }
    }

    /// Forgets the connection, but not what is owed.
    pub(super) fn disconnected(&mut self) {
        (self.socket, self.client, self.unsealed) = (None, None, 0);
        (self.connected, self.ending, self.leaving) = (false, false, false);
        self.answers = Answers::default();
        self.session = None;
    }

    /// Requests that may be unanswered at a time, of so many that are wanted.
    #[inline]
    pub(super) fn most(&self, wanted: u32) -> u32 {
        self.session.as_ref().map_or(wanted, |session| session.most(wanted))
    }

    /// Puts what is owed behind what the session says; nothing where HTTP/1.1 is spoken.
    pub(super) fn request(&mut self, blocks: &Blocks) {
        let Some(session) = &mut self.session else { return };
        for (began, count) in self.owed.take() {
            session.ask(blocks, began, count);
        }
    }

    /// After the end of a session: how many of its requests came to nothing. Others are owed still, for the server has not
    /// looked at them.
    pub(super) fn left(&mut self) -> u32 {
        let Some(session) = &self.session else { return 0 };
        let untouched: Vec<_> = session.untouched().collect();
        self.owed.left(&untouched)
    }

    /// A handshake goes on.
    pub(super) fn is_handshaking(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.is_handshaking())
    }

    /// The stream came to its end as it should: with TLS, after the word that nothing follows.
    pub(super) fn is_whole(&self) -> bool {
        self.client.as_ref().is_none_or(|client| client.is_closed())
    }

    /// The buffer that fits what comes next. `usual` is how long an answer was.
    #[inline]
    pub(super) fn class(&self, usual: usize) -> Class {
        let usual = self.session.as_ref().map_or(usual, |session| session.usual());
        let expected =
            self.answers.rest().unwrap_or_else(|| usual.saturating_mul(self.owed.count.max(1) as usize) as u64);
        [Class::Head, Class::Tls].into_iter().find(|class| expected <= class.size() as u64).unwrap_or(Class::Bulk)
    }
}

/// What bodies are made of.
fn body(plan: &Plan) -> Vec<u8> {
    match &plan.body {
        Some(body) if !body.is_empty() => body.clone(),
        _ => vec![b'x'; plan.upload.min(BODY) as usize],
    }
}

/// Connections that do the same.
#[derive(Debug)]
pub(super) struct Fleet {
    /// The row of its first line.
    pub(super) first: u32,
    pub(super) group: Group,
    /// When requests begin; none with [`Pace::Answers`].
    pub(super) schedule: Option<Schedule>,
    /// With [`Pace::Rate`]: those that may be asked; who has waited longest is asked first.
    pub(super) idle: VecDeque<u32>,
    pub(super) tally: Tally,
    /// As many heads as fit a batch.
    batch: Bytes,
    /// Bytes of one head.
    head: usize,
    /// A piece of the body.
    body: Bytes,
    /// Bytes of the body.
    upload: u64,
    /// Where heads and bodies are joined to be sealed.
    scratch: Vec<u8>,
}

impl Fleet {
    pub(super) fn new(plan: &Plan, group: Group, first: u32) -> Self {
        let head = plan.request();
        let schedule = match group.pace {
            Pace::Answers => None,
            Pace::Rate(rate) => Some(Schedule::new(rate)),
            Pace::Each(apart) => Some(Schedule::new(f64::from(group.connections) / apart.as_secs_f64())),
        };
        Self {
            first,
            group,
            schedule,
            idle: VecDeque::new(),
            tally: Tally::new(),
            head: head.len(),
            batch: Bytes::from(head.repeat(group.depth as usize)),
            body: Bytes::from(body(plan)),
            upload: plan.upload,
            scratch: Vec::new(),
        }
    }

    /// Queues so many requests, at most a batch of them.
    pub(super) fn send(&mut self, shard: &Shard, socket: SocketId, count: u32) {
        self.tally.bytes_out += self.bytes(count);
        if self.upload == 0 {
            return shard.queue(socket, self.batch.slice(..count as usize * self.head));
        }
        for _ in 0..count {
            shard.queue(socket, self.batch.slice(..self.head));
            let mut left = self.upload;
            while left > 0 {
                let piece = left.min(self.body.len() as u64);
                shard.queue(socket, self.body.slice(..piece as usize));
                left -= piece;
            }
        }
    }

    /// Bytes of so many requests.
    pub(super) fn bytes(&self, count: u32) -> u64 {
        u64::from(count) * (self.head as u64 + self.upload)
    }

    /// The next bytes of requests of which so many are left: at most [`SEALED`] of them, or a batch.
    pub(super) fn piece(&mut self, left: u64) -> &[u8] {
        if self.upload == 0 {
            // Whole heads alone are left, as many as there are in one batch.
            return &self.batch[..left.min(self.batch.len() as u64) as usize];
        }
        let each = self.head as u64 + self.upload;
        let most = left.min(SEALED as u64) as usize;
        let mut at = (each - left % each) % each;
        self.scratch.clear();
        while self.scratch.len() < most {
            let room = most - self.scratch.len();
            let part = match usize::try_from(at) {
                Ok(at) if at < self.head => &self.batch[at..self.head],
                _ => {
                    let (sent, length) = (at - self.head as u64, self.body.len() as u64);
                    let part = &self.body[(sent % length) as usize..];
                    &part[..(part.len() as u64).min(self.upload - sent) as usize]
                }
            };
            let part = &part[..part.len().min(room)];
            self.scratch.extend_from_slice(part);
            at = (at + part.len() as u64) % each;
        }
        &self.scratch
    }

    /// When a request of this number is due.
    pub(super) fn at(&self, number: u64) -> Tick {
        self.schedule.as_ref().map_or(Tick::MAX, |schedule| schedule.at(number))
    }

    /// Whether the next request is due.
    #[inline]
    pub(super) fn is_due(&self, now: Tick) -> bool {
        self.schedule.as_ref().is_some_and(|schedule| schedule.next() <= now)
    }

    /// Takes the next request if it is due: its number.
    #[inline]
    pub(super) fn take(&mut self, now: Tick) -> Option<u64> {
        self.schedule.as_mut()?.take(now)
    }

    /// With [`Pace::Each`], when a line's next batch is due; never for others.
    pub(super) fn due(&self, row: u32, line: &Line) -> Tick {
        match (&self.schedule, self.group.pace) {
            (Some(schedule), Pace::Each(_)) => {
                schedule.at(u64::from(row - self.first) + line.begun * u64::from(self.group.connections))
            }
            _ => Tick::MAX,
        }
    }

    /// Requests that have come due so far.
    pub(super) fn requests_due(&self, now: Tick) -> u64 {
        let due = self.schedule.as_ref().map_or(0, |schedule| schedule.due(now));
        if matches!(self.group.pace, Pace::Each(_)) { due * u64::from(self.group.depth) } else { due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_is_settled_in_order() {
        let mut owed = Owed::default();
        owed.add(Tick::from_nanos(1), 2);
        owed.add(Tick::from_nanos(5), 1);
        let settled: Vec<_> = std::iter::from_fn(|| owed.settle()).map(Tick::as_nanos).collect();
        assert_eq!(settled, [1, 1, 5]);
        assert_eq!(owed.count(), 0);
        owed.add(Tick::from_nanos(7), 3);
        assert_eq!((owed.forgive(), owed.settle()), (3, None));
    }

    #[test]
    fn a_buffer_is_as_large_as_what_is_expected() {
        let mut line = Line::new(0);
        assert_eq!(line.class(120), Class::Head);
        assert_eq!(line.class(17_000), Class::Tls);
        assert_eq!(line.class(10 << 20), Class::Bulk);
        line.owed.add(Tick::ZERO, 16);
        assert_eq!(line.class(1200), Class::Bulk, "sixteen answers come at once");
    }

    #[test]
    fn what_is_sealed_is_what_would_be_sent() {
        for (upload, depth) in [(0, 1), (0, 3), (1, 1), (10, 4), (150_000, 2)] {
            let body = (upload > 5).then(|| b"some body".to_vec());
            let plan =
                Plan { upload, body, depth, ..Plan::new("127.0.0.1:80".parse().unwrap(), anygate_shard::Io::Epoll) };
            let group = plan.groups().next().unwrap();
            let mut fleet = Fleet::new(&plan, group, 0);
            let one: Vec<u8> = plan
                .request()
                .into_iter()
                .chain(super::body(&plan).into_iter().cycle().take(upload as usize))
                .collect();
            let mut left = fleet.bytes(depth);
            let mut all = Vec::new();
            while left > 0 {
                let piece = fleet.piece(left);
                assert!(!piece.is_empty() && piece.len() <= SEALED);
                all.extend_from_slice(piece);
                left -= piece.len() as u64;
            }
            assert!(all == one.repeat(depth as usize), "{upload} bytes, {depth} at a time");
        }
    }
}
