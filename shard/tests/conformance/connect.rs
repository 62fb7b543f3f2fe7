//! Do connections out of a shard come to be, or say why not?

use std::io;
use std::task::Poll;

use anygate_shard::net::Address;
use anygate_shard::{Bytes, Class, Close, Wake};

use crate::rig::Rig;

scripts!(
    connect_reaches_a_listener,
    connect_to_nobody_is_refused,
    connect_reaches_a_unix_socket,
    connect_to_a_missing_path_fails,
    a_row_is_woken_when_connected,
    bytes_may_be_queued_before_the_connection_stands,
    a_connection_given_up_while_connecting_is_gone,
    two_shards_sockets_talk,
    a_connected_socket_may_be_used_again_and_again,
);

fn connect_reaches_a_listener(rig: &Rig) {
    let bench = rig.bench();
    let outside = rig.outside();
    let (shard, address) = (bench.shard.clone(), outside.address.clone());
    let task = rig.run(&bench.shard, async move {
        let socket = shard.connect(&address).expect("starts");
        shard.connected(socket).await.expect("connects");
        shard.queue(socket, Bytes::from_static(b"hello"));
        shard.recv(socket, Class::Head).await.expect("receives").filled().to_vec()
    });
    let mut peer = outside.accept(rig);
    assert_eq!(rig.read(&mut peer, 5), b"hello");
    rig.write(&mut peer, b"!");
    assert_eq!(rig.wait(task), b"!");
}

fn connect_to_nobody_is_refused(rig: &Rig) {
    let bench = rig.bench();
    let outside = rig.outside();
    let address = outside.address.clone();
    drop(outside);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let socket = shard.connect(&address)?;
        let result = shard.connected(socket).await;
        shard.close(socket, Close::Abort);
        result
    });
    assert_eq!(rig.wait(task).expect_err("nobody listens").kind(), io::ErrorKind::ConnectionRefused);
    rig.until("the socket to be gone", || bench.shard.cells().sockets.get() == 0);
}

fn connect_reaches_a_unix_socket(rig: &Rig) {
    let bench = rig.bench();
    let outside = rig.outside_unix();
    let (shard, address) = (bench.shard.clone(), outside.address.clone());
    let task = rig.run(&bench.shard, async move {
        let socket = shard.connect(&address).expect("starts");
        shard.connected(socket).await.expect("connects");
        shard.queue(socket, Bytes::from_static(b"hello"));
        shard.recv(socket, Class::Head).await.expect("receives").filled().to_vec()
    });
    let mut peer = outside.accept(rig);
    assert_eq!(rig.read(&mut peer, 5), b"hello");
    rig.write(&mut peer, b"!");
    assert_eq!(rig.wait(task), b"!");
}

fn connect_to_a_missing_path_fails(rig: &Rig) {
    let bench = rig.bench();
    let address = Address::Unix(Some(rig.path("nobody")));
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let socket = shard.connect(&address)?;
        let result = shard.connected(socket).await;
        shard.close(socket, Close::Abort);
        result
    });
    assert_eq!(rig.wait(task).expect_err("no such path").kind(), io::ErrorKind::NotFound);
}

fn a_row_is_woken_when_connected(rig: &Rig) {
    let bench = rig.bench();
    let outside = rig.outside();
    let socket = bench.shard.connect(&outside.address).expect("starts");
    if bench.shard.poll_connected(socket, Wake::row(3)).is_pending() {
        rig.until("row 3", || bench.probe.ready.borrow().contains(&3));
    }
    rig.until("connected", || match bench.shard.poll_connected(socket, Wake::row(3)) {
        Poll::Ready(result) => {
            result.expect("connects");
            true
        }
        Poll::Pending => false,
    });
}

fn bytes_may_be_queued_before_the_connection_stands(rig: &Rig) {
    let bench = rig.bench();
    let outside = rig.outside();
    let socket = bench.shard.connect(&outside.address).expect("starts");
    bench.shard.queue(socket, Bytes::from_static(b"early"));
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move { shard.connected(socket).await });
    let mut peer = outside.accept(rig);
    assert_eq!(rig.read(&mut peer, 5), b"early");
    rig.wait(task).expect("connects");
}

fn a_connection_given_up_while_connecting_is_gone(rig: &Rig) {
    let bench = rig.bench();
    let outside = rig.outside();
    for row in 0..10 {
        let socket = bench.shard.connect(&outside.address).expect("starts");
        let _ = bench.shard.poll_connected(socket, Wake::row(row));
        bench.shard.close(socket, if row % 2 == 0 { Close::Abort } else { Close::Graceful });
    }
    rig.until("all sockets to be gone", || {
        // The peers go away, or a graceful close waits for them.
        drop(outside.try_accept());
        bench.shard.cells().sockets.get() == 0
    });
    assert!(bench.probe.ready.borrow().is_empty());
}

fn two_shards_sockets_talk(rig: &Rig) {
    let (client, server) = (rig.bench(), rig.bench());
    let (listener, address) = rig.listen(&server);
    let shard = server.shard.clone();
    server.shard.spawn(async move {
        let socket = shard.accept(listener).await.expect("accepts").socket;
        loop {
            let lease = shard.recv(socket, Class::Head).await.expect("receives");
            if lease.is_empty() {
                shard.close(socket, Close::Graceful);
                return;
            }
            shard.queue(socket, lease.freeze());
        }
    });
    let shard = client.shard.clone();
    let task = rig.run(&client.shard, async move {
        let socket = shard.connect(&address).expect("starts");
        shard.connected(socket).await.expect("connects");
        let mut back = Vec::new();
        for round in 0..20_u8 {
            shard.queue(socket, Bytes::from(vec![round; 100]));
            while back.len() < 100 * (usize::from(round) + 1) {
                back.extend_from_slice(shard.recv(socket, Class::Head).await.expect("receives").filled());
            }
        }
        shard.shutdown_write(socket);
        assert!(shard.recv(socket, Class::Head).await.expect("receives").is_empty());
        shard.close(socket, Close::Graceful);
        back
    });
    let back = rig.wait(task);
    assert!(back.chunks(100).enumerate().all(|(round, part)| part.iter().all(|byte| usize::from(*byte) == round)));
    rig.until("client at rest", || client.shard.cells().sockets.get() == 0);
    rig.until("server at rest", || server.shard.cells().sockets.get() == 1);
}

fn a_connected_socket_may_be_used_again_and_again(rig: &Rig) {
    let bench = rig.bench();
    let outside = rig.outside();
    let (shard, address) = (bench.shard.clone(), outside.address.clone());
    let task = rig.run(&bench.shard, async move {
        let socket = shard.connect(&address).expect("starts");
        shard.connected(socket).await.expect("connects");
        shard.connected(socket).await.expect("still is");
        socket
    });
    let mut peer = outside.accept(rig);
    let socket = rig.wait(task);
    for round in 0..10_u8 {
        bench.shard.queue(socket, Bytes::from(vec![round; 10]));
        assert_eq!(rig.read(&mut peer, 10), [round; 10]);
        rig.write(&mut peer, &[round; 20]);
        assert_eq!(rig.recv(&bench, socket, 20), [round; 20]);
    }
}
