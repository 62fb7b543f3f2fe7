//! How a load is driven: what every connection does next, and what time it is.

use std::cell::RefCell;
use std::fmt::Display;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use anygate_shard::mailbox::{self, Receiver};
use anygate_shard::{Address, Bytes, Close, Options, Park, Service, Shard, SocketId, Tick, Wake};

use super::answers::Bench;
use super::h2::{self, Blocks, Seen, Session};
use super::line::{Fleet, Line, Owed};
use super::tls::{Client, Sessions};
use super::{Edge, Fault, Pace, Phase, Plan, Protocol, Reuse, Tally, Watch};

/// All connections stand after this long, or the load begins without the others.
const OPENING: Duration = Duration::from_secs(10);
/// Connections that are made at a time in the beginning: a listener's queue holds no ten thousand.
const OPENING_AT_ONCE: u32 = 64;
/// How often connections are made anew that failed, and others are told how it goes.
const ROUND: Duration = Duration::from_millis(20);
/// How often all connections are looked at, at least.
const INSPECTION: Duration = Duration::from_millis(250);
/// Uploads are sealed while no more than this many bytes wait to leave on a connection.
const SEALED_AHEAD: usize = 128 << 10;
/// A sleep ends so much late that the last part before a request is due is spent awake.
const AWAKE: Duration = Duration::from_micros(100);

pub(super) fn run(plan: &Plan, watch: &Watch, edge: &mut (dyn FnMut(Edge) + Send)) -> Result<Tally, String> {
    // Counted before this thread is pinned. On a single core, who waits awake keeps the server from answering.
    let spins = thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    let shard = shard(plan)?;
    let (_sender, mailbox) = mailbox::channel(1);
    let load = Load::new(&shard, plan)?;
    let drive = Drive { load: &load, mailbox: &mailbox, watch, spins };
    watch.enter(Phase::Opening);
    drive.until(shard.stamp() + OPENING, || load.has_opened());
    watch.enter(Phase::WarmUp);
    load.begin();
    drive.until(shard.stamp() + plan.warm_up, || false);
    let tally = if watch.is_stopped() {
        Tally::new()
    } else {
        edge(Edge::Begin);
        let begin = shard.stamp();
        load.clear(begin);
        watch.enter(Phase::Counting);
        drive.until(begin + plan.duration, || false);
        let end = shard.stamp();
        edge(Edge::End);
        load.result(end - begin, end)
    };
    watch.enter(Phase::Over);
    shard.shutdown();
    match shard.cells().panics.get() {
        0 => Ok(tally),
        _ => Err("the load panicked".to_owned()),
    }
}

/// The runtime a plan asks for, on the calling thread.
pub(super) fn shard(plan: &Plan) -> Result<Shard, String> {
    let mut options = Options::new(0, plan.io);
    options.core = plan.core;
    Shard::new(&options).map_err(|error| format!("a shard for the load: {error}"))
}

struct Drive<'l> {
    load: &'l Load<'l>,
    mailbox: &'l Receiver<()>,
    watch: &'l Watch,
    spins: bool,
}

impl Drive<'_> {
    /// Turns until it is `end` or `done`, or the load is stopped.
    fn until(&self, end: Tick, done: impl Fn() -> bool) {
        let shard = self.load.shard;
        loop {
            let now = shard.stamp();
            if now >= end || done() || self.watch.is_stopped() {
                return;
            }
            let due = self.load.due() - now;
            let park = if self.spins && due <= AWAKE {
                Park::Never
            } else {
                let awake = if self.spins { AWAKE } else { Duration::ZERO };
                Park::AtMost(due.saturating_sub(awake).min(end - now).min(ROUND))
            };
            shard.turn(self.load, self.mailbox, park);
            self.load.look_around(self.watch);
        }
    }
}

/// All connections of a load. A row is a connection.
struct Load<'p> {
    shard: &'p Shard,
    target: Address,
    sessions: Option<Sessions>,
    /// The request, where HTTP/2 is spoken.
    blocks: Option<Blocks>,
    per_request: bool,
    patience: Duration,
    state: RefCell<State>,
}

struct State {
    lines: Vec<Line>,
    fleets: Vec<Fleet>,
    bench: Bench,
    roll: Roll,
    looked: Tick,
    inspected: Tick,
}

