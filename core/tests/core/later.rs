//! What belongs to a later version is refused, never silently accepted.

use expect_test::expect;

use crate::common::{good, shown, yaml};

#[test]
fn every_key_of_a_later_version_is_refused_in_one_wording() {
    let text = r#"server:
  listen: {addr: ":8443", proxy_protocol: true}
tls: {early_data: false}
upstreams:
  users:
    servers: [{addr: "10.0.0.2:8001", weight: 3, backup: true}]
    balance: least_conn
    protocol: h2
static: {precompressed: true, compress: {gzip: true}, listing: true, cache_control: {"*.js": 1y}}
plugins: [{name: headers}]
groups:
  - plugins: [{name: auth}]
    routes: {/: {to: OK, plugins: []}}
log: {access: stdout}
metrics: {listen: ":8081"}
tracing: off
admin: {}
"#;
    expect![[r#"
        error: `proxy_protocol` is not available in this version; it belongs to a later one
         --> anygate.yml:2:27
          |
        2 |   listen: {addr: ":8443", proxy_protocol: true}
          |                           ^^^^^^^^^^^^^^ not available yet
          |
          = help: remove it: nothing would obey it
        error: `weight` is not available in this version; it belongs to a later one
         --> anygate.yml:6:39
          |
        6 |     servers: [{addr: "10.0.0.2:8001", weight: 3, backup: true}]
          |                                       ^^^^^^ not available yet
          |
          = help: remove it: nothing would obey it
        error: `backup` is not available in this version; it belongs to a later one
         --> anygate.yml:6:50
          |
        6 |     servers: [{addr: "10.0.0.2:8001", weight: 3, backup: true}]
          |                                                  ^^^^^^ not available yet
          |
          = help: remove it: nothing would obey it
        error: `balance` other than `round_robin` is not available in this version; it belongs to a later one
         --> anygate.yml:7:14
          |
        7 |     balance: least_conn
          |              ^^^^^^^^^^ not available yet
          |
          = help: remove it: nothing would obey it
        error: `protocol` other than `h1` is not available in this version; it belongs to a later one
         --> anygate.yml:8:15
          |
        8 |     protocol: h2
          |               ^^ not available yet
          |
          = help: remove it: nothing would obey it
        error: `precompressed: true` is not available in this version; it belongs to a later one
         --> anygate.yml:9:25
          |
        9 | static: {precompressed: true, compress: {gzip: true}, listing: true, cache_control: {"*.js": 1y}}
          |                         ^^^^ not available yet
          |
          = help: remove it: nothing would obey it
        error: `compress` other than `off` is not available in this version; it belongs to a later one
         --> anygate.yml:9:41
          |
        9 | static: {precompressed: true, compress: {gzip: true}, listing: true, cache_control: {"*.js": 1y}}
          |                                         ^ not available yet
          |
          = help: remove it: nothing would obey it
        error: `listing: true` is not available in this version; it belongs to a later one
         --> anygate.yml:9:64
          |
        9 | static: {precompressed: true, compress: {gzip: true}, listing: true, cache_control: {"*.js": 1y}}
          |                                                                ^^^^ not available yet
          |
          = help: remove it: nothing would obey it
        error: `cache_control` by file is not available in this version; it belongs to a later one
         --> anygate.yml:9:85
          |
        9 | static: {precompressed: true, compress: {gzip: true}, listing: true, cache_control: {"*.js": 1y}}
          |                                                                                     ^ not available yet
          |
          = help: remove it: nothing would obey it
        error: `plugins` is not available in this version; it belongs to a later one
          --> anygate.yml:10:1
           |
        10 | plugins: [{name: headers}]
           | ^^^^^^^ not available yet
           |
           = help: remove it: nothing would obey it
        error: `plugins` is not available in this version; it belongs to a later one
          --> anygate.yml:12:5
           |
        12 |   - plugins: [{name: auth}]
           |     ^^^^^^^ not available yet
           |
           = help: remove it: nothing would obey it
        error: `plugins` is not available in this version; it belongs to a later one
          --> anygate.yml:13:26
           |
        13 |     routes: {/: {to: OK, plugins: []}}
           |                          ^^^^^^^ not available yet
           |
           = help: remove it: nothing would obey it
        error: `access` other than `off` is not available in this version; it belongs to a later one
          --> anygate.yml:14:15
           |
        14 | log: {access: stdout}
           |               ^^^^^^ not available yet
           |
           = help: remove it: nothing would obey it
        error: `metrics` is not available in this version; it belongs to a later one
          --> anygate.yml:15:1
           |
        15 | metrics: {listen: ":8081"}
           | ^^^^^^^ not available yet
           |
           = help: remove it: nothing would obey it
        error: `tracing` is not available in this version; it belongs to a later one
          --> anygate.yml:16:1
           |
        16 | tracing: off
           | ^^^^^^^ not available yet
           |
           = help: remove it: nothing would obey it
        error: `admin` is not available in this version; it belongs to a later one
          --> anygate.yml:17:1
           |
        17 | admin: {}
           | ^^^^^ not available yet
           |
           = help: remove it: nothing would obey it
    "#]]
    .assert_eq(&shown(&yaml(text)));
}

#[test]
fn the_values_that_mean_now_are_taken() {
    let config = good(
        "log: {access: off}\nstatic: {compress: off, precompressed: false, listing: false}\nupstreams:\n  a: {servers: [b], balance: round_robin, protocol: h1}\n",
    );
    assert!(!config.statics.precompressed && !config.statics.listing);
}
