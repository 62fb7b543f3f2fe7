//! Which stream goes first by what the client said, read naively (RFC 9218)? The h2 crate knows nothing of it.

use std::collections::BTreeMap;

use super::script::{PREFACE, PRIORITY_UPDATE};

/// Urgency, and whether it is incremental.
pub(super) type Priority = (u8, bool);

/// What a stream has that nothing was said of.
const DEFAULT: Priority = (3, false);
/// Every value that scripts are made of; another one, of a frame that was bent, is not judged.
const VALUES: [(&[u8], Priority); 7] = [
    (b"u=0", (0, false)),
    (b"i", (3, true)),
    (b"", DEFAULT),
    (b"u=\"", DEFAULT),
    (b"u=1, i", (1, true)),
    (b"u=9", DEFAULT),
    (b"nonsense=\"", DEFAULT),
];

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Priorities {
    fields: BTreeMap<u32, Priority>,
    updates: BTreeMap<u32, Priority>,
    /// Something was said that is not understood here.
    lost: bool,
}

impl Priorities {
    /// Reads the updates of a chunk, of whole frames. True: it is an update of no request's stream, which ends a connection.
    pub(super) fn take(&mut self, chunk: &[u8]) -> bool {
        let mut is_fatal = false;
        let mut rest = chunk.strip_prefix(PREFACE).unwrap_or(chunk);
        while let Some((head, after)) = rest.split_at_checked(9) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let Some((payload, after)) = after.split_at_checked(length) else { break };
            if head[3] == PRIORITY_UPDATE
                && let Some((id, value)) = payload.split_first_chunk::<4>()
            {
                let priority = self.read(value);
                self.updates.insert(u32::from_be_bytes(*id) & 0x7fff_ffff, priority);
                is_fatal |= id[3] & 1 == 0 && !self.lost;
            }
            rest = after;
        }
        // The frames of the chunks to come begin elsewhere.
        let was_lost = self.lost;
        self.lost |= !rest.is_empty();
        is_fatal && !was_lost
    }

    /// A request has come, with these fields.
    pub(super) fn opened<'f>(&mut self, id: u32, fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) {
        let mut all = fields.filter(|(name, _)| *name == b"priority");
        let first = all.next().map_or(DEFAULT, |(_, value)| self.read(value));
        self.lost |= all.next().is_some();
        self.fields.insert(id, first);
    }

    /// Panics when `first` sends while one of `others`, which could, goes before it: those of one urgency that are not
    /// incremental are answered one after the other.
    pub(super) fn judge(&self, first: u32, others: impl Iterator<Item = u32>) {
        if self.lost {
            return;
        }
        let (urgency, incremental) = self.of(first);
        for other in others.filter(|other| *other != first) {
            let (its, shares) = self.of(other);
            let fine = urgency < its || urgency == its && (incremental || shares || first < other);
            assert!(fine, "stream {first} sends before {other}: {self:?}");
        }
    }

    fn of(&self, id: u32) -> Priority {
        self.updates.get(&id).or_else(|| self.fields.get(&id)).copied().unwrap_or(DEFAULT)
    }

    fn read(&mut self, value: &[u8]) -> Priority {
        let known = VALUES.iter().find(|(text, _)| *text == value);
        self.lost |= known.is_none();
        known.map_or(DEFAULT, |(_, priority)| *priority)
    }
}
