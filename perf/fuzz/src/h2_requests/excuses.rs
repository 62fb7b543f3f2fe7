//! Where may the two servers differ? Each excuse is as narrow as its reason: the RFC leaves a choice, or the crate leaves a
//! rule out, or says of everything that it is a PROTOCOL_ERROR.

use super::facts::{Facts, Field, Frame};
use super::script::{
    ACK, Answers, CONTINUATION, DATA, GOAWAY, HEADERS, PRIORITY, PRIORITY_UPDATE, PUSH_PROMISE, RST_STREAM, SETTINGS,
    Setting, WINDOW_UPDATE,
};
use super::sight::{Sight, Stream};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;
/// Fields of a head that we take at most.
const MOST_FIELDS: usize = anygate_proto::Limits::MOST_HEADERS;

/// What the two servers saw of one chunk, and what is known of it.
pub(super) struct Case<'a> {
    pub(super) facts: &'a Facts,
    pub(super) setting: Setting,
    /// What ours saw of the chunks before, which is what theirs saw.
    pub(super) before: &'a [Sight],
    pub(super) ours: &'a Sight,
    pub(super) theirs: &'a Sight,
}

/// A reason for a difference.
struct Excuse {
    name: &'static str,
    holds: fn(&Case<'_>) -> bool,
}

/// Why a difference is none, by name.
pub(super) fn find(case: &Case<'_>) -> Option<&'static str> {
    EXCUSES.iter().find(|excuse| (excuse.holds)(case)).map(|excuse| excuse.name)
}

/// All there are.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    EXCUSES.iter().map(|excuse| excuse.name)
}

const EXCUSES: &[Excuse] = &[
    // ---- the beginning (RFC 9113 §3.4) ----
    Excuse {
        name: "the crate closes without GOAWAY where the preface is wrong, which may be omitted",
        holds: |case| case.facts.preface_is_wrong && case.ours_ends(PROTOCOL_ERROR) && case.theirs.over,
    },
    Excuse {
        name: "the crate does not ask for SETTINGS as the first frame",
        holds: |case| case.facts.settings_are_missing && case.ours_ends(PROTOCOL_ERROR),
    },
    Excuse {
        name: "the crate waits for a whole frame, where its header says enough or content is passed on",
        holds: |case| {
            case.facts.last().is_cut() && !case.theirs.over && (case.ours.over || case.theirs_stream().is_none())
        },
    },
    Excuse {
        name: "the crate looks at a length before all of the frame's header has come",
        holds: |case| case.facts.begins_large && case.theirs_ends(FRAME_SIZE_ERROR),
    },
    // ---- sizes (§4.2) and the code of what is compressed wrongly (§4.3) ----
    Excuse {
        name: "a wrong size is a PROTOCOL_ERROR to the crate",
        holds: |case| {
            case.facts.is_of_wrong_size && case.ours_ends(FRAME_SIZE_ERROR) && case.theirs_ends(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "the crate does not look at the size of a frame that it does not know, or that follows an end",
        holds: |case| {
            case.facts.is_of_wrong_size && case.facts.has(PRIORITY_UPDATE) && case.ours_ends(FRAME_SIZE_ERROR)
        },
    },
    Excuse {
        name: "PRIORITY of a wrong size is an error of its stream (§6.3); the crate ends the connection",
        holds: |case| {
            let reset = |id| case.ours.streams.get(&id).is_some_and(|stream| stream.reset == Some(FRAME_SIZE_ERROR));
            case.facts.of_kind(PRIORITY).any(|frame| frame.length != 5 && reset(frame.stream))
                && case.theirs_ends(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "a block that cannot be decoded is a PROTOCOL_ERROR to the crate",
        holds: |case| {
            case.facts.block.as_ref().is_some_and(Result::is_err)
                && case.ours_ends(COMPRESSION_ERROR)
                && case.theirs_ends(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "the crate reads each part of a block apart: a table size may come in the middle, a name be lost",
        holds: |case| {
            case.facts.block.as_ref().is_some_and(Result::is_err)
                && case.facts.has(CONTINUATION)
                && case.ours_ends(COMPRESSION_ERROR)
        },
    },
    Excuse {
        name: "the crate reads no integer of more than five octets",
        holds: |case| case.facts.has_long_integer && case.theirs_ends(PROTOCOL_ERROR),
    },
    // ---- fields (§8.2, §8.3) ----
    Excuse {
        name: "a field that the crate cannot hold ends the connection, where it is an error of its stream (§8.1.1)",
        holds: |case| {
            case.facts.any(Field::is_beyond_the_crate) && case.theirs_ends(PROTOCOL_ERROR) && case.ours_rejects()
        },
    },
    Excuse {
        name: "the crate loses its place where a part of a block ends in a field without a name: its table is another from then on",
        holds: |case| case.facts.place_was_lost,
    },
    Excuse {
        name: "a quotation mark is no letter of a name (RFC 9110 §5.6.2); the http crate takes it",
        holds: |case| {
            case.facts.any(|field| field.name.contains(&b'"')) && case.ours_resets(PROTOCOL_ERROR) && case.theirs_asks()
        },
    },
    Excuse {
        name: "after a malformed beginning of a block the crate has forgotten that it goes on",
        holds: |case| {
            case.facts.has(CONTINUATION)
                && case.facts.any(Field::is_malformed_to_the_crate)
                && case.theirs_ends(PROTOCOL_ERROR)
                && case.ours_rejects()
        },
    },
    Excuse {
        name: "the crate forgets what was malformed in a part of a block that ends within a field",
        holds: |case| {
            case.facts.has(CONTINUATION)
                && case.facts.is_malformed_request()
                && case.ours_resets(PROTOCOL_ERROR)
                && case.theirs_asks()
        },
    },
    Excuse {
        name: "the crate has forgotten a malformed block that is to go on, and takes another frame",
        holds: |case| case.facts.interrupts && case.ours_ends(PROTOCOL_ERROR),
    },
    Excuse {
        name: "the crate judges a block before all of it has come",
        holds: |case| {
            case.facts.is_unfinished
                && !case.facts.interrupts
                && case.ours == &Sight::default()
                && (case.theirs_ends(PROTOCOL_ERROR) || case.theirs_resets(PROTOCOL_ERROR))
        },
    },
    Excuse {
        name: "white space around a value is malformed (§8.2.1); the crate lets it pass",
        holds: |case| case.facts.any(Field::has_blanks_around) && case.ours_resets(PROTOCOL_ERROR),
    },
    Excuse {
        name: "`te` is compared without regard to case",
        holds: |case| {
            case.facts.any(|field| field.name == b"te" && field.value.eq_ignore_ascii_case(b"trailers"))
                && !case.facts.any(|field| field.name == b"te" && !field.value.eq_ignore_ascii_case(b"trailers"))
                && (case.theirs_resets(PROTOCOL_ERROR)
                    || case.theirs_ends(PROTOCOL_ERROR)
                    || case.same_but(|asked| {
                        asked.fields.retain(|(name, _)| name != b"te");
                        // `host` may be the authority besides, as below.
                        asked.authority.clear();
                    }))
        },
    },
    Excuse {
        name: "bytes of a tunnel are no content, whatever length is said; the crate compares",
        holds: |case| {
            case.facts.value(b":protocol").is_some()
                && case.facts.fields(b"content-length").count() > 0
                && !case.facts.is_malformed_request()
                && case.ours_asks()
                && case.theirs_resets(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "`:path` begins with a slash, or is `*` for OPTIONS (§8.3.1); the crate takes others, and none",
        holds: |case| case.facts.path_is_malformed() && case.ours_resets(PROTOCOL_ERROR) && case.theirs_asks(),
    },
    Excuse {
        name: "`host` says what `:authority` says (§8.3.1); the crate does not compare",
        holds: |case| case.facts.hosts_differ() && case.ours_resets(PROTOCOL_ERROR) && case.theirs_asks(),
    },
    Excuse {
        name: "CONNECT has an authority and nothing else (§8.5); the crate does not miss it",
        holds: |case| {
            case.facts.value(b":method") == Some(b"CONNECT")
                && case.facts.value(b":protocol").is_none()
                && case.facts.value(b":authority").is_none()
                && case.ours_resets(PROTOCOL_ERROR)
                && case.theirs_asks()
        },
    },
    Excuse {
        name: "several lengths are one too many, the same ones too",
        holds: |case| {
            case.facts.fields(b"content-length").count() > 1 && case.ours_resets(PROTOCOL_ERROR) && case.theirs_asks()
        },
    },
    Excuse {
        name: "to the crate no digits are a length of 0",
        holds: |case| {
            case.facts.value(b"content-length").is_some_and(<[u8]>::is_empty)
                && case.ours_resets(PROTOCOL_ERROR)
                && case.theirs_asks()
        },
    },
    Excuse {
        name: "the crate reads no length of more than 19 digits",
        holds: |case| {
            case.facts.fields(b"content-length").any(|field| field.value.len() > 19)
                && case.theirs_resets(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "what breaks HTTP but not HTTP/2 is answered with 400; the crate takes it or resets",
        holds: |case| {
            case.facts.is_bad_for_http()
                && case.ours_stream().is_some_and(|stream| stream.refused == Some(400))
                && (case.theirs_asks() || case.theirs_resets(PROTOCOL_ERROR))
        },
    },
    Excuse {
        name: "we take so many fields and no more",
        holds: |case| {
            case.facts.block.as_ref().is_some_and(|block| block.as_ref().is_ok_and(|fields| fields.len() > MOST_FIELDS))
                && (case.ours_stream().is_some_and(|stream| stream.refused == Some(431))
                    || case.ours_resets(ENHANCE_YOUR_CALM))
        },
    },
    Excuse {
        name: "a URI's scheme, path or authority that the http crate does not take",
        holds: |case| {
            case.facts.is_odd_to_the_crate()
                && !case.facts.is_malformed_request()
                && case.ours_asks()
                && case.theirs_resets(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "trailers have no pseudo-header fields (§8.1); the crate drops them",
        holds: |case| {
            case.facts.any(|field| field.name.starts_with(b":"))
                && case.facts.is_trailers
                && case.ours_resets(PROTOCOL_ERROR)
        },
    },
    // ---- streams (§5.1) ----
    Excuse {
        name: "what comes on a stream after END_STREAM is STREAM_CLOSED on it; the crate ends the connection",
        holds: |case| {
            matches!(case.kind(), DATA | HEADERS | CONTINUATION)
                && case.had(case.about().stream, |stream| stream.ended)
                && case.ours_resets(STREAM_CLOSED)
                && (case.theirs_ends(PROTOCOL_ERROR) || case.theirs_resets(PROTOCOL_ERROR))
        },
    },
    Excuse {
        name: "HEADERS on a stream that is over is STREAM_CLOSED; to the crate it is an identifier too low",
        holds: |case| {
            case.facts.opens_again()
                && case.facts.frames.iter().any(|frame| case.is_over(frame.stream))
                && case.ours_ends(STREAM_CLOSED)
                && (case.theirs_ends(PROTOCOL_ERROR) || case.theirs_resets(PROTOCOL_ERROR))
        },
    },
    Excuse {
        name: "whose identifier may not be is seen at the first frame of a block, by the crate at its last",
        holds: |case| {
            (!case.facts.stream_may_open() && case.facts.is_unfinished || case.facts.begins_badly())
                && case.ours_ends(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "when room is given back is for each server to say, and so how much of it there is",
        holds: |case| {
            let ours = case.ours_ends(FLOW_CONTROL_ERROR) || case.ours_resets(FLOW_CONTROL_ERROR);
            let theirs = case.theirs_ends(FLOW_CONTROL_ERROR) || case.theirs_resets(FLOW_CONTROL_ERROR);
            case.setting.consumes && case.facts.has(DATA) && ours != theirs
        },
    },
    Excuse {
        name: "what a stream held is given back when it is over; the crate waits for its user",
        holds: |case| {
            let over = |stream: &Stream| stream.answer_ended || stream.reset.is_some() || stream.told.is_some();
            !case.setting.consumes
                && case.facts.has(DATA)
                && case.theirs_ends(FLOW_CONTROL_ERROR)
                && !case.ours_ends(FLOW_CONTROL_ERROR)
                && case.before.iter().any(|sight| sight.streams.values().any(over))
        },
    },
    Excuse {
        name: "a window above 2^31-1 is an error (§6.9.1), also behind the end of the answer, where the crate forgets windows",
        holds: |case| {
            let update = case.kind() == WINDOW_UPDATE && case.ours_resets(FLOW_CONTROL_ERROR);
            let resize = case.facts.settings(4).count() > 0 && case.ours_ends(FLOW_CONTROL_ERROR);
            let answered = |sight: &Sight| sight.streams.values().any(|stream| stream.answer_ended);
            (update && case.theirs.streams.is_empty() || resize)
                && case.setting.answers != Answers::Never
                && case.before.iter().any(answered)
                && !case.theirs.over
        },
    },
    Excuse {
        name: "the crate resets a stream for what its HEADERS say before it looks whether its identifier may be",
        holds: |case| {
            matches!(case.kind(), HEADERS | CONTINUATION)
                && !case.facts.stream_may_open()
                && (case.ours_ends(PROTOCOL_ERROR) || case.ours_ends(STREAM_CLOSED))
                && case.theirs_resets(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "the crate counts a stream against the limit only when its HEADERS are well-formed",
        holds: |case| {
            matches!(case.kind(), HEADERS | CONTINUATION)
                && case.ours_resets(REFUSED_STREAM)
                && case.theirs_resets(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "the crate does not remember every stream that it reset or refused, and complains once more",
        holds: |case| {
            case.had(case.about().stream, |stream| stream.reset.is_some())
                && *case.ours == Sight::default()
                && (case.theirs_resets(STREAM_CLOSED)
                    || case.theirs_resets(PROTOCOL_ERROR)
                    || case.theirs_ends(PROTOCOL_ERROR))
        },
    },
    Excuse {
        name: "the crate does not reset a stream that both sides have ended, one of them wrongly",
        holds: |case| {
            let told = |stream: Option<&Stream>| stream.is_some_and(|stream| stream.told == Some(PROTOCOL_ERROR));
            case.ours_resets(PROTOCOL_ERROR)
                && told(case.ours_stream())
                && told(case.theirs_stream())
                && !case.theirs_resets(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "which stream has the connection's window is for each server to say",
        holds: |case| {
            let sum = |sight: &Sight| sight.streams.values().map(|stream| stream.sent).sum::<usize>();
            let rest = |sight: &Sight| {
                let mut sight = sight.clone();
                for stream in sight.streams.values_mut() {
                    (stream.sent, stream.answer_ended) = (0, false);
                }
                sight.finish(false);
                sight
            };
            sum(case.ours) > 0 && sum(case.ours) == sum(case.theirs) && rest(case.ours) == rest(case.theirs)
        },
    },
    Excuse {
        name: "the crate does not say that a stream was reset for which it holds all of the answer",
        holds: |case| {
            case.kind() == RST_STREAM
                && case.ours_stream().is_some_and(|stream| stream.told.is_some())
                && case.theirs_stream().is_none()
        },
    },
    Excuse {
        name: "PUSH_PROMISE is never for a client to send; the crate reads its block first",
        holds: |case| case.facts.has(PUSH_PROMISE) && case.ours_ends(PROTOCOL_ERROR),
    },
    // ---- priorities (§5.3, RFC 9218) ----
    Excuse {
        name: "the crate does not decode the block of a stream that depends on itself: its table is another from then on",
        holds: |case| case.facts.block_was_skipped,
    },
    Excuse {
        name: "a stream may depend on itself, because nothing depends any more (§5.3.2)",
        holds: |case| case.facts.depends_on_itself && (case.theirs_resets(PROTOCOL_ERROR) || case.theirs.over),
    },
    Excuse {
        name: "the crate knows no PRIORITY_UPDATE",
        holds: |case| {
            let names = |frame: &Frame| frame.payload.get(3).map_or(0, |last| last & 1);
            let wrong = case.facts.of_kind(PRIORITY_UPDATE).any(|frame| frame.stream != 0 || names(frame) == 0);
            // Streams that are open count too.
            let many = case.facts.has(PRIORITY_UPDATE)
                && case.facts.updates + case.facts.requests() > case.setting.max_streams;
            (wrong || many) && case.ours_ends(PROTOCOL_ERROR)
        },
    },
    // ---- the connection's frames ----
    Excuse {
        name: "WINDOW_UPDATE of 0 is an error of its stream (§6.9); the crate ends the connection",
        holds: |case| {
            let zero = |payload: &[u8]| matches!(payload, [0 | 0x80, 0, 0, 0]);
            let ours = |id: u32| {
                let reset = case.ours.streams.get(&id).is_some_and(|stream| stream.reset == Some(PROTOCOL_ERROR));
                reset || *case.ours == Sight::default() && (case.is_over(id) || case.facts.is_passed_over(id))
            };
            let mut updates = case.facts.of_kind(WINDOW_UPDATE);
            updates.any(|frame| frame.stream != 0 && zero(&frame.payload) && ours(frame.stream))
                && case.theirs_ends(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1 is a FLOW_CONTROL_ERROR (§6.5.2), to the crate a PROTOCOL_ERROR",
        holds: |case| {
            case.facts.settings(4).any(|value| value > 0x7fff_ffff)
                && case.ours_ends(FLOW_CONTROL_ERROR)
                && case.theirs_ends(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "SETTINGS_NO_RFC7540_PRIORITIES is 0 or 1 and stays so (RFC 9218 §2.1); the crate does not know it",
        holds: |case| {
            let said = &case.facts.old_priorities;
            let wrong = said.iter().any(|value| *value > 1 || *value != said[0]);
            case.facts.settings(9).count() > 0 && wrong && case.ours_ends(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "an acknowledgement of SETTINGS that were acknowledged is only counted",
        holds: |case| {
            case.facts.of_kind(SETTINGS).any(|frame| frame.flags & ACK != 0)
                && case.facts.acknowledgements > 1
                && *case.ours == Sight::default()
                && case.theirs_ends(PROTOCOL_ERROR)
        },
    },
    Excuse {
        name: "the crate leaves when the client says GOAWAY and no stream is open",
        holds: |case| {
            // What comes behind it at once may be an error, which the crate does not read any more.
            let more = case.facts.has(GOAWAY) && case.facts.frames.len() > 1;
            case.facts.went_away && case.theirs_ends(0) && (more || !case.ours.over)
        },
    },
    Excuse {
        name: "a GOAWAY that grows is nothing to a server that opens no streams",
        holds: |case| case.facts.has(GOAWAY) && *case.ours == Sight::default() && case.theirs_ends(PROTOCOL_ERROR),
    },
];

impl Case<'_> {
    /// The frame that the difference is about: where a chunk has several, the first on a stream that showed something.
    fn about(&self) -> &Frame {
        let shown = |frame: &&Frame| {
            self.ours.streams.contains_key(&frame.stream) || self.theirs.streams.contains_key(&frame.stream)
        };
        self.facts.frames.iter().find(shown).unwrap_or_else(|| self.facts.last())
    }

    fn kind(&self) -> u8 {
        self.about().kind
    }

    /// Whether the stream showed this in a chunk before.
    fn had(&self, id: u32, what: fn(&Stream) -> bool) -> bool {
        self.before.iter().any(|sight| sight.streams.get(&id).is_some_and(what))
    }

    /// Whether the stream was closed before this chunk.
    fn is_over(&self, id: u32) -> bool {
        self.had(id, |stream| stream.reset.is_some() || stream.told.is_some())
            || self.had(id, |stream| stream.ended) && self.had(id, |stream| stream.answer_ended)
    }

    fn ours_ends(&self, code: u32) -> bool {
        self.ours.over && self.ours.go_away.last().is_some_and(|said| *said == code)
    }

    fn theirs_ends(&self, code: u32) -> bool {
        self.theirs.over && self.theirs.go_away.last().is_some_and(|said| *said == code)
    }

    fn ours_stream(&self) -> Option<&Stream> {
        self.ours.streams.get(&self.about().stream)
    }

    fn theirs_stream(&self) -> Option<&Stream> {
        self.theirs.streams.get(&self.about().stream)
    }

    fn ours_resets(&self, code: u32) -> bool {
        !self.ours.over && self.ours_stream().is_some_and(|stream| stream.reset == Some(code))
    }

    fn theirs_resets(&self, code: u32) -> bool {
        !self.theirs.over && self.theirs_stream().is_some_and(|stream| stream.reset == Some(code))
    }

    fn ours_asks(&self) -> bool {
        !self.ours.over && self.ours_stream().is_some_and(|stream| stream.asked.is_some())
    }

    /// Whether ours wants nothing of what came: it says so, or has said so before.
    fn ours_rejects(&self) -> bool {
        let code = |stream: &Stream| matches!(stream.reset, Some(PROTOCOL_ERROR | STREAM_CLOSED | REFUSED_STREAM));
        self.ours.over
            || self.ours_stream().is_some_and(|stream| stream.refused.is_some() || code(stream))
            || *self.ours == Sight::default() && self.had(self.about().stream, |stream| stream.reset.is_some())
    }

    fn theirs_asks(&self) -> bool {
        !self.theirs.over
            && self.theirs_stream().is_some_and(|stream| stream.asked.is_some() || stream.trailers.is_some())
    }

    fn same_but(&self, change: impl Fn(&mut super::sight::Asked)) -> bool {
        let changed = |sight: &Sight| {
            let mut sight = sight.clone();
            sight.streams.values_mut().filter_map(|stream| stream.asked.as_mut()).for_each(&change);
            sight
        };
        changed(self.ours) == changed(self.theirs)
    }
}
