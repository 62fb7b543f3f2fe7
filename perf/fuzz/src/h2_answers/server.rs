//! Our codec, with a user that answers as the plan says.

use anygate_proto::h2::hpack::{Block, Indexing};
use anygate_proto::h2::{Connection, ErrorCode, Event, Limits, StreamKey};

use super::plan::{Ask, Field, Plan, Way, content};

/// A stream that is served.
#[derive(Debug)]
struct Serving {
    key: StreamKey,
    /// Which request it is.
    number: usize,
    upload: Vec<u8>,
    trailers: bool,
    /// Bytes that came and were not given back.
    taken: usize,
    read: bool,
    interims: u32,
    responded: bool,
    sent: usize,
    /// Bytes that may be sent in this turn.
    part: usize,
    ended: bool,
}

/// What became of a request.
#[derive(Debug, Default, Clone)]
pub(super) struct Came {
    whole: bool,
    left: bool,
}

/// The server's side.
pub(super) struct Server {
    codec: Connection,
    serving: Vec<Serving>,
    came: Vec<Came>,
    output: Vec<u8>,
    /// Bytes of it that have left.
    left: usize,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "server: {:?}, {:?}, {} bytes wait", self.came, self.serving, self.output.len() - self.left)
    }
}

impl Server {
    pub(super) fn new(plan: &Plan) -> Server {
        let limits = Limits {
            max_streams: plan.max_streams,
            window: plan.window,
            connection_window: 65_535,
            table_size: plan.table,
            head: anygate_proto::Limits {
                max_header_size: 1 << 20,
                max_headers: 1000,
                ..anygate_proto::Limits::default()
            },
            resets: 1000,
            pings: 1000,
            settings: 1000,
            empty_data: 100_000,
            window_updates: 1_000_000,
            continuations: 1000,
            ..Limits::default()
        };
        let came = vec![Came::default(); plan.asks.len()];
        Server { codec: Connection::new(&limits), serving: Vec::new(), came, output: Vec::new(), left: 0 }
    }

    /// What came is read, and answered as far as that goes.
    pub(super) fn turn(&mut self, plan: &Plan, input: &[u8]) {
        for piece in input.chunks(plan.piece) {
            let mut at = 0;
            while let Some(event) = self.codec.next(piece, &mut at).unwrap_or_else(|fatal| panic!("{fatal}: {plan:?}"))
            {
                self.event(event, piece);
            }
            assert_eq!(at, piece.len());
        }
        for at in 0..self.serving.len() {
            self.serve(plan, at);
        }
        self.send(plan);
        self.serving.retain(|serving| {
            if serving.ended && !serving.read {
                // Nobody wants the rest of it (RFC 9113 §8.1).
                self.codec.reset(serving.key, ErrorCode::NO_ERROR);
            }
            !serving.ended
        });
        self.output.append(self.codec.output());
    }

    fn event(&mut self, event: Event, input: &[u8]) {
        match event {
            Event::Request { stream: key, end } => {
                let view = self.codec.request();
                let number = std::str::from_utf8(&view.target()[1..]).ok().and_then(|text| text.parse().ok());
                let number: usize = number.expect("a number for a path");
                let serving = Serving {
                    key,
                    number,
                    upload: Vec::new(),
                    trailers: false,
                    taken: 0,
                    read: end,
                    interims: 0,
                    responded: false,
                    sent: 0,
                    part: 0,
                    ended: false,
                };
                self.serving.push(serving);
            }
            Event::Data { stream, range, end } => {
                let Some(serving) = self.find(stream) else { panic!("content for nobody") };
                serving.taken += range.len();
                serving.upload.extend_from_slice(&input[range]);
                serving.read = end;
            }
            Event::Trailers { stream } => {
                let (bytes, fields) = self.codec.trailers();
                let one = fields.iter().map(|field| (field.name.of(bytes), field.value.of(bytes)));
                assert!(one.eq([(&b"x-sum"[..], &b"1"[..])]), "other trailers");
                let Some(serving) = self.find(stream) else { panic!("trailers for nobody") };
                (serving.trailers, serving.read) = (true, true);
            }
            Event::Reset { stream, code, by_client } => {
                assert!(by_client && code == ErrorCode::CANCEL, "{code:?}");
                let at = self.serving.iter().position(|serving| serving.key == stream).expect("a stream to lose");
                let serving = self.serving.remove(at);
                self.came[serving.number].left = true;
            }
            Event::GoAway { code } => assert_eq!(code, ErrorCode::NO_ERROR),
            Event::Refused { status, .. } => panic!("refused with {status}"),
        }
    }

    fn find(&mut self, key: StreamKey) -> Option<&mut Serving> {
        self.serving.iter_mut().find(|serving| serving.key == key)
    }

    fn serve(&mut self, plan: &Plan, at: usize) {
        let serving = &mut self.serving[at];
        let ask = &plan.asks[serving.number];
        let given = serving.taken.min(ask.takes);
        if given > 0 {
            serving.taken -= given;
            self.codec.consumed(serving.key, given);
        }
        if serving.read && !self.came[serving.number].whole {
            assert!(serving.upload == content(serving.number, 0..ask.upload), "another content: {plan:?}");
            assert_eq!(serving.trailers, ask.upload_trailers);
            self.came[serving.number].whole = true;
        }
        serving.part = ask.part;
        if serving.ended || ask.waits && !serving.read {
            return;
        }
        if serving.interims < ask.interims {
            serving.interims += 1;
            let mut block = Vec::new();
            self.codec.encoder().status(103, &mut block);
            self.codec.encoder().encode(b"link", b"</a>", Indexing::Auto, &mut block);
            assert!(self.codec.inform(serving.key, &block));
            return;
        }
        if !serving.responded {
            serving.responded = true;
            let ended = self.respond(plan, at);
            self.serving[at].ended = ended;
        }
    }

