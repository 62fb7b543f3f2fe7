//! A task for one request: its head goes the way that requests of any protocol go, and the response leaves by its stream.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use anygate_core::limits::SENDFILE_STEP;
use anygate_proto::h2::{Connection, ErrorCode};
use anygate_proto::head::{BodyLength, Fields, Request, TargetForm};
use anygate_route::Scratch;
use anygate_shard::{Bytes, Close, Deadline, Lease};

use super::StreamBody;
use super::fields::{self, Besides};
use super::link::class_for;
use super::stream::{End, Stream, gone, trailers_block};
use super::websocket::{self, Upgrade};
use crate::action::proxy::Begun;
use crate::body::{Body, Chunk, FileRange};
use crate::connection::inform::Informer;
use crate::connection::reader::Pace;
use crate::connection::way::{self, Errand, Way};
use crate::error::{Error, Kind, Phase, Side};
use crate::exchange::Exchange;
use crate::observe::limit::Limit;
use crate::pipeline;
use crate::response::{FieldSource, Outcome, Response};
use crate::server::{Live, Server};
use crate::testing::{self, Spot};
use crate::upstream::Tunnel;
use crate::upstream::tunnel;

/// Bytes of a file read at a time.
const READ_STEP: usize = 64 * 1024;
/// Bytes read at a time while the client lets nothing come.
const READ_LEAST: usize = 4 * 1024;

/// A request's head, owned.
pub(super) struct Asked {
    bytes: Vec<u8>,
    request: Request,
    fields: Fields,
    /// It is a WebSocket's opening handshake (RFC 8441).
    websocket: bool,
    /// It asks for another protocol, which there is none.
    unknown_protocol: bool,
}

impl Asked {
    /// Takes the head that was read last.
    pub(super) fn take(codec: &mut Connection) -> Self {
        let protocol = codec.protocol();
        let websocket = protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
        let unknown_protocol = protocol.is_some() && !websocket;
        let (bytes, request, fields) = codec.take_request();
        Self { bytes, request, fields, websocket, unknown_protocol }
    }

    pub(super) fn is_head(&self) -> bool {
        self.request.is_head
    }
}

/// Spawns the task of a request.
pub(super) fn begin(server: &Rc<Server>, stream: Rc<Stream>, live: Rc<Live>, asked: Asked) {
    let task = Task::new(server, stream, &live);
    server.shard.spawn(task.run(live, asked, None));
}

/// Spawns the task that answers a request by the page of a status, or its head alone.
pub(super) fn refuse(server: &Rc<Server>, stream: Rc<Stream>, live: Rc<Live>, status: u16, is_head: bool) {
    let mut task = Task::new(server, stream, &live);
    server.shard.spawn(async move {
        task.respond(&live, is_head, Response::page(status)).await;
        task.server.retire(live);
    });
}

/// A request's task. However it ends, a panic included, its stream is given back.
pub(super) struct Task {
    pub(super) server: Rc<Server>,
    pub(super) stream: Rc<Stream>,
    deadline: Deadline,
    timeout: Duration,
    rate: Option<u64>,
    /// It was asked for a tunnel to a host (RFC 9113 §8.5).
    is_connect: bool,
    /// What a WebSocket's server answers, if it answers this request.
    accept: Option<[u8; 28]>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.stream.link().done(&self.stream);
        self.stream.lost();
    }
}

impl Task {
    pub(super) fn new(server: &Rc<Server>, stream: Rc<Stream>, live: &Live) -> Self {
        let client = &live.plan.client;
        let (timeout, rate) = (client.write_timeout, client.min_send_rate);
        let deadline = server.shard.deadline_unset();
        Self { server: Rc::clone(server), stream, deadline, timeout, rate, is_connect: false, accept: None }
    }

