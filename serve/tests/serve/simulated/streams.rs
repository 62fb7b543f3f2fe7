//! Clients that speak HTTP/2: many streams on a connection, windows that run dry, resets, and GOAWAY, behind which a
//! request is asked again that nobody may have served.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use anygate_shard::{Close, SocketId};

use super::client::Life;
use super::frames::{self, Frames, kind};
use super::ledger::{NOT_BEGUN, Outcome};
use super::line::Line;
use super::scene::{Ask, Breach, Multi, What};
use super::wire::{Head, content};

/// The windows of a connection and of each stream before anybody says another size.
pub(super) const FIRST_WINDOW: i64 = 65_535;
/// What a PING says.
pub(super) const PING: [u8; 8] = *b"are you?";
/// Connections of a client for each of its requests, at most.
const TRIES: usize = 8;
pub(super) const CANCEL: u32 = 8;

/// A request on its way.
pub(super) struct Open {
    pub(super) ask: Ask,
    /// What of its content was not sent.
    pub(super) upload: VecDeque<u8>,
    /// Its content waits to be asked for.
    pub(super) waits: bool,
    /// Its end was sent.
    pub(super) sent: bool,
    pub(super) send: i64,
    pub(super) receive: i64,
    /// Bytes that came and were not given back.
    pub(super) owed: u32,
    pub(super) head: Option<Head>,
    pub(super) came: Vec<u8>,
    /// The answer is whole.
    pub(super) answered: bool,
    /// Interim answers that came, but 100.
    pub(super) informed: u64,
    pub(super) trailers: Option<Head>,
    /// It is given up when no more of its content than this is left.
    pub(super) quits: Option<usize>,
}

/// One connection.
pub(super) struct Streams<'a> {
    pub(super) life: &'a Life,
    pub(super) multi: Multi,
    pub(super) line: Line,
    pub(super) frames: Frames,
    pub(super) open: BTreeMap<u32, Open>,
    pub(super) next: u32,
    /// Requests that are to be asked again, on another connection.
    pub(super) again: Vec<Ask>,
    /// What the house says of itself; `None` before it did.
    pub(super) settings: Option<House>,
    pub(super) send: i64,
    pub(super) receive: i64,
    pub(super) owed: u32,
    /// The window of a stream that the house knows of, and the one it was told of last.
    pub(super) window: i64,
    pub(super) told: i64,
    /// How often our settings were acknowledged.
    pub(super) acks: u32,
    pub(super) went_away: bool,
    pub(super) pongs: u32,
}

/// The house's settings.
#[derive(Clone, Copy)]
pub(super) struct House {
    pub(super) streams: usize,
    pub(super) window: i64,
    pub(super) tunnels: bool,
}

/// What the house may not say.
pub(super) fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Life {
    /// Asks for everything on connections of HTTP/2.
    pub(super) async fn run_streams(&self, multi: Multi) {
        let mut waiting: VecDeque<Ask> = self.client.asks.iter().copied().collect();
        let mut tries = 0;
        while let Some(first) = waiting.front().copied() {
            tries += 1;
            let socket = match self.shard.connect(&self.to) {
                Ok(socket) => socket,
                Err(error) => {
                    waiting.pop_front();
                    self.asks_once(&first);
                    self.ends(&first, Outcome::Lost(format!("{:?}", error.kind())));
                    continue;
                }
            };
            let before = waiting.len();
            let result = match first.breach {
                Some(Breach::Frame(which)) => {
                    waiting.pop_front();
                    self.offends(socket, &first, which).await
                }
                Some(breach) => {
                    waiting.pop_front();
                    self.breaks(socket, &first, breach).await
                }
                None => self.talk_streams(socket, multi, &mut waiting).await,
            };
            self.shard.close(socket, if result.is_ok() { Close::Graceful } else { Close::Abort });
            // Who gets nowhere gives up what is next.
            let stuck = waiting.len() == before && (result.is_err() || tries > TRIES * self.client.asks.len());
            if stuck && let Some(ask) = waiting.pop_front() {
                self.asks_once(&ask);
                let why = match result.err().map(|error| error.kind()) {
                    None => "asked in vain".to_owned(),
                    // Nothing was asked on it, or nothing that was not put back.
                    Some(io::ErrorKind::ConnectionReset) => NOT_BEGUN.to_owned(),
                    Some(kind) => format!("{kind:?}"),
                };
                self.ends(&ask, Outcome::Lost(why));
            }
        }
    }

    /// Tells the book of a request, unless it was asked before.
    fn asks_once(&self, ask: &Ask) {
        let mut ledger = self.ledger.borrow_mut();
        if !ledger.knows(ask.number) {
            ledger.sends(*ask);
        }
    }

    async fn talk_streams(&self, socket: SocketId, multi: Multi, waiting: &mut VecDeque<Ask>) -> io::Result<()> {
        self.shard.connected(socket).await?;
        let line = self.line(socket);
        self.shake(&line).await?;
        let mut streams = Streams::new(self, multi, line);
        let result = streams.talk(waiting).await;
        // What was above the last stream, or refused, nobody has seen.
        for ask in streams.again.drain(..).rev() {
            waiting.push_front(ask);
        }
        if let Err(error) = &result {
            let broken = error.kind() == io::ErrorKind::InvalidData;
            for (id, open) in std::mem::take(&mut streams.open) {
                let outcome = match (open.ask.leaves, broken) {
                    (Some(_), false) => Outcome::Left,
                    (_, true) => Outcome::Wrong(format!("stream {id}: {error}")),
                    _ if streams.settings.is_none() => Outcome::Lost(NOT_BEGUN.to_owned()),
                    _ => Outcome::Lost(format!("{:?}", error.kind())),
                };
                if !open.answered {
                    self.ends(&open.ask, outcome);
                }
            }
            if broken {
                self.ledger.borrow_mut().violations.push(format!("HTTP/2: {error}"));
            }
        }
        result
    }
}

