//! What does `server.h2` say: how much may one HTTP/2 connection hold, and ask for in a second?

use crate::config::schema;

/// The `server.h2` section: what one HTTP/2 connection may hold and ask for. Counts are those of a second.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, default)]
pub struct Http2 {
    /// Most requests at once, 1 to 10000; what is beyond is refused.
    #[schemars(extend("default" = 128))]
    pub max_streams: u32,
    /// Content of one request that may come before it is asked for, in bytes.
    #[schemars(with = "schema::Size", extend("default" = "256KiB"))]
    pub window: u32,
    /// Content of all requests that may come before it is asked for, in bytes; at least `window`.
    #[schemars(with = "schema::Size", extend("default" = "1MiB"))]
    pub connection_window: u32,
    /// Fields that are remembered so that they need not be sent again, in bytes, for either side; 0 for none.
    #[schemars(with = "schema::Size", extend("default" = "4KiB"))]
    pub table_size: u32,
    /// Most requests that are given up, or that break the protocol (GOAWAY).
    #[schemars(extend("default" = 200))]
    pub max_resets: u32,
    /// Most pings (GOAWAY).
    #[schemars(extend("default" = 20))]
    pub max_pings: u32,
    /// Most changes of settings (GOAWAY).
    #[schemars(extend("default" = 20))]
    pub max_settings: u32,
    /// Most frames of content without any (GOAWAY).
    #[schemars(extend("default" = 100))]
    pub max_empty_frames: u32,
    /// Most frames that allow more content (GOAWAY).
    #[schemars(extend("default" = 10000))]
    pub max_window_updates: u32,
    /// Most changes of priorities (GOAWAY).
    #[schemars(extend("default" = 500))]
    pub max_priorities: u32,
    /// Most frames of kinds that are not known (GOAWAY).
    #[schemars(extend("default" = 100))]
    pub max_unknown_frames: u32,
    /// Most further frames of one head, whatever the time (GOAWAY).
    #[schemars(extend("default" = 16))]
    pub max_continuations: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            max_streams: 128,
            window: 256 << 10,
            connection_window: 1 << 20,
            table_size: 4 << 10,
            max_resets: 200,
            max_pings: 20,
            max_settings: 20,
            max_empty_frames: 100,
            max_window_updates: 10_000,
            max_priorities: 500,
            max_unknown_frames: 100,
            max_continuations: 16,
        }
    }
}