    /// Serves a request; what of it is on its way to a server already was `begun`.
    pub(super) async fn run(mut self, live: Rc<Live>, asked: Asked, begun: Option<Begun>) {
        testing::reached(&self.server, Spot::Task);
        let is_tunnel = asked.websocket;
        let is_head = asked.request.is_head;
        self.is_connect = asked.request.form == TargetForm::Authority;
        let outcome = match self.exchange(&live, asked, begun) {
            Ok(mut exchange) => pipeline::run(&mut exchange).await,
            Err(answer) => answer,
        };
        testing::reached(&self.server, Spot::Answer);
        match outcome {
            Outcome::Response(response) if is_tunnel && response.status < 300 => {
                // Where a tunnel was asked for, a 2xx would say that it is there (RFC 8441 §5).
                let by_server = matches!(response.fields, FieldSource::Upstream(_));
                let status = if by_server { 502 } else { 501 };
                drop(response);
                self.respond(&live, false, Response::page(status)).await;
            }
            Outcome::Response(response) => self.respond(&live, is_head, *response).await,
            Outcome::Tunnel(tunnel) => self.tunnel(&live, tunnel).await,
            Outcome::Abort(_) => {}
        }
        self.server.retire(live);
    }

    /// The exchange of a request, on the heap: there are many at once, and each is in its task's way until it is over.
    ///
    /// # Errors
    /// The answer, where no rule is asked.
    fn exchange(&mut self, live: &Rc<Live>, asked: Asked, begun: Option<Begun>) -> Result<Box<Exchange>, Outcome> {
        let Asked { bytes, mut request, fields, websocket, unknown_protocol } = asked;
        let link = Rc::clone(self.stream.link());
        let method = request.method.of(&bytes);
        if request.body == BodyLength::None && matches!(method, b"POST" | b"PUT" | b"PATCH") {
            // Where content is expected it is said that there is none (RFC 9110 §8.6).
            request.body = BodyLength::Length(0);
        }
        if unknown_protocol {
            // RFC 9220 §3 says so of HTTP/3; RFC 8441 says nothing.
            return Err(Response::page(501).into());
        }
        let head = if websocket {
            let nonce = [self.server.shard.random(), self.server.shard.random()];
            match websocket::as_upgrade(request.view(&bytes, &fields), nonce) {
                Some(Upgrade { bytes, request, fields, accept }) => {
                    self.accept = Some(accept);
                    request.into_head(Bytes::from(bytes), fields)
                }
                None => return Err(Response::page(400).into()),
            }
        } else {
            request.into_head(Bytes::from(bytes), fields)
        };
        let tls = link.wire.tls();
        let mut matched = Scratch::new();
        let way = match begun {
            Some(_) => Way::of_begun(live, head.view(), &mut matched),
            None => Way::find(&self.server, live, link.listener, tls.as_deref(), head.view(), &mut matched),
        };
        let max_body = way.max_body(live);
        if way::is_too_large(request.body, max_body) {
            self.server.reached(Limit::Body, Some(&link.peer));
            return Err(Response::page(413).into());
        }
        let client = &live.plan.client;
        let pace = Pace { timeout: client.read_timeout, min_rate: client.min_body_rate, max_body };
        let body = if websocket || request.body.is_empty() {
            Body::Empty
        } else {
            let stream = Rc::clone(&self.stream);
            Body::H2(Box::new(StreamBody::new(stream, request.body, pace, request.expect_continue)))
        };
        way.exchange(Errand {
            server: Rc::clone(&self.server),
            live: Rc::clone(live),
            head,
            body,
            matched,
            peer: link.peer.clone(),
            listener: link.listener,
            tls,
            begun,
            informer: Informer::h2(Rc::clone(&self.stream)),
        })
        .map(Box::new)
    }

