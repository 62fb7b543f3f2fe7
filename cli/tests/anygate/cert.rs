//! `anygate cert` and `anygate serve --tls-self-signed`: TLS in a minute.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::gate::{Gate, both};
use super::rig::Folder;

fn mode(folder: &Folder, name: &str) -> u32 {
    fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777
}

/// What curl gets; it trusts whom it is told to.
fn curl(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
    let ran =
        Command::new("curl").args(["-sS", "--max-time", "20"]).args(arguments).current_dir(folder.path()).output();
    let ran = ran.expect("curl is installed (apt-get install curl)");
    (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[test]
fn a_pair_is_made_is_the_owners_alone_and_what_is_said_of_it_works() {
    both(|io| {
        let folder = Folder::new();
        let made = folder.run(&["cert", "--self-signed"]);
        assert_eq!((made.code, made.err.as_str()), (0, ""), "{made:?}");
        assert_eq!((mode(&folder, "localhost.key"), mode(&folder, "localhost.crt")), (0o600, 0o644));
        assert!(made.out.contains("localhost, 127.0.0.1, ::1, for 395 days"), "{}", made.out);
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        // The lines that it says are to be written, written.
        let lines: Vec<&str> = made.out.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        let (command, yaml) = lines.split_last().unwrap();
        folder.write(
            "anygate.yml",
            &format!("{}\nroutes: {{/: OK hello}}\n", yaml.join("\n")).replace(":8443", "127.0.0.1:0"),
        );
        let checked = folder.run(&["check"]);
        assert_eq!((checked.code, checked.err.as_str()), (0, ""), "{checked:?}");
        let gate = Gate::run(&folder, folder.command(&["serve", "--io", io, "--cores", &super::gate::a_core()]));
        let port = gate.address().port().to_string();
        let words: Vec<String> = command.split(' ').skip(1).map(|word| word.replace("8443", &port)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(curl(&folder, &words), (Some(0), "hello".to_owned()), "{io}: {command}");
        assert_eq!(curl(&folder, &[words[2]]).0, Some(60), "{io}: nobody else trusts it");
    });
}

#[test]
fn what_is_there_is_written_over_only_when_that_is_wanted() {
    let folder = Folder::new();
    let make = |more: &[&str]| {
        let ran = folder.run(
            &[&["cert", "--self-signed", "app.test", "*.app.test", "10.1.2.3", "--out", "new/tls"], more].concat(),
        );
        (ran.code, ran.err, fs::read_to_string(folder.path().join("new/tls/app.test.crt")).unwrap_or_default())
    };
    let (code, _, first) = make(&[]);
    assert_eq!(code, 0);
    let (code, said, second) = make(&[]);
    assert_eq!((code, &second), (1, &first));
    assert!(
        said.contains("`new/tls/app.test.key` is there already") || said.contains("`new/tls/app.test.crt`"),
        "{said}"
    );
    assert!(said.contains("--force"), "{said}");
    fs::set_permissions(folder.path().join("new/tls/app.test.key"), fs::Permissions::from_mode(0o666)).unwrap();
    let (code, _, third) = make(&["--force", "--days", "2"]);
    assert!(code == 0 && third != first);
    assert_eq!(mode(&folder, "new/tls/app.test.key"), 0o600, "also where it was everybody's before");
}

#[test]
fn a_certificate_is_for_names_and_of_one_kind() {
    let folder = Folder::new();
    for arguments in [
        &["cert"][..],
        &["cert", "localhost"],
        &["cert", "--self-signed", "../escape"],
        &["cert", "--self-signed", ""],
        &["cert", "--self-signed", "--days", "0"],
    ] {
        let ran = folder.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}: {ran:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    folder.write("file", "");
    let ran = folder.run(&["cert", "--self-signed", "--out", "file/below"]);
    assert!(ran.code == 1 && ran.err.contains("cannot write `file/below/localhost.key`"), "{ran:?}");
}

#[test]
fn serve_speaks_tls_by_a_certificate_of_its_own_and_says_so() {
    both(|io| {
        let folder = Folder::new();
        let gate = Gate::start(&folder, io, &["--tls-self-signed", "-r", "/: OK hello"]);
        let url = format!("https://{}/", gate.address());
        assert!(gate.banner.contains(&format!("  listening  https://{}\n", gate.address())), "{io}: {}", gate.banner);
        assert!(gate.banner.contains("a certificate made for this run"), "{io}: {}", gate.banner);
        assert_eq!(curl(&folder, &["-k", &url]), (Some(0), "hello".to_owned()), "{io}");
        assert_eq!(curl(&folder, &[&url]).0, Some(60), "{io}: nobody vouches for it");
    });
}

#[test]
fn a_certificate_made_at_the_start_outlives_reloads_and_takes_the_place_of_files() {
    both(|io| {
        let yaml = |word: &str| {
            format!(
                "server: {{listen: ['127.0.0.1:0', {{addr: '127.0.0.2:0', tls: true}}]}}\n\
                 tls: {{certificates: {{cert: /nowhere/a.crt, key: /nowhere/a.key}}}}\nroutes: {{/: OK {word}}}\n"
            )
        };
        let folder = Folder::with(&yaml("one"));
        let core = super::gate::a_core();
        let gate = Gate::run(&folder, folder.command(&["serve", "--io", io, "--cores", &core, "--tls-self-signed"]));
        // One listener speaks TLS already: the other stays as it is.
        let schemes: Vec<&str> = gate.listeners().iter().filter_map(|line| line.split("://").next()).collect();
        assert_eq!(schemes, ["http", "https"], "{io}: {}", gate.banner);
        let secure = gate.listeners()[1].to_owned();
        let fingerprint = || {
            let (code, said) = curl(&folder, &["-k", "-w", "%{certs}", &secure]);
            assert_eq!(code, Some(0), "{io}");
            said
        };
        let before = fingerprint();
        assert!(before.starts_with("one"), "{io}: {before}");
        assert!(gate.reload(&folder, &yaml("two")), "{io}");
        let after = fingerprint();
        assert_eq!(after.strip_prefix("two"), before.strip_prefix("one"), "{io}");
        let plain = folder.run(&["check"]);
        assert!(plain.code == 1 && plain.err.contains("/nowhere/a.crt"), "{plain:?}");
    });
}
