//! The clients: they send what the scene says, as it says, and weigh what comes back.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anygate_shard::net::Address;
use anygate_shard::{Close, Shard, SocketId};
use rustls::ClientConfig;

use super::ledger::{BEFORE, Ledger, May, Outcome, weigh};
use super::line::{Clock, Heard, Line, settings};
use super::scene::{Ask, Breach, Client, Upload, What};
use super::wire::{Framing, Inbox, chunked, content};

/// Requests that are none, most of them with one in their content that must never be served.
const BAD: [&str; 24] = [
    "GET /p/0/length/5\r\n\r\n",
    "GET /p/0/length/5 HTTP/2.0\r\nHost: a\r\n\r\n",
    "GET /p/0/length/5 HTTP/1.1\r\n\r\n",
    "GET /p/0/length/5 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET /p/0/length/5 HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
    "GET /p/0/length/5 HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET /p/0/length/5 HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "GET /p/0/length/5 HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "G@T /p/0/length/5 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /p/0/le ngth/5 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET p/0/length/5 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /../p/0/length/%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /p/0/length/5 HTTP/1.1\r\nHost: a\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /p/0/length/6 HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /p/0/length/5 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "POST /p/0/length/5 HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\nabcdef",
    "POST /p/0/length/5 HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde",
    "POST /p/0/length/5 HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "POST /p/0/length/5 HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "POST /p/0/length/5 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST /p/0/length/5 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST /p/0/length/5 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;\nabcde\r\n0\r\n\r\nGET /p/0/length/6 HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabcde\r\n0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeX\r\n0\r\n\r\n",
];

/// One client's life.
pub(super) struct Life {
    pub(super) shard: Shard,
    pub(super) client: Client,
    pub(super) to: Address,
    pub(super) ledger: Rc<RefCell<Ledger>>,
    heard: Heard,
    may: May,
    next: Cell<usize>,
    /// How it speaks TLS, if it does.
    settings: Option<Arc<ClientConfig>>,
}

fn lost(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::InvalidData => Outcome::Wrong(format!("what came is no HTTP: {error}")),
        kind => Outcome::Lost(format!("{kind:?}")),
    }
}

impl Life {
    pub(super) fn new(
        shard: &Shard,
        client: Client,
        to: Address,
        ledger: Rc<RefCell<Ledger>>,
        may: May,
        (clock, heard): (&Arc<Clock>, &Heard),
    ) -> Life {
        let settings = client.secure.map(|secure| settings(secure, client.multi.is_some(), clock));
        Life { shard: shard.clone(), client, to, ledger, heard: heard.clone(), may, next: Cell::new(0), settings }
    }

    /// Asks for everything, on as many connections as that takes.
    pub(super) async fn run(&self) {
        if let Some(multi) = self.client.multi {
            return self.run_streams(multi).await;
        }
        while self.next.get() < self.client.asks.len() {
            let from = self.next.get();
            let result = match self.shard.connect(&self.to) {
                Ok(socket) => {
                    let result = match self.breaking() {
                        Some((ask, breach)) => self.breaks(socket, &ask, breach).await,
                        None => self.talk(socket).await,
                    };
                    self.shard.close(socket, if result.is_ok() { Close::Graceful } else { Close::Abort });
                    result
                }
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                // The one that was waited for, or the next one where none was.
                let asks = &self.client.asks;
                if self.next.get() == from && from < asks.len() {
                    self.ledger.borrow_mut().sends(asks[from]);
                    self.ends(&asks[from], lost(&error));
                }
            }
        }
    }

    /// What may go wrong in this run.
    pub(super) fn may(&self) -> May {
        self.may
    }

    pub(super) fn ends(&self, ask: &Ask, outcome: Outcome) {
        self.ledger.borrow_mut().ends(ask.number, outcome);
        self.next.set(self.next.get() + 1);
    }

