//! Which media type and which content coding a client would rather have (RFC 9110 §12).

use crate::head::RequestView;
use crate::known::Known;
use crate::text;

/// The candidate an `Accept` weighs highest, the earlier of equals; `None` when it takes none of them. Candidates are
/// media types without parameters. Without `Accept` the first candidate.
#[must_use]
pub fn media_type(view: RequestView<'_>, candidates: &[&str]) -> Option<usize> {
    if !view.fields.has(Known::Accept) {
        return (!candidates.is_empty()).then_some(0);
    }
    let mut best = None;
    for (at, candidate) in candidates.iter().enumerate() {
        let weight = accept_weight(view, candidate);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((at, weight));
        }
    }
    best.map(|(at, _)| at)
}

/// The weight, 0–1000, that `Accept` gives a media type: of the most specific range that fits it (RFC 9110 §12.5.1).
#[must_use]
pub fn accept_weight(view: RequestView<'_>, media_type: &str) -> u16 {
    let media_type = media_type.as_bytes();
    let slash = media_type.iter().position(|&b| b == b'/').unwrap_or(media_type.len());
    let mut found = (0, 0);
    for member in view.list(Known::Accept) {
        let (range, weight) = weighted(member);
        let specific = match range {
            b"*/*" => 1,
            [kind @ .., b'/', b'*'] if kind.eq_ignore_ascii_case(&media_type[..slash]) => 2,
            _ if range.eq_ignore_ascii_case(media_type) => 3,
            _ => continue,
        };
        if specific > found.0 {
            found = (specific, weight);
        }
    }
    found.1
}

/// A content coding AnyGate knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// `gzip`, also asked for as `x-gzip`.
    Gzip,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

impl Encoding {
    /// The token, as in `Content-Encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// What files compressed beforehand end with; empty for identity.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Gzip => ".gz",
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
        }
    }
}

/// The coding to send, of those there are, `available` in the server's order of preference; identity is always there.
/// The client's weights come first, then the server's order, identity last of equals. `None` when the client refuses
/// all, identity too (`identity;q=0` or `*;q=0`): send identity all the same or answer 406 (RFC 9110 §12.5.3).
#[must_use]
pub fn encoding(view: RequestView<'_>, available: &[Encoding]) -> Option<Encoding> {
    if !view.fields.has(Known::AcceptEncoding) {
        return Some(Encoding::Identity);
    }
    let mut best: Option<(Encoding, u16)> = None;
    for &coding in available.iter().filter(|&&coding| coding != Encoding::Identity).chain(&[Encoding::Identity]) {
        let weight = coding_weight(view, coding);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((coding, weight));
        }
    }
    best.map(|(coding, _)| coding)
}

/// The weight `Accept-Encoding` gives a coding. What is not named is not acceptable, but identity, which weighs the
/// least there is unless it is refused.
fn coding_weight(view: RequestView<'_>, coding: Encoding) -> u16 {
    let mut any = None;
    for member in view.list(Known::AcceptEncoding) {
        let (name, weight) = weighted(member);
        if name.eq_ignore_ascii_case(coding.name().as_bytes())
            || coding == Encoding::Gzip && name.eq_ignore_ascii_case(b"x-gzip")
        {
            return weight;
        }
        if name == b"*" {
            any = Some(weight);
        }
    }
    match (any, coding) {
        (Some(weight), _) => weight,
        (None, Encoding::Identity) => 1,
        (None, _) => 0,
    }
}

/// A list member without parameters, and its weight in thousandths: 1000 when there is none, 0 when it cannot be read.
fn weighted(member: &[u8]) -> (&[u8], u16) {
    let mut parts = text::split(member, b';');
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| match part {
        [b'q' | b'Q', rest @ ..] => {
            let rest = text::trim(rest).strip_prefix(b"=")?;
            Some(text::weight(text::trim(rest)).unwrap_or(0))
        }
        _ => None,
    });
    (name, weight.unwrap_or(1000))
}
