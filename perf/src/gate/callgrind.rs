//! How is a program run under callgrind, and what did it count?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of the C library's routines for copying and searching those that every processor has: which it takes must not depend on
/// the machine.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM";

/// A function of the thread that runs a loop.
const LOOP: &str = "main";

/// How programs are run under callgrind here.
#[derive(Debug)]
pub(crate) struct Callgrind {
    /// AnyGate's binary.
    pub(crate) anygate: PathBuf,
    calls: PathBuf,
    folder: PathBuf,
    /// Whether the folder is the caller's.
    keep: bool,
}

impl Callgrind {
    /// Puts callgrind's files into `keep`, or into a folder that is removed in the end.
    ///
    /// # Errors
    /// valgrind is not there, or the folder cannot be made.
    pub(crate) fn new(anygate: PathBuf, calls: PathBuf, keep: Option<PathBuf>) -> Result<Self, String> {
        let there = Command::new("valgrind").arg("--version").output();
        if !there.is_ok_and(|out| out.status.success()) {
            return Err("valgrind is not installed: apt-get install valgrind".into());
        }
        let own = || std::env::temp_dir().join(format!("anygate-gate-{}", std::process::id()));
        let (folder, keep) = keep.map_or_else(|| (own(), false), |folder| (folder, true));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { anygate, calls, folder, keep })
    }

    /// Where files of a run may lie.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// `program` under callgrind, in an environment without anything that differs between machines.
    pub(crate) fn command(&self, name: &str, program: &Path) -> Result<Command, String> {
        for old in self.files(name)? {
            let _ = fs::remove_file(old);
        }
        let mut command = Command::new("valgrind");
        command.args(["-q", "--tool=callgrind", "--separate-threads=yes"]);
        command.arg(format!("--callgrind-out-file={}", self.folder.join(name).display())).arg(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("GLIBC_TUNABLES", TUNABLES).env("LD_PRELOAD", &self.calls);
        Ok(command)
    }

    /// What the busiest thread of the last run of that name executed, of those that executed a function whose name has
    /// this in it. The others' work depends on how long it took, and on chance.
    pub(crate) fn counted(&self, name: &str, function: &str) -> Result<u64, String> {
        let texts = self.files(name)?.into_iter().filter_map(|file| fs::read_to_string(file).ok());
        let totals = texts.filter(|text| text.contains(function)).filter_map(|text| total(&text));
        let most = totals.max().filter(|total| *total > 0);
        most.ok_or_else(|| format!("callgrind wrote no count of a thread that executes `{function}`"))
    }

    /// What a loop of this program executed.
    pub(crate) fn looped(&self, name: &str, times: u64) -> Result<u64, String> {
        let own = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
        let out = self.command(name, &own)?.args(["loop", name, &times.to_string()]).output();
        let out = out.map_err(|error| format!("valgrind: {error}"))?;
        if !out.status.success() {
            return Err(format!("{}: {}", out.status, String::from_utf8_lossy(&out.stderr)));
        }
        self.counted(name, LOOP)
    }

    /// One file a thread: `name`, `name-01`, `name-02` …
    fn files(&self, name: &str) -> Result<Vec<PathBuf>, String> {
        let folder = fs::read_dir(&self.folder).map_err(|error| format!("{}: {error}", self.folder.display()))?;
        let is_of = |file: &str| {
            let rest = file.strip_prefix(name).map(|rest| rest.trim_start_matches(['-', '.']));
            rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let names = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|file| is_of(file)).map(|file| self.folder.join(file)).collect())
    }
}

impl Drop for Callgrind {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The sum at the end of a file of callgrind's.
fn total(text: &str) -> Option<u64> {
    let line =
        text.lines().rev().find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_read_from_callgrind_s_file() {
        assert_eq!(total("# callgrind format\nevents: Ir\nfn=(1) main\n1 5\n\ntotals: 1234\n"), Some(1234));
        assert_eq!(total("summary: 12\n"), Some(12));
        assert_eq!(total("events: Ir\n"), None);
    }
}
