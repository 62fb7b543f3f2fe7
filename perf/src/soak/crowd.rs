//! How long fast clients wait while ten thousand slow ones are there, beside how long they wait without them.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anygate_shard::Io;
use serde::Serialize;

use crate::account::Account;
use crate::load::{self, Plan, Tally};
use crate::scenario::write_files;
use crate::server::{Folder, Launch, Server, list};
use crate::stat::Spread;
use crate::subject::{self, io_word};

/// The crowd stands after this time at the latest, and is gone after it.
const PATIENCE: Duration = Duration::from_secs(90);
/// Once it stands, it is left alone for so long: some are sent away all the time by then, as head and body limits have it.
const SETTLE: Duration = Duration::from_secs(11);
/// How much longer fast clients may wait beside slow ones who stay. Those who are sent away all the time and come again are
/// no goal: what they ask each time anew, some of them for 10 MiB, is work like another's.
const GOAL: f64 = 2.0;
/// What lets everybody stay.
const UNLIMITED: &str = ", header_timeout: 1h, idle_timeout: 1h, read_timeout: 1h, write_timeout: 1h, min_body_rate: 0, \
                         min_send_rate: 0";
/// Descriptors of a gate without clients, at most.
const FEW: u64 = 700;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Crowded {
    /// AnyGate's binary.
    pub program: PathBuf,
    /// The driver.
    pub io: Io,
    /// Slow connections.
    pub connections: usize,
    /// Whether nobody is sent away: the limits on slow clients are taken out, so that all of them stay for good.
    pub held: bool,
    /// How often it is measured without the crowd, then with it.
    pub rounds: u32,
    /// How long each of both counts.
    pub duration: Duration,
    /// Requests of fast clients in a second.
    pub rate: f64,
    /// Connections of fast clients.
    pub fast: u32,
    /// The gate's core.
    pub server_core: usize,
    /// Everybody else's core.
    pub load_core: usize,
    /// The first of two ports.
    pub port: u16,
}

/// Fast clients in one round.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Round {
    /// Their p50 and p99 without the crowd, in microseconds.
    pub alone_us: [f64; 2],
    /// The same beside the crowd.
    pub crowded_us: [f64; 2],
    /// Whatever went wrong for them.
    pub faults: u64,
    /// Slow connections that were held all the time.
    pub held: usize,
    /// Slow connections that were sent away in a second, on average, and came again.
    pub sent_away: f64,
    /// Anonymous bytes of the gate without the crowd and with it.
    pub memory: [u64; 2],
}

/// Everything that was seen.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The driver.
    pub io: String,
    /// Slow connections that were asked for.
    pub connections: usize,
    /// Whether nobody was sent away.
    pub held: bool,
    /// Requests of fast clients in a second.
    pub rate: f64,
    /// All rounds.
    pub rounds: Vec<Round>,
    /// p99 beside the crowd by p99 without it: median and quartiles.
    pub ratio: Spread,
}

/// The crowd: this program, as a process of its own with descriptors of its own.
struct Crowd {
    child: Child,
    held: Arc<AtomicUsize>,
    least: Arc<AtomicUsize>,
    sent_away: Arc<AtomicU64>,
}

