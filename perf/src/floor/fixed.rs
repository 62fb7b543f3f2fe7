//! A server that counts the ends of heads in what comes and sends as many canned answers.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::task::Poll;

use anygate_shard::mailbox::Receiver;
use anygate_shard::{Bytes, Class, Close, Io, Service, Shard, SocketId, Wake};

use super::heads::Heads;
use super::rows::Rows;
use super::{LISTENER, Stop, open};

/// Answers that leave in one segment at most.
const ANSWERS_PER_SEGMENT: usize = 128;

/// What a floor is made with.
#[derive(Clone, Debug)]
pub struct Floor {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The driver.
    pub io: Io,
    /// The core it is pinned to.
    pub core: Option<usize>,
    /// Ends each connection after its first answer.
    pub close: bool,
}

/// The canned answer, as long as AnyGate's own to the same request.
#[must_use]
pub fn answer(close: bool) -> Vec<u8> {
    let close = if close { "Connection: close\r\n" } else { "" };
    format!(
        "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 03:00:00 GMT\r\n{close}Content-Length: 0\r\n\
         X-Content-Type-Options: nosniff\r\n\r\n"
    )
    .into_bytes()
}

impl Floor {
    /// Serves on the calling thread until the mailbox brings [`Stop`]; `listening` is told the address.
    ///
    /// # Errors
    /// The address, the core or the driver cannot be had.
    pub fn serve(&self, mailbox: &Receiver<Stop>, listening: impl FnOnce(SocketAddr)) -> Result<(), String> {
        let place = open(self.listen, self.io, self.core)?;
        let answer = answer(self.close);
        let service = Answering {
            shard: place.shard.clone(),
            listener: place.listener,
            length: answer.len(),
            answers: Bytes::from(answer.repeat(ANSWERS_PER_SEGMENT)),
            close: self.close,
            clients: RefCell::default(),
        };
        listening(place.address);
        place.shard.run(&service, mailbox);
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Client {
    socket: SocketId,
    heads: Heads,
}

struct Answering {
    shard: Shard,
    listener: SocketId,
    length: usize,
    answers: Bytes,
    close: bool,
    clients: RefCell<Rows<Client>>,
}

impl Answering {
    fn accept(&self) {
        while let Poll::Ready(Ok(accepted)) = self.shard.poll_accept(self.listener, Wake::row(LISTENER)) {
            let clients = &mut *self.clients.borrow_mut();
            let place = clients.insert(Client { socket: accepted.socket, heads: Heads::default() });
            self.answer(clients, place);
        }
    }

    fn answer(&self, clients: &mut Rows<Client>, place: usize) {
        let Some(client) = clients.get_mut(place) else { return };
        let mut how = Close::Graceful;
        loop {
            match self.shard.poll_recv(client.socket, Class::Head, Wake::row(place as u32 + 1)) {
                Poll::Pending => return,
                Poll::Ready(Ok(lease)) if !lease.is_empty() => {
                    let mut count = client.heads.count(lease.filled());
                    let answered = count > 0;
                    while count > 0 {
                        let now = count.min(ANSWERS_PER_SEGMENT);
                        self.shard.queue(client.socket, self.answers.slice(..now * self.length));
                        count -= now;
                    }
                    if self.close && answered {
                        how = Close::Plain;
                        break;
                    }
                }
                Poll::Ready(_) => break,
            }
        }
        self.shard.close(client.socket, how);
        clients.remove(place);
    }
}

impl Service for Answering {
    type Message = Stop;

    fn ready(&self, row: u32) {
        match row {
            LISTENER => self.accept(),
            row => self.answer(&mut self.clients.borrow_mut(), row as usize - 1),
        }
    }

    fn expired(&self, _row: u32) {}

    fn message(&self, Stop: Stop) {
        self.shard.stop();
    }
}
