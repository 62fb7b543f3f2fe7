//! Does a shard serve a real peer: each driver against plain blocking sockets on another thread.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::driver::Io;
use crate::net::{Address, Bind, bind};
use crate::{ArenaLimits, Bytes, Class, Close, Options, Pool, Service, Shard, SocketId, Wake, mailbox, probe_uring};

pub(crate) fn drivers() -> Vec<Io> {
    let mut all = vec![Io::Epoll];
    if probe_uring().is_ok() {
        all.push(Io::Uring);
    }
    all
}

/// Accepts on row 0 and starts a task for each connection.
struct Accepting<F> {
    shard: Shard,
    listener: SocketId,
    serve: F,
}

impl<F: Fn(&Shard, SocketId)> Service for Accepting<F> {
    type Message = ();

    fn ready(&self, row: u32) {
        assert_eq!(row, 0);
        while let std::task::Poll::Ready(accepted) = self.shard.poll_accept(self.listener, Wake::row(0)) {
            (self.serve)(&self.shard, accepted.expect("the listener works").socket);
        }
    }

    fn expired(&self, _row: u32) {}

    fn message(&self, (): ()) {
        self.shard.stop();
    }
}

/// Runs a shard that gives each connection to `serve`, while `client` talks to it.
pub(crate) fn with_server(
    io: Io,
    change: impl FnOnce(&mut Options) + Send + 'static,
    serve: impl Fn(&Shard, SocketId) + Send + 'static,
    client: impl FnOnce(SocketAddr),
) {
    let fd = bind(&Address::Ip("127.0.0.1:0".parse().unwrap()), &Bind::default()).unwrap();
    let address = crate::sys::local(std::os::fd::AsRawFd::as_raw_fd(&fd)).unwrap().ip().unwrap();
    let (sender, receiver) = mailbox::channel(4);
    let server = thread::spawn(move || {
        let mut options = Options::new(0, io);
        change(&mut options);
        let shard = Shard::new(&options).unwrap();
        let listener = shard.listen(fd).unwrap();
        let service = Accepting { shard: shard.clone(), listener, serve };
        service.ready(0);
        shard.run(&service, &receiver);
        assert_eq!(shard.0.sockets.open.get(), 0);
        assert_eq!(shard.cells().panics.get(), 0);
    });
    client(address);
    sender.send(()).unwrap();
    server.join().unwrap();
}

fn echo(shard: &Shard, id: SocketId) {
    let shard = shard.clone();
    shard.clone().spawn(async move {
        while let Ok(lease) = shard.recv(id, Class::Head).await {
            if lease.is_empty() {
                break;
            }
            shard.queue(id, lease.freeze());
            if shard.sent(id, 64 << 10).await.is_err() {
                break;
            }
        }
        shard.close(id, Close::Graceful);
    });
}

#[test]
fn an_echo_gives_every_byte_back_in_order_and_closes_after_the_peer() {
    for io in drivers() {
        with_server(
            io,
            |_| {},
            echo,
            |address| {
                let clients: Vec<_> = (0..8u8)
                    .map(|seed| {
                        thread::spawn(move || {
                            let mut stream = TcpStream::connect(address).unwrap();
                            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                            let sent: Vec<u8> = (0..300_000u32).map(|at| (at * 7 + u32::from(seed)) as u8).collect();
                            let copy = sent.clone();
                            let mut writer = stream.try_clone().unwrap();
                            let writing = thread::spawn(move || {
                                writer.write_all(&copy).unwrap();
                                writer.shutdown(std::net::Shutdown::Write).unwrap();
                            });
                            let mut got = Vec::new();
                            stream.read_to_end(&mut got).unwrap();
                            writing.join().unwrap();
                            assert!(got == sent);
                        })
                    })
                    .collect();
                clients.into_iter().for_each(|client| client.join().unwrap());
            },
        );
    }
}

#[test]
fn more_readers_than_buffers_wait_for_their_turn_and_none_fails() {
    for io in drivers() {
        let scarce = |options: &mut Options| {
            options.arena = ArenaLimits { buffers: [2, 1, 1, 1], reserve: [0; 4] };
        };
        with_server(io, scarce, echo, |address| {
            let mut streams: Vec<_> = (0..16).map(|_| TcpStream::connect(address).unwrap()).collect();
            for round in 0..20u8 {
                for stream in &mut streams {
                    stream.write_all(&[round; 100]).unwrap();
                }
                for stream in &mut streams {
                    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                    let mut got = [0; 100];
                    stream.read_exact(&mut got).unwrap();
                    assert_eq!(got, [round; 100]);
                }
            }
        });
    }
}

