//! One version of a file, with everything an answer about it says written once.

use std::hash::BuildHasher;
use std::rc::Rc;

use anygate_core::config::CacheControl;
use anygate_proto::conditional::{self, Precondition, Validators};
use anygate_proto::date;
use anygate_proto::h1::write::{Answer, Persistence};
use anygate_proto::h2::hpack::Block;
use anygate_proto::head::{BodyLength, RequestView};
use anygate_proto::known::Known;
use anygate_proto::mime;
use anygate_proto::range::{self, RangeOutcome};
use anygate_shard::Bytes;
use anygate_shard::file::{File, Stat};
use foldhash::quality::FixedState;

use super::caching;
use super::look::{Opened, is_same};
use super::name;
use crate::action::fixed::compile_block;
use crate::body::{Body, FileRange};
use crate::response::Response;

/// One version of a file.
#[derive(Debug)]
pub(super) struct Resource {
    stat: Stat,
    /// The file's name below the directory it was found in.
    name: Vec<u8>,
    /// True when a later change must show in the file's times: it was read well after its last one.
    settled: bool,
    etag: Box<[u8]>,
    /// Last change, in seconds since 1970.
    modified: Option<u64>,
    /// The same as it is sent.
    modified_text: [u8; date::LEN],
    /// Field lines of a 200 and a 206.
    lines: Bytes,
    /// Field lines of a 304.
    unchanged_lines: Bytes,
    content: Content,
    /// Whole answers, for what is in memory.
    ready: Option<Ready>,
}

#[derive(Debug)]
enum Content {
    Memory(Bytes),
    Disk(File),
}

/// Whole HTTP/1.1 answers to a client whose connection stays.
#[derive(Debug)]
struct Ready {
    /// 200 with its body.
    full: Bytes,
    head_len: usize,
    date_offset: usize,
    /// 304.
    unchanged: Bytes,
    unchanged_date_offset: usize,
    /// The head of 200 and that of 304 for HTTP/2; none where HTTP/2 has not one of their fields.
    blocks: Option<[Block; 2]>,
}

/// A whole answer of HTTP/2: its head to be copied with a date, and its content.
#[derive(Debug)]
pub struct QuickBlock {
    resource: Rc<Resource>,
    /// 200 or 304.
    pub status: u16,
}

impl QuickBlock {
    /// The head.
    #[must_use]
    pub fn block(&self) -> &Block {
        let blocks = self.resource.ready.as_ref().and_then(|ready| ready.blocks.as_ref());
        &blocks.expect("it was looked for when this was made")[usize::from(self.status == 304)]
    }

    /// The content; none of a 304.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        match &self.resource.content {
            Content::Memory(bytes) if self.status == 200 => bytes,
            _ => &[],
        }
    }
}

/// A whole HTTP/1.1 answer, for a connection that stays: to be copied, and its date to be overwritten.
#[derive(Debug)]
pub struct Quick {
    /// Head and body; for `HEAD` and a 304 only the head.
    pub bytes: Bytes,
    /// Where in them the 29 bytes of `Date` are.
    pub date_offset: usize,
    /// 200 or 304.
    pub status: u16,
}

/// A file's times count in steps, of 10 ms at most on this machine's disks and of whole seconds on some others': what was
/// read this many seconds after its last change shows any later one.
const SETTLED_AFTER: u64 = 2;

/// Fields with which only the long way can deal.
const CONDITIONS: &[Known] = &[Known::IfMatch, Known::IfRange, Known::IfUnmodifiedSince, Known::Range];

