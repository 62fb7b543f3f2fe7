//! What a connection may use, and how often it may do what costs us more than it.

/// Made at load from the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Streams open at once, `SETTINGS_MAX_CONCURRENT_STREAMS`; more are refused by REFUSED_STREAM. 1–65536.
    pub max_streams: u32,
    /// The window of a stream for content that comes in, bytes, `SETTINGS_INITIAL_WINDOW_SIZE`. At most 2^31-1.
    pub window: u32,
    /// The window of the connection for content that comes in, bytes: at least `window`, and never below 65,535, where
    /// the protocol starts. At most 2^31-1.
    pub connection_window: u32,
    /// The payload of a frame, bytes, both ways, `SETTINGS_MAX_FRAME_SIZE`: 16,384–16,777,215. The client's own setting
    /// holds for what is sent where it is smaller.
    pub max_frame: u32,
    /// The dynamic table of the decoder, bytes, `SETTINGS_HEADER_TABLE_SIZE`. The encoder's is the smaller one of this and
    /// the client's.
    pub table_size: u32,
    /// What a request head may weigh: `max_uri` 414, `max_header_size` 431 (`SETTINGS_MAX_HEADER_LIST_SIZE`: names and
    /// values and 32 bytes a field), `max_headers` 431.
    pub head: crate::Limits,
    /// Whether extended CONNECT is offered, `SETTINGS_ENABLE_CONNECT_PROTOCOL` (RFC 8441).
    pub extended_connect: bool,
    /// Streams a client may reset before they are answered, or make us reset, until [`super::Connection::refill`]; those
    /// above `max_streams` do not count before it has acknowledged that limit, up to 4,096.
    pub resets: u32,
    /// PING frames beyond one for each frame of content we sent, until the refill.
    pub pings: u32,
    /// SETTINGS frames, until the refill.
    pub settings: u32,
    /// DATA and CONTINUATION frames that carry nothing and end nothing, until the refill.
    pub empty_data: u32,
    /// WINDOW_UPDATE frames beyond two for each frame of content we sent, until the refill.
    pub window_updates: u32,
    /// PRIORITY and PRIORITY_UPDATE frames, but one for each stream that it came before, until the refill.
    pub priorities: u32,
    /// Frames of unknown kinds, GOAWAY, and HEADERS of a stream that we have reset, until the refill.
    pub unknown: u32,
    /// Frames of one header block; at least what a head of twice `max_header_size` needs in frames of `max_frame`.
    pub continuations: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_streams: 128,
            window: 256 << 10,
            connection_window: 1 << 20,
            max_frame: 16 << 10,
            table_size: 4 << 10,
            head: crate::Limits::default(),
            extended_connect: true,
            resets: 200,
            pings: 20,
            settings: 20,
            empty_data: 100,
            window_updates: 10_000,
            priorities: 500,
            unknown: 1000,
            continuations: 16,
        }
    }
}
