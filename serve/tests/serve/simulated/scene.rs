//! What happens in a run? Everything a seed decides: who asks for what and how, what goes wrong, when the configuration
//! changes.

use anygate_shard::sim::Faults;

use super::ledger::May;
use super::wire::mix;

/// The address where TLS is spoken.
pub(super) const TLS_DOOR: usize = 2;

/// Numbers from a seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64, what: u64) -> Dice {
        Dice(mix(seed ^ mix(what)))
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((mix(self.0) >> 16) % bound.max(1) as u64) as usize
    }

    /// True once in so many times.
    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Mostly small, now and then long enough for splice and sendfile.
    pub(super) fn size(&mut self) -> usize {
        match self.below(12) {
            0 => 0,
            1 => 1,
            2..=6 => self.below(3000),
            7..=10 => self.below(40_000),
            _ => 60_000 + self.below(120_000),
        }
    }
}

/// How the server behind answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    /// With a length.
    Length,
    /// In chunks.
    Chunked,
    /// Until it closes.
    Closing,
    /// After some interim answers.
    Informs,
    /// Rather late.
    Late,
    /// Piece by piece, with pauses.
    Slow,
    /// Without content.
    Nothing,
    /// In chunks, with a trailer.
    Trailing,
    /// With a length, once it has taken the request's content, which it begins to do late.
    Lazy,
    // ---- and wrongly ----
    /// With fewer bytes than it said.
    Short,
    /// In chunks, without the last.
    Chopped,
    /// With bytes after the answer that belong to nobody.
    Extra,
    /// Never.
    Stall,
    /// With the end of the stream.
    Die,
    /// With something that is no head.
    Bad,
    /// Before it has read the request's content.
    Early,
}

pub(super) const RIGHTLY: [How; 9] = [
    How::Length,
    How::Chunked,
    How::Closing,
    How::Informs,
    How::Late,
    How::Slow,
    How::Nothing,
    How::Trailing,
    How::Lazy,
];
pub(super) const WRONGLY: [How; 7] = [How::Short, How::Chopped, How::Extra, How::Stall, How::Die, How::Bad, How::Early];

impl How {
    pub(super) fn word(self) -> String {
        format!("{self:?}").to_ascii_lowercase()
    }
}

/// A request's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) size: usize,
    pub(super) chunked: bool,
    pub(super) expects: bool,
}

/// How a client breaks TLS, or HTTP/2, in place of asking rightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    /// It asks without TLS.
    Plain,
    /// It says one of the things that are no hello.
    Noise(usize),
    /// It says so much of a hello, and no more.
    Stall(usize),
    /// After the handshake it sends a record that is none.
    Record,
    /// In the middle of a body it says that it is over.
    Alarm,
    /// In the middle of a body its stream ends, and it does not say so.
    Cut,
    /// Between two requests by HTTP/2 it sends one of the frames that end a connection.
    Frame(usize),
}

/// How a client speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Secure {
    /// TLS 1.2.
    pub(super) old: bool,
    /// The most of a message or a content that it puts into one record.
    pub(super) fragment: Option<usize>,
    /// It goes on with the sessions it had.
    pub(super) resumes: bool,
    /// It says which protocol it wants.
    pub(super) names_protocol: bool,
    /// It takes other keys in the middle of what it sends.
    pub(super) refreshes: bool,
}

/// How a client speaks HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Multi {
    /// Streams it has open at the same time.
    pub(super) at_once: usize,
    /// The window of a stream it announces, and another one later.
    pub(super) window: u32,
    pub(super) resizes: Option<u32>,
    /// The size of the table of fields, and of frames, that it says later.
    pub(super) table: Option<u32>,
    pub(super) frame: Option<u32>,
    /// It gives no room back before all of it is used up.
    pub(super) hoards: bool,
    /// It asks whether somebody is there.
    pub(super) pings: bool,
    /// It says which answers come first.
    pub(super) orders: bool,
    /// It pads content, and has trailers.
    pub(super) pads: bool,
    /// It sends frames that mean nothing between those that do.
    pub(super) babbles: bool,
    /// Most bytes of content in a frame, and of a head.
    pub(super) piece: usize,
    pub(super) splits: Option<usize>,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Fixed,
    Missing,
    Redirect,
    /// A file, all of it or from one byte to another.
    File {
        large: bool,
        range: Option<(usize, usize)>,
        head: bool,
    },
    Echo(Upload),
    /// What a server behind makes of it; `size` is its answer's.
    Behind {
        how: How,
        size: usize,
        head: bool,
        upload: Option<Upload>,
    },
    /// A switched protocol, and this many bytes both ways.
    Tunnel {
        size: usize,
    },
    /// Something that is no request.
    Bad(usize),
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// Its number in this run, which its content is made of.
    pub(super) number: u32,
    pub(super) what: What,
    pub(super) old: bool,
    /// The client leaves after so many bytes of the answer; by HTTP/2, some before it comes.
    pub(super) leaves: Option<usize>,
    /// Over TLS.
    pub(super) secure: bool,
    /// By HTTP/2.
    pub(super) multi: bool,
    /// What the client does instead.
    pub(super) breach: Option<Breach>,
}

