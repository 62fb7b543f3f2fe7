//! Does the whole server, on a simulated network, answer every request once, pass on only what nobody can read in two
//! ways, and come to rest, whatever a client and a server behind send?
//!
//! An input is three bytes (flags, seed, cuts) and sections with the byte 255 between them: what the client sends, then
//! the answers of the server behind, taken in turn.

pub(crate) mod exchange;
mod judge;

use exchange::{Setting, exchange};

use crate::Numbers;

/// What stands between two sections.
const SECTION: u8 = 0xff;

/// One input.
pub fn run(data: &[u8]) {
    let mut numbers = Numbers::of(data);
    let (flags, seed, cuts) = (numbers.next(), numbers.next(), numbers.next());
    let mut sections = numbers.rest().split(|&b| b == SECTION);
    let client = sections.next().unwrap_or_default();
    let scripts: Vec<&[u8]> = sections.collect();
    let setting = Setting::of(flags, seed, cuts);
    let seen = exchange(client, &scripts, setting);
    judge::one(client, &seen, setting);
    if flags & 64 != 0 && setting.is_repeatable() {
        let other = exchange(client, &scripts, setting.other());
        judge::one(client, &other, setting);
        judge::same(&seen, &other, client);
    }
}
