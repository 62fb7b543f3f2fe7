//! How a closed loop is driven: each connection asks, waits for all it is owed, and asks again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::Poll;
use std::time::Duration;

use anygate_shard::{Address, Bytes, Class, Close, Options, Park, Service, Shard, SocketId, Tick, Wake, mailbox};

use super::answers::{Answer, Answers, Bench};
use super::{Edge, Fault, Plan, Reuse, Tally};

/// An answer that takes longer than this is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often connections are looked at that stall or that could not be made.
const ROUND: Duration = Duration::from_millis(100);

pub(super) fn run(plan: &Plan, edge: &mut (dyn FnMut(Edge) + Send)) -> Result<Tally, String> {
    let shard = shard(plan)?;
    let (_sender, mailbox) = mailbox::channel(1);
    let load = Load::new(&shard, plan);
    load.start();
    let turn_until = |end: Tick| {
        loop {
            let left = end - shard.stamp();
            if left.is_zero() {
                return;
            }
            shard.turn(&load, &mailbox, Park::AtMost(left.min(ROUND)));
            load.look_around();
        }
    };
    turn_until(shard.stamp() + plan.warm_up);
    edge(Edge::Begin);
    let begin = shard.stamp();
    load.state.borrow_mut().tally.clear();
    turn_until(begin + plan.duration);
    let elapsed = shard.stamp() - begin;
    edge(Edge::End);
    shard.shutdown();
    let mut tally = load.state.borrow().tally.clone();
    tally.elapsed = elapsed;
    Ok(tally)
}

/// The runtime a plan asks for, on the calling thread.
pub(super) fn shard(plan: &Plan) -> Result<Shard, String> {
    let mut options = Options::new(0, plan.io);
    options.core = plan.core;
    Shard::new(&options).map_err(|error| format!("a shard for the load: {error}"))
}

/// All connections of a load. A row is a connection.
struct Load<'p> {
    shard: &'p Shard,
    target: Address,
    reuse: Reuse,
    depth: u32,
    batch: Bytes,
    state: RefCell<State>,
}

struct State {
    lines: Vec<Line>,
    bench: Bench,
    tally: Tally,
    looked: Tick,
}

#[derive(Default)]
struct Line {
    socket: Option<SocketId>,
    connected: bool,
    /// When each request that is not answered yet began, oldest first.
    owed: VecDeque<Tick>,
    answers: Answers,
    /// The last answer is here; the end of the stream is due.
    ending: bool,
}

impl<'p> Load<'p> {
    fn new(shard: &'p Shard, plan: &Plan) -> Self {
        let state = State {
            lines: (0..plan.connections).map(|_| Line::default()).collect(),
            bench: Bench::default(),
            tally: Tally::new(),
            looked: shard.stamp(),
        };
        Self {
            shard,
            target: Address::Ip(plan.target),
            reuse: plan.reuse,
            depth: plan.depth,
            batch: Bytes::from(plan.request().repeat(plan.depth as usize)),
            state: RefCell::new(state),
        }
    }

    fn start(&self) {
        let state = &mut *self.state.borrow_mut();
        let now = self.shard.stamp();
        for (row, line) in state.lines.iter_mut().enumerate() {
            self.connect(row as u32, line, &mut state.tally, now);
        }
    }

    /// Begins a connection; its first batch counts from now.
    fn connect(&self, row: u32, line: &mut Line, tally: &mut Tally, now: Tick) {
        *line = Line::default();
        match self.shard.connect(&self.target) {
            Ok(socket) => {
                line.socket = Some(socket);
                self.ask(line, now);
                self.shard.wake(Wake::row(row));
            }
            Err(_) => tally.fault(Fault::Connect),
        }
    }

    /// Queues the next batch. On a connection that does not stand yet it leaves as soon as it does.
    fn ask(&self, line: &mut Line, now: Tick) {
        if let Some(socket) = line.socket {
            line.owed.extend(std::iter::repeat_n(now, self.depth as usize));
            self.shard.queue(socket, self.batch.clone());
        }
    }

    /// Ends a connection and leaves its line for [`look_around`](Self::look_around).
    fn give_up(&self, line: &mut Line, tally: &mut Tally, fault: Fault) {
        tally.fault(fault);
        if let Some(socket) = line.socket.take() {
            self.shard.close(socket, Close::Abort);
        }
    }

    /// Takes what came on a connection.
    fn receive(&self, row: u32, state: &mut State) {
        let State { lines, bench, tally, .. } = state;
        let line = &mut lines[row as usize];
        while let Some(socket) = line.socket {
            if !line.connected {
                match self.shard.poll_connected(socket, Wake::row(row)) {
                    Poll::Pending => return,
                    Poll::Ready(Err(_)) => return self.give_up(line, tally, Fault::Connect),
                    Poll::Ready(Ok(())) => {
                        line.connected = true;
                        tally.connects += 1;
                    }
                }
            }
            match self.shard.poll_recv(socket, Class::Head, Wake::row(row)) {
                Poll::Pending => return,
                Poll::Ready(Err(_)) => return self.give_up(line, tally, Fault::Reset),
                Poll::Ready(Ok(lease)) if lease.is_empty() => {
                    if let Some(answer) = line.answers.end() {
                        self.answered(line, tally, answer, self.shard.stamp());
                    }
                    if !line.owed.is_empty() {
                        return self.give_up(line, tally, Fault::Ended);
                    }
                    self.shard.close(socket, Close::Graceful);
                    self.connect(row, line, tally, self.shard.stamp());
                    return;
                }
                Poll::Ready(Ok(lease)) => {
                    let now = self.shard.stamp();
                    tally.bytes_in += lease.len() as u64;
                    let mut answers = std::mem::take(&mut line.answers);
                    let read = answers.feed(lease.filled(), bench, |answer| self.answered(line, tally, answer, now));
                    line.answers = answers;
                    if read.is_err() {
                        return self.give_up(line, tally, Fault::Malformed);
                    }
                    if line.owed.is_empty() && !line.ending {
                        self.ask(line, now);
                    }
                }
            }
        }
    }

    #[inline]
    fn answered(&self, line: &mut Line, tally: &mut Tally, answer: Answer, now: Tick) {
        line.ending |= !answer.keep_alive || self.reuse == Reuse::PerRequest;
        match line.owed.pop_front() {
            None => tally.fault(Fault::Malformed),
            Some(_) if !(200..300).contains(&answer.status) => tally.fault(Fault::Status),
            Some(began) => tally.answered(now - began),
        }
    }

    /// Gives up what stalls and makes connections anew that could not be made.
    fn look_around(&self) {
        let state = &mut *self.state.borrow_mut();
        let now = self.shard.now();
        if now - state.looked < ROUND {
            return;
        }
        state.looked = now;
        for (row, line) in state.lines.iter_mut().enumerate() {
            if line.socket.is_some() && line.owed.front().is_some_and(|&began| now - began > PATIENCE) {
                self.give_up(line, &mut state.tally, Fault::Stalled);
            }
            if line.socket.is_none() {
                self.connect(row as u32, line, &mut state.tally, now);
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
}
