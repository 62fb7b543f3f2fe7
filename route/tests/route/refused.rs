//! Rules that are refused beside others, and what is only warned of.

use anygate_route::Context;
use expect_test::expect;

use crate::text::{Desk, Line, refused};

fn together(lines: &[Line<'_>]) -> String {
    let mut desk = Desk::default();
    let (table, findings) = desk.build(lines, &Context::default());
    assert!(table.is_none(), "{lines:?} are accepted");
    desk.render(&findings)
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
fn a_slip_of_a_standard_method_is_a_warning_and_other_methods_are_none() {
    let mut desk = Desk::default();
    let context = Context::default();
    for (method, meant) in
        [("GETT", "GET"), ("POTS", "POST"), ("DELET", "DELETE"), ("PTACH", "PATCH"), ("OPTION", "OPTIONS")]
    {
        let (table, findings) = desk.build(&[(&format!("{method} /x"), "OK")], &context);
        let said = desk.render(&findings);
        assert!(table.is_some() && said.contains(&format!("= help: did you mean `{meant}`?")), "{method}: {said}");
    }
    for method in
        ["GET", "TRACE", "PURGE", "PROPFIND", "QUERY", "BATCH", "LINK", "LOCK", "MOVE", "COPY", "SEARCH", "REPORT"]
    {
        let (table, findings) = desk.build(&[(&format!("{method} /x"), "OK")], &context);
        assert!(table.is_some() && findings.is_empty(), "{method}: {}", desk.render(&findings));
    }
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
