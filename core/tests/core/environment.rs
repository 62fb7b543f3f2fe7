//! `${VAR}` in values, and keys that the environment overrides.

use anygate_core::config::{Io, ListenAddr};
use expect_test::expect;

use crate::common::{rules, shown, yaml_env};

#[test]
fn variables_are_filled_in_after_parsing_and_take_the_type_that_is_wanted() {
    let loaded = yaml_env(
        "server:\n  listen: \":${PORT}\"\n  merge_slashes: ${MERGE}\n  max_headers: ${COUNT:-50}\n  name: '${EVIL}'\nroutes:\n  \"/\": ${UP}\n  /a: OK ${HELLO:-hi there}\n  /b: OK $$5, $${X}, $6 and 7$\n  /c: {to: http://c, timeout: \"${T}s\"}\n  \"/{$}\": OK ${EMPTY:-filled}${EMPTY}\n",
        &[
            ("PORT", "81"),
            ("MERGE", "false"),
            ("EVIL", "x\" }, io: epoll, # ${PORT}"),
            ("UP", "http://up"),
            ("T", "7"),
            ("EMPTY", ""),
        ],
    );
    assert_eq!(shown(&loaded), "");
    let config = loaded.config.expect("no errors");
    assert_eq!(config.server.listen[0].addr, ListenAddr::Any(81));
    assert!(!config.server.merge_slashes);
    assert_eq!((config.server.max_headers, config.server.io), (50, Io::Auto));
    assert_eq!(config.server.name, "x\" }, io: epoll, # ${PORT}");
    let expected = [
        ("/", "http://up"),
        ("/a", "OK hi there"),
        ("/b", "OK $5, ${X}, $6 and 7$"),
        ("/c", "http://c"),
        ("/{$}", "OK filled"),
    ];
    assert_eq!(rules(&config), expected);
    assert_eq!(config.routes[3].settings.proxy.timeout, Some(Some(std::time::Duration::from_secs(7))));
    assert!(config.routes.iter().all(|route| route.head.verbatim));
    let verbatim: Vec<bool> = config.routes.iter().map(|route| route.action.verbatim).collect();
    assert_eq!(verbatim, [false, false, false, true, false]);
}

