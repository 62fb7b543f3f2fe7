//! What clients do who keep to the rules: every scenario that is measured, with every byte checked.

use std::time::Duration;

use anygate_proto::h1::response::Asked;

use super::conn::{Conn, Expected, Fault, Thirst};
use super::pattern;
use super::setting::FILES;
use super::visit::{Visit, request};

/// Requests in one write.
const BATCH: usize = 16;
/// Messages through one tunnel, at most.
const MESSAGES: u64 = 60;
/// Connections that rest at a time.
const RESTING: usize = 40;

/// What faults a kind of client is excused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leans {
    /// None: everything it needs lives.
    Nobody,
    /// Those of a server behind that dies.
    Flaky,
    /// Those of the moment one of two servers behind dies.
    Pair,
    /// Those of a listener that goes away.
    Extra,
}

/// A kind of client.
#[derive(Clone, Copy)]
pub(super) struct Habit {
    pub(super) name: &'static str,
    /// How many of them there are.
    pub(super) clients: u32,
    pub(super) leans: Leans,
    /// What it does, again and again.
    pub(super) act: fn(&mut Visit<'_>) -> Result<(), Fault>,
}

const fn habit(name: &'static str, clients: u32, leans: Leans, act: fn(&mut Visit<'_>) -> Result<(), Fault>) -> Habit {
    Habit { name, clients, leans, act }
}

/// Those who keep to the rules.
pub(super) const POLITE: &[Habit] = &[
    habit("fixed, kept", 3, Leans::Nobody, fixed),
    habit("fixed, 16 in one write", 2, Leans::Nobody, pipelined),
    habit("fixed, a connection each", 3, Leans::Nobody, connect),
    habit("redirect and echo", 2, Leans::Nobody, redirect_and_echo),
    habit("connections that rest", 1, Leans::Nobody, resting),
    habit("file", 3, Leans::Nobody, file),
    habit("part of a file", 1, Leans::Nobody, part),
    habit("file not modified, HEAD", 1, Leans::Nobody, not_modified),
    habit("file, slow reader", 2, Leans::Nobody, file_slowly),
    habit("passed on, small", 3, Leans::Nobody, |visit| passed_on(visit, "/steady/bytes", 4 << 10)),
    habit("passed on, large", 2, Leans::Nobody, |visit| passed_on(visit, "/steady/bytes", 4 << 20)),
    habit("passed on, chunked", 2, Leans::Nobody, |visit| passed_on(visit, "/steady/chunks", 300 << 10)),
    habit("passed on, slow server", 2, Leans::Nobody, |visit| passed_on(visit, "/steady/slow", 500 << 10)),
    habit("passed on, 103 first", 1, Leans::Nobody, |visit| passed_on(visit, "/steady/hints", 4 << 10)),
    habit("passed on, to the close", 1, Leans::Nobody, |visit| passed_on(visit, "/steady/close", 200 << 10)),
    habit("passed on, slow reader", 2, Leans::Nobody, passed_on_slowly),
    habit("upload", 2, Leans::Nobody, |visit| upload(visit, "/steady/sum")),
    habit("upload, mirrored", 2, Leans::Nobody, |visit| mirror(visit, "/steady/mirror")),
    habit("tunnel", 3, Leans::Nobody, |visit| tunnel(visit, "/steady/ws")),
    habit("listener that goes away", 2, Leans::Extra, extra),
];

/// Those whose server behind dies from time to time.
pub(super) const UNLUCKY: &[Habit] = &[
    habit("dying server, small", 3, Leans::Flaky, |visit| passed_on(visit, "/flaky/bytes", 4 << 10)),
    habit("dying server, large", 2, Leans::Flaky, |visit| passed_on(visit, "/flaky/bytes", 4 << 20)),
    habit("dying server, chunked", 1, Leans::Flaky, |visit| passed_on(visit, "/flaky/chunks", 300 << 10)),
    habit("dying server, upload", 2, Leans::Flaky, |visit| upload(visit, "/flaky/sum")),
    habit("dying server, mirror", 1, Leans::Flaky, |visit| mirror(visit, "/flaky/mirror")),
    habit("dying server, tunnel", 2, Leans::Flaky, |visit| tunnel(visit, "/flaky/ws")),
    habit("one of two servers dies", 3, Leans::Pair, |visit| passed_on(visit, "/pair/bytes", 4 << 10)),
];

