//! What was asked, what came of it on either side, and is that allowed?

use std::collections::BTreeMap;
use std::time::Duration;

use anygate_shard::Tick;

use super::scene::{Ask, How, What};
use super::wire::{Head, content};

/// How often a request without content may reach a server behind: the first try, and those after kept connections that
/// turned out to be closed.
const TRIES: u32 = 4;

/// How long a server behind may be asked for more once the client has given a request up, where nothing else delays it.
const GIVEN_UP: Duration = Duration::from_secs(3);

/// Why a request is lost on a connection on which the house has said nothing.
pub(super) const NOT_BEGUN: &str = "the connection did not begin";

/// Why a request is lost that came after one that was.
pub(super) const BEFORE: &str = "before";

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The one right answer, with what is the same in every run of it.
    Right(u64),
    /// Another answer.
    Status(u16),
    /// No answer, or a part of one, and the connection is gone.
    Lost(String),
    /// An answer before it said that the connection ends.
    Unanswered,
    /// What a server behind said without being asked.
    Stray,
    /// The client left.
    Left,
    /// What must never be.
    Wrong(String),
}

#[derive(Debug)]
struct Sent {
    ask: Ask,
    /// Heads of it that came to a server behind.
    arrived: u32,
}

/// The book of a run.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: BTreeMap<u32, Sent>,
    pub(super) outcomes: BTreeMap<u32, Outcome>,
    /// What must never be, seen by the servers behind.
    pub(super) violations: Vec<String>,
    /// When clients reset the streams of requests.
    pub(super) given_up: BTreeMap<u32, Tick>,
    /// Nothing makes a reset come late.
    calm: bool,
}

impl Ledger {
    /// An empty book of a run; in a `calm` one nothing makes a reset come late.
    pub(super) fn new(calm: bool) -> Ledger {
        Ledger { calm, ..Ledger::default() }
    }

    pub(super) fn sends(&mut self, ask: Ask) {
        self.sent.insert(ask.number, Sent { ask, arrived: 0 });
    }

    /// Whether a request was asked before.
    pub(super) fn knows(&self, number: u32) -> bool {
        self.sent.contains_key(&number)
    }

    pub(super) fn ends(&mut self, number: u32, outcome: Outcome) {
        if let Some(before) = self.outcomes.insert(number, outcome) {
            self.violations.push(format!("request {number} ended twice, first with {before:?}"));
        }
    }

    /// A head came to a server behind: which request is it?
    pub(super) fn arrives(&mut self, head: &Head) -> Option<Ask> {
        let number: Option<u32> = head.word(1).rsplit('/').nth(2).and_then(|number| number.parse().ok());
        let Some(sent) = number.and_then(|number| self.sent.get_mut(&number)) else {
            self.violations.push(format!("a request that nobody sent came to a server behind: {head:?}"));
            return None;
        };
        sent.arrived += 1;
        let (ask, arrived) = (sent.ask, sent.arrived);
        let mut wrong = |why: &str| {
            self.violations.push(format!("{why} at a server behind: {ask:?}, {head:?}"));
        };
        let (method, upload) = match ask.what {
            What::Behind { upload: Some(upload), .. } => ("POST", Some(upload)),
            What::Behind { head: true, .. } => ("HEAD", None),
            What::Behind { .. } | What::Tunnel { .. } => ("GET", None),
            _ => {
                wrong("a request that was not for it");
                return None;
            }
        };
        if head.word(0) != method {
            wrong("another method");
        }
        if head.one("x-id").is_none_or(|id| id != ask.number.to_string()) {
            wrong("another request's fields");
        }
        if head.one("x-hop").is_some() {
            wrong("a field that was for one hop");
        }
        if head.one("x-forwarded-proto") != Some(if ask.secure { "https" } else { "http" }) {
            wrong("another way that it came by");
        }
        if ask.multi && head.one("cookie") != Some(&format!("a={}; b=2", ask.number)) {
            wrong("other cookies");
        }
        let framed = head.one("content-length").is_some() || head.one("transfer-encoding").is_some();
        if upload.is_none() && framed && head.one("content-length") != Some("0") {
            wrong("a content that nobody sent");
        }
        if head.one("content-length").is_some() && head.one("transfer-encoding").is_some() {
            wrong("two framings");
        }
        if arrived > if upload.is_some() { 1 } else { TRIES } {
            wrong("a request too often");
        }
        Some(ask)
    }

