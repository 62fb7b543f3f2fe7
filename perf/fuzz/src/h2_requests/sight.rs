//! What was seen of a server while it took one chunk: of its user, and on the wire.

use std::collections::BTreeMap;

use super::script::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::naive_hpack::Pair;
use crate::shown;

/// A request, as its user sees it.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Asked {
    pub(crate) method: Vec<u8>,
    pub(crate) authority: Vec<u8>,
    /// Path and query.
    pub(crate) target: Vec<u8>,
    pub(crate) protocol: Option<Vec<u8>>,
    /// In the order of their names; those of one name in the order in which they came, cookies as one.
    pub(crate) fields: Vec<Pair>,
}

/// What a stream showed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Stream {
    pub(crate) asked: Option<Asked>,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: Option<Vec<Pair>>,
    /// The request is whole.
    pub(crate) ended: bool,
    /// The user was told of a reset, with this code.
    pub(crate) told: Option<u32>,
    // ---- on the wire ----
    /// Answered with a status of its own, without the user.
    pub(crate) refused: Option<u16>,
    pub(crate) reset: Option<u32>,
    pub(crate) heads: u32,
    pub(crate) sent: usize,
    pub(crate) answer_ended: bool,
}

/// Equal to any other.
#[derive(Clone, Debug, Eq, Default)]
pub(crate) struct Last(pub(crate) Vec<u32>);

impl PartialEq for Last {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What one chunk came to.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Sight {
    pub(crate) streams: BTreeMap<u32, Stream>,
    /// The code of each GOAWAY. Which stream is the last, of those that were reset at once, is for each server to say.
    pub(crate) go_away: Vec<u32>,
    /// The last stream of each, which is not compared.
    pub(crate) last: Last,
    pub(crate) settings_acks: u32,
    pub(crate) pongs: Vec<[u8; 8]>,
    /// The connection is over.
    pub(crate) over: bool,
}

impl Sight {
    pub(crate) fn stream(&mut self, id: u32) -> &mut Stream {
        self.streams.entry(id).or_default()
    }

    /// Leaves out what says nothing: streams that nothing happened to, and that those of a connection that is over are too.
    pub(crate) fn finish(&mut self, over: bool) {
        self.over = over;
        if over {
            self.streams.values_mut().for_each(|stream| stream.told = None);
        }
        self.streams.retain(|_, stream| *stream != Stream::default());
    }
}

impl Sight {
    /// What happened, in words without numbers.
    pub(crate) fn brief(&self) -> String {
        let code = |code: u32| format!("{:?}", h2::Reason::from(code));
        let mut words = Vec::new();
        for stream in self.streams.values() {
            let Stream { asked, content, trailers, ended, told, refused, reset, heads, sent, answer_ended } = stream;
            let facts = [
                (asked.is_some(), "asked"),
                (!content.is_empty(), "content"),
                (trailers.is_some(), "trailers"),
                (*ended, "whole"),
                (refused.is_some(), "refused"),
                (*heads > 0 || *sent > 0, "answered"),
                (*answer_ended, "to the end"),
            ];
            words.extend(facts.iter().filter(|(holds, _)| *holds).map(|(_, word)| (*word).to_owned()));
            words.extend(told.map(|told| format!("told {}", code(told))));
            words.extend(reset.map(|reset| format!("reset {}", code(reset))));
        }
        words.extend(self.go_away.iter().map(|said| format!("GOAWAY {}", code(*said))));
        words.extend(self.over.then(|| "over".to_owned()));
        format!("[{}]", words.join(", "))
    }
}

/// Fields as they are compared.
pub(crate) fn in_order(fields: impl Iterator<Item = Pair>) -> Vec<Pair> {
    let mut all: Vec<Pair> = Vec::new();
    for (name, value) in fields {
        match all.iter_mut().find(|(known, _)| name == b"cookie" && *known == name) {
            Some((_, crumbs)) => {
                // An empty first one leaves no mark.
                if !crumbs.is_empty() {
                    crumbs.extend_from_slice(b"; ");
                }
                crumbs.extend_from_slice(&value);
            }
            None => all.push((name, value)),
        }
    }
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let protocol = self.protocol.as_deref().map(shown);
        write!(f, "{} {} at {} {protocol:?}", shown(&self.method), shown(&self.target), shown(&self.authority))?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, ", {}: {}", shown(name), shown(value)))
    }
}

