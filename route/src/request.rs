//! Which request does a line of text mean?

use std::fmt;

use crate::table::Lookup;

/// What of a request the route language looks at: `GET http://api.example.com/users/42?full=1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Case-sensitive.
    pub method: String,
    /// With its port, if one was written; may be empty.
    pub host: String,
    /// Without the query.
    pub path: String,
    /// Without its `?`.
    pub query: Option<String>,
}

impl Request {
    /// Reads `METHOD TARGET`, where the target is a path, `host/path` or a whole URI.
    ///
    /// # Errors
    ///
    /// One sentence that says what is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let (Some(method), Some(target), None) = (words.next(), words.next(), words.next()) else {
            return Err("a request is a method and a path: `GET /users/42`".into());
        };
        let rest = ["http://", "https://"].iter().find_map(|scheme| target.strip_prefix(scheme)).unwrap_or(target);
        let rest = rest.split('#').next().unwrap_or_default();
        let (before_query, query) = match rest.split_once('?') {
            Some((before, query)) => (before, Some(query.to_owned())),
            None => (rest, None),
        };
        let slash = before_query.find('/').unwrap_or(before_query.len());
        let (host, path) = before_query.split_at(slash);
        if path.is_empty() && rest.len() == target.len() {
            return Err(format!("`{target}` is no path: write `{method} /{target}`"));
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { method: method.to_owned(), host: host.to_owned(), path: path.to_owned(), query })
    }

    /// What of it decides the rule.
    #[must_use]
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup { method: self.method.as_bytes(), host: self.host.as_bytes(), path: self.path.as_bytes() }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.method)?;
        if !self.host.is_empty() {
            write!(f, "http://{}", self.host)?;
        }
        f.write_str(&self.path)?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_path_a_host_with_a_path_or_a_uri() {
        for (text, host, path, query) in [
            ("GET /a", "", "/a", None),
            ("GET /a?", "", "/a", Some("")),
            ("GET example.com/a?x=/1", "example.com", "/a", Some("x=/1")),
            ("GET http://example.com:81/a", "example.com:81", "/a", None),
            ("GET https://example.com", "example.com", "/", None),
            ("GET http://[::1]?q#f", "[::1]", "/", Some("q")),
        ] {
            let request = Request::parse(text).expect(text);
            assert_eq!((request.host.as_str(), request.path.as_str(), request.query.as_deref()), (host, path, query));
        }
    }

    #[test]
    fn what_lacks_a_method_or_a_path_is_no_request() {
        for text in ["", "/a", "GET", "GET a", "GET /a b"] {
            assert!(Request::parse(text).is_err(), "{text}");
        }
    }
}
