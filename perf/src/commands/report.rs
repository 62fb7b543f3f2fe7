//! `perf report`: the report once more, from figures that were kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anygate_perf::report::{self, Notes, Report};
use clap::Args;

use crate::say;

/// Where raw figures are, within the folder of everything.
pub(crate) const RAW: &str = "raw";
/// Where reports are.
const REPORTS: &str = "reports";
/// Where notes are.
pub(crate) const NOTES: &str = "reports/notes.md";

/// Write a report again, from the figures that were kept.
#[derive(Debug, Args)]
pub(crate) struct Again {
    /// The folder that has `raw/`, `reports/` and `reports/notes.md`
    #[arg(long, default_value = "perf", value_name = "FOLDER")]
    out: PathBuf,
    /// The raw figures; without it, the newest in the folder
    #[arg(long, value_name = "FILE")]
    raw: Option<PathBuf>,
    /// What is to be said to the figures, instead of the folder's own notes
    #[arg(long, value_name = "FILE")]
    notes: Option<PathBuf>,
}

/// True when every goal that was measured holds.
pub(crate) fn run(args: &Again) -> Result<bool, String> {
    let report = match &args.raw {
        Some(file) => report::read(file)?,
        None => {
            let (mut all, _) = report::read_all(&args.out.join(RAW))?;
            all.pop().ok_or_else(|| format!("{} has no figures", args.out.join(RAW).display()))?
        }
    };
    draw(&report, &args.out, args.notes.as_deref().unwrap_or(&args.out.join(NOTES)))?;
    Ok(report.holds())
}

/// Writes the report and its drawings; what an earlier one of that name had drawn is removed.
pub(crate) fn draw(report: &Report, out: &Path, notes: &Path) -> Result<(), String> {
    let notes = match fs::read_to_string(notes) {
        Ok(text) => Notes::read(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Notes::default(),
        Err(error) => return Err(format!("{}: {error}", notes.display())),
    };
    let (kept, faults) = report::read_all(&out.join(RAW))?;
    for fault in faults {
        say(&mut io::stderr(), &format!("left out of the trend: {fault}"));
    }
    let (text, plots) = report.markdown(&notes, &kept);
    let folder = out.join(REPORTS).join(report.name());
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(format!("{}: {error}", folder.display())),
        _ => {}
    }
    for plot in plots {
        put(&folder.join(plot.file), &plot.text)?;
    }
    write(&out.join(REPORTS).join(format!("{}.md", report.name())), &text)
}

/// Writes a file and says so.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), String> {
    put(path, text)?;
    say(&mut io::stdout(), &format!("wrote {}", path.display()));
    Ok(())
}

fn put(path: &Path, text: &str) -> Result<(), String> {
    let fault = |error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fault)?;
    }
    fs::write(path, text).map_err(fault)
}
