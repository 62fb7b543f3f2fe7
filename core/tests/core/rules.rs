//! Rules of the command line.

use anygate_core::config::{Env, Format, Loader, from_rules, load_text};
use expect_test::expect;

use crate::common::{Memory, env, rules, shown};

fn given(list: &[&str]) -> Vec<String> {
    list.iter().map(|rule| (*rule).to_owned()).collect()
}

#[test]
fn a_rule_is_split_at_the_first_colon_before_a_blank_and_otherwise_taken_as_it_stands() {
    for (rule, head, action) in [
        ("GET /x: OK", "GET /x", "OK"),
        ("/:id: *", "/:id", "*"),
        ("/users/:id:batch:   http://up:80/:id ", "/users/:id:batch", "http://up:80/:id"),
        ("* /x: OK", "* /x", "OK"),
        ("/x: FORBIDDEN {\"msg\": \"a # b: c\"}", "/x", "FORBIDDEN {\"msg\": \"a # b: c\"}"),
        ("  \"/x: y\": '/dist/'", "/x: y", "/dist/"),
        ("/x: OK it's", "/x", "OK it's"),
        ("/x: \"a\" \"b\"", "/x", "\"a\" \"b\""),
        ("/x: OK ${HOME} $$", "/x", "OK ${HOME} $$"),
    ] {
        let loaded = from_rules(&given(&[rule]), &Env::new());
        assert_eq!(shown(&loaded), "", "{rule}");
        let config = loaded.config.expect("no errors");
        assert_eq!(rules(&config), [(head, action)], "{rule}");
        let action = &config.routes[0].action;
        assert_eq!(&rule[action.span.start as usize..action.span.end as usize], action.text);
    }
}

#[test]
fn a_rule_without_a_head_or_an_action_is_refused_by_its_number() {
    let loaded = from_rules(&given(&["/ok: OK", "/x OK", "/x:", ": OK", "", "\"/x: OK"]), &Env::new());
    expect![[r#"
        error: a rule is `HEAD: ACTION`
         --> -r #2:1:1
          |
        1 | /x OK
          | ^^^^^ no `:` with a blank behind it
          |
          = help: write -r 'GET /ping: OK'
        error: a rule is `HEAD: ACTION`
         --> -r #3:1:1
          |
        1 | /x:
          | ^^^ no action
          |
          = help: write -r 'GET /ping: OK'
        error: a rule is `HEAD: ACTION`
         --> -r #4:1:1
          |
        1 | : OK
          | ^^^^ no head
          |
          = help: write -r 'GET /ping: OK'
        error: a rule is `HEAD: ACTION`
         --> -r #5:1:1
          |
        1 |
          | ^ no `:` with a blank behind it
          |
          = help: write -r 'GET /ping: OK'
        error: a rule is `HEAD: ACTION`
         --> -r #6:1:1
          |
        1 | "/x: OK
          | ^^^^^^^ no `:` with a blank behind it
          |
          = help: write -r 'GET /ping: OK'
    "#]]
    .assert_eq(&shown(&loaded));
}

#[test]
fn rules_of_the_command_line_come_before_the_files() {
    let files = Memory::default();
    let rules_given = given(&["/a: *", "/b: OK"]);
    let loaded = Loader { env: &Env::new(), rules: &rules_given, files: &files, self_signed: false }.text(
        "anygate.yml",
        "routes:\n  /c: OK\n",
        Format::Yaml,
        "/etc".as_ref(),
    );
    let config = loaded.config.expect("no errors");
    assert_eq!(rules(&config), [("/a", "*"), ("/b", "OK"), ("/c", "OK")]);
    assert_eq!(config.routes[0].base_dir, std::path::Path::new(""));
    assert_eq!(loaded.sources.get(config.routes[1].head.span.source).name, "-r #2");
}

#[test]
fn an_embedded_text_and_the_environment_work_without_a_file() {
    let loaded = load_text(
        "default",
        "routes:\n  /ok: OK\n  /echo: *\n",
        &env(&[("ANYGATE_SERVER__LISTEN", "127.0.0.1:1")]),
        &[],
    );
    let config = loaded.config.expect("no errors");
    assert_eq!(rules(&config), [("/ok", "OK"), ("/echo", "*")]);
    assert_eq!(config.server.listen[0].addr.to_string(), "127.0.0.1:1");
    assert!(config.files.is_empty());
}
