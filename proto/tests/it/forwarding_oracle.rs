//! Whatever a client sends, what reaches the upstream is one request that a naive reader agrees with, and holds no field
//! that should have stayed behind.

use anygate_proto::h1::forward::{Edits, ForwardBack, ForwardTo, HostRule, forward_request, forward_response};
use anygate_proto::h1::request::parse_request;
use anygate_proto::h1::response::{Asked, parse_response};
use anygate_proto::h1::sink::Copied;
use anygate_proto::h1::write::Persistence;
use anygate_proto::{BodyLength, Fields, Limits, Parsed, Scheme, Version};
use proptest::prelude::*;

/// Names that matter, in spellings that try to slip through.
fn name() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Transfer-Encoding",
        "Upgrade",
        "Content-Length",
        "Host",
        "HTTP2-Settings",
        "Trailer",
        "Expect",
        "Via",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Other",
        "X-Real-IP",
        "X-Plain",
        "Cookie",
        "x-other",
        "Te-",
        "Hos",
        "X-Forwarded",
    ];
    (prop::sample::select(NAMES), 0..4).prop_map(|(name, spelling)| match spelling {
        0 => name.to_lowercase(),
        1 => name.replace('-', "_"),
        2 => name.to_uppercase(),
        _ => name.to_owned(),
    })
}

fn value() -> impl Strategy<Value = String> {
    const VALUES: &[&str] = &[
        "",
        "close",
        "keep-alive",
        "x-plain",
        "X-Other, cookie",
        "upgrade",
        "chunked",
        "5",
        "trailers",
        "1.2.3.4",
        "websocket",
        "x-forwarded-for",
        "host",
        "content-length, transfer-encoding",
        "\"a, b\"",
        "100-continue",
        "a\tb",
        "te, via",
    ];
    prop::sample::select(VALUES).prop_map(str::to_owned)
}

fn lines() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((name(), value()), 0..10)
}

fn raw(first: &str, lines: &[(String, String)]) -> String {
    let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{first}{lines}\r\n")
}

/// Name in lower case and value of each line behind the first, read without the crate.
fn naive_fields(head: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(head).expect("the cases are text");
    let inner = text.strip_suffix("\r\n\r\n").expect("a head ends in an empty line");
    assert!(!inner.replace("\r\n", "").contains(['\r', '\n', '\0']), "a bare line end");
    let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    inner.split("\r\n").skip(1).map(|line| field(line).expect("every line is a field")).collect()
}

fn named_in_connection(lines: &[(String, String)]) -> Vec<String> {
    let values = lines.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    values.flat_map(|(_, value)| value.split(',').map(|option| option.trim().to_lowercase())).collect()
}

