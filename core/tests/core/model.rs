//! What the values mean, and whose word counts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anygate_core::config::{CacheControl, CoreList, HostHeader, ListenAddr, Spa, UpstreamAddr};

use crate::common::good;

#[test]
fn an_empty_file_is_the_defaults() {
    for text in ["", "# nothing\n", "routes:\nserver:\n", "{}"] {
        let config = good(text);
        assert_eq!(config.server, anygate_core::config::Server::default(), "{text}");
        assert_eq!(config.server.listen[0].addr, ListenAddr::Any(8080));
        assert!(config.routes.is_empty());
    }
}

#[test]
fn durations_sizes_and_rates_have_units() {
    for (text, expected) in [
        ("250ms", 250),
        ("5s", 5000),
        ("5 s", 5000),
        ("1m", 60_000),
        ("2h", 7_200_000),
        ("7d", 604_800_000),
        ("1y", 31_536_000_000),
    ] {
        let config = good(&format!("server: {{header_timeout: {text}}}"));
        assert_eq!(config.server.header_timeout, Duration::from_millis(expected), "{text}");
    }
    for (text, expected) in [
        ("512", Some(512)),
        ("512B", Some(512)),
        ("4KiB", Some(4096)),
        ("16KB", Some(16_000)),
        ("1MiB", Some(1 << 20)),
        ("2GiB", Some(2 << 30)),
        ("0", None),
    ] {
        assert_eq!(good(&format!("server: {{max_body_size: {text}}}")).server.max_body_size, expected, "{text}");
    }
    for (text, expected) in [("256B/s", Some(256)), ("1MiB/s", Some(1 << 20)), ("0", None), ("0B/s", None)] {
        assert_eq!(good(&format!("server: {{min_body_rate: {text}}}")).server.min_body_rate, expected, "{text}");
    }
    assert_eq!(good("server: {tcp_keepalive: off}").server.tcp_keepalive, None);
    assert_eq!(good("proxy: {timeout: 0}").proxy.timeout, None);
}

#[test]
fn cores_and_listeners_are_read_and_written_in_the_files_form() {
    for (text, cores) in
        [("0-3", vec![0, 1, 2, 3]), ("0,2,4-6", vec![0, 2, 4, 5, 6]), ("6,0", vec![0, 6]), ("3", vec![3])]
    {
        assert_eq!(text.parse(), Ok(CoreList::These(cores.clone())), "{text}");
        assert_eq!(good(&format!("server: {{cores: \"{text}\"}}")).server.cores, CoreList::These(cores));
    }
    assert_eq!("all".parse(), Ok(CoreList::All));
    for bad in ["", "x", "1-", "-1", "2-1", "0,0", "0-2,1", "+1", "99999", "0,,1"] {
        assert!(bad.parse::<CoreList>().is_err(), "{bad}");
    }
    for text in ["all", "0", "0-3", "0,2,4-6"] {
        assert_eq!(text.parse::<CoreList>().expect("valid").to_string(), text);
    }
    for text in [":8080", "127.0.0.1:80", "[::1]:80", "unix:/run/x.sock"] {
        assert_eq!(text.parse::<ListenAddr>().expect("valid").to_string(), text);
    }
    assert_eq!("*:80".parse::<ListenAddr>(), Err("`*:80` is not an address and a port; write `:80`".to_owned()));
}

#[test]
fn relative_socket_paths_start_at_the_files_folder() {
    let config = good(
        "server: {listen: \"unix:run/x\"}\nupstreams:\n  a: {servers: [\"unix:y\", \"unix:///run/z\", \"h:1\", \"[::1]\"]}\n",
    );
    assert_eq!(config.server.listen[0].addr, ListenAddr::Unix(PathBuf::from("/etc/gate/run/x")));
    let servers: Vec<_> = config.upstreams[0].servers.iter().map(|server| server.addr.clone()).collect();
    let tcp = |host: &str, port| UpstreamAddr::Tcp { host: host.to_owned(), port };
    let unix = |path: &str| UpstreamAddr::Unix(PathBuf::from(path));
    assert_eq!(servers, [unix("/etc/gate/y"), unix("/run/z"), tcp("h", Some(1)), tcp("::1", None)]);
}

#[test]
fn a_rules_settings_win_over_its_upstreams_and_these_over_its_groups() {
    let config = good(
        r#"
proxy: {connect_timeout: 1s, read_timeout: 1s, write_timeout: 1s, first_byte_timeout: 1s, timeout: 1s}
upstreams:
  up: {servers: [a], proxy: {write_timeout: 3s, first_byte_timeout: 3s, timeout: 3s, host: target}}
static: {spa: off}
server: {max_body_size: 1MiB}
groups:
  - proxy: {read_timeout: 2s, write_timeout: 2s, first_byte_timeout: 2s, timeout: 2s}
    static: {cache_control: no-store}
    max_body_size: 2MiB
    routes:
      /a: {to: http://UP/x, proxy: {first_byte_timeout: 4s}, timeout: 0, max_body_size: 0}
      /b: {to: ./dist/, static: {spa: on}}
      /c: http://up:8080 http://other
routes:
  /d: http://a http://up?x
  /e: OK http
"#,
    );
    let seconds = |n| Duration::from_secs(n);
    let a = config.proxy_for(&config.routes[0]);
    assert_eq!(
        (a.connect_timeout, a.read_timeout, a.write_timeout, a.first_byte_timeout, a.timeout),
        (seconds(1), seconds(2), seconds(3), seconds(4), None)
    );
    assert_eq!(a.host, HostHeader::Target);
    let b = config.static_for(&config.routes[1]);
    assert_eq!((b.spa, b.cache_control), (Spa::On, CacheControl::Value("no-store".to_owned())));
    assert_eq!(config.static_for(&config.routes[3]).spa, Spa::Off);
    assert_eq!(config.upstream_of(&config.routes[2]).map(|up| &up.name.text), None, "a port is no upstream's");
    assert_eq!(config.proxy_for(&config.routes[3]).write_timeout, seconds(3));
    assert_eq!(config.proxy_for(&config.routes[4]).write_timeout, seconds(1));
    let sizes: Vec<_> = config.routes.iter().map(|route| config.max_body_size_for(route)).collect();
    assert_eq!(sizes, [None, Some(2 << 20), Some(2 << 20), Some(1 << 20), Some(1 << 20)]);
    assert_eq!(config.base_dir, Path::new("/etc/gate"));
}

#[test]
fn mapped_addresses_are_trusted_as_ipv4() {
    let config = good("server: {trust: [10.0.0.0/8, \"::ffff:192.168.0.0/120\", \"2001:db8::/32\", 127.0.0.1]}");
    for trusted in ["10.1.2.3", "::ffff:10.1.2.3", "192.168.0.7", "2001:db8::1", "127.0.0.1"] {
        assert!(config.trusts(trusted.parse().expect("an address")), "{trusted}");
    }
    for stranger in ["11.0.0.1", "::1", "192.168.1.1", "127.0.0.2", "2001:db9::1"] {
        assert!(!config.trusts(stranger.parse().expect("an address")), "{stranger}");
    }
}

#[test]
fn groups_and_routes_keep_the_order_of_the_text() {
    let config = good("routes:\n  /1: OK\ngroups:\n  - routes: {/2: OK}\n  - routes: {/3: OK}\n");
    let heads: Vec<_> = config.routes.iter().map(|route| route.head.text.as_str()).collect();
    assert_eq!(heads, ["/1", "/2", "/3"]);
}
