//! `perf flood`: handshakes that are begun and never ended.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anygate_perf::identity;
use anygate_perf::load::{self, Flood, Tls};

use crate::{Driver, say, seconds};

/// Begin TLS handshakes at a fixed rate and end none of them; prints how many were begun, and how many answered.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Who is flooded
    #[arg(long, value_name = "ADDRESS")]
    to: SocketAddr,
    /// Handshakes begun a second
    #[arg(long)]
    rate: f64,
    /// How long
    #[arg(long, default_value = "10", value_parser = seconds)]
    seconds: f64,
    /// The driver
    #[arg(long, default_value = "epoll")]
    io: Driver,
    /// The core it is pinned to
    #[arg(long)]
    core: Option<usize>,
}

/// Always true: whatever the server does is right.
pub(crate) fn run(args: &Args) -> Result<bool, String> {
    let seen = load::flood(&Flood {
        target: args.to,
        tls: Tls { name: identity::NAME.to_owned(), ..Tls::default() },
        rate: args.rate,
        duration: Duration::from_secs_f64(args.seconds),
        io: args.io.into(),
        core: args.core,
    })?;
    say(&mut io::stdout(), &format!("{} {}", seen.begun, seen.answered));
    Ok(true)
}
