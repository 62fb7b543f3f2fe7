//! `perf soak`: every kind of client at once, reloads and dying servers, and whether anything fails.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anygate_perf::floor::Driver;
use anygate_perf::soak::{self, Soak, Until};

use crate::{say, seconds};

/// Seconds of a look whether everything works.
const SMOKE: f64 = 6.0;

/// Let all kinds of clients at AnyGate at once, check every byte, reload, kill servers behind, and watch memory
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// AnyGate's binary
    #[arg(long, value_name = "FILE")]
    anygate: PathBuf,
    /// Its driver
    #[arg(long, default_value = "uring")]
    io: Driver,
    /// The cores it runs on
    #[arg(long, default_value = "all")]
    cores: String,
    /// How long it takes
    #[arg(long, default_value_t = 30.0, value_name = "N")]
    minutes: f64,
    /// A look of 6 seconds whether everything works, with reloads and deaths close together
    #[arg(long, conflicts_with = "minutes")]
    smoke: bool,
    /// Reload so many times, with clients and servers that all keep to the rules, and end
    #[arg(long, value_name = "N", conflicts_with_all = ["minutes", "smoke"])]
    reloads: Option<u64>,
    /// Seconds between two reloads; 0.05 with --reloads
    #[arg(long, value_parser = seconds)]
    reload_every: Option<f64>,
    /// So many times the usual clients
    #[arg(long, default_value_t = 1, value_name = "N")]
    times: u32,
    /// Milliseconds a client pauses at most between two acts
    #[arg(long, default_value_t = 20, value_name = "MS")]
    pause: u64,
    /// Write all figures, every second's sample among them, to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The server behind of a soak, until it is told to stop
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Behind {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
}

/// True when nothing failed.
pub(crate) fn run(args: &Args) -> Result<bool, String> {
    let usual = match args.reloads {
        Some(_) => 0.05,
        None if args.smoke => 1.0,
        None => 3.0,
    };
    let death_every = if args.smoke { 1 } else { 7 };
    let minutes = if args.smoke { SMOKE / 60.0 } else { args.minutes };
    let soak = Soak {
        program: args.anygate.clone(),
        io: args.io.into(),
        cores: args.cores.clone(),
        until: args.reloads.map_or(Until::Time(Duration::from_secs_f64(minutes * 60.0)), Until::Reloads),
        reload_every: Duration::from_secs_f64(args.reload_every.unwrap_or(usual)),
        death_every: args.reloads.is_none().then_some(Duration::from_secs(death_every)),
        rude: args.reloads.is_none(),
        crowd: args.times,
        pause: Duration::from_millis(args.pause),
    };
    let report = soak::run(&soak, &|line| say(&mut io::stderr(), line))?;
    say(&mut io::stdout(), &report.text());
    if let Some(file) = &args.json {
        super::write_json(file, &report)?;
    }
    Ok(report.failures().is_empty())
}

/// Never ends by itself.
pub(crate) fn behind(args: &Behind) -> Result<bool, String> {
    soak::serve(args.listen, |address| say(&mut io::stdout(), &format!("listening on {address}")))?;
    Ok(true)
}