impl<'a> Streams<'a> {
    pub(super) fn new(life: &'a Life, multi: Multi, line: Line) -> Streams<'a> {
        Streams {
            life,
            multi,
            line,
            frames: Frames::default(),
            open: BTreeMap::new(),
            next: 1,
            again: Vec::new(),
            settings: None,
            send: FIRST_WINDOW,
            receive: FIRST_WINDOW,
            owed: 0,
            window: FIRST_WINDOW,
            told: i64::from(multi.window),
            acks: 0,
            went_away: false,
            pongs: 0,
        }
    }

    async fn talk(&mut self, waiting: &mut VecDeque<Ask>) -> io::Result<()> {
        let mut first = frames::PREFACE.to_vec();
        frames::settings(&mut first, &[(2, 0), (4, self.multi.window)]);
        self.life.send(&self.line, &first).await;
        loop {
            let mut out = Vec::new();
            self.ask(waiting, &mut out);
            self.give_back(&mut out);
            self.upload(&mut out);
            self.quit(&mut out);
            if !out.is_empty() {
                self.life.send(&self.line, &out).await;
            }
            let more = !self.went_away && waiting.front().is_some_and(|ask| ask.breach.is_none());
            if self.open.is_empty() && self.again.is_empty() && !more && self.settings.is_some() {
                break;
            }
            if self.open.is_empty() && self.went_away {
                break;
            }
            self.receive().await?;
        }
        self.leave().await
    }

    /// The end, in which nothing comes any more that belongs to a stream.
    async fn leave(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        frames::put(&mut out, kind::GOAWAY, 0, 0, &[0; 8]);
        self.life.send(&self.line, &out).await;
        self.line.finish();
        // Who closes without a word has nothing more to say either.
        while let Ok(bytes) = self.line.recv().await {
            if bytes.is_empty() {
                break;
            }
            self.frames.add(&bytes);
            while let Some(frame) = self.frames.next()? {
                self.take(&frame)?;
            }
        }
        let due = if self.multi.pings { 1 } else { 0 };
        if self.pongs != due && !self.went_away && !self.life.may().lose {
            return Err(wrong(format!("{} answers to {due} pings", self.pongs)));
        }
        Ok(())
    }

    /// Opens as many streams as it wants to, and the house allows.
    pub(super) fn ask(&mut self, waiting: &mut VecDeque<Ask>, out: &mut Vec<u8>) {
        // Until the house has said how many it takes, nobody knows; most take a hundred.
        let most = self.settings.map_or(100, |house| house.streams).min(self.multi.at_once);
        while !self.went_away && self.open.len() < most {
            let Some(ask) = waiting.front().copied().filter(|ask| ask.breach.is_none()) else { return };
            // A tunnel waits until the house has said that it has some.
            if matches!(ask.what, What::Tunnel { .. }) && !self.settings.is_some_and(|house| house.tunnels) {
                return;
            }
            waiting.pop_front();
            self.life.asks_once(&ask);
            let id = self.next;
            self.next += 2;
            let request = frames::Request::of(&ask, id, self.multi);
            let sent = self.frames.ask(out, id, &request, self.multi.splits);
            let upload = ask.upload();
            let bytes = match ask.what {
                What::Tunnel { size } => content(ask.number, size),
                What::Bad(_) => request.content.clone(),
                _ => upload.map(|upload| content(ask.number, upload.size)).unwrap_or_default(),
            };
            let waits = matches!(ask.what, What::Tunnel { .. }) || upload.is_some_and(|upload| upload.expects);
            self.open.insert(
                id,
                Open {
                    ask,
                    upload: bytes.into(),
                    waits,
                    sent,
                    send: self.settings.map_or(FIRST_WINDOW, |house| house.window),
                    receive: self.window,
                    owed: 0,
                    head: None,
                    came: Vec::new(),
                    answered: false,
                    informed: 0,
                    trailers: None,
                    quits: ask.quits(),
                },
            );
            if self.multi.babbles && id % 8 == 1 {
                frames::babble(out, id);
                // And for one that is long over.
                if let Some(over) = id.checked_sub(40).filter(|over| !self.open.contains_key(over)) {
                    frames::window(out, over, 1);
                }
            }
            if self.multi.pings && id == 3 {
                frames::put(out, kind::PING, 0, 0, &PING);
            }
            if id == 5 {
                self.settle_anew(out);
            }
            if self.multi.orders {
                let priority = format!("u={}{}", id / 2 % 8, if id.is_multiple_of(3) { ", i" } else { "" });
                let payload = [&id.to_be_bytes()[..], priority.as_bytes()].concat();
                frames::put(out, kind::PRIORITY_UPDATE, 0, 0, &payload);
            }
        }
    }

    /// Other settings than those it began with.
    fn settle_anew(&mut self, out: &mut Vec<u8>) {
        let Multi { resizes, table, frame, .. } = self.multi;
        let all: Vec<(u16, u32)> =
            [(1, table), (4, resizes), (5, frame)].into_iter().filter_map(|(id, value)| Some((id, value?))).collect();
        if !all.is_empty() {
            frames::settings(out, &all);
        }
        self.told = resizes.map_or(self.told, i64::from);
        self.frames.most = frame.map_or(self.frames.most, |most| most as usize);
    }

    /// Gives up what is to be given up: before its content, in the middle of it, or behind it.
    fn quit(&mut self, out: &mut Vec<u8>) {
        let life = self.life;
        self.open.retain(|id, open| {
            let quits = !open.answered && open.quits.is_some_and(|left| open.upload.len() <= left || open.waits);
            if quits {
                frames::put(out, kind::RST_STREAM, 0, *id, &CANCEL.to_be_bytes());
                life.gives_up(&open.ask);
            }
            !quits
        });
    }

    /// Gives room back: little by little, or only when none is left.
    fn give_back(&mut self, out: &mut Vec<u8>) {
        let due =
            |owed: u32, left: i64, all: i64| owed > 0 && if self.multi.hoards { left <= 0 } else { left < all / 2 };
        if due(self.owed, self.receive, FIRST_WINDOW) {
            frames::window(out, 0, self.owed);
            self.receive += i64::from(std::mem::take(&mut self.owed));
        }
        for (id, open) in &mut self.open {
            if !open.answered && due(open.owed, open.receive, self.window) {
                frames::window(out, *id, open.owed);
                open.receive += i64::from(std::mem::take(&mut open.owed));
            }
        }
    }

    /// Content, a piece of each stream in turn, as far as the windows let it through.
    fn upload(&mut self, out: &mut Vec<u8>) {
        let mut moved = true;
        while std::mem::take(&mut moved) {
            for (id, open) in &mut self.open {
                let given_up = open.quits.is_some_and(|left| open.upload.len() <= left);
                if open.waits || open.sent || given_up {
                    continue;
                }
                let padding = if self.multi.pads { 7 } else { 0 };
                let room = usize::try_from(self.send.min(open.send)).unwrap_or(0);
                let size = open.upload.len().min(room.saturating_sub(padding)).min(self.multi.piece);
                if size == 0 && !open.upload.is_empty() {
                    continue;
                }
                let piece: Vec<u8> = open.upload.drain(..size).collect();
                let trailers = open.ask.upload().is_some_and(|upload| upload.chunked && self.multi.pads);
                if self.multi.babbles && piece.len() % 7 == 3 {
                    frames::data(out, *id, &[], 0, false);
                }
                open.sent = open.upload.is_empty();
                let end = open.sent && !trailers;
                let used = frames::data(out, *id, &piece, if room > padding { padding } else { 0 }, end);
                self.send -= used;
                open.send -= used;
                if trailers && open.sent {
                    self.frames.trailers(out, *id);
                }
                moved = true;
            }
        }
        // Answered and sent: nothing is left to do.
        self.open.retain(|_, open| !(open.answered && open.sent));
    }
}
