//! Whose turn it is to send content (RFC 9218 §10).
//!
//! Lower urgency goes first. Of one urgency, answers that are of no use in parts go one after another, in the order of
//! their streams; those that are go round, a frame each; where both stand, they take turns.

use super::stream::{NONE, Store};

const URGENCIES: usize = 8;

/// A queue through the slots of a [`Store`].
#[derive(Clone, Copy, Debug)]
struct Queue {
    first: u32,
    last: u32,
}

const EMPTY: Queue = Queue { first: NONE, last: NONE };

/// The queues of a connection, in which those stand that have something to send and room to send it.
#[derive(Debug)]
pub(super) struct Order {
    /// For each urgency, those in sequence and those that go round.
    queues: [[Queue; 2]; URGENCIES],
    /// The urgencies at which somebody stands.
    used: u8,
    /// The urgencies at which those that go round are next.
    round: u8,
    /// How many stand here that had no turn since they asked.
    asking: u32,
}

impl Order {
    pub(super) const fn new() -> Self {
        Self { queues: [[EMPTY; 2]; URGENCIES], used: 0, round: 0, asking: 0 }
    }

    /// Who is next.
    #[inline]
    pub(super) fn first(&self) -> Option<u32> {
        if self.used == 0 {
            return None;
        }
        let urgency = self.used.trailing_zeros() as usize;
        let [sequence, round] = &self.queues[urgency];
        let round_next = self.round & 1 << urgency != 0;
        Some(if sequence.first == NONE || (round_next && round.first != NONE) { round.first } else { sequence.first })
    }

    /// Who is next of those that had no turn since they asked. They are few: who has been passed over once is not again.
    pub(super) fn first_asking(&self, streams: &mut Store) -> Option<u32> {
        if self.asking == 0 {
            return None;
        }
        for queue in self.queues.iter().flatten() {
            let mut at = queue.first;
            while at != NONE {
                let stream = streams.at(at);
                if !stream.told {
                    return Some(at);
                }
                at = stream.next;
            }
        }
        None
    }

    /// A stream asks for a turn.
    #[inline]
    pub(super) fn ask(&mut self, streams: &mut Store, index: u32) {
        let stream = streams.at(index);
        if std::mem::take(&mut stream.told) && stream.queued {
            self.asking += 1;
        }
        self.enter(streams, index);
    }

    /// A stream has its turn.
    #[inline]
    pub(super) fn tell(&mut self, streams: &mut Store, index: u32) {
        let stream = streams.at(index);
        if !std::mem::replace(&mut stream.told, true) && stream.queued {
            self.asking -= 1;
        }
    }

    /// Puts a stream in its place, unless it stands there.
    pub(super) fn enter(&mut self, streams: &mut Store, index: u32) {
        let stream = streams.at(index);
        if stream.queued {
            return;
        }
        stream.queued = true;
        self.asking += u32::from(!stream.told);
        let (id, urgency, incremental) = (stream.id, stream.priority.urgency & 7, stream.priority.incremental);
        self.used |= 1 << urgency;
        let queue = &mut self.queues[urgency as usize][usize::from(incremental)];
        let mut before = queue.last;
        // Streams mostly ask in the order they were opened in.
        while !incremental && before != NONE && streams.at(before).id > id {
            before = streams.at(before).previous;
        }
        let after = if before == NONE { queue.first } else { streams.at(before).next };
        let stream = streams.at(index);
        (stream.previous, stream.next) = (before, after);
        if before == NONE {
            queue.first = index;
        } else {
            streams.at(before).next = index;
        }
        if after == NONE {
            queue.last = index;
        } else {
            streams.at(after).previous = index;
        }
    }

    /// Takes a stream out, if it stands here. To be called before its priority changes.
    #[inline]
    pub(super) fn leave(&mut self, streams: &mut Store, index: u32) {
        let stream = streams.at(index);
        if !stream.queued {
            return;
        }
        stream.queued = false;
        self.asking -= u32::from(!stream.told);
        let (before, after) = (stream.previous, stream.next);
        let (urgency, incremental) = (stream.priority.urgency & 7, stream.priority.incremental);
        let queue = &mut self.queues[urgency as usize][usize::from(incremental)];
        if before == NONE {
            queue.first = after;
        } else {
            streams.at(before).next = after;
        }
        if after == NONE {
            queue.last = before;
        } else {
            streams.at(after).previous = before;
        }
        if self.queues[urgency as usize].iter().all(|queue| queue.first == NONE) {
            self.used &= !(1 << urgency);
        }
    }

    /// A stream has used its turn: the other kind is next, and one that goes round stands last, unless it has ended. What it
    /// sent may have been all, and its end is to follow.
    #[inline]
    pub(super) fn turned(&mut self, streams: &mut Store, index: u32, ended: bool) {
        let stream = streams.at(index);
        let was_told = std::mem::take(&mut stream.told);
        if !stream.queued {
            return;
        }
        self.asking += u32::from(was_told);
        let (bit, incremental) = (1 << (stream.priority.urgency & 7), stream.priority.incremental);
        if incremental {
            self.round &= !bit;
            if !ended {
                self.leave(streams, index);
                self.enter(streams, index);
            }
        } else {
            self.round |= bit;
        }
    }

    /// Whether somebody goes before a stream of this priority and identifier that is to be answered at once.
    #[inline]
    pub(super) fn goes_before(&self, streams: &Store, urgency: u8, id: u32, incremental: bool) -> bool {
        if self.used == 0 {
            return false;
        }
        let ahead = self.used.trailing_zeros() as u8;
        if ahead != urgency {
            return ahead < urgency;
        }
        let [sequence, round] = &self.queues[urgency as usize & 7];
        incremental || round.first != NONE || streams.id_at(sequence.first).is_some_and(|first| first < id)
    }
}
