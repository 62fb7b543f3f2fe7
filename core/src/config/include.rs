//! Which files does a pattern such as `conf.d/*.yml` mean?

use std::path::{Component, Path, PathBuf};

use super::files::Files;

/// Most names a pattern may be compared with, so that `*/*/*` over a large disk ends.
const COMPARED: usize = 100_000;

/// The files `pattern` means, sorted; without `*` or `?` it means itself. A relative one starts at `base_dir`.
pub(super) fn matching(pattern: &str, base_dir: &Path, files: &dyn Files) -> Result<Vec<PathBuf>, String> {
    let whole = base_dir.join(pattern);
    if !is_pattern(pattern) {
        return Ok(vec![whole]);
    }
    let mut found = vec![PathBuf::new()];
    let mut compared = 0;
    for part in whole.components() {
        let name = part.as_os_str().to_string_lossy();
        if !matches!(part, Component::Normal(_)) || !is_pattern(&name) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let mut next = Vec::new();
        for dir in &found {
            // A folder that is not there holds nothing.
            let mut names = files.list(dir).unwrap_or_default();
            names.sort_unstable();
            compared += names.len();
            if compared > COMPARED {
                return Err(format!("`{pattern}` looks at more than {COMPARED} names"));
            }
            next.extend(names.iter().filter(|file| fits(&name, file)).map(|file| dir.join(file)));
        }
        found = next;
    }
    found.sort_unstable();
    Ok(found)
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether a name fits: `*` is any run of characters, `?` any one. A leading dot must be written.
fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on when a run must be longer: behind the last `*`, and the first character it has not swallowed.
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p + 1, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match &mut back {
                Some((after, start)) => {
                    *start += 1;
                    (p, n) = (*after, *start);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_is_any_run_and_a_question_mark_any_one() {
        for (pattern, name) in
            [("*.yml", "a.yml"), ("*", "x"), ("a*b*c", "a-b-b-c"), ("?.yml", "é.yml"), (".*", ".x"), ("**", "")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.yml", "a.yaml"), ("*.yml", ".a.yml"), ("?", ""), ("a?", "a"), ("a*b", "a-c")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }
}
