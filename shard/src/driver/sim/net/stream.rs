//! How do bytes travel between two ends of a simulated connection? With delays, through small windows, in pieces, to
//! half-closed ends, and not past a reset.

use std::io;

use super::{End, EndId, Flight, HANGUP, Link, NO_TOKEN, Network, Notice, Owner, Piece, READ, WINDOW, WRITE, error};
use crate::driver::sim::choice::{Kind, mix};

/// Pieces one send may be cut into.
const PIECES: u64 = 5;
/// Pieces one send may trickle in, and over how long.
const TRICKLE_PIECES: u64 = 16;
const TRICKLE_NS: u64 = 3_000_000_000;
/// The most a storm of `EAGAIN` lasts, and how long one of its events for nothing takes at most.
const STORM_NS: u64 = 5_000_000;
const STORM_EVENT_NS: u64 = 1_000_000;
/// What a receive gives at the end of the stream.
const END: usize = 0;

impl Network {
    /// Whether a receive would give something: bytes, the end or an error.
    pub(crate) fn readable(&self, id: EndId) -> bool {
        self.ends[id as usize]
            .as_ref()
            .is_some_and(|end| end.unread > 0 || end.ended || end.reset || matches!(end.link, Link::Failed(_)))
    }

    /// Whether a send would take something or fail.
    pub(crate) fn writable(&mut self, id: EndId) -> bool {
        let room = self.room(id);
        let end = self.end(id);
        let writable = match end.link {
            Link::Connecting => false,
            Link::Failed(_) => true,
            Link::Connected => room > 0 || end.reset || end.finished,
        };
        if !writable {
            end.wants_room = true;
        }
        writable
    }

    pub(super) fn room(&mut self, id: EndId) -> usize {
        let peer = self.end(id).peer;
        match self.ends[peer as usize].as_ref() {
            Some(peer) => peer.window.saturating_sub(peer.unread + peer.coming_bytes),
            None => WINDOW,
        }
    }

    /// A fault strikes a shard's operation: it says `EAGAIN` or the connection is reset.
    fn struck(&mut self, id: EndId, bits: u8) -> io::Result<()> {
        let end = self.end(id);
        end.operations += 1;
        let (owner, operation) = (end.owner, end.operations);
        if owner == Owner::Nobody {
            return Ok(());
        }
        let connection = u64::from(id);
        if self.choices.happens(Kind::Reset, self.faults.reset, connection, operation) {
            let peer = self.end(id).peer;
            self.note(5, connection, operation);
            self.send_reset(peer);
            self.take_reset(id);
            self.tell_end(id, READ | WRITE | HANGUP);
        }
        let could = if bits == READ { self.readable(id) } else { self.writable(id) };
        if could && self.now < self.end(id).storm_until {
            return self.storm(id, owner, bits, operation);
        }
        if could && self.choices.happens(Kind::Storm, self.faults.storm, connection, operation) {
            let length = self.choices.below(Kind::Storm, STORM_NS, connection, operation);
            let until = self.now + 1 + length;
            self.end(id).storm_until = until;
            self.depart(until, Flight::Calm(id));
            return self.storm(id, owner, bits, operation);
        }
        if could && self.choices.happens(Kind::Again, self.faults.again, connection, operation) {
            self.tell_later(owner, bits, connection, operation);
            return error(libc::EAGAIN);
        }
        Ok(())
    }

    /// Whether every call on this end says `EAGAIN` now, whatever there is.
    pub(crate) fn storms(&self, id: EndId) -> bool {
        self.ends[id as usize].as_ref().is_some_and(|end| self.now < end.storm_until)
    }

    pub(super) fn calm(&mut self, id: EndId) {
        if self.ends[id as usize].is_none() {
            return;
        }
        let readable = if self.readable(id) { READ } else { 0 };
        let writable = if self.writable(id) { WRITE } else { 0 };
        if readable | writable != 0 {
            self.tell_end(id, readable | writable);
        }
    }

