//! A field section that is compiled once and fits every connection: nothing in it depends on a dynamic table.

use super::encode::{digits, static_status, string};
use super::{Name, integer, statics};
use crate::known::Known;
use crate::{date, text};

/// The bytes of an answer's head: `:status` and fields, as static references and literals that are not indexed. The date
/// stands in it as it is, without Huffman code, so that another one is written over it. [`super::Encoder::begin`] still
/// comes before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    bytes: Box<[u8]>,
    /// Where the date is; 0 without one, because `:status` comes first.
    date: u32,
}

impl Block {
    /// Compiles an answer's head, with a `date` behind its status if `with_date` says so; [`date::PLACEHOLDER`] stands
    /// there then. Names may be in any case. `None` when `status` has not three digits, a name is no token, a value may not
    /// stand in a field, or a field is one that HTTP/2 has not (RFC 9113 §8.2.2).
    #[must_use]
    pub fn compile<'a>(
        status: u16,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        with_date: bool,
    ) -> Option<Self> {
        if !(100..=999).contains(&status) {
            return None;
        }
        let (mut bytes, mut date) = (Vec::new(), 0);
        match static_status(status) {
            Some(index) => bytes.push(0x80 | index),
            None => literal(b":status", &digits(status), &mut bytes),
        }
        if with_date {
            let name = statics::of_name(Name::Field(Known::Date), b"date");
            integer::write(name, 4, 0, &mut bytes);
            integer::write(date::LEN as u32, 7, 0, &mut bytes);
            date = bytes.len() as u32;
            bytes.extend_from_slice(date::PLACEHOLDER);
        }
        for (name, value) in fields {
            if !text::is_token(name) || !text::is_field_value(value) || is_of_a_connection(Known::of(name)) {
                return None;
            }
            literal(&name.to_ascii_lowercase(), text::trim(value), &mut bytes);
        }
        Some(Self { bytes: bytes.into(), date })
    }

    /// The block, with the date that was set last.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where in [`Block::as_bytes`] the [`date::LEN`] bytes of the date are.
    #[inline]
    #[must_use]
    pub const fn date_at(&self) -> Option<usize> {
        if self.date == 0 { None } else { Some(self.date as usize) }
    }

    /// Appends the block to `out`, with this date if it has one. Two copies.
    #[inline]
    pub fn write(&self, date: &[u8; date::LEN], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        if let Some(place) = self.date_at().and_then(|at| out[start..].get_mut(at..at + date::LEN)) {
            place.copy_from_slice(date);
        }
    }

    /// Writes this date over the one in the block, if it has one.
    #[inline]
    pub fn set_date(&mut self, date: &[u8; date::LEN]) {
        if let Some(place) = self.date_at().and_then(|at| self.bytes.get_mut(at..at + date::LEN)) {
            place.copy_from_slice(date);
        }
    }
}

/// Appends a field whose name is in lower case: a reference to the static table, or a literal that is not indexed; a secret
/// as one that never is.
fn literal(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let id = Name::of(name);
    let first = statics::of_name(id, name);
    let index = statics::of_value(first, value);
    if index != 0 {
        return integer::write(index, 7, 0x80, out);
    }
    let pattern = if id == Name::Field(Known::SetCookie) { 0x10 } else { 0 };
    integer::write(first, 4, pattern, out);
    if first == 0 {
        string(name, out);
    }
    string(value, out);
}

/// Whether a field is about an HTTP/1.1 connection, and none in HTTP/2.
const fn is_of_a_connection(known: Known) -> bool {
    matches!(
        known,
        Known::Connection | Known::KeepAlive | Known::ProxyConnection | Known::TransferEncoding | Known::Upgrade
    )
}
