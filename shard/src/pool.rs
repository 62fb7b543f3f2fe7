//! Where work goes that would block a shard: a few threads shared by all shards.

use std::fmt;
use std::io;

use crate::driver::Job;

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

    /// Puts a job in line. A full line drops it, and its owner hears [`Gone`](crate::Gone).
    pub(crate) fn submit(&self, job: Job) {
        drop(self.0.try_send(job));
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("waiting", &self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::blocking::{Blocking, Gone, job};

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
