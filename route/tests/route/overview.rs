//! What a person is shown: the tree, the reasons, the overlaps, the warnings.

use anygate_route::{Context, Request, Style};
use expect_test::expect;

use crate::text::{Desk, table};

#[test]
fn the_tree_shows_hosts_paths_methods_and_actions() {
    let table = table(&[
        ("/", "/dist/"),
        ("/ping", "http://auth/ping"),
        ("GET POST PATCH /api/mock/rude", "FORBIDDEN {\"msg\":\"GO PATCH UR MUM!\"}"),
        ("GET /fastest/ever/ok", "OK"),
        ("/a/b/c", "*"),
        ("/a/b/c-forbidden", "FORBIDDEN *"),
        ("GET /users/:id", "http://up"),
        ("DELETE /users/:id", "FORBIDDEN"),
        ("/users/:id/files/*", "http://fs/"),
        ("*.example.com/{$}", "301 /home"),
        ("api.example.com/v1/", "http://up:9000/"),
    ]);
    expect![[r#"
        api.example.com
        └─ /v1/  *  proxy     http://up:9000/
        *.example.com
        └─ /{$}  *  redirect  301 /home
        every host
        ├─ /                 *               static    /dist/
        ├─ /a/b
        │  ├─ /c             *               echo      *
        │  └─ /c-forbidden   *               echo      FORBIDDEN *
        ├─ /api/mock/rude    GET POST PATCH  fixed     FORBIDDEN {"msg":"GO PATCH UR MUM!"}
        ├─ /fastest/ever/ok  GET             fixed     OK
        ├─ /ping             *               proxy     http://auth/ping
        └─ /users/:id        GET             proxy     http://up
           │                 DELETE          fixed     FORBIDDEN
           └─ /files/*       *               proxy     http://fs/
    "#]]
    .assert_eq(&table.tree(Style::Plain));
    assert!(table.tree(Style::Colour).contains("\u{1b}[1mapi.example.com\u{1b}[0m"));
}

#[test]
fn an_explanation_names_the_winner_and_why_each_other_rule_lost() {
    let table = table(
        &[
            ("/", "http://any"),
            ("/users/", "http://users/"),
            ("/users/:id", "http://up/u/:id"),
            ("GET /users/:id", "http://up/get/:id"),
            ("DELETE /users/42", "FORBIDDEN"),
            ("/:kind/:id", "*"),
            ("*.example.com/users/:name", "OK"),
            ("api.example.com/users/:name", "OK"),
            ("PUT GET POST /users/:id", "OK"),
            ("/users/*", "OK"),
        ][..9],
    );
    let explain = |text: &str| table.explain(&Request::parse(text).expect("a request")).to_string() + "\n";
    expect![[r#"
        GET http://x/a/../users//%34%32?full
          dot segments resolved, slashes merged: /users/%34%32
          escapes unified for matching: /users/42
          wins   GET /users/:id  ->  http://up/get/:id
          loses  DELETE /users/42  ->  FORBIDDEN
                 takes DELETE, not GET
          loses  PUT GET POST /users/:id  ->  OK
                 stands later in the file
          loses  /users/:id  ->  http://up/u/:id
                 does not name GET, the winner does
          loses  /users/  ->  http://users/
                 is for all below /users/, the winner for more of the path
          loses  /:kind/:id  ->  *
                 segment 1 is :kind, the winner's is users
          loses  /  ->  http://any
                 is for all below /, the winner for more of the path
          :id = %34%32
          => http://up/get/%34%32?full
    "#]]
    .assert_eq(&explain("GET http://x/a/../users//%34%32?full"));
    expect![[r#"
        GET http://api.example.com/users/42
          wins   api.example.com/users/:name  ->  OK
          loses  *.example.com/users/:name  ->  OK
                 its host *.example.com is less near than api.example.com
          loses  DELETE /users/42  ->  FORBIDDEN
                 takes DELETE, not GET
          loses  GET /users/:id  ->  http://up/get/:id
                 is for every host, the winner for api.example.com
          loses  PUT GET POST /users/:id  ->  OK
                 is for every host, the winner for api.example.com
          loses  /users/:id  ->  http://up/u/:id
                 is for every host, the winner for api.example.com
          loses  /users/  ->  http://users/
                 is for every host, the winner for api.example.com
          loses  /:kind/:id  ->  *
                 is for every host, the winner for api.example.com
          loses  /  ->  http://any
                 is for every host, the winner for api.example.com
          :name = 42
          => 200
    "#]]
    .assert_eq(&explain("GET http://api.example.com/users/42"));
    expect![[r#"
        GET /users%2F42
          matched once more with slashes decoded: /users/42
          loses  /  ->  http://any
                 the path means another rule once its encoded slashes are decoded
          => 400: the path means another rule once its encoded slashes are decoded
    "#]]
    .assert_eq(&explain("GET /users%2F42"));
}

#[test]
fn overlaps_come_with_a_request_and_its_winner() {
    let table = table(&[
        ("/a/:x", "OK"),
        ("/:y/b", "OK"),
        ("GET /a/b", "OK"),
        ("POST *.h.io/", "OK"),
        ("DELETE x.h.io/a/", "OK"),
        ("/z", "OK"),
    ]);
    let list: String = table
        .overlaps()
        .iter()
        .map(|o| format!("{} {} by `{}`, {} wins\n", o.first, o.second, o.request, o.winner.expect("one")))
        .collect();
    expect![[r#"
        0 1 by `GET /a/b`, 2 wins
        0 2 by `GET /a/b`, 2 wins
        0 3 by `POST http://x1.h.io/a/x1`, 3 wins
        0 4 by `DELETE http://x.h.io/a/x1`, 4 wins
        1 2 by `GET /a/b`, 2 wins
        1 3 by `POST http://x1.h.io/x1/b`, 3 wins
        1 4 by `DELETE http://x.h.io/a/b`, 4 wins
        3 5 by `POST http://x1.h.io/z`, 3 wins
    "#]]
    .assert_eq(&list);
}

#[test]
fn a_method_that_falls_through_a_filtered_rule_is_a_warning() {
    let mut desk = Desk::default();
    let lines = [
        ("/", "http://up"),
        ("GET /admin/", "http://up"),
        ("/safe/", "http://up"),
        ("GET /two", "OK"),
        ("POST /two", "OK"),
    ];
    let table = desk.build(&lines, &Context::default()).0.expect("a table");
    let findings = table.fall_through(&[false, true, true, true, false]);
    expect![[r#"
        warning: a method falls through the filters of `GET /admin/`
         --> routes.yml:1:1
          |
        1 | GET /admin/: http://up
          | ^^^^^^^^^^^ has filters, but not for every method
          |
         ::: routes.yml:1:1
          |
        1 | /: http://up
          | - has none
          |
          = note: `POST /admin/x` goes to `/`
          = help: leave the methods out: `/admin/`
        warning: a method falls through the filters of `GET /two`
         --> routes.yml:1:1
          |
        1 | GET /two: OK
          | ^^^^^^^^ has filters, but not for every method
          |
         ::: routes.yml:1:1
          |
        1 | /: http://up
          | - has none
          |
          = note: `PUT /two` goes to `/`
          = help: leave the methods out: `/two`
    "#]]
    .assert_eq(&desk.render(&findings));
    assert!(table.fall_through(&[true; 5]).is_empty());
}
