//! The way into [`anygate_fuzz::random`]: `random TARGET COUNT SEED THREADS FOLDER`, or `random show TARGET FILE`.
//! Exit codes: 0 no difference, 1 differences, 2 wrong words.

use std::env;
use std::io::{Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use anygate_fuzz::random::{Order, run, show};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["show", target, file] => show(target, Path::new(file)).map(|()| (String::new(), true)),
        _ => Order::read(words.into_iter()).and_then(|order| run(&order)),
    };
    match done {
        Ok((report, fine)) => {
            let _ = stdout().write_all(report.as_bytes());
            if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            let _ = writeln!(stderr(), "{error}");
            ExitCode::from(2)
        }
    }
}