/// Why what came cannot be read.
enum Unread {
    Tls(rustls::Error),
    Http(Fault),
}

/// Which lines are to be opened.
#[derive(Default)]
struct Roll {
    /// Those that failed.
    failed: Vec<u32>,
    /// Those that were never opened: this one and all behind it.
    unopened: u32,
    /// How many are being opened for the first time.
    opening: u32,
}

impl Roll {
    /// A line stands, or could not be opened.
    fn tried(&mut self, line: &mut Line) {
        if !std::mem::replace(&mut line.tried, true) {
            self.opening -= 1;
        }
    }
}

impl<'p> Load<'p> {
    fn new(shard: &'p Shard, plan: &Plan) -> Result<Self, String> {
        let (mut lines, mut fleets) = (Vec::new(), Vec::new());
        for group in plan.groups() {
            fleets.push(Fleet::new(plan, group, lines.len() as u32));
            lines.extend((0..group.connections).map(|_| Line::new(fleets.len() as u16 - 1)));
        }
        let now = shard.stamp();
        let state = State {
            lines,
            fleets,
            bench: Bench::new(plan.method()),
            roll: Roll::default(),
            looked: now,
            inspected: now,
        };
        Ok(Self {
            shard,
            target: Address::Ip(plan.target),
            sessions: Sessions::of(plan)?,
            blocks: (plan.protocol == Protocol::Http2).then(|| Blocks::of(plan)).transpose()?,
            per_request: plan.reuse == Reuse::PerRequest,
            patience: plan.patience,
            state: RefCell::new(state),
        })
    }

    /// Every connection stands, or failed once.
    fn has_opened(&self) -> bool {
        let state = self.state.borrow();
        state.roll.opening == 0 && state.roll.unopened as usize == state.lines.len()
    }

    /// Starts the clocks of open loops.
    fn begin(&self) {
        let state = &mut *self.state.borrow_mut();
        let now = self.shard.stamp();
        for schedule in state.fleets.iter_mut().filter_map(|fleet| fleet.schedule.as_mut()) {
            schedule.start(now);
        }
    }

    /// Begins to count: what waits to leave now leaves in the time that counts.
    fn clear(&self, now: Tick) {
        let state = &mut *self.state.borrow_mut();
        for fleet in &mut state.fleets {
            fleet.tally.clear();
            fleet.tally.due = fleet.requests_due(now);
        }
        for line in &state.lines {
            state.fleets[usize::from(line.fleet)].tally.bytes_out += self.queued(line) as u64;
        }
    }

    /// What was counted.
    fn result(&self, elapsed: Duration, end: Tick) -> Tally {
        let state = &mut *self.state.borrow_mut();
        for line in &state.lines {
            let bytes = &mut state.fleets[usize::from(line.fleet)].tally.bytes_out;
            *bytes = bytes.saturating_sub(self.queued(line) as u64);
        }
        let mut tally = Tally::new();
        for fleet in &mut state.fleets {
            let due = fleet.requests_due(end);
            let lines = &state.lines[fleet.first as usize..][..fleet.group.connections as usize];
            let begun = match (&fleet.schedule, fleet.group.pace) {
                (Some(schedule), Pace::Rate(_)) => schedule.taken(),
                _ => lines.iter().map(|line| line.begun).sum::<u64>() * u64::from(fleet.group.depth),
            };
            fleet.tally.waiting = due.saturating_sub(begun);
            fleet.tally.due = due - fleet.tally.due.min(due);
            fleet.tally.elapsed = elapsed;
            tally.add(&fleet.tally);
        }
        if state.fleets.len() > 1 {
            tally.groups = state.fleets.iter().map(|fleet| fleet.tally.clone()).collect();
        }
        tally
    }

    fn queued(&self, line: &Line) -> usize {
        line.socket.map_or(0, |socket| self.shard.queued(socket))
    }

    /// When the next request is due for which there is a connection.
    fn due(&self) -> Tick {
        let state = self.state.borrow();
        let due = |fleet: &Fleet| match (&fleet.schedule, fleet.group.pace) {
            (Some(schedule), Pace::Rate(_)) if !fleet.idle.is_empty() => schedule.next(),
            (Some(schedule), Pace::Each(_)) => schedule.next(),
            _ => Tick::MAX,
        };
        state.fleets.iter().map(due).min().unwrap_or(Tick::MAX)
    }

