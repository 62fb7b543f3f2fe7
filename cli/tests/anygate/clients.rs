//! Programs that people have, over TLS: curl, openssl, a browser, Python; and a certificate that `anygate cert` made.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::browser::{Node, fact, site, visit};
use super::gate::{Gate, both};
use super::rig::Folder;

/// A configuration that listens with the pair that `anygate cert --self-signed` makes.
fn config(rules: &str) -> String {
    format!(
        "server: {{listen: [{{addr: '127.0.0.1:0', tls: true}}]}}\n\
         tls: {{certificates: {{cert: localhost.crt, key: localhost.key}}}}\nroutes:\n{rules}"
    )
}

fn start(folder: &Folder, io: &str, rules: &str) -> Gate {
    let made = folder.run(&["cert", "--self-signed", "--force"]);
    assert_eq!(made.code, 0, "{made:?}");
    folder.write("anygate.yml", &config(rules));
    let core = super::gate::a_core();
    Gate::run(folder, folder.command(&["serve", "--io", io, "--cores", &core]))
}

/// Runs a program with these words on its standard input; none where it is not installed, which is a fault in CI.
pub(super) fn run(program: &str, package: &str, folder: &Folder, arguments: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new("timeout");
    command.args(["300", program]).args(arguments).current_dir(folder.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut words = child.stdin.take().unwrap();
    // Who does not read any more has ended.
    let _ = std::io::Write::write_all(&mut words, input.as_bytes());
    drop(words);
    let ran = child.wait_with_output().unwrap();
    if ran.status.code() != Some(127) {
        return Some(ran);
    }
    assert_ne!(
        std::env::var("ANYGATE_TEST_PEERS").as_deref(),
        Ok("all"),
        "{program} is missing: apt-get install {package}"
    );
    eprintln!("left out: {program} is not installed (apt-get install {package})");
    None
}

/// Everything that was said, on both channels.
pub(super) fn said(ran: &Output) -> String {
    String::from_utf8_lossy(&[&ran.stdout[..], &ran.stderr].concat()).into_owned()
}

#[test]
fn curl_asks_by_either_version_keeps_its_connection_and_goes_on_with_its_session() {
    both(|io| {
        let folder = Folder::new();
        let gate = start(&folder, io, "  /: OK hello\n  /e: '*'\n");
        let url = format!("https://localhost:{}", gate.address().port());
        let [page, echo] = [format!("{url}/"), format!("{url}/e")];
        for (version, name) in [("1.2", "TLSv1.2"), ("1.3", "TLSv1.3")] {
            let least = format!("--tlsv{version}");
            let common = ["-sSv", "--http1.1", "--cacert", "localhost.crt", &least, "--tls-max", version];
            let twice = [&common[..], &[&page, &echo, "-d", "a body"]].concat();
            let Some(ran) = run("curl", "curl", &folder, &twice, "") else { return };
            let all = said(&ran);
            assert!(ran.status.success() && all.contains(name), "{io}: {all}");
            assert!(
                all.contains("\"body\": \"a body\"") && all.contains("Re-using existing connection"),
                "{io}: {all}"
            );
            let closing = [&common[..], &["-H", "Connection: close", &page, &page]].concat();
            let Some(ran) = run("curl", "curl", &folder, &closing, "") else { return };
            let all = said(&ran);
            assert_eq!(ran.stdout, b"hellohello", "{io}: {all}");
            // This curl keeps sessions of TLS 1.3 and of TLS 1.2 alike.
            assert!(all.contains("SSL reusing session ID") || all.contains("SSL re-using session ID"), "{io}: {all}");
        }
        let Some(ran) = run("curl", "curl", &folder, &["-sS", &page], "") else { return };
        assert_eq!(ran.status.code(), Some(60), "{io}: nobody vouches for it: {}", said(&ran));
        let Some(ran) = run("curl", "curl", &folder, &["-sS", "--tls-max", "1.1", "--tlsv1.0", "-k", &page], "") else {
            return;
        };
        assert_eq!(ran.status.code(), Some(35), "{io}: no version in common: {}", said(&ran));
        assert!(!gate.log().contains("\"error\""), "{io}: {}", gate.log());
    });
}

#[test]
fn openssl_goes_on_with_its_session_and_is_shown_the_certificate_of_the_name() {
    both(|io| {
        let folder = Folder::new();
        assert_eq!(folder.run(&["cert", "--self-signed", "other.test"]).code, 0);
        let gate = start(&folder, io, "  /: OK hello\n");
        folder.write(
            "anygate.yml",
            &config("  /: OK hello\n").replace(
                "{cert: localhost.crt, key: localhost.key}",
                "[{cert: localhost.crt, key: localhost.key}, {cert: other.test.crt, key: other.test.key}]",
            ),
        );
        gate.signal("HUP");
        gate.logs("\"reloaded\"", 1);
        let address = gate.address().to_string();
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let ask = |arguments: &[&str]| {
            let begin = ["s_client", "-connect", &address, "-ign_eof", "-CAfile", "localhost.crt"];
            let ran = run("openssl", "openssl", &folder, &[&begin[..], arguments].concat(), request)?;
            Some(said(&ran))
        };
        for version in ["-tls1_2", "-tls1_3"] {
            let Some(first) = ask(&[version, "-servername", "localhost", "-sess_out", "session"]) else { return };
            assert!(first.contains("New, TLSv1.") && first.contains("hello"), "{io}: {first}");
            assert!(first.contains("Verify return code: 0 (ok)"), "{io}: {first}");
            let Some(again) = ask(&[version, "-servername", "localhost", "-sess_in", "session"]) else { return };
            assert!(again.contains("Reused, TLSv1.") && again.contains("hello"), "{io}: {again}");
        }
        let Some(other) = ask(&["-servername", "other.test", "-status"]) else { return };
        assert!(other.contains("subject=CN = other.test"), "{io}: {other}");
        assert!(other.contains("OCSP response: no response sent"), "{io}: nothing to staple: {other}");
        // The first is the default.
        let Some(unknown) = ask(&["-servername", "unknown.test"]) else { return };
        assert!(unknown.contains("subject=CN = localhost"), "{io}: {unknown}");
        let Some(none) = ask(&["-noservername"]) else { return };
        assert!(none.contains("subject=CN = localhost") && none.contains("hello"), "{io}: {none}");
        let Some(group) = ask(&["-groups", "P-384", "-servername", "localhost"]) else { return };
        assert!(group.contains("hello"), "{io}: {group}");
    });
}

/// RFC 5746 §4.5, and CVE-2011-1473: a handshake costs more than to ask for one.
#[test]
fn who_wants_another_handshake_on_a_connection_of_tls_1_2_gets_none() {
    both(|io| {
        let folder = Folder::new();
        let gate = start(&folder, io, "  /: OK hello\n");
        let address = gate.address().to_string();
        let Some(ran) = run("openssl", "openssl", &folder, &["s_client", "-connect", &address, "-tls1_2"], "R\nR\nR\n")
        else {
            return;
        };
        let all = said(&ran);
        assert!(all.contains("RENEGOTIATING") && all.contains("no renegotiation"), "{io}: {all}");
        let page = format!("https://{address}/");
        let Some(ran) = run("curl", "curl", &folder, &["-sS", "--cacert", "localhost.crt", &page], "") else { return };
        assert_eq!(said(&ran), "hello", "{io}: others are served");
    });
}

/// Asks twice on one connection, sends a body, and refuses a certificate that nobody vouches for.
const PYTHON: &str = r#"
import ssl, sys, httpx
url = sys.argv[1]
with httpx.Client(verify=ssl.create_default_context(cafile="localhost.crt")) as client:
    print(client.get(url).text, client.get(url).text)
    print(client.post(url + "e", content=b"x" * 300000).json()["body_size"])
try:
    httpx.get(url)
except httpx.ConnectError as error:
    print("refused" if "CERTIFICATE_VERIFY_FAILED" in str(error) else error)
"#;

#[test]
fn pythons_httpx_is_served() {
    let has = |python: &str| {
        let ran = Command::new(python).args(["-c", "import httpx"]).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    };
    let Some(python) = ["/usr/bin/python3", "python3"].into_iter().find(|python| has(python)) else {
        assert_ne!(
            std::env::var("ANYGATE_TEST_PEERS").as_deref(),
            Ok("all"),
            "httpx is missing: apt-get install python3-httpx"
        );
        return eprintln!("left out: httpx is not installed (apt-get install python3-httpx)");
    };
    both(|io| {
        let folder = Folder::new();
        let gate = start(&folder, io, "  /: OK hello\n  /e: '*'\n");
        let url = format!("https://localhost:{}/", gate.address().port());
        let Some(ran) = run(python, "python3", &folder, &["-c", PYTHON, &url], "") else { return };
        assert_eq!(said(&ran), "hello hello\n300000\nrefused\n", "{io}");
    });
}

/// The digest of a certificate's key, by which a browser may be told to trust it.
pub(super) fn key_digest(folder: &Folder, certificate: &str) -> Option<String> {
    let script = format!(
        "openssl x509 -in {certificate} -pubkey -noout | openssl pkey -pubin -outform der | \
         openssl dgst -sha256 -binary | openssl base64 -A"
    );
    Some(said(&run("sh", "dash", folder, &["-c", &script], "")?))
}

#[test]
fn a_browser_opens_the_app_over_tls_with_its_data_and_its_socket() {
    let node = Node::start();
    both(|io| {
        let folder = Folder::new();
        let behind = format!("http://127.0.0.1:{}", node.port);
        let dist = site().join("dist");
        let rules = format!("  /: {}/\n  /api/: {behind}\n  /ws: {behind}\n", Path::new(&dist).display());
        let gate = start(&folder, io, &rules);
        let Some(digest) = key_digest(&folder, "localhost.crt") else { return };
        let trust = format!("--ignore-certificate-errors-spki-list={digest}");
        let address = gate.address();
        let page = visit(&format!("https://{address}/users/42?tab=posts"), &[&trust]);
        for (name, value) in [("route", "user"), ("name", "User 42"), ("long-echo", "100000"), ("closed", "1000")] {
            assert_eq!(fact(&page, name), value, "{io}: {name} in\n{page}");
        }
        assert!(page.contains("data-state=\"complete\""), "{io}: {page}");
        // Who was not told to trust it does not.
        let page = visit(&format!("https://{address}/"), &[]);
        assert!(!page.contains("data-state"), "{io}: {page}");
        assert!(!gate.log().contains("\"error\""), "{io}: {}", gate.log());
    });
}
