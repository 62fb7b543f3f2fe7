//! Does a connection end the way it was asked to, and for nobody else?

use std::io;
use std::task::Poll;
use std::time::Duration;

use anygate_shard::{Bytes, Class, Close, Side, Wake};

use crate::rig::{Kind, Rig, pattern};

scripts!(
    a_graceful_close_flushes_what_is_queued,
    a_graceful_close_delivers_a_response_though_the_peer_sent_more,
    a_graceful_close_ends_though_the_peer_never_does,
    a_graceful_close_of_a_peer_that_never_reads_ends,
    a_plain_close_flushes_what_is_queued,
    a_plain_close_does_not_wait_for_the_peer,
    a_plain_close_is_graceful_where_bytes_are_unread,
    a_plain_close_with_a_receive_under_way_sends_the_end,
    a_plain_close_of_a_peer_that_never_reads_ends,
    an_abort_resets,
    an_abort_drops_what_is_queued,
    a_reset_by_the_peer_is_an_error_for_that_socket_only,
    a_reset_the_sender_was_told_of_is_no_end_for_the_reader,
    a_peer_that_vanishes_ends_the_stream,
    a_late_event_after_close_finds_nobody,
    a_closed_id_is_an_error_and_not_somebody_else,
    closing_twice_is_nothing,
    half_close_lets_the_other_direction_go_on,
    the_peers_half_close_lets_the_answer_out,
    nothing_is_left_after_many_connections,
    closing_with_a_receive_under_way_sends_the_end,
    stopping_frees_what_is_under_way,
);

fn a_graceful_close_flushes_what_is_queued(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let bytes = pattern(3 << 20);
    bench.shard.queue(socket, Bytes::from(bytes.clone()));
    bench.shard.close(socket, Close::Graceful);
    let (read, error) = rig.read_to_end(&mut peer);
    assert_eq!(error, None);
    assert!(read == bytes, "{} of {} bytes", read.len(), bytes.len());
}

fn a_graceful_close_delivers_a_response_though_the_peer_sent_more(rig: &Rig) {
    rig.roomy();
    let bench = rig.bench();
    for more in [100, 5000, 40_000] {
        let (socket, mut peer) = rig.pair(&bench);
        rig.write(&mut peer, b"head");
        assert_eq!(rig.recv(&bench, socket, 4), b"head");
        rig.write(&mut peer, &pattern(more / 2));
        bench.shard.queue(socket, Bytes::from_static(b"413 too large"));
        bench.shard.close(socket, Close::Graceful);
        rig.turn();
        rig.write(&mut peer, &pattern(more / 2));
        rig.pass(Duration::from_millis(30));
        let (read, error) = rig.read_to_end(&mut peer);
        assert_eq!((&read[..], error), (&b"413 too large"[..], None), "{more} bytes more");
    }
}

fn a_graceful_close_ends_though_the_peer_never_does(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    bench.shard.queue(socket, Bytes::from_static(b"bye"));
    bench.shard.close(socket, Close::Graceful);
    assert_eq!(rig.read_to_end(&mut peer).0, b"bye");
    rig.until("the socket to be gone after its 2 s", || bench.shard.cells().sockets.get() == 0);
}

fn a_graceful_close_of_a_peer_that_never_reads_ends(rig: &Rig) {
    // Only virtual time is cheap enough to wait for the bound on a flush to a peer which takes nothing.
    if !rig.is_sim() {
        return;
    }
    let bench = rig.bench();
    let (socket, peer) = rig.pair(&bench);
    bench.shard.queue(socket, Bytes::from(pattern(rig.much())));
    bench.shard.close(socket, Close::Graceful);
    rig.until("the socket to be gone", || bench.shard.cells().sockets.get() == 0);
    drop(peer);
}

