//! `anygate check`: what is refused, how it is told, and what is let through.

use expect_test::{Expect, expect};

use super::rig::Folder;

/// The findings of a file, as a person reads them.
fn refused(yaml: &str, expected: &Expect) {
    let folder = Folder::with(yaml);
    let ran = folder.run(&["check", "--offline"]);
    expected.assert_eq(&ran.err.replace(folder.path().to_str().unwrap(), "FOLDER"));
    assert_eq!(ran.code, 1);
    assert_eq!(ran.out, "");
}

#[test]
fn every_error_of_a_file_is_told_in_one_run_with_its_line_a_caret_and_a_help() {
    refused(
        "server:\n  listne: \":80\"\nroutes:\n  /a: OOK\n  get /b: OK\n  /c/:id: MOVED /d/:di\n  /e: './nowhere/'\n",
        &expect![[r#"
            error: unknown key `listne` in `server`
             --> anygate.yml:2:3
              |
            2 |   listne: ":80"
              |   ^^^^^^ unknown key
              |
              = help: did you mean `listen`?

            error: unknown action or status `OOK`
             --> anygate.yml:4:7
              |
            4 |   /a: OOK
              |       ^^^ not an action
              |
              = help: did you mean `OK`?

            error: methods are case-sensitive, and `get` has lower-case letters
             --> anygate.yml:5:3
              |
            5 |   get /b: OK
              |   ^^^ not a method
              |
              = help: write `GET`

            error: the head declares no parameter `di`
             --> anygate.yml:6:20
              |
            6 |   /c/:id: MOVED /d/:di
              |                    ^^^ not declared
              |
              = help: did you mean `:id`?

            error: the directory `FOLDER/nowhere/` does not exist
             --> anygate.yml:7:8
              |
            7 |   /e: './nowhere/'
              |        ^^^^^^^^^^ this path
              |
              = help: create it, or correct the path, which starts at the current folder

            5 errors
        "#]],
    );
}

#[test]
fn of_a_file_that_cannot_be_read_it_is_not_said_that_it_has_no_rules() {
    refused(
        "server:\n\tlisten: \":80\"\nroutes:\n  /: OK\n",
        &expect![[r#"
            error: invalid YAML: tabs disallowed within this context (block indentation)
             --> anygate.yml:2:2
              |
            2 |     listen: ":80"
              |     ^
              |
              = help: indent with blanks

            1 error
        "#]],
    );
    refused(
        "groups:\n  host: a.example\n  routes: {/: OK}\nupstream: {}\n",
        &expect![[r#"
            error: expected a list of groups, found a mapping
             --> anygate.yml:2:3
              |
            2 |   host: a.example
              |   ^^^^
              |
              = help: one is a list too: `[{…}]`, or lines that begin with `- `

            error: unknown key `upstream` in the configuration
             --> anygate.yml:4:1
              |
            4 | upstream: {}
              | ^^^^^^^^ unknown key
              |
              = help: did you mean `upstreams`?

            2 errors
        "#]],
    );
}

#[test]
fn a_url_behind_another_servers_word_is_what_a_rule_needs() {
    refused(
        "routes:\n  /: proxy_pass http://127.0.0.1:9000\n",
        &expect![[r#"
        error: unknown action or status `proxy_pass`
         --> anygate.yml:2:6
          |
        2 |   /: proxy_pass http://127.0.0.1:9000
          |      ^^^^^^^^^^ not an action
          |
          = help: to pass requests on write the URL alone: `http://127.0.0.1:9000`

        1 error
    "#]],
    );
}

#[test]
fn rules_are_told_apart_from_their_doubles_and_from_what_hides_them() {
    refused(
        "routes:\n  GET /a/:x: OK\n  GET /a/:y: OK 2\n",
        &expect![[r#"
        error: two rules for `GET /a/:y`
         --> anygate.yml:3:3
          |
        2 |   GET /a/:x: OK
          |   --------- as here
        3 |   GET /a/:y: OK 2
          |   ^^^^^^^^^ the same host, path and methods
          |
          = help: leave one out, or let one name other methods

        1 error
    "#]],
    );
}

#[test]
fn a_fixed_body_that_looks_like_json_must_be_json() {
    refused(
        "routes:\n  /a: OK {\"a\": tru}\n",
        &expect![[r#"
        error: a body that begins with `{` or `[` must be JSON
         --> anygate.yml:2:19
          |
        2 |   /a: OK {"a": tru}
          |                   ^ expected ident
          |
          = help: mend the JSON, or begin the text with another character

        1 error
    "#]],
    );
}

#[test]
fn an_expectation_that_does_not_hold_names_the_rule_that_answers() {
    refused(
        "routes:\n  /users/:id: http://up/users/\nexpect:\n  - GET /users/42 -> http://up/42\n  - GET /nothing -> 200\n",
        &expect![[r#"
            error: `GET /users/42` does something else
             --> anygate.yml:4:22
              |
            2 |   /users/:id: http://up/users/
              |   ---------- by this rule
            3 | expect:
            4 |   - GET /users/42 -> http://up/42
              |                      ^^^^^^^^^^^^ but it gets http://up/users/42
              |
              = help: change the rules or the expectation; `anygate explain` says why a rule wins

            error: `GET /nothing` does something else
             --> anygate.yml:5:21
              |
            5 |   - GET /nothing -> 200
              |                     ^^^ but it gets 404
              |
              = help: change the rules or the expectation; `anygate explain` says why a rule wins

            2 errors
        "#]],
    );
}

#[test]
fn a_field_that_belongs_to_the_server_is_refused_in_a_rule() {
    refused(
        "routes:\n  /a: {to: OK, headers: {Content-Length: 3}}\n  /b: {to: OK, headers: {Server: x}}\n",
        &expect![[r#"
        error: `Content-Length` is written by the server alone
         --> anygate.yml:2:26
          |
        2 |   /a: {to: OK, headers: {Content-Length: 3}}
          |                          ^^^^^^^^^^^^^^
          |
          = help: remove it

        error: `Server` cannot be set by a rule
         --> anygate.yml:3:26
          |
        3 |   /b: {to: OK, headers: {Server: x}}
          |                          ^^^^^^ is the same for every answer
          |
          = help: set `server.name`

        2 errors
    "#]],
    );
}

#[test]
fn what_belongs_to_a_later_version_is_refused_and_never_ignored() {
    refused(
        "tracing: stdout\nroutes:\n  /: OK\n",
        &expect![[r#"
        error: `tracing` is not available in this version; it belongs to a later one
         --> anygate.yml:1:1
          |
        1 | tracing: stdout
          | ^^^^^^^ not available yet
          |
          = help: remove it: nothing would obey it

        1 error
    "#]],
    );
}

#[test]
fn a_directory_that_is_not_there_gets_the_name_of_its_neighbour() {
    let folder = Folder::with("routes:\n  /: ./dits/\n");
    folder.write("dist/index.html", "");
    let ran = folder.run(&["check"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("did you mean `./dist/`?"), "{}", ran.err);
    assert!(ran.err.contains("anygate.yml:2:6"), "{}", ran.err);
}

#[test]
fn a_rule_of_the_command_line_is_told_by_its_number() {
    let ran = Folder::new().run(&["check", "-r", "/ok: OK", "-r", "/bad: http://"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("-r #2:1:14"), "{}", ran.err);
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let ran = Folder::new().run(&["check", "-c", "gone.yml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("cannot read `gone.yml`"), "{}", ran.err);
}

#[test]
fn a_good_file_is_counted_and_its_expectations_hold() {
    let folder = Folder::with(
        "routes:\n  /: ./dist/\n  /api/: http://127.0.0.1:9000/\n  GET /ok: OK\nexpect:\n  \
         - GET /api/x?y=1 -> http://127.0.0.1:9000/x?y=1\n  - POST /ok -> 405\n  - GET / -> static ./dist/index.html\n  \
         - GET /deep/link -> static ./dist/index.html\n  - GET /gone.js -> 404\n  - GET /app.js -> static dist/app.js\n",
    );
    folder.write("dist/index.html", "<p>hi");
    folder.write("dist/app.js", "1");
    let ran = folder.run(&["check"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, "anygate.yml: 3 rules, 6 expectations hold: ok\n");
}

#[test]
fn a_file_that_is_expected_and_not_served_is_an_error() {
    let folder = Folder::with("routes:\n  /: ./dist/\nexpect:\n  - GET /app.js -> static ./dist/app.js\n");
    folder.write("dist/index.html", "<p>hi");
    let ran = folder.run(&["check"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("but it gets 404"), "{}", ran.err);
}

#[test]
fn a_name_that_does_not_resolve_is_a_warning() {
    let folder = Folder::with("routes:\n  /: http://nowhere.invalid:81\n");
    let ran = folder.run(&["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("warning: `nowhere.invalid` does not resolve"), "{}", ran.err);
    assert_eq!(ran.out, "anygate.yml: 1 rule, 1 warning: ok\n");
    assert_eq!(folder.run(&["check", "--offline"]).err, "");
}

#[test]
fn overlaps_are_pairs_with_a_request_and_its_winner() {
    let folder = Folder::with("routes:\n  /users/:id: OK 1\n  GET /users/me: OK 2\n  /other: OK 3\n");
    let ran = folder.run(&["check", "--overlaps"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    expect![[r#"
        /users/:id  (anygate.yml:2:3)
        GET /users/me  (anygate.yml:3:3)
            GET /users/me: the second wins

        1 pair of rules overlaps
        anygate.yml: 3 rules: ok
    "#]]
    .assert_eq(&ran.out);
}

#[test]
fn the_environment_fills_in_values_and_overrides_keys() {
    let folder = Folder::with("routes:\n  /: OK ${WORD}\nexpect:\n  - GET / -> OK hello\n");
    assert_eq!(folder.run(&["check"]).code, 1, "WORD is not set");
    let output = folder.command(&["check"]).env("WORD", "hello").output().unwrap();
    assert!(output.status.success());
    let output = folder.command(&["check"]).env("WORD", "hello").env("ANYGATE_SERVER__IO", "x").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}
