//! Who looks for a name on the pool right now, so that others who ask for it wait instead of looking too?

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use foldhash::fast::RandomState;

/// The names somebody looks for, by site.
#[derive(Debug, Default)]
pub(super) struct Looking {
    names: RefCell<HashMap<Key, Rc<Look>, RandomState>>,
}

type Key = (u64, Box<[u8]>);

/// The right to look; the others are told when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    looking: &'a Looking,
    key: Key,
    look: Rc<Look>,
}

/// Somebody else's look.
#[derive(Debug, Default)]
pub(super) struct Look {
    ended: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Looking {
    /// The right to look for a name.
    ///
    /// # Errors
    /// The look that is under way; it ends, one way or another.
    pub(super) fn begin(&self, site: u64, name: &[u8]) -> Result<Turn<'_>, Rc<Look>> {
        let key = (site, Box::from(name));
        let mut names = self.names.borrow_mut();
        if let Some(look) = names.get(&key) {
            return Err(Rc::clone(look));
        }
        let look = Rc::new(Look::default());
        names.insert(key.clone(), Rc::clone(&look));
        Ok(Turn { looking: self, key, look })
    }
}

impl Look {
    /// Waits for its end.
    pub(super) async fn ended(&self) {
        poll_fn(|cx| {
            if self.ended.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.looking.names.borrow_mut().remove(&self.key);
        self.look.ended.set(true);
        for waker in self.look.waiting.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    #[test]
    fn one_looks_and_the_others_hear_of_its_end_even_when_it_gives_up() {
        let looking = Looking::default();
        let turn = looking.begin(1, b"a").unwrap();
        assert!(looking.begin(2, b"a").is_ok() && looking.begin(1, b"b").is_ok());
        let other = looking.begin(1, b"a").unwrap_err();
        let mut wait = pin!(other.ended());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        drop(turn);
        assert!(wait.as_mut().poll(&mut cx).is_ready());
        assert!(looking.begin(1, b"a").is_ok());
    }
}