    /// Says `EAGAIN`, and by an event that it may be worth another try.
    fn storm(&mut self, id: EndId, owner: Owner, bits: u8, operation: u64) -> io::Result<()> {
        if let Owner::Shard(shard, token) = owner
            && token != NO_TOKEN
            && self.end(id).storm_event <= self.now
        {
            let time = self.now + 1 + self.choices.below(Kind::Storm, STORM_EVENT_NS, u64::from(id), !operation);
            self.end(id).storm_event = time;
            self.depart(time, Flight::Tell(shard, Notice { token, bits }));
        }
        error(libc::EAGAIN)
    }

    /// Receives into `into`; 0 is the end of the stream, `EAGAIN` nothing yet.
    pub(crate) fn recv(&mut self, id: EndId, into: &mut [u8]) -> io::Result<usize> {
        if let Link::Failed(code) = self.end(id).link {
            return error(code);
        }
        self.struck(id, READ)?;
        let (choices, rate) = (self.choices, self.faults.partial_read);
        let end = self.end(id);
        if end.unread == 0 {
            // A reset after the end of the stream changes nothing about what was received.
            if end.reset && !end.ended && !end.reset_told {
                end.reset_told = true;
                self.note(6, u64::from(id), 1);
                return error(libc::ECONNRESET);
            }
            if end.ended || end.reset {
                self.note(6, u64::from(id), 0);
                return Ok(END);
            }
            return error(libc::EAGAIN);
        }
        let mut most = into.len().min(end.unread);
        let mut cut_short = false;
        let (connection, operation) = (u64::from(id), end.operations);
        if end.owner != Owner::Nobody && choices.happens(Kind::PartialRead, rate, connection, operation) {
            let cut = choices.below(Kind::PartialRead, most as u64, connection, operation);
            most = usize::try_from(if operation % 3 == 0 { cut % 16 } else { cut }).expect("below a length") + 1;
            cut_short = most < into.len().min(end.unread);
            most = most.min(into.len()).min(end.unread);
        }
        let mut filled = 0;
        while filled < most {
            let chunk = end.inbox.front().expect("unread bytes are in the inbox");
            let count = (chunk.len() - end.taken).min(most - filled);
            into[filled..filled + count].copy_from_slice(&chunk[end.taken..end.taken + count]);
            filled += count;
            end.taken += count;
            if end.taken == chunk.len() {
                end.inbox.pop_front();
                end.taken = 0;
            }
        }
        end.unread -= filled;
        let (peer, owner) = (end.peer, end.owner);
        self.note(7, connection, filled as u64);
        if cut_short {
            // To those who listen for edges a short read means that there was no more: so more comes now.
            self.tell(owner, READ, connection, operation);
        }
        self.make_room(peer, connection, operation);
        Ok(filled)
    }

    fn make_room(&mut self, sender: EndId, connection: u64, operation: u64) {
        let Some(end) = self.ends[sender as usize].as_mut() else { return };
        if end.wants_room {
            end.wants_room = false;
            let owner = end.owner;
            self.tell_later(owner, WRITE, connection, operation);
        }
    }