    /// A request's content came to a server behind, all of it or a part.
    pub(super) fn brings(&mut self, ask: &Ask, came: &[u8], all: bool) {
        let What::Behind { upload: Some(upload), .. } = ask.what else { return };
        let whole = content(ask.number, upload.size);
        if all && ask.breach.is_some() {
            self.violations.push(format!("{ask:?}: a body that was cut came to its end at a server behind"));
        }
        if all && came != whole || !whole.starts_with(came) {
            let (came, all) = (came.len(), if all { "all" } else { "a part" });
            self.violations.push(format!("{ask:?}: other content came to a server behind, {came} bytes as {all}"));
        }
    }

    /// The rest of a request's content will not come to a server behind.
    pub(super) fn breaks_off(&mut self, ask: &Ask, now: Tick) {
        let late = self.given_up.get(&ask.number).is_some_and(|at| now.since(*at) > GIVEN_UP);
        if self.calm && late {
            self.violations.push(format!("{ask:?}: given up, and a server behind waited on"));
        }
    }

    /// Everything that must not be, and who is to blame.
    pub(super) fn judge(&self, may: May) -> Vec<String> {
        let mut all = self.violations.clone();
        for (number, sent) in &self.sent {
            let outcome = self.outcomes.get(number);
            if !outcome.is_some_and(|outcome| allowed(&sent.ask, outcome, may)) {
                all.push(format!("{:?} ended in {outcome:?}", sent.ask));
            }
        }
        all
    }
}

/// What may go wrong in a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct May {
    /// Connections and answers may be lost.
    pub(super) lose: bool,
    /// The house ends in the middle, and nobody it has served is lost by that.
    pub(super) drains: bool,
    /// Files that are not in memory may find nobody to bring them.
    pub(super) lose_jobs: bool,
    /// Clients may end their stream in the middle of a request.
    pub(super) half_close: bool,
    /// Servers behind say more than they are asked for, which may be taken for the answer to what is asked next.
    pub(super) extra: bool,
    /// Somebody may find the second address closed.
    pub(super) second_door: bool,
    /// Requests a connection may carry, as long as that does not change; 0 for any number.
    pub(super) cap: Option<usize>,
}

impl May {
    /// Whether no connection ends before its client ends it.
    pub(super) fn never_ends(self) -> bool {
        !self.lose && !self.drains && self.cap == Some(0)
    }

    /// Whether a connection may end after this request, the so-manieth on it, was answered.
    pub(super) fn end_after(self, ask: &Ask, served: usize) -> bool {
        let used_up = self.cap.is_none_or(|cap| cap > 0 && served >= cap);
        // How much of a content has left when its answer comes is not for the client to know.
        self.lose || self.drains || used_up || ask.old || ask.alone() || ask.upload().is_some()
    }
}

fn allowed(ask: &Ask, outcome: &Outcome, may: May) -> bool {
    let proxied = matches!(ask.what, What::Behind { .. } | What::Tunnel { .. });
    let broken = may.extra && proxied || ask.is_answered_wrongly();
    match outcome {
        Outcome::Right(_) => true,
        Outcome::Wrong(_) => false,
        Outcome::Stray => may.extra && proxied,
        Outcome::Left => ask.leaves.is_some(),
        Outcome::Unanswered => true,
        // The rest of a content that never comes.
        Outcome::Status(400) => may.half_close && ask.upload().is_some(),
        Outcome::Status(408) => may.lose,
        Outcome::Status(503) if matches!(ask.what, What::File { .. }) => may.lose_jobs,
        Outcome::Status(status) => (may.lose || broken) && proxied && [502, 503, 504].contains(status),
        // Who asks a house that has closed its door finds nobody; by HTTP/2 nothing else is lost in a drain.
        Outcome::Lost(why) if may.drains => !ask.multi || broken || why == "ConnectionRefused" || why == NOT_BEGUN,
        // Who came before in the same burst answers for it.
        Outcome::Lost(why) => may.lose || broken || may.second_door || why == BEFORE,
    }
}

