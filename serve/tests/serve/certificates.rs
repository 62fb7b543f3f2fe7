//! Certificates that live: read anew when their files change, told of when they end, with what their issuer says of them
//! today; and listeners whose terms change.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anygate_proto::tls::Facts;
use anygate_serve::compile::{CompileEnv, compile};
use anygate_shard::Io;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::backend::Backend;
use crate::harness::{both, loaded};
use crate::issuer::{Issued, Issuer, Wanted, now};
use crate::ruled::{Folder, Ruled};

const DAY: u64 = 86_400;
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const BROKEN: &str = "cannot be served; what was served before stays";

type Client = StreamOwned<ClientConnection, std::net::TcpStream>;

/// A client that asks for `name`, after its handshake.
fn client(gate: &Ruled, config: &Arc<ClientConfig>, name: &str) -> std::io::Result<Client> {
    let mut stream = gate.connect();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut connection = ClientConnection::new(Arc::clone(config), name).expect("a client");
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// The serial number of the certificate that a client gets.
fn serial(gate: &Ruled, config: &Arc<ClientConfig>, name: &str) -> String {
    its_serial(&client(gate, config, name).expect("a handshake"))
}

/// The serial number of the certificate that a client got.
fn its_serial(client: &Client) -> String {
    let chain = client.conn.peer_certificates().expect("certificates");
    Facts::read(&chain[0]).expect("a certificate").serial.to_string()
}

/// One request and its answer, whose body is `hello`.
fn ask(client: &mut (impl Read + Write)) -> Result<String, String> {
    client.write_all(GET).map_err(|error| format!("a request was not taken: {error}"))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let mut part = [0; 1024];
        match client.read(&mut part) {
            Ok(0) => return Err("the connection ended".to_owned()),
            Ok(count) => answer.extend_from_slice(&part[..count]),
            Err(error) => return Err(format!("no answer: {error}")),
        }
    }
    String::from_utf8(answer).map_err(|_| "no text".to_owned())
}

fn write(folder: &Folder, issued: &Issued) {
    folder.write("a.crt", &issued.chain);
    folder.write("a.key", &issued.key);
}

/// One certificate and one key, at `a.crt` and `a.key`.
fn yaml(folder: &Folder) -> String {
    let path = folder.path().display();
    format!(
        "server: {{listen: [{{addr: '127.0.0.1:0', tls: true}}]}}\n\
         tls: {{certificates: {{cert: {path}/a.crt, key: {path}/a.key}}}}\nroutes: {{/: OK hello}}\n"
    )
}

/// A gate with a certificate of its issuer for `a.test`.
fn gate(io: Io, issuer: &Issuer, wanted: &Wanted<'_>) -> (Ruled, Folder, Issued) {
    let folder = Folder::new("certificates");
    let issued = issuer.issue_with(&["a.test"], wanted);
    write(&folder, &issued);
    (Ruled::start(io, &yaml(&folder)), folder, issued)
}

