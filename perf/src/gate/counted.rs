//! What is counted, and how often it is done for that?

use crate::callgrind::Callgrind;
use crate::exchange::{self, Speech, Talk};

/// Something whose instructions are counted.
#[derive(Debug)]
pub(crate) struct Counted {
    /// Its name in the file.
    pub(crate) name: &'static str,
    /// What one is.
    pub(crate) means: &'static str,
    /// Done this often, and twice as often: the difference is free of the start.
    times: u64,
    work: Work,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    /// The server, on epoll and one core, with one client.
    Served(Talk),
    /// A loop around a part of it.
    Looped,
}

const FIXED: Talk = Talk { path: "/", body: 0, depth: 1, close: false, speech: Speech::Http1 };

/// Everything that is counted.
pub(crate) const COUNTED: [Counted; 13] = [
    Counted { name: "fixed", means: "a fixed answer, one after another", times: 2000, work: Work::Served(FIXED) },
    Counted {
        name: "pipelined",
        means: "a fixed answer, 16 requests in a packet",
        times: 400,
        work: Work::Served(Talk { depth: 16, ..FIXED }),
    },
    Counted {
        name: "static-1k",
        means: "a file of 1 KiB",
        times: 2000,
        work: Work::Served(Talk { path: "/files/1k", body: 1 << 10, ..FIXED }),
    },
    Counted {
        name: "static-100k",
        means: "a file of 100 KiB",
        times: 1000,
        work: Work::Served(Talk { path: "/files/100k", body: 100 << 10, ..FIXED }),
    },
    Counted {
        name: "proxy",
        means: "an answer without a body from a server behind",
        times: 1000,
        work: Work::Served(Talk { path: "/behind/", ..FIXED }),
    },
    Counted {
        name: "connect",
        means: "a connection with one request",
        times: 1000,
        work: Work::Served(Talk { close: true, ..FIXED }),
    },
    Counted {
        name: "h2-fixed",
        means: "a fixed answer in HTTP/2, one after another",
        times: 2000,
        work: Work::Served(Talk { speech: Speech::H2c, ..FIXED }),
    },
    Counted {
        name: "h2-streams",
        means: "a fixed answer in HTTP/2, 32 streams in a packet",
        times: 200,
        work: Work::Served(Talk { speech: Speech::H2c, depth: 32, ..FIXED }),
    },
    Counted {
        name: "h2-tls-streams",
        means: "the same over TLS",
        times: 200,
        work: Work::Served(Talk { speech: Speech::H2, depth: 32, ..FIXED }),
    },
    Counted { name: "parse-small", means: "reading a head of 77 bytes", times: 10_000, work: Work::Looped },
    Counted {
        name: "parse-browser",
        means: "reading a browser's head of 682 bytes",
        times: 10_000,
        work: Work::Looped,
    },
    Counted { name: "parse-large", means: "reading a head of 2 KiB", times: 10_000, work: Work::Looped },
    Counted { name: "match", means: "finding a rule among 1,000", times: 20_000, work: Work::Looped },
];

impl Counted {
    /// Instructions of one.
    pub(crate) fn count(&self, callgrind: &Callgrind) -> Result<u64, String> {
        let once = self.total(callgrind, self.times)?;
        let twice = self.total(callgrind, 2 * self.times)?;
        let each = self.times * self.depth();
        let more = twice.checked_sub(once).ok_or_else(|| format!("{}: twice as often took less", self.name))?;
        Ok((more + each / 2) / each)
    }

    fn depth(&self) -> u64 {
        match self.work {
            Work::Served(talk) => talk.depth as u64,
            Work::Looped => 1,
        }
    }

    fn total(&self, callgrind: &Callgrind, times: u64) -> Result<u64, String> {
        let done = match self.work {
            Work::Served(talk) => exchange::count(callgrind, self.name, &talk, times),
            Work::Looped => callgrind.looped(self.name, times),
        };
        done.map_err(|why| format!("{}: {why}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loops;

    #[test]
    fn every_loop_that_is_counted_exists_and_every_name_is_its_own() {
        for (at, counted) in COUNTED.iter().enumerate() {
            assert!(COUNTED[..at].iter().all(|other| other.name != counted.name), "{}", counted.name);
            if matches!(counted.work, Work::Looped) {
                loops::run(counted.name, 3).expect("it is there");
            }
        }
        assert!(loops::run("nothing", 1).is_err());
    }
}
