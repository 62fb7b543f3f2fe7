//! Which streams there are, what state each is in, and what is remembered of those that are over (RFC 9113 §5.1).

use super::event::StreamKey;
use super::flow::{ReceiveWindow, SendWindow};
use super::priority::Priority;

/// No index.
pub(super) const NONE: u32 = u32::MAX;

/// A stream that is open or half-closed.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    /// The identifier; 0 while the slot is free.
    pub(super) id: u32,
    /// The client has ended its side.
    pub(super) remote_ended: bool,
    /// We have ended ours.
    pub(super) local_ended: bool,
    /// The final head has been sent: what follows is content.
    pub(super) responded: bool,
    /// Bytes go both ways until either side ends: CONNECT.
    pub(super) tunnel: bool,
    /// The user has something to send.
    pub(super) wants: bool,
    /// It stands in a queue of [`super::order::Order`].
    pub(super) queued: bool,
    /// It had a turn since it asked for one, or since it sent something: one without room is of no use to it.
    pub(super) told: bool,
    /// The priority, from `priority` or PRIORITY_UPDATE.
    pub(super) priority: Priority,
    /// Neighbours in the queue; the next free slot while it is free.
    pub(super) next: u32,
    pub(super) previous: u32,
    /// What may be sent.
    pub(super) send: SendWindow,
    /// What may come.
    pub(super) receive: ReceiveWindow,
    /// Content that was handed to the user and not given back.
    pub(super) held: u32,
    /// Content that is to come by `content-length`.
    pub(super) expected: Option<u64>,
}

const _: () = assert!(size_of::<Stream>() <= 80);

/// How a stream came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Closed {
    /// Both sides have ended it, or the client has reset it.
    Done,
    /// We have reset it: what the client sent before it heard of that is ignored.
    ByUs,
    /// It was passed over, or nothing is remembered of it any more.
    Forgotten,
}

/// How many runs of streams that we have reset are remembered, the last ones: as many as may be open, for all of them may
/// be reset at once, but no fewer than this.
const RESETS_LEAST: u32 = 128;
/// And no more: a late frame's stream is looked for among all.
const RESETS_MOST: u32 = 1024;
/// How many streams that came to an end otherwise are remembered: the last ones.
const ENDS_REMEMBERED: usize = 16;

/// All streams of a connection.
#[derive(Debug)]
pub(super) struct Store {
    slots: Vec<Stream>,
    free: u32,
    open: u32,
    /// Identifier to index: open addressing, a power of two, never more than half full. 0 is free.
    table: Vec<(u32, u32)>,
    ended: [u32; ENDS_REMEMBERED],
    ends: usize,
    /// The first and the last of streams that were reset one after another, with none between them.
    reset: Vec<(u32, u32)>,
    /// Where in `reset` the newest is.
    newest: usize,
    resets_most: usize,
}

