//! How files that cannot be read or parsed are refused.

use anygate_core::config::{Env, Format, Loader, load};
use expect_test::{Expect, expect};

use crate::common::{Memory, env, shown, text, yaml};

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&shown(&yaml(text)));
}

#[test]
fn a_repeated_key_is_an_error_everywhere() {
    check(
        "server: {io: auto, io: epoll}\nserver: {}\nroutes:\n  GET /x: OK\n  \"GET /x\": *\ngroups:\n  - routes: {/y: OK, /y: OK}\nupstreams:\n  1: {servers: [a]}\n  1: {servers: [a]}\n",
        expect![[r#"
            error: `io` stands here twice
             --> anygate.yml:1:20
              |
            1 | server: {io: auto, io: epoll}
              |          --        ^^ again
              |          |
              |          first here
              |
              = help: keep one of them
            error: `server` stands here twice
             --> anygate.yml:2:1
              |
            1 | server: {io: auto, io: epoll}
              | ------ first here
            2 | server: {}
              | ^^^^^^ again
              |
              = help: keep one of them
            error: `GET /x` stands here twice
             --> anygate.yml:5:4
              |
            4 |   GET /x: OK
              |   ------ first here
            5 |   "GET /x": *
              |    ^^^^^^ again
              |
              = help: keep one of them
            error: `/y` stands here twice
             --> anygate.yml:7:22
              |
            7 |   - routes: {/y: OK, /y: OK}
              |              --      ^^ again
              |              |
              |              first here
              |
              = help: keep one of them
        "#]],
    );
    check(
        "upstreams:\n  1: {servers: [a]}\n  1: {servers: [a]}\n",
        expect![[r#"
            error: this key stands here twice
             --> anygate.yml:3:3
              |
            3 |   1: {servers: [a]}
              |   ^ again
              |
              = help: keep one of them
        "#]],
    );
    let json = r#"{"server": {"io": "auto", "io": "epoll"}, "routes": {"/x": "OK", "/x": "OK"}}"#;
    expect![[r#"
        error: `io` stands here twice
         --> anygate:1:28
          |
        1 | {"server": {"io": "auto", "io": "epoll"}, "routes": {"/x": "OK", "/x": "OK"}}
          |              -- first here ^^ again
          |
          = help: keep one of them
        error: `/x` stands here twice
         --> anygate:1:67
          |
        1 | {"server": {"io": "auto", "io": "epoll"}, "routes": {"/x": "OK", "/x": "OK"}}
          |                                                       --          ^^ again
          |                                                       |
          |                                                       first here
          |
          = help: keep one of them
    "#]]
    .assert_eq(&shown(&text(json, Format::Json)));
    let toml = "[server]\nio = \"auto\"\nio = \"epoll\"\n[routes]\n\"/x\" = \"OK\"\n\"/x\" = \"OK\"\n";
    expect![[r#"
        error: invalid TOML: duplicate key
         --> anygate:3:1
          |
        3 | io = "epoll"
          | ^^
        error: invalid TOML: duplicate key
         --> anygate:6:1
          |
        6 | "/x" = "OK"
          | ^^^^
    "#]]
    .assert_eq(&shown(&text(toml, Format::Toml)));
}

#[test]
fn what_is_no_yaml_json_or_toml_is_shown_where_it_breaks() {
    check(
        "server:\n\tio: auto\n",
        expect![[r#"
            error: invalid YAML: tabs disallowed within this context (block indentation)
             --> anygate.yml:2:2
              |
            2 |     io: auto
              |     ^
              |
              = help: indent with blanks
        "#]],
    );
    check(
        "routes:\n  /x: OK hello: world\n",
        expect![[r#"
            error: invalid YAML: mapping values are not allowed in this context
             --> anygate.yml:2:15
              |
            2 |   /x: OK hello: world
              |               ^
              |
              = help: a head or an action that begins with one of `* & ! | > % @ [ {`, or holds `: ` or ` #`, needs quotes
        "#]],
    );
    check(
        "routes:\n  *foo: OK\n  /x: *foo\n",
        expect![[r#"
        error: invalid YAML: alias references unknown anchor
         --> anygate.yml:2:3
          |
        2 |   *foo: OK
          |   ^
          |
          = help: a head or an action that begins with one of `* & ! | > % @ [ {`, or holds `: ` or ` #`, needs quotes
    "#]],
    );
    check(
        "routes: {/x: \"OK}\n",
        expect![[r#"
            error: invalid YAML: unclosed quote
             --> anygate.yml:1:14
              |
            1 | routes: {/x: "OK}
              |              ^
        "#]],
    );
    check(
        "server: {}\n---\nserver: {}\n",
        expect![[r#"
            error: a configuration is one YAML document
             --> anygate.yml:2:1
              |
            2 | ---
              | ^
        "#]],
    );
    check(
        "- a\n",
        expect![[r#"
        error: expected a mapping for the configuration, found a list
         --> anygate.yml:1:1
          |
        1 | - a
          | ^
    "#]],
    );
    expect![[r#"
        error: invalid JSON: trailing comma
         --> anygate:1:26
          |
        1 | {"server": {"io": "auto",}}
          |                          ^
    "#]]
    .assert_eq(&shown(&text("{\"server\": {\"io\": \"auto\",}}", Format::Json)));
    expect![[r#"
        error: invalid JSON: key must be a string
         --> anygate:1:2
          |
        1 | {server: {io: auto}} # YAML
          |  ^
    "#]]
    .assert_eq(&shown(&text("{server: {io: auto}} # YAML", Format::Json)));
    expect![[r#"
        error: invalid TOML: string values must be quoted, expected literal string
         --> anygate:2:6
          |
        2 | io = auto
          |      ^^^^
        error: invalid TOML: invalid basic string, expected `"`
         --> anygate:3:10
          |
        3 | name = "x
          |          ^
    "#]]
    .assert_eq(&shown(&text("[server]\nio = auto\nname = \"x\n", Format::Toml)));
}

#[test]
fn nesting_that_never_ends_is_refused_in_every_format() {
    for (text_of, format) in [("[", Format::Yaml), ("[", Format::Json), ("x = [", Format::Toml)] {
        let (open, close) = ("[".repeat(90), "]".repeat(90));
        let whole = format!("{}{open}{close}", text_of.trim_end_matches('['));
        let found = shown(&text(&whole, format));
        assert!(found.contains("error:"), "{format:?}: {found}");
    }
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\ne: [*d, *d, *d, *d, *d, *d, *d, *d]\n";
    assert!(shown(&yaml(bomb)).contains("error:"));
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let mut files = Memory::default();
    files.0.insert("latin.yml".to_owned(), b"a: 1\nb: \xe9\n".to_vec());
    let none = Env::new();
    let loader = Loader { env: &none, rules: &[], files: &files, self_signed: false };
    let found: String =
        ["missing.yml", "latin.yml", "anygate.conf"].map(|path| shown(&loader.file(path.as_ref()))).concat();
    expect![[r#"
        error: cannot read `missing.yml`: entity not found
         |
         = help: check the path; a relative one starts where it is written
        error: `latin.yml` is not UTF-8: see line 2
        error: cannot tell how `anygate.conf` is written
         |
         = help: a configuration file ends in .yml, .yaml, .toml or .json
    "#]]
    .assert_eq(&found);
    assert!(shown(&load("/nonexistent/anygate.yml".as_ref(), &env(&[]), &[])).contains("cannot read"));
}
