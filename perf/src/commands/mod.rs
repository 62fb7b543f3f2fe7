//! What each command of the instrument does.

use std::path::Path;

use serde::Serialize;

pub(crate) mod bench;
pub(crate) mod crowd;
pub(crate) mod flood;
pub(crate) mod report;
pub(crate) mod soak;

/// Writes figures to a file, as JSON.
pub(crate) fn write_json(file: &Path, figures: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(figures).map_err(|error| format!("{}: {error}", file.display()))?;
    std::fs::write(file, text + "\n").map_err(|error| format!("{}: {error}", file.display()))
}
