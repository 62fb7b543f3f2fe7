//! Does a relay without copies carry every byte, its end and its backpressure?

use std::time::Duration;

use anygate_shard::{Bytes, Class, Close, Shard, SocketId};

use crate::rig::{Rig, pattern};

scripts!(
    splice_relays_intact_and_reports_the_end,
    splice_takes_no_more_than_asked,
    splice_sends_what_was_queued_first,
    splice_gives_unread_bytes_first_and_no_more_than_asked,
    splice_waits_for_a_peer_that_does_not_read,
    splice_both_ways_at_once,
    a_splice_that_is_given_up_loses_nothing,
    closing_amid_a_splice_frees_everything,
    splice_to_a_reset_socket_is_an_error,
    splice_reports_a_reset_source,
);

/// Relays until the end of `from`; how much.
async fn relay(shard: Shard, from: SocketId, to: SocketId) -> std::io::Result<usize> {
    let mut sum = 0;
    loop {
        match shard.splice(from, to, 1 << 20).await? {
            0 => return Ok(sum),
            count => sum += count,
        }
    }
}

fn splice_relays_intact_and_reports_the_end(rig: &Rig) {
    let bench = rig.bench();
    let (from, mut source) = rig.pair(&bench);
    let (to, mut sink) = rig.pair(&bench);
    let bytes = pattern(6 << 20);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let sum = relay(shard.clone(), from, to).await.expect("relays");
        shard.shutdown_write(to);
        sum
    });
    let (mut written, mut read) = (0, Vec::new());
    let mut part = vec![0; 1 << 16];
    rig.until("the relay's end", || {
        if written < bytes.len()
            && let Ok(count) = source.write(&bytes[written..(written + 100_000).min(bytes.len())])
        {
            written += count;
            if written == bytes.len() {
                source.shutdown();
            }
        }
        match sink.read(&mut part) {
            Ok(count) => {
                read.extend_from_slice(&part[..count]);
                count == 0
            }
            Err(_) => false,
        }
    });
    assert!(read == bytes, "{} of {} bytes, or other ones", read.len(), bytes.len());
    assert_eq!(rig.wait(task), bytes.len());
}

fn splice_takes_no_more_than_asked(rig: &Rig) {
    rig.roomy();
    let bench = rig.bench();
    let (from, mut source) = rig.pair(&bench);
    let (to, mut sink) = rig.pair(&bench);
    rig.write(&mut source, &pattern(10_000));
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let mut left = 7000;
        while left > 0 {
            let count = shard.splice(from, to, left).await.expect("relays");
            assert!(count > 0 && count <= left);
            left -= count;
        }
        shard.queue(to, Bytes::from_static(b"|after"));
    });
    rig.wait(task);
    let mut expected = pattern(10_000)[..7000].to_vec();
    expected.extend_from_slice(b"|after");
    assert!(rig.read(&mut sink, 7006) == expected, "the bytes differ");
    assert!(rig.recv(&bench, from, 3000) == pattern(10_000)[7000..], "the rest is the reader's");
}

fn splice_sends_what_was_queued_first(rig: &Rig) {
    rig.roomy();
    let bench = rig.bench();
    let (from, mut source) = rig.pair(&bench);
    let (to, mut sink) = rig.pair(&bench);
    rig.write(&mut source, b"start|");
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let mut lease = shard.recv(from, Class::Head).await.expect("receives");
        while lease.len() < 6 {
            lease = shard.recv_into(from, lease).await.expect("receives");
        }
        shard.queue(to, Bytes::from(pattern(400_000)));
        shard.queue(to, lease.split_to(6));
        // What came along with it belongs to the relay.
        shard.unread(from, lease);
        relay(shard.clone(), from, to).await.expect("relays")
    });
    rig.write(&mut source, &pattern(100_000));
    source.shutdown();
    let mut expected = pattern(400_000);
    expected.extend_from_slice(b"start|");
    expected.extend_from_slice(&pattern(100_000));
    assert!(rig.read(&mut sink, expected.len()) == expected, "the bytes differ");
    assert_eq!(rig.wait(task), 100_000);
}

fn splice_waits_for_a_peer_that_does_not_read(rig: &Rig) {
    let bench = rig.bench();
    let (from, mut source) = rig.pair(&bench);
    let (to, mut sink) = rig.pair(&bench);
    let task = rig.run(&bench.shard, relay(bench.shard.clone(), from, to));
    let bytes = pattern(rig.much());
    let mut written = 0;
    for _ in 0..40 {
        while let Ok(count) = source.write(&bytes[written..]) {
            written += count;
            if count == 0 || written == bytes.len() {
                break;
            }
        }
        rig.pass(Duration::from_millis(2));
    }
    assert!(written < bytes.len(), "somebody took it all though nobody reads");
    assert!(!task.is_done());
    assert!(rig.read(&mut sink, written) == bytes[..written], "the bytes differ");
    source.shutdown();
    assert_eq!(rig.wait(task).expect("relays"), written);
}