    /// Sends the parts, as far as there is room; `EAGAIN` if there is none.
    pub(crate) fn send(&mut self, id: EndId, parts: &[&[u8]]) -> io::Result<usize> {
        match self.end(id).link {
            Link::Connecting => {
                self.end(id).wants_room = true;
                return error(libc::EAGAIN);
            }
            Link::Failed(_) => return error(libc::EPIPE),
            Link::Connected => {}
        }
        self.struck(id, WRITE)?;
        let end = self.end(id);
        if end.reset {
            let told = std::mem::replace(&mut end.reset_told, true) || end.ended;
            return error(if told { libc::EPIPE } else { libc::ECONNRESET });
        }
        if end.finished {
            return error(libc::EPIPE);
        }
        let (peer, owner, operation, connection) = (end.peer, end.owner, end.operations, u64::from(id));
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let room = self.room(id);
        if room == 0 && total > 0 {
            self.end(id).wants_room = true;
            return error(libc::EAGAIN);
        }
        if total == 0 {
            return Ok(0);
        }
        let mut most = total.min(room);
        if owner != Owner::Nobody
            && most > 1
            && self.choices.happens(Kind::PartialWrite, self.faults.partial_write, connection, operation)
        {
            let cut = self.choices.below(Kind::PartialWrite, most as u64, connection, operation);
            most = usize::try_from(if operation % 3 == 0 { cut % 16 } else { cut }).expect("below a length") + 1;
            // A real socket would say when it takes more; this one takes more at once and says so.
            self.tell(owner, WRITE, connection, operation);
        } else if most < total {
            self.end(id).wants_room = true;
        }
        let (mut cut, mut half_close) = (false, false);
        if owner != Owner::Nobody {
            let end = self.end(id);
            let until = |limit: u64| usize::try_from(limit.saturating_sub(end.sent)).unwrap_or(usize::MAX).max(1);
            cut = most >= until(end.cut_after);
            half_close = !cut && most >= until(end.half_close_after);
            if cut || half_close {
                most = most.min(until(end.cut_after.min(end.half_close_after)));
            }
            end.sent += most as u64;
        }
        let mut bytes = Vec::with_capacity(most);
        for part in parts {
            let count = part.len().min(most - bytes.len());
            bytes.extend_from_slice(&part[..count]);
        }
        self.note(8, connection, most as u64);
        self.sends += u64::from(owner != Owner::Nobody);
        let gone = self.ends[peer as usize].as_ref().is_none_or(|peer| peer.closed);
        if gone {
            // Nobody is there: what was sent is answered by a reset.
            self.send_reset(id);
            return Ok(most);
        }
        let trickle = most > 1
            && owner != Owner::Nobody
            && self.choices.happens(Kind::Trickle, self.faults.trickle, connection, operation);
        let drip = most > 1 && self.choices.happens(Kind::Drip, self.faults.drip, connection, operation);
        let (pieces, between) = if trickle {
            let pieces = 2 + self.choices.below(Kind::Trickle, TRICKLE_PIECES - 1, connection, operation);
            (pieces, self.choices.below(Kind::Trickle, TRICKLE_NS, connection, !operation) / pieces)
        } else if drip {
            (2 + self.choices.below(Kind::Drip, PIECES - 1, connection, operation), 0)
        } else {
            (1, 0)
        };
        let size = most.div_ceil(usize::try_from(pieces).expect("few"));
        if pieces == 1 {
            self.ship(peer, Piece::Data(bytes), connection, mix(operation), 0);
        } else {
            for (at, piece) in bytes.chunks(size.max(1)).enumerate() {
                let key = mix(operation ^ (at as u64) << 32);
                self.ship(peer, Piece::Data(piece.to_vec()), connection, key, between * at as u64);
            }
        }
        if cut {
            self.note(5, connection, operation);
            self.send_reset(peer);
            self.take_reset(id);
            self.tell_end(id, READ | WRITE | HANGUP);
        } else if half_close {
            self.shutdown(id);
            self.tell_end(id, WRITE);
        }
        Ok(most)
    }

    fn ship(&mut self, to: EndId, piece: Piece, connection: u64, operation: u64, after: u64) {
        let time = self.now + after + self.latency(connection, operation);
        let Some(end) = self.ends[to as usize].as_mut() else { return };
        let time = time.max(end.last_arrival);
        end.last_arrival = time;
        if let Piece::Data(bytes) = &piece {
            end.coming_bytes += bytes.len();
        }
        end.coming.push_back((time, piece));
        self.depart(time, Flight::Land(to));
    }

    pub(super) fn land(&mut self, id: EndId) {
        let now = self.now;
        let mut bits = 0;
        while let Some(end) = self.ends[id as usize].as_mut()
            && end.coming.front().is_some_and(|(time, _)| *time <= now)
        {
            let Some((_, piece)) = end.coming.pop_front() else { break };
            match piece {
                Piece::Data(bytes) => {
                    end.coming_bytes -= bytes.len();
                    if end.closed {
                        let peer = end.peer;
                        self.send_reset(peer);
                    } else if !end.reset {
                        end.unread += bytes.len();
                        end.inbox.push_back(bytes);
                        bits |= READ;
                    }
                }
                // What comes after a reset is nothing: the connection is gone here.
                Piece::Fin => {
                    end.ended |= !end.reset;
                    bits |= READ | HANGUP;
                }
                Piece::Rst => {
                    self.take_reset(id);
                    bits |= READ | WRITE | HANGUP;
                }
            }
        }
        if bits != 0 {
            self.tell_end(id, bits);
        }
        self.forget(id);
    }