#[test]
fn a_variable_that_is_not_set_is_an_error_at_its_place() {
    let loaded = yaml_env(
        "routes:\n  /a: http://${BACKEND}/x\n  /b: ${1X}\n  /c: OK ${open\n  /d: ${}\nserver: {name: \"a\\tb ${NOPE}\"}\n",
        &[("BACKENDS", "x")],
    );
    expect![[r#"
        error: the environment variable `BACKEND` is not set
         --> anygate.yml:2:14
          |
        2 |   /a: http://${BACKEND}/x
          |              ^^^^^^^^^^
          |
          = help: did you mean `BACKENDS`? Or give a default: `${BACKEND:-…}`
        error: `1X` is not the name of an environment variable
         --> anygate.yml:3:7
          |
        3 |   /b: ${1X}
          |       ^^^^^
          |
          = help: write `${NAME}` or `${NAME:-default}`, or `$${` for the two characters themselves
        error: `${` without `}`
         --> anygate.yml:4:10
          |
        4 |   /c: OK ${open
          |          ^^^^^^ never closed
          |
          = help: write `$${` for the two characters themselves
        error: `${}` names no environment variable
         --> anygate.yml:5:7
          |
        5 |   /d: ${}
          |       ^^^
          |
          = help: write `${NAME}` or `${NAME:-default}`, or `$${` for the two characters themselves
        error: the environment variable `NOPE` is not set
         --> anygate.yml:6:17
          |
        6 | server: {name: "a\tb ${NOPE}"}
          |                 ^^^^^^^^^^^^
          |
          = help: set it, or give a default: `${NOPE:-…}`
    "#]]
    .assert_eq(&shown(&loaded));
}

#[test]
fn the_environment_overrides_keys_by_their_path() {
    let loaded = yaml_env(
        "server: {listen: \":80\", io: epoll}\nupstreams:\n  users: {servers: [a]}\n",
        &[
            ("ANYGATE_SERVER__LISTEN", "[\":81\", \"unix:/run/x\"]"),
            ("ANYGATE_SERVER__MAX_HEADERS", "7"),
            ("ANYGATE_SERVER__MERGE_SLASHES", "false"),
            ("ANYGATE_SERVER__NAME", "${NOT_A_VARIABLE}"),
            ("ANYGATE_PROXY__TIMEOUT", "5s"),
            ("ANYGATE_UPSTREAMS__USERS__SERVERS", "[b, c]"),
            ("ANYGATE_UPSTREAMS__NEW__SERVERS", "[d]"),
        ],
    );
    assert_eq!(shown(&loaded), "");
    let config = loaded.config.expect("no errors");
    assert_eq!(
        config.server.listen.iter().map(|listen| listen.addr.to_string()).collect::<Vec<_>>(),
        [":81", "unix:/run/x"]
    );
    assert_eq!((config.server.max_headers, config.server.io, config.server.merge_slashes), (7, Io::Epoll, false));
    assert_eq!(config.server.name, "${NOT_A_VARIABLE}");
    assert_eq!(config.proxy.timeout, Some(std::time::Duration::from_secs(5)));
    let sizes: Vec<_> = config.upstreams.iter().map(|up| (up.name.text.as_str(), up.servers.len())).collect();
    assert_eq!(sizes, [("users", 2), ("new", 1)]);
}

#[test]
fn names_that_are_not_ours_are_ignored() {
    let loaded = yaml_env(
        "",
        &[
            ("ANYGATE_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("ANYGATE_SERVICE_HOST", "10.0.0.1"),
            ("ANYGATE_CANARY__SERVICE_PORT", "80"),
            ("ANYGATE_LOG", "debug"),
            ("ANYGATE__SERVER__IO", "epoll"),
            ("SERVER__IO", "epoll"),
        ],
    );
    assert_eq!(shown(&loaded), "");
    assert_eq!(loaded.config.expect("no errors").server.io, Io::Auto);
}

#[test]
fn an_override_that_names_no_key_or_has_a_bad_value_names_the_variable() {
    let loaded = yaml_env(
        "server: {io: auto}\n",
        &[
            ("ANYGATE_SERVER__LISTN", ":80"),
            ("ANYGATE_SERVER__MAX_HEADERS", "many"),
            ("ANYGATE_SERVER__IO__X", "1"),
            ("ANYGATE_SERVER__", "1"),
            ("ANYGATE_ROUTES__X", "OK"),
            ("ANYGATE_METRICS__LISTEN", "modern"),
            ("ANYGATE_SERVER__TRUST", "[10.0.0.0/8"),
        ],
    );
    expect![[r#"
        error: `metrics` is not available in this version; it belongs to a later one
         --> environment:1:9
          |
        1 | ANYGATE_METRICS__LISTEN=modern
          |         ^^^^^^^ not available yet
          |
          = help: remove it: nothing would obey it
        error: `routes` cannot be set from the environment
         --> environment:1:9
          |
        1 | ANYGATE_ROUTES__X=OK
          |         ^^^^^^ not a section with keys
          |
          = help: write it in the configuration file, where `${VAR}` works in every value
        error: the environment variable `ANYGATE_SERVER__` names no key
         --> environment:1:17
          |
        1 | ANYGATE_SERVER__=1
          |                 ^ a part of the path is empty
          |
          = help: write `ANYGATE_SECTION__KEY`, such as `ANYGATE_SERVER__LISTEN`
        error: `x` is set below a value that is not a mapping
         --> environment:1:21
          |
        1 | ANYGATE_SERVER__IO__X=1
          |                     ^ this key
          |
         ::: anygate.yml:1:14
          |
        1 | server: {io: auto}
          |              ---- the value
        error: unknown key `listn` in `server`
         --> environment:1:17
          |
        1 | ANYGATE_SERVER__LISTN=:80
          |                 ^^^^^ unknown key
          |
          = help: did you mean `listen`?
        error: expected a whole number from 1 to 1000, found `many`
         --> environment:1:29
          |
        1 | ANYGATE_SERVER__MAX_HEADERS=many
          |                             ^^^^
        error: invalid YAML: unclosed bracket '['
         --> environment:1:23
          |
        1 | ANYGATE_SERVER__TRUST=[10.0.0.0/8
          |                       ^
    "#]]
    .assert_eq(&shown(&loaded));
}