    /// Begins so many requests on a line, and its connection if it has none.
    fn ask(&self, row: u32, line: &mut Line, fleet: &mut Fleet, roll: &mut Roll, began: Tick, count: u32) {
        if line.owed.count() == 0 {
            line.moved = self.shard.now();
        }
        line.owed.add(began, count);
        match (line.socket, &self.blocks) {
            (Some(_), Some(blocks)) => {
                line.request(blocks);
                self.flush(line, &mut fleet.tally);
            }
            (Some(socket), None) if line.client.is_none() => fleet.send(self.shard, socket, count),
            (Some(_), None) => {
                line.unsealed += fleet.bytes(count);
                self.seal(row, line, fleet);
            }
            (None, _) => self.connect(row, line, fleet, roll),
        }
    }

    /// Lets what a session says leave, once its connection's handshake has ended.
    fn flush(&self, line: &mut Line, tally: &mut Tally) {
        let Line { socket: Some(socket), session: Some(session), client, .. } = line else { return };
        if session.out.is_empty() || client.as_ref().is_some_and(|client| client.is_handshaking()) {
            return;
        }
        let said = std::mem::take(&mut session.out);
        let Some(client) = client else { return self.queue(*socket, said, tally) };
        let mut records = Vec::new();
        // One that can seal no more will be given up when nothing comes.
        if client.seal(&said, &mut records).is_ok() {
            self.queue(*socket, records, tally);
        }
    }

    /// Seals what a TLS connection is to be asked, once it stands, and not more than leaves soon.
    fn seal(&self, row: u32, line: &mut Line, fleet: &mut Fleet) {
        let (Some(socket), Some(client)) = (line.socket, line.client.as_mut()) else { return };
        while line.unsealed > 0 && !client.is_handshaking() {
            if self.shard.poll_sent(socket, SEALED_AHEAD, Wake::row(row)).is_pending() {
                return;
            }
            let piece = fleet.piece(line.unsealed);
            line.unsealed -= piece.len() as u64;
            let mut records = Vec::new();
            // One that can seal no more will be given up when nothing comes.
            if client.seal(piece, &mut records).is_ok() {
                self.queue(socket, records, &mut fleet.tally);
            }
        }
    }

    fn queue(&self, socket: SocketId, records: Vec<u8>, tally: &mut Tally) {
        if !records.is_empty() {
            tally.bytes_out += records.len() as u64;
            self.shard.queue(socket, Bytes::from(records));
        }
    }

    /// Makes a connection and asks on it for what is owed.
    fn connect(&self, row: u32, line: &mut Line, fleet: &mut Fleet, roll: &mut Roll) {
        line.disconnected();
        line.moved = self.shard.now();
        let Ok(socket) = self.shard.connect(&self.target) else {
            return self.give_up(row, line, fleet, roll, Fault::Connect);
        };
        line.socket = Some(socket);
        if let Some(blocks) = &self.blocks {
            line.session = Some(Box::new(Session::new(blocks)));
            line.request(blocks);
        }
        if let Some(sessions) = &self.sessions {
            let mut hello = Vec::new();
            match Client::begin(sessions, &mut hello) {
                Ok(client) => line.client = Some(Box::new(client)),
                Err(error) => return self.refused(row, line, fleet, roll, &error),
            }
            line.unsealed = if self.blocks.is_none() { fleet.bytes(line.owed.count()) } else { 0 };
            self.queue(socket, hello, &mut fleet.tally);
            return self.shard.wake(Wake::row(row));
        }
        if self.blocks.is_some() {
            self.flush(line, &mut fleet.tally);
            return self.shard.wake(Wake::row(row));
        }
        // Of a pipeline that the server cut short.
        let mut left = line.owed.count();
        while left > 0 {
            let count = left.min(fleet.group.depth);
            fleet.send(self.shard, socket, count);
            left -= count;
        }
        self.shard.wake(Wake::row(row));
    }