/// Ends the load, however the test ends.
struct AtEnd<'o>(&'o AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn certificates_are_read_anew_a_hundred_times_under_load_and_no_request_fails() {
    const TIMES: usize = 100;
    let issuer = Issuer::new();
    both(|io| {
        let (gate, folder, _) = gate(io, &issuer, &Wanted::default());
        let config = issuer.client();
        let (over, answered, begun) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let load = || {
                // One that stays for all of it, and one that is new each time.
                let mut kept = client(&gate, &config, "a.test").expect("a handshake");
                while !over.load(Ordering::Relaxed) {
                    ask(&mut kept).unwrap_or_else(|why| panic!("{io:?}, kept: {why}"));
                    let mut new = client(&gate, &config, "a.test").unwrap_or_else(|why| panic!("{io:?}, new: {why}"));
                    ask(&mut new).unwrap_or_else(|why| panic!("{io:?}, new: {why}"));
                    answered.fetch_add(2, Ordering::Relaxed);
                    begun.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
            };
            let clients = [scope.spawn(load), scope.spawn(load)];
            let _end = AtEnd(&over);
            for round in 1..=TIMES {
                let next = issuer.issue(&["a.test"]);
                match round % 3 {
                    0 => write(&folder, &next),
                    1 => {
                        folder.write("a.key", &next.key);
                        folder.write("a.crt", &next.chain);
                    }
                    _ => {
                        let new = folder.write("a.key.new", &next.key);
                        std::fs::rename(new, folder.path().join("a.key")).unwrap();
                        let new = folder.write("a.crt.new", &next.chain);
                        std::fs::rename(new, folder.path().join("a.crt")).unwrap();
                    }
                }
                gate.looks_until("a certificate was read anew", round);
                let mut looker = client(&gate, &config, "a.test").expect("a handshake");
                assert_eq!(its_serial(&looker), next.serial, "{io:?}: reload {round}");
                // Who leaves before its last message is read has no handshake that counts.
                ask(&mut looker).unwrap_or_else(|why| panic!("{io:?}, reload {round}: {why}"));
                if clients.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                    break;
                }
            }
        });
        let (answered, begun) = (answered.into_inner(), begun.into_inner());
        assert!(
            answered >= TIMES as u64 && begun >= TIMES as u64 / 2,
            "{io:?}: {answered} answers, {begun} handshakes"
        );
        let handshakes = gate.count(|cells| cells.tls_handshakes.get());
        assert_eq!(handshakes, begun + 2 + TIMES as u64, "{io:?}: nobody had to come again");
        assert_eq!(gate.said(BROKEN), [""; 0], "{io:?}");
    });
}

#[test]
fn a_broken_new_file_leaves_the_old_certificate_serving_and_is_told_once() {
    let issuer = Issuer::new();
    both(|io| {
        let (gate, folder, old) = gate(io, &issuer, &Wanted::default());
        let config = issuer.client();
        let other = issuer.issue(&["a.test"]);
        let half = &other.chain[..other.chain.len() / 4];
        for (round, content, why) in [
            (1, half, "-----END"),
            (2, "", "no certificate in it"),
            (3, &*other.chain, "is not that of the certificate"),
        ] {
            folder.write("a.crt", content);
            gate.looks_until(BROKEN, round);
            (0..5).for_each(|_| gate.look());
            assert_eq!(serial(&gate, &config, "a.test"), old.serial, "{io:?}: {why}");
            let said = gate.said(BROKEN);
            assert!(said.len() == round && said[round - 1].contains(why), "{io:?}: {said:#?}");
        }
        std::fs::remove_file(folder.path().join("a.crt")).unwrap();
        gate.looks_until(BROKEN, 4);
        assert_eq!(serial(&gate, &config, "a.test"), old.serial, "{io:?}: no file");
        // What was there before is there again.
        folder.write("a.crt", &old.chain);
        gate.looks_until("are good again", 1);
        assert_eq!((gate.said("read anew").len(), serial(&gate, &config, "a.test")), (0, old.serial), "{io:?}");
        write(&folder, &other);
        gate.looks_until("read anew", 1);
        assert_eq!(serial(&gate, &config, "a.test"), other.serial, "{io:?}");
    });
}

#[test]
fn a_pair_that_is_written_in_two_steps_is_served_when_both_are_there() {
    let issuer = Issuer::new();
    both(|io| {
        let (gate, folder, old) = gate(io, &issuer, &Wanted::default());
        let (config, next) = (issuer.client(), issuer.issue(&["a.test"]));
        folder.write("a.crt", &next.chain);
        gate.look();
        // Time to be looked at half done.
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(serial(&gate, &config, "a.test"), old.serial, "{io:?}");
        folder.write("a.key", &next.key);
        gate.looks_until("read anew", 1);
        assert_eq!(serial(&gate, &config, "a.test"), next.serial, "{io:?}");
    });
}

