//! Actions that are refused, each with its place and what would be right.

use expect_test::expect;

use crate::text::{Line, refused, table};

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
        "MOVED example.com/new",
        "MOVED localhost:8080/new",
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
            /x: MOVED example.com/new
                      ^^^^^^^^^^^^^^^ not a reference
                this is no target for a redirect; write `MOVED https://example.com/new` for another host, or `MOVED /example.com/new` for a path
            /x: MOVED localhost:8080/new
                      ^^^^^^^^^^^^^^^^^^ not a reference
                this is no target for a redirect; write `MOVED https://localhost:8080/new` for another host, or `MOVED /localhost:8080/new` for a path
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
                         ^^^ in the host
                a target's host is never filled in; only a target's path and query are filled in
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
fn redirects_to_no_host() {
    let actions = [
        "301 https://:h/",
        "301 https://a:h/x",
        "301 //*/x",
        "301 app://:h/x",
        "301 https:///x",
        "301 //",
        "301 https://:80/x",
        "301 https://a_b!/x",
        "301 https://[::g]/x",
        "301 https://a:0",
        "301 https://a:/x",
        "301 https://a:70000/x",
        "301 https://u:p@a:x/",
    ];
    let lines: Vec<Line<'_>> = actions.iter().map(|action| ("/:h", *action)).collect();
    refused(
        &lines,
        &expect![[r#"
            /:h: 301 https://:h/
                             ^^ in the host
                a redirect's host is never filled in; only a target's path and query are filled in
            /:h: 301 https://a:h/x
                             ^^^ in the host
                a redirect's host is never filled in; only a target's path and query are filled in
            /:h: 301 //*/x
                       ^ in the host
                a redirect's host is never filled in; only a target's path and query are filled in
            /:h: 301 app://:h/x
                           ^^ in the host
                a redirect's host is never filled in; only a target's path and query are filled in
            /:h: 301 https:///x
                             ^ a host belongs here
                a redirect needs a host here; as in `https://example.com/`
            /:h: 301 //
                       ^ a host belongs here
                a redirect needs a host here; as in `https://example.com/`
            /:h: 301 https://:80/x
                             ^^^ a host belongs here
                a redirect needs a host here; as in `https://example.com/`
            /:h: 301 https://a_b!/x
                             ^^^^ not a host
                `a_b!` is no host name; letters, digits, `-` and dots; an IPv6 address in brackets
            /:h: 301 https://[::g]/x
                             ^^^^^ not a host
                `[::g]` is no host name; letters, digits, `-` and dots; an IPv6 address in brackets
            /:h: 301 https://a:0
                             ^^^ not a port
                `0` is no port; a number from 1 to 65535
            /:h: 301 https://a:/x
                             ^^ not a port
                `` is no port; a number from 1 to 65535
            /:h: 301 https://a:70000/x
                             ^^^^^^^ not a port
                `70000` is no port; a number from 1 to 65535
            /:h: 301 https://u:p@a:x/
                             ^^^^^^^ in the host
                a redirect's host is never filled in; only a target's path and query are filled in
        "#]],
    );
    let good = ["301 https://a.example:8443/:h", "301 //u@a/x", "301 https://[::1]:1", "301 app:///x", "301 HTTPS://a"];
    for action in good {
        table(&[("/:h", action)]);
    }
}