const HOP_BY_HOP: &[&str] = &[
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "connection",
    "te",
    "content-length",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_request_brings_a_hop_by_hop_or_smuggled_field_to_the_upstream(
        lines in lines(),
        (trusted, x_forwarded, forwarded, expect) in any::<(bool, bool, bool, bool)>(),
        http10 in any::<bool>(),
        add_host in prop::bool::weighted(0.9),
        upgrade in any::<bool>(),
    ) {
        let version = if http10 { "1.0" } else { "1.1" };
        let host = if add_host { "Host: real\r\n" } else { "" };
        let came = raw(&format!("POST /x HTTP/{version}\r\n{host}"), &lines);
        let mut fields = Fields::new();
        let Ok(Parsed::Complete(request)) = parse_request(came.as_bytes(), &Limits::default(), &mut fields) else {
            return Ok(());
        };
        let to = ForwardTo {
            target: b"/up", host: HostRule::Keep { or: b"target" }, client: Some("192.0.2.1".parse().expect("an address")),
            trusted, scheme: Scheme::Http, port: None, x_forwarded, forwarded, via: Some("gate"),
            upgrade: upgrade.then_some("websocket"), body: request.body, expect, edits: Edits::default(),
        };
        let mut out = Vec::new();
        let view = request.view(came.as_bytes(), &fields);
        forward_request(view, &to, &mut Copied::new(came.as_bytes(), &mut out)).expect("nothing is edited");

        prop_assert!(out.starts_with(b"POST /up HTTP/1.1\r\nHost: "));
        let sent = naive_fields(&out);
        let values = |name: &str| sent.iter().filter(|(one, _)| one == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
        let expected_host = match lines.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")) {
            _ if add_host => "real".to_owned(),
            Some((_, value)) => value.clone(),
            None => "target".to_owned(),
        };
        prop_assert_eq!(values("host"), [expected_host]);
        // Framing is what the gate read, once.
        let (length, coding) = match request.body {
            BodyLength::Length(length) => (vec![length.to_string()], vec![]),
            BodyLength::Chunked => (vec![], vec!["chunked"]),
            _ => (vec![], vec![]),
        };
        prop_assert_eq!(values("content-length"), length);
        prop_assert_eq!(values("transfer-encoding"), coding);
        // An upstream that joins `_` and `-` sees no other framing either.
        for (name, _) in &sent {
            let dashed = name.replace('_', "-");
            prop_assert!(name == &dashed || !HOP_BY_HOP.contains(&&*dashed), "{name}");
        }
        for gone in ["keep-alive", "proxy-connection", "http2-settings"] {
            prop_assert!(values(gone).is_empty());
        }
        prop_assert_eq!(values("upgrade"), if upgrade { vec!["websocket"] } else { vec![] });
        prop_assert!(values("te").iter().all(|value| *value == "trailers") && values("te").len() <= 1);
        prop_assert!(values("connection").len() <= 1);
        for option in values("connection").iter().flat_map(|value| value.split(", ")) {
            prop_assert!(option == "upgrade" && upgrade || option == "TE" && !values("te").is_empty());
        }
        let via = format!("{version} gate");
        prop_assert_eq!(values("via").last().copied(), Some(via.as_str()));
        // Nothing a peer that is not trusted claims.
        if !trusted {
            prop_assert_eq!(values("x-forwarded-for"), if x_forwarded { vec!["192.0.2.1"] } else { vec![] });
            prop_assert_eq!(values("forwarded").len(), usize::from(forwarded));
            prop_assert!(values("x-real-ip").is_empty() && values("x-forwarded-other").is_empty());
            prop_assert_eq!(values("x-forwarded-proto").len(), usize::from(x_forwarded));
        } else if x_forwarded {
            prop_assert_eq!(values("x-forwarded-for").len(), 1);
            prop_assert!(values("x-forwarded-for")[0].ends_with("192.0.2.1"));
        }
        // Of the rest, what was not named travels, in order and unchanged; what was named does not.
        let named = named_in_connection(&lines);
        for plain in ["x-plain", "cookie", "x-other", "te-", "hos", "x-forwarded"] {
            let came = lines.iter().filter(|(name, _)| name.to_lowercase() == *plain && !named.contains(&plain.to_owned()));
            prop_assert_eq!(values(plain), came.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), "{}", plain);
        }
        // And our own parser reads it as one request with the same body.
        let mut again = Fields::new();
        let read = parse_request(&out, &Limits::default(), &mut again);
        prop_assert!(matches!(read, Ok(Parsed::Complete(back)) if back.body == request.body && back.head_len as usize == out.len()));
    }

    #[test]
    fn no_response_brings_a_hop_by_hop_field_or_other_framing_to_the_client(
        lines in lines(),
        status in prop::sample::select(&[100, 103, 200, 204, 206, 304, 404, 599][..]),
        head in any::<bool>(),
        old in any::<bool>(),
    ) {
        let came = raw(&format!("HTTP/1.1 {status} Reason\r\n"), &lines);
        let asked = if head { Asked::Head } else { Asked::Other };
        let mut fields = Fields::new();
        let Ok(Parsed::Complete(response)) = parse_response(came.as_bytes(), &Limits::default(), &mut fields, asked) else {
            return Ok(());
        };
        let back = ForwardBack {
            version: if old { Version::Http10 } else { Version::Http11 }, body: response.body,
            persistence: if old { Persistence::Close } else { Persistence::Implied }, via: Some("gate"),
            date: b"Sun, 06 Nov 1994 08:49:37 GMT", upgrade: false, edits: Edits::default(),
        };
        let mut out = Vec::new();
        let view = response.view(came.as_bytes(), &fields);
        forward_response(view, &back, &mut Copied::new(came.as_bytes(), &mut out)).expect("no 101, nothing is edited");

        let sent = naive_fields(&out);
        let values = |name: &str| sent.iter().filter(|(one, _)| one == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
        for gone in ["keep-alive", "proxy-connection", "http2-settings", "upgrade", "te"] {
            prop_assert!(values(gone).is_empty());
        }
        prop_assert!(values("connection").len() <= 1);
        let chunked = response.body == BodyLength::Chunked && !old;
        prop_assert_eq!(values("transfer-encoding"), if chunked { vec!["chunked"] } else { vec![] });
        let length = response.content_length.map(|length| length.to_string());
        prop_assert_eq!(values("content-length"), length.iter().map(String::as_str).collect::<Vec<_>>());
        prop_assert!(status >= 200 && status != 204 || length.is_none());
        let named = named_in_connection(&lines);
        for plain in ["x-plain", "cookie", "x-other", "x_plain", "x-forwarded-for"] {
            let came = lines.iter().filter(|(name, _)| name.to_lowercase() == *plain && !named.contains(&plain.to_owned()));
            prop_assert_eq!(values(plain), came.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), "{}", plain);
        }
    }
}
