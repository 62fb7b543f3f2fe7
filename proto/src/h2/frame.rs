//! How a frame looks: its header of 9 bytes, kinds, flags, and the frames we send (RFC 9113 §4, §6).

use super::code::ErrorCode;

/// Bytes of a frame header.
pub const HEADER_LEN: usize = 9;
/// The largest window, the largest stream identifier, and the largest increment: 2^31-1.
pub const MOST: u32 = 0x7fff_ffff;

/// The kind of a frame (RFC 9113 §6, RFC 9218 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Content.
    Data = 0x0,
    /// A header block, or its beginning.
    Headers = 0x1,
    /// The old priorities, which mean nothing any more.
    Priority = 0x2,
    /// The end of a stream.
    RstStream = 0x3,
    /// Settings, or that they were taken.
    Settings = 0x4,
    /// Never from a client.
    PushPromise = 0x5,
    /// A question whether somebody is there, and its answer.
    Ping = 0x6,
    /// The end of a connection.
    GoAway = 0x7,
    /// Room for more content.
    WindowUpdate = 0x8,
    /// More of a header block.
    Continuation = 0x9,
    /// The priorities of RFC 9218.
    PriorityUpdate = 0x10,
    /// Any other: to be ignored.
    Unknown = 0xff,
}

impl Kind {
    /// The kind a frame header's fourth byte names.
    #[inline]
    #[must_use]
    pub const fn of(byte: u8) -> Self {
        match byte {
            0x0 => Self::Data,
            0x1 => Self::Headers,
            0x2 => Self::Priority,
            0x3 => Self::RstStream,
            0x4 => Self::Settings,
            0x5 => Self::PushPromise,
            0x6 => Self::Ping,
            0x7 => Self::GoAway,
            0x8 => Self::WindowUpdate,
            0x9 => Self::Continuation,
            0x10 => Self::PriorityUpdate,
            _ => Self::Unknown,
        }
    }
}

/// Flags; which of them mean something depends on the kind.
pub mod flag {
    /// DATA, HEADERS: the last frame of its direction.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING: the answer.
    pub const ACK: u8 = 0x1;
    /// HEADERS, CONTINUATION: the header block is complete.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS: a length of padding comes first, the padding last.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: five bytes of the old priorities come before the block.
    pub const PRIORITY: u8 = 0x20;
}

/// A frame header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// Bytes of payload, below 2^24.
    pub len: u32,
    /// The kind.
    pub kind: Kind,
    /// The flags.
    pub flags: u8,
    /// The stream, 0 for the connection; the reserved bit is left out.
    pub stream: u32,
}

impl FrameHeader {
    /// Reads one.
    #[inline]
    #[must_use]
    pub const fn read(bytes: &[u8; HEADER_LEN]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        Self {
            len: u32::from_be_bytes([0, l0, l1, l2]),
            kind: Kind::of(kind),
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & MOST,
        }
    }

    /// Writes one; `len` must be below 2^24.
    #[inline]
    #[must_use]
    pub const fn write(&self) -> [u8; HEADER_LEN] {
        let [_, l0, l1, l2] = self.len.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind as u8, self.flags, s0, s1, s2, s3]
    }

    /// Whether a flag is set.
    #[inline]
    #[must_use]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a frame header.
#[inline]
pub fn put_header(out: &mut Vec<u8>, len: usize, kind: Kind, flags: u8, stream: u32) {
    out.extend_from_slice(&FrameHeader { len: len as u32, kind, flags, stream }.write());
}

/// Appends RST_STREAM.
pub fn put_reset(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    put_header(out, 4, Kind::RstStream, 0, stream);
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// Appends WINDOW_UPDATE; `increment` is 1 to 2^31-1.
pub fn put_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    put_header(out, 4, Kind::WindowUpdate, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// Appends the answer to a PING.
pub fn put_pong(out: &mut Vec<u8>, opaque: &[u8; 8]) {
    put_header(out, 8, Kind::Ping, flag::ACK, 0);
    out.extend_from_slice(opaque);
}

/// Appends GOAWAY, without debug data.
pub fn put_go_away(out: &mut Vec<u8>, last_stream: u32, code: ErrorCode) {
    put_header(out, 8, Kind::GoAway, 0, 0);
    out.extend_from_slice(&last_stream.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// Appends a header block: HEADERS, and CONTINUATION where it is longer than `max_frame`.
#[inline]
pub fn put_block(out: &mut Vec<u8>, stream: u32, block: &[u8], end: bool, max_frame: usize) {
    let end_stream = if end { flag::END_STREAM } else { 0 };
    if block.len() <= max_frame {
        put_header(out, block.len(), Kind::Headers, flag::END_HEADERS | end_stream, stream);
        out.extend_from_slice(block);
    } else {
        put_long_block(out, stream, block, end_stream, max_frame);
    }
}

#[cold]
fn put_long_block(out: &mut Vec<u8>, stream: u32, block: &[u8], end_stream: u8, max_frame: usize) {
    let mut pieces = block.chunks(max_frame.max(1)).peekable();
    let (mut kind, mut flags) = (Kind::Headers, end_stream);
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            flags |= flag::END_HEADERS;
        }
        put_header(out, piece.len(), kind, flags, stream);
        out.extend_from_slice(piece);
        (kind, flags) = (Kind::Continuation, 0);
    }
}

/// A number of four bytes at the start of `payload`; 0 when it is shorter, which its reader has ruled out.
#[inline]
pub(super) fn u32_at(payload: &[u8], at: usize) -> u32 {
    payload.get(at..at.saturating_add(4)).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_header_is_read_as_it_was_written() {
        for kind in 0..=255u8 {
            let header = FrameHeader { len: 0x01_02_03, kind: Kind::of(kind), flags: 0x2d, stream: 0x7fff_fffe };
            assert_eq!(FrameHeader::read(&header.write()), header);
        }
    }

    #[test]
    fn the_reserved_bit_is_ignored() {
        assert_eq!(FrameHeader::read(&[0, 0, 0, 0, 0, 0x80, 0, 0, 1]).stream, 1);
    }

    #[test]
    fn a_long_block_is_continued_and_ends_once() {
        let mut out = Vec::new();
        put_block(&mut out, 7, &[1, 2, 3, 4, 5], true, 2);
        #[rustfmt::skip]
        let expected = [
            0, 0, 2, 1, 0x1, 0, 0, 0, 7, 1, 2,
            0, 0, 2, 9, 0x0, 0, 0, 0, 7, 3, 4,
            0, 0, 1, 9, 0x4, 0, 0, 0, 7, 5,
        ];
        assert_eq!(out, expected);
        out.clear();
        put_block(&mut out, 7, &[1, 2], false, 2);
        assert_eq!(out, [0, 0, 2, 1, 0x4, 0, 0, 0, 7, 1, 2]);
    }
}
