//! How a response's head is written for HTTP/2: a status and fields, without a line about framing or the connection.

use anygate_proto::date;
use anygate_proto::h1::forward::{Edits, ForwardBack, forward_fields};
use anygate_proto::h1::write::Persistence;
use anygate_proto::h2::PriorityField;
use anygate_proto::h2::hpack::{Encoder, Indexing};
use anygate_proto::head::{BodyLength, Version};
use anygate_proto::text;
use smallvec::SmallVec;

use crate::connection::respond::own_fields;
use crate::error::{Error, Kind, Phase, Side};
use crate::hsts::Hsts;
use crate::response::{Edit, FieldSource, Response};

/// Indexes of names in the static table (RFC 7541 appendix A).
const CONTENT_LENGTH: u8 = 28;
const DATE: u8 = 33;

/// What is said besides the response's own fields.
pub(super) struct Besides<'a> {
    /// The status, where it is another than the response's.
    pub(super) status: u16,
    /// What says `content-length`: a length; `None` what a server behind says of its own, if one is; else nothing.
    pub(super) length: BodyLength,
    pub(super) date: &'a [u8; date::LEN],
    /// The `server` field; empty for none.
    pub(super) server: &'a str,
    /// This instance's name in `via`.
    pub(super) id: &'a str,
    pub(super) hsts: Option<&'a Hsts>,
    /// Names that are left out.
    pub(super) without: &'a [&'a str],
}

/// Appends a response's head to a block. What its `priority` says, the caller tells the connection (RFC 9218 §8).
///
/// # Errors
/// 502 where a field that a server behind or a filter gave would have split the response; nothing is to be sent then.
pub(super) fn write(
    response: &Response,
    besides: &Besides<'_>,
    encoder: &mut Encoder,
    block: &mut Vec<u8>,
) -> Result<PriorityField, Error> {
    let mut priority = PriorityField::default();
    let hsts = besides.hsts.map(|hsts| (Hsts::NAME, hsts.value()));
    let mut drop: Vec<&str> = response.edits.iter().filter_map(Edit::drops).collect();
    let mut add: Vec<(&str, &[u8])> = response.edits.iter().filter_map(Edit::adds).collect();
    add.extend(hsts);
    match &response.fields {
        FieldSource::Upstream(head) => {
            drop.extend(hsts.map(|(name, _)| name));
            drop.extend(besides.without);
            let back = ForwardBack {
                version: Version::Http2,
                body: besides.length,
                persistence: Persistence::Implied,
                via: response.via.then_some(besides.id),
                date: besides.date,
                upgrade: false,
                edits: Edits { drop: &drop, add: &add },
            };
            // What the encoder has written it remembers: nothing may be wrong with what follows.
            if !add.is_empty() {
                forward_fields(head.view(), &back, &mut |_, _| {}).map_err(|_| split())?;
            }
            encoder.status(besides.status, block);
            let mut put = |name: &[u8], value: &[u8]| put(name, value, encoder, block, &mut priority);
            forward_fields(head.view(), &back, &mut put).map_err(|_| split())?;
        }
        FieldSource::Lines(lines) => {
            let length = match besides.length {
                BodyLength::Length(length) => Some(length.to_string()),
                _ => None,
            };
            let dropped = |name: &str| drop.iter().any(|drop| drop.eq_ignore_ascii_case(name));
            let mut fields: SmallVec<[(&str, &[u8]); 12]> = SmallVec::new();
            fields.push(("date", besides.date));
            if !besides.server.is_empty() {
                fields.push(("server", besides.server.as_bytes()));
            }
            fields.extend(own_fields(lines).filter(|(name, _)| !dropped(name)));
            fields.extend(add.iter().copied());
            fields.extend(length.as_ref().map(|length| ("content-length", length.as_bytes())));
            let sound = |(name, value): &(&str, &[u8])| text::is_token(name.as_bytes()) && text::is_field_value(value);
            if !fields.iter().all(sound) {
                return Err(split());
            }
            encoder.status(besides.status, block);
            for (name, value) in fields {
                put(name.as_bytes(), value, encoder, block, &mut priority);
            }
        }
    }
    Ok(priority)
}

/// Appends one field. Those of every answer whose value is another each time, or short, are written plain: a code would save
/// seven bytes of a date and one of a length, and takes longer than all else about them. `priority` is taken in besides.
#[inline]
pub(super) fn put(name: &[u8], value: &[u8], encoder: &mut Encoder, block: &mut Vec<u8>, priority: &mut PriorityField) {
    let index = match name.len() {
        4 if name.eq_ignore_ascii_case(b"date") => DATE,
        8 if name.eq_ignore_ascii_case(b"priority") => {
            priority.add(value);
            return encoder.encode(name, value, Indexing::Auto, block);
        }
        14 if name.eq_ignore_ascii_case(b"content-length") => CONTENT_LENGTH,
        _ => return encoder.encode(name, value, Indexing::Auto, block),
    };
    match u8::try_from(value.len()) {
        Ok(len) if len < 127 => {
            // A literal without indexing (RFC 7541 §6.2.2), its name an index beyond the prefix, its value no code.
            block.extend_from_slice(&[0x0f, index - 15, len]);
            block.extend_from_slice(value);
        }
        _ => encoder.encode(name, value, Indexing::Auto, block),
    }
}

fn split() -> Error {
    Error::new(Kind::Malformed { status: 502 }, Side::Upstream, Phase::AfterHead)
}

#[cfg(test)]
mod tests {
    use anygate_proto::h2::hpack::Decoder;

    use super::*;

    #[test]
    fn fields_that_are_written_plain_are_read_as_what_they_are() {
        let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new(4096));
        let long = "9".repeat(200);
        for value in ["", "7", "Sun, 06 Nov 1994 08:49:37 GMT", &long] {
            for (given, name) in [("Date", "date"), ("Content-Length", "content-length"), ("X-Date", "x-date")] {
                let mut block = Vec::new();
                let mut priority = PriorityField::default();
                put(given.as_bytes(), value.as_bytes(), &mut encoder, &mut block, &mut priority);
                assert!(priority.is_absent());
                let mut read = Vec::new();
                decoder.decode(&block, &mut |line| read.push((line.name.to_vec(), line.value.to_vec()))).unwrap();
                assert_eq!(read, [(name.as_bytes().to_vec(), value.as_bytes().to_vec())], "{given}: {value}");
            }
        }
    }
}
