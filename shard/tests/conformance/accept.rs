//! Do listeners give every connection exactly once, and survive a lack of descriptors?

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use anygate_shard::net::Address;
use anygate_shard::{Class, Close, Side, Wake};

use crate::rig::Rig;

scripts!(
    accept_gives_a_socket_and_its_peer,
    accept_gives_every_connection_of_a_burst_once,
    accept_wakes_a_row,
    accept_works_on_a_unix_socket,
    an_accepted_socket_says_its_addresses,
    a_listener_is_readable_while_somebody_waits,
    a_closed_listener_accepts_nobody,
    two_listeners_do_not_mix,
    a_listener_accepts_while_connections_live,
    what_is_accepted_has_the_listeners_options,
);

fn accept_gives_a_socket_and_its_peer(rig: &Rig) {
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    let mut peer = rig.peer(&address);
    let socket = rig.accept(&bench, listener);
    rig.write(&mut peer, b"hello");
    assert_eq!(rig.recv(&bench, socket, 5), b"hello");
}

fn accept_gives_every_connection_of_a_burst_once(rig: &Rig) {
    const COUNT: usize = 60;
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    let mut peers: Vec<_> = (0..COUNT).map(|_| rig.peer(&address)).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        rig.write(peer, &[u8::try_from(number).expect("few")]);
    }
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (shard, seen_by_task) = (bench.shard.clone(), seen.clone());
    let _ = rig.run(&bench.shard, async move {
        loop {
            let socket = shard.accept(listener).await.expect("accepts").socket;
            let (reader, seen) = (shard.clone(), seen_by_task.clone());
            shard.spawn(async move {
                let lease = reader.recv(socket, Class::Head).await.expect("receives");
                seen.borrow_mut().extend_from_slice(lease.filled());
            });
        }
    });
    rig.until("every connection", || seen.borrow().len() >= COUNT);
    for _ in 0..20 {
        rig.turn();
    }
    let mut seen = seen.borrow().clone();
    seen.sort_unstable();
    assert_eq!(seen, (0..60).collect::<Vec<u8>>());
}

fn accept_wakes_a_row(rig: &Rig) {
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    assert!(bench.shard.poll_accept(listener, Wake::row(7)).is_pending());
    let _peer = rig.peer(&address);
    let mut socket = None;
    rig.until("the row to be woken and accept", || {
        if bench.probe.ready.borrow_mut().pop() == Some(7)
            && let Poll::Ready(accepted) = bench.shard.poll_accept(listener, Wake::row(7))
        {
            socket = Some(accepted.expect("accepts").socket);
        }
        socket.is_some()
    });
}

fn accept_works_on_a_unix_socket(rig: &Rig) {
    let bench = rig.bench();
    let (fd, address) = rig.bind_unix();
    let listener = bench.shard.listen(fd).expect("listens");
    let mut peer = rig.peer(&address);
    let socket = rig.accept(&bench, listener);
    assert!(matches!(bench.shard.peer(socket), Ok(Address::Unix(_))));
    rig.write(&mut peer, b"by path");
    assert_eq!(rig.recv(&bench, socket, 7), b"by path");
    bench.shard.queue(socket, anygate_shard::Bytes::from_static(b"and back"));
    assert_eq!(rig.read(&mut peer, 8), b"and back");
}

fn an_accepted_socket_says_its_addresses(rig: &Rig) {
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    let _peer = rig.peer(&address);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move { shard.accept(listener).await });
    let accepted = rig.wait(task).expect("accepts");
    assert_eq!(bench.shard.local(accepted.socket).expect("open"), address);
    assert_eq!(bench.shard.peer(accepted.socket).expect("open"), accepted.peer);
    assert_ne!(accepted.peer, address);
}

fn a_listener_is_readable_while_somebody_waits(rig: &Rig) {
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    let ready = |wake| bench.shard.poll_ready(listener, Side::Read, wake);
    assert!(ready(Wake::row(1)).is_pending());
    rig.turn();
    let _peer = rig.peer(&address);
    rig.until("the row", || bench.probe.ready.borrow().contains(&1));
    assert!(matches!(ready(Wake::row(1)), Poll::Ready(Ok(()))));
    let _socket = rig.accept(&bench, listener);
    assert!(ready(Wake::row(1)).is_pending(), "nobody waits any more");
    let _another = rig.peer(&address);
    let _socket = rig.accept(&bench, listener);
}

fn a_closed_listener_accepts_nobody(rig: &Rig) {
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    assert!(bench.shard.poll_accept(listener, Wake::row(1)).is_pending());
    bench.shard.close(listener, Close::Abort);
    for _ in 0..20 {
        rig.turn();
    }
    assert!(rig.try_peer(&address).is_err(), "nobody listens any more");
    assert!(matches!(bench.shard.poll_accept(listener, Wake::row(1)), Poll::Ready(Err(_))));
}

fn two_listeners_do_not_mix(rig: &Rig) {
    let bench = rig.bench();
    let (first, first_address) = rig.listen(&bench);
    let (second, second_address) = rig.listen(&bench);
    let mut to_second = rig.peer(&second_address);
    let mut to_first = rig.peer(&first_address);
    rig.write(&mut to_first, b"1");
    rig.write(&mut to_second, b"2");
    let first = rig.accept(&bench, first);
    let second = rig.accept(&bench, second);
    assert_eq!(rig.recv(&bench, first, 1), b"1");
    assert_eq!(rig.recv(&bench, second, 1), b"2");
}

fn a_listener_accepts_while_connections_live(rig: &Rig) {
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    let mut open = Vec::new();
    for round in 0..10_u8 {
        let mut peer = rig.peer(&address);
        let socket = rig.accept(&bench, listener);
        rig.write(&mut peer, &[round]);
        assert_eq!(rig.recv(&bench, socket, 1), [round]);
        if round % 2 == 0 {
            bench.shard.close(socket, Close::Graceful);
        } else {
            open.push((socket, peer));
        }
    }
    for (socket, peer) in &mut open {
        rig.write(peer, b"still");
        assert_eq!(rig.recv(&bench, *socket, 5), b"still");
    }
}

fn what_is_accepted_has_the_listeners_options(rig: &Rig) {
    if rig.is_sim() {
        return;
    }
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    for idle in [None, Some(Duration::from_secs(70)), None] {
        bench.shard.set_nodelay(listener, idle.is_some()).expect("a TCP listener");
        bench.shard.set_keepalive(listener, idle).expect("a TCP listener");
        let _peer = rig.peer(&address);
        let socket = rig.accept(&bench, listener);
        let fd = bench.shard.descriptor(socket).expect("open");
        let is_on = |level, name| option(fd, level, name) != 0;
        assert_eq!(is_on(libc::IPPROTO_TCP, libc::TCP_NODELAY), idle.is_some());
        assert_eq!(is_on(libc::SOL_SOCKET, libc::SO_KEEPALIVE), idle.is_some());
        if let Some(idle) = idle {
            assert_eq!(option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) as u64, idle.as_secs());
        }
    }
}

fn option(fd: i32, level: i32, name: i32) -> i32 {
    let (mut value, mut length) = (0i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: the kernel writes at most `length` bytes to `value`.
    let result = unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut length) };
    assert_eq!(result, 0, "getsockopt");
    value
}
