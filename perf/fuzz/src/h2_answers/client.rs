//! The client of the h2 crate, driven by hand, and what it must see.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};

use super::plan::{Field, Plan, content};
use super::server::expected;
use crate::h2_pipe::Pipe;

type Shake = Pin<Box<dyn Future<Output = Result<(SendRequest<Bytes>, Connection<Pipe, Bytes>), h2::Error>>>>;

/// One request on its way.
struct Asking {
    number: usize,
    turns: u32,
    response: Option<ResponseFuture>,
    uploading: Option<SendStream<Bytes>>,
    /// What of the content is to be sent yet.
    upload: Bytes,
    body: Option<RecvStream>,
    /// Bytes that came and were not given back.
    taken: usize,
}

/// What came of a request.
#[derive(Debug, Default)]
struct Got {
    informed: u32,
    status: Option<u16>,
    fields: Vec<(String, Vec<u8>)>,
    content: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
    ended: bool,
    error: Option<Option<Reason>>,
    left: bool,
}

/// The client's side.
pub(super) struct Client {
    shake: Option<Shake>,
    connection: Option<Connection<Pipe, Bytes>>,
    send: Option<SendRequest<Bytes>>,
    asking: Vec<Asking>,
    next: usize,
    got: Vec<Got>,
    gone: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "client: {} asked, gone {}", self.next, self.gone)?;
        self.asking.iter().try_for_each(|one| {
            let got = &self.got[one.number];
            write!(
                f,
                "\n  {}: {:?} and {} bytes, to send {}",
                one.number,
                got.status,
                got.content.len(),
                one.upload.len()
            )
        })
    }
}

impl Client {
    pub(super) fn new(plan: &Plan, pipe: Pipe) -> Client {
        let mut builder = Builder::new();
        builder
            .initial_window_size(plan.client_window)
            .initial_connection_window_size(plan.client_connection_window)
            .max_frame_size(plan.client_frame)
            .header_table_size(plan.client_table)
            .max_header_list_size(1 << 20)
            .initial_max_send_streams(plan.max_streams as usize)
            .enable_push(false);
        let got = plan.asks.iter().map(|_| Got::default()).collect();
        let shake: Shake = Box::pin(async move { builder.handshake(pipe).await });
        Client { shake: Some(shake), connection: None, send: None, asking: Vec::new(), next: 0, got, gone: false }
    }

