//! Does the whole server, on a simulated network, send nothing but frames that may be sent, pass on to a server behind only
//! what nobody can read in two ways, and come to rest, whatever frames a client sends?
//!
//! An input is two bytes of flags and a seed, and then what [`crate::h2_requests`] makes frames of.

use anygate_serve::plan::Plan;
use anygate_serve::tls::Front;
use anygate_shard::net::Address;
use anygate_shard::sim::Peer;

use crate::Numbers;
use crate::connection::exchange::{Backend, Seen, Setting};
use crate::h2_requests::script::{HEADERS, PREFACE, Script};
use crate::h2_requests::sight::{Sight, Watch};
use crate::house::{self, House};

/// Turns until everything must have happened, and then until nothing may be left.
const MOST_TURNS: u32 = 4000;
/// Turns in which the client listens after it has sent everything.
const MOST_PATIENCE: u32 = 200;
/// Bytes that are written at once.
const PIECE: usize = 2000;

thread_local! {
    /// Copied for each exchange.
    static PLAN: Plan = house::plan(
        "server: {max_header_size: 2KiB, max_headers: 20, max_body_size: 30KB, h2: {max_streams: 8, window: 20KB}}\n\
         echo: {body: 64B}\nroutes:\n  /: OK fine\n  /index.html: \"*\"\n  /a/: http://10.0.9.1:9000\n  \
         /p: http://10.0.9.1:9000/x\n",
    );
}

/// What the server behind says, in turn.
const ANSWERS: [&[u8]; 4] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
];

/// One input.
pub fn run(data: &[u8]) {
    let mut numbers = Numbers::of(data);
    let (flags, seed) = (numbers.next(), numbers.next());
    let script = Script::of(numbers.rest());
    let setting = Setting::of(flags, seed, script.setting.cuts);
    let bytes = script.chunks.concat();
    let seen = exchange(&bytes, setting, &script);
    let heads = heads(&bytes);
    assert!(seen.behind.len() <= heads, "{} requests came behind for {heads} heads: {script:?}", seen.behind.len());
}

/// Heads that a client sends, as many as there may be requests; any number where it does not speak HTTP/2.
fn heads(bytes: &[u8]) -> usize {
    let Some(mut rest) = bytes.strip_prefix(PREFACE) else { return usize::MAX };
    let mut heads = 0;
    while let [a, b, c, kind, _, _, _, _, _, ..] = rest {
        heads += usize::from(*kind == HEADERS);
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        rest = &rest[rest.len().min(9 + length)..];
    }
    heads
}

fn exchange(client: &[u8], setting: Setting, script: &Script) -> Seen {
    let [front, behind] = [([10, 0, 0, 1], 80), ([10, 0, 9, 1], 9000)].map(|address| Address::Ip(address.into()));
    let Setting { personality, seed, faults, .. } = setting;
    let door = Front { h2: true, ..Front::default() };
    let house = House::open(personality, seed, faults, PLAN.with(Plan::clone), &front, door);
    let mut seen = Seen::default();
    let mut backend = Backend::new(house.world.listen(&behind).expect("nobody listens there"), &ANSWERS, setting);
    house.turn();
    let mut caller = Caller::new(house.world.connect(&front).expect("somebody listens"), client, setting);
    let (mut turns, mut patience) = (0, 0);
    while !caller.is_done() && turns < MOST_TURNS && patience < MOST_PATIENCE {
        caller.step();
        backend.step(&mut seen);
        house.turn();
        turns += 1;
        patience += u32::from(caller.left.is_empty());
    }
    drop(caller);
    backend.leave(&mut seen);
    house.close(MOST_TURNS, || backend.step(&mut seen), || format!("{setting:?} {script:?}"));
    seen
}

/// The client.
struct Caller<'a> {
    peer: Option<Peer>,
    left: &'a [u8],
    half_closes: bool,
    cuts: u8,
    state: u32,
    watch: Watch,
    /// No frames come where HTTP/2 was never begun.
    begun: bool,
}

impl<'a> Caller<'a> {
    fn new(peer: Peer, bytes: &'a [u8], setting: Setting) -> Self {
        let Setting { cuts, half_closes, .. } = setting;
        let begun = bytes.starts_with(b"PRI ");
        Self {
            peer: Some(peer),
            left: bytes,
            half_closes,
            cuts,
            state: u32::from(cuts),
            watch: Watch::new(true),
            begun,
        }
    }

    fn is_done(&self) -> bool {
        self.peer.is_none()
    }

    fn step(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        if !self.left.is_empty() {
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let most =
                if self.cuts & 3 == 0 { PIECE } else { 1 + (self.state >> 20) as usize % (9 * usize::from(self.cuts)) };
            match peer.write(&self.left[..most.min(self.left.len())]) {
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
                Ok(count) if self.begun => self.watch.read(&room[..count], 16_384, &mut Sight::default()),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => break self.peer = None,
            }
        }
    }
}
