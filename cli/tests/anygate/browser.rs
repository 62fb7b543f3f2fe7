//! A real app in a real browser, with a real server behind it: a deep link, its modules, its data and its WebSocket.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::gate::{Gate, both};
use super::rig::Folder;

pub(super) fn site() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/site")
}

/// The app's server, on node; it ends with its standard input, which is this process's.
pub(super) struct Node {
    child: Child,
    pub(super) port: u16,
}

impl Node {
    pub(super) fn start() -> Self {
        let mut command = Command::new("node");
        command.arg(site().join("backend.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("node is installed (apt-get install nodejs)");
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, port: port.trim().parse().expect("node says its port") }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The page as it stands when it has loaded, in a browser with these arguments.
pub(super) fn visit(url: &str, arguments: &[&str]) -> String {
    let profile = Folder::new();
    let mut command = Command::new("timeout");
    command.args(["300", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]);
    command.args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.args(["--disable-dev-shm-usage", "--no-proxy-server", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).args(arguments).arg(url);
    command.env("HOME", profile.path()).env("TMPDIR", profile.path());
    let ran = command.stdin(Stdio::null()).output().unwrap();
    let (page, said) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert_ne!(ran.status.code(), Some(127), "chromium is installed (apt-get install chromium)");
    assert!(ran.status.success(), "chromium at {url}: {}\n{page}{said}", ran.status);
    page.into_owned()
}

/// The app's facts on a page.
pub(super) fn fact<'p>(page: &'p str, name: &str) -> &'p str {
    let begin = format!("<dd id=\"{name}\">");
    let fact = page.split_once(&begin).and_then(|(_, rest)| rest.split_once("</dd>"));
    fact.unwrap_or_else(|| panic!("no {name} on the page:\n{page}")).0
}

#[test]
fn a_browser_opens_a_deep_link_and_the_app_has_its_data_and_its_socket() {
    let node = Node::start();
    both(|io| {
        let folder = Folder::new();
        let dist = site().join("dist");
        let behind = format!("http://127.0.0.1:{}", node.port);
        folder
            .write("anygate.yml", &format!("routes:\n  /: {}/\n  /api/: {behind}\n  /ws: {behind}\n", dist.display()));
        let gate = Gate::start(&folder, io, &[]);
        let address = gate.address();

        let page = visit(&format!("http://{address}/users/42?tab=posts"), &[]);
        let wanted = [
            ("route", "user"),
            ("path", "/users/42"),
            ("query", "?tab=posts"),
            ("name", "User 42"),
            ("host", &address.to_string()),
            ("forwarded", "127.0.0.1"),
            ("mirror", "the same"),
            ("missing", "404"),
            ("echo", "hello from 42 | grüße, 世界"),
            ("long-echo", "100000"),
            ("closed", "1000"),
        ];
        for (name, value) in wanted {
            assert_eq!(fact(&page, name), value, "{io}: {name} in\n{page}");
        }
        assert!(page.contains("data-state=\"complete\""), "{io}: {page}");
        assert!(page.contains("data-colour=\"rgb(0, 82, 136)\""), "{io}: the style sheet holds: {page}");

        let page = visit(&format!("http://{address}/?click=/about"), &[]);
        assert_eq!((fact(&page, "route"), fact(&page, "path")), ("about", "/about"), "{io}: a click stays in the app");
        assert!(gate.log().is_empty(), "{io}: {}", gate.log());
    });
}
