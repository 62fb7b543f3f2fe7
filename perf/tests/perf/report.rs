//! One command measures everything and writes the report: with turns so short that the figures mean nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anygate_perf::report;
use anygate_perf::scenario::{Outcome, SCENARIOS, Turns};
use anygate_perf::server::Folder;
use anygate_shard::probe_uring;

/// AnyGate's binary as this build of the tests has it; built where only this crate's tests are.
pub(super) fn anygate() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_perf")).with_file_name("anygate");
    if !program.exists() {
        let target = program.ancestors().nth(2).expect("a binary is in the folder of its profile");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "anygate", "--target-dir"]).arg(target);
        assert!(cargo.status().expect("cargo starts").success());
    }
    program
}

fn perf(words: &[&str], out: &Path) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_perf")).args(words).arg("--out").arg(out).output();
    output.expect("the instrument starts")
}

/// Ports below those that connections take by themselves, others for each process.
pub(super) fn port() -> String {
    (20_000 + std::process::id() % 150 * 80).to_string()
}

#[test]
fn one_command_measures_every_scenario_on_both_drivers_and_writes_the_report() {
    let folder = Folder::new("report").unwrap();
    let anygate = anygate();
    let drivers = if probe_uring().is_ok() { &["epoll", "uring"][..] } else { &["epoll"][..] };
    let load_core = if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) { "1" } else { "0" };
    let port = port();
    let mut words = vec!["bench", "--quick", "--seconds", "0.05", "--warm-up", "0.02", "--port", &port];
    words.extend(["--load-core", load_core, "--anygate", anygate.to_str().unwrap()]);
    let subjects: Vec<String> = drivers
        .iter()
        .flat_map(|io| ["floor", "relay", "anygate"].map(|subject| format!("--subject={subject}-{io}")))
        .collect();
    words.extend(subjects.iter().map(String::as_str));
    words.extend(SCENARIOS.iter().map(|scenario| scenario.name).flat_map(|name| ["--scenario", name]));
    let output = perf(&words, folder.path());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");

    let (kept, faults) = report::read_all(&folder.path().join("raw")).expect("raw figures are kept");
    assert!(faults.is_empty(), "{faults:?}");
    let [kept] = kept.as_slice() else { panic!("one run is kept: {said}") };
    let measured: Vec<&str> = kept.outcomes.iter().map(|kept| kept.scenario.as_str()).collect();
    let all: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    assert_eq!(measured, all, "{said}");
    for kept in &kept.outcomes {
        let scenario = &kept.scenario;
        let names: Vec<&str> = match &kept.outcome {
            Outcome::Rounds(rounds) => {
                for turns in &rounds.entrants {
                    assert!(turns.rounds.iter().all(|turn| turn.answers > 0), "{scenario}: {turns:?}");
                    assert!(turns.faults().is_empty(), "{scenario}: {}: {:?}", turns.name, turns.faults());
                }
                // In so short a turn on a busy machine, the kernel may have accounted nothing yet.
                let counted = |turns: &Turns| turns.rounds.iter().any(|turn| turn.cpu_us > 0.0);
                assert!(rounds.entrants.iter().any(counted), "{scenario}: {rounds:?}");
                rounds.entrants.iter().map(|turns| turns.name.as_str()).collect()
            }
            Outcome::Idle(idle) => idle.subjects.iter().map(|resting| resting.name.as_str()).collect(),
            Outcome::Balance(all) => {
                assert!(all.iter().all(|shares| shares.rounds.iter().all(|share| share.threads_s.len() == 2)));
                all.iter().map(|shares| shares.name.as_str()).collect()
            }
        };
        for io in drivers {
            let ours = format!("anygate-{io}");
            let known = SCENARIOS.iter().find(|known| known.name == scenario).is_some_and(|known| known.takes(&ours));
            assert_eq!(known, names.iter().any(|name| name.starts_with(&ours)), "{ours} in {scenario}: {names:?}");
        }
    }

    let file = folder.path().join("reports").join(format!("{}.md", kept.date));
    let text = fs::read_to_string(&file).expect("the report is written");
    for name in all {
        assert!(text.contains(&format!("\n## {name}\n")), "{name} is in the report");
        let drawing = folder.path().join("reports").join(&kept.date).join(format!("{name}.svg"));
        assert!(fs::read_to_string(&drawing).is_ok_and(|drawing| drawing.ends_with("</svg>\n")), "{name} is drawn");
    }
    assert!(text.contains("anygate serve -r '/: OK'"), "configurations are shown");

    // The report can be made again, and keeps what people wrote.
    fs::write(folder.path().join("reports/notes.md"), "## fixed\n\nWhat is to be said.\n").unwrap();
    let output = perf(&["report"], folder.path());
    // Figures that mean nothing may miss a goal, which is 1.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
    let again = fs::read_to_string(&file).unwrap();
    assert!(again != text && again.replace("\nWhat is to be said.\n", "") == text, "only the note is new");
}

#[test]
fn a_name_that_nobody_has_is_refused_with_those_there_are() {
    let folder = Folder::new("names").unwrap();
    for (words, known) in [(["bench", "--scenario", "fixde"], "fixed"), (["bench", "--subject", "flor"], "floor-epoll")]
    {
        let output = perf(&words, folder.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(known), "{said}");
    }
}
