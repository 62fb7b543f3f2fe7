//! Was what both sides saw right?

use super::exchange::{Seen, Setting};
use crate::naive::{self, NaiveMessage};
use crate::shown;

/// The requests in what a client sent, as far as a strict reader understands it.
struct Asked {
    requests: Vec<NaiveMessage>,
    /// Bytes are left behind them, which may be one more request.
    more: bool,
}

fn asked(mut bytes: &[u8]) -> Asked {
    let mut requests = Vec::new();
    loop {
        let before = bytes;
        while let [b'\r', b'\n', rest @ ..] = bytes {
            bytes = rest;
        }
        match naive::request(bytes) {
            Ok(Some(request)) if request.whole => {
                bytes = &bytes[request.length..];
                requests.push(request);
            }
            // Empty lines alone are the beginning of one.
            _ => return Asked { requests, more: !before.is_empty() },
        }
    }
}

/// The final responses a client got, and whether the bytes behind the last are no HTTP any more.
struct Answered {
    finals: Vec<NaiveMessage>,
    tunnel: bool,
}

fn answered(client: &[u8], seen: &Seen, asked: &Asked) -> Answered {
    let mut bytes = &seen.client[..];
    let mut finals: Vec<NaiveMessage> = Vec::new();
    while !bytes.is_empty() {
        // Of a request that is not whole, the method alone is of interest.
        let rest = || client[asked.requests.iter().map(|request| request.length).sum::<usize>()..].trim_ascii_start();
        let line = asked.requests.get(finals.len()).map_or_else(rest, |request| &request.head.first);
        let method = line.split(|&b| b == b' ').next().unwrap_or_default();
        let response = naive::response(bytes, method);
        let response = response.unwrap_or_else(|why| panic!("{why}: {} for {}", shown(&seen.client), shown(client)));
        let Some(response) = response else {
            // A head that was cut off: only where the connection was.
            return Answered { finals, tunnel: false };
        };
        bytes = &bytes[response.length..];
        let status = response.head.status().unwrap_or(0);
        let old = line.windows(8).any(|window| window == b"HTTP/1.0");
        if status == 101 {
            return Answered { finals, tunnel: true };
        }
        if status < 200 {
            assert!(!old, "an interim response to HTTP/1.0: {} for {}", shown(&seen.client), shown(client));
            continue;
        }
        finals.push(response);
    }
    Answered { finals, tunnel: false }
}

/// One exchange by itself.
pub(super) fn one(client: &[u8], seen: &Seen, setting: Setting) {
    let asked = asked(client);
    let answered = answered(client, seen, &asked);
    let shown_all = || format!("{} for {} {setting:?}", shown(&seen.client), shown(client));
    let most = asked.requests.len() + usize::from(asked.more);
    assert!(answered.finals.len() <= most, "{} answers to {most} requests: {}", answered.finals.len(), shown_all());
    if let Some((last, before)) = answered.finals.split_last() {
        assert!(before.iter().all(|response| response.whole), "an answer within another: {}", shown_all());
        assert!(last.whole || seen.ended, "an answer that does not end: {}", shown_all());
        assert!(before.iter().all(|response| !closes(response)), "an answer behind the last: {}", shown_all());
    }
    if !answered.tunnel && !setting.loses() && answered.finals.len() < asked.requests.len() {
        assert!(seen.ended, "a request without an answer: {}", shown_all());
        let last = answered.finals.last();
        // A broken answer from behind whose head was not sent yet ends the connection too. Slashes may be many.
        let behind = |request: &NaiveMessage| {
            [&b"/p"[..], b"/t/"].iter().any(|path| naive::find(&request.head.first, path).is_some())
        };
        let reason = last.is_some_and(|last| closes(last) || !last.whole)
            || asked.requests.get(answered.finals.len()).is_some_and(behind)
            || asked.requests.iter().any(ends);
        assert!(reason, "closed without a word: {}", shown_all());
    }
    for request in &seen.behind {
        came_from(request, client, &asked);
    }
    assert!(seen.behind.len() <= 2 * most, "{} requests of {most}: {}", seen.behind.len(), shown(client));
}

/// Whether a client says that it sends nothing more. If it does all the same, that is answered by a reset, which destroys
/// what is on its way.
fn ends(request: &NaiveMessage) -> bool {
    let close = |value: &[u8]| naive::find(&value.to_ascii_lowercase(), b"close").is_some();
    request.head.first.ends_with(b"HTTP/1.0") || request.head.values("connection").any(close)
}

/// Whether the client is told that nothing follows, or can tell by the framing.
fn closes(response: &NaiveMessage) -> bool {
    let said = response.head.values("connection").any(|value| value.eq_ignore_ascii_case(b"close"));
    let status = response.head.status().unwrap_or(0);
    let framed = response.head.body().is_ok_and(|body| body != naive::NaiveBody::None) || matches!(status, 204 | 304);
    said || !framed
}

/// What reached the server behind is one of the client's requests, and nothing of what must stay behind.
fn came_from(request: &NaiveMessage, client: &[u8], asked: &Asked) {
    let head = &request.head;
    let [method, target, version] = head.request_line().unwrap_or_else(|why| panic!("{why}: {}", shown(&head.first)));
    assert!(version == b"HTTP/1.1" && (target.starts_with(b"/p") || target.starts_with(b"/x/")), "{}", shown(target));
    assert!(head.values("via").any(|via| via.ends_with(b" gate")), "{head:?}");
    for name in ["keep-alive", "proxy-connection", "http2-settings"] {
        assert!(head.values(name).next().is_none(), "{name} in {head:?}");
    }
    assert!(head.values("connection").count() <= 1, "{head:?}");
    assert!(head.values("x-forwarded-for").eq([&b"10.0.0.2"[..]]) || head.values("x-forwarded-for").count() == 1);
    let body =
        |one: &NaiveMessage| if request.whole { one.body == request.body } else { one.body.starts_with(&request.body) };
    let of = |one: &NaiveMessage| one.head.first.split(|&b| b == b' ').next() == Some(method) && body(one);
    if asked.requests.iter().any(of) {
        return;
    }
    // The last one, of which not all came, may be on its way; a whole one must have been whole.
    assert!(asked.more && client.windows(method.len()).any(|window| window == method), "{head:?} of {}", shown(client));
}

/// The same exchange on both kinds of driver, with the client's bytes cut differently.
pub(super) fn same(one: &Seen, other: &Seen, client: &[u8]) {
    let asked = asked(client);
    if asked.requests.iter().any(ends) {
        return;
    }
    let (a, b) = (answered(client, one, &asked), answered(client, other, &asked));
    let finals = |answered: &Answered| -> Vec<(Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>, Vec<u8>)> {
        let known = |one: &NaiveMessage| {
            let mut fields = one.head.fields.clone();
            fields.retain(|(name, _)| name != b"date");
            (one.head.first.clone(), fields, one.body.clone())
        };
        // When it is seen that no request comes is a matter of time, and so is what is wrong with it. How much of a truncated
        // answer comes through is one too: the reset that ends it destroys what is on its way.
        answered.finals.iter().take(asked.requests.len()).filter(|one| one.whole).map(known).collect()
    };
    let shown_both = || format!("{} and {} for {}", shown(&one.client), shown(&other.client), shown(client));
    assert!(a.tunnel == b.tunnel && finals(&a) == finals(&b), "{}", shown_both());
}
