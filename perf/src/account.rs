//! What a server costs, as the kernel accounts it: processor time of all its threads, and its own memory.

use std::fs;
use std::io;
use std::time::Duration;

/// The kernel's unit in `/proc/PID/stat` (USER_HZ), the same on every Linux this runs on.
const TICK: Duration = Duration::from_millis(10);

/// The processes of one server: the one that was started, and those it started.
#[derive(Clone, Debug)]
pub struct Account {
    processes: Vec<u32>,
}

/// One thread's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The kernel's number for it.
    pub id: u32,
    /// Its name; of a process with one thread, the program's.
    pub name: String,
    /// Its processor time.
    pub time: Duration,
}

impl Account {
    /// The process `pid` and all that descend from it.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            // A process may end while the list is read.
            if let Some(parent) = fs::read_to_string(format!("/proc/{pid}/stat")).ok().as_deref().and_then(parent) {
                parents.push((pid, parent));
            }
        }
        Ok(Self { processes: family(pid, &parents) })
    }

    /// Processor time of all threads alive, user and kernel, helper threads of the kernel that work for the process
    /// included. A thread that ends while it is asked counts no more.
    ///
    /// # Errors
    /// A process is gone.
    pub fn processor(&self) -> io::Result<Duration> {
        Ok(self.threads()?.iter().map(|thread| thread.time).sum())
    }

    /// The same, thread by thread.
    ///
    /// # Errors
    /// A process is gone.
    pub fn threads(&self) -> io::Result<Vec<Thread>> {
        let mut found = Vec::new();
        for pid in &self.processes {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let task = task?.path();
                let id = task.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0);
                match thread(&task) {
                    Err(error) if is_gone(&error) => {}
                    time => found.push(Thread { id, name: name(&task), time: time? }),
                }
            }
        }
        Ok(found)
    }

    /// Open descriptors.
    ///
    /// # Errors
    /// A process is gone.
    pub fn descriptors(&self) -> io::Result<u64> {
        let mut sum = 0;
        for pid in &self.processes {
            sum += fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
        }
        Ok(sum)
    }

    /// Bytes of anonymous memory that the processes have touched and hold, each page shared among its holders: heap,
    /// stacks and buffers, not the program's code.
    ///
    /// # Errors
    /// A process is gone, or the kernel has no `smaps_rollup`.
    pub fn memory(&self) -> io::Result<u64> {
        let mut sum = 0;
        for pid in &self.processes {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            sum += kilobytes(&text, "Pss_Anon:").ok_or(io::ErrorKind::InvalidData)? * 1024;
        }
        Ok(sum)
    }
}

/// Whether a thread ended between being listed and being asked: no such file, or no such process (ESRCH).
fn is_gone(error: &io::Error) -> bool {
    const ESRCH: i32 = 3;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH)
}

/// `pid`, its children, theirs, and so on.
fn family(pid: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&one) = found.get(at) {
        found.extend(parents.iter().filter(|&&(child, parent)| parent == one && child != one).map(|&(child, _)| child));
        at += 1;
    }
    found
}

/// A thread's time: to the nanosecond where the kernel keeps it, else to the tick.
fn thread(path: &std::path::Path) -> io::Result<Duration> {
    let exact = fs::read_to_string(path.join("schedstat")).ok().as_deref().and_then(on_processor);
    match exact {
        Some(time) => Ok(time),
        None => ticks(&fs::read_to_string(path.join("stat"))?).ok_or_else(|| io::ErrorKind::InvalidData.into()),
    }
}

/// A thread's name; empty when the thread just ended.
fn name(path: &std::path::Path) -> String {
    fs::read_to_string(path.join("comm")).map(|name| name.trim_end().to_owned()).unwrap_or_default()
}

/// The first number of `schedstat`: nanoseconds on a processor.
fn on_processor(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// What follows the name in `stat`; the name is in parentheses and may hold anything.
fn behind_name(stat: &str) -> Option<std::str::SplitWhitespace<'_>> {
    stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace())
}

/// utime and stime of `stat`, fields 14 and 15.
fn ticks(stat: &str) -> Option<Duration> {
    let mut fields = behind_name(stat)?.skip(11);
    let (user, kernel) = (fields.next()?.parse::<u32>().ok()?, fields.next()?.parse::<u32>().ok()?);
    Some(TICK * user.saturating_add(kernel))
}

/// ppid of `stat`, field 4.
fn parent(stat: &str) -> Option<u32> {
    behind_name(stat)?.nth(1)?.parse().ok()
}

/// The number of a line `name  123 kB`.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (nginx: (a) b) S 7 42 42 0 -1 4194560 1 0 0 0 120 35 0 0 20 0 1 0 100 8000000 500";

    #[test]
    fn a_thread_s_time_is_read_behind_a_name_with_parentheses() {
        assert_eq!(ticks(STAT), Some(Duration::from_millis(1550)));
        assert_eq!(parent(STAT), Some(7));
        assert_eq!(ticks("42 nginx S 7"), None);
    }

    #[test]
    fn a_thread_s_time_is_exact_where_the_kernel_keeps_it() {
        assert_eq!(on_processor("105276 2608066 2\n"), Some(Duration::from_nanos(105_276)));
        assert_eq!(on_processor(""), None);
    }

    #[test]
    fn memory_is_read_by_its_name() {
        let text = "Pss:    268 kB\nPss_Anon:            116 kB\nPss_File: 1 kB\n";
        assert_eq!(kilobytes(text, "Pss_Anon:"), Some(116));
        assert_eq!(kilobytes(text, "Swap:"), None);
    }

    #[test]
    fn a_family_has_all_generations_and_no_strangers() {
        let parents = [(1, 0), (10, 1), (11, 10), (12, 11), (20, 1), (21, 20)];
        assert_eq!(family(10, &parents), [10, 11, 12]);
    }

    #[test]
    fn this_process_has_used_time_and_memory() {
        let account = Account::of(std::process::id()).unwrap();
        let before = account.processor().unwrap();
        let mut sum = 0u64;
        while account.processor().unwrap() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(account.memory().unwrap() > 64 << 10);
    }

    #[test]
    fn a_thread_is_known_by_its_name() {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("shard-7".into()).spawn(move || ended.recv().is_err()).unwrap();
        let account = Account::of(std::process::id()).unwrap();
        let begin = std::time::Instant::now();
        while !account.threads().unwrap().iter().any(|thread| thread.name == "shard-7" && thread.id > 0) {
            assert!(begin.elapsed() < Duration::from_secs(5));
        }
        drop(end);
        assert!(thread.join().unwrap());
    }
}
