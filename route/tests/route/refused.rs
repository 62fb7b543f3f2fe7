//! What is refused, each with its place and what would be right.

use anygate_route::Context;
use expect_test::{Expect, expect};

use crate::text::{Desk, Line};

/// One line for each finding: column, length of the mark, message, label, help.
fn refused(lines: &[Line<'_>], expected: &Expect) {
    let context = Context { upstreams: ["users".to_owned()].into(), ..Context::default() };
    let mut text = String::new();
    for line in lines {
        let mut desk = Desk::default();
        let (table, findings) = desk.build(&[*line], &context);
        assert!(table.is_none(), "{line:?} is accepted");
        text += &format!("{}: {}\n", line.0, line.1);
        for finding in findings {
            let (span, label) = finding.primary.clone().expect("a place");
            let marks = "^".repeat((span.end - span.start).max(1) as usize);
            text += &format!("{}{marks} {label}\n", " ".repeat(span.start as usize));
            text += &format!("    {}; {}\n", finding.message, finding.help.unwrap_or_default());
        }
    }
    expected.assert_eq(&text);
}

fn together(lines: &[Line<'_>]) -> String {
    let mut desk = Desk::default();
    let (table, findings) = desk.build(lines, &Context::default());
    assert!(table.is_none(), "{lines:?} are accepted");
    desk.render(&findings)
}

#[test]
fn heads_without_sense() {
    let heads = [
        "",
        "GET",
        "users",
        "GET users",
        "example.com",
        "get /x",
        "Get /x",
        "fetch /x",
        "example.com /x",
        "GET,POST /x",
        "GET, POST /x",
        "* GET /x",
        "GET GET /x",
        "G(T /x",
        "/x GET",
        "/x y",
        "http://example.com/x",
        "example.com:80/x",
        "[::1]:80/x",
        "[::g]/x",
        "::1/x",
        "a@b/x",
        "*/x",
        "a.*.com/x",
        "*.1.2.3.4/x",
        "exa_mple..com/x",
        "é.com/x",
    ];
    let lines: Vec<Line<'_>> = heads.iter().map(|head| (*head, "OK")).collect();
    refused(
        &lines,
        &expect![[r#"
        : OK
        ^ a path belongs here
            the head is empty; write `/`
        GET: OK
           ^ a path belongs here
            the head has no path; write `GET /`
        users: OK
        ^^^^^ a path begins with `/`
            the head has no path; write `/users`
        GET users: OK
            ^^^^^ a path begins with `/`
            the head has no path; write `GET /users`
        example.com: OK
        ^^^^^^^^^^^ a path begins with `/`
            the head has no path; write `example.com/` for that host, or `/example.com` for that path
        get /x: OK
        ^^^ not a method
            methods are case-sensitive, and `get` has lower-case letters; write `GET`
        Get /x: OK
        ^^^ not a method
            methods are case-sensitive, and `Get` has lower-case letters; write `GET`
        fetch /x: OK
        ^^^^^ not a method
            methods are case-sensitive, and `fetch` has lower-case letters; write `FETCH`, or `fetch/x` if it is a host
        example.com /x: OK
        ^^^^^^^^^^^ not a method
            `example.com` is no method, it looks like a host; a host stands right before the path: `example.com/x`
        GET,POST /x: OK
        ^^^^^^^^ not a method
            methods are separated by blanks; write `GET POST /x`
        GET, POST /x: OK
        ^^^^ not a method
            methods are separated by blanks; write `GET /x`
        * GET /x: OK
        ^ beside others
            `*` already means every method; keep either the `*` or the methods' names
        GET GET /x: OK
            ^^^ again
            the method `GET` stands here twice; leave one out
        G(T /x: OK
        ^^^ not a method
            `G(T` is no method; a method is a token of RFC 9110, such as `GET`
        /x GET: OK
        ^^ ends here
            the path must be the head's last word; methods come first: `GET /x`
        /x y: OK
        ^^ ends here
            the path must be the head's last word; a blank in a path is written `%20`
        http://example.com/x: OK
        ^^^^^^^ not part of a head
            a head has no scheme; write `example.com/x`
        example.com:80/x: OK
                   ^^^ not part of a head
            a head has no port; write `example.com`: any port will do
        [::1]:80/x: OK
             ^^^ not part of a head
            a head has no port; write `[::1]`: any port will do
        [::g]/x: OK
        ^^^^^ not an address
            `[::g]` is no IPv6 address; write it as in `[2001:db8::1]`
        ::1/x: OK
        ^^^ bare address
            an IPv6 address needs brackets; write `[::1]`
        a@b/x: OK
        ^^ not part of a host
            a host has no user; write `b`
        */x: OK
        ^ every host
            `*` is no host; leave the host out to mean every host
        a.*.com/x: OK
        ^^^^^^^ not a wildcard
            a misplaced wildcard in a host; a wildcard stands first and for whole labels: `*.example.com`
        *.1.2.3.4/x: OK
        ^^^^^^^^^ not a name
            an address has no wildcard; write `1.2.3.4`
        exa_mple..com/x: OK
        ^^^^^^^^^^^^^ not a host name
            `exa_mple..com` is no host name; labels of letters, digits and `-`, joined by dots
        é.com/x: OK
        ^^^^^^ not ASCII
            a host is ASCII; write it in its ASCII form, which begins `xn--`
    "#]],
    );
}

#[test]
fn paths_without_sense() {
    let heads = [
        "/a?b",
        "/a#b",
        "/a//b",
        "//",
        "/a/./b",
        "/a/%2e%2e",
        "/*/a",
        "/a/*/*",
        "/a/{$}/b",
        "/a*",
        "/*.js",
        "/{id}",
        "/{rest...}",
        "/<id>",
        "/:",
        "/:1",
        "/:id.json",
        "/:a/:a",
        "/:a b",
        "/%",
        "/%zz",
        "/%00",
        "/a\\b",
        "/café",
        "/**",
    ];
    let lines: Vec<Line<'_>> = heads.iter().map(|head| (*head, "OK")).collect();
    refused(
        &lines,
        &expect![[r#"
        /a?b: OK
          ^^ never compared
            a head has no query; write `/a`
        /a#b: OK
          ^^ never compared
            a head has no fragment; write `/a`
        /a//b: OK
          ^^ no path has this
            repeated slashes are merged before a path is compared; write one `/`
        //: OK
        ^^ no path has this
            repeated slashes are merged before a path is compared; write one `/`
        /a/./b: OK
           ^ no path has this
            dot segments are resolved before a path is compared; write the path without it
        /a/%2e%2e: OK
           ^^^^^^ no path has this
            dot segments are resolved before a path is compared; write the path without it
        /*/a: OK
         ^ more follows
            `*` stands at the end of a path only; a parameter takes one whole segment: `:name`
        /a/*/*: OK
           ^ more follows
            `*` stands at the end of a path only; a parameter takes one whole segment: `:name`
        /a/{$}/b: OK
           ^^^ more follows
            `{$}` stands at the end of a path only; leave it out
        /a*: OK
         ^^ part of a segment
            `*` is a whole last segment; write `/*`, or `%2A` for the character
        /*.js: OK
         ^^^^ part of a segment
            `*` is a whole last segment; write `/*`, or `%2A` for the character
        /{id}: OK
         ^^^^ braces
            a parameter is not written `{id}`; write `:id`
        /{rest...}: OK
         ^^^^^^^^^ braces
            a parameter is not written `{rest...}`; write `:rest`
        /<id>: OK
         ^^^^ braces
            a parameter is not written `<id>`; write `:id`
        /:: OK
         ^ a name belongs here
            a parameter has no name; write `:id`
        /:1: OK
         ^^ not a name
            `1` is no name for a parameter; a name begins with a letter: `:id`; a literal `:` is written `%3A`
        /:id.json: OK
         ^^^^^^^^ not a name
            `:id.json` is more than a parameter; a parameter is a whole segment of letters, digits, `_` and `-`: `:id`
        /:a/:a: OK
            ^^ again
            the parameter `a` stands here twice; give it another name
        /:a b: OK
        ^^^ ends here
            the path must be the head's last word; a blank in a path is written `%20`
        /%: OK
         ^ bad escape
            a `%` that is not followed by two hexadecimal digits; the character itself is written `%25`
        /%zz: OK
         ^^^ bad escape
            a `%` that is not followed by two hexadecimal digits; the character itself is written `%25`
        /%00: OK
         ^^^ always answered 400
            no request has an encoded NUL in its path; leave it out
        /a\b: OK
         ^^^ always answered 400
            characters that a request's path never holds unencoded; write `a%5Cb`
        /café: OK
         ^^^^^ always answered 400
            characters that a request's path never holds unencoded; write `caf%C3%A9`
        /**: OK
         ^^ part of a segment
            `*` is a whole last segment; write `/*`, or `%2A` for the character
    "#]],
    );
}

#[test]
fn actions_without_sense() {
    let actions = [
        "",
        "ok",
        "Ok",
        "not-found",
        "Not Found",
        "FORBIDEN",
        "99",
        "600",
        "100",
        "CONTINUE",
        "70000",
        "NO_CONTENT x",
        "204 *",
        "304 {}",
        "205 *",
        "{\"a\":1}",
        "[1]",
        "OK {\"a\":}",
        "OK [1,",
        "OK {\"a\":1} x",
        "**",
        "hello world",
        "users",
        "dist/",
        "localhost:8080",
        "up.example.com",
        "ftp://x",
        "htp://x",
        "ws://x",
        "wss://x",
        "unix:///x",
        "file:///x",
        "HTTP://x",
        "~/x",
        ".",
        "..",
        ".x/",
        "./x/..",
        "./app.agpk",
        "301",
        "301 *",
        "MOVED new",
        "301 /a b",
        "301 /:nope",
        "302 /{x}",
        "302 /é",
    ];
    let lines: Vec<Line<'_>> = actions.iter().map(|action| ("/x", *action)).collect();
    refused(
        &lines,
        &expect![[r#"
        /x: 
            ^ an action belongs here
            the action is empty; write `OK` for an empty answer
        /x: ok
            ^^ not an action
            a status is an upper-case word, `ok` is not; write `OK`
        /x: Ok
            ^^ not an action
            a status is an upper-case word, `Ok` is not; write `OK`
        /x: not-found
            ^^^^^^^^^ not an action
            a status is an upper-case word, `not-found` is not; write `NOT_FOUND`
        /x: Not Found
            ^^^ not an action
            a status is one word, `Not Found` is not; write `NOT_FOUND`
        /x: FORBIDEN
            ^^^^^^^^ not an action
            unknown action or status `FORBIDEN`; did you mean `FORBIDDEN`?
        /x: 99
            ^^ not an action
            99 is no status; a status is a number from 200 to 599 or a name such as `OK`
        /x: 600
            ^^^ not an action
            600 is no status; a status is a number from 200 to 599 or a name such as `OK`
        /x: 100
            ^^^ not an action
            100 is not a final answer; a status is a number from 200 to 599 or a name such as `OK`
        /x: CONTINUE
            ^^^^^^^^ not an action
            CONTINUE is not a final answer; a status is a number from 200 to 599 or a name such as `OK`
        /x: 70000
            ^^^^^ not an action
            70000 is no status; a status is a number from 200 to 599 or a name such as `OK`
        /x: NO_CONTENT x
                       ^ a body
            a 204 answer never has a body; write `NO_CONTENT` alone, or another status
        /x: 204 *
                ^ a body
            a 204 answer never has a body; write `204` alone, or another status
        /x: 304 {}
                ^^ a body
            a 304 answer never has a body; write `304` alone, or another status
        /x: 205 *
                ^ a body
            a 205 answer never has a body; write `205` alone, or another status
        /x: {"a":1}
            ^^^^^^^ not an action
            a body needs a status before it; write `OK {"a":1}`
        /x: [1]
            ^^^ not an action
            a body needs a status before it; write `OK [1]`
        /x: OK {"a":}
                    ^ expected value
            a body that begins with `{` or `[` must be JSON; mend the JSON, or begin the text with another character
        /x: OK [1,
                 ^ EOF while parsing a value
            a body that begins with `{` or `[` must be JSON; mend the JSON, or begin the text with another character
        /x: OK {"a":1} x
                       ^ trailing characters
            a body that begins with `{` or `[` must be JSON; mend the JSON, or begin the text with another character
        /x: **
            ^^ not an action
            `*` stands alone or after a status; write `*` or `OK *`
        /x: hello world
            ^^^^^ not an action
            unknown action or status `hello`; for that text as an answer write `OK hello world`
        /x: users
            ^^^^^ not an action
            unknown action or status `users`; the upstream is written `http://users`
        /x: dist/
            ^^^^^ not an action
            unknown action or status `dist/`; a file or directory begins with `/` or `./`: `./dist/`
        /x: localhost:8080
            ^^^^^^^^^^^^^^ not an action
            unknown action or status `localhost:8080`; a proxy target needs its scheme: `http://localhost:8080`
        /x: up.example.com
            ^^^^^^^^^^^^^^ not an action
            unknown action or status `up.example.com`; a proxy target needs its scheme: `http://up.example.com`
        /x: ftp://x
            ^^^ unknown
            unknown scheme `ftp`; a target begins with `http://`, `https://`, `h2c://`, `http+unix://`
        /x: htp://x
            ^^^ unknown
            unknown scheme `htp`; did you mean `http://`?
        /x: ws://x
            ^^ unknown
            unknown scheme `ws`; write `http://`: a WebSocket is upgraded from it
        /x: wss://x
            ^^^ unknown
            unknown scheme `wss`; write `https://`: a WebSocket is upgraded from it
        /x: unix:///x
            ^^^^ unknown
            unknown scheme `unix`; write `http+unix://`
        /x: file:///x
            ^^^^ unknown
            unknown scheme `file`; write the path alone, such as `/dir/`
        /x: HTTP://x
            ^^^^ unknown
            unknown scheme `HTTP`; did you mean `http://`?
        /x: ~/x
            ^^^ this path
            `~` is not expanded; write the folder out: `/home/…/x`
        /x: .
            ^ this path
            a directory needs its final slash; write `./`
        /x: ..
            ^^ this path
            a directory needs its final slash; write `../`
        /x: .x/
            ^^^ this path
            a path begins with `/`, `./` or `../`; write `./.x/`
        /x: ./x/..
            ^^^^^^ this path
            a directory needs its final slash; write `./x/../`
        /x: ./app.agpk
            ^^^^^^^^^^ this path
            packs cannot be served yet; unpack it and name the directory
        /x: 301
               ^ a target belongs here
            a redirect needs a target; write `301 /new`
        /x: 301 *
                ^ not a reference
            this is no target for a redirect; it begins with `/`, `?`, `#`, `.` or a scheme: `301 /*`
        /x: MOVED new
                  ^^^ not a reference
            this is no target for a redirect; it begins with `/`, `?`, `#`, `.` or a scheme: `MOVED /new`
        /x: 301 /a b
                  ^ not allowed here
            this is no URI; write `/a%20b`
        /x: 301 /:nope
                 ^^^^^ not declared
            the head declares no parameter `nope`; declare it in the head, or write `%3A` for the character itself
        /x: 302 /{x}
                 ^ not allowed here
            this is no URI; a parameter is written `:name`; the character itself is percent-encoded
        /x: 302 /é
                 ^^ not allowed here
            this is no URI; write `/%C3%A9`
    "#]],
    );
}

#[test]
fn targets_without_sense() {
    let actions = [
        "http://",
        "http:///x",
        "http://u:p@up/x",
        "http://up:0",
        "http://up:port",
        "http://up:70000",
        "http://[::g]",
        "http://u_p!",
        "http://users:80/",
        "http://*.up/",
        "http://:id/",
        "http://up/#f",
        "http://up/../x",
        "http://up/%",
        "http://up/é",
        "http://up/{id}",
        "http://up/:ID",
        "http://up/:x",
        "http://up/*",
        "http://a/x http://b/y",
        "http://a b",
        "http+unix://run/x",
        "http+unix:///run/x?y",
        "http+unix:///",
    ];
    let lines: Vec<Line<'_>> = actions.iter().map(|action| ("/:id", *action)).collect();
    refused(
        &lines,
        &expect![[r#"
        /:id: http://
                     ^ a host belongs here
            a target needs a host; write `http://localhost`
        /:id: http:///x
                     ^ a host belongs here
            a target needs a host; write `http://localhost`
        /:id: http://u:p@up/x
                     ^^^^ user info
            a target has no user info; write `http://up`, and the credentials as a header
        /:id: http://up:0
                       ^^ not a port
            `0` is no port; a number from 1 to 65535
        /:id: http://up:port
                     ^^^^^^^ in the host
            a target's host is never filled in; only a target's path and query are filled in
        /:id: http://up:70000
                       ^^^^^^ not a port
            `70000` is no port; a number from 1 to 65535
        /:id: http://[::g]
                     ^^^^^ not an address
            `[::g]` is no IPv6 address; as in `[::1]`
        /:id: http://u_p!
                     ^^^^ not a host
            `u_p!` is no host name; letters, digits, `-` and dots; an IPv6 address in brackets
        /:id: http://users:80/
                          ^^^ a pool has no port
            `users` is declared under `upstreams`; write `http://users`: its servers have their own ports
        /:id: http://*.up/
                     ^^^^ in the host
            a target's host is never filled in; only a target's path and query are filled in
        /:id: http://:id/
                     ^^^ a host belongs here
            a target needs a host; write `http://localhost`
        /:id: http://up/#f
                        ^^ never sent to a server
            a target has no fragment; leave it out
        /:id: http://up/../x
                       ^^^^^ a dot segment
            a target's path holds a dot segment; write the path it leads to
        /:id: http://up/%
                        ^ not allowed here
            this is no URI; a `%` is followed by two hexadecimal digits; the character itself is written `%25`
        /:id: http://up/é
                        ^^ not allowed here
            this is no URI; write `/%C3%A9`
        /:id: http://up/{id}
                        ^ not allowed here
            this is no URI; a parameter is written `:name`; the character itself is percent-encoded
        /:id: http://up/:ID
                        ^^^ not declared
            the head declares no parameter `ID`; did you mean `:id`?
        /:id: http://up/:x
                        ^^ not declared
            the head declares no parameter `x`; the head declares `:id`
        /:id: http://up/*
                        ^ nothing to fill in
            `*` has nothing to stand for: the head ends in neither `/` nor `/*`; write `:id`, or `%2A` for the character itself
        /:id: http://a/x http://b/y
                         ^^^^^^^^^^ another path
            targets that share a rule must have equal paths; write `http://b/x`
        /:id: http://a b
                       ^ no scheme
            every word of a proxy action is a target; write `http://b`, or leave it out
        /:id: http+unix://run/x
                          ^^^^^ the socket's path
            a socket's path is absolute; write `http+unix:///run/x`
        /:id: http+unix:///run/x?y
                          ^^^^^^^^ the socket's path
            a socket's path has no query; a path follows the socket's: `/run/x:/`
        /:id: http+unix:///
                          ^ the socket's path
            a socket's path is absolute; write `http+unix:///run/app.sock`
    "#]],
    );
}

#[test]
fn everything_that_is_wrong_with_a_rule_is_said_at_once() {
    refused(
        &[("get POST POST example.com:80/:a/:a/*/b", "http://u@up/:nope?*")],
        &expect![[r#"
        get POST POST example.com:80/:a/:a/*/b: http://u@up/:nope?*
        ^^^ not a method
            methods are case-sensitive, and `get` has lower-case letters; write `GET`
                 ^^^^ again
            the method `POST` stands here twice; leave one out
                                 ^^^ not part of a head
            a head has no port; write `example.com`: any port will do
                                        ^^ again
            the parameter `a` stands here twice; give it another name
                                           ^ more follows
            `*` stands at the end of a path only; a parameter takes one whole segment: `:name`
                                                       ^^ user info
            a target has no user info; write `http://up`, and the credentials as a header
    "#]],
    );
}

#[test]
fn rules_that_say_the_same() {
    let mut text = together(&[("GET POST /a/:b", "OK"), ("POST GET /a/:c", "OK")]);
    text += &together(&[("/x", "OK"), ("* /x", "OK"), ("/%78", "OK")]);
    text += &together(&[("H.io/x", "OK"), ("h.io./x", "OK")]);
    text += &together(&[("GET /p/*", "OK"), ("POST /p/", "OK")]);
    expect![[r#"
        error: two rules for `POST GET /a/:c`
         --> routes.yml:1:1
          |
        1 | POST GET /a/:c: OK
          | ^^^^^^^^^^^^^^ the same host, path and methods
          |
         ::: routes.yml:1:1
          |
        1 | GET POST /a/:b: OK
          | -------------- as here
          |
          = help: leave one out, or let one name other methods
        error: two rules for `/x`
         --> routes.yml:1:1
          |
        1 | * /x: OK
          | ^^^^ the same host, path and methods
          |
         ::: routes.yml:1:1
          |
        1 | /x: OK
          | -- as here
          |
          = help: leave one out, or let one name other methods
        error: two rules for `/x`
         --> routes.yml:1:1
          |
        1 | /%78: OK
          | ^^^^ the same host, path and methods
          |
         ::: routes.yml:1:1
          |
        1 | /x: OK
          | -- as here
          |
          = help: leave one out, or let one name other methods
        error: two rules for `h.io/x`
         --> routes.yml:1:1
          |
        1 | h.io./x: OK
          | ^^^^^^^ the same host, path and methods
          |
         ::: routes.yml:1:1
          |
        1 | H.io/x: OK
          | ------ as here
          |
          = help: leave one out, or let one name other methods
        error: `/p/` beside `/p/*`
         --> routes.yml:1:1
          |
        1 | POST /p/: OK
          | ^^^^^^^^ the same subtree
          |
         ::: routes.yml:1:1
          |
        1 | GET /p/*: OK
          | -------- as here
          |
          = help: keep one: `/p/` also takes the path without its slash
    "#]]
    .assert_eq(&text);
}

#[test]
fn rules_that_no_request_reaches() {
    let mut text = together(&[("GET POST /x/:id", "OK"), ("POST /x/:name", "OK")]);
    text += &together(&[("GET HEAD /x", "OK"), ("HEAD /x", "OK")]);
    text += &together(&[("/p", "OK"), ("/p/{$}", "OK"), ("/p/:x/", "OK"), ("GET /p/", "OK")]);
    text += &together(&[("/{$}", "OK"), ("/:x", "OK"), ("/:x/*", "OK"), ("/", "OK")]);
    text += &together(&[("/a/", "OK"), ("/a/b%2Fc", "OK")]);
    expect![[r#"
        error: no request can reach `POST /x/:name`
         --> routes.yml:1:1
          |
        1 | POST /x/:name: OK
          | ^^^^^^^^^^^^^ hidden by other rules
          |
         ::: routes.yml:1:1
          |
        1 | GET POST /x/:id: OK
          | --------------- this one comes first
          |
          = note: `POST /x/x1` goes to `GET POST /x/:id`
          = help: leave it out, or narrow the rules that hide it
        error: no request can reach `HEAD /x`
         --> routes.yml:1:1
          |
        1 | HEAD /x: OK
          | ^^^^^^^ hidden by other rules
          |
         ::: routes.yml:1:1
          |
        1 | GET HEAD /x: OK
          | ----------- this one comes first
          |
          = note: `HEAD /x` goes to `GET HEAD /x`
          = help: leave it out, or narrow the rules that hide it
        error: no request can reach `GET /p/`
         --> routes.yml:1:1
          |
        1 | GET /p/: OK
          | ^^^^^^^ hidden by other rules
          |
         ::: routes.yml:1:1
          |
        1 | /p/:x/: OK
          | ------ this one comes first
          |
          = note: `GET /p/x` goes to `/p/:x/`
          = help: leave it out, or narrow the rules that hide it
        error: no request can reach `/`
         --> routes.yml:1:1
          |
        1 | /: OK
          | ^ hidden by other rules
          |
         ::: routes.yml:1:1
          |
        1 | /:x: OK
          | --- this one comes first
          |
          = note: `GET /x` goes to `/:x`
          = help: leave it out, or narrow the rules that hide it
        error: no request can reach `/a/b%2Fc`
         --> routes.yml:1:1
          |
        1 | /a/b%2Fc: OK
          | ^^^^^^^^ an encoded slash
          |
         ::: routes.yml:1:1
          |
        1 | /a/: OK
          | --- takes the decoded path
          |
          = note: a path with an encoded slash is compared decoded too, as `/a/b/c`; two rules make it 400
          = help: write the path with a plain slash
    "#]]
    .assert_eq(&text);
}

#[test]
fn rules_that_look_hidden_but_are_not() {
    for lines in [
        &[("GET /x", "OK"), ("HEAD /x", "OK"), ("/x", "OK")][..],
        &[("HEAD /x", "OK"), ("GET /x", "OK")],
        &[("/p", "OK"), ("/p/{$}", "OK"), ("GET /p/:x/", "OK"), ("GET POST /p/", "OK")],
        &[("/p/{$}", "OK"), ("/p/:x/", "OK"), ("/p/", "OK")],
        &[("/p", "OK"), ("/p/:x/", "OK"), ("/p/", "OK")],
        &[("GET /x", "OK"), ("POST /x", "OK"), ("PUT POST /x", "OK")],
        &[("/p/", "OK"), ("h.io/p/*", "OK")],
        &[("/a/:x", "OK"), ("/a/b%2Fc", "OK")],
    ] {
        let mut desk = Desk::default();
        let (table, findings) = desk.build(lines, &Context::default());
        assert!(table.is_some(), "{}", desk.render(&findings));
    }
    let kept = Context { merge_slashes: false, ..Context::default() };
    let lines = [("/p", "OK"), ("/p/{$}", "OK"), ("/p/:x/", "OK"), ("/p/", "OK")];
    assert!(Desk::default().build(&lines, &kept).0.is_some(), "`/p//x` reaches the last");
}

#[test]
fn what_works_but_is_probably_not_meant_is_a_warning() {
    let mut desk = Desk::default();
    let lines = [("GET POST /files/", "./files/"), ("/u/:id/", "http://up/u/:id/"), ("/w/:id", "http://up/w/:id/")];
    let (table, findings) = desk.build(&lines, &Context::default());
    assert!(table.is_some());
    expect![[r#"
        warning: files answer GET and HEAD only, POST gets 405
         --> routes.yml:1:1
          |
        1 | GET POST /files/: ./files/
          | ^^^^^^^^^^^^^^^^ names other methods
          |
          = help: write `GET /files/`
        warning: a target that ends in `/` gets all that follows the head's literal prefix, parameters too
         --> routes.yml:1:10
          |
        1 | /u/:id/: http://up/u/:id/
          |          ^^^^^^^^^^^^^^^^ filled in, and appended once more
          |
          = help: write `http://up/u/:id/*`
        warning: a target that ends in `/` gets all that follows the head's literal prefix, parameters too
         --> routes.yml:1:9
          |
        1 | /w/:id: http://up/w/:id/
          |         ^^^^^^^^^^^^^^^^ filled in, and appended once more
          |
          = help: write `http://up/w/:id`
    "#]]
    .assert_eq(&desk.render(&findings));
}

#[test]
fn a_group_and_a_rule_may_not_name_two_hosts() {
    let mut desk = Desk::default();
    let (group, head, action) = (desk.located("a.io"), desk.located("b.io/x"), desk.located("OK"));
    let findings = anygate_route::parse_rule(&head, &action, Some(&group), &Context::default()).expect_err("two hosts");
    expect![[r#"
        error: the rule's group is for the host `a.io`
         --> rule:1:1
          |
        1 | b.io/x
          | ^^^^ another host
          |
         ::: rule:1:1
          |
        1 | a.io
          | ---- the group's host
          |
          = help: leave the host out here, or put the rule into another group
    "#]]
    .assert_eq(&desk.render(&findings));
}
