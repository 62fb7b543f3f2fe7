//! What text does a target become once a request's parts are filled in?

use crate::captures::Captures;
use crate::path::encoded;

/// A text with holes: the path and query of a proxy target, or the `Location` of a redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(crate) path: Vec<Piece>,
    pub(crate) query: Option<Vec<Piece>>,
    /// With its `#`, or empty.
    pub(crate) fragment: String,
    pub(crate) place: Place,
}

/// One piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// As it stands.
    Text(String),
    /// The segment of the request's path at this place.
    Segment(usize),
    /// What the head's `*` or final `/` matched.
    Rest,
}

/// Where a filled-in text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// To an upstream's request line.
    Upstream,
    /// To a browser.
    Location,
}

impl Template {
    /// Appends the filled-in text and the request's query, which stands after the template's own.
    ///
    /// A `Location` never begins `//` or `/\` unless the rule itself does.
    pub fn render(&self, captures: &Captures<'_>, query: Option<&[u8]>, out: &mut Vec<u8>) {
        let start = out.len();
        self.render_path(captures, out);
        if self.place == Place::Location && !self.leads_away() {
            keep_on_this_host(out, start);
        }
        self.render_query(captures, query, out);
        out.extend_from_slice(self.fragment.as_bytes());
    }

    pub(crate) fn render_path(&self, captures: &Captures<'_>, out: &mut Vec<u8>) {
        for piece in &self.path {
            match (piece.value(captures), self.place) {
                (Err(text), _) => out.extend_from_slice(text.as_bytes()),
                (Ok(value), Place::Upstream) => out.extend_from_slice(value),
                (Ok(value), Place::Location) => escape(value, |b| b == b'#', out),
            }
        }
    }

    pub(crate) fn render_query(&self, captures: &Captures<'_>, request: Option<&[u8]>, out: &mut Vec<u8>) {
        if let Some(own) = &self.query {
            out.push(b'?');
            for piece in own {
                match piece.value(captures) {
                    Err(text) => out.extend_from_slice(text.as_bytes()),
                    Ok(value) => escape(value, |b| matches!(b, b'&' | b'=' | b'+' | b';' | b'#'), out),
                }
            }
        }
        let Some(request) = request else { return };
        match &self.query {
            None => out.push(b'?'),
            Some(own) if !own.is_empty() && !request.is_empty() => out.push(b'&'),
            Some(_) => {}
        }
        match self.place {
            Place::Upstream => out.extend_from_slice(request),
            Place::Location => escape_query(request, out),
        }
    }

    /// True if the rule's own text begins `//` or `/\`.
    fn leads_away(&self) -> bool {
        match self.path.first() {
            Some(Piece::Text(text)) => text.starts_with("//") || text.starts_with("/\\"),
            _ => false,
        }
    }
}

impl Piece {
    fn value<'a>(&'a self, captures: &Captures<'a>) -> Result<&'a [u8], &'a str> {
        match self {
            Piece::Text(text) => Err(text),
            Piece::Segment(at) => Ok(captures.segment(*at)),
            Piece::Rest => Ok(captures.rest()),
        }
    }
}

/// Appends a request's query as a `Location` may hold it.
pub(crate) fn escape_query(query: &[u8], out: &mut Vec<u8>) {
    escape(query, |b| !(0x21..=0x7e).contains(&b) || b == b'#', out);
}

/// Appends `text` with the bytes that would end or split the place it goes to percent-encoded.
pub(crate) fn escape(text: &[u8], special: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    for byte in text.iter().copied() {
        if special(byte) {
            out.extend_from_slice(&encoded(byte));
        } else {
            out.push(byte);
        }
    }
}

/// Makes `//x` and `/\x`, which browsers read as another host, one slash.
fn keep_on_this_host(out: &mut Vec<u8>, start: usize) {
    if out.get(start) != Some(&b'/') {
        return;
    }
    let more = out[start + 1..].iter().take_while(|b| matches!(b, b'/' | b'\\')).count();
    out.drain(start + 1..start + 1 + more);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::{End, Pattern, Segment};

    fn pattern(params: &[&str], end: End) -> Pattern {
        let mut segments = vec![Segment::Literal("old".into())];
        segments.extend(params.iter().map(|p| Segment::Param((*p).into())));
        Pattern { segments, end }
    }

    fn text(t: &str) -> Piece {
        Piece::Text(t.into())
    }

    fn filled(template: &Template, pattern: &Pattern, path: &str, query: Option<&str>) -> String {
        let mut out = b"<".to_vec();
        template.render(&Captures::new(pattern, path.as_bytes()), query.map(str::as_bytes), &mut out);
        String::from_utf8_lossy(&out[1..]).into_owned()
    }

    #[test]
    fn the_requests_query_stands_after_the_own_one_and_before_the_fragment() {
        let template = Template {
            path: vec![text("/new/"), Piece::Segment(1)],
            query: Some(vec![text("id="), Piece::Segment(1)]),
            fragment: "#top".into(),
            place: Place::Location,
        };
        let pattern = pattern(&["id"], End::Exact);
        assert_eq!(filled(&template, &pattern, "/old/7", None), "/new/7?id=7#top");
        assert_eq!(filled(&template, &pattern, "/old/7", Some("x=1")), "/new/7?id=7&x=1#top");
        assert_eq!(filled(&template, &pattern, "/old/7", Some("")), "/new/7?id=7#top");
        let bare = Template { query: None, ..template };
        assert_eq!(filled(&bare, &pattern, "/old/7", Some("x=1")), "/new/7?x=1#top");
    }

    #[test]
    fn a_filled_in_location_stays_on_this_host() {
        let template = Template {
            path: vec![text("/"), Piece::Rest],
            query: None,
            fragment: String::new(),
            place: Place::Location,
        };
        let pattern = pattern(&[], End::Splat);
        assert_eq!(filled(&template, &pattern, "/old//evil.example/x", None), "/evil.example/x");
        assert_eq!(filled(&template, &pattern, "/old///evil.example", None), "/evil.example");
        let own = Template { path: vec![text("//cdn.example/"), Piece::Rest], ..template };
        assert_eq!(filled(&own, &pattern, "/old/x", None), "//cdn.example/x");
    }

    #[test]
    fn a_value_cannot_add_a_parameter_to_a_query_nor_a_fragment() {
        let template = Template {
            path: vec![text("/s/"), Piece::Segment(1)],
            query: Some(vec![text("q="), Piece::Segment(1)]),
            fragment: String::new(),
            place: Place::Location,
        };
        let pattern = pattern(&["q"], End::Exact);
        assert_eq!(filled(&template, &pattern, "/old/a&b=%20#c", None), "/s/a&b=%20%23c?q=a%26b%3D%20%23c");
    }
}
