//! What has happened so far? Counters that one shard writes and anyone may read.
//!
//! Each shard owns one [`ShardCells`] and is its only writer, so a count is a relaxed load and store, never a locked
//! instruction. Readers (control, metrics) take a [`Snapshot`]; its fields are each exact, but not of one instant.

mod counter;
mod gauge;
#[cfg(test)]
mod model;

use std::ops::AddAssign;

pub use counter::Counter;
pub use gauge::Gauge;

mod atomic {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}

/// Declares the cells, their snapshot, and the names a report uses, in one list.
macro_rules! cells {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The counters of one shard, on cache lines of their own.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct ShardCells {
            $($(#[doc = $doc])+ pub $name: Counter,)+
        }

        /// What a shard's counters were, or the sum of several.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl ShardCells {
            /// Reads every counter.
            #[must_use]
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)+ }
            }
        }

        impl AddAssign for Snapshot {
            fn add_assign(&mut self, other: Self) {
                $(self.$name = self.$name.wrapping_add(other.$name);)+
            }
        }

        impl Snapshot {
            /// Every counter's name and value, in the order of declaration.
            #[must_use]
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}

cells! {
    /// Client connections accepted.
    connections_accepted,
    /// Client connections closed, for whatever reason.
    connections_closed,
    /// Client connections refused because their address had as many as it may.
    connections_refused,
    /// Fresh client connections given to another shard, which accepted them.
    connections_handed_over,
    /// Client connections in use given to another shard, to even out the load.
    connections_rebalanced,
    /// Client connections in use taken over from another shard.
    connections_resumed,
    /// Request heads read in full.
    requests,
    /// Final answers 1xx, that is 101.
    responses_1xx,
    /// Final answers 2xx.
    responses_2xx,
    /// Final answers 3xx.
    responses_3xx,
    /// Final answers 4xx.
    responses_4xx,
    /// Final answers 5xx.
    responses_5xx,
    /// Times accepting paused.
    accept_paused,
    /// Times the process ran out of descriptors.
    descriptors_exhausted,
    /// Times a socket had to wait for a buffer.
    buffers_exhausted,
    /// Heads and bodies of clients that could not be parsed, those that were too large aside.
    parse_errors,
    /// Clients that took too long to send a head.
    timeouts_header,
    /// Keep-alive connections closed for want of a request.
    timeouts_idle,
    /// Clients that took too long between two reads of a body.
    timeouts_read,
    /// Clients that took nothing of an answer for too long.
    timeouts_write,
    /// Clients that sent a body below the minimum rate.
    bodies_too_slow,
    /// Clients that took an answer below the minimum rate.
    answers_too_slow,
    /// Request targets that were too long.
    targets_too_long,
    /// Request heads that were too long, or had too many fields.
    heads_too_large,
    /// Request bodies that were too long, announced or sent.
    bodies_too_large,
    /// Client connections closed because they had carried as many requests as they may.
    connections_used_up,
    /// Times accepting waited because there were as many client connections as there may be.
    connections_full,
    /// Clients that left while a server behind was at work for them.
    clients_gone,
    /// Upstream servers that did not accept a connection in time.
    timeouts_upstream_connect,
    /// Upstream servers that did not begin an answer in time.
    timeouts_upstream_first_byte,
    /// Upstream servers that stalled in an answer, or exchanges that took too long in all.
    timeouts_upstream,
    /// Connections made to upstream servers.
    upstream_connects,
    /// Requests that found an idle upstream connection.
    upstream_reuses,
    /// Connections to upstream servers that failed, at any time.
    upstream_failures,
    /// Requests sent to an upstream once more.
    upstream_retries,
    /// Tunnels opened, such as WebSockets.
    tunnels,
    /// TLS handshakes that ended well, without an earlier session.
    tls_handshakes,
    /// TLS handshakes that went on with an earlier session.
    tls_resumed,
    /// TLS sessions that brought requests before the end of their handshake (0-RTT).
    tls_early_data,
    /// Clients that took too long for a TLS handshake.
    timeouts_handshake,
    /// Requests in plain text on a TLS listener.
    tls_plain_http,
    /// Connections on a TLS listener that began with no TLS.
    tls_not_tls,
    /// TLS clients with no version, suite, group or protocol in common.
    tls_nothing_in_common,
    /// TLS clients that asked for a name without a certificate.
    tls_unknown_names,
    /// TLS clients without a certificate where one is required, or with one that is not good.
    tls_client_certificates_refused,
    /// TLS clients that began more handshakes from one address than they may.
    handshakes_refused,
    /// Requests without the client certificate that their rule demands.
    client_certificates_missing,
    /// Requests for another host than the one whose TLS session they came in.
    misdirected,
    /// TLS clients that ended the connection with an alert.
    tls_refused_by_client,
    /// TLS connections that ended by a breach of the protocol.
    tls_protocol_errors,
    /// TLS streams that ended without the client's word for it.
    tls_truncated,
    /// Client connections that speak HTTP/2.
    h2_connections,
    /// Requests that came by HTTP/2.
    h2_requests,
    /// HTTP/2 requests that their clients gave up.
    h2_resets,
    /// HTTP/2 connections that ended by a breach of the protocol.
    h2_protocol_errors,
    /// HTTP/2 requests refused because their connection had as many as it may.
    h2_streams_refused,
    /// HTTP/2 connections ended because too many requests were given up, or broke the protocol.
    h2_reset_floods,
    /// HTTP/2 connections ended because of too many pings.
    h2_ping_floods,
    /// HTTP/2 connections ended because of too many changes of settings.
    h2_settings_floods,
    /// HTTP/2 connections ended because of too many frames of content without any.
    h2_empty_frame_floods,
    /// HTTP/2 connections ended because of too many frames that allow more content.
    h2_window_update_floods,
    /// HTTP/2 connections ended because of too many changes of priorities.
    h2_priority_floods,
    /// HTTP/2 connections ended because of too many frames of unknown kinds.
    h2_unknown_frame_floods,
    /// HTTP/2 connections ended because a head came in too many frames.
    h2_continuation_floods,
    /// Panics caught in one connection's work.
    panics,
    /// Bytes received from clients.
    bytes_in,
    /// Bytes sent to clients.
    bytes_out,
}

