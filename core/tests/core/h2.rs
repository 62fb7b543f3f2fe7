//! What may be said of HTTP/2, and what not.

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
          = help: the window of a connection holds that of one request at least
        error: expected a whole number from 1 to 10000, found 0
         --> anygate.yml:2:35
          |
        2 |   h2: {window: 2MiB, max_streams: 0, table_size: 1MiB, max_pngs: 3}
          |                                   ^
        error: expected a size from 0 to 64KiB, found 1048576
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
        error: expected a size from 16KiB to 64MiB, found 1024
         --> anygate.yml:3:16
          |
        3 |   h2: {window: 1KiB, connection_window: 32KiB}
          |                ^^^^
        error: expected a size from 64KiB to 64MiB, found 32768
         --> anygate.yml:3:41
          |
        3 |   h2: {window: 1KiB, connection_window: 32KiB}
          |                                         ^^^^^
    "#]]
    .assert_eq(&shown(&yaml(text)));
}
