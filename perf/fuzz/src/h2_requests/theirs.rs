//! The server of the h2 crate, driven by hand: what does it make of the chunks?

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};

use super::script::{Answers, Script, Setting};
use super::sight::{Asked, Sight, Watch, in_order};
use crate::h2_pipe::Pipe;
use crate::naive_hpack::Pair;

/// A stream that its user holds.
struct Held {
    id: u32,
    content: RecvStream,
    /// Bytes that came and were not given back.
    taken: usize,
    read: bool,
    respond: SendResponse<Bytes>,
    sending: Option<SendStream<Bytes>>,
    /// Bytes of the answer that are not given to the crate.
    left: usize,
    told: bool,
}

/// Where the connection is.
enum Stage {
    Greeting(Pin<Box<Handshake<Pipe, Bytes>>>),
    Open(Box<Connection<Pipe, Bytes>>),
    Over,
}

/// The crate's server on a pipe.
struct Theirs {
    pipe: Pipe,
    stage: Stage,
    held: Vec<Held>,
    setting: Setting,
}

/// What a script comes to, chunk by chunk, until the connection is over.
pub(super) fn run(script: &Script) -> Vec<Sight> {
    let pipe = Pipe::new(usize::MAX);
    let setting = script.setting;
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(setting.max_streams)
        .initial_window_size(setting.window)
        .initial_connection_window_size(super::CONNECTION_WINDOW)
        .max_header_list_size(super::HEADER_LIST)
        .enable_connect_protocol()
        .max_concurrent_reset_streams(10_000)
        .max_pending_accept_reset_streams(10_000)
        .max_local_error_reset_streams(None)
        .reset_stream_duration(Duration::from_secs(3600))
        .data_frame_budget(1 << 30);
    let stage = Stage::Greeting(Box::pin(builder.handshake(pipe.clone())));
    let mut theirs = Theirs { pipe, stage, held: Vec::new(), setting };
    let mut watch = Watch::new(false);
    let mut all = Vec::new();
    for chunk in &script.chunks {
        let mut sight = Sight::default();
        theirs.pipe.give(chunk);
        theirs.work(&mut sight);
        watch.read(&theirs.pipe.take(), usize::MAX, &mut sight);
        let over = matches!(theirs.stage, Stage::Over);
        sight.finish(over);
        all.push(sight);
        if over {
            break;
        }
    }
    all
}

impl Theirs {
    fn work(&mut self, sight: &mut Sight) {
        let mut context = Context::from_waker(Waker::noop());
        // What the user does in one round the connection sends in the next one.
        for _ in 0..3 {
            self.advance(&mut context, sight);
            self.use_streams(&mut context, sight);
        }
        self.advance(&mut context, sight);
    }

    fn advance(&mut self, context: &mut Context<'_>, sight: &mut Sight) {
        if let Stage::Greeting(shake) = &mut self.stage {
            self.stage = match shake.as_mut().poll(context) {
                Poll::Pending => return,
                Poll::Ready(Ok(connection)) => Stage::Open(Box::new(connection)),
                Poll::Ready(Err(_)) => Stage::Over,
            };
        }
        while let Stage::Open(connection) = &mut self.stage {
            match connection.poll_accept(context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let held = accepted(request, respond, self.setting, sight);
                    self.held.push(held);
                }
                Poll::Ready(None | Some(Err(_))) => self.stage = Stage::Over,
            }
        }
    }

    fn use_streams(&mut self, context: &mut Context<'_>, sight: &mut Sight) {
        for held in &mut self.held {
            let stream = sight.stream(held.id);
            while let Poll::Ready(Some(Ok(bytes))) = held.content.poll_data(context) {
                held.taken += bytes.len();
                stream.content.extend_from_slice(&bytes);
            }
            if !held.read
                && let Poll::Ready(Ok(trailers)) = held.content.poll_trailers(context)
            {
                held.read = true;
                stream.ended = true;
                stream.trailers = trailers.as_ref().map(trailers_of);
            }
            if self.setting.consumes {
                let _ = held.content.flow_control().release_capacity(std::mem::take(&mut held.taken));
            }
            let code = match &mut held.sending {
                Some(sending) => sending.poll_reset(context),
                None => held.respond.poll_reset(context),
            };
            if let Poll::Ready(Ok(code)) = code
                && !held.told
            {
                held.told = true;
                stream.told = Some(code.into());
            }
            if !held.told {
                held.answer(self.setting.answers);
            }
        }
        // Content may wait for room, and meet a reset; all else that is answered is let go.
        let waits = matches!(self.setting.answers, Answers::WithContent(_));
        self.held.retain(|held| !held.told && (waits || !held.is_done()));
    }
}

