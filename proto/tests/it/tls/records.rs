//! Records: content in and out in whatever pieces, and every way a connection ends.

use std::io::Write;
use std::sync::{Arc, LazyLock};

use anygate_proto::tls::records::{AHEAD, Records, sealed_len};
use anygate_proto::tls::{Fault, Identity, TicketKeys};
use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConnection, Error, ServerConfig};

use super::{AUTHORITY, Client, Met, NOW, hello, server};

static IDENTITY: LazyLock<Arc<Identity>> = LazyLock::new(|| AUTHORITY.identity(&["www.test"]));
static CONFIG: LazyLock<Arc<ServerConfig>> =
    LazyLock::new(|| server(&[&IDENTITY], |settings| settings.tickets = Some(TicketKeys::new(3600, NOW).unwrap())));

static TLS12: LazyLock<Client> = LazyLock::new(Client::tls12);
static TLS13: LazyLock<Client> = LazyLock::new(Client::tls13);

fn clients() -> [Client; 2] {
    [Client::tls12(), Client::tls13()]
}

fn unmet(client: &Client) -> Met {
    let name = ServerName::try_from("www.test").unwrap();
    Met::new(ClientConnection::new(Arc::new(client.config.clone()), name).unwrap(), &CONFIG)
}

/// What the client would send now.
fn sent(met: &mut Met) -> Vec<u8> {
    let mut sent = Vec::new();
    while met.client.wants_write() {
        met.client.write_tls(&mut sent).unwrap();
    }
    sent
}

