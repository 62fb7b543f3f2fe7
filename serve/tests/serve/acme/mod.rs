//! Certificates that the server orders itself, from a strict ACME server over TLS on this machine, on both drivers.

mod ca;
mod house;
mod pebble;
mod simulated;

#[path = "../../../../proto/tests/it/acme/authority.rs"]
#[allow(dead_code, reason = "the protocol's own tests look at more of it")]
mod authority;
#[path = "../../../../proto/tests/it/acme/jose.rs"]
mod jose;
#[path = "../../../../proto/tests/it/acme/manner.rs"]
mod manner;
#[path = "../../../../proto/tests/it/acme/visitor.rs"]
mod visitor;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anygate_proto::acme::{Answer, Challenge, Identifier};
use anygate_proto::tls::Facts;
use anygate_serve::challenges::Challenges;
use anygate_serve::control::Order;
use anygate_shard::{Io, probe_uring};
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;

use crate::harness::{Gate, PATIENCE};
use crate::pipe::{Pipe, Way};

use self::ca::Ca;
use self::house::House;
use self::manner::Manner;
use self::visitor::stranger;

const ISSUED: &str = "a certificate was issued";
const FAILED: &str = "no certificate was issued";
/// No waiting, as far as the protocol lets it.
const QUICK: fn() -> Manner = || Manner { polls: 0, ..Manner::default() };

/// Runs a test on every driver this machine has, on both at once: most of it is waiting.
fn both(test: impl Fn(Io) + Sync) {
    std::thread::scope(|scope| {
        scope.spawn(|| test(Io::Epoll));
        if probe_uring().is_ok() {
            scope.spawn(|| test(Io::Uring));
        }
    });
}

/// A folder for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(io: Io) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("anygate-acme-{}-{io:?}-{count}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn storage(&self) -> PathBuf {
        self.0.join("storage")
    }

    /// The files in the storage that end so.
    fn kept(&self, end: &str) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.storage()).into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
        files.map(|file| file.path()).filter(|path| path.to_string_lossy().ends_with(end)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the configuration says around `tls`: a listener without TLS, one with it.
fn yaml(tls: &str) -> String {
    format!(
        "server: {{listen: [{{addr: '127.0.0.1:0', redirect: https}}, {{addr: '127.0.0.2:0', tls: true}}]}}\n\
         tls: {{{tls}}}\nroutes: {{/: OK hello}}\n"
    )
}

/// A session for `name` with whoever is there, whatever certificate is shown.
fn session(to: SocketAddr, name: &str) -> StreamOwned<ClientConnection, TcpStream> {
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut client = stranger(name, &[b"http/1.1"]);
    while client.is_handshaking() {
        client.complete_io(&mut socket).expect("the handshake ends well");
    }
    StreamOwned::new(client, socket)
}

/// The certificate that is shown for `name`.
fn shown(to: SocketAddr, name: &str) -> Facts {
    let session = session(to, name);
    let chain = session.conn.peer_certificates().expect("a certificate is shown");
    Facts::read(&chain[0]).expect("it can be read")
}

/// One exchange in a session that stays open.
fn ask(session: &mut StreamOwned<ClientConnection, TcpStream>) -> String {
    session.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    let mut answer = [0; 4096];
    let n = session.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..n]).into_owned()
}

