//! Do a static route's answers hold, on a simulated shard whose clock is ours and on a real one?

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::rc::Rc;
use std::time::Duration;

use anygate_core::config::{CacheControl, Hidden, Symlinks};
use anygate_core::limits::FILES_HELD_OPEN;
use anygate_shard::{Io, Options, Pool, mailbox};

use super::*;

mod stand;

use stand::{Folder, Stand, large};

/// Browsers that navigate.
const PAGE: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

/// Scripts that fetch.
const FETCH: &str = "Accept: */*\r\nSec-Fetch-Mode: cors\r\n";

#[test]
fn a_small_file_comes_from_memory_and_a_large_one_from_the_disk_on_every_driver() {
    let pool = Some(Pool::new(1).unwrap());
    let epoll = Shard::new(&Options { pool, ..Options::new(0, Io::Epoll) }).unwrap();
    for stand in [Stand::new(), Stand::on(&Static::default(), epoll, None)] {
        for _ in 0..2 {
            let got = stand.get("/app.js");
            assert_eq!((got.status, &*got.body, got.from_disk), (200, &b"let app;"[..], false));
            assert_eq!(got.field("Content-Type"), Some("text/javascript; charset=utf-8"));
            assert_eq!(got.field("Accept-Ranges"), Some("bytes"));
            let got = stand.get("/large.bin");
            assert_eq!((got.status, got.body, got.from_disk), (200, large(), true));
        }
    }
}

#[test]
fn head_has_gets_fields_and_length_and_no_body() {
    let stand = Stand::new();
    for path in ["/", "/large.bin"] {
        let (get, head) = (stand.get(path), stand.ask("HEAD", path, "Range: bytes=0-1\r\n"));
        assert_eq!((head.status, head.lines, head.length), (200, get.lines, Some(get.body.len() as u64)));
        assert!(head.body.is_empty());
    }
}

#[test]
fn a_directory_is_its_index_and_without_its_slash_a_redirect_that_keeps_the_query() {
    let stand = Stand::new();
    assert_eq!(stand.get("/").body, b"<h1>home");
    assert_eq!(stand.get("/sub/").body, b"<h1>sub");
    let got = stand.get("/sub?a=1&b");
    assert_eq!((got.status, got.field("Location")), (308, Some("/sub/?a=1&b")));
    assert_eq!(stand.get("/sub?a=1&b").status, 308);
    fs::create_dir(stand.folder.www().join("bare")).unwrap();
    assert_eq!(stand.ask("GET", "/bare", FETCH).status, 404);
    assert_eq!(stand.ask("GET", "/bare/", FETCH).status, 404);
    assert_eq!(stand.ask("GET", "/app.js/", FETCH).status, 404);
}

#[test]
fn the_first_index_that_exists_stands_for_a_directory_even_when_it_comes_later() {
    let stand = Stand::with(&Static { index: vec!["a.html".into(), "index.html".into()], ..Static::default() });
    assert_eq!(stand.get("/").body, b"<h1>home");
    stand.folder.file("a.html", b"first", 50);
    stand.pass(Duration::from_secs(2));
    assert_eq!(stand.get("/").body, b"first");
}

#[test]
fn a_navigation_to_nowhere_gets_the_root_index_and_a_missing_asset_404() {
    let stand = Stand::new();
    for path in ["/deep/link", "/deep/", "/sub/none", "/a.b/c"] {
        let got = stand.ask("GET", path, PAGE);
        assert_eq!((got.status, &*got.body), (200, &b"<h1>home"[..]), "{path}");
        assert_eq!(got.field("Cache-Control"), Some("no-cache"));
        assert_eq!(stand.ask("GET", path, "Sec-Fetch-Mode: navigate\r\n").status, 200, "{path}");
        assert_eq!(stand.ask("GET", path, "Accept: */*\r\n").status, 200, "{path}: as curl asks");
        assert_eq!(stand.get(path).status, 200, "{path}");
        assert_eq!(stand.ask("GET", path, FETCH).status, 404, "{path}");
        assert_eq!(stand.ask("GET", path, "Accept: application/json\r\n").status, 404, "{path}");
    }
    assert_eq!(stand.ask("GET", "/missing.js", PAGE).status, 404);
    assert_eq!(stand.ask("GET", "/.git/config", PAGE).status, 404);
    assert_eq!(stand.ask("GET", "/a%2Fb", PAGE).status, 404);
}

