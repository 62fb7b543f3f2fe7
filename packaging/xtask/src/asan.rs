//! Does the runtime touch memory that is not its own, or keep what it should give back? Its tests under the address
//! sanitizer and the leak sanitizer.
//!
//! Buffers that were given back are poisoned in this build, so that their use is seen although they stay mapped.

use crate::repo;

/// Where the build lies, apart from others: the sanitizer changes every object.
const FOLDER: &str = "asan";
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Shards that are dropped, for each driver: in a whole run, and in a smoke run.
const SEEDS: u32 = 200;
const SMOKE_SEEDS: u32 = 20;

/// Arguments of `cargo xtask asan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Shards to drop with everything under way, for each driver [default: 200, or 20 of a smoke run]
    #[arg(long, value_name = "N")]
    seeds: Option<u32>,
    /// For CI: the unit tests alone, among them fewer shards dropped
    #[arg(long, conflicts_with = "serve")]
    smoke: bool,
    /// The server's tests too, which are not looked through for leaks
    #[arg(long)]
    serve: bool,
    /// Only tests whose name contains this, such as `teardown`
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

/// Builds and runs the tests. The compiler is the pinned one: the switch it keeps for nightlies is opened for this build.
pub(crate) fn run(args: &Args) -> Result<(), String> {
    tests("anygate-shard", "detect_leaks=1", args)?;
    if args.serve {
        // These tests end while threads they left to themselves still hold memory.
        tests("anygate-serve", "detect_leaks=0", args)?;
    }
    Ok(())
}

fn tests(package: &str, leaks: &str, args: &Args) -> Result<(), String> {
    let mut command = repo::cargo();
    command.args(["test", "--locked", "--target", TARGET, "-p", package, "--lib"]);
    if !args.smoke {
        command.arg("--tests");
    }
    command.arg("--target-dir").arg(repo::target().join(FOLDER));
    // The model runs each of its threads on a stack of its own, which the sanitizer takes for a fault.
    command.args(["--", "--skip", "model::"]).args(&args.filter);
    command.env("RUSTC_BOOTSTRAP", "1");
    command.env("RUSTFLAGS", "-Zsanitizer=address --cfg anygate_asan");
    command.env("ASAN_OPTIONS", format!("{leaks}:detect_stack_use_after_return=1"));
    let seeds = args.seeds.unwrap_or(if args.smoke { SMOKE_SEEDS } else { SEEDS });
    command.env("ANYGATE_TEARDOWN_SEEDS", seeds.to_string());
    println!("{}", repo::shown(&command));
    repo::run(command)
}
