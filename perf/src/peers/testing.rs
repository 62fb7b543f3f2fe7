//! Every peer that is installed, started for every duty, does what is asked of it, and the same as all others.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anygate_shard::Io;

use super::{Kind, Peer};
use crate::floor::BODIES;
use crate::floor::testing::Running;
use crate::identity;
use crate::load::{self, Plan, Protocol, Reuse, Tls};
use crate::scenario::{FILES, write_files};
use crate::server::{Answer, Folder, Server, all_same};
use crate::subject::{Duty, Subject, Work, route};

/// Bytes of the longest upload: more than any buffer of a proxy here holds.
const UPLOAD: u64 = 3 << 20;

/// When this is in the environment, every peer must be there: else tests would pass that prove nothing.
const DEMAND: &str = "ANYGATE_TEST_PEERS";

/// Peers that are installed here; a line for each that is not.
fn installed() -> Vec<Peer> {
    let found = Kind::ALL.map(|kind| (kind, Peer::find(kind, None)));
    let mut peers = Vec::new();
    for (kind, peer) in found {
        match peer {
            Ok(peer) => peers.push(peer),
            Err(why) if std::env::var_os(DEMAND).is_some() => panic!("{}: {why}", kind.name()),
            Err(why) => println!("{} is left out: {why}", kind.name()),
        }
    }
    peers
}

/// A port that was free a moment ago.
fn place() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn start(peer: &Peer, duty: &Duty) -> Server {
    let core = anygate_shard::cores::allowed().unwrap()[0];
    Subject::Peer(peer.clone()).start(place(), core, duty).unwrap_or_else(|error| panic!("{}: {error}", peer.version))
}

/// Asks all peers that can do this, and says what all of them answer to each request.
fn same(duty: &Duty, asked: &[(String, Option<u64>)]) -> Option<Vec<Answer>> {
    let able: Vec<_> = installed().into_iter().filter(|peer| peer.can(duty)).collect();
    let servers: Vec<_> = able.iter().map(|peer| (peer.kind.name(), start(peer, duty))).collect();
    let mut all = Vec::new();
    for (path, upload) in asked {
        let answers: Vec<_> = servers
            .iter()
            .map(|(name, server)| {
                let answer = upload.map_or_else(|| server.ask(path), |length| server.post(path, length));
                (*name, answer.unwrap_or_else(|error| panic!("{name}: {error}\n{}", server.printed())))
            })
            .collect();
        assert_eq!(all_same(&answers), Ok(()), "{path}");
        all.extend(answers.into_iter().next().map(|(_, answer)| answer));
    }
    (!servers.is_empty()).then_some(all)
}

fn gets(paths: impl IntoIterator<Item = String>) -> Vec<(String, Option<u64>)> {
    paths.into_iter().map(|path| (path, None)).collect()
}

#[test]
fn fixed_answers_are_empty_and_well() {
    for close in [false, true] {
        let answers = same(&Duty { close, ..Duty::default() }, &gets(["/".to_owned()]));
        for answer in answers.into_iter().flatten() {
            assert_eq!((answer.status, answer.length), (200, 0), "{}", answer.head);
        }
    }
}

#[test]
fn all_speak_the_same_tls_and_http_2_and_answer_the_same() {
    let folder = Folder::new("peers-tls").unwrap();
    write_files(folder.path()).unwrap();
    let origin = Running::origin(Io::Epoll);
    let works = [
        (Work::Fixed, "/", 0),
        (Work::Files { root: folder.path().to_owned() }, "/100k", 100 << 10),
        (Work::Proxy { origin: origin.address }, "/1k", 1 << 10),
    ];
    for (work, path, length) in works {
        for (tls, protocol) in [(true, Protocol::Http1), (true, Protocol::Http2), (false, Protocol::Http2)] {
            let duty = Duty { work: work.clone(), tls, protocol, ..Duty::default() };
            for answer in same(&duty, &gets([path.to_owned()])).into_iter().flatten() {
                assert_eq!((answer.status, answer.length), (200, length), "{path}: {}", answer.head);
                let agreed = tls.then_some("TLS 1.3, TLS13_AES_128_GCM_SHA256, X25519");
                assert_eq!(answer.tls.as_deref(), agreed, "{path}, {protocol:?}");
                assert_eq!(answer.head.starts_with("HTTP/2"), protocol == Protocol::Http2, "{}", answer.head);
            }
        }
    }
}

