//! `perf crowd`: fast clients beside ten thousand slow ones.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anygate_perf::floor::Driver;
use anygate_perf::soak::{Crowd, Crowded};

use crate::{say, seconds};

/// Measure how long fast clients wait beside thousands of slow ones
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// AnyGate's binary
    #[arg(long, value_name = "FILE")]
    anygate: PathBuf,
    /// Its driver
    #[arg(long, default_value = "uring")]
    io: Driver,
    /// Slow connections
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    connections: usize,
    /// Take out the limits on slow clients, so that nobody is sent away
    #[arg(long)]
    held: bool,
    /// How often both are measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds each measurement counts
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// Requests of fast clients in a second
    #[arg(long, default_value_t = 2000.0)]
    rate: f64,
    /// Connections of fast clients
    #[arg(long, default_value_t = 32)]
    fast: u32,
    /// AnyGate's core
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// The core of everybody else
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// The first of two ports
    #[arg(long, default_value_t = 18_440)]
    port: u16,
    /// Write all figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Slow connections, until it is told to stop
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Slow {
    /// The server
    #[arg(long)]
    target: SocketAddr,
    /// How many
    #[arg(long)]
    connections: usize,
    /// The core
    #[arg(long)]
    core: Option<usize>,
    /// Whether nobody leaves by himself
    #[arg(long)]
    held: bool,
}

/// True when the goal holds.
pub(crate) fn run(args: &Args) -> Result<bool, String> {
    let crowded = Crowded {
        program: args.anygate.clone(),
        io: args.io.into(),
        connections: args.connections,
        held: args.held,
        rounds: args.rounds,
        duration: Duration::from_secs_f64(args.seconds),
        rate: args.rate,
        fast: args.fast,
        server_core: args.server_core,
        load_core: args.load_core,
        port: args.port,
    };
    let outcome = crowded.run(&mut |line| say(&mut io::stderr(), line))?;
    say(&mut io::stdout(), &outcome.text());
    if let Some(file) = &args.json {
        super::write_json(file, &outcome)?;
    }
    Ok(outcome.failures().is_empty())
}

/// Never ends by itself.
pub(crate) fn slow(args: &Slow) -> Result<bool, String> {
    let crowd = Crowd { target: args.target, connections: args.connections, core: args.core, held: args.held };
    crowd.stay(&mut |held, away| say(&mut io::stdout(), &format!("{held} {away}")))?;
    Ok(true)
}
