//! What may be said of HTTP/2, and what not.

use anygate_core::config::schema;
use expect_test::expect;

use crate::common::{good, shown, yaml};

#[test]
fn a_listener_speaks_http2_unless_it_is_told_not_to() {
    let config = good("server: {listen: [\":80\", {addr: \":81\", h2: false}, {addr: \":82\", h2: true}]}");
    assert_eq!(config.server.listen.iter().map(|listen| listen.h2).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn each_bound_of_a_connection_has_a_key() {
    let config = good(
        "server: {h2: {max_streams: 1, window: 16KiB, connection_window: 64KiB, table_size: 0, max_resets: 2, max_pings: 3, \
         max_settings: 4, max_empty_frames: 5, max_window_updates: 6, max_priorities: 7, max_unknown_frames: 8, max_continuations: 9}}",
    );
    let h2 = config.server.h2;
    assert_eq!((h2.max_streams, h2.window, h2.connection_window, h2.table_size), (1, 16 << 10, 64 << 10, 0));
    assert_eq!((h2.max_resets, h2.max_pings, h2.max_settings, h2.max_empty_frames), (2, 3, 4, 5));
    assert_eq!((h2.max_window_updates, h2.max_priorities, h2.max_unknown_frames, h2.max_continuations), (6, 7, 8, 9));
}

#[test]
fn what_cannot_hold_is_said() {
    let text = "server:
  h2: {window: 2MiB, max_streams: 0, table_size: 1MiB, max_pngs: 3}
";
    expect![[r#"
        error: `connection_window` is smaller than `window`
         --> anygate.yml:2:16
          |
        2 |   h2: {window: 2MiB, max_streams: 0, table_size: 1MiB, max_pngs: 3}
          |                ^^^^
          |
          = help: a connection holds the content of one request at least: write both, the first no smaller than the second
        error: expected a whole number from 1 to 10000, found 0
         --> anygate.yml:2:35
          |
        2 |   h2: {window: 2MiB, max_streams: 0, table_size: 1MiB, max_pngs: 3}
          |                                   ^
          |
          = help: this limit always holds; the widest is 10000
        error: expected a size from 0 to 64KiB, found `1MiB`
         --> anygate.yml:2:50
          |
        2 |   h2: {window: 2MiB, max_streams: 0, table_size: 1MiB, max_pngs: 3}
          |                                                  ^^^^
        error: unknown key `max_pngs` in `h2`
         --> anygate.yml:2:56
          |
        2 |   h2: {window: 2MiB, max_streams: 0, table_size: 1MiB, max_pngs: 3}
          |                                                        ^^^^^^^^ unknown key
          |
          = help: did you mean `max_pings`?
    "#]]
    .assert_eq(&shown(&yaml(text)));
    let text = "server:
  listen: {addr: \":80\", h2: off}
  h2: {window: 1KiB, connection_window: 32KiB}
";
    expect![[r#"
        error: expected `true` or `false`, found `off`
         --> anygate.yml:2:29
          |
        2 |   listen: {addr: ":80", h2: off}
          |                             ^^^
          |
          = help: write `false`, without quotes
        error: expected a size from 16KiB to 64MiB, found `1KiB`
         --> anygate.yml:3:16
          |
        3 |   h2: {window: 1KiB, connection_window: 32KiB}
          |                ^^^^
        error: expected a size from 64KiB to 64MiB, found `32KiB`
         --> anygate.yml:3:41
          |
        3 |   h2: {window: 1KiB, connection_window: 32KiB}
          |                                         ^^^^^
    "#]]
    .assert_eq(&shown(&yaml(text)));
}

/// What is found, without the text around it: message, place and help, a line each.
fn said(text: &str) -> String {
    let shown = shown(&yaml(text));
    let keep = |line: &str| {
        let line = line.trim();
        line.strip_prefix("error: ").or(line.strip_prefix("= help: ")).or(line.strip_prefix("--> ")).map(str::to_owned)
    };
    shown.lines().filter_map(keep).collect::<Vec<_>>().join("\n")
}

#[test]
fn names_of_other_servers_and_of_the_rfc_lead_to_the_key_that_is_meant() {
    for (key, meant) in [
        ("http2_max_concurrent_streams", "did you mean `max_streams`?"),
        ("tune.h2.fe.max-concurrent-streams", "did you mean `max_streams`?"),
        ("http2-max-concurrent-requests-per-connection", "did you mean `max_streams`?"),
        ("SETTINGS_MAX_CONCURRENT_STREAMS", "did you mean `max_streams`?"),
        ("maxConcurrentStreams", "did you mean `max_streams`?"),
        ("max-streams", "did you mean `max_streams`?"),
        ("streams", "did you mean `max_streams`?"),
        ("max_empty", "did you mean `max_empty_frames`?"),
        ("tune.h2.initial-window-size", "did you mean `window`?"),
        ("initial_window_size", "did you mean `window`?"),
        ("http2_body_preread_size", "did you mean `window`?"),
        ("tune.h2.fe.rxbuf", "did you mean `connection_window`?"),
        ("tune.h2.header-table-size", "did you mean `table_size`?"),
        ("tune.h2.fe.max-rst-at-once", "did you mean `max_resets`?"),
        ("http2_max_requests", "did you mean `max_requests_per_connection` in `server`?"),
        ("http2-idle-timeout", "did you mean `idle_timeout` in `server`?"),
        ("max_header_list_size", "did you mean `max_header_size` in `server`?"),
        ("http2_recv_timeout", "did you mean `read_timeout` in `server`?"),
        ("http2-graceful-shutdown-timeout", "did you mean `drain_timeout` in `server`?"),
        ("idle_timeout", "`idle_timeout` belongs in `server`"),
        ("routes", "`routes` belongs at the top of the file"),
        ("max_frame_size", "there is no such key: frames hold up to 16 KiB, both ways"),
        ("http2_push", "there is no server push: browsers no longer take it"),
        (
            "tune.h2.fe.glitches-threshold",
            "each kind has a limit of its own here: `max_resets`, `max_pings` and the like in `server.h2`",
        ),
    ] {
        let text = format!("server:\n  h2: {{max_pings: 30, {key}: 100}}\n");
        let expected = format!("unknown key `{key}` in `h2`\nanygate.yml:2:23\n{meant}");
        assert_eq!(said(&text), expected);
    }
}

#[test]
fn a_key_at_the_wrong_place_is_told_where_it_belongs() {
    let off = "every listener speaks HTTP/2 and HTTP/1.1: `{addr: \":8080\", h2: false}` in `server.listen` leaves it at HTTP/1.1";
    let later = "HTTP/3 is not available in this version; it belongs to a later one";
    for (text, section, help) in [
        ("h2: {max_streams: 5}", "the configuration", "`h2` belongs in `server`"),
        ("listen: ':80'", "the configuration", "`listen` belongs in `server`"),
        ("max_streams: 5", "the configuration", "`max_streams` belongs in `server.h2`"),
        ("server: {max_streams: 5}", "`server`", "`max_streams` belongs in `server.h2`"),
        ("server: {http2_max_concurrent_streams: 5}", "`server`", "did you mean `max_streams` in `server.h2`?"),
        ("server: {http2: true}", "`server`", off),
        ("server: {h3: true}", "`server`", later),
        ("server: {listen: {addr: ':80', http2: true}}", "a listener", off),
        ("server: {listen: {addr: ':80', alpn: [h2]}}", "a listener", off),
        ("server: {listen: {addr: ':80', max_streams: 5}}", "a listener", "`max_streams` belongs in `server.h2`"),
        ("server: {listen: {addr: ':80', ssl: true}}", "a listener", "write `tls: true` beside the listener's `addr`"),
        ("server: {listen: {addr: ':80', quic: true}}", "a listener", later),
        ("tls: {alpn: [h2]}", "`tls`", off),
        ("groups: [{routes: {/: OK}, h2: {}}]", "a group", "`h2` belongs in `server`"),
        ("server: {port: 80}", "`server`", "did you mean `listen`?"),
        ("server: {keepalive_timeout: 65}", "`server`", "did you mean `idle_timeout`?"),
        ("server: {client_max_body_size: 10m}", "`server`", "did you mean `max_body_size`?"),
        ("server: {worker_processes: auto}", "`server`", "did you mean `cores`?"),
        ("server: {tls: {}}", "`server`", "`tls` belongs at the top of the file or at an entry of `server.listen`"),
        ("tls: {cert: a.pem}", "`tls`", "write `certificates: {cert: FILE, key: FILE}` in `tls`"),
        ("proxy: {proxy_send_timeout: 5s}", "`proxy`", "did you mean `write_timeout`?"),
        ("proxy: {http_version: 2}", "`proxy`", "servers behind are spoken to in HTTP/1.1 in this version"),
        ("routes: {/: {to: OK, h2: true}}", "a rule", "servers behind are spoken to in HTTP/1.1 in this version"),
        ("gzip: on", "the configuration", "it is not available in this version; it belongs to a later one"),
    ] {
        let said = said(text);
        assert!(said.ends_with(&format!("\n{help}")) && said.contains(&format!(" in {section}\n")), "{text}\n{said}");
    }
}

#[test]
fn values_of_another_kind_are_answered_with_what_to_write() {
    let listener = "each listener says whether it speaks HTTP/2: `listen: {addr: \":8080\", h2: false}`";
    for (text, help) in [
        ("server: {h2: false}", listener),
        ("server: {h2: on}", listener),
        ("server: {h2: {max_streams: '100'}}", "write `100`, without quotes"),
        ("server: {h2: {max_resets: 200/s}}", "write the number alone: `200`"),
        ("server: {h2: {max_resets: off}}", "this limit always holds; the widest is 1000000"),
        ("server: {h2: {max_streams: 0}}", "this limit always holds; the widest is 10000"),
        ("server: {h2: {window: 64k}}", "write `64KiB`: sizes know B, KB, KiB, MB, MiB, GB, GiB, TB, TiB"),
        (
            "server: {listen: {addr: ':80', h2: {max_streams: 5}}}",
            "its limits are those of every listener and stand in `server.h2`",
        ),
        (
            "server: {listen: '443 ssl http2'}",
            "write `{addr: \":443\", tls: true}`: what else a listener has are keys of its own, and HTTP/2 is on",
        ),
        ("server: {listen: 'https://a.example'}", "write `{addr: \":443\", tls: true}`"),
        ("server: {listen: 'http://a.example:81/'}", "write `:81`"),
        ("server: {trust: 10.0.0.0/8}", "write `[\"10.0.0.0/8\"]`"),
        ("tls: {profile: TLSv1.3}", "`modern` is TLS 1.3 alone, `intermediate` 1.2 and 1.3"),
        ("static: {spa: yes}", "did you mean `on`?"),
        ("log: {level: warning}", "did you mean `warn`?"),
    ] {
        let said = said(text);
        assert!(said.ends_with(&format!("\n{help}")), "{text}\n{said}");
    }
}

#[test]
fn each_name_of_the_table_for_those_who_come_from_other_servers_leads_to_its_key() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/MIGRATING.md");
    let docs = std::fs::read_to_string(docs).expect("the documentation is in the repository");
    let mut names = 0;
    for row in docs.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let (ours, theirs) = cells.split_last().expect("a row has cells");
        let key =
            ours.split('`').nth(1).filter(|key| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        for name in theirs.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
            let said = said(&format!("\"{name}\": 1"));
            let help = said.lines().last().expect("it is unknown");
            assert!(!help.starts_with("it may have"), "{name}: {help}");
            if let Some(key) = key.filter(|_| !ours.contains("a rule")) {
                assert!(help.contains(&format!("`{key}`")), "{name}: {help}, and not {key}");
            }
            names += 1;
        }
    }
    assert!(names > 50, "{names} names");
}

#[test]
fn each_bound_holds_from_its_least_to_its_most_as_documented_and_no_further() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIGURATION.md");
    let docs = std::fs::read_to_string(docs).expect("the documentation is in the repository");
    let section = docs.split("\n### HTTP/2\n").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("its section");
    let defaults = &schema()["$defs"]["Http2"]["properties"];
    let mut rows = 0;
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect();
        let (key, default, range) = (cells[0], cells[1], cells[2].split(',').next().expect("a range"));
        let (least, most) = range.split_once(" to ").expect("from, to");
        assert_eq!(default, defaults[key]["default"].to_string().trim_matches('"'), "{key}");
        let beside = match key {
            "window" => "connection_window: 64MiB, ",
            "connection_window" => "window: 16KiB, ",
            _ => "",
        };
        let load = |value: &str| yaml(&format!("server: {{h2: {{{beside}{key}: {value}}}}}"));
        for value in [default, least, most] {
            assert!(load(value).config.is_some(), "{key}: {value}");
        }
        let beyond = |bound: &str, step: i64| {
            let unit = bound.trim_start_matches(|c: char| c.is_ascii_digit());
            let number: i64 = bound.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().expect("a number");
            format!("{}{unit}", number + step)
        };
        for value in [beyond(least, -1), beyond(most, 1)] {
            assert!(load(&value).config.is_none(), "{key}: {value}");
        }
        rows += 1;
    }
    assert_eq!(rows, defaults.as_object().expect("keys").len());
}