#[test]
fn a_peer_goes_on_with_a_session_where_the_load_does() {
    let duty = Duty { tls: true, ..Duty::default() };
    for peer in installed().into_iter().filter(|peer| peer.can(&duty)) {
        let server = start(&peer, &duty);
        for resume in [false, true] {
            let plan = Plan {
                tls: Some(Tls { name: identity::NAME.to_owned(), resume, ..Tls::default() }),
                reuse: Reuse::PerRequest,
                connections: 4,
                warm_up: Duration::from_millis(50),
                duration: Duration::from_millis(200),
                ..Plan::new(server.address, Io::Epoll)
            };
            let mut tries = std::iter::repeat_with(|| load::run(&plan, &mut |_| {}).unwrap()).take(20);
            let tally = tries.find(|tally| tally.connects > 8).expect("something happens in 20 tries");
            let name = &peer.version;
            assert_eq!(tally.all_faults(), 0, "{name}: {:?}", tally.refused);
            // Each of the four connections may begin its first one after the warm-up.
            let full = tally.connects - tally.resumed;
            assert!(if resume { full <= 4 } else { tally.resumed == 0 }, "{name}, resume {resume}: {full} full");
        }
    }
}

#[test]
fn every_route_is_found_and_no_other() {
    let routes = 500;
    let duty = Duty { routes, ..Duty::default() };
    for answer in same(&duty, &gets([0, 1, routes / 2, routes - 1].map(route))).into_iter().flatten() {
        assert_eq!((answer.status, answer.length), (200, 0), "{}", answer.head);
    }
    for peer in installed().into_iter().filter(|peer| peer.can(&duty)) {
        // Each has its own page for what is not found.
        assert_eq!(start(&peer, &duty).ask(&route(routes)).unwrap().status, 404, "{}", peer.version);
    }
}

#[test]
fn files_are_sent_whole() {
    let folder = Folder::new("peers-files").unwrap();
    write_files(folder.path()).unwrap();
    let duty = Duty { work: Work::Files { root: folder.path().to_owned() }, ..Duty::default() };
    let answers = same(&duty, &gets(FILES.iter().map(|(name, _)| format!("/{name}"))));
    if let Some(answers) = answers {
        for (answer, (name, length)) in answers.iter().zip(FILES) {
            assert_eq!((answer.status, answer.length), (200, *length as u64), "{name}");
        }
    }
}

#[test]
fn what_is_proxied_is_what_the_server_behind_says() {
    let origin = Running::origin(Io::Epoll);
    let duty = Duty { work: Work::Proxy { origin: origin.address }, ..Duty::default() };
    let mut asked = gets(BODIES.iter().map(|(path, _)| (*path).to_owned()));
    asked.extend([1, UPLOAD].map(|length| ("/1k".to_owned(), Some(length))));
    let direct = asked
        .iter()
        .map(|(path, upload)| crate::server::ask(origin.address, path, *upload, false, Protocol::Http1).unwrap());
    let direct: Vec<_> = direct.collect();
    if let Some(answers) = same(&duty, &asked) {
        for ((answer, direct), (path, _)) in answers.iter().zip(&direct).zip(&asked) {
            assert!(answer.same(direct), "{path}: {}", answer.head);
        }
    }
}

#[test]
fn a_peer_runs_on_several_cores() {
    let cores = anygate_shard::cores::allowed().unwrap();
    if cores.len() < 2 {
        println!("left out: there is one core");
        return;
    }
    let duty = Duty { cores: cores[..2].to_vec(), ..Duty::default() };
    assert!(same(&duty, &gets(["/".to_owned()])).is_none_or(|answers| answers[0].status == 200));
}
