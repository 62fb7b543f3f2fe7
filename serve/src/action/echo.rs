//! The request itself: what arrived, as JSON or, for `Accept: text/plain`, as text.
//!
//! ```json
//! {"method": "POST", "target": "/a/7?x=1", "version": "HTTP/1.1", "peer": "192.0.2.7:50312",
//!  "params": {"id": "7"}, "headers": {"Host": "a.example", "Via": ["1.1 b", "1.1 c"]},
//!  "body": "hello", "body_size": 5}
//! ```
//!
//! A field that came once is a text, one that came repeatedly a list. `client` stands beside `peer` where a trusted proxy
//! named another address. A body that is not UTF-8 is `body_base64`; one that is longer than `echo.body` is cut, and
//! `body_size` tells how long it was.

use std::str;

use anygate_proto::RequestView;
use anygate_proto::known::Known;
use anygate_proto::negotiate;
use serde_json::{Map, Value};

use crate::body::{Body, Chunk};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::response::Response;

/// Stands for a value that must not be shown.
const MASK: &str = "***";
/// Fields whose values are credentials.
const MASKED: [Known; 3] = [Known::Authorization, Known::ProxyAuthorization, Known::Cookie];

/// A compiled echo.
#[derive(Debug, Clone)]
pub struct Echo {
    status: u16,
    body_limit: usize,
}

impl Echo {
    /// Answers with `status` and up to `body_limit` bytes of the request's body.
    #[must_use]
    pub fn new(status: u16, body_limit: usize) -> Self {
        Self { status, body_limit }
    }

    /// Reads the body to its end, keeps its first bytes, and answers.
    ///
    /// # Errors
    /// The body was too long, too slow or cut short.
    pub async fn respond(&self, exchange: &mut Exchange) -> Result<Response, Error> {
        let mut kept = Kept { bytes: Vec::new(), limit: self.body_limit, size: 0 };
        loop {
            match exchange.body.chunk().await? {
                Chunk::Bytes(bytes) => kept.add(&bytes),
                Chunk::File(range) => kept.size += range.len,
                Chunk::Trailers(_) | Chunk::End => break,
            }
        }
        let view = exchange.head.view();
        let captures = exchange.live.plan.table.captures(exchange.rule as u32, view.path(), &exchange.matched);
        let raw = &exchange.peer.raw;
        let client = exchange.peer.effective.filter(|ip| raw.ip().is_none_or(|raw| raw.ip() != *ip));
        let seen = Seen {
            view,
            peer: raw.to_string(),
            client: client.map(|ip| ip.to_string()),
            params: captures.params().map(|(name, value)| (name, lossy(value))).collect(),
            body: kept,
        };
        let (content_type, content) = match negotiate::media_type(view, &["application/json", "text/plain"]) {
            Some(1) => ("text/plain; charset=utf-8", seen.text()),
            _ => ("application/json", seen.json()),
        };
        let lines = format!(
            "Content-Type: {content_type}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nVary: Accept\r\n"
        );
        let content = Body::Bytes(exchange.server.lend(content));
        Ok(Response::new(self.status, exchange.server.lend(lines.into_bytes()), content))
    }
}

/// The first bytes of a body, and how long it was.
struct Kept {
    bytes: Vec<u8>,
    limit: usize,
    size: u64,
}

