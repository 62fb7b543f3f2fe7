//! The servers behind: they do what the path of a request says, rightly or wrongly, and keep book of what came.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use anygate_proto::websocket::accept_of;
use anygate_shard::{Bytes, Close, Shard, SocketId, TaskId};

use super::ledger::Ledger;
use super::line::{Heard, Line};
use super::scene::{Ask, How, What};
use super::wire::{Framing, Head, Inbox, chunked, content, mix};

/// What was sent so long ago has arrived, whatever the network does with it.
const SEEN: Duration = Duration::from_secs(30);

/// How many interim answers a request gets that gets some.
pub(super) fn informs(number: u32) -> u64 {
    1 + mix(u64::from(number)) % 5
}

/// All of them.
pub(super) struct Behind {
    pub(super) shard: Shard,
    pub(super) ledger: Rc<RefCell<Ledger>>,
    pub(super) heard: Heard,
    /// Who connects is reset, and so is who is served.
    pub(super) dead: Cell<bool>,
}

impl Behind {
    /// Serves who comes to `listener`.
    pub(super) fn open(self: &Rc<Self>, listener: SocketId) -> TaskId {
        let behind = Rc::clone(self);
        self.shard.spawn(async move {
            while let Ok(accepted) = behind.shard.accept(listener).await {
                let serving = Rc::clone(&behind);
                behind.shard.spawn(async move {
                    let how = match serving.serve(accepted.socket).await {
                        Ok(()) => Close::Graceful,
                        Err(_) => Close::Abort,
                    };
                    serving.shard.close(accepted.socket, how);
                });
            }
        })
    }

    async fn serve(&self, socket: SocketId) -> io::Result<()> {
        let mut inbox = Inbox::new(Line::plain(&self.shard, socket, &self.heard));
        let mut count = 0;
        // Since when more was said than was asked for.
        let mut spoilt = None;
        while let Some(head) = inbox.head().await? {
            count += 1;
            let gone = || Err(io::ErrorKind::ConnectionReset.into());
            if self.dead.get() {
                return gone();
            }
            let Some(ask) = self.ledger.borrow_mut().arrives(&head) else { return gone() };
            if let Some(since) = spoilt {
                // What lay there when the connection was taken again must have been seen.
                if self.shard.now() - since > SEEN {
                    self.ledger.borrow_mut().violations.push(format!("used again with an answer unread: {ask:?}"));
                }
                return gone();
            }
            if head.one("expect").is_some() {
                self.say(socket, "HTTP/1.1 100 Continue\r\n\r\n");
            }
            if let What::Tunnel { .. } = ask.what {
                return self.tunnel(&mut inbox, &head).await;
            }
            let What::Behind { how, size, head: to_head, .. } = ask.what else { return gone() };
            // What came of a content counts also when the rest of it never does.
            if how == How::Lazy {
                self.shard.sleep(Duration::from_millis(50 + mix(u64::from(ask.number)) % 1500)).await;
            }
            if how != How::Early {
                let mut part = Vec::new();
                let came = inbox.content(Framing::of_request(&head), &mut part).await;
                self.ledger.borrow_mut().brings(&ask, &part, came.is_ok());
                if came.is_err() {
                    self.ledger.borrow_mut().breaks_off(&ask, self.shard.now());
                }
                came?;
            }
            let closes = count % 4 == 3 || how == How::Early;
            // What nobody can tell from an answer's end must be said.
            let closes = closes || to_head && matches!(how, How::Closing | How::Short | How::Chopped);
            let size = if to_head { 0 } else { size };
            if !self.answer(socket, &ask, how, size, closes).await? || closes {
                return Ok(());
            }
            spoilt = (how == How::Extra).then(|| self.shard.now());
        }
        Ok(())
    }

    fn say(&self, socket: SocketId, text: &str) {
        self.shard.queue(socket, Bytes::from(text.as_bytes().to_vec()));
    }

