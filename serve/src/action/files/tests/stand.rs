//! Where a static route is tried: a folder of files, and a shard to serve them from, simulated or real.

use std::cell::RefCell;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use anygate_core::limits::SENDFILE_FROM;
use anygate_proto::h1::request::parse_request;
use anygate_proto::h1::{Limits, Parsed};
use anygate_proto::head::{Fields, Request};
use anygate_shard::sim::{Personality, World};
use anygate_shard::{Io, Options, Park, Service, mailbox};

use super::super::*;
use crate::response::FieldSource;

/// A folder of its own, gone with the test.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("anygate-static-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("www")).unwrap();
        Self(path)
    }

    /// Writes a file below `www`, last changed `age` seconds before the simulated world's beginning.
    pub(super) fn file(&self, name: &str, content: &[u8], age: u64) {
        let path = self.0.join("www").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 - age);
        fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
    }

    pub(super) fn www(&self) -> PathBuf {
        self.0.join("www")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Nothing;

impl Service for Nothing {
    type Message = ();
    fn ready(&self, _: u32) {}
    fn expired(&self, _: u32) {}
    fn message(&self, (): ()) {}
}

/// Files on a shard, simulated or real.
pub(super) struct Stand {
    pub(super) folder: Folder,
    pub(super) files: Files,
    pub(super) cache: Rc<Cache>,
    pub(super) shard: Shard,
    pub(super) world: Option<World>,
    pub(super) mailbox: mailbox::Receiver<()>,
}

/// An answer as a client would see it.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) lines: String,
    pub(super) body: Vec<u8>,
    /// From a file by the kernel, not from memory.
    pub(super) from_disk: bool,
    pub(super) length: Option<u64>,
}

impl Got {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(super) fn etag(&self) -> &str {
        self.field("ETag").unwrap()
    }
}

impl Stand {
    /// In a simulated world, with `index.html`, `app.js`, `large.bin` and `sub/index.html`.
    pub(super) fn new() -> Self {
        Self::with(&Static::default())
    }

    pub(super) fn with(settings: &Static) -> Self {
        let world = World::new(1, Personality::Completion);
        let shard = Shard::simulated(&world, &Options::new(0, Io::Sim)).unwrap();
        Self::on(settings, shard, Some(world))
    }

    pub(super) fn on(settings: &Static, shard: Shard, world: Option<World>) -> Self {
        let folder = Folder::new();
        folder.file("index.html", b"<h1>home", 100);
        folder.file("app.js", b"let app;", 100);
        folder.file("large.bin", &large(), 100);
        folder.file("sub/index.html", b"<h1>sub", 100);
        let target = StaticTarget { path: "./www/".into(), is_dir: true };
        let files = Files::compile(&target, settings, &folder.0, &[]).unwrap();
        let (_, mailbox) = mailbox::channel(1);
        Self { folder, files, cache: Rc::new(Cache::new()), shard, world, mailbox }
    }

    pub(super) fn get(&self, path: &str) -> Got {
        self.ask("GET", path, "")
    }

    pub(super) fn ask(&self, method: &str, path: &str, fields: &str) -> Got {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes();
        let (files, cache, shard) = (self.files.clone(), Rc::clone(&self.cache), self.shard.clone());
        let got = Rc::new(RefCell::new(None));
        let result = Rc::clone(&got);
        self.shard.spawn(async move {
            let mut fields = Fields::new();
            let request_head = parse(&request, &mut fields);
            let view = request_head.view(&request, &fields);
            let with = Shelf { shard: &shard, cache: &cache, server: "gate" };
            let answer = files.answer(&with, view, &view.path()[1..], view.path()).await.unwrap();
            *result.borrow_mut() = Some(read(answer));
        });
        for _ in 0..1000 {
            self.turn();
            if let Some(got) = got.borrow_mut().take() {
                return got;
            }
        }
        panic!("no answer to {method} {path}");
    }

    pub(super) fn turn(&self) {
        match &self.world {
            Some(world) => {
                world.turn_all(&mut [&mut |park| self.shard.turn(&Nothing, &self.mailbox, park)]);
            }
            None => {
                self.shard.turn(&Nothing, &self.mailbox, Park::AtMost(Duration::from_millis(10)));
            }
        }
    }

    pub(super) fn pass(&self, time: Duration) {
        self.world.as_ref().expect("a simulated clock").pass(time);
        self.turn();
    }

    pub(super) fn quick(&self, method: &str, path: &str, fields: &str) -> Option<(u16, String)> {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes();
        let mut fields = Fields::new();
        let head = parse(&request, &mut fields);
        let view = head.view(&request, &fields);
        let quick = self.files.quick(&self.cache, view, &view.path()[1..], self.shard.now())?;
        let date = &quick.bytes[quick.date_offset..][..29];
        assert_eq!(date, anygate_proto::date::PLACEHOLDER);
        Some((quick.status, String::from_utf8_lossy(&quick.bytes).into_owned()))
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.shard.shutdown();
    }
}

pub(super) fn large() -> Vec<u8> {
    (0..SENDFILE_FROM as usize * 2).map(|i| (i % 251) as u8).collect()
}

fn parse(request: &[u8], fields: &mut Fields) -> Request {
    let limits = Limits { max_uri: 8192, max_header_size: 32768, max_headers: 100 };
    match parse_request(request, &limits, fields) {
        Ok(Parsed::Complete(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn read(response: Response) -> Got {
    let FieldSource::Lines(lines) = &response.fields else { panic!("own lines") };
    let lines = String::from_utf8(lines.to_vec()).unwrap();
    let length = response.length.or(response.body.len_hint());
    let (body, from_disk) = match response.body {
        Body::Empty => (Vec::new(), false),
        Body::Bytes(bytes) => (bytes.to_vec(), false),
        Body::File(range) => {
            let mut body = vec![0; usize::try_from(range.len).unwrap()];
            assert_eq!(range.file.read_at(&mut body, range.offset).unwrap(), body.len());
            (body, true)
        }
        other => panic!("{other:?}"),
    };
    Got { status: response.status, lines, body, from_disk, length }
}
