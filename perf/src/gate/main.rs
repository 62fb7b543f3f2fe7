//! How many instructions does a request take, and is that more than the number kept in the repository?
#![forbid(unsafe_code)]

mod callgrind;
mod counted;
mod exchange;
mod kept;
mod loops;
mod streams;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use callgrind::Callgrind;
use counted::{COUNTED, Counted};
use kept::{Kept, Verdict};

/// Counts the instructions of a request under callgrind, and compares them with those that are kept.
#[derive(Debug, Parser)]
#[command(name = "gate", version, disable_help_subcommand = true, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count, and compare or write
    Count(Count),
    /// Run one of the loops that are counted
    Loop {
        /// Which
        name: String,
        /// How often
        times: u64,
    },
}

#[derive(Debug, clap::Args)]
struct Count {
    /// AnyGate's binary
    #[arg(long, value_name = "FILE")]
    anygate: PathBuf,
    /// The library that stands in for system calls valgrind does not know
    #[arg(long, value_name = "FILE")]
    calls: PathBuf,
    /// The file with the counts that are kept
    #[arg(long, value_name = "FILE")]
    kept: PathBuf,
    /// Write the counts to that file instead of comparing
    #[arg(long)]
    update: bool,
    /// Only this count; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave callgrind's files in this folder, for `callgrind_annotate`
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match CommandLine::parse().command {
        Command::Count(args) => count(&args),
        Command::Loop { name, times } => loops::run(&name, times).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            say(&mut io::stderr(), &format!("gate: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// A reader that has seen enough is no fault.
fn say(to: &mut dyn Write, line: &str) {
    let _ = writeln!(to, "{line}");
}

fn count(args: &Count) -> Result<bool, String> {
    let mut out = io::stdout();
    if let Some(why) = incomparable() {
        say(&mut out, &format!("not counted: {why}"));
        return Ok(true);
    }
    let kept = match fs::read_to_string(&args.kept) {
        Ok(text) => Kept::read(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
        Err(error) => return Err(format!("{}: {error}", args.kept.display())),
    };
    let chosen: Vec<&Counted> =
        COUNTED.iter().filter(|c| args.only.is_empty() || args.only.iter().any(|name| name == c.name)).collect();
    if let Some(name) = args.only.iter().find(|name| COUNTED.iter().all(|c| c.name != name.as_str())) {
        let names: Vec<&str> = COUNTED.iter().map(|c| c.name).collect();
        return Err(format!("there is no count `{name}`: {}", names.join(", ")));
    }
    let callgrind = Callgrind::new(args.anygate.clone(), args.calls.clone(), args.keep.clone())?;
    let mut now = Kept::default();
    let mut grown = Vec::new();
    let mut shrunk = Vec::new();
    for counted in chosen {
        let before = kept.get(counted.name);
        let mut count = counted.count(&callgrind)?;
        // What came in another order than usual can cost more, but not twice in a row.
        if before.is_some_and(|before| kept::judge(before, count) == Verdict::Grown) {
            count = count.min(counted.count(&callgrind)?);
        }
        let (line, verdict) = kept::line(counted.name, before, count);
        say(&mut out, &line);
        match verdict {
            Verdict::Grown | Verdict::New => grown.push(counted.name),
            Verdict::Shrunk => shrunk.push(counted.name),
            Verdict::Same => {}
        }
        now.set(counted.name, count);
    }
    if args.update {
        let mut whole = if args.only.is_empty() { Kept::default() } else { kept };
        whole.take(now);
        fs::write(&args.kept, whole.text(&COUNTED.map(|c| (c.name, c.means))))
            .map_err(|error| format!("{}: {error}", args.kept.display()))?;
        say(&mut out, &format!("wrote {}", args.kept.display()));
        return Ok(true);
    }
    let stale: Vec<&str> = kept.names().filter(|name| COUNTED.iter().all(|c| c.name != *name)).collect();
    say(&mut out, &kept::advice(&shown(&args.kept), &grown, &shrunk, &stale));
    Ok(grown.is_empty() && stale.is_empty())
}

fn shown(path: &Path) -> String {
    let parts: Vec<_> = path.iter().rev().take(2).map(|part| part.to_string_lossy().into_owned()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

/// Why counts of this machine cannot be held against those that are kept.
fn incomparable() -> Option<String> {
    if std::env::consts::ARCH != "x86_64" {
        return Some(format!("the counts that are kept are for x86_64, this is {}", std::env::consts::ARCH));
    }
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has = flags.split_whitespace().any(|flag| flag == "avx2");
    (!has).then(|| "valgrind passes on that this processor has no AVX2, which search and parsing use".to_owned())
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
    fn a_path_is_shown_by_its_last_two_parts() {
        assert_eq!(shown(Path::new("/a/b/perf/instructions.toml")), "perf/instructions.toml");
        assert_eq!(shown(Path::new("x")), "x");
    }
}