    /// Ends a connection with all that is owed on it. The line goes on a little later.
    fn give_up(&self, row: u32, line: &mut Line, fleet: &mut Fleet, roll: &mut Roll, fault: Fault) {
        roll.tried(line);
        fleet.tally.fault(fault, u64::from(line.owed.forgive().max(1)));
        fleet.tally.bytes_out = fleet.tally.bytes_out.saturating_sub(self.queued(line) as u64);
        if let Some(socket) = line.socket {
            self.shard.close(socket, Close::Abort);
        }
        line.disconnected();
        roll.failed.push(row);
    }

    /// Ends a connection on which there is no TLS.
    fn refused(&self, row: u32, line: &mut Line, fleet: &mut Fleet, roll: &mut Roll, why: &dyn Display) {
        if fleet.tally.refused.is_none() {
            fleet.tally.refused = Some(why.to_string());
        }
        self.give_up(row, line, fleet, roll, Fault::Handshake);
    }

    /// A connection stands, with TLS where that is spoken.
    fn established(&self, line: &mut Line, tally: &mut Tally, roll: &mut Roll) {
        roll.tried(line);
        tally.connects += 1;
        if let Some(client) = &line.client {
            tally.resumed += u64::from(client.is_resumed());
            if tally.agreed.is_none() {
                tally.agreed = Some(client.agreed());
            }
        }
    }

    /// Takes what came on a connection.
    fn receive(&self, row: u32, state: &mut State) {
        let State { lines, fleets, bench, roll, .. } = state;
        let Some(line) = lines.get_mut(row as usize) else { return };
        let fleet = &mut fleets[usize::from(line.fleet)];
        if line.unsealed > 0 && line.connected {
            self.seal(row, line, fleet);
        }
        while let Some(socket) = line.socket {
            if !line.connected {
                match self.shard.poll_connected(socket, Wake::row(row)) {
                    Poll::Pending => return,
                    Poll::Ready(Err(_)) => return self.give_up(row, line, fleet, roll, Fault::Connect),
                    Poll::Ready(Ok(())) => {
                        line.connected = true;
                        if line.client.is_none() {
                            self.established(line, &mut fleet.tally, roll);
                        }
                    }
                }
            }
            match self.shard.poll_recv(socket, line.class(bench.usual()), Wake::row(row)) {
                Poll::Pending => return,
                Poll::Ready(Ok(mut lease)) if !lease.is_empty() => {
                    let now = self.shard.stamp();
                    line.moved = now;
                    fleet.tally.bytes_in += lease.len() as u64;
                    let was_handshaking = line.is_handshaking();
                    match self.read(line, &mut fleet.tally, bench, lease.filled_mut(), now) {
                        Ok(records) => self.queue(socket, records, &mut fleet.tally),
                        Err(Unread::Tls(error)) if was_handshaking => {
                            return self.refused(row, line, fleet, roll, &error);
                        }
                        Err(Unread::Tls(_)) => return self.give_up(row, line, fleet, roll, Fault::Malformed),
                        Err(Unread::Http(fault)) => return self.give_up(row, line, fleet, roll, fault),
                    }
                    if was_handshaking {
                        if line.is_handshaking() {
                            continue;
                        }
                        if let Err(why) = self.agreed(line) {
                            return self.refused(row, line, fleet, roll, &why);
                        }
                        self.established(line, &mut fleet.tally, roll);
                        self.seal(row, line, fleet);
                    }
                    if line.leaving {
                        self.ended(row, line, fleet, roll);
                    } else {
                        self.go_on(row, line, fleet, roll, now);
                        self.flush(line, &mut fleet.tally);
                    }
                }
                Poll::Ready(Ok(_)) if line.is_handshaking() => {
                    return self.refused(row, line, fleet, roll, &"the server ended it amid the handshake");
                }
                Poll::Ready(Err(_)) if !line.ending => return self.give_up(row, line, fleet, roll, Fault::Reset),
                Poll::Ready(_) => return self.ended(row, line, fleet, roll),
            }
        }
    }

