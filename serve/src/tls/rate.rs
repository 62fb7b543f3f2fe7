//! May an address begin one more handshake? Each may begin so many a second, and no more than that at once.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use anygate_core::limits::HANDSHAKE_ADDRESSES;
use anygate_shard::Tick;
use foldhash::fast::RandomState;

/// What an address may begin at once is what it may begin in this time.
const BURST: Duration = Duration::from_secs(1);
/// Addresses that are remembered, whether they owe anything or not.
const FEW: usize = 256;

/// When each address will have paid for the handshakes that it began: a handshake costs the part of a second that makes up
/// the rate, and nobody may owe more than a second. Empty while no limit is set.
#[derive(Debug)]
pub struct HandshakeRate {
    paid: RefCell<HashMap<Origin, Tick, RandomState>>,
    /// When those that owe nothing were forgotten.
    swept: Cell<Tick>,
}

/// Who an address belongs to, as far as the address tells: in IPv6 one customer has 64 bits of addresses at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    V4(u32),
    V6(u64),
}

impl Origin {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl Default for HandshakeRate {
    fn default() -> Self {
        Self { paid: RefCell::default(), swept: Cell::new(Tick::ZERO) }
    }
}

impl HandshakeRate {
    /// Whether `address` may begin a handshake now, where `per_second` are allowed, at least 1. Who is refused is not
    /// charged. Where more addresses than can be remembered begin one in a second, the others are not held to it.
    #[must_use]
    pub fn admit(&self, address: IpAddr, per_second: u32, now: Tick) -> bool {
        let cost = BURST / per_second.max(1);
        let mut paid = self.paid.borrow_mut();
        // Nobody owes more than a burst, so that looking more often would find few.
        if paid.len() >= FEW && now.since(self.swept.get()) >= BURST {
            paid.retain(|_, paid| *paid > now);
            self.swept.set(now);
        }
        let origin = Origin::of(address);
        if paid.len() >= HANDSHAKE_ADDRESSES && !paid.contains_key(&origin) {
            return true;
        }
        let paid = paid.entry(origin).or_insert(now);
        let then = (*paid).max(now) + cost;
        if then > now + BURST {
            return false;
        }
        *paid = then;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn at(millis: u64) -> Tick {
        Tick::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn so_many_may_begin_at_once_and_then_as_many_a_second() {
        let rate = HandshakeRate::default();
        let begun = |millis| (0..100).filter(|_| rate.admit(HERE, 10, at(millis))).count();
        assert_eq!((begun(0), begun(0), begun(99)), (10, 0, 0));
        assert_eq!((begun(100), begun(350), begun(350)), (1, 2, 0));
        assert_eq!(begun(60_000), 10, "who waits saves up no more than a second's");
    }

    #[test]
    fn an_address_pays_for_itself_alone_and_for_its_whole_network_in_ipv6() {
        let rate = HandshakeRate::default();
        assert!(rate.admit(HERE, 1, at(0)) && !rate.admit(HERE, 1, at(0)));
        assert!(rate.admit(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 1, at(0)));
        assert!(!rate.admit(IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()), 1, at(0)), "the same in disguise");
        let v6 = |bits: u128| IpAddr::V6(Ipv6Addr::from_bits(bits));
        assert!(rate.admit(v6(1 << 64 | 1), 1, at(0)));
        assert!(!rate.admit(v6(1 << 64 | 2), 1, at(0)));
        assert!(rate.admit(v6(2 << 64 | 1), 1, at(0)));
    }

    #[test]
    fn those_who_owe_nothing_are_forgotten_and_a_crowd_takes_no_more_than_its_room() {
        let rate = HandshakeRate::default();
        let crowd = u32::try_from(2 * HANDSHAKE_ADDRESSES).unwrap();
        for address in 0..crowd {
            assert!(rate.admit(IpAddr::V4(Ipv4Addr::from_bits(address)), 1, at(0)));
        }
        assert_eq!(rate.paid.borrow().len(), HANDSHAKE_ADDRESSES);
        assert!(!rate.admit(IpAddr::V4(Ipv4Addr::from_bits(0)), 1, at(0)), "those that are remembered are held to it");
        assert!(rate.admit(HERE, 1, at(2_000)));
        assert_eq!(rate.paid.borrow().len(), 1);
    }
}
