//! Do calls in an unusual order lose nothing? A shard turned by hand, on each driver, with plain sockets as its peers.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::driver::Io;
use crate::mailbox::{self, Receiver};
use crate::net::Address;
use crate::shard::BYTES_PER_POLL;
use crate::{ArenaLimits, Bytes, Class, Lease, Options, Park, Service, Shard, Side, SocketId, Wake, probe_uring};

/// A shard and what it told its rows.
struct Bench {
    shard: Shard,
    rows: RefCell<Vec<u32>>,
    mailbox: Receiver<()>,
}

impl Service for Bench {
    type Message = ();

    fn ready(&self, row: u32) {
        self.rows.borrow_mut().push(row);
    }

    fn expired(&self, _row: u32) {}

    fn message(&self, (): ()) {}
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.shard.shutdown();
    }
}

impl Bench {
    fn turn(&self) {
        self.shard.turn(self, &self.mailbox, Park::AtMost(Duration::from_millis(1)));
    }

    /// Turns until `condition` holds.
    fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            self.turn();
            assert!(start.elapsed() < Duration::from_secs(10), "{}: waited too long for {what}", self.shard.io());
        }
    }

    /// Waits until `row` is told of something.
    fn told(&self, row: u32) {
        self.rows.borrow_mut().clear();
        self.until("a row's turn", || self.rows.borrow().contains(&row));
    }

    /// A socket of the shard and its peer.
    fn pair(&self) -> (SocketId, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (self.shard.adopt(OwnedFd::from(listener.accept().unwrap().0)).unwrap(), peer)
    }

    /// Fills a socket's send buffer past the shard; how many bytes that took.
    fn fill(&self, id: SocketId) -> usize {
        let fd = self.shard.descriptor(id).unwrap();
        let mut filled = 0;
        while let Ok(sent) = crate::sys::send(fd, &[&[7; 65536]], false) {
            filled += sent;
        }
        filled
    }
}

/// Runs a script on a shard of each driver.
fn on_each(change: impl Fn(&mut Options), script: impl Fn(&Bench)) {
    let uring = probe_uring().is_ok().then_some(Io::Uring);
    for io in [Some(Io::Epoll), uring].into_iter().flatten() {
        let mut options = Options::new(0, io);
        change(&mut options);
        let (_, mailbox) = mailbox::channel(1);
        let bench = Bench { shard: Shard::new(&options).unwrap(), rows: RefCell::default(), mailbox };
        script(&bench);
        assert_eq!(bench.shard.cells().panics.get(), 0);
    }
}

fn one_buffer(options: &mut Options) {
    options.arena = ArenaLimits { buffers: [1, 1, 1, 1], reserve: [0; 4] };
}

#[test]
fn a_shard_that_has_ended_takes_no_turn_and_no_socket() {
    on_each(
        |_| {},
        |bench| {
            let (id, mut peer) = bench.pair();
            let _ = bench.shard.poll_recv(id, Class::Head, Wake::row(1));
            peer.write_all(b"x").unwrap();
            bench.told(1);
            let received = bench.shard.poll_recv(id, Class::Head, Wake::NONE);
            let lease = match received {
                Poll::Ready(lease) => lease.unwrap(),
                Poll::Pending => panic!("told of nothing"),
            };
            bench.shard.shutdown();
            // A buffer that comes back now has no ring to go to.
            drop(lease);
            let progress = bench.shard.turn(bench, &bench.mailbox, Park::UntilEvent);
            assert!(!progress.runnable && progress.next.is_none());
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = Address::Ip(listener.local_addr().unwrap());
            assert!(bench.shard.connect(&address).is_err());
            assert!(bench.shard.listen(OwnedFd::from(listener)).is_err());
            assert!(bench.shard.poll_recv(id, Class::Head, Wake::NONE).is_ready());
        },
    );
}

#[test]
fn a_splice_goes_on_while_there_is_no_buffer() {
    on_each(one_buffer, |bench| {
        let _all = bench.shard.try_lease(Class::Head).unwrap();
        let ((from, mut source), (to, mut sink)) = (bench.pair(), bench.pair());
        assert!(bench.shard.poll_recv(from, Class::Head, Wake::row(1)).is_pending());
        source.write_all(b"one").unwrap();
        bench.told(1);
        assert!(bench.shard.poll_recv(from, Class::Head, Wake::row(1)).is_pending(), "there is no buffer");
        let mut moved = 0;
        for (sent, total) in [(&b""[..], 3), (b"two", 6), (b"three", 11)] {
            source.write_all(sent).unwrap();
            while moved < total {
                match bench.shard.poll_splice(from, to, 100, Wake::row(2)) {
                    Poll::Ready(bytes) => moved += bytes.unwrap(),
                    Poll::Pending => bench.told(2),
                }
            }
            assert!(bench.shard.poll_splice(from, to, 100, Wake::row(2)).is_pending());
        }
        let mut got = [0; 11];
        sink.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"onetwothree");
    });
}

