//! Where is a server behind, and under which name do its connections live on through a reload?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anygate_core::config::UpstreamAddr;
use anygate_shard::net::Address;

use crate::action::Action;
use crate::plan::Plan;

/// What tells endpoints apart: protocol and address as configured. Pools and resolved addresses are kept by it.
pub type Key = Arc<str>;

/// One server behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name in pools.
    pub key: Key,
    /// Where it is.
    pub place: Place,
    /// Most idle connections to it, over all shards; 0 for none.
    pub keep_alive: usize,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At addresses known at load.
    Fixed(Vec<Address>),
    /// Where the resolver says.
    Named {
        /// A host name, lower-case.
        host: Arc<str>,
        /// 1–65535.
        port: u16,
    },
}

/// A host name the control thread resolves for the shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Whose addresses these will be.
    pub key: Key,
    /// What to resolve.
    pub host: Arc<str>,
    /// Joins each address.
    pub port: u16,
}

impl Endpoint {
    /// The endpoint of HTTP/1.1 at an address; `port` stands in where none is written.
    #[must_use]
    pub fn h1(address: &UpstreamAddr, port: u16, keep_alive: usize) -> Self {
        let (key, place) = match address {
            UpstreamAddr::Unix(path) => {
                (format!("http+unix://{}", path.display()), Place::Fixed(vec![Address::Unix(Some(path.clone()))]))
            }
            UpstreamAddr::Tcp { host, port: own } => {
                let port = own.unwrap_or(port);
                if let Ok(ip) = host.parse::<IpAddr>() {
                    let address = SocketAddr::new(ip, port);
                    (format!("http://{address}"), Place::Fixed(vec![Address::Ip(address)]))
                } else {
                    let host = host.to_ascii_lowercase();
                    let place = match is_this_host(&host) {
                        true => Place::Fixed(loopback(port)),
                        false => Place::Named { host: host.as_str().into(), port },
                    };
                    (format!("http://{host}:{port}"), place)
                }
            }
        };
        Self { key: key.into(), place, keep_alive }
    }

    /// What must be resolved to reach it.
    #[must_use]
    pub fn name(&self) -> Option<Name> {
        match &self.place {
            Place::Fixed(_) => None,
            Place::Named { host, port } => Some(Name { key: self.key.clone(), host: host.clone(), port: *port }),
        }
    }
}

/// Names that mean this machine whatever a resolver says (RFC 6761 §6.3).
fn is_this_host(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

/// Both loopback addresses; a server may listen on either.
fn loopback(port: u16) -> Vec<Address> {
    let ips = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    ips.map(|ip| Address::Ip(SocketAddr::new(ip, port))).to_vec()
}

/// Every endpoint a plan leads to; one that several routes share comes several times.
pub fn of_plan(plan: &Plan) -> impl Iterator<Item = &Endpoint> {
    plan.routes.iter().flat_map(|route| match &route.action {
        Action::Proxy(proxy) => proxy.endpoints(),
        _ => Default::default(),
    })
}

/// Every name a plan needs resolved, each once.
#[must_use]
pub fn names_of(plan: &Plan) -> Vec<Name> {
    let mut names: Vec<Name> = of_plan(plan).filter_map(Endpoint::name).collect();
    names.sort_by(|a, b| a.key.cmp(&b.key));
    names.dedup_by(|a, b| a.key == b.key);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: Option<u16>) -> Endpoint {
        Endpoint::h1(&UpstreamAddr::Tcp { host: host.into(), port }, 80, 1)
    }

    #[test]
    fn a_literal_address_needs_no_resolver() {
        let endpoint = tcp("::1", Some(8001));
        assert_eq!(endpoint.place, Place::Fixed(vec![Address::Ip("[::1]:8001".parse().unwrap())]));
        assert_eq!(&*endpoint.key, "http://[::1]:8001");
        assert_eq!(endpoint.name(), None);
    }

    #[test]
    fn a_name_takes_the_schemes_port_where_it_has_none() {
        let name = tcp("App.internal", None).name().unwrap();
        assert_eq!((&*name.host, name.port), ("app.internal", 80));
        assert_eq!(tcp("app.internal", Some(80)).key, name.key);
        assert_ne!(tcp("app.internal", Some(81)).key, name.key);
    }

    #[test]
    fn localhost_needs_no_resolver() {
        for host in ["localhost", "LOCALHOST", "app.localhost"] {
            let endpoint = tcp(host, Some(3000));
            assert_eq!(endpoint.place, Place::Fixed(loopback(3000)), "{host}");
        }
        assert!(tcp("notlocalhost", None).name().is_some());
    }

    #[test]
    fn a_unix_socket_is_its_path() {
        let endpoint = Endpoint::h1(&UpstreamAddr::Unix("/run/app.sock".into()), 80, 1);
        assert_eq!(&*endpoint.key, "http+unix:///run/app.sock");
    }
}