fn a_plain_close_flushes_what_is_queued(rig: &Rig) {
    let bench = rig.bench();
    // What leaves with the end in one segment, and what is too much for that.
    for length in [0, 1, 5000, 60_000, 3 << 20] {
        let (socket, mut peer) = rig.pair(&bench);
        rig.write(&mut peer, b"request");
        assert_eq!(rig.recv(&bench, socket, 7), b"request");
        let bytes = pattern(length);
        bench.shard.queue(socket, Bytes::from(bytes.clone()));
        bench.shard.close(socket, Close::Plain);
        let (read, error) = rig.read_to_end(&mut peer);
        assert_eq!(error, None);
        assert!(read == bytes, "{} of {length} bytes", read.len());
    }
}

fn a_plain_close_does_not_wait_for_the_peer(rig: &Rig) {
    rig.calm();
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    rig.write(&mut peer, b"request");
    assert_eq!(rig.recv(&bench, socket, 7), b"request");
    bench.shard.queue(socket, Bytes::from_static(b"response"));
    bench.shard.close(socket, Close::Plain);
    assert_eq!(bench.shard.closing(), 1);
    rig.turn();
    assert_eq!((bench.shard.closing(), bench.shard.cells().sockets.get()), (0, 0), "one turn, though the peer stays");
    let (read, error) = rig.read_to_end(&mut peer);
    assert_eq!((&read[..], error), (&b"response"[..], None));
}

fn a_plain_close_is_graceful_where_bytes_are_unread(rig: &Rig) {
    // Bytes that come between the last receive and the close are known to nobody.
    rig.calm();
    let bench = rig.bench();
    // More than a buffer, so that a receive tells that there is more; and bytes that were received but not taken.
    for more in [100, 5000, 40_000] {
        let (socket, mut peer) = rig.pair(&bench);
        rig.write(&mut peer, b"head");
        rig.write(&mut peer, &pattern(more));
        rig.pass(Duration::from_millis(30));
        let shard = bench.shard.clone();
        let first = rig.run(&bench.shard, async move { shard.recv(socket, Class::Head).await });
        let lease = rig.wait(first).expect("bytes");
        if lease.len() == 4 + more {
            bench.shard.unread(socket, lease);
        }
        bench.shard.queue(socket, Bytes::from_static(b"the last answer"));
        bench.shard.close(socket, Close::Plain);
        rig.pass(Duration::from_millis(30));
        let (read, error) = rig.read_to_end(&mut peer);
        assert_eq!((&read[..], error), (&b"the last answer"[..], None), "{more} bytes more");
    }
}

fn a_plain_close_with_a_receive_under_way_sends_the_end(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(5)).is_pending());
    rig.turn();
    bench.shard.queue(socket, Bytes::from_static(b"bye"));
    bench.shard.close(socket, Close::Plain);
    let (read, error) = rig.read_to_end(&mut peer);
    assert_eq!((&read[..], error), (&b"bye"[..], None));
    assert!(!bench.probe.ready.borrow().contains(&5), "a closed socket wakes nobody");
    drop(peer);
    rig.until("the socket to be gone", || bench.shard.cells().sockets.get() == 0);
}

fn a_plain_close_of_a_peer_that_never_reads_ends(rig: &Rig) {
    // Only virtual time is cheap enough to wait for the bound on a flush to a peer which takes nothing.
    if !rig.is_sim() {
        return;
    }
    let bench = rig.bench();
    let (socket, peer) = rig.pair(&bench);
    bench.shard.queue(socket, Bytes::from(pattern(rig.much())));
    bench.shard.close(socket, Close::Plain);
    rig.until("the socket to be gone", || bench.shard.cells().sockets.get() == 0);
    drop(peer);
}

fn an_abort_resets(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    bench.shard.close(socket, Close::Abort);
    let (read, error) = rig.read_to_end(&mut peer);
    assert_eq!((read.len(), error), (0, Some(io::ErrorKind::ConnectionReset)));
}

fn an_abort_drops_what_is_queued(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    bench.shard.queue(socket, Bytes::from(pattern(rig.much())));
    rig.pass(Duration::from_millis(20));
    bench.shard.close(socket, Close::Abort);
    rig.until("the socket to be gone", || bench.shard.cells().sockets.get() == 0);
    let (read, error) = rig.read_to_end(&mut peer);
    assert!(read.len() < rig.much());
    assert_eq!(error, Some(io::ErrorKind::ConnectionReset));
}

