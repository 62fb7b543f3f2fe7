//! What clients do who break the rules, or leave; and what servers behind do who break them.

use std::thread;
use std::time::{Duration, Instant};

use anygate_proto::h1::response::Asked;

use super::conn::{Conn, Expected, Fault, Thirst};
use super::habits::{Habit, Leans};
use super::visit::{Visit, request};

/// They, each of whom must get exactly what is due.
pub(super) const RUDE: &[Habit] = &[
    habit("bad request", 2, bad_request),
    habit("beyond a limit", 1, beyond_a_limit),
    habit("head a byte at a time", 3, slow_head),
    habit("head that never ends", 3, endless_head),
    habit("says nothing", 2, silent),
    habit("body a byte at a time", 2, slow_body),
    habit("body that never ends", 2, endless_body),
    habit("half-close", 2, half_close),
    habit("reset within an upload", 2, reset_in_upload),
    habit("leaves within an answer", 3, leaves_early),
    habit("leaves while it is served", 2, leaves_at_once),
    habit("bad server", 2, bad_server),
];

const fn habit(name: &'static str, clients: u32, act: fn(&mut Visit<'_>) -> Result<(), Fault>) -> Habit {
    Habit { name, clients, leans: Leans::Nobody, act }
}

/// Whose framing or fields are wrong: refused, and the connection ends.
const BAD: &[&str] = &[
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\n\n",
    "POST /fixed HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /fixed HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx",
    "POST /fixed HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
    "POST /fixed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    "POST /fixed HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /steady/sum/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x\nhello\r\n0\r\n\r\n",
    "POST /steady/sum/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03\r\n\r\n",
];

/// Whose path is wrong: refused, and the connection goes on.
const OUTSIDE: &[&str] = &["/../../etc/passwd", "/%2e%2e/%2e%2e/x", "/files/../../x", "/a%00b", "/a\\b", "/%zz"];

/// An error answer, and then a clean end: it is never lost to a reset.
fn refused(mut conn: Conn, visit: &mut Visit<'_>, status: u16) -> Result<(), Fault> {
    let answer = conn.answer(Asked::Other, status, Expected::Any)?;
    if answer.keep_alive {
        return Err(Fault::Wrong(format!("it would go on: {}", answer.head)));
    }
    conn.ends()?;
    visit.right += 1;
    Ok(())
}

fn bad_request(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let outside = visit.rng.pick(OUTSIDE);
    visit.ask(request("GET", outside, "").as_bytes(), 400, Expected::Any)?;
    let bad = visit.rng.pick(BAD);
    let mut conn = visit.conn()?;
    conn.send(bad.as_bytes())?;
    refused(conn, visit, 400).map_err(|fault| match fault {
        Fault::Wrong(what) => Fault::Wrong(format!("{bad:?}: {what}")),
        Fault::Status(status) => Fault::Wrong(format!("{bad:?}: {status}")),
        other => other,
    })
}

fn beyond_a_limit(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let (bytes, status) = match visit.rng.below(4) {
        0 => (request("GET", &format!("/{}", "x".repeat(9 << 10)), ""), 414),
        1 => (request("GET", "/fixed", &format!("X: {}\r\n", "y".repeat(33 << 10))), 431),
        2 => (request("GET", "/fixed", &"X: y\r\n".repeat(120)), 431),
        _ => (request("POST", "/steady/sum/1", "Content-Length: 999999999\r\n"), 413),
    };
    let mut conn = visit.conn()?;
    conn.send(bytes.as_bytes())?;
    refused(conn, visit, status)
}

/// Who sends for so long is in time for a head, and does not rest too long in a body.
const IN_TIME: Duration = Duration::from_millis(2_500);

/// Sends this in `pieces`, with a pause before each; true when that took no longer than `most`, as it may on a machine
/// that has no time for its clients.
fn trickle(conn: &mut Conn, bytes: &[u8], pieces: usize, pause: Duration, most: Duration) -> Result<bool, Fault> {
    let began = Instant::now();
    for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
        thread::sleep(pause);
        conn.send(piece)?;
    }
    Ok(began.elapsed() < most)
}

fn slow_head(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let head = request("GET", "/steady/bytes/1/100", "");
    let mut conn = visit.conn()?;
    // Within 1.5 of the 3 seconds there are.
    if !trickle(&mut conn, head.as_bytes(), 30, Duration::from_millis(50), IN_TIME)? {
        return Ok(());
    }
    let answer = conn.answer(Asked::Other, 200, Expected::Pattern(1, 0, 100))?;
    visit.settled(conn, &answer)
}

fn endless_head(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let mut conn = Conn::open(visit.world.address)?;
    let begun = &request("GET", "/fixed", "X: y\r\nX: y\r\n")[..30];
    trickle(&mut conn, begun.as_bytes(), 10, Duration::from_millis(200), IN_TIME)?;
    refused(conn, visit, 408)
}

fn silent(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let mut conn = Conn::open(visit.world.address)?;
    conn.ends()?;
    visit.right += 1;
    Ok(())
}

