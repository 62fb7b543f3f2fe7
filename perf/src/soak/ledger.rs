//! What clients met, counted by habit and kind: what was right, what was permitted, what was not.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::conn::Fault;

/// Failures that are told in full.
const TOLD: usize = 30;

/// What one kind of client met.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Entry {
    /// Its name.
    pub habit: String,
    /// Exchanges that went as they must.
    pub right: u64,
    /// Faults that were permitted at that time, such as a 502 while the server behind was dead, by kind.
    pub permitted: BTreeMap<String, u64>,
    /// Faults that were not, by kind.
    pub failed: BTreeMap<String, u64>,
}

/// What all clients met.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Mutex<Entry>>,
    told: Mutex<Vec<String>>,
}

impl Ledger {
    pub(super) fn new(habits: impl Iterator<Item = &'static str>) -> Self {
        let entry = |habit: &str| Mutex::new(Entry { habit: habit.to_owned(), ..Entry::default() });
        Self { entries: habits.map(entry).collect(), told: Mutex::default() }
    }

    pub(super) fn right(&self, habit: usize, count: u64) {
        self.entry(habit).right += count;
    }

    pub(super) fn permitted(&self, habit: usize, fault: &Fault) {
        *self.entry(habit).permitted.entry(fault.kind()).or_insert(0) += 1;
    }

    pub(super) fn failed(&self, habit: usize, fault: &Fault, at_s: f64) {
        let name = {
            let mut entry = self.entry(habit);
            *entry.failed.entry(fault.kind()).or_insert(0) += 1;
            entry.habit.clone()
        };
        let mut told = unpoisoned(&self.told);
        if told.len() < TOLD {
            told.push(format!("{at_s:.1} s, {name}: {fault:?}"));
        }
    }

    /// Right, permitted and failed exchanges in all.
    pub(super) fn sums(&self) -> (u64, u64, u64) {
        self.entries().iter().fold((0, 0, 0), |(right, permitted, failed), entry| {
            let sum = |kinds: &BTreeMap<String, u64>| kinds.values().sum::<u64>();
            (right + entry.right, permitted + sum(&entry.permitted), failed + sum(&entry.failed))
        })
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.iter().map(|entry| unpoisoned(entry).clone()).collect()
    }

    pub(super) fn told(&self) -> Vec<String> {
        unpoisoned(&self.told).clone()
    }

    fn entry(&self, habit: usize) -> MutexGuard<'_, Entry> {
        unpoisoned(&self.entries[habit])
    }
}

/// A count is whole at any time, whoever panicked.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_by_habit_and_kind_and_the_first_are_told() {
        let ledger = Ledger::new(["one", "two"].into_iter());
        ledger.right(0, 16);
        ledger.permitted(1, &Fault::Status(502));
        (0..100).for_each(|_| ledger.failed(1, &Fault::Silent, 1.0));
        assert_eq!(ledger.sums(), (16, 1, 100));
        let two = &ledger.entries()[1];
        assert_eq!((two.permitted["status 502"], two.failed["silence"]), (1, 100));
        assert_eq!((ledger.told().len(), ledger.told()[0].as_str()), (TOLD, "1.0 s, two: Silent"));
    }
}