#[test]
fn the_fallback_can_be_for_all_or_for_none() {
    let all = Stand::with(&Static { spa: Spa::On, ..Static::default() });
    assert_eq!(all.get("/missing.js").body, b"<h1>home");
    assert_eq!(all.get("/.env").status, 404);
    let none = Stand::with(&Static { spa: Spa::Off, ..Static::default() });
    assert_eq!(none.ask("GET", "/deep/link", PAGE).status, 404);
}

#[test]
fn nothing_outside_hidden_or_special_is_served() {
    let stand = Stand::new();
    let www = stand.folder.www();
    fs::write(stand.folder.0.join("secret"), "s").unwrap();
    stand.folder.file(".env", b"KEY=1", 100);
    stand.folder.file(".well-known/x", b"known", 100);
    symlink("../secret", www.join("out")).unwrap();
    symlink("/etc/passwd", www.join("abs")).unwrap();
    symlink("app.js", www.join("in.js")).unwrap();
    symlink("loop", www.join("loop")).unwrap();
    let _pipe = std::process::Command::new("mkfifo").arg(www.join("pipe")).status().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(www.join("socket")).unwrap();
    for path in [
        "/out",
        "/abs",
        "/loop",
        "/pipe",
        "/socket",
        "/.env",
        "/%2e%2e/secret",
        "/a/%2e%2e/app.js",
        "/sub%2Findex.html",
    ] {
        assert_eq!(stand.ask("GET", path, FETCH).status, 404, "{path}");
    }
    assert_eq!(stand.ask("GET", &format!("/{}", "n".repeat(300)), FETCH).status, 404);
    assert_eq!(stand.get("/.well-known/x").body, b"known");
    assert_eq!(stand.get("/in.js").body, b"let app;");
}

#[test]
fn symbolic_links_are_followed_as_far_as_the_setting_says() {
    let deny = Stand::with(&Static { symlinks: Symlinks::Deny, ..Static::default() });
    symlink("app.js", deny.folder.www().join("in.js")).unwrap();
    assert_eq!(deny.get("/in.js").status, 404);
    assert_eq!(deny.get("/app.js").status, 200);
    let follow = Stand::with(&Static { symlinks: Symlinks::Follow, hidden: Hidden::Allow, ..Static::default() });
    fs::write(follow.folder.0.join("outside.txt"), "out").unwrap();
    symlink("../outside.txt", follow.folder.www().join(".link")).unwrap();
    for _ in 0..2 {
        assert_eq!(follow.get("/.link").body, b"out");
        follow.pass(Duration::from_secs(2));
    }
}

#[test]
fn what_may_not_be_read_is_403() {
    let stand = Stand::new();
    let path = stand.folder.www().join("closed.txt");
    stand.folder.file("closed.txt", b"x", 100);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&path).is_ok() {
        // Nothing is closed to root.
        return;
    }
    assert_eq!(stand.get("/closed.txt").status, 403);
}

#[test]
fn an_encoded_name_is_decoded_once() {
    let stand = Stand::new();
    stand.folder.file("a b.txt", b"blank", 100);
    stand.folder.file("100%25.txt", b"twice", 100);
    assert_eq!(stand.get("/a%20b.txt").body, b"blank");
    assert_eq!(stand.get("/100%2525.txt").body, b"twice");
    assert_eq!(stand.quick("GET", "/a%20b.txt", "").unwrap().0, 200);
}

