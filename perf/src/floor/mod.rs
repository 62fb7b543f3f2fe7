//! What answering costs when nothing is read: the distance to the limit becomes a number.
//!
//! A floor runs on the project's own runtime, takes what comes, counts the ends of heads in it and sends as many canned
//! answers. It parses nothing, routes nothing, checks nothing.

mod heads;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use anygate_shard::mailbox::Receiver;
use anygate_shard::net::{self, Bind};
use anygate_shard::{Address, Bytes, Class, Close, Io, Options, Service, Shard, SocketId, Wake};

use heads::Heads;

/// Answers that leave in one segment at most.
const ANSWERS_PER_SEGMENT: usize = 128;
/// The listener's row; connections follow.
const LISTENER: u32 = 0;

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

/// Tells a floor to stop.
#[derive(Clone, Copy, Debug)]
pub struct Stop;

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
        let mut options = Options::new(0, self.io);
        options.core = self.core;
        let shard = Shard::new(&options).map_err(|error| format!("a shard for the floor: {error}"))?;
        let fd = net::bind(&Address::Ip(self.listen), &Bind::default())
            .map_err(|error| format!("listening on {}: {error}", self.listen))?;
        let listener = shard.listen(fd).map_err(|error| format!("listening on {}: {error}", self.listen))?;
        let address = shard.local(listener).ok().and_then(|address| address.ip()).unwrap_or(self.listen);
        let answer = answer(self.close);
        let service = Answering {
            shard: shard.clone(),
            listener,
            length: answer.len(),
            answers: Bytes::from(answer.repeat(ANSWERS_PER_SEGMENT)),
            close: self.close,
            clients: Rc::default(),
        };
        shard.wake(Wake::row(LISTENER));
        listening(address);
        shard.run(&service, mailbox);
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Client {
    socket: SocketId,
    heads: Heads,
}

#[derive(Default)]
struct Clients {
    places: Vec<Option<Client>>,
    free: Vec<usize>,
}

struct Answering {
    shard: Shard,
    listener: SocketId,
    length: usize,
    answers: Bytes,
    close: bool,
    clients: Rc<RefCell<Clients>>,
}

impl Answering {
    fn accept(&self) {
        while let Poll::Ready(Ok(accepted)) = self.shard.poll_accept(self.listener, Wake::row(LISTENER)) {
            let clients = &mut *self.clients.borrow_mut();
            let client = Some(Client { socket: accepted.socket, heads: Heads::default() });
            let place = match clients.free.pop() {
                Some(place) => {
                    clients.places[place] = client;
                    place
                }
                None => {
                    clients.places.push(client);
                    clients.places.len() - 1
                }
            };
            self.answer(clients, place);
        }
    }

    fn answer(&self, clients: &mut Clients, place: usize) {
        let Some(Some(client)) = clients.places.get_mut(place) else { return };
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
                        break;
                    }
                }
                Poll::Ready(_) => break,
            }
        }
        self.shard.close(client.socket, Close::Graceful);
        clients.places[place] = None;
        clients.free.push(place);
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
