//! One request on its way through the pipeline, with everything a filter or an action may ask about it.

use std::net::IpAddr;
use std::rc::Rc;

use anygate_proto::head::Head;
use anygate_route::Scratch;
use anygate_shard::Bytes;
use anygate_shard::net::Address;

use crate::action::proxy::Begun;
use crate::body::Body;
use crate::connection::Informer;
use crate::server::{Live, Server};
use crate::tls::TlsInfo;

/// One request, its body, and what is known about it.
#[derive(Debug)]
pub struct Exchange {
    /// The shard's server.
    pub server: Rc<Server>,
    /// The routing table this request is served by, whatever a reload does meanwhile.
    pub live: Rc<Live>,
    /// Which of its routes.
    pub rule: usize,
    /// The request's head.
    pub head: Head<Bytes>,
    /// The request's content.
    pub body: Body,
    /// What the match left: the forward form of the path, parameters, tail.
    pub matched: Scratch,
    /// Who asks.
    pub peer: Peer,
    /// The number of the listener it came by.
    pub listener: u32,
    /// What TLS knows of the client; none on a plain connection.
    pub tls: Option<Rc<TlsInfo>>,
    /// Upstream tries so far.
    pub attempts: u32,
    /// What of it is on its way already.
    pub begun: Option<Begun>,
    /// The way for 1xx answers.
    pub informer: Informer,
}

/// Both ends of the client's connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The other end of the socket, IPv4-mapped addresses as IPv4.
    pub raw: Address,
    /// The client's address as far as `trust` lets it be believed; none on a unix socket.
    pub effective: Option<IpAddr>,
}

impl Exchange {
    /// The path as it came, dot segments resolved and slashes merged: what is forwarded, and what captures lie in.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.matched.forward_path(self.head.view().path())
    }

    /// The scheme the client used.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// True for a `HEAD` request.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.head.request.is_head
    }
}
