//! Does a socket move from one shard to another with all of its bytes?

use std::future::poll_fn;

use anygate_shard::{Bytes, Class, Close, Socket, SocketId, Wake};

use crate::rig::{Bench, Note, Rig, pattern};

scripts!(
    a_socket_released_by_one_shard_is_adopted_by_another,
    bytes_that_came_before_a_handover_are_not_lost,
    a_socket_that_was_armed_is_not_released,
    a_released_socket_is_gone_from_its_shard,
    a_lost_handover_closes_the_connection,
    a_listener_of_each_shard_gets_its_own_connections,
    a_socket_in_use_moves_between_two_of_its_requests,
    a_socket_goes_only_when_what_is_queued_has_left,
    a_socket_that_received_something_stays,
    a_socket_that_ended_stays,
    a_socket_that_goes_to_and_fro_under_load_loses_nothing,
);

/// Asks for a socket until it goes, or until that cannot be.
fn go(rig: &Rig, bench: &Bench, socket: SocketId) -> Option<Socket> {
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, poll_fn(move |cx| shard.poll_release(socket, Wake::of(cx))));
    rig.wait(task)
}

fn a_socket_released_by_one_shard_is_adopted_by_another(rig: &Rig) {
    let (acceptor, other) = (rig.bench(), rig.bench());
    let (listener, address) = rig.listen(&acceptor);
    let mut peer = rig.peer(&address);
    let socket = rig.accept(&acceptor, listener);
    let fd = acceptor.shard.release(socket).expect("nothing was armed");
    other.sender.send(Note::Socket(fd)).expect("there is room");
    rig.until("the socket", || !other.probe.notes.borrow().is_empty());
    let Some(Note::Socket(fd)) = other.probe.notes.borrow_mut().pop() else { panic!("a socket was sent") };
    let socket = other.shard.adopt(fd).expect("adopts");
    rig.write(&mut peer, b"hello");
    assert_eq!(rig.recv(&other, socket, 5), b"hello");
    other.shard.queue(socket, Bytes::from_static(b"from the other"));
    assert_eq!(rig.read(&mut peer, 14), b"from the other");
    assert_eq!(acceptor.shard.cells().sockets.get(), 1);
    assert_eq!(other.shard.cells().sockets.get(), 1);
}

fn bytes_that_came_before_a_handover_are_not_lost(rig: &Rig) {
    rig.roomy();
    let (acceptor, other) = (rig.bench(), rig.bench());
    let (listener, address) = rig.listen(&acceptor);
    let mut peer = rig.peer(&address);
    let bytes = pattern(30_000);
    rig.write(&mut peer, &bytes);
    peer.shutdown();
    let socket = rig.accept(&acceptor, listener);
    for _ in 0..5 {
        rig.turn();
    }
    let fd = acceptor.shard.release(socket).expect("nothing was armed");
    rig.turn();
    let socket = other.shard.adopt(fd).expect("adopts");
    assert!(rig.recv(&other, socket, usize::MAX) == bytes, "the bytes differ");
}

fn a_socket_that_was_armed_is_not_released(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(1)).is_pending());
    rig.turn();
    assert!(bench.shard.release(socket).is_none());
    rig.write(&mut peer, b"still here");
    assert_eq!(rig.recv(&bench, socket, 10), b"still here");
}

fn a_released_socket_is_gone_from_its_shard(rig: &Rig) {
    let bench = rig.bench();
    let (socket, peer) = rig.pair(&bench);
    rig.turn();
    let before = bench.shard.cells().sockets.get();
    let fd = bench.shard.release(socket).expect("nothing was armed");
    rig.turn();
    assert_eq!(bench.shard.cells().sockets.get(), before - 1);
    assert!(matches!(bench.shard.poll_recv(socket, Class::Head, Wake::NONE), std::task::Poll::Ready(Err(_))));
    bench.shard.close(socket, Close::Abort);
    drop((fd, peer));
}

fn a_lost_handover_closes_the_connection(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    rig.turn();
    drop(bench.shard.release(socket).expect("nothing was armed"));
    assert!(rig.read_to_end(&mut peer).0.is_empty());
}

fn a_listener_of_each_shard_gets_its_own_connections(rig: &Rig) {
    let (first, second) = (rig.bench(), rig.bench());
    let (first_listener, first_address) = rig.listen(&first);
    let (second_listener, second_address) = rig.listen(&second);
    let mut to_second = rig.peer(&second_address);
    let mut to_first = rig.peer(&first_address);
    rig.write(&mut to_first, b"1");
    rig.write(&mut to_second, b"2");
    let first_socket = rig.accept(&first, first_listener);
    let second_socket = rig.accept(&second, second_listener);
    assert_eq!(rig.recv(&first, first_socket, 1), b"1");
    assert_eq!(rig.recv(&second, second_socket, 1), b"2");
}

