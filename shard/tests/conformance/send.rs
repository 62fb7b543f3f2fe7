//! Does what was queued leave in order, in one send a turn, no faster than the peer takes it?

use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anygate_shard::file::File;
use anygate_shard::{Bytes, Class, Close, Shard, Side, SocketId, Wake};

use crate::rig::{Rig, pattern};

scripts!(
    queued_bytes_leave_in_order,
    what_was_queued_in_one_turn_leaves_in_one_send,
    nothing_leaves_before_the_turns_end,
    hundreds_of_segments_leave_whole,
    every_kind_of_bytes_leaves,
    sent_at_zero_means_all_was_taken,
    sent_waits_for_its_low_water,
    a_peer_that_does_not_read_stops_the_sender,
    a_stopped_sender_goes_on_when_the_peer_reads,
    a_row_is_woken_when_its_bytes_have_left,
    sending_to_a_closed_peer_fails_that_socket_only,
    both_directions_at_once_do_not_mix,
    writable_is_said,
    sendfile_sends_exactly_the_range_after_the_head,
    sendfile_of_a_large_file_is_intact,
    sendfile_stops_where_the_file_ends,
    bytes_queued_after_a_file_come_after_it,
    a_file_waits_for_a_peer_that_does_not_read,
    a_file_to_a_reset_peer_is_an_error,
    a_sender_that_is_given_up_still_sends,
);

/// Queues all of `bytes` in segments of `size`.
fn queue_all(shard: &Shard, socket: SocketId, bytes: &[u8], size: usize) {
    for part in bytes.chunks(size) {
        shard.queue(socket, Bytes::from(part.to_vec()));
    }
}

fn queued_bytes_leave_in_order(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let bytes = pattern(100_000);
    queue_all(&bench.shard, socket, &bytes, 7001);
    assert!(rig.read(&mut peer, bytes.len()) == bytes, "the bytes differ");
    rig.until("nothing queued", || bench.shard.queued(socket) == 0);
}

fn what_was_queued_in_one_turn_leaves_in_one_send(rig: &Rig) {
    rig.calm();
    let bench = rig.bench();
    let (socket, mut peer) = rig.record_pair(&bench);
    rig.turn();
    let before = rig.world.as_ref().map(anygate_shard::sim::World::sends);
    for _ in 0..3 {
        let shard = bench.shard.clone();
        let task = rig.run(&bench.shard, async move {
            for _ in 0..10 {
                shard.queue(socket, Bytes::from_static(b"segment "));
            }
            shard.sent(socket, 0).await
        });
        rig.wait(task).expect("sends");
        // A real peer's socket keeps records: one read gives what one send took.
        let mut record = [0; 200];
        let mut length = 0;
        rig.until("the record", || {
            length = peer.read(&mut record).unwrap_or(0);
            length > 0
        });
        assert_eq!(&record[..length], b"segment ".repeat(10));
    }
    if let Some(world) = &rig.world {
        assert_eq!(Some(world.sends() - 3), before);
    }
}

fn nothing_leaves_before_the_turns_end(rig: &Rig) {
    rig.calm();
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    bench.shard.queue(socket, Bytes::from_static(b"later"));
    assert_eq!(bench.shard.queued(socket), 5);
    std::thread::sleep(Duration::from_millis(if rig.is_sim() { 0 } else { 2 }));
    assert!(peer.read(&mut [0; 8]).is_err(), "no turn has ended");
    assert_eq!(rig.read(&mut peer, 5), b"later");
}

fn hundreds_of_segments_leave_whole(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let bytes = pattern(3000);
    queue_all(&bench.shard, socket, &bytes, 1);
    assert!(rig.read(&mut peer, bytes.len()) == bytes, "the bytes differ");
}

fn every_kind_of_bytes_leaves(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    rig.write(&mut peer, b"abcdef");
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let mut lease = shard.recv(socket, Class::Head).await.expect("receives");
        while lease.len() < 6 {
            lease = shard.recv_into(socket, lease).await.expect("receives");
        }
        let image: Arc<[u8]> = Arc::from(&b"image "[..]);
        shard.queue(socket, Bytes::from_static(b"static "));
        shard.queue(socket, Bytes::empty());
        shard.queue(socket, Bytes::from(b"owned ".to_vec()));
        shard.queue(socket, Bytes::from(image));
        shard.queue(socket, lease.split_to(2));
        shard.queue(socket, lease.freeze().slice(1..4));
    });
    rig.wait(task);
    assert_eq!(rig.read(&mut peer, 24), b"static owned image abdef");
    rig.until("the buffer's return", || bench.shard.cells().buffers.get() == 0);
}

fn sent_at_zero_means_all_was_taken(rig: &Rig) {
    rig.roomy();
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        shard.queue(socket, Bytes::from(pattern(20_000)));
        shard.sent(socket, 0).await.expect("sends");
        shard.queued(socket)
    });
    assert_eq!(rig.wait(task), 0);
    assert!(rig.read(&mut peer, 20_000) == pattern(20_000), "the bytes differ");
}