#[test]
fn conditions_are_answered_304_and_412_in_the_order_of_rfc_9110() {
    let stand = Stand::new();
    for path in ["/app.js", "/large.bin"] {
        let got = stand.get(path);
        let (etag, modified) = (got.etag().to_owned(), got.field("Last-Modified").unwrap().to_owned());
        for (fields, status) in [
            (format!("If-None-Match: {etag}\r\n"), 304),
            (format!("If-None-Match: \"x\", W/{etag}\r\n"), 304),
            ("If-None-Match: *\r\n".into(), 304),
            ("If-None-Match: \"x\"\r\n".into(), 200),
            (format!("If-Modified-Since: {modified}\r\n"), 304),
            ("If-Modified-Since: Mon, 05 Jan 1998 00:00:00 GMT\r\n".into(), 200),
            (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}\r\n"), 200),
            (format!("If-Match: {etag}\r\n"), 200),
            ("If-Match: \"x\"\r\n".into(), 412),
            ("If-Unmodified-Since: Mon, 05 Jan 1998 00:00:00 GMT\r\n".into(), 412),
            (format!("If-Match: \"x\"\r\nIf-None-Match: {etag}\r\n"), 412),
        ] {
            for method in ["GET", "HEAD"] {
                let got = stand.ask(method, path, &fields);
                assert_eq!(got.status, status, "{method} {path} {fields}");
                if status == 304 {
                    assert_eq!((got.etag(), got.body.len(), got.field("Content-Type")), (&*etag, 0, None));
                }
            }
        }
    }
}

#[test]
fn one_range_is_206_or_416_and_several_are_the_whole() {
    let stand = Stand::new();
    for path in ["/app.js", "/large.bin"] {
        let whole = stand.get(path);
        let n = whole.body.len();
        for (range, start, end) in [("0-0", 0, 1), ("2-4", 2, 5), ("3-", 3, n), ("-2", n - 2, n), ("4-99999999", 4, n)]
        {
            let got = stand.ask("GET", path, &format!("Range: bytes={range}\r\n"));
            assert_eq!((got.status, &*got.body), (206, &whole.body[start..end]), "{path} {range}");
            assert_eq!(got.field("Content-Range"), Some(&*format!("bytes {start}-{}/{n}", end - 1)));
            assert_eq!((got.etag(), got.from_disk), (whole.etag(), whole.from_disk));
        }
        let got = stand.ask("GET", path, &format!("Range: bytes={n}-\r\n"));
        assert_eq!((got.status, got.field("Content-Range")), (416, Some(&*format!("bytes */{n}"))));
        for fields in [
            "Range: bytes=0-1,5-6\r\n",
            "Range: bytes=0-1\r\nRange: bytes=2-3\r\n",
            "Range: lines=1-2\r\n",
            "Range: x\r\n",
        ] {
            assert_eq!(stand.ask("GET", path, fields).status, 200, "{fields}");
        }
    }
}

#[test]
fn if_range_wants_this_very_version() {
    let stand = Stand::new();
    let got = stand.get("/app.js");
    let (etag, modified) = (got.etag().to_owned(), got.field("Last-Modified").unwrap().to_owned());
    for (value, status) in [
        (etag.clone(), 206),
        (format!("W/{etag}"), 200),
        ("\"x\"".into(), 200),
        (modified, 206),
        ("Mon, 05 Jan 1998 00:00:00 GMT".into(), 200),
    ] {
        let got = stand.ask("GET", "/app.js", &format!("Range: bytes=1-2\r\nIf-Range: {value}\r\n"));
        assert_eq!(got.status, status, "{value}");
    }
}

#[test]
fn an_empty_file_is_200_with_nothing_in_it() {
    let stand = Stand::new();
    stand.folder.file("empty.txt", b"", 100);
    let got = stand.get("/empty.txt");
    assert_eq!((got.status, got.length, got.body.len()), (200, Some(0), 0));
    assert!(stand.quick("GET", "/empty.txt", "").unwrap().1.ends_with("Content-Length: 0\r\n\r\n"));
}

