//! Clients come in: from a listener to a resting row.

use std::rc::Rc;
use std::task::Poll;

use std::time::Duration;

use anygate_core::limits::{ACCEPT_BATCH, ACCEPT_PAUSE};
use anygate_shard::net::Address;
use anygate_shard::{Close, Side, Socket, SocketId, Tick, Wake};

use crate::connection::row::{ClientRow, ListenerRow};
use crate::control::Order;
use crate::observe::limit::Limit;
use crate::server::{Row, Server};
use crate::wire::Wire;

/// How long a listener that goes takes those who knocked before.
const LEAVING: Duration = Duration::from_secs(1);

/// Adds a listener and takes what it has.
pub(crate) fn listen(server: &Rc<Server>, socket: SocketId, number: u32) {
    tune(server, socket);
    let row = server.add_row(Row::Listener(ListenerRow { socket, number, leaving: None }));
    accept(server, row, socket, number);
}

/// Tells every listener what the plan says of its connections, which they take over from it: that costs a connection no
/// call.
pub(crate) fn tune_all(server: &Server) {
    for (_, row) in server.rows.borrow().iter() {
        if let Row::Listener(listener) = row {
            tune(server, listener.socket);
        }
    }
}

fn tune(server: &Server, listener: SocketId) {
    let live = server.live();
    let client = &live.plan.client;
    let _ = server.shard.set_backlog(listener, client.backlog);
    // Only TCP has these options.
    let _ = server.shard.set_nodelay(listener, client.nodelay);
    let _ = server.shard.set_keepalive(listener, client.keepalive);
}

/// Takes what a listener has, and waits for more.
pub(crate) fn accept(server: &Rc<Server>, row: u32, socket: SocketId, listener: u32) {
    let _watch = Watch { server, row };
    // Where handshakes wait for each other, more of them only keep others waiting: one comes in a turn, in which one goes. The
    // rest lie in the kernel's queue, and who left meanwhile costs no handshake.
    let crowded = server.sessions.hellos_wait() && server.fronts.speaks_tls(listener);
    let most = if crowded { 1 } else { ACCEPT_BATCH + 1 };
    for _ in 0..most {
        if server.is_full() {
            return server.wait_for_room(row);
        }
        match server.shard.poll_accept(socket, Wake::row(row)) {
            Poll::Pending => return,
            Poll::Ready(Ok(accepted)) => place(server, accepted.socket, accepted.peer, listener),
            // What ran out for a moment the shard waits for itself. This is something else: not at once again.
            Poll::Ready(Err(_)) => return pause(server, row),
        }
    }
    match crowded {
        true => server.sessions.pause(Wake::row(row)),
        false => server.shard.wake(Wake::row(row)),
    }
}

/// Whoever is let in is served at once, where that can panic. The listener goes on then: nobody else would wake it.
struct Watch<'s> {
    server: &'s Server,
    row: u32,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.server.shard.wake(Wake::row(self.row));
        }
    }
}

fn pause(server: &Rc<Server>, row: u32) {
    server.accepting_paused();
    let shard = server.shard.clone();
    server.shard.spawn(async move {
        shard.sleep(ACCEPT_PAUSE).await;
        shard.wake(Wake::row(row));
    });
}

/// Has a listener go. Those who knocked before are taken, over as many turns as that takes; then it is closed, and what
/// comes later is refused by the kernel.
pub(crate) fn unlisten(server: &Rc<Server>, row: u32) {
    if let Some(Row::Listener(listener)) = server.rows.borrow_mut().get_mut(row as usize) {
        listener.leaving.get_or_insert(server.shard.now() + LEAVING);
    }
    leave(server, row);
    if server.listener(row).is_some() {
        // Who is still to be taken may go to another shard that shares the queue: then nothing else wakes the row.
        let shard = server.shard.clone();
        server.shard.spawn(async move {
            shard.sleep(LEAVING).await;
            shard.wake(Wake::row(row));
        });
    }
}

/// Takes who is there at a listener that goes, and closes it when nobody is.
pub(crate) fn leave(server: &Rc<Server>, row: u32) {
    let Some((socket, number, until)) = server.listener(row).and_then(|l| Some((l.socket, l.number, l.leaving?)))
    else {
        return;
    };
    let shard = &server.shard;
    let _watch = Watch { server, row };
    // Who finds no room is refused with those who come later.
    while !server.is_full()
        && let Poll::Ready(Ok(accepted)) = shard.poll_accept(socket, Wake::row(row))
    {
        welcome(server, accepted.socket, accepted.peer, number);
    }
    // There may be more: beyond this turn's share, or not announced yet. The row is woken for either.
    let more = matches!(shard.poll_ready(socket, Side::Read, Wake::row(row)), Poll::Ready(Ok(())));
    if !more || server.is_full() || shard.now() >= until {
        server.remove_row(row);
        shard.close(socket, Close::Abort);
    }
}

