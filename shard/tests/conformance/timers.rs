//! Do timers run out in order, not before their time, and not at all once removed?

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::rig::Rig;

scripts!(
    a_sleep_lasts_its_time,
    sleeps_end_in_order,
    lanes_expire_in_order,
    removed_lane_entries_do_not_expire,
    equal_timeouts_share_a_lane,
    lanes_of_different_timeouts_do_not_wait_for_each_other,
    a_removed_entry_is_not_somebody_elses,
    a_deadline_expires_once_its_time_has_come,
    a_deadline_moved_later_expires_later,
    a_deadline_moved_sooner_expires_sooner,
    a_cleared_deadline_never_expires,
    a_dropped_deadline_wakes_nobody,
    thousands_of_deadlines_all_expire,
);

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn a_sleep_lasts_its_time(rig: &Rig) {
    let bench = rig.bench();
    for time in [ms(1), ms(10), ms(70)] {
        let shard = bench.shard.clone();
        let task = rig.run(&bench.shard, async move {
            let start = shard.now();
            shard.sleep(time).await;
            shard.now() - start
        });
        let slept = rig.wait(task);
        assert!(slept >= time, "{slept:?} instead of {time:?}");
        assert!(!rig.is_sim() || slept < time + ms(60), "{slept:?} instead of {time:?}");
    }
}

fn sleeps_end_in_order(rig: &Rig) {
    let bench = rig.bench();
    let order = Rc::new(RefCell::new(Vec::new()));
    for time in [50, 10, 40, 20, 30] {
        let (shard, order) = (bench.shard.clone(), order.clone());
        bench.shard.spawn(async move {
            shard.sleep(ms(time)).await;
            order.borrow_mut().push(time);
        });
    }
    rig.until("all five", || order.borrow().len() == 5);
    assert_eq!(*order.borrow(), [10, 20, 30, 40, 50]);
}

fn lanes_expire_in_order(rig: &Rig) {
    let bench = rig.bench();
    let lane = bench.shard.lane(ms(20));
    for row in 0..10 {
        let _entry = bench.shard.lane_push(lane, row);
    }
    rig.turn();
    assert!(bench.probe.expired.borrow().is_empty(), "not before their time");
    rig.until("all ten", || bench.probe.expired.borrow().len() == 10);
    assert_eq!(*bench.probe.expired.borrow(), (0..10).collect::<Vec<_>>());
}

fn removed_lane_entries_do_not_expire(rig: &Rig) {
    let bench = rig.bench();
    let lane = bench.shard.lane(ms(20));
    let entries: Vec<_> = (0..10).map(|row| bench.shard.lane_push(lane, row)).collect();
    for entry in [0, 3, 4, 9] {
        bench.shard.lane_remove(entries[entry]);
    }
    rig.pass(ms(60));
    assert_eq!(*bench.probe.expired.borrow(), [1, 2, 5, 6, 7, 8]);
}

fn equal_timeouts_share_a_lane(rig: &Rig) {
    let bench = rig.bench();
    assert!(bench.shard.lane(ms(20)) == bench.shard.lane(ms(20)));
    assert!(bench.shard.lane(ms(20)) != bench.shard.lane(ms(21)));
}

fn lanes_of_different_timeouts_do_not_wait_for_each_other(rig: &Rig) {
    let bench = rig.bench();
    let _late = bench.shard.lane_push(bench.shard.lane(ms(60)), 60);
    let _soon = bench.shard.lane_push(bench.shard.lane(ms(10)), 10);
    let _middle = bench.shard.lane_push(bench.shard.lane(ms(30)), 30);
    rig.until("all three", || bench.probe.expired.borrow().len() == 3);
    assert_eq!(*bench.probe.expired.borrow(), [10, 30, 60]);
}

fn a_removed_entry_is_not_somebody_elses(rig: &Rig) {
    let bench = rig.bench();
    let lane = bench.shard.lane(ms(20));
    let old = bench.shard.lane_push(lane, 1);
    bench.shard.lane_remove(old);
    let _new = bench.shard.lane_push(lane, 2);
    bench.shard.lane_remove(old);
    rig.until("the new one", || *bench.probe.expired.borrow() == [2]);
}

fn a_deadline_expires_once_its_time_has_come(rig: &Rig) {
    let bench = rig.bench();
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let start = shard.now();
        let mut deadline = shard.deadline(ms(25));
        std::future::poll_fn(|cx| deadline.poll_expired(cx)).await;
        shard.now() - start
    });
    assert!(rig.wait(task) >= ms(25));
}

fn a_deadline_moved_later_expires_later(rig: &Rig) {
    let bench = rig.bench();
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let start = shard.now();
        let mut deadline = shard.deadline(ms(20));
        let polled = std::future::poll_fn(|cx| Poll::Ready(deadline.poll_expired(cx).is_pending())).await;
        assert!(polled, "not before its time");
        for _ in 0..3 {
            shard.sleep(ms(10)).await;
            deadline.reset(ms(20));
        }
        std::future::poll_fn(|cx| deadline.poll_expired(cx)).await;
        shard.now() - start
    });
    assert!(rig.wait(task) >= ms(50));
}

fn a_deadline_moved_sooner_expires_sooner(rig: &Rig) {
    let bench = rig.bench();
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let start = shard.now();
        let mut deadline = shard.deadline(Duration::from_secs(100));
        let _ = std::future::poll_fn(|cx| Poll::Ready(deadline.poll_expired(cx))).await;
        deadline.reset(ms(10));
        std::future::poll_fn(|cx| deadline.poll_expired(cx)).await;
        shard.now() - start
    });
    let took = rig.wait(task);
    assert!(took >= ms(10) && took < Duration::from_secs(5), "{took:?}");
}

fn a_cleared_deadline_never_expires(rig: &Rig) {
    let bench = rig.bench();
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let mut deadline = shard.deadline(ms(10));
        deadline.clear();
        let mut limit = shard.deadline(ms(50));
        std::future::poll_fn(|cx| {
            if deadline.poll_expired(cx).is_ready() {
                return Poll::Ready("the cleared one");
            }
            limit.poll_expired(cx).map(|()| "the limit")
        })
        .await
    });
    assert_eq!(rig.wait(task), "the limit");
}

fn a_dropped_deadline_wakes_nobody(rig: &Rig) {
    let bench = rig.bench();
    let shard = bench.shard.clone();
    let task = rig.run(&bench.shard, async move {
        let mut deadline = shard.deadline(ms(10));
        let _ = std::future::poll_fn(|cx| Poll::Ready(deadline.poll_expired(cx))).await;
        drop(deadline);
        let mut polls = 0;
        let mut limit = shard.deadline(ms(40));
        std::future::poll_fn(|cx| {
            polls += 1;
            limit.poll_expired(cx)
        })
        .await;
        polls
    });
    assert!(rig.wait(task) <= 3, "the dropped deadline woke its task");
}

fn thousands_of_deadlines_all_expire(rig: &Rig) {
    let bench = rig.bench();
    let count = Rc::new(RefCell::new(0));
    for number in 0..2000_u64 {
        let (shard, count) = (bench.shard.clone(), count.clone());
        bench.shard.spawn(async move {
            let time = Duration::from_micros(number * 7919 % 90_000);
            let start = shard.now();
            shard.sleep(time).await;
            assert!(shard.now() - start >= time);
            *count.borrow_mut() += 1;
        });
    }
    rig.until("all of them", || *count.borrow() == 2000);
}
