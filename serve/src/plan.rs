//! What a configuration becomes before a shard serves it: a routing table, compiled actions, and the limits of a connection.
//!
//! Made by the control thread, one copy for each shard; nothing in it changes afterwards.

use std::time::Duration;

use anygate_core::config::{Config, Http2, ListenAddr};
use anygate_proto::h1::Limits;
use anygate_proto::h2;
use anygate_route::Table;
use ipnet::IpNet;

use crate::action::Action;
use crate::filter::Filter;
use crate::hsts::Hsts;
use crate::pages::Pages;
use crate::tls::Front;
use crate::upstream::endpoint::{self, Name};
use crate::wire::Wire;

/// One shard's copy of everything that depends on the configuration.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Counts reloads, from 1.
    pub serial: u64,
    /// Which route serves a request.
    pub table: Table,
    /// What each route does, by the table's rule numbers.
    pub routes: Vec<Route>,
    /// Answers no route gives: errors, `405`, `OPTIONS *`.
    pub pages: Pages,
    /// Patience and limits of client connections.
    pub client: ClientSettings,
    /// How connections begin, by where they come in.
    pub fronts: Vec<(ListenAddr, Front)>,
}

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    /// What happens.
    pub action: Action,
    /// What looks at the exchange before and after; empty for most.
    pub filters: Vec<Filter>,
    /// Longest request body, in bytes.
    pub max_body: Option<u64>,
}

/// Patience and limits of client connections.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Bounds of a request head.
    pub limits: Limits,
    /// Bounds of a connection of HTTP/2.
    pub h2: h2::Limits,
    /// Value of the `Server` field; empty for none.
    pub name: Box<str>,
    /// To a whole head.
    pub header_timeout: Duration,
    /// To the end of a TLS handshake.
    pub handshake_timeout: Duration,
    /// Handshakes that one address may begin in a second on this shard.
    pub max_handshakes_per_ip: Option<u32>,
    /// A field of every answer over TLS.
    pub hsts: Option<Hsts>,
    /// Between requests.
    pub idle_timeout: Duration,
    /// Between reads of a body.
    pub read_timeout: Duration,
    /// Between writes that make progress.
    pub write_timeout: Duration,
    /// Bytes a second a body must bring.
    pub min_body_rate: Option<u64>,
    /// Bytes a second an answer must be taken at.
    pub min_send_rate: Option<u64>,
    /// Requests a connection may carry.
    pub max_requests: u64,
    /// Connections of one address at once on this shard.
    pub max_connections_per_ip: Option<usize>,
    /// Connections at once on this shard.
    pub max_connections: usize,
    /// Sockets of any kind on this shard from which on no more clients are let in.
    pub max_sockets: usize,
    /// Peers whose forwarding fields are believed.
    pub trust: Vec<IpNet>,
    /// Connections that wait at a listener until they are accepted.
    pub backlog: u32,
    /// `TCP_NODELAY`.
    pub nodelay: bool,
    /// Idle time before TCP probes the peer.
    pub keepalive: Option<Duration>,
}

impl Plan {
    /// How the connections begin that come in at `address`.
    #[must_use]
    pub fn front(&self, address: &ListenAddr) -> Front {
        self.fronts.iter().find(|(at, _)| at == address).map(|(_, front)| front.clone()).unwrap_or_default()
    }

    /// The names of servers behind that must be resolved, each once.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Name> {
        endpoint::names_of(self)
    }
}

impl ClientSettings {
    /// The field that answers by this wire have besides their own.
    #[inline]
    #[must_use]
    pub fn hsts(&self, wire: &Wire) -> Option<&Hsts> {
        match wire {
            Wire::Plain(_) => None,
            Wire::Tls(_) => self.hsts.as_ref(),
        }
    }

    /// The settings of one of `shards` shards, which may hold `descriptors` of the process's descriptors in all. With
    /// `proxies`, an exchange takes two of them: one for the client, one for the server behind.
    #[must_use]
    pub fn new(config: &Config, shards: usize, descriptors: usize, proxies: bool) -> Self {
        let Config { server, tls, .. } = config;
        let divided = |total: usize| (total / shards.max(1)).max(1);
        let each = if proxies { 2 } else { 1 };
        // An eighth stays for servers behind, pipes and files, and for the clients who are let in already.
        let max_sockets = divided(descriptors - descriptors / 8);
        let limits = Limits {
            max_uri: server.max_uri_size,
            max_header_size: server.max_header_size,
            max_headers: server.max_headers,
        };
        Self {
            limits,
            h2: h2_limits(&server.h2, limits),
            name: server.name.as_str().into(),
            header_timeout: server.header_timeout,
            handshake_timeout: tls.handshake_timeout,
            max_handshakes_per_ip: tls.max_handshakes_per_ip.map(|all| (all / shards.max(1) as u32).max(1)),
            hsts: tls.hsts.as_ref().map(Hsts::new),
            idle_timeout: server.idle_timeout,
            read_timeout: server.read_timeout,
            write_timeout: server.write_timeout,
            min_body_rate: server.min_body_rate,
            min_send_rate: server.min_send_rate,
            max_requests: server.max_requests_per_connection.unwrap_or(u64::MAX),
            max_connections_per_ip: server.max_connections_per_ip.map(divided),
            max_connections: divided(server.max_connections.unwrap_or(descriptors / each)),
            max_sockets,
            trust: server.trust.clone(),
            backlog: server.backlog,
            nodelay: server.tcp_nodelay,
            keepalive: server.tcp_keepalive,
        }
    }
}

/// The bounds of a connection of HTTP/2 with such heads.
fn h2_limits(config: &Http2, head: Limits) -> h2::Limits {
    h2::Limits {
        max_streams: config.max_streams,
        window: config.window,
        connection_window: config.connection_window,
        table_size: config.table_size,
        head,
        extended_connect: true,
        resets: config.max_resets,
        pings: config.max_pings,
        settings: config.max_settings,
        empty_data: config.max_empty_frames,
        window_updates: config.max_window_updates,
        priorities: config.max_priorities,
        unknown: config.max_unknown_frames,
        // HEADERS is one of the frames, too.
        continuations: config.max_continuations.saturating_add(1),
        ..h2::Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use anygate_core::config::{Env, load_text};

    use super::*;

    #[test]
    fn without_a_limit_as_many_clients_are_let_in_as_have_descriptors_two_each_where_there_is_a_proxy() {
        let loaded = load_text("test.yml", "routes: {/: OK}\n", &Env::new(), &[]);
        let config = loaded.config.expect("a good configuration");
        for (proxies, clients) in [(false, 500), (true, 250)] {
            let settings = ClientSettings::new(&config, 2, 1000, proxies);
            assert_eq!((settings.max_connections, settings.max_sockets), (clients, 437));
        }
        let least = ClientSettings::new(&config, 64, 10, true);
        assert_eq!((least.max_connections, least.max_sockets), (1, 1), "a shard always serves somebody");
    }
}
