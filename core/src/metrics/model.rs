//! Does any order of one writer and two readers lose a count, or let one go back? The counter as it is, compiled once
//! more with loom's atomics.

use std::sync::Arc;

use loom::thread;

#[path = "counter.rs"]
#[allow(unreachable_pub, clippy::duplicate_mod, reason = "a copy of what the crate gives out")]
mod counter;

use counter::Counter;

mod atomic {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
}

#[test]
fn a_count_never_goes_back_for_any_reader_and_none_is_lost() {
    loom::model(|| {
        let counter = Arc::new(Counter::default());
        let reader = |counter: &Arc<Counter>| {
            let counter = Arc::clone(counter);
            thread::spawn(move || {
                let (first, second) = (counter.get(), counter.get());
                assert!(first <= second, "{first} and then {second}");
            })
        };
        let readers = [reader(&counter), reader(&counter)];
        counter.add(2);
        counter.add(3);
        assert_eq!(counter.get(), 5, "its writer sees its own counts");
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!(counter.get(), 5);
    });
}