#[test]
fn a_lease_that_waits_behind_a_receive_outlives_its_failure() {
    on_each(one_buffer, |bench| {
        let _all = bench.shard.try_lease(Class::Head).unwrap();
        let (id, mut peer) = bench.pair();
        assert!(bench.shard.poll_recv(id, Class::Head, Wake::row(1)).is_pending());
        let mut lease = Lease::with_capacity(100);
        lease.extend_from_slice(b"old and ");
        let mut lease = Some(lease);
        assert!(bench.shard.poll_recv_into(id, &mut lease, Wake::row(1)).is_pending());
        peer.write_all(b"new").unwrap();
        loop {
            match bench.shard.poll_recv_into(id, &mut lease, Wake::row(1)) {
                Poll::Pending => bench.told(1),
                Poll::Ready(got) => break assert_eq!(got.unwrap().filled(), b"old and new"),
            }
        }
    });
}

#[test]
fn a_second_lease_loses_nothing_of_the_first() {
    on_each(
        |_| {},
        |bench| {
            let (id, mut peer) = bench.pair();
            let mut first = Lease::with_capacity(100);
            first.extend_from_slice(b"kept ");
            assert!(bench.shard.poll_recv_into(id, &mut Some(first), Wake::row(1)).is_pending());
            let mut second = Some(Lease::with_capacity(50));
            let tried = bench.shard.poll_recv_into(id, &mut second, Wake::row(1));
            if bench.shard.io() == Io::Uring {
                // The kernel has the first, and the second stays with its owner until it gives that back.
                assert!(matches!(tried, Poll::Ready(Err(_))) && second.is_some());
                peer.write_all(b"more").unwrap();
                bench.told(1);
            }
            let got = match (tried, second) {
                (Poll::Ready(Ok(got)), _) => got,
                (_, mut second) => match bench.shard.poll_recv_into(id, &mut second, Wake::row(1)) {
                    Poll::Ready(got) => got.unwrap(),
                    Poll::Pending => panic!("something was received"),
                },
            };
            assert!(got.filled().starts_with(b"kept ") && got.capacity() == 50);
        },
    );
}

#[test]
fn a_fin_does_not_wait_behind_a_wait_for_room() {
    on_each(
        |_| {},
        |bench| {
            let (id, mut peer) = bench.pair();
            let filled = bench.fill(id);
            assert!(bench.shard.poll_ready(id, Side::Write, Wake::row(1)).is_pending());
            bench.turn();
            bench.shard.shutdown_write(id);
            bench.turn();
            let reading = std::thread::spawn(move || peer.read_to_end(&mut Vec::new()));
            bench.until("the end", || reading.is_finished());
            assert_eq!(reading.join().unwrap().expect("an end"), filled);
        },
    );
}

#[test]
fn a_socket_that_still_has_to_send_is_not_given_away() {
    on_each(
        |_| {},
        |bench| {
            let (id, _peer) = bench.pair();
            bench.fill(id);
            bench.shard.queue(id, Bytes::from_static(b"late"));
            bench.shard.flush_now(id, true);
            bench.turn();
            assert!(bench.shard.release(id).is_none());
            let (id, _peer) = bench.pair();
            bench.shard.unread(id, Lease::with_capacity(1));
            assert!(bench.shard.release(id).is_some(), "nothing was put back");
            let (id, _peer) = bench.pair();
            let mut lease = Lease::with_capacity(1);
            lease.extend_from_slice(b"x");
            bench.shard.unread(id, lease);
            assert!(bench.shard.release(id).is_none());
        },
    );
}

/// A row that takes all there is, every time it is told.
struct Greedy<'a> {
    bench: &'a Bench,
    id: SocketId,
    most: Cell<usize>,
    sum: Cell<usize>,
    ended: Cell<bool>,
}

impl Service for Greedy<'_> {
    type Message = ();

    fn ready(&self, row: u32) {
        let mut taken = 0;
        while let Poll::Ready(lease) = self.bench.shard.poll_recv(self.id, Class::Large, Wake::row(row)) {
            let lease = lease.unwrap();
            taken += lease.len();
            if lease.is_empty() {
                self.ended.set(true);
                break;
            }
        }
        self.most.set(self.most.get().max(taken));
        self.sum.set(self.sum.get() + taken);
    }

    fn expired(&self, _row: u32) {}

    fn message(&self, (): ()) {}
}

#[test]
fn a_peer_that_never_pauses_gets_its_share_of_a_turn_and_all_of_it_arrives() {
    on_each(
        |_| {},
        |bench| {
            const SENT: usize = 192 << 20;
            let (id, mut peer) = bench.pair();
            let writing = std::thread::spawn(move || {
                let part = vec![1; 1 << 20];
                (0..SENT >> 20).for_each(|_| peer.write_all(&part).unwrap());
            });
            let greedy = Greedy { bench, id, most: Cell::new(0), sum: Cell::new(0), ended: Cell::new(false) };
            greedy.ready(1);
            let start = Instant::now();
            while !greedy.ended.get() {
                bench.shard.turn(&greedy, &bench.mailbox, Park::AtMost(Duration::from_secs(1)));
                assert!(start.elapsed() < Duration::from_secs(30), "it stalled at {}", greedy.sum.get());
            }
            writing.join().unwrap();
            assert_eq!(greedy.sum.get(), SENT);
            let most = greedy.most.get();
            assert!(most <= BYTES_PER_POLL + Class::Large.size(), "{most} bytes at once");
        },
    );
}