impl ShardCells {
    /// Cells at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a final answer in its class; a status outside 100–599 counts as 5xx.
    #[inline]
    pub fn response(&self, status: u16) {
        match status / 100 {
            1 => self.responses_1xx.add(1),
            2 => self.responses_2xx.add(1),
            3 => self.responses_3xx.add(1),
            4 => self.responses_4xx.add(1),
            _ => self.responses_5xx.add(1),
        }
    }
}

impl Snapshot {
    /// Client connections open now: accepted or taken over, and neither closed nor given away.
    #[must_use]
    pub fn connections_active(&self) -> u64 {
        let came = self.connections_accepted.wrapping_add(self.connections_resumed);
        came.saturating_sub(self.connections_closed.wrapping_add(self.connections_rebalanced))
    }

    /// Final answers of every class.
    #[must_use]
    pub fn responses(&self) -> u64 {
        self.responses_1xx + self.responses_2xx + self.responses_3xx + self.responses_4xx + self.responses_5xx
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_holds_what_was_counted() {
        let cells = ShardCells::new();
        cells.connections_accepted.add(3);
        cells.connections_closed.add(1);
        cells.bytes_out.add(10);
        cells.bytes_out.add(5);
        for status in [101, 200, 204, 301, 404, 502, 999] {
            cells.response(status);
        }
        let seen = cells.snapshot();
        assert_eq!(seen.connections_active(), 2);
        assert_eq!(seen.bytes_out, 15);
        assert_eq!((seen.responses_1xx, seen.responses_2xx, seen.responses_5xx), (1, 2, 2));
        assert_eq!(seen.responses(), 7);
    }

    #[test]
    fn a_connection_that_changes_shards_is_open_on_one_of_them() {
        let (one, two) = (ShardCells::new(), ShardCells::new());
        one.connections_accepted.add(2);
        one.connections_rebalanced.add(1);
        two.connections_resumed.add(1);
        assert_eq!((one.snapshot().connections_active(), two.snapshot().connections_active()), (1, 1));
        two.connections_closed.add(1);
        let mut all = one.snapshot();
        all += two.snapshot();
        assert_eq!(all.connections_active(), 1);
    }

    #[test]
    fn snapshots_of_shards_add_up() {
        let (one, two) = (ShardCells::new(), ShardCells::new());
        one.requests.add(2);
        two.requests.add(40);
        two.panics.add(1);
        let mut all = one.snapshot();
        all += two.snapshot();
        assert_eq!((all.requests, all.panics), (42, 1));
        assert!(all.entries().contains(&("requests", 42)));
    }

    #[test]
    fn a_reader_on_another_thread_sees_only_growing_counts() {
        let cells = ShardCells::new();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..10_000).for_each(|_| cells.requests.add(1)));
            let mut last = 0;
            while last < 10_000 {
                let now = cells.requests.get();
                assert!(now >= last);
                last = now;
            }
        });
    }
}