    /// Reads what came; with TLS, what must be sent back for it.
    #[inline]
    fn read(
        &self,
        line: &mut Line,
        tally: &mut Tally,
        bench: &mut Bench,
        bytes: &mut [u8],
        now: Tick,
    ) -> Result<Vec<u8>, Unread> {
        let Line { answers, session, owed, ending, leaving, client, .. } = line;
        let mut take = |content: &[u8]| {
            if let Some(session) = session {
                return self.hear(session, owed, tally, content, now).map(|answered| {
                    *ending |= session.is_ending() || (answered && self.per_request);
                    *leaving |= session.is_over() || (answered && self.per_request);
                });
            }
            let read = answers.feed(content, bench, |answer| {
                *ending |= !answer.keep_alive || self.per_request;
                *leaving |= answer.keep_alive && self.per_request;
                match owed.settle() {
                    Some(began) => tally.answered(answer.status, now - began),
                    None => tally.fault(Fault::Malformed, 1),
                }
            });
            read.map_err(|_| Fault::Malformed)
        };
        let mut records = Vec::new();
        let Some(client) = client else { return take(bytes).map(|()| records).map_err(Unread::Http) };
        let mut read = Ok(());
        client.feed(bytes, |content| read = read.and_then(|()| take(content)), &mut records).map_err(Unread::Tls)?;
        read.map(|()| records).map_err(Unread::Http)
    }

