//! Which fields does a rule set on its answers: the `headers` of a rule.

use crate::response::{Edit, Response};

/// Fields to set, in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    set: Vec<(Box<str>, Box<str>)>,
}

/// Names a rule may not set, because the framing and the connection are the server's own. All that
/// [`forward_response`](anygate_proto::h1::forward::forward_response) refuses are among them: what is refused, is at load.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "date",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

impl Headers {
    /// Checks and keeps the fields.
    ///
    /// # Errors
    /// The index of the first field that may not be set, and why.
    pub fn new<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, (usize, String)> {
        let mut set = Vec::new();
        for (i, (name, value)) in fields.into_iter().enumerate() {
            if !anygate_proto::text::is_token(name.as_bytes()) {
                return Err((i, format!("`{name}` is not a field name")));
            }
            if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
                return Err((i, format!("`{name}` belongs to the server and cannot be set by a rule")));
            }
            if !anygate_proto::text::is_field_value(value.as_bytes()) {
                return Err((i, format!("the value of `{name}` has a control character")));
            }
            set.push((name.into(), value.trim().into()));
        }
        Ok(Self { set })
    }

    /// The fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.set.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Sets them on a response.
    pub(super) fn post(&self, response: &mut Response) {
        for (name, value) in &self.set {
            response.edits.push(Edit::Set(name.clone(), value.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_spoil_every_answer_is_refused_at_load() {
        for name in ["Connection", "TE", "host", "Proxy-Connection", "HTTP2-Settings", "Content-Length", "bad name"] {
            assert_eq!(Headers::new([("X-A", "1"), (name, "x")]).unwrap_err().0, 1, "{name}");
        }
        assert!(Headers::new([("X-A", "a\r\nb")]).is_err());
    }
}
