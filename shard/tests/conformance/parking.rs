//! Does everything that a sleeping shard waits for end its sleep?

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use anygate_shard::{Class, Park, Service, Wake};

use crate::rig::{Bench, Note, Rig};

scripts!(
    a_deadline_ends_a_sleep,
    a_lane_ends_a_sleep,
    bytes_end_a_sleep,
    a_new_connection_ends_a_sleep,
    room_to_send_ends_a_sleep,
    a_message_ends_a_sleep,
    a_wake_from_another_thread_ends_a_sleep,
    the_end_of_blocking_work_ends_a_sleep,
    a_turn_with_work_does_not_sleep,
    a_limited_sleep_ends_by_itself,
);

/// Lets the shard sleep without a limit until `done`; what ends the sleep is `waker`, on a thread of its own where the
/// network is real. A sleep that nothing ends is ended by a message after a while, and the script has failed.
fn sleep_until(rig: &Rig, bench: &Bench, mut done: impl FnMut() -> bool, waker: impl FnOnce() + Send + 'static) {
    let alarm = bench.sender.clone();
    let start = Instant::now();
    let turn = |done: &mut dyn FnMut() -> bool| {
        let watch = Watch { bench, done: RefCell::new(done), seen: Cell::new(false) };
        let mut turns = 0;
        while !watch.seen.get() {
            bench.shard.turn(&watch, &bench.mailbox, Park::UntilEvent);
            turns += 1;
            assert!(!bench.probe.notes.borrow().iter().any(|note| matches!(note, Note::Word(ALARM))), "it sleeps on");
            assert!(turns < 100_000, "it does not sleep");
        }
    };
    if rig.is_sim() {
        waker();
        return turn(&mut done);
    }
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        waker();
        if stopped.recv_timeout(Duration::from_secs(5)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            alarm.send(Note::Word(ALARM)).expect("there is room");
        }
    });
    turn(&mut done);
    assert!(start.elapsed() < Duration::from_secs(5));
    drop(stop);
    thread.join().expect("no panic");
}

/// The bench's service, and an end to sleeping once `done` says so.
struct Watch<'a> {
    bench: &'a Bench,
    done: RefCell<&'a mut dyn FnMut() -> bool>,
    seen: Cell<bool>,
}

impl Service for Watch<'_> {
    type Message = Note;

    fn ready(&self, row: u32) {
        if row != ENOUGH {
            self.bench.probe.ready(row);
        }
    }

    fn expired(&self, row: u32) {
        self.bench.probe.expired(row);
    }

    fn message(&self, message: Note) {
        self.bench.probe.message(message);
    }

    fn turn_ended(&self) {
        if self.done.borrow_mut()() {
            self.seen.set(true);
            // Something to do, so that this turn does not sleep.
            self.bench.shard.wake(Wake::row(ENOUGH));
        }
    }
}

/// The row of a script that has seen enough.
const ENOUGH: u32 = 1 << 20;
/// The message of a script that has failed.
const ALARM: u32 = u32::MAX;

fn a_deadline_ends_a_sleep(rig: &Rig) {
    let bench = rig.bench();
    let (socket, _peer) = rig.pair(&bench);
    assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(1)).is_pending());
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move { shard.sleep(Duration::from_millis(80)).await });
    sleep_until(rig, &bench, || task.is_done(), || ());
    // And again, now that the wheel has turned.
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move { shard.sleep(Duration::from_millis(700)).await });
    sleep_until(rig, &bench, || task.is_done(), || ());
}

fn a_lane_ends_a_sleep(rig: &Rig) {
    let bench = rig.bench();
    let (listener, _address) = rig.listen(&bench);
    assert!(bench.shard.poll_accept(listener, Wake::row(1)).is_pending());
    let _entry = bench.shard.lane_push(bench.shard.lane(Duration::from_millis(80)), 5);
    sleep_until(rig, &bench, || bench.probe.expired.borrow().contains(&5), || ());
}

