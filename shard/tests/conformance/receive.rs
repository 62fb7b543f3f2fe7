//! Do bytes arrive in order, once, whatever the network cuts them into, and does waiting cost nothing?

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use anygate_shard::{ArenaLimits, Bytes, Class, Close, Side, SocketId, Wake};

use crate::peer::Peer;
use crate::rig::{Bench, Done, Rig, pattern};

scripts!(
    bytes_arrive_in_order_under_any_split,
    end_of_stream_is_an_empty_lease,
    end_of_stream_stays,
    data_and_end_in_one_event_are_both_seen,
    recv_into_continues_at_a_leases_tail,
    recv_into_leaves_a_lease_as_it_is_at_the_end,
    recv_into_takes_unread_bytes_first,
    a_recv_into_that_is_given_up_leaves_its_lease_to_the_next,
    asking_again_moves_the_wake,
    unread_bytes_come_first,
    unread_while_a_receive_waits_comes_first,
    dropping_interest_loses_no_data,
    dropping_a_future_loses_no_data,
    a_row_is_woken_by_bytes,
    a_row_receives_request_after_request_and_a_task_takes_over,
    a_row_that_rests_gives_way_to_a_splice,
    a_row_that_rests_gives_way_to_a_receive_into_a_lease,
    a_row_that_stops_reading_is_not_read_on_for,
    a_row_that_rests_is_closed_however_much_still_comes,
    a_row_that_rests_can_be_given_away,
    readable_is_said_without_taking_bytes,
    many_sockets_receive_at_once,
    a_large_class_takes_more_at_once,
    an_idle_connection_holds_no_buffer,
    out_of_buffers_parks_and_goes_on_later,
    out_of_buffers_serves_first_who_came_first,
    a_socket_that_closes_while_it_waits_for_a_buffer_passes_its_turn_on,
    a_socket_that_gives_up_waiting_for_a_buffer_passes_its_turn_on,
    waiting_for_one_class_does_not_hold_up_another,
);

fn bytes_arrive_in_order_under_any_split(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let bytes = pattern(200_000);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let mut all = Vec::new();
        loop {
            let lease = shard.recv(socket, Class::Head).await.expect("receives");
            if lease.is_empty() {
                return all;
            }
            assert!(lease.len() <= lease.capacity());
            all.extend_from_slice(lease.filled());
        }
    });
    let mut rest = &bytes[..];
    for size in [1, 2, 3, 1000, 4095, 4096, 4097, 10_000, 1].into_iter().cycle() {
        let (part, after) = rest.split_at(size.min(rest.len()));
        rig.write(&mut peer, part);
        rig.turn();
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    peer.shutdown();
    assert!(rig.wait(task) == bytes, "the bytes differ");
}

fn end_of_stream_is_an_empty_lease(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    peer.shutdown();
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move { shard.recv(socket, Class::Head).await });
    assert!(rig.wait(task).expect("no error").is_empty());
}

fn end_of_stream_stays(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    peer.shutdown();
    for _ in 0..3 {
        let shard = bench.shard.clone();
        let task = rig.run(&bench.shard, async move { shard.recv(socket, Class::Head).await });
        assert!(rig.wait(task).expect("no error").is_empty());
    }
}

fn data_and_end_in_one_event_are_both_seen(rig: &Rig) {
    rig.roomy();
    for size in [1, 4095, 4096, 4097, 9000] {
        let bench = rig.bench();
        let (socket, mut peer) = rig.pair(&bench);
        assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(1)).is_pending());
        let bytes = pattern(size);
        rig.write(&mut peer, &bytes);
        peer.shutdown();
        assert!(rig.recv(&bench, socket, usize::MAX) == bytes, "size {size}");
    }
}

fn recv_into_continues_at_a_leases_tail(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    rig.write(&mut peer, b"GET / HT");
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let mut lease = shard.recv(socket, Class::Head).await.expect("receives");
        while lease.len() < 16 {
            let before = lease.len();
            lease = shard.recv_into(socket, lease).await.expect("receives");
            assert!(lease.len() > before);
        }
        lease.filled().to_vec()
    });
    rig.turn();
    rig.turn();
    rig.write(&mut peer, b"TP/1.1\r\n");
    assert_eq!(rig.wait(task), b"GET / HTTP/1.1\r\n");
}

