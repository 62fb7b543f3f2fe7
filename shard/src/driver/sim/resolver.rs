//! What do host names mean in a simulated world? What the world was told, while one of its helper jobs runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

thread_local! {
    static HOSTS: RefCell<Option<BTreeMap<String, Vec<IpAddr>>>> = const { RefCell::new(None) };
}

/// Runs a helper job that resolves names by `hosts`.
pub(crate) fn with(hosts: &BTreeMap<String, Vec<IpAddr>>, job: impl FnOnce()) {
    HOSTS.set(Some(hosts.clone()));
    job();
    HOSTS.set(None);
}

/// What `host` means to the simulated helper job that runs now; `None` outside of one.
pub(crate) fn lookup(host: &str, port: u16) -> Option<io::Result<Vec<SocketAddr>>> {
    HOSTS.with_borrow(|hosts| {
        let hosts = hosts.as_ref()?;
        let with_port = |address: &IpAddr| SocketAddr::new(*address, port);
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(Ok(vec![with_port(&address)]));
        }
        Some(match hosts.get(host) {
            Some(addresses) if !addresses.is_empty() => Ok(addresses.iter().map(with_port).collect()),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, format!("no address for host `{host}`"))),
        })
    })
}
