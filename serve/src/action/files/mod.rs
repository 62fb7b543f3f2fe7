//! Files: a directory or a single file, served as RFC 9110 wants it.
//!
//! A request's path becomes a name (`name`), the cache knows what it means (`cache`) or the disk is asked (`look`), and one
//! version of a file (`resource`) answers.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use anygate_core::config::{Spa, Static};
use anygate_proto::head::RequestView;
use anygate_proto::known::Known;
use anygate_proto::negotiate;
use anygate_route::{StaticTarget, Table};
use anygate_shard::file::Dir;
use anygate_shard::{Gone, Shard, Tick};

use crate::body::Body;
use crate::error::{Error, Kind, Phase, Side, is_out_of_descriptors};
use crate::exchange::Exchange;
use crate::response::Response;

mod cache;
mod caching;
mod look;
mod looking;
mod name;
mod resource;
mod site;

pub use cache::Cache;
pub use resource::{Quick, QuickBlock};

use cache::{Entry, Hit};
use look::Found;
use resource::Resource;
use site::Site;

/// A compiled static route.
#[derive(Debug, Clone)]
pub struct Files {
    site: Arc<Site>,
}

impl Files {
    /// Checks a static route and opens its directory. `base_dir` is where a relative target starts; `protected` are the
    /// files that are never served: what the configuration consists of, and keys.
    ///
    /// # Errors
    /// What is wrong, as a sentence for a diagnostic: the directory does not exist, may not be read, is a file …
    pub fn compile(
        target: &StaticTarget,
        settings: &Static,
        base_dir: &Path,
        protected: &[PathBuf],
    ) -> Result<Self, String> {
        Site::open(target, settings, base_dir, protected).map(|site| Self { site })
    }

