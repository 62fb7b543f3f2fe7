//! The same answer to everyone: an image made at load for the short way, and its parts for the long one.

use std::sync::Arc;

use anygate_core::status;
use anygate_proto::Reject;
use anygate_proto::h1::write::{Answer, Image, Persistence};
use anygate_proto::h2::hpack::Block;
use anygate_proto::head::BodyLength;
use anygate_route::Fixed as Rule;
use anygate_shard::Bytes;

use crate::body::Body;
use crate::filter::Headers;
use crate::response::Response;

/// A fixed answer, with the rule's own fields in it.
#[derive(Debug, Clone)]
pub struct Fixed {
    image: Image,
    /// The head for HTTP/2; none where HTTP/2 has no such field.
    block: Option<Arc<Block>>,
    lines: Arc<[u8]>,
    body: Arc<[u8]>,
}

impl Fixed {
    /// Compiles a rule's answer; `headers` are set over the answer's own fields, so a rule may choose the `Content-Type`.
    /// `server` is the `Server` field, empty for none.
    ///
    /// # Errors
    /// A field that cannot be written ([`Answer::write`]); [`Headers`] and the loader let none through.
    pub fn compile(rule: &Rule, headers: &Headers, server: &str) -> Result<Self, Reject> {
        let mut fields: Vec<(&str, &[u8])> = Vec::new();
        if let Some(content_type) = rule.content_type {
            fields.push(("Content-Type", content_type.as_bytes()));
        }
        fields.push(("X-Content-Type-Options", b"nosniff"));
        for (name, value) in headers.iter() {
            fields.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
            fields.push((name, value.as_bytes()));
        }
        let body = rule.body.as_deref().unwrap_or_default().as_bytes();
        let answer = Answer {
            status: rule.status,
            server,
            fields: &fields,
            body: BodyLength::Length(body.len() as u64),
            persistence: Persistence::Implied,
        };
        let image = Image::compile(&answer, body)?;
        let mut lines = Vec::new();
        for (name, value) in &fields {
            lines.extend_from_slice(name.as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value);
            lines.extend_from_slice(b"\r\n");
        }
        let block = compile_block(&answer, body.len()).map(Arc::new);
        Ok(Self { image, block, lines: lines.into(), body: body.into() })
    }

    /// The whole answer for HTTP/2: its head, and its content.
    #[inline]
    #[must_use]
    pub fn block(&self) -> Option<(&Block, &[u8])> {
        let content: &[u8] = if status::forbids_body(self.image.status()) { &[] } else { &self.body };
        Some((self.block.as_deref()?, content))
    }

    /// The whole answer in all its forms.
    #[inline]
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The answer for the long way: a request with a body, of HTTP/1.0, or the last one of its connection.
    #[must_use]
    pub fn respond(&self) -> Response {
        let body = if self.body.is_empty() { Body::Empty } else { Body::Bytes(Bytes::from(Arc::clone(&self.body))) };
        Response::new(self.image.status(), Bytes::from(Arc::clone(&self.lines)), body)
    }
}

/// The head of an answer for HTTP/2, as [`Image`] has it for HTTP/1.1; `length` is its content's.
pub(crate) fn compile_block(answer: &Answer<'_>, length: usize) -> Option<Block> {
    let length = match answer.status {
        304 => None,
        forbidden if status::forbids_body(forbidden) => (forbidden == 205).then_some(0),
        _ => Some(length),
    };
    let length = length.map(|length| length.to_string());
    let server = (!answer.server.is_empty()).then_some((&b"server"[..], answer.server.as_bytes()));
    let fields = answer.fields.iter().map(|(name, value)| (name.as_bytes(), *value));
    let length = length.as_ref().map(|length| (&b"content-length"[..], length.as_bytes()));
    Block::compile(answer.status, server.into_iter().chain(fields).chain(length), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::FieldSource;

    fn fixed(body: Option<&str>, headers: &[(&str, &str)]) -> Fixed {
        let content_type = body.map(|_| "text/plain; charset=utf-8");
        let rule = Rule { status: 200, body: body.map(str::to_owned), content_type };
        Fixed::compile(&rule, &Headers::new(headers.iter().copied()).unwrap(), "gate").unwrap()
    }

    fn lines(response: &Response) -> String {
        let FieldSource::Lines(lines) = &response.fields else { panic!("a fixed answer brings its own lines") };
        String::from_utf8(lines.to_vec()).unwrap()
    }

    #[test]
    fn the_image_holds_head_and_body_and_the_parts_hold_the_same() {
        let fixed = fixed(Some("hello"), &[("Cache-Control", "no-store")]);
        let image = String::from_utf8(fixed.image().bytes(false, Persistence::Implied).to_vec()).unwrap();
        assert!(image.starts_with("HTTP/1.1 200 OK\r\nDate: "));
        assert!(image.contains("\r\nServer: gate\r\n"));
        assert!(image.ends_with("\r\nContent-Length: 5\r\n\r\nhello"));
        let response = fixed.respond();
        assert!(image.contains(&lines(&response)), "{image}");
        assert_eq!(response.body.len_hint(), Some(5));
    }

    #[test]
    fn a_rules_fields_replace_the_answers_own_whatever_their_case() {
        let fixed = fixed(Some("<p>hi"), &[("content-type", "text/html"), ("Cache-Control", "no-store")]);
        assert_eq!(
            lines(&fixed.respond()),
            "X-Content-Type-Options: nosniff\r\ncontent-type: text/html\r\nCache-Control: no-store\r\n"
        );
    }

    #[test]
    fn an_answer_without_a_body_has_length_zero_and_no_type() {
        let fixed = fixed(None, &[]);
        let image = String::from_utf8(fixed.image().bytes(false, Persistence::Implied).to_vec()).unwrap();
        assert!(image.ends_with("\r\nContent-Length: 0\r\n\r\n"));
        assert!(!image.contains("Content-Type:"));
        assert!(fixed.respond().body.is_empty());
    }
}