#[test]
fn an_answer_followed_by_a_graceful_close_reaches_a_peer_that_is_still_sending() {
    for io in drivers() {
        let refuse = |shard: &Shard, id: SocketId| {
            let shard = shard.clone();
            shard.clone().spawn(async move {
                let _some = shard.recv(id, Class::Head).await.unwrap();
                shard.queue(id, "too large".into());
                shard.close(id, Close::Graceful);
            });
        };
        with_server(
            io,
            |_| {},
            refuse,
            |address| {
                let mut stream = TcpStream::connect(address).unwrap();
                for _ in 0..10 {
                    stream.write_all(&[1; 4000]).unwrap();
                    thread::sleep(Duration::from_millis(1));
                }
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                assert_eq!(answer, "too large");
            },
        );
    }
}

#[test]
fn an_abort_is_a_reset() {
    for io in drivers() {
        let abort = |shard: &Shard, id: SocketId| {
            let shard = shard.clone();
            shard.clone().spawn(async move {
                drop(shard.recv(id, Class::Head).await);
                // A receive is under way while the socket is closed.
                let _ = shard.poll_recv(id, Class::Head, Wake::NONE);
                shard.yield_now().await;
                shard.close(id, Close::Abort);
            });
        };
        with_server(
            io,
            |_| {},
            abort,
            |address| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(b"x").unwrap();
                let error = stream.read(&mut [0; 10]).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            },
        );
    }
}

#[test]
fn a_lease_is_continued_until_it_is_full_or_the_stream_ends() {
    for io in drivers() {
        let collect = |shard: &Shard, id: SocketId| {
            let shard = shard.clone();
            shard.clone().spawn(async move {
                let mut lease = shard.recv(id, Class::Head).await.unwrap();
                loop {
                    let before = lease.len();
                    lease = shard.recv_into(id, lease).await.unwrap();
                    if lease.len() == before {
                        break;
                    }
                }
                shard.queue(id, lease.freeze());
                shard.close(id, Close::Graceful);
            });
        };
        with_server(
            io,
            |_| {},
            collect,
            |address| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                for part in ["one ", "two ", "three"] {
                    stream.write_all(part.as_bytes()).unwrap();
                    thread::sleep(Duration::from_millis(5));
                }
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                assert_eq!(answer, "one two three");
            },
        );
    }
}

