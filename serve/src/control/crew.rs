//! The shards' threads: started, agreed on a driver, and heard of when one dies.

use std::sync::Arc;
use std::time::Duration;

use anygate_core::config::Io as IoChoice;
use anygate_core::limits::MAILBOX;
use anygate_core::metrics::ShardCells;
use anygate_shard::mailbox::{self, Receiver, Sender};
use anygate_shard::{Io, Options, Pool, Shard};
use crossbeam_channel as channel;

use super::shards::ShardHandle;
use super::{Order, Report, StartError};
use crate::door::Door;
use crate::peers::Peers;
use crate::plan::Plan;
use crate::server::{Parts, Server};

/// How soon a dying thread tries again to say so, where the control thread's mailbox is full.
const AGAIN: Duration = Duration::from_millis(1);
/// How often it tries: the control thread may be gone as well.
const TRIES: u32 = 1000;

/// What a shard's thread is told before it runs.
enum Begin {
    /// Make a driver of this kind, and say whether it worked.
    Try(Io),
    /// Run with the one that was made.
    Go(Box<Plan>, Arc<Peers>),
}

/// The shards' threads before they run.
pub(super) struct Crew {
    members: Vec<Member>,
}

struct Member {
    begin: channel::Sender<Begin>,
    made: channel::Receiver<Result<(), String>>,
    handle: ShardHandle,
}

impl Crew {
    pub(super) fn hire(
        cores: &[usize],
        helpers: &Pool,
        reports: &Sender<Report>,
        id: &Arc<str>,
    ) -> std::io::Result<Self> {
        let shards = cores.len();
        let members = cores.iter().enumerate().map(|(index, &core)| {
            let (begin, told) = channel::bounded(1);
            let (say, made) = channel::bounded(1);
            let (orders, mailbox) = mailbox::channel(MAILBOX);
            let cells = Arc::new(ShardCells::new());
            let berth = Berth {
                index: index as u16,
                core,
                shards,
                helpers: helpers.clone(),
                cells: Arc::clone(&cells),
                reports: reports.clone(),
                id: Arc::clone(id),
            };
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || berth.work(&told, &say, mailbox))?;
            Ok(Member { begin, made, handle: ShardHandle::new(orders, Some(thread), cells) })
        });
        Ok(Self { members: members.collect::<std::io::Result<_>>()? })
    }

    /// One driver for all: io_uring where every shard can have it, else epoll for every one.
    pub(super) fn agree(&mut self, choice: IoChoice) -> Result<(Io, Option<String>), StartError> {
        if choice == IoChoice::Epoll {
            self.attempt(Io::Epoll).map_err(|why| StartError::System(format!("cannot use epoll: {why}")))?;
            return Ok((Io::Epoll, None));
        }
        let uring = anygate_shard::probe_uring().and_then(|()| self.attempt(Io::Uring));
        match (uring, choice) {
            (Ok(()), _) => Ok((Io::Uring, None)),
            (Err(why), IoChoice::Uring) => Err(StartError::System(format!("cannot use io_uring: {why}"))),
            (Err(why), _) => {
                self.attempt(Io::Epoll).map_err(|why| StartError::System(format!("cannot use epoll: {why}")))?;
                Ok((Io::Epoll, Some(why)))
            }
        }
    }

    fn attempt(&mut self, io: Io) -> Result<(), String> {
        for member in &self.members {
            let _ = member.begin.send(Begin::Try(io));
        }
        let mut answer = Ok(());
        for member in &self.members {
            let made = member.made.recv().unwrap_or_else(|_| Err("a shard's thread ended".to_owned()));
            answer = answer.and(made);
        }
        answer
    }

    pub(super) fn go(self, plan: &Plan) -> Vec<ShardHandle> {
        let peers = Peers::new(self.members.iter().map(|member| member.handle.orders.clone()));
        self.members
            .into_iter()
            .map(|member| {
                let _ = member.begin.send(Begin::Go(Box::new(plan.clone()), Arc::clone(&peers)));
                member.handle
            })
            .collect()
    }
}

/// What a shard's thread is born with.
struct Berth {
    index: u16,
    core: usize,
    shards: usize,
    helpers: Pool,
    cells: Arc<ShardCells>,
    reports: Sender<Report>,
    id: Arc<str>,
}

impl Berth {
    fn work(
        self,
        told: &channel::Receiver<Begin>,
        say: &channel::Sender<Result<(), String>>,
        mailbox: Receiver<Order>,
    ) {
        let _last_word = LastWord { index: self.index, reports: self.reports.clone() };
        let mut shard = None;
        while let Ok(begin) = told.recv() {
            match begin {
                Begin::Try(io) => {
                    shard = None;
                    let options = Options {
                        core: Some(self.core),
                        pool: Some(self.helpers.clone()),
                        ..Options::new(self.index, io)
                    };
                    let answer = match Shard::new(&options) {
                        Ok(made) => {
                            shard = Some(made);
                            Ok(())
                        }
                        Err(error) => Err(format!("shard {}: {error}", self.index)),
                    };
                    let _ = say.send(answer);
                }
                Begin::Go(plan, peers) => {
                    let Some(shard) = shard else { return };
                    let server = Server::new(Parts {
                        shard: shard.clone(),
                        cells: self.cells,
                        plan,
                        id: self.id,
                        control: self.reports,
                        shards: self.shards,
                        peers: peers.around(usize::from(self.index)),
                    });
                    return shard.run(&Door::new(server), &mailbox);
                }
            }
        }
    }
}

/// Tells the control thread that this thread unwinds: what a panic left behind outside of any connection is not to be
/// served on with.
struct LastWord {
    index: u16,
    reports: Sender<Report>,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        for _ in 0..TRIES {
            if !std::thread::panicking() || self.reports.send(Report::Died(self.index)).is_ok() {
                return;
            }
            std::thread::sleep(AGAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports_of(work: impl FnOnce() + Send + 'static) -> Vec<Report> {
        let (reports, mailbox) = mailbox::channel(4);
        let thread = std::thread::spawn(move || {
            let _last_word = LastWord { index: 3, reports };
            work();
        });
        let _ = thread.join();
        std::iter::from_fn(|| mailbox.try_recv()).collect()
    }

    #[test]
    fn a_thread_that_panics_is_heard_of_and_one_that_ends_is_not() {
        assert!(matches!(reports_of(|| panic!("as a test"))[..], [Report::Died(3)]));
        assert!(reports_of(|| ()).is_empty());
    }
}
