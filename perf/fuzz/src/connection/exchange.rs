//! What happens when these bytes come to the server, and these answers from behind it?

use std::path::PathBuf;

use anygate_serve::plan::Plan;
use anygate_serve::tls::Front;
use anygate_shard::net::Address;
use anygate_shard::sim::{Listener, Peer, Personality};

use crate::house::{self, House};
use crate::naive::{self, NaiveMessage};
use crate::shown;

/// Turns until everything must have happened, and then until nothing may be left.
const MOST_TURNS: u32 = 4000;

/// Bytes of an answer or a request that are written at once.
const PIECE: usize = 700;

/// A file that is sent by the kernel's own means.
const LONG: usize = 20 << 10;

/// How an exchange goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) personality: Personality,
    pub(crate) seed: u64,
    /// No fault at all; faults that lose nothing; every fault.
    pub(crate) faults: u8,
    pub(crate) cuts: u8,
    /// The client ends its side when it has sent everything.
    pub(crate) half_closes: bool,
    /// The server behind closes after each answer.
    closes: bool,
    /// The server behind answers as soon as it has a head.
    early: bool,
}

impl Setting {
    pub(crate) fn of(flags: u8, seed: u8, cuts: u8) -> Self {
        Self {
            personality: if flags & 1 == 0 { Personality::Readiness } else { Personality::Completion },
            seed: u64::from(seed),
            faults: [0, 0, 1, 2][usize::from(flags >> 1 & 3)],
            cuts,
            half_closes: flags & 8 != 0,
            closes: flags & 16 != 0,
            early: flags & 32 != 0,
        }
    }

    /// Whether nothing in it depends on when bytes come. (A client that ends its side has left, if that is seen while its
    /// answer is awaited; a server behind that closes a kept connection may meet a request that must not be sent twice.)
    pub(super) fn is_repeatable(self) -> bool {
        self.faults == 0 && !self.early && !self.half_closes && !self.closes
    }

    /// Whether connections may be lost.
    pub(super) fn loses(self) -> bool {
        self.faults == 2
    }

    /// The same on the other kind of driver, with the client's bytes cut elsewhere.
    pub(super) fn other(self) -> Self {
        let personality = match self.personality {
            Personality::Readiness => Personality::Completion,
            Personality::Completion => Personality::Readiness,
        };
        Self { personality, cuts: self.cuts ^ 0x5a, ..self }
    }
}

/// What both sides saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// All bytes the client got.
    pub(crate) client: Vec<u8>,
    /// The requests that the server behind got, each as far as it came.
    pub(crate) behind: Vec<NaiveMessage>,
    /// Whether the client's connection ended before everything was over.
    pub(crate) ended: bool,
}

thread_local! {
    /// Copied for each exchange.
    static PLAN: Plan = plan();
}

fn plan() -> Plan {
    let folder = folder();
    house::plan(&format!(
        "server: {{max_header_size: 1KiB, max_headers: 12, max_body_size: 300B}}\necho: {{body: 64B}}\n\
         proxy: {{forwarded: true}}\nroutes:\n  GET /ok: OK fine\n  /echo: \"*\"\n  /p/: http://10.0.9.1:9000\n  \
         /t/:a: http://10.0.9.1:9000/x/:a?y=1\n  /files/: \"{}/\"\n  /r/:x: 301 /to/:x\n  GET *.h.io/h: NO_CONTENT\n",
        folder.display()
    ))
}

/// A folder with a short and a long file.
fn folder() -> PathBuf {
    let path = std::env::temp_dir().join(format!("anygate-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a folder for temporary files");
    std::fs::write(path.join("a.txt"), "short").expect("room for a file");
    std::fs::write(path.join("b"), vec![b'l'; LONG]).expect("room for a file");
    path
}

/// Where the server listens, and the server behind.
fn addresses() -> [Address; 2] {
    [([10, 0, 0, 1], 80), ([10, 0, 9, 1], 9000)].map(|address| Address::Ip(address.into()))
}

/// Lets it happen.
pub(super) fn exchange(client: &[u8], scripts: &[&[u8]], setting: Setting) -> Seen {
    let [front, behind] = addresses();
    let Setting { personality, seed, faults, .. } = setting;
    let house = House::open(personality, seed, faults, PLAN.with(Plan::clone), &front, Front::default());
    let mut seen = Seen::default();
    let mut backend = Backend::new(house.world.listen(&behind).expect("nobody listens there"), scripts, setting);
    house.turn();
    let mut caller = Caller::new(house.world.connect(&front).expect("somebody listens"), client, setting);
    let mut turns = 0;
    while !caller.is_done() && turns < MOST_TURNS {
        caller.step(&mut seen);
        backend.step(&mut seen);
        house.turn();
        turns += 1;
    }
    seen.ended = caller.is_done();
    drop(caller);
    backend.leave(&mut seen);
    house.close(MOST_TURNS, || backend.step(&mut seen), || format!("{setting:?} {}", shown(client)));
    seen
}

/// The client.
struct Caller<'a> {
    peer: Option<Peer>,
    left: &'a [u8],
    cuts: u8,
    half_closes: bool,
    state: u32,
}

