//! What does a shard remember of the files it served, and for how long does it believe it?

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anygate_core::limits::{FILES_CACHED, FILES_CACHED_BYTES, FILES_HELD_OPEN};
use anygate_shard::Tick;
use anygate_shard::file::Dir;
use foldhash::fast::RandomState;

use super::looking::Looking;
use super::resource::Resource;
use super::site::Site;

/// How long what was found is believed without another look.
const FRESH: Duration = Duration::from_secs(1);

/// What one shard remembers: files, small ones with their content and large ones open, and names that mean none.
///
/// Bounded in entries, bytes and descriptors; what was not used lately makes room (a clock with one hand: what was asked
/// for since the hand last came by stays, so that a scan of names drives out nothing that is in use).
#[derive(Debug, Default)]
pub struct Cache {
    inner: RefCell<Inner>,
    buffer: RefCell<Vec<u8>>,
    /// Names that are looked for on the pool.
    pub(super) looking: Looking,
}

/// What is remembered of a name.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    File(Rc<Resource>),
    /// A directory with an index, named without its slash.
    Directory,
    Missing,
    Forbidden,
}

/// An entry that was found.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) entry: Entry,
    /// False when it must be looked at again.
    pub(super) fresh: bool,
}

#[derive(Debug, Default)]
struct Inner {
    places: HashMap<u64, Place, RandomState>,
    slots: Vec<Slot>,
    hand: usize,
    bytes: usize,
    open: usize,
    /// Places from which on those whose site is gone are looked for.
    crowded: usize,
    #[cfg(test)]
    puts: u64,
}

/// A site as this shard sees it.
#[derive(Debug)]
struct Place {
    site: Weak<Site>,
    dir: Dir,
    dir_checked: Tick,
    names: HashMap<Name, usize, RandomState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name(Rc<[u8]>);

#[derive(Debug)]
struct Slot {
    place: u64,
    name: Name,
    entry: Entry,
    checked: Tick,
    used: bool,
    bytes: usize,
    open: bool,
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Cache {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, for when a shard changes its table: a route keeps nothing through a reload. Requests that are
    /// still served by the old table bring a little of it back, which is swept away in time.
    pub fn clear(&self) {
        *self.inner.borrow_mut() = Inner::default();
    }

    /// Closes every file that is kept open; answers under way keep theirs. For when descriptors run out.
    pub fn close_files(&self) {
        let mut inner = self.inner.borrow_mut();
        while inner.evict(|slot| slot.open) {}
    }

    /// What is remembered of a name. Allocates nothing.
    pub(super) fn get(&self, site: u64, name: &[u8], now: Tick) -> Option<Hit> {
        let mut inner = self.inner.borrow_mut();
        let at = *inner.places.get(&site)?.names.get(name)?;
        let slot = &mut inner.slots[at];
        slot.used = true;
        Some(Hit { entry: slot.entry.clone(), fresh: now.since(slot.checked) < FRESH })
    }

    /// Believes an entry again from `now` on.
    pub(super) fn renew(&self, site: u64, name: &[u8], now: Tick) {
        let mut inner = self.inner.borrow_mut();
        if let Some(&at) = inner.places.get(&site).and_then(|place| place.names.get(name)) {
            inner.slots[at].checked = now;
        }
    }

    /// Remembers an entry.
    pub(super) fn put(&self, site: &Arc<Site>, name: &[u8], entry: Entry, now: Tick) {
        self.inner.borrow_mut().put(site, name, entry, now);
    }

    /// The site's directory, and whether it is time to see if another one has taken its place.
    pub(super) fn dir(&self, site: &Arc<Site>, now: Tick) -> (Dir, bool) {
        let mut inner = self.inner.borrow_mut();
        let place = inner.place(site, now);
        let due = now.since(place.dir_checked) >= FRESH;
        if due {
            place.dir_checked = now;
        }
        (place.dir.clone(), due)
    }

    /// Another directory has taken the site's place.
    pub(super) fn set_dir(&self, site: &Arc<Site>, dir: Dir, now: Tick) {
        self.inner.borrow_mut().place(site, now).dir = dir;
    }

    /// A buffer for names, for as long as `work` takes.
    pub(super) fn with_buffer<T>(&self, work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        work(&mut self.buffer.borrow_mut())
    }
}

impl Inner {
    fn place(&mut self, site: &Arc<Site>, now: Tick) -> &mut Place {
        if !self.places.contains_key(&site.id) && self.places.len() >= self.crowded {
            self.sweep();
            self.crowded = (2 * self.places.len()).max(16);
        }
        self.places.entry(site.id).or_insert_with(|| Place {
            site: Arc::downgrade(site),
            dir: site.dir.clone(),
            dir_checked: now,
            names: HashMap::default(),
        })
    }