#[test]
fn a_chain_that_is_still_being_written_is_waited_for() {
    let issuer = Issuer::new();
    both(|io| {
        let (gate, folder, old) = gate(io, &issuer, &Wanted::default());
        let (config, next) = (issuer.client(), issuer.issue(&["a.test"]));
        folder.write("a.key", &next.key);
        let end = next.chain.find("-----END").unwrap() + "-----END CERTIFICATE-----\n".len();
        let begun = Instant::now();
        folder.write("a.crt", &next.chain[..end]);
        (0..5).for_each(|_| gate.look());
        std::thread::sleep(Duration::from_millis(100));
        let shown = serial(&gate, &config, "a.test");
        // On a machine that takes a second for this it is over.
        assert!(shown == old.serial || begun.elapsed() > Duration::from_millis(900), "{io:?}");
        // Nobody writes any more: that was all.
        gate.looks_until("read anew", 1);
        assert_eq!(serial(&gate, &config, "a.test"), next.serial, "{io:?}");
        folder.write("a.crt", &next.chain);
        gate.looks_until("read anew", 2);
    });
}

#[test]
fn a_folder_gains_and_loses_certificates_while_it_is_served() {
    let issuer = Issuer::new();
    both(|io| {
        let (folder, a, b) = (Folder::new("folder"), issuer.issue(&["a.test"]), issuer.issue(&["b.test"]));
        write(&folder, &a);
        let path = folder.path().display();
        let yaml = format!(
            "server: {{listen: [{{addr: '127.0.0.1:0', tls: true}}]}}\ntls: {{certificates: {path}}}\nroutes: {{/: OK}}\n"
        );
        let (gate, config) = (Ruled::start(io, &yaml), issuer.client());
        assert!(client(&gate, &config, "b.test").is_err(), "{io:?}: it gets that of a.test");
        std::fs::create_dir(folder.path().join("b.test")).unwrap();
        folder.write("b.test/fullchain.pem", &b.chain);
        folder.write("b.test/privkey.pem", &b.key);
        gate.looks_until("a certificate was added", 1);
        assert_eq!((serial(&gate, &config, "a.test"), serial(&gate, &config, "b.test")), (a.serial, b.serial.clone()));
        std::fs::remove_file(folder.path().join("a.key")).unwrap();
        gate.looks_until(BROKEN, 1);
        assert!(client(&gate, &config, "a.test").is_ok(), "{io:?}: half of it is there");
        std::fs::remove_file(folder.path().join("a.crt")).unwrap();
        gate.looks_until("taken away", 1);
        assert!(client(&gate, &config, "a.test").is_err(), "{io:?}");
        // The last one stays.
        std::fs::remove_dir_all(folder.path().join("b.test")).unwrap();
        gate.looks_until(BROKEN, 2);
        (0..5).for_each(|_| gate.look());
        assert_eq!(serial(&gate, &config, "b.test"), b.serial, "{io:?}");
        assert_eq!(gate.said("taken away").len(), 1, "{io:?}");
    });
}

#[test]
fn a_reload_with_a_broken_certificate_is_refused_and_one_with_a_good_one_serves_it() {
    let issuer = Issuer::new();
    both(|io| {
        let (gate, folder, old) = gate(io, &issuer, &Wanted::default());
        let config = issuer.client();
        let mut kept = client(&gate, &config, "a.test").unwrap();
        ask(&mut kept).unwrap();
        folder.write("a.crt", "nonsense");
        gate.reload(&yaml(&folder));
        gate.says("reload refused", 1);
        assert_eq!(serial(&gate, &config, "a.test"), old.serial, "{io:?}");
        let next = issuer.issue(&["a.test"]);
        write(&folder, &next);
        gate.reload(&yaml(&folder));
        gate.says("reloaded", 1);
        assert_eq!(serial(&gate, &config, "a.test"), next.serial, "{io:?}");
        ask(&mut kept).expect("a certificate's content is no reason to close");
    });
}

