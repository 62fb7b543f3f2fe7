//! How is a case of a table run, and what is wrong with what came of it?

use std::collections::BTreeMap;
use std::sync::Arc;

use anygate_core::config::ListenAddr;
use anygate_serve::tls::Front;

use super::behind::{Behind, CUT};
use super::client::{PREFACE, Talker};
use super::words::{Frame, Item, hex, items, number, text, told};
use crate::cases::requests::Folder;
use crate::cases::text::{Case, Table, escaped};
use crate::cases::{Cut, End, NOBODY, PATIENCE, SILENCE, settled};
use crate::ground::{Field, Ground, Stand};
use crate::harness::plan;
use crate::pipe::{Way, keys};

/// What servers behind get is no concern of the case.
const ANYTHING: &[u8] = b"*";

/// Asked behind each case that leaves the connection standing, and where nothing is to come for a while.
const PROBE: &[u8] = b"anygate?";
const QUIET: &[u8] = b"silence?";

/// A gate that offers HTTP/2 to clients who come this way.
fn gate(field: &Field, way: Way, config: &str) -> Stand {
    let mut plan = plan(config, 1);
    if way == Way::Tls {
        let mut server = keys().server.as_ref().clone();
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let front = Front { tls: Some(Arc::new(server)), h2: true, ..Front::default() };
        plan.fronts = vec![(ListenAddr::Any(0), front)];
    }
    field.gate(plan)
}

/// The cases of one gate; what is wrong.
pub(crate) fn run(
    (ground, way): (Ground, Way),
    table: &Table,
    at: usize,
    wanted: &str,
    folder: &Folder,
) -> Vec<String> {
    let (name, config) = &table.gates[at];
    let field = Field::new(ground);
    let open = || {
        let behind = Behind::start(&field);
        let config = config
            .replace("$BACKEND", &behind.address.to_string())
            .replace("$NOBODY", NOBODY)
            .replace("$DIR", &folder.path().display().to_string());
        (gate(&field, way, &config), behind)
    };
    let shared = open();
    let mut wrong = Vec::new();
    for case in table.cases.iter().filter(|case| case.gate == at && case.word("name").contains(wanted)) {
        let then = Then::of(case);
        if then.way.is_some_and(|only| only != way) {
            continue;
        }
        for cut in [Cut::Whole, Cut::Pieces(case.place.bytes().map(u64::from).sum())] {
            if cut == Cut::Whole || !then.whole {
                let own = is_cut(case).then(&open);
                let (gate, behind) = own.as_ref().unwrap_or(&shared);
                behind.forget();
                if let Err((what, want, got)) = tried(case, &then, (cut, way), (&field, gate, behind)) {
                    let context = format!("{ground:?}, {way:?}, gate {name}, {cut:?}");
                    let name = case.word("name");
                    wrong.push(format!("{}: {name}: {context}: {what}\n  want {want}\n   got {got}", case.place));
                }
            }
        }
    }
    if shared.0.panics() > 0 {
        wrong.push(format!("{ground:?}, {way:?}, gate {name}: a connection panicked"));
    }
    let left = field.left();
    if !left.is_empty() {
        wrong.push(format!("{ground:?}, {way:?}, gate {name}: left when everybody had gone: {left:?}"));
    }
    wrong
}

/// How much of a request arrives that is cut, and when, is chance: nothing is shared with other cases.
fn is_cut(case: &Case) -> bool {
    let ends = |cell: &str| {
        let words = ["RST_STREAM", "GOAWAY", "reset", "raw"];
        items(&case.bytes(cell)).iter().flatten().any(|word| words.iter().any(|end| word == end.as_bytes()))
    };
    match case.bytes("upstream").as_slice() {
        CUT => true,
        ANYTHING => ends("send") || ends("get"),
        _ => false,
    }
}

/// What becomes of the connection.
struct Then {
    kind: Kind,
    /// The case depends on where the bytes are cut.
    whole: bool,
    /// Frames of different streams come in this order, too.
    ordered: bool,
    /// The case is for clients who come this way alone.
    way: Option<Way>,
}

#[derive(PartialEq, Eq)]
enum Kind {
    /// A PING and a request are answered.
    Stays,
    /// The gate ends it well.
    Closes,
    /// Nothing more comes, and it is open.
    Waits,
}