fn splice_both_ways_at_once(rig: &Rig) {
    let bench = rig.bench();
    let (left, mut left_peer) = rig.pair(&bench);
    let (right, mut right_peer) = rig.pair(&bench);
    let there = rig.run(&bench.shard, relay(bench.shard.clone(), left, right));
    let back = rig.run(&bench.shard, relay(bench.shard.clone(), right, left));
    for round in 0..10_u8 {
        rig.write(&mut left_peer, &[round; 3000]);
        rig.write(&mut right_peer, &[round + 100; 2000]);
        assert_eq!(rig.read(&mut right_peer, 3000), [round; 3000]);
        assert_eq!(rig.read(&mut left_peer, 2000), [round + 100; 2000]);
    }
    left_peer.shutdown();
    assert_eq!(rig.wait(there).expect("relays"), 30_000);
    rig.write(&mut right_peer, b"still open");
    assert_eq!(rig.read(&mut left_peer, 10), b"still open");
    right_peer.shutdown();
    assert_eq!(rig.wait(back).expect("relays"), 20_010);
}

fn splice_to_a_reset_socket_is_an_error(rig: &Rig) {
    let bench = rig.bench();
    let (from, mut source) = rig.pair(&bench);
    let (to, sink) = rig.pair(&bench);
    let task = rig.run(&bench.shard, relay(bench.shard.clone(), from, to));
    rig.turn();
    sink.reset();
    rig.until("the relay's error", || {
        let _ = source.write(&[1; 1000]);
        task.is_done()
    });
    assert!(rig.wait(task).is_err());
    bench.shard.close(from, Close::Abort);
    bench.shard.close(to, Close::Abort);
    rig.until("both to be gone", || bench.shard.cells().sockets.get() == 0);
}

fn splice_reports_a_reset_source(rig: &Rig) {
    let bench = rig.bench();
    let (from, source) = rig.pair(&bench);
    let (to, _sink) = rig.pair(&bench);
    let task = rig.run(&bench.shard, relay(bench.shard.clone(), from, to));
    rig.turn();
    source.reset();
    assert!(rig.wait(task).is_err(), "a reset is not an end");
}

fn a_splice_that_is_given_up_loses_nothing(rig: &Rig) {
    let bench = rig.bench();
    let (from, mut source) = rig.pair(&bench);
    let (to, mut sink) = rig.pair(&bench);
    let bytes = pattern(1 << 20);
    let mut written = 0;
    let mut read = Vec::new();
    let mut part = vec![0; 1 << 14];
    let mut task = bench.shard.spawn(async {});
    let mut round = 0;
    rig.until("all bytes", || {
        // Every few turns another task goes on with the relay, whatever the one before was doing.
        if round % 7 == 0 {
            bench.shard.cancel(task);
            let relay = relay(bench.shard.clone(), from, to);
            task = bench.shard.spawn(async move { relay.await.map(drop).expect("relays") });
        }
        round += 1;
        if let Ok(count) = source.write(&bytes[written..(written + 30_000).min(bytes.len())]) {
            written += count;
        }
        if let Ok(count) = sink.read(&mut part) {
            read.extend_from_slice(&part[..count]);
        }
        read.len() == bytes.len()
    });
    assert!(read == bytes, "the bytes differ");
}

fn closing_amid_a_splice_frees_everything(rig: &Rig) {
    let bench = rig.bench();
    for how in [Close::Abort, Close::Graceful] {
        let (from, mut source) = rig.pair(&bench);
        let (to, sink) = rig.pair(&bench);
        let task = bench.shard.spawn({
            let relay = relay(bench.shard.clone(), from, to);
            async move { drop(relay.await) }
        });
        for _ in 0..20 {
            let _ = source.write(&pattern(100_000));
            rig.turn();
        }
        bench.shard.cancel(task);
        bench.shard.close(from, how);
        bench.shard.close(to, how);
        drop((source, sink));
    }
    rig.until("all sockets to be gone", || bench.shard.cells().sockets.get() == 0);
}

fn splice_gives_unread_bytes_first_and_no_more_than_asked(rig: &Rig) {
    rig.roomy();
    let bench = rig.bench();
    let (from, mut source) = rig.pair(&bench);
    let (to, mut sink) = rig.pair(&bench);
    let bytes = pattern(9000);
    rig.write(&mut source, &bytes);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let lease = shard.recv(from, Class::Head).await.expect("receives");
        shard.unread(from, lease);
        let mut left = 5000;
        while left > 0 {
            // Less than is unread, so that several steps share it.
            let count = shard.splice(from, to, left.min(700)).await.expect("relays");
            assert!(count > 0 && count <= left.min(700));
            left -= count;
        }
    });
    assert!(rig.read(&mut sink, 5000) == bytes[..5000], "the bytes differ");
    rig.wait(task);
    assert!(rig.recv(&bench, from, 4000) == bytes[5000..], "the rest is the reader's");
}
