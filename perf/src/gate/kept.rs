//! Which counts are kept in the repository, and what is a change of one?

use std::collections::BTreeMap;

/// A count may differ by so many hundredths of what is kept.
const ROOM: u64 = 3;

/// The counts of the file, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept(BTreeMap<String, u64>);

/// What a count is beside the one that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No more than [`ROOM`] away.
    Same,
    Grown,
    Shrunk,
    /// Not in the file.
    New,
}

impl Kept {
    /// Reads the file: a line `name = instructions` each.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error| format!("the counts that are kept: {error}"))?;
        let number = |(name, value): (String, toml::Value)| {
            let count = value.as_integer().and_then(|count| u64::try_from(count).ok()).filter(|count| *count > 0);
            count
                .map(|count| (name.clone(), count))
                .ok_or_else(|| format!("the counts that are kept: {name} is no count"))
        };
        table.into_iter().map(number).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    pub(crate) fn set(&mut self, name: &str, count: u64) {
        self.0.insert(name.to_owned(), count);
    }

    /// Takes what another has over what this has.
    pub(crate) fn take(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The file, with what each name means, in that order.
    pub(crate) fn text(&self, meanings: &[(&str, &str)]) -> String {
        let mut text = "\
# Instructions of one request in AnyGate itself, without the kernel's: counted by callgrind, on epoll and one core.
# `cargo xtask gate` fails when one grows by more than 3 %; `cargo xtask gate --update` writes this file.
"
        .to_owned();
        let width = meanings.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, means) in meanings {
            if let Some(count) = self.get(name) {
                text.push_str(&format!("\n# {means}\n{name:<width$} = {}\n", underscored(count)));
            }
        }
        text
    }
}

/// `12_345`.
fn underscored(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join("_")
}

/// The change from `before` to `now`, as a part of `before`.
fn change(before: u64, now: u64) -> f64 {
    now as f64 / before.max(1) as f64 - 1.0
}

/// Whether `now` is another count than `before`.
pub(crate) fn judge(before: u64, now: u64) -> Verdict {
    match now * 100 {
        hundredfold if hundredfold > before * (100 + ROOM) => Verdict::Grown,
        hundredfold if hundredfold < before * (100 - ROOM) => Verdict::Shrunk,
        _ => Verdict::Same,
    }
}

/// A line for a person, and what it comes to.
pub(crate) fn line(name: &str, before: Option<u64>, now: u64) -> (String, Verdict) {
    let Some(before) = before else { return (format!("{name:<14}{now:>8}  not kept yet"), Verdict::New) };
    let verdict = judge(before, now);
    let word = match verdict {
        Verdict::Grown => "  TOO MANY",
        Verdict::Shrunk => "  fewer",
        _ => "",
    };
    (format!("{name:<14}{now:>8}  kept {before:>8}  {:>+6.1} %{word}", 100.0 * change(before, now)), verdict)
}

/// What to do.
pub(crate) fn advice(file: &str, grown: &[&str], shrunk: &[&str], stale: &[&str]) -> String {
    let mut lines = Vec::new();
    if let Some(first) = grown.first() {
        lines.push(format!(
            "{}: more than 3 % over what {file} keeps, or not kept. To see where the instructions are:\n  \
             cargo xtask gate --only {first} --keep FOLDER, then callgrind_annotate FOLDER/{first}.*\n\
             If they are worth what they buy, say so in the commit and keep them in it: cargo xtask gate --update",
            grown.join(", ")
        ));
    }
    if !stale.is_empty() {
        lines.push(format!("{}: kept in {file} and not counted: cargo xtask gate --update", stale.join(", ")));
    }
    if !shrunk.is_empty() {
        lines.push(format!(
            "{}: more than 3 % fewer, well done. So that it stays so: cargo xtask gate --update",
            shrunk.join(", ")
        ));
    }
    if lines.is_empty() { "no count has changed by more than 3 %".to_owned() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_may_differ_by_three_percent() {
        assert_eq!(judge(1000, 1030), Verdict::Same);
        assert_eq!(judge(1000, 1031), Verdict::Grown);
        assert_eq!(judge(1000, 970), Verdict::Same);
        assert_eq!(judge(1000, 969), Verdict::Shrunk);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut kept = Kept::default();
        kept.set("fixed", 4583);
        kept.set("match", 12_345_678);
        let text = kept.text(&[("match", "finding a rule"), ("fixed", "a fixed answer"), ("gone", "nothing")]);
        assert!(text.contains("\n# finding a rule\nmatch = 12_345_678\n\n# a fixed answer\nfixed = 4_583\n"), "{text}");
        assert_eq!(Kept::read(&text), Ok(kept));
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        for text in ["fixed = \"4\"", "fixed = -4", "fixed = 0", "fixed 4", "[fixed]\na = 1"] {
            assert!(Kept::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_growth_is_told_with_its_size_and_with_what_to_do() {
        assert_eq!(
            line("fixed", Some(1000), 1050),
            ("fixed             1050  kept     1000    +5.0 %  TOO MANY".into(), Verdict::Grown)
        );
        assert_eq!(line("fixed", None, 7).1, Verdict::New);
        let said = advice("perf/instructions.toml", &["fixed"], &["proxy"], &["old"]);
        for word in ["fixed: more than 3 %", "callgrind_annotate", "old: kept", "proxy: more than 3 % fewer"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}
