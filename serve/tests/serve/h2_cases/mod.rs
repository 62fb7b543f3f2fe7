//! HTTP/2 in tables: frames in, frames out, and what a server behind gets, on every driver, plain and over TLS.
//!
//! `tests/cases/h2-*.txt` are the tables (RFC 9113 §4–§8, RFC 7541, RFC 9218, RFC 8441). How frames are written is told in
//! [`words`], lines and cells in [`crate::cases::text`], columns in each file's first lines. Each case is sent whole and in
//! pieces. To add a case, add a line. `ANYGATE_CASE=word` runs those whose name has the word.

mod behind;
pub(crate) mod client;
mod hpack;
mod run;
pub(crate) mod words;

use std::sync::{Mutex, PoisonError};

use crate::cases::requests::Folder;
use crate::cases::text::{table, tables};
use crate::ground::{Ground, everywhere};
use crate::pipe::{WAYS, Way};
use crate::simulated::BOTH;

const COLUMNS: &[&str] = &["name", "send", "get", "then", "upstream"];

/// How many failures are told at once.
const TOLD: usize = 40;

/// How many cases the tables have at least.
const CASES: usize = 220;

#[test]
fn every_frame_gets_the_answer_of_the_rfc() {
    let tables = tables("h2-", COLUMNS, &[]);
    let cases: usize = tables.iter().map(|table| table.cases.len()).sum();
    assert!(cases >= CASES, "{cases} cases");
    let wanted = std::env::var("ANYGATE_CASE").unwrap_or_default();
    let folder = Folder::new();
    let gates = || tables.iter().flat_map(|table| (0..table.gates.len()).map(move |at| (table, at)));
    everywhere(|ground| {
        let failures = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for ((table, at), way) in gates().flat_map(|gate| WAYS.map(|way| (gate, way))) {
                let (failures, wanted, folder) = (&failures, &wanted, &folder);
                scope.spawn(move || {
                    let wrong = run::run((ground, way), table, at, wanted, folder);
                    failures.lock().unwrap_or_else(PoisonError::into_inner).extend(wrong);
                });
            }
        });
        let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        let count = failures.len();
        // Each case once.
        failures.sort();
        failures.dedup_by_key(|failure| failure.splitn(3, ": ").take(2).map(str::to_owned).collect::<Vec<_>>());
        let told: String = failures.iter().take(TOLD).map(|failure| format!("{failure}\n")).collect();
        assert!(failures.is_empty(), "{count} times {} cases failed\n{told}", failures.len());
    });
}

#[test]
fn a_frame_case_that_is_wrong_fails_with_its_place_and_its_name() {
    const TABLE: &str = r#"columns: name | send | get | then | upstream
gate g
    proxy: {x_forwarded: false, via: false}
    routes: {/probe: NO_CONTENT, /none: NO_CONTENT, /up: http://$BACKEND}
let get = HEADERS 1 END_STREAM :method=GET :scheme=http :authority=a
let none = HEADERS 1 END_STREAM :status=204 date=<date> x-content-type-options=nosniff
right | {get} :path=/none | {none} | stays | -
wrong answer | {get} :path=/none | HEADERS 1 END_STREAM :status=205 .. | stays | -
wrong stream | {get} :path=/none | HEADERS 3 END_STREAM :status=204 .. | stays | -
wrong end | {get} :path=/none | {none} | closes | -
wrong record | {get} :path=/up | HEADERS 1 :status=200 .. ; DATA 1 END_STREAM up | stays | -
one frame more | PING 12345678 ; PING 12345678 | PING ACK 12345678 | stays | -
"#;
    let table = table("t.txt", TABLE, COLUMNS, &[]).unwrap_or_else(|why| panic!("{why}"));
    // Where waiting for what does not come costs nothing.
    let wrong = run::run((Ground::Simulated(BOTH[0]), Way::Plain), &table, 0, "", &Folder::new());
    for name in ["8: wrong answer", "9: wrong stream", "10: wrong end", "11: wrong record", "12: one frame more"] {
        let place = format!("t.txt:{name}: ");
        let told = wrong.iter().filter(|text| text.starts_with(&place)).count();
        assert_eq!(told, 2, "{place}: whole and in pieces: {wrong:#?}");
    }
    assert_eq!(wrong.len(), 10, "{wrong:#?}");
}