/// One exchange without TLS.
fn plain(to: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn unchanged(_: &anygate_proto::acme::Request, answer: Answer) -> Answer {
    answer
}

#[test]
fn a_certificate_is_ordered_by_either_challenge_served_and_kept() {
    both(|io| {
        std::thread::scope(|scope| {
            for challenge in ["http-01", "tls-alpn-01"] {
                scope.spawn(move || ordered_served_and_kept(io, challenge));
            }
        });
    });
}

fn ordered_served_and_kept(io: Io, challenge: &str) {
    let folder = Folder::new(io);
    let manner = Manner { bad_nonce_each: 3, nonces_everywhere: challenge == "http-01", ..QUICK() };
    let ca = Ca::start(&folder.0, manner, unchanged);
    ca.down.store(true, Ordering::Relaxed);
    let house = House::open(io, &yaml(&ca.yaml("a.example, b.example", &folder.storage(), challenge)));
    let [to, secure] = house.addresses[..] else { panic!("two listeners") };
    // Until there is one, another stands in.
    let mut early = session(secure, "a.example");
    assert!(shown(secure, "b.example").is_self_issued, "{io:?} {challenge}");
    assert!(ask(&mut early).ends_with("hello"), "{io:?} {challenge}");
    ca.names_lead_to(&house.addresses);
    ca.down.store(false, Ordering::Relaxed);
    house.says(ISSUED, 1);
    for name in ["a.example", "b.example"] {
        let facts = shown(secure, name);
        assert!(!facts.is_self_issued, "{io:?} {challenge}: {name}");
        assert_eq!(facts.names, ["a.example".into(), "b.example".into()], "{io:?} {challenge}");
    }
    assert!(ask(&mut early).ends_with("hello"), "{io:?} {challenge}: no connection was dropped");
    assert!(plain(to, "/").starts_with("HTTP/1.1 308 "), "{io:?} {challenge}");
    let authority = ca.authority.lock().unwrap();
    assert_eq!((authority.orders.len(), authority.accounts.len()), (1, 1), "{io:?} {challenge}");
    assert_eq!(authority.accounts[0].contact, json!(["mailto:admin@example.com"]));
    let secrets = folder.kept(".pem").into_iter().chain(folder.kept("account.json"));
    let modes: Vec<u32> = secrets.map(|path| fs::metadata(path).unwrap().permissions().mode() & 0o777).collect();
    assert_eq!(modes, [0o600, 0o600], "{io:?} {challenge}");
}

#[test]
fn who_is_started_again_serves_what_was_kept_and_asks_nobody() {
    both(|io| {
        let folder = Folder::new(io);
        let ca = Ca::start(&folder.0, QUICK(), unchanged);
        let yaml = yaml(&ca.yaml("a.example", &folder.storage(), "tls-alpn-01"));
        let house = House::open(io, &yaml);
        ca.names_lead_to(&house.addresses);
        house.says(ISSUED, 1);
        let serial = shown(house.addresses[1], "a.example").serial;
        drop(house);
        let asked = ca.requests();
        let house = House::open(io, &yaml);
        assert_eq!(shown(house.addresses[1], "a.example").serial, serial, "{io:?}: from the first handshake on");
        let line = house.says("a certificate was kept", 1);
        assert!(line.contains("names=a.example"), "{line}");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(ca.requests(), asked, "{io:?}:\n{}", house.log());
    });
}

#[test]
fn a_certificate_that_is_due_is_renewed_and_no_connection_is_dropped() {
    both(|io| {
        let folder = Folder::new(io);
        let ca = Ca::start(&folder.0, Manner { lifetime: 4, ..QUICK() }, unchanged);
        let yaml = yaml(&ca.yaml("a.example", &folder.storage(), "http-01"));
        let house = House::open(io, &yaml);
        ca.names_lead_to(&house.addresses);
        house.says(ISSUED, 1);
        let secure = house.addresses[1];
        let serial = shown(secure, "a.example").serial;
        let mut early = session(secure, "a.example");
        // An hour passes before another order, or what is known of the last one gets lost.
        for file in folder.kept("a.example.json") {
            fs::remove_file(file).unwrap();
        }
        house.reload(&yaml);
        house.says(ISSUED, 2);
        assert_ne!(shown(secure, "a.example").serial, serial, "{io:?}");
        assert!(ask(&mut early).ends_with("hello"), "{io:?}");
        let authority = ca.authority.lock().unwrap();
        let replaced: Vec<bool> = authority.orders.iter().map(|order| order.replaces.is_string()).collect();
        assert_eq!((replaced, authority.accounts.len()), (vec![false, true], 1), "{io:?}");
    });
}

#[test]
fn one_more_name_is_ordered_at_a_reload_beside_certificates_from_files() {
    both(|io| {
        let folder = Folder::new(io);
        let made = rcgen::generate_simple_self_signed(["file.example".to_owned()]).unwrap();
        let (cert, key) = (folder.0.join("file.pem"), folder.0.join("file.key"));
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let ca = Ca::start(&folder.0, QUICK(), unchanged);
        let yaml = |domains: &str| {
            let (cert, key) = (cert.display(), key.display());
            let acme = ca.yaml(domains, &folder.storage(), "http-01");
            yaml(&format!("certificates: {{cert: '{cert}', key: '{key}'}}, {acme}"))
        };
        let house = House::open(io, &yaml("a.example"));
        ca.names_lead_to(&house.addresses);
        house.says(ISSUED, 1);
        let secure = house.addresses[1];
        assert_eq!(shown(secure, "a.example").names, ["a.example".into()], "{io:?}");
        for other in ["file.example", "b.example"] {
            assert_eq!(shown(secure, other).names, ["file.example".into()], "{io:?}: the first is the default");
        }
        house.reload(&yaml("a.example, b.example"));
        house.says(ISSUED, 2);
        assert_eq!(shown(secure, "b.example").names.len(), 2, "{io:?}");
        assert_eq!(shown(secure, "file.example").names, ["file.example".into()], "{io:?}");
        house.reload("server: {listen: ['127.0.0.1:0']}\nroutes: {/: OK hello}\n");
        house.says("reloaded", 2);
        assert_eq!(ca.authority.lock().unwrap().orders.len(), 2, "{io:?}");
    });
}

#[test]
fn an_authority_that_is_down_is_asked_again_and_the_log_says_so() {
    both(|io| {
        let folder = Folder::new(io);
        let ca = Ca::start(&folder.0, QUICK(), unchanged);
        ca.down.store(true, Ordering::Relaxed);
        let house = House::open(io, &yaml(&ca.yaml("a.example", &folder.storage(), "http-01")));
        ca.names_lead_to(&house.addresses);
        let line = house.says("the authority does not answer; it is asked again for a while", 1);
        assert!(line.contains("names=a.example") && line.contains("/directory"), "{io:?}: {line}");
        assert!(plain(house.addresses[0], "/").starts_with("HTTP/1.1 308 "), "{io:?}: all others are served");
        ca.down.store(false, Ordering::Relaxed);
        house.says(ISSUED, 1);
    });
}

#[test]
fn an_authority_that_wants_to_be_left_alone_is_also_by_who_is_started_again() {
    both(|io| {
        let folder = Folder::new(io);
        let ca = Ca::start(&folder.0, QUICK(), |request, answer| {
            if !request.url.ends_with("/order") {
                return answer;
            }
            let mut refused = authority::problem(429, "rateLimited", "too many certificates");
            refused.headers.push(("Retry-After".into(), "7200".into()));
            refused.headers.extend(answer.headers.into_iter().filter(|(name, _)| name == "Replay-Nonce"));
            refused
        });
        let yaml = yaml(&ca.yaml("a.example", &folder.storage(), "http-01"));
        let house = House::open(io, &yaml);
        let line = house.says(FAILED, 1);
        assert!(line.contains("placing the order: rateLimited (429): too many certificates"), "{io:?}: {line}");
        let wait = line.split("again_s=").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
        assert!(wait.is_some_and(|wait| (7200..=9000).contains(&wait)), "{io:?}: {line}");
        assert!(shown(house.addresses[1], "a.example").is_self_issued, "{io:?}");
        drop(house);
        let asked = ca.requests();
        let house = House::open(io, &yaml);
        let line = house.says("the last order failed before this start", 1);
        assert!(line.contains("too many certificates"), "{io:?}: {line}");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(ca.requests(), asked, "{io:?}");
    });
}

#[test]
fn a_name_that_leads_elsewhere_is_told_with_what_the_authority_said() {
    both(|io| {
        let folder = Folder::new(io);
        let ca = Ca::start(&folder.0, QUICK(), unchanged);
        // Names lead nowhere.
        let house = House::open(io, &yaml(&ca.yaml("a.example", &folder.storage(), "http-01")));
        let line = house.says(FAILED, 1);
        assert!(line.contains("proving control: a.example: unauthorized (403): no answer"), "{io:?}: {line}");
        assert!(line.contains("again_s=6") || line.contains("again_s=7"), "{io:?}: a minute and a quarter: {line}");
        let path = format!("{}x", anygate_proto::acme::challenge::HTTP_PATH);
        assert!(plain(house.addresses[0], &path).starts_with("HTTP/1.1 308 "), "{io:?}: no challenge is open any more");
    });
}

#[test]
fn of_two_processes_with_one_storage_one_orders_and_both_serve() {
    both(|io| {
        let folder = Folder::new(io);
        let ca = Ca::start(&folder.0, Manner { polls: 1, ..Manner::default() }, unchanged);
        let yaml = yaml(&ca.yaml("a.example", &folder.storage(), "http-01"));
        let first = House::open(io, &yaml);
        ca.names_lead_to(&first.addresses);
        first.says("a certificate is ordered", 1);
        let second = House::open(io, &yaml);
        second.says("another process orders certificates with this storage", 1);
        first.says(ISSUED, 1);
        second.says("a certificate was kept", 1);
        let serial = |house: &House| shown(house.addresses[1], "a.example").serial;
        assert_eq!(serial(&first), serial(&second), "{io:?}");
        assert_eq!(ca.authority.lock().unwrap().orders.len(), 1, "{io:?}");
    });
}

#[test]
fn storage_that_cannot_be_used_is_told_before_anybody_is_asked() {
    both(|io| {
        let folder = Folder::new(io);
        let ca = Ca::start(&folder.0, QUICK(), unchanged);
        fs::write(folder.storage(), "in the way").unwrap();
        let house = House::open(io, &yaml(&ca.yaml("a.example", &folder.storage(), "http-01")));
        let line = house.says("no certificate can be ordered before its storage can be used", 1);
        assert!(line.contains(&*folder.storage().to_string_lossy()), "{io:?}: {line}");
        assert_eq!(ca.requests(), 0, "{io:?}");
        assert!(shown(house.addresses[1], "a.example").is_self_issued, "{io:?}");
    });
}

#[test]
fn what_was_kept_and_is_broken_is_told_and_ordered_anew() {
    both(|io| {
        let folder = Folder::new(io);
        let ca = Ca::start(&folder.0, QUICK(), unchanged);
        let yaml = yaml(&ca.yaml("a.example", &folder.storage(), "http-01"));
        let house = House::open(io, &yaml);
        ca.names_lead_to(&house.addresses);
        house.says(ISSUED, 1);
        drop(house);
        let file = folder.kept(".pem").pop().unwrap();
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() / 3]).unwrap();
        let house = House::open(io, &yaml);
        assert!(shown(house.addresses[1], "a.example").is_self_issued, "{io:?}");
        ca.names_lead_to(&house.addresses);
        house.says("the certificate that was kept is of no use: a new one is ordered", 1);
        house.says(ISSUED, 1);
        assert!(!shown(house.addresses[1], "a.example").is_self_issued, "{io:?}");
    });
}