    /// False when the connection ends with it.
    async fn answer(&self, socket: SocketId, ask: &Ask, how: How, size: usize, closes: bool) -> io::Result<bool> {
        let word = mix(u64::from(ask.number));
        let connection = if closes { "Connection: close\r\n" } else { "" };
        let start = format!("HTTP/1.1 200 OK\r\nX-Id: {}\r\n{connection}", ask.number);
        let bytes = content(ask.number, size);
        let length = format!("{start}Content-Length: {size}\r\n\r\n");
        let put = |bytes: Vec<u8>| self.shard.queue(socket, Bytes::from(bytes));
        let step = [usize::MAX, 3000, 500][(word % 3) as usize];
        match how {
            How::Length | How::Early | How::Extra | How::Lazy => {
                self.say(socket, &length);
                put(bytes);
                if how == How::Extra {
                    self.say(socket, "HTTP/1.1 200 OK\r\nX-Id: 0\r\nContent-Length: 4\r\n\r\nevil");
                }
            }
            How::Chunked => {
                self.say(socket, &format!("{start}Transfer-Encoding: chunked\r\n\r\n"));
                // An answer to HEAD ends with its head.
                if !matches!(ask.what, What::Behind { head: true, .. }) {
                    put(chunked(&bytes, step.min(1 << 20)));
                }
            }
            How::Trailing => {
                self.say(socket, &format!("{start}Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n"));
                if !matches!(ask.what, What::Behind { head: true, .. }) {
                    let mut bytes = chunked(&bytes, step.min(1 << 20));
                    bytes.truncate(bytes.len() - 2);
                    bytes.extend_from_slice(format!("X-Sum: {}\r\n\r\n", ask.number).as_bytes());
                    put(bytes);
                }
            }
            How::Closing => {
                self.say(socket, &format!("{start}\r\n"));
                put(bytes);
                self.shard.sent(socket, 0).await?;
                return Ok(false);
            }
            How::Informs => {
                for _ in 0..informs(ask.number) {
                    self.say(socket, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
                }
                self.say(socket, &length);
                put(bytes);
            }
            How::Late => {
                self.shard.sleep(Duration::from_millis(20 + word % 900)).await;
                self.say(socket, &length);
                put(bytes);
            }
            How::Slow => {
                self.say(socket, &length);
                for piece in bytes.chunks((size / 7).max(1)) {
                    self.shard.sleep(Duration::from_millis(1 + word % 90)).await;
                    put(piece.to_vec());
                }
            }
            How::Nothing => {
                self.say(socket, &format!("HTTP/1.1 204 No Content\r\nX-Id: {}\r\n{connection}\r\n", ask.number));
            }
            How::Short | How::Chopped => {
                let framing = match how {
                    How::Short => format!("Content-Length: {}", size + 1 + (word % 900) as usize),
                    _ => "Transfer-Encoding: chunked".to_owned(),
                };
                self.say(socket, &format!("{start}{framing}\r\n\r\n"));
                let bytes = if how == How::Short { bytes } else { chunked(&bytes, step.min(1 << 20)) };
                let cut = if how == How::Short { bytes.len() } else { bytes.len() - 5 + (word >> 8) as usize % 5 };
                put(bytes[..cut].to_vec());
                self.shard.sent(socket, 0).await?;
                return Ok(false);
            }
            How::Stall => {
                self.shard.sleep(Duration::from_secs(100)).await;
                return Ok(false);
            }
            How::Die => return if word.is_multiple_of(2) { Ok(false) } else { Err(io::ErrorKind::Other.into()) },
            How::Bad => {
                let wrong =
                    ["HTTP/1.1 2000 OK\r\n\r\n", "ICY 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nA b\r\n\r\n", "\0\r\n\r\n"];
                self.say(socket, wrong[(word >> 3) as usize % wrong.len()]);
                self.shard.sent(socket, 0).await?;
                return Ok(false);
            }
        }
        self.shard.sent(socket, 0).await?;
        Ok(true)
    }

    /// Sends back what comes, and a last word.
    async fn tunnel(&self, inbox: &mut Inbox, head: &Head) -> io::Result<()> {
        let socket = inbox.line.socket;
        let agreed = match head.one("sec-websocket-key") {
            Some(key) => {
                let accept = accept_of(key.as_bytes());
                format!("Upgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n", accept.escape_ascii())
            }
            None => "Upgrade: sim\r\n".to_owned(),
        };
        self.say(socket, &format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{agreed}\r\n"));
        let first = inbox.rest().to_vec();
        self.shard.queue(socket, Bytes::from(first));
        loop {
            let came = inbox.line.recv().await?;
            if came.is_empty() {
                break;
            }
            self.shard.queue(socket, Bytes::from(came));
            self.shard.sent(socket, 1 << 16).await?;
        }
        self.say(socket, "bye");
        self.shard.sent(socket, 0).await
    }
}
