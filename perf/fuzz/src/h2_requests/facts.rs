//! What is known of a chunk, read naively: its frames, its fields, and what came before it.

use std::collections::BTreeMap;

use super::script::{
    ACK, CONTINUATION, DATA, END_HEADERS, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITY, PRIORITY_UPDATE,
    RST_STREAM, SETTINGS, Script, WINDOW_UPDATE, WITH_PRIORITY,
};
use crate::naive_hpack::{Broken, Pair, Reader};

/// A frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// What its header says of its length; the payload may be shorter in the last chunk.
    pub(super) length: usize,
    pub(super) payload: Vec<u8>,
}

/// A field of a block.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) preface_is_wrong: bool,
    /// The first frame of all is not SETTINGS.
    pub(super) settings_are_missing: bool,
    pub(super) frames: Vec<Frame>,
    pub(super) is_of_wrong_size: bool,
    pub(super) depends_on_itself: bool,
    /// A stream depended on itself in HEADERS, now or before.
    pub(super) block_was_skipped: bool,
    /// A block in several frames had a field without a name, now or before.
    pub(super) place_was_lost: bool,
    /// PRIORITY_UPDATE frames, and acknowledgements of SETTINGS, that have come so far.
    pub(super) updates: u32,
    pub(super) acknowledgements: u32,
    /// All values of SETTINGS_NO_RFC7540_PRIORITIES so far.
    pub(super) old_priorities: Vec<u32>,
    /// GOAWAY has come.
    pub(super) went_away: bool,
    /// The header block that ends in this chunk.
    pub(super) block: Option<Result<Vec<Field>, Broken>>,
    pub(super) has_long_integer: bool,
    /// A header block is to go on.
    pub(super) is_unfinished: bool,
    /// Something else came where a header block was to go on.
    pub(super) interrupts: bool,
    /// The header of another frame has begun, which will be over the limit.
    pub(super) begins_large: bool,
    pub(super) is_trailers: bool,
    /// Streams that HEADERS came for before.
    opened: Vec<u32>,
}

