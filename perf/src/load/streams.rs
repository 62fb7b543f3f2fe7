//! Whether a load in HTTP/2 counts what a server does: over real sockets, on both drivers, with and without TLS.

use std::io::{Read, Write};
use std::time::Duration;

use anygate_shard::Io;

use super::loopback::Server;
use super::secured;
use super::*;
use crate::floor::testing::drivers;
use crate::identity::NAME;

const PREFACE: usize = 24;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Serves one connection: `answer` gets the number of each request's stream, the last that came first, and says what is
/// written for it; nothing ends the connection.
fn serve(mut stream: impl Read + Write, mut answer: impl FnMut(u32) -> Option<Vec<u8>>) {
    let (mut input, mut piece, mut begun) = (Vec::new(), [0; 65_536], false);
    while let Some(read) = stream.read(&mut piece).ok().filter(|&read| read > 0) {
        input.extend_from_slice(&piece[..read]);
        if !begun && input.len() >= PREFACE {
            begun = input.drain(..PREFACE).eq(*b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            assert!(begun && stream.write_all(&frame(4, 0, 0, &[])).is_ok());
        }
        let (mut at, mut asked) = (0, Vec::new());
        while let Some(header) = input.get(at..at + 9).filter(|_| begun) {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            if input.len() < at + 9 + length {
                break;
            }
            let number = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
            asked.extend((header[3] == HEADERS && header[4] & END_STREAM != 0).then_some(number));
            at += 9 + length;
        }
        input.drain(..at);
        let mut out = Vec::new();
        for number in asked.into_iter().rev() {
            match answer(number) {
                Some(bytes) => out.extend_from_slice(&bytes),
                None => return drop(stream.write_all(&out)),
            }
        }
        if stream.write_all(&out).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

/// 200 with two bytes.
fn ok(number: u32) -> Vec<u8> {
    [frame(HEADERS, 4, number, b"\x88\x0f\x0d\x012"), frame(0, END_STREAM, number, b"ok")].concat()
}

fn plan(server: &Server, io: Io) -> Plan {
    Plan { protocol: Protocol::Http2, depth: 8, ..server.plan(io) }
}

#[test]
fn every_stream_is_answered_once_on_both_drivers_with_and_without_tls() {
    let plain = Server::start(|stream, _| serve(stream, |number| Some(ok(number))));
    let secure = secured::server(b"h2", |stream| serve(stream, |number| Some(ok(number))));
    let tls = Tls { name: NAME.to_owned(), ..Tls::default() };
    for io in drivers() {
        for (server, tls) in [(&plain, None), (&secure, Some(tls.clone()))] {
            let plan = Plan { tls, ..plan(server, io) };
            let tally = server.seen(&plan, |tally| tally.answers > 100);
            assert_eq!((tally.all_faults(), tally.connects), (0, 0), "{io}: {:?}", tally.refused);
            assert_eq!(tally.latency.len(), tally.answers);
            let rated = Plan { rate: Some(500.0), ..plan.clone() };
            let tally = server.seen(&rated, |tally| tally.answers.abs_diff(tally.due) <= 40);
            assert_eq!(tally.all_faults(), 0, "{io}");
            let each = Plan { reuse: Reuse::PerRequest, depth: 1, ..plan };
            let tally = server.seen(&each, |tally| tally.connects > 8);
            assert_eq!(tally.all_faults(), 0, "{io}: {:?}", tally.refused);
            assert!(tally.connects.abs_diff(tally.answers) <= 8, "{io}: {} for {}", tally.connects, tally.answers);
        }
    }
}

#[test]
fn a_server_may_end_a_connection_and_what_it_did_not_look_at_is_asked_again() {
    // Of each connection, it answers the first 30 streams, and says so when the 31st comes.
    let server = Server::start(|stream, _| {
        let mut said = false;
        serve(stream, |number| match number {
            ..60 => Some(ok(number)),
            _ if said => Some(Vec::new()),
            _ => {
                said = true;
                Some(frame(7, 0, 0, &[0, 0, 0, 59, 0, 0, 0, 0]))
            }
        });
    });
    for io in drivers() {
        let tally = server.seen(&plan(&server, io), |tally| tally.connects > 4);
        assert_eq!(tally.all_faults(), 0, "{io}");
        assert!(tally.answers >= 30 * (tally.connects - 4), "{io}: {} on {}", tally.answers, tally.connects);
    }
}

#[test]
fn what_fails_is_counted_by_its_kind() {
    let reset = Server::start(|stream, _| {
        serve(
            stream,
            |number| if number % 4 == 1 { Some(ok(number)) } else { Some(frame(3, 0, number, &[0, 0, 0, 7])) },
        );
    });
    let ended = Server::start(|stream, _| serve(stream, |_| None));
    let wrong = Server::start(|stream, _| {
        serve(stream, |number| Some(frame(HEADERS, 5, number, b"\x88\x0f\x0d\x012")));
    });
    let other = Server::start(|mut stream, _| drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")));
    for io in drivers() {
        let tally = reset.seen(&plan(&reset, io), |tally| tally.answers > 50);
        let (answers, failed) = (tally.answers, tally.faults(Fault::Reset));
        assert!(answers.abs_diff(failed) <= 64 && tally.all_faults() == failed, "{io}: {answers}, {failed}");
        assert_eq!(tally.connects, 0, "{io}: a stream that fails is not its connection");
        for (server, fault) in [(&ended, Fault::Ended), (&wrong, Fault::Malformed), (&other, Fault::Malformed)] {
            let kinds = |tally: &Tally| tally.faults(fault) + tally.faults(Fault::Reset);
            let tally = server.seen(&plan(server, io), |tally| tally.faults(fault) > 0);
            assert_eq!((tally.answers, tally.all_faults()), (0, kinds(&tally)), "{io}, {fault:?}");
        }
    }
}

#[test]
fn a_server_that_agrees_on_another_protocol_is_a_handshake_that_failed() {
    let server = secured::server(b"http/1.1", |mut stream| drop(stream.read(&mut [0; 9])));
    let tls = Some(Tls { name: NAME.to_owned(), ..Tls::default() });
    for io in drivers() {
        let tally = server.seen(&Plan { tls: tls.clone(), ..plan(&server, io) }, |tally| tally.all_faults() > 0);
        assert_eq!((tally.answers, tally.connects), (0, 0), "{io}");
        assert!(tally.faults(Fault::Handshake) > 0 && tally.refused.is_some(), "{io}: {:?}", tally.refused);
    }
}

#[test]
fn connections_rest_after_one_answer_each() {
    let server = secured::server(b"h2", |stream| serve(stream, |number| Some(ok(number))));
    for io in drivers() {
        let tls = Some(Tls { name: NAME.to_owned(), ..Tls::default() });
        let mut steps = Vec::new();
        let settle = Duration::from_millis(10);
        hold(&Plan { tls, ..plan(&server, io) }, &[5, 50], settle, &mut |count| steps.push(count)).unwrap();
        assert_eq!(steps, [5, 50]);
    }
}