/// A client arrived: on this shard's listener, or handed over by another shard.
pub(crate) fn welcome(server: &Rc<Server>, socket: SocketId, peer: Address, listener: u32) {
    let live = server.live();
    let client = &live.plan.client;
    let peer = canonical(peer);
    if let Some((most, at)) = client.max_handshakes_per_ip.zip(peer.ip())
        && server.fronts.speaks_tls(listener)
        && !server.handshakes.admit(at.ip(), most, server.shard.now())
    {
        server.reached(Limit::HandshakeRate, Some(&peer));
        server.publish_load();
        // Nothing was read of it, and nothing is said: a flood costs no more than this.
        return server.shard.close(socket, Close::Plain);
    }
    let (let_in, counted) = match (client.max_connections_per_ip, peer.ip()) {
        (Some(max), Some(at)) => (server.per_address.enter(at.ip(), max), true),
        _ => (true, false),
    };
    if !let_in {
        server.reached(Limit::PerAddress, Some(&peer));
        server.publish_load();
        // A flood of them must not use up the sockets by its last words.
        if server.is_crowded() {
            return server.shard.close(socket, Close::Abort);
        }
        // RFC 6585 §4: too many from one address.
        let wire = server.wire(socket, listener);
        // A handshake is more than it is worth: a TLS client sees its connection end.
        if matches!(wire, Wire::Plain(_)) {
            super::respond::refuse(server, &live, socket, 429);
        }
        return wire.close(&server.shard, Close::Graceful);
    }
    server.client_came();
    let wire = server.wire(socket, listener);
    let stays = Tick::ZERO;
    let client = ClientRow { wire, peer, listener, counted, served: 0, idle: None, stays, moves: 0 };
    let row = server.add_row(Row::Client(client));
    super::short::arrive(server, row);
}

/// IPv4 in disguise becomes IPv4, before trust, limits and logs.
fn canonical(peer: Address) -> Address {
    match peer {
        Address::Ip(at) => Address::Ip((at.ip().to_canonical(), at.port()).into()),
        unix @ Address::Unix(_) => unix,
    }
}

/// A client knocked here: it stays, or goes to a shard that has much less to do.
fn place(server: &Rc<Server>, socket: SocketId, peer: Address, listener: u32) {
    let lighter = server.neighbours.as_ref().and_then(|others| Some((others, others.lighter(server.clients())?)));
    let Some((others, to)) = lighter else { return welcome(server, socket, peer, listener) };
    let Some(given) = server.shard.release(socket) else { return welcome(server, socket, peer, listener) };
    match others.hand_over(to, Order::Adopt { socket: given, peer, listener }) {
        Ok(()) => server.cells.connections_handed_over.add(1),
        Err(Order::Adopt { socket, peer, listener }) => take_in(server, socket, peer, listener),
        Err(_) => unreachable!("a mailbox gives back what it was given"),
    }
}

/// Takes a client another shard handed over.
pub(crate) fn adopt(server: &Rc<Server>, socket: Socket, peer: Address, listener: u32) {
    let _arrival = Arrival(server);
    take_in(server, socket, peer, listener);
}

/// A client from another shard is being taken in. It has arrived also where serving it panics: a drain waits for those who
/// are between two shards.
pub(super) struct Arrival<'s>(pub(super) &'s Server);

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if let Some(neighbours) = &self.0.neighbours {
            neighbours.arrived();
        }
    }
}

fn take_in(server: &Rc<Server>, socket: Socket, peer: Address, listener: u32) {
    match server.shard.adopt(socket) {
        Ok(socket) => welcome(server, socket, peer, listener),
        // No slot is left: the descriptor is closed.
        Err(_) => {
            server.cells.descriptors_exhausted.add(1);
            server.publish_load();
        }
    }
}

/// A client is gone; its row is free.
pub(crate) fn farewell(server: &Server, client: ClientRow, row: u32, how: Close) {
    leave_row(server, &client, row);
    client.wire.close(&server.shard, how);
    server.client_went();
}

/// Gives back everything that a client has here but its socket.
pub(super) fn leave_row(server: &Server, client: &ClientRow, row: u32) {
    if let Some(idle) = client.idle {
        server.shard.lane_remove(idle);
    }
    if let Some(at) = client.peer.ip().filter(|_| client.counted) {
        server.per_address.leave(at.ip());
    }
    server.remove_row(row);
    if let Some(neighbours) = &server.neighbours {
        neighbours.balance.forget(row);
    }
}
