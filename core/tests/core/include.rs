//! Files that a file brings in.

use std::path::Path;

use anygate_core::config::{Disk, Env, Loaded, Loader};
use expect_test::expect;

use crate::common::{Memory, memory, rules, shown};

fn load(files: &Memory) -> Loaded {
    Loader { env: &Env::new(), rules: &[], files, self_signed: false }.file(Path::new("etc/anygate.yml"))
}

#[test]
fn included_files_add_groups_routes_and_upstreams_in_the_order_of_their_names() {
    let loaded = load(&memory(&[
        (
            "etc/anygate.yml",
            "include: [\"conf.d/*.yml\", conf.d/a.yml, extra.toml]\ngroups:\n  - routes:\n      /group: OK\nroutes:\n  /main: ./dist/\n",
        ),
        ("etc/conf.d/b.yml", "routes:\n  /b: *\n  * /b2: OK\n"),
        ("etc/conf.d/a.yml", "upstreams:\n  up: {servers: [x]}\ngroups:\n  - name: a\n    routes: {/a: ./dist/}\n"),
        ("etc/conf.d/.hidden.yml", "nonsense: 1\n"),
        ("etc/conf.d/readme.txt", "nonsense: 1\n"),
        ("etc/extra.toml", "[routes]\n\"/toml\" = \"OK\"\n"),
    ]));
    assert_eq!(shown(&loaded), "");
    let config = loaded.config.expect("no errors");
    let expected =
        [("/group", "OK"), ("/main", "./dist/"), ("/a", "./dist/"), ("/b", "*"), ("* /b2", "OK"), ("/toml", "OK")];
    assert_eq!(rules(&config), expected);
    assert_eq!(
        config.routes.iter().map(|route| route.group).collect::<Vec<_>>(),
        [Some(0), None, Some(1), None, None, None]
    );
    assert_eq!(config.routes[1].base_dir, Path::new("etc"));
    assert_eq!(config.routes[2].base_dir, Path::new("etc/conf.d"));
    assert_eq!(config.upstreams.len(), 1);
    let files: Vec<_> = config.files.iter().map(|path| path.to_str().expect("text")).collect();
    assert_eq!(files, ["etc/anygate.yml", "etc/conf.d/a.yml", "etc/conf.d/b.yml", "etc/extra.toml"]);
}

#[test]
fn an_error_in_an_included_file_names_that_file() {
    let loaded = load(&memory(&[
        (
            "etc/anygate.yml",
            "include:\n  - conf.d/*.yml\n  - missing.yml\n  - none/*.yml\nupstreams:\n  up: {servers: [x]}\nroutes:\n",
        ),
        ("etc/conf.d/a.yml", "server: {io: epoll}\nroutes:\n  /a: {timeout: 5}\nupstream: {}\n"),
        ("etc/conf.d/b.yml", "upstreams:\n  UP: {servers: [y]}\n"),
        ("etc/conf.d/c.yml", "routes: [\n"),
    ]));
    expect![[r#"
        error: cannot read `etc/missing.yml`: entity not found
         --> etc/anygate.yml:3:5
          |
        3 |   - missing.yml
          |     ^^^^^^^^^^^ included here
          |
          = help: check the path; a relative one starts where it is written
        error: unknown key `server` in an included file
         --> etc/conf.d/a.yml:1:1
          |
        1 | server: {io: epoll}
          | ^^^^^^ unknown key
          |
          = help: `server` belongs in the main file; an included file holds `groups`, `routes` and `upstreams`
        error: a rule without `to`
         --> etc/conf.d/a.yml:3:7
          |
        3 |   /a: {timeout: 5}
          |       ^ this rule
          |
          = help: say what happens: `to: "OK"`
        error: expected a duration such as `250ms`, `5s`, `1m`, `2h`, `7d` or `1y`, found `5`
         --> etc/conf.d/a.yml:3:17
          |
        3 |   /a: {timeout: 5}
          |                 ^
          |
          = help: a duration has a unit: `5s` or `5ms`
        error: unknown key `upstream` in an included file
         --> etc/conf.d/a.yml:4:1
          |
        4 | upstream: {}
          | ^^^^^^^^ unknown key
          |
          = help: did you mean `upstreams`?
        error: two upstreams are called `UP`
         --> etc/conf.d/b.yml:2:3
          |
        2 |   UP: {servers: [y]}
          |   ^^ again
          |
         ::: etc/anygate.yml:6:3
          |
        6 |   up: {servers: [x]}
          |   -- first here
          |
          = help: rename one of them
        error: invalid YAML: unclosed bracket '['
         --> etc/conf.d/c.yml:1:9
          |
        1 | routes: [
          |         ^
    "#]]
    .assert_eq(&shown(&loaded));
}

#[test]
fn a_file_that_includes_itself_is_read_once() {
    let loaded = load(&memory(&[("etc/anygate.yml", "include: [\"*.yml\"]\nroutes: {/: OK}\n")]));
    assert_eq!(shown(&loaded), "");
    assert_eq!(loaded.config.expect("no errors").routes.len(), 1);
}

#[test]
fn the_disk_is_read_as_well() {
    let dir = std::env::temp_dir().join(format!("anygate-include-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("conf.d")).expect("a folder");
    std::fs::write(dir.join("anygate.yaml"), "\u{feff}include: [\"conf.d/*.json\"]\n").expect("a file");
    std::fs::write(dir.join("conf.d/a.json"), "{\"routes\": {\"/\": \"OK\"}}").expect("a file");
    let loaded =
        Loader { env: &Env::new(), rules: &[], files: &Disk, self_signed: false }.file(&dir.join("anygate.yaml"));
    std::fs::remove_dir_all(&dir).expect("it was there");
    assert_eq!(shown(&loaded), "");
    assert_eq!(rules(&loaded.config.expect("no errors")), [("/", "OK")]);
}
