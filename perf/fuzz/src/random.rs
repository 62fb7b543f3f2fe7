//! What do inputs of a seeded generator come to, without libFuzzer? Many more a second than coverage allows, every difference
//! once by kind, with its shortest input.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Targets that can be run so: those that compare with an implementation of somebody else, or with a naive one.
const TARGETS: &[Target] = &[
    Target { name: "hpack", run: crate::hpack::run, shape: Shape::Blocks },
    Target { name: "h2_requests", run: crate::h2_requests::run, shape: Shape::Script(0) },
    Target { name: "h2_answers", run: crate::h2_answers::run, shape: Shape::Bytes },
    Target { name: "h2_connection", run: crate::h2_connection::run, shape: Shape::Script(2) },
];
/// Kinds of differences that are kept and told; one that comes behind them is only counted.
const MOST_KINDS: usize = 20;
/// Characters of a message that make its kind, and that are told.
const KIND: usize = 700;
const TOLD: usize = 6000;
/// Bytes of an input, and of one in sixteen of them.
const LENGTHS: u64 = 60;
const LONG: u64 = 240;
/// No input may take as long: the slowest ones take milliseconds, on a machine that has time for them.
const SLOWEST: Duration = Duration::from_secs(60);
/// No input.
const NONE: u64 = u64::MAX;
/// Inputs that a thread takes at once.
const SLICE: u64 = 256;

struct Target {
    name: &'static str,
    run: fn(&[u8]),
    shape: Shape,
}

/// What inputs are made of.
#[derive(Clone, Copy)]
enum Shape {
    /// Any bytes.
    Bytes,
    /// A script of [`crate::h2_requests`] begins here.
    Script(usize),
    /// Mostly header blocks, as [`crate::hpack`] reads them.
    Blocks,
}

/// What is run: the words of a command line.
#[derive(Debug)]
pub struct Order {
    target: String,
    count: u64,
    seed: u64,
    threads: u64,
    /// Where inputs of differences are kept.
    folder: PathBuf,
}

impl Order {
    /// From target, count, seed, threads and folder.
    ///
    /// # Errors
    ///
    /// What is missing, or is no number.
    pub fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut word = |what: &str| words.next().ok_or_else(|| format!("{what} is missing"));
        let target = word("the target")?;
        let mut number = |what| word(what)?.parse::<u64>().map_err(|error| format!("{what}: {error}"));
        let (count, seed, threads) = (number("the count")?, number("the seed")?, number("threads")?);
        Ok(Self { target, count, seed, threads, folder: word("the folder")?.into() })
    }
}

/// Differences of one kind.
struct Difference {
    times: u64,
    input: Vec<u8>,
    said: String,
}