impl<'a> Caller<'a> {
    fn new(peer: Peer, bytes: &'a [u8], setting: Setting) -> Self {
        let Setting { cuts, half_closes, .. } = setting;
        Self { peer: Some(peer), left: bytes, cuts, half_closes, state: u32::from(cuts) }
    }

    fn is_done(&self) -> bool {
        self.peer.is_none()
    }

    fn step(&mut self, seen: &mut Seen) {
        let Some(peer) = &mut self.peer else { return };
        if !self.left.is_empty() {
            // Some in one piece, some in pieces of a few bytes.
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let most =
                if self.cuts & 3 == 0 { PIECE } else { 1 + (self.state >> 20) as usize % usize::from(self.cuts) };
            let size = most.min(self.left.len());
            match peer.write(&self.left[..size]) {
                Ok(written) => self.left = &self.left[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => self.left = &[],
            }
            if self.left.is_empty() && self.half_closes {
                peer.shutdown();
            }
        }
        loop {
            let mut room = [0; 4096];
            match peer.read(&mut room) {
                Ok(0) => break self.peer = None,
                Ok(count) => seen.client.extend_from_slice(&room[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => break self.peer = None,
            }
        }
    }
}

/// The server behind.
pub(crate) struct Backend<'a> {
    listener: Option<Listener>,
    scripts: &'a [&'a [u8]],
    answered: usize,
    closes: bool,
    early: bool,
    links: Vec<Link<'a>>,
}

/// A connection from the gate.
struct Link<'a> {
    peer: Peer,
    came: Vec<u8>,
    /// Of `came`, what was read as requests.
    read: usize,
    /// What is left of the answer.
    answer: &'a [u8],
    /// The request that is being read was answered when its head was there.
    head_answered: bool,
    /// The connection carries something else now, or nothing is to be read any more.
    ended: bool,
    closing: bool,
}

impl<'a> Backend<'a> {
    pub(crate) fn new(listener: Listener, scripts: &'a [&'a [u8]], setting: Setting) -> Self {
        let Setting { closes, early, .. } = setting;
        Self { listener: Some(listener), scripts, answered: 0, closes, early, links: Vec::new() }
    }

    pub(crate) fn step(&mut self, seen: &mut Seen) {
        while let Some(peer) = self.listener.as_ref().and_then(|listener| listener.accept().ok()) {
            self.links.push(Link {
                peer,
                came: Vec::new(),
                read: 0,
                answer: &[],
                head_answered: false,
                ended: false,
                closing: false,
            });
        }
        let mut at = 0;
        while at < self.links.len() {
            if self.serve(at, seen) { at += 1 } else { drop(self.links.swap_remove(at)) }
        }
    }

    /// Reads and writes on one connection; false when it is over.
    fn serve(&mut self, at: usize, seen: &mut Seen) -> bool {
        let link = &mut self.links[at];
        let gone = loop {
            let mut room = [0; 4096];
            match link.peer.read(&mut room) {
                Ok(0) => break true,
                Ok(count) => link.came.extend_from_slice(&room[..count]),
                Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
            }
        };
        if !link.ended && link.answer.is_empty() {
            let bytes = &link.came[link.read..];
            let request = naive::request(bytes)
                .unwrap_or_else(|why| panic!("the server behind cannot read this: {why}: {}", shown(&link.came)));
            if let Some(request) = request {
                let whole = request.whole;
                if (whole || self.early) && !link.head_answered {
                    link.answer = match self.scripts {
                        [] => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                        scripts => scripts[self.answered % scripts.len()],
                    };
                    self.answered += 1;
                    link.head_answered = true;
                    // Behind a switch of protocols stand no more requests.
                    link.ended = link.answer.windows(12).any(|window| window == b"HTTP/1.1 101");
                    link.closing = self.closes;
                }
                if whole {
                    link.read += request.length;
                    link.head_answered = false;
                    seen.behind.push(request);
                }
            }
        }
        if !link.answer.is_empty() {
            let size = link.answer.len().min(PIECE);
            match link.peer.write(&link.answer[..size]) {
                Ok(written) => link.answer = &link.answer[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
        !(gone || link.closing && link.answer.is_empty())
    }

    /// Closes everything; requests that came in part are noted.
    pub(crate) fn leave(&mut self, seen: &mut Seen) {
        self.step(seen);
        self.listener = None;
        for link in self.links.drain(..).filter(|link| !link.ended) {
            let rest = naive::request(&link.came[link.read..]);
            let rest = rest.unwrap_or_else(|why| panic!("left unread: {why}: {}", shown(&link.came)));
            seen.behind.extend(rest);
        }
    }
}
