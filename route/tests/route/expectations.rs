//! `expect:` lines.

use anygate_route::{Expectation, Wanted};
use expect_test::expect;

use crate::text::{Desk, Line, table};

const LINES: [Line<'static>; 8] = [
    ("/", "/dist/"),
    ("GET /users/:id", "http://up/users/:id"),
    ("/two", "http://a http://b"),
    ("GET /ok", "OK"),
    ("/old/:id", "301 /new/:id"),
    ("/me", "FORBIDDEN *"),
    ("/hello", "OK hello"),
    ("/app/", "./app/"),
];

#[test]
fn expectations_that_hold_are_met() {
    let table = table(&LINES);
    let mut desk = Desk::default();
    for line in [
        "GET /users/42 -> http://up/users/42",
        "GET http://any.host/users/42?x=1 -> http://up/users/42?x=1",
        "GET /two -> http://b/two",
        "DELETE /users/42 -> 405",
        "OPTIONS /users/42 -> NO_CONTENT",
        "GET /ok -> OK",
        "HEAD /ok  ->  200",
        "GET /old/7?x=1 -> 301 /new/7?x=1",
        "GET /old/7 -> MOVED /new/7",
        "GET /old/7 -> MOVED_PERMANENTLY",
        "GET /me -> echo 403",
        "GET /me -> FORBIDDEN *",
        "GET /me -> 403",
        "GET /hello -> OK hello",
        "GET /hello -> 200",
        "GET /a%zz -> 400",
        "GET /app -> 308",
        "GET /app -> 308 /app/",
    ] {
        assert_eq!(table.check_expect(&desk.located(line)).expect(line), Expectation::Met);
    }
}

#[test]
fn what_only_the_file_system_knows_is_handed_on() {
    let table = table(&LINES);
    let mut desk = Desk::default();
    let file = Wanted::File("/dist/index.html".into());
    assert_eq!(
        table.check_expect(&desk.located("GET /deep/link -> static /dist/index.html")).expect("a file"),
        Expectation::Static { rule: 0, tail: "deep/link".into(), wanted: file }
    );
    assert_eq!(
        table.check_expect(&desk.located("GET /app/x -> 404")).expect("a file"),
        Expectation::Static { rule: 7, tail: "x".into(), wanted: Wanted::Status(404) }
    );
}

#[test]
fn expectations_that_fail_say_what_happens_instead() {
    let table = table(&LINES);
    let mut text = String::new();
    for line in [
        "GET /users/42 -> http://up/users/43",
        "POST /users/42 -> 200",
        "GET /two -> 200",
        "GET /ok -> static /dist/ok",
        "GET /old/7 -> 302",
        "GET /x -> http://up",
        "/x -> 200",
        "GET /x",
        "GET /x ->",
        "GET /ok -> KO",
        "GET /ok -> 999",
    ] {
        let mut desk = Desk::default();
        let located = desk.located(line);
        let mut finding = *table.check_expect(&located).expect_err(line);
        finding.secondary.clear();
        text += &desk.render(&[finding]);
    }
    expect![[r#"
        error: `GET /users/42` does something else
         --> rule:1:18
          |
        1 | GET /users/42 -> http://up/users/43
          |                  ^^^^^^^^^^^^^^^^^^ but it gets http://up/users/42
          |
          = help: change the rules or the expectation; `anygate explain` says why a rule wins
        error: `POST /users/42` does something else
         --> rule:1:19
          |
        1 | POST /users/42 -> 200
          |                   ^^^ but it gets 405, Allow: GET, HEAD, OPTIONS
          |
          = help: change the rules or the expectation; `anygate explain` says why a rule wins
        error: `GET /two` does something else
         --> rule:1:13
          |
        1 | GET /two -> 200
          |             ^^^ but it gets http://a/two or http://b/two
          |
          = help: change the rules or the expectation; `anygate explain` says why a rule wins
        error: `GET /ok` does something else
         --> rule:1:12
          |
        1 | GET /ok -> static /dist/ok
          |            ^^^^^^^^^^^^^^^ but it gets 200
          |
          = help: change the rules or the expectation; `anygate explain` says why a rule wins
        error: `GET /old/7` does something else
         --> rule:1:15
          |
        1 | GET /old/7 -> 302
          |               ^^^ but it gets 301 /new/7
          |
          = help: change the rules or the expectation; `anygate explain` says why a rule wins
        error: `GET /x` does something else
         --> rule:1:11
          |
        1 | GET /x -> http://up
          |           ^^^^^^^^^ but it gets static /dist/x
          |
          = help: change the rules or the expectation; `anygate explain` says why a rule wins
        error: a request is a method and a path: `GET /users/42`
         --> rule:1:1
          |
        1 | /x -> 200
          | ^^ in this expectation
          |
          = help: write `GET /path -> ` and a target URL, a status, `static FILE` or `echo`
        error: an expectation has no `->`
         --> rule:1:1
          |
        1 | GET /x
          | ^^^^^^ in this expectation
          |
          = help: write `GET /path -> ` and a target URL, a status, `static FILE` or `echo`
        error: nothing is expected here
         --> rule:1:10
          |
        1 | GET /x ->
          |          ^ in this expectation
          |
          = help: write `GET /path -> ` and a target URL, a status, `static FILE` or `echo`
        error: unknown action or status `KO`
         --> rule:1:12
          |
        1 | GET /ok -> KO
          |            ^^ in this expectation
          |
          = help: write `GET /path -> ` and a target URL, a status, `static FILE` or `echo`
        error: 999 is no status
         --> rule:1:12
          |
        1 | GET /ok -> 999
          |            ^^^ in this expectation
          |
          = help: write `GET /path -> ` and a target URL, a status, `static FILE` or `echo`
    "#]]
    .assert_eq(&text);
}
