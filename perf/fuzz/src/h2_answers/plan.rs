//! What is asked and how it is answered, from the numbers of an input.

use std::ops::Range;

use crate::Numbers;

/// Requests of an input, at most.
const MOST_REQUESTS: usize = 24;
/// Bytes of content of all of them, at most.
const MOST_CONTENT: usize = 200_000;
/// Turns that what one side has to say may take, at about: a window or a step of a byte takes a turn a byte.
const TURNS: usize = 300;

/// All of an input.
#[derive(Debug)]
pub(super) struct Plan {
    /// What the client announces.
    pub(super) client_window: u32,
    pub(super) client_connection_window: u32,
    pub(super) client_frame: u32,
    pub(super) client_table: u32,
    /// What the server announces.
    pub(super) max_streams: u32,
    pub(super) window: u32,
    pub(super) table: u32,
    /// Most bytes the client reads or writes at once.
    pub(super) step: usize,
    /// Most bytes that reach our codec at once.
    pub(super) piece: usize,
    /// Most bytes of content the server puts to its output in a turn, and most of its output that leaves in one.
    pub(super) most_queued: usize,
    pub(super) most_written: usize,
    pub(super) asks: Vec<Ask>,
}

/// A request and its answer.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) fields: Vec<Field>,
    pub(super) upload: usize,
    pub(super) upload_trailers: bool,
    /// The client resets the stream after so many turns.
    pub(super) left_after: Option<u32>,
    /// Bytes of content that the client gives back in a turn, at most.
    pub(super) reads: usize,
    /// Bytes of content that the server gives back in a turn, at most.
    pub(super) takes: usize,
    // ---- the answer ----
    pub(super) status: u16,
    pub(super) answer: Vec<Field>,
    pub(super) interims: u32,
    pub(super) content: usize,
    pub(super) says_length: bool,
    pub(super) trailers: Vec<Field>,
    pub(super) way: Way,
    /// Only once the request is whole.
    pub(super) waits: bool,
    /// Content comes in parts of at most so many bytes, one a turn.
    pub(super) part: usize,
    /// The server resets the stream with this code after so many bytes of content.
    pub(super) cut: Option<(u32, usize)>,
}

/// How an answer is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// With the dynamic table.
    Encoded,
    /// A compiled block.
    Compiled,
    /// A compiled block, in one call with its content where that goes.
    Whole,
}

/// A field of an answer.
#[derive(Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: Vec<u8>,
    /// 0 and 1: as the encoder likes; 2: not indexed; 3: never.
    pub(super) how: usize,
}

const NAMES: [&str; 20] = [
    "server",
    "content-type",
    "cache-control",
    "set-cookie",
    "etag",
    "vary",
    "x-a",
    "x-a",
    "link",
    "location",
    "age",
    "via",
    "last-modified",
    "accept-ranges",
    "strict-transport-security",
    "www-authenticate",
    "x-request-id",
    "allow",
    "expires",
    "alt-svc",
];
const VALUES: [&str; 12] = [
    "",
    "a",
    "gate",
    "text/html; charset=utf-8",
    "max-age=31536000",
    "\u{e9}t\u{e9}",
    "0",
    "\"0123456789abcdef\"",
    "/a/b?c=d&e=f",
    "bytes",
    "Sat, 21 Nov 2026 18:00:00 GMT",
    "{[\\^`|~}]\t<>",
];
const SIZES: [usize; 16] =
    [0, 1, 5, 100, 1000, 4096, 16_384, 16_385, 65_535, 65_536, 100_000, 3, 40_000, 20_000, 0, 32_768];
const WINDOWS: [u32; 8] = [65_535, 0, 1, 1000, 16_384, 65_536, 1 << 20, 0x7fff_ffff];
const STEPS: [usize; 8] = [usize::MAX, usize::MAX, 1, 7, 100, 1000, 16_393, 9];