fn http_challenge(token: &str) -> Challenge {
    let name = Identifier::parse("a.example").unwrap();
    Challenge::Http01 { name, token: token.to_owned(), key_authorization: format!("{token}.thumb") }
}

/// Has a shard answer these, and waits until it does.
fn publish(gate: &Gate, challenges: &[Challenge], path: &str, status: &str) {
    let open = Arc::new(Challenges::new(challenges).unwrap());
    gate.tell(Order::Challenges(open));
    let begun = Instant::now();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    while !gate.once(request.as_bytes()).starts_with(&format!("HTTP/1.1 {status} ")) {
        assert!(begun.elapsed() < PATIENCE, "{path} never gets {status}");
    }
}

#[test]
fn an_open_challenge_goes_before_every_rule_and_all_other_requests_stay_as_they_are() {
    both(|io| {
        let gate = Gate::start(io, "routes: {/: NOT_FOUND mine, /.well-known/acme-challenge/tok: OK no}");
        let path = "/.well-known/acme-challenge/tok";
        let mut client = gate.client();
        client.send(b"GET /.well-known/acme-challenge/tok HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.response().ends_with("no"), "{io:?}: none is open");
        publish(&gate, &[http_challenge("other"), http_challenge("tok")], "/.well-known/acme-challenge/other", "200");
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: any.example:81\r\n\r\n");
        client.send(
            [get("/"), get(path), get("/x"), get(&format!("{path}?q")), get(&format!("{path}k"))].concat().as_bytes(),
        );
        assert!(client.response().ends_with("mine"), "{io:?}");
        let answer = client.response();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("tok.thumb"), "{io:?}: {answer}");
        assert!(answer.contains("Content-Type: application/octet-stream\r\n"), "{io:?}: {answer}");
        assert!(client.response().ends_with("mine"), "{io:?}");
        assert!(client.response().ends_with("tok.thumb"), "{io:?}: a query changes nothing");
        assert!(client.response().ends_with("mine"), "{io:?}: another token");
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").as_bytes());
        assert!(client.response().ends_with("no"), "{io:?}: nobody asks so");
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert!(client.head().contains("Content-Length: 9\r\n"), "{io:?}");
        // A head that comes in pieces.
        client.send(b"GET /.well-known/acme-ch");
        std::thread::sleep(Duration::from_millis(50));
        client.send(b"allenge/tok HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.response().ends_with("tok.thumb"), "{io:?}");
        publish(&gate, &[], "/.well-known/acme-challenge/other", "404");
        client.send(get(path).as_bytes());
        assert!(client.response().ends_with("no"), "{io:?}: it is over");
    });
}

#[test]
fn while_a_challenge_is_open_all_other_tls_clients_are_served_as_ever() {
    both(|io| {
        let gate = Gate::behind(io, Way::Tls, "routes: {/: OK hello}");
        let name = Identifier::parse("a.example").unwrap();
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.der().to_vec(), made.signing_key.serialize_der());
        let server_name = "a.example".to_owned();
        let open =
            Challenges::new(&[Challenge::TlsAlpn01 { name, server_name, certificate: certificate.clone(), key }]);
        gate.tell(Order::Challenges(Arc::new(open.unwrap())));
        let visit = |name: &str| -> Result<Vec<u8>, String> {
            let mut socket = TcpStream::connect(gate.address).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut client = visitor::visitor(name);
            while client.is_handshaking() {
                client.complete_io(&mut socket).map_err(|error| error.to_string())?;
            }
            let shown = client.peer_certificates().unwrap()[0].to_vec();
            let mut rest = Vec::new();
            let ended = StreamOwned::new(client, socket).read_to_end(&mut rest);
            assert!(ended.is_ok() && rest.is_empty(), "{io:?}: it is closed, and that is said: {ended:?}");
            Ok(shown)
        };
        let begun = Instant::now();
        while visit("a.example").is_err() {
            assert!(begun.elapsed() < PATIENCE, "{io:?}: it never answers");
        }
        assert_eq!(visit("A.Example").as_deref(), Ok(&certificate[..]), "{io:?}");
        assert!(visit("b.example").is_err(), "{io:?}: no challenge is open for it");
        let mut client = Pipe::connect(gate.address, Way::Tls);
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello"), "{io:?}");
        let mut both = stranger("a.example", &[b"acme-tls/1", b"http/1.1"]);
        let mut socket = TcpStream::connect(gate.address).unwrap();
        while both.is_handshaking() {
            both.complete_io(&mut socket).unwrap();
        }
        assert_eq!(both.alpn_protocol(), Some(&b"http/1.1"[..]), "{io:?}: who offers more is no authority");
        gate.tell(Order::Challenges(Arc::default()));
        while visit("a.example").is_ok() {
            assert!(begun.elapsed() < PATIENCE, "{io:?}: it goes on");
        }
    });
}

