//! Does the client of the h2 crate get from our HTTP/2 server every answer as it was given, whatever windows, frames and
//! tables it allows, and does every request come whole to the server?
//!
//! An input is what both sides are like, and then requests with their answers ([`plan`]).

mod client;
mod plan;
mod server;

use std::io::{Write, stderr};

use client::Client;
use plan::Plan;
use server::Server;

use crate::h2_pipe::Pipe;

/// Turns after which nothing moves any more unless something is wrong.
const MOST_TURNS: u32 = 20_000;
/// Turns in which nothing was said by either side, at most: somebody waits that long.
const MOST_QUIET_TURNS: u32 = 300;
/// Turns until both have left.
const MOST_LAST_TURNS: u32 = 50;

/// One input.
pub fn run(data: &[u8]) {
    let plan = Plan::of(data);
    let show = std::env::var_os("ANYGATE_FUZZ_SHOW").is_some();
    if show {
        let _ = writeln!(stderr(), "{plan:#?}");
    }
    let pipe = Pipe::new(plan.step);
    let mut client = Client::new(&plan, pipe.clone());
    let mut server = Server::new(&plan);
    let (mut turns, mut quiet) = (0, 0);
    while !(client.is_done() && server.is_done()) {
        client.turn(&plan);
        let said = pipe.take();
        server.turn(&plan, &said);
        let answered = server.take(plan.most_written);
        if show && !(said.is_empty() && answered.is_empty()) {
            let _ = writeln!(stderr(), "{turns}: {}\n  -> {}", shortly(&said), shortly(&answered));
        }
        pipe.give(&answered);
        turns += 1;
        quiet = if said.is_empty() && answered.is_empty() { quiet + 1 } else { 0 };
        if turns == MOST_TURNS || quiet == MOST_QUIET_TURNS {
            panic!("after {turns} turns somebody waits: {client:?}\n{server:?}\n{plan:?}");
        }
    }
    client.judge(&plan);
    server.judge(&plan);
    // The way out: GOAWAY twice, and the client is gone.
    server.leave();
    for _ in 0..MOST_LAST_TURNS {
        if server.is_drained() && client.is_gone() {
            return;
        }
        client.turn(&plan);
        server.turn(&plan, &pipe.take());
        pipe.give(&server.take(usize::MAX));
    }
    panic!("not gone: {client:?}\n{server:?}\n{plan:?}");
}

fn shortly(bytes: &[u8]) -> String {
    let shown = crate::shown(&bytes[..bytes.len().min(120)]);
    format!("{} bytes {shown}", bytes.len())
}
