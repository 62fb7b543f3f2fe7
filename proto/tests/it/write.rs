//! Answers of our own: the whole of what is written.

use anygate_proto::h1::response::{Asked, parse_response};
use anygate_proto::h1::write::{Answer, Image, Persistence};
use anygate_proto::{BodyLength, Fields, Limits, Parsed, Version, date};

const DATE: &[u8; date::LEN] = b"Sun, 06 Nov 1994 08:49:37 GMT";

fn answer(status: u16, body: BodyLength) -> Answer<'static> {
    Answer { status, server: "", fields: &[("A", b"b")], body, persistence: Persistence::Implied }
}

fn written(answer: &Answer<'_>) -> String {
    let mut out = b"before".to_vec();
    let offset = answer.write(DATE, &mut out).expect("the fields are valid");
    let head = out.split_off(6);
    assert_eq!(&head[offset..offset + date::LEN], DATE);
    String::from_utf8(head).expect("the cases are text").replace("Date: Sun, 06 Nov 1994 08:49:37 GMT", "D")
}

#[test]
fn a_head_says_what_it_must_and_no_more() {
    let with = |persistence, version: u16| Answer { persistence, ..answer(version, BodyLength::Length(2)) };
    for (answer, expected) in [
        (answer(200, BodyLength::Length(12)), "HTTP/1.1 200 OK\r\nD\r\nA: b\r\nContent-Length: 12\r\n\r\n"),
        (
            answer(200, BodyLength::Length(u64::MAX)),
            "HTTP/1.1 200 OK\r\nD\r\nA: b\r\nContent-Length: 18446744073709551615\r\n\r\n",
        ),
        (answer(200, BodyLength::Chunked), "HTTP/1.1 200 OK\r\nD\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (answer(200, BodyLength::UntilClose), "HTTP/1.1 200 OK\r\nD\r\nA: b\r\n\r\n"),
        (answer(204, BodyLength::Length(0)), "HTTP/1.1 204 No Content\r\nD\r\nA: b\r\n\r\n"),
        (answer(304, BodyLength::Length(5)), "HTTP/1.1 304 Not Modified\r\nD\r\nA: b\r\nContent-Length: 5\r\n\r\n"),
        (answer(304, BodyLength::Chunked), "HTTP/1.1 304 Not Modified\r\nD\r\nA: b\r\n\r\n"),
        (answer(599, BodyLength::None), "HTTP/1.1 599 \r\nD\r\nA: b\r\n\r\n"),
        (
            with(Persistence::Close, 404),
            "HTTP/1.1 404 Not Found\r\nD\r\nA: b\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
        ),
        (
            with(Persistence::KeepAlive, 200),
            "HTTP/1.1 200 OK\r\nD\r\nA: b\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n",
        ),
        (
            Answer { server: "gate", fields: &[], ..answer(200, BodyLength::None) },
            "HTTP/1.1 200 OK\r\nD\r\nServer: gate\r\n\r\n",
        ),
    ] {
        assert_eq!(written(&answer), expected);
    }
}

#[test]
fn a_field_that_would_split_the_answer_is_never_written() {
    let bad: &[(&str, &[u8])] =
        &[("A", b"b\r\nC: d"), ("A", b"\n"), ("A", b"\0"), ("A\r\nB", b"c"), ("", b"c"), ("A:", b"c")];
    for (name, value) in bad {
        let mut out = b"before".to_vec();
        let answer = Answer { fields: &[("Good", b"x"), (name, value)], ..answer(200, BodyLength::None) };
        assert_eq!(answer.write(DATE, &mut out).map_err(|reject| reject.status), Err(502));
        assert_eq!(out, b"before");
        assert!(Image::compile(&answer, b"").is_err());
    }
    let answer = Answer { server: "x\r\ny", ..answer(200, BodyLength::None) };
    assert!(answer.write(DATE, &mut Vec::new()).is_err());
}

#[test]
fn what_is_said_about_the_connection_is_what_differs_from_the_default() {
    for (version, keep_alive, expected) in [
        (Version::Http11, true, Persistence::Implied),
        (Version::Http11, false, Persistence::Close),
        (Version::Http10, true, Persistence::KeepAlive),
        (Version::Http10, false, Persistence::Close),
    ] {
        assert_eq!(Persistence::of(version, keep_alive), expected);
    }
}

#[test]
fn an_image_is_the_answer_in_every_form_with_its_date() {
    for persistence in [Persistence::Implied, Persistence::Close, Persistence::KeepAlive] {
        for (status, body, sent) in
            [(200, "hello", "hello"), (404, "", ""), (204, "x", ""), (205, "x", ""), (304, "x", ""), (599, "y", "y")]
        {
            let image =
                Image::compile(&answer(status, BodyLength::None), body.as_bytes()).expect("the fields are valid");
            let length = if status == 304 { BodyLength::None } else { BodyLength::Length(sent.len() as u64) };
            let mut head = Vec::new();
            (Answer { persistence, ..answer(status, length) }).write(DATE, &mut head).expect("the fields are valid");
            for head_only in [false, true] {
                let mut out = b"before".to_vec();
                image.write(head_only, persistence, DATE, &mut out);
                let body = if head_only { "" } else { sent };
                assert_eq!(out[6..], [&head, body.as_bytes()].concat());
                let mut placed = image.bytes(head_only, persistence).to_vec();
                placed[image.date_offset()..][..date::LEN].copy_from_slice(DATE);
                assert_eq!(placed, out[6..]);
            }
            assert_eq!(image.status(), status);
        }
    }
}

#[test]
fn what_is_written_is_read_back() {
    let mut fields = Fields::new();
    for status in 200..600 {
        let image = Image::compile(&answer(status, BodyLength::None), b"body").expect("the fields are valid");
        let raw = image.bytes(false, Persistence::Close);
        let Ok(Parsed::Complete(response)) = parse_response(raw, &Limits::default(), &mut fields, Asked::Other) else {
            panic!("{status} is not read back");
        };
        let body = raw.len() as u64 - u64::from(response.head_len);
        assert_eq!((response.status, response.keep_alive, response.body.known()), (status, false, Some(body)));
    }
}