    /// The stream of this request is being reset.
    pub(super) fn gives_up(&self, ask: &Ask) {
        self.ledger.borrow_mut().given_up.insert(ask.number, self.shard.now());
        self.ends(ask, Outcome::Left);
    }

    /// The requests that are sent before an answer is waited for.
    fn burst(&self) -> &[Ask] {
        let left = &self.client.asks[self.next.get()..];
        let depth = if left.first().is_some_and(Ask::alone) { 1 } else { self.client.depth };
        let alone = left.iter().skip(1).position(Ask::alone).map_or(left.len(), |at| at + 1);
        &left[..depth.min(alone)]
    }

    async fn talk(&self, socket: SocketId) -> io::Result<()> {
        self.shard.connected(socket).await?;
        let mut inbox = Inbox::new(self.line(socket));
        self.shake(&inbox.line).await?;
        let mut served = 0;
        while self.next.get() < self.client.asks.len() {
            if self.breaking().is_some() {
                return Ok(());
            }
            let burst = self.burst();
            let mut bytes = Vec::new();
            for ask in burst {
                self.ledger.borrow_mut().sends(*ask);
                request(ask, &mut bytes);
            }
            // Who ends its stream while a server behind is at work is given up, as the documentation says.
            let at_once = |ask: &Ask| !ask.alone() && !matches!(ask.what, What::Behind { .. });
            let ends = self.client.half_closes && burst.iter().all(at_once);
            self.send(&inbox.line, &bytes).await;
            if ends {
                inbox.line.finish();
            }
            for (at, ask) in burst.iter().enumerate() {
                let (outcome, open) = match self.receive(&mut inbox, ask).await {
                    Ok((outcome, open)) => (outcome, open),
                    // The reset that an answer cut short ends with takes along what came before and was not read.
                    Err(_) if burst.iter().any(Ask::is_answered_wrongly) => (Outcome::Lost(BEFORE.to_owned()), false),
                    Err(error) => (lost(&error), false),
                };
                let failed = matches!(outcome, Outcome::Lost(_) | Outcome::Left);
                self.ends(ask, outcome);
                served += 1;
                if !open {
                    if !failed && !self.may.end_after(ask, served) {
                        self.violation(ask, "a connection that might have gone on was ended");
                    }
                    let after = |ask: &Ask| {
                        let outcome = if failed { Outcome::Lost(BEFORE.to_owned()) } else { Outcome::Unanswered };
                        self.ends(ask, outcome);
                    };
                    burst[at + 1..].iter().for_each(after);
                    return if failed { Err(io::ErrorKind::Other.into()) } else { Ok(()) };
                }
            }
            if ends {
                return self.ended(&mut inbox, &burst[burst.len() - 1]).await;
            }
        }
        let last = self.client.asks[self.client.asks.len() - 1];
        self.nothing_more(&inbox, &last);
        Ok(())
    }

    async fn ended(&self, inbox: &mut Inbox, last: &Ask) -> io::Result<()> {
        let rest = inbox.until_end().await;
        if rest.is_ok_and(|rest| !rest.is_empty()) {
            self.violation(last, "bytes after the last answer");
        }
        Ok(())
    }

    fn nothing_more(&self, inbox: &Inbox, last: &Ask) {
        if !inbox.rest().is_empty() {
            self.violation(last, "bytes after the last answer");
        }
    }

    fn violation(&self, ask: &Ask, what: &str) {
        self.ledger.borrow_mut().violations.push(format!("{what}: {ask:?}"));
    }

    /// A connection that speaks as this client does.
    pub(super) fn line(&self, socket: SocketId) -> Line {
        let line = Line::new(&self.shard, socket, self.settings.as_ref(), &self.heard);
        if self.client.multi.is_some() { line.spoken_to() } else { line }
    }

    /// What is next, where that is no request.
    fn breaking(&self) -> Option<(Ask, Breach)> {
        let ask = self.client.asks.get(self.next.get())?;
        Some((*ask, ask.breach?))
    }

