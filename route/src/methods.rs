//! Which methods does a rule take?

use std::fmt;

use anygate_core::nearest;

/// The methods of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Methods {
    /// Every method but `CONNECT` and `TRACE`.
    Every,
    /// These, in the order they were written; never empty, no repetition.
    Named(Vec<String>),
}

/// A set of methods: one bit for each method a [`Names`] knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Set(pub(crate) u64);

/// Every method that the rules of one table name, as bits.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    own: Vec<Box<[u8]>>,
}

/// Most distinct methods in one table, the nine standard ones included.
pub const MAX_METHODS: usize = 63;

/// The methods that have a bit in every table, in the order `Allow` lists them.
const STANDARD: [&[u8]; 9] = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE"];

impl Methods {
    /// True if a request with this method may come in; naming `GET` lets `HEAD` in too.
    #[must_use]
    pub fn fits(&self, method: &[u8]) -> bool {
        match self {
            Methods::Every => method != b"CONNECT" && method != b"TRACE",
            Methods::Named(_) => self.names(method) || (method == b"HEAD" && self.names(b"GET")),
        }
    }

    /// True if the rule spells this very method.
    #[must_use]
    pub fn names(&self, method: &[u8]) -> bool {
        match self {
            Methods::Every => false,
            Methods::Named(list) => list.iter().any(|m| m.as_bytes() == method),
        }
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Methods::Every => f.write_str("*"),
            Methods::Named(list) => f.write_str(&list.join(" ")),
        }
    }
}

impl Set {
    pub(crate) const NONE: Set = Set(0);
    pub(crate) const GET: Set = Set(1);
    pub(crate) const HEAD: Set = Set(1 << 1);
    /// What files answer.
    pub(crate) const READING: Set = Set(0b11);
    pub(crate) const OPTIONS: Set = Set(1 << 6);
    /// Standard methods that a rule for every method takes.
    pub(crate) const USUAL: Set = Set(0b0_0111_1111);
    /// What a rule must name.
    pub(crate) const GUARDED: Set = Set(0b1_1000_0000);
    /// Stands for every method that no rule names.
    pub(crate) const UNNAMED: Set = Set(1 << MAX_METHODS);
    /// What a rule for every method takes.
    pub(crate) const EVERY: Set = Set(!Set::GUARDED.0);

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn and(self, other: Set) -> Set {
        Set(self.0 & other.0)
    }

    pub(crate) fn or(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Set) -> Set {
        Set(self.0 & !other.0)
    }

    pub(crate) fn meets(self, other: Set) -> bool {
        self.0 & other.0 != 0
    }

    /// The same set where naming `GET` also takes `HEAD`.
    pub(crate) fn with_head(self) -> Set {
        if self.meets(Set::GET) { self.or(Set::HEAD) } else { self }
    }
}

impl Names {
    pub(crate) fn new() -> Self {
        Self { own: Vec::new() }
    }

    /// The set a rule names; `None` if that would need more than [`MAX_METHODS`] bits.
    pub(crate) fn intern(&mut self, methods: &Methods) -> Option<Set> {
        let Methods::Named(list) = methods else { return Some(Set::EVERY) };
        let mut set = Set::NONE;
        for name in list {
            let mut bit = self.bit(name.as_bytes());
            if bit == Set::UNNAMED {
                if STANDARD.len() + self.own.len() == MAX_METHODS {
                    return None;
                }
                self.own.push(name.as_bytes().into());
                bit = self.bit(name.as_bytes());
            }
            set = set.or(bit);
        }
        Some(set)
    }

    /// The bit of a method, or [`Set::UNNAMED`].
    pub(crate) fn bit(&self, method: &[u8]) -> Set {
        let at = match method {
            b"GET" => 0,
            b"HEAD" => 1,
            b"POST" => 2,
            b"PUT" => 3,
            b"PATCH" => 4,
            b"DELETE" => 5,
            b"OPTIONS" => 6,
            b"CONNECT" => 7,
            b"TRACE" => 8,
            other => match self.own.iter().position(|m| **m == *other) {
                Some(at) => STANDARD.len() + at,
                None => return Set::UNNAMED,
            },
        };
        Set(1 << at)
    }

    /// The methods of a set in the order `Allow` lists them.
    pub(crate) fn of(&self, set: Set) -> impl Iterator<Item = &[u8]> {
        STANDARD
            .into_iter()
            .chain(self.own.iter().map(|m| &**m))
            .enumerate()
            .filter(move |(at, _)| set.meets(Set(1 << at)))
            .map(|(_, name)| name)
    }
}

/// True for the bytes of a token (RFC 9110 §5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The standard method that this one, which is none, is probably a slip of: `GETT`, `POTS`.
pub(crate) fn misspelt(word: &str) -> Option<&'static str> {
    let known = || STANDARD.iter().filter_map(|name| std::str::from_utf8(name).ok());
    if known().any(|name| name == word) {
        return None;
    }
    // `BATCH` and `MATCH` are methods that somebody may want.
    nearest(word, known().filter(|name| name.as_bytes().first() == word.as_bytes().first()))
}

/// The standard method a misspelt one probably means.
pub(crate) fn standard(word: &str) -> Option<&'static str> {
    STANDARD
        .iter()
        .filter_map(|m| std::str::from_utf8(m).ok())
        .chain(["PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "PURGE"])
        .find(|m| m.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(list: &[&str]) -> Methods {
        Methods::Named(list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_method_leaves_connect_and_trace_out() {
        assert!(Methods::Every.fits(b"BREW"));
        assert!(!Methods::Every.fits(b"CONNECT"));
        assert!(!Methods::Every.fits(b"TRACE"));
        assert!(named(&["TRACE"]).fits(b"TRACE"));
    }

    #[test]
    fn get_takes_head_and_methods_are_case_sensitive() {
        assert!(named(&["GET"]).fits(b"HEAD"));
        assert!(!named(&["GET"]).fits(b"get"));
        assert!(!named(&["POST"]).fits(b"HEAD"));
    }

    #[test]
    fn a_set_keeps_own_methods_apart_and_lists_them_in_order() {
        let mut names = Names::new();
        let set = names.intern(&named(&["RPC", "GET", "PROPFIND"])).expect("few methods");
        let list: Vec<&[u8]> = names.of(set).collect();
        assert_eq!(list, [&b"GET"[..], b"RPC", b"PROPFIND"]);
        assert_eq!(names.bit(b"NEVER"), Set::UNNAMED);
        assert!(Set::EVERY.meets(Set::UNNAMED));
        assert!(!Set::EVERY.meets(names.bit(b"TRACE")));
    }

    #[test]
    fn a_table_that_names_too_many_methods_is_refused() {
        let mut names = Names::new();
        for n in STANDARD.len()..MAX_METHODS {
            assert!(names.intern(&named(&[&format!("M{n}")])).is_some());
        }
        assert!(names.intern(&named(&["ONE-MORE"])).is_none());
        assert!(names.intern(&named(&["GET", "M20"])).is_some());
    }
}
