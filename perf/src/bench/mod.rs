//! What users call to measure a server of theirs: `anygate bench`.

mod json;
pub mod quantity;
mod text;
mod url;

use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anygate_shard::{Io, limits, net, probe_uring};

use crate::load::{self, Phase, Plan, Protocol, Reuse, Tally, Tls, Trust, Versions, Watch};

pub use url::Url;

/// How often it is looked at whether to stop, and whether the load is over.
const LOOK: Duration = Duration::from_millis(20);
/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(250);
/// Descriptors that a load needs beside its connections, and connections that are closing.
const DESCRIPTORS: u64 = 64;

/// Which driver is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// io_uring, or epoll where that is not to be had.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// epoll.
    Epoll,
}

/// What is to be measured, and how.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whom to ask for what.
    pub url: Url,
    /// The method; without one GET, or POST with a body.
    pub method: Option<String>,
    /// Header fields, as `Name: value`.
    pub headers: Vec<String>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Versions of TLS that are offered, where the URL asks for it.
    pub versions: Versions,
    /// New connections go on with earlier TLS sessions.
    pub resume: bool,
    /// X25519MLKEM768 is offered first.
    pub post_quantum: bool,
    /// Any certificate is believed; on loopback always.
    pub insecure: bool,
    /// The body of each request.
    pub body: Option<Vec<u8>>,
    /// Bytes of the body of each request, where only the length matters.
    pub body_size: u64,
    /// Connections over all cores, at least 1.
    pub connections: u32,
    /// Requests on a connection that are not answered yet, at least 1; in HTTP/2, each on a stream of its own.
    pub pipeline: u32,
    /// Connections are used for one request each.
    pub per_request: bool,
    /// Requests a second over all cores (open loop); without one, answers set the pace.
    pub rate: Option<f64>,
    /// How long the load runs before anything counts.
    pub warm_up: Duration,
    /// How long it counts.
    pub duration: Duration,
    /// A connection that moves no byte for so long is given up.
    pub timeout: Duration,
    /// The driver.
    pub driver: Driver,
    /// The cores the load runs on, one thread each; none: one thread, wherever the system puts it.
    pub cores: Vec<usize>,
}

/// How it goes.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The earliest phase any of the threads is in.
    pub phase: Phase,
    /// Since that phase began.
    pub elapsed: Duration,
    /// How long it will take.
    pub duration: Duration,
    /// Requests a second since the last time.
    pub rate: f64,
    /// Answers since it began to count.
    pub answers: u64,
    /// Faults since it began to count.
    pub faults: u64,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What was asked for.
    pub order: Order,
    /// Who answered.
    pub address: SocketAddr,
    /// The driver that was used.
    pub io: Io,
    /// Threads that asked.
    pub threads: usize,
    /// It was ended early.
    pub interrupted: bool,
    /// What they saw.
    pub tally: Tally,
}

impl Measured {
    /// Whether everything was answered as it was asked: no faults, and an open loop's rate was held.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.tally.answers > 0 && self.tally.all_faults() == 0 && self.tally.is_held()
    }
}

