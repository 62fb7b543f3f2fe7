//! How many connections are held at rest: each makes one request, and then nothing.

use std::cell::{Cell, RefCell};
use std::task::Poll;
use std::time::Duration;

use anygate_shard::mailbox::{self, Receiver};
use anygate_shard::{Address, Bytes, Class, Close, Park, Service, Shard, SocketId, Wake};

use super::answers::{Answers, Bench};
use super::tls::{Client, Sessions};
use super::{Plan, drive};

/// Connections that are being opened at a time.
const OPENING: usize = 64;
/// All connections must stand after this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections of which every one was answered once and rests since.
pub struct Held {
    shard: Shard,
    holder: Holder,
    mailbox: Receiver<()>,
}

/// Opens connections as `steps` tell, on a thread of its own: `step(held)` is called on that thread with each of these
/// numbers in turn, once so many connections rest and `settle` has passed. Of `plan`, target, path, driver and core count.
///
/// # Errors
/// A connection cannot be made, is not answered, or does not last; or the runtime cannot be made.
pub fn hold(
    plan: &Plan,
    steps: &[usize],
    settle: Duration,
    step: &mut (dyn FnMut(usize) + Send),
) -> Result<(), String> {
    super::on_own_thread(|| {
        let mut held = Held::new(plan)?;
        for &count in steps {
            held.open(count)?;
            held.rest(settle)?;
            step(count);
        }
        held.shard.shutdown();
        Ok(())
    })
}

impl Held {
    fn new(plan: &Plan) -> Result<Self, String> {
        let shard = drive::shard(plan)?;
        let (_, mailbox) = mailbox::channel(1);
        let holder = Holder {
            shard: shard.clone(),
            target: Address::Ip(plan.target),
            sessions: plan.tls.as_ref().map(Sessions::new).transpose()?,
            request: Bytes::from(plan.request()),
            lines: RefCell::default(),
            bench: RefCell::default(),
            resting: Cell::new(0),
            failure: Cell::new(None),
        };
        Ok(Self { shard, holder, mailbox })
    }

    /// Opens connections until `count` rest.
    fn open(&mut self, count: usize) -> Result<(), String> {
        let end = self.shard.stamp() + PATIENCE;
        while self.holder.resting.get() < count {
            let began = self.holder.lines.borrow().len();
            for _ in began..count.min(self.holder.resting.get() + OPENING) {
                self.holder.connect()?;
            }
            self.turn(Duration::from_millis(100))?;
            if self.shard.stamp() >= end {
                return Err(format!("only {} of {count} connections were answered", self.holder.resting.get()));
            }
        }
        Ok(())
    }

    /// Lets time pass.
    fn rest(&mut self, settle: Duration) -> Result<(), String> {
        let end = self.shard.stamp() + settle;
        loop {
            let left = end - self.shard.stamp();
            if left.is_zero() {
                return Ok(());
            }
            self.turn(left)?;
        }
    }

    fn turn(&mut self, at_most: Duration) -> Result<(), String> {
        self.shard.turn(&self.holder, &self.mailbox, Park::AtMost(at_most));
        self.holder.failure.take().map_or(Ok(()), Err)
    }
}

struct Line {
    socket: SocketId,
    connected: bool,
    client: Option<Client>,
    answers: Answers,
}

/// A row is a connection.
struct Holder {
    shard: Shard,
    target: Address,
    sessions: Option<Sessions>,
    request: Bytes,
    lines: RefCell<Vec<Line>>,
    bench: RefCell<Bench>,
    resting: Cell<usize>,
    failure: Cell<Option<String>>,
}

impl Holder {
    fn connect(&self) -> Result<(), String> {
        let socket = self.shard.connect(&self.target).map_err(|error| format!("connecting: {error}"))?;
        let mut client = None;
        match &self.sessions {
            None => self.shard.queue(socket, self.request.clone()),
            Some(sessions) => {
                let mut hello = Vec::new();
                client = Some(Client::begin(sessions, &mut hello).map_err(|error| error.to_string())?);
                self.shard.queue(socket, Bytes::from(hello));
            }
        }
        let mut lines = self.lines.borrow_mut();
        self.shard.wake(Wake::row(lines.len() as u32));
        lines.push(Line { socket, connected: false, client, answers: Answers::default() });
        Ok(())
    }

    fn receive(&self, row: u32) -> Result<(), String> {
        let mut lines = self.lines.borrow_mut();
        let Some(line) = lines.get_mut(row as usize) else { return Ok(()) };
        let fault = |what: &str| format!("connection {row}: {what}");
        if !line.connected {
            match self.shard.poll_connected(line.socket, Wake::row(row)) {
                Poll::Pending => return Ok(()),
                Poll::Ready(outcome) => outcome.map_err(|error| fault(&error.to_string()))?,
            }
            line.connected = true;
        }
        loop {
            match self.shard.poll_recv(line.socket, Class::Head, Wake::row(row)) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(mut lease)) if !lease.is_empty() => {
                    let mut answered = 0;
                    let bench = &mut self.bench.borrow_mut();
                    let mut take = |content: &[u8]| {
                        line.answers.feed(content, bench, |answer| {
                            answered += usize::from(answer.keep_alive && answer.status == 200);
                        })
                    };
                    let read = match &mut line.client {
                        None => take(lease.filled()),
                        Some(client) => {
                            let (mut read, mut records) = (Ok(()), Vec::new());
                            let was_handshaking = client.is_handshaking();
                            let take = |content: &[u8]| read = read.and_then(|()| take(content));
                            let fed = client.feed(lease.filled_mut(), take, &mut records);
                            fed.map_err(|error| fault(&error.to_string()))?;
                            if was_handshaking && !client.is_handshaking() {
                                let sealed = client.seal(&self.request, &mut records);
                                sealed.map_err(|error| fault(&error.to_string()))?;
                            }
                            self.shard.queue(line.socket, Bytes::from(records));
                            read
                        }
                    };
                    read.map_err(|reject| fault(reject.reason))?;
                    self.resting.set(self.resting.get() + answered);
                }
                Poll::Ready(Ok(_)) => {
                    self.shard.close(line.socket, Close::Graceful);
                    return Err(fault("the server ended it"));
                }
                Poll::Ready(Err(error)) => return Err(fault(&error.to_string())),
            }
        }
    }
}

impl Service for Holder {
    type Message = ();

    fn ready(&self, row: u32) {
        if let Err(failure) = self.receive(row) {
            self.failure.set(Some(failure));
        }
    }

    fn expired(&self, _row: u32) {}

    fn message(&self, (): ()) {}
}
