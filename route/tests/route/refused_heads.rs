//! Heads that are refused, each with its place and what would be right.

use expect_test::expect;

use crate::text::{Line, refused};

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
                methods are separated by blanks; write `GET POST /x`
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
        "/{%69d}",
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
        /{%69d}: OK
         ^^^^^^ braces
            a parameter is not written `{%69d}`; write `:id`
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
