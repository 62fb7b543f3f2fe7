//! Which of two answers goes first: urgency and whether it is of use in parts (RFC 9218 §4).

use super::dictionary::{self, Item};

/// The priority of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Priority {
    /// 0, the most urgent, to 7.
    pub urgency: u8,
    /// Whether parts of the answer are of use before the rest: such answers share the connection.
    pub incremental: bool,
}

impl Default for Priority {
    fn default() -> Self {
        Self { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// Reads the value of a `priority` field that is alone, or of PRIORITY_UPDATE, as [`PriorityField`] does.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let mut field = PriorityField::default();
        field.add(value);
        field.over(Self::default())
    }
}

/// What the `priority` field of a message says: all of its lines together are one dictionary (RFC 9218 §5, RFC 8941 §4.2),
/// of which `u` and `i` count. The last of a repeated member counts, and one of another type or out of range is as if it were
/// not there. What cannot be read, a comma without a member between two lines included, says nothing at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PriorityField {
    urgency: Option<u8>,
    incremental: Option<bool>,
    lines: Lines,
}

/// What came of a field's lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Lines {
    /// None.
    #[default]
    None,
    /// One without members, to which no other can be joined.
    Blank,
    /// Some with members.
    Good,
    /// One that is no dictionary.
    Unreadable,
}

impl PriorityField {
    /// Takes the value of one more line.
    pub fn add(&mut self, value: &[u8]) {
        let blank = value.iter().all(|&byte| byte == b' ');
        self.lines = match (self.lines, blank) {
            (Lines::None, true) => Lines::Blank,
            (Lines::None | Lines::Good, false) => Lines::Good,
            _ => Lines::Unreadable,
        };
        let Self { urgency, incremental, lines } = self;
        let read = dictionary::read(value, &mut |key, item| match (key, item) {
            (b"u", Item::Integer(value)) => *urgency = u8::try_from(value).ok().filter(|urgency| *urgency <= 7),
            (b"u", _) => *urgency = None,
            (b"i", Item::Boolean(value)) => *incremental = Some(value),
            (b"i", _) => *incremental = None,
            _ => {}
        });
        if read.is_err() {
            *lines = Lines::Unreadable;
        }
    }

    /// Whether the message has no such field.
    #[inline]
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.lines == Lines::None
    }

    /// The priority where this is said over `other`: what it does not say stays. A request's is said over the default, a
    /// response's over its request's (RFC 9218 §8).
    #[inline]
    #[must_use]
    pub fn over(&self, other: Priority) -> Priority {
        if self.lines != Lines::Good {
            return other;
        }
        Priority {
            urgency: self.urgency.unwrap_or(other.urgency),
            incremental: self.incremental.unwrap_or(other.incremental),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> (u8, bool) {
        let Priority { urgency, incremental } = Priority::parse(value.as_bytes());
        (urgency, incremental)
    }

    #[test]
    fn urgency_and_incremental_are_read() {
        for (value, expected) in [
            ("", (3, false)),
            ("u=0", (0, false)),
            ("u=7, i", (7, true)),
            ("i", (3, true)),
            ("i=?1", (3, true)),
            ("i=?0", (3, false)),
            ("  u=5 ,\ti  ", (5, true)),
            ("u=1,u=2", (2, false)),
            ("a, u=4;x=1;y, b=\"c,u=1\", c=(1 2)", (4, false)),
            ("i;foo, u=6", (6, true)),
        ] {
            assert_eq!(parse(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_out_of_range_or_of_another_type_is_as_if_it_were_not_there() {
        for value in ["u=8", "u=-1", "u=1.5", "u", "u=\"1\"", "u=?1", "i=1", "i=x", "u=256", "u=1, u=9"] {
            assert_eq!(parse(value), (3, false), "{value}");
        }
        assert_eq!(parse("u=9, i"), (3, true));
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for value in [
            "u=1,",
            "u=1 i",
            "=",
            "U=1",
            "u=",
            "u=1,,i",
            "i=\"",
            "i=(",
            "u=1;",
            "u=2, \u{e9}",
            "u=1, x=@",
            "u=1, x=-",
            "u=1, x=\"\\y\"",
            "u=00000000000000001",
        ] {
            assert_eq!(parse(value), (3, false), "{value}");
        }
    }

    #[test]
    fn the_lines_of_a_field_are_one_dictionary_and_what_it_does_not_say_stays() {
        let over = |lines: &[&str]| {
            let mut field = PriorityField::default();
            assert!(field.is_absent());
            lines.iter().for_each(|line| field.add(line.as_bytes()));
            assert_eq!(field.is_absent(), lines.is_empty());
            let Priority { urgency, incremental } = field.over(Priority { urgency: 5, incremental: true });
            (urgency, incremental)
        };
        for (lines, expected) in [
            (&[][..], (5, true)),
            (&[""], (5, true)),
            (&["u=1"], (1, true)),
            (&["i=?0"], (5, false)),
            (&["u=1", "i=?0"], (1, false)),
            (&["u=1, i=?0", "u=2"], (2, false)),
            (&["u=1", "u=9"], (5, true)),
            (&["u=1", "x"], (1, true)),
            // One line that cannot be read makes the whole unreadable, and so does one that leaves a comma alone.
            (&["u=1", "u=2,"], (5, true)),
            (&["=", "u=1"], (5, true)),
            (&["u=1", ""], (5, true)),
            (&["", "u=1"], (5, true)),
            (&["", "u=1", "u=2"], (5, true)),
        ] {
            assert_eq!(over(lines), expected, "{lines:?}");
        }
    }
}
