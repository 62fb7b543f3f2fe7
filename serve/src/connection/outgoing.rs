//! Where the head of a forwarded message is written: into a buffer of the arena, ready to be queued.

use anygate_proto::Span;
use anygate_proto::h1::sink::Sink;
use anygate_shard::{Bytes, Lease};

/// A head on its way out: in one lease, or in memory of its own where that does not hold it.
pub(crate) struct Outgoing<'a> {
    source: &'a [u8],
    lease: Option<Lease>,
    spill: Vec<u8>,
}

impl<'a> Outgoing<'a> {
    /// A head made of parts of `source`, to be written to the lease, or to memory of its own.
    pub(crate) fn new(source: &'a [u8], lease: Option<Lease>) -> Self {
        Self { source, lease, spill: Vec::new() }
    }

    /// Bytes that the lease still holds.
    pub(crate) fn spare(&self) -> usize {
        self.lease.as_ref().map_or(0, Lease::spare)
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self.lease {
            Some(lease) => lease.freeze(),
            None => Bytes::from(self.spill),
        }
    }
}

impl Sink for Outgoing<'_> {
    fn keep(&mut self, span: Span) {
        self.put(span.of(self.source));
    }

    fn put(&mut self, bytes: &[u8]) {
        if let Some(lease) = &mut self.lease {
            let written = lease.extend_from_slice(bytes);
            if written == bytes.len() {
                return;
            }
            self.spill = lease.filled().to_vec();
            self.lease = None;
            return self.spill.extend_from_slice(&bytes[written..]);
        }
        self.spill.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_outgrows_its_lease_stays_whole() {
        let mut out = Outgoing::new(b"abcdef", Some(Lease::with_capacity(4)));
        out.put(b"12");
        out.keep(Span::between(1, 4));
        out.put(b"3");
        assert_eq!(&out.into_bytes()[..], b"12bcd3");
    }
}