impl Store {
    /// For so many streams open at once.
    pub(super) fn new(max_streams: u32) -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            open: 0,
            table: Vec::new(),
            ended: [0; ENDS_REMEMBERED],
            ends: 0,
            reset: Vec::new(),
            newest: 0,
            resets_most: max_streams.clamp(RESETS_LEAST, RESETS_MOST) as usize,
        }
    }

    /// How many are open or half-closed.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.open as usize
    }

    /// Opens a stream.
    #[inline]
    pub(super) fn open(&mut self, stream: Stream) -> StreamKey {
        let id = stream.id;
        let index = if self.free == NONE {
            self.slots.push(stream);
            self.slots.len() as u32 - 1
        } else {
            let index = self.free;
            let slot = &mut self.slots[index as usize];
            self.free = slot.next;
            *slot = stream;
            index
        };
        self.open += 1;
        if self.open as usize * 2 > self.table.len() {
            self.grow();
        } else {
            self.enter(id, index);
        }
        StreamKey { index, id }
    }

    /// The stream of this key, if it is still there.
    #[inline]
    pub(super) fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.slots.get(key.index as usize).filter(|stream| stream.id == key.id && key.id != 0)
    }

    /// The same, to change it.
    #[inline]
    pub(super) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.slots.get_mut(key.index as usize).filter(|stream| stream.id == key.id && key.id != 0)
    }

    /// The identifier of the stream at an index.
    #[inline]
    pub(super) fn id_at(&self, index: u32) -> Option<u32> {
        self.slots.get(index as usize).map(|stream| stream.id)
    }

    /// A slot that is known to be in use.
    #[inline]
    pub(super) fn at(&mut self, index: u32) -> &mut Stream {
        &mut self.slots[index as usize]
    }

    /// The key of an identifier, if the stream is open.
    #[inline]
    pub(super) fn find(&self, id: u32) -> Option<StreamKey> {
        let mask = self.table.len().checked_sub(1)?;
        let mut at = place(id) & mask;
        loop {
            let (found, index) = self.table[at];
            if found == id {
                return (id != 0).then_some(StreamKey { index, id });
            }
            if found == 0 {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// Ends a stream: its slot is free, and how it ended is remembered for a while.
    #[inline]
    pub(super) fn close(&mut self, key: StreamKey, how: Closed) {
        if self.get(key).is_none() {
            return;
        }
        let slot = &mut self.slots[key.index as usize];
        slot.id = 0;
        slot.next = self.free;
        self.free = key.index;
        self.open -= 1;
        self.leave(key.id);
        self.remember(key.id, how);
    }

    /// Remembers how a stream ended.
    #[inline]
    pub(super) fn remember(&mut self, id: u32, how: Closed) {
        match how {
            Closed::Done => {
                self.ended[self.ends % ENDS_REMEMBERED] = id;
                self.ends = self.ends.wrapping_add(1);
            }
            Closed::ByUs => self.remember_reset(id),
            Closed::Forgotten => {}
        }
    }

    /// A client that opens too many streams, or has lost the server behind all of them, makes long runs of them.
    fn remember_reset(&mut self, id: u32) {
        if let Some((_, last)) = self.reset.get_mut(self.newest)
            && last.checked_add(2) == Some(id)
        {
            *last = id;
        } else if self.reset.len() < self.resets_most {
            self.newest = self.reset.len();
            self.reset.push((id, id));
        } else {
            self.newest = (self.newest + 1) % self.resets_most;
            self.reset[self.newest] = (id, id);
        }
    }

    /// How a stream that is not open any more came to its end.
    pub(super) fn closed(&self, id: u32) -> Closed {
        if self.reset.iter().any(|&(first, last)| (first..=last).contains(&id)) {
            Closed::ByUs
        } else if self.ended.contains(&id) {
            Closed::Done
        } else {
            Closed::Forgotten
        }
    }

    /// Every open stream.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (StreamKey, &mut Stream)> {
        self.slots
            .iter_mut()
            .enumerate()
            .filter(|(_, stream)| stream.id != 0)
            .map(|(index, stream)| (StreamKey { index: index as u32, id: stream.id }, stream))
    }

    /// Gives back what a connection without streams does not need.
    pub(super) fn trim(&mut self) {
        self.reset.shrink_to_fit();
        if self.open == 0 {
            (self.slots, self.table, self.free) = (Vec::new(), Vec::new(), NONE);
        }
    }

    fn enter(&mut self, id: u32, index: u32) {
        let mask = self.table.len() - 1;
        let mut at = place(id) & mask;
        while self.table[at].0 != 0 {
            at = (at + 1) & mask;
        }
        self.table[at] = (id, index);
    }

    /// Takes an identifier out, and moves those behind it that would not be found any more.
    fn leave(&mut self, id: u32) {
        let mask = self.table.len() - 1;
        let mut hole = place(id) & mask;
        while self.table[hole].0 != id {
            if self.table[hole].0 == 0 {
                return;
            }
            hole = (hole + 1) & mask;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let (next, _) = self.table[at];
            if next == 0 {
                break;
            }
            // It may fill the hole unless its own place lies behind the hole.
            if (at.wrapping_sub(place(next)) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.table[hole] = self.table[at];
                hole = at;
            }
        }
        self.table[hole] = (0, 0);
    }

    #[cold]
    fn grow(&mut self) {
        self.table.clear();
        self.table.resize((self.open as usize * 4).next_power_of_two().max(8), (0, 0));
        for index in 0..self.slots.len() as u32 {
            let id = self.slots[index as usize].id;
            if id != 0 {
                self.enter(id, index);
            }
        }
    }
}

/// Where an identifier is looked for first. Client streams are odd and come in order.
const fn place(id: u32) -> usize {
    (id >> 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn stream(id: u32) -> Stream {
        Stream {
            id,
            remote_ended: false,
            local_ended: false,
            responded: false,
            tunnel: false,
            wants: false,
            queued: false,
            told: false,
            priority: Priority::default(),
            next: NONE,
            previous: NONE,
            send: SendWindow::new(0),
            receive: ReceiveWindow::new(0),
            held: 0,
            expected: None,
        }
    }

    #[test]
    fn every_open_stream_is_found_and_no_other_through_a_long_life() {
        let mut store = Store::new(128);
        let mut open = HashMap::new();
        let mut random = 1u32;
        for id in (1..40_000u32).step_by(2) {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = store.open(stream(id));
            assert!(open.insert(id, key).is_none());
            // Some live long, most are over soon.
            while open.len() > 60 || (!open.is_empty() && random >> 30 == 0) {
                let over =
                    *open.keys().min_by_key(|&&id| id.wrapping_mul(2_654_435_761) ^ random).expect("one is open");
                let key = open.remove(&over).expect("it is open");
                store.close(key, Closed::Done);
                assert!(store.find(over).is_none() && store.get(key).is_none());
                random >>= 1;
            }
            if id % 64 == 1 {
                for (id, key) in &open {
                    assert_eq!(store.find(*id), Some(*key));
                }
            }
            assert_eq!(store.len(), open.len());
        }
        assert!(store.slots.len() <= 62 && store.table.len() <= 256, "slots are used again");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_last() {
        for (max_streams, most) in [(1, 128), (128, 128), (300, 300), (65_536, 1024)] {
            let mut store = Store::new(max_streams);
            for id in (1..8000).step_by(2) {
                store.remember(id, if id % 4 == 1 { Closed::Done } else { Closed::ByUs });
            }
            assert_eq!((store.closed(7997), store.closed(7999)), (Closed::Done, Closed::ByUs));
            assert_eq!((store.closed(1), store.closed(3)), (Closed::Forgotten, Closed::Forgotten));
            let remembered = (1..8000).step_by(2).filter(|&id| store.closed(id) == Closed::ByUs).count();
            assert_eq!((remembered, store.reset.len()), (most, most));
        }
    }

    #[test]
    fn a_run_of_streams_that_were_reset_is_remembered_however_long_it_is() {
        let mut store = Store::new(128);
        (1..100_000).step_by(2).for_each(|id| store.remember(id, Closed::ByUs));
        // Another of long ago, then the run goes on behind it, and one is left out.
        store.remember(7, Closed::ByUs);
        (100_001..200_000).step_by(2).filter(|&id| id != 150_001).for_each(|id| store.remember(id, Closed::ByUs));
        assert!((1..200_000).step_by(2).all(|id| (store.closed(id) == Closed::ByUs) == (id != 150_001)));
        assert_eq!(store.reset.len(), 4);
    }

    #[test]
    fn a_key_of_a_stream_that_is_over_finds_nothing_in_its_slot() {
        let mut store = Store::new(128);
        let first = store.open(stream(1));
        store.close(first, Closed::Done);
        let second = store.open(stream(3));
        assert_eq!(first.index, second.index);
        assert!(store.get(first).is_none() && store.get(second).is_some());
        store.close(first, Closed::Done);
        assert_eq!(store.len(), 1);
        store.close(second, Closed::Done);
        store.trim();
        assert!(store.slots.capacity() == 0 && store.find(3).is_none());
    }
}
