//! Does our HTTP/2 server see what the h2 crate's sees, whatever frames a client sends, and answer with the same resets,
//! acknowledgements and ends? Where the two may differ, [`excuses`] says why.
//!
//! An input is three bytes of settings and what frames are made of ([`script`]), or frames as they are.

mod excuses;
mod facts;
mod ours;
mod priorities;
pub(crate) mod script;
pub(crate) mod sight;
mod theirs;

use std::collections::BTreeMap;
use std::io::{Write, stderr};
use std::sync::Mutex;

use excuses::Case;
use facts::Facts;
use script::Script;
use sight::Sight;

/// The window of a connection for content that comes in.
const CONNECTION_WINDOW: u32 = 70_000;
/// Most bytes of a header list. No input has as much, unless it repeats what the table holds.
const HEADER_LIST: u32 = 1 << 20;

/// One input.
pub fn run(data: &[u8]) {
    let script = Script::of(data);
    let (ours, written) = ours::run(&script, 0);
    let theirs = theirs::run(&script);
    if std::env::var_os("ANYGATE_FUZZ_SHOW").is_some() {
        show(&script, &ours, &theirs);
    }
    same(&script, &ours, &theirs);
    let (pieces, again) = ours::run(&script, u32::from(script.setting.cuts) + 1);
    assert_eq!(ours, pieces, "in pieces: {script:?}");
    assert!(written == again, "in pieces something else is written: {script:?}");
}

/// Compares until one of the connections is over, or until a difference that has an excuse: what comes then differs anyhow.
fn same(script: &Script, ours: &[Sight], theirs: &[Sight]) {
    for (at, (own, other)) in ours.iter().zip(theirs).enumerate() {
        // Once it is over the crate neither hands out nor sends what it still held.
        let over = own.over && other.over && own.go_away == other.go_away;
        if over || own == other {
            continue;
        }
        let facts = Facts::of(script, at);
        let case = Case { facts: &facts, setting: script.setting, before: &ours[..at], ours: own, theirs: other };
        let Some(excuse) = excuses::find(&case) else {
            panic!(
                "ours {}, theirs {}\nframe {at}: ours {own:?}\ntheirs {other:?}\n{}\n{facts:?}",
                own.brief(),
                other.brief(),
                told(script, at)
            );
        };
        count(excuse);
        return;
    }
}

/// How often each excuse was needed.
static EXCUSED: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());

fn count(excuse: &'static str) {
    if let Ok(mut counts) = EXCUSED.lock() {
        *counts.entry(excuse).or_default() += 1;
    }
}

/// How often each excuse was needed since this process began, and which were not.
pub(crate) fn excused() -> String {
    let Ok(counts) = EXCUSED.lock() else { return String::new() };
    let line = |name| format!("{:>9} {name}\n", counts.get(name).copied().unwrap_or(0));
    excuses::names().map(line).collect()
}

/// The chunks up to one.
fn told(script: &Script, last: usize) -> String {
    let shown = script.chunks[..=last].iter().map(|chunk| crate::shown(chunk)).collect::<Vec<_>>();
    format!("{:?}\n{}", script.setting, shown.join("\n"))
}

fn show(script: &Script, ours: &[Sight], theirs: &[Sight]) {
    let _ = writeln!(stderr(), "{:?}", script.setting);
    for (at, chunk) in script.chunks.iter().enumerate() {
        let shown = &chunk[..chunk.len().min(200)];
        let _ = writeln!(
            stderr(),
            "{at}: {}\n  ours   {:?}\n  theirs {:?}",
            crate::shown(shown),
            ours.get(at),
            theirs.get(at)
        );
    }
}
