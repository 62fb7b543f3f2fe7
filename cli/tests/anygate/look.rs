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
