//! Where a head that is written goes: ranges of the head that came are kept, the rest is put between them.

use std::io::Write as _;
use std::net::IpAddr;

use crate::fields::Span;

/// Takes the parts of an outgoing head, in order.
pub trait Sink {
    /// A range of the incoming head's bytes leaves unchanged; it may be copied, or sent from where it lies.
    fn keep(&mut self, span: Span);
    /// New bytes.
    fn put(&mut self, bytes: &[u8]);
}

/// Copies everything behind what is in a `Vec` already.
#[derive(Debug)]
pub struct Copied<'a> {
    source: &'a [u8],
    out: &'a mut Vec<u8>,
}

impl<'a> Copied<'a> {
    /// `source` holds the incoming head's bytes, `out` gets the outgoing one's.
    pub fn new(source: &'a [u8], out: &'a mut Vec<u8>) -> Self {
        Self { source, out }
    }
}

impl Sink for Copied<'_> {
    #[inline]
    fn keep(&mut self, span: Span) {
        self.out.extend_from_slice(span.of(self.source));
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}

/// A number in decimal digits, without allocation.
pub(crate) struct Decimal {
    digits: [u8; 20],
    start: u8,
}

impl Decimal {
    pub(crate) fn new(mut number: u64) -> Self {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        Self { digits, start: start as u8 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start as usize..]
    }
}

/// An address in its usual form, without allocation.
pub(crate) struct AddressText {
    text: [u8; Self::LONGEST],
    len: usize,
}

impl AddressText {
    /// An IPv6 address of eight groups that ends in an IPv4 address.
    const LONGEST: usize = 45;

    pub(crate) fn of(address: IpAddr) -> Self {
        let mut text = [0; Self::LONGEST];
        let mut room = &mut text[..];
        // There is room for every address.
        let _ = match address {
            // Most are: without the formatter's detours.
            IpAddr::V4(address) => address.octets().iter().enumerate().try_for_each(|(at, &octet)| {
                room.write_all(if at == 0 { b"" } else { b"." })?;
                room.write_all(Decimal::new(u64::from(octet)).as_bytes())
            }),
            IpAddr::V6(address) => write!(room, "{address}"),
        };
        let left = room.len();
        Self { text, len: Self::LONGEST - left }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_room() {
        for text in [
            "1.2.3.4",
            "0.0.0.0",
            "255.10.200.99",
            "::",
            "2001:db8:1111:2222:3333:4444:5555:6666",
            "::ffff:255.255.255.255",
        ] {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(AddressText::of(address).as_bytes(), text.as_bytes());
        }
    }
}
