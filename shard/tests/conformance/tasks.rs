//! Do tasks run, wake, yield, fail and end by themselves, and does other work come back to them?

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::time::Duration;

use anygate_shard::{Bytes, Class, Park};

use crate::rig::{Note, Rig};

scripts!(
    tasks_start_in_the_order_they_were_spawned,
    a_task_may_spawn_tasks,
    yielding_lets_the_others_run,
    a_task_that_never_waits_does_not_starve_the_sockets,
    a_panic_in_a_task_costs_that_task_only,
    a_panic_in_the_service_costs_that_call_only,
    a_panic_at_a_turns_end_is_heard_of_in_another_turn_at_once_but_makes_no_loop,
    a_dropped_task_wakes_nobody,
    a_task_wakes_another_of_its_shard,
    a_wake_from_another_thread_arrives,
    blocking_work_comes_back,
    many_blocking_jobs_come_back_each_to_its_own,
    a_panic_in_blocking_work_is_told,
    a_mailbox_wakes_its_shard,
    a_full_mailbox_says_so_and_loses_nothing,
    a_turn_ends_once,
    spawning_again_does_not_grow,
);

fn tasks_start_in_the_order_they_were_spawned(rig: &Rig) {
    let bench = rig.bench();
    let order = Rc::new(RefCell::new(Vec::new()));
    for number in 0..10 {
        let order = order.clone();
        bench.shard.spawn(async move { order.borrow_mut().push(number) });
    }
    rig.until("all ten", || order.borrow().len() == 10);
    assert_eq!(*order.borrow(), (0..10).collect::<Vec<_>>());
}

fn a_task_may_spawn_tasks(rig: &Rig) {
    let bench = rig.bench();
    let count = Rc::new(Cell::new(0));
    let (shard, sum) = (bench.shard.clone(), count.clone());
    bench.shard.spawn(async move {
        for _ in 0..5 {
            let sum = sum.clone();
            shard.spawn(async move { sum.set(sum.get() + 1) });
        }
    });
    rig.until("all five", || count.get() == 5);
}

fn yielding_lets_the_others_run(rig: &Rig) {
    let bench = rig.bench();
    let order = Rc::new(RefCell::new(Vec::new()));
    for name in ["a", "b"] {
        let (shard, order) = (bench.shard.clone(), order.clone());
        bench.shard.spawn(async move {
            for _ in 0..3 {
                order.borrow_mut().push(name);
                shard.yield_now().await;
            }
        });
    }
    rig.until("both", || order.borrow().len() == 6);
    assert_eq!(*order.borrow(), ["a", "b", "a", "b", "a", "b"]);
}

fn a_task_that_never_waits_does_not_starve_the_sockets(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let stop = Rc::new(Cell::new(false));
    let (shard, stopped) = (bench.shard.clone(), stop.clone());
    bench.shard.spawn(async move {
        while !stopped.get() {
            shard.yield_now().await;
        }
    });
    rig.write(&mut peer, b"hello");
    assert_eq!(rig.recv(&bench, socket, 5), b"hello");
    bench.shard.queue(socket, Bytes::from_static(b"back"));
    assert_eq!(rig.read(&mut peer, 4), b"back");
    stop.set(true);
}

/// Runs `provoke` without its panic's message, which is no news here.
fn quietly(provoke: impl FnOnce()) {
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    provoke();
    QUIET.set(false);
}