thread_local! {
    /// What the last panic of this thread said.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs all inputs; the report, and whether there was no difference.
///
/// # Errors
///
/// No such target, or nowhere to keep inputs.
pub fn run(order: &Order) -> Result<(String, bool), String> {
    let target = TARGETS.iter().find(|target| target.name == order.target);
    let target = target.ok_or_else(|| format!("no target {} for random inputs", order.target))?;
    std::fs::create_dir_all(&order.folder).map_err(|error| format!("{}: {error}", order.folder.display()))?;
    panic::set_hook(Box::new(|info| SAID.with(|said| *said.borrow_mut() = info.to_string())));
    let began = Instant::now();
    let (next, all) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    let slowest = AtomicU64::new(0);
    // What each thread is at; NONE when it has done all.
    let at: Vec<_> = (0..order.threads.max(1)).map(|_| AtomicU64::new(NONE)).collect();
    thread::scope(|scope| {
        for at in &at {
            let (next, all, slowest) = (&next, &all, &slowest);
            at.store(0, Ordering::Relaxed);
            scope.spawn(move || {
                loop {
                    let from = next.fetch_add(SLICE, Ordering::Relaxed);
                    for number in from..order.count.min(from + SLICE) {
                        at.store(number, Ordering::Relaxed);
                        one(target, &input(order.seed, number, target.shape), all, slowest);
                    }
                    if from + SLICE >= order.count {
                        at.store(NONE, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
        scope.spawn(|| watch(order, target, &at));
    });
    let _ = panic::take_hook();
    let all = all.into_inner().map_err(|_| "a thread panicked")?;
    let time = began.elapsed().as_secs_f64().max(0.001);
    report(order, &all, time, slowest.into_inner()).map(|text| (text, all.is_empty()))
}

/// Ends the process when a thread is at one input for as long as none may take.
fn watch(order: &Order, target: &Target, at: &[AtomicU64]) {
    let look = || at.iter().map(|at| at.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let (mut before, mut seen) = (look(), Instant::now());
    while look().iter().any(|number| *number != NONE) {
        thread::sleep(Duration::from_millis(20));
        if seen.elapsed() < SLOWEST {
            continue;
        }
        let now = look();
        if let Some((number, _)) = now.iter().zip(&before).find(|(now, before)| now == before && **now != NONE) {
            let path = order.folder.join(format!("random-{}-slow", order.seed));
            let kept = keep(&path, &input(order.seed, *number, target.shape));
            let _ = writeln!(
                io::stdout(),
                "{}: input {number} of seed {} takes {SLOWEST:?}: {} {kept:?}",
                target.name,
                order.seed,
                path.display()
            );
            std::process::exit(1);
        }
        (before, seen) = (now, Instant::now());
    }
}

/// One input; `slowest` is the longest time of all, in microseconds.
fn one(target: &Target, data: &[u8], all: &Mutex<BTreeMap<String, Difference>>, slowest: &AtomicU64) {
    let began = Instant::now();
    let done = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(data)));
    slowest.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
    if done.is_ok() {
        return;
    }
    let said = SAID.with(RefCell::take);
    let Ok(mut all) = all.lock() else { return };
    let full = all.len() >= MOST_KINDS;
    let kind = if full && !all.contains_key(&kind(&said)) { "others".to_owned() } else { kind(&said) };
    let known = all.entry(kind).or_insert_with(|| Difference { times: 0, input: data.to_vec(), said: said.clone() });
    known.times += 1;
    if data.len() < known.input.len() {
        (known.input, known.said) = (data.to_vec(), said);
    }
}

/// What two messages have in common that tell of the same fault: where, and the first line, without its numbers.
fn kind(said: &str) -> String {
    let (place, rest) = said.split_once('\n').unwrap_or((said, ""));
    let line = rest.lines().next().unwrap_or_default();
    place.chars().chain(line.chars().filter(|c| !c.is_ascii_digit())).take(KIND).collect()
}

fn report(order: &Order, all: &BTreeMap<String, Difference>, seconds: f64, slowest: u64) -> Result<String, String> {
    let Order { target, count, seed, folder, .. } = order;
    let mut text = format!(
        "{target}: {count} inputs of seed {seed} in {seconds:.0} s, {:.0} a second, the slowest {slowest} us; \
         {} differences of {} kinds\n",
        *count as f64 / seconds,
        all.values().map(|one| one.times).sum::<u64>(),
        all.len()
    );
    if target == "h2_requests" {
        text += &crate::h2_requests::excused();
    }
    for (number, one) in all.values().enumerate() {
        let path = folder.join(format!("random-{seed}-{number}"));
        keep(&path, &one.input)?;
        let said: String = one.said.chars().take(TOLD).collect();
        let _ = writeln!(text, "--- {} times: {said}", one.times);
        let _ = writeln!(text, "    cargo xtask fuzz {target} --input {}", path.display());
    }
    Ok(text)
}

fn keep(path: &Path, input: &[u8]) -> Result<(), String> {
    std::fs::write(path, input).map_err(|error| format!("{}: {error}", path.display()))
}

/// One input of a file, as libFuzzer would run it.
///
/// # Errors
///
/// No such target or file. A difference is a panic.
pub fn show(target: &str, file: &Path) -> Result<(), String> {
    let target = TARGETS.iter().find(|known| known.name == target).ok_or_else(|| format!("no target {target}"))?;
    let data = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    (target.run)(&data);
    Ok(())
}

/// The input of this number: it depends on nothing but the seed and the number.
fn input(seed: u64, number: u64, shape: Shape) -> Vec<u8> {
    let mut state = mixed(seed ^ mixed(number));
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(state)
    };
    let choice = next();
    let length = 3 + next() % if choice & 15 == 0 { LONG } else { LENGTHS };
    let mut data: Vec<u8> = (0..length).map(|_| next() as u8).collect();
    match shape {
        Shape::Script(begin) if begin < data.len() => {
            // Frames that are made, seldom without what a client says at first.
            data[begin] &= if choice >> 4 & 7 == 0 { !0x40 } else { !0xc0 };
            // What is usual has small numbers.
            let usual = choice >> 8 & 3;
            for byte in data.iter_mut().skip(begin + 3) {
                if next() % 4 < usual {
                    *byte &= 0x1f;
                }
            }
        }
        // Fields to encode are any bytes, and so are a few blocks.
        Shape::Blocks if data[0] & 1 == 0 && choice >> 4 & 7 != 0 => {
            data.truncate(2);
            for _ in 0..1 + choice % 12 {
                let block = block(&mut next);
                data.push(block.len() as u8);
                data.extend_from_slice(&block);
            }
        }
        _ => {}
    }
    data
}

/// A header block of a few fields, some in the table; seldom is something wrong.
fn block(next: &mut impl FnMut() -> u64) -> Vec<u8> {
    let mut block = Vec::new();
    let choice = next();
    if choice & 7 == 0 {
        // A table of up to 158 bytes has room for four small fields.
        block.extend_from_slice(&[0x3f, (choice >> 8) as u8 & 0x7f]);
    }
    for _ in 0..1 + (choice >> 3) % 5 {
        let (form, which) = (next(), next() as u8);
        match form % 16 {
            0..=3 => block.push(0x80 | 1 + which % 61),
            4..=7 => block.push(0x80 | 62 + which % 4),
            8 => block.push(which),
            // A name of an entry, or one that is spelt out; all three kinds of literals.
            form => {
                let mark = [0x40, 0x40, 0x40, 0, 0x10][usize::from(which) % 5];
                let entry = [0, 0, 1 + which % 14, 62][usize::from(which >> 6)];
                let entry = if mark == 0x40 { entry } else { entry % 15 };
                block.push(mark | entry);
                if entry == 0 {
                    block.extend_from_slice(&[1, b'a' + which % 26]);
                }
                let value = next().to_be_bytes().map(|byte| b'0' + byte % 64);
                block.push(form as u8 % 9);
                block.extend_from_slice(&value[..form as usize % 9]);
            }
        }
    }
    block
}

/// SplitMix64's finaliser.
fn mixed(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(target: &str, count: u64) -> Order {
        let folder = std::env::temp_dir().join(format!("anygate-random-{}", std::process::id()));
        Order { target: target.to_owned(), count, seed: 7, threads: 2, folder }
    }

    #[test]
    fn an_input_depends_on_seed_and_number_alone_and_the_next_one_is_another() {
        assert_eq!(input(1, 2, Shape::Script(0)), input(1, 2, Shape::Script(0)));
        assert_ne!(input(1, 2, Shape::Bytes), input(1, 3, Shape::Bytes));
        assert_ne!(input(1, 2, Shape::Bytes), input(2, 2, Shape::Bytes));
    }

    #[test]
    fn differences_of_one_kind_are_one_with_its_shortest_input() {
        let fails = Target { name: "fails", run: |data| panic!("no {}\n{data:?}", data.len()), shape: Shape::Bytes };
        let (all, slowest) = (Mutex::new(BTreeMap::new()), AtomicU64::new(0));
        panic::set_hook(Box::new(|info| SAID.with(|said| *said.borrow_mut() = info.to_string())));
        for data in [&[1, 2][..], &[3], &[4, 5, 6]] {
            one(&fails, data, &all, &slowest);
        }
        let _ = panic::take_hook();
        let all = all.into_inner().expect("nobody panicked while holding it");
        let found: Vec<_> = all.values().map(|one| (one.times, one.input.clone())).collect();
        assert_eq!(found, [(3, vec![3])]);
        let order = order("fails", 3);
        std::fs::create_dir_all(&order.folder).expect("room");
        let text = report(&order, &all, 1.0, 5).expect("room");
        assert!(text.contains("3 differences of 1 kinds") && text.contains("fuzz fails --input"), "{text}");
        std::fs::remove_dir_all(&order.folder).expect("it is there");
    }

    #[test]
    fn what_is_asked_for_is_read_and_an_unknown_target_is_an_error() {
        let words = |text: &str| Order::read(text.split(' ').map(str::to_owned));
        assert!(words("hpack 5 1 2 /tmp").is_ok());
        assert!(words("hpack five 1 2 /tmp").is_err() && words("hpack 5").is_err());
        assert!(run(&order("route", 1)).is_err());
    }
}