#[test]
fn the_quick_answer_is_the_long_ones_and_only_for_what_is_known_and_fresh() {
    let stand = Stand::new();
    assert!(stand.quick("GET", "/app.js", "").is_none(), "nothing is known yet");
    let long = stand.get("/app.js");
    let (status, text) = stand.quick("GET", "/app.js", "").unwrap();
    assert_eq!(status, 200);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nDate: ") && head.contains("\r\nServer: gate\r\n"), "{head}");
    assert!(format!("{head}\r\n").contains(&long.lines), "{head}");
    assert!(head.ends_with("Content-Length: 8") && body == "let app;", "{text}");
    let (_, only_head) = stand.quick("HEAD", "/app.js", "").unwrap();
    assert_eq!(only_head, format!("{head}\r\n\r\n"));

    let known = format!("If-None-Match: {}\r\n", long.etag());
    let (status, text) = stand.quick("GET", "/app.js", &known).unwrap();
    assert!(status == 304 && text.starts_with("HTTP/1.1 304 Not Modified\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    assert!(!text.contains("Content-Length"), "{text}");
    let since = format!("If-Modified-Since: {}\r\n", long.field("Last-Modified").unwrap());
    assert_eq!(stand.quick("GET", "/app.js", &since).unwrap().0, 304);
    for fields in ["If-None-Match: \"x\"\r\n", "Range: bytes=0-1\r\n", "If-Match: *\r\n", "If-Modified-Since: x\r\n"] {
        assert!(stand.quick("GET", "/app.js", fields).is_none(), "{fields}");
    }
    stand.get("/large.bin");
    assert!(stand.quick("GET", "/large.bin", "").is_none(), "a large file is sent by the kernel");
    stand.pass(Duration::from_secs(1));
    assert!(stand.quick("GET", "/app.js", "").is_none(), "no longer fresh");
    stand.get("/app.js");
    assert!(stand.quick("GET", "/app.js", "").is_some());
}

#[test]
fn a_known_nowhere_is_answered_quickly_to_navigations_alone() {
    let stand = Stand::new();
    assert_eq!(stand.ask("GET", "/deep/link", PAGE).status, 200);
    assert!(stand.quick("GET", "/deep/link", PAGE).unwrap().1.ends_with("<h1>home"));
    assert!(stand.quick("GET", "/deep/link", FETCH).is_none());
}

#[test]
fn a_change_shows_within_a_second_and_unchanged_files_keep_their_version() {
    let stand = Stand::new();
    let first = stand.get("/app.js");
    stand.folder.file("app.js", b"let new;", 50);
    assert_eq!(stand.get("/app.js").body, first.body, "believed for a moment");
    stand.pass(Duration::from_secs(2));
    let second = stand.get("/app.js");
    assert_eq!(second.body, b"let new;");
    assert_ne!(second.etag(), first.etag());
    stand.pass(Duration::from_secs(2));
    assert_eq!(stand.get("/app.js").lines, second.lines);
    fs::remove_file(stand.folder.www().join("app.js")).unwrap();
    stand.pass(Duration::from_secs(2));
    assert_eq!(stand.get("/app.js").status, 404);
    stand.folder.file("app.js", b"back", 10);
    stand.pass(Duration::from_secs(2));
    assert_eq!(stand.get("/app.js").body, b"back");
}

#[test]
fn a_small_files_tag_is_its_contents_and_a_large_ones_tells_versions_without_dates_apart() {
    let stand = Stand::new();
    let age_of_the_epoch = 1_790_000_000 - 1;
    stand.folder.file("copy.js", b"let app;", 7);
    assert_eq!(stand.get("/copy.js").etag(), stand.get("/app.js").etag());
    let mut tags = Vec::new();
    for round in 0..3u8 {
        let mut other = large();
        other[0] = round;
        // The kernel's clock goes in steps.
        std::thread::sleep(Duration::from_millis(15));
        stand.folder.file("new.bin", &other, age_of_the_epoch);
        stand.folder.file("new.js", &[round; 8], age_of_the_epoch);
        fs::rename(stand.folder.www().join("new.bin"), stand.folder.www().join("large.bin")).unwrap();
        fs::rename(stand.folder.www().join("new.js"), stand.folder.www().join("app.js")).unwrap();
        stand.pass(Duration::from_secs(2));
        for path in ["/large.bin", "/app.js"] {
            let got = stand.get(path);
            assert_eq!((got.body[0], got.field("Last-Modified")), (round, None), "{path}");
            tags.push(got.etag().to_owned());
        }
    }
    let all = tags.len();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), all, "{tags:?}");
}

