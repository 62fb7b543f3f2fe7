//! Which file would a request get, as far as names and the disk show without serving it?

use std::path::{Path, PathBuf};

use anygate_core::config::{Hidden, Spa, Static};
use anygate_route::StaticTarget;

/// The file a `GET` gets, or the status. `tail` is what the rule's head matched beyond its literal prefix, percent-encoded;
/// `navigates` tells a browser that asks for a page. May block.
///
/// # Errors
/// 404 where no file answers, 308 where a directory wants its final slash.
pub fn locate(
    target: &StaticTarget,
    base_dir: &Path,
    settings: &Static,
    tail: &[u8],
    navigates: bool,
) -> Result<PathBuf, u16> {
    let path = base_dir.join(&target.path);
    if !target.is_dir {
        return if path.is_file() { Ok(path) } else { Err(404) };
    }
    let name = decoded(tail).ok_or(404_u16)?;
    let shown = |segment: &str| settings.hidden == Hidden::Allow || !segment.starts_with('.') || segment == ".well-known";
    if !name.split('/').all(|segment| shown(segment) && segment != "..") {
        return Err(404);
    }
    let index = |folder: &Path| settings.index.iter().map(|name| folder.join(name)).find(|file| file.is_file());
    let file = path.join(&name);
    if file.is_dir() {
        match index(&file) {
            Some(_) if !name.is_empty() && !name.ends_with('/') => return Err(308),
            Some(file) => return Ok(file),
            None => {}
        }
    } else if file.is_file() && !name.ends_with('/') {
        return Ok(file);
    }
    let last = name.rsplit('/').next().unwrap_or_default();
    let falls_back = match settings.spa {
        Spa::On => true,
        Spa::Auto => navigates && !last.trim_matches('.').contains('.'),
        Spa::Off => false,
    };
    if falls_back { index(&path).ok_or(404) } else { Err(404) }
}

/// A path without its percent-encoding; `None` for what is no name of a file.
fn decoded(tail: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(tail.len());
    let mut rest = tail;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let byte = match (first, after) {
            (b'%', [high, low, ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                rest = &after[2..];
                u8::try_from(digit(*high)? * 16 + digit(*low)?).ok().filter(|byte| !matches!(byte, 0 | b'/'))?
            }
            _ => *first,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn an_encoded_slash_or_nul_names_no_file() {
        assert_eq!(decoded(b"a%20b/c"), Some("a b/c".into()));
        assert_eq!(decoded(b"a%2Fb"), None);
        assert_eq!(decoded(b"a%00"), None);
        assert_eq!(decoded(b"a%zz"), None);
    }
}