#[test]
fn certificates_that_end_soon_or_have_ended_are_told_of_and_when_is_a_gauge() {
    let issuer = Issuer::new();
    both(|io| {
        let (soon, over, far) = (now() + 5 * DAY + 3600, now() - DAY, now() + 60 * DAY);
        let folder = Folder::new("ends");
        for (name, end) in [("soon", soon), ("over", over), ("far", far)] {
            let wanted = Wanted { valid: Some((end - 90 * DAY, end)), ..Wanted::default() };
            let issued = issuer.issue_with(&[&format!("{name}.test")], &wanted);
            folder.write(&format!("{name}.crt"), &issued.chain);
            folder.write(&format!("{name}.key"), &issued.key);
        }
        let path = folder.path().display();
        let gate = Ruled::start(
            io,
            &format!("server: {{listen: [{{addr: '127.0.0.1:0', tls: true}}]}}\ntls: {{certificates: {path}}}\n"),
        );
        gate.says("a certificate expires soon", 1);
        gate.says("a certificate has expired", 1);
        (0..3).for_each(|_| gate.look());
        let mut ends: Vec<_> =
            gate.gauges().into_iter().map(|gauge| (gauge.labels[0].1.clone(), gauge.value)).collect();
        ends.sort();
        let expected = [("far.test", far), ("over.test", over), ("soon.test", soon)];
        assert_eq!(ends, expected.map(|(name, end)| (name.to_owned(), end)), "{io:?}");
        let (soon, over) = (gate.said("expires soon"), gate.said("has expired"));
        assert!(soon.len() == 1 && soon[0].contains("names=soon.test") && soon[0].contains("days_left=5"), "{soon:?}");
        assert!(over.len() == 1 && over[0].contains("error") && over[0].contains("names=over.test"), "{over:?}");
    });
}

#[test]
fn a_staple_is_read_anew_with_its_file_and_not_sent_when_it_is_over() {
    let issuer = Issuer::new();
    both(|io| {
        let folder = Folder::new("staple");
        let issued = issuer.issue_with(&["a.test"], &Wanted { must_staple: true, ..Wanted::default() });
        write(&folder, &issued);
        let first = issuer.vouch(&issued.ocsp_request(), now() - DAY, now() + DAY);
        folder.write("a.ocsp", &first);
        let path = folder.path().display();
        let yaml = yaml(&folder).replace("a.key}", &format!("a.key, ocsp: {path}/a.ocsp}}"));
        let (gate, (config, stapled)) = (Ruled::start(io, &yaml), issuer.client_that_notes());
        let sent = || {
            assert_eq!(serial(&gate, &config, "a.test"), issued.serial);
            stapled.lock().unwrap().clone()
        };
        assert!(sent() == first, "{io:?}");
        // One that is nothing, or of another's hand, leaves the one before.
        let forged = Issuer::new().vouch(&issued.ocsp_request(), now() - DAY, now() + DAY);
        for (round, bad) in [(1, &b"nothing"[..]), (2, &forged)] {
            folder.write("a.ocsp", bad);
            gate.looks_until(BROKEN, round);
            assert!(sent() == first, "{io:?}");
        }
        assert!(gate.said(BROKEN)[1].contains("its signature is not that"), "{io:?}: {:?}", gate.said(BROKEN));
        let short = issuer.vouch(&issued.ocsp_request(), now() - DAY, now() + 2);
        folder.write("a.ocsp", &short);
        gate.looks_until("read anew", 1);
        assert!(sent() == short, "{io:?}");
        gate.looks_until("an OCSP response is over, and its certificate demands one", 1);
        assert!(sent().is_empty(), "{io:?}: the certificate is served without");
        let last = issuer.vouch(&issued.ocsp_request(), now(), now() + DAY);
        folder.write("a.ocsp", &last);
        gate.looks_until("read anew", 2);
        assert!(sent() == last, "{io:?}");
    });
}

/// A responder that answers each POST with what `answer` makes of the request.
fn responder(answer: impl Fn(usize, &[u8]) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ocsp", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let body = loop {
                let mut part = [0; 4096];
                let count = stream.read(&mut part).unwrap();
                request.extend_from_slice(&part[..count]);
                let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
                assert!(head.starts_with("post /ocsp ") && head.contains("content-type: application/ocsp-request"));
                let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                let length: usize = length.and_then(|length| length.parse().ok()).expect("a length");
                if request.len() >= end + 4 + length {
                    break request[end + 4..].to_vec();
                }
            };
            let body = answer(number, &body);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    url
}