fn a_panic_in_a_task_costs_that_task_only(rig: &Rig) {
    let bench = rig.bench();
    let (socket, mut peer) = rig.pair(&bench);
    let dropped = Rc::new(Cell::new(false));
    struct Flag(Rc<Cell<bool>>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let flag = Flag(dropped.clone());
    quietly(|| {
        bench.shard.spawn(async move {
            let _flag = flag;
            panic!("provoked");
        });
        let task = rig.run(&bench.shard, async { 1 });
        assert_eq!(rig.wait(task), 1);
    });
    assert!(dropped.get(), "the task's own things are freed");
    assert_eq!(bench.shard.cells().panics.get(), 1);
    rig.write(&mut peer, b"alive");
    assert_eq!(rig.recv(&bench, socket, 5), b"alive");
}

fn a_panic_in_the_service_costs_that_call_only(rig: &Rig) {
    let bench = rig.bench();
    let (first, mut first_peer) = rig.pair(&bench);
    let (second, mut second_peer) = rig.pair(&bench);
    bench.probe.panic_on_row.set(Some(1));
    quietly(|| {
        let _ = bench.shard.poll_recv(first, Class::Head, anygate_shard::Wake::row(1));
        let _ = bench.shard.poll_recv(second, Class::Head, anygate_shard::Wake::row(2));
        rig.write(&mut first_peer, b"x");
        rig.until("the panic", || bench.shard.cells().panics.get() == 1);
    });
    rig.write(&mut second_peer, b"y");
    rig.until("row 2", || bench.probe.ready.borrow().contains(&2));
}

fn a_panic_at_a_turns_end_is_heard_of_in_another_turn_at_once_but_makes_no_loop(rig: &Rig) {
    let bench = rig.bench();
    let turn = || bench.shard.turn(&*bench.probe, &bench.mailbox, Park::Never).runnable;
    while turn() {}
    bench.probe.bad_ends.set(3);
    quietly(|| assert_eq!([turn(), turn(), turn()], [true, false, false]));
    assert_eq!(bench.shard.cells().panics.get(), 3);
    assert_eq!([turn(), turn()], [false, false]);
    bench.probe.bad_ends.set(1);
    quietly(|| assert_eq!([turn(), turn()], [true, false]));
}

fn a_dropped_task_wakes_nobody(rig: &Rig) {
    let bench = rig.bench();
    let kept: Rc<RefCell<Vec<Waker>>> = Rc::default();
    for _ in 0..10 {
        let wakers = kept.clone();
        let task = rig.run(&bench.shard, async move {
            std::future::poll_fn(|cx| {
                wakers.borrow_mut().push(cx.waker().clone());
                Poll::Ready(())
            })
            .await;
        });
        rig.wait(task);
    }
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    bench.shard.spawn(std::future::poll_fn(move |_| {
        count.set(count.get() + 1);
        Poll::<()>::Pending
    }));
    rig.turn();
    let before = polls.get();
    // From a task: a wake from outside of a turn goes by the slot's number, and may wake in vain.
    let task = rig.run(&bench.shard, async move { kept.borrow().iter().for_each(Waker::wake_by_ref) });
    rig.wait(task);
    rig.turn();
    rig.turn();
    assert_eq!((before, polls.get()), (1, 1), "an old waker woke the slot's new task");
}

fn a_task_wakes_another_of_its_shard(rig: &Rig) {
    let bench = rig.bench();
    let cell: Rc<RefCell<(u32, Option<Waker>)>> = Rc::default();
    let waiting = cell.clone();
    let task = rig.run(&bench.shard, async move {
        std::future::poll_fn(move |cx| {
            let mut cell = waiting.borrow_mut();
            if cell.0 == 3 {
                return Poll::Ready(());
            }
            cell.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    });
    let shard = bench.shard.clone();
    bench.shard.spawn(async move {
        for _ in 0..3 {
            shard.sleep(Duration::from_millis(1)).await;
            let mut cell = cell.borrow_mut();
            cell.0 += 1;
            if let Some(waker) = cell.1.take() {
                waker.wake();
            }
        }
    });
    rig.wait(task);
}

fn a_wake_from_another_thread_arrives(rig: &Rig) {
    let bench = rig.bench();
    let (to_thread, from_task) = mpsc::channel::<Waker>();
    let flag = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let set = flag.clone();
    let thread = std::thread::spawn(move || {
        let waker = from_task.recv().expect("the task is there");
        std::thread::sleep(Duration::from_millis(5));
        set.store(true, std::sync::atomic::Ordering::Release);
        waker.wake();
    });
    let task = rig.run(&bench.shard, async move {
        let mut sent = false;
        std::future::poll_fn(move |cx| {
            if flag.load(std::sync::atomic::Ordering::Acquire) {
                return Poll::Ready(());
            }
            if !sent {
                to_thread.send(cx.waker().clone()).expect("the thread is there");
                sent = true;
            }
            Poll::Pending
        })
        .await;
    });
    if rig.is_sim() {
        // Virtual time does not wait for a thread: one turn that sends the waker, then the thread, then the rest.
        rig.turn();
        thread.join().expect("no panic");
        rig.wait(task);
    } else {
        rig.wait(task);
        thread.join().expect("no panic");
    }
}

fn blocking_work_comes_back(rig: &Rig) {
    let bench = rig.bench();
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move { shard.blocking(|| 6 * 7).await });
    assert_eq!(rig.wait(task).expect("done"), 42);
}

fn many_blocking_jobs_come_back_each_to_its_own(rig: &Rig) {
    let bench = rig.bench();
    let tasks: Vec<_> = (0..30_u64)
        .map(|number| {
            let shard = bench.shard.clone();
            rig.run(&bench.shard, async move {
                let job = move || {
                    std::thread::sleep(Duration::from_micros(number % 5 * 100));
                    number * number
                };
                shard.blocking(job).await
            })
        })
        .collect();
    for (number, task) in (0..).zip(tasks) {
        assert_eq!(rig.wait(task).expect("done"), number * number);
    }
}

fn a_panic_in_blocking_work_is_told(rig: &Rig) {
    let bench = rig.bench();
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let job = || {
            let none: Option<u32> = std::hint::black_box(None);
            none.expect("provoked")
        };
        shard.blocking(job).await
    });
    quietly(|| assert!(rig.wait(task).is_err()));
}