fn alert(met: &Met) -> Option<AlertDescription> {
    match &met.client_error {
        Some(Error::AlertReceived(alert)) => Some(*alert),
        _ => None,
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[test]
fn a_handshake_and_content_come_through_in_pieces_of_any_size() {
    for client in clients() {
        for piece in [1, 2, 5, 6, 100, 1000, 5000] {
            let mut met = unmet(&client);
            met.exchange_in(piece);
            met.succeeded();
            let wanted = content(40_000);
            met.client.writer().write_all(&wanted).unwrap();
            met.exchange_in(piece.max(3));
            assert_eq!(met.received, wanted, "{piece}");
            assert!(!met.records.is_amid());
        }
    }
}

#[test]
fn a_hello_in_many_records_is_answered() {
    for client in clients() {
        for size in [1, 50, 200] {
            let mut met = unmet(&client);
            let mut first = hello::fragmented(&sent(&mut met), size);
            let mut out = Vec::new();
            met.feed(&mut first, &mut out);
            met.give(&out);
            met.exchange();
            met.succeeded();
        }
    }
}

#[test]
fn content_of_every_length_is_sealed_and_opened() {
    for client in clients() {
        let mut met = client.meets(&CONFIG, "www.test");
        for length in [0, 1, 2, 1024, 16_383, 16_384, 16_385, 32_768, 100_000] {
            assert!(met.echo(&content(length)) == content(length), "{length}");
        }
        met.succeeded();
    }
}

#[test]
fn what_is_sealed_takes_no_more_room_than_is_said_and_less_room_is_an_error() {
    for client in clients() {
        let mut met = client.meets(&CONFIG, "www.test");
        for length in [0, 1, 16_384, 16_385, 100_000] {
            let mut room = vec![0; sealed_len(length)];
            let sealed = met.records.seal(&content(length), &mut room).unwrap();
            assert!(sealed <= sealed_len(length) - AHEAD, "{length}: {sealed}");
            assert_eq!(met.open(&room[..sealed]).len(), length);
        }
        assert_eq!(met.records.seal(&[1; 100], &mut [0; 100]), Err(Fault::Internal));
        // Nothing was spent on it: the next goes through.
        assert_eq!(met.echo(b"next"), b"next");
    }
}

#[test]
fn nothing_is_sealed_before_the_handshake_ended() {
    let mut met = unmet(&Client::new());
    assert!(met.records.is_handshaking());
    assert!(met.records.seal(b"early", &mut [0; 1000]).is_err());
    assert_eq!(met.records.close(&mut [0; AHEAD]), 0);
    met.exchange();
    assert_eq!(met.succeeded().received, b"");
}

#[test]
fn content_that_comes_with_the_end_of_the_handshake_is_there() {
    for client in clients() {
        let mut met = unmet(&client);
        met.client.writer().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        met.exchange();
        assert_eq!(met.succeeded().received, b"GET / HTTP/1.1\r\n\r\n");
    }
}

#[test]
fn a_peers_last_word_is_told_from_a_stream_that_was_cut_off() {
    for client in clients() {
        let mut met = client.meets(&CONFIG, "www.test");
        met.client.writer().write_all(b"half a bo").unwrap();
        let mut bytes = sent(&mut met);
        let cut = bytes.len() - 3;
        met.feed(&mut bytes[..cut], &mut Vec::new());
        assert!(!met.records.is_closed() && met.records.is_amid() && met.received.is_empty());
        met.feed(&mut bytes[cut..], &mut Vec::new());
        assert!(!met.records.is_closed() && !met.records.is_amid());

        met.client.send_close_notify();
        met.exchange();
        assert!(met.records.is_closed());
        assert_eq!((met.received.as_slice(), met.server_fault), (&b"half a bo"[..], None));
        // What follows is ignored, and the server may still answer.
        met.feed(&mut b"\x17\x03\x03\x00\x05hello".to_vec(), &mut Vec::new());
        met.feed(&mut vec![0; 100_000], &mut Vec::new());
        assert_eq!((met.server_fault, met.records.is_amid()), (None, false));
        assert_eq!(met.echo(b"answer"), b"answer");
    }
}

#[test]
fn the_servers_last_word_is_heard() {
    for client in clients() {
        let mut met = client.meets(&CONFIG, "www.test");
        met.close();
        let mut read = Vec::new();
        // Without it this would be an error.
        std::io::Read::read_to_end(&mut met.client.reader(), &mut read).unwrap();
        assert_eq!(met.client_error, None);
    }
}

#[test]
fn garbage_instead_of_a_record_ends_it_with_an_alert() {
    for client in clients() {
        let mut met = client.meets(&CONFIG, "www.test");
        let mut out = Vec::new();
        met.feed(&mut b"GET / HTTP/1.1\r\n\r\n".to_vec(), &mut out);
        assert_eq!(met.server_fault, Some(Fault::Protocol));
        met.give(&out);
        assert!(alert(&met).is_some(), "{:?}", met.client_error);
        // It stays at its end.
        assert_eq!(met.records.feed(&mut [], |_| {}, &mut Vec::new()), Err(Fault::Protocol));
        assert!(met.records.seal(b"more", &mut [0; 1000]).is_err());
        assert_eq!(met.records.close(&mut [0; AHEAD]), 0);
    }
}

#[test]
fn a_record_that_was_touched_ends_it_and_none_of_it_is_content() {
    for client in clients() {
        let mut met = client.meets(&CONFIG, "www.test");
        met.client.writer().write_all(b"pay 1").unwrap();
        let mut bytes = sent(&mut met);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let mut out = Vec::new();
        met.feed(&mut bytes, &mut out);
        met.give(&out);
        assert_eq!((met.server_fault, met.received.len()), (Some(Fault::Protocol), 0));
        assert_eq!(alert(&met), Some(AlertDescription::BadRecordMac));
    }
}

#[test]
fn what_came_before_a_bad_record_is_content() {
    for client in clients() {
        let mut met = client.meets(&CONFIG, "www.test");
        met.client.writer().write_all(b"good").unwrap();
        let mut bytes = [sent(&mut met), b"\x17\x03\x03\x00\x20".to_vec(), vec![0; 32]].concat();
        met.feed(&mut bytes, &mut Vec::new());
        assert_eq!((met.received.as_slice(), met.server_fault), (&b"good"[..], Some(Fault::Protocol)));
    }
}

#[test]
fn a_record_longer_than_records_may_be_ends_it_before_it_is_there() {
    for client in clients() {
        let mut met = client.meets(&CONFIG, "www.test");
        met.feed(&mut b"\x17\x03\x03\xff\xff".to_vec(), &mut Vec::new());
        assert_eq!(met.server_fault, Some(Fault::Protocol));
    }
}

/// The kinds of these records.
fn kinds(mut records: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [kind, _, _, a, b, rest @ ..] = records {
        kinds.push(*kind);
        records = &rest[usize::from(*a) << 8 | usize::from(*b)..];
    }
    kinds
}

#[test]
fn a_hello_that_is_not_in_order_is_refused_with_an_alert() {
    let hello = hello::of(&Client::new(), "www.test");
    for at in (5..hello.len()).step_by(7) {
        let mut bent = hello.clone();
        bent[at] ^= 0xff;
        let mut records = Records::new(&CONFIG).unwrap();
        let mut out = Vec::new();
        // It is an answer or an alert, or a message that seems to go on.
        if records.feed(&mut bent, |_| panic!("content"), &mut out).is_err() {
            // In plain text, or sealed behind the server's hello.
            assert!(matches!(kinds(&out)[..], [21] | [22, .., 21 | 23]), "byte {at}: {out:x?}");
        }
    }
}

#[test]
fn a_handshake_message_without_end_is_too_large() {
    let mut met = unmet(&Client::tls13());
    met.feed(&mut hello::of(&Client::tls13(), "www.test"), &mut Vec::new());
    assert_eq!(met.server_fault, None);
    // A hello of 16 MiB, a record at a time.
    let mut records = Records::new(&CONFIG).unwrap();
    let mut fed = 0;
    let fault = loop {
        let mut record = [&[22, 3, 1, 0x40, 0][..], &content(16 << 10)].concat();
        record[5..9].copy_from_slice(if fed == 0 { &[1, 0xff, 0xff, 0xff] } else { &[0; 4] });
        fed += record.len();
        if let Err(fault) = records.feed(&mut record, |_| {}, &mut Vec::new()) {
            break fault;
        }
        assert!(fed < 200_000, "{fed}");
    };
    assert!(matches!(fault, Fault::TooLarge | Fault::Protocol), "{fault}");
}

#[test]
fn keys_are_updated_at_the_clients_wish_even_amid_a_record() {
    let mut met = Client::tls13().meets(&CONFIG, "www.test");
    for round in 0..3 {
        met.client.refresh_traffic_keys().unwrap();
        met.client.writer().write_all(b"after").unwrap();
        let mut bytes = sent(&mut met);
        // The update and half a record.
        let cut = bytes.len() - 4;
        let mut out = Vec::new();
        met.feed(&mut bytes[..cut], &mut out);
        assert!(met.records.is_amid());
        met.give(&out);
        // The server writes while the other half is on its way.
        assert_eq!(met.echo(&content(20_000)), content(20_000));
        let mut out = Vec::new();
        met.feed(&mut bytes[cut..], &mut out);
        met.give(&out);
        assert_eq!(met.received, b"after".repeat(round + 1));
        assert_eq!(met.echo(b"again"), b"again");
    }
    assert_eq!((met.server_fault, met.client_error), (None, None));
}

#[test]
fn writing_amid_a_record_of_the_peer_loses_none_of_it() {
    for client in clients() {
        let mut met = client.meets(&CONFIG, "www.test");
        met.client.writer().write_all(&content(3000)).unwrap();
        let mut bytes = sent(&mut met);
        for piece in bytes.chunks_mut(700) {
            met.feed(piece, &mut Vec::new());
            assert_eq!(met.echo(b"meanwhile"), b"meanwhile");
        }
        assert_eq!(met.received, content(3000));
    }
}

#[test]
fn an_alert_of_the_client_ends_it_as_refused() {
    let mut met = Client::new().meets(&CONFIG, "other.test");
    assert!(matches!(met.client_error, Some(Error::InvalidCertificate(_))));
    let mut bytes = sent(&mut met);
    met.feed(&mut bytes, &mut Vec::new());
    assert_eq!(met.server_fault, Some(Fault::Refused));
}

#[test]
fn a_connection_at_rest_holds_nothing_that_came() {
    for client in clients() {
        let mut met = unmet(&client);
        met.exchange_in(7);
        met.client.writer().write_all(&content(50_000)).unwrap();
        met.exchange_in(1000);
        assert_eq!(format!("{:?}", met.records), "Records { held: 0, closed: false, .. }");
    }
}

/// What somebody on the way does to one of a client's flights.
#[derive(Debug, Clone)]
enum Harm {
    Change(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Repeat(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
}

impl Harm {
    fn to(&self, bytes: &mut Vec<u8>) {
        let place = |index: &prop::sample::Index| index.index(bytes.len().max(1));
        match self {
            Self::Change(at, byte) => {
                let at = place(at);
                if let Some(changed) = bytes.get_mut(at) {
                    *changed ^= byte;
                }
            }
            Self::Cut(at) => bytes.truncate(place(at)),
            Self::Repeat(at) => bytes.extend_from_within(place(at).min(bytes.len())..),
            Self::Insert(at, more) => {
                let at = place(at).min(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
        }
    }
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = any::<prop::sample::Index>;
    // Beginnings of records of every kind, and noise.
    let record = (20_u8..25, 0_u8..5, any::<u8>(), prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(kind, minor, length, rest)| [&[kind, 3, minor, 0, length][..], &rest].concat());
    prop_oneof![
        (at(), 1..=u8::MAX).prop_map(|(at, byte)| Harm::Change(at, byte)),
        at().prop_map(Harm::Cut),
        at().prop_map(Harm::Repeat),
        (at(), record).prop_map(|(at, more)| Harm::Insert(at, more)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn whatever_is_done_to_a_clients_bytes_what_comes_is_what_it_sent_and_no_more(
        is_tls13 in any::<bool>(),
        harmed in prop::collection::vec((0_usize..4, harm()), 0..3),
        piece in prop::sample::select(vec![1, 3, 64, 700, 100_000]),
    ) {
        let mut met = unmet(if is_tls13 { &TLS13 } else { &TLS12 });
        let wanted = content(6000);
        for flight in 0..5 {
            if flight == 3 && !met.client.is_handshaking() && met.client_error.is_none() {
                met.client.writer().write_all(&wanted).unwrap();
                met.client.send_close_notify();
            }
            let mut bytes = sent(&mut met);
            harmed.iter().filter(|(at, _)| *at == flight).for_each(|(_, harm)| harm.to(&mut bytes));
            let mut out = Vec::new();
            for piece in bytes.chunks_mut(piece) {
                met.feed(piece, &mut out);
                // Whoever serves may write at any moment.
                let mut sealed = [0; 600];
                if let Ok(length) = met.records.seal(b"answer", &mut sealed) {
                    prop_assert_eq!(met.server_fault, None);
                    out.extend_from_slice(&sealed[..length]);
                }
            }
            met.open(&out);
        }
        prop_assert!(wanted.starts_with(&met.received));
        let is_whole = met.server_fault.is_none() && met.records.is_closed();
        prop_assert!(!is_whole || met.received == wanted, "a clean end after {} bytes", met.received.len());
        prop_assert!(!harmed.is_empty() || is_whole);
    }
}
