//! Where work goes that would block a shard: a few threads shared by all shards.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::driver::Job;
use crate::executor::discard;

/// Jobs that may wait for a thread.
const WAITING: usize = 4096;

/// A handle of the pool. The threads end when the last handle is gone.
#[derive(Clone)]
pub struct Pool(crossbeam_channel::Sender<Job>);

impl Pool {
    /// Starts `threads` threads, at least one.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(threads: usize) -> io::Result<Pool> {
        let (sender, receiver) = crossbeam_channel::bounded::<Job>(WAITING);
        for number in 0..threads.max(1) {
            let receiver = receiver.clone();
            std::thread::Builder::new().name(format!("pool-{number}")).spawn(move || {
                for job in receiver {
                    job();
                }
            })?;
        }
        Ok(Pool(sender))
    }

    /// Puts a job in line. A full line drops it, and its owner hears [`Gone`].
    pub(crate) fn submit(&self, job: Job) {
        drop(self.0.try_send(job));
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("waiting", &self.0.len()).finish()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn wait<T>(mut blocking: Blocking<T>) -> Result<T, Gone> {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(result) = Pin::new(&mut blocking).poll(&mut cx) {
                return result;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_job_ends_with_its_result_or_says_that_it_is_gone() {
        let pool = Pool::new(1).unwrap();
        let (sum, result) = job(|| 1 + 1);
        pool.submit(sum);
        assert_eq!(wait(result), Ok(2));
        let (panics, result) = job(|| -> i32 { panic!("in a job") });
        pool.submit(panics);
        assert_eq!(wait(result), Err(Gone));
        let (dropped, result) = job(|| 3);
        drop(dropped);
        assert_eq!(wait(result), Err(Gone));
    }
}
