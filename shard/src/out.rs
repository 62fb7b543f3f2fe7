//! What waits to leave on a socket: segments in order, and the part of them the kernel is sending.

use std::collections::VecDeque;

use crate::bytes::Bytes;

/// Segments in one send.
pub(crate) const SEGMENTS_PER_SEND: usize = 64;

/// Bytes in one send: a larger one would keep the shard from its other sockets.
pub(crate) const BYTES_PER_SEND: usize = 512 << 10;

/// A queue that had room for more segments gives the room back once it is empty.
const SEGMENTS_KEPT: usize = 1024;

/// A socket's output. Boxed, and only a socket with something to send has one.
#[derive(Default)]
pub(crate) struct Out {
    segments: VecDeque<Bytes>,
    queued: usize,
    /// The writer is woken when at most this many bytes are queued.
    pub(crate) low_water: usize,
    /// Of the send in flight: its bytes (0 when none is) and, for several segments, what the kernel was told of them.
    pub(crate) in_flight: usize,
    iovecs: Vec<libc::iovec>,
    message: Option<libc::msghdr>,
}

impl Out {
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.queued += bytes.len();
            self.segments.push_back(bytes);
        }
    }

    /// Bytes not yet given to the kernel for good.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// The first segments, as one send takes them.
    pub(crate) fn gather<'a>(&'a self, into: &mut [&'a [u8]; SEGMENTS_PER_SEND]) -> usize {
        let mut count = 0;
        for (place, part) in into.iter_mut().zip(self.parts()) {
            *place = part;
            count += 1;
        }
        count
    }

    /// The first segments, cut to what one send takes.
    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut room = BYTES_PER_SEND;
        self.segments.iter().take(SEGMENTS_PER_SEND).map_while(move |segment| {
            let part = &segment[..segment.len().min(room)];
            room -= part.len();
            (!part.is_empty()).then_some(part)
        })
    }

    /// The only segment, when there is exactly one, cut to what one send takes.
    pub(crate) fn single(&self) -> Option<&[u8]> {
        if self.segments.len() == 1 { self.parts().next() } else { None }
    }

    /// The first segments as a message header that stays where it is until the next call, and their bytes.
    pub(crate) fn message(&mut self) -> (*const libc::msghdr, usize) {
        let mut iovecs = std::mem::take(&mut self.iovecs);
        iovecs.clear();
        let mut bytes = 0;
        for part in self.parts() {
            iovecs.push(libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
            bytes += part.len();
        }
        self.iovecs = iovecs;
        // SAFETY: all-zero is a valid msghdr: no name, no control data, no segments.
        let message = self.message.insert(unsafe { std::mem::zeroed() });
        message.msg_iov = self.iovecs.as_mut_ptr();
        message.msg_iovlen = self.iovecs.len() as _;
        (&raw const *message, bytes)
    }

    /// Forgets the first `bytes` bytes, which the kernel has now.
    pub(crate) fn sent(&mut self, mut bytes: usize) {
        debug_assert!(bytes <= self.queued);
        self.queued -= bytes;
        while let Some(front) = self.segments.front_mut() {
            if bytes < front.len() {
                front.advance(bytes);
                return;
            }
            bytes -= front.len();
            self.segments.pop_front();
        }
        debug_assert_eq!(bytes, 0);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        debug_assert_eq!(self.in_flight, 0, "the kernel may be reading these segments");
        self.segments.clear();
        if self.segments.capacity() > SEGMENTS_KEPT {
            self.segments.shrink_to(SEGMENTS_PER_SEND);
        }
        self.queued = 0;
        self.low_water = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_send_leaves_the_rest_in_order() {
        let mut out = Out::default();
        for part in [&b"abc"[..], b"", b"defg", b"h"] {
            out.push(Bytes::from(part.to_vec()));
        }
        assert_eq!(out.queued(), 8);
        out.sent(5);
        let mut gathered: [&[u8]; SEGMENTS_PER_SEND] = [&[]; SEGMENTS_PER_SEND];
        let count = out.gather(&mut gathered);
        assert_eq!(gathered[..count].concat(), b"fgh");
        assert!(out.single().is_none());
        out.sent(2);
        assert_eq!(out.single().map(<[u8]>::to_vec), Some(b"h".to_vec()));
        out.sent(1);
        assert_eq!(out.queued(), 0);
    }

    #[test]
    fn one_send_takes_a_step_of_what_is_queued() {
        let mut out = Out::default();
        out.push(Bytes::from(vec![1; 300 << 10]));
        out.push(Bytes::from(vec![2; 300 << 10]));
        out.push(Bytes::from(vec![3; 300 << 10]));
        let (_, bytes) = out.message();
        assert_eq!(bytes, BYTES_PER_SEND);
        let mut gathered: [&[u8]; SEGMENTS_PER_SEND] = [&[]; SEGMENTS_PER_SEND];
        assert_eq!(out.gather(&mut gathered), 2);
        assert_eq!(gathered[1].len(), BYTES_PER_SEND - (300 << 10));
    }
}