fn recv_into_leaves_a_lease_as_it_is_at_the_end(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    rig.write(&mut peer, b"half a head");
    let shard = bench.shard.clone();
    peer.shutdown();
    let task = rig.run(&bench.shard, async move {
        let mut lease = shard.recv(socket, Class::Head).await.expect("receives");
        loop {
            let before = lease.len();
            lease = shard.recv_into(socket, lease).await.expect("receives");
            if lease.len() == before {
                return lease.filled().to_vec();
            }
        }
    });
    assert_eq!(rig.wait(task), b"half a head");
}

fn unread_bytes_come_first(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    rig.write(&mut peer, b"first");
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let mut lease = shard.recv(socket, Class::Head).await.expect("receives");
        while lease.len() < 5 {
            lease = shard.recv_into(socket, lease).await.expect("receives");
        }
        drop(lease.split_to(2));
        shard.unread(socket, lease);
    });
    rig.wait(task);
    rig.write(&mut peer, b"second");
    assert_eq!(rig.recv(&bench, socket, 9), b"rstsecond");
}

fn dropping_interest_loses_no_data(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    for round in 0..10_u8 {
        assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(3)).is_pending());
        rig.turn();
        rig.write(&mut peer, &[round; 100]);
        if round % 2 == 0 {
            rig.turn();
        }
        bench.shard.forget(socket, Side::Read);
        rig.turn();
        rig.turn();
        assert_eq!(rig.recv(&bench, socket, 100), [round; 100]);
    }
}

fn dropping_a_future_loses_no_data(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    for round in 0..10_u8 {
        let shard = bench.shard.clone();
        let mut receive = Box::pin(async move { shard.recv(socket, Class::Head).await });
        let task = rig.run(&bench.shard, async move {
            let pending = std::future::poll_fn(|cx| Poll::Ready(receive.as_mut().poll(cx).is_pending())).await;
            (pending, receive)
        });
        let (pending, receive) = rig.wait(task);
        assert!(pending, "nothing has been written yet");
        rig.write(&mut peer, &[round; 50]);
        for _ in 0..round {
            rig.turn();
        }
        drop(receive);
        assert_eq!(rig.recv(&bench, socket, 50), [round; 50]);
    }
}

fn a_row_is_woken_by_bytes(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(41)).is_pending());
    for _ in 0..10 {
        rig.turn();
    }
    assert!(bench.probe.ready.borrow().is_empty(), "nothing has happened yet");
    rig.write(&mut peer, b"x");
    rig.until("row 41", || bench.probe.ready.borrow().contains(&41));
    let mut bytes = Vec::new();
    rig.until("the byte", || {
        if let Poll::Ready(lease) = bench.shard.poll_recv(socket, Class::Head, Wake::row(41)) {
            bytes.extend_from_slice(lease.expect("receives").filled());
        }
        !bytes.is_empty()
    });
    assert_eq!(bytes, b"x");
}

/// Answers requests as a row, which then rests.
fn answer_as_row(rig: &Rig, bench: &Bench, socket: SocketId, peer: &mut Peer, requests: usize) {
    for _ in 0..requests {
        rig.write(peer, b"request");
        let mut request = Vec::new();
        rig.until("a request", || {
            while let Poll::Ready(lease) = bench.shard.poll_recv(socket, Class::Head, Wake::row(41)) {
                request.extend_from_slice(lease.expect("receives").filled());
            }
            request.len() >= 7
        });
        assert_eq!(request, b"request");
        bench.shard.queue(socket, Bytes::from_static(b"response"));
        assert_eq!(rig.read(peer, 8), b"response");
    }
    assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(41)).is_pending(), "it rests");
    rig.turn();
}

fn a_row_receives_request_after_request_and_a_task_takes_over(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    for class in [Class::Bulk, Class::Head, Class::Tls] {
        answer_as_row(rig, &bench, socket, &mut peer, 5);
        let shard = bench.shard.clone();
        let task = rig.run(&bench.shard, async move {
            let mut all = Vec::new();
            while all.len() < 100_000 {
                all.extend_from_slice(shard.recv(socket, class).await.expect("receives").filled());
            }
            all
        });
        rig.write(&mut peer, &pattern(100_000));
        assert!(rig.wait(task) == pattern(100_000), "the bytes differ");
    }
    answer_as_row(rig, &bench, socket, &mut peer, 3);
}

fn a_row_that_rests_gives_way_to_a_splice(rig: &Rig) {
    rig.roomy();
    let bench = rig.bench();
    let (from, mut source) = rig.pair(&bench);
    let (to, mut sink) = rig.pair(&bench);
    for _ in 0..2 {
        answer_as_row(rig, &bench, from, &mut source, 4);
        let shard = bench.shard.clone();
        let task = rig.run(&bench.shard, async move {
            let mut left = 50_000;
            while left > 0 {
                left -= shard.splice(from, to, left).await.expect("relays");
            }
        });
        rig.turn();
        rig.write(&mut source, &pattern(50_000));
        assert!(rig.read(&mut sink, 50_000) == pattern(50_000), "the bytes differ");
        rig.wait(task);
    }
}

