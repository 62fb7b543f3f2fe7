//! How are findings told: to a person as paragraphs, to a program as JSON?

use std::fmt::Write;

use serde_json::{Value, json};

use super::finding::{Finding, Verdict};
use crate::report::plural;

/// Longest line.
const WIDTH: usize = 100;
/// Where what is said of a finding begins.
const INDENT: usize = 9;

/// Paragraphs, the worst first; what is well has a line each.
pub(super) fn text(headline: &str, findings: &[Finding], colour: bool) -> String {
    let paint = |verdict: Verdict, word: String| match (colour, verdict) {
        (false, _) => word,
        (true, Verdict::Problem) => format!("\u{1b}[1;31m{word}\u{1b}[0m"),
        (true, Verdict::Advice) => format!("\u{1b}[1;33m{word}\u{1b}[0m"),
        (true, Verdict::Unknown) => format!("\u{1b}[1m{word}\u{1b}[0m"),
        (true, Verdict::Ok) => format!("\u{1b}[32m{word}\u{1b}[0m"),
    };
    let mut out = format!("{headline}\n");
    let column = findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or(0) + 2;
    for verdict in Verdict::ALL {
        let some: Vec<&Finding> = findings.iter().filter(|finding| finding.verdict == verdict).collect();
        if !some.is_empty() {
            out.push('\n');
        }
        for finding in some {
            let word = paint(verdict, format!("{:<INDENT$}", verdict.name()));
            if finding.why.is_empty() {
                let lines = wrapped(&finding.found, WIDTH - INDENT - column);
                let _ = writeln!(out, "{word}{:<column$}{}", finding.check, lines[0]);
                for line in &lines[1..] {
                    let _ = writeln!(out, "{:indent$}{line}", "", indent = INDENT + column);
                }
                continue;
            }
            let _ = writeln!(out, "{word}{}", finding.check);
            labelled(&mut out, "found", &finding.found);
            labelled(&mut out, "why", &finding.why);
            for (at, fix) in finding.fixes.iter().enumerate() {
                // A command is copied, so it is never broken.
                let _ = writeln!(out, "{:INDENT$}{:<7}{fix}", "", if at == 0 { "fix" } else { "" });
            }
            if let Some(preset) = finding.preset {
                let _ = writeln!(out, "{:INDENT$}{:<7}packaging/tuning/{preset}", "", "always");
            }
            out.push('\n');
        }
        if out.ends_with("\n\n") {
            out.pop();
        }
    }
    let _ = writeln!(out, "\n{}", summary(findings));
    out
}

fn labelled(out: &mut String, label: &str, text: &str) {
    for (at, line) in wrapped(text, WIDTH - INDENT - 7).iter().enumerate() {
        let _ = writeln!(out, "{:INDENT$}{:<7}{line}", "", if at == 0 { label } else { "" });
    }
}

/// `1 problem, 2 pieces of advice, 3 unknown, 20 ok`.
fn summary(findings: &[Finding]) -> String {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let advice = match count(Verdict::Advice) {
        1 => "1 piece of advice".to_owned(),
        n => format!("{n} pieces of advice"),
    };
    let problems = plural(count(Verdict::Problem), "problem");
    format!("{problems}, {advice}, {} unknown, {} ok", count(Verdict::Unknown), count(Verdict::Ok))
}

/// The words of `text` in lines of at most `width` characters, at least one.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Everything, in the order it was looked at.
pub(super) fn json(findings: &[Finding]) -> Value {
    let one = |finding: &Finding| {
        json!({
            "check": finding.check,
            "verdict": finding.verdict.name(),
            "found": finding.found,
            "why": finding.why,
            "fix": finding.fixes,
            "preset": finding.preset.map(|file| format!("packaging/tuning/{file}")),
        })
    };
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let counts: serde_json::Map<String, Value> =
        Verdict::ALL.into_iter().map(|verdict| (verdict.name().to_owned(), count(verdict).into())).collect();
    json!({"counts": counts, "findings": findings.iter().map(one).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::ok("open files", "plenty"),
            Finding::advice("clock", "hpet", "every look at it is a system call").fix("echo tsc > x").fix("second"),
            Finding::problem("accept queue", "it is 128", "bursts are dropped")
                .fix("sysctl -w a=1")
                .preset("sysctl.d/a"),
            Finding::unknown("turbo", "the host decides"),
        ]
    }

    #[test]
    fn the_worst_comes_first_and_everything_is_aligned() {
        let said = text("AnyGate looks", &findings(), false);
        expect_test::expect![[r#"
            AnyGate looks

            problem  accept queue
                     found  it is 128
                     why    bursts are dropped
                     fix    sysctl -w a=1
                     always packaging/tuning/sysctl.d/a

            advice   clock
                     found  hpet
                     why    every look at it is a system call
                     fix    echo tsc > x
                            second

            unknown  turbo         the host decides

            ok       open files    plenty

            1 problem, 1 piece of advice, 1 unknown, 1 ok
        "#]]
        .assert_eq(&said);
        assert!(text("", &findings(), true).contains("\u{1b}[1;31mproblem  \u{1b}[0m"));
    }

    #[test]
    fn long_lines_are_broken_and_commands_are_not() {
        let long = "word ".repeat(60);
        let command = "x".repeat(150);
        let found = [Finding::advice("a", &long, &long).fix(&command), Finding::ok("b", &long)];
        let said = text("", &found, false);
        assert!(said.lines().all(|line| line.chars().count() <= WIDTH || line.contains(&command)), "{said}");
        assert!(said.contains(&command));
    }

    #[test]
    fn a_program_gets_everything() {
        let value = json(&findings());
        assert_eq!(value["counts"]["problem"], 1);
        assert_eq!(value["findings"][2]["preset"], "packaging/tuning/sysctl.d/a");
        assert_eq!(value["findings"][1]["fix"][1], "second");
        assert_eq!(value["findings"][0]["preset"], Value::Null);
    }
}
