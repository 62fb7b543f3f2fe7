//! Sessions that go on: by tickets and without, over reloads and rotations, and where they must not.

use std::sync::Arc;

use anygate_proto::tls::tickets::{LIFETIME_LEAST, LIFETIME_MOST};
use anygate_proto::tls::{Authorities, ClientAuth, Identity, Profile, SessionCache, Settings, TicketKeys};
use rcgen::KeyPair;
use rustls::ServerConfig;

use super::{AUTHORITY, Authority, Client, NOW, server};

const HOUR: u64 = 3600;

fn tickets() -> Arc<TicketKeys> {
    TicketKeys::new(12 * 3600, NOW).unwrap()
}

fn with(identity: &Arc<Identity>, keys: &Arc<TicketKeys>, edit: impl FnOnce(&mut Settings)) -> Arc<ServerConfig> {
    server(&[identity], |settings| {
        settings.tickets = Some(Arc::clone(keys));
        edit(settings);
    })
}

/// Whether a session that began at `first` goes on at `second`.
fn goes_on(client: &Client, first: &Arc<ServerConfig>, second: &Arc<ServerConfig>) -> bool {
    assert!(!client.meets(first, "www.test").succeeded().records.agreed().resumed);
    client.meets(second, "www.test").succeeded().records.agreed().resumed
}

fn clients() -> [Client; 2] {
    [Client::tls12().resuming(), Client::tls13().resuming()]
}

#[test]
fn a_session_goes_on_by_its_ticket_after_a_reload_and_with_a_new_certificate() {
    let keys = tickets();
    let (old, new) = (AUTHORITY.identity(&["www.test"]), AUTHORITY.identity(&["www.test"]));
    for client in clients() {
        assert!(goes_on(&client, &with(&old, &keys, |_| {}), &with(&new, &keys, |_| {})));
    }
}

#[test]
fn one_ticket_comes_with_a_handshake_and_serves_for_the_next_one_in_turn() {
    let config = with(&AUTHORITY.identity(&["www.test"]), &tickets(), |_| {});
    let client = Client::tls13().resuming();
    assert_eq!(client.meets(&config, "www.test").client.tls13_tickets_received(), 1);
    for _ in 0..3 {
        assert!(client.meets(&config, "www.test").succeeded().records.agreed().resumed);
    }
}

#[test]
fn a_ticket_is_good_for_half_a_lifetime_and_never_for_more_than_a_whole_one() {
    let identity = AUTHORITY.identity(&["www.test"]);
    for client in clients() {
        let keys = tickets();
        let config = with(&identity, &keys, |_| {});
        client.meets(&config, "www.test").succeeded();
        assert_eq!(keys.tick(NOW + 6 * HOUR - 1), Ok(false));
        assert_eq!(keys.tick(NOW + 6 * HOUR), Ok(true));
        assert_eq!(keys.tick(NOW + 6 * HOUR), Ok(false));
        assert!(client.meets(&config, "www.test").succeeded().records.agreed().resumed);

        let keys = tickets();
        let config = with(&identity, &keys, |_| {});
        client.meets(&config, "www.test").succeeded();
        assert_eq!([keys.tick(NOW + 6 * HOUR), keys.tick(NOW + 12 * HOUR)], [Ok(true); 2]);
        assert!(!client.meets(&config, "www.test").succeeded().records.agreed().resumed);
    }
}

#[test]
fn keys_of_a_process_that_slept_for_a_lifetime_are_all_gone() {
    let keys = tickets();
    let config = with(&AUTHORITY.identity(&["www.test"]), &keys, |_| {});
    let client = Client::tls13().resuming();
    client.meets(&config, "www.test").succeeded();
    assert_eq!(keys.tick(NOW + 12 * HOUR), Ok(true));
    assert!(!client.meets(&config, "www.test").succeeded().records.agreed().resumed);
}

#[test]
fn a_clock_that_goes_back_changes_no_key() {
    let keys = tickets();
    assert_eq!(keys.tick(0), Ok(false));
    assert_eq!(keys.tick(NOW + 6 * HOUR), Ok(true));
    assert_eq!(TicketKeys::new(0, 0).unwrap().lifetime(), LIFETIME_LEAST);
    assert_eq!(TicketKeys::new(u32::MAX, 0).unwrap().lifetime(), LIFETIME_MOST);
}

#[test]
fn a_ticket_of_another_process_or_that_was_touched_is_an_earlier_session_to_nobody() {
    let config = || with(&AUTHORITY.identity(&["www.test"]), &tickets(), |_| {});
    for client in clients() {
        assert!(!goes_on(&client, &config(), &config()));
    }
    let config = config();
    let sealed = config.ticketer.encrypt(b"a session").unwrap();
    assert_eq!(config.ticketer.decrypt(&sealed).unwrap(), b"a session");
    assert_ne!(sealed, config.ticketer.encrypt(b"a session").unwrap());
    for at in 0..sealed.len() {
        let mut touched = sealed.clone();
        touched[at] ^= 1;
        assert_eq!(config.ticketer.decrypt(&touched), None, "byte {at}");
        assert_eq!(config.ticketer.decrypt(&sealed[..at]), None, "cut at {at}");
    }
    assert_eq!(config.ticketer.encrypt(&vec![0; 13 << 10]), None);
}