fn a_mailbox_wakes_its_shard(rig: &Rig) {
    let bench = rig.bench();
    rig.turn();
    let sender = bench.sender.clone();
    let thread = std::thread::spawn(move || {
        for word in 0..10 {
            sender.send(Note::Word(word)).expect("there is room");
        }
    });
    if rig.is_sim() {
        thread.join().expect("no panic");
    }
    rig.until("all ten", || bench.probe.notes.borrow().len() == 10);
    let words: Vec<_> = bench
        .probe
        .notes
        .borrow()
        .iter()
        .map(|note| match note {
            Note::Word(word) => *word,
            Note::Socket(_) => panic!("no socket was sent"),
        })
        .collect();
    assert_eq!(words, (0..10).collect::<Vec<_>>());
}

fn a_full_mailbox_says_so_and_loses_nothing(rig: &Rig) {
    let bench = rig.bench();
    let sender = &bench.sender;
    let sent = (0..1000).take_while(|word| sender.send(Note::Word(*word)).is_ok()).count();
    assert_eq!(sent, 64, "the capacity it was made with");
    rig.until("all that was sent", || bench.probe.notes.borrow().len() == sent);
    sender.send(Note::Word(1)).expect("there is room again");
    rig.until("one more", || bench.probe.notes.borrow().len() == sent + 1);
}

fn a_turn_ends_once(rig: &Rig) {
    let bench = rig.bench();
    let before = bench.probe.turns.get();
    for _ in 0..7 {
        rig.turn();
    }
    assert_eq!(bench.probe.turns.get() - before, 7);
}

fn spawning_again_does_not_grow(rig: &Rig) {
    let bench = rig.bench();
    for _ in 0..200 {
        let shard = bench.shard.clone();
        let task = rig.run(&bench.shard, async move { shard.yield_now().await });
        rig.wait(task);
    }
    assert_eq!(bench.shard.cells().tasks.get(), 0);
}
