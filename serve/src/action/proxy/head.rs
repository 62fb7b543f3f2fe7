//! What head does a server behind get, and which switch of protocols is asked of it?

use anygate_core::config::HostHeader;
use anygate_proto::forwarded::is_trusted;
use anygate_proto::h1::forward::{Edits, ForwardTo, HostRule, forward_request};
use anygate_proto::tls::client_cert::{CLIENT_CERT, CLIENT_CERT_CHAIN};
use anygate_proto::websocket::{self, Handshake};
use anygate_proto::{Known, RequestView, ResponseView, Scheme};
use anygate_route::Scratch;
use anygate_shard::net::Address;
use anygate_shard::{Bytes, Class};
use smallvec::SmallVec;

use super::Proxy;
use crate::connection::outgoing::Outgoing;
use crate::error::{Error, Kind, Phase, Side};
use crate::exchange::Exchange;
use crate::server::{Live, Server};
use crate::tls::TlsInfo;

/// What a server behind believes of a client's certificate: never the client's own words (RFC 9440 §2.4).
const SAID_OF_CLIENTS: [&str; 2] = [CLIENT_CERT, CLIENT_CERT_CHAIN];

/// Longest protocol name an `Upgrade` may ask for.
const MAX_PROTOCOL: usize = 64;

/// What of a request its head for a server behind is made of.
pub(crate) struct Asking<'a> {
    pub(crate) view: RequestView<'a>,
    pub(crate) live: &'a Live,
    pub(crate) rule: u32,
    pub(crate) matched: &'a Scratch,
    /// The other end of the client's socket.
    pub(crate) peer: &'a Address,
    /// What TLS knows of the client; none on a plain connection.
    pub(crate) tls: Option<&'a TlsInfo>,
}

impl<'a> Asking<'a> {
    pub(super) fn of(exchange: &'a Exchange) -> Self {
        Self {
            view: exchange.head.view(),
            live: &exchange.live,
            rule: exchange.rule as u32,
            matched: &exchange.matched,
            peer: &exchange.peer.raw,
            tls: exchange.tls.as_deref(),
        }
    }
}

impl Proxy {
    /// Writes the request's head for the server `at`; `target` is room to write in.
    pub(super) fn write_head(
        &self,
        at: usize,
        server: &Server,
        asking: &Asking<'_>,
        upgrade: Option<&str>,
        target: &mut Vec<u8>,
    ) -> Result<Bytes, Error> {
        let view = asking.view;
        let plan = &asking.live.plan;
        target.clear();
        self.path.render(&plan.table.captures(asking.rule, view.path(), asking.matched), view.query(), target);
        let own = self.hosts[at].as_bytes();
        let client = asking.peer.ip().map(|address| address.ip());
        let mut add: SmallVec<[(&str, &[u8]); 3]> = SmallVec::new();
        if asking.tls.is_some_and(|tls| tls.early_data) && !view.fields.has(Known::EarlyData) {
            add.push((Known::EarlyData.name(), b"1"));
        }
        if self.settings.client_cert
            && let Some(client) = asking.tls.and_then(TlsInfo::client_cert)
        {
            add.push((CLIENT_CERT, client.own.as_bytes()));
            add.extend(client.chain.as_ref().map(|chain| (CLIENT_CERT_CHAIN, chain.as_bytes())));
        }
        let to = ForwardTo {
            target,
            host: match &self.settings.host {
                HostHeader::Keep => HostRule::Keep { or: own },
                HostHeader::Target => HostRule::Value(own),
                HostHeader::Value(host) => HostRule::Value(host.as_bytes()),
            },
            client,
            trusted: client.is_some_and(|client| is_trusted(client, &plan.client.trust)),
            scheme: if asking.tls.is_some() { Scheme::Https } else { Scheme::Http },
            port: None,
            x_forwarded: self.settings.x_forwarded,
            forwarded: self.settings.forwarded,
            via: self.settings.via.then_some(&*server.id),
            upgrade,
            body: view.request.body,
            expect: false,
            edits: Edits { drop: if self.settings.client_cert { &SAID_OF_CLIENTS } else { &[] }, add: &add },
        };
        let mut out = Outgoing::new(view.bytes, server.shard.try_lease(Class::Head));
        forward_request(view, &to, &mut out).map_err(|reject| {
            Error::new(Kind::Malformed { status: reject.status }, Side::Downstream, Phase::AfterHead)
        })?;
        Ok(out.into_bytes())
    }
}

/// The protocol a request asks to switch to, where that can be asked of a server behind.
///
/// # Errors
/// 400: it asks for a WebSocket, but not as RFC 6455 §4.2.1 wants it.
pub(super) fn upgrade(view: RequestView<'_>) -> Result<Option<String>, Error> {
    match websocket::handshake(view) {
        Handshake::Valid | Handshake::OtherVersion => return Ok(Some("websocket".into())),
        Handshake::Malformed => {
            return Err(Error::new(Kind::Malformed { status: 400 }, Side::Downstream, Phase::AfterHead));
        }
        Handshake::None if !view.request.upgrade => return Ok(None),
        Handshake::None => {}
    }
    // The first that is offered. HTTP/2 in the clear would hide requests in the tunnel from every rule.
    let first = view.list(Known::Upgrade).next().unwrap_or_default();
    let usable = !first.is_empty() && first.len() <= MAX_PROTOCOL && !first.eq_ignore_ascii_case(b"h2c");
    Ok(std::str::from_utf8(first).ok().filter(|_| usable).map(str::to_owned))
}

/// Whether a 101 switches to the protocol that was asked for and to no other (RFC 9110 §15.2.2).
pub(super) fn switches_to(view: ResponseView<'_>, asked: &str) -> bool {
    if asked == "websocket" {
        return websocket::accepted(view);
    }
    let mut protocols = view.list(Known::Upgrade);
    view.response.upgrade
        && protocols.next().is_some_and(|protocol| protocol.eq_ignore_ascii_case(asked.as_bytes()))
        && protocols.next().is_none()
}

#[cfg(test)]
mod tests {
    use anygate_proto::h1::request::parse_request;
    use anygate_proto::{Fields, Limits, Parsed};

    use super::*;

    fn asked(fields: &str) -> Result<Option<String>, u16> {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut fields = Fields::new();
        let Ok(Parsed::Complete(request)) = parse_request(text.as_bytes(), &Limits::default(), &mut fields) else {
            panic!("a good head");
        };
        upgrade(request.view(text.as_bytes(), &fields)).map_err(Error::status)
    }

    #[test]
    fn a_websocket_is_asked_for_and_a_broken_one_refused() {
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let ask = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        let good = format!("{ask}{key}Sec-WebSocket-Version: 13\r\n");
        assert_eq!(asked(&good), Ok(Some("websocket".into())));
        assert_eq!(asked(ask), Err(400));
        assert_eq!(asked("Upgrade: websocket\r\n"), Ok(None), "Connection does not name it");
    }

    #[test]
    fn another_protocol_goes_through_but_for_http2_in_the_clear() {
        assert_eq!(asked("Connection: Upgrade\r\nUpgrade: tcp\r\n"), Ok(Some("tcp".into())));
        assert_eq!(asked("Connection: Upgrade\r\nUpgrade: h2c\r\n"), Ok(None));
        assert_eq!(asked(""), Ok(None));
    }
}