fn text(text: &str) -> Expected {
    Expected::Text(text.to_owned())
}

fn fixed(visit: &mut Visit<'_>) -> Result<(), Fault> {
    visit.get("/fixed", text("fixed"))?;
    visit.get("/number", Expected::Any).map(drop)
}

fn pipelined(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let mut conn = visit.conn()?;
    conn.send(request("GET", "/fixed", "").repeat(BATCH).as_bytes())?;
    for _ in 1..BATCH {
        conn.answer(Asked::Other, 200, text("fixed"))?;
        visit.right += 1;
    }
    let last = conn.answer(Asked::Other, 200, text("fixed"))?;
    visit.settled(conn, &last)
}

fn connect(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let mut conn = Conn::open(visit.world.address)?;
    conn.send(request("GET", "/fixed", "Connection: close\r\n").as_bytes())?;
    conn.answer(Asked::Other, 200, text("fixed"))?;
    conn.ends()?;
    visit.right += 1;
    Ok(())
}

fn redirect_and_echo(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let id = visit.rng.below(1_000_000);
    let head = request("GET", &format!("/old/{id}?q"), "");
    let moved = visit.ask(head.as_bytes(), 301, Expected::Any)?;
    if moved.field("Location") != Some(&format!("/new/{id}?q")) {
        return Err(Fault::Wrong(moved.head));
    }
    // 8 KiB come back of 12, as text.
    let sent = pattern::body(id as u32, 12 << 10);
    let fields = format!("Content-Length: {}\r\n", sent.len());
    let asked = [request("POST", "/echo", &fields).as_bytes(), &sent].concat();
    visit.ask(&asked, 200, Expected::Any).map(drop)
}

fn resting(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let mut all = Vec::new();
    for _ in 0..RESTING {
        let mut conn = Conn::open(visit.world.address)?;
        conn.send(request("GET", "/fixed", "").as_bytes())?;
        conn.answer(Asked::Other, 200, text("fixed"))?;
        all.push(conn);
    }
    std::thread::sleep(Duration::from_secs(2));
    for mut conn in all.into_iter().filter(|conn| !conn.is_stale()) {
        conn.send(request("GET", "/fixed", "").as_bytes())?;
        conn.answer(Asked::Other, 200, text("fixed"))?;
        visit.right += 2;
    }
    Ok(())
}

fn file(visit: &mut Visit<'_>) -> Result<(), Fault> {
    // Three small ones for a large one.
    for at in [0, 1, 2, visit.rng.below(4) as usize] {
        let (name, seed, length) = FILES[at];
        visit.get(&format!("/files/{name}"), Expected::Pattern(seed, 0, length))?;
    }
    Ok(())
}

fn part(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let (name, seed, length) = visit.rng.pick(&FILES);
    let from = visit.rng.below(length);
    let to = from + visit.rng.below(length - from);
    let head = request("GET", &format!("/files/{name}"), &format!("Range: bytes={from}-{to}\r\n"));
    let answer = visit.ask(head.as_bytes(), 206, Expected::Pattern(seed, from, to - from + 1))?;
    if answer.field("Content-Range") != Some(&format!("bytes {from}-{to}/{length}")) {
        return Err(Fault::Wrong(answer.head));
    }
    Ok(())
}

fn not_modified(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let (name, seed, length) = visit.rng.pick(&FILES[..3]);
    let path = format!("/files/{name}");
    let answer = visit.get(&path, Expected::Pattern(seed, 0, length))?;
    let tag = answer.field("ETag").ok_or_else(|| Fault::Wrong(format!("no ETag: {}", answer.head)))?;
    visit.ask(request("GET", &path, &format!("If-None-Match: {tag}\r\n")).as_bytes(), 304, Expected::Any)?;
    let head = visit.ask(request("HEAD", &path, "").as_bytes(), 200, Expected::Pattern(seed, 0, 0))?;
    if head.field("Content-Length") != Some(&length.to_string()) {
        return Err(Fault::Wrong(head.head));
    }
    Ok(())
}