#[test]
fn a_file_is_still_the_same_version_only_when_its_last_change_was_long_enough_ago() {
    let stand = Stand::new();
    let site = &stand.files.site;
    let open = || match look::look(site, &site.dir, b"app.js", false).unwrap() {
        Found::File(opened) => opened,
        other => panic!("{other:?}"),
    };
    let stat = open().stat;
    let written = u64::try_from(stat.changed).unwrap();
    let young = Resource::new(open(), &site.cache_control, "", written + 1);
    let settled = Resource::new(open(), &site.cache_control, "", written + 2);
    assert!(!young.is_still(&stat) && settled.is_still(&stat));
    // The same length and the same date, put back by a tool: the kernel's own time tells.
    stand.folder.file("app.js", b"let new;", 100);
    let after = open().stat;
    assert_eq!((after.len, after.modified), (stat.len, stat.modified));
    assert!(!settled.is_still(&after));
}

#[test]
fn who_asks_while_a_cold_file_is_looked_for_waits_for_that_look() {
    // Links that lead anywhere are looked for on the pool alone.
    let stand = Stand::with(&Static { symlinks: Symlinks::Follow, ..Static::default() });
    let (done, jobs) = (Rc::new(RefCell::new(0)), 50);
    for _ in 0..jobs {
        let (files, cache, shard, done) =
            (stand.files.clone(), Rc::clone(&stand.cache), stand.shard.clone(), Rc::clone(&done));
        stand.shard.spawn(async move {
            let with = Shelf { shard: &shard, cache: &cache, server: "" };
            let entry = files.find(&with, b"app.js").await.unwrap();
            assert!(matches!(entry, Entry::File(_)));
            *done.borrow_mut() += 1;
        });
    }
    for _ in 0..1000 {
        stand.turn();
    }
    assert_eq!(*done.borrow(), jobs);
    assert_eq!(stand.cache.puts(), 1);
}

#[test]
fn a_change_that_the_times_do_not_show_is_seen_while_it_is_young() {
    let stand = Stand::new();
    stand.folder.file("app.js", b"one", 0);
    assert_eq!(stand.get("/app.js").body, b"one");
    // Rewritten in place within the clock's step: same inode, length and times.
    stand.folder.file("app.js", b"two", 0);
    stand.pass(Duration::from_secs(1));
    assert_eq!(stand.get("/app.js").body, b"two");
}

#[test]
fn another_directory_in_the_place_of_the_first_is_seen() {
    let stand = Stand::new();
    assert_eq!(stand.get("/app.js").body, b"let app;");
    let www = stand.folder.www();
    fs::rename(&www, stand.folder.0.join("old")).unwrap();
    stand.pass(Duration::from_secs(2));
    assert_eq!(stand.get("/app.js").body, b"let app;", "while there is none, the old one is served");
    stand.folder.file("app.js", b"deployed", 10);
    stand.pass(Duration::from_secs(2));
    assert_eq!(stand.get("/app.js").body, b"deployed");
}

#[test]
fn the_configuration_is_never_served_even_after_an_editor_replaced_it() {
    let folder = Folder::new();
    folder.file("anygate.yml", b"routes: {}", 100);
    folder.file("other.yml", b"x: 1", 100);
    fs::hard_link(folder.www().join("anygate.yml"), folder.www().join("alias.yml")).unwrap();
    let protected = [folder.www().join("anygate.yml")];
    let target = StaticTarget { path: "www/".into(), is_dir: true };
    let site = Site::open(&target, &Static::default(), &folder.0, &protected).unwrap();
    let found = |name: &str| look::look(&site, &site.dir, name.as_bytes(), false).unwrap();
    assert!(matches!(found("anygate.yml"), Found::Missing));
    assert!(matches!(found("alias.yml"), Found::Missing), "another name of the same file");
    assert!(matches!(found("other.yml"), Found::File(_)));
    fs::rename(folder.www().join("other.yml"), folder.www().join("anygate.yml")).unwrap();
    assert!(matches!(found("anygate.yml"), Found::Missing), "another file under the same name");
    let only = StaticTarget { path: "www/anygate.yml".into(), is_dir: false };
    let refused = Files::compile(&only, &Static::default(), &folder.0, &protected).unwrap_err();
    assert!(refused.contains("never served"), "{refused}");
}