    /// The directory that is served, absolute; for a single file, the one it is in.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.site.root
    }

    /// The answer to a `GET` or `HEAD`.
    ///
    /// # Errors
    /// The disk failed, or descriptors ran out.
    pub async fn respond(&self, exchange: &mut Exchange) -> Result<Response, Error> {
        let live = Rc::clone(&exchange.live);
        let server = Rc::clone(&exchange.server);
        let view = exchange.head.view();
        let captures = live.plan.table.captures(exchange.rule as u32, view.path(), &exchange.matched);
        let with = Shelf { shard: &server.shard, cache: &server.files, server: &live.plan.client.name };
        self.answer(&with, view, captures.tail(), captures.forward_path()).await
    }

    /// As [`Files::respond`]; `tail` is what was matched beyond the head's literal prefix, `path` the whole path.
    async fn answer(
        &self,
        with: &Shelf<'_>,
        view: RequestView<'_>,
        tail: &[u8],
        path: &[u8],
    ) -> Result<Response, Error> {
        let Some(name) = name::owned(self.tail(tail), self.site.hidden) else { return Ok(Response::page(404)) };
        let mut entry = self.find(with, &name).await?;
        if matches!(entry, Entry::Missing) && self.falls_back(&name, || navigates(view)) {
            entry = self.find(with, b"").await?;
        }
        Ok(match entry {
            Entry::File(resource) => resource.respond(view, with.shard.unix_time()),
            Entry::Directory => to_slash(path, view.query()),
            Entry::Missing => Response::page(404),
            Entry::Forbidden => Response::page(403),
        })
    }

    /// Which file a `GET` would get, as it stands on disk now; `navigates` for a browser that asks for a page. `tail` is
    /// what the route's head matched beyond its literal prefix. Blocks: for checks before a shard serves.
    ///
    /// # Errors
    /// The status that is answered instead: 308, 403, 404, 500.
    pub fn locate(&self, tail: &[u8], navigates: bool) -> Result<PathBuf, u16> {
        let name = name::owned(self.tail(tail), self.site.hidden).ok_or(404u16)?;
        let look = |name: &[u8]| look::look(&self.site, &self.site.dir, name, false).map_err(|_| 500u16);
        let mut found = look(&name)?;
        if matches!(found, Found::Missing) && self.falls_back(&name, || navigates) {
            found = look(b"")?;
        }
        match found {
            Found::File(opened) => Ok(self.site.root.join(OsStr::from_bytes(&opened.name))),
            Found::Directory => Err(308),
            Found::Missing => Err(404),
            Found::Forbidden => Err(403),
        }
    }

    /// The answer to a plain `GET` or `HEAD` of a small file that is in memory, ready to be copied; `None` when the long
    /// way must be taken. `tail` is what the route's head matched beyond its literal prefix
    /// ([`anygate_route::Captures::tail`]). Allocates nothing and asks the kernel nothing.
    #[must_use]
    pub fn quick(&self, cache: &Cache, view: RequestView<'_>, tail: &[u8], now: Tick) -> Option<Quick> {
        self.in_memory(cache, view, tail, now, Resource::quick)
    }

    /// The same for HTTP/2.
    #[must_use]
    pub fn quick_block(&self, cache: &Cache, view: RequestView<'_>, tail: &[u8], now: Tick) -> Option<QuickBlock> {
        self.in_memory(cache, view, tail, now, Resource::quick_block)
    }

    #[inline]
    fn in_memory<T>(
        &self,
        cache: &Cache,
        view: RequestView<'_>,
        tail: &[u8],
        now: Tick,
        answer: impl Fn(&Rc<Resource>, RequestView<'_>) -> Option<T>,
    ) -> Option<T> {
        cache.with_buffer(|buffer| {
            let name = name::on_disk(self.tail(tail), self.site.hidden, buffer)?;
            match self.fresh(cache, name, now)? {
                Entry::File(resource) => answer(&resource, view),
                Entry::Missing if self.falls_back(name, || navigates(view)) => match self.fresh(cache, b"", now)? {
                    Entry::File(resource) => answer(&resource, view),
                    _ => None,
                },
                _ => None,
            }
        })
    }

    fn fresh(&self, cache: &Cache, name: &[u8], now: Tick) -> Option<Entry> {
        let hit = cache.get(self.site.id, name, now)?;
        hit.fresh.then_some(hit.entry)
    }

    /// A single file is meant whatever the path says.
    fn tail<'a>(&self, tail: &'a [u8]) -> &'a [u8] {
        if self.site.only.is_some() { b"" } else { tail }
    }

    /// What a name means now, give or take the time an entry is believed.
    async fn find(&self, with: &Shelf<'_>, name: &[u8]) -> Result<Entry, Error> {
        let now = with.shard.now();
        let known = match with.cache.get(self.site.id, name, now) {
            Some(Hit { entry, fresh: true }) => return Ok(entry),
            // Who asks meanwhile gets what is there.
            Some(Hit { entry, fresh: false }) => {
                with.cache.renew(self.site.id, name, now);
                Some(entry)
            }
            None => None,
        };
        let dir = self.dir(with, now).await;
        if let Some(Entry::File(resource)) = &known
            && self.is_still(&dir, name, resource)
        {
            return Ok(Entry::File(Rc::clone(resource)));
        }
        match look::look(&self.site, &dir, name, true) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if is_out_of_descriptors(&error) => with.cache.close_files(),
            found => return self.remember(with, name, found),
        }
        let turn = match with.cache.looking.begin(self.site.id, name) {
            Ok(turn) => Some(turn),
            Err(look) => {
                look.ended().await;
                if let Some(Hit { entry, fresh: true }) = with.cache.get(self.site.id, name, with.shard.now()) {
                    return Ok(entry);
                }
                None
            }
        };
        let (site, of, wanted) = (Arc::clone(&self.site), dir.clone(), name.to_vec());
        let found = with.shard.blocking(move || look::look(&site, &of, &wanted, false)).await;
        let entry = self.remember(with, name, found.unwrap_or_else(|gone| Err(gone.into())));
        drop(turn);
        entry
    }

    /// Keeps what was found for the next who asks.
    fn remember(&self, with: &Shelf<'_>, name: &[u8], found: io::Result<Found>) -> Result<Entry, Error> {
        let entry = match found.map_err(|error| failed(&error))? {
            Found::File(opened) => {
                let now = with.shard.unix_time();
                Entry::File(Rc::new(Resource::new(opened, &self.site.cache_control, with.server, now)))
            }
            Found::Directory => Entry::Directory,
            Found::Missing => Entry::Missing,
            Found::Forbidden => Entry::Forbidden,
        };
        with.cache.put(&self.site, name, entry.clone(), with.shard.now());
        Ok(entry)
    }

    /// The directory, looked up anew from time to time: a deployment may have put another one in its place.
    async fn dir(&self, with: &Shelf<'_>, now: Tick) -> Dir {
        let (dir, due) = with.cache.dir(&self.site, now);
        if !due {
            return dir;
        }
        let site = Arc::clone(&self.site);
        match with.shard.blocking(move || Dir::open(&site.root)).await {
            Ok(Ok(new)) => {
                with.cache.set_dir(&self.site, new.clone(), now);
                new
            }
            // While it is gone, what is left of the old one is served.
            _ => dir,
        }
    }

    /// Whether the same file would be found again. Only asked where one open tells: not where an index comes before it.
    fn is_still(&self, dir: &Dir, name: &[u8], resource: &Resource) -> bool {
        let first = self.site.only.is_some() || resource.name() == name || self.site.index.len() == 1;
        first && look::open(&self.site, dir, resource.name(), true).is_ok_and(|file| resource.is_still(file.stat()))
    }

    /// Whether the root's index answers for a name that no file has.
    fn falls_back(&self, name: &[u8], navigates: impl FnOnce() -> bool) -> bool {
        match self.site.spa {
            _ if self.site.only.is_some() => false,
            Spa::Off => false,
            Spa::On => true,
            Spa::Auto => name::extension(name).is_none() && navigates(),
        }
    }
}

/// What finding a file needs of its shard.
struct Shelf<'a> {
    shard: &'a Shard,
    cache: &'a Cache,
    /// The `Server` field.
    server: &'a str,
}

/// Whether a page is asked for: by a browser that says it navigates, or by a client that says nothing of the kind and
/// takes HTML. Browsers' and node's `fetch` say that they do not navigate.
fn navigates(view: RequestView<'_>) -> bool {
    match view.get(Known::SecFetchMode) {
        Some(mode) => mode == b"navigate",
        None => !view.fields.has(Known::Accept) || negotiate::accept_weight(view, "text/html") > 0,
    }
}

/// `308` to the directory's own name (RFC 9110 §15.4.9).
fn to_slash(path: &[u8], query: Option<&[u8]>) -> Response {
    let mut lines = b"Location: ".to_vec();
    Table::slash_location(path, query, &mut lines);
    lines.extend_from_slice(b"\r\n");
    Response::new(308, lines, Body::Empty)
}

/// No descriptor and no place in the pool's line are states that pass: 503. The rest is the disk's: 500.
fn failed(error: &io::Error) -> Error {
    let passes =
        is_out_of_descriptors(error) || error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Gone>);
    let kind = if passes { Kind::Unavailable } else { Kind::Internal };
    Error::new(kind, Side::Internal, Phase::BeforeHead)
}

#[cfg(test)]
mod tests;
