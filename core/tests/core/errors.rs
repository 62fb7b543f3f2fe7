//! How values that are wrong are refused.

use expect_test::{Expect, expect};

use crate::common::{shown, yaml};

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&shown(&yaml(text)));
}

#[test]
fn several_errors_are_reported_in_one_run_each_with_its_caret_and_help() {
    check(
        "server:\n  listn: :8080\n  header_timeout: 10\n  max_body_size: 4kb\n  io: urinng\n  cores: 3-1\n  merge_slashes: yes\nroutes:\n  /x: OK\n  /x: OK\n",
        expect![[r#"
            error: unknown key `listn` in `server`
             --> anygate.yml:2:3
              |
            2 |   listn: :8080
              |   ^^^^^ unknown key
              |
              = help: did you mean `listen`?
            error: expected a duration such as `250ms`, `5s`, `1m`, `2h`, `7d` or `1y`, found `10`
             --> anygate.yml:3:19
              |
            3 |   header_timeout: 10
              |                   ^^
              |
              = help: a duration has a unit: `10s` or `10ms`
            error: expected a size such as `512KiB` or `16MiB`, or 0 for no limit, found `4kb`
             --> anygate.yml:4:18
              |
            4 |   max_body_size: 4kb
              |                  ^^^
              |
              = help: write `4KiB`: sizes know B, KB, KiB, MB, MiB, GB, GiB, TB, TiB
            error: expected one of `auto`, `uring`, `epoll`, found `urinng`
             --> anygate.yml:5:7
              |
            5 |   io: urinng
              |       ^^^^^^
              |
              = help: did you mean `uring`?
            error: the range `3-1` runs backwards
             --> anygate.yml:6:10
              |
            6 |   cores: 3-1
              |          ^^^
              |
              = help: write `1-3`
            error: expected `true` or `false`, found `yes`
             --> anygate.yml:7:18
              |
            7 |   merge_slashes: yes
              |                  ^^^
              |
              = help: write `true`, without quotes
            error: `/x` stands here twice
              --> anygate.yml:10:3
               |
             9 |   /x: OK
               |   -- first here
            10 |   /x: OK
               |   ^^ again
               |
               = help: keep one of them
        "#]],
    );
}

#[test]
fn a_listener_that_is_none_says_what_was_meant() {
    check(
        "server:\n  listen:\n    - 8080\n    - localhost:80\n    - 127.0.0.1\n    - '*:80'\n    - /run/x.sock\n    - :99999\n    - example.com:80\n    - unix:\n    - :80\n    - :80\n    - {addr: :81, adr: 1}\n    - {}\n    - [x]\n",
        expect![[r#"
            error: `8080` is not an address and a port
             --> anygate.yml:3:7
              |
            3 |     - 8080
              |       ^^^^
              |
              = help: write `:8080`
            error: `localhost:80` is not an address and a port
             --> anygate.yml:4:7
              |
            4 |     - localhost:80
              |       ^^^^^^^^^^^^
              |
              = help: write `127.0.0.1:80`
            error: `127.0.0.1` is not an address and a port
             --> anygate.yml:5:7
              |
            5 |     - 127.0.0.1
              |       ^^^^^^^^^
              |
              = help: write `127.0.0.1:8080`
            error: `*:80` is not an address and a port
             --> anygate.yml:6:8
              |
            6 |     - '*:80'
              |        ^^^^
              |
              = help: write `:80`
            error: `/run/x.sock` is not an address and a port
             --> anygate.yml:7:7
              |
            7 |     - /run/x.sock
              |       ^^^^^^^^^^^
              |
              = help: write `unix:/run/x.sock`
            error: expected a port from 0 to 65535, found `99999`
             --> anygate.yml:8:7
              |
            8 |     - :99999
              |       ^^^^^^
            error: expected where to listen: `:8080`, `127.0.0.1:80`, `[::1]:80` or `unix:/path`, found `example.com:80`
             --> anygate.yml:9:7
              |
            9 |     - example.com:80
              |       ^^^^^^^^^^^^^^
            error: unknown key `unix` in a listener
              --> anygate.yml:10:7
               |
            10 |     - unix:
               |       ^^^^ unknown key
               |
               = help: it may have `addr`, `tls`, `profile`, `client_auth`, `client_ca`, `redirect`, `h2`
            error: two listeners on `:80`
              --> anygate.yml:12:7
               |
            11 |     - :80
               |       --- first here
            12 |     - :80
               |       ^^^ again
            error: unknown key `adr` in a listener
              --> anygate.yml:13:19
               |
            13 |     - {addr: :81, adr: 1}
               |                   ^^^ unknown key
               |
               = help: did you mean `addr`?
            error: a listener without `addr`
              --> anygate.yml:14:7
               |
            14 |     - {}
               |       ^ this listener
               |
               = help: write `{addr: ":8080"}`, or the address alone
            error: expected a text, found a list
              --> anygate.yml:15:7
               |
            15 |     - [x]
               |       ^
        "#]],
    );
}

#[test]
fn values_of_the_wrong_kind_or_size_are_refused() {
    check(
        "server:\n  listen: []\n  cores: 0,x\n  name: [a]\n  header_timeout: 0\n  idle_timeout: 400d\n  read_timeout: 5 sec\n  min_body_rate: 256\n  max_header_size: 10\n  max_headers: -1\n  max_uri_size: 1.5KiB\n  max_connections: ten\n  max_requests_per_connection: 99999999999\n  trust: [10.0.0.1/8, example.com]\n  tcp_nodelay: \"true\"\n  tcp_keepalive: never\n  backlog: 0\necho: 5\nlog: {level: inf, format: [json]}\n",
        expect![[r#"
            error: expected 1 to 64 listeners, found 0
             --> anygate.yml:2:11
              |
            2 |   listen: []
              |           ^
            error: expected `all` or processors such as `0-7` or `0,2,4-6`, found `x`
             --> anygate.yml:3:10
              |
            3 |   cores: 0,x
              |          ^^^
            error: expected a text, found a list
             --> anygate.yml:4:9
              |
            4 |   name: [a]
              |         ^
            error: a timeout of 0 would never let anything happen
             --> anygate.yml:5:19
              |
            5 |   header_timeout: 0
              |                   ^
              |
              = help: write a duration such as `30s`
            error: a duration is at most 366 days
             --> anygate.yml:6:17
              |
            6 |   idle_timeout: 400d
              |                 ^^^^ longer
            error: expected a duration such as `250ms`, `5s`, `1m`, `2h`, `7d` or `1y`, found `5 sec`
             --> anygate.yml:7:17
              |
            7 |   read_timeout: 5 sec
              |                 ^^^^^
            error: expected a rate such as `256B/s` or `1MiB/s`, found `256`
             --> anygate.yml:8:18
              |
            8 |   min_body_rate: 256
              |                  ^^^
            error: expected a size from 1KiB to 1MiB, found `10`
             --> anygate.yml:9:20
              |
            9 |   max_header_size: 10
              |                    ^^
            error: expected a whole number from 1 to 1000, found `-1`
              --> anygate.yml:10:16
               |
            10 |   max_headers: -1
               |                ^^
            error: expected a size such as `512`, `4KiB`, `1MiB` or `16KB`, found `1.5KiB`
              --> anygate.yml:11:17
               |
            11 |   max_uri_size: 1.5KiB
               |                 ^^^^^^
            error: expected a whole number from 0 to 4294967295, found `ten`
              --> anygate.yml:12:20
               |
            12 |   max_connections: ten
               |                    ^^^
            error: expected a whole number from 0 to 4294967295, found 99999999999
              --> anygate.yml:13:32
               |
            13 |   max_requests_per_connection: 99999999999
               |                                ^^^^^^^^^^^
            error: `10.0.0.1/8` has bits set behind its prefix
              --> anygate.yml:14:11
               |
            14 |   trust: [10.0.0.1/8, example.com]
               |           ^^^^^^^^^^
               |
               = help: write `10.0.0.0/8`, or `10.0.0.1` for one address
            error: expected an address or a prefix such as `10.0.0.0/8`, found `example.com`
              --> anygate.yml:14:23
               |
            14 |   trust: [10.0.0.1/8, example.com]
               |                       ^^^^^^^^^^^
            error: expected a boolean, found the text `true`
              --> anygate.yml:15:17
               |
            15 |   tcp_nodelay: "true"
               |                 ^^^^
               |
               = help: write `true`, without quotes
            error: expected a duration such as `250ms`, `5s`, `1m`, `2h`, `7d` or `1y`, found `never`
              --> anygate.yml:16:18
               |
            16 |   tcp_keepalive: never
               |                  ^^^^^
            error: expected a whole number from 1 to 65535, found 0
              --> anygate.yml:17:12
               |
            17 |   backlog: 0
               |            ^
            error: expected a mapping for `echo`, found `5`
              --> anygate.yml:18:7
               |
            18 | echo: 5
               |       ^
            error: expected one of `error`, `warn`, `info`, `debug`, `trace`, found `inf`
              --> anygate.yml:19:14
               |
            19 | log: {level: inf, format: [json]}
               |              ^^^
               |
               = help: did you mean `info`?
            error: expected one of `json`, `text`, found a list
              --> anygate.yml:19:27
               |
            19 | log: {level: inf, format: [json]}
               |                           ^
        "#]],
    );
}

#[test]
fn proxy_static_and_upstream_settings_are_checked() {
    check(
        "proxy: {retries: 11, host: 'a b', via: 1, conect_timeout: 5s}\nstatic:\n  index: [a/b, index.html]\n  spa: true\n  cache_control: \"\"\n  hidden: alow\nupstreams:\n  a: [\"b:1\"]\n  b: {}\n  c d: {servers: [x]}\n  e: {servers: [\"http://x:1/\", \"::1\", \"[::1\", \"x:0\", \"x y\", {addr: 1.2.3.4, port: 5}]}\n  f: {servers: []}\n  A: {servers: [x]}\n",
        expect![[r#"
            error: expected a whole number from 0 to 10, found 11
             --> anygate.yml:1:18
              |
            1 | proxy: {retries: 11, host: 'a b', via: 1, conect_timeout: 5s}
              |                  ^^
            error: `a b` is not a host
             --> anygate.yml:1:29
              |
            1 | proxy: {retries: 11, host: 'a b', via: 1, conect_timeout: 5s}
              |                             ^^^
              |
              = help: write `keep`, `target`, or a host such as `app.example.com`
            error: expected `true` or `false`, found `1`
             --> anygate.yml:1:40
              |
            1 | proxy: {retries: 11, host: 'a b', via: 1, conect_timeout: 5s}
              |                                        ^
              |
              = help: write `true`, without quotes
            error: unknown key `conect_timeout` in `proxy`
             --> anygate.yml:1:43
              |
            1 | proxy: {retries: 11, host: 'a b', via: 1, conect_timeout: 5s}
              |                                           ^^^^^^^^^^^^^^ unknown key
              |
              = help: did you mean `connect_timeout`?
            error: `a/b` is not the name of a file
             --> anygate.yml:3:11
              |
            3 |   index: [a/b, index.html]
              |           ^^^
            error: expected one of `auto`, `on`, `off`, found `true`
             --> anygate.yml:4:8
              |
            4 |   spa: true
              |        ^^^^
              |
              = help: did you mean `on`?
            error: an empty `Cache-Control`
             --> anygate.yml:5:19
              |
            5 |   cache_control: ""
              |                   ^
              |
              = help: write `off` to send none
            error: expected one of `deny`, `allow`, found `alow`
             --> anygate.yml:6:11
              |
            6 |   hidden: alow
              |           ^^^^
              |
              = help: did you mean `allow`?
            error: expected a mapping, found a list
             --> anygate.yml:8:6
              |
            8 |   a: ["b:1"]
              |      ^
              |
              = help: write `{servers: ["10.0.0.1:8001"]}`
            error: the upstream `b` has no servers
             --> anygate.yml:9:3
              |
            9 |   b: {}
              |   ^
              |
              = help: give it `servers: ["10.0.0.1:8001"]`
            error: `c d` cannot be the name of an upstream
              --> anygate.yml:10:3
               |
            10 |   c d: {servers: [x]}
               |   ^^^
               |
               = help: a name has letters, digits, `.`, `-` and `_`; ports belong to its servers
            error: a server is an address and a port, without `http://`
              --> anygate.yml:11:18
               |
            11 |   e: {servers: ["http://x:1/", "::1", "[::1", "x:0", "x y", {addr: 1.2.3.4, port: 5}]}
               |                  ^^^^^^^^^^^
               |
               = help: write `x:1`; the scheme stands in the route's action
            error: an IPv6 address needs brackets before its port
              --> anygate.yml:11:33
               |
            11 |   e: {servers: ["http://x:1/", "::1", "[::1", "x:0", "x y", {addr: 1.2.3.4, port: 5}]}
               |                                 ^^^
               |
               = help: write `[::1]:8080`
            error: `[::1` is not an IPv6 address in brackets
              --> anygate.yml:11:40
               |
            11 |   e: {servers: ["http://x:1/", "::1", "[::1", "x:0", "x y", {addr: 1.2.3.4, port: 5}]}
               |                                        ^^^^
            error: a server's port cannot be 0
              --> anygate.yml:11:48
               |
            11 |   e: {servers: ["http://x:1/", "::1", "[::1", "x:0", "x y", {addr: 1.2.3.4, port: 5}]}
               |                                                ^^^
            error: expected a server such as `10.0.0.1:8001` or `unix:/run/app.sock`, found `x y`
              --> anygate.yml:11:55
               |
            11 |   e: {servers: ["http://x:1/", "::1", "[::1", "x:0", "x y", {addr: 1.2.3.4, port: 5}]}
               |                                                       ^^^
            error: unknown key `port` in a server
              --> anygate.yml:11:77
               |
            11 |   e: {servers: ["http://x:1/", "::1", "[::1", "x:0", "x y", {addr: 1.2.3.4, port: 5}]}
               |                                                                             ^^^^ unknown key
               |
               = help: write address and port as one: `addr: "127.0.0.1:8080"`
            error: expected 1 to 1024 servers, found 0
              --> anygate.yml:12:16
               |
            12 |   f: {servers: []}
               |                ^
        "#]],
    );
}

#[test]
fn rules_are_checked_for_their_shape() {
    check(
        "routes:\n  /a:\n  /b: [http://a, http://b]\n  /c: {timeout: 5s}\n  /d: {to: http://a, connect_timeout: 5s, spa: off, tiemout: 1s}\n  /e: {to: http://a, timeout: 5s, proxy: {timeout: 6s}}\n  /f: {to: OK, headers: {X Y: a, Content-Length: 5, x-a: 1, X-A: 2, X-B: \"a\\nb\"}}\n",
        expect![[r#"
            error: the rule `/a` has no action
             --> anygate.yml:2:3
              |
            2 |   /a:
              |   ^^ what happens then?
              |
              = help: write a status (`OK`), a URL, a directory (`./dist/`), or `*` for echo
            error: expected an action, found a list
             --> anygate.yml:3:7
              |
            3 |   /b: [http://a, http://b]
              |       ^
              |
              = help: several targets stand in one text, with blanks between
            error: a rule without `to`
             --> anygate.yml:4:7
              |
            4 |   /c: {timeout: 5s}
              |       ^ this rule
              |
              = help: say what happens: `to: "OK"`
            error: unknown key `connect_timeout` in a rule
             --> anygate.yml:5:22
              |
            5 |   /d: {to: http://a, connect_timeout: 5s, spa: off, tiemout: 1s}
              |                      ^^^^^^^^^^^^^^^ unknown key
              |
              = help: it belongs one level down: `proxy: {connect_timeout: …}`
            error: unknown key `spa` in a rule
             --> anygate.yml:5:43
              |
            5 |   /d: {to: http://a, connect_timeout: 5s, spa: off, tiemout: 1s}
              |                                           ^^^ unknown key
              |
              = help: it belongs one level down: `static: {spa: …}`
            error: unknown key `tiemout` in a rule
             --> anygate.yml:5:53
              |
            5 |   /d: {to: http://a, connect_timeout: 5s, spa: off, tiemout: 1s}
              |                                                     ^^^^^^^ unknown key
              |
              = help: did you mean `timeout`?
            error: `timeout` and `proxy.timeout` are one setting, given twice
             --> anygate.yml:6:22
              |
            6 |   /e: {to: http://a, timeout: 5s, proxy: {timeout: 6s}}
              |                      ^^^^^^^
              |
              = help: keep one of them
            error: `X Y` cannot be the name of a header field
             --> anygate.yml:7:26
              |
            7 |   /f: {to: OK, headers: {X Y: a, Content-Length: 5, x-a: 1, X-A: 2, X-B: "a\nb"}}
              |                          ^^^
            error: `Content-Length` is written by the server alone
             --> anygate.yml:7:34
              |
            7 |   /f: {to: OK, headers: {X Y: a, Content-Length: 5, x-a: 1, X-A: 2, X-B: "a\nb"}}
              |                                  ^^^^^^^^^^^^^^
              |
              = help: remove it
            error: `X-A` stands here twice
             --> anygate.yml:7:61
              |
            7 |   /f: {to: OK, headers: {X Y: a, Content-Length: 5, x-a: 1, X-A: 2, X-B: "a\nb"}}
              |                                                     ---     ^^^ again; case does not count
              |                                                     |
              |                                                     first here
            error: a header field cannot hold a control character
             --> anygate.yml:7:75
              |
            7 |   /f: {to: OK, headers: {X Y: a, Content-Length: 5, x-a: 1, X-A: 2, X-B: "a\nb"}}
              |                                                                           ^^^^ this one
        "#]],
    );
    check(
        "routes:\n  - GET /a\n  - {/a: OK, /b: OK}\n  - {match: /c}\n  - {to: OK}\n  - {match: /d, to: OK, methods: GET}\n",
        expect![[r#"
            error: expected a rule, found `GET /a`
             --> anygate.yml:2:5
              |
            2 |   - GET /a
              |     ^^^^^^
              |
              = help: write `- "GET /x": "OK"` or `- {match: "GET /x", to: "OK"}`
            error: an item of `routes` is one rule, this one has 2 keys
             --> anygate.yml:3:5
              |
            3 |   - {/a: OK, /b: OK}
              |     ^
              |
              = help: begin each rule with a `- ` of its own, or write `{match: …, to: …}`
            error: a rule without `to`
             --> anygate.yml:4:5
              |
            4 |   - {match: /c}
              |     ^ this rule
              |
              = help: say what happens: `to: "OK"`
            error: a rule without `match`
             --> anygate.yml:5:5
              |
            5 |   - {to: OK}
              |     ^ this rule
              |
              = help: say who may come in: `match: "GET /x"`
            error: unknown key `methods` in a rule
             --> anygate.yml:6:25
              |
            6 |   - {match: /d, to: OK, methods: GET}
              |                         ^^^^^^^ unknown key
              |
              = help: it may have `match`, `to`, `proxy`, `timeout`, `static`, `max_body_size`, `client_auth`, `headers`
        "#]],
    );
    check(
        "routes: OK\n",
        expect![[r#"
        error: expected a mapping or a list of rules, found `OK`
         --> anygate.yml:1:9
          |
        1 | routes: OK
          |         ^^
          |
          = help: write `routes: {"GET /x": "OK"}`
    "#]],
    );
    check(
        "groups:\n  - name: a\n  - routs: {}\n  - 5\ngroup: x\n",
        expect![[r#"
            error: a group without `routes`
             --> anygate.yml:2:5
              |
            2 |   - name: a
              |     ^^^^ this group
              |
              = help: give it `routes: {"/path": "action"}`, or remove it
            error: unknown key `routs` in a group
             --> anygate.yml:3:5
              |
            3 |   - routs: {}
              |     ^^^^^ unknown key
              |
              = help: did you mean `routes`?
            error: expected a mapping for a group, found `5`
             --> anygate.yml:4:5
              |
            4 |   - 5
              |     ^
            error: unknown key `group` in the configuration
             --> anygate.yml:5:1
              |
            5 | group: x
              | ^^^^^ unknown key
              |
              = help: did you mean `groups`?
        "#]],
    );
}

#[test]
fn a_setting_that_its_action_has_no_use_for_is_a_warning() {
    check(
        "routes:\n  /a: {to: OK, timeout: 5s}\n  /b: {to: ./dist/, proxy: {retries: 0}}\n  /c: {to: http://up, static: {spa: off}, timeout: 5s}\n  /d: {to: /dist/, static: {spa: off}, headers: {A: b}}\n",
        expect![[r#"
            warning: `timeout` has no effect on this rule
             --> anygate.yml:2:16
              |
            2 |   /a: {to: OK, timeout: 5s}
              |                ^^^^^^^ only for a rule that proxies
              |
              = help: remove it
            warning: `proxy` has no effect on this rule
             --> anygate.yml:3:21
              |
            3 |   /b: {to: ./dist/, proxy: {retries: 0}}
              |                     ^^^^^ only for a rule that proxies
              |
              = help: remove it
            warning: `static` has no effect on this rule
             --> anygate.yml:4:23
              |
            4 |   /c: {to: http://up, static: {spa: off}, timeout: 5s}
              |                       ^^^^^^ only for a rule that serves files
              |
              = help: remove it
        "#]],
    );
}

#[test]
fn more_errors_than_anyone_reads_are_counted() {
    let text: String = (0..250).map(|i| format!("key{i}: 1\n")).collect();
    let loaded = yaml(&text);
    assert_eq!(loaded.diagnostics.len(), 101);
    assert!(shown(&loaded).contains("150 more errors are not shown"));
}