fn a_row_that_rests_gives_way_to_a_receive_into_a_lease(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    answer_as_row(rig, &bench, socket, &mut peer, 4);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let mut lease = shard.lease(Class::Large);
        while lease.len() < 60_000 {
            lease = shard.recv_into(socket, lease).await.expect("receives");
        }
        lease.filled().to_vec()
    });
    rig.turn();
    rig.write(&mut peer, &pattern(60_000));
    assert!(rig.wait(task) == pattern(60_000), "the bytes differ");
}

fn a_row_that_stops_reading_is_not_read_on_for(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    answer_as_row(rig, &bench, socket, &mut peer, 4);
    let mut written = 0;
    for _ in 0..200 {
        // As much as fits: one turn finds all of it.
        while let Ok(count) = peer.write(&pattern(40_000)) {
            written += count;
        }
        rig.turn();
    }
    let held = match bench.shard.poll_recv(socket, Class::Head, Wake::row(41)) {
        Poll::Ready(lease) => lease.expect("receives").len(),
        Poll::Pending => 0,
    };
    assert!(held <= 256 << 10, "{held} of {written} bytes were received for nobody");
}

fn a_row_that_rests_is_closed_however_much_still_comes(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    answer_as_row(rig, &bench, socket, &mut peer, 4);
    bench.shard.close(socket, Close::Graceful);
    let begun = bench.shard.now();
    rig.until("the socket to be gone", || {
        let _ = peer.write(&pattern(20_000));
        bench.shard.cells().sockets.get() == 0
    });
    let took = bench.shard.now().since(begun);
    assert!(rig.is_sim() || took < Duration::from_millis(1900), "64 KiB are enough");
}

fn a_row_that_rests_can_be_given_away(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    answer_as_row(rig, &bench, socket, &mut peer, 4);
    let mut given = None;
    rig.until("the socket to be released", || match bench.shard.poll_release(socket, Wake::row(41)) {
        Poll::Ready(socket) => {
            given = socket;
            true
        }
        Poll::Pending => false,
    });
    let socket = bench.shard.adopt(given.expect("nothing was received that nobody took")).expect("adopts");
    answer_as_row(rig, &bench, socket, &mut peer, 4);
}

fn readable_is_said_without_taking_bytes(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move { shard.readiness(socket, Side::Read).await });
    for _ in 0..10 {
        rig.turn();
    }
    assert!(!task.is_done(), "nothing to read yet");
    rig.write(&mut peer, b"abc");
    rig.wait(task).expect("readable");
    assert_eq!(rig.recv(&bench, socket, 3), b"abc");
}

fn many_sockets_receive_at_once(rig: &Rig) {
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    let sum = Rc::new(RefCell::new(vec![0_usize; 40]));
    let mut peers = Vec::new();
    for number in 0..40 {
        let peer = rig.peer(&address);
        let socket = rig.accept(&bench, listener);
        let (shard, sum) = (bench.shard.clone(), sum.clone());
        bench.shard.spawn(async move {
            loop {
                let lease = shard.recv(socket, Class::Head).await.expect("receives");
                assert!(lease.filled().iter().all(|byte| usize::from(*byte) == number));
                if lease.is_empty() {
                    return;
                }
                sum.borrow_mut()[number] += lease.len();
            }
        });
        peers.push(peer);
    }
    for _ in 0..5 {
        for (number, peer) in peers.iter_mut().enumerate() {
            rig.write(peer, &vec![u8::try_from(number).expect("few"); 3000]);
        }
    }
    rig.until("all bytes of all sockets", || sum.borrow().iter().all(|sum| *sum == 15_000));
}

fn a_large_class_takes_more_at_once(rig: &Rig) {
    rig.calm();
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    rig.write(&mut peer, &pattern(50_000));
    rig.pass(Duration::from_millis(50));
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move { shard.recv(socket, Class::Bulk).await });
    let lease = rig.wait(task).expect("receives");
    assert_eq!(lease.class(), Some(Class::Bulk));
    assert!(lease.filled() == pattern(50_000), "{} bytes", lease.len());
}

