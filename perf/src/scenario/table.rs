//! Every scenario and every goal: the one table.

use super::{Ask, Goal, Kind, Pace, Scenario, Secure, Task};
use crate::load::{Protocol, Reuse};

/// A path, connections at a time, and everything else as most scenarios have it.
const fn ask(task: Task, path: &'static str, connections: u32) -> Ask {
    let protocol = Protocol::Http1;
    Ask { task, path, connections, depth: 1, reuse: Reuse::KeepAlive, upload: 0, secure: Secure::Plain, protocol }
}

const fn pace(rounds: u32, seconds: f64) -> Pace {
    Pace { rounds, seconds }
}

const SHORT: Pace = pace(7, 0.8);
const LONG: Pace = pace(5, 1.0);

const FIXED: Ask = ask(Task::Fixed, "/", 64);
const PROXY: Ask = ask(Task::Proxy, "/", 64);
/// Over TLS on connections that stand.
const TLS: Ask = Ask { secure: Secure::Full, ..FIXED };
/// In HTTP/2, over TLS unless said otherwise: 16 connections of 32 streams at a time.
const H2: Ask = Ask { connections: 16, depth: 32, protocol: Protocol::Http2, ..TLS };

/// What takes long is measured without those whose limit is known already.
const NO_FLOORS: &[&str] = &["floor", "relay"];
/// A tail needs very many samples: one driver of AnyGate and the peers that can be the best.
const TAIL: &[&str] = &["floor", "relay", "anygate-epoll", "caddy"];
/// Only AnyGate.
const GATE: &[&str] = &["floor", "relay", "nginx", "haproxy", "h2o", "caddy"];

