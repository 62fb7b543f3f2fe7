//! Does a socket move from one shard to another with all of its bytes?

use anygate_shard::{Bytes, Class, Close, Wake};

use crate::rig::{Note, Rig, pattern};

scripts!(
    a_socket_released_by_one_shard_is_adopted_by_another,
    bytes_that_came_before_a_handover_are_not_lost,
    a_socket_that_was_armed_is_not_released,
    a_released_socket_is_gone_from_its_shard,
    a_lost_handover_closes_the_connection,
    a_listener_of_each_shard_gets_its_own_connections,
);

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
