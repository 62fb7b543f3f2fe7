//! How a soak runs: who starts whom, what happens meanwhile, and what is looked at in the end.

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use std::net::{SocketAddr, TcpStream};

use super::gate::{Gate, Kinds, Sample};
use super::habits::{Habit, POLITE, UNLUCKY};
use super::pattern::Rng;
use super::report::Report;
use super::rude::RUDE;
use super::setting::Setting;
use super::visit::{Visit, World};
use super::{Soak, Until};

/// How often the kernel is asked.
const LOOK: Duration = Duration::from_secs(1);
/// How often progress is told.
const TOLD: Duration = Duration::from_secs(10);
/// How long a server behind is dead, at most.
const DEAD: u64 = 1_500;
/// Sockets are as they were within this time after the last client left.
const REST: Duration = Duration::from_secs(20);
/// Descriptors that a shard may keep for the next who needs one: pipes, folders, accounts.
const KEPT: u64 = 544;
/// A server behind listens within this time.
const START: Duration = Duration::from_secs(10);

/// A server behind: this program, as a process of its own that can be killed.
struct Behind {
    child: Child,
}

impl Behind {
    fn start(listen: SocketAddr) -> Result<Self, String> {
        let fault = |error: std::io::Error| format!("a server behind: {error}");
        let program = std::env::current_exe().map_err(fault)?;
        let mut command = Command::new(program);
        command.args(["behind", "--listen", &listen.to_string()]).stdin(Stdio::null()).stdout(Stdio::null());
        let began = Instant::now();
        let behind = Self { child: command.spawn().map_err(fault)? };
        while TcpStream::connect(listen).is_err() {
            if began.elapsed() > START {
                return Err(format!("a server behind does not listen on {listen}"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(behind)
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it; `progress` is told a line from time to time.
///
/// # Errors
/// It could not begin, or the gate is gone.
pub fn run(soak: &Soak, progress: &(dyn Fn(&str) + Sync)) -> Result<Report, String> {
    let habits = habits(soak);
    let gate = Gate::start(&soak.program, soak.io, &soak.cores, Setting::new()?)?;
    let setting = gate.setting();
    let (address, extra, flaky_at) = (setting.address, setting.extra, setting.flaky);
    let steady = Behind::start(setting.steady)?;
    let flaky = Behind::start(flaky_at)?;
    // What is made once is there now: the first descriptors are those of a gate that has nothing to do.
    let first = gate.sample(Duration::ZERO)?;
    let kinds = gate.descriptor_kinds();
    let world = World::new(address, extra, &habits, soak.pause);
    let gate = Mutex::new(gate);
    let locked = || gate.lock().unwrap_or_else(PoisonError::into_inner);
    let (reloads, deaths) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut samples = Vec::new();
    let mut trouble: Vec<String> = Vec::new();

    thread::scope(|scope| {
        let mut clients = Vec::new();
        for (number, habit) in habits.iter().enumerate() {
            for client in 0..habit.clients * soak.crowd {
                let rng = Rng::new((number as u64) << 32 | u64::from(client));
                world.enters();
                let visit = Visit { world: &world, rng, conn: None, right: 0 };
                clients.push(scope.spawn(move || visit.live(number, habit)));
            }
        }
        let deaths_of = &deaths;
        let world_of = &world;
        let dying = scope.spawn(move || die(soak, flaky_at, flaky, world_of, deaths_of));
        let reloading = scope.spawn(|| {
            let mut number = 0;
            while !world.is_over() {
                let begun = Instant::now();
                number += 1;
                locked().reload(number)?;
                reloads.store(number, Ordering::Relaxed);
                if soak.until == Until::Reloads(number) {
                    world.end();
                }
                wait(&world, soak.reload_every.saturating_sub(begun.elapsed()));
            }
            // In the end it listens where it listened in the beginning.
            locked().reload(number + 2 - number % 2)
        });

        let mut told = Instant::now();
        while !world.is_over() {
            thread::sleep(LOOK.min(Duration::from_millis(250)));
            let at = world.began.elapsed();
            if at.as_secs_f64() >= samples.last().map_or(0.0, |last: &Sample| last.at_s) + LOOK.as_secs_f64() {
                match locked().sample(at) {
                    Ok(sample) => samples.push(sample),
                    Err(error) => {
                        trouble.push(error);
                        world.end();
                    }
                }
            }
            if matches!(soak.until, Until::Time(time) if at >= time) {
                world.end();
            }
            // One that ended early has something to tell.
            if reloading.is_finished() || dying.is_finished() {
                world.end();
            }
            if told.elapsed() >= TOLD {
                told = Instant::now();
                let counts = (reloads.load(Ordering::Relaxed), deaths.load(Ordering::Relaxed));
                progress(&line(&world, samples.last(), counts));
            }
        }
        for client in clients {
            if client.join().is_err() {
                trouble.push("a client panicked".to_owned());
            }
        }
        let panicked = || Err("a thread of the soak panicked".to_owned());
        trouble.extend(dying.join().unwrap_or_else(|_| panicked()).err());
        trouble.extend(reloading.join().unwrap_or_else(|_| panicked()).err());
    });
    let elapsed = world.began.elapsed();
    drop(steady);

    let mut gate = gate.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut report = Report {
        io: crate::subject::io_word(soak.io).to_owned(),
        cores: soak.cores.clone(),
        elapsed_s: elapsed.as_secs_f64(),
        reloads: reloads.into_inner(),
        deaths: deaths.into_inner(),
        clients: habits.iter().map(|habit| habit.clients * soak.crowd).sum(),
        entries: world.ledger.entries(),
        told: world.ledger.told(),
        first,
        samples,
        rest: None,
        drain_s: None,
        complaints: Default::default(),
        trouble,
    };
    if report.trouble.is_empty()
        && let Err(error) = rest(&mut gate, &mut report, &kinds)
    {
        report.trouble.push(error);
    }
    report.trouble.append(&mut gate.faults);
    report.complaints = std::mem::take(&mut gate.complaints);
    Ok(report)
}

fn habits(soak: &Soak) -> Vec<Habit> {
    let unlucky = if soak.death_every.is_some() { UNLUCKY } else { &[] };
    let rude = if soak.rude { RUDE } else { &[] };
    [POLITE, unlucky, rude].concat()
}

/// When nobody is left: no socket and no thread more than in the beginning, and of pipes and files no more than are kept;
/// then it drains.
fn rest(gate: &mut Gate, report: &mut Report, first: &Kinds) -> Result<(), String> {
    let sockets = |kinds: &Kinds| kinds.get("socket").copied().unwrap_or(0);
    let began = Instant::now();
    while sockets(&gate.descriptor_kinds()) > sockets(first) && began.elapsed() < REST {
        thread::sleep(Duration::from_millis(50));
    }
    let kinds = gate.descriptor_kinds();
    let sample = gate.sample(Duration::from_secs_f64(report.elapsed_s) + began.elapsed())?;
    report.rest = Some(sample);
    let shards = sample.threads;
    if sockets(&kinds) > sockets(first) || sample.descriptors > report.first.descriptors + KEPT * shards {
        return Err(format!("descriptors stay: {kinds:?}; {first:?} there were"));
    }
    if sample.threads != report.first.threads {
        return Err(format!("{} threads instead of {}", sample.threads, report.first.threads));
    }
    report.drain_s = Some(gate.drain()?.as_secs_f64());
    Ok(())
}

/// Kills the server behind and starts it again, until all is over.
fn die(soak: &Soak, at: SocketAddr, first: Behind, world: &World, deaths: &AtomicU64) -> Result<(), String> {
    let mut behind = first;
    let mut rng = Rng::new(7);
    while !world.is_over() {
        wait(world, soak.death_every.unwrap_or(Duration::MAX));
        if world.is_over() {
            break;
        }
        world.dies();
        drop(behind);
        deaths.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(rng.below(DEAD)));
        behind = Behind::start(at)?;
        world.is_back();
    }
    // It lives until the last client has left.
    while !world.is_empty() {
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Waits, but not beyond the end.
fn wait(world: &World, time: Duration) {
    let began = Instant::now();
    while !world.is_over() && began.elapsed() < time {
        thread::sleep(Duration::from_millis(20).min(time - began.elapsed().min(time)));
    }
}

fn line(world: &World, sample: Option<&Sample>, (reloads, deaths): (u64, u64)) -> String {
    let (right, permitted, failed) = world.ledger.sums();
    let sample = sample.copied().unwrap_or_default();
    format!(
        "{:>5.0} s  {right:>9} right  {permitted:>6} permitted  {failed:>4} FAILED  {reloads:>5} reloads  {deaths:>4} deaths  \
         {:>6.1} MiB resident  {:>5} descriptors",
        world.began.elapsed().as_secs_f64(),
        sample.resident as f64 / 1048576.0,
        sample.descriptors,
    )
}
