//! How much is too much? Every hard cap of the house by name; what a configuration may change has its default in the model.
//!
//! Sizes are bytes unless the name says otherwise.

use std::time::Duration;

/// Largest configuration file.
pub const CONFIG_FILE_SIZE: usize = 8 * 1024 * 1024;
/// Most files that `include` may bring in.
pub const CONFIG_FILES: usize = 1024;
/// Deepest nesting of mappings and lists in a configuration file.
pub const CONFIG_DEPTH: usize = 32;
/// Most values in a configuration file, aliases expanded.
pub const CONFIG_VALUES: usize = 1_000_000;
/// Most errors reported in one run; the rest is counted.
pub const CONFIG_ERRORS: usize = 100;
/// Most rules of a configuration.
pub const ROUTES: usize = 100_000;
/// Most groups, and most upstreams, of a configuration.
pub const GROUPS: usize = 10_000;
/// Most servers of one upstream.
pub const UPSTREAM_SERVERS: usize = 1024;
/// Most listeners.
pub const LISTENERS: usize = 64;
/// Most certificates, and folders of them, of a configuration.
pub const CERTIFICATES: usize = 10_000;
/// Most names of an automatic certificate.
pub const ACME_DOMAINS: usize = 100;
/// Highest processor number of a core list.
pub const CORE: usize = 4095;

/// Most `server.max_header_size` may be.
pub const HEAD_SIZE: usize = 1024 * 1024;
/// Least `server.max_header_size` may be.
pub const HEAD_SIZE_MIN: usize = 1024;
/// Most `server.max_headers` may be.
pub const HEADERS: usize = 1000;
/// Most `server.max_uri_size` may be.
pub const URI_SIZE: usize = 256 * 1024;
/// Most `echo.body` may be.
pub const ECHO_BODY: usize = 1024 * 1024;
/// Most `proxy.retries` may be.
pub const RETRIES: u32 = 10;
/// Most idle connections an upstream may keep.
pub const KEEP_ALIVE: usize = 1_000_000;
/// Most `tls.session_cache` may be.
pub const TLS_SESSIONS: usize = 1_000_000;
/// Most addresses whose handshakes a shard counts at once, for `tls.max_handshakes_per_ip`.
pub const HANDSHAKE_ADDRESSES: usize = 65_536;
/// Most `tls.hsts.max_age` may be.
pub const HSTS_MAX_AGE: Duration = Duration::from_secs(3650 * 24 * 3600);
/// Most `server.h2.max_streams` may be.
pub const H2_STREAMS: u32 = 10_000;
/// Least `server.h2.window` may be.
pub const H2_WINDOW_MIN: usize = 16 * 1024;
/// Least `server.h2.connection_window` may be: a connection begins with all but a byte of it (RFC 9113 §6.9.2).
pub const H2_CONNECTION_WINDOW_MIN: usize = 64 * 1024;
/// Most `server.h2.window` and `server.h2.connection_window` may be.
pub const H2_WINDOW: usize = 64 * 1024 * 1024;
/// Most `server.h2.table_size` may be.
pub const H2_TABLE_SIZE: usize = 64 * 1024;
/// Most that each count of frames in `server.h2` may be.
pub const H2_FRAMES: u32 = 1_000_000;
/// Longest timeout of any kind.
pub const TIMEOUT: Duration = Duration::from_secs(366 * 24 * 3600);

/// Largest body of a fixed answer.
pub const FIXED_BODY: usize = 1024 * 1024;

/// Parsing of pipelined requests stops while this much of their answers is queued.
pub const PIPELINE_QUEUED: usize = 64 * 1024;
/// Pulling of a body stops while this much is queued on the other side: who takes nothing holds this and one more piece.
pub const BODY_QUEUED: usize = 64 * 1024;
/// Files below this are answered from memory, the others by `sendfile`.
pub const SENDFILE_FROM: u64 = 16 * 1024;
/// Most files, and names that mean none, a shard remembers.
pub const FILES_CACHED: usize = 4096;
/// Most memory a shard's remembered files may take.
pub const FILES_CACHED_BYTES: usize = 32 * 1024 * 1024;
/// Most large files a shard keeps open between requests.
pub const FILES_HELD_OPEN: usize = 64;
/// A file from here on begins in a segment of its own: behind a head no page of it would lie whole in a segment's fragments,
/// which costs the sender more than a packet.
pub const OWN_SEGMENT_FROM: u64 = 1024 * 1024;
/// Largest step of one `sendfile`.
pub const SENDFILE_STEP: usize = 2 * 1024 * 1024;
/// Longest time bytes are discarded after an answer that closes a connection, so that a reset does not destroy it.
pub const LINGER_TIME: Duration = Duration::from_secs(2);
/// How much of a request body is read and thrown away to keep a connection.
pub const DRAIN_BODY: u64 = 64 * 1024;
/// A client is held to `server.min_body_rate` and `server.min_send_rate` once it was waited for this long.
pub const RATE_GRACE: Duration = Duration::from_secs(10);
/// Pieces of a body queued behind each other, from which on those below [`SMALL_PIECE`] leave the buffer they came in.
pub const PIECES_QUEUED: u32 = 8;
/// Pulling of a body stops after so many pieces until all that is queued has left.
pub const PIECES_MOST: u32 = 1024;
/// A piece of a body below this does not keep a buffer of 64 KiB while its receiver takes nothing.
pub const SMALL_PIECE: usize = 16 * 1024;

/// Further connections accepted after each completed accept.
pub const ACCEPT_BATCH: usize = 16;
/// How long accepting pauses after a failed accept.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Descriptors kept back from connections: files, logs, upstream lookups.
pub const DESCRIPTOR_RESERVE: usize = 64;
/// Messages a shard's mailbox holds.
pub const MAILBOX: usize = 1024;