impl Ask {
    /// The content it carries.
    pub(super) fn upload(&self) -> Option<Upload> {
        match self.what {
            What::Echo(upload) => Some(upload),
            What::Behind { upload, .. } => upload,
            _ => None,
        }
    }

    /// After how many bytes of its content a client of HTTP/2 gives it up, if it does.
    pub(super) fn quits(&self) -> Option<usize> {
        let content = match self.what {
            What::Tunnel { size } => size,
            _ => self.upload().map_or(0, |upload| upload.size),
        };
        self.leaves.filter(|_| self.multi && !self.number.is_multiple_of(3)).map(|_| content / 2)
    }

    /// Whether its server breaks the rules.
    pub(super) fn is_answered_wrongly(&self) -> bool {
        matches!(self.what, What::Behind { how, .. } if WRONGLY.contains(&how))
    }

    /// True where nothing may follow on the connection, or nothing can be sent before the answer.
    pub(super) fn alone(&self) -> bool {
        let waits = |upload: &Upload| upload.expects;
        self.old
            || self.leaves.is_some()
            || self.breach.is_some()
            || match &self.what {
                What::Tunnel { .. } | What::Bad(_) => true,
                What::Echo(upload) => waits(upload),
                What::Behind { upload: Some(upload), .. } => waits(upload),
                _ => false,
            }
    }
}

/// One client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) asks: Vec<Ask>,
    /// Requests sent before their answers.
    pub(super) depth: usize,
    /// Bytes given to the network at once, at most.
    pub(super) step: usize,
    /// Pauses between them, in milliseconds.
    pub(super) pause_ms: Option<u64>,
    /// Ends its own stream after the last request of a burst, and reads on.
    pub(super) half_closes: bool,
    /// Which of the addresses it knocks at.
    pub(super) door: usize,
    /// How it speaks TLS, if it does.
    pub(super) secure: Option<Secure>,
    /// How it speaks HTTP/2, if it does.
    pub(super) multi: Option<Multi>,
}

/// What happens to the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The same configuration once more.
    Reload,
    /// One more address, or one less.
    Doors,
    /// Other limits, other words.
    Words,
    /// The servers behind are others.
    Upstream,
    /// The house shows another certificate.
    Certificate,
    /// A configuration that is refused.
    Nonsense,
    /// The servers behind go, and come back at the second time.
    Death,
    /// So many descriptors for everybody, or enough again.
    Descriptors(usize),
    /// The end, with or without those who are served.
    Terminate,
}

/// A whole run.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) seed: u64,
    pub(super) shards: usize,
    /// Whether anything may get lost.
    pub(super) lossy: bool,
    /// Whether the network loses connections.
    pub(super) harsh: bool,
    pub(super) faults: Faults,
    pub(super) clients: Vec<Client>,
    /// After so many requests have come to their end.
    pub(super) events: Vec<(usize, Event)>,
    /// Requests a connection may carry.
    pub(super) cap: usize,
    /// Buffers of each class that a shard of the server has.
    pub(super) buffers: Option<u16>,
}

impl Scene {
    /// What may go wrong in it.
    pub(super) fn may(&self) -> May {
        let happens = |wanted: fn(&Event) -> bool| self.events.iter().any(|(_, event)| wanted(event));
        let breaks = happens(|event| matches!(event, Event::Death | Event::Descriptors(_) | Event::Terminate));
        let extra = |ask: &Ask| matches!(ask.what, What::Behind { how: How::Extra, .. });
        May {
            lose: self.lossy && (self.harsh || breaks),
            drains: !self.lossy && happens(|event| *event == Event::Terminate),
            lose_jobs: self.faults.lost_job > 0,
            half_close: self.faults.half_close > 0,
            extra: self.clients.iter().any(|client| client.asks.iter().any(extra)),
            second_door: self.clients.iter().any(|client| client.door == 1),
            cap: (!happens(|event| *event == Event::Words)).then_some(self.cap),
        }
    }