#[test]
fn a_session_without_a_client_certificate_does_not_go_on_where_one_is_demanded() {
    let identity = AUTHORITY.identity(&["www.test"]);
    let keys = tickets();
    let sessions = SessionCache::new(100, 12 * 3600, NOW);
    let (ours, others) = (Authority::new("Ours"), Authority::new("Others"));
    let demands = |kind: fn(Authorities) -> ClientAuth, authority: &Authority| {
        kind(Authorities::load(authority.pem().as_bytes()).unwrap())
    };
    let key = KeyPair::generate().unwrap();
    let cert = ours.issue(&["client.test"], &key);
    for by_ticket in [true, false] {
        let config = |client_auth: ClientAuth, profile, realm: &str| {
            server(&[&identity], |settings| {
                settings.tickets = by_ticket.then(|| Arc::clone(&keys));
                settings.sessions = Some(Arc::clone(&sessions));
                (settings.client_auth, settings.profile) = (client_auth, profile);
                settings.realm = realm.into();
            })
        };
        let usual = Profile::Intermediate;
        let required = |authority| config(demands(ClientAuth::Required, authority), usual, "");
        let resuming = || Client::showing(&cert, &key).resuming();
        // The client is known by what it showed when its session began.
        let client = resuming();
        assert!(goes_on(&client, &required(&ours), &required(&ours)));
        assert_eq!(client.meets(&required(&ours), "www.test").succeeded().records.agreed().client_chain.len(), 1);
        let open = config(ClientAuth::None, usual, "");
        assert!(!goes_on(&resuming(), &open, &required(&ours)));
        assert!(!goes_on(&resuming(), &open, &config(demands(ClientAuth::Optional, &ours), usual, "")));
        assert!(!goes_on(&resuming(), &required(&ours), &config(demands(ClientAuth::Optional, &ours), usual, "")));
        assert!(!goes_on(&resuming(), &open, &config(ClientAuth::None, usual, "tenant")));
        assert!(!goes_on(&resuming(), &open, &config(ClientAuth::None, Profile::Modern, "")));
        assert!(goes_on(&resuming(), &open, &config(ClientAuth::None, usual, "")));
        let both = format!("{}{}", others.pem(), ours.pem());
        let turned = format!("{}{}", ours.pem(), others.pem());
        let bundle = |pem: &str| config(ClientAuth::Required(Authorities::load(pem.as_bytes()).unwrap()), usual, "");
        assert!(!goes_on(&resuming(), &bundle(&both), &required(&ours)));
        assert!(goes_on(&resuming(), &bundle(&both), &bundle(&turned)));
    }
}

#[test]
fn without_tickets_sessions_are_found_in_the_cache_after_a_reload_until_they_are_too_old() {
    let identity = AUTHORITY.identity(&["www.test"]);
    for client in clients() {
        let sessions = SessionCache::new(100, 12 * 3600, NOW);
        let config = || server(&[&identity], |settings| settings.sessions = Some(Arc::clone(&sessions)));
        assert!(goes_on(&client, &config(), &config()));
        assert!(!sessions.tick(NOW + 6 * HOUR - 1));
        assert!(sessions.tick(NOW + 6 * HOUR));
        assert!(client.meets(&config(), "www.test").succeeded().records.agreed().resumed);
        assert!(sessions.tick(NOW + 12 * HOUR) && sessions.tick(NOW + 18 * HOUR));
        assert!(!client.meets(&config(), "www.test").succeeded().records.agreed().resumed);
        assert!(sessions.tick(NOW + 30 * HOUR));
        assert!(!client.meets(&config(), "www.test").succeeded().records.agreed().resumed);
    }
}

#[test]
fn with_neither_no_session_goes_on_and_no_ticket_is_sent() {
    let config = server(&[&AUTHORITY.identity(&["www.test"])], |_| {});
    for client in clients() {
        assert!(!goes_on(&client, &config, &config));
    }
    assert_eq!(Client::tls13().resuming().meets(&config, "www.test").client.tls13_tickets_received(), 0);
}

#[test]
fn the_cache_holds_no_more_than_it_may() {
    let sessions = SessionCache::new(10, 3600, NOW);
    let config = server(&[&AUTHORITY.identity(&["www.test"])], |settings| settings.sessions = Some(sessions));
    let storage = &config.session_storage;
    for key in 0..100_u8 {
        assert!(storage.put(vec![key], vec![key; 40]));
    }
    let held = (0..100_u8).filter(|key| storage.get(&[*key]).is_some()).count();
    assert!((1..=10).contains(&held), "{held}");
    assert!(!storage.put(vec![200], vec![0; 13 << 10]));
    assert_eq!(storage.take(&[99]), Some(vec![99; 40]));
    assert_eq!(storage.take(&[99]), None);
}

#[test]
fn keys_and_sessions_change_once_however_many_ask_at_the_same_moment() {
    for _ in 0..20 {
        let (keys, sessions) = (tickets(), SessionCache::new(10, 12 * 3600, NOW));
        let changes: Vec<(bool, bool)> = std::thread::scope(|scope| {
            let asking = || (keys.tick(NOW + 6 * HOUR).unwrap(), sessions.tick(NOW + 6 * HOUR));
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(asking)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(changes.iter().filter(|(keys, _)| *keys).count(), 1);
        assert_eq!(changes.iter().filter(|(_, sessions)| *sessions).count(), 1);
    }
}

#[test]
fn sessions_go_on_from_any_thread_while_keys_change() {
    let keys = tickets();
    let config = with(&AUTHORITY.identity(&["www.test"]), &keys, |_| {});
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let client = Client::tls13().resuming();
                client.meets(&config, "www.test").succeeded();
                for _ in 0..10 {
                    client.meets(&config, "www.test").succeeded();
                }
            });
        }
        for half in 1..20 {
            keys.tick(NOW + half * 6 * HOUR).unwrap();
            std::thread::yield_now();
        }
    });
}