#[test]
fn an_ocsp_response_is_fetched_from_the_issuer_and_lives_through_a_reload() {
    let issuer = Arc::new(Issuer::new());
    both(|io| {
        let its = Arc::clone(&issuer);
        let url = responder(move |_, request| its.vouch(request, now() - DAY, now() + 6 * DAY));
        let wanted = Wanted { responder: Some(&url), must_staple: true, ..Wanted::default() };
        let (gate, folder, issued) = gate(io, &issuer, &wanted);
        let (config, stapled) = issuer.client_that_notes();
        gate.says("an OCSP response was fetched", 1);
        assert_eq!(serial(&gate, &config, "a.test"), issued.serial, "{io:?}");
        assert!(!stapled.lock().unwrap().is_empty(), "{io:?}");
        gate.reload(&yaml(&folder));
        gate.says("reloaded", 1);
        stapled.lock().unwrap().clear();
        assert_eq!(serial(&gate, &config, "a.test"), issued.serial, "{io:?}");
        assert!(!stapled.lock().unwrap().is_empty(), "{io:?}: what was fetched is not forgotten");
        (0..3).for_each(|_| gate.look());
        assert_eq!(gate.said("an OCSP response was fetched").len(), 1, "{io:?}: half of its time is not over");
    });
}

#[test]
fn a_responder_that_says_nothing_good_is_told_of_and_the_certificate_is_served_without() {
    let issuer = Issuer::new();
    both(|io| {
        let (others, later) = (Issuer::new(), now() + DAY);
        let url = responder(move |_, request| others.vouch(request, now(), later));
        let wanted = Wanted { responder: Some(&url), must_staple: true, ..Wanted::default() };
        let (gate, _folder, issued) = gate(io, &issuer, &wanted);
        gate.says("an OCSP response cannot be had, and its certificate demands one", 1);
        let said = gate.said("cannot be had");
        assert!(said[0].contains("error") && said[0].contains("its signature is not that"), "{io:?}: {said:?}");
        let (config, stapled) = issuer.client_that_notes();
        assert_eq!(serial(&gate, &config, "a.test"), issued.serial, "{io:?}");
        assert!(stapled.lock().unwrap().is_empty(), "{io:?}");
    });
}

/// Waits for the end of a connection at rest.
fn ends(client: &mut Client, within: Duration) -> bool {
    let begun = Instant::now();
    client.sock.set_read_timeout(Some(within)).unwrap();
    matches!(client.read(&mut [0; 16]), Ok(0)) && begun.elapsed() < within
}

#[test]
fn connections_of_a_listener_whose_tls_changes_finish_and_close() {
    let issuer = Issuer::new();
    both(|io| {
        let folder = Folder::new("terms");
        write(&folder, &issuer.issue(&["a.test"]));
        let go = Arc::new(AtomicBool::new(false));
        let its = Arc::clone(&go);
        let backend = Backend::start(move |served| {
            let _ = served.head();
            served.record("asked".to_owned());
            while !its.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(2));
            }
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        });
        let yaml = yaml(&folder).replace("/: OK hello", &format!("/: OK hello, /slow: '{}'", backend.origin()));
        let (gate, config) = (Ruled::start(io, &yaml), issuer.client());
        let mut resting = client(&gate, &config, "a.test").unwrap();
        ask(&mut resting).unwrap();
        // Other rules are no reason to close.
        gate.reload(&yaml.replace("/slow", "/x: OK, /slow"));
        gate.says("reloaded", 1);
        ask(&mut resting).unwrap();
        let mut busy = client(&gate, &config, "a.test").unwrap();
        busy.write_all(&String::from_utf8_lossy(GET).replace("GET /", "GET /slow").into_bytes()).unwrap();
        assert_eq!(backend.request(), "asked", "{io:?}");
        gate.reload(&yaml.replace("tls: true", "tls: true, profile: modern"));
        gate.says("reloaded", 2);
        assert!(ends(&mut resting, Duration::from_secs(5)), "{io:?}: who rests goes");
        go.store(true, Ordering::Relaxed);
        let mut answer = String::new();
        busy.read_to_string(&mut answer).expect("the end is said");
        assert!(answer.ends_with("hello") && answer.contains("\r\nConnection: close\r\n"), "{io:?}: {answer}");
        let mut new = client(&gate, &config, "a.test").unwrap();
        assert_eq!(new.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3), "{io:?}");
        ask(&mut new).unwrap();
        ask(&mut new).expect("who comes by the new terms stays");
        // No TLS any more.
        let plain =
            format!("server: {{listen: ['127.0.0.1:0']}}\nroutes: {{/: OK hello, /slow: '{}'}}\n", backend.origin());
        gate.reload(&plain);
        gate.says("reloaded", 3);
        assert!(ends(&mut new, Duration::from_secs(5)), "{io:?}");
        let mut open = gate.connect();
        ask(&mut open).unwrap();
        ask(&mut open).unwrap();
    });
}