    /// The scene of a seed. Without losses every request must get its one right answer.
    pub(super) fn new(seed: u64, lossy: bool) -> Scene {
        let mut dice = Dice::new(seed, u64::from(lossy));
        let count = 3 + dice.below(6);
        let mut number = 0;
        let mut clients: Vec<Client> = (0..count).map(|_| client(&mut dice, lossy, &mut number)).collect();
        let total = number as usize;
        let mut events = Vec::new();
        let kinds: &[Event] = if lossy {
            &[
                Event::Reload,
                Event::Doors,
                Event::Words,
                Event::Upstream,
                Event::Nonsense,
                Event::Death,
                Event::Descriptors(0),
                Event::Terminate,
            ]
        } else {
            &[Event::Reload, Event::Doors, Event::Upstream, Event::Nonsense]
        };
        for _ in 0..dice.below(4) {
            let (at, event) = (dice.below(total), dice.pick(kinds));
            match event {
                Event::Descriptors(_) => {
                    events.push((at, Event::Descriptors(4 + dice.below(30))));
                    events.push((at + 1 + dice.below(8), Event::Descriptors(usize::MAX)));
                }
                Event::Death | Event::Doors => {
                    events.push((at, event));
                    events.push((at + 1 + dice.below(8), event));
                }
                // A drain ends most of what could be seen otherwise.
                Event::Terminate if dice.one_in(2) => events.push((at, Event::Reload)),
                _ => events.push((at, event)),
            }
        }
        // Without losses nobody is lost by a drain either.
        if !lossy && dice.one_in(8) {
            events.push((dice.below(total), Event::Terminate));
        }
        secure(&mut Dice::new(seed, 2 + u64::from(lossy)), &mut clients, &mut number, &mut events);
        multiplex(&mut Dice::new(seed, 4 + u64::from(lossy)), &mut clients, &mut number, lossy);
        events.sort_by_key(|(at, _)| *at);
        // A stream whose window is shut keeps a buffer, as a connection of HTTP/1.1 does that takes nothing.
        let streams = 30 * clients.iter().filter(|client| client.multi.is_some()).count() as u16;
        let harsh = lossy && !seed.is_multiple_of(3);
        Scene {
            seed,
            shards: 2 + dice.below(4),
            lossy,
            harsh,
            // Without losses on the network more is seen of what else goes wrong.
            faults: if harsh { Faults::all(seed) } else { Faults::without_losses(seed) },
            clients,
            events,
            cap: if dice.one_in(4) { 1 + dice.below(5) } else { 0 },
            buffers: dice.one_in(3).then(|| 6 + dice.below(20) as u16 + streams),
        }
    }
}

fn client(dice: &mut Dice, lossy: bool, number: &mut u32) -> Client {
    let leaver = dice.one_in(4);
    let asks = (0..1 + dice.below(9)).map(|_| {
        *number += 1;
        let what = what(dice, lossy);
        let leaves = (leaver && dice.one_in(3)).then(|| dice.below(3000));
        let old = dice.one_in(12) && may_be_old(&what);
        Ask { number: *number, what, old, leaves, secure: false, multi: false, breach: None }
    });
    let asks: Vec<Ask> = asks.collect();
    Client {
        asks,
        depth: dice.pick(&[1, 1, 2, 3, 8]),
        step: dice.pick(&[1 << 20, 1 << 20, 4000, 700, 97]),
        pause_ms: dice.one_in(6).then(|| 1 + dice.below(40) as u64),
        half_closes: dice.one_in(5),
        door: if lossy { dice.below(2) } else { 0 },
        secure: None,
        multi: None,
    }
}

/// Half of the clients come by TLS, and some of them break it now and then.
fn secure(dice: &mut Dice, clients: &mut [Client], number: &mut u32, events: &mut Vec<(usize, Event)>) {
    for client in clients {
        if dice.one_in(2) {
            continue;
        }
        client.door = TLS_DOOR;
        client.secure = Some(Secure {
            old: dice.one_in(3),
            fragment: dice.one_in(3).then(|| 32 + dice.below(600)),
            resumes: !dice.one_in(4),
            names_protocol: !dice.one_in(4),
            refreshes: dice.one_in(4),
        });
        client.asks.iter_mut().for_each(|ask| ask.secure = true);
        for _ in 0..dice.below(3) {
            *number += 1;
            let ask = breaking(dice, *number);
            client.asks.insert(dice.below(client.asks.len() + 1), ask);
        }
    }
    if dice.one_in(3) {
        events.push((dice.below(*number as usize), Event::Certificate));
    }
}

