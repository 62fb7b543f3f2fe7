//! Every sentence of the language's description that can be shown by a request.

use anygate_route::{Action, Authority, BadPath, Context, Fixed, Found, Methods, PathKind, Scheme};

use crate::text::{Desk, Line, find, table, table_in, told};

fn says(lines: &[Line<'_>], expected: &[(&str, &str)]) {
    let table = table(lines);
    for (request, outcome) in expected {
        assert_eq!(told(&table, request), *outcome, "{request}");
    }
}

fn action(text: &str) -> Action {
    let context = Context { upstreams: ["users".to_owned()].into(), ..Context::default() };
    match Desk::default().rule(("/:id/*", text), &context) {
        Ok(rule) => rule.action,
        Err(findings) => panic!("{text}: {findings:?}"),
    }
}

const SIX_LINES: [Line<'static>; 6] = [
    ("/", "/dist/"),
    ("/ping", "http://auth/ping"),
    ("GET POST PATCH /api/mock/rude", "FORBIDDEN {\"msg\":\"GO PATCH UR MUM!\"}"),
    ("GET /fastest/ever/ok", "OK"),
    ("/a/b/c", "*"),
    ("/a/b/c-forbidden", "FORBIDDEN *"),
];

#[test]
fn the_six_lines_do_what_they_promise() {
    says(
        &SIX_LINES,
        &[
            ("GET /", "/ => static /dist/"),
            ("GET /deep/link", "/ => static /dist/deep/link"),
            ("DELETE /ping?x=1", "/ping => http://auth/ping?x=1"),
            ("PATCH /api/mock/rude", "GET POST PATCH /api/mock/rude => 403 {\"msg\":\"GO PATCH UR MUM!\"}"),
            ("HEAD /fastest/ever/ok", "GET /fastest/ever/ok => 200"),
            ("POST /fastest/ever/ok", "405, Allow: GET, HEAD, OPTIONS"),
            ("BREW /a/b/c", "/a/b/c => echo"),
            ("GET /a/b/c-forbidden", "/a/b/c-forbidden => echo 403"),
            ("GET /a/b/c/", "/ => static /dist/a/b/c/"),
            ("DELETE /api/mock/rude", "405, Allow: GET, HEAD, POST, PATCH, OPTIONS"),
            ("OPTIONS /api/mock/rude", "204, Allow: GET, HEAD, POST, PATCH, OPTIONS"),
        ],
    );
}

#[test]
fn methods_are_named_or_all_but_connect_and_trace() {
    let lines = [("/all", "OK"), ("* /star", "OK"), ("PROPFIND RPC /dav", "OK"), ("TRACE CONNECT /t", "OK")];
    says(
        &lines,
        &[
            ("BREW /all", "/all => 200"),
            ("BREW /star", "/star => 200"),
            ("TRACE /all", "405, Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            ("CONNECT /star", "405, Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            ("RPC /dav", "PROPFIND RPC /dav => 200"),
            ("rpc /dav", "405, Allow: OPTIONS, PROPFIND, RPC"),
            ("OPTIONS /dav", "204, Allow: OPTIONS, PROPFIND, RPC"),
            ("OPTIONS /all", "/all => 200"),
            ("TRACE /t", "TRACE CONNECT /t => 200"),
            ("GET /t", "405, Allow: OPTIONS, CONNECT, TRACE"),
            ("GET /none", "404"),
        ],
    );
}

#[test]
fn hosts_win_by_nearness_and_ignore_case_port_and_final_dot() {
    let lines = [
        ("/", "OK any"),
        ("*.example.com/", "OK wild"),
        ("*.eu.example.com/", "OK eu"),
        ("api.example.com/", "OK api"),
        ("[::1]/", "OK six"),
    ];
    says(
        &lines,
        &[
            ("GET http://API.Example.com.:8080/x", "api.example.com/ => 200 api"),
            ("GET http://www.example.com/", "*.example.com/ => 200 wild"),
            ("GET http://a.b.example.com/", "*.example.com/ => 200 wild"),
            ("GET http://a.eu.example.com/", "*.eu.example.com/ => 200 eu"),
            ("GET http://eu.example.com/", "*.example.com/ => 200 wild"),
            ("GET http://example.com/", "/ => 200 any"),
            ("GET http://[0::1]:443/", "[::1]/ => 200 six"),
            ("GET /", "/ => 200 any"),
        ],
    );
}

#[test]
fn a_host_that_does_not_take_the_method_leaves_it_to_the_next() {
    let lines = [("GET api.example.com/x", "OK get"), ("POST *.example.com/:any", "OK post"), ("PUT /", "OK put")];
    says(
        &lines,
        &[
            ("GET http://api.example.com/x", "GET api.example.com/x => 200 get"),
            ("POST http://api.example.com/x", "POST *.example.com/:any => 200 post"),
            ("PUT http://api.example.com/x", "PUT / => 200 put"),
            ("DELETE http://api.example.com/x", "405, Allow: GET, HEAD, POST, PUT, OPTIONS"),
            ("DELETE http://other/x", "405, Allow: PUT, OPTIONS"),
        ],
    );
}

#[test]
fn a_pattern_ends_exactly_in_a_subtree_in_a_splat_or_in_its_slash() {
    let lines = [
        ("/ping", "OK"),
        ("/v1/", "OK"),
        ("/v2/", "OK"),
        ("/v2", "OK exact"),
        ("/v2/{$}", "OK slash"),
        ("/files/*", "OK"),
        ("/:id/x", "OK"),
        ("/users:batch", "OK"),
        ("/{$}", "OK"),
    ];
    says(
        &lines,
        &[
            ("GET /ping", "/ping => 200"),
            ("GET /ping/", "404"),
            ("GET /v1", "/v1/ => 200"),
            ("GET /v1/", "/v1/ => 200"),
            ("GET /v1/a/b", "/v1/ => 200"),
            ("GET /v10", "404"),
            ("GET /v2", "/v2 => 200 exact"),
            ("GET /v2/", "/v2/{$} => 200 slash"),
            ("GET /v2/a", "/v2/ => 200"),
            ("GET /files", "404"),
            ("GET /files/", "/files/* => 200"),
            ("GET /files/x/y", "/files/* => 200"),
            ("GET /7/x", "/:id/x => 200"),
            ("GET //x", "404"),
            ("GET /users:batch", "/users:batch => 200"),
            ("GET /", "/{$} => 200"),
        ],
    );
}

#[test]
fn paths_win_segment_by_segment_and_matching_backtracks() {
    let lines = [
        ("/a/:x/c", "OK 1"),
        ("/a/b/*", "OK 2"),
        ("/a/:x/:y", "OK 3"),
        ("GET /a/b/c/d", "OK 4"),
        ("/:p/b/c/d/e", "OK 5"),
        ("/a/b/c/:z/f", "OK 6"),
        ("/", "OK 7"),
    ];
    says(
        &lines,
        &[
            ("GET /a/b/c", "/a/b/* => 200 2"),
            ("GET /a/z/c", "/a/:x/c => 200 1"),
            ("GET /a/z/y", "/a/:x/:y => 200 3"),
            ("GET /a/b", "/ => 200 7"),
            ("GET /a/b/c/d", "GET /a/b/c/d => 200 4"),
            ("POST /a/b/c/d", "/a/b/* => 200 2"),
            ("GET /a/b/c/d/f", "/a/b/c/:z/f => 200 6"),
            ("GET /q/b/c/d/e", "/:p/b/c/d/e => 200 5"),
        ],
    );
}

#[test]
fn a_rule_that_names_the_method_wins_over_one_for_every_method_and_then_the_first() {
    let lines = [("/x", "OK all"), ("GET /x", "OK get"), ("POST PUT /x", "OK first"), ("PUT PATCH /x", "OK second")];
    says(
        &lines,
        &[
            ("GET /x", "GET /x => 200 get"),
            ("HEAD /x", "GET /x => 200 get"),
            ("PUT /x", "POST PUT /x => 200 first"),
            ("PATCH /x", "PUT PATCH /x => 200 second"),
            ("DELETE /x", "/x => 200 all"),
        ],
    );
    says(&[("GET /x", "OK get"), ("HEAD /x", "OK head")], &[("HEAD /x", "HEAD /x => 200 head")]);
    says(&[("GET /x", "OK get"), ("HEAD /", "OK head")], &[("HEAD /x", "GET /x => 200 get")]);
}

#[test]
fn paths_are_compared_after_normalisation_and_forwarded_as_they_came() {
    let lines = [("/caf%c3%a9/%7euser", "http://up"), ("/a/", "http://up")];
    says(
        &lines,
        &[
            ("GET /caf%C3%A9/~user", "/caf%C3%A9/~user => http://up/caf%C3%A9/~user"),
            ("GET /c%61f%c3%a9/%7Euser", "/caf%C3%A9/~user => http://up/c%61f%c3%a9/%7Euser"),
            ("GET //a/./b//%2e%2e/c%20?q=//..", "/a/ => http://up/a/c%20?q=//.."),
            ("GET /a/..", "404"),
            ("GET /..", "400: a dot segment leaves the root"),
            ("GET /a%00", "400: the path holds an encoded NUL"),
            ("GET /a\\b", "400: the path holds a byte that must be percent-encoded"),
            ("GET /a/é", "400: the path holds a byte that must be percent-encoded"),
            ("GET /a%2", "400: a `%` in the path is not followed by two hexadecimal digits"),
        ],
    );
}

#[test]
fn slashes_stay_where_the_server_keeps_them() {
    let context = Context { merge_slashes: false, ..Context::default() };
    let table = table_in(&[("/a/:x/b", "OK"), ("/a//b", "OK"), ("/f/*", "301 /*")], &context);
    assert_eq!(told(&table, "GET /a//b"), "/a//b => 200");
    assert_eq!(told(&table, "GET /a/x//b"), "404");
    assert_eq!(told(&table, "GET /f//evil.example"), "/f/* => 301 /evil.example");
}

#[test]
fn an_encoded_slash_must_not_lead_to_another_rule() {
    let table = table(&[("/", "http://up"), ("/admin/", "http://up"), ("/git/:project/x", "http://up")]);
    assert_eq!(find(&table, "GET /p/group%2Fproject"), Found::Rule(0));
    assert_eq!(told(&table, "GET /p/group%2Fproject"), "/ => http://up/p/group%2Fproject");
    for hidden in ["/admin%2Fx", "/admin%2f", "/x%2F..%2Fadmin/x", "/admin%5Cx", "/git/a%2Fb/x", "/admin/..%2Fx"] {
        assert_eq!(find(&table, &format!("GET {hidden}")), Found::Bad(BadPath::Ambiguous), "{hidden}");
    }
    assert_eq!(find(&table, "GET /..%2Fx"), Found::Bad(BadPath::LeavesRoot));
}

#[test]
fn an_encoded_slash_is_no_matter_where_no_other_rule_is() {
    let table = table(&[("/projects/:id", "http://up"), ("/projects/:id/raw", "http://up")]);
    assert_eq!(told(&table, "GET /projects/group%2Fproject"), "/projects/:id => http://up/projects/group%2Fproject");
    assert_eq!(find(&table, "GET /projects/..%2Fsecret"), Found::Bad(BadPath::Ambiguous));
    assert_eq!(find(&table, "GET /projects/a%2Fraw"), Found::Bad(BadPath::Ambiguous));
}

#[test]
fn proxy_requests_go_where_the_table_of_the_language_says() {
    let lines = [
        ("/v1/", "http://up:9000/"),
        ("/users/:id", "http://up/users/"),
        ("/files/*", "http://fs/"),
        ("/old/:id", "MOVED /new/:id"),
        ("/api/", "http://up"),
        ("/q/:id/*", "http://up/x/:id/of/*?own=:id"),
        ("/fixed", "http://up/there?a=b"),
        ("/sock/", "http+unix:///run/app.sock:/base/"),
        ("/bare/", "http+unix:///run/app.sock"),
        ("/two", "http://a:1/p https://b/p"),
        ("/keep", "http://up?k=v"),
    ];
    says(
        &lines,
        &[
            ("GET /v1", "/v1/ => http://up:9000/"),
            ("GET /v1/a/b?q=1", "/v1/ => http://up:9000/a/b?q=1"),
            ("GET /users/42", "/users/:id => http://up/users/42"),
            ("GET /files/x/y", "/files/* => http://fs/x/y"),
            ("GET /files/", "/files/* => http://fs/"),
            ("GET /old/7?x=1", "/old/:id => 301 /new/7?x=1"),
            ("GET /api/x", "/api/ => http://up/api/x"),
            ("GET /api", "/api/ => http://up/api"),
            ("GET /q/a%20b/c/d?z", "/q/:id/* => http://up/x/a%20b/of/c/d?own=a%20b&z"),
            ("GET /fixed?c=d", "/fixed => http://up/there?a=b&c=d"),
            ("GET /sock/a", "/sock/ => http+unix:///run/app.sock:/base/a"),
            ("GET /bare/a", "/bare/ => http+unix:///run/app.sock:/bare/a"),
            ("GET /two", "/two => http://a:1/p or https://b/p"),
            ("GET /keep?a=b", "/keep => http://up/keep?k=v&a=b"),
        ],
    );
}

#[test]
fn redirects_stay_relative_keep_the_query_and_stay_on_their_host() {
    let lines = [
        ("/r/1", "308 ./other"),
        ("/r/2", "FOUND ?page=2"),
        ("/r/3", "SEE_OTHER #top"),
        ("/r/4/*", "TEMP_REDIRECT https://example.com:8443/:x/*"),
        ("/r/5/*", "PERM_REDIRECT /*"),
        ("/r/6/*", "302 //cdn.example.com/*"),
        ("/r/7/*", "301 /*/x"),
    ];
    let lines: Vec<Line<'_>> = lines
        .iter()
        .map(|(head, action)| if *head == "/r/4/*" { ("/r/4/:x/*", *action) } else { (*head, *action) })
        .collect();
    says(
        &lines,
        &[
            ("GET /r/1?a", "/r/1 => 308 ./other?a"),
            ("GET /r/2?a=b", "/r/2 => 302 ?page=2&a=b"),
            ("GET /r/3?a", "/r/3 => 303 ?a#top"),
            ("GET /r/4/q/a/b", "/r/4/:x/* => 307 https://example.com:8443/q/a/b"),
            ("GET /r/5/a", "/r/5/* => 308 /a"),
            ("GET /r/6/a", "/r/6/* => 302 //cdn.example.com/a"),
            ("GET /r/7/", "/r/7/* => 301 /x"),
        ],
    );
}

#[test]
fn files_answer_get_and_head_and_want_the_slash_of_a_directory() {
    let lines = [("/app/", "./dist/"), ("/one", "/srv/robots.txt"), ("/u/:id/", "../home/"), ("/f/*", "/srv/")];
    says(
        &lines,
        &[
            ("GET /app?x=1", "/app/ => 308 /app/?x=1"),
            ("GET /app/", "/app/ => static ./dist/"),
            ("HEAD /app/a/b", "/app/ => static ./dist/a/b"),
            ("POST /app", "405, Allow: GET, HEAD, OPTIONS"),
            ("OPTIONS /app/x", "204, Allow: GET, HEAD, OPTIONS"),
            ("GET /one", "/one => static /srv/robots.txt"),
            ("GET /u/7", "/u/:id/ => 308 /u/7/"),
            ("GET /u/7/a", "/u/:id/ => static ../home/7/a"),
            ("GET /f/", "/f/* => static /srv/"),
        ],
    );
}

#[test]
fn files_hide_the_methods_they_refuse_from_allow() {
    let lines = [("h.io/", "./dist/"), ("/x", "OK"), ("POST h.io/x", "OK"), ("RPC /x", "OK")];
    says(
        &lines,
        &[
            ("PUT http://h.io/x", "405, Allow: GET, HEAD, POST, OPTIONS"),
            ("POST http://h.io/x", "POST h.io/x => 200"),
            ("PUT /x", "/x => 200"),
        ],
    );
}

#[test]
fn actions_are_what_they_look_like() {
    let fixed = |status, body: Option<&str>, content_type| {
        Action::Fixed(Fixed { status, body: body.map(Into::into), content_type })
    };
    let (json, plain) = (Some("application/json"), Some("text/plain; charset=utf-8"));
    assert_eq!(action("NO_CONTENT"), fixed(204, None, None));
    assert_eq!(action("IM_A_TEAPOT short and stout"), fixed(418, Some("short and stout"), plain));
    assert_eq!(action("200   [1, 2]"), fixed(200, Some("[1, 2]"), json));
    assert_eq!(action("599"), fixed(599, None, None));
    assert_eq!(action("INTERNAL_ERROR {\"a\" : 1}"), fixed(500, Some("{\"a\" : 1}"), json));
    assert_eq!(action("OK * not echo"), fixed(200, Some("* not echo"), plain));
    assert_eq!(action("*"), Action::Echo { status: 200 });
    assert_eq!(action("503 *"), Action::Echo { status: 503 });
    assert_eq!(action("/srv/www/").kind(), "static");
    assert_eq!(action("MOVED /x").kind(), "redirect");
}

#[test]
fn targets_name_hosts_pools_and_sockets() {
    let target = |text: &str| match action(text) {
        Action::Proxy(targets) => targets[0].clone(),
        other => panic!("{other:?}"),
    };
    let host = |host: &str, port| Authority::Host { host: host.into(), port };
    assert_eq!(target("http://Up.Example").authority, host("up.example", 80));
    assert_eq!(target("https://up").authority, host("up", 443));
    assert_eq!(target("h2c://up:50051").authority, host("up", 50051));
    assert_eq!(target("http://[::1]:8080/x").authority, host("::1", 8080));
    assert_eq!(target("http://users/").authority, Authority::Upstream("users".into()));
    assert_eq!(target("http+unix:///run/a:b.sock:/x").authority, Authority::Unix("/run/a:b.sock".into()));
    assert_eq!(target("h2c://up").scheme, Scheme::H2c);
    assert_eq!(target("http://up").path.kind(), PathKind::Keep);
    assert_eq!(target("http://up/").path.kind(), PathKind::Append);
    assert_eq!(target("http://up/:id").path.kind(), PathKind::Replace);
    assert!(target("http://up").path.is_verbatim());
    assert!(!target("http://up?x").path.is_verbatim());
    assert_eq!(target("http://up/a").origin(), "http://up");
}

#[test]
fn a_colon_within_a_word_of_a_target_is_plain() {
    let lines =
        [("/users/:id", "http://up/users/:id:batch?at=10:30&u=urn:x"), ("/d/:year/:m", "http://up/:year-:m.json")];
    says(
        &lines,
        &[
            ("GET /users/7", "/users/:id => http://up/users/7:batch?at=10:30&u=urn:x"),
            ("GET /d/2024/05", "/d/:year/:m => http://up/2024-05.json"),
        ],
    );
}

#[test]
fn a_group_may_give_the_host() {
    let mut desk = Desk::default();
    let group = desk.located("API.example.com");
    let (head, action) = (desk.located("GET /v1/"), desk.located("OK"));
    let rule = anygate_route::parse_rule(&head, &action, Some(&group), &Context::default()).expect("a rule");
    assert_eq!(rule.to_string(), "GET api.example.com/v1/");
    assert_eq!(rule.methods, Methods::Named(vec!["GET".into()]));
}