impl Crowd {
    fn start(target: SocketAddr, connections: usize, held: bool, core: usize) -> Result<Self, String> {
        let fault = |error: std::io::Error| format!("the crowd: {error}");
        // What is slow need not be served fast: it gives way to those who measure on the same core.
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(std::env::current_exe().map_err(fault)?).args([
            "slow",
            "--target",
            &target.to_string(),
            "--connections",
            &connections.to_string(),
            "--core",
            &core.to_string(),
        ]);
        command.args(held.then_some("--held"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(fault)?;
        let lines = BufReader::new(child.stdout.take().ok_or("the crowd says nothing")?).lines();
        let crowd = Self { child, held: Arc::default(), least: Arc::default(), sent_away: Arc::default() };
        let (held, least, sent_away) = (crowd.held.clone(), crowd.least.clone(), crowd.sent_away.clone());
        // Ends with the child.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut numbers = line.split(' ').filter_map(|word| word.parse::<u64>().ok());
                if let (Some(now), Some(away)) = (numbers.next(), numbers.next()) {
                    held.store(now as usize, Ordering::Relaxed);
                    least.fetch_min(now as usize, Ordering::Relaxed);
                    sent_away.fetch_add(away, Ordering::Relaxed);
                }
            }
        });
        let began = Instant::now();
        while crowd.held.load(Ordering::Relaxed) < connections * 99 / 100 {
            if began.elapsed() > PATIENCE {
                return Err(format!("only {} of {connections} stand", crowd.held.load(Ordering::Relaxed)));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Crowded {
    /// Measures; `progress` is told each round.
    ///
    /// # Errors
    /// The gate cannot be started, or the crowd does not get in.
    pub fn run(&self, progress: &mut dyn FnMut(&str)) -> Result<Outcome, String> {
        let origin = subject::origin(([127, 0, 0, 1], self.port + 1).into(), Io::Epoll, self.load_core)?;
        let server = self.start(origin.address)?;
        let account = server.account()?;
        let mut rounds = Vec::new();
        for number in 1..=self.rounds {
            let memory_alone = account.memory().map_err(|error| error.to_string())?;
            let alone = self.fast(server.address)?;
            let crowd = Crowd::start(server.address, self.connections, self.held, self.load_core)?;
            thread::sleep(SETTLE);
            crowd.least.store(crowd.held.load(Ordering::Relaxed), Ordering::Relaxed);
            let (before, began) = (crowd.sent_away.load(Ordering::Relaxed), Instant::now());
            let crowded = self.fast(server.address)?;
            let away = crowd.sent_away.load(Ordering::Relaxed) - before;
            let round = Round {
                alone_us: [alone.latency_us(0.5), alone.latency_us(0.99)],
                crowded_us: [crowded.latency_us(0.5), crowded.latency_us(0.99)],
                faults: alone.all_faults() + crowded.all_faults(),
                held: crowd.least.load(Ordering::Relaxed),
                sent_away: away as f64 / began.elapsed().as_secs_f64(),
                memory: [memory_alone, account.memory().map_err(|error| error.to_string())?],
            };
            progress(&format!("round {number}: {}", round.text()));
            rounds.push(round);
            drop(crowd);
            emptied(&account)?;
        }
        let p99 = |of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
        let ratio = Spread::of_ratios(&p99(|round| round.crowded_us[1]), &p99(|round| round.alone_us[1]))
            .ok_or("nothing was measured")?;
        Ok(Outcome {
            io: io_word(self.io).to_owned(),
            connections: self.connections,
            held: self.held,
            rate: self.rate,
            rounds,
            ratio,
        })
    }

    fn start(&self, origin: SocketAddr) -> Result<Server, String> {
        let folder = Folder::new("crowd")?;
        write_files(folder.path())?;
        // Everything else that has to do with patience and limits is as it comes.
        let limits = if self.held { UNLIMITED } else { "" };
        let text = format!(
            "server: {{max_connections: {}{limits}}}\n\
             routes:\n  /fixed: OK\n  /echo: *\n  /files/: {}/\n  /origin/: http://{origin}/\n",
            self.connections * 3 / 2,
            folder.path().display(),
        );
        let listen = SocketAddr::from(([127, 0, 0, 1], self.port));
        let words = ["--listen", &listen.to_string(), "--cores", &list(&[self.server_core]), "--io", io_word(self.io)];
        let file = folder.path().join("anygate.yml").display().to_string();
        let launch = Launch {
            program: self.program.clone(),
            arguments: ["serve", "-c", &file].into_iter().chain(words).map(str::to_owned).collect(),
            files: vec![("anygate.yml", text)],
            ..Launch::default()
        };
        launch.start(listen, folder)
    }

    fn fast(&self, target: SocketAddr) -> Result<Tally, String> {
        let plan = Plan {
            path: "/fixed".to_owned(),
            connections: self.fast,
            rate: Some(self.rate),
            duration: self.duration,
            core: Some(self.load_core),
            ..Plan::new(target, Io::Epoll)
        };
        load::run(&plan, &mut |_| {})
    }
}

/// Waits until the gate has let go of the crowd.
fn emptied(account: &Account) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let descriptors = account.descriptors().map_err(|error| error.to_string())?;
        if descriptors < FEW {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("the crowd has left, and {descriptors} descriptors stay"));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

impl Round {
    fn ratio(&self) -> f64 {
        self.crowded_us[1] / self.alone_us[1]
    }

    fn text(&self) -> String {
        format!(
            "p99 {:.0} µs alone, {:.0} µs beside {} slow ones: {:.2}; {} faults; {:.0} sent away a second",
            self.alone_us[1],
            self.crowded_us[1],
            self.held,
            self.ratio(),
            self.faults,
            self.sent_away
        )
    }
}

impl Outcome {
    /// Everything that is not as it must be, a line each.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.held && self.ratio.median > GOAL {
            all.push(format!("fast clients wait {:.2} times as long, {GOAL} is the goal", self.ratio.median));
        }
        let faults: u64 = self.rounds.iter().map(|round| round.faults).sum();
        if faults > 0 {
            all.push(format!("{faults} requests of fast clients failed"));
        }
        all
    }

    /// A report for people, in Markdown.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "| {}, {} slow, {} requests a second | p50, p99 alone | p50, p99 beside them | p99 ratio | held | sent away/s | \
             memory |\n|---|---|---|---|---|---|---|\n",
            self.io, self.connections, self.rate
        );
        for (round, number) in self.rounds.iter().zip(1..) {
            let [before, with] = round.memory.map(|bytes| bytes as f64 / 1_048_576.0);
            text.push_str(&format!(
                "| round {number} | {:.0}, {:.0} µs | {:.0}, {:.0} µs | {:.2} | {} | {:.0} | {before:.1}, {with:.1} MiB |\n",
                round.alone_us[0],
                round.alone_us[1],
                round.crowded_us[0],
                round.crowded_us[1],
                round.ratio(),
                round.held,
                round.sent_away,
            ));
        }
        let Spread { median, low, high } = self.ratio;
        text.push_str(&format!(
            "\np99 ratio: median {median:.2}, quartiles {low:.2} to {high:.2}; {}.\n",
            if self.held { format!("the goal is {GOAL}") } else { "no goal where limits send them away".to_owned() }
        ));
        for failure in self.failures() {
            text.push_str(&format!("- FAILED: {failure}\n"));
        }
        text
    }
}