    /// Sends a response, all of it.
    async fn respond(&mut self, live: &Rc<Live>, is_head: bool, mut response: Response) {
        let status = response.status;
        let has_content = !is_head && status >= 200 && !matches!(status, 204 | 304);
        let length = match response.length.or_else(|| response.body.len_hint()) {
            // To who asked for a tunnel, what follows has no length, whatever it is (RFC 9110 §9.3.6).
            _ if self.is_connect && status < 300 => BodyLength::UntilClose,
            _ if status < 200 || matches!(status, 204 | 304) => BodyLength::None,
            // What a server behind says of its own is passed on.
            _ if !has_content && matches!(response.fields, FieldSource::Upstream(_)) => BodyLength::None,
            length => length.map_or(BodyLength::None, BodyLength::Length),
        };
        if self.write_head(live, &response, status, length, &[]).is_err() {
            return Box::pin(self.respond_plainly(live, is_head)).await;
        }
        let content = match &mut response.body {
            Body::Bytes(bytes) if has_content => Some(std::mem::take(bytes)),
            _ => None,
        };
        self.server.cells.response(status);
        if let Some(content) = content {
            // All of it is here: the head, the content and the end leave together where they may.
            if !self.stream.answer(&content) {
                self.stream.respond(false);
                self.stream.queue(content);
                self.stream.finish();
            }
        } else if !has_content || response.body.is_empty() {
            self.stream.respond(true);
        } else {
            self.stream.respond(false);
            if let Err(error) = self.send_body(&mut response.body).await {
                // What came goes before the cut: a client that sees nothing of an answer may take it for one never begun.
                if error.side == Side::Upstream {
                    let _ = self.sent().await;
                }
                return self.cut(error);
            }
        }
        // A server that answers early may still want the rest of the request.
        if let Body::Upstream(content) = &mut response.body
            && let Err(error) = poll_fn(|cx| content.poll_request_sent(cx)).await
        {
            self.count(error);
        }
        self.end().await;
    }

    /// Waits until all that was said has left.
    pub(super) async fn end(&mut self) {
        if let Err(error) = self.sent().await {
            self.cut(error);
        }
    }

    /// The answer where a field of the real one would have split it.
    #[cold]
    async fn respond_plainly(&mut self, live: &Rc<Live>, is_head: bool) {
        self.respond(live, is_head, Response::page(502)).await;
    }

    /// Encodes a head, to be sent at once.
    fn write_head(
        &self,
        live: &Live,
        response: &Response,
        status: u16,
        length: BodyLength,
        without: &[&str],
    ) -> Result<(), Error> {
        let link = self.stream.link();
        let besides = Besides {
            status,
            length,
            date: &self.server.date(),
            server: &live.plan.client.name,
            id: &self.server.id,
            hsts: live.plan.client.hsts(&link.wire),
            without,
        };
        let priority = link.encode(|encoder, block| fields::write(response, &besides, encoder, block))?;
        link.prefer(self.stream.key(), &priority);
        Ok(())
    }

    async fn send_body(&mut self, body: &mut Body) -> Result<(), Error> {
        loop {
            match poll_fn(|cx| self.poll_chunk(body, cx)).await? {
                Chunk::Bytes(bytes) => self.stream.queue(bytes),
                Chunk::File(range) => self.send_file(range).await?,
                Chunk::Trailers(trailers) => {
                    self.stream.finish_with(End::Trailers(trailers_block(&trailers)));
                    return Ok(());
                }
                Chunk::End => {
                    self.stream.finish();
                    return Ok(());
                }
            }
            self.room().await?;
        }
    }

    /// The next piece of a response, unless nobody is there to take it.
    fn poll_chunk(&self, body: &mut Body, cx: &mut Context<'_>) -> Poll<Result<Chunk, Error>> {
        match body.poll_chunk(cx) {
            Poll::Pending => self.stream.poll_gone(cx).map(|()| Err(gone())),
            ready => ready,
        }
    }

    /// Sends a file's range through memory: its bytes go into frames.
    async fn send_file(&mut self, mut range: FileRange) -> Result<(), Error> {
        let mut warm = 0;
        while range.len > 0 {
            if warm == 0 {
                warm = range.len.min(SENDFILE_STEP as u64);
                if !range.file.is_in_memory(range.offset, warm).unwrap_or(true) {
                    let (file, offset) = (range.file.clone(), range.offset);
                    // Whatever goes wrong here, reading meets it again.
                    let _ = self.server.shard.blocking(move || file.load(offset, warm)).await;
                }
            }
            // What the client lets come now: many shut windows must not hold the large buffers that others wait for.
            let wanted = self.stream.window_left().clamp(READ_LEAST, READ_STEP);
            let class = class_for(wanted);
            let mut lease = self.server.shard.try_lease(class).unwrap_or_else(|| Lease::with_capacity(wanted));
            let step = usize::try_from(warm).unwrap_or(READ_STEP).min(lease.spare()).min(wanted);
            let read = lease.write_with(|room| range.file.read_at(&mut room[..step], range.offset).unwrap_or(0));
            if read == 0 {
                // The file became shorter than announced: only a cut tells the client.
                return Err(Error::new(Kind::Internal, Side::Internal, Phase::InBody));
            }
            range.offset += read as u64;
            range.len -= (read as u64).min(range.len);
            warm -= (read as u64).min(warm);
            self.stream.queue(lease.freeze());
            self.room().await?;
        }
        Ok(())
    }

