//! How an earlier session goes on (RFC 8446 §2.2, RFC 5077): keys of tickets, and a cache for clients without tickets.
//!
//! Both are made once and outlive configurations: what is shared by all shards, and by the configurations before and after
//! a reload. What they hold belongs to a *realm*: a session goes on only where the same demands on clients hold, so none
//! that began without a client certificate goes on where one is required.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};

/// The shortest lifetime of a ticket, in seconds.
pub const LIFETIME_LEAST: u32 = 60;
/// The longest lifetime of a ticket, in seconds: seven days (RFC 8446 §4.6.1).
pub const LIFETIME_MOST: u32 = 7 * 24 * 60 * 60;

const NAME_LEN: usize = 16;
const TAG_LEN: usize = 16;
/// The longest session that goes into a ticket, in bytes: a ticket is a vector of 64 KiB (RFC 8446 §4.6.1), and a client
/// sends it along in each hello. One with a longer chain of client certificates gets no ticket.
const SESSION_MOST: usize = 12 << 10;

/// A digest of the demands on clients that a session began under.
pub(super) type Realm = [u8; 32];

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system gives no random bytes")
    }
}

impl std::error::Error for NoRandomness {}

/// One key: its name stands in front of what it sealed.
struct Key {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
}

impl Key {
    fn new() -> Result<Self, NoRandomness> {
        let mut name = [0; NAME_LEN];
        let mut secret = [0; 32];
        rand::fill(&mut name).map_err(|_| NoRandomness)?;
        rand::fill(&mut secret).map_err(|_| NoRandomness)?;
        let key = UnboundKey::new(&AES_256_GCM, &secret).map_err(|_| NoRandomness)?;
        secret.fill(0);
        Ok(Self { name, key: LessSafeKey::new(key) })
    }

    /// Name, nonce, sealed session, tag. The realm is authenticated, not sent.
    fn seal(&self, session: &[u8], realm: &Realm) -> Option<Vec<u8>> {
        if session.len() > SESSION_MOST {
            return None;
        }
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(NAME_LEN + NONCE_LEN + session.len() + TAG_LEN);
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(session);
        let (_, sealed) = ticket.split_at_mut(NAME_LEN + NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(realm), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], realm: &Realm) -> Option<Vec<u8>> {
        let (_, rest) = ticket.split_at_checked(NAME_LEN)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut session = sealed.to_vec();
        let length = self.key.open_in_place(nonce, Aad::from(realm), &mut session).ok()?.len();
        session.truncate(length);
        Some(session)
    }
}

struct Keys {
    current: Key,
    /// Opens what it sealed before.
    previous: Option<Key>,
    /// When the current one began, in seconds since 1970.
    since: u64,
}

/// Keys of tickets. There is one that seals, and one before it that still opens; a new one takes over in the middle of a
/// lifetime, so that a ticket is good for at least half of the lifetime and never for more than the whole of it, provided
/// that [`TicketKeys::tick`] is called. A key that is gone opens nothing that was recorded: forward secrecy is as good as
/// the lifetime is short.
pub struct TicketKeys {
    keys: RwLock<Keys>,
    lifetime: u32,
}

impl TicketKeys {
    /// Keys of tickets with this lifetime in seconds, held between [`LIFETIME_LEAST`] and [`LIFETIME_MOST`]. `now` is in
    /// seconds since 1970.
    ///
    /// # Errors
    /// The system gave no random bytes.
    pub fn new(lifetime: u32, now: u64) -> Result<Arc<Self>, NoRandomness> {
        let keys = Keys { current: Key::new()?, previous: None, since: now };
        Ok(Arc::new(Self { keys: RwLock::new(keys), lifetime: lifetime.clamp(LIFETIME_LEAST, LIFETIME_MOST) }))
    }

    /// The lifetime in seconds.
    #[must_use]
    pub fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// Takes a new key where it is time; to be called every so often, at least each half of the lifetime. True when one was
    /// taken. `now` is in seconds since 1970; a clock that went back changes nothing until it is where it was.
    ///
    /// # Errors
    /// The system gave no random bytes: the key goes on.
    pub fn tick(&self, now: u64) -> Result<bool, NoRandomness> {
        let since = self.keys.read().unwrap_or_else(PoisonError::into_inner).since;
        let age = now.saturating_sub(since);
        if age < u64::from(self.lifetime / 2) {
            return Ok(false);
        }
        let next = Key::new()?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else was quicker.
        if keys.since != since {
            return Ok(false);
        }
        let before = std::mem::replace(&mut keys.current, next);
        keys.previous = (age < u64::from(self.lifetime)).then_some(before);
        keys.since = now;
        Ok(true)
    }