/// Measures. `progress` is told how it goes some times a second; `interrupted` is asked often whether to end early.
///
/// # Errors
/// It cannot begin: the name is not found, nobody answers there, a core, the driver or the descriptors are not to be had.
/// Or it was ended before anything counted.
pub fn run(
    order: &Order,
    progress: &mut dyn FnMut(&Progress),
    interrupted: &dyn Fn() -> bool,
) -> Result<Measured, String> {
    let address = find(&order.url, order.timeout)?;
    let io = driver(order.driver)?;
    let tls = tls(order, address)?;
    let plans = plans(order, address, tls.as_ref(), io);
    descriptors(order.connections)?;
    let watches: Vec<Watch> = plans.iter().map(|_| Watch::default()).collect();
    let mut stopped = false;
    let tallies = thread::scope(|scope| {
        let start = |(plan, watch)| scope.spawn(move || load::watched(plan, watch, &mut |_| {}));
        let threads: Vec<_> = plans.iter().zip(&watches).map(start).collect();
        let mut meter = Meter::new(order);
        while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(LOOK);
            let mut pairs = threads.iter().zip(&watches);
            let failed = pairs.any(|(thread, watch)| thread.is_finished() && watch.phase() < Phase::Over);
            stopped |= interrupted();
            if stopped || failed {
                watches.iter().for_each(Watch::stop);
            }
            meter.look(&watches, progress);
        }
        let panicked = |_| Err("the load panicked".to_owned());
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect::<Result<Vec<Tally>, _>>()
    })?;
    let mut tally = Tally::new();
    tallies.iter().for_each(|part| tally.add(part));
    if tally.elapsed.is_zero() {
        return Err("it was ended before anything counted".into());
    }
    Ok(Measured { order: order.clone(), address, io, threads: plans.len(), interrupted: stopped, tally })
}

/// Who answers: the first of the name's addresses that takes a connection.
fn find(url: &Url, timeout: Duration) -> Result<SocketAddr, String> {
    let Url { host, port, .. } = url;
    let found = net::resolve(host, *port).map_err(|error| format!("the name `{host}` is not found: {error}"))?;
    let mut refused = format!("the name `{host}` has no address");
    for address in found {
        match TcpStream::connect_timeout(&address, timeout.max(LOOK)) {
            Ok(_) => return Ok(address),
            Err(error) => refused = format!("nobody answers on {address}: {error}"),
        }
    }
    Err(refused)
}

fn driver(asked: Driver) -> Result<Io, String> {
    match (asked, probe_uring()) {
        (Driver::Epoll, _) | (Driver::Auto, Err(_)) => Ok(Io::Epoll),
        (_, Ok(())) => Ok(Io::Uring),
        (Driver::Uring, Err(why)) => Err(format!("io_uring is not to be had: {why}")),
    }
}

/// Makes room for so many connections.
fn descriptors(connections: u32) -> Result<(), String> {
    let limit = limits::raise_descriptors().map_err(|error| format!("the limit of descriptors: {error}"))?;
    let needed = u64::from(connections) + DESCRIPTORS;
    if limit.soft < needed {
        return Err(format!("{needed} descriptors are needed and {} may be had: ulimit -n {needed}", limit.soft));
    }
    Ok(())
}

/// How TLS is spoken, where the URL asks for it.
fn tls(order: &Order, address: SocketAddr) -> Result<Option<Tls>, String> {
    if !order.url.tls {
        return Ok(None);
    }
    let anybody = order.insecure || address.ip().is_loopback();
    Ok(Some(Tls {
        name: order.url.host.clone(),
        versions: order.versions,
        resume: order.resume,
        post_quantum: order.post_quantum,
        one_cipher: false,
        trust: if anybody { Trust::Anybody } else { load::system_roots()? },
    }))
}

/// One plan for each thread, with its part of connections and rate.
fn plans(order: &Order, address: SocketAddr, tls: Option<&Tls>, io: Io) -> Vec<Plan> {
    let unpinned = [None];
    let pinned: Vec<_> = order.cores.iter().copied().map(Some).collect();
    let cores = if pinned.is_empty() { &unpinned[..] } else { &pinned };
    let threads = (cores.len() as u32).min(order.connections.max(1));
    let named = |header: &String| header.split_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case("host"));
    let mut headers = order.headers.clone();
    if !headers.iter().any(named) {
        headers.push(format!("Host: {}", order.url.authority));
    }
    let plan = |at: u32| {
        let connections = order.connections / threads + u32::from(at < order.connections % threads);
        Plan {
            protocol: order.protocol,
            tls: tls.cloned(),
            path: order.url.path.clone(),
            method: order.method.clone(),
            headers: headers.clone(),
            upload: order.body.as_ref().map_or(order.body_size, |body| body.len() as u64),
            body: order.body.clone(),
            connections,
            depth: order.pipeline,
            rate: order.rate.map(|rate| rate * f64::from(connections) / f64::from(order.connections)),
            reuse: if order.per_request { Reuse::PerRequest } else { Reuse::KeepAlive },
            warm_up: order.warm_up,
            duration: order.duration,
            patience: order.timeout,
            core: cores[at as usize],
            ..Plan::new(address, io)
        }
    };
    (0..threads).map(plan).collect()
}