#[test]
fn splice_and_sendfile_move_every_byte_and_a_job_runs_on_the_pool() {
    for io in drivers() {
        let path = std::env::temp_dir().join(format!("anygate-loop-{}-{io}", std::process::id()));
        let content: Vec<u8> = (0..3_000_000u32).map(|at| (at >> 3) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let expected = content.clone();
        let pooled = |options: &mut Options| options.pool = Some(Pool::new(1).unwrap());
        let opened = path.clone();
        let first = RefCell::new(None::<SocketId>);
        // The first connection sends the file; the second is spliced to itself.
        let serve = move |shard: &Shard, id: SocketId| {
            let (shard, opened) = (shard.clone(), opened.clone());
            if first.replace(Some(id)).is_none() {
                shard.clone().spawn(async move {
                    let file = shard.blocking(move || crate::file::File::open(opened)).await.unwrap().unwrap();
                    shard.queue(id, "head".into());
                    let (mut at, len) = (0, file.stat().len);
                    while at < len {
                        at += shard.sendfile(id, &file, at, usize::MAX).await.unwrap() as u64;
                    }
                    shard.close(id, Close::Graceful);
                });
            } else {
                shard.clone().spawn(async move {
                    while shard.splice(id, id, 100_000).await.unwrap() > 0 {}
                    shard.close(id, Close::Graceful);
                });
            }
        };
        with_server(io, pooled, serve, |address| {
            let mut stream = TcpStream::connect(address).unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            assert!(got.starts_with(b"head") && got[4..] == expected[..]);
            let mut stream = TcpStream::connect(address).unwrap();
            let mut writer = stream.try_clone().unwrap();
            let writing = thread::spawn(move || {
                writer.write_all(&content).unwrap();
                writer.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            writing.join().unwrap();
            assert!(got == expected);
        });
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_connection_to_nobody_is_refused_and_one_to_somebody_stands() {
    for io in drivers() {
        let dial = |shard: &Shard, id: SocketId| {
            let shard = shard.clone();
            shard.clone().spawn(async move {
                let lease = shard.recv(id, Class::Head).await.unwrap();
                let to: SocketAddr = std::str::from_utf8(lease.filled()).unwrap().parse().unwrap();
                let answer = match shard.connect(&Address::Ip(to)) {
                    Err(error) => error.kind().to_string(),
                    Ok(upstream) => match shard.connected(upstream).await {
                        Err(error) => error.kind().to_string(),
                        Ok(()) => {
                            shard.queue(upstream, "hello".into());
                            let sent = shard.sent(upstream, 0).await;
                            shard.close(upstream, Close::Graceful);
                            format!("{sent:?}")
                        }
                    },
                };
                shard.sleep(Duration::from_millis(2)).await;
                shard.queue(id, answer.into());
                shard.close(id, Close::Graceful);
            });
        };
        with_server(
            io,
            |_| {},
            dial,
            |address| {
                let ask = |to: SocketAddr| {
                    let mut stream = TcpStream::connect(address).unwrap();
                    stream.write_all(to.to_string().as_bytes()).unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).unwrap();
                    answer
                };
                let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let there = other.local_addr().unwrap();
                assert_eq!(ask(there), "Ok(())");
                let mut heard = String::new();
                other.accept().unwrap().0.read_to_string(&mut heard).unwrap();
                assert_eq!(heard, "hello");
                drop(other);
                assert_eq!(ask(there), "connection refused");
            },
        );
    }
}

#[test]
fn a_listener_closed_on_one_shard_leaves_every_connection_to_the_other() {
    for io in drivers() {
        let fd = bind(&Address::Ip("127.0.0.1:0".parse().unwrap()), &Bind::default()).unwrap();
        let address = crate::sys::local(std::os::fd::AsRawFd::as_raw_fd(&fd)).unwrap().ip().unwrap();
        let shards: Vec<_> = [fd.try_clone().unwrap(), fd]
            .into_iter()
            .map(|fd| {
                let (sender, receiver) = mailbox::channel(4);
                let thread = thread::spawn(move || {
                    let shard = Shard::new(&Options::new(0, io)).unwrap();
                    let listener = shard.listen(fd).unwrap();
                    let serve = |shard: &Shard, id| {
                        shard.queue(id, "x".into());
                        shard.close(id, Close::Graceful);
                    };
                    let service = Closing(Accepting { shard: shard.clone(), listener, serve });
                    service.0.ready(0);
                    shard.run(&service, &receiver);
                });
                (sender, thread)
            })
            .collect();
        let ask = || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "x", "{io}");
        };
        (0..10).for_each(|_| ask());
        shards[0].0.send(false).unwrap();
        thread::sleep(Duration::from_millis(20));
        (0..20).for_each(|_| ask());
        for (sender, thread) in shards {
            sender.send(true).unwrap();
            thread.join().unwrap();
        }
    }
}

/// Told `false` it closes its listener, told `true` it stops.
struct Closing<F>(Accepting<F>);

impl<F: Fn(&Shard, SocketId)> Service for Closing<F> {
    type Message = bool;

    fn ready(&self, row: u32) {
        self.0.ready(row);
    }

    fn expired(&self, _row: u32) {}

    fn message(&self, stop: bool) {
        if stop {
            self.0.shard.stop();
        } else {
            self.0.shard.close(self.0.listener, Close::Graceful);
        }
    }
}

#[test]
fn where_io_uring_is_denied_the_probe_says_so_and_epoll_works() {
    thread::spawn(|| {
        crate::testing::deny_io_uring().unwrap();
        let why = probe_uring().unwrap_err();
        assert!(why.starts_with("io_uring_setup: Operation not permitted"), "{why}");
        assert!(Shard::new(&Options::new(0, Io::Uring)).is_err());
        assert!(Shard::new(&Options::new(0, Io::Epoll)).is_ok());
    })
    .join()
    .unwrap();
}

#[global_allocator]
static ALLOCATOR: crate::testing::CountingAllocator = crate::testing::CountingAllocator;

#[test]
fn a_connection_that_goes_on_allocates_nothing() {
    use std::sync::atomic::{AtomicU64, Ordering};

    static BEFORE: AtomicU64 = AtomicU64::new(0);
    static AFTER: AtomicU64 = AtomicU64::new(0);
    for io in drivers() {
        let counting = |shard: &Shard, id: SocketId| {
            let shard = shard.clone();
            shard.clone().spawn(async move {
                let mut deadline = shard.deadline(Duration::from_secs(9));
                while let Ok(lease) = shard.recv(id, Class::Head).await {
                    match lease.filled().first() {
                        Some(b'b') => BEFORE.store(crate::testing::CountingAllocator::allocations(), Ordering::SeqCst),
                        Some(b'a') => AFTER.store(crate::testing::CountingAllocator::allocations(), Ordering::SeqCst),
                        Some(_) => {}
                        None => break,
                    }
                    deadline.reset(Duration::from_secs(9));
                    shard.queue(id, lease.freeze());
                    shard.queue(id, Bytes::from_static(b" and more"));
                    shard.yield_now().await;
                }
                shard.close(id, Close::Graceful);
            });
        };
        with_server(
            io,
            |_| {},
            counting,
            |address| {
                let mut streams: Vec<_> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
                for round in 0..1100 {
                    let word = match round {
                        100 => b'b',
                        1000 => b'a',
                        _ => b'-',
                    };
                    for stream in &mut streams {
                        stream.write_all(&[word; 50]).unwrap();
                    }
                    for stream in &mut streams {
                        stream.read_exact(&mut [0; 59]).unwrap();
                    }
                }
            },
        );
        assert_eq!(AFTER.load(Ordering::SeqCst) - BEFORE.load(Ordering::SeqCst), 0, "{io}");
    }
}
