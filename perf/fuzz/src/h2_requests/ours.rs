//! Our codec with the same user: what does it make of the chunks, whole or in pieces?

use std::collections::BTreeMap;

use anygate_proto::RequestView;
use anygate_proto::h2::hpack::Block;
use anygate_proto::h2::{Connection, ErrorCode, Event, Limits, StreamKey};

use super::facts::contents;
use super::priorities::Priorities;
use super::script::{Answers, DATA, END_HEADERS, HEADERS, Script, Setting, frame};
use super::sight::{Asked, Sight, Watch, in_order};
use crate::naive_hpack::Pair;

/// A stream that its user holds.
struct Held {
    key: StreamKey,
    /// Bytes that came and were not given back.
    taken: usize,
    read: bool,
    answered: bool,
    /// Bytes of the answer that have not left.
    left: usize,
}

/// Our codec and its user.
struct Ours {
    codec: Connection,
    held: Vec<Held>,
    priorities: Priorities,
    setting: Setting,
    over: bool,
    head: Vec<u8>,
}

/// How our server is limited: as the crate's is, and with budgets no input uses up.
fn limits(setting: Setting) -> Limits {
    let much = 1 << 20;
    Limits {
        max_streams: setting.max_streams,
        window: setting.window,
        connection_window: super::CONNECTION_WINDOW,
        max_frame: 16_384,
        table_size: 4096,
        head: anygate_proto::Limits {
            max_uri: super::HEADER_LIST as usize,
            max_header_size: super::HEADER_LIST as usize,
            max_headers: 10_000,
            ..anygate_proto::Limits::default()
        },
        extended_connect: true,
        resets: much,
        pings: much,
        settings: much,
        empty_data: much,
        window_updates: much,
        priorities: much,
        unknown: much,
        continuations: 200,
    }
}

/// What a script comes to, chunk by chunk, until the connection is over; and what was written. `cuts` other than 0 has the
/// chunks come in pieces.
pub(super) fn run(script: &Script, cuts: u32) -> (Vec<Sight>, Vec<u8>) {
    let codec = Connection::new(&limits(script.setting));
    let mut head = Vec::new();
    Block::compile(200, std::iter::empty(), false).expect("a status").write(&[0; 29], &mut head);
    let (held, priorities) = (Vec::new(), Priorities::default());
    let mut ours = Ours { codec, held, priorities, setting: script.setting, over: false, head };
    let mut watch = Watch::new(true);
    let (mut all, mut written) = (Vec::new(), Vec::new());
    let mut state = cuts;
    for chunk in &script.chunks {
        let mut sight = Sight::default();
        let is_fatal = ours.priorities.take(chunk);
        let mut rest = chunk.as_slice();
        while !rest.is_empty() && !ours.over {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let size = if cuts == 0 { rest.len() } else { 1 + (state >> 20) as usize % (2 + cuts as usize % 40) };
            let (piece, after) = rest.split_at(size.min(rest.len()));
            ours.take(piece, &mut sight);
            rest = after;
        }
        assert!(ours.over || !is_fatal, "PRIORITY_UPDATE of no request's stream is taken");
        if !ours.over {
            ours.use_streams();
            ours.send();
        }
        let output = std::mem::take(ours.codec.output());
        watch.read(&output, 16_384, &mut sight);
        assert!(watch.is_whole(), "output that ends within a frame");
        written.extend_from_slice(&output);
        let last = ours.codec.last_stream();
        assert!(
            sight.streams.iter().all(|(id, stream)| stream.asked.is_none() || *id <= last),
            "a stream above {last}"
        );
        assert!(sight.last.0.iter().all(|said| *said == last), "GOAWAY for another stream than {last}");
        sight.finish(ours.over);
        all.push(sight);
        if ours.over {
            break;
        }
    }
    // No more is given back than came.
    let came = contents(script);
    for (id, given) in &watch.given {
        let (id, given) = (*id, *given);
        let extra = if id == 0 { super::CONNECTION_WINDOW - 65_535 } else { 0 };
        let came = came.get(&id).copied().unwrap_or(0) + u64::from(extra);
        assert!(given <= came, "{given} bytes of window given to {id} for {came}");
    }
    if script.setting.consumes && cuts == 0 && !ours.over && script.is_whole() {
        let of = |bytes: &BTreeMap<u32, u64>| bytes.get(&0).copied().unwrap_or(0);
        let owed = of(&came) + u64::from(super::CONNECTION_WINDOW - 65_535) - of(&watch.given);
        ours.owes_nothing(owed, &mut watch);
    }
    (all, written)
}

impl Ours {
    fn take(&mut self, input: &[u8], sight: &mut Sight) {
        let mut at = 0;
        loop {
            let before = at;
            match self.codec.next(input, &mut at) {
                Ok(Some(event)) => self.event(event, input, sight),
                Ok(None) => break,
                Err(_) => {
                    self.over = true;
                    return;
                }
            }
            assert!(at >= before && at <= input.len());
        }
        assert_eq!(at, input.len(), "input that was not used");
    }

