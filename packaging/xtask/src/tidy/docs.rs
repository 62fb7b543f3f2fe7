//! Whether what people read is true: links lead somewhere, commands exist, README and CI run the same tests.

use super::Finding;
use crate::repo::{self, Tree};

const LINK: &str = "link";
const COMMAND: &str = "command";
const TEST_COMMAND: &str = "test-command";
const README: &str = "README.md";
const CI: &str = ".ci/run";
/// The README's test command stands in a code block between these two lines.
const OPEN: &str = "<!-- test-command -->";
const CLOSE: &str = "<!-- /test-command -->";

/// Dead links, unknown commands, and a README that tells another test command than CI runs.
pub(crate) fn check(tree: &Tree, commands: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        if path.ends_with(".md") {
            findings.extend(dead_links(tree, path, text));
        }
        if [".md", ".rs", ".toml", ".yml", ".yaml", ".sh"].iter().any(|end| path.ends_with(end)) || path == CI {
            findings.extend(unknown_commands(path, text, commands));
        }
    }
    findings.extend(test_command_differs(tree).map(|message| Finding::new(TEST_COMMAND, README, 1, message)));
    findings
}

fn dead_links(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, words) in prose(text) {
        for target in targets(&words) {
            let file = target.split(['#', '?']).next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if elsewhere || file.is_empty() {
                continue;
            }
            let base = if file.starts_with('/') { "" } else { repo::folder_of(path) };
            if !repo::join(base, file).is_some_and(|file| tree.has(&file)) {
                findings.push(Finding::new(LINK, path, line, format!("`{target}` leads nowhere")));
            }
        }
    }
    findings
}

/// Numbered lines outside code blocks, with code spans taken out.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fence: Option<&str> = None;
    let mut out = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => out.push((at + 1, line.split('`').step_by(2).collect::<Vec<_>>().join("code"))),
            _ => {}
        }
    }
    out
}

/// The targets of `[text](target)` and `[name]: target`.
fn targets(line: &str) -> Vec<&str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let named = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target.trim());
    inline.chain(named).collect()
}

fn unknown_commands(path: &str, text: &str, commands: &[String]) -> Vec<Finding> {
    const CALL: &str = "cargo xtask ";
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for (start, call) in line.match_indices(CALL) {
            let rest = &line[start + call.len()..];
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            let is_name = name.starts_with(|c: char| c.is_ascii_lowercase());
            if is_name && !commands.contains(&name) {
                findings.push(Finding::new(COMMAND, path, at + 1, format!("there is no `{CALL}{name}`")));
            }
        }
    }
    findings
}

/// Why the two differ, if they do.
fn test_command_differs(tree: &Tree) -> Option<String> {
    let Some(command) = tree.get(README).and_then(readme_test_command) else {
        return Some(format!("no command in a code block between `{OPEN}` and `{CLOSE}`"));
    };
    let runs = |line: &str| line.split(" 2>&1 |").next().is_some_and(|line| line.trim() == command);
    let Some(ci) = tree.get(CI) else { return Some(format!("there is no {CI}")) };
    (!ci.lines().any(runs)).then(|| format!("`{command}` is not what {CI} runs"))
}

/// The one line of the code block between the marks.
fn readme_test_command(readme: &str) -> Option<&str> {
    let (_, rest) = readme.split_once(OPEN)?;
    let (block, _) = rest.split_once(CLOSE)?;
    let mut lines = block.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("```"));
    let command = lines.next()?;
    lines.next().is_none().then_some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let readme = format!("{OPEN}\n```sh\ncargo test\n```\n{CLOSE}\n");
        let tree = Tree::of(&[&[(README, readme.as_str()), (CI, "cargo test 2>&1 | tee log\n")], files].concat());
        let findings = check(&tree, &["tidy".to_owned(), "dry-run".to_owned()]);
        findings.into_iter().map(|finding| format!("{} {}:{}", finding.rule, finding.path, finding.line)).collect()
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let text = "See [the house](ARCHITECTURE.md#shard),\n[more](../gone.md) and [that](decisions/).\n";
        let files = [("docs/a.md", text), ("docs/ARCHITECTURE.md", ""), ("docs/decisions/1.md", "")];
        assert_eq!(found(&files), ["link docs/a.md:2"]);
        assert_eq!(found(&[("docs/a.md", "[x]\n\n[x]: gone.md\n")]), ["link docs/a.md:3"]);
        assert_eq!(found(&[("docs/a.md", "![x](../../outside.png \"title\")")]), ["link docs/a.md:1"]);
    }

    #[test]
    fn code_and_other_sites_are_no_links_of_ours() {
        let text = "`a[0](x)` [a](https://example.com/x) [b](#here) [c](mailto:a@b.c)\n```\n[d](gone)\n```\n";
        assert_eq!(found(&[("docs/a.md", text)]), [""; 0]);
    }

    #[test]
    fn a_command_that_does_not_exist_is_found() {
        let call = concat!("cargo ", "xtask");
        let text = format!("`{call} tidy --unsafe`, `{call} dry-run`, `{call} <command>`\n`{call} tidying`\n");
        assert_eq!(found(&[("docs/a.md", &text)]), ["command docs/a.md:2"]);
        assert_eq!(found(&[("core/src/lib.rs", &text)]), ["command core/src/lib.rs:2"]);
    }

    #[test]
    fn a_readme_that_tells_another_test_command_than_ci_runs_is_found() {
        let of = |readme: &str, ci: &str| test_command_differs(&Tree::of(&[(README, readme), (CI, ci)])).is_some();
        let readme = |command: &str| format!("{OPEN}\n```sh\n{command}\n```\n{CLOSE}\n");
        assert!(!of(&readme("cargo test --workspace"), "set -e\ncargo test --workspace\n"));
        assert!(of(&readme("cargo test --workspace"), "cargo test\n"));
        assert!(of(&readme("cargo test"), "cargo test --workspace\n"));
        assert!(of(&readme("cargo test"), "# cargo test\n"));
        assert!(of(&readme("cargo test\nmore"), "cargo test\n"));
        assert!(of("cargo test", "cargo test\n"));
    }

    #[test]
    fn the_readme_of_this_repository_tells_the_test_command_that_ci_runs() {
        let tree = Tree::of_repository().expect("git lists the files");
        assert_eq!(test_command_differs(&tree), None);
    }
}