/// Two of five clients speak HTTP/2, and ask for more.
fn multiplex(dice: &mut Dice, clients: &mut [Client], number: &mut u32, lossy: bool) {
    for client in clients {
        if dice.below(5) > 1 {
            continue;
        }
        client.multi = Some(Multi {
            at_once: dice.pick(&[1, 4, 16, 100]),
            window: dice.pick(&[65_535, 65_535, 1 << 20, 5000, 16_384]),
            resizes: dice.one_in(4).then(|| dice.pick(&[4000, 65_535, 200_000])),
            table: dice.one_in(4).then(|| dice.pick(&[0, 100, 4096])),
            frame: dice.one_in(4).then(|| dice.pick(&[16_384, 40_000, 1 << 20])),
            hoards: dice.one_in(3),
            pings: dice.one_in(3),
            orders: dice.one_in(3),
            pads: dice.one_in(4),
            babbles: dice.one_in(4),
            piece: dice.pick(&[16_000, 16_000, 1000, 200]),
            splits: dice.one_in(5).then(|| 10 + dice.below(100)),
        });
        // Of what breaks TLS, what is a request in the middle of it is none here.
        client.asks.retain(|ask| !matches!(ask.breach, Some(Breach::Alarm | Breach::Cut)));
        let secure = client.secure.is_some();
        for _ in 0..dice.below(20) {
            *number += 1;
            let (what, leaves) = (what(dice, lossy), dice.one_in(8).then(|| dice.below(3000)));
            client.asks.push(Ask { number: *number, what, old: false, leaves, secure, multi: true, breach: None });
        }
        for _ in 0..dice.below(2) {
            *number += 1;
            let breach = Some(Breach::Frame(dice.below(1 << 16)));
            let ask = Ask { number: *number, what: What::Fixed, old: false, leaves: None, secure, multi: true, breach };
            client.asks.insert(dice.below(client.asks.len() + 1), ask);
        }
        for ask in &mut client.asks {
            (ask.old, ask.multi) = (false, true);
        }
    }
}

fn breaking(dice: &mut Dice, number: u32) -> Ask {
    let breach = match dice.below(6) {
        0 => Breach::Plain,
        1 => Breach::Noise(dice.below(1 << 16)),
        2 => Breach::Stall(dice.below(200)),
        3 => Breach::Record,
        4 => Breach::Alarm,
        _ => Breach::Cut,
    };
    let what = match breach {
        Breach::Alarm | Breach::Cut => {
            let upload = Upload { size: 2 + dice.size(), chunked: dice.one_in(2), expects: false };
            What::Behind { how: How::Length, size: dice.size(), head: false, upload: Some(upload) }
        }
        _ => What::Fixed,
    };
    Ask { number, what, old: false, leaves: None, secure: true, multi: false, breach: Some(breach) }
}

fn may_be_old(what: &What) -> bool {
    match what {
        What::Fixed | What::Missing | What::Redirect | What::File { .. } => true,
        What::Behind { upload, .. } => upload.is_none(),
        _ => false,
    }
}

fn upload(dice: &mut Dice) -> Upload {
    Upload { size: dice.size(), chunked: dice.one_in(2), expects: dice.one_in(5) }
}

fn what(dice: &mut Dice, lossy: bool) -> What {
    match dice.below(20) {
        0..=2 => What::Fixed,
        3 => What::Missing,
        4 => What::Redirect,
        5..=7 => {
            let from = dice.below(60_000);
            What::File {
                large: dice.one_in(2),
                range: dice.one_in(3).then(|| (from, from + dice.below(40_000))),
                head: dice.one_in(6),
            }
        }
        8 | 9 => What::Echo(upload(dice)),
        10 => What::Tunnel { size: dice.size() },
        11 => What::Bad(dice.below(1 << 16)),
        _ => {
            let how = if lossy && dice.one_in(3) { dice.pick(&WRONGLY) } else { dice.pick(&RIGHTLY) };
            let upload = (matches!(how, How::Early | How::Lazy) || dice.one_in(2)).then(|| upload(dice));
            What::Behind { how, size: dice.size(), head: upload.is_none() && dice.one_in(6), upload }
        }
    }
}