fn a_reset_by_the_peer_is_an_error_for_that_socket_only(rig: &Rig) {
    let bench = rig.bench();
    let (broken, broken_peer) = rig.pair(&bench);
    let (well, mut well_peer) = rig.pair(&bench);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move { shard.recv(broken, Class::Head).await.map(|lease| lease.len()) });
    rig.turn();
    broken_peer.reset();
    assert_eq!(rig.wait(task).expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
    bench.shard.close(broken, Close::Graceful);
    rig.write(&mut well_peer, b"well");
    assert_eq!(rig.recv(&bench, well, 4), b"well");
    rig.until("the broken one to be gone", || bench.shard.cells().sockets.get() == 1);
}

fn a_reset_the_sender_was_told_of_is_no_end_for_the_reader(rig: &Rig) {
    let bench = rig.bench();
    let (socket, peer) = rig.pair(&bench);
    peer.reset();
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        while shard.sent(socket, 0).await.is_ok() {
            shard.queue(socket, Bytes::from_static(b"x"));
            shard.yield_now().await;
        }
        shard.recv(socket, Class::Head).await.map(|lease| lease.len())
    });
    rig.wait(task).expect_err("the stream has not ended");
}

fn a_peer_that_vanishes_ends_the_stream(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    rig.write(&mut peer, b"last words");
    drop(peer);
    assert_eq!(rig.recv(&bench, socket, usize::MAX), b"last words");
}

fn a_late_event_after_close_finds_nobody(rig: &Rig) {
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    let mut reused = 0;
    for round in 0..20 {
        let mut peer = rig.peer(&address);
        let socket = rig.accept(&bench, listener);
        assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(1000 + round)).is_pending());
        let mut next_peer = rig.peer(&address);
        for _ in 0..3 {
            rig.turn();
        }
        // The bytes have been announced or not when the socket closes, and its slot belongs to somebody else at once.
        rig.write(&mut peer, b"late");
        rig.turn();
        bench.shard.close(socket, Close::Abort);
        bench.probe.ready.borrow_mut().clear();
        let next = match bench.shard.poll_accept(listener, Wake::NONE) {
            Poll::Ready(accepted) => accepted.expect("accepts").socket,
            Poll::Pending => rig.accept(&bench, listener),
        };
        assert_ne!(socket, next);
        reused += u32::from(socket.index() == next.index());
        assert!(bench.shard.poll_recv(next, Class::Head, Wake::row(2000)).is_pending());
        for _ in 0..5 {
            rig.turn();
        }
        assert!(bench.probe.ready.borrow().is_empty(), "woken: {:?}", bench.probe.ready.borrow());
        rig.write(&mut next_peer, b"mine");
        bench.shard.forget(next, Side::Read);
        assert_eq!(rig.recv(&bench, next, 4), b"mine");
        bench.shard.close(next, Close::Abort);
        rig.turn();
    }
    // Where operations are under way, the slot waits for their end first.
    assert!(reused > 0 || rig.kind != Kind::Epoll, "no slot was used again");
}

fn a_closed_id_is_an_error_and_not_somebody_else(rig: &Rig) {
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    let peer = rig.peer(&address);
    let old = rig.accept(&bench, listener);
    bench.shard.close(old, Close::Abort);
    drop(peer);
    for _ in 0..10 {
        rig.turn();
    }
    let mut new_peer = rig.peer(&address);
    let new = rig.accept(&bench, listener);
    assert_eq!(old.index(), new.index(), "the slot is used again");
    assert_ne!(old, new);
    rig.write(&mut new_peer, b"for the new one");
    rig.pass(Duration::from_millis(20));
    assert!(matches!(bench.shard.poll_recv(old, Class::Head, Wake::NONE), Poll::Ready(Err(_))));
    assert!(matches!(bench.shard.poll_sent(old, 0, Wake::NONE), Poll::Ready(Err(_))));
    assert!(matches!(bench.shard.poll_ready(old, Side::Read, Wake::NONE), Poll::Ready(Err(_))));
    bench.shard.queue(old, Bytes::from_static(b"lost"));
    assert_eq!(bench.shard.queued(old), 0);
    bench.shard.shutdown_write(old);
    bench.shard.forget(old, Side::Read);
    bench.shard.close(old, Close::Abort);
    assert_eq!(rig.recv(&bench, new, 15), b"for the new one");
    bench.shard.queue(new, Bytes::from_static(b"ok"));
    assert_eq!(rig.read(&mut new_peer, 2), b"ok");
}