#[test]
fn a_step_beyond_the_share_of_a_turn_is_made_in_the_next() {
    let path = std::env::temp_dir().join(format!("anygate-share-{}", std::process::id()));
    std::fs::write(&path, "file").unwrap();
    let file = crate::file::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    on_each(
        |_| {},
        |bench| {
            let ((from, mut source), (to, mut sink)) = (bench.pair(), bench.pair());
            source.write_all(b"splice").unwrap();
            if bench.shard.poll_ready(from, Side::Read, Wake::row(1)).is_pending() {
                bench.told(1);
            }
            // The first try may only wait for readiness; nothing moves in it either way.
            bench.shard.0.charge(BYTES_PER_POLL);
            while bench.shard.in_pipe(from) == 0 {
                assert!(bench.shard.poll_splice(from, to, 6, Wake::row(2)).is_pending());
                if bench.shard.in_pipe(from) == 0 {
                    bench.told(2);
                    bench.shard.0.charge(BYTES_PER_POLL);
                }
            }
            bench.told(2);
            assert!(matches!(bench.shard.poll_splice(from, to, 6, Wake::row(2)), Poll::Ready(Ok(6))));
            bench.shard.0.charge(BYTES_PER_POLL);
            assert!(bench.shard.poll_sendfile(to, &file, 0, 4, Wake::row(3)).is_pending());
            bench.told(3);
            assert!(matches!(bench.shard.poll_sendfile(to, &file, 0, 4, Wake::row(3)), Poll::Ready(Ok(4))));
            let mut got = [0; 10];
            sink.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"splicefile");
        },
    );
}

#[test]
fn a_pipe_goes_back_when_its_socket_is_read_again() {
    on_each(
        |_| {},
        |bench| {
            let ((from, mut source), (to, _sink)) = (bench.pair(), bench.pair());
            source.write_all(b"body").unwrap();
            loop {
                match bench.shard.poll_splice(from, to, 4, Wake::row(1)) {
                    Poll::Ready(moved) => break assert_eq!(moved.unwrap(), 4),
                    Poll::Pending => bench.told(1),
                }
            }
            assert!(bench.shard.0.sockets.pipes.borrow().is_empty());
            assert!(bench.shard.poll_recv(from, Class::Head, Wake::row(1)).is_pending());
            assert_eq!(bench.shard.0.sockets.pipes.borrow().len(), 1);
        },
    );
}

#[test]
fn where_the_finer_wait_is_denied_epoll_waits_all_the_same() {
    std::thread::spawn(|| {
        crate::testing::deny(libc::SYS_epoll_pwait2).unwrap();
        let (_, mailbox) = mailbox::channel(1);
        let shard = Shard::new(&Options::new(0, Io::Epoll)).unwrap();
        let bench = Bench { shard, rows: RefCell::default(), mailbox };
        let start = Instant::now();
        bench.shard.turn(&bench, &bench.mailbox, Park::Never);
        bench.shard.turn(&bench, &bench.mailbox, Park::AtMost(Duration::from_millis(20)));
        bench.shard.turn(&bench, &bench.mailbox, Park::AtMost(Duration::from_millis(20)));
        assert!(start.elapsed() >= Duration::from_millis(20), "it does not sleep");
        let (id, mut peer) = bench.pair();
        assert!(bench.shard.poll_recv(id, Class::Head, Wake::row(1)).is_pending());
        peer.write_all(b"x").unwrap();
        bench.told(1);
    })
    .join()
    .unwrap();
}

#[test]
fn an_urgent_byte_keeps_a_resting_row_no_busier() {
    use std::os::fd::AsRawFd;

    on_each(
        |_| {},
        |bench| {
            let (id, mut peer) = bench.pair();
            for round in 0..3 {
                peer.write_all(b"request").unwrap();
                let mut got = 0;
                bench.until("a request", || {
                    while let Poll::Ready(lease) = bench.shard.poll_recv(id, Class::Head, Wake::row(1)) {
                        got += lease.unwrap().len();
                    }
                    got == 7
                });
                // SAFETY: one byte of a literal.
                let sent = unsafe { libc::send(peer.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
                assert_eq!(sent, 1);
                let before = bench.shard.effort().used;
                bench.rows.borrow_mut().clear();
                let start = Instant::now();
                let mut turns = 0;
                while start.elapsed() < Duration::from_millis(40) {
                    bench.shard.turn(bench, &bench.mailbox, Park::AtMost(Duration::from_millis(5)));
                    if !std::mem::take(&mut *bench.rows.borrow_mut()).is_empty() {
                        assert!(bench.shard.poll_recv(id, Class::Head, Wake::row(1)).is_pending());
                    }
                    turns += 1;
                }
                let used = bench.shard.effort().used - before;
                assert!(
                    turns < 30 && used < Duration::from_millis(10),
                    "{}: {turns} turns, {used:?} ({round})",
                    bench.shard.io()
                );
            }
        },
    );
}