fn bytes_end_a_sleep(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move { shard.recv(socket, Class::Head).await });
    rig.turn();
    match peer.for_thread() {
        Some(mut writer) => sleep_until(rig, &bench, || task.is_done(), move || drop(writer.write(b"x"))),
        None => {
            assert_eq!(peer.write(b"x").expect("room"), 1);
            sleep_until(rig, &bench, || task.is_done(), || ());
        }
    }
    assert_eq!(rig.wait(task).expect("receives").filled(), b"x");
}

fn a_new_connection_ends_a_sleep(rig: &Rig) {
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    assert!(bench.shard.poll_accept(listener, Wake::row(1)).is_pending());
    rig.turn();
    let woken = || bench.probe.ready.borrow().contains(&1);
    match address.ip().filter(|_| !rig.is_sim()) {
        Some(ip) => sleep_until(rig, &bench, woken, move || drop(std::net::TcpStream::connect(ip))),
        None => {
            let _peer = rig.peer(&address);
            sleep_until(rig, &bench, woken, || ());
        }
    }
}

fn room_to_send_ends_a_sleep(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let bytes = crate::rig::pattern(rig.much());
    bench.shard.queue(socket, anygate_shard::Bytes::from(bytes));
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move { shard.sent(socket, 0).await });
    let mut left = rig.much();
    if let Some(mut reader) = peer.for_thread() {
        let read_all = move || {
            let mut part = vec![0; 1 << 16];
            while left > 0 {
                match reader.read(&mut part) {
                    Ok(0) => return,
                    Ok(count) => left -= count,
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        };
        return sleep_until(rig, &bench, || task.is_done(), read_all);
    }
    rig.pass(Duration::from_millis(50));
    let mut part = vec![0; 1 << 16];
    let read_then_look = || {
        while let Ok(count) = peer.read(&mut part)
            && count > 0
        {}
        task.is_done()
    };
    sleep_until(rig, &bench, read_then_look, || ());
}

fn a_message_ends_a_sleep(rig: &Rig) {
    let bench = rig.bench();
    rig.turn();
    let sender = bench.sender.clone();
    let send = move || sender.send(Note::Word(7)).expect("there is room");
    sleep_until(rig, &bench, || !bench.probe.notes.borrow().is_empty(), send);
}

fn a_wake_from_another_thread_ends_a_sleep(rig: &Rig) {
    let bench = rig.bench();
    let (to_waker, from_task) = std::sync::mpsc::channel::<std::task::Waker>();
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    bench.shard.spawn(std::future::poll_fn(move |cx| {
        count.set(count.get() + 1);
        to_waker.send(cx.waker().clone()).expect("the receiver is there");
        if count.get() == 2 { Poll::Ready(()) } else { Poll::Pending }
    }));
    rig.until("the first poll", || polls.get() == 1);
    let wake = move || from_task.recv().expect("the task sent it").wake();
    sleep_until(rig, &bench, || polls.get() == 2, wake);
}

fn the_end_of_blocking_work_ends_a_sleep(rig: &Rig) {
    let bench = rig.bench();
    let shard = bench.shard.clone();
    let task =
        rig.run(&bench.shard, async move { shard.blocking(|| std::thread::sleep(Duration::from_millis(20))).await });
    sleep_until(rig, &bench, || task.is_done(), || ());
}

fn a_turn_with_work_does_not_sleep(rig: &Rig) {
    let bench = rig.bench();
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        for _ in 0..50 {
            shard.yield_now().await;
        }
    });
    sleep_until(rig, &bench, || task.is_done(), || ());
}

fn a_limited_sleep_ends_by_itself(rig: &Rig) {
    let bench = rig.bench();
    let (socket, _peer) = rig.pair(&bench);
    assert!(bench.shard.poll_recv(socket, Class::Head, Wake::row(1)).is_pending());
    for _ in 0..5 {
        rig.turn();
    }
    let before = bench.shard.stamp();
    for _ in 0..3 {
        bench.shard.turn(&*bench.probe, &bench.mailbox, Park::AtMost(Duration::from_millis(20)));
    }
    let slept = bench.shard.stamp() - before;
    assert!(slept >= Duration::from_millis(18), "{slept:?} in three turns of at most 20 ms");
}
