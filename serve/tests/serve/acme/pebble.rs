//! The whole server with Let's Encrypt's own test server, where Debian's package `pebble` is installed.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::house::House;
use super::{FAILED, Folder, ISSUED, session, shown};
use crate::harness::both;

const PATIENCE: Duration = Duration::from_secs(20);

/// Both of its servers, until this is dropped.
struct Pebble([Child; 2]);

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Pebble {
    /// One that finds every name at these ports of this machine, and refuses 30 of 100 nonces.
    fn start(folder: &Path, port: u16, http: u16, tls: u16) -> Self {
        let (management, dns, mock) = (free_port(), free_port(), free_port());
        let configuration = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": folder.join("cert.pem"),
            "privateKey": folder.join("key.pem"),
            "httpPort": http,
            "tlsPort": tls,
        }});
        fs::write(folder.join("pebble.json"), configuration.to_string()).unwrap();
        let mut names = Command::new("pebble-challtestsrv");
        names.args(["-dns01", &format!("127.0.0.1:{dns}"), "-management", &format!("127.0.0.1:{mock}")]);
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"]);
        let mut pebble = Command::new("pebble");
        pebble.arg("-strict").arg("-config").arg(folder.join("pebble.json"));
        pebble.args(["-dnsserver", &format!("127.0.0.1:{dns}")]);
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "30");
        let started = [&mut names, &mut pebble].map(|command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("Debian's package `pebble` is installed")
        });
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() || TcpStream::connect(("127.0.0.1", mock)).is_err() {
            assert!(began.elapsed() < PATIENCE, "pebble does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self(started)
    }
}

/// The certificate pebble shows its clients, and its root in `root.pem`.
fn own_certificate(folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(folder.join("root.pem"), root.self_signed(&key).unwrap().pem()).unwrap();
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&leaf_key, &Issuer::new(root, key)).unwrap();
    fs::write(folder.join("cert.pem"), leaf.pem()).unwrap();
    fs::write(folder.join("key.pem"), leaf_key.serialize_pem()).unwrap();
}

/// One at a time: what a test asks of this machine is little, but each starts two servers.
static ONE: Mutex<()> = Mutex::new(());

#[test]
#[ignore = "starts pebble: apt-get install pebble"]
fn pebble_issues_and_issues_again_by_either_challenge() {
    let _one = ONE.lock();
    both(|io| {
        for challenge in ["http-01", "tls-alpn-01"] {
            let folder = Folder::new(io);
            own_certificate(&folder.0);
            let (port, http, tls) = (free_port(), free_port(), free_port());
            let yaml = |domains: &str| {
                format!(
                    "server: {{listen: [{{addr: '127.0.0.1:{http}', redirect: https}}, {{addr: '127.0.0.1:{tls}', tls: true}}]}}\n\
                     tls: {{acme: {{domains: [{domains}], directory: 'https://127.0.0.1:{port}/dir', challenge: {challenge}, \
                     storage: '{}', ca: '{}'}}}}\nroutes: {{/: OK hello}}\n",
                    folder.storage().display(),
                    folder.0.join("root.pem").display()
                )
            };
            let _pebble = Pebble::start(&folder.0, port, http, tls);
            let began = Instant::now();
            let house = House::open(io, &yaml("a.example, b.example"));
            house.says(ISSUED, 1);
            let took = began.elapsed();
            let first = shown(house.addresses[1], "a.example");
            assert_eq!(first.names.len(), 2);
            let mut early = session(house.addresses[1], "b.example");
            house.reload(&yaml("a.example, b.example, c.example"));
            house.says(ISSUED, 2);
            let second = shown(house.addresses[1], "c.example");
            assert_eq!(second.names.len(), 3);
            assert_ne!(second.serial, first.serial);
            assert!(super::ask(&mut early).ends_with("hello"), "no connection was dropped");
            assert!(!house.log().contains(FAILED), "{}", house.log());
            println!("{io:?} {challenge}: issued after {took:?}, and again {:?} after the start", began.elapsed());
        }
    });
}