fn a_socket_in_use_moves_between_two_of_its_requests(rig: &Rig) {
    let (first, second) = (rig.bench(), rig.bench());
    let (listener, address) = rig.listen(&first);
    let mut peer = rig.peer(&address);
    let socket = rig.accept(&first, listener);
    rig.write(&mut peer, b"one");
    assert_eq!(rig.recv(&first, socket, 3), b"one");
    first.shard.queue(socket, Bytes::from_static(b"ONE"));
    // A receive is armed, where the driver arms any.
    assert!(first.shard.poll_recv(socket, Class::Head, Wake::row(1)).is_pending());
    rig.turn();
    let fd = go(rig, &first, socket).expect("nothing holds it");
    assert!(first.shard.descriptor(socket).is_none(), "the id is void");
    rig.write(&mut peer, b"two");
    let socket = second.shard.adopt(fd).expect("adopts");
    assert_eq!(rig.recv(&second, socket, 3), b"two");
    second.shard.queue(socket, Bytes::from_static(b"TWO"));
    assert_eq!(rig.read(&mut peer, 6), b"ONETWO");
    rig.turn();
    assert_eq!((first.shard.cells().sockets.get(), second.shard.cells().sockets.get()), (1, 1));
}

fn a_socket_goes_only_when_what_is_queued_has_left(rig: &Rig) {
    let (first, second) = (rig.bench(), rig.bench());
    let (socket, mut peer) = rig.pair(&first);
    let bytes = pattern(rig.much());
    first.shard.queue(socket, Bytes::from(bytes.clone()));
    let shard = first.shard.clone();
    let task = rig.run(&first.shard, poll_fn(move |cx| shard.poll_release(socket, Wake::of(cx))));
    assert!(rig.read(&mut peer, bytes.len()) == bytes, "the bytes differ");
    let socket = second.shard.adopt(rig.wait(task).expect("it goes")).expect("adopts");
    second.shard.queue(socket, Bytes::from_static(b"and on"));
    assert_eq!(rig.read(&mut peer, 6), b"and on");
}

fn a_socket_that_received_something_stays(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(1)).is_pending());
    rig.write(&mut peer, b"in the way");
    rig.until("the bytes", || !bench.probe.ready.borrow().is_empty());
    let mut lease = None;
    if let std::task::Poll::Ready(got) = bench.shard.poll_recv(socket, Class::Head, Wake::row(1)) {
        lease = Some(got.expect("receives"));
    }
    if let Some(lease) = lease {
        bench.shard.unread(socket, lease);
        assert!(go(rig, &bench, socket).is_none());
    }
    assert_eq!(rig.recv(&bench, socket, 10), b"in the way");
}

fn a_socket_that_ended_stays(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    peer.shutdown();
    assert!(rig.recv(&bench, socket, 1).is_empty());
    assert!(go(rig, &bench, socket).is_none());
    bench.shard.close(socket, Close::Abort);
    assert!(go(rig, &bench, socket).is_none());
}

fn a_socket_that_goes_to_and_fro_under_load_loses_nothing(rig: &Rig) {
    let benches = [rig.bench(), rig.bench()];
    let (mut socket, mut peer) = rig.pair(&benches[0]);
    let bytes = pattern(4_000);
    let (mut at, mut moves, mut got) = (0, 0, Vec::new());
    for (number, part) in bytes.chunks(50).enumerate() {
        let bench = &benches[at];
        // The bytes and the wish to go race; the bytes have a start of no turn, one or two.
        let (late, early) = if number % 3 == 0 { (part, &[][..]) } else { (&[][..], part) };
        rig.write(&mut peer, early);
        let _ = bench.shard.poll_recv(socket, Class::Head, Wake::NONE).map(|lease| {
            got.extend_from_slice(lease.expect("receives").filled());
        });
        (0..number % 2).for_each(|_| rig.turn());
        let shard = bench.shard.clone();
        let gone = rig.run(&bench.shard, poll_fn(move |cx| shard.poll_release(socket, Wake::of(cx))));
        rig.write(&mut peer, late);
        match rig.wait(gone) {
            Some(fd) => {
                at = 1 - at;
                socket = benches[at].shard.adopt(fd).expect("adopts");
                moves += 1;
            }
            None => got.extend_from_slice(&rig.recv(bench, socket, 1)),
        }
    }
    got.extend_from_slice(&rig.recv(&benches[at], socket, bytes.len() - got.len()));
    assert!(got == bytes, "the bytes differ");
    assert!(moves > 0, "it never went");
}
