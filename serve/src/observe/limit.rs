//! Which limits guard the server against slow and greedy clients, and how is it told that one was reached: by which counter, in
//! which words, and how often?

use std::cell::Cell;
use std::time::Duration;

use anygate_core::config::LogLevel;
use anygate_core::metrics::{Counter, ShardCells, Snapshot};
use anygate_shard::Tick;

/// How long the log is quiet about a limit after it told of it: the counters have every time.
pub(crate) const QUIET: Duration = Duration::from_secs(10);
/// How long a shard is quiet about it towards the control thread, which asks all shards' counters.
pub(crate) const SHARD_QUIET: Duration = Duration::from_secs(1);

/// A limit of what clients may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The time to a whole head.
    Head,
    /// The time between requests.
    Idle,
    /// The time between two reads of a body.
    Read,
    /// The pace of a body.
    BodyRate,
    /// The time between two writes that make progress.
    Write,
    /// The pace at which an answer is taken.
    SendRate,
    /// The length of a request target.
    Target,
    /// The length of a head, and the number of its fields.
    HeadSize,
    /// The length of a body.
    Body,
    /// The requests of one connection.
    Requests,
    /// The connections of all clients.
    Connections,
    /// The connections of one address.
    PerAddress,
    /// The time to the end of a TLS handshake.
    Handshake,
    /// The TLS handshakes of one address in a second.
    HandshakeRate,
    /// The requests of an HTTP/2 connection at once.
    Streams,
    /// The requests of an HTTP/2 connection that are given up, or break the protocol, in a second.
    Resets,
    /// Its pings in a second.
    Pings,
    /// Its changes of settings in a second.
    SettingsChanges,
    /// Its frames of content without any in a second.
    EmptyFrames,
    /// Its frames that allow more content in a second.
    WindowUpdates,
    /// Its changes of priorities in a second.
    Priorities,
    /// Its frames of unknown kinds in a second.
    UnknownFrames,
    /// The frames of one of its heads.
    Continuations,
}

/// What is known of a limit.
struct Facts {
    keys: &'static [&'static str],
    metric: &'static str,
    level: LogLevel,
    message: &'static str,
    cell: fn(&ShardCells) -> &Counter,
    count: fn(&Snapshot) -> u64,
}

/// One limit's facts; the metric is the counter's own name.
macro_rules! facts {
    ([$($key:literal),+], $cell:ident, $level:ident, $message:literal) => {
        Facts {
            keys: &[$($key),+],
            metric: stringify!($cell),
            level: LogLevel::$level,
            message: $message,
            cell: |cells| &cells.$cell,
            count: |cells| cells.$cell,
        }
    };
}

impl Limit {
    /// Every limit.
    pub const ALL: [Self; 23] = [
        Self::Head,
        Self::Idle,
        Self::Read,
        Self::BodyRate,
        Self::Write,
        Self::SendRate,
        Self::Target,
        Self::HeadSize,
        Self::Body,
        Self::Requests,
        Self::Connections,
        Self::PerAddress,
        Self::Handshake,
        Self::HandshakeRate,
        Self::Streams,
        Self::Resets,
        Self::Pings,
        Self::SettingsChanges,
        Self::EmptyFrames,
        Self::WindowUpdates,
        Self::Priorities,
        Self::UnknownFrames,
        Self::Continuations,
    ];

