//! Which key was meant by one that belongs elsewhere, or that nginx, HAProxy, h2o or an RFC has?

/// What to say of a key that `section` does not know, where its name tells what was meant.
pub(super) fn meant(key: &str, section: &str) -> Option<String> {
    if section == "a certificate" {
        return None;
    }
    let behind = matches!(section, "proxy" | "an upstream" | "a server" | "a rule");
    if behind && ["h2", "h2c", "http2", "http_version", "proto", "alpn", "version"].contains(&key) {
        return Some("servers behind are spoken to in HTTP/1.1 in this version".to_owned());
    }
    let homes: Vec<&str> = HOMES
        .iter()
        .filter(|home| home.section != section && home.keys.contains(&key))
        .map(|home| home.place)
        .collect();
    if let Some((last, others)) = homes.split_last() {
        let others: String = others.iter().map(|home| format!("{home} or ")).collect();
        return Some(format!("`{key}` belongs {others}{last}"));
    }
    let name = plain(key);
    if matches!(section, "a listener" | "a server") && ["port", "host", "address", "bind", "ip"].contains(&&*name) {
        return Some("write address and port as one: `addr: \"127.0.0.1:8080\"`".to_owned());
    }
    let name = ["tune_h2_fe_", "tune_h2_", "settings_", "http2_", "h2_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(&name);
    let (_, advice) = FOREIGN.iter().find(|(names, _)| names.contains(&name))?;
    Some(match advice {
        Key(home, key) => match HOMES.iter().find(|known| known.section == *home) {
            Some(known) if known.section != section => format!("did you mean `{key}` {}?", known.place),
            _ => format!("did you mean `{key}`?"),
        },
        Say(text) => (*text).to_owned(),
    })
}

/// A name in small letters, its words apart by `_`: `tune.h2.max-frame-size`, `maxStreams`.
fn plain(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    let mut small = false;
    for c in key.chars() {
        if small && c.is_ascii_uppercase() {
            name.push('_');
        }
        small = c.is_ascii_lowercase();
        name.push(if matches!(c, '-' | '.' | ' ') { '_' } else { c.to_ascii_lowercase() });
    }
    name
}

/// A section that stands in one place, and the keys that people look for elsewhere.
struct Home {
    /// As messages call it.
    section: &'static str,
    place: &'static str,
    keys: &'static [&'static str],
}

/// Sections, and what is known of them.
const HOMES: [Home; 11] = [
    Home {
        section: "the configuration",
        place: "at the top of the file",
        keys: &[
            "include",
            "server",
            "tls",
            "upstreams",
            "groups",
            "routes",
            "expect",
            "proxy",
            "static",
            "log",
            "echo",
        ],
    },
    Home {
        section: "server",
        place: "in `server`",
        keys: &[
            "listen",
            "cores",
            "io",
            "steer",
            "header_timeout",
            "idle_timeout",
            "min_body_rate",
            "min_send_rate",
            "drain_timeout",
            "max_header_size",
            "max_headers",
            "max_uri_size",
            "max_body_size",
            "max_requests_per_connection",
            "max_connections",
            "max_connections_per_ip",
            "merge_slashes",
            "trust",
            "tcp_nodelay",
            "tcp_keepalive",
            "backlog",
            "h2",
        ],
    },
    Home {
        section: "h2",
        place: "in `server.h2`",
        keys: &[
            "max_streams",
            "window",
            "connection_window",
            "table_size",
            "max_resets",
            "max_pings",
            "max_settings",
            "max_empty_frames",
            "max_window_updates",
            "max_priorities",
            "max_unknown_frames",
            "max_continuations",
        ],
    },
    Home { section: "a listener", place: "at an entry of `server.listen`", keys: &["addr", "redirect", "tls"] },
    Home {
        section: "tls",
        place: "in `tls`",
        keys: &[
            "certificates",
            "profile",
            "client_ca",
            "session_tickets",
            "ticket_lifetime",
            "session_cache",
            "early_data",
            "handshake_timeout",
            "max_handshakes_per_ip",
            "hsts",
            "ocsp",
            "acme",
        ],
    },
    Home {
        section: "proxy",
        place: "in `proxy`",
        keys: &[
            "connect_timeout",
            "first_byte_timeout",
            "tunnel_timeout",
            "x_forwarded",
            "forwarded",
            "via",
            "retries",
            "client_cert",
        ],
    },
    Home {
        section: "static",
        place: "in `static`",
        keys: &["index", "spa", "precompressed", "compress", "cache_control", "listing", "hidden", "symlinks"],
    },
    Home { section: "log", place: "in `log`", keys: &["format", "level"] },
    Home { section: "an upstream", place: "at an entry of `upstreams`", keys: &["servers", "balance", "protocol"] },
    Home { section: "a group", place: "at an entry of `groups`", keys: &[] },
    Home { section: "a rule", place: "at a rule", keys: &["to", "headers"] },
];

