//! Which paths does a rule's head describe?

use std::fmt;

/// The path of one rule: whole segments, and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// What stands between the slashes, from the left; at most [`MAX_SEGMENTS`].
    pub segments: Vec<Segment>,
    /// What may follow the last segment.
    pub end: End,
}

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// This text, in matching form.
    Literal(String),
    /// Any non-empty segment, under this name.
    Param(String),
}

/// How a pattern ends. The order is the order in which they win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// `/ping`: that path alone.
    Exact,
    /// `/v1/{$}`: that path with its slash alone.
    Slash,
    /// `/v1/`: the whole subtree, and `/v1` itself.
    Subtree,
    /// `/v1/*`: the rest, possibly empty; the slash before it is needed.
    Splat,
}

/// Most segments in one pattern; it bounds how deep matching goes.
pub const MAX_SEGMENTS: usize = 64;

impl Pattern {
    /// True if a path in matching form fits.
    #[must_use]
    pub fn fits(&self, path: &[u8]) -> bool {
        let mut rest = path;
        for segment in &self.segments {
            let Some((text, after)) = split_first(rest) else { return false };
            let fits = match segment {
                Segment::Literal(own) => own.as_bytes() == text,
                Segment::Param(_) => !text.is_empty(),
            };
            if !fits {
                return false;
            }
            rest = after;
        }
        match self.end {
            End::Exact => rest.is_empty(),
            End::Slash => rest == b"/",
            End::Subtree => true,
            End::Splat => !rest.is_empty(),
        }
    }

    /// How many segments at the left are literal.
    #[must_use]
    pub fn literal_prefix(&self) -> usize {
        self.segments.iter().take_while(|s| matches!(s, Segment::Literal(_))).count()
    }

    /// The names of its parameters with the segment each stands for, from the left.
    pub fn params(&self) -> impl Iterator<Item = (&str, usize)> {
        self.segments.iter().enumerate().filter_map(|(at, segment)| match segment {
            Segment::Param(name) => Some((name.as_str(), at)),
            Segment::Literal(_) => None,
        })
    }

    /// True if the head ends in `/` or `/*`, so that `*` means something in a target.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        matches!(self.end, End::Subtree | End::Splat)
    }

    /// True if both describe the same paths: names of parameters do not count.
    #[must_use]
    pub fn same_paths(&self, other: &Pattern) -> bool {
        self.end == other.end
            && self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|pair| match pair {
                (Segment::Literal(a), Segment::Literal(b)) => a == b,
                (Segment::Param(_), Segment::Param(_)) => true,
                _ => false,
            })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Param(name) => write!(f, "/:{name}")?,
            }
        }
        f.write_str(match self.end {
            End::Exact => "",
            End::Slash => "/{$}",
            End::Subtree => "/",
            End::Splat => "/*",
        })
    }
}

/// The first segment of `/a/b` and what follows it (`a` and `/b`); nothing of an empty path.
pub(crate) fn split_first(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = path.get(1..)?;
    let end = rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
    Some(rest.split_at(end))
}
