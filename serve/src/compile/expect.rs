//! Do the tests beside the rules hold? The table answers for most; which file a request gets, only the disk knows.

use std::path::{Component, Path, PathBuf};

use anygate_core::config::Config;
use anygate_core::{Diagnostic, Located};
use anygate_route::{Expectation, Wanted};

use crate::action::Action;
use crate::plan::Plan;

/// Checks every `expect` line.
pub(super) fn check(config: &Config, plan: &Plan, findings: &mut Vec<Diagnostic>) {
    for line in &config.expect {
        match plan.table.check_expect(line) {
            Ok(Expectation::Met) => {}
            Ok(Expectation::Static { rule, tail, wanted }) => {
                findings.extend(check_file(config, plan, line, rule as usize, &tail, &wanted));
            }
            Err(diagnostic) => findings.push(*diagnostic),
        }
    }
}

fn check_file(
    config: &Config,
    plan: &Plan,
    line: &Located,
    rule: usize,
    tail: &str,
    wanted: &Wanted,
) -> Option<Diagnostic> {
    let Action::Files(files) = &plan.routes[rule].action else { return None };
    let found = files.locate(tail.as_bytes(), true);
    let met = match (wanted, &found) {
        (Wanted::File(file), Ok(path)) => {
            let wanted = config.routes[rule].base_dir.join(file);
            plain(&std::path::absolute(&wanted).unwrap_or(wanted)) == plain(path)
        }
        (Wanted::Status(status), Ok(_)) => *status == 200,
        (Wanted::Status(status), Err(got)) => status == got,
        (Wanted::File(_), Err(_)) => false,
    };
    if met {
        return None;
    }
    let gets = match &found {
        Ok(path) => format!("but it gets static {}", path.display()),
        Err(status) => format!("but it gets {status}"),
    };
    let start = line.text.find("->").map_or(0, |at| at + 2);
    let start = start + line.text[start..].len() - line.text[start..].trim_start().len();
    let request = line.text.split("->").next().unwrap_or_default().trim();
    Some(
        Diagnostic::error(format!("`{request}` does something else"))
            .at(line.sub(start..line.text.trim_end().len()), gets)
            .and_at(plan.table.rules()[rule].head.span, "by this rule")
            .help("change the rules, the files or the expectation"),
    )
}

/// A path without `.` and, as far as its text shows, without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_compared_without_its_dots() {
        assert_eq!(plain(Path::new("/a/./b/../c/")), Path::new("/a/c"));
        assert_eq!(plain(Path::new("./dist/x")), plain(Path::new("dist/x")));
        assert_eq!(plain(Path::new("../x")), Path::new("../x"));
    }
}