    pub(super) fn of_realm(self: &Arc<Self>, realm: Realm) -> Arc<dyn ProducesTickets> {
        Arc::new(Tickets { keys: Arc::clone(self), realm })
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// Tickets of one realm.
#[derive(Debug)]
struct Tickets {
    keys: Arc<TicketKeys>,
    realm: Realm,
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.keys.lifetime
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.keys.read().unwrap_or_else(PoisonError::into_inner).current.seal(plain, &self.realm)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.keys.read().unwrap_or_else(PoisonError::into_inner);
        let name = cipher.get(..NAME_LEN)?;
        let key = [Some(&keys.current), keys.previous.as_ref()].into_iter().flatten().find(|key| key.name == name)?;
        key.open(cipher, &self.realm)
    }
}

/// Sessions of clients that do without tickets: TLS 1.2 by their identifiers, TLS 1.3 only where tickets are off. Bounded,
/// and each is forgotten between half a lifetime and a whole one after it began, provided that [`SessionCache::tick`] is
/// called.
pub struct SessionCache {
    generations: RwLock<Generations>,
    /// Of one generation.
    entries: usize,
    lifetime: u32,
}

struct Generations {
    young: Arc<ServerSessionMemoryCache>,
    old: Arc<ServerSessionMemoryCache>,
    since: u64,
}

impl SessionCache {
    /// A cache of at most so many sessions, an odd number rounded up. One takes some 400 bytes, and where clients show
    /// certificates those besides, up to 12 KiB. The lifetime is in seconds, within the bounds of tickets'. `now` is in
    /// seconds since 1970.
    #[must_use]
    pub fn new(entries: usize, lifetime: u32, now: u64) -> Arc<Self> {
        let entries = entries.div_ceil(2).max(1);
        let generation = || ServerSessionMemoryCache::new(entries);
        let generations = Generations { young: generation(), old: generation(), since: now };
        let lifetime = lifetime.clamp(LIFETIME_LEAST, LIFETIME_MOST);
        Arc::new(Self { generations: RwLock::new(generations), entries, lifetime })
    }

    /// Forgets what is too old; to be called every so often, at least each half of the lifetime. True when a generation was
    /// forgotten. `now` is in seconds since 1970.
    pub fn tick(&self, now: u64) -> bool {
        let since = self.generations.read().unwrap_or_else(PoisonError::into_inner).since;
        let age = now.saturating_sub(since);
        if age < u64::from(self.lifetime / 2) {
            return false;
        }
        let next = ServerSessionMemoryCache::new(self.entries);
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else was quicker.
        if generations.since != since {
            return false;
        }
        let young = std::mem::replace(&mut generations.young, next);
        let stays = age < u64::from(self.lifetime);
        let next = if stays { young } else { ServerSessionMemoryCache::new(self.entries) };
        let before = std::mem::replace(&mut generations.old, next);
        generations.since = now;
        drop(generations);
        // What is to be freed is freed without the lock.
        drop(before);
        true
    }

    fn generations(&self) -> [Arc<ServerSessionMemoryCache>; 2] {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        [Arc::clone(&generations.young), Arc::clone(&generations.old)]
    }

    pub(super) fn of_realm(self: &Arc<Self>, realm: Realm) -> Arc<dyn StoresServerSessions> {
        Arc::new(Sessions { cache: Arc::clone(self), realm })
    }
}

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCache").field("entries", &(2 * self.entries)).finish_non_exhaustive()
    }
}

/// Sessions of one realm.
#[derive(Debug)]
struct Sessions {
    cache: Arc<SessionCache>,
    realm: Realm,
}

impl Sessions {
    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.realm, key].concat()
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let [young, _] = self.cache.generations();
        value.len() <= SESSION_MOST && young.put(self.key(&key), value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let key = self.key(key);
        self.cache.generations().iter().find_map(|generation| generation.get(&key))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let key = self.key(key);
        let [young, old] = self.cache.generations();
        let taken = young.take(&key);
        taken.or_else(|| old.take(&key))
    }

    fn can_cache(&self) -> bool {
        true
    }
}