#[test]
fn authorities_that_change_count_at_once_and_who_came_by_others_finishes() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    both(|io| {
        let folder = Folder::new("authorities");
        write(&folder, &issuer.issue(&["a.test"]));
        folder.write("ca.pem", issuer.pem());
        let yaml = yaml(&folder).replace(
            "tls: {cert",
            &format!("tls: {{client_auth: required, client_ca: {}/ca.pem, cert", folder.path().display()),
        );
        let gate = Ruled::start(io, &yaml);
        let (old, new) =
            (issuer.client_with(&issuer.issue(&["client"])), issuer.client_with(&other.issue(&["client"])));
        // In TLS 1.3 a client has ended its handshake before it is refused.
        let serves = |config| client(&gate, config, "a.test").is_ok_and(|mut client| ask(&mut client).is_ok());
        let mut resting = client(&gate, &old, "a.test").unwrap();
        ask(&mut resting).unwrap();
        assert!(!serves(&new), "{io:?}");
        folder.write("ca.pem", "nonsense");
        gate.looks_until(BROKEN, 1);
        assert!(serves(&old) && !serves(&new), "{io:?}: what was believed before still is");
        ask(&mut resting).unwrap();
        folder.write("ca.pem", issuer.pem() + "\n");
        gate.looks_until("are good again", 1);
        ask(&mut resting).expect("the same authority in other words");
        folder.write("ca.pem", other.pem());
        gate.looks_until("were read anew", 1);
        assert!(ends(&mut resting, Duration::from_secs(5)), "{io:?}");
        assert!(serves(&new) && !serves(&old), "{io:?}");
    });
}

#[test]
fn a_certificate_that_no_client_gets_is_told_of_at_load() {
    let (issuer, folder) = (Issuer::new(), Folder::new("shadowed"));
    for (name, names, days) in
        [("1", &["a.test"][..], 50), ("2", &["b.test"], 60), ("3", &["b.test"], 90), ("4", &["b.test", "c.test"], 40)]
    {
        let wanted = Wanted { valid: Some((now() - DAY, now() + days * DAY)), ..Wanted::default() };
        let issued = issuer.issue_with(names, &wanted);
        folder.write(&format!("{name}.crt"), &issued.chain);
        folder.write(&format!("{name}.key"), &issued.key);
    }
    let path = folder.path().display();
    let config = loaded(&format!(
        "server: {{listen: [{{addr: ':1', tls: true}}]}}\ntls: {{certificates: {path}}}\nroutes: {{/: OK}}\n"
    ));
    let compiled = compile(&config, &CompileEnv { shards: 1, descriptors: 100, serial: 1 });
    let never: Vec<_> =
        compiled.diagnostics.iter().filter(|finding| finding.message.contains("is never chosen")).collect();
    assert!(compiled.plan.is_some() && never.len() == 1, "{:?}", compiled.diagnostics);
    assert!(never[0].message.contains("/2.crt` is never chosen: `") && never[0].message.contains("/3.crt`"));
}
