//! Does the whole server hold on a cruel network? Several shards, clients and a server behind, simulated, seeded.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anygate_core::metrics::{ShardCells, Snapshot};
use anygate_serve::control::{Order, Report};
use anygate_serve::door::Door;
use anygate_serve::peers::Peers;
use anygate_serve::server::{Parts, Server};
use anygate_serve::tls::Front;
use anygate_shard::mailbox::{self, Receiver, Sender};
use anygate_shard::net::Address;
use anygate_shard::sim::{Faults, Personality, World};
use anygate_shard::{Bytes, Class, Close, Io, Options, Park, Progress, Shard, SocketId};

use super::{BOTH, Quiet};
use crate::harness::plan_for;

const SHARDS: usize = 2;
const CLIENTS: usize = 8;
const REQUESTS: usize = 6;

fn seeds() -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match number("ANYGATE_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("ANYGATE_SIM_SEEDS").unwrap_or(3)).collect(),
    }
}

struct Replay(u64, Personality);
impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed on {:?}; again with ANYGATE_SIM_SEED={}", self.1, self.0);
        }
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

/// Bytes that came and were not used.
struct Inbox {
    shard: Shard,
    socket: SocketId,
    bytes: Vec<u8>,
}

impl Inbox {
    async fn more(&mut self) -> io::Result<bool> {
        let lease = self.shard.recv(self.socket, Class::Head).await?;
        self.bytes.extend_from_slice(lease.filled());
        Ok(!lease.is_empty())
    }

    async fn need(&mut self) -> io::Result<()> {
        if self.more().await? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.bytes.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.bytes[..at]).into_owned();
                self.bytes.drain(..at + 2);
                return Ok(line);
            }
            self.need().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.bytes.len() < length {
            self.need().await?;
        }
        Ok(self.bytes.drain(..length).collect())
    }

    /// First line, whether it closes, and the body. `None` at the end of the stream before a message.
    async fn message(&mut self, bodyless: bool) -> io::Result<Option<(String, bool, Vec<u8>)>> {
        while self.bytes.is_empty() {
            if !self.more().await? {
                return Ok(None);
            }
        }
        let mut first = self.line().await?;
        let (mut length, mut chunked, mut close) = (0, false, false);
        loop {
            let line = self.line().await?.to_ascii_lowercase();
            if line.is_empty() {
                if first.starts_with("HTTP/1.1 1") {
                    first = self.line().await?;
                    continue;
                }
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            match name {
                "content-length" => length = value.trim().parse().expect("a number"),
                "transfer-encoding" => chunked = value.contains("chunked"),
                "connection" => close = value.contains("close"),
                _ => {}
            }
        }
        let mut body = Vec::new();
        if bodyless {
        } else if chunked {
            loop {
                let size =
                    usize::from_str_radix(self.line().await?.split(';').next().unwrap_or(""), 16).expect("a size");
                if size == 0 {
                    while !self.line().await?.is_empty() {}
                    break;
                }
                body.extend_from_slice(&self.exactly(size).await?);
                assert_eq!(self.line().await?, "");
            }
        } else {
            body = self.exactly(length).await?;
        }
        Ok(Some((first, close, body)))
    }
}

