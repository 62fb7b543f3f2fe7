//! What does every answer over TLS say of later ones? `Strict-Transport-Security` (RFC 6797), never over plain connections.

use anygate_core::config;
use anygate_proto::date;
use anygate_proto::h2::hpack::{Encoder, Indexing};
use anygate_shard::Lease;

/// The field, written once at load.
#[derive(Debug, Clone)]
pub struct Hsts {
    /// `Strict-Transport-Security: max-age=…` and its line end.
    line: Box<[u8]>,
    /// The same for HTTP/2, which stands behind any other field of a block.
    block: Box<[u8]>,
}

impl Hsts {
    /// Its name.
    pub const NAME: &str = "Strict-Transport-Security";

    /// The field of a configuration.
    #[must_use]
    pub fn new(hsts: &config::Hsts) -> Self {
        let mut block = Vec::new();
        Encoder::new(0).encode(Self::NAME.as_bytes(), hsts.to_string().as_bytes(), Indexing::No, &mut block);
        Self { line: format!("{}: {hsts}\r\n", Self::NAME).into_bytes().into(), block: block.into() }
    }

    /// The field line.
    #[inline]
    #[must_use]
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// The field as a part of a block of HTTP/2.
    #[inline]
    #[must_use]
    pub fn block(&self) -> &[u8] {
        &self.block
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.line[Self::NAME.len() + 2..self.line.len() - 2]
    }

    /// Copies an answer that is ready behind `out`, with the field in it: behind the line of `Date`, whose value is at
    /// `date_offset` of `answer`. There must be room for both.
    #[inline(never)]
    pub(crate) fn copy(&self, answer: &[u8], date_offset: usize, out: &mut Lease) {
        let (before, after) = answer.split_at(end_of_date(date_offset).min(answer.len()));
        for part in [before, &self.line, after] {
            out.extend_from_slice(part);
        }
    }

    /// Puts the field into an answer, where [`Hsts::copy`] does.
    pub(crate) fn insert(&self, answer: &mut Vec<u8>, date_offset: usize) {
        let at = end_of_date(date_offset).min(answer.len());
        answer.splice(at..at, self.line.iter().copied());
    }
}

/// Where the line after `Date`'s begins.
const fn end_of_date(date_offset: usize) -> usize {
    date_offset + date::LEN + 2
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_field_stands_behind_the_date_of_an_answer_that_is_ready() {
        let hsts = Hsts::new(&config::Hsts { max_age: Duration::from_secs(60), ..config::Hsts::default() });
        assert_eq!(hsts.value(), b"max-age=60");
        let date = String::from_utf8(date::format(0).to_vec()).unwrap();
        let answer = format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nX: y\r\n\r\nbody");
        let expected =
            format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nStrict-Transport-Security: max-age=60\r\nX: y\r\n\r\nbody");
        let mut lease = Lease::with_capacity(1024);
        lease.extend_from_slice(b"before");
        hsts.copy(answer.as_bytes(), 23, &mut lease);
        assert_eq!(lease.filled(), format!("before{expected}").as_bytes());
        let mut answer = answer.into_bytes();
        hsts.insert(&mut answer, 23);
        assert_eq!(answer, expected.into_bytes());
    }
}
