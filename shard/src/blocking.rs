//! What becomes of a job that runs on a helper thread: its result, or that it is gone.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::sync::{Mutex, PoisonError};
use crate::driver::Job;
use crate::executor::discard;

/// The job did not end: it panicked, the pool's line was full, or there is no pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the job was dropped before it ended")
    }
}

impl std::error::Error for Gone {}

impl From<Gone> for io::Error {
    fn from(gone: Gone) -> Self {
        io::Error::other(gone)
    }
}

enum State<T> {
    Running(Option<Waker>),
    Ended(Result<T, Gone>),
    Taken,
}

/// A job's result to come. Dropping it lets the job run on, unheard.
pub struct Blocking<T>(Arc<Mutex<State<T>>>);

/// The job's end of [`Blocking`]: says `Gone` unless it was used.
struct Reply<T>(Arc<Mutex<State<T>>>);

impl<T> Reply<T> {
    fn end(&self, result: Result<T, Gone>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Running(waker) = &mut *state {
            let waker = waker.take();
            *state = State::Ended(result);
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.end(Err(Gone));
    }
}

/// A job and its result to come.
pub(crate) fn job<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> (Job, Blocking<T>) {
    let state = Arc::new(Mutex::new(State::Running(None)));
    let reply = Reply(Arc::clone(&state));
    let job = Box::new(move || {
        reply.end(catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
            discard(panic);
            Gone
        }));
    });
    (job, Blocking(state))
}

impl<T> Future for Blocking<T> {
    type Output = Result<T, Gone>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Running(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            ended => match std::mem::replace(ended, State::Taken) {
                State::Ended(result) => Poll::Ready(result),
                _ => Poll::Ready(Err(Gone)),
            },
        }
    }
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking")
    }
}