impl Resource {
    /// Writes down what is known of a file; `now` is the time in seconds since 1970, `server` the `Server` field.
    pub(super) fn new(opened: Opened, caching: &CacheControl, server: &str, now: u64) -> Self {
        let Opened { file, stat, body, name } = opened;
        let media_type = media_type(&name);
        let etag = etag(&stat, body.as_deref());
        // A date in the future is no date of a change (RFC 9110 §8.8.2.1).
        let modified = u64::try_from(stat.modified).ok().filter(|_| is_date(&stat)).map(|modified| modified.min(now));
        let modified_text = date::format(modified.unwrap_or(0));
        let mut fields: Vec<(&str, &[u8])> = vec![("Content-Type", media_type.as_bytes()), ("ETag", etag.as_bytes())];
        if modified.is_some() {
            fields.push(("Last-Modified", &modified_text));
        }
        fields.push(("Accept-Ranges", b"bytes"));
        let mut unchanged: Vec<(&str, &[u8])> = vec![("ETag", etag.as_bytes())];
        if let Some(control) = caching::control(caching, &name, media_type) {
            fields.push(("Cache-Control", control.as_bytes()));
            unchanged.push(("Cache-Control", control.as_bytes()));
        }
        let (ready, content) = match body {
            Some(body) => {
                let ready = Ready::new(&fields, &unchanged, server, &body);
                let memory = match &ready {
                    Some(ready) => ready.full.slice(ready.head_len..),
                    None => Bytes::from(body),
                };
                (ready, Content::Memory(memory))
            }
            None => (None, Content::Disk(file)),
        };
        Self {
            settled: now >= u64::try_from(stat.changed).unwrap_or(0).saturating_add(SETTLED_AFTER),
            lines: Bytes::from(lines(&fields)),
            unchanged_lines: Bytes::from(lines(&unchanged)),
            etag: etag.as_bytes().into(),
            modified,
            modified_text,
            stat,
            name,
            content,
            ready,
        }
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.stat.len
    }

    /// Its name below the directory: for a directory, the index's.
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// What it takes of a cache, in bytes, and whether it keeps a descriptor.
    pub(super) fn cost(&self) -> (usize, bool) {
        let lines = self.lines.len() + self.unchanged_lines.len() + self.name.len() + size_of::<Self>();
        let ready = self.ready.as_ref().map_or(0, |ready| ready.full.len() + ready.unchanged.len());
        (lines + ready, matches!(self.content, Content::Disk(_)))
    }

    /// Whether a file with this `stat` is still this version. False too when it cannot be told.
    pub(super) fn is_still(&self, stat: &Stat) -> bool {
        self.settled && is_same(&self.stat, stat)
    }

    /// The answer to a `GET` or `HEAD` (RFC 9110 §13.2, §14.2); `now` in seconds since 1970.
    pub(super) fn respond(&self, view: RequestView<'_>, now: u64) -> Response {
        let validators = Validators { etag: Some(&self.etag), last_modified: self.modified };
        match conditional::evaluate(view, Some(validators), now) {
            Precondition::Proceed => {}
            Precondition::NotModified => return Response::new(304, self.unchanged_lines.clone(), Body::Empty),
            Precondition::Failed => return Response::page(412),
        }
        let length = self.len();
        if view.request.is_head {
            let mut response = Response::new(200, self.lines.clone(), Body::Empty);
            response.length = Some(length);
            return response;
        }
        match wanted(view, validators, length, now) {
            RangeOutcome::Full => Response::new(200, self.lines.clone(), self.body(0, length)),
            RangeOutcome::Part { start, end } => {
                let line = content_range(&range::content_range(start, end, length));
                Response::new(206, self.lines.clone(), self.body(start, end)).with_lines(line.as_bytes())
            }
            RangeOutcome::Unsatisfiable => {
                let line = content_range(&range::content_range_unsatisfiable(length));
                Response::page(416).with_lines(line.as_bytes())
            }
        }
    }

    /// The answer ready to be copied, for requests that ask for nothing special: without conditions, or with the one
    /// that browsers send, when it names this very version. Allocates nothing.
    pub(super) fn quick(self: &Rc<Self>, view: RequestView<'_>) -> Option<Quick> {
        let ready = self.ready.as_ref()?;
        if self.is_known(view)? {
            let bytes = ready.unchanged.clone();
            return Some(Quick { bytes, date_offset: ready.unchanged_date_offset, status: 304 });
        }
        let len = if view.request.is_head { ready.head_len } else { ready.full.len() };
        Some(Quick { bytes: ready.full.slice(..len), date_offset: ready.date_offset, status: 200 })
    }

    /// The same for HTTP/2.
    pub(super) fn quick_block(self: &Rc<Self>, view: RequestView<'_>) -> Option<QuickBlock> {
        self.ready.as_ref()?.blocks.as_ref()?;
        let status = if self.is_known(view)? { 304 } else { 200 };
        Some(QuickBlock { resource: Rc::clone(self), status })
    }