impl Then {
    fn of(case: &Case) -> Self {
        let text = case.word("then");
        let mut words = text.split(", ");
        let kind = match words.next() {
            Some("stays") => Kind::Stays,
            Some("closes") => Kind::Closes,
            Some("waits") => Kind::Waits,
            _ => panic!("{}: then is stays, closes or waits", case.place),
        };
        let mut then = Self { kind, whole: false, ordered: false, way: None };
        for word in words {
            match word {
                "whole" => then.whole = true,
                "ordered" => then.ordered = true,
                "plain" => then.way = Some(Way::Plain),
                "tls" => then.way = Some(Way::Tls),
                _ => panic!("{}: then may end in whole, ordered, plain or tls", case.place),
            }
        }
        then
    }
}

/// How a case failed: what about, what was wanted and what came.
type Wrong = (&'static str, String, String);

fn tried(
    case: &Case,
    then: &Then,
    (cut, way): (Cut, Way),
    (field, gate, behind): (&Field, &Stand, &Behind),
) -> Result<(), Wrong> {
    let want = items(&case.bytes("get"));
    let mut session = Session { client: Talker::connect(field, gate.address(), way), cut, way, behind, last: 0 };
    let (scripts, acts): (Vec<Item>, Vec<Item>) =
        items(&case.bytes("send")).into_iter().partition(|act| act[0] == b"server");
    scripts.into_iter().for_each(|script| behind.expect(script[1..].to_vec()));
    session.speak(&acts).map_err(|why| ("a step", escaped(&case.bytes("send")), why))?;
    let Session { mut client, last, .. } = session;
    // The next stream that this client may open.
    let probe = (last + 1) | 1;
    let itself = client.address();
    let (own, upstream) = (gate.address().to_string(), behind.address.to_string());
    let known = [(upstream.as_str(), "backend"), (own.as_str(), "gate"), (itself.as_str(), "client")];
    let fits = |client: &Talker, less: Option<u32>| {
        let got = Shape::of(came(client, &want, less), &known, then.ordered);
        Shape::of(expected(&want), &[], then.ordered).fits(&got)
    };
    let mut less = None;
    match then.kind {
        Kind::Stays => {
            client.hear(PATIENCE, |client| fits(client, None));
            let scheme = if way == Way::Tls { "https" } else { "http" };
            let asked = format!("{probe} END_STREAM :method=GET :scheme={scheme} :authority=probe :path=/probe");
            let pongs = client.pongs;
            let head = items(format!("HEADERS {asked}").as_bytes()).pop().and_then(|item| Frame::of(&item).ok()?);
            let head = head.expect("a frame");
            client.send(&[ping(PROBE).bytes(), head.bytes()].concat(), cut);
            client.hear(PATIENCE, |client| client.pongs > pongs && client.ended(probe) && client.settled());
            less = Some(probe);
        }
        Kind::Waits => {
            client.hear(PATIENCE, |client| fits(client, None));
            client.hear(SILENCE, |_| false);
        }
        Kind::Closes => {
            client.hear(PATIENCE, |_| false);
        }
    }
    if !fits(&client, less) {
        let got = Shape::of(came(&client, &want, less), &known, then.ordered);
        let got = format!("{}; then {:?}", got.told(), client.end());
        return Err(("the answer", Shape::of(expected(&want), &[], then.ordered).told(), got));
    }
    let end = if then.kind == Kind::Closes { Some(End::Closed) } else { None };
    if client.end() != end {
        return Err(("the connection's end", format!("{end:?}"), format!("{:?}", client.end())));
    }
    if less.is_some_and(|probe| !client.ended(probe)) {
        return Err(("the probe", "an answer".into(), "none".into()));
    }
    if less.is_some() && !client.settled() {
        return Err(("the client's SETTINGS", "acknowledged".into(), "not".into()));
    }
    drop(client);
    if case.bytes("upstream") == ANYTHING {
        return Ok(());
    }
    behind
        .recorded(&way.told(case.bytes("upstream")), &known)
        .map_err(|(want, got)| ("upstream", escaped(&want), escaped(&got)))
}

/// A client in the middle of a case.
struct Session<'a> {
    client: Talker,
    cut: Cut,
    way: Way,
    behind: &'a Behind,
    /// The largest stream that it opened.
    last: u32,
}