    /// True when that was all.
    fn respond(&mut self, plan: &Plan, at: usize) -> bool {
        let serving = &mut self.serving[at];
        let ask = &plan.asks[serving.number];
        let (key, head) = (serving.key, ask.method == "HEAD");
        let mut block = Vec::new();
        let length = ask.content.to_string();
        let length = ask.says_length.then(|| ("content-length".to_owned(), length.into_bytes()));
        if ask.way == Way::Encoded {
            let encoder = self.codec.encoder();
            encoder.status(ask.status, &mut block);
            encode(encoder, &ask.answer, &mut block);
            if let Some((name, value)) = &length {
                encoder.encode(name.as_bytes(), value, Indexing::Auto, &mut block);
            }
        } else {
            let fields = ask.answer.iter().map(|field| (field.name.as_bytes(), field.value.as_slice()));
            let length = length.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
            Block::compile(ask.status, fields.chain(length), true).expect("sound fields").write(DATE, &mut block);
        }
        if head || ask.content == 0 && ask.trailers.is_empty() && ask.cut.is_none() {
            assert!(self.codec.respond(key, &block, true));
            return true;
        }
        if ask.way == Way::Whole && ask.trailers.is_empty() && ask.cut.is_none() {
            let bytes = content(serving.number + 100, 0..ask.content);
            if self.codec.answer(key, &block, &bytes) {
                return true;
            }
        }
        assert!(self.codec.respond(key, &block, false));
        self.codec.wants(key);
        false
    }

    fn send(&mut self, plan: &Plan) {
        let mut queued = 0;
        while queued < plan.most_queued {
            let Some((key, most)) = self.codec.turn() else { break };
            let serving =
                self.serving.iter_mut().find(|serving| serving.key == key).expect("a turn of one who is served");
            let ask = &plan.asks[serving.number];
            if let Some((code, after)) = ask.cut
                && serving.sent >= after
            {
                self.codec.reset(key, ErrorCode(code));
                serving.ended = true;
                continue;
            }
            let until = ask.cut.map_or(ask.content, |(_, after)| after);
            let left = until - serving.sent;
            let size = left.min(most).min(plan.most_queued - queued).min(serving.part);
            let whole = size == left && ask.cut.is_none();
            if whole && size == 0 && !ask.trailers.is_empty() {
                let mut block = Vec::new();
                encode(self.codec.encoder(), &ask.trailers, &mut block);
                assert!(self.codec.end_with(key, &block));
                serving.ended = true;
                continue;
            }
            let end = whole && ask.trailers.is_empty();
            if size == 0 && !end {
                // Of this part nothing is left; or there is no room, and the codec says when there is.
                if most > 0 {
                    self.codec.rests(key);
                }
                continue;
            }
            assert!(self.codec.data(key, size, end));
            let bytes = content(serving.number + 100, serving.sent..serving.sent + size);
            self.codec.output().extend_from_slice(&bytes);
            serving.sent += size;
            serving.part = serving.part.saturating_sub(size);
            serving.ended = end;
            queued += size + 1;
        }
        // Who rested for lack of a part has one again in the next turn.
        for serving in self.serving.iter().filter(|serving| serving.responded && !serving.ended) {
            self.codec.wants(serving.key);
        }
    }

    /// What leaves now.
    pub(super) fn take(&mut self, most: usize) -> Vec<u8> {
        let until = self.output.len().min(self.left.saturating_add(most));
        let leaves = self.output[self.left..until].to_vec();
        self.left = until;
        if until == self.output.len() {
            self.output.clear();
            self.left = 0;
        }
        leaves
    }

    pub(super) fn is_done(&self) -> bool {
        self.serving.is_empty() && self.output.is_empty()
    }

    /// Everything that was not given up came, and nothing is left.
    pub(super) fn judge(&self, plan: &Plan) {
        for (number, (came, ask)) in self.came.iter().zip(&plan.asks).enumerate() {
            let cut = ask.cut.is_some() || !ask.waits || ask.left_after.is_some();
            assert!(came.whole || came.left || cut, "{number} did not come: {self:?}\n{plan:?}");
        }
        assert!(self.codec.open_streams() == 0 && self.codec.is_at_rest(), "{plan:?}");
    }

    /// Both steps of the way out.
    pub(super) fn leave(&mut self) {
        self.codec.trim();
        self.codec.shut_down();
        self.codec.close(ErrorCode::NO_ERROR);
    }

    pub(super) fn is_drained(&self) -> bool {
        self.codec.is_drained() && self.output.is_empty()
    }
}

/// What stands where the date is.
pub(super) const DATE: &[u8; 29] = b"Sat, 21 Nov 2026 18:00:00 GMT";

fn encode(encoder: &mut anygate_proto::h2::hpack::Encoder, fields: &[Field], block: &mut Vec<u8>) {
    for field in fields {
        let how = [Indexing::Auto, Indexing::Auto, Indexing::No, Indexing::Never][field.how];
        encoder.encode(field.name.as_bytes(), &field.value, how, block);
    }
}

/// What the client must get: status and fields, in order.
pub(super) fn expected(ask: &Ask) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<_> = ask.answer.iter().map(|field| (field.name.clone(), field.value.clone())).collect();
    if ask.says_length {
        fields.push(("content-length".to_owned(), ask.content.to_string().into_bytes()));
    }
    if ask.way != Way::Encoded {
        fields.push(("date".to_owned(), DATE.to_vec()));
    }
    fields
}