impl Plan {
    pub(super) fn of(data: &[u8]) -> Plan {
        let mut numbers = Numbers::of(data);
        let mut plan = Plan {
            client_window: WINDOWS[numbers.below(8)],
            client_connection_window: [65_535, 65_535, 100_000, 1 << 20, 0x7fff_ffff][numbers.below(5)],
            client_frame: [16_384, 16_384, 16_385, 100_000, 0x00ff_ffff][numbers.below(5)],
            client_table: [4096, 4096, 0, 64, 200, 1 << 16][numbers.below(6)],
            max_streams: [100, 100, 1, 2, 5][numbers.below(5)],
            window: [65_535, 1, 1000, 1 << 18][numbers.below(4)],
            table: [4096, 4096, 0, 100, 1 << 16][numbers.below(5)],
            step: STEPS[numbers.below(8)],
            piece: STEPS[numbers.below(8)],
            most_queued: STEPS[numbers.below(8)],
            most_written: STEPS[numbers.below(8)],
            asks: Vec::new(),
        };
        let mut room = MOST_CONTENT;
        for window in [plan.client_window, plan.window].into_iter().filter(|window| *window != 0) {
            room = room.min(window as usize * TURNS);
        }
        // A step of a byte takes a call a byte.
        for step in [plan.step, plan.piece] {
            room = room.min(step.saturating_mul(TURNS * 4));
        }
        while !numbers.is_empty() && plan.asks.len() < MOST_REQUESTS {
            let ask = ask(&mut numbers, &mut room);
            plan.asks.push(ask);
        }
        let all = |fields: &[Field]| fields.iter().map(|field| field.value.len() + 30).sum::<usize>();
        let heads = plan.asks.iter().map(|ask| 60 + all(&ask.fields) + all(&ask.answer) + all(&ask.trailers));
        let heads: usize = heads.sum();
        let contents: usize = plan.asks.iter().map(|ask| ask.content).sum();
        plan.most_queued = plan.most_queued.max(contents / TURNS);
        plan.most_written = plan.most_written.max((heads + contents) / TURNS);
        for step in [&mut plan.step, &mut plan.piece] {
            *step = (*step).max(heads / (TURNS * 4));
        }
        if plan.client_window == 0 {
            // Nothing of a content would ever come.
            plan.client_window = 2;
            for ask in &mut plan.asks {
                ask.content = ask.content.min(20);
                ask.cut = ask.cut.map(|(code, after)| (code, after.min(10)));
            }
        }
        plan
    }
}

fn ask(numbers: &mut Numbers<'_>, room: &mut usize) -> Ask {
    let (shape, form, sizes) = (numbers.next(), numbers.next(), numbers.next());
    let method = ["GET", "GET", "POST", "HEAD"][usize::from(shape & 3)];
    let mut sized = |size: usize| {
        let size = size.min(*room);
        *room -= size;
        size
    };
    let upload = if method == "POST" { sized(SIZES[usize::from(sizes >> 4)]) } else { 0 };
    let content = sized(SIZES[usize::from(sizes & 15)]);
    let fields = fields(numbers, shape >> 2 & 3);
    let answer = self::fields(numbers, shape >> 4 & 7);
    let trailers = if form & 1 == 0 { Vec::new() } else { self::fields(numbers, 1 + (form >> 1 & 1)) };
    let special = if form & 0x80 == 0 { 0 } else { numbers.next() };
    let odd = special & 1 != 0;
    Ask {
        method,
        fields,
        upload,
        upload_trailers: method == "POST" && form & 4 != 0,
        left_after: odd.then_some(u32::from(special >> 4)),
        reads: if special & 2 == 0 { usize::MAX } else { 500 },
        takes: if special & 4 == 0 { usize::MAX } else { 700 },
        status: [200, 200, 404, 206, 500, 302, 299, 418][usize::from(form >> 3 & 7)],
        answer,
        interims: u32::from(form >> 6 & 1) * 2,
        content,
        says_length: shape & 0x80 != 0,
        trailers,
        way: [Way::Encoded, Way::Compiled, Way::Whole, Way::Encoded][usize::from(sizes & 3)],
        waits: form & 2 != 0,
        part: if special & 8 == 0 { usize::MAX } else { 300 },
        cut: (special >> 4 == 15 && !odd).then_some((u32::from(sizes & 7) + 1, content / 2)),
    }
}

fn fields(numbers: &mut Numbers<'_>, count: u8) -> Vec<Field> {
    (0..count)
        .map(|_| {
            let (name, value) = (numbers.next(), numbers.next());
            let how = usize::from(name >> 5 & 3);
            let text: Vec<u8> = VALUES[usize::from(value) % VALUES.len()].chars().map(|c| c as u8).collect();
            let value = match value >> 6 {
                0 | 1 => text,
                // Long ones fill the table, and need more than one frame.
                2 => text.repeat(40),
                _ => numbered(value),
            };
            let name = match name & 31 {
                at @ 0..20 => NAMES[usize::from(at)].to_owned(),
                at => format!("x-{at}-{}", value.len() % 7),
            };
            let value = if value.ends_with(b" ") { Vec::new() } else { value };
            Field { name, value, how }
        })
        .collect()
}

fn numbered(value: u8) -> Vec<u8> {
    format!("{value}").repeat(usize::from(value) * 4).into_bytes()
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} bytes, {}", self.name, self.value.len(), self.how)
    }
}

/// A part of the content of a request or an answer.
pub(super) fn content(of: usize, part: Range<usize>) -> Vec<u8> {
    part.map(|at| (at.wrapping_mul(7) ^ (at >> 8) ^ (of * 31)) as u8).collect()
}
