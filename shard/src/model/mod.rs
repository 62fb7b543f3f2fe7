//! Does any order in which threads may run lose a wake, a message or a result? The files that other threads meet,
//! compiled once more with loom's atomics and locks and run through every order, as far as the memory model allows
//! stores to be seen late.

mod sync;

#[path = "../bell.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "the model rings it from fewer places than the shard")]
mod bell;
#[path = "../blocking.rs"]
#[allow(dead_code, unreachable_pub, clippy::duplicate_mod, reason = "a copy of what the crate gives out")]
mod blocking;

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::model::Builder;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread;

use bell::{Bell, Rope};
use blocking::{Gone, job};
use sync::Alarm;

/// Runs `each` in every order with at most three forced switches between threads: more find no more here, but take hours.
fn every_order(each: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(each);
}

/// A mailbox that promises no more than any channel does: who takes a message sees what its sender did before.
#[derive(Default)]
struct Letters([AtomicUsize; 2]);

impl Letters {
    fn put(&self, place: usize) {
        self.0[place].store(1, Ordering::Release);
    }

    fn take(&self) -> usize {
        self.0
            .iter()
            .filter(|place| place.load(Ordering::Acquire) == 1)
            .map(|place| place.store(2, Ordering::Relaxed))
            .count()
    }
}

/// Sleeps as a shard does, unless somebody rang.
fn sleep(bell: &Bell) {
    if bell.park() {
        bell.alarm.wait();
        bell.unpark();
    }
}

#[test]
fn no_message_waits_while_its_shard_sleeps() {
    every_order(|| {
        let bell = Arc::new(Bell::new(1, Alarm::default()));
        let letters = Arc::new(Letters::default());
        for place in 0..2 {
            let (bell, letters) = (Arc::clone(&bell), Arc::clone(&letters));
            thread::spawn(move || {
                letters.put(place);
                bell.ring();
            });
        }
        let mut taken = 0;
        while taken < 2 {
            sleep(&bell);
            if bell.take_rung() {
                taken += letters.take();
            }
        }
    });
}

#[test]
fn no_message_is_missed_that_comes_while_the_mailbox_gets_its_bell() {
    every_order(|| {
        let rope = Arc::new(Rope::default());
        let letters = Arc::new(Letters::default());
        let sender = {
            let (rope, letters) = (Arc::clone(&rope), Arc::clone(&letters));
            thread::spawn(move || {
                letters.put(0);
                rope.pull();
            })
        };
        let bell = Arc::new(Bell::new(1, Alarm::default()));
        let mut taken = 0;
        while taken < 1 {
            rope.hang(&bell);
            if bell.take_rung() {
                taken += letters.take();
            }
            if taken < 1 {
                sleep(&bell);
            }
        }
        sender.join().unwrap();
    });
}

#[test]
fn no_woken_task_is_forgotten_and_each_sees_what_its_waker_did() {
    every_order(|| {
        let bell = Arc::new(Bell::new(1, Alarm::default()));
        let done = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        for task in 0..2u32 {
            let (bell, done) = (Arc::clone(&bell), Arc::clone(&done));
            thread::spawn(move || {
                done[task as usize].store(7, Ordering::Relaxed);
                bell.wake_task(task * 64);
            });
        }
        let mut woken = [false; 2];
        while woken != [true; 2] {
            sleep(&bell);
            if bell.take_rung() {
                bell.take_tasks(|task| {
                    let task = task as usize / 64;
                    assert_eq!(done[task].load(Ordering::Relaxed), 7);
                    woken[task] = true;
                });
            }
        }
    });
}

/// Ends the sleep of who polls.
struct Poller(Alarm);

impl Wake for Poller {
    fn wake(self: Arc<Self>) {
        self.0.sound();
    }
}

#[test]
fn a_jobs_result_wakes_who_waits_for_it_and_so_does_its_end_without_one() {
    for runs in [true, false] {
        every_order(move || {
            let (work, mut result) = job(|| 7);
            thread::spawn(move || if runs { work() } else { drop(work) });
            let poller = Arc::new(Poller(Alarm::default()));
            let waker = Waker::from(Arc::clone(&poller));
            let ended = loop {
                let polled = std::pin::Pin::new(&mut result).poll(&mut Context::from_waker(&waker));
                match polled {
                    Poll::Ready(ended) => break ended,
                    Poll::Pending => poller.0.wait(),
                }
            };
            assert_eq!(ended, if runs { Ok(7) } else { Err(Gone) });
        });
    }
}
