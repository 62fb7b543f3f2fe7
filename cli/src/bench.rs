//! `anygate bench`: how fast is a server?

use std::cell::Cell;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anygate_core::config::{CoreList, Io};
use anygate_perf::bench::{self, Driver, Measured, Order, Progress, Url, quantity};
use anygate_perf::load::{Protocol, Versions};
use anygate_shard::cores;
use anygate_shard::signals::Signals;
use clap::Args;

use crate::report;

const EXIT_CODES: &str = "\
Exit codes:
  0  it was measured, every request was answered, and the rate was held
  1  it was measured, but requests failed or the rate was not held; or nothing could be written
  2  the command line was not understood
  3  it could not begin: nobody answers there, the name is not found, a core is not there, a limit is too low";

const EXAMPLES: &str = "\
Examples:
  anygate bench http://127.0.0.1:8080/ --rate 20k --duration 30s
  anygate bench localhost:8080/api -c 256 -H 'Authorization: Bearer x' --json=api.json
  anygate bench http://10.0.0.7/upload --body-size 1MiB --io epoll --cores 2,3
  anygate bench https://localhost:8443/ --no-keep-alive --no-resumption
  anygate bench https://localhost:8443/ --h2 -c 16 --pipeline 32";

/// Measure how fast a server answers: requests a second, latency, errors.
///
/// With --rate, requests come due at fixed times, whatever the server does, and latency counts from when a request was due
/// (open loop: what users meet). Without it, each connection asks again as soon as it is answered (closed loop: the most the
/// server can do). Ctrl-C ends early and still prints.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Bench {
    /// Whom to ask for what: `http://host:port/path?query`, or `https://`
    #[arg(value_name = "URL", value_parser = str::parse::<Url>)]
    url: Url,
    /// Requests a second over all connections: `500`, `20k`, `1.5M`
    #[arg(short = 'R', long, value_name = "RATE", value_parser = quantity::rate)]
    rate: Option<f64>,
    /// Connections that are open at a time
    #[arg(short, long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// How long it counts: `500ms`, `10s`, `1m30s`
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = positive)]
    duration: Duration,
    /// How long it runs before that
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = quantity::duration)]
    warm_up: Duration,
    /// Speak HTTP/2: as is agreed on over TLS, and without TLS because the server is known to speak it
    #[arg(long, conflicts_with_all = ["body", "body_size"])]
    h2: bool,
    /// Requests on a connection that are not answered yet; in HTTP/2, streams at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pipeline: u32,
    /// Use each connection for one request
    #[arg(long, alias = "disable-keepalive", conflicts_with = "pipeline")]
    no_keep_alive: bool,
    /// Believe any certificate; on loopback every one is believed
    #[arg(short = 'k', long)]
    insecure: bool,
    /// Speak this version of TLS alone
    #[arg(long, value_name = "1.2|1.3", value_parser = version)]
    tls: Option<Versions>,
    /// Begin every connection with a full handshake, where those of TLS else go on with earlier sessions
    #[arg(long)]
    no_resumption: bool,
    /// Offer the key exchange X25519MLKEM768 first
    #[arg(long)]
    post_quantum: bool,
    /// The method; GET, or POST with a body, unless given
    #[arg(short, long, value_name = "METHOD", value_parser = method)]
    method: Option<String>,
    /// A header field of each request, such as `Accept: text/html`; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<String>,
    /// The body of each request: a text, or with `@` a file's content
    #[arg(long, value_name = "TEXT|@FILE", conflicts_with = "body_size")]
    body: Option<String>,
    /// Send a body of this size with each request: `512`, `64KiB`, `1MiB`
    #[arg(long, value_name = "SIZE", default_value = "0", hide_default_value = true, value_parser = quantity::size)]
    body_size: u64,
    /// Give a connection up on which nothing moves for so long
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = positive)]
    timeout: Duration,
    /// How to talk to the kernel: `auto` takes io_uring and falls back to epoll; with `uring` there is no fallback
    #[arg(long, value_name = "auto|uring|epoll", default_value = "auto")]
    io: Io,
    /// Ask from these processors, one thread each: `all`, `0-7`, `0,2,4-6`; without it, from one thread anywhere
    #[arg(long, value_name = "LIST")]
    cores: Option<CoreList>,
    /// Print JSON instead of text; with a file name, write it there and print the text
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    json: Option<Option<PathBuf>>,
}