    fn put(&mut self, site: &Arc<Site>, name: &[u8], entry: Entry, now: Tick) {
        #[cfg(test)]
        {
            self.puts += 1;
        }
        if let Some(&at) = self.place(site, now).names.get(name) {
            self.remove(at);
        }
        let (bytes, open) = match &entry {
            Entry::File(resource) => resource.cost(),
            _ => (0, false),
        };
        let bytes = bytes + name.len() + size_of::<Slot>();
        while open && self.open >= FILES_HELD_OPEN && self.evict(|slot| slot.open) {}
        while (self.slots.len() >= FILES_CACHED || self.bytes + bytes > FILES_CACHED_BYTES) && self.evict(|_| true) {}
        let name = Name(name.into());
        let at = self.slots.len();
        self.place(site, now).names.insert(name.clone(), at);
        self.slots.push(Slot { place: site.id, name, entry, checked: now, used: false, bytes, open });
        self.bytes += bytes;
        self.open += usize::from(open);
    }

    /// Moves the hand to the next entry that may go and was not used since the last time; false when none may go.
    fn evict(&mut self, may_go: impl Fn(&Slot) -> bool) -> bool {
        // In two rounds at most every used mark is taken away.
        for _ in 0..2 * self.slots.len() {
            self.hand = if self.hand < self.slots.len() { self.hand } else { 0 };
            let slot = &mut self.slots[self.hand];
            if may_go(slot) && !std::mem::replace(&mut slot.used, false) {
                self.remove(self.hand);
                return true;
            }
            self.hand += 1;
        }
        false
    }

    fn remove(&mut self, at: usize) {
        let gone = self.slots.swap_remove(at);
        self.bytes -= gone.bytes;
        self.open -= usize::from(gone.open);
        if let Some(place) = self.places.get_mut(&gone.place) {
            place.names.remove(&gone.name);
        }
        if let Some(moved) = self.slots.get(at)
            && let Some(place) = self.places.get_mut(&moved.place)
            && let Some(index) = place.names.get_mut(&moved.name)
        {
            *index = at;
        }
    }

    fn sweep(&mut self) {
        let mut at = 0;
        while at < self.slots.len() {
            let alive = self.places.get(&self.slots[at].place).is_some_and(|place| place.site.strong_count() > 0);
            if alive { at += 1 } else { self.remove(at) }
        }
        self.places.retain(|_, place| place.site.strong_count() > 0);
    }
}

#[cfg(test)]
impl Cache {
    /// Entries, and how many of them keep a file open.
    pub(super) fn held(&self) -> (usize, usize) {
        let inner = self.inner.borrow();
        assert_eq!(inner.places.values().map(|place| place.names.len()).sum::<usize>(), inner.slots.len());
        assert_eq!(inner.slots.iter().map(|slot| slot.bytes).sum::<usize>(), inner.bytes);
        (inner.slots.len(), inner.open)
    }

    /// How often something was put in.
    pub(super) fn puts(&self) -> u64 {
        self.inner.borrow().puts
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use anygate_core::config::Static;
    use anygate_route::StaticTarget;

    use super::*;

    fn site() -> Arc<Site> {
        let target = StaticTarget { path: "/".into(), is_dir: true };
        Site::open(&target, &Static::default(), Path::new("/"), &[]).unwrap()
    }

    #[test]
    fn a_scan_of_names_is_bounded_and_drives_out_nothing_in_use() {
        let (cache, site) = (Cache::new(), site());
        cache.put(&site, b"wanted", Entry::Forbidden, Tick::ZERO);
        for i in 0..3 * FILES_CACHED {
            cache.put(&site, format!("name-{i}").as_bytes(), Entry::Missing, Tick::ZERO);
            if i % 100 == 0 {
                assert!(cache.get(site.id, b"wanted", Tick::ZERO).is_some(), "{i}");
            }
        }
        assert_eq!(cache.held(), (FILES_CACHED, 0));
        assert!(cache.get(site.id, b"name-0", Tick::ZERO).is_none());
    }

    #[test]
    fn what_is_put_again_replaces_what_was_there() {
        let (cache, site) = (Cache::new(), site());
        for entry in [Entry::Missing, Entry::Forbidden, Entry::Directory] {
            cache.put(&site, b"a", entry, Tick::ZERO);
            cache.put(&site, b"b", Entry::Missing, Tick::ZERO);
        }
        assert_eq!(cache.held().0, 2);
        assert!(matches!(cache.get(site.id, b"a", Tick::ZERO).unwrap().entry, Entry::Directory));
    }

    #[test]
    fn an_entry_is_believed_for_a_second_and_again_when_renewed() {
        let (cache, site) = (Cache::new(), site());
        cache.put(&site, b"a", Entry::Missing, Tick::ZERO);
        let fresh = |at| cache.get(site.id, b"a", at).unwrap().fresh;
        let later = Tick::ZERO + FRESH;
        assert!(fresh(Tick::ZERO + FRESH / 2) && !fresh(later));
        cache.renew(site.id, b"a", later);
        assert!(fresh(later));
    }

    #[test]
    fn what_belongs_to_a_site_that_is_gone_is_swept_away() {
        let (cache, old, new) = (Cache::new(), site(), site());
        cache.put(&old, b"a", Entry::Missing, Tick::ZERO);
        cache.put(&new, b"a", Entry::Directory, Tick::ZERO);
        let id = old.id;
        drop(old);
        cache.inner.borrow_mut().sweep();
        assert_eq!(cache.held().0, 1);
        assert!(cache.get(id, b"a", Tick::ZERO).is_none() && cache.get(new.id, b"a", Tick::ZERO).is_some());
        cache.clear();
        assert_eq!(cache.held().0, 0);
    }
}
