//! Clients come in: from a listener to a resting row.

use std::rc::Rc;
use std::task::Poll;

use anygate_core::limits::ACCEPT_BATCH;
use anygate_shard::net::Address;
use anygate_shard::{Close, Socket, SocketId, Wake};

use crate::connection::row::ClientRow;
use crate::server::{Row, Server};
use crate::wire::Wire;

/// Takes what a listener has, and waits for more.
pub(crate) fn accept(server: &Rc<Server>, row: u32, socket: SocketId, listener: u32) {
    for _ in 0..=ACCEPT_BATCH {
        match server.shard.poll_accept(socket, Wake::row(row)) {
            Poll::Pending => return,
            Poll::Ready(Ok(accepted)) => place(server, accepted.socket, accepted.peer, listener),
            // The shard pauses a listener that cannot accept, and counts it; the wake comes when it goes on.
            Poll::Ready(Err(_)) => {}
        }
    }
    server.shard.wake(Wake::row(row));
}

/// A client arrived: on this shard's listener, or handed over by another shard.
pub(crate) fn welcome(server: &Rc<Server>, socket: SocketId, peer: Address, listener: u32) {
    let live = server.live();
    let client = &live.plan.client;
    let peer = canonical(peer);
    let counted = match (client.max_connections_per_ip, peer.ip()) {
        (Some(max), Some(at)) => server.per_address.enter(at.ip(), max),
        _ => true,
    };
    if !counted || server.clients() >= client.max_connections || server.draining() {
        server.cells.connections_refused.add(1);
        if !counted {
            // RFC 6585 §4: too many from one address.
            super::respond::refuse(server, &live, socket, 429);
        }
        server.shard.close(socket, if counted { Close::Abort } else { Close::Graceful });
        return;
    }
    if peer.ip().is_some() {
        // A socket that takes no option is broken; its first read says so.
        if client.nodelay {
            let _ = server.shard.set_nodelay(socket);
        }
        if let Some(idle) = client.keepalive {
            let _ = server.shard.set_keepalive(socket, idle);
        }
    }
    server.client_came();
    let wire = Wire::Plain(socket);
    let row = server.add_row(Row::Client(ClientRow { wire, peer, listener, served: 0, idle: None }));
    super::short::arrive(server, row);
}

/// IPv4 in disguise becomes IPv4, before trust, limits and logs.
fn canonical(peer: Address) -> Address {
    match peer {
        Address::Ip(at) => Address::Ip((at.ip().to_canonical(), at.port()).into()),
        unix @ Address::Unix(_) => unix,
    }
}

/// Takes everyone who knocked already.
pub(crate) fn accept_all(server: &Rc<Server>, socket: SocketId, listener: u32) {
    while let Poll::Ready(Ok(accepted)) = server.shard.poll_accept(socket, Wake::NONE) {
        welcome(server, accepted.socket, accepted.peer, listener);
    }
}

/// A client knocked here: it stays, or goes to a shard that has much less to do.
fn place(server: &Rc<Server>, socket: SocketId, peer: Address, listener: u32) {
    let lighter = server.neighbours.as_ref().and_then(|others| Some((others, others.lighter(server.clients())?)));
    let Some((others, to)) = lighter else { return welcome(server, socket, peer, listener) };
    let Some(given) = server.shard.release(socket) else { return welcome(server, socket, peer, listener) };
    if let Err((socket, peer)) = others.hand_over(to, given, peer, listener) {
        adopt(server, socket, peer, listener);
    }
}

/// Takes a client another shard handed over.
pub(crate) fn adopt(server: &Rc<Server>, socket: Socket, peer: Address, listener: u32) {
    match server.shard.adopt(socket) {
        Ok(socket) => welcome(server, socket, peer, listener),
        Err(_) => server.cells.connections_refused.add(1),
    }
}

/// A client is gone; its row is free.
pub(crate) fn farewell(server: &Server, client: ClientRow, row: u32, how: Close) {
    if let Some(idle) = client.idle {
        server.shard.lane_remove(idle);
    }
    if let Some(at) = client.peer.ip() {
        server.per_address.leave(at.ip());
    }
    client.wire.close(&server.shard, how);
    server.remove_row(row);
    server.client_went();
}