    /// Whether who asks has this very version already; `None` where the long way must find out.
    #[inline]
    fn is_known(&self, view: RequestView<'_>) -> Option<bool> {
        if view.fields.has_any(CONDITIONS) {
            return None;
        }
        let known = match view.get(Known::IfNoneMatch) {
            Some(tag) => Some(tag == &*self.etag && view.all(Known::IfNoneMatch).count() == 1),
            None => {
                view.get(Known::IfModifiedSince).map(|since| self.modified.is_some() && since == self.modified_text)
            }
        };
        match known {
            Some(false) => None,
            known => Some(known.is_some()),
        }
    }

    fn body(&self, start: u64, end: u64) -> Body {
        match &self.content {
            Content::Memory(bytes) => match (usize::try_from(start), usize::try_from(end)) {
                (Ok(start), Ok(end)) if start < end && end <= bytes.len() => Body::Bytes(bytes.slice(start..end)),
                _ => Body::Empty,
            },
            Content::Disk(file) => Body::File(FileRange { file: file.clone(), offset: start, len: end - start }),
        }
    }
}

impl Ready {
    /// Nothing when a field cannot be written; the long way then says so.
    fn new(fields: &[(&str, &[u8])], unchanged: &[(&str, &[u8])], server: &str, body: &[u8]) -> Option<Self> {
        let answer = Answer {
            status: 200,
            server,
            fields,
            body: BodyLength::Length(body.len() as u64),
            persistence: Persistence::Implied,
        };
        let mut full = Vec::new();
        let date_offset = answer.write(date::PLACEHOLDER, &mut full).ok()?;
        let block = compile_block(&answer, body.len());
        let head_len = full.len();
        full.reserve_exact(body.len());
        full.extend_from_slice(body);
        let mut not_modified = Vec::new();
        let answer = Answer { status: 304, fields: unchanged, body: BodyLength::None, ..answer };
        let unchanged_date_offset = answer.write(date::PLACEHOLDER, &mut not_modified).ok()?;
        let blocks = block.zip(compile_block(&answer, 0)).map(|(block, unchanged)| [block, unchanged]);
        Some(Self {
            full: Bytes::from(full),
            head_len,
            date_offset,
            unchanged: Bytes::from(not_modified),
            unchanged_date_offset,
            blocks,
        })
    }
}

/// What part is asked for. A range in more than one field line is none (RFC 9110 §5.3).
fn wanted(view: RequestView<'_>, validators: Validators<'_>, length: u64, now: u64) -> RangeOutcome {
    let mut ranges = view.all(Known::Range);
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if conditional::if_range(view, validators, now) => range::resolve(range, length),
        _ => RangeOutcome::Full,
    }
}

/// A strong entity tag. What was read is named after its content, so that it is the same on every machine that serves the
/// file, whenever it was put there. The rest is named after its last change; where that is no date, after the time it came
/// to this machine.
fn etag(stat: &Stat, body: Option<&[u8]>) -> String {
    match body {
        Some(body) => format!("\"{:016x}-{:x}\"", FixedState::default().hash_one(body), stat.len),
        None if is_date(stat) => format!("\"{:x}.{:08x}-{:x}\"", stat.modified, stat.modified_nanos, stat.len),
        None => format!("\"c{:x}.{:08x}-{:x}\"", stat.changed, stat.changed_nanos, stat.len),
    }
}

/// Whether the time of the last change is one. Reproducible builds write the first seconds of all times instead.
fn is_date(stat: &Stat) -> bool {
    stat.modified > 1
}

fn media_type(file: &[u8]) -> &'static str {
    let extension = name::extension(file).and_then(|extension| std::str::from_utf8(extension).ok());
    extension.and_then(mime::of_extension).unwrap_or(mime::DEFAULT)
}

fn lines(fields: &[(&str, &[u8])]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| [name.as_bytes(), b": ", value, b"\r\n"].concat()).collect()
}

fn content_range(value: &str) -> String {
    format!("Content-Range: {value}\r\n")
}