fn sent_waits_for_its_low_water(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    bench.shard.queue(socket, Bytes::from(pattern(rig.much())));
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        shard.sent(socket, 1 << 20).await.expect("sends");
        shard.queued(socket)
    });
    rig.pass(Duration::from_millis(100));
    assert!(!task.is_done(), "the peer has not read");
    let mut read = 0;
    while !task.is_done() {
        read += rig.read(&mut peer, 1 << 16).len();
        rig.turn();
        assert!(read < rig.much(), "the sender must go on before all was read");
    }
    assert!(rig.wait(task) <= 1 << 20);
    let left = bench.shard.queued(socket);
    assert!(left <= 1 << 20 && left > 0, "{left} left");
}

fn a_peer_that_does_not_read_stops_the_sender(rig: &Rig) {
    let bench = rig.bench();
    let (socket, peer) = rig.pair(&bench);
    let shard = bench.shard.clone();
    let pushed = Rc::new(Cell::new(0));
    let count = pushed.clone();
    bench.shard.spawn(async move {
        loop {
            shard.queue(socket, Bytes::from(vec![7; 1 << 16]));
            count.set(count.get() + (1 << 16));
            if shard.sent(socket, 1 << 16).await.is_err() {
                return;
            }
        }
    });
    rig.pass(Duration::from_millis(200));
    let reached = pushed.get();
    rig.pass(Duration::from_millis(200));
    assert_eq!(pushed.get(), reached, "the sender goes on though nobody reads");
    assert!(reached < rig.much(), "{reached} bytes pushed");
    assert!(bench.shard.queued(socket) <= 2 << 16);
    drop(peer);
}

fn a_stopped_sender_goes_on_when_the_peer_reads(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let bytes = pattern(8 << 20);
    let (shard, to_send) = (bench.shard.clone(), bytes.clone());
    let task = rig.run(&bench.shard, async move {
        for part in to_send.chunks(50_000) {
            shard.queue(socket, Bytes::from(part.to_vec()));
            shard.sent(socket, 1 << 16).await.expect("sends");
        }
        shard.sent(socket, 0).await.expect("sends");
    });
    rig.pass(Duration::from_millis(20));
    assert!(rig.read(&mut peer, bytes.len()) == bytes, "the bytes differ");
    rig.wait(task);
}

fn a_row_is_woken_when_its_bytes_have_left(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    bench.shard.queue(socket, Bytes::from(pattern(rig.much())));
    assert!(bench.shard.poll_sent(socket, 0, Wake::row(9)).is_pending());
    assert!(rig.read(&mut peer, rig.much()) == pattern(rig.much()), "the bytes differ");
    rig.until("row 9", || bench.probe.ready.borrow().contains(&9));
    rig.until("all sent", || bench.shard.poll_sent(socket, 0, Wake::row(9)).is_ready());
}

fn sending_to_a_closed_peer_fails_that_socket_only(rig: &Rig) {
    let bench = rig.bench();
    let (broken, broken_peer) = rig.pair(&bench);
    let (well, mut well_peer) = rig.pair(&bench);
    broken_peer.reset();
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        loop {
            shard.queue(broken, Bytes::from(vec![1; 1000]));
            if let Err(error) = shard.sent(broken, 0).await {
                return error;
            }
            shard.yield_now().await;
        }
    });
    rig.wait(task);
    bench.shard.close(broken, Close::Abort);
    bench.shard.queue(well, Bytes::from_static(b"well"));
    assert_eq!(rig.read(&mut well_peer, 4), b"well");
}

fn both_directions_at_once_do_not_mix(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let shard = bench.shard.clone();
    let echo = rig.run(&bench.shard, async move {
        loop {
            let lease = shard.recv(socket, Class::Head).await.expect("receives");
            if lease.is_empty() {
                shard.shutdown_write(socket);
                return;
            }
            shard.queue(socket, lease.freeze());
            shard.sent(socket, 1 << 16).await.expect("sends");
        }
    });
    let bytes = pattern(300_000);
    let mut back = Vec::new();
    let mut part = vec![0; 5000];
    let mut written = 0;
    rig.until("the echo", || {
        if written < bytes.len()
            && let Ok(count) = peer.write(&bytes[written..(written + 3000).min(bytes.len())])
        {
            written += count;
            if written == bytes.len() {
                peer.shutdown();
            }
        }
        match peer.read(&mut part) {
            Ok(count) => {
                back.extend_from_slice(&part[..count]);
                count == 0
            }
            Err(_) => false,
        }
    });
    assert!(back == bytes, "the bytes differ");
    rig.wait(echo);
}

fn writable_is_said(rig: &Rig) {
    let bench = rig.bench();
    let (socket, _peer) = rig.pair(&bench);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move { shard.readiness(socket, Side::Write).await });
    rig.wait(task).expect("writable");
}