fn an_idle_connection_holds_no_buffer(rig: &Rig) {
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    let mut peers = Vec::new();
    for row in 0..20 {
        let peer = rig.peer(&address);
        let socket = rig.accept(&bench, listener);
        assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(row)).is_pending());
        peers.push(peer);
    }
    for _ in 0..5 {
        rig.turn();
    }
    assert_eq!(bench.shard.cells().buffers.get(), 0);
}

fn out_of_buffers_parks_and_goes_on_later(rig: &Rig) {
    rig.calm();
    let bench = rig.bench_with(|options| options.arena = ArenaLimits { buffers: [2, 2, 2, 2], reserve: [0; 4] });
    let (first, mut first_peer) = rig.pair(&bench);
    let (second, mut second_peer) = rig.pair(&bench);
    let (third, mut third_peer) = rig.pair(&bench);
    for peer in [&mut first_peer, &mut second_peer, &mut third_peer] {
        rig.write(peer, b"bytes");
    }
    let take = |socket| {
        let shard = bench.shard.clone();
        rig.run(&bench.shard, async move { shard.recv(socket, Class::Head).await })
    };
    let (held_first, held_second) =
        (rig.wait(take(first)).expect("receives"), rig.wait(take(second)).expect("receives"));
    let parked = take(third);
    for _ in 0..20 {
        rig.turn();
    }
    assert!(!parked.is_done(), "there is no buffer for a third");
    drop(held_first);
    assert_eq!(rig.wait(parked).expect("receives").filled(), b"bytes");
    drop(held_second);
}

fn out_of_buffers_serves_first_who_came_first(rig: &Rig) {
    rig.calm();
    let bench = rig.bench_with(|options| options.arena = ArenaLimits { buffers: [1, 1, 1, 1], reserve: [0; 4] });
    let (holder, mut holder_peer) = rig.pair(&bench);
    rig.write(&mut holder_peer, b"x");
    let shard = bench.shard.clone();
    let held = rig.run(&bench.shard, async move { shard.recv(holder, Class::Head).await });
    let held = rig.wait(held).expect("receives");
    let order = Rc::new(RefCell::new(Vec::new()));
    let mut peers = Vec::new();
    for number in 0..5 {
        let (socket, mut peer) = rig.pair(&bench);
        rig.write(&mut peer, b"y");
        let (shard, order) = (bench.shard.clone(), order.clone());
        bench.shard.spawn(async move {
            shard.recv(socket, Class::Head).await.expect("receives");
            order.borrow_mut().push(number);
        });
        rig.pass(Duration::from_millis(20));
        peers.push(peer);
    }
    assert!(order.borrow().is_empty());
    drop(held);
    rig.until("all five", || order.borrow().len() == 5);
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
}

/// A shard with one buffer of each class, and a socket that holds the one for heads.
fn one_buffer_taken(rig: &Rig) -> (Bench, anygate_shard::Lease) {
    rig.calm();
    let one = ArenaLimits { buffers: [1, 1, 1, 1], reserve: [0; 4] };
    let bench = rig.bench_with(|options| options.arena = one);
    let held = rig.wait(waiter(rig, &bench, Class::Head).1).expect("receives");
    (bench, held)
}

/// A task that receives on a socket of its own, whose peer has written and gone.
fn waiter(rig: &Rig, bench: &Bench, class: Class) -> (SocketId, Done<std::io::Result<anygate_shard::Lease>>) {
    let (socket, mut peer) = rig.pair(bench);
    rig.write(&mut peer, b"bytes");
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move { shard.recv(socket, class).await });
    rig.pass(Duration::from_millis(20));
    (socket, task)
}

fn a_socket_that_closes_while_it_waits_for_a_buffer_passes_its_turn_on(rig: &Rig) {
    let (bench, held) = one_buffer_taken(rig);
    let (closed, _) = waiter(rig, &bench, Class::Head);
    let (_, next) = waiter(rig, &bench, Class::Head);
    bench.shard.close(closed, Close::Abort);
    rig.turn();
    assert!(!next.is_done());
    drop(held);
    assert_eq!(rig.wait(next).expect("receives").filled(), b"bytes");
}

fn a_socket_that_gives_up_waiting_for_a_buffer_passes_its_turn_on(rig: &Rig) {
    let (bench, held) = one_buffer_taken(rig);
    let (given_up, _) = waiter(rig, &bench, Class::Head);
    let (_, next) = waiter(rig, &bench, Class::Head);
    bench.shard.forget(given_up, Side::Read);
    rig.turn();
    drop(held);
    assert_eq!(rig.wait(next).expect("receives").filled(), b"bytes");
    assert_eq!(rig.recv(&bench, given_up, 5), b"bytes");
}