pub(crate) fn run(arguments: Bench) -> ExitCode {
    let json = arguments.json.clone();
    let ended = order(arguments).and_then(|order| {
        let signals = Signals::block().map_err(|error| format!("signals: {error}"))?;
        let stopped = Cell::new(false);
        let interrupted = || {
            stopped.set(stopped.get() || !matches!(signals.take(), Ok(None)));
            stopped.get()
        };
        let line = Line { terminal: io::stderr().is_terminal() };
        let ended = bench::run(&order, &mut |progress| line.show(progress), &interrupted);
        line.clear();
        ended
    });
    match ended {
        Ok(measured) => tell(&measured, json.as_ref()),
        Err(why) => {
            report::complain(&why);
            report::CANNOT_START.into()
        }
    }
}

fn order(arguments: Bench) -> Result<Order, String> {
    let body = match arguments.body.as_deref().map(|body| (body, body.strip_prefix('@'))) {
        Some((_, Some(file))) => Some(fs::read(file).map_err(|error| format!("{file}: {error}"))?),
        Some((text, None)) => Some(text.as_bytes().to_vec()),
        None => None,
    };
    let cores = match arguments.cores {
        None => Vec::new(),
        Some(list) => chosen(list)?,
    };
    Ok(Order {
        url: arguments.url,
        method: arguments.method,
        headers: arguments.headers,
        protocol: if arguments.h2 { Protocol::Http2 } else { Protocol::Http1 },
        versions: arguments.tls.unwrap_or_default(),
        resume: !arguments.no_resumption,
        post_quantum: arguments.post_quantum,
        insecure: arguments.insecure,
        body,
        body_size: arguments.body_size,
        connections: arguments.connections,
        pipeline: arguments.pipeline,
        per_request: arguments.no_keep_alive,
        rate: arguments.rate,
        warm_up: arguments.warm_up,
        duration: arguments.duration,
        timeout: arguments.timeout,
        driver: match arguments.io {
            Io::Auto => Driver::Auto,
            Io::Uring => Driver::Uring,
            Io::Epoll => Driver::Epoll,
        },
        cores,
    })
}

/// The cores of a list, all of which are there.
fn chosen(list: CoreList) -> Result<Vec<usize>, String> {
    let allowed = cores::allowed().map_err(|error| format!("the cores of this machine: {error}"))?;
    let CoreList::These(chosen) = list else { return Ok(allowed) };
    match chosen.iter().find(|core| !allowed.contains(core)) {
        Some(core) => Err(format!("core {core} is not there; there are {}", CoreList::These(allowed))),
        None => Ok(chosen),
    }
}

/// Prints what was measured.
fn tell(measured: &Measured, json: Option<&Option<PathBuf>>) -> ExitCode {
    let written = match json {
        None => Ok(measured.to_string()),
        Some(None) => Ok(format!("{:#}\n", measured.json())),
        Some(Some(file)) => match fs::write(file, format!("{:#}\n", measured.json())) {
            Ok(()) => Ok(measured.to_string()),
            Err(error) => Err((measured.to_string(), format!("{}: {error}", file.display()))),
        },
    };
    let well = match written {
        Ok(text) => {
            report::say(&text);
            measured.is_well()
        }
        Err((text, why)) => {
            report::say(&text);
            report::complain(&why);
            false
        }
    };
    if well { report::OK } else { report::REFUSED.into() }
}

/// The line on standard error that tells how it goes, on a terminal alone.
struct Line {
    terminal: bool,
}

impl Line {
    fn show(&self, progress: &Progress) {
        if self.terminal {
            // Nobody is left to tell when standard error is gone.
            let _ = write!(io::stderr(), "\r\u{1b}[K{progress}");
        }
    }

    fn clear(&self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

fn positive(text: &str) -> Result<Duration, String> {
    match quantity::duration(text)? {
        Duration::ZERO => Err("it takes more than no time".into()),
        duration => Ok(duration),
    }
}

fn version(text: &str) -> Result<Versions, String> {
    match text {
        "1.2" => Ok(Versions::Tls12),
        "1.3" => Ok(Versions::Tls13),
        _ => Err("1.2 and 1.3 are spoken".into()),
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn method(text: &str) -> Result<String, String> {
    match text {
        "CONNECT" => Err("a tunnel cannot be measured".into()),
        _ if is_token(text) => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is no method")),
    }
}

fn header(text: &str) -> Result<String, String> {
    const OWN: [&str; 3] = ["content-length", "transfer-encoding", "connection"];
    let (name, value) =
        text.split_once(':').ok_or_else(|| format!("`{text}` is no header field: write `Name: value`"))?;
    if !is_token(name) || value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(format!("`{}` is no header field: write `Name: value`", text.escape_debug()));
    }
    if OWN.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!("`{name}` is set by the load itself: see --body-size and --no-keep-alive"));
    }
    Ok(format!("{name}: {}", value.trim()))
}
