//! Certificates through virtual days: the whole server and an authority on the simulated network, renewed as time passes.

use std::fs;
use std::io::{self, Cursor, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anygate_core::config::{Env, load_text};
use anygate_core::metrics::ShardCells;
use anygate_proto::tls::Facts;
use anygate_serve::control::{Desk, First, Order, Report, ShardHandle, Startup};
use anygate_serve::door::Door;
use anygate_serve::observe::log::Kept;
use anygate_serve::server::{Parts, Server};
use anygate_shard::mailbox::{self, Receiver};
use anygate_shard::net::Address;
use anygate_shard::signals::Signal;
use anygate_shard::sim::{Listener, Peer, Personality, World};
use anygate_shard::{Io, Options, Shard};
use rustls::{ClientConnection, ServerConfig, ServerConnection};

use super::authority::{Authority, Internet};
use super::ca::{body, question, request, sent, settings, yaml};
use super::manner::Manner;
use super::visitor::{stranger, visitor};
use super::{Folder, ISSUED};
use crate::simulated::{BOTH, open};

const HTTP: &str = "10.0.0.1:80";
const HTTPS: &str = "10.0.0.1:443";
const CA: &str = "10.0.0.9";
const HOUR: u64 = 3600;
/// Rounds that anything may take.
const ROUNDS: u32 = 2_000_000;

fn at(address: &str) -> Address {
    Address::Ip(address.parse::<SocketAddr>().expect("an address"))
}

/// The server: a control shard and one that serves.
struct Town {
    world: World,
    control: Shard,
    desk: Desk,
    reports: Receiver<Report>,
    shard: Shard,
    door: Door,
    orders: Receiver<Order>,
    said: Kept,
}

impl Town {
    fn open(personality: Personality, yaml: &str) -> Self {
        let world = World::new(1, personality);
        let text = yaml.to_owned();
        let startup = Startup {
            load: Box::new(move || load_text("sim.yml", &text, &Env::new(), &[])),
            started: Box::new(|_| ()),
            warned: Box::new(|_, _| ()),
        };
        let first = First::load(&startup, Some(vec![0]), 1000).expect("a right configuration");
        let control = Shard::simulated(&world, &Options::new(200, Io::Sim)).unwrap();
        let shard = Shard::simulated(&world, &Options::new(0, Io::Sim)).unwrap();
        let (sender, reports) = mailbox::channel(64);
        let (orders, mailbox) = mailbox::channel(64);
        let cells = Arc::new(ShardCells::new());
        let server = Server::new(Parts {
            shard: shard.clone(),
            cells: Arc::clone(&cells),
            plan: Box::new(first.plan.clone()),
            id: "sim".into(),
            control: sender,
            shards: 1,
            peers: None,
        });
        let (desk, said) = open(&control, startup, first, vec![ShardHandle::new(orders, None, cells)]);
        Self { world, control, desk, reports, shard, door: Door::new(server), orders: mailbox, said }
    }

    fn turn(&self) {
        self.world.turn_all(&mut [&mut |park| self.control.turn(&self.desk, &self.reports, park), &mut |park| {
            self.shard.turn(&self.door, &self.orders, park)
        }]);
    }

    /// What comes of this, once something does.
    fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        for _ in 0..ROUNDS {
            if let Some(found) = look() {
                return found;
            }
            self.turn();
        }
        panic!("it never comes");
    }

    /// Everything a peer says up to its end.
    fn rest(&self, peer: &mut Peer) -> Vec<u8> {
        let mut all = Vec::new();
        self.until(|| {
            let mut piece = [0; 4096];
            match peer.read(&mut piece) {
                Ok(n @ 1..) => all.extend_from_slice(&piece[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return Some(()),
            }
            None
        });
        all
    }

    /// The certificate that is shown to this client.
    fn shown(&self, mut client: ClientConnection) -> Option<Vec<u8>> {
        let mut peer = self.world.connect(&at(HTTPS)).ok()?;
        self.until(|| {
            pump(&mut peer, |bytes| client.read_tls(bytes)).ok()?;
            let broken = client.process_new_packets().is_err();
            let mut out = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut out).unwrap();
            }
            let _ = peer.write(&out);
            (broken || !client.is_handshaking()).then_some(())
        });
        client.peer_certificates().map(|chain| chain[0].to_vec())
    }

    /// Waits until the log says this.
    fn says(&self, what: &str) {
        self.until(|| self.said.lines().iter().any(|line| line.contains(what)).then_some(()));
    }

    /// Ends it, once every connection has.
    fn close(self) {
        self.world.pass(Duration::from_secs(10));
        for _ in 0..100 {
            self.turn();
        }
        assert_eq!(self.world.open_ends(), 0, "no connection is left");
        self.desk.signal(Signal::Terminate);
        self.desk.signal(Signal::Terminate);
        self.until(|| self.desk.is_stopping().then_some(()));
        self.control.shutdown();
        self.shard.shutdown();
    }

    fn facts(&self) -> Facts {
        let shown = self.shown(stranger("a.example", &[b"http/1.1"])).expect("a certificate is shown");
        Facts::read(&shown).expect("it can be read")
    }
}

