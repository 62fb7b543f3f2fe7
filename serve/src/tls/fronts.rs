//! What stands before the requests of each listener of a shard, and what of a request that decides.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use anygate_core::config::HttpsRedirect;
use anygate_core::limits::LISTENERS;
use anygate_proto::tls::Names;
use rustls::ServerConfig;

use super::{Front, TlsInfo};

/// The fronts of a shard's listeners, by their numbers.
#[derive(Debug, Default)]
pub struct Fronts {
    list: RefCell<Vec<(u32, Front)>>,
    /// True while one of them redirects.
    redirect_some: Cell<bool>,
}

impl Fronts {
    /// Connections of listener `number` begin so from now on. What is said of a listener that is gone stays for a while: one
    /// of its clients may be on its way from another shard. A reload says it anew of those that are there.
    pub fn set(&self, number: u32, front: Front) {
        let mut list = self.list.borrow_mut();
        list.retain(|(other, _)| *other != number);
        if list.len() > 2 * LISTENERS {
            list.remove(0);
        }
        list.push((number, front));
        self.redirect_some.set(list.iter().any(|(_, front)| front.redirect.is_some()));
    }

    fn with<T>(&self, number: u32, ask: impl FnOnce(&Front) -> Option<T>) -> Option<T> {
        let list = self.list.borrow();
        list.iter().find(|(other, _)| *other == number).and_then(|(_, front)| ask(front))
    }

    /// What the handshakes of listener `number` are made by; none where it is plain.
    #[must_use]
    pub fn tls(&self, number: u32) -> Option<Arc<ServerConfig>> {
        self.with(number, |front| front.tls.clone())
    }

    /// True where connections of listener `number` begin with a handshake.
    #[must_use]
    pub fn speaks_tls(&self, number: u32) -> bool {
        self.with(number, |front| front.tls.as_ref().map(|_| ())).is_some()
    }

    /// True where connections of listener `number` may be of HTTP/2.
    #[must_use]
    pub fn speaks_h2(&self, number: u32) -> bool {
        self.with(number, |front| front.h2.then_some(())).is_some()
    }

    /// True while a listener redirects.
    #[must_use]
    pub fn redirect_some(&self) -> bool {
        self.redirect_some.get()
    }

    /// Where listener `number` sends every request, if it does.
    #[must_use]
    pub fn redirect(&self, number: u32) -> Option<HttpsRedirect> {
        if self.redirect_some.get() { self.with(number, |front| front.redirect) } else { None }
    }

    /// True where it may matter to a request what its session was begun for: listener `number` has several certificates.
    #[must_use]
    pub fn compare_hosts(&self, number: u32) -> bool {
        self.with(number, |front| front.names.as_ref().map(|names| names.has_several())).unwrap_or(false)
    }

    /// True where there is a certificate for `host`, and a client of listener `number` was shown another, because it asked
    /// for another name: it must not take the answer for the host's (RFC 9110 §7.4).
    #[must_use]
    pub fn is_misdirected(&self, number: u32, tls: &TlsInfo, host: &[u8]) -> bool {
        self.compare_hosts(number) && self.lacks(number, tls, host, Names::knows)
    }

    /// True where a client of listener `number` was shown no certificate for `host`, because it asked for another name.
    #[must_use]
    pub fn is_for_another_host(&self, number: u32, tls: &TlsInfo, host: &[u8]) -> bool {
        self.lacks(number, tls, host, |_, _| true)
    }

    fn lacks(&self, number: u32, tls: &TlsInfo, host: &[u8], matters: impl Fn(&Names, &str) -> bool) -> bool {
        if tls.is_for(host) {
            return false;
        }
        let Some(names) = self.with(number, |front| front.names.clone()) else { return false };
        let (names, host) = (names.names(), String::from_utf8_lossy(host));
        matters(&names, &host) && !names.covers(tls.agreed.server_name.as_deref(), &host)
    }
}
