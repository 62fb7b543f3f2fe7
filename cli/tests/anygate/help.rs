//! Help, usage errors, completions.

use super::rig::Folder;

#[test]
fn every_command_has_help_with_the_exit_codes() {
    let folder = Folder::new();
    for command in ["serve", "check", "routes", "explain", "doctor", "bench"] {
        let ran = folder.run(&[command, "--help"]);
        assert_eq!(ran.code, 0, "{command}");
        assert!(ran.out.contains("Exit codes:\n  0  "), "{command}: {}", ran.out);
        assert!(ran.out.lines().all(|line| line.chars().count() <= 100), "{command}: {}", ran.out);
    }
    let ran = folder.run(&["--help"]);
    assert_eq!(ran.code, 0);
    assert_eq!(folder.run(&["help"]).out, ran.out);
    for word in
        ["serve", "check", "routes", "explain", "doctor", "bench", "schema", "completions", "man", "Exit codes:"]
    {
        assert!(ran.out.contains(word), "{word}: {}", ran.out);
    }
}

#[test]
fn a_command_line_that_is_not_understood_exits_with_2() {
    let folder = Folder::new();
    for arguments in [&["sevre"][..], &["serve", "--nothing"], &["explain"], &[], &["explain", "a b c"]] {
        let ran = folder.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn what_is_wrong_with_an_argument_is_said_with_what_would_be_right() {
    let folder = Folder::new();
    for (arguments, said) in [
        (&["serve", "--listen", "example.com"][..], "example.com"),
        (&["serve", "--cores", "3-1"], "3-1"),
        (&["serve", "--io", "kqueue"], "`auto`, `uring`, `epoll`"),
        (&["explain", "/", "-H", "nonsense"], "write `Name: value`"),
    ] {
        let ran = folder.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(said), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(Folder::new().run(&["--version"]).out, format!("anygate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_are_scripts_of_their_shell() {
    let folder = Folder::new();
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef anygate"), ("fish", "complete -c anygate")] {
        let ran = folder.run(&["completions", shell]);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains(word), "{shell}");
    }
}

#[test]
fn manual_pages_are_roff_of_their_command() {
    let folder = Folder::new();
    for (arguments, word) in [(&["man"][..], "anygate\\-serve(1)"), (&["man", "serve"], ".TH anygate-serve 1")] {
        let ran = folder.run(arguments);
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains(word), "{}", ran.out);
    }
    assert_eq!(folder.run(&["man", "nothing"]).code, 2);
}

#[test]
fn the_schema_is_a_json_schema_of_the_file() {
    let ran = Folder::new().run(&["schema"]);
    assert_eq!(ran.code, 0);
    let schema: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"));
    for key in ["server", "routes", "groups", "upstreams", "expect"] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
}