fn slow_body(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let mut conn = visit.conn()?;
    conn.send(request("POST", "/steady/mirror", "Content-Length: 60\r\n").as_bytes())?;
    if !trickle(&mut conn, &super::pattern::body(5, 60), 40, Duration::from_millis(50), IN_TIME)? {
        return Ok(());
    }
    let answer = conn.answer(Asked::Other, 200, Expected::Pattern(5, 0, 60))?;
    visit.settled_or_ended(conn, &answer)
}

fn endless_body(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let mut conn = visit.conn()?;
    conn.send(request("POST", "/steady/sum/5", "Content-Length: 60\r\n").as_bytes())?;
    trickle(&mut conn, &super::pattern::body(5, 30), 10, Duration::from_millis(50), IN_TIME)?;
    refused(conn, visit, 408)
}

/// Who says that nothing more comes gets what was asked for; of a server behind it is given up, as documented.
fn half_close(visit: &mut Visit<'_>) -> Result<(), Fault> {
    for (path, expected) in [
        ("/fixed", Expected::Text("fixed".into())),
        ("/files/16k", Expected::Pattern(12, 0, 16 << 10)),
        ("/files/3m", Expected::Pattern(14, 0, 3 << 20)),
    ] {
        let mut conn = Conn::open(visit.world.address)?;
        conn.send(request("GET", path, "").as_bytes())?;
        conn.finish();
        let whole = conn.answer(Asked::Other, 200, expected).and_then(|_| conn.ends());
        whole.map_err(|fault| Fault::Wrong(format!("{path}: {fault:?}")))?;
        visit.right += 1;
    }
    let mut conn = Conn::open(visit.world.address)?;
    conn.send(request("GET", "/steady/slow/6/100000", "").as_bytes())?;
    conn.finish();
    match conn.answer(Asked::Other, 200, Expected::Pattern(6, 0, 100_000)) {
        Ok(_) | Err(Fault::Unanswered(_) | Fault::CutOff(_)) => visit.right += 1,
        Err(fault) => return Err(Fault::Wrong(format!("of a server behind: {fault:?}"))),
    }
    Ok(())
}

/// A socket that is closed with bytes unread sends a reset.
fn reset_in_upload(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let path = visit.rng.pick(&["/steady/sum/1", "/steady/mirror", "/fixed", "/echo", "/flaky/sum/1"]);
    let mut conn = Conn::open(visit.world.address)?;
    let begun = request("GET", "/files/16k", "") + &request("POST", path, "Content-Length: 100000\r\n");
    conn.send(begun.as_bytes())?;
    conn.send(&super::pattern::body(1, 1 + visit.rng.below(50_000) as usize))?;
    thread::sleep(Duration::from_millis(visit.rng.below(50)));
    drop(conn);
    visit.right += 1;
    Ok(())
}

fn leaves_early(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let (path, expected) = match visit.rng.below(4) {
        0 => ("/files/3m", Expected::Pattern(14, 0, 3 << 20)),
        1 => ("/steady/bytes/2/3000000", Expected::Pattern(2, 0, 3_000_000)),
        2 => ("/steady/chunks/2/3000000", Expected::Pattern(2, 0, 3_000_000)),
        _ => ("/steady/slow/2/3000000", Expected::Pattern(2, 0, 3_000_000)),
    };
    let mut conn = visit.conn()?;
    conn.send(request("GET", path, "").as_bytes())?;
    let thirst = Thirst { leaves_after: Some(visit.rng.below(200_000)), ..Thirst::default() };
    conn.take(Asked::Other, 200, expected, thirst)?;
    visit.right += 1;
    Ok(())
}

fn leaves_at_once(visit: &mut Visit<'_>) -> Result<(), Fault> {
    let path = visit.rng.pick(&["/fixed", "/files/3m", "/steady/slow/2/100000", "/flaky/bytes/2/100000", "/echo"]);
    let mut conn = Conn::open(visit.world.address)?;
    conn.send(request("GET", path, "").repeat(1 + visit.rng.below(3) as usize).as_bytes())?;
    thread::sleep(Duration::from_millis(visit.rng.below(10)));
    visit.right += 1;
    Ok(())
}

/// What a bad server says never comes as if it were whole.
fn bad_server(visit: &mut Visit<'_>) -> Result<(), Fault> {
    for path in ["short", "half-chunk"] {
        let mut conn = visit.conn()?;
        conn.send(request("GET", &format!("/steady/{path}/3/50000"), "").as_bytes())?;
        match conn.answer(Asked::Other, 200, Expected::Pattern(3, 0, 50_000)) {
            // A reset may come before what was sent is read.
            Err(Fault::CutOff(_) | Fault::Unanswered(_)) => visit.right += 1,
            Err(fault) => return Err(fault),
            Ok(answer) => return Err(Fault::Wrong(format!("{path} was whole: {}", answer.head))),
        }
    }
    for path in ["/steady/garbage", "/steady/nothing"] {
        visit.ask(request("GET", path, "").as_bytes(), 502, Expected::Any)?;
    }
    // An answer that comes before the body was taken is passed on; the connection need not go on.
    let mut conn = visit.conn()?;
    conn.send(request("POST", "/steady/early", "Content-Length: 50000\r\n").as_bytes())?;
    conn.send(&super::pattern::body(1, 50_000))?;
    conn.answer(Asked::Other, 413, Expected::Any)?;
    visit.right += 1;
    Ok(())
}