/// What another's name stands for.
enum Advice {
    /// A key: its section as messages call it, its name.
    Key(&'static str, &'static str),
    /// Something that is no key.
    Say(&'static str),
}

use Advice::{Key, Say};

/// Names of others as [`plain`] and without what they all begin with, and what to write instead.
const FOREIGN: &[(&[&str], Advice)] = &[
    (
        &["max_concurrent_streams", "max_concurrent_requests_per_connection", "concurrent_streams", "streams"],
        Key("h2", "max_streams"),
    ),
    (&["initial_window_size", "initial_stream_window_size", "stream_window", "body_preread_size"], Key("h2", "window")),
    (&["initial_connection_window_size", "connection_window_size", "rxbuf"], Key("h2", "connection_window")),
    (&["header_table_size", "hpack_table_size"], Key("h2", "table_size")),
    (&["max_rst_at_once", "max_rst_streams", "max_rapid_resets", "max_reset_streams"], Key("h2", "max_resets")),
    (
        &["glitches_threshold"],
        Say("each kind has a limit of its own here: `max_resets`, `max_pings` and the like in `server.h2`"),
    ),
    (
        &["max_frame_size", "chunk_size", "recv_buffer_size"],
        Say("there is no such key: frames hold up to 16 KiB, both ways"),
    ),
    (
        &["push", "push_preload", "enable_push", "max_concurrent_pushes", "casper"],
        Say("there is no server push: browsers no longer take it"),
    ),
    (
        &["http1_upgrade_to_http2"],
        Say("there is no such key: RFC 9113 has dropped `Upgrade: h2c`; clients begin with HTTP/2 at once"),
    ),
    (&["reprioritize_blocking_assets"], Say("there is no such key: clients say what goes first (RFC 9218)")),
    (
        &["grpc_pass"],
        Say("a rule says it, `\"/\": \"http://127.0.0.1:9000\"`: servers behind are spoken to in HTTP/1.1"),
    ),
    (&["enable_connect_protocol"], Say("there is no such key: WebSockets over HTTP/2 (RFC 8441) are always taken")),
    (
        &["http2", "http_2", "h2c", "alpn", "proto", "protocols", "codec"],
        Say(
            "every listener speaks HTTP/2 and HTTP/1.1: `{addr: \":8080\", h2: false}` in `server.listen` leaves it at HTTP/1.1",
        ),
    ),
    (&["h3", "http3", "quic"], Say("HTTP/3 is not available in this version; it belongs to a later one")),
    (
        &["max_header_list_size", "max_field_size", "max_header_size", "large_client_header_buffers"],
        Key("server", "max_header_size"),
    ),
    (&["keepalive_timeout", "idle_timeout", "timeout_http_keep_alive"], Key("server", "idle_timeout")),
    (&["client_header_timeout", "http1_request_timeout", "timeout_http_request"], Key("server", "header_timeout")),
    (&["client_body_timeout", "recv_timeout", "timeout_client"], Key("server", "read_timeout")),
    (&["send_timeout"], Key("server", "write_timeout")),
    (&["graceful_shutdown_timeout", "hard_stop_after", "worker_shutdown_timeout"], Key("server", "drain_timeout")),
    (&["max_requests", "keepalive_requests", "max_total_streams"], Key("server", "max_requests_per_connection")),
    (&["client_max_body_size", "limit_request_body"], Key("server", "max_body_size")),
    (&["worker_connections", "maxconn"], Key("server", "max_connections")),
    (
        &["worker_processes", "workers", "worker_threads", "num_threads", "nbthread", "threads", "cpu_map"],
        Key("server", "cores"),
    ),
    (&["set_real_ip_from", "trusted_proxies"], Key("server", "trust")),
    (&["server_tokens"], Key("server", "name")),
    (&["port", "bind", "address"], Key("server", "listen")),
    (
        &["ssl_certificate", "ssl_certificate_key", "cert", "crt", "key", "certificate_file", "key_file"],
        Say("write `certificates: {cert: FILE, key: FILE}` in `tls`"),
    ),
    (&["ssl_protocols", "ssl_ciphers", "ssl_min_ver", "minimum_version", "ciphers"], Key("tls", "profile")),
    (&["ssl_client_certificate", "ca_file"], Key("tls", "client_ca")),
    (&["ssl_verify_client"], Key("tls", "client_auth")),
    (&["ssl_session_cache"], Key("tls", "session_cache")),
    (&["ssl_session_tickets"], Key("tls", "session_tickets")),
    (&["ssl_session_timeout"], Key("tls", "ticket_lifetime")),
    (&["ssl_early_data"], Key("tls", "early_data")),
    (&["ssl_stapling"], Key("tls", "ocsp")),
    (&["ssl"], Say("write `tls: true` beside the listener's `addr`")),
    (&["proxy_connect_timeout", "timeout_connect"], Key("proxy", "connect_timeout")),
    (&["proxy_read_timeout", "timeout_server"], Key("proxy", "read_timeout")),
    (&["proxy_send_timeout"], Key("proxy", "write_timeout")),
    (&["timeout_tunnel"], Key("proxy", "tunnel_timeout")),
    (
        &["proxy_pass", "proxy_reverse_url", "default_backend", "use_backend"],
        Say("a rule says it: `\"/api/\": \"http://127.0.0.1:9000\"` in `routes`"),
    ),
    (
        &["root", "alias", "file_dir", "try_files"],
        Say("a rule says it: `\"/\": \"./dist/\"` in `routes`, with `static.spa` for paths without a file"),
    ),
    (&["location", "paths"], Key("the configuration", "routes")),
    (&["server_name", "hosts"], Key("a group", "host")),
    (&["backend"], Key("the configuration", "upstreams")),
    (&["autoindex", "file_dirlisting"], Say("folders are not listed in this version")),
    (
        &["gzip", "brotli", "compression", "rate_limit", "limit_req", "limit_conn", "auth_basic", "access_log"],
        Say("it is not available in this version; it belongs to a later one"),
    ),
    (&["error_log"], Say("errors go to standard error: `level` in `log` says how many")),
];

/// Every key that is named above, with its section.
#[cfg(test)]
pub(in crate::config) fn named() -> Vec<(&'static str, &'static str)> {
    let own = HOMES.iter().flat_map(|home| home.keys.iter().map(|key| (home.section, *key)));
    let foreign = FOREIGN.iter().filter_map(|(_, advice)| match advice {
        Key(section, key) => Some((*section, *key)),
        Say(_) => None,
    });
    own.chain(foreign).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{FOREIGN, HOMES, Key, meant, plain};

    #[test]
    fn each_foreign_name_stands_once_and_leads_to_a_section_that_is_known() {
        let mut seen = HashSet::new();
        for (names, advice) in FOREIGN {
            for name in *names {
                assert!(seen.insert(name), "{name} stands twice");
                assert_eq!(plain(name), *name, "written as it is compared");
            }
            if let Key(section, key) = advice {
                assert!(HOMES.iter().any(|home| home.section == *section), "{section}.{key}");
            }
        }
    }

    #[test]
    fn a_name_is_told_however_it_is_spelled() {
        for name in [
            "http2_max_concurrent_streams",
            "tune.h2.max-concurrent-streams",
            "tune.h2.fe.max-concurrent-streams",
            "http2-max-concurrent-requests-per-connection",
            "SETTINGS_MAX_CONCURRENT_STREAMS",
            "maxConcurrentStreams",
        ] {
            assert_eq!(meant(name, "h2").as_deref(), Some("did you mean `max_streams`?"), "{name}");
            assert_eq!(meant(name, "server").as_deref(), Some("did you mean `max_streams` in `server.h2`?"), "{name}");
        }
        assert_eq!(meant("nothing_known", "h2"), None);
    }
}