    pub(super) fn is_done(&self) -> bool {
        self.next == self.got.len() && self.asking.is_empty() && self.connection.is_some()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    pub(super) fn turn(&mut self, plan: &Plan) {
        let mut context = Context::from_waker(Waker::noop());
        if let Some(shake) = &mut self.shake
            && let Poll::Ready(shaken) = shake.as_mut().poll(&mut context)
        {
            let (send, connection) = shaken.unwrap_or_else(|error| panic!("{error}: {plan:?}"));
            (self.send, self.connection, self.shake) = (Some(send), Some(connection), None);
        }
        self.drive(&mut context, plan);
        self.ask(&mut context, plan);
        for at in (0..self.asking.len()).rev() {
            let got = &mut self.got[self.asking[at].number];
            self.asking[at].go_on(&mut context, plan, got);
            if got.left || got.error.is_some() || got.ended && self.asking[at].uploading.is_none() {
                self.asking.swap_remove(at);
            }
        }
        self.drive(&mut context, plan);
    }

    fn drive(&mut self, context: &mut Context<'_>, plan: &Plan) {
        if self.gone {
            return;
        }
        if let Some(connection) = &mut self.connection
            && let Poll::Ready(end) = Pin::new(connection).poll(context)
        {
            assert!(end.is_ok() && self.is_done(), "{end:?}: {plan:?}");
            self.gone = true;
        }
    }

    fn ask(&mut self, context: &mut Context<'_>, plan: &Plan) {
        while let Some(send) = self.send.as_mut().filter(|_| !self.gone) {
            // This also lets go of the last request, which would be held on to otherwise.
            match send.poll_ready(context) {
                Poll::Pending => return,
                Poll::Ready(ready) => ready.unwrap_or_else(|error| panic!("{error}: {plan:?}")),
            }
            let Some(ask) = plan.asks.get(self.next) else { return };
            let mut request = Request::builder().method(ask.method).uri(format!("http://a/{}", self.next));
            for Field { name, value, .. } in &ask.fields {
                request = request.header(name, value.as_slice());
            }
            let end = ask.upload == 0 && !ask.upload_trailers;
            let request = request.body(()).expect("a request");
            let (response, uploading) = send.send_request(request, end).unwrap_or_else(|error| panic!("{error}"));
            self.asking.push(Asking {
                number: self.next,
                turns: 0,
                response: Some(response),
                uploading: (!end).then_some(uploading),
                upload: content(self.next, 0..ask.upload).into(),
                body: None,
                taken: 0,
            });
            self.next += 1;
        }
    }

    /// Every answer is the one that was given, or was cut by who said so.
    pub(super) fn judge(&self, plan: &Plan) {
        for (number, (got, ask)) in self.got.iter().zip(&plan.asks).enumerate() {
            let wrong = |what: &str| -> ! { panic!("{what} of {number}: {got:?}\n{plan:?}") };
            if got.left {
                continue;
            }
            let all = content(number + 100, 0..if ask.method == "HEAD" { 0 } else { ask.content });
            if let Some(error) = got.error {
                let cut = ask.cut.filter(|_| ask.method != "HEAD").map(|(code, _)| Some(Reason::from(code)));
                if Some(error) != cut || !all.starts_with(&got.content) {
                    wrong("an error");
                }
                continue;
            }
            if ask.cut.is_some() && ask.method != "HEAD" {
                wrong("no end");
            }
            if got.status != Some(ask.status) || !same(&got.fields, &expected(ask)) {
                wrong("another head");
            }
            if got.content != all {
                wrong("another content");
            }
            let none = ask.method == "HEAD";
            let trailers = ask.trailers.iter().filter(|_| !none).map(|field| (field.name.clone(), field.value.clone()));
            if !same(&got.trailers, &trailers.collect::<Vec<_>>()) {
                wrong("other trailers");
            }
            if got.informed > ask.interims {
                wrong("interim answers nobody gave");
            }
        }
    }
}

/// The same fields, those of one name in their order.
fn same(one: &[(String, Vec<u8>)], other: &[(String, Vec<u8>)]) -> bool {
    let sorted = |fields: &[(String, Vec<u8>)]| {
        let mut fields = fields.to_vec();
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        fields
    };
    sorted(one) == sorted(other)
}

fn owned(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

impl Asking {
    fn go_on(&mut self, context: &mut Context<'_>, plan: &Plan, got: &mut Got) {
        let ask = &plan.asks[self.number];
        self.turns += 1;
        if self.uploading.is_some() {
            self.upload(context, ask.upload_trailers);
        }
        if let Some(response) = &mut self.response {
            while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(context) {
                assert_eq!(interim.status(), 103);
                got.informed += 1;
            }
            match Pin::new(response).poll(context) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => got.error = Some(error.reason()),
                Poll::Ready(Ok(response)) => {
                    got.status = Some(response.status().as_u16());
                    got.fields = owned(response.headers());
                    self.body = Some(response.into_body());
                    self.response = None;
                }
            }
        }
        if let Some(body) = &mut self.body {
            while !got.ended && got.error.is_none() {
                match body.poll_data(context) {
                    Poll::Pending => break,
                    Poll::Ready(Some(Ok(bytes))) => {
                        self.taken += bytes.len();
                        got.content.extend_from_slice(&bytes);
                    }
                    Poll::Ready(Some(Err(error))) => got.error = Some(error.reason()),
                    Poll::Ready(None) => match body.poll_trailers(context) {
                        Poll::Pending => break,
                        Poll::Ready(Ok(trailers)) => {
                            got.trailers = trailers.as_ref().map(owned).unwrap_or_default();
                            got.ended = true;
                        }
                        Poll::Ready(Err(error)) => got.error = Some(error.reason()),
                    },
                }
            }
            let given = self.taken.min(ask.reads);
            self.taken -= given;
            let _ = body.flow_control().release_capacity(given);
        }
        if ask.left_after.is_some_and(|turns| self.turns > turns) && !got.ended {
            got.left = true;
        }
    }

    fn upload(&mut self, context: &mut Context<'_>, trailers: bool) {
        let Some(stream) = &mut self.uploading else { return };
        // Who answers before it has read everything wants no more.
        if let Poll::Ready(_) = stream.poll_reset(context) {
            self.uploading = None;
            return;
        }
        while !self.upload.is_empty() {
            stream.reserve_capacity(self.upload.len());
            match stream.poll_capacity(context) {
                Poll::Ready(Some(Ok(size))) if size > 0 => {
                    let part = self.upload.split_to(size.min(self.upload.len()));
                    let end = self.upload.is_empty() && !trailers;
                    if stream.send_data(part, end).is_err() || end {
                        self.uploading = None;
                        return;
                    }
                }
                Poll::Pending | Poll::Ready(Some(Ok(_))) => return,
                Poll::Ready(_) => {
                    self.uploading = None;
                    return;
                }
            }
        }
        if trailers {
            let mut fields = HeaderMap::new();
            fields.insert("x-sum", "1".parse().expect("a value"));
            let _ = stream.send_trailers(fields);
        }
        self.uploading = None;
    }
}