/// All scenarios, in the order of the report.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "fixed",
        about: "A fixed answer without a body, 64 keep-alive connections, one request at a time on each",
        kind: Kind::Requests(FIXED),
        pace: SHORT,
        without: &[],
        goals: &[
            Goal::cost("anygate-uring", "nginx", 0.85),
            Goal::cost("anygate-uring", "floor-uring", 1.10),
            Goal::cost("anygate-epoll", "nginx", 1.0),
        ],
    },
    Scenario {
        name: "pipelined",
        about: "The same, pipelined: 16 requests in one write, the next 16 when all are answered",
        kind: Kind::Requests(Ask { depth: 16, ..FIXED }),
        pace: SHORT,
        without: &[],
        goals: &[Goal::cost("anygate-uring", "nginx", 0.20), Goal::cost("anygate-uring", "floor-uring", 2.0)],
    },
    Scenario {
        name: "connect",
        about: "A connection per request, 64 at a time, closed by the server",
        kind: Kind::Requests(Ask { reuse: Reuse::PerRequest, ..FIXED }),
        pace: SHORT,
        without: &[],
        goals: &[Goal::cost("anygate-uring", "nginx", 0.90)],
    },
    Scenario {
        name: "connections-1",
        about: "A fixed answer, one connection: what a request costs where nothing can be done together",
        kind: Kind::Requests(Ask { connections: 1, ..FIXED }),
        pace: pace(5, 0.6),
        without: &[],
        goals: &[],
    },
    Scenario {
        name: "connections-1024",
        about: "A fixed answer, 1,024 connections",
        kind: Kind::Requests(Ask { connections: 1024, ..FIXED }),
        pace: pace(5, 0.8),
        without: &[],
        goals: &[],
    },
    Scenario {
        name: "connections-10000",
        about: "A fixed answer, 10,000 connections",
        kind: Kind::Requests(Ask { connections: 10_000, ..FIXED }),
        pace: pace(3, 1.2),
        without: &[],
        goals: &[],
    },
    Scenario {
        name: "idle",
        about: "15,000 connections at rest after one request each: anonymous memory a connection",
        kind: Kind::Idle { connections: 15_000, secure: Secure::Plain, protocol: Protocol::Http1 },
        pace: pace(1, 0.0),
        without: &[],
        goals: &[Goal::memory("anygate-uring", 400.0), Goal::memory("anygate-epoll", 400.0)],
    },
    Scenario {
        name: "static-1k",
        about: "A file of 1 KiB, 64 connections",
        kind: Kind::Requests(ask(Task::Files, "/1k", 64)),
        pace: SHORT,
        without: &[],
        goals: &[Goal::best("anygate-uring", 0.85)],
    },
    Scenario {
        name: "static-16k",
        about: "A file of 16 KiB, 64 connections",
        kind: Kind::Requests(ask(Task::Files, "/16k", 64)),
        pace: SHORT,
        without: &[],
        goals: &[],
    },
    Scenario {
        name: "static-100k",
        about: "A file of 100 KiB, 64 connections",
        kind: Kind::Requests(ask(Task::Files, "/100k", 64)),
        pace: SHORT,
        without: &[],
        goals: &[Goal::best("anygate-uring", 1.0)],
    },
    Scenario {
        name: "static-10m",
        about: "A file of 10 MiB, 8 connections",
        kind: Kind::Requests(ask(Task::Files, "/10m", 8)),
        pace: LONG,
        without: &[],
        goals: &[Goal::best("anygate-uring", 1.0)],
    },
    Scenario {
        name: "proxy",
        about: "Passed on to a server behind, which answers without a body, 64 connections",
        kind: Kind::Requests(PROXY),
        pace: SHORT,
        without: &[],
        goals: &[Goal::best("anygate-uring", 0.75), Goal::cost("anygate-uring", "relay-uring", 1.15)],
    },
    Scenario {
        name: "proxy-100k",
        about: "Passed on, answered with 100 KiB, 64 connections",
        kind: Kind::Requests(ask(Task::Proxy, "/100k", 64)),
        pace: SHORT,
        without: &[],
        goals: &[Goal::best("anygate-uring", 0.8)],
    },
    Scenario {
        name: "proxy-10m",
        about: "Passed on, answered with 10 MiB, 8 connections",
        kind: Kind::Requests(ask(Task::Proxy, "/10m", 8)),
        pace: LONG,
        without: &[],
        goals: &[Goal::best("anygate-uring", 1.0)],
    },
    Scenario {
        name: "upload-1m",
        about: "A request with a body of 1 MiB, passed on, 16 connections",
        kind: Kind::Requests(Ask { upload: 1 << 20, ..ask(Task::Proxy, "/", 16) }),
        pace: LONG,
        without: &[],
        goals: &[Goal::best("anygate-uring", 0.9)],
    },
    Scenario {
        name: "upload-100m",
        about: "A request with a body of 100 MiB, passed on, 4 connections",
        kind: Kind::Requests(Ask { upload: 100 << 20, ..ask(Task::Proxy, "/", 4) }),
        pace: pace(3, 2.5),
        without: &[],
        goals: &[],
    },
    Scenario {
        name: "routes",
        about: "A fixed answer by one of 10 to 100,000 routes, 64 connections",
        kind: Kind::Routes { ask: FIXED, counts: &[10, 100, 1_000, 10_000, 100_000] },
        pace: pace(5, 0.6),
        without: GATE,
        goals: &[
            Goal::cost("anygate-uring, 100000 routes", "anygate-uring, 10 routes", 1.1),
            Goal::cost("anygate-epoll, 100000 routes", "anygate-epoll, 10 routes", 1.1),
        ],
    },
    Scenario {
        name: "imbalance",
        about: "8 heavy connections, 5,000 requests a second each, and 500 light ones, 10 a second each, over 2 threads, 2 s after they were opened",
        kind: Kind::Imbalance { heavy: 8, heavy_rate: 5_000.0, light: 500, light_rate: 10.0, shards: 2 },
        pace: pace(7, 1.0),
        without: NO_FLOORS,
        goals: &[Goal::balance("anygate-uring", 1.2), Goal::balance("anygate-epoll", 1.2)],
    },
    Scenario {
        name: "latency-50",
        about: "A fixed answer, 64 connections, requests at a fixed rate: half of what each can do",
        kind: Kind::Paced { ask: FIXED, part: 0.5 },
        pace: pace(5, 1.0),
        without: NO_FLOORS,
        goals: &[],
    },
    Scenario {
        name: "latency-80",
        about: "The same at four fifths of what each can do",
        kind: Kind::Paced { ask: FIXED, part: 0.8 },
        pace: pace(5, 1.0),
        without: NO_FLOORS,
        goals: &[],
    },
    Scenario {
        name: "latency-proxy-50",
        about: "Passed on, 64 connections, at half of what each can do",
        kind: Kind::Paced { ask: PROXY, part: 0.5 },
        pace: pace(5, 1.0),
        without: NO_FLOORS,
        goals: &[],
    },
    Scenario {
        name: "latency-proxy-80",
        about: "Passed on, 64 connections, at four fifths of what each can do",
        kind: Kind::Paced { ask: PROXY, part: 0.8 },
        pace: pace(5, 1.0),
        without: NO_FLOORS,
        goals: &[],
    },
    Scenario {
        name: "tail",
        about: "A fixed answer, 64 connections, all at the same rate: half of what nginx can do",
        kind: Kind::Tail { ask: FIXED, of: "nginx", part: 0.5, samples: 1_050_000 },
        pace: pace(10, 1.0),
        without: TAIL,
        goals: &[Goal::tail("anygate-uring", 1.1)],
    },
    Scenario {
        name: "tail-proxy",
        about: "Passed on, 64 connections, all at the same rate: half of what nginx can do",
        kind: Kind::Tail { ask: PROXY, of: "nginx", part: 0.5, samples: 1_050_000 },
        pace: pace(10, 1.0),
        without: TAIL,
        goals: &[Goal::tail("anygate-uring", 1.1)],
    },
    Scenario {
        name: "tls-h1",
        about: "A fixed answer without a body over TLS 1.3, 64 keep-alive connections",
        kind: Kind::Requests(TLS),
        pace: SHORT,
        without: NO_FLOORS,
        goals: &[Goal::best("anygate-uring", 0.85), Goal::best("anygate-epoll", 0.85)],
    },
    Scenario {
        name: "tls-handshake",
        about: "A connection per request over TLS 1.3, a full handshake each (ECDSA P-256, X25519), 64 at a time",
        kind: Kind::Requests(Ask { reuse: Reuse::PerRequest, ..TLS }),
        pace: LONG,
        without: NO_FLOORS,
        goals: &[Goal::best("anygate-uring", 0.70), Goal::best("anygate-epoll", 0.70)],
    },
    Scenario {
        name: "tls-resumed",
        about: "The same, each going on with an earlier session by ticket",
        kind: Kind::Requests(Ask { reuse: Reuse::PerRequest, secure: Secure::Resumed, ..TLS }),
        pace: LONG,
        without: NO_FLOORS,
        goals: &[Goal::best("anygate-uring", 0.9), Goal::best("anygate-epoll", 0.9)],
    },
    Scenario {
        name: "tls-static-100k",
        about: "A file of 100 KiB over TLS 1.3, 64 keep-alive connections",
        kind: Kind::Requests(Ask { secure: Secure::Full, ..ask(Task::Files, "/100k", 64) }),
        pace: SHORT,
        without: NO_FLOORS,
        goals: &[Goal::best("anygate-uring", 1.0), Goal::best("anygate-epoll", 1.0)],
    },
    Scenario {
        name: "tls-idle",
        about: "5,000 TLS connections at rest after one request each: anonymous memory a connection",
        kind: Kind::Idle { connections: 5_000, secure: Secure::Full, protocol: Protocol::Http1 },
        pace: pace(1, 0.0),
        without: NO_FLOORS,
        goals: &[Goal::memory("anygate-uring", 6144.0), Goal::memory("anygate-epoll", 6144.0)],
    },
    Scenario {
        name: "tls-flood",
        about: "64 TLS connections, 2,000 requests a second, alone and beside a flood of handshakes: 10 times as many as the core can do",
        kind: Kind::Flood { ask: TLS, rate: 2_000.0, times: 10.0 },
        pace: pace(5, 2.0),
        without: NO_FLOORS,
        goals: &[
            Goal::high("anygate-uring, flooded", "anygate-uring", 3.0),
            Goal::high("anygate-epoll, flooded", "anygate-epoll", 3.0),
        ],
    },
    Scenario {
        name: "h2-tls-fixed",
        about: "A fixed answer without a body in HTTP/2 over TLS 1.3, 16 connections of 32 streams at a time",
        kind: Kind::Requests(H2),
        pace: SHORT,
        without: NO_FLOORS,
        goals: &[Goal::best("anygate-uring", 0.40), Goal::best("anygate-epoll", 0.40)],
    },
    Scenario {
        name: "h2c-fixed",
        about: "The same without TLS, by prior knowledge",
        kind: Kind::Requests(Ask { secure: Secure::Plain, ..H2 }),
        pace: SHORT,
        without: NO_FLOORS,
        goals: &[Goal::best("anygate-uring", 0.25), Goal::best("anygate-epoll", 0.25)],
    },
    Scenario {
        name: "h2-tls-static-1k",
        about: "A file of 1 KiB in HTTP/2 over TLS 1.3, 16 connections of 32 streams at a time",
        kind: Kind::Requests(Ask { task: Task::Files, path: "/1k", ..H2 }),
        pace: SHORT,
        without: NO_FLOORS,
        goals: &[Goal::cost("anygate-uring", "h2o", 1.0), Goal::cost("anygate-epoll", "h2o", 1.0)],
    },
    Scenario {
        name: "h2-proxy",
        about: "HTTP/2 over TLS 1.3, passed on in HTTP/1.1 to a server behind, which answers without a body, 16 connections of 32 streams at a time",
        kind: Kind::Requests(Ask { task: Task::Proxy, ..H2 }),
        pace: SHORT,
        without: NO_FLOORS,
        goals: &[Goal::best("anygate-uring", 0.80), Goal::best("anygate-epoll", 0.80)],
    },
    Scenario {
        name: "h2-tls-10m",
        about: "A file of 10 MiB in HTTP/2 over TLS 1.3, one connection, one download at a time",
        kind: Kind::Requests(Ask { task: Task::Files, path: "/10m", connections: 1, depth: 1, ..H2 }),
        pace: LONG,
        without: NO_FLOORS,
        goals: &[Goal::best("anygate-uring", 1.0), Goal::best("anygate-epoll", 1.0)],
    },
    Scenario {
        name: "h2-tls-idle",
        about: "5,000 connections of HTTP/2 over TLS at rest after one request each: anonymous memory a connection",
        kind: Kind::Idle { connections: 5_000, secure: Secure::Full, protocol: Protocol::Http2 },
        pace: pace(1, 0.0),
        without: NO_FLOORS,
        goals: &[Goal::memory("anygate-uring", 12_288.0), Goal::memory("anygate-epoll", 12_288.0)],
    },
];