    /// Waits until all content that is queued has had its turn, and the end where it was said. A client that lets nothing come
    /// is given up; what waits behind other answers of its connection has time, for the connection's own is limited.
    async fn sent(&mut self) -> Result<(), Error> {
        self.wait(|stream, cx| stream.poll_sent(0, cx)).await
    }

    /// Waits until more content is of use.
    async fn room(&mut self) -> Result<(), Error> {
        self.wait(Stream::poll_room).await
    }

    async fn wait(
        &mut self,
        ready: impl Fn(&Stream, &mut Context<'_>) -> Poll<Result<(), Error>>,
    ) -> Result<(), Error> {
        let mut since = None;
        poll_fn(|cx| {
            if let Poll::Ready(done) = ready(&self.stream, cx) {
                self.deadline.clear();
                return Poll::Ready(done);
            }
            self.stream.keep_pace(self.rate)?;
            let now = self.stream.progress();
            let then = *since.get_or_insert_with(|| {
                self.deadline.reset(self.timeout);
                now
            });
            if now.0 != then.0 {
                since = Some(now);
                self.deadline.reset(self.timeout);
            }
            while self.deadline.poll_expired(cx).is_ready() {
                if self.stream.is_shut_since(then) {
                    return Poll::Ready(Err(Error::new(Kind::NotTaken, Side::Downstream, Phase::InBody)));
                }
                since = Some(now);
                self.deadline.reset(self.timeout);
            }
            Poll::Pending
        })
        .await
    }

    /// Cuts the answer: nothing else tells the client that it is not whole.
    fn cut(&self, error: Error) {
        self.count(error);
        let code = match error.kind {
            Kind::NotTaken | Kind::TakenTooSlowly => ErrorCode::CANCEL,
            _ => ErrorCode::INTERNAL_ERROR,
        };
        self.stream.reset(code);
    }

    fn count(&self, error: Error) {
        if let Some(limit) = error.limit() {
            return self.server.reached(limit, Some(&self.stream.link().peer));
        }
        let cells = &self.server.cells;
        match (error.kind, error.side) {
            (Kind::Gone, _) => cells.clients_gone.add(1),
            (Kind::Timeout, _) => cells.timeouts_upstream.add(1),
            (_, Side::Upstream) => cells.upstream_failures.add(1),
            _ => {}
        }
    }

    /// Opens a tunnel: 200 where HTTP/1.1 says 101 (RFC 8441 §5), then bytes both ways.
    async fn tunnel(&mut self, live: &Rc<Live>, tunnel: Box<Tunnel>) {
        if !websocket::fits(&tunnel.response, self.accept.as_ref().map(|accept| &accept[..])) {
            self.server.cells.upstream_failures.add(1);
            drop(tunnel);
            return self.respond(live, false, Response::page(502)).await;
        }
        let written = self.write_head(live, &tunnel.response, 200, BodyLength::UntilClose, &websocket::OF_UPGRADES);
        if written.is_err() {
            return self.respond_plainly(live, false).await;
        }
        self.server.cells.response(200);
        self.stream.respond(false);
        self.server.cells.tunnels.add(1);
        let end = tunnel::End::H2(Rc::clone(&self.stream));
        if tunnel::run(&self.server, &end, tunnel).await == Close::Abort {
            self.stream.reset(ErrorCode::CANCEL);
        } else if !self.stream.is_ended() {
            self.stream.finish();
            let _ = self.sent().await;
        }
    }
}
