//! `anygate routes` and `anygate explain`: looking at rules without serving them.

use expect_test::expect;

use super::rig::Folder;

const FILE: &str = "\
upstreams: {users: {servers: [\"10.0.0.1:8001\", \"10.0.0.2:8001\"]}}
routes:
  /: ./dist/
  /users/:id: http://users/people/
  GET /users/me: {to: 'OK me', headers: {Cache-Control: no-store}}
  api.example.com/v1/: http://127.0.0.1:9000/
  POST /echo: CREATED *
  /old/*: MOVED /new/*
";

fn folder() -> Folder {
    let folder = Folder::with(FILE);
    folder.write("dist/index.html", "<p>hi");
    folder.write("dist/app.js", "1");
    folder
}

#[test]
fn routes_are_a_tree_by_host() {
    let ran = folder().run(&["routes"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    expect![[r#"
        api.example.com
        └─ /v1/  *  proxy     http://127.0.0.1:9000/
        every host
        ├─ /        *     static    ./dist/
        ├─ /echo    POST  echo      CREATED *
        ├─ /old/*   *     redirect  MOVED /new/*
        └─ /users
           ├─ /me   GET   fixed     OK me
           └─ /:id  *     proxy     http://users/people/
    "#]]
    .assert_eq(&ran.out);
}

#[test]
fn a_request_is_told_its_rule_its_runners_up_its_filters_and_its_answer() {
    let ran = folder().run(&["explain", "GET /users/me"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    expect![[r#"
        GET /users/me
          wins     GET /users/me  ->  OK me  anygate.yml:5:3
          loses    /users/:id  ->  http://users/people/  anygate.yml:4:3
                   segment 2 is :id, the winner's is me
          loses    /  ->  ./dist/  anygate.yml:3:3
                   is for all below /, the winner for more of the path
          filter   headers: sets Cache-Control
          gets     200 me
    "#]]
    .assert_eq(&ran.out);
}

#[test]
fn a_proxied_request_is_told_its_url_and_its_servers() {
    let ran = folder().run(&["explain", "DELETE /users/4%322?x=1"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    expect![[r#"
        DELETE /users/4%322?x=1
          path     escapes unified for matching: /users/422
          wins     /users/:id  ->  http://users/people/  anygate.yml:4:3
          loses    /  ->  ./dist/  anygate.yml:3:3
                   is for all below /, the winner for more of the path
          param    :id = 4%322
          goes to  http://users/people/4%322?x=1
                   users is 10.0.0.1:8001, 10.0.0.2:8001, in turn
    "#]]
    .assert_eq(&ran.out);
}

#[test]
fn the_host_comes_from_the_target_or_from_the_header() {
    let folder = folder();
    let by_header = folder.run(&["explain", "/v1/a", "-H", "Host: API.example.com:8080"]);
    assert!(by_header.out.contains("http://127.0.0.1:9000/a"), "{}", by_header.out);
    let by_target = folder.run(&["explain", "GET http://api.example.com/v1/a"]);
    assert!(by_target.out.contains("http://127.0.0.1:9000/a"), "{}", by_target.out);
}

#[test]
fn a_static_request_is_told_its_file_for_a_browser_and_for_others() {
    let folder = folder();
    expect![[r#"
        GET /deep/link
          wins     /  ->  ./dist/  anygate.yml:3:3
          gets     the file dist/index.html
                   as a page; for a script's requests 404: there is no such file
    "#]]
    .assert_eq(&folder.run(&["explain", "/deep/link"]).out.replace(folder.path().to_str().unwrap(), "FOLDER"));
    for script in ["Accept: application/json", "Sec-Fetch-Mode: cors"] {
        let told = folder.run(&["explain", "/deep/link", "-H", script]);
        assert!(told.out.contains("404"), "{script}: {}", told.out);
    }
    let file = folder.run(&["explain", "/app.js"]);
    assert!(file.out.contains("dist/app.js"), "{}", file.out);
}

#[test]
fn a_request_without_a_rule_is_told_its_status() {
    let ran = folder().run(&["explain", "GET /echo"]);
    assert!(ran.out.contains("the file dist/index.html"), "the folder takes it: {}", ran.out);
    let folder = Folder::with("routes:\n  POST /echo: *\n");
    expect![[r#"
        GET /echo
          loses    POST /echo  ->  *  anygate.yml:2:3
                   takes POST, not GET
          gets     405, Allow: POST, OPTIONS
    "#]]
    .assert_eq(&folder.run(&["explain", "GET /echo"]).out);
    assert!(folder.run(&["explain", "/nothing"]).out.contains("404"));
}

#[test]
fn a_refused_configuration_is_looked_at_as_far_as_its_rules_are_right() {
    let folder = Folder::with("routes:\n  /: ./gone/\n  /ok: OK\n");
    let ran = folder.run(&["explain", "/ok"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("anygate.yml:2:6"), "{}", ran.err);
    assert!(ran.out.contains("wins"), "{}", ran.out);
}

#[test]
fn without_a_file_the_built_in_default_is_looked_at() {
    let ran = Folder::new().run(&["routes"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    expect![[r#"
        every host
        ├─ /{$}    GET  fixed     OK <!doctype html>
        ├─ /echo/  *    echo      *
        └─ /ok     *    fixed     OK
    "#]]
    .assert_eq(&ran.out);
}

/// A folder whose server redirects to https and speaks TLS with two certificates.
fn folder_with_tls() -> Folder {
    let folder = Folder::with(
        "\
server: {listen: [{addr: \":80\", redirect: https}, {addr: \":443\", tls: true}]}
tls:
  certificates: [{cert: a.crt, key: a.key}, {cert: b.crt, key: b.key}]
  client_ca: a.crt
  hsts: {max_age: 1d}
routes:
  /: OK hello
  /staff: {to: OK in, client_auth: required}
",
    );
    for (file, name) in [("a", "a.example"), ("b", "*.b.example")] {
        let pair = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        folder.write(&format!("{file}.crt"), &pair.cert.pem());
        folder.write(&format!("{file}.key"), &pair.signing_key.serialize_pem());
    }
    folder
}

#[test]
fn a_request_by_https_is_told_its_certificate_its_demand_and_what_is_added() {
    let folder = folder_with_tls();
    expect![[r#"
        GET https://x.b.example/staff
          tls      :443 shows the certificate of *.b.example (ECDSA P-256, until Sun, 01 Jan 4096 00:00:00 GMT)
                   a client may show a certificate
          adds     Strict-Transport-Security: max-age=86400
          wins     /staff  ->  OK in  anygate.yml:8:3
          loses    /  ->  OK hello  anygate.yml:7:3
                   is for all below /, the winner for more of the path
          filter   client_auth: 403 without a client certificate
          gets     200 in
    "#]]
    .assert_eq(&folder.run(&["explain", "https://x.b.example/staff"]).out);
    let unknown = folder.run(&["explain", "https://c.example/"]).out;
    assert!(unknown.contains("there is none for c.example: this is the default"), "{unknown}");
}

#[test]
fn a_request_by_http_is_told_where_it_is_sent() {
    let folder = folder_with_tls();
    expect![[r#"
        GET http://a.example/staff?x
          goes to  308 to https://a.example/staff?x, from every request on :80
    "#]]
    .assert_eq(&folder.run(&["explain", "http://a.example/staff?x"]).out);
    let either = folder.run(&["explain", "/"]).out;
    assert!(either.starts_with("GET /\n  http     308 to https://HOST/ on :80\n  wins     /"), "{either}");
}

#[test]
fn a_scheme_that_no_listener_has_is_told() {
    let folder = Folder::with("routes:\n  /: OK\n");
    let ran = folder.run(&["explain", "https://a.example/"]);
    assert!(ran.out.contains("no listener speaks TLS: there is no connection"), "{}", ran.out);
}