impl Session<'_> {
    /// Sends frames and takes steps.
    fn speak(&mut self, acts: &[Item]) -> Result<(), String> {
        let mut bytes = Vec::new();
        self.client.mute = acts.iter().any(|act| act[0] == b"mute");
        let first = acts.first().map(|act| act[0].as_slice());
        let bare = first == Some(b"bare");
        if !bare {
            bytes.extend_from_slice(PREFACE);
            if first != Some(b"SETTINGS") {
                self.frame(&Frame { kind: 0x4, ..Frame::default() }, &mut bytes);
            }
        }
        for act in acts.iter().skip(usize::from(bare)) {
            if let Some(frame) = Frame::of(&self.secured(act)).map_err(|why| format!("{}: {why}", told(act)))? {
                self.frame(&frame, &mut bytes);
                continue;
            }
            if act[0] == b"raw" {
                for word in &act[1..] {
                    let octets = word.strip_prefix(b"hex:").map(hex).transpose()?;
                    bytes.extend_from_slice(octets.as_deref().unwrap_or(word));
                }
                continue;
            }
            if act[0] == b"mute" {
                continue;
            }
            if act[0] == b"preface" {
                bytes.extend_from_slice(PREFACE);
                continue;
            }
            self.client.send(&bytes, self.cut);
            bytes.clear();
            if !self.step(act)? {
                return Err(format!("{}: in vain; so far {}", told(act), all(&self.client)));
            }
        }
        self.client.send(&bytes, self.cut);
        Ok(())
    }

    /// Over TLS the scheme is another.
    fn secured(&self, act: &Item) -> Item {
        let mut act = act.clone();
        if self.way == Way::Tls {
            act.iter_mut().filter(|word| *word == b":scheme=http").for_each(|word| *word = b":scheme=https".to_vec());
        }
        act
    }

    fn frame(&mut self, frame: &Frame, bytes: &mut Vec<u8>) {
        self.client.note(frame);
        if frame.kind == 0x1 && frame.stream % 2 == 1 {
            self.last = self.last.max(frame.stream & 0x7fff_ffff);
        }
        bytes.extend_from_slice(&frame.bytes());
    }

    /// Takes a step; false: what was awaited does not come.
    fn step(&mut self, act: &Item) -> Result<bool, String> {
        let word = |at: usize| act.get(at).map_or(Ok(""), |word| text(word));
        let number = |at: usize| number(act.get(at).ok_or("a number is missing")?);
        Ok(match word(0)? {
            "quiet" => {
                // Once this one is answered, all before it was looked at.
                let (pongs, ping) = (self.client.pongs, ping(QUIET));
                self.client.send(&ping.bytes(), Cut::Whole);
                self.client.hear(PATIENCE, |client| client.settled() && client.pongs > pongs);
                self.client.hear(SILENCE, |_| false);
                self.client.items.push((0, vec![b"quiet".to_vec()]));
                true
            }
            "until" => match word(1)? {
                "settled" => self.client.hear(PATIENCE, Talker::settled),
                "end" => {
                    let stream = number(2)?;
                    self.client.hear(PATIENCE, |client| client.ended(stream))
                }
                "upstream" => self.behind.heard(&act[2..].join(&b' ')),
                _ => {
                    let (kind, stream) = (&act[1], act.get(2));
                    let is = |item: &Item| item[0] == *kind && (stream.is_none() || item.get(1) == stream);
                    self.client.hear(PATIENCE, |client| client.items.iter().any(|(_, item)| is(item)))
                }
            },
            "fin" => {
                self.client.finish();
                true
            }
            "pour" => {
                let (stream, count) = (number(1)?, number(2)? as usize);
                let end = act.iter().any(|word| word == b"END_STREAM");
                let padding = act.iter().find_map(|word| word.strip_prefix(b"PADDED="));
                let padding = padding.map(super::words::number).transpose()?.map(|count| count as usize);
                self.pour(stream, count, end, padding)
            }
            other => return Err(format!("{other:?} is neither a frame nor a step")),
        })
    }

    /// Sends so much content, as the windows allow; false: the gate does not give enough of them.
    fn pour(&mut self, stream: u32, count: usize, end: bool, padding: Option<usize>) -> bool {
        if !self.client.hear(PATIENCE, Talker::settled) {
            return false;
        }
        let extra = padding.map_or(0, |count| count + 1);
        let mut left = count;
        while left > 0 {
            while self.client.credit(stream) <= extra {
                let before = self.client.items.len();
                if !self.client.hear(PATIENCE, |client| client.items.len() > before) {
                    return false;
                }
            }
            let now = (self.client.credit(stream) - extra).min(left);
            let mut payload = vec![b'p'; now];
            if let Some(padding) = padding {
                payload.insert(0, padding as u8);
                payload.resize(payload.len() + padding, 0);
            }
            left -= now;
            let flags = u8::from(end && left == 0) | if padding.is_some() { 0x8 } else { 0 };
            let frame = Frame { kind: 0, flags, stream, payload, ..Frame::default() };
            self.client.note(&frame);
            self.client.send(&frame.bytes(), Cut::Whole);
        }
        true
    }
}

fn ping(payload: &[u8]) -> Frame {
    Frame { kind: 0x6, payload: payload.to_vec(), ..Frame::default() }
}

