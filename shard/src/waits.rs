//! How many turns does a row or a task that is to run wait for its own? Counted in tests only: a line is first come first
//! served, so nobody waits longer than those before it take.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::shard::Shard;

/// The longest waits of a shard so far; [`Shard::waits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// The most turns that ended while one row was to run.
    pub rows: u32,
    /// The most turns that ended while one task was to run.
    pub tasks: u32,
    /// The most rows and tasks that were left to run at a turn's end.
    pub left: usize,
}

/// Rows and tasks of a shard that are to run.
#[derive(Default)]
pub(crate) struct Lines {
    rows: Line,
    tasks: Line,
    left: Cell<usize>,
}

impl Lines {
    /// A turn has ended: how many rows and tasks ran in it, and how many are left.
    pub(crate) fn turn_ended(&self, rows: (usize, usize), tasks: (usize, usize)) {
        self.rows.turn_ended(rows.0, rows.1);
        self.tasks.turn_ended(tasks.0, tasks.1);
        self.left.set(self.left.get().max(rows.1 + tasks.1));
    }
}

#[derive(Default)]
struct Line {
    turns: Cell<u32>,
    ran: Cell<u64>,
    /// Turns at whose end somebody was left, and how many have run once all of them have.
    left: RefCell<VecDeque<(u32, u64)>>,
    longest: Cell<u32>,
}

impl Line {
    fn turn_ended(&self, ran: usize, left: usize) {
        let turn = self.turns.get() + 1;
        self.turns.set(turn);
        self.ran.set(self.ran.get() + ran as u64);
        let mut marks = self.left.borrow_mut();
        while marks.front().is_some_and(|(_, until)| *until <= self.ran.get()) {
            marks.pop_front();
        }
        if left > 0 {
            marks.push_back((turn, self.ran.get() + left as u64));
        }
        if let Some((first, _)) = marks.front() {
            self.longest.set(self.longest.get().max(turn - first + 1));
        }
    }
}

impl Shard {
    /// How long rows and tasks have waited for their turn at most. For tests.
    pub fn waits(&self) -> Waits {
        let lines = &self.0.lines;
        Waits { rows: lines.rows.longest.get(), tasks: lines.tasks.longest.get(), left: lines.left.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_counted_in_turns_that_ended_while_it_lasted() {
        let line = Line::default();
        line.turn_ended(5, 0);
        assert_eq!(line.longest.get(), 0);
        line.turn_ended(2, 3);
        assert_eq!(line.longest.get(), 1);
        // One of the three is the last to run, three turns later, whoever came behind it.
        line.turn_ended(1, 4);
        line.turn_ended(1, 9);
        assert_eq!(line.longest.get(), 3);
        line.turn_ended(1, 9);
        assert_eq!(line.longest.get(), 3);
        line.turn_ended(100, 0);
        line.turn_ended(0, 0);
        assert_eq!(line.longest.get(), 3);
    }
}
