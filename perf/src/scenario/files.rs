//! The files that are sent where files are: text, so that no server thinks them special.

use std::fs;
use std::path::Path;

/// Names and lengths in bytes.
pub const FILES: &[(&str, usize)] = &[("1k", 1 << 10), ("16k", 16 << 10), ("100k", 100 << 10), ("10m", 10 << 20)];

const LINE: &[u8] = b"The quick brown fox jumps over the lazy dog, again and again.\n";

/// Writes them into `folder`.
///
/// # Errors
/// One cannot be written.
pub fn write_files(folder: &Path) -> Result<(), String> {
    for (name, length) in FILES {
        let file = folder.join(name);
        let text: Vec<u8> = LINE.iter().copied().cycle().take(*length).collect();
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}
