//! A client in use goes to another shard between two of its requests, and comes in from one.
//!
//! It goes right after an answer, in place of waiting here for its next request: what is queued leaves first, and bytes of
//! the next request stay with the kernel, which gives them to the other shard. If this shard holds some already, the client
//! stays until they are answered.

use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use anygate_shard::net::Address;
use anygate_shard::{Socket, Wake};

use crate::connection::row::ClientRow;
use crate::connection::{accept, short};
use crate::control::Order;
use crate::server::{Row, Server};
use crate::wire::Wire;

/// So many requests served that the next is the last, whatever the limit.
const ALL_BUT_ONE: u64 = u64::MAX - 1;

/// A client between two shards.
#[derive(Debug)]
pub struct Moved {
    /// Its socket; what was read from it is answered.
    pub(crate) socket: Socket,
    peer: Address,
    listener: u32,
    served: u64,
    moves: u8,
}

/// What became of a client's departure.
pub(super) enum Went {
    /// It is another shard's.
    Away,
    /// The row is woken when it can go on.
    Waits,
    /// It goes on here, until it is asked again or for good.
    Stays,
    /// It could neither go nor stay.
    Lost,
}

/// Lets a client go to shard `to`, as soon as nothing of it is in this shard's hands.
pub(super) fn go(server: &Server, row: u32, client: &mut ClientRow, to: usize) -> Went {
    let Some(neighbours) = &server.neighbours else { return Went::Stays };
    let Some(socket) = client.wire.bypass() else { return Went::Stays };
    let socket = match server.shard.poll_release(socket, Wake::row(row)) {
        Poll::Pending => return Went::Waits,
        Poll::Ready(None) => return Went::Stays,
        Poll::Ready(Some(socket)) => socket,
    };
    let ClientRow { listener, served, moves, .. } = *client;
    let moved = Moved { socket, peer: client.peer.clone(), listener, served, moves: moves.saturating_add(1) };
    match neighbours.hand_over(to, Order::Resume(Box::new(moved))) {
        Ok(()) => {
            server.cells.connections_rebalanced.add(1);
            Went::Away
        }
        Err(Order::Resume(moved)) => {
            neighbours.balance.forget(row);
            match server.shard.adopt(moved.socket) {
                Ok(socket) => {
                    client.wire = Wire::Plain(socket);
                    Went::Stays
                }
                Err(_) => Went::Lost,
            }
        }
        Err(_) => unreachable!("a mailbox gives back what it was given"),
    }
}

/// Takes over a client that another shard served. Limits do not turn it away, for it was let in once; but where its address
/// has all that it may have here, its next answer is the last. Else an address got more by having its clients moved.
pub(crate) fn resume(server: &Rc<Server>, moved: Moved) {
    let _arrival = accept::Arrival(server);
    let Moved { socket, peer, listener, mut served, moves } = moved;
    server.client_resumed();
    match server.shard.adopt(socket) {
        Ok(socket) => {
            let max = server.live().plan.client.max_connections_per_ip;
            let limited = max.zip(peer.ip().map(|at| at.ip()));
            if let Some((max, at)) = limited
                && !server.per_address.enter(at, max)
            {
                served = ALL_BUT_ONE;
                let _ = server.per_address.enter(at, usize::MAX);
            }
            let counted = limited.is_some();
            let stay = server.neighbours.as_ref().map_or(Duration::ZERO, |others| others.balance.stay(moves));
            let stays = server.shard.now() + stay;
            let wire = Wire::Plain(socket);
            let client = ClientRow { wire, peer, listener, counted, served, idle: None, stays, moves };
            let row = server.add_row(Row::Client(client));
            short::arrive(server, row);
        }
        // No slot is free: its end is all it is told.
        Err(_) => server.client_went(),
    }
}

/// A client that went: its row is free.
pub(super) fn gone(server: &Server, client: ClientRow, row: u32) {
    accept::leave_row(server, &client, row);
    server.client_moved();
}