/// Reads what a server writes, frame by frame, and knows what it must never write.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    held: Vec<u8>,
    /// The stream whose head is not at its end.
    open_head: Option<u32>,
    ended: BTreeMap<u32, &'static str>,
    first: bool,
    /// Whether streams may only be reset that a client may open: the crate resets any.
    strict: bool,
    /// Bytes of windows given back, and those of the connection.
    pub(crate) given: BTreeMap<u32, u64>,
}

impl Watch {
    pub(crate) fn new(strict: bool) -> Self {
        Self { first: true, strict, ..Self::default() }
    }

    /// Reads on; `most` is the largest payload the client takes.
    pub(crate) fn read(&mut self, bytes: &[u8], most: usize, sight: &mut Sight) {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        while let Some((head, after)) = rest.split_at_checked(9) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let Some((payload, after)) = after.split_at_checked(length) else { break };
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            assert!(length <= most, "a frame of {length} bytes");
            self.frame(head[3], head[4], stream, payload, sight);
            rest = after;
        }
        self.held = rest.to_vec();
    }

    /// Whether the last frame is whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.held.is_empty() && self.open_head.is_none()
    }

    fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8], sight: &mut Sight) {
        assert!(!std::mem::take(&mut self.first) || kind == SETTINGS && flags == 0, "first comes frame {kind}");
        assert!(self.open_head.is_none_or(|open| kind == CONTINUATION && open == id), "frame {kind} within a head");
        if matches!(kind, DATA | HEADERS | RST_STREAM) && self.strict {
            assert!(id & 1 == 1 && id < 1 << 31, "frame {kind} on stream {id}");
            let ended = self.ended.get(&id).copied();
            let fine = ended.is_none() || kind == RST_STREAM && ended == Some("END_STREAM");
            assert!(fine, "frame {kind} on stream {id} after {ended:?}");
        }
        let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes"));
        match kind {
            DATA | HEADERS => {
                let stream = sight.stream(id);
                if kind == DATA {
                    assert!(flags & !END_STREAM == 0);
                    stream.sent += payload.len();
                } else {
                    assert!(flags & !(END_STREAM | END_HEADERS) == 0);
                    stream.heads += 1;
                    self.open_head = (flags & END_HEADERS == 0).then_some(id);
                }
                if flags & END_STREAM != 0 {
                    stream.answer_ended = true;
                    self.ended.insert(id, "END_STREAM");
                }
            }
            CONTINUATION => {
                assert!(self.open_head == Some(id));
                self.open_head = (flags & END_HEADERS == 0).then_some(id);
            }
            RST_STREAM => {
                assert_eq!(payload.len(), 4);
                sight.stream(id).reset = Some(word(0));
                self.ended.insert(id, "RST_STREAM");
            }
            SETTINGS if flags & ACK != 0 => {
                assert!(payload.is_empty() && id == 0);
                sight.settings_acks += 1;
            }
            SETTINGS => assert!(payload.len().is_multiple_of(6) && id == 0),
            PING => {
                assert!(flags == ACK && id == 0, "a ping nobody needs");
                sight.pongs.push(payload.try_into().expect("eight bytes"));
            }
            GOAWAY => {
                assert!(payload.len() >= 8 && id == 0);
                sight.go_away.push(word(4));
                sight.last.0.push(word(0));
            }
            WINDOW_UPDATE => {
                assert!(payload.len() == 4 && word(0) > 0 && word(0) < 1 << 31);
                *self.given.entry(id).or_default() += u64::from(word(0));
            }
            _ => panic!("frame {kind} from a server"),
        }
    }
}