    /// Takes what a session hears; whether a request came to its end.
    #[inline]
    fn hear(
        &self,
        session: &mut Session,
        owed: &mut Owed,
        tally: &mut Tally,
        content: &[u8],
        now: Tick,
    ) -> Result<bool, Fault> {
        let mut answered = false;
        let mut seen = |seen: Seen<'_>| {
            answered |= matches!(seen, Seen::Answer { .. } | Seen::Failed);
            match seen {
                Seen::Answer { status, began } => tally.answered(status, now - began),
                Seen::Failed => tally.fault(Fault::Reset, 1),
                Seen::Field(..) | Seen::Content(_) => return,
            }
            owed.settle_any();
        };
        session.feed(content, &mut seen).map_err(|broken: h2::Broken| broken.fault)?;
        Ok(answered)
    }

    /// Whether that was agreed on in a handshake that was offered.
    fn agreed(&self, line: &Line) -> Result<(), &'static str> {
        match (&self.sessions, &line.client) {
            (Some(sessions), Some(client)) => sessions.check(client.protocol()),
            _ => Ok(()),
        }
    }

    /// A connection came to its end.
    fn ended(&self, row: u32, line: &mut Line, fleet: &mut Fleet, roll: &mut Roll) {
        let now = self.shard.stamp();
        if line.ending {
            fleet.tally.fault(Fault::Ended, u64::from(line.left()));
        }
        let last = if line.is_whole() { line.answers.end() } else { None };
        if let Some(answer) = last {
            line.ending = true;
            match line.owed.settle() {
                Some(began) => fleet.tally.answered(answer.status, now - began),
                None => fleet.tally.fault(Fault::Malformed, 1),
            }
        }
        if line.owed.count() > 0 && !line.ending {
            return self.give_up(row, line, fleet, roll, Fault::Ended);
        }
        fleet.tally.bytes_out = fleet.tally.bytes_out.saturating_sub(self.queued(line) as u64);
        if let Some(socket) = line.socket {
            if let Some(client) = line.client.as_mut().filter(|_| line.leaving) {
                let mut word = Vec::new();
                client.close(&mut word);
                self.shard.queue(socket, Bytes::from(word));
            }
            self.shard.close(socket, Close::Graceful);
        }
        line.disconnected();
        if line.owed.count() > 0 {
            // The server said which answer was its last: the others are asked for anew, and still count from their start.
            self.connect(row, line, fleet, roll);
        }
        self.go_on(row, line, fleet, roll, now);
    }

    /// What a line does next, if anything is to be done now.
    fn go_on(&self, row: u32, line: &mut Line, fleet: &mut Fleet, roll: &mut Roll, now: Tick) {
        let first = if self.blocks.is_some() { h2::STREAMS } else { u32::MAX };
        let depth = if line.session.is_some() { line.most(fleet.group.depth) } else { fleet.group.depth.min(first) };
        let owed = line.owed.count();
        if line.ending || (owed > 0 && (owed >= depth || line.socket.is_none())) {
            return;
        }
        let opens = !self.per_request && line.socket.is_none();
        match fleet.group.pace {
            Pace::Answers if line.session.is_some() => self.ask(row, line, fleet, roll, now, depth - owed),
            Pace::Answers if owed == 0 => self.ask(row, line, fleet, roll, now, depth),
            Pace::Answers => {}
            Pace::Rate(_) => {
                if opens {
                    self.connect(row, line, fleet, roll);
                }
                if !std::mem::replace(&mut line.idle, true) {
                    fleet.idle.push_back(row);
                }
            }
            Pace::Each(_) => {
                let due = fleet.due(row, line);
                if owed == 0 && due <= now {
                    line.begun += 1;
                    self.ask(row, line, fleet, roll, due, depth);
                } else if opens {
                    self.connect(row, line, fleet, roll);
                }
            }
        }
    }

    /// Opens lines for the first time.
    fn open(&self, state: &mut State) {
        let State { lines, fleets, roll, .. } = state;
        let now = self.shard.now();
        while roll.opening < OPENING_AT_ONCE && (roll.unopened as usize) < lines.len() {
            let row = roll.unopened;
            let line = &mut lines[row as usize];
            roll.unopened += 1;
            roll.opening += 1;
            self.go_on(row, line, &mut fleets[usize::from(line.fleet)], roll, now);
            if line.socket.is_none() {
                roll.tried(line);
            }
        }
    }

    /// Begins what has come due.
    fn dispatch(&self, state: &mut State) {
        let State { lines, fleets, roll, .. } = state;
        for fleet in fleets.iter_mut().filter(|fleet| fleet.schedule.is_some()) {
            let now = self.shard.stamp();
            if matches!(fleet.group.pace, Pace::Each(_)) {
                while let Some(number) = fleet.take(now) {
                    let row = fleet.first + (number % u64::from(fleet.group.connections)) as u32;
                    let line = &mut lines[row as usize];
                    if line.socket.is_some() || self.per_request {
                        self.go_on(row, line, fleet, roll, now);
                    }
                }
                continue;
            }
            while fleet.is_due(now) {
                let Some(row) = fleet.idle.pop_front() else { break };
                let line = &mut lines[row as usize];
                line.idle = false;
                if line.ending || (line.socket.is_none() && !self.per_request) {
                    continue;
                }
                if let Some(began) = fleet.take(now).map(|number| fleet.at(number)) {
                    self.ask(row, line, fleet, roll, began, 1);
                }
                if line.owed.count() < line.most(fleet.group.depth) && line.socket.is_some() {
                    line.idle = true;
                    fleet.idle.push_back(row);
                }
            }
        }
    }

    /// Lets lines go on that failed, gives up what stalls, and says how it goes.
    fn look_around(&self, watch: &Watch) {
        let state = &mut *self.state.borrow_mut();
        let now = self.shard.now();
        if now - state.looked < ROUND {
            return;
        }
        state.looked = now;
        let (mut answers, mut faults, mut bytes) = (0, 0, 0);
        for Fleet { tally, .. } in &state.fleets {
            answers += tally.answers;
            faults += tally.all_faults();
            bytes += tally.bytes_in + tally.bytes_out;
        }
        watch.show(answers, faults, bytes);
        let State { lines, fleets, roll, .. } = state;
        for row in std::mem::take(&mut roll.failed) {
            let line = &mut lines[row as usize];
            if line.socket.is_none() {
                self.go_on(row, line, &mut fleets[usize::from(line.fleet)], roll, now);
            }
        }
        if now - state.inspected < INSPECTION.min(self.patience / 2) {
            return;
        }
        state.inspected = now;
        for (row, line) in lines.iter_mut().enumerate() {
            let Some(socket) = line.socket else { continue };
            if line.connected && line.owed.count() == 0 && !line.ending {
                continue;
            }
            let queued = self.shard.queued(socket);
            if std::mem::replace(&mut line.queued, queued) != queued {
                line.moved = now;
            }
            if now - line.moved > self.patience {
                let fault = if line.connected { Fault::Stalled } else { Fault::Connect };
                self.give_up(row as u32, line, &mut fleets[usize::from(line.fleet)], roll, fault);
            }
        }
    }
}

impl Service for Load<'_> {
    type Message = ();

    fn ready(&self, row: u32) {
        self.receive(row, &mut self.state.borrow_mut());
    }

    fn expired(&self, _row: u32) {}

    fn message(&self, (): ()) {}

    fn turn_ended(&self) {
        let state = &mut *self.state.borrow_mut();
        self.open(state);
        self.dispatch(state);
    }
}