fn closing_twice_is_nothing(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    bench.shard.queue(socket, Bytes::from_static(b"once"));
    bench.shard.close(socket, Close::Graceful);
    bench.shard.close(socket, Close::Graceful);
    let (read, error) = rig.read_to_end(&mut peer);
    assert_eq!((&read[..], error), (&b"once"[..], None));
    drop(peer);
    rig.until("the socket to be gone", || bench.shard.cells().sockets.get() == 0);
}

fn half_close_lets_the_other_direction_go_on(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    bench.shard.queue(socket, Bytes::from(pattern(100_000)));
    bench.shard.shutdown_write(socket);
    let (read, error) = rig.read_to_end(&mut peer);
    assert!(error.is_none() && read == pattern(100_000), "all, then the end");
    rig.write(&mut peer, b"still talking");
    assert_eq!(rig.recv(&bench, socket, 13), b"still talking");
    peer.shutdown();
    assert!(rig.recv(&bench, socket, 1).is_empty());
}

fn the_peers_half_close_lets_the_answer_out(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    rig.write(&mut peer, b"question");
    peer.shutdown();
    assert_eq!(rig.recv(&bench, socket, usize::MAX), b"question");
    bench.shard.queue(socket, Bytes::from(pattern(500_000)));
    bench.shard.close(socket, Close::Graceful);
    let (read, error) = rig.read_to_end(&mut peer);
    assert!(error.is_none() && read == pattern(500_000), "all of the answer");
}

fn nothing_is_left_after_many_connections(rig: &Rig) {
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    for round in 0..60 {
        let mut peer = rig.peer(&address);
        let socket = rig.accept(&bench, listener);
        if round % 3 == 0 {
            assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(5)).is_pending());
        } else {
            rig.write(&mut peer, b"request");
            assert_eq!(rig.recv(&bench, socket, 7), b"request");
            bench.shard.queue(socket, Bytes::from_static(b"response"));
        }
        bench.shard.close(socket, if round % 2 == 0 { Close::Graceful } else { Close::Abort });
    }
    rig.until("only the listener", || bench.shard.cells().sockets.get() == 1);
    assert_eq!(bench.shard.cells().buffers.get(), 0);
}

fn closing_with_a_receive_under_way_sends_the_end(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(5)).is_pending());
    rig.turn();
    rig.turn();
    bench.shard.close(socket, Close::Graceful);
    let (read, error) = rig.read_to_end(&mut peer);
    assert_eq!((read.len(), error), (0, None));
    assert!(!bench.probe.ready.borrow().contains(&5), "a closed socket wakes nobody");
}

fn stopping_frees_what_is_under_way(rig: &Rig) {
    let bench = rig.bench();
    let mut peers = Vec::new();
    for row in 0..10 {
        let (socket, mut peer) = rig.pair(&bench);
        assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(row)).is_pending());
        rig.write(&mut peer, b"on its way");
        bench.shard.queue(socket, Bytes::from(pattern(1 << 20)));
        peers.push(peer);
    }
    let (listener, _address) = rig.listen(&bench);
    let shard = bench.shard.clone();
    bench.shard.spawn(async move {
        let _ = shard.accept(listener).await;
    });
    // The rig stops every shard at a script's end; a peer must see its connection end then.
    bench.shard.stop();
    rig.turn();
}