/// What is wanted, with the streams.
fn expected(want: &[Item]) -> Vec<(u32, Item)> {
    let stream = |item: &Item| match item[0].as_slice() {
        b"SETTINGS" | b"PING" | b"GOAWAY" | b"quiet" | b"raw" => 0,
        _ => item.get(1).and_then(|word| number(word).ok()).unwrap_or(0),
    };
    want.iter().map(|item| (stream(item), item.clone())).collect()
}

/// What came, without what is always so: the gate's SETTINGS and updates of windows where the case does not speak of them, the
/// acknowledgement of the client's first SETTINGS, and the answers to the probe.
fn came(client: &Talker, want: &[Item], less: Option<u32>) -> Vec<(u32, Item)> {
    let speaks = |kind: &[u8]| want.iter().any(|item| item[0] == kind && item.get(1).is_none_or(|word| word != b"ACK"));
    let (settings, updates) = (speaks(b"SETTINGS"), speaks(b"WINDOW_UPDATE"));
    let mut acknowledged = false;
    let keep = |(stream, item): &&(u32, Item)| match item[0].as_slice() {
        b"SETTINGS" if item.get(1).is_some_and(|word| word == b"ACK") => std::mem::replace(&mut acknowledged, true),
        b"SETTINGS" => settings,
        b"WINDOW_UPDATE" => updates,
        b"PING" => item.get(2).is_none_or(|word| word != PROBE && word != QUIET),
        _ => less.is_none_or(|probe| probe != *stream),
    };
    client.items.iter().filter(keep).cloned().collect()
}

fn all(client: &Talker) -> String {
    client.items.iter().map(|(_, item)| told(item)).collect::<Vec<_>>().join(" ; ")
}

/// Items by their streams.
type Epoch = BTreeMap<u32, Vec<Item>>;

/// Items between silences, by their streams where order among streams is nobody's concern; DATA that stands together is one.
struct Shape(Vec<Epoch>);

impl Shape {
    fn of(items: Vec<(u32, Item)>, known: &[(&str, &str)], ordered: bool) -> Self {
        let mut epochs = vec![Epoch::new()];
        for (stream, mut item) in items {
            if item[0] == b"quiet" {
                epochs.push(Epoch::new());
                continue;
            }
            item.iter_mut().for_each(|word| *word = settled(word, known));
            let list = epochs.last_mut().expect("there is one").entry(if ordered { 0 } else { stream }).or_default();
            match list.last_mut() {
                Some(last) if last[0] == b"DATA" && item[0] == b"DATA" && last[1] == item[1] => join(last, item),
                _ => list.push(item),
            }
        }
        Self(epochs)
    }

    /// Whether what came is what is wanted.
    fn fits(&self, got: &Self) -> bool {
        self.0.len() == got.0.len() && self.0.iter().zip(&got.0).all(|(want, got)| epoch_fits(want, got))
    }

    fn told(&self) -> String {
        let epoch = |epoch: &Epoch| epoch.values().flatten().map(told).collect::<Vec<_>>().join(" ; ");
        self.0.iter().map(epoch).collect::<Vec<_>>().join(" ; quiet ; ")
    }
}

/// DATA behind DATA of the same stream.
fn join(last: &mut Item, mut item: Item) {
    let end = item.get(2).is_some_and(|word| word == b"END_STREAM");
    let content = item.split_off(2 + usize::from(end)).concat();
    match last.get_mut(2) {
        Some(before) if before != b"END_STREAM" => before.extend_from_slice(&content),
        _ => last.push(content),
    }
    if end {
        last.insert(2, b"END_STREAM".to_vec());
    }
    last.retain(|word| !word.is_empty());
}

fn epoch_fits(want: &Epoch, got: &Epoch) -> bool {
    let list = |(stream, want): (&u32, &Vec<Item>)| {
        let got = got.get(stream).map_or(&[][..], Vec::as_slice);
        want.len() == got.len() && want.iter().zip(got).all(|(want, got)| item_fits(want, got))
    };
    want.len() == got.len() && want.iter().all(list)
}

/// Word by word: `..` ends one whose rest may be anything; alone and last, there may be more of them.
fn item_fits(want: &Item, got: &Item) -> bool {
    let open = want.last().is_some_and(|word| word == b"..");
    let due = want.len() - usize::from(open);
    let word = |(want, got): (&Vec<u8>, &Vec<u8>)| match want.strip_suffix(b"..") {
        Some(begin) => got.starts_with(begin),
        None => want == got,
    };
    (got.len() == due || (open && got.len() > due)) && want[..due].iter().zip(got).all(word)
}
