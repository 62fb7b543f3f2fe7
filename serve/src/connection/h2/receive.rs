//! What comes of a connection is taken in: heads go their ways, content waits for who asks for it.

use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use anygate_proto::h2::{Event, Fatal, Flood, StreamKey};
use anygate_shard::{Class, Lease, Tick, Wake};

use super::link::{Leaving, Link, State};
use super::output::READ_STOP;
use super::short::{Gone, Shortcut};
use super::stream::Stream;
use super::{relay, serve};
use crate::body::Trailers;
use crate::observe::limit::Limit;
use crate::server::{Live, Server};

/// How often a client's budgets are full again.
const REFILL: Duration = Duration::from_secs(1);
/// What a request weighs that needs a task, where an answer that is ready weighs 1.
const TASK_WORK: u64 = 4;
/// What a request weighs that left for a server behind at once.
const RELAY_WORK: u64 = 2;

/// What became of what came.
pub(super) enum Taken {
    All,
    /// From here on it waits.
    UpTo(usize),
    Fatal(Fatal),
}

impl Link {
    pub(super) fn read(&self) -> Poll<io::Result<Lease>> {
        let wants = self.state.borrow().wants;
        let lease = std::task::ready!(self.wire.poll_recv(&self.shard, wants, Wake::row(self.row)))?;
        let state = &mut *self.state.borrow_mut();
        // Who sends much at a time sends more.
        state.wants = if lease.spare() == 0 { Class::Bulk } else { Class::Head };
        state.heard = true;
        self.cells.bytes_in.add(lease.len() as u64);
        Poll::Ready(Ok(lease))
    }

    /// True while so much waits to leave that nothing more is taken in: who does not read is not read from.
    pub(super) fn is_congested(&self) -> bool {
        let state = &mut *self.state.borrow_mut();
        if state.codec.output().len() > READ_STOP / 4 {
            self.flush(state);
        }
        self.wire.queued(&self.shard) > READ_STOP
    }

    /// Takes in what came, from `at` on.
    pub(super) fn take_in(self: &Rc<Self>, server: &Rc<Server>, input: &[u8], at: &mut usize) -> Taken {
        let live = server.live();
        let tls = self.wire.tls();
        let shortcut = Shortcut::new(server, &live, self, tls.as_deref());
        let state = &mut *self.state.borrow_mut();
        let now = self.shard.now();
        if now - state.refilled >= REFILL {
            state.refilled = now;
            state.codec.refill();
        }
        let mut quick = 0;
        let taken = loop {
            let event = match state.codec.next(input, at) {
                Ok(Some(event)) => event,
                Ok(None) => break Taken::All,
                Err(fatal) => break Taken::Fatal(fatal),
            };
            match event {
                Event::Request { stream, end } => {
                    self.count_request(server, &live, state);
                    match if end { shortcut.go(&mut state.codec, stream) } else { Gone::Nowhere } {
                        Gone::Answered => quick += 1,
                        Gone::Begun(rule, begun) => {
                            quick += RELAY_WORK;
                            let asked = serve::Asked::take(&mut state.codec);
                            let stream = self.enter(state, stream, end);
                            relay::begin(server, stream, Rc::clone(&live), asked, (rule, begun));
                        }
                        Gone::Nowhere => {
                            quick += TASK_WORK;
                            let asked = serve::Asked::take(&mut state.codec);
                            let stream = self.enter(state, stream, end);
                            serve::begin(server, stream, Rc::clone(&live), asked);
                        }
                    }
                    if state.codec.output().len() > READ_STOP / 4 {
                        self.flush(state);
                        if self.wire.queued(&self.shard) > READ_STOP && *at < input.len() {
                            break Taken::UpTo(*at);
                        }
                    }
                }
                Event::Refused { stream, status, end } => {
                    self.one_more(server, &live, state);
                    let stream = self.enter(state, stream, end);
                    self.refuse(server, &live, state, stream, status);
                }
                Event::Data { stream, range, end } => match state.stream(stream) {
                    Some(reader) => {
                        let mut half = reader.halves();
                        half.received.put(&input[range]);
                        half.heard_all |= end;
                        reader.wake(&mut half);
                    }
                    None => state.codec.consumed(stream, range.len()),
                },
                Event::Trailers { stream } => {
                    let (lines, fields) = state.codec.trailers();
                    if let Some(reader) = state.stream(stream) {
                        let mut half = reader.halves();
                        if !fields.is_empty() {
                            half.trailers = Some(Box::new(Trailers { lines: lines.to_vec(), fields: fields.clone() }));
                        }
                        half.heard_all = true;
                        reader.wake(&mut half);
                    }
                }
                Event::Reset { stream, by_client, .. } => {
                    let counter = if by_client { &self.cells.h2_resets } else { &self.cells.parse_errors };
                    counter.add(1);
                    if let Some(stream) = state.remove(stream) {
                        stream.lost();
                    }
                }
                Event::GoAway { .. } => self.say_last(state),
            }
        };
        for _ in 0..state.codec.take_refused() {
            server.reached(Limit::Streams, Some(&self.peer));
        }
        let malformed = state.codec.take_malformed();
        if malformed > 0 {
            self.cells.parse_errors.add(malformed.into());
        }
        if quick > 0 {
            server.worked(self.row, quick, Tick::MAX);
        }
        taken
    }

    fn count_request(&self, server: &Server, live: &Live, state: &mut State) {
        self.cells.requests.add(1);
        self.cells.h2_requests.add(1);
        self.one_more(server, live, state);
    }

    /// One more of the requests that a connection may make; those that are refused count too.
    fn one_more(&self, server: &Server, live: &Live, state: &mut State) {
        state.served += 1;
        if state.served >= live.plan.client.max_requests && state.leaving != Leaving::Told {
            server.reached(Limit::Requests, Some(&self.peer));
            self.say_last(state);
        }
    }

    /// The stream of a request that a task is to serve.
    fn enter(self: &Rc<Self>, state: &mut State, key: StreamKey, heard_all: bool) -> Rc<Stream> {
        let stream = Stream::new(Rc::clone(self), key, heard_all);
        state.enter(Rc::clone(&stream));
        stream
    }

    /// A head that breaks a limit, or HTTP: its stream gets the page of a status.
    #[cold]
    fn refuse(
        self: &Rc<Self>,
        server: &Rc<Server>,
        live: &Rc<Live>,
        state: &mut State,
        stream: Rc<Stream>,
        status: u16,
    ) {
        match status {
            414 => server.reached(Limit::Target, Some(&self.peer)),
            431 => server.reached(Limit::HeadSize, Some(&self.peer)),
            _ => self.cells.parse_errors.add(1),
        }
        let is_head = state.codec.request().request.is_head;
        serve::refuse(server, stream, Rc::clone(live), status, is_head);
    }

    /// The connection is at its end, and says why.
    #[cold]
    pub(super) fn broke(&self, server: &Server, fatal: Fatal) {
        let limit = match fatal.flood {
            None => return self.cells.h2_protocol_errors.add(1),
            Some(Flood::Resets) => Limit::Resets,
            Some(Flood::Pings) => Limit::Pings,
            Some(Flood::Settings) => Limit::SettingsChanges,
            Some(Flood::EmptyData) => Limit::EmptyFrames,
            Some(Flood::WindowUpdates) => Limit::WindowUpdates,
            Some(Flood::Priorities) => Limit::Priorities,
            Some(Flood::Unknown) => Limit::UnknownFrames,
            Some(Flood::Continuations) => Limit::Continuations,
        };
        server.reached(limit, Some(&self.peer));
    }
}