/// Whether the answer to `ask` is the right one; `content` is all of it.
pub(super) fn weigh(ask: &Ask, head: &Head, came: &[u8]) -> Outcome {
    let status: u16 = head.word(1).parse().unwrap_or(0);
    let wrong = |why: &str| Outcome::Wrong(format!("{why}: {head:?}, {} bytes", came.len()));
    let whole = |expected: &[u8]| came == expected;
    let to_head = matches!(ask.what, What::Behind { head: true, .. });
    // An answer to HEAD ends with its head.
    let stray = head.one("x-id") == Some("0") && whole(if to_head { b"" } else { b"evil" });
    if stray && matches!(ask.what, What::Behind { .. } | What::Tunnel { .. }) {
        return Outcome::Stray;
    }
    let right = match ask.what {
        What::Fixed => status == 200 && [&b"fine"[..], b"good"].contains(&came),
        What::Missing => status == 404,
        What::Redirect => status == 308 && head.one("location").is_some_and(|to| to.contains("/elsewhere")),
        What::File { large, range, head: to_head } => {
            let file = content(u32::from(large), file_size(large));
            match range {
                // A HEAD request has no range.
                _ if to_head => status == 200 && whole(b""),
                Some((from, _)) if from >= file.len() => status == 416,
                Some((from, to)) => {
                    let to = to.min(file.len() - 1);
                    let says = format!("bytes {from}-{to}/{}", file.len());
                    status == 206 && head.one("content-range") == Some(&says) && whole(&file[from..=to])
                }
                None => status == 200 && whole(&file),
            }
        }
        What::Echo(upload) => {
            let text = String::from_utf8_lossy(came);
            let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            status == 200
                && text.contains(&format!("\"{}\"", ask.number))
                && text.contains(&format!("\"body_size\":{}", upload.size))
        }
        What::Behind { how, size, .. } if status == 200 || status == 204 => {
            if head.one("x-id").is_none_or(|id| id != ask.number.to_string()) {
                return wrong("another request's answer");
            }
            if matches!(how, How::Short | How::Chopped) && !to_head {
                return wrong("a truncated answer came to a clean end");
            }
            if how == How::Nothing {
                status == 204 && whole(b"")
            } else {
                status == 200 && whole(&content(ask.number, if to_head { 0 } else { size }))
            }
        }
        What::Behind { .. } | What::Tunnel { .. } | What::Bad(_) => false,
    };
    match status {
        _ if right => Outcome::Right(print_of(ask, head, came)),
        400 | 408 | 502 | 503 | 504 => Outcome::Status(status),
        _ => wrong("not the right answer"),
    }
}

pub(super) fn file_size(large: bool) -> usize {
    if large { 100_000 } else { 3000 }
}