    pub(super) fn take_reset(&mut self, id: EndId) {
        let Some(end) = self.ends[id as usize].as_mut() else { return };
        if end.reset {
            return;
        }
        end.reset = true;
        end.wants_room = false;
        // What came whole stays.
        let keep = end.ended || self.choices.happens(Kind::KeepOnReset, 500, u64::from(id), 0);
        let end = self.end(id);
        if !keep {
            end.inbox.clear();
            end.taken = 0;
            end.unread = 0;
        }
        end.coming.clear();
        end.coming_bytes = 0;
    }

    pub(super) fn send_reset(&mut self, to: EndId) {
        let Some(end) = self.ends[to as usize].as_mut() else { return };
        if end.reset || end.coming.iter().any(|(_, piece)| matches!(piece, Piece::Rst)) {
            return;
        }
        end.operations += 1;
        let operation = end.operations;
        self.ship(to, Piece::Rst, u64::from(to), operation, 0);
    }

    /// Sends the end of this end's stream.
    pub(crate) fn shutdown(&mut self, id: EndId) {
        let end = self.end(id);
        if end.finished || end.reset || end.link != Link::Connected {
            return;
        }
        end.finished = true;
        end.operations += 1;
        let (peer, operation) = (end.peer, end.operations);
        self.note(9, u64::from(id), 0);
        self.ship(peer, Piece::Fin, u64::from(id), operation, 0);
    }

    /// Closes an end as `close(2)` does: with a reset if something is unread.
    pub(crate) fn close(&mut self, id: EndId) {
        let end = self.end(id);
        if end.closed {
            return;
        }
        if end.unread > 0 || end.coming_bytes > 0 {
            return self.abort(id);
        }
        self.shutdown(id);
        self.gone(id);
    }

    /// Closes an end with a reset.
    pub(crate) fn abort(&mut self, id: EndId) {
        let end = self.end(id);
        if end.closed {
            return;
        }
        let (peer, linked, reset) = (end.peer, end.link == Link::Connected, end.reset);
        self.note(10, u64::from(id), 0);
        if linked && !reset {
            self.send_reset(peer);
        }
        self.gone(id);
    }

    fn gone(&mut self, id: EndId) {
        let end = self.end(id);
        end.closed = true;
        if end.owner != Owner::Nobody {
            end.owner = Owner::Nobody;
            self.descriptors -= 1;
        }
        let end = self.end(id);
        end.inbox.clear();
        end.taken = 0;
        end.unread = 0;
        self.forget(id);
    }

    /// Frees both ends once both are closed and nothing is under way between them.
    pub(super) fn forget(&mut self, id: EndId) {
        let quiet = |end: Option<&End>| end.is_none_or(|end| end.closed && end.coming.is_empty());
        let Some(end) = self.ends[id as usize].as_deref() else { return };
        let peer = end.peer;
        if end.link != Link::Connecting && quiet(Some(end)) && quiet(self.ends[peer as usize].as_deref()) {
            self.ends[id as usize] = None;
            self.ends[peer as usize] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::net::Address;

    #[test]
    fn an_end_that_comes_after_a_reset_is_no_end() {
        for seed in 1..20 {
            let mut network = Network::new(seed);
            let later = |network: &mut Network| network.advance(network.now + 1_000_000_000);
            let address = Address::Ip(SocketAddr::from(([10, 0, 0, 1], 80)));
            let door = network.open_door(&address).unwrap();
            let client = network.connect(&address, Owner::Nobody).unwrap();
            later(&mut network);
            let server = network.accept(door, None).unwrap();
            network.send(server, &[b"a part"]).unwrap();
            later(&mut network);
            network.take_reset(client);
            network.shutdown(server);
            later(&mut network);
            let mut into = [0; 16];
            // What lay there may be read, or not.
            let first = network.recv(client, &mut into);
            let last = if matches!(first, Ok(6)) { network.recv(client, &mut into) } else { first };
            assert_eq!(last.unwrap_err().kind(), io::ErrorKind::ConnectionReset, "seed {seed}");
        }
    }
}