    /// All that came was taken, and so many bytes of the connection's window were not given back. That is less than a quarter
    /// of it; and once content comes that makes it a quarter, all of it must be given back.
    fn owes_nothing(mut self, owed: u64, watch: &mut Watch) {
        let quarter = u64::from(super::CONNECTION_WINDOW / 4);
        assert!(owed < quarter, "{owed} bytes of the connection's window are lost");
        let mut input = Vec::new();
        frame(&mut input, HEADERS, END_HEADERS, 0x7fff_ffff, &[0x82, 0x84, 0x86, 0x41, 1, b'a']);
        let content = vec![0; (quarter - owed) as usize];
        content.chunks(16_384).for_each(|part| frame(&mut input, DATA, 0, 0x7fff_ffff, part));
        let mut sight = Sight::default();
        let before = watch.given.get(&0).copied().unwrap_or(0);
        // It may be that no stream can be opened any more.
        self.take(&input, &mut sight);
        if !self.over {
            self.use_streams();
            watch.read(self.codec.output(), 16_384, &mut sight);
            let given = watch.given.get(&0).copied().unwrap_or(0) - before;
            assert!(given == quarter, "{} bytes of the connection's window are lost", quarter - given);
        }
    }

    fn event(&mut self, event: Event, input: &[u8], sight: &mut Sight) {
        let size = if let Answers::WithContent(size) = self.setting.answers { size } else { 0 };
        match event {
            Event::Request { stream: key, end } => {
                let stream = sight.stream(key.id);
                stream.asked = Some(asked(self.codec.request(), self.codec.protocol()));
                stream.ended = end;
                self.priorities.opened(key.id, self.codec.request().fields());
                assert!(self.held.iter().all(|held| held.key.index != key.index), "an index that is in use");
                self.held.push(Held { key, taken: 0, read: end, answered: false, left: size });
            }
            Event::Refused { stream: key, status, end } => {
                sight.stream(key.id).refused = Some(status);
                let mut block = Vec::new();
                Block::compile(status, std::iter::empty(), false).expect("a status").write(&[0; 29], &mut block);
                assert!(self.codec.respond(key, &block, true));
                // What comes of it yet is taken, and nobody's.
                if !end {
                    self.held.push(Held { key, taken: 0, read: false, answered: true, left: 0 });
                }
            }
            Event::Data { stream: key, range, end } => {
                assert!(range.end <= input.len() && (end || !range.is_empty()));
                let stream = sight.stream(key.id);
                stream.content.extend_from_slice(&input[range.clone()]);
                stream.ended = end;
                if let Some(held) = self.find(key) {
                    held.taken += range.len();
                    held.read = end;
                }
            }
            Event::Trailers { stream: key } => {
                let (bytes, fields) = self.codec.trailers();
                let owned = fields.iter().map(|field| (field.name.of(bytes).to_vec(), field.value.of(bytes).to_vec()));
                let stream = sight.stream(key.id);
                stream.trailers = Some(in_order(owned));
                stream.ended = true;
                if let Some(held) = self.find(key) {
                    held.read = true;
                }
            }
            Event::Reset { stream: key, code, by_client: _ } => {
                sight.stream(key.id).told = Some(code.0);
                self.held.retain(|held| held.key != key);
            }
            Event::GoAway { code: _ } => {}
        }
    }

    fn find(&mut self, key: StreamKey) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| held.key == key)
    }

    fn use_streams(&mut self) {
        for held in &mut self.held {
            if self.setting.consumes && held.taken > 0 {
                self.codec.consumed(held.key, std::mem::take(&mut held.taken));
            }
            let due = match self.setting.answers {
                Answers::Never => false,
                Answers::AtTheEnd => held.read,
                Answers::AtOnce | Answers::WithContent(_) | Answers::Reset => true,
            };
            if !due || held.answered {
                continue;
            }
            held.answered = true;
            match self.setting.answers {
                Answers::Reset => {
                    self.codec.reset(held.key, ErrorCode::CANCEL);
                    held.read = true;
                }
                Answers::WithContent(_) => {
                    assert!(self.codec.respond(held.key, &self.head, false));
                    self.codec.wants(held.key);
                }
                _ => assert!(self.codec.respond(held.key, &self.head, true)),
            }
        }
        self.held.retain(|held| !(held.answered && held.read && held.left == 0));
    }

    /// Content of the answers, as far as the windows let it through.
    fn send(&mut self) {
        while let Some((key, most)) = self.codec.turn() {
            if most > 0 {
                let can = |held: &&Held| held.answered && held.left > 0 && self.codec.window_left(held.key) > 0;
                self.priorities.judge(key.id, self.held.iter().filter(can).map(|held| held.key.id));
            }
            let at = self.held.iter().position(|held| held.key == key).expect("a turn of one who wants it");
            let held = &mut self.held[at];
            let size = held.left.min(most);
            held.left -= size;
            let end = held.left == 0;
            if size == 0 && !end {
                assert_eq!(most, 0, "a turn for nothing");
                continue;
            }
            assert!(self.codec.data(key, size, end));
            let length = self.codec.output().len();
            self.codec.output().resize(length + size, b'x');
            if end && held.read {
                self.held.remove(at);
            }
        }
    }
}

fn asked(view: RequestView<'_>, protocol: Option<&[u8]>) -> Asked {
    let fields = view.fields().map(|(name, value)| -> Pair { (name.to_vec(), value.to_vec()) });
    Asked {
        method: view.method().to_vec(),
        authority: view.authority().to_vec(),
        target: view.target().to_vec(),
        protocol: protocol.map(<[u8]>::to_vec),
        fields: in_order(fields),
    }
}