impl Kept {
    fn add(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        let room = self.limit - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The kept bytes as text, if they are UTF-8; a character that the limit cut in two is left out.
    fn text(&self) -> Option<&str> {
        match str::from_utf8(&self.bytes) {
            Ok(text) => Some(text),
            Err(error) if error.error_len().is_none() && self.size > self.bytes.len() as u64 => {
                str::from_utf8(&self.bytes[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        }
    }
}

/// What is told about a request.
struct Seen<'a> {
    view: RequestView<'a>,
    peer: String,
    client: Option<String>,
    params: Vec<(&'a str, String)>,
    body: Kept,
}

impl Seen<'_> {
    /// Names and values in the order they came, credentials masked. The host of a request of HTTP/2, which is no field there,
    /// comes first, as a server behind would get it.
    fn fields(&self) -> impl Iterator<Item = (String, String)> {
        let bytes = self.view.bytes;
        let fields = self.view.fields.iter().map(move |field| {
            let value = if MASKED.contains(&field.known) { MASK.to_owned() } else { lossy(field.value.of(bytes)) };
            (lossy(field.name.of(bytes)), value)
        });
        self.view.unsaid_host().map(|host| ("host".to_owned(), lossy(host))).into_iter().chain(fields)
    }

    fn json(&self) -> Vec<u8> {
        let mut root = Map::new();
        let mut put = |name: &str, value: Value| root.insert(name.to_owned(), value);
        put("method", lossy(self.view.method()).into());
        put("target", lossy(self.view.target()).into());
        put("version", self.view.request.version.name().into());
        put("peer", self.peer.as_str().into());
        if let Some(client) = &self.client {
            put("client", client.as_str().into());
        }
        let params = self.params.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into()));
        put("params", Value::Object(params.collect()));
        put("headers", Value::Object(headers(self.fields())));
        match self.body.text() {
            Some(text) => put("body", text.into()),
            None => put("body_base64", base64(&self.body.bytes).into()),
        };
        put("body_size", self.body.size.into());
        let mut out = serde_json::to_vec_pretty(&root).unwrap_or_default();
        out.push(b'\n');
        out
    }

    fn text(&self) -> Vec<u8> {
        let mut out = format!(
            "{} {} {}\n",
            lossy(self.view.method()),
            lossy(self.view.target()),
            self.view.request.version.name()
        );
        for (name, value) in self.fields() {
            out.push_str(&format!("{name}: {value}\n"));
        }
        out.push_str(&format!("\npeer: {}\n", self.peer));
        if let Some(client) = &self.client {
            out.push_str(&format!("client: {client}\n"));
        }
        for (name, value) in &self.params {
            out.push_str(&format!("param {name}: {value}\n"));
        }
        if self.body.size > 0 {
            out.push_str(&format!("body: {} bytes\n\n", self.body.size));
            match self.body.text() {
                Some(text) => out.push_str(text),
                None => out.push_str(&String::from_utf8_lossy(&self.body.bytes)),
            }
            out.push('\n');
        }
        out.into_bytes()
    }
}

/// One entry for each name, whatever its case, under its first spelling; a list where it came more than once.
fn headers(fields: impl Iterator<Item = (String, String)>) -> Map<String, Value> {
    let mut grouped: Vec<(String, Vec<Value>)> = Vec::new();
    for (name, value) in fields {
        match grouped.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some((_, values)) => values.push(value.into()),
            None => grouped.push((name, vec![value.into()])),
        }
    }
    let single = |mut values: Vec<Value>| if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
    grouped.into_iter().map(|(name, values)| (name, single(values))).collect()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// RFC 4648 §4, padded.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().enumerate().fold(0, |word, (at, byte)| word | u32::from(*byte) << (16 - 8 * at));
        for at in 0..4 {
            let sextet = (word >> (18 - 6 * at)) & 63;
            out.push(if at <= group.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use anygate_proto::h1::request::parse_request;
    use anygate_proto::h1::{Limits, Parsed};
    use anygate_proto::head::Fields;

    use super::*;

    const HEAD: &str = "POST /a/7?x=1 HTTP/1.1\r\nHost: a.example\r\nvia: 1.1 b\r\nAuthorization: Bearer s3cret\r\n\
                        Via: 1.1 c\r\nCookie: sid=s3cret\r\nContent-Length: 5\r\n\r\n";

    fn kept(bytes: &[u8], limit: usize) -> Kept {
        let mut kept = Kept { bytes: Vec::new(), limit, size: 0 };
        bytes.chunks(2).for_each(|chunk| kept.add(chunk));
        kept
    }

    fn told(body: Kept, json: bool) -> String {
        let mut fields = Fields::new();
        let Ok(Parsed::Complete(request)) = parse_request(HEAD.as_bytes(), &Limits::default(), &mut fields) else {
            panic!("a good head");
        };
        let seen = Seen {
            view: request.view(HEAD.as_bytes(), &fields),
            peer: "192.0.2.7:50312".into(),
            client: Some("198.51.100.1".into()),
            params: vec![("id", "7".into())],
            body,
        };
        String::from_utf8(if json { seen.json() } else { seen.text() }).unwrap()
    }

    #[test]
    fn json_has_everything_and_no_credentials() {
        let json = told(kept(b"hello", 4096), true);
        assert!(!json.contains("s3cret"), "{json}");
        let value: Value = serde_json::from_str(&json).unwrap();
        let expected = serde_json::json!({
            "method": "POST", "target": "/a/7?x=1", "version": "HTTP/1.1",
            "peer": "192.0.2.7:50312", "client": "198.51.100.1", "params": {"id": "7"},
            "headers": {"Host": "a.example", "via": ["1.1 b", "1.1 c"], "Authorization": "***", "Cookie": "***",
                        "Content-Length": "5"},
            "body": "hello", "body_size": 5,
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn text_has_everything_and_no_credentials() {
        let text = told(kept(b"hello", 4096), false);
        assert_eq!(
            text,
            "POST /a/7?x=1 HTTP/1.1\nHost: a.example\nvia: 1.1 b\nAuthorization: ***\nVia: 1.1 c\nCookie: ***\n\
             Content-Length: 5\n\npeer: 192.0.2.7:50312\nclient: 198.51.100.1\nparam id: 7\nbody: 5 bytes\n\nhello\n"
        );
    }

    #[test]
    fn a_body_is_cut_at_its_limit_between_characters() {
        let body = kept("aé€".as_bytes(), 5);
        assert_eq!((body.text(), body.size), (Some("aé"), 6));
        assert_eq!(kept("aé".as_bytes(), 0).text(), Some(""));
        assert_eq!(kept(b"a\xc3", 5).text(), None, "whole and still broken");
    }

    #[test]
    fn a_body_that_is_no_text_is_base64() {
        let json = told(kept(b"\xff\x00", 4096), true);
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["body_base64"], "/wA=");
        assert_eq!(value.get("body"), None);
        assert_eq!([base64(b""), base64(b"f"), base64(b"fo"), base64(b"foo")], ["", "Zg==", "Zm8=", "Zm9v"]);
    }
}