/// A file of `length` pattern bytes.
fn file(rig: &Rig, length: usize) -> File {
    let path = rig.path("file");
    fs::write(&path, pattern(length)).expect("our own directory");
    File::open(path).expect("just written")
}

/// Sends a range of a file in steps, as an action does; how much was sent.
async fn send_range(shard: Shard, socket: SocketId, file: File, mut offset: u64, mut length: usize) -> usize {
    let mut sum = 0;
    while length > 0 {
        let count = shard.sendfile(socket, &file, offset, length.min(2 << 20)).await.expect("sends");
        if count == 0 {
            break;
        }
        offset += count as u64;
        length -= count;
        sum += count;
    }
    sum
}

fn sendfile_sends_exactly_the_range_after_the_head(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let file = file(rig, 100_000);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        shard.queue(socket, Bytes::from_static(b"the head|"));
        shard.flush_now(socket, true);
        let sent = send_range(shard.clone(), socket, file, 1234, 56_789).await;
        shard.queue(socket, Bytes::from_static(b"|the next head"));
        sent
    });
    let mut expected = b"the head|".to_vec();
    expected.extend_from_slice(&pattern(100_000)[1234..1234 + 56_789]);
    expected.extend_from_slice(b"|the next head");
    assert!(rig.read(&mut peer, expected.len()) == expected, "the bytes differ");
    assert_eq!(rig.wait(task), 56_789);
    assert!(peer.read(&mut [0; 8]).is_err(), "nothing more may come");
}

fn sendfile_of_a_large_file_is_intact(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let length = 9 << 20;
    let file = file(rig, length);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        shard.queue(socket, Bytes::from_static(b"head"));
        let sent = send_range(shard.clone(), socket, file, 0, length).await;
        shard.close(socket, Close::Graceful);
        sent
    });
    let (bytes, error) = rig.read_to_end(&mut peer);
    assert_eq!(error, None);
    assert!(bytes[..4] == *b"head" && bytes[4..] == pattern(length), "the bytes differ");
    assert_eq!(rig.wait(task), length);
}

fn sendfile_stops_where_the_file_ends(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let file = file(rig, 5000);
    let task = rig.run(&bench.shard, send_range(bench.shard.clone(), socket, file, 4000, 100_000));
    assert_eq!(rig.wait(task), 1000);
    assert!(rig.read(&mut peer, 1000) == pattern(5000)[4000..], "the bytes differ");
}

fn bytes_queued_after_a_file_come_after_it(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let file = file(rig, 3 << 20);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        for round in 0..3_u8 {
            shard.queue(socket, Bytes::from(vec![round; 10]));
            let length = 1 << 20;
            assert_eq!(send_range(shard.clone(), socket, file.clone(), 1 << 20, length).await, length);
        }
        shard.queue(socket, Bytes::from_static(b"end"));
        shard.sent(socket, 0).await.expect("sends");
    });
    let range = &pattern(3 << 20)[1 << 20..2 << 20];
    for round in 0..3_u8 {
        assert_eq!(rig.read(&mut peer, 10), [round; 10]);
        assert!(rig.read(&mut peer, 1 << 20) == range, "round {round}");
    }
    assert_eq!(rig.read(&mut peer, 3), b"end");
    rig.wait(task);
}

fn a_file_waits_for_a_peer_that_does_not_read(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let length = rig.much();
    let file = file(rig, length);
    let task = rig.run(&bench.shard, send_range(bench.shard.clone(), socket, file, 0, length));
    rig.pass(Duration::from_millis(100));
    assert!(!task.is_done(), "nobody has read");
    assert!(rig.read(&mut peer, length) == pattern(length), "the bytes differ");
    assert_eq!(rig.wait(task), length);
}

fn a_file_to_a_reset_peer_is_an_error(rig: &Rig) {
    let bench = rig.bench();
    let (socket, peer) = rig.pair(&bench);
    let length = rig.much();
    let file = file(rig, length);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        loop {
            if shard.sendfile(socket, &file, 0, length).await.is_err() {
                return;
            }
        }
    });
    rig.pass(Duration::from_millis(20));
    peer.reset();
    rig.wait(task);
    bench.shard.close(socket, Close::Graceful);
    rig.until("the socket to be gone", || bench.shard.cells().sockets.get() == 0);
}

fn a_sender_that_is_given_up_still_sends(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    bench.shard.queue(socket, Bytes::from(pattern(rig.much())));
    let shard = bench.shard.clone();
    let waiter = bench.shard.spawn(async move { drop(shard.sent(socket, 0).await) });
    rig.pass(Duration::from_millis(5));
    bench.shard.cancel(waiter);
    bench.shard.forget(socket, Side::Write);
    assert!(rig.read(&mut peer, rig.much()) == pattern(rig.much()), "the bytes differ");
}
