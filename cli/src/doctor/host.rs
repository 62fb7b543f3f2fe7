//! What does this machine say of itself, in /proc and /sys?

#[cfg(test)]
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A machine to be looked at: `/`, or a folder that stands for it.
#[derive(Debug)]
pub(super) enum Host {
    /// What lies under this folder.
    Root(PathBuf),
    /// What a test says, by path.
    #[cfg(test)]
    Made(BTreeMap<String, String>),
}

impl Host {
    /// A file's text without the white space around it; `None` when it is not there or may not be read.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        match self {
            Self::Root(root) => {
                let bytes = fs::read(root.join(path)).ok()?;
                Some(String::from_utf8_lossy(&bytes).trim().to_owned())
            }
            #[cfg(test)]
            Self::Made(files) => files.get(path).map(|text| text.trim().to_owned()),
        }
    }

    /// A file that holds one number.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.read(path)?.parse().ok()
    }

    /// The names in a folder, sorted, those that end in a number by that number; none when it is not there.
    pub(super) fn list(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Self::Root(root) => fs::read_dir(root.join(path)).map_or_else(
                |_| Vec::new(),
                |folder| folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect(),
            ),
            #[cfg(test)]
            Self::Made(files) => {
                let inside = files.keys().filter_map(|file| file.strip_prefix(path)?.strip_prefix('/'));
                inside.map(|rest| rest.split('/').next().unwrap_or(rest).to_owned()).collect()
            }
        };
        names.sort_by_cached_key(|name| {
            let word = name.trim_end_matches(|c: char| c.is_ascii_digit());
            (word.to_owned(), name[word.len()..].parse::<u64>().unwrap_or(0))
        });
        names.dedup();
        names
    }

    /// Whether this is the machine that we run on, so that the kernel itself may be asked.
    pub(super) fn is_here(&self) -> bool {
        matches!(self, Self::Root(root) if root == Path::new("/"))
    }

    /// The process of that name, other than this one, whose command line has `word`: its number, if there is just one.
    pub(super) fn process(&self, name: &str, word: &str) -> Option<u32> {
        let own = std::process::id();
        let mut found = self.list("proc").into_iter().filter_map(|entry| entry.parse::<u32>().ok()).filter(|&pid| {
            pid != own
                && self.read(&format!("proc/{pid}/comm")).as_deref() == Some(name)
                && (word.is_empty()
                    || self
                        .read(&format!("proc/{pid}/cmdline"))
                        .is_some_and(|line| line.split('\0').any(|argument| argument == word)))
        });
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }
}

#[cfg(test)]
impl Host {
    /// A machine that has these files and nothing else.
    pub(super) fn made(files: &[(&str, &str)]) -> Self {
        Self::Made(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }
}

/// The numbers of a list as the kernel writes it: `0-3,8`. What is no list is empty.
pub(super) fn numbers(list: &str) -> Vec<usize> {
    let mut numbers = Vec::new();
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.trim().parse::<usize>(), last.trim().parse::<usize>()) else {
            return Vec::new();
        };
        // No kernel has more processors.
        numbers.extend(first..=last.min(first + 8192));
    }
    numbers
}

/// The numbers of the bits that are set in a mask as the kernel writes it: `ff,00000001`.
pub(super) fn bits(mask: &str) -> Vec<usize> {
    let digits: Vec<u32> = mask.chars().filter(|c| *c != ',').filter_map(|c| c.to_digit(16)).collect();
    let of_digit = |(at, digit): (usize, &u32)| {
        let digit = *digit;
        (0..4).filter(move |bit| digit >> bit & 1 == 1).map(move |bit| at * 4 + bit)
    };
    digits.iter().rev().enumerate().flat_map(of_digit).collect()
}

/// `0-3,8`.
pub(super) fn shown(cores: &[usize]) -> String {
    anygate_core::config::CoreList::These(cores.to_vec()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_masks_are_read_as_the_kernel_writes_them() {
        assert_eq!(numbers("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(numbers(""), [0; 0]);
        assert_eq!(numbers("none"), [0; 0]);
        assert_eq!(bits("3"), [0, 1]);
        assert_eq!(bits("1,00000010"), [4, 32]);
        assert_eq!(bits("00000000"), [0; 0]);
        assert_eq!(shown(&[0, 1, 2, 5]), "0-2,5");
    }

    #[test]
    fn names_are_sorted_by_their_numbers() {
        let host = Host::made(&[("a/rx-10/x", ""), ("a/rx-2/x", ""), ("a/rx-2/y", ""), ("b/c", "")]);
        assert_eq!(host.list("a"), ["rx-2", "rx-10"]);
        assert!(host.list("gone").is_empty());
    }

    #[test]
    fn a_process_is_found_if_there_is_just_one() {
        let one = ("proc/7/comm", "anygate\n");
        let command = ("proc/7/cmdline", "anygate\0serve\0");
        assert_eq!(Host::made(&[one, command]).process("anygate", "serve"), Some(7));
        assert_eq!(Host::made(&[one, command]).process("anygate", "bench"), None);
        let two = [one, command, ("proc/8/comm", "anygate"), ("proc/8/cmdline", "anygate\0serve")];
        assert_eq!(Host::made(&two).process("anygate", "serve"), None);
        assert_eq!(Host::made(&[one]).process("irqbalance", ""), None);
    }
}
