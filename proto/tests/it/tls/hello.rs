//! A client's hello: whole, in pieces, and what is none.

use std::sync::Arc;

use anygate_proto::tls::hello::{HELLO_MOST, offers_only, read};
use anygate_proto::tls::{Fault, Hello};
use proptest::prelude::*;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::Client;

/// The hello of a client that asks for `name`.
pub(super) fn of(client: &Client, name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(client.config.clone()), name).unwrap();
    let mut sent = Vec::new();
    connection.write_tls(&mut sent).unwrap();
    sent
}

/// The same message in records of so many bytes.
pub(super) fn fragmented(hello: &[u8], size: usize) -> Vec<u8> {
    let records = hello[5..].chunks(size).map(|part| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[22, 3, 1, length[0], length[1]], part].concat()
    });
    records.flatten().collect()
}

fn whole(name: &str) -> Result<Hello, Fault> {
    Ok(Hello::Whole { server_name: Some(name.into()) })
}

/// A hello with these extensions alone.
fn with_extensions(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut list = Vec::new();
    for (kind, content) in extensions {
        list.extend(kind.to_be_bytes());
        list.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        list.extend_from_slice(content);
    }
    let mut body = [&[3, 3][..], &[9; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat();
    body.extend(u16::try_from(list.len()).unwrap().to_be_bytes());
    body.extend(list);
    let message = [&[1, 0][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), &body].concat();
    [&[22, 3, 1][..], &u16::try_from(message.len()).unwrap().to_be_bytes(), &message].concat()
}

fn with_name(kind: u8, name: &[u8]) -> Vec<u8> {
    let entry = [&[kind][..], &u16::try_from(name.len()).unwrap().to_be_bytes(), name].concat();
    with_extensions(&[
        (10, &[0, 2, 0, 29]),
        (0, &[&u16::try_from(entry.len()).unwrap().to_be_bytes()[..], &entry].concat()),
    ])
}

#[test]
fn a_hello_is_whole_when_its_last_byte_is_there_and_not_before() {
    for client in [Client::tls12(), Client::tls13()] {
        let hello = of(&client, "www.Example.test");
        for cut in 0..hello.len() {
            assert_eq!(read(&hello[..cut]), Ok(Hello::Partial), "{cut}");
        }
        assert_eq!(read(&hello), whole("www.example.test"));
        assert_eq!(read(&[&hello[..], b"early"].concat()), whole("www.example.test"));
    }
}

#[test]
fn a_hello_in_many_records_is_whole_all_the_same() {
    let hello = of(&Client::new(), "www.test");
    for size in [1, 2, 3, 4, 5, 100, 1000] {
        let hello = fragmented(&hello, size);
        assert_eq!(read(&hello), whole("www.test"), "{size}");
        assert!((0..hello.len()).all(|cut| read(&hello[..cut]) == Ok(Hello::Partial)), "{size}");
    }
}

#[test]
fn a_name_is_one_that_can_be_asked_for_or_none() {
    let named = |hello: &[u8]| match read(hello) {
        Ok(Hello::Whole { server_name }) => server_name.map(String::from),
        other => panic!("{other:?}"),
    };
    assert_eq!(named(&with_name(0, b"WWW.test")).as_deref(), Some("www.test"));
    assert_eq!(named(&with_name(0, b"www.test.")).as_deref(), Some("www.test"));
    assert_eq!(named(&with_name(0, b"_x-1.test")).as_deref(), Some("_x-1.test"));
    for none in [&b""[..], b"192.0.2.1", b"2001:db8::1", b"a b", b"a\0b", b"\xff", b"a\r\nb", &[b'a'; 254]] {
        assert_eq!(named(&with_name(0, none)), None, "{none:?}");
    }
    assert_eq!(named(&with_name(7, b"www.test")), None);
    assert_eq!(named(&with_extensions(&[])), None);
    assert_eq!(named(&with_extensions(&[(0, &[0, 9, 0])])), None);
}

#[test]
fn a_request_in_plain_text_is_told_from_noise() {
    for request in
        ["GET / HTTP/1.1\r\n\r\n", "POST /a?b HTTP/1.1", "OPTIONS * HTTP/1.1", "PRI * HTTP/2.0", "M-SEARCH * HTTP/1.1"]
    {
        assert_eq!(read(request.as_bytes()), Err(Fault::PlainHttp), "{request}");
        let method = request.find(' ').unwrap();
        assert!((0..=method).all(|cut| read(&request.as_bytes()[..cut]) == Ok(Hello::Partial)), "{request}");
    }
    for noise in [
        &b"get / HTTP/1.1"[..],
        b" GET / HTTP/1.1",
        b"\r\nGET /",
        b"\0\0\0\0",
        b"SSH-2.0-x",
        b"\x80\x2e\x01\x03\x01",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x17\x03\x03\x00\x01x",
        b"\x16\x02\x00\x00\x05",
        b"GETGETGETGETGETGETGETGETGET",
        &[b'A'; 100],
    ] {
        assert_eq!(read(noise), Err(Fault::NotTls), "{noise:?}");
    }
}

#[test]
fn records_and_messages_that_are_no_hello_are_not_waited_for() {
    for none in [
        // Empty, and longer than a record may be.
        &[22, 3, 1, 0, 0][..],
        &[22, 3, 1, 0x40, 1],
        // A message of another kind.
        &[22, 3, 1, 0, 4, 2, 0, 0, 0],
        // A record of another kind within the hello.
        &[22, 3, 1, 0, 4, 1, 0, 0, 9, 21, 3, 1, 0, 2, 1, 0],
        &[22, 3, 1, 0, 4, 1, 0, 0, 9, 22, 4],
    ] {
        assert_eq!(read(none), Err(Fault::NotTls), "{none:?}");
    }
}

#[test]
fn a_hello_that_says_or_is_more_than_it_may_is_too_large() {
    assert_eq!(read(&[22, 3, 1, 0, 4, 1, 1, 0, 0]), Err(Fault::TooLarge));
    assert_eq!(read(&[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]), Err(Fault::TooLarge));
    // In records of one byte each it is six times as long, and their headers count.
    let mut message = vec![1, 0, 0x70, 0];
    message.resize(HELLO_MOST, 0);
    let many = fragmented(&[&[0; 5][..], &message].concat(), 1);
    assert_eq!(read(&many[..HELLO_MOST - 1]), Ok(Hello::Partial));
    assert_eq!(read(&many[..HELLO_MOST]), Err(Fault::TooLarge));
}

#[test]
fn an_authority_is_known_by_the_one_protocol_it_offers() {
    let offering = |protocols: &[&str]| {
        let mut client = Client::new();
        client.config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let hello = of(&client, "www.test");
        assert_eq!(offers_only(&hello, b"acme-tls/1"), offers_only(&fragmented(&hello, 100), b"acme-tls/1"));
        offers_only(&hello, b"acme-tls/1")
    };
    assert!(offering(&["acme-tls/1"]));
    for others in [&[][..], &["http/1.1"], &["acme-tls/1", "http/1.1"], &["http/1.1", "acme-tls/1"], &["acme-tls/2"]] {
        assert!(!offering(others), "{others:?}");
    }
    assert!(!offers_only(b"GET / HTTP/1.1", b"acme-tls/1"));
    assert!(!offers_only(b"", b"acme-tls/1"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn no_bytes_do_harm_and_none_is_whole_before_it_is_read(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        prefix in prop::sample::select(vec![&b""[..], b"\x16", b"\x16\x03\x01", b"\x16\x03\x01\x00\x20\x01\x00\x00\x1c\x03\x03"]),
    ) {
        let input = [prefix, &bytes].concat();
        let outcome = read(&input);
        let _ = offers_only(&input, b"acme-tls/1");
        // What was decided stays decided, whatever follows.
        if outcome != Ok(Hello::Partial) {
            prop_assert_eq!(read(&[&input[..], b"more"].concat()), outcome);
        }
    }

    #[test]
    fn a_hello_with_a_byte_changed_does_no_harm(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut hello = with_name(0, b"www.test");
        let at = at.index(hello.len());
        hello[at] = byte;
        let _ = (read(&hello), offers_only(&hello, b"acme-tls/1"));
    }
}