fn file_slowly(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let (name, seed, length) = FILES[3];
    slowly(visit, &format!("/files/{name}"), Expected::Pattern(seed, 0, length))
}

fn passed_on_slowly(visit: &mut Visit<'_>) -> Result<(), Fault> {
    slowly(visit, "/steady/bytes/9/3000000", Expected::Pattern(9, 0, 3_000_000))
}

fn slowly(visit: &mut Visit<'_>, path: &str, expected: Expected) -> Result<(), Fault> {
    let mut conn = visit.conn()?;
    conn.send(request("GET", path, "").as_bytes())?;
    let thirst = Thirst { pause: Duration::from_millis(20), ..Thirst::default() };
    let answer = conn.take(Asked::Other, 200, expected, thirst)?;
    visit.settled(conn, &answer)
}

fn passed_on(visit: &mut Visit<'_>, path: &str, most: u64) -> Result<(), Fault> {
    let (seed, length) = (visit.rng.below(1000), visit.rng.below(most));
    visit.get(&format!("{path}/{seed}/{length}"), Expected::Pattern(seed as u32, 0, length)).map(drop)
}

/// A body and its request, in one of the two framings.
fn with_body(visit: &mut Visit<'_>, path: &str, seed: u32, most: u64) -> (Vec<u8>, u64) {
    let length = visit.rng.below(most);
    let body = pattern::body(seed, length as usize);
    if visit.rng.below(2) == 0 {
        let head = request("POST", path, &format!("Content-Length: {length}\r\n"));
        return ([head.as_bytes(), &body].concat(), length);
    }
    let mut bytes = request("POST", path, "Transfer-Encoding: chunked\r\n").into_bytes();
    let mut left = &body[..];
    while !left.is_empty() {
        let (chunk, rest) = left.split_at((1 + visit.rng.below(20_000) as usize).min(left.len()));
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
        left = rest;
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    (bytes, length)
}

fn upload(visit: &mut Visit<'_>, path: &str) -> Result<(), Fault> {
    let seed = visit.rng.below(1000) as u32;
    let most = visit.rng.pick(&[100, 20_000, 3_000_000]);
    let (bytes, length) = with_body(visit, &format!("{path}/{seed}"), seed, most);
    visit.ask(&bytes, 200, text(&format!("{length} ok"))).map(drop)
}

/// What is mirrored fits the buffers on its way, for this client sends all before it reads.
fn mirror(visit: &mut Visit<'_>, path: &str) -> Result<(), Fault> {
    let seed = visit.rng.below(1000) as u32;
    let (bytes, length) = with_body(visit, path, seed, 40_000);
    let mut conn = visit.conn()?;
    conn.send(&bytes)?;
    let answer = conn.answer(Asked::Other, 200, Expected::Pattern(seed, 0, length))?;
    visit.settled_or_ended(conn, &answer)
}

fn tunnel(visit: &mut Visit<'_>, path: &str) -> Result<(), Fault> {
    let mut conn = Conn::open(visit.world.address)?;
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    conn.send(request("GET", path, fields).as_bytes())?;
    conn.answer(Asked::Other, 101, Expected::Any)?;
    for _ in 0..visit.rng.below(MESSAGES) {
        let message = pattern::body(visit.rng.below(1000) as u32, 1 + visit.rng.below(20_000) as usize);
        conn.send(&message)?;
        conn.exactly(&message)?;
        visit.right += 1;
        std::thread::sleep(Duration::from_millis(visit.rng.below(100)));
    }
    if visit.rng.below(2) == 0 {
        conn.finish();
        conn.ends()?;
    }
    visit.right += 1;
    Ok(())
}

fn extra(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let mut conn = Conn::open(visit.world.extra)?;
    // Who was served once stays, also when the listener goes.
    conn.send(request("GET", "/fixed", "").as_bytes())?;
    conn.answer(Asked::Other, 200, text("fixed"))?;
    for _ in 0..4 {
        conn.send(request("GET", "/fixed", "").as_bytes())?;
        let again = conn.answer(Asked::Other, 200, text("fixed"));
        again.map_err(|fault| Fault::Wrong(format!("a client that was served: {fault:?}")))?;
        visit.right += 1;
        std::thread::sleep(Duration::from_millis(visit.rng.below(200)));
    }
    Ok(())
}
