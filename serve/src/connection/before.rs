//! What is answered before any rule is asked: on a listener that sends everybody to https, to who asks in one host's TLS
//! session for another host, and to who wants something done in early data.

use std::io::Write;

use anygate_core::config::HttpsRedirect;
use anygate_proto::RequestView;
use anygate_proto::head::TargetForm;

use crate::action::proxy::may_come_again;
use crate::body::Body;
use crate::response::Response;
use crate::server::Server;
use crate::tls::TlsInfo;

/// The port that `https` means.
const HTTPS_PORT: u16 = 443;

/// The answer to a request that came by listener `number`, if the rules are not to be asked.
pub(super) fn answer(server: &Server, number: u32, tls: Option<&TlsInfo>, view: RequestView<'_>) -> Option<Response> {
    if let Some(proof) = server.proof(view) {
        return Some(proof);
    }
    match tls {
        None => server.fronts.redirect(number).map(|to| redirect(to, view)),
        Some(tls) if server.fronts.is_misdirected(number, tls, view.host()) => {
            server.cells.misdirected.add(1);
            Some(Response::page(421))
        }
        // Whether it was repeated is not known before the handshake has ended: then it may come again (RFC 8470 §5.2).
        Some(tls) if tls.early_data && !may_come_again(view) => Some(Response::page(425)),
        Some(_) => None,
    }
}

/// The same host, path and query under https. `Host` was checked when the head was read: it can neither end the field nor
/// name anything but a host.
fn redirect(to: HttpsRedirect, view: RequestView<'_>) -> Response {
    let host = view.host();
    if view.request.form == TargetForm::Authority {
        // What `CONNECT` names has no path to go on to; no method is allowed there (RFC 9110 §10.2.1).
        return Response::page(405).with_lines(b"Allow:\r\n");
    }
    if host.is_empty() {
        return Response::page(400);
    }
    let mut lines = b"Location: https://".to_vec();
    lines.extend_from_slice(host);
    if to.port != HTTPS_PORT {
        let _ = write!(lines, ":{}", to.port);
    }
    // `OPTIONS *` asks about the server as a whole, and its URI has no path (RFC 9112 §3.2.4).
    if view.request.form != TargetForm::Asterisk {
        lines.extend_from_slice(view.path());
        if let Some(query) = view.query() {
            lines.push(b'?');
            lines.extend_from_slice(query);
        }
    }
    lines.extend_from_slice(b"\r\n");
    Response::new(to.status, lines, Body::Empty)
}

#[cfg(test)]
mod tests {
    use anygate_proto::h1::Parsed;
    use anygate_proto::h1::request::parse_request;
    use anygate_proto::{Fields, Limits};

    use super::*;
    use crate::response::FieldSource;

    /// What a head gets on a listener that redirects to this port: the status, and its own field lines.
    fn redirected(port: u16, head: &str) -> (u16, String) {
        let mut fields = Fields::new();
        let Ok(Parsed::Complete(request)) = parse_request(head.as_bytes(), &Limits::default(), &mut fields) else {
            panic!("a good head: {head}");
        };
        let to = HttpsRedirect { port, ..HttpsRedirect::default() };
        let response = redirect(to, request.view(head.as_bytes(), &fields));
        let FieldSource::Lines(lines) = &response.fields else { panic!("it brings its own lines") };
        (response.status, String::from_utf8(lines.to_vec()).unwrap())
    }

    #[test]
    fn host_path_and_query_stay_as_they_came_and_the_port_is_the_configured_one() {
        for (port, request_line, host, location) in [
            (443, "GET /", "a.example", "https://a.example/"),
            (443, "GET /a//b/../%2e?x=1&y=%0d%0a", "a.example:8080", "https://a.example/a//b/../%2e?x=1&y=%0d%0a"),
            (443, "POST /a?", "[::1]:80", "https://[::1]/a?"),
            (8443, "HEAD /", "A.example", "https://A.example:8443/"),
            (8443, "GET /", "[::1]", "https://[::1]:8443/"),
            (443, "GET //evil.example/x", "a.example", "https://a.example//evil.example/x"),
            (443, "GET /\\evil.example", "a.example", "https://a.example/\\evil.example"),
            (443, "GET http://b.example:81/p?q", "a.example", "https://b.example/p?q"),
            (443, "GET http://b.example?q", "a.example", "https://b.example/?q"),
            (443, "OPTIONS *", "a.example", "https://a.example"),
        ] {
            let (status, lines) = redirected(port, &format!("{request_line} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!((status, lines), (308, format!("Location: {location}\r\n")), "{request_line}");
        }
    }

    #[test]
    fn who_names_no_host_cannot_be_sent_anywhere() {
        assert_eq!(redirected(443, "GET / HTTP/1.0\r\n\r\n").0, 400);
        assert_eq!(redirected(443, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n").0, 405);
    }
}