/// Gives what came to a session.
fn pump(peer: &mut Peer, mut take: impl FnMut(&mut dyn Read) -> io::Result<usize>) -> io::Result<()> {
    let mut piece = [0; 8192];
    match peer.read(&mut piece) {
        Ok(n) => {
            let mut bytes = Cursor::new(&piece[..n]);
            while (bytes.position() as usize) < n {
                take(&mut bytes)?;
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

impl Internet for Town {
    fn http(&self, name: &str, token: &str) -> Option<String> {
        let mut peer = self.world.connect(&at(HTTP)).ok()?;
        peer.write(question(name, token).as_bytes()).ok()?;
        body(&String::from_utf8_lossy(&self.rest(&mut peer)))
    }

    fn tls(&self, server_name: &str) -> Option<Vec<u8>> {
        self.shown(visitor(server_name))
    }
}

/// The authority, which gets its turns between the server's.
struct Ca {
    listener: Listener,
    config: Arc<ServerConfig>,
    authority: Authority,
    visitors: Vec<(Peer, ServerConnection, Vec<u8>)>,
    asked: Vec<String>,
}

impl Ca {
    fn turn(&mut self, town: &Town) {
        while let Ok(peer) = self.listener.accept() {
            self.visitors.push((peer, ServerConnection::new(Arc::clone(&self.config)).unwrap(), Vec::new()));
        }
        for (mut peer, mut session, mut bytes) in std::mem::take(&mut self.visitors) {
            if pump(&mut peer, |from| session.read_tls(from)).is_err() || session.process_new_packets().is_err() {
                continue;
            }
            let _ = session.reader().read_to_end(&mut bytes);
            let request = request(&bytes, CA);
            if let Some(request) = &request {
                self.asked.push(format!("{} {}", request.method.as_str(), request.url));
                self.authority.now = town.world.unix_time();
                let answer = self.authority.answer(request, town);
                session.writer().write_all(&sent(request, &answer)).unwrap();
            }
            let mut out = Vec::new();
            while session.wants_write() {
                session.write_tls(&mut out).unwrap();
            }
            let _ = peer.write(&out);
            match request {
                Some(_) => peer.shutdown(),
                None => self.visitors.push((peer, session, bytes)),
            }
        }
    }

    /// Lets both go on until the log has said this so many more times; the virtual second in which it did.
    fn until(&mut self, town: &Town, what: &str, times: usize) -> u64 {
        let mut said = 0;
        for _ in 0..ROUNDS {
            town.turn();
            self.turn(town);
            said += town.said.lines().iter().filter(|line| line.contains(what)).count();
            if said >= times {
                return town.world.unix_time();
            }
        }
        panic!("it is never said: {what}");
    }
}

/// A listener without TLS and one with it, whose `tls` says this.
fn configuration(tls: &str) -> String {
    format!("server: {{listen: ['{HTTP}', {{addr: '{HTTPS}', tls: true}}]}}\ntls: {{{tls}}}\nroutes: {{/: OK hello}}\n")
}

#[test]
fn through_virtual_days_a_certificate_is_renewed_in_time_and_as_the_authority_says() {
    for personality in BOTH {
        let folder = Folder::new(Io::Sim);
        let (config, root) = settings(&folder.0, CA);
        let acme = yaml(CA, "a.example", &folder.storage(), "http-01", &root);
        let town = Town::open(personality, &configuration(&acme));
        let listener = town.world.listen(&at(&format!("{CA}:443"))).unwrap();
        // Without a word of the authority's, a certificate of so short a life is renewed half-way.
        let manner = Manner { lifetime: 20 * HOUR, renewal_info: false, ..Manner::default() };
        let authority = Authority::at(&format!("https://{CA}"), manner);
        let mut ca = Ca { listener, config, authority, visitors: Vec::new(), asked: Vec::new() };
        let first = ca.until(&town, ISSUED, 1);
        let one = town.facts();
        assert!(!one.is_self_issued, "{personality:?}");
        let second = ca.until(&town, ISSUED, 1);
        assert!((9 * HOUR..=10 * HOUR + 60).contains(&(second - first)), "{personality:?}: after {} s", second - first);
        let two = town.facts();
        assert_ne!(one.serial, two.serial, "{personality:?}");
        // Once it gives such information, it is asked each six hours, and what it says counts.
        ca.authority.manner.renewal_info = true;
        ca.authority.suggest = Some(2);
        ca.asked.clear();
        let third = ca.until(&town, ISSUED, 1);
        assert!(
            (13 * HOUR..=14 * HOUR + 60).contains(&(third - second)),
            "{personality:?}: after {} s",
            third - second
        );
        let enquiries = ca.asked.iter().filter(|asked| asked.contains("/renewal/")).count();
        assert!((2..=3).contains(&enquiries), "{personality:?}: {:?}", ca.asked);
        assert_ne!(two.serial, town.facts().serial, "{personality:?}");
        assert_eq!((ca.authority.accounts.len(), ca.authority.orders.len()), (1, 3), "{personality:?}");
        drop(ca);
        town.close();
    }
}

#[test]
fn a_certificate_that_is_found_in_storage_which_comes_late_is_shown() {
    for personality in BOTH {
        let folder = Folder::new(Io::Sim);
        let (config, root) = settings(&folder.0, CA);
        let acme = yaml(CA, "a.example", &folder.storage(), "http-01", &root);
        let text = configuration(&acme);
        let town = Town::open(personality, &text);
        let listener = town.world.listen(&at(&format!("{CA}:443"))).unwrap();
        let authority = Authority::at(&format!("https://{CA}"), Manner::default());
        let mut ca = Ca { listener, config, authority, visitors: Vec::new(), asked: Vec::new() };
        ca.until(&town, ISSUED, 1);
        let issued = town.facts();
        drop(ca);
        town.close();
        // A start before the storage is mounted.
        let away = folder.0.join("away");
        fs::rename(folder.storage(), &away).unwrap();
        fs::write(folder.storage(), "not yet").unwrap();
        let town = Town::open(personality, &text);
        town.says("no certificate can be ordered before its storage can be used");
        assert!(town.facts().is_self_issued, "{personality:?}");
        fs::remove_file(folder.storage()).unwrap();
        fs::rename(&away, folder.storage()).unwrap();
        town.says("a certificate was kept");
        assert_eq!(town.facts().serial, issued.serial, "{personality:?}");
        town.close();
    }
}
