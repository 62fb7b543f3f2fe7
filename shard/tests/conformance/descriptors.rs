//! Does a process that runs out of descriptors pause accepting, keep what it has, and go on later? The limit is a
//! process's own, so each driver has a child process to itself.

use std::cell::RefCell;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use anygate_shard::{Close, SocketId};

use crate::rig::{Kind, Rig, has_uring};

/// Names the driver to the child.
const DRIVER: &str = "ANYGATE_CHILD_DRIVER";

#[test]
fn a_lack_of_descriptors_pauses_accepting_on_epoll() {
    in_a_child("epoll");
}

#[test]
fn a_lack_of_descriptors_pauses_accepting_on_uring() {
    if has_uring() {
        in_a_child("uring");
    }
}

fn in_a_child(driver: &str) {
    let child = std::env::current_exe().expect("this test's own path");
    let output = Command::new(child)
        .args(["--exact", "descriptors::in_the_child", "--ignored", "--nocapture", "--test-threads", "1"])
        .env(DRIVER, driver)
        .output()
        .expect("the child starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{text}", String::from_utf8_lossy(&output.stdout));
}

/// The limit that leaves room for `free` more descriptors: the kernel counts by number, and gives the lowest free one.
fn limit_for(mut free: u64) -> u64 {
    // SAFETY: F_GETFD takes and gives integers.
    let is_open = |number: i32| unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0;
    let mut limit = 0;
    while free > 0 || is_open(limit) {
        free -= u64::from(!is_open(limit));
        limit += 1;
    }
    u64::try_from(limit).expect("not negative")
}

fn limit_descriptors(soft: Option<u64>) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills `limit`.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    limit.rlim_cur = soft.unwrap_or(limit.rlim_max);
    // SAFETY: the kernel reads `limit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

#[test]
#[ignore = "lowers its process's limit: run by the tests above, in a child"]
fn in_the_child() {
    let kind = match std::env::var(DRIVER).as_deref() {
        Ok("epoll") => Kind::Epoll,
        Ok("uring") => Kind::Uring,
        _ => return,
    };
    let rig = Rig::new(kind, None);
    let bench = rig.bench();
    let (listener, address) = rig.listen(&bench);
    let mut peers: Vec<_> = (0..6).map(|_| rig.peer(&address)).collect();
    rig.turn();

    limit_descriptors(Some(limit_for(2)));
    let accepted: Rc<RefCell<Vec<SocketId>>> = Rc::default();
    let (shard, list) = (bench.shard.clone(), accepted.clone());
    bench.shard.spawn(async move {
        while let Ok(accept) = shard.accept(listener).await {
            list.borrow_mut().push(accept.socket);
        }
    });
    rig.until("the limit", || accepted.borrow().len() == 2);
    let pauses = || bench.shard.cells().accept_pauses.get();
    rig.until("a pause", || pauses() == 1);
    let polls = bench.shard.cells().polls.get();
    rig.pass(Duration::from_millis(350));
    assert_eq!(accepted.borrow().len(), 2);
    assert!((2..8).contains(&pauses()), "{} tries in 350 ms at a pause of 100 ms", pauses());
    let polls = bench.shard.cells().polls.get() - polls;
    assert!(polls < 30, "{polls} polls while accepting rests");
    // Who is in is served on.
    let first = accepted.borrow()[0];
    rig.write(&mut peers[0], b"still");
    assert_eq!(rig.recv(&bench, first, 5), b"still");
    // A descriptor of the shard's own comes back, and with it the next connection.
    bench.shard.close(first, Close::Abort);
    rig.until("a third", || accepted.borrow().len() == 3);
    // Others come back unseen: the pause ends by itself.
    limit_descriptors(None);
    rig.until("all six", || accepted.borrow().len() == 6);
    rig.finish();
}