impl Facts {
    /// Of one chunk of a script.
    pub(super) fn of(script: &Script, at: usize) -> Facts {
        let mut facts = Facts::default();
        let mut reader = Reader::new(4096);
        let mut held: Option<(u32, Vec<u8>)> = None;
        let mut bytes = script.chunks[..=at].concat();
        let whole = bytes.len();
        let start = whole - script.chunks[at].len();
        if bytes.starts_with(PREFACE) {
            bytes.drain(..PREFACE.len());
        } else {
            facts.preface_is_wrong = true;
            facts.frames.push(Frame::default());
            return facts;
        }
        let mut rest = bytes.as_slice();
        let mut first = true;
        while rest.len() >= 9 {
            let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
            let stream = u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]) & 0x7fff_ffff;
            let payload = &rest[9..rest.len().min(9 + length)];
            let frame = Frame { kind: rest[3], flags: rest[4], stream, length, payload: payload.to_vec() };
            rest = &rest[9 + payload.len()..];
            // What began in an earlier chunk and ends here is of here.
            let here = whole - rest.len() > start;
            if first && (frame.kind != SETTINGS || frame.flags & ACK != 0) {
                facts.settings_are_missing = true;
            }
            first = false;
            facts.went_away |= frame.kind == GOAWAY;
            facts.updates += u32::from(frame.kind == PRIORITY_UPDATE);
            facts.acknowledgements += u32::from(frame.kind == SETTINGS && frame.flags & ACK != 0);
            facts.old_priorities.extend(frame.settings(9));
            let interrupts = held.is_some() && frame.kind != CONTINUATION;
            let ended = take_block(&frame, &mut held);
            facts.block_was_skipped |= frame.kind == HEADERS && frame.depends_on_itself();
            if here {
                facts.interrupts |= interrupts;
                facts.is_of_wrong_size |= frame.is_of_wrong_size();
                facts.depends_on_itself |= frame.depends_on_itself();
            }
            if let Some(block) = ended {
                let fields = reader.decode(&block);
                let nameless = |fields: &Vec<Pair>| fields.iter().any(|(name, _)| name.is_empty());
                facts.place_was_lost |= frame.kind == CONTINUATION && fields.as_ref().is_ok_and(nameless);
                if here {
                    facts.has_long_integer |= fields.is_ok() && crate::naive_hpack::has_long_integer(&block);
                    facts.is_trailers = facts.opened.contains(&frame.stream);
                    let named =
                        |fields: Vec<_>| fields.into_iter().map(|(name, value)| Field { name, value }).collect();
                    // Behind one that is broken nothing is read.
                    if !matches!(facts.block, Some(Err(_))) {
                        facts.block = Some(fields.map(named));
                    }
                } else if !facts.opened.contains(&frame.stream) {
                    facts.opened.push(frame.stream);
                }
            }
            if here {
                facts.frames.push(frame);
            }
        }
        facts.is_unfinished = held.is_some();
        facts.begins_large = rest.len() > 2 && rest[..3] > [0, 0x40, 0][..];
        if facts.frames.is_empty() {
            facts.frames.push(Frame::default());
        }
        facts
    }

    /// The last frame.
    pub(super) fn last(&self) -> &Frame {
        &self.frames[self.frames.len() - 1]
    }

    /// Those of one kind.
    pub(super) fn of_kind(&self, kind: u8) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(move |frame| frame.kind == kind)
    }

    /// Whether a frame of this kind is among them.
    pub(super) fn has(&self, kind: u8) -> bool {
        self.of_kind(kind).next().is_some()
    }

    pub(super) fn any(&self, is: impl Fn(&Field) -> bool) -> bool {
        self.all().iter().any(is)
    }

    fn all(&self) -> &[Field] {
        self.block.as_ref().and_then(|block| block.as_ref().ok()).map_or(&[], Vec::as_slice)
    }

    pub(super) fn fields(&self, name: &[u8]) -> impl Iterator<Item = &Field> {
        self.all().iter().filter(move |field| field.name == name)
    }

    /// The first value of this name.
    pub(super) fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields(name).next().map(|field| field.value.as_slice())
    }

    /// The values SETTINGS give to an identifier.
    pub(super) fn settings(&self, id: u16) -> impl Iterator<Item = u32> {
        self.frames.iter().flat_map(move |frame| frame.settings(id))
    }

    /// Whether a block came for a stream that had one before.
    pub(super) fn opens_again(&self) -> bool {
        let begins = |frame: &Frame| matches!(frame.kind, HEADERS | CONTINUATION);
        self.frames.iter().any(|frame| begins(frame) && self.opened.contains(&frame.stream))
    }

    /// Whether a block began on a stream that no client may open, or not any more.
    pub(super) fn begins_badly(&self) -> bool {
        let bad = |id: u32| id.is_multiple_of(2) || self.is_passed_over(id);
        self.frames.iter().any(|one| one.kind == HEADERS && bad(one.stream))
    }

    /// Streams that were opened before.
    pub(super) fn requests(&self) -> u32 {
        self.opened.len() as u32
    }

    /// Whether a stream was closed by the opening of a later one (§5.1.1).
    pub(super) fn is_passed_over(&self, id: u32) -> bool {
        id % 2 == 1 && !self.opened.contains(&id) && self.opened.iter().any(|before| *before > id)
    }

    /// Whether a client may open this stream now.
    pub(super) fn stream_may_open(&self) -> bool {
        let id = self.last().stream;
        id % 2 == 1 && self.opened.iter().all(|before| *before < id)
    }

    /// Whether a request is malformed by RFC 9113 §8.2 and §8.3 alone, each rule as it is written.
    pub(super) fn is_malformed_request(&self) -> bool {
        let all = self.all();
        let pseudo: [&[u8]; 5] = [b":method", b":scheme", b":path", b":authority", b":protocol"];
        let regular = all.iter().position(|field| !field.name.starts_with(b":")).unwrap_or(all.len());
        all[regular..].iter().any(|field| field.name.starts_with(b":"))
            || all[..regular].iter().any(|field| !pseudo.contains(&&field.name[..]))
            || pseudo.iter().any(|name| self.fields(name).count() > 1)
            || all.iter().any(Field::is_malformed)
            || self.value(b":method").is_none()
            || self.path_is_malformed()
            || self.hosts_differ()
    }

    pub(super) fn path_is_malformed(&self) -> bool {
        let plain = self.value(b":method") == Some(b"CONNECT") && self.value(b":protocol").is_none();
        !plain
            && match self.value(b":path") {
                None => true,
                Some(b"*") => self.value(b":method") != Some(b"OPTIONS"),
                Some(path) => !path.starts_with(b"/"),
            }
    }

    pub(super) fn hosts_differ(&self) -> bool {
        match (self.value(b":authority"), self.value(b"host")) {
            // An empty one is none.
            (Some(authority), Some(host)) => !authority.is_empty() && !authority.eq_ignore_ascii_case(host),
            _ => false,
        }
    }

    /// What no HTTP server can serve, and no HTTP/2 rule forbids.
    pub(super) fn is_bad_for_http(&self) -> bool {
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let method = self.value(b":method").unwrap_or_default();
        let scheme = self.value(b":scheme").unwrap_or(b"http").to_ascii_lowercase();
        let path = self.value(b":path").unwrap_or(b"/");
        let named = self.value(b":authority").filter(|value| !value.is_empty()).or(self.value(b"host"));
        method.is_empty()
            || !method.iter().all(token)
            || scheme != b"http" && scheme != b"https"
            || path.iter().any(|byte| !byte.is_ascii_graphic() || *byte == b'#')
            || self.fields(b"host").count() > 1
            || named.is_none_or(|named| !is_host_and_port(named))
            || method == b"CONNECT" && !named.is_some_and(|named| has_port(named))
    }

    /// What the http crate's URIs do not hold, and we do.
    pub(super) fn is_odd_to_the_crate(&self) -> bool {
        let authority = self.value(b":authority").unwrap_or(b"a");
        authority.is_empty()
            || authority.contains(&b'%')
            || self.value(b":path").is_some_and(|path| path.iter().any(|byte| b"\"<>\\^`{|}".contains(byte)))
    }
}

