//! The six lines of the promise, and every freedom of `routes` behind them.

use anygate_core::config::{Config, RouteEntry};
use expect_test::expect;

use crate::common::{good, rules, shown, yaml};

const SIX: &str = r#"routes:
  "/": "/dist/"                                                      # SPA: index + history fallback
  "/ping": "http://auth/ping"                                        # proxy
  GET POST PATCH /api/mock/rude: FORBIDDEN {"msg":"GO PATCH UR MUM!"} # fixed, JSON
  GET /fastest/ever/ok: OK                                           # fixed
  /a/b/c: *                                                          # echo
  /a/b/c-forbidden: FORBIDDEN *                                      # echo with a status
"#;

const SIX_RULES: [(&str, &str); 6] = [
    ("/", "/dist/"),
    ("/ping", "http://auth/ping"),
    ("GET POST PATCH /api/mock/rude", r#"FORBIDDEN {"msg":"GO PATCH UR MUM!"}"#),
    ("GET /fastest/ever/ok", "OK"),
    ("/a/b/c", "*"),
    ("/a/b/c-forbidden", "FORBIDDEN *"),
];

#[test]
fn the_six_lines_load_exactly_as_they_stand_and_without_a_warning() {
    assert_eq!(rules(&good(SIX)), SIX_RULES);
}

#[test]
fn the_six_lines_load_with_carriage_returns_and_without_a_final_line_break() {
    assert_eq!(rules(&good(&SIX.replace('\n', "\r\n"))), SIX_RULES);
    assert_eq!(rules(&good(SIX.trim_end())), SIX_RULES);
}

#[test]
fn the_six_lines_load_in_a_group_at_any_indentation_and_beside_other_keys() {
    for indent in ["  ", "      "] {
        let lines = SIX.replace("\n  ", &format!("\n{indent}    "));
        let text = format!(
            "server:\n  name: x\ngroups:\n{indent}- name: a\n{indent}  {lines}{indent}- name: b\n{indent}  routes: {{/z: *}}\n"
        );
        let config = good(&text);
        assert_eq!(rules(&config)[..6], SIX_RULES, "{text}");
        assert_eq!(rules(&config)[6], ("/z", "*"));
        assert_eq!(
            config.routes.iter().map(|route| route.group).collect::<Vec<_>>(),
            [Some(0); 6].into_iter().chain([Some(1)]).collect::<Vec<_>>()
        );
    }
}

#[test]
fn the_six_lines_load_as_a_list_at_either_indentation() {
    for indent in ["", "  "] {
        let list = SIX.replace("\n  ", &format!("\n{indent}- "));
        assert_eq!(rules(&good(&list)), SIX_RULES, "{list}");
    }
}

#[test]
fn a_place_in_an_action_is_a_place_in_the_file() {
    let config = good(SIX);
    for route in &config.routes {
        for part in [&route.head, &route.action] {
            assert!(part.verbatim, "{part:?}");
            assert_eq!(&SIX[part.span.start as usize..part.span.end as usize], part.text);
        }
    }
    let fixed = &config.routes[2].action;
    let word = fixed.sub(fixed.text.find("PATCH").expect("it says so")..fixed.text.len());
    assert_eq!(&SIX[word.start as usize..word.start as usize + 5], "PATCH");
}

fn only(config: &Config) -> &RouteEntry {
    assert_eq!(config.routes.len(), 1);
    &config.routes[0]
}

#[test]
fn what_yaml_would_misread_is_read_as_it_stands() {
    for (line, head, action) in [
        ("/x: *", "/x", "*"),
        ("/x:   *   ", "/x", "*"),
        ("* /x: OK", "* /x", "OK"),
        ("* /x: *", "* /x", "*"),
        ("*.example.com/x: OK", "*.example.com/x", "OK"),
        ("*  example.com/x: *", "*  example.com/x", "*"),
        ("'/x': *", "/x", "*"),
        ("\"* /x\": \"*\"", "* /x", "*"),
        ("/x: OK {\"a\": 1}", "/x", "OK {\"a\": 1}"),
        ("/x: OK {\"a\": \"#\", \"b\": \" # \"}", "/x", "OK {\"a\": \"#\", \"b\": \" # \"}"),
        ("/x: OK [1, 2]  # two", "/x", "OK [1, 2]"),
        ("/x: 503 {\"a\": \"}\\\"]\"} # it closes later than it seems", "/x", "503 {\"a\": \"}\\\"]\"}"),
        ("/x: OK {\"a\": 1} b # c", "/x", "OK {\"a\": 1} b # c"),
        ("/x: OK {\"a\": 1", "/x", "OK {\"a\": 1"),
        ("/x: OK {\"é\": \"日本\"}", "/x", "OK {\"é\": \"日本\"}"),
        ("/x: 404", "/x", "404"),
        ("/x: 0404", "/x", "0404"),
        ("/x: no", "/x", "no"),
        ("/x: true", "/x", "true"),
        ("/users/:id: http://up/:id", "/users/:id", "http://up/:id"),
        ("GET /v1/{$}: OK", "GET /v1/{$}", "OK"),
        ("GET /files/*: http://up/*", "GET /files/*", "http://up/*"),
        ("GET *.example.com/: OK", "GET *.example.com/", "OK"),
        ("/x: FORBIDDEN *", "/x", "FORBIDDEN *"),
        ("/x: {to: *}", "/x", "*"),
        ("/x: {max_body_size: 5, to: *}", "/x", "*"),
        ("/x: { to: * , max_body_size: 5 }", "/x", "*"),
        ("/x:\n    to: *", "/x", "*"),
        ("/x:\n    to: OK {\"a\": 1} # one\n    max_body_size: 5", "/x", "OK {\"a\": 1}"),
        ("/x: {\n    to:\n     *\n    }", "/x", "*"),
        ("/x: |-\n    OK {\n     \"a\": 1}", "/x", "OK {\n \"a\": 1}"),
        ("/x:\n    *", "/x", "*"),
        ("/x:\n    # one\n    OK {\"a\":1}  # two", "/x", "OK {\"a\":1}"),
        ("/x: &a OK {\"a\": 1}", "/x", "OK {\"a\": 1}"),
        ("&k * /x: &a *", "* /x", "*"),
        ("/x: OK a\n    * b", "/x", "OK a * b"),
        ("/x: \"OK\n    hello\"", "/x", "OK hello"),
        ("/x: OK hello\n    world", "/x", "OK hello world"),
    ] {
        let config = good(&format!("routes:\n  {line}\n"));
        let route = only(&config);
        assert_eq!((route.head.text.as_str(), route.action.text.as_str()), (head, action), "{line}");
    }
}

#[test]
fn flow_forms_and_lists_know_the_bare_star_too() {
    for text in [
        "routes: {/a: *, * /b: OK}",
        "routes: {\n  /a: *,\n  * /b: OK,\n}",
        "routes: [{match: /a, to: *}, {match: * /b, to: OK}]",
        "routes:\n- /a: *\n- * /b: OK",
        "routes:\n- match: /a\n  to: *\n- match: * /b\n  to: OK",
        "routes: # the rules\n\n  # first\n  /a: *\n# second\n  * /b: OK",
        "\"routes\":\n  /a: *\n  * /b: OK",
        "---\nroutes:\n  /a: *\n  * /b: OK\n...\n",
        "server:\n  name: |\n    routes:\n      x\nroutes:\n  /a: *\n  * /b: OK\n"
            .replace("|\n    routes:\n      x", "\"a\n    routes:\n      b\"")
            .as_str(),
    ] {
        assert_eq!(rules(&good(text)), [("/a", "*"), ("* /b", "OK")], "{text}");
    }
}

#[test]
fn outside_routes_a_star_stays_yamls() {
    for text in ["server:\n  name: *\n", "expect:\n  - *\n", "groups:\n  - name: *\n    routes: {/: OK}\n"] {
        let found = shown(&yaml(text));
        assert!(found.contains("invalid YAML"), "{text}: {found}");
    }
    let config = good(
        "proxy: {timeout: &t 5s}\nupstreams:\n  a: {servers: [b], proxy: {timeout: *t}}\nroutes:\n  /x: &ok OK\n  /y: *ok\n",
    );
    assert_eq!(rules(&config), [("/x", "OK"), ("/y", "OK")]);
    assert_eq!(config.upstreams[0].proxy.timeout, Some(config.proxy.timeout));
}

#[test]
fn an_action_cut_short_by_a_comment_is_a_warning_and_two_blanks_are_a_comment() {
    let loaded = yaml(
        "routes:\n  /a: OK room #5\n  /b: OK room  #5\n  /c: \"OK room #5\" # five\n  /d: {to: OK, max_body_size: 5} # d\n  /e: * # e\n  /f:\n    to: OK # f\n    max_body_size: 5 # small\n",
    );
    expect![[r#"
        warning: the action ends before ` #`: the rest is read as a comment
         --> anygate.yml:2:15
          |
        2 |   /a: OK room #5
          |               ^^ not part of the action
          |
          = help: quote the whole action to keep it, or put two blanks before a comment
        warning: the action ends before ` #`: the rest is read as a comment
         --> anygate.yml:8:12
          |
        8 |     to: OK # f
          |            ^^^ not part of the action
          |
          = help: quote the whole action to keep it, or put two blanks before a comment
    "#]]
    .assert_eq(&shown(&loaded));
    let config = loaded.config.expect("warnings do not refuse");
    assert_eq!(rules(&config)[..2], [("/a", "OK room"), ("/b", "OK room")]);
}

#[test]
fn a_fixed_body_ends_with_its_line() {
    expect![[r#"
        error: a fixed body ends with its line
         --> anygate.yml:3:5
          |
        3 |     }
          |     ^ this belongs to nothing
          |
          = help: put the whole action in quotes to go on in the next line
    "#]]
    .assert_eq(&shown(&yaml("routes:\n  /a: OK {\"a\": 1\n    }\n  /b: OK\n")));
}