#[test]
fn a_single_file_is_served_whatever_the_path() {
    let stand = Stand::new();
    let target = StaticTarget { path: "./www/app.js".into(), is_dir: false };
    let files = Files::compile(&target, &Static::default(), &stand.folder.0, &[]).unwrap();
    let stand = Stand {
        files,
        cache: Rc::new(Cache::new()),
        folder: Folder::new(),
        shard: stand.shard.clone(),
        world: stand.world.clone(),
        mailbox: mailbox::channel(1).1,
    };
    for path in ["/", "/x", "/x/y.html", "/%2F"] {
        let got = stand.get(path);
        assert_eq!((got.status, &*got.body), (200, &b"let app;"[..]), "{path}");
        assert_eq!(got.field("Content-Type"), Some("text/javascript; charset=utf-8"));
    }
}

#[test]
fn a_check_finds_the_file_a_request_would_get() {
    let stand = Stand::new();
    let www = stand.folder.www();
    let locate = |tail: &str, navigates| stand.files.locate(tail.as_bytes(), navigates);
    assert_eq!(locate("", false), Ok(www.join("index.html")));
    assert_eq!(locate("sub/", false), Ok(www.join("sub/index.html")));
    assert_eq!(locate("app.js", true), Ok(www.join("app.js")));
    assert_eq!(locate("deep/link", true), Ok(www.join("index.html")));
    assert_eq!(locate("deep/link", false), Err(404));
    assert_eq!(locate("missing.js", true), Err(404));
    assert_eq!(locate("sub", false), Err(308));
}

#[test]
fn what_cannot_be_served_is_refused_at_load_with_the_reason() {
    let folder = Folder::new();
    folder.file("a.txt", b"x", 100);
    symlink("/etc/passwd", folder.www().join("out")).unwrap();
    let compile = |path: &str, settings: &Static| {
        let target = StaticTarget { path: path.into(), is_dir: path.ends_with('/') };
        Files::compile(&target, settings, &folder.0, &[]).map(drop).unwrap_err()
    };
    let usual = Static::default();
    for (path, reason) in [
        ("none/", "does not exist"),
        ("www/none.txt", "does not exist"),
        ("www/a.txt/", "directory"),
        ("www/a.txt/x", "directory"),
        ("www", "is a directory"),
        ("www/out", "symbolic link"),
        ("/dev/null", "not a regular file"),
    ] {
        let said = compile(path, &usual);
        assert!(said.contains(reason), "{path}: {said}");
    }
    let said = compile("www/", &Static { index: vec!["a/b.html".into()], ..usual });
    assert!(said.contains("`a/b.html`"), "{said}");
}

#[test]
fn fields_that_say_how_long_to_keep_a_file_follow_the_setting() {
    let stand = Stand::new();
    stand.folder.file("assets/main.3f2a1b9c.js", b"x", 100);
    assert_eq!(
        stand.get("/assets/main.3f2a1b9c.js").field("Cache-Control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(stand.get("/app.js").field("Cache-Control"), None);
    let page = stand.get("/");
    assert_eq!(page.field("Cache-Control"), Some("no-cache"));
    let not_modified = stand.ask("GET", "/", &format!("If-None-Match: {}\r\n", page.etag()));
    assert_eq!(not_modified.field("Cache-Control"), Some("no-cache"));
    let fixed = Stand::with(&Static { cache_control: CacheControl::Value("max-age=60".into()), ..Static::default() });
    assert_eq!(fixed.get("/").field("Cache-Control"), Some("max-age=60"));
}

#[test]
fn no_more_large_files_are_kept_open_than_the_limit() {
    let stand = Stand::new();
    for i in 0..FILES_HELD_OPEN + 10 {
        stand.folder.file(&format!("l{i}"), &large(), 100);
        assert_eq!(stand.get(&format!("/l{i}")).status, 200);
    }
    assert_eq!(stand.cache.held(), (FILES_HELD_OPEN, FILES_HELD_OPEN));
    stand.cache.close_files();
    assert_eq!(stand.cache.held(), (0, 0));
    assert_eq!(stand.get("/l0").body, large());
}
