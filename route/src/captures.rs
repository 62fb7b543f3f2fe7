//! What did a rule's parameters, splat and subtree stand for in one request?

use crate::pattern::{Pattern, split_first};

/// A rule's pattern laid over the path it matched. Copies nothing; everything keeps its percent-encoding.
#[derive(Debug, Clone, Copy)]
pub struct Captures<'a> {
    pattern: &'a Pattern,
    path: &'a [u8],
}

impl<'a> Captures<'a> {
    /// Lays `pattern` over `path`, the forward form of a path that fits it ([`crate::Scratch::forward_path`]).
    #[must_use]
    pub fn new(pattern: &'a Pattern, path: &'a [u8]) -> Self {
        Self { pattern, path }
    }

    /// The path to forward: as it came, dot segments resolved, slashes merged.
    #[must_use]
    pub fn forward_path(&self) -> &'a [u8] {
        self.path
    }

    /// The value of a parameter.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        self.params().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// Every parameter with its value, from the left.
    pub fn params(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let pattern = self.pattern;
        let mut rest = self.path;
        let mut seen = 0;
        pattern.params().map(move |(name, at)| {
            rest = skip(rest, at - seen);
            seen = at;
            (name, split_first(rest).map_or(&[][..], |(value, _)| value))
        })
    }

    /// The value of the segment at a place.
    pub(crate) fn segment(&self, at: usize) -> &'a [u8] {
        split_first(skip(self.path, at)).map_or(&[], |(value, _)| value)
    }

    /// What the head matched beyond its literal prefix, without the slash before it.
    #[must_use]
    pub fn tail(&self) -> &'a [u8] {
        after(self.path, self.pattern.literal_prefix())
    }

    /// What the `*` or the final `/` of the head matched, without the slash before it; empty where the head has neither.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        if self.pattern.has_rest() { after(self.path, self.pattern.segments.len()) } else { &[] }
    }
}

fn skip(mut path: &[u8], segments: usize) -> &[u8] {
    for _ in 0..segments {
        path = split_first(path).map_or(&[], |(_, after)| after);
    }
    path
}

fn after(path: &[u8], segments: usize) -> &[u8] {
    skip(path, segments).get(1..).unwrap_or_default()
}