fn has_port(authority: &[u8]) -> bool {
    let digits = authority.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && authority.len() > digits && authority[authority.len() - digits - 1] == b':'
}

/// A name or an address in brackets, and perhaps a port.
fn is_host_and_port(authority: &[u8]) -> bool {
    let text = String::from_utf8_lossy(authority).into_owned();
    let (host, port) = match text.rfind(':') {
        Some(at) if !text[at..].contains(']') => (&text[..at], &text[at + 1..]),
        _ => (&text[..], ""),
    };
    let port = port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let escapes = |host: &str| {
        host.split('%').skip(1).all(|rest| rest.len() > 1 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
    };
    let name = |host: &str| {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
        !host.is_empty() && host.bytes().all(fine) && escapes(host)
    };
    port && match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok()),
        None => name(host),
    }
}

/// Bytes of DATA payloads that a script sends, of all streams (0) and of each.
pub(super) fn contents(script: &Script) -> BTreeMap<u32, u64> {
    let bytes = script.chunks.concat();
    let mut rest = bytes.strip_prefix(PREFACE).unwrap_or_default();
    let mut sums = BTreeMap::new();
    while rest.len() >= 9 {
        let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        if rest[3] == DATA {
            let stream = u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]) & 0x7fff_ffff;
            *sums.entry(0).or_default() += length as u64;
            *sums.entry(stream).or_default() += length as u64;
        }
        rest = &rest[rest.len().min(9 + length)..];
    }
    sums
}

/// Adds to a header block, and gives it when it is whole.
fn take_block(frame: &Frame, held: &mut Option<(u32, Vec<u8>)>) -> Option<Vec<u8>> {
    match (frame.kind, held.as_mut()) {
        (HEADERS, None) if frame.is_cut() => *held = Some((frame.stream, Vec::new())),
        (CONTINUATION, Some(_)) if frame.is_cut() => {}
        (HEADERS, None) => *held = Some((frame.stream, frame.fragment()?)),
        (CONTINUATION, Some((stream, block))) if *stream == frame.stream => block.extend_from_slice(&frame.payload),
        _ => return None,
    }
    if frame.flags & END_HEADERS == 0 || frame.is_cut() { None } else { held.take().map(|(_, block)| block) }
}

