//! Orders with Let's Encrypt's own test server over loopback, where Debian's package `pebble` is installed.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime};

use anygate_proto::acme::challenge::HTTP_PATH;
use anygate_proto::acme::{
    Account, Answer, Challenge, ChallengeKind, ExternalBinding, Failure, Issuance, Issued, Request, Step,
};
use anygate_proto::tls::Challenges;
use anygate_proto::url::Target;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, StreamOwned};
use serde_json::json;

use super::wish;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Both servers, until this is dropped.
struct Pebble {
    children: Vec<Child>,
    folder: PathBuf,
    directory: String,
    trust: Arc<ClientConfig>,
    served: Arc<Served>,
    challenges: Arc<Challenges>,
}

/// What the servers of the names answer.
#[derive(Debug, Default)]
struct Served(RwLock<Vec<Challenge>>);

impl Served {
    fn http(&self, path: &str) -> Option<String> {
        self.0.read().unwrap().iter().find_map(|challenge| match challenge {
            Challenge::Http01 { token, key_authorization, .. } if path.strip_prefix(HTTP_PATH) == Some(token) => {
                Some(key_authorization.clone())
            }
            _ => None,
        })
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Pebble {
    fn start(binding: Option<(&str, &str)>) -> Self {
        let folder = std::env::temp_dir().join(format!("anygate-pebble-{}-{}", std::process::id(), free_port()));
        fs::create_dir(&folder).unwrap();
        let root = own_certificate(&folder);
        let (served, challenges) = (Arc::new(Served::default()), Challenges::new());
        let (http_port, tls_port) = (serve_http(&served), serve_tls(&challenges));
        let (port, management, dns, mock) = (free_port(), free_port(), free_port(), free_port());
        let keys = binding.map(|(kid, key)| json!({ kid: key })).unwrap_or(json!({}));
        let configuration = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": folder.join("cert.pem"),
            "privateKey": folder.join("key.pem"),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "externalAccountBindingRequired": binding.is_some(),
            "externalAccountMACKeys": keys,
        }});
        fs::write(folder.join("pebble.json"), configuration.to_string()).unwrap();
        let mut names = Command::new("pebble-challtestsrv");
        names.args(["-dns01", &format!("127.0.0.1:{dns}"), "-management", &format!("127.0.0.1:{mock}")]);
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"]);
        let mut pebble = Command::new("pebble");
        pebble.arg("-strict").arg("-config").arg(folder.join("pebble.json"));
        pebble.args(["-dnsserver", &format!("127.0.0.1:{dns}")]);
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "30");
        let children = [&mut names, &mut pebble].map(|command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("Debian's package `pebble` is installed")
        });
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let trust = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let directory = format!("https://127.0.0.1:{port}/dir");
        let pebble = Self { children: children.into(), folder, directory, trust: Arc::new(trust), served, challenges };
        let began = SystemTime::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() || TcpStream::connect(("127.0.0.1", mock)).is_err() {
            assert!(began.elapsed().unwrap() < TIMEOUT, "pebble does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        pebble
    }

    fn issue(&self, issuance: &mut Issuance) -> Result<Issued, Failure> {
        loop {
            match issuance.step(now()) {
                Step::Request(request) => match self.ask(&request) {
                    Ok(answer) => issuance.answered(&answer, now()),
                    Err(why) => issuance.unanswered(&why.to_string(), now()),
                },
                Step::Wait(time) => std::thread::sleep(time.min(Duration::from_millis(300))),
                Step::Serve(challenges) => {
                    for challenge in &challenges {
                        if let Challenge::TlsAlpn01 { server_name, certificate, key, .. } = challenge {
                            self.challenges.set(server_name, certificate, key).unwrap();
                        }
                    }
                    *self.served.0.write().unwrap() = challenges;
                    issuance.served();
                }
                Step::Done(issued) => return Ok(*issued),
                Step::Failed(failure) => return Err(failure),
            }
        }
    }

    /// HTTP/1.0, so that the end of the body is the end of the stream.
    fn ask(&self, request: &Request) -> io::Result<Answer> {
        let to = Target::of(&request.url).unwrap();
        let name = to.host.to_owned().try_into().unwrap();
        let session = ClientConnection::new(self.trust.clone(), name).map_err(io::Error::other)?;
        let socket = TcpStream::connect((to.host, to.port))?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        let mut stream = StreamOwned::new(session, socket);
        let (method, length) = (request.method.as_str(), request.body.len());
        let mut text =
            format!("{method} {} HTTP/1.0\r\nHost: {}\r\nContent-Length: {length}\r\n", to.path, to.authority);
        for (name, value) in &request.headers {
            text += &format!("{name}: {value}\r\n");
        }
        stream.write_all(&[text.as_bytes(), b"\r\n", &request.body].concat())?;
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes) {
            Err(why) if why.kind() != io::ErrorKind::UnexpectedEof => return Err(why),
            _ => {}
        }
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        Ok(Answer {
            status: head[9..12].parse().map_err(io::Error::other)?,
            headers: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: bytes[end + 4..].to_vec(),
        })
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// The certificate pebble shows its clients, and its root.
fn own_certificate(folder: &std::path::Path) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let der = root.self_signed(&key).unwrap().der().clone();
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&leaf_key, &Issuer::new(root, key)).unwrap();
    fs::write(folder.join("cert.pem"), leaf.pem()).unwrap();
    fs::write(folder.join("key.pem"), leaf_key.serialize_pem()).unwrap();
    der
}

