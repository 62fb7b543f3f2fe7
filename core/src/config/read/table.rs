//! Which keys does a mapping have, which may it have, and which come later?

use crate::config::node::{Entry, Node, Value};
use crate::config::report::Report;
use crate::diagnostic::{Diagnostic, nearest};

use super::{meant, scalar};

/// A mapping that is being read: each key is asked for once, and what is left over at the end is unknown.
pub(super) struct Table<'n, 'r> {
    /// What a person would call it: `server`, `a rule`.
    section: &'static str,
    entries: Vec<(&'n Entry, bool)>,
    known: Vec<(&'static str, bool)>,
    report: &'r mut Report,
}

impl<'n, 'r> Table<'n, 'r> {
    /// Opens a mapping; nothing counts as an empty one, anything else is an error. Repeated keys are reported here.
    pub(super) fn open(node: &'n Node, section: &'static str, report: &'r mut Report) -> Option<Self> {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => {
                report.push(scalar::expected(node, &format!("a mapping for {}", quoted(section))));
                return None;
            }
        };
        let entries = unique(entries, report).into_iter().map(|entry| (entry, false)).collect();
        Some(Self { section, entries, known: Vec::new(), report })
    }

    /// The entry of `key`, which is known from now on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.known.push((key, false));
        self.find(key)
    }

    fn find(&mut self, key: &'static str) -> Option<&'n Entry> {
        let (entry, used) = self.entries.iter_mut().find(|(entry, _)| entry.key.text == key)?;
        *used = true;
        Some(entry)
    }

    /// Reads the value of `key`, where there is one, into `slot`.
    pub(super) fn set<T>(
        &mut self,
        key: &'static str,
        slot: &mut T,
        read: impl FnOnce(&'n Node, &mut Report) -> Option<T>,
    ) {
        if let Some(entry) = self.take(key)
            && let Some(value) = read(&entry.value, self.report)
        {
            *slot = value;
        }
    }

    /// The same, where the model knows "not given".
    pub(super) fn opt<T>(
        &mut self,
        key: &'static str,
        slot: &mut Option<T>,
        read: impl FnOnce(&'n Node, &mut Report) -> Option<T>,
    ) {
        self.set(key, slot, |node, report| read(node, report).map(Some));
    }

    /// A key that belongs to a later version: refused, whatever its value.
    pub(super) fn later(&mut self, key: &'static str) {
        self.known.push((key, true));
        if let Some(entry) = self.find(key) {
            self.report.push(later(&format!("`{key}`")).at(entry.key.span, "not available yet"));
        }
    }

    /// A key that belongs to a later version, and has one value already.
    pub(super) fn later_unless(&mut self, key: &'static str, now: &str) {
        let Some(entry) = self.take(key) else { return };
        if entry.value.located().is_none_or(|value| value.text != now) {
            let diagnostic = later(&format!("`{key}` other than `{now}`"));
            self.report.push(diagnostic.at(entry.value.span, "not available yet"));
        }
    }

    /// Reports that something is missing, unless a key nobody asked for was probably meant; for use after every key.
    pub(super) fn missing(&mut self, diagnostic: Diagnostic) {
        if self.entries.iter().all(|(_, used)| *used) {
            self.report.push(diagnostic);
        }
    }

    /// Where findings go.
    pub(super) fn report(&mut self) -> &mut Report {
        self.report
    }

    /// Reports the keys nobody asked for.
    pub(super) fn close(self) {
        self.close_with(|_| None);
    }

    /// The same; `hint` may know better than others' names and the nearest key what was meant.
    pub(super) fn close_with(self, hint: impl Fn(&str) -> Option<String>) {
        let now = || self.known.iter().filter(|(_, later)| !later).map(|(key, _)| *key);
        for (entry, _) in self.entries.iter().filter(|(_, used)| !used) {
            let key = &entry.key.text;
            let diagnostic = Diagnostic::error(format!("unknown key `{key}` in {}", quoted(self.section)))
                .at(entry.key.span, "unknown key");
            let begun = |known: &&str| known.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with('_'));
            let near = nearest(key, now()).or_else(|| now().find(begun));
            let near = near.map(|near| format!("did you mean `{near}`?"));
            let one = |a: &str, b: &str| a.strip_suffix('s') == Some(b);
            let plural = now().find(|known| one(known, key) || one(key, known));
            let meant = || match plural {
                Some(_) => None,
                None => meant::meant(key, self.section),
            };
            let help = hint(key).or_else(meant).or(near).unwrap_or_else(|| {
                let keys: Vec<String> = now().map(|key| format!("`{key}`")).collect();
                format!("it may have {}", keys.join(", "))
            });
            self.report.push(diagnostic.help(help));
        }
        #[cfg(test)]
        self.report.sections.entry(self.section).or_default().extend(self.known.iter().copied());
    }
}

/// The entries of a mapping, each key once: the first one stays, the others are errors.
pub(super) fn unique<'n>(entries: &'n [Entry], report: &mut Report) -> Vec<&'n Entry> {
    let mut seen = std::collections::HashMap::with_capacity(entries.len());
    let mut list = Vec::with_capacity(entries.len());
    for entry in entries {
        if let Some(first) = seen.insert(entry.key.text.as_str(), entry.key.span) {
            seen.insert(entry.key.text.as_str(), first);
            report.push(
                Diagnostic::error(format!("`{}` stands here twice", entry.key.text))
                    .at(entry.key.span, "again")
                    .and_at(first, "first here")
                    .help("keep one of them"),
            );
        } else {
            list.push(entry);
        }
    }
    list
}

/// The one wording for what this version does not do.
pub(super) fn later(what: &str) -> Diagnostic {
    Diagnostic::error(format!("{what} is not available in this version; it belongs to a later one"))
        .help("remove it: nothing would obey it")
}

/// A section's key in backquotes; words stay as they are.
fn quoted(section: &str) -> String {
    if section.contains(' ') { section.to_owned() } else { format!("`{section}`") }
}