/// Turns what the threads show into progress.
struct Meter {
    warm_up: Duration,
    duration: Duration,
    phase: Phase,
    since: Instant,
    told: Instant,
    answers: u64,
}

impl Meter {
    fn new(order: &Order) -> Self {
        let now = Instant::now();
        let (warm_up, duration) = (order.warm_up, order.duration);
        Self { warm_up, duration, phase: Phase::Opening, since: now, told: now, answers: 0 }
    }

    fn look(&mut self, watches: &[Watch], progress: &mut dyn FnMut(&Progress)) {
        let now = Instant::now();
        let phase = watches.iter().map(Watch::phase).min().unwrap_or(Phase::Over);
        let answers = watches.iter().map(Watch::answers).sum::<u64>();
        if phase != self.phase {
            (self.phase, self.since, self.told, self.answers) = (phase, now, now, answers);
        }
        let passed = now - self.told;
        if passed < PROGRESS || phase == Phase::Over {
            return;
        }
        progress(&Progress {
            phase,
            elapsed: now - self.since,
            duration: if phase == Phase::Counting { self.duration } else { self.warm_up },
            // They begin to count anew once.
            rate: answers.checked_sub(self.answers).unwrap_or(answers) as f64 / passed.as_secs_f64(),
            answers,
            faults: watches.iter().map(Watch::faults).sum(),
        });
        (self.told, self.answers) = (now, answers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn order() -> Order {
        Order {
            url: "http://127.0.0.1:9/".parse().unwrap(),
            method: None,
            headers: Vec::new(),
            protocol: Protocol::Http1,
            versions: Versions::Both,
            resume: true,
            post_quantum: false,
            insecure: false,
            body: None,
            body_size: 0,
            connections: 64,
            pipeline: 1,
            per_request: false,
            rate: None,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            driver: Driver::Epoll,
            cores: Vec::new(),
        }
    }

    #[test]
    fn connections_and_rate_are_shared_out_to_the_cores_without_a_rest() {
        let order = Order { connections: 10, rate: Some(1000.0), cores: vec![3, 5, 7], ..order() };
        let plans = plans(&order, "127.0.0.1:9".parse().unwrap(), None, Io::Epoll);
        let shares: Vec<_> = plans.iter().map(|plan| (plan.core, plan.connections)).collect();
        assert_eq!(shares, [(Some(3), 4), (Some(5), 3), (Some(7), 3)]);
        let rate: f64 = plans.iter().filter_map(|plan| plan.rate).sum();
        assert!((rate - 1000.0).abs() < 1e-6, "{rate}");
        assert!((plans[0].rate.unwrap() - 400.0).abs() < 1e-6, "a connection on any core is asked as often");
    }

    #[test]
    fn no_thread_is_without_a_connection() {
        let order = Order { connections: 1, cores: vec![0, 1], ..order() };
        assert_eq!(plans(&order, "127.0.0.1:9".parse().unwrap(), None, Io::Epoll).len(), 1);
    }

    #[test]
    fn a_server_that_is_not_there_is_said_before_anything_begins() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let order = Order { url: format!("http://127.0.0.1:{port}/").parse().unwrap(), ..order() };
        let why = run(&order, &mut |_| {}, &|| false).unwrap_err();
        assert!(why.starts_with(&format!("nobody answers on 127.0.0.1:{port}: ")), "{why}");
    }
}
