//! How many connections are held at rest: each makes one request, and then nothing.

use std::cell::{Cell, RefCell};
use std::task::Poll;
use std::time::Duration;

use anygate_shard::mailbox::{self, Receiver};
use anygate_shard::{Address, Bytes, Class, Close, Park, Service, Shard, SocketId, Wake};

use super::answers::{Answers, Bench};
use super::h2::{Blocks, Seen, Session};
use super::tls::{Client, Sessions};
use super::{Plan, Protocol, drive};

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
/// numbers in turn, once so many connections rest and `settle` has passed. Of `plan`, target, path, protocol, driver and core count.
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
            sessions: Sessions::of(plan)?,
            blocks: (plan.protocol == Protocol::Http2).then(|| Blocks::of(plan)).transpose()?,
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
    session: Option<Box<Session>>,
}

impl Line {
    /// Takes what came; how many answers ended in it well, and left the connection as it is.
    fn take(&mut self, content: &[u8], bench: &mut Bench) -> Result<usize, &'static str> {
        let mut answered = 0;
        let Some(session) = &mut self.session else {
            let read = self.answers.feed(content, bench, |answer| {
                answered += usize::from(answer.keep_alive && answer.status == 200);
            });
            return read.map(|()| answered).map_err(|reject| reject.reason);
        };
        let mut seen = |seen: Seen<'_>| answered += usize::from(matches!(seen, Seen::Answer { status: 200, .. }));
        session.feed(content, &mut seen).map_err(|broken| broken.why)?;
        if session.is_ending() { Err("the server ends it") } else { Ok(answered) }
    }
}

/// A row is a connection.
struct Holder {
    shard: Shard,
    target: Address,
    sessions: Option<Sessions>,
    /// The request, where HTTP/2 is spoken.
    blocks: Option<Blocks>,
    request: Bytes,
    lines: RefCell<Vec<Line>>,
    bench: RefCell<Bench>,
    resting: Cell<usize>,
    failure: Cell<Option<String>>,
}

impl Holder {
    fn connect(&self) -> Result<(), String> {
        let socket = self.shard.connect(&self.target).map_err(|error| format!("connecting: {error}"))?;
        let mut line = Line { socket, connected: false, client: None, answers: Answers::default(), session: None };
        if let Some(blocks) = &self.blocks {
            let mut session = Session::new(blocks);
            session.ask(blocks, self.shard.now(), 1);
            line.session = Some(Box::new(session));
        }
        if let Some(sessions) = &self.sessions {
            let mut hello = Vec::new();
            line.client = Some(Client::begin(sessions, &mut hello).map_err(|error| error.to_string())?);
            self.shard.queue(socket, Bytes::from(hello));
        } else if line.session.is_none() {
            self.shard.queue(socket, self.request.clone());
        }
        self.say(&mut line)?;
        let mut lines = self.lines.borrow_mut();
        self.shard.wake(Wake::row(lines.len() as u32));
        lines.push(line);
        Ok(())
    }

    /// Lets what a session says leave, once its connection's handshake has ended.
    fn say(&self, line: &mut Line) -> Result<(), String> {
        let Line { socket, client, session: Some(session), .. } = line else { return Ok(()) };
        if session.out.is_empty() || client.as_ref().is_some_and(Client::is_handshaking) {
            return Ok(());
        }
        let mut said = std::mem::take(&mut session.out);
        if let Some(client) = client {
            let mut records = Vec::new();
            client.seal(&said, &mut records).map_err(|error| error.to_string())?;
            said = records;
        }
        self.shard.queue(*socket, Bytes::from(said));
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
                    let bench = &mut self.bench.borrow_mut();
                    let answered = match line.client.take() {
                        None => line.take(lease.filled(), bench).map_err(fault)?,
                        Some(mut client) => {
                            let (mut read, mut records) = (Ok(0), Vec::new());
                            let was_handshaking = client.is_handshaking();
                            let take = |content: &[u8]| {
                                read = read.and_then(|sum| Ok(sum + line.take(content, bench)?));
                            };
                            let fed = client.feed(lease.filled_mut(), take, &mut records);
                            fed.map_err(|error| fault(&error.to_string()))?;
                            if was_handshaking && !client.is_handshaking() {
                                let sessions = self.sessions.as_ref();
                                sessions.map_or(Ok(()), |all| all.check(client.protocol())).map_err(fault)?;
                                if line.session.is_none() {
                                    let sealed = client.seal(&self.request, &mut records);
                                    sealed.map_err(|error| fault(&error.to_string()))?;
                                }
                            }
                            line.client = Some(client);
                            self.shard.queue(line.socket, Bytes::from(records));
                            read.map_err(fault)?
                        }
                    };
                    self.say(line).map_err(|error| fault(&error))?;
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
