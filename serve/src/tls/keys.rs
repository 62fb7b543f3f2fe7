//! Keys of tickets and sessions of clients without them: made once for the process, so that a reload ends no session.

use std::sync::{Arc, Mutex, PoisonError};

use anygate_proto::tls::{SessionCache, TicketKeys};

/// Keys and caches by what they were asked for with: configurations that ask for the same share them.
static SHARED: Mutex<Shared> = Mutex::new(Shared { tickets: Vec::new(), sessions: Vec::new() });

/// Most of a kind that are kept: a configuration has one, and reloads may try others.
const KEPT: usize = 4;

struct Shared {
    tickets: Vec<(u32, Arc<TicketKeys>)>,
    sessions: Vec<((usize, u32), Arc<SessionCache>)>,
}

/// Keys of tickets that are good for so many seconds; none where the system has no random bytes.
pub(crate) fn tickets(lifetime: u32, now: u64) -> Option<Arc<TicketKeys>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, keys)) = shared.tickets.iter().find(|(asked, _)| *asked == lifetime) {
        return Some(Arc::clone(keys));
    }
    let keys = TicketKeys::new(lifetime, now).ok()?;
    if shared.tickets.len() == KEPT {
        shared.tickets.remove(0);
    }
    shared.tickets.push((lifetime, Arc::clone(&keys)));
    Some(keys)
}

/// A cache of so many sessions, each for so many seconds.
pub(crate) fn sessions(entries: usize, lifetime: u32, now: u64) -> Arc<SessionCache> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let asked = (entries, lifetime);
    if let Some((_, cache)) = shared.sessions.iter().find(|(other, _)| *other == asked) {
        return Arc::clone(cache);
    }
    let cache = SessionCache::new(entries, lifetime, now);
    if shared.sessions.len() == KEPT {
        shared.sessions.remove(0);
    }
    shared.sessions.push((asked, Arc::clone(&cache)));
    cache
}

/// Takes new keys and forgets old sessions where it is time; to be called once a minute. `now` is in seconds since 1970.
pub(crate) fn tick(now: u64) {
    let shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    for (_, keys) in &shared.tickets {
        // Without random bytes the key goes on.
        let _ = keys.tick(now);
    }
    for (_, cache) in &shared.sessions {
        cache.tick(now);
    }
}
