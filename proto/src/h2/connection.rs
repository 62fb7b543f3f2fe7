//! What a connection is, and how it begins, rests and ends.

use super::block::{Unfinished, most_block};
use super::code::ErrorCode;
use super::content::Content;
use super::event::{Event, Fatal, StreamKey};
use super::floods::Budgets;
use super::flow::{ReceiveWindow, SendWindow};
use super::frame::{self, FrameHeader, HEADER_LEN, MOST};
use super::hpack;
use super::limits::Limits;
use super::order::Order;
use super::priority::Priority;
use super::section::Section;
use super::settings::{self, FIRST_WINDOW, Settings};
use super::stream::{Closed, NONE, Store, Stream};
use crate::fields::Fields;
use crate::head::{Request, RequestView};

/// What the next bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// The client's preface, of which so many bytes have come.
    Preface(u8),
    /// A frame header, of which so many bytes are kept.
    Header(u8),
    /// The payload of a frame, of which some bytes are kept.
    Payload(FrameHeader),
    /// The length of padding of a DATA frame.
    PadLength(FrameHeader),
    /// What a DATA frame carries.
    Content(Content),
    /// So many bytes that mean nothing.
    Skip(u32),
    /// Nothing: the connection has ended.
    Ended(Fatal),
}

/// How far a connection is on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leaving {
    /// Not at all.
    No,
    /// The client was asked to open no more streams; those it opens yet are served.
    Asked,
    /// It was told the last stream that is served.
    Told,
}

/// The server's side of a connection: it is given what came and says what it means, is given answers and says what is
/// to leave. Nothing here knows the time; what is over its budget in a second is so because
/// [`refill`](Connection::refill) is called once in a second.
#[derive(Debug)]
pub struct Connection {
    pub(super) limits: Limits,
    pub(super) reading: Reading,
    pub(super) leaving: Leaving,
    /// The first SETTINGS of the client have come.
    pub(super) settled: bool,
    /// Our SETTINGS have been acknowledged.
    pub(super) acknowledged: bool,
    pub(super) header: [u8; HEADER_LEN],
    /// The payload of a frame that has not come whole.
    pub(super) held: Vec<u8>,
    /// The header block that CONTINUATION frames go on with.
    pub(super) unfinished: Option<Unfinished>,
    pub(super) block: Vec<u8>,
    pub(super) section: Section,
    pub(super) theirs: Settings,
    pub(super) decoder: hpack::Decoder,
    pub(super) encoder: hpack::Encoder,
    pub(super) streams: Store,
    pub(super) order: Order,
    /// The stream whose turn it is and that has not used it yet.
    pub(super) offered: u32,
    /// The highest identifier the client has used.
    pub(super) highest: u32,
    /// The highest identifier of a stream that something was done for.
    pub(super) last: u32,
    pub(super) send: SendWindow,
    pub(super) receive: ReceiveWindow,
    /// Priorities of streams that are not open yet.
    pub(super) early: Vec<(u32, Priority)>,
    pub(super) budgets: Budgets,
    pub(super) output: Vec<u8>,
    /// Frames whose header was good.
    pub(super) frames: u64,
    /// Streams refused since somebody asked.
    pub(super) refused: u32,
    /// Malformed requests since somebody asked.
    pub(super) malformed: u32,
}