/// What is the same whenever this request is answered: not the time, nor how an unknown length is told.
fn print_of(ask: &Ask, head: &Head, came: &[u8]) -> u64 {
    let mut print = super::wire::mix(u64::from(ask.number));
    let mut add = |bytes: &[u8]| bytes.iter().for_each(|byte| print = super::wire::mix(print ^ u64::from(*byte)));
    add(head.first.as_bytes());
    for (name, value) in &head.fields {
        if name != "date" && name != "last-modified" && name != "etag" && !matches!(ask.what, What::Echo(_)) {
            add(name.as_bytes());
            add(value.as_bytes());
        }
    }
    if !matches!(ask.what, What::Echo(_)) {
        add(&came[..came.len().min(64)]);
        add(&came.len().to_le_bytes());
    }
    print
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::scene::Upload;

    const LOSSY: May = May { lose: true, ..GENTLE };
    const GENTLE: May = May {
        lose: false,
        drains: false,
        lose_jobs: false,
        half_close: false,
        extra: false,
        second_door: false,
        cap: Some(0),
    };

    fn head(first: &str, fields: &[(&str, &str)]) -> Head {
        let by = [("x-forwarded-proto", "http")];
        let fields = fields.iter().chain(&by).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Head { first: first.to_owned(), fields }
    }

    fn ask(number: u32, how: How, upload: Option<Upload>) -> Ask {
        Ask {
            number,
            what: What::Behind { how, size: 5, head: false, upload },
            old: false,
            leaves: None,
            secure: false,
            multi: false,
            breach: None,
        }
    }

    fn posted() -> Ask {
        ask(7, How::Length, Some(Upload { size: 9, chunked: false, expects: false }))
    }

    fn seen(arrivals: &[Head]) -> Vec<String> {
        let mut ledger = Ledger::default();
        ledger.sends(posted());
        for head in arrivals {
            let _ = ledger.arrives(head);
        }
        ledger.violations
    }

    #[test]
    fn what_a_server_behind_must_never_see_is_told() {
        let right = head("POST /p/7/length/5 HTTP/1.1", &[("x-id", "7"), ("content-length", "9")]);
        assert_eq!(seen(std::slice::from_ref(&right)), [""; 0]);
        assert!(seen(&[right.clone(), right])[0].starts_with("a request too often"));
        let smuggled = head("GET /p/8/length/5 HTTP/1.1", &[("x-id", "8")]);
        assert!(seen(&[smuggled])[0].starts_with("a request that nobody sent"));
        let mixed = head("POST /p/7/length/5 HTTP/1.1", &[("x-id", "8"), ("content-length", "9")]);
        assert!(seen(&[mixed])[0].starts_with("another request's fields"));
        let hop = head("POST /p/7/length/5 HTTP/1.1", &[("x-id", "7"), ("x-hop", "1")]);
        assert!(seen(&[hop])[0].starts_with("a field that was for one hop"));
        let two = head(
            "POST /p/7/length/5 HTTP/1.1",
            &[("x-id", "7"), ("content-length", "9"), ("transfer-encoding", "chunked")],
        );
        assert!(seen(&[two])[0].starts_with("two framings"));
    }

    #[test]
    fn a_changed_or_missing_byte_of_a_content_is_told() {
        let whole = content(7, 9);
        let told = |came: &[u8], all| {
            let mut ledger = Ledger::default();
            ledger.brings(&posted(), came, all);
            !ledger.violations.is_empty()
        };
        assert!(!told(&whole, true) && !told(&whole[..4], false));
        let mut changed = whole.clone();
        changed[3] ^= 1;
        assert!(told(&changed, true) && told(&changed, false) && told(&whole[..8], true));
    }

    #[test]
    fn a_strangers_answer_a_cut_one_and_a_second_one_are_told() {
        let fields = |id| [("x-id", id)];
        let good = content(7, 5);
        let is_wrong = |ask: &Ask, head: &Head, came: &[u8]| matches!(weigh(ask, head, came), Outcome::Wrong(_));
        let ok = |id| head("HTTP/1.1 200 OK", &fields(id));
        assert!(matches!(weigh(&ask(7, How::Length, None), &ok("7"), &good), Outcome::Right(_)));
        assert!(is_wrong(&ask(7, How::Length, None), &ok("8"), &good));
        assert!(is_wrong(&ask(7, How::Length, None), &ok("7"), &good[..4]));
        assert!(is_wrong(&ask(7, How::Chopped, None), &ok("7"), &good));
        let to_head = Ask { what: What::Behind { how: How::Length, size: 5, head: true, upload: None }, ..posted() };
        assert_eq!(weigh(&to_head, &ok("0"), b""), Outcome::Stray);
        let tunnel = Ask { what: What::Tunnel { size: 9 }, ..posted() };
        assert_eq!(weigh(&tunnel, &ok("0"), b"evil"), Outcome::Stray);
        assert!(is_wrong(&tunnel, &ok("0"), b"") && is_wrong(&tunnel, &ok("7"), b"evil"));
        assert!(is_wrong(&Ask { what: What::Fixed, ..posted() }, &ok("0"), b"evil"));
        assert_eq!(weigh(&ask(7, How::Length, None), &ok("0"), b"evil"), Outcome::Stray);
        assert!(is_wrong(&ask(7, How::Length, None), &ok("0"), b"") && is_wrong(&to_head, &ok("0"), b"evil"));
        let mut ledger = Ledger::default();
        ledger.sends(posted());
        assert_eq!(ledger.judge(LOSSY).len(), 1, "no answer at all");
        ledger.ends(7, Outcome::Right(0));
        assert_eq!(ledger.judge(GENTLE), [""; 0]);
        ledger.ends(7, Outcome::Right(0));
        assert_eq!(ledger.judge(LOSSY).len(), 1, "two answers");
    }

    #[test]
    fn a_connection_ends_only_when_it_is_used_up_or_cannot_go_on() {
        let fixed = Ask { what: What::Fixed, ..posted() };
        assert!(!GENTLE.end_after(&fixed, 100) && GENTLE.end_after(&Ask { old: true, ..fixed }, 1));
        let three = May { cap: Some(3), ..GENTLE };
        assert!(!three.end_after(&fixed, 2) && three.end_after(&fixed, 3));
    }

    #[test]
    fn in_a_drain_nothing_is_lost_by_http_2_that_was_begun() {
        let drain = May { drains: true, ..GENTLE };
        let by = |multi| Ask { multi, ..posted() };
        let lost = |why: &str| Outcome::Lost(why.to_owned());
        assert!(allowed(&by(true), &lost("ConnectionRefused"), drain) && allowed(&by(true), &lost(NOT_BEGUN), drain));
        assert!(!allowed(&by(true), &lost("ConnectionReset"), drain) && !allowed(&by(true), &lost("reset 2"), drain));
        assert!(allowed(&by(false), &lost("UnexpectedEof"), drain));
    }

    #[test]
    fn a_server_behind_that_waits_for_what_was_given_up_is_told() {
        let waits = |seconds, calm| {
            let mut ledger = Ledger::new(calm);
            ledger.given_up.insert(7, Tick::ZERO);
            ledger.breaks_off(&posted(), Tick::ZERO + Duration::from_secs(seconds));
            !ledger.violations.is_empty()
        };
        assert!(waits(4, true) && !waits(2, true) && !waits(4, false));
    }

    #[test]
    fn losses_are_allowed_only_where_they_may_be() {
        for outcome in [Outcome::Lost(String::new()), Outcome::Status(502)] {
            assert!(allowed(&posted(), &outcome, LOSSY) && !allowed(&posted(), &outcome, GENTLE));
        }
        let fixed = Ask { what: What::Fixed, ..posted() };
        assert!(!allowed(&fixed, &Outcome::Status(502), LOSSY), "no server behind has a part in it");
        let (short, extra) = (ask(7, How::Short, None), May { extra: true, ..GENTLE });
        assert!(allowed(&short, &Outcome::Lost(String::new()), GENTLE) && allowed(&posted(), &Outcome::Stray, extra));
        assert!(!allowed(&posted(), &Outcome::Stray, LOSSY));
        let halved = May { half_close: true, ..LOSSY };
        assert!(allowed(&posted(), &Outcome::Status(400), halved) && !allowed(&fixed, &Outcome::Status(400), halved));
        for outcome in [Outcome::Status(500), Outcome::Status(400), Outcome::Left, Outcome::Wrong(String::new())] {
            assert!(!allowed(&posted(), &outcome, LOSSY), "{outcome:?}");
        }
    }
}