fn accepted(request: Request<RecvStream>, respond: SendResponse<Bytes>, setting: Setting, sight: &mut Sight) -> Held {
    let id = respond.stream_id().as_u32();
    let (parts, content) = request.into_parts();
    let protocol = parts.extensions.get::<h2::ext::Protocol>().map(|protocol| protocol.as_str().as_bytes().to_vec());
    sight.stream(id).asked = Some(Asked {
        method: parts.method.as_str().as_bytes().to_vec(),
        // Without `:authority`, `host` is the authority.
        authority: match parts.uri.authority() {
            Some(authority) => authority.as_str().as_bytes().to_vec(),
            None => parts.headers.get("host").map(|host| host.as_bytes().to_vec()).unwrap_or_default(),
        },
        target: parts.uri.path_and_query().map(|path| path.as_str().as_bytes().to_vec()).unwrap_or_default(),
        protocol,
        fields: in_order(pairs(&parts.headers)),
    });
    let left = if let Answers::WithContent(size) = setting.answers { size } else { 0 };
    Held { id, content, taken: 0, read: false, respond, sending: None, left, told: false }
}

/// What of trailers is passed on: all but fields that must not be there, which ours leaves out (RFC 9110 §6.5.1).
fn trailers_of(fields: &HeaderMap) -> Vec<Pair> {
    in_order(pairs(fields).filter(|(name, _)| !is_never_a_trailer(name)))
}

fn pairs(fields: &HeaderMap) -> impl Iterator<Item = Pair> {
    fields.iter().map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec()))
}

impl Held {
    fn answer(&mut self, answers: Answers) {
        let due = match answers {
            Answers::Never => false,
            Answers::AtTheEnd => self.read,
            Answers::AtOnce | Answers::WithContent(_) | Answers::Reset => true,
        };
        if !due || self.sending.is_some() {
            return;
        }
        if answers == Answers::Reset {
            self.respond.send_reset(Reason::CANCEL);
            self.told = true;
            return;
        }
        let content = matches!(answers, Answers::WithContent(_));
        if let Ok(mut sending) = self.respond.send_response(Response::new(()), !content) {
            if content {
                let _ = sending.send_data(Bytes::from(vec![b'x'; self.left]), true);
                self.left = 0;
            }
            self.sending = Some(sending);
        }
    }

    /// Whether the answer is given, and the request was read.
    fn is_done(&self) -> bool {
        self.read && self.sending.is_some()
    }
}

/// Fields that frame, route, authenticate, control or claim: the ones among [`super::script`]'s.
fn is_never_a_trailer(name: &[u8]) -> bool {
    let names: [&[u8]; 26] = [
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"expect",
        b"host",
        b"http2-settings",
        b"range",
        b"set-cookie",
        b"te",
        b"trailer",
        b"via",
        b"age",
        b"expires",
        b"location",
        b"max-forwards",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"retry-after",
        b"vary",
        b"www-authenticate",
        b"forwarded",
    ];
    let others = name.starts_with(b"x-forwarded-") || name.starts_with(b"if-");
    others || names.contains(&name)
}