impl Connection {
    /// A connection at its beginning: the client's preface is to come, and our SETTINGS are in [`output`](Self::output).
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let mut limits = *limits;
        limits.max_frame = limits.max_frame.clamp(settings::MIN_FRAME, settings::MAX_FRAME);
        limits.window = limits.window.min(MOST);
        limits.connection_window = limits.connection_window.clamp(FIRST_WINDOW, MOST);
        // A head as large as is allowed may always come.
        let most_frames = limits.head.max_header_size.saturating_mul(2) / limits.max_frame as usize + 1;
        limits.continuations = limits.continuations.max(u32::try_from(most_frames).unwrap_or(u32::MAX));
        let mut output = Vec::new();
        settings::put_ours(&mut output, &limits);
        Self {
            reading: Reading::Preface(0),
            leaving: Leaving::No,
            settled: false,
            acknowledged: false,
            header: [0; HEADER_LEN],
            held: Vec::new(),
            unfinished: None,
            block: Vec::new(),
            section: Section::new(),
            theirs: Settings::default(),
            decoder: hpack::Decoder::new(limits.table_size).bounded(most_block(&limits).saturating_mul(2)),
            encoder: hpack::Encoder::new(limits.table_size),
            streams: Store::new(limits.max_streams),
            order: Order::new(),
            offered: NONE,
            highest: 0,
            last: 0,
            send: SendWindow::new(FIRST_WINDOW),
            receive: ReceiveWindow::of_connection(limits.connection_window),
            early: Vec::new(),
            budgets: Budgets::new(&limits),
            output,
            frames: 0,
            refused: 0,
            malformed: 0,
            limits,
        }
    }

    /// Works on `input` from `*at`, and moves `*at` behind what it has used. `None`: all of it was used; what was no
    /// whole frame is kept, content is passed on as it comes. Every byte is to be given once.
    ///
    /// # Errors
    ///
    /// The connection is at its end, now and in every later call: GOAWAY is in [`output`](Self::output).
    #[inline]
    pub fn next(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Event>, Fatal> {
        match self.read(input, at) {
            Ok(event) => Ok(event),
            Err(fatal) => Err(self.die(fatal)),
        }
    }

    /// What waits to leave, in order: control frames, heads, and the content that was put there. The user takes all of
    /// it each turn.
    #[inline]
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// The head of the last [`Event::Request`] or [`Event::Refused`], until the next call of [`next`](Self::next).
    ///
    /// Its fields are those of the field section without the pseudo-header fields, cookie crumbs joined; its target is
    /// `:path`, or `:authority` for CONNECT; its body is [`crate::BodyLength::Chunked`] when content follows and its
    /// length is not known.
    #[inline]
    #[must_use]
    pub fn request(&self) -> RequestView<'_> {
        self.section.request()
    }

    /// The same, owned.
    #[must_use]
    pub fn take_request(&mut self) -> (Vec<u8>, Request, Fields) {
        self.section.owned()
    }

    /// What [`Event::Trailers`] is about, until the next call of [`next`](Self::next): bytes, and the fields in them.
    /// Fields that must not be trailers are left out (RFC 9110 §6.5.1).
    #[must_use]
    pub fn trailers(&self) -> (&[u8], &Fields) {
        self.section.trailers()
    }

    /// The `:protocol` of an extended CONNECT (RFC 8441 §4), until the next call of [`next`](Self::next).
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        self.section.protocol()
    }

    /// Asks the client to open no more streams: GOAWAY with the highest identifier there is (RFC 9113 §6.8). Those that
    /// are on their way are served; [`close`](Self::close) follows a round trip later.
    pub fn shut_down(&mut self) {
        if self.leaving == Leaving::No && !self.is_ended() {
            self.leaving = Leaving::Asked;
            frame::put_go_away(&mut self.output, MOST, ErrorCode::NO_ERROR);
        }
    }

    /// Tells the client the last stream that is served, by GOAWAY. Later ones are ignored.
    pub fn close(&mut self, code: ErrorCode) {
        let told = self.leaving == Leaving::Told && code == ErrorCode::NO_ERROR;
        if !told && !self.is_ended() {
            self.leaving = Leaving::Told;
            frame::put_go_away(&mut self.output, self.last, code);
        }
    }

    /// Whether the last stream was named and all are over: what is left is to send [`output`](Self::output).
    #[must_use]
    pub fn is_drained(&self) -> bool {
        (self.leaving == Leaving::Told && self.streams.len() == 0) || self.is_ended()
    }

    /// Whether the connection has ended by an error.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.reading, Reading::Ended(_))
    }

    /// Streams that are open or half-closed.
    #[inline]
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// The highest identifier of a stream that something was done for; 0 when there was none.
    #[must_use]
    pub fn last_stream(&self) -> u32 {
        self.last
    }

    /// Makes all budgets full again: to be called once a second at most, when something came.
    #[inline]
    pub fn refill(&mut self) {
        self.budgets.refill(&self.limits);
    }

    /// Whether there is no stream, and nothing that came in part.
    #[inline]
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.streams.len() == 0 && self.unfinished.is_none() && matches!(self.reading, Reading::Header(0))
    }

    /// Whether the preface, a header block, or a frame has begun and has not come whole. DATA and frames that mean nothing
    /// count while no stream is open, whose own time would run.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        match self.reading {
            Reading::Preface(_) | Reading::Payload(_) => true,
            Reading::Header(kept) => kept > 0 || self.unfinished.is_some(),
            Reading::PadLength(_) | Reading::Content(_) | Reading::Skip(_) => self.streams.len() == 0,
            Reading::Ended(_) => false,
        }
    }

    /// How many frames have begun, CONTINUATION not counted: it tells one partial frame, or head, from the next.
    #[inline]
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Streams refused for being more than [`Limits::max_streams`] since this was asked last.
    pub fn take_refused(&mut self) -> u32 {
        std::mem::take(&mut self.refused)
    }

    /// Malformed requests, of which nobody hears, since this was asked last.
    pub fn take_malformed(&mut self) -> u32 {
        std::mem::take(&mut self.malformed)
    }

    /// Gives back the memory that a connection at rest does not need; what it needs again it takes again.
    pub fn trim(&mut self) {
        if self.held.is_empty() {
            self.held = Vec::new();
        }
        if self.block.is_empty() {
            self.block = Vec::new();
        }
        if self.output.is_empty() {
            self.output = Vec::new();
        }
        self.early.shrink_to_fit();
        self.section.trim();
        self.streams.trim();
        self.decoder.trim();
        self.encoder.trim();
    }

    #[cold]
    fn die(&mut self, fatal: Fatal) -> Fatal {
        if !self.is_ended() {
            frame::put_go_away(&mut self.output, self.last, fatal.code);
            self.reading = Reading::Ended(fatal);
        }
        fatal
    }

    /// Ends a stream, and gives back what it held of the connection's window.
    #[inline]
    pub(super) fn close_stream(&mut self, key: StreamKey, how: Closed) {
        let Some(stream) = self.streams.get(key) else { return };
        let held = stream.held;
        if stream.queued {
            self.order.leave(&mut self.streams, key.index);
        }
        if self.offered == key.index {
            self.offered = NONE;
        }
        self.streams.close(key, how);
        self.budgets.ended();
        if held > 0 {
            self.give_back(held);
        }
    }

    /// Content is no longer held here: the client may send as much again.
    pub(super) fn give_back(&mut self, bytes: u32) {
        if let Some(increment) = self.receive.give_back(bytes) {
            frame::put_window_update(&mut self.output, 0, increment);
        }
    }

    /// A stream as it is when it opens.
    #[inline]
    pub(super) fn fresh(&self, id: u32) -> Stream {
        // Until it acknowledges our SETTINGS a client may take the window for what the protocol starts with.
        let window = if self.acknowledged { self.limits.window } else { self.limits.window.max(FIRST_WINDOW) };
        Stream {
            id,
            remote_ended: false,
            local_ended: false,
            responded: false,
            tunnel: false,
            wants: false,
            queued: false,
            told: false,
            priority: Priority::default(),
            next: NONE,
            previous: NONE,
            send: SendWindow::new(self.theirs.initial_window_size),
            receive: ReceiveWindow::new(window),
            held: 0,
            expected: None,
        }
    }
}
