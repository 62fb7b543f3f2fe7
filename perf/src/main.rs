//! The measuring instrument's command line.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anygate_perf::floor::Floor;
use anygate_perf::load::{self, Fault, Plan, Reuse};
use anygate_perf::machine::{self, Machine};
use anygate_perf::report::{self, Report};
use anygate_perf::scenario::{Method, SCENARIOS, Scenario};
use anygate_perf::subject::{Duty, Found, Programs, Subject};
use anygate_shard::{Io, limits, mailbox, probe_uring};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures AnyGate beside floors and peers.
#[derive(Debug, Parser)]
#[command(name = "perf", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 all goals hold, 1 something failed or a goal was missed, 2 wrong arguments.")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(Bench),
    Load(LoadArgs),
    Floor(FloorArgs),
}

/// Measure all subjects in all scenarios, and write the report.
#[derive(Debug, Args)]
struct Bench {
    #[command(flatten)]
    programs: Programs,
    /// Only this scenario; may be given several times
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Only this subject; may be given several times
    #[arg(long, value_name = "NAME")]
    subject: Vec<String>,
    /// How often each subject has its turn
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds a turn counts
    #[arg(long, default_value_t = 1.5, value_parser = seconds)]
    seconds: f64,
    /// Seconds a turn runs before it counts
    #[arg(long, default_value_t = 0.3, value_parser = seconds)]
    warm_up: f64,
    /// The core subjects run on
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// The core the load runs on
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// The load's driver
    #[arg(long, default_value = "epoll")]
    load_io: Driver,
    /// The first port of those the subjects listen on
    #[arg(long, default_value_t = 18_480)]
    port: u16,
    /// How this was called, for the report
    #[arg(long, default_value = "perf bench", value_name = "COMMAND", hide = true)]
    said: String,
    /// The folder that gets `raw/DATE-TIME.json` and `reports/DATE.md`; without it, nothing is written
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Load one server and print what came back.
#[derive(Debug, Args)]
struct LoadArgs {
    /// What is asked for: `http://HOST:PORT/PATH`
    url: String,
    /// Connections at a time
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Requests in one write
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pipeline: u32,
    /// A connection per request
    #[arg(long, conflicts_with = "pipeline")]
    no_keep_alive: bool,
    /// Seconds it counts
    #[arg(short, long, default_value_t = 5.0, value_parser = seconds)]
    duration: f64,
    /// Seconds it runs before it counts
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    warm_up: f64,
    /// The driver
    #[arg(long, default_value = "epoll")]
    io: Driver,
    /// The core it is pinned to
    #[arg(long)]
    core: Option<usize>,
}

/// Answer without reading, until told to stop.
#[derive(Debug, Args)]
struct FloorArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The driver
    #[arg(long, default_value = "epoll")]
    io: Driver,
    /// The core it is pinned to
    #[arg(long)]
    core: Option<usize>,
    /// End each connection after its first answer
    #[arg(long)]
    close: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Driver {
    Epoll,
    Uring,
}

impl From<Driver> for Io {
    fn from(driver: Driver) -> Self {
        match driver {
            Driver::Epoll => Io::Epoll,
            Driver::Uring => Io::Uring,
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is needed".to_owned())?;
    if (0.0..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("0 to 3600 seconds".to_owned()) }
}

fn main() -> ExitCode {
    let _ = limits::raise_descriptors();
    let done = match CommandLine::parse().command {
        Command::Bench(args) => bench(&args),
        Command::Load(args) => load(&args).map(|()| true),
        Command::Floor(args) => floor(&args).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            say(&mut io::stderr(), &format!("perf: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// A reader that has seen enough is no fault.
fn say(to: &mut dyn Write, line: &str) {
    let _ = writeln!(to, "{line}");
}

fn bench(args: &Bench) -> Result<bool, String> {
    let (date, time) = machine::now();
    let machine = Machine::this();
    let method = Method {
        rounds: args.rounds,
        duration: Duration::from_secs_f64(args.seconds),
        warm_up: Duration::from_secs_f64(args.warm_up),
        server_core: args.server_core,
        load_core: args.load_core,
        load_io: args.load_io.into(),
        port: args.port,
    };
    let (subjects, versions) = subjects(args)?;
    let mut outcomes = Vec::new();
    for scenario in scenarios(args)? {
        let mut progress = |line: &str| say(&mut io::stderr(), &format!("{}: {line}", scenario.name));
        let able: Vec<_> = subjects.iter().filter(|subject| subject.can(&Duty::default())).cloned().collect();
        outcomes.push((scenario, scenario.run(&able, &method, &mut progress)?));
    }
    let report = Report {
        date,
        time,
        command: args.said.clone(),
        commit: machine::commit(),
        machine,
        method,
        subjects,
        versions,
        outcomes,
    };
    say(&mut io::stdout(), &report.text());
    if let Some(folder) = &args.out {
        let raw = folder.join("raw").join(format!("{}-{}.json", report.date, report.time.replace(':', "")));
        write(&raw, &format!("{:#}\n", report::json(&report)))?;
        let kept = folder.join("reports").join(format!("{}.md", report.date));
        write(&kept, &report.markdown())?;
    }
    Ok(report.holds())
}

fn write(path: &std::path::Path, text: &str) -> Result<(), String> {
    let fault = |error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fault)?;
    }
    fs::write(path, text).map_err(fault)?;
    say(&mut io::stdout(), &format!("wrote {}", path.display()));
    Ok(())
}

/// Who can be measured here and was asked for, and their versions.
#[expect(clippy::type_complexity, reason = "a pair of lists, used once")]
fn subjects(args: &Bench) -> Result<(Vec<Subject>, Vec<(String, String)>), String> {
    let mut drivers = vec![Io::Epoll];
    match probe_uring() {
        Ok(()) => drivers.push(Io::Uring),
        Err(why) => say(&mut io::stderr(), &format!("io_uring is not measured: {why}")),
    }
    let Found { subjects: mut all, versions, left_out } = Found::here(&args.programs, &drivers);
    for line in left_out {
        say(&mut io::stderr(), &line);
    }
    for name in &args.subject {
        if !all.iter().any(|subject| subject.name() == name) {
            let names: Vec<_> = all.iter().map(Subject::name).collect();
            return Err(format!("there is no subject `{name}` here: {}", names.join(", ")));
        }
    }
    all.retain(|subject| args.subject.is_empty() || args.subject.iter().any(|name| name == subject.name()));
    Ok((all, versions))
}

fn scenarios(args: &Bench) -> Result<Vec<&'static Scenario>, String> {
    if args.scenario.is_empty() {
        return Ok(SCENARIOS.iter().collect());
    }
    let named = args.scenario.iter().map(|name| {
        let names = || SCENARIOS.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
        Scenario::named(name).ok_or_else(|| format!("there is no scenario `{name}`: {}", names()))
    });
    named.collect()
}

fn load(args: &LoadArgs) -> Result<(), String> {
    let (target, path) = target(&args.url)?;
    let plan = Plan {
        path,
        connections: args.connections,
        depth: args.pipeline,
        reuse: if args.no_keep_alive { Reuse::PerRequest } else { Reuse::KeepAlive },
        warm_up: Duration::from_secs_f64(args.warm_up),
        duration: Duration::from_secs_f64(args.duration),
        core: args.core,
        ..Plan::new(target, args.io.into())
    };
    let tally = load::run(&plan, &mut |_| {})?;
    let mut out = io::stdout();
    say(&mut out, &format!("{} answers in {:.2} s, {:.0}/s", tally.answers, tally.elapsed.as_secs_f64(), tally.rate()));
    for (name, part) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)]
    {
        say(&mut out, &format!("{name:<7} {:>10.1} µs", tally.latency_us(part)));
    }
    for fault in Fault::ALL.into_iter().filter(|&fault| tally.faults(fault) > 0) {
        say(&mut out, &format!("{} errors: {}", fault.name(), tally.faults(fault)));
    }
    Ok(())
}

/// The address and the path of a URL.
fn target(url: &str) -> Result<(SocketAddr, String), String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("`{url}` does not begin with http://"))?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let place = if port { authority.to_owned() } else { format!("{authority}:80") };
    let found = place.to_socket_addrs().map_err(|error| format!("{place}: {error}"))?.next();
    Ok((found.ok_or_else(|| format!("{place}: no address"))?, path.to_owned()))
}

fn floor(args: &FloorArgs) -> Result<(), String> {
    let floor = Floor { listen: args.listen, io: args.io.into(), core: args.core, close: args.close };
    let (_sender, mailbox) = mailbox::channel(1);
    floor.serve(&mailbox, |address| say(&mut io::stdout(), &format!("listening on {address}")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_url_is_an_address_and_a_path() {
        assert_eq!(target("http://127.0.0.1:8080/a?b").unwrap(), ("127.0.0.1:8080".parse().unwrap(), "/a?b".into()));
        assert_eq!(target("http://127.0.0.1").unwrap(), ("127.0.0.1:80".parse().unwrap(), "/".into()));
        assert_eq!(target("http://[::1]:81/").unwrap().0, "[::1]:81".parse().unwrap());
        assert!(target("https://127.0.0.1/").is_err());
    }
}