    /// The handshake, to its end.
    pub(super) async fn shake(&self, line: &Line) -> io::Result<()> {
        loop {
            self.send_raw(line, &line.sealed()).await;
            if !line.is_handshaking() {
                return Ok(());
            }
            line.shake().await?;
        }
    }

    pub(super) async fn send(&self, line: &Line, bytes: &[u8]) {
        for (at, piece) in bytes.chunks(self.step(bytes)).enumerate() {
            if at % 4 == 1 && self.client.secure.is_some_and(|secure| secure.refreshes) {
                line.refresh();
            }
            line.queue(piece);
            self.pause().await;
        }
    }

    pub(super) async fn send_raw(&self, line: &Line, bytes: &[u8]) {
        for piece in bytes.chunks(self.step(bytes)) {
            line.queue_raw(piece.to_vec());
            self.pause().await;
        }
    }

    /// How many of these bytes are sent at once.
    fn step(&self, bytes: &[u8]) -> usize {
        let most = if self.client.pause_ms.is_some() { 12 } else { 400 };
        self.client.step.max(bytes.len() / most)
    }

    async fn pause(&self) {
        if let Some(pause) = self.client.pause_ms {
            self.shard.sleep(Duration::from_millis(pause)).await;
        }
    }

    /// The answer to a request, and whether the connection goes on.
    async fn receive(&self, inbox: &mut Inbox, ask: &Ask) -> io::Result<(Outcome, bool)> {
        if let Some(bytes) = ask.leaves.filter(|_| !matches!(ask.what, What::Tunnel { .. })) {
            while inbox.rest().len() < bytes && inbox.more().await.unwrap_or(false) {}
            return Ok((Outcome::Left, false));
        }
        if let What::Bad(_) = ask.what {
            return self.refused(inbox, ask).await;
        }
        let upload = match ask.what {
            What::Echo(upload) | What::Behind { upload: Some(upload), .. } if upload.expects => Some(upload),
            _ => None,
        };
        let mut waits = upload;
        let head = loop {
            let Some(head) = inbox.head().await? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
            if !head.first.starts_with(if ask.old { "HTTP/1." } else { "HTTP/1.1 " }) {
                return Ok((Outcome::Wrong(format!("a first line: {head:?}")), false));
            }
            match head.word(1) {
                "101" => return self.tunnel(inbox, ask).await,
                "100" => {
                    if let Some(upload) = waits.take() {
                        self.send(&inbox.line, &body(ask, upload)).await;
                    }
                }
                status if status.starts_with('1') => {}
                _ => break head,
            }
        };
        let to_head = matches!(ask.what, What::Behind { head: true, .. } | What::File { head: true, .. });
        let framing = Framing::of_response(&head, to_head);
        let mut came = Vec::new();
        inbox.content(framing, &mut came).await?;
        // Who was not told to go on cannot: the rest would be taken for the next request.
        let open = !head.closes() && framing != Framing::UntilClose && waits.is_none() && !ask.old;
        Ok((weigh(ask, &head, &came), open))
    }

    /// Nothing but refusals, then the end.
    async fn refused(&self, inbox: &mut Inbox, ask: &Ask) -> io::Result<(Outcome, bool)> {
        let mut answers = 0;
        while let Some(head) = inbox.head().await? {
            let mut came = Vec::new();
            inbox.content(Framing::of_response(&head, false), &mut came).await?;
            answers += 1;
            let status = head.word(1);
            if answers > 1 || !(status.starts_with('4') || status.starts_with('5')) {
                return Ok((Outcome::Wrong(format!("{:?} was answered: {head:?}", bad(ask))), false));
            }
        }
        Ok((Outcome::Right(answers), false))
    }