/// The server behind: echoes bodies, gives as many bytes as asked for, chunked or not, and closes now and then.
async fn behind(shard: Shard, listener: SocketId, dies: bool) {
    let mut number = 0_u32;
    while let Ok(accepted) = shard.accept(listener).await {
        number += 1;
        let (shard2, number) = (shard.clone(), number);
        shard.spawn(async move {
            let socket = accepted.socket;
            let mut inbox = Inbox { shard: shard2.clone(), socket, bytes: Vec::new() };
            let mut count = 0;
            let result: io::Result<()> = async {
                while let Some((first, _, body)) = inbox.message(false).await? {
                    count += 1;
                    let asked: usize =
                        first.split(' ').nth(1).and_then(|path| path.rsplit('/').next()?.parse().ok()).unwrap_or(0);
                    let body = if first.starts_with("POST") { body } else { pattern(asked) };
                    let close = count % 4 == 3;
                    let ending = if close { "Connection: close\r\n" } else { "" };
                    if dies && number % 5 == 4 && count == 2 {
                        shard2.queue(socket, Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Le"));
                        return Err(io::ErrorKind::Other.into());
                    }
                    if count % 2 == 0 {
                        shard2.queue(
                            socket,
                            Bytes::from(format!("HTTP/1.1 200 OK\r\n{ending}Content-Length: {}\r\n\r\n", body.len())),
                        );
                        shard2.queue(socket, Bytes::from(body));
                    } else {
                        shard2.queue(
                            socket,
                            Bytes::from(format!("HTTP/1.1 200 OK\r\n{ending}Transfer-Encoding: chunked\r\n\r\n")),
                        );
                        for chunk in body.chunks(3000) {
                            shard2.queue(socket, Bytes::from(format!("{:x}\r\n", chunk.len())));
                            shard2.queue(socket, Bytes::from(chunk.to_vec()));
                            shard2.queue(socket, Bytes::from_static(b"\r\n"));
                            shard2.sent(socket, 1 << 14).await?;
                        }
                        shard2.queue(socket, Bytes::from_static(b"0\r\n\r\n"));
                    }
                    shard2.sent(socket, 0).await?;
                    if close {
                        return Ok(());
                    }
                }
                Ok(())
            }
            .await;
            shard2.close(socket, if result.is_ok() { Close::Graceful } else { Close::Abort });
        });
    }
}

/// Request number `number` of a client: what it sends, and what must come back.
fn request(client: usize, number: usize) -> (Vec<u8>, u16, Vec<u8>, bool) {
    let size = (client * 7919 + number * 104_729) % 60_000;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    let post = |path: &str, body: &[u8]| {
        let mut bytes =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        bytes
    };
    let chunked = |path: &str, body: &[u8]| {
        let mut bytes = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
        for chunk in body.chunks(777) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    };
    match (client + number) % 7 {
        0 => (get("/ok"), 200, b"fine".to_vec(), false),
        1 => (get(&format!("/p/{size}")), 200, pattern(size), false),
        2 => (post("/p/echo", &pattern(size)), 200, pattern(size), false),
        3 => (get("/files/big.bin"), 200, pattern(100_000), false),
        4 => (post("/echo", &pattern(size)), 200, Vec::new(), true),
        5 => (chunked("/p/echo", &pattern(size)), 200, pattern(size), false),
        _ => (get("/missing"), 404, Vec::new(), true),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Right,
    Status(u16),
    Failed(io::ErrorKind),
    Ended,
    Wrong(String),
}

async fn client(shard: Shard, to: Address, client: usize, requests: usize, log: Rc<RefCell<Vec<Got>>>) {
    let result: io::Result<()> = async {
        let mut number = 0;
        while number < requests {
            let socket = shard.connect(&to)?;
            let out = talk(&shard, socket, (client, requests), &mut number, &log).await;
            shard.close(socket, if out.is_ok() { Close::Graceful } else { Close::Abort });
            out?;
        }
        Ok(())
    }
    .await;
    if let Err(error) = result {
        log.borrow_mut().push(Got::Failed(error.kind()));
    }
}

async fn talk(
    shard: &Shard,
    socket: SocketId,
    (client, requests): (usize, usize),
    number: &mut usize,
    log: &RefCell<Vec<Got>>,
) -> io::Result<()> {
    shard.connected(socket).await?;
    let depth = 1 + client % 3;
    let mut inbox = Inbox { shard: shard.clone(), socket, bytes: Vec::new() };
    while *number < requests {
        let until = (*number + depth).min(requests);
        for ahead in *number..until {
            for part in request(client, ahead).0.chunks(1 + client * 997) {
                shard.queue(socket, Bytes::from(part.to_vec()));
            }
        }
        for _ in *number..until {
            let (_, status, body, any) = request(client, *number);
            let Some((first, close, got)) = inbox.message(false).await? else {
                log.borrow_mut().push(Got::Ended);
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let code: u16 = first.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
            *number += 1;
            log.borrow_mut().push(if code != status {
                Got::Status(code)
            } else if !any && got != body {
                Got::Wrong(format!("{first}: {} bytes instead of {}", got.len(), body.len()))
            } else {
                Got::Right
            });
            if close {
                return Ok(());
            }
        }
    }
    Ok(())
}

struct Seen {
    logs: Vec<Vec<Got>>,
    /// Clients that went from shard to shard between two requests.
    moved: u64,
    trace: u64,
}

fn folder() -> PathBuf {
    static ONCE: std::sync::Once = std::sync::Once::new();
    let path = std::env::temp_dir().join("anygate-servesim");
    ONCE.call_once(|| {
        fs::create_dir_all(&path).unwrap();
        let (file, bytes) = (path.join("big.bin"), pattern(100_000));
        if fs::read(&file).is_ok_and(|there| there == bytes) {
            return;
        }
        // Put in place whole: another run of these tests may be serving it.
        let new = path.join(format!("big.{}", std::process::id()));
        fs::write(&new, bytes).unwrap();
        fs::rename(new, file).unwrap();
    });
    path
}

/// What happens in a run.
#[derive(Clone, Copy)]
struct Scene {
    faults: Faults,
    /// The server behind dies now and then.
    dies: bool,
    /// Requests of each client.
    requests: usize,
    /// Everybody knocks at the first shard's door.
    one_door: bool,
}

impl Scene {
    fn new(faults: Faults, dies: bool) -> Self {
        Self { faults, dies, requests: REQUESTS, one_door: false }
    }
}

fn run(seed: u64, personality: Personality, scene: Scene) -> Seen {
    let Scene { faults, dies, requests, one_door } = scene;
    let _replay = Replay(seed, personality);
    let world = World::new(seed, personality);
    world.set_faults(faults);
    let options = |index| Options::new(index, Io::Sim);
    let front_address = Address::Ip(SocketAddr::from(([10, 0, 0, 1], 80)));
    let behind_address = Address::Ip(SocketAddr::from(([10, 0, 9, 1], 9000)));
    let yaml = format!(
        "routes:\n  GET /ok: OK fine\n  /echo: \"*\"\n  /p/: http://10.0.9.1:9000\n  /files/: \"{}/\"\n",
        folder().display()
    );
    let listener = world.bind(&front_address).unwrap();
    let (orders, mut mailboxes): (Vec<Sender<Order>>, Vec<Receiver<Order>>) =
        (0..SHARDS).map(|_| mailbox::channel(64)).unzip();
    let (control, reports) = mailbox::channel::<Report>(1024);
    // Compared often, so that clients move while they are served.
    let peers = Peers::with_period(orders.clone(), Duration::from_millis(2));
    let mut doors = Vec::new();
    for (index, orders) in orders.iter().enumerate() {
        let shard = Shard::simulated(&world, &options(index as u16)).unwrap();
        let server = Server::new(Parts {
            shard: shard.clone(),
            cells: Arc::new(ShardCells::new()),
            plan: Box::new(plan_for(SHARDS, &yaml, 1)),
            id: "sim".into(),
            control: control.clone(),
            shards: SHARDS,
            peers: peers.around(index),
        });
        doors.push((shard, Door::new(Rc::clone(&server)), mailboxes.remove(0), server));
        if one_door && index > 0 {
            continue;
        }
        orders
            .send(Order::Listen { fd: listener.try_clone().unwrap(), number: 0, front: Front::default() })
            .ok()
            .unwrap();
    }
    drop(listener);
    let clients = Shard::simulated(&world, &options(100)).unwrap();
    let back = Shard::simulated(&world, &options(101)).unwrap();
    let back_listener = back.listen(world.bind(&behind_address).unwrap()).unwrap();
    back.spawn(behind(back.clone(), back_listener, dies));
    let logs: Vec<Rc<RefCell<Vec<Got>>>> = (0..CLIENTS).map(|_| Rc::default()).collect();
    let left = Rc::new(Cell::new(CLIENTS));
    for (number, log) in logs.iter().enumerate() {
        let (shard, to, log, left) = (clients.clone(), front_address.clone(), Rc::clone(log), left.clone());
        clients.spawn(async move {
            let mut deadline = shard.deadline(Duration::from_secs(3600));
            let mut work = Box::pin(client(shard.clone(), to, number, requests, log.clone()));
            std::future::poll_fn(|cx| {
                if deadline.poll_expired(cx).is_ready() {
                    log.borrow_mut().push(Got::Failed(io::ErrorKind::TimedOut));
                    return Poll::Ready(());
                }
                work.as_mut().poll(cx)
            })
            .await;
            left.set(left.get() - 1);
        });
    }
    let (quiet_one, quiet_two) = (mailbox::channel::<()>(1).1, mailbox::channel::<()>(1).1);
    let turn = || {
        let mut turns: Vec<Box<dyn FnMut(Park) -> Progress + '_>> = doors
            .iter()
            .map(|(shard, door, mailbox, _)| -> Box<dyn FnMut(Park) -> Progress> {
                Box::new(move |park| shard.turn(door, mailbox, park))
            })
            .collect();
        turns.push(Box::new(|park| clients.turn(&Quiet, &quiet_one, park)));
        turns.push(Box::new(|park| back.turn(&Quiet, &quiet_two, park)));
        let mut turns: Vec<&mut dyn FnMut(Park) -> Progress> = turns.iter_mut().map(|turn| &mut **turn as _).collect();
        world.turn_all(&mut turns);
        while reports.try_recv().is_some() {}
    };
    let mut turns = 0_u32;
    let mut serial = 1;
    let trace = std::env::var("ANYGATE_SIM_SHOW").is_ok();
    while left.get() > 0 {
        turn();
        turns += 1;
        if turns % 500 == 250 {
            // Another table, now and then.
            serial += 1;
            for order in &orders {
                let _ = order.send(Order::Install(Box::new(plan_for(SHARDS, &yaml, serial))));
            }
        }
        if turns > 300_000 || trace && turns.is_multiple_of(20_000) {
            for (at, log) in logs.iter().enumerate() {
                eprintln!("client {at}: {:?}", log.borrow());
            }
            assert!(turns <= 300_000, "a client hangs at {} s: {world:#?}", world.now_ns() / 1_000_000_000);
        }
    }
    for order in &orders {
        order.send(Order::Drain).ok().unwrap();
    }
    back.close(back_listener, Close::Abort);
    // A draining server has one task left, which looks whether it is done.
    let rest = |shard: &Shard| shard.cells().sockets.get() == 0 && shard.cells().tasks.get() <= 1;
    let mut turns = 0;
    while !(doors.iter().all(|(shard, ..)| rest(shard)) && rest(&clients) && rest(&back)) {
        turn();
        turns += 1;
        if turns > 200_000 {
            for (shard, _, _, server) in &doors {
                eprintln!(
                    "shard {}: {} sockets, {} tasks, {} clients",
                    shard.index(),
                    shard.cells().sockets.get(),
                    shard.cells().tasks.get(),
                    server.clients()
                );
            }
            panic!("something is left: {world:#?}");
        }
    }
    for (shard, ..) in &doors {
        assert_eq!(shard.cells().buffers.get(), 0, "buffers left");
        assert_eq!(shard.cells().panics.get(), 0, "panics");
    }
    for (shard, ..) in &doors {
        shard.shutdown();
    }
    clients.shutdown();
    back.shutdown();
    let counts: Vec<_> = doors.iter().map(|(.., server)| server.cells.snapshot()).collect();
    let sum = |count: fn(&Snapshot) -> u64| counts.iter().map(count).sum::<u64>();
    let moved = sum(|seen| seen.connections_rebalanced);
    assert_eq!(sum(|seen| seen.connections_resumed), moved, "a client was lost on its way");
    assert!(counts.iter().all(|seen| seen.connections_active() == 0), "clients are counted that are gone");
    Seen { moved, logs: logs.iter().map(|log| log.borrow().clone()).collect(), trace: world.trace() }
}

#[test]
fn without_losses_every_request_gets_its_one_right_answer() {
    for seed in seeds() {
        for personality in BOTH {
            let seen = run(seed, personality, Scene::new(Faults::without_losses(seed), false));
            for (number, log) in seen.logs.iter().enumerate() {
                assert!(
                    log.len() == REQUESTS && log.iter().all(|got| *got == Got::Right),
                    "seed {seed} {personality:?} client {number}: {log:?}"
                );
            }
        }
    }
}

#[test]
fn with_every_fault_an_answer_is_right_or_an_error() {
    let mut count = [0; 3];
    for seed in seeds() {
        for personality in BOTH {
            let seen = run(seed, personality, Scene::new(Faults::all(seed), true));
            for (number, log) in seen.logs.iter().enumerate() {
                for got in log {
                    let _replay = Replay(seed, personality);
                    match got {
                        Got::Right => count[0] += 1,
                        Got::Status(400 | 408 | 502 | 503 | 504) => count[1] += 1,
                        Got::Failed(_) | Got::Ended => count[2] += 1,
                        _ => panic!("seed {seed} {personality:?} client {number}: {log:?}"),
                    }
                }
            }
        }
    }
    eprintln!("right, refused, failed: {count:?}");
}

#[test]
fn clients_that_change_shards_while_they_are_served_get_every_answer_once() {
    let mut moved = [0; 2];
    for seed in seeds() {
        for personality in BOTH {
            let mut scene = Scene::new(Faults::without_losses(seed), false);
            (scene.requests, scene.one_door) = (60, true);
            let seen = run(seed, personality, scene);
            let right = |log: &Vec<Got>| log.len() == scene.requests && log.iter().all(|got| *got == Got::Right);
            if let Some(wrong) = seen.logs.iter().find(|log| !right(log)) {
                panic!("seed {seed} {personality:?}: {wrong:?}");
            }
            scene.faults = Faults::all(seed);
            moved = [moved[0] + seen.moved, moved[1] + run(seed, personality, scene).moved];
        }
    }
    eprintln!("changed shards without and with losses: {moved:?}");
    assert!(moved[0] > 0 && moved[1] > 0 || seeds().len() < 8, "nobody changed shards");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in seeds().into_iter().take(4) {
        for personality in BOTH {
            assert_eq!(
                run(seed, personality, Scene::new(Faults::all(seed), true)).trace,
                run(seed, personality, Scene::new(Faults::all(seed), true)).trace,
                "seed {seed}"
            );
        }
    }
}