    const fn facts(self) -> Facts {
        match self {
            Self::Head => facts!(["header_timeout"], timeouts_header, Info, "a client took too long to send a head"),
            Self::Idle => facts!(["idle_timeout"], timeouts_idle, Debug, "an idle connection was closed"),
            Self::Read => facts!(["read_timeout"], timeouts_read, Info, "a client stopped in a body"),
            Self::BodyRate => facts!(["min_body_rate"], bodies_too_slow, Info, "a client sent a body too slowly"),
            Self::Write => facts!(["write_timeout"], timeouts_write, Info, "a client took nothing of its answer"),
            Self::SendRate => facts!(["min_send_rate"], answers_too_slow, Info, "a client took its answer too slowly"),
            Self::Target => facts!(["max_uri_size"], targets_too_long, Info, "a request target was too long"),
            Self::HeadSize => {
                facts!(["max_header_size", "max_headers"], heads_too_large, Info, "a request head was too large")
            }
            Self::Body => facts!(["max_body_size"], bodies_too_large, Info, "a request body was too large"),
            Self::Requests => {
                facts!(["max_requests_per_connection"], connections_used_up, Debug, "a connection had all its requests")
            }
            Self::Connections => {
                facts!(["max_connections"], connections_full, Warn, "clients wait: there are as many as may be")
            }
            Self::PerAddress => {
                facts!(["max_connections_per_ip"], connections_refused, Warn, "an address had all its connections")
            }
            Self::Handshake => {
                facts!(["handshake_timeout"], timeouts_handshake, Info, "a client took too long for a TLS handshake")
            }
            Self::HandshakeRate => {
                facts!(["max_handshakes_per_ip"], handshakes_refused, Warn, "an address began too many TLS handshakes")
            }
            Self::Streams => {
                facts!(["max_streams"], h2_streams_refused, Debug, "a connection had all its requests at once")
            }
            Self::Resets => facts!(["max_resets"], h2_reset_floods, Warn, "a client gave up too many requests"),
            Self::Pings => facts!(["max_pings"], h2_ping_floods, Warn, "a client sent too many pings"),
            Self::SettingsChanges => {
                facts!(["max_settings"], h2_settings_floods, Warn, "a client changed its settings too often")
            }
            Self::EmptyFrames => {
                facts!(["max_empty_frames"], h2_empty_frame_floods, Warn, "a client sent too many empty frames")
            }
            Self::WindowUpdates => {
                facts!(["max_window_updates"], h2_window_update_floods, Warn, "a client sent too many window updates")
            }
            Self::Priorities => {
                facts!(["max_priorities"], h2_priority_floods, Warn, "a client changed priorities too often")
            }
            Self::UnknownFrames => {
                facts!(["max_unknown_frames"], h2_unknown_frame_floods, Warn, "a client sent too many unknown frames")
            }
            Self::Continuations => {
                facts!(["max_continuations"], h2_continuation_floods, Warn, "a client sent a head in too many frames")
            }
        }
    }

    /// The section of the configuration that its keys are in.
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Self::Handshake | Self::HandshakeRate => "tls",
            Self::Streams
            | Self::Resets
            | Self::Pings
            | Self::SettingsChanges
            | Self::EmptyFrames
            | Self::WindowUpdates
            | Self::Priorities
            | Self::UnknownFrames
            | Self::Continuations => "server.h2",
            _ => "server",
        }
    }

    /// Its keys in that section.
    #[must_use]
    pub const fn keys(self) -> &'static [&'static str] {
        self.facts().keys
    }

    /// The name of the counter that says how often it was reached.
    #[must_use]
    pub const fn metric(self) -> &'static str {
        self.facts().metric
    }

    /// From which level on the log tells of it.
    #[must_use]
    pub const fn level(self) -> LogLevel {
        self.facts().level
    }

    /// In which words.
    #[must_use]
    pub const fn message(self) -> &'static str {
        self.facts().message
    }

    /// Its counter.
    #[must_use]
    pub fn counter(self, cells: &ShardCells) -> &Counter {
        (self.facts().cell)(cells)
    }

    /// How often it was reached.
    #[must_use]
    pub fn count(self, cells: &Snapshot) -> u64 {
        (self.facts().count)(cells)
    }
}

/// What was told of each limit, and when.
#[derive(Debug)]
pub struct Told {
    quiet: Duration,
    last: [Cell<Option<(Tick, u64)>>; Limit::ALL.len()],
}

impl Told {
    /// Nothing yet; after a limit was told of, nothing for as long as `quiet`.
    #[must_use]
    pub fn new(quiet: Duration) -> Self {
        Self { quiet, last: Default::default() }
    }

    /// How often `limit`, which was reached `count` times by now, was reached since it was last told of; `None` while
    /// nothing is to be said about it.
    pub fn tell(&self, limit: Limit, now: Tick, count: u64) -> Option<u64> {
        let last = &self.last[limit as usize];
        let (told, before) = last.get().unzip();
        if told.is_some_and(|told| now.since(told) < self.quiet) {
            return None;
        }
        last.set(Some((now, count)));
        Some(count.wrapping_sub(before.unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_stands_once_at_its_place_and_has_a_counter_of_its_own() {
        let cells = ShardCells::new();
        for (at, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, at);
            limit.counter(&cells).add(at as u64 + 1);
        }
        let seen = cells.snapshot();
        for (at, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit.count(&seen), at as u64 + 1, "{limit:?}");
            assert!(seen.entries().contains(&(limit.metric(), at as u64 + 1)), "{limit:?}");
        }
    }

    #[test]
    fn the_log_hears_of_a_limit_at_once_and_then_every_ten_seconds_with_the_count() {
        let told = Told::new(QUIET);
        let at = |seconds| Tick::ZERO + Duration::from_secs(seconds);
        assert_eq!(told.tell(Limit::Head, at(0), 1), Some(1));
        assert_eq!(told.tell(Limit::Head, at(9), 500), None);
        assert_eq!(told.tell(Limit::Body, at(9), 3), Some(3), "another limit has its own time");
        assert_eq!(told.tell(Limit::Head, at(10), 700), Some(699));
        assert_eq!(told.tell(Limit::Head, at(11), 701), None);
    }
}