    async fn tunnel(&self, inbox: &mut Inbox, ask: &Ask) -> io::Result<(Outcome, bool)> {
        let What::Tunnel { size } = ask.what else {
            return Ok((Outcome::Wrong("an upgrade that nobody asked for".to_owned()), false));
        };
        let mut expected = content(ask.number, size);
        self.send(&inbox.line, &expected).await;
        inbox.line.finish();
        if let Some(bytes) = ask.leaves {
            while inbox.rest().len() < bytes && inbox.more().await.unwrap_or(false) {}
            return Ok((Outcome::Left, false));
        }
        expected.extend_from_slice(b"bye");
        let came = inbox.until_end().await?;
        if came == expected {
            return Ok((Outcome::Right(came.len() as u64), false));
        }
        // A side that breaks ends the other's stream once all it had said has gone there.
        let lost = expected.starts_with(&came) || self.may.half_close && ends_early(&expected, &came);
        let outcome = match lost {
            true => Outcome::Lost(format!("a tunnel after {} bytes", came.len())),
            false => Outcome::Wrong(format!("a tunnel brought other bytes, {} of {}", came.len(), expected.len())),
        };
        Ok((outcome, false))
    }
}

/// Whether a stream that ended in the middle of what was said was answered as far as it went, with a last word.
pub(super) fn ends_early(expected: &[u8], came: &[u8]) -> bool {
    came.strip_suffix(b"bye").is_some_and(|said| expected.starts_with(said))
}

fn bad(ask: &Ask) -> &'static str {
    let What::Bad(which) = ask.what else { return "" };
    BAD[which % BAD.len()]
}

fn body(ask: &Ask, upload: Upload) -> Vec<u8> {
    let bytes = content(ask.number, upload.size);
    if upload.chunked { chunked(&bytes, 1 + (ask.number as usize * 977) % 5000) } else { bytes }
}

/// A request's bytes, without the content that waits for its 100.
pub(super) fn request(ask: &Ask, into: &mut Vec<u8>) {
    let number = ask.number;
    let version = if ask.old { "1.0" } else { "1.1" };
    let fields = format!("Host: sim\r\nX-Id: {number}\r\nConnection: x-hop\r\nX-Hop: {number}\r\n");
    let mut line = |method: &str, path: &str, more: &str| {
        into.extend_from_slice(format!("{method} {path} HTTP/{version}\r\n{fields}{more}\r\n").as_bytes());
    };
    let framing = |upload: &Upload| {
        let expect = if upload.expects { "Expect: 100-continue\r\n" } else { "" };
        match upload.chunked {
            true => format!("Transfer-Encoding: chunked\r\n{expect}"),
            false => format!("Content-Length: {}\r\n{expect}", upload.size),
        }
    };
    let uploads = match &ask.what {
        What::Fixed => {
            line("GET", "/ok", "");
            None
        }
        What::Missing => {
            line("GET", "/missing", "");
            None
        }
        What::Redirect => {
            line("GET", "/away", "");
            None
        }
        What::File { large, range, head } => {
            let range = range.map(|(from, to)| format!("Range: bytes={from}-{to}\r\n")).unwrap_or_default();
            let path = if *large { "/files/large.bin" } else { "/files/small.bin" };
            line(if *head { "HEAD" } else { "GET" }, path, &range);
            None
        }
        What::Echo(upload) => {
            line("POST", "/echo", &framing(upload));
            Some(*upload)
        }
        What::Behind { how, size, head, upload } => {
            let method = if upload.is_some() {
                "POST"
            } else if *head {
                "HEAD"
            } else {
                "GET"
            };
            let framing = upload.as_ref().map(framing).unwrap_or_default();
            line(method, &format!("/p/{number}/{}/{size}", how.word()), &framing);
            *upload
        }
        What::Tunnel { .. } => {
            let more = "Upgrade: sim\r\nConnection: Upgrade\r\n";
            line("GET", &format!("/p/{number}/tunnel/0"), more);
            None
        }
        What::Bad(_) => {
            into.extend_from_slice(bad(ask).as_bytes());
            None
        }
    };
    if let Some(upload) = uploads.filter(|upload| !upload.expects) {
        into.extend_from_slice(&body(ask, upload));
    }
}