fn waiting_for_one_class_does_not_hold_up_another(rig: &Rig) {
    let (bench, held_head) = one_buffer_taken(rig);
    let held_bulk = rig.wait(waiter(rig, &bench, Class::Bulk).1).expect("receives");
    let (_, first_head) = waiter(rig, &bench, Class::Head);
    let (_, bulk) = waiter(rig, &bench, Class::Bulk);
    let (_, second_head) = waiter(rig, &bench, Class::Head);
    drop(held_bulk);
    assert_eq!(rig.wait(bulk).expect("receives").filled(), b"bytes");
    assert!(!first_head.is_done() && !second_head.is_done());
    drop(held_head);
    let lease = rig.wait(first_head).expect("receives");
    assert!(!second_head.is_done(), "first come, first served");
    drop(lease);
    assert_eq!(rig.wait(second_head).expect("receives").filled(), b"bytes");
}

fn recv_into_takes_unread_bytes_first(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    rig.write(&mut peer, b"abcdef");
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let mut lease = shard.recv(socket, Class::Head).await.expect("receives");
        while lease.len() < 6 {
            lease = shard.recv_into(socket, lease).await.expect("receives");
        }
        let mut front = shard.lease(Class::Head);
        front.extend_from_slice(&lease.filled()[..3]);
        lease.consume(3);
        shard.unread(socket, lease);
        while front.len() < 9 {
            front = shard.recv_into(socket, front).await.expect("receives");
        }
        front.filled().to_vec()
    });
    rig.pass(Duration::from_millis(5));
    rig.write(&mut peer, b"ghi");
    assert_eq!(rig.wait(task), b"abcdefghi");
}

fn a_recv_into_that_is_given_up_leaves_its_lease_to_the_next(rig: &Rig) {
    for turns in 0..4 {
        let bench = rig.bench();
        let (socket, mut peer) = rig.pair(&bench);
        rig.write(&mut peer, b"front ");
        let shard = bench.shard.clone();
        let task = rig.run(&bench.shard, async move {
            let mut lease = shard.recv(socket, Class::Head).await.expect("receives");
            while lease.len() < 6 {
                lease = shard.recv_into(socket, lease).await.expect("receives");
            }
            let mut go_on = Box::pin(shard.recv_into(socket, lease));
            let pending = std::future::poll_fn(|cx| Poll::Ready(go_on.as_mut().poll(cx).is_pending())).await;
            assert!(pending, "nothing more was written");
        });
        rig.wait(task);
        rig.write(&mut peer, b"back");
        for _ in 0..turns {
            rig.turn();
        }
        assert_eq!(rig.recv(&bench, socket, 10), b"front back", "after {turns} turns");
    }
}

fn asking_again_moves_the_wake(rig: &Rig) {
    // An event for nothing would be told to an earlier row.
    rig.calm();
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    for row in 1..4 {
        assert!(bench.shard.poll_accept(listener, Wake::row(row)).is_pending());
        rig.turn();
    }
    let mut peer = rig.peer(&address);
    rig.until("row 3", || bench.probe.ready.borrow().contains(&3));
    let socket = rig.accept(&bench, listener);
    for row in 11..14 {
        assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(row)).is_pending());
        rig.turn();
    }
    rig.write(&mut peer, b"x");
    rig.until("row 13", || bench.probe.ready.borrow().contains(&13));
    assert_eq!(rig.recv(&bench, socket, 1), b"x");
    for row in 21..24 {
        assert!(bench.shard.poll_ready(socket, Side::Read, Wake::row(row)).is_pending());
        rig.turn();
    }
    rig.write(&mut peer, b"y");
    rig.until("row 23", || bench.probe.ready.borrow().contains(&23));
    let earlier = [1, 2, 11, 12, 21, 22];
    assert!(!bench.probe.ready.borrow().iter().any(|row| earlier.contains(row)), "{:?}", bench.probe.ready.borrow());
}

fn unread_while_a_receive_waits_comes_first(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    rig.write(&mut peer, b"abc");
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let mut lease = shard.recv(socket, Class::Head).await.expect("receives");
        while lease.len() < 3 {
            lease = shard.recv_into(socket, lease).await.expect("receives");
        }
        let mut next = Box::pin(shard.recv(socket, Class::Head));
        let pending = std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending())).await;
        assert!(pending, "nothing more was written");
        lease
    });
    let lease = rig.wait(task);
    rig.turn();
    rig.write(&mut peer, b"def");
    bench.shard.unread(socket, lease);
    assert_eq!(rig.recv(&bench, socket, 6), b"abcdef");
}