impl Frame {
    /// What a HEADERS frame holds of a block.
    fn fragment(&self) -> Option<Vec<u8>> {
        let mut rest = self.payload.as_slice();
        if self.flags & PADDED != 0 {
            let (padding, after) = rest.split_first()?;
            rest = &after[..after.len().checked_sub(usize::from(*padding))?];
        }
        if self.flags & WITH_PRIORITY != 0 {
            rest = rest.get(5..)?;
        }
        Some(rest.to_vec())
    }

    /// The values SETTINGS give to an identifier.
    fn settings(&self, id: u16) -> impl Iterator<Item = u32> {
        let payload = if self.kind == SETTINGS { self.payload.as_slice() } else { &[] };
        let word = |one: &[u8]| u32::from_be_bytes([one[2], one[3], one[4], one[5]]);
        payload.chunks_exact(6).filter(move |one| u16::from_be_bytes([one[0], one[1]]) == id).map(word)
    }

    /// Whether its size alone is wrong (RFC 9113 §4.2, §6).
    fn is_of_wrong_size(&self) -> bool {
        let padding = usize::from(self.flags & PADDED != 0);
        let least = match self.kind {
            HEADERS => padding + if self.flags & WITH_PRIORITY == 0 { 0 } else { 5 },
            DATA => padding,
            GOAWAY => 8,
            PRIORITY_UPDATE => 4,
            _ => 0,
        };
        let exact = match self.kind {
            PRIORITY => Some(5),
            RST_STREAM | WINDOW_UPDATE => Some(4),
            PING => Some(8),
            SETTINGS if self.flags & ACK != 0 => Some(0),
            _ => None,
        };
        // Padding may leave too little for the priority.
        let padded = usize::from(self.payload.first().copied().unwrap_or(0)) * padding;
        self.length < least
            || self.kind == HEADERS && padding != 0 && self.length < least + padded
            || exact.is_some_and(|exact| self.length != exact)
            || self.kind == SETTINGS && !self.length.is_multiple_of(6)
            || self.length > 16_384
    }

    /// Whether some of its payload has not come.
    pub(super) fn is_cut(&self) -> bool {
        self.payload.len() < self.length
    }

    fn depends_on_itself(&self) -> bool {
        let at = match self.kind {
            PRIORITY => 0,
            HEADERS if self.flags & WITH_PRIORITY != 0 => usize::from(self.flags & PADDED != 0),
            _ => return false,
        };
        let Some(word) = self.payload.get(at..at + 4) else { return false };
        u32::from_be_bytes([word[0], word[1], word[2], word[3]]) & 0x7fff_ffff == self.stream
    }
}

impl Field {
    /// What the crate has no type for: it ends the connection.
    pub(super) fn is_beyond_the_crate(&self) -> bool {
        let token = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte) || byte.is_ascii_alphanumeric();
        let text = || std::str::from_utf8(&self.value).is_err();
        match self.name.as_slice() {
            b":authority" | b":path" | b":scheme" | b":protocol" => text(),
            b":method" => self.value.is_empty() || !self.value.iter().all(token),
            b":status" => {
                !(self.value.len() == 3 && self.value.iter().all(u8::is_ascii_digit) && self.value[0] != b'0')
            }
            [b':', ..] | [] => true,
            name => {
                name.iter().any(|byte| !token(byte) || byte.is_ascii_uppercase())
                    || self.value.iter().any(|byte| *byte < b' ' && *byte != b'\t' || *byte == 0x7f)
            }
        }
    }

    /// RFC 9113 §8.2.1 and §8.2.2.
    fn is_malformed(&self) -> bool {
        self.is_beyond_the_crate()
            || self.is_malformed_to_the_crate() && !self.name.starts_with(b":")
            || self.has_blanks_around()
    }

    /// What the crate calls malformed as soon as it has read it.
    pub(super) fn is_malformed_to_the_crate(&self) -> bool {
        let connection: [&[u8]; 5] =
            [b"connection", b"transfer-encoding", b"upgrade", b"keep-alive", b"proxy-connection"];
        self.name.starts_with(b":")
            || connection.contains(&&self.name[..])
            || self.name == b"te" && self.value != b"trailers"
    }

    pub(super) fn has_blanks_around(&self) -> bool {
        let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        blank(self.value.first()) || blank(self.value.last())
    }
}
