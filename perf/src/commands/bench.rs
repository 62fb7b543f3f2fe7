//! `perf bench`: all subjects in all scenarios, and the report.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anygate_perf::load::Protocol;
use anygate_perf::machine::{self, Machine};
use anygate_perf::report::{self, Configuration, Facts, Kept, Report};
use anygate_perf::scenario::{self, Method, SCENARIOS, Scenario};
use anygate_perf::server::Folder;
use anygate_perf::subject::{Duty, Found, Programs, Subject, Work};
use anygate_shard::{Io, probe_uring};
use clap::Args;

use super::report::{NOTES, RAW, draw, write};
use crate::{Driver, say, seconds};

/// A turn of a quick look, in seconds.
const QUICK_SECONDS: f64 = 0.1;

/// Measure all subjects in all scenarios, and write the report.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    programs: Programs,
    /// Only this scenario; may be given several times
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// What the report is about, in a word, where that is not everything: `reports/DATE-WORD.md`
    #[arg(long, value_name = "WORD")]
    about: Option<String>,
    /// Only this subject; may be given several times
    #[arg(long, value_name = "NAME")]
    subject: Vec<String>,
    /// One round of very short turns with fewer connections: shows that everything works, and measures nothing
    #[arg(long)]
    quick: bool,
    /// How often each subject has its turn, instead of what each scenario says
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Seconds a turn counts, instead of what each scenario says
    #[arg(long, value_parser = seconds)]
    seconds: Option<f64>,
    /// Seconds a turn runs before it counts
    #[arg(long, default_value_t = 0.2, value_parser = seconds)]
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
    /// The folder that gets `raw/DATE-TIME.json`, `reports/DATE.md` and `reports/DATE/`; without it, nothing is written
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// True when every goal that was measured holds, which a quick look cannot tell, and nothing failed.
pub(crate) fn run(args: &Bench) -> Result<bool, String> {
    let (date, time) = machine::now();
    // Before anything runs, for its load average.
    let machine = Machine::this();
    let method = method(args);
    let found = found(args)?;
    let files = Folder::new("files")?;
    scenario::write_files(files.path())?;
    let mut report = Report {
        date,
        time,
        about: args.about.clone(),
        command: without_folders(&args.said),
        commit: machine::commit(),
        machine,
        method: Facts::from(&method),
        versions: found.versions.clone(),
        left_out: found.left_out.clone(),
        configurations: configurations(&found.subjects, &method),
        outcomes: Vec::new(),
    };
    let mut failed = false;
    for scenario in scenarios(&args.scenario)? {
        let mut progress = |line: &str| say(&mut io::stderr(), &format!("{}: {line}", scenario.name));
        let outcome = scenario.run(&found.subjects, files.path(), &method, &mut report.left_out, &mut progress);
        match outcome {
            Ok(Some(outcome)) => report.outcomes.push(Kept { scenario: scenario.name.to_owned(), outcome }),
            Ok(None) => progress("nobody here can do it"),
            // What takes half an hour does not end for one of many.
            Err(error) => {
                failed = true;
                progress(&error);
                let first = error.lines().next().unwrap_or_default();
                report.left_out.push(format!("{} could not be measured: {first}", scenario.name));
            }
        }
    }
    say(&mut io::stdout(), &report.text());
    if let Some(folder) = &args.out {
        let name = format!("{}-{}.json", report.date, report.time.replace(':', ""));
        let raw = folder.join(RAW).join(name);
        write(&raw, &report::write(&report)?)?;
        // From what is kept, so that the same report comes from it again.
        draw(&report::read(&raw)?, folder, &folder.join(NOTES))?;
    }
    Ok((report.holds() || args.quick) && !failed)
}

/// A command line with files named by their names: where they are is nobody else's business.
fn without_folders(said: &str) -> String {
    let word = |word: &str| match word.strip_prefix('/').and_then(|path| path.rsplit('/').next()) {
        Some(name) => format!("…/{name}"),
        None => word.to_owned(),
    };
    said.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn method(args: &Bench) -> Method {
    let quick = |usual: f64| if args.quick { usual.min(QUICK_SECONDS) } else { usual };
    let seconds = args.seconds.or(args.quick.then_some(QUICK_SECONDS));
    Method {
        rounds: args.rounds.or(args.quick.then_some(1)),
        duration: seconds.map(Duration::from_secs_f64),
        warm_up: Duration::from_secs_f64(quick(args.warm_up)),
        quick: args.quick,
        server_core: args.server_core,
        load_core: args.load_core,
        load_io: args.load_io.into(),
        port: args.port,
    }
}

/// Who can be measured here and was asked for.
fn found(args: &Bench) -> Result<Found, String> {
    let mut drivers = vec![Io::Epoll];
    let uring = probe_uring();
    drivers.extend(uring.is_ok().then_some(Io::Uring));
    let mut found = Found::here(&args.programs, &drivers);
    found.left_out.extend(uring.err().map(|why| format!("io_uring is not measured: {why}")));
    for line in &found.left_out {
        say(&mut io::stderr(), line);
    }
    for name in &args.subject {
        if !found.subjects.iter().any(|subject| subject.name() == name) {
            let names: Vec<_> = found.subjects.iter().map(Subject::name).collect();
            return Err(format!("there is no subject `{name}` here: {}", names.join(", ")));
        }
    }
    found.subjects.retain(|subject| args.subject.is_empty() || args.subject.iter().any(|name| name == subject.name()));
    Ok(found)
}

fn scenarios(names: &[String]) -> Result<Vec<&'static Scenario>, String> {
    if names.is_empty() {
        return Ok(SCENARIOS.iter().collect());
    }
    let named = names.iter().map(|name| {
        let all = || SCENARIOS.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
        Scenario::named(name).ok_or_else(|| format!("there is no scenario `{name}`: {}", all()))
    });
    named.collect()
}

/// How everybody is configured for each work, as a reader would type it.
fn configurations(subjects: &[Subject], method: &Method) -> Vec<Configuration> {
    let listen = |at: u16| ([127, 0, 0, 1], method.port + at).into();
    let works = [
        ("a fixed answer", Duty::default()),
        ("three of many routes", Duty { routes: 3, ..Duty::default() }),
        ("files", Duty { work: Work::Files { root: Path::new("FILES").to_owned() }, ..Duty::default() }),
        ("passing on", Duty { work: Work::Proxy { origin: listen(0) }, ..Duty::default() }),
        ("a fixed answer over TLS", Duty { tls: true, ..Duty::default() }),
        ("a fixed answer in HTTP/2", Duty { protocol: Protocol::Http2, ..Duty::default() }),
        ("a fixed answer in HTTP/2 over TLS", Duty { tls: true, protocol: Protocol::Http2, ..Duty::default() }),
    ];
    let mut all = Vec::new();
    for (work, duty) in works {
        for (subject, at) in subjects.iter().zip(1..).filter(|(subject, _)| subject.can(&duty)) {
            let text = subject.configuration(listen(at), method.server_core, &duty);
            all.push(Configuration { work: work.to_owned(), name: subject.name().to_owned(), text });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_kept_without_folders() {
        let said = without_folders("cargo xtask bench --rounds 3 --nginx /opt/peers/nginx-1.31");
        assert_eq!(said, "cargo xtask bench --rounds 3 --nginx …/nginx-1.31");
    }
}