#[test]
fn what_is_kept_of_orders_is_served_by_no_rule() {
    both(|io| {
        let folder = Folder::new(io);
        let ca = Ca::start(&folder.0, QUICK(), unchanged);
        let acme = ca.yaml("a.example", &folder.storage(), "tls-alpn-01");
        let yaml = format!(
            "server: {{listen: ['127.0.0.1:0', {{addr: '127.0.0.2:0', tls: true}}]}}\ntls: {{{acme}}}\n\
             routes: {{/: '{}/'}}\n",
            folder.0.display()
        );
        let house = House::open(io, &yaml);
        ca.names_lead_to(&house.addresses);
        house.says(ISSUED, 1);
        let get = |path: &Path| {
            let path = path.strip_prefix(&folder.0).unwrap();
            plain(house.addresses[0], &format!("/{}", path.display()))
        };
        assert!(get(&folder.0.join("root.pem")).starts_with("HTTP/1.1 200 "), "{io:?}");
        let secrets: Vec<PathBuf> = folder.kept(".pem").into_iter().chain(folder.kept("account.json")).collect();
        assert_eq!(secrets.len(), 2, "{io:?}");
        for secret in secrets {
            assert!(get(&secret).starts_with("HTTP/1.1 404 "), "{io:?}: {}", secret.display());
        }
    });
}
