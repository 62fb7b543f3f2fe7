//! `perf load`: one load on one server, and what came back.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anygate_perf::load::{self, Fault, Plan, Reuse};
use clap::Args;

use crate::{Driver, say, seconds};

/// Load one server and print what came back.
#[derive(Debug, Args)]
pub(crate) struct Load {
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

/// Runs the load.
pub(crate) fn run(args: &Load) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_address_and_a_path() {
        assert_eq!(target("http://127.0.0.1:8080/a?b").unwrap(), ("127.0.0.1:8080".parse().unwrap(), "/a?b".into()));
        assert_eq!(target("http://127.0.0.1").unwrap(), ("127.0.0.1:80".parse().unwrap(), "/".into()));
        assert_eq!(target("http://[::1]:81/").unwrap().0, "[::1]:81".parse().unwrap());
        assert!(target("https://127.0.0.1/").is_err());
    }
}