/// Port 80 of every name, somewhere else.
fn serve_http(served: &Arc<Served>) -> u16 {
    let (listener, served) = (TcpListener::bind("127.0.0.1:0").unwrap(), served.clone());
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            let body = line.split(' ').nth(1).and_then(|path| served.http(path));
            let answer = match body {
                Some(body) => format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
                None => "HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

/// Port 443 of every name, somewhere else.
fn serve_tls(challenges: &Arc<Challenges>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = challenges.config().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let Ok(mut session) = ServerConnection::new(config.clone()) else { continue };
            let _ = session.complete_io(&mut socket);
        }
    });
    port
}

/// One at a time: what a test asks of this machine is little, but each starts two servers.
static ONE: Mutex<()> = Mutex::new(());

#[test]
#[ignore = "starts pebble: apt-get install pebble"]
fn pebble_issues_and_issues_again_by_http_01() {
    let _one = ONE.lock();
    let pebble = Pebble::start(None);
    let account = Account::generate(&pebble.directory, Some("admin@example.com")).unwrap();
    let mut first = Issuance::new(account, wish(&["a.example", "b.example"], ChallengeKind::Http01));
    let one = pebble.issue(&mut first).unwrap();
    assert_eq!(one.facts.names.len(), 2);
    assert!(one.facts.id.is_some() && one.facts.not_after > now());
    let kept = Account::read(&first.account().entry().bytes).unwrap();
    let again = wish(&["a.example", "b.example"], ChallengeKind::Http01).replacing(one.facts.id.as_deref());
    let mut second = Issuance::new(kept, again);
    let two = pebble.issue(&mut second).unwrap();
    assert_eq!(second.account().url(), first.account().url());
    assert_ne!((one.key_pem, one.facts.id), (two.key_pem, two.facts.id));
}

#[test]
#[ignore = "starts pebble: apt-get install pebble"]
fn pebble_issues_by_tls_alpn_01() {
    let _one = ONE.lock();
    let pebble = Pebble::start(None);
    let account = Account::generate(&pebble.directory, None).unwrap();
    let wish = wish(&["a.example", "127.0.0.1"], ChallengeKind::TlsAlpn01);
    let issued = pebble.issue(&mut Issuance::new(account, wish)).unwrap();
    assert_eq!(issued.facts.names.len(), 2);
}

#[test]
#[ignore = "starts pebble: apt-get install pebble"]
fn pebble_with_customers_takes_a_bound_account_alone() {
    let _one = ONE.lock();
    let pebble = Pebble::start(Some(("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W")));
    let order = |account| Issuance::new(account, wish(&["a.example"], ChallengeKind::Http01));
    let account = || Account::generate(&pebble.directory, None).unwrap();
    let binding = |key| ExternalBinding::new("kid-1", key).unwrap();
    pebble.issue(&mut order(account())).unwrap_err();
    let wrong = account().bound_to(binding("AAAA"));
    println!("{}", pebble.issue(&mut order(wrong)).unwrap_err());
    let right = account().bound_to(binding("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"));
    pebble.issue(&mut order(right)).unwrap();
}

#[test]
#[ignore = "starts pebble: apt-get install pebble"]
fn pebble_says_why_a_name_was_not_proved() {
    let _one = ONE.lock();
    let pebble = Pebble::start(None);
    let account = Account::generate(&pebble.directory, None).unwrap();
    let mut issuance = Issuance::new(account, wish(&["a.example"], ChallengeKind::Http01));
    let failure = loop {
        match issuance.step(now()) {
            Step::Request(request) => issuance.answered(&pebble.ask(&request).unwrap(), now()),
            Step::Wait(time) => std::thread::sleep(time.min(Duration::from_millis(300))),
            Step::Serve(_) => issuance.served(),
            Step::Done(_) => panic!("nothing was served"),
            Step::Failed(failure) => break failure,
        }
    };
    assert!(failure.to_string().starts_with("proving control: a.example: unauthorized (403): "), "{failure}");
}
