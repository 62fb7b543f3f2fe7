//! The gate under soak: a process that is started, told to reload, watched from outside, and drained.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anygate_shard::Io;
use serde_json::Value;

use super::setting::Setting;
use crate::account::Account;
use crate::subject::io_word;

/// The gate starts, reloads and ends within this time.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked at when something is awaited.
const LOOK: Duration = Duration::from_millis(2);

/// What the kernel says of a process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Sample {
    /// Seconds since the load began.
    pub at_s: f64,
    /// Resident bytes.
    pub resident: u64,
    /// Anonymous bytes, those of others not counted: heap, stacks and buffers.
    pub anonymous: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads of its own: not those that io_uring brings and takes away.
    pub threads: u64,
    /// Processor time so far, in seconds.
    pub processor_s: f64,
}

/// Names of io_uring's threads begin so.
const KERNEL: &str = "iou-";
/// A gate that listens has done all that starting takes after this time.
const SETTLE: Duration = Duration::from_millis(300);

/// A line of the log that is no plain information, and how often it came.
pub(super) type Complaints = std::collections::BTreeMap<String, u64>;

/// How many descriptors there are of each kind.
pub(super) type Kinds = std::collections::BTreeMap<String, u64>;

/// A running gate.
#[derive(Debug)]
pub(super) struct Gate {
    child: Child,
    account: Account,
    setting: Setting,
    log: PathBuf,
    /// The log is read up to here.
    read: u64,
    partial: String,
    reloaded: u64,
    drained: bool,
    pub(super) complaints: Complaints,
    /// What must never be logged: errors, panics, a drain that ran out of time.
    pub(super) faults: Vec<String>,
}

impl Gate {
    /// Starts `program` with the first configuration and waits until it listens.
    pub(super) fn start(program: &Path, io: Io, cores: &str, setting: Setting) -> Result<Self, String> {
        setting.write(0)?;
        let folder = setting.folder();
        let log = folder.join("log");
        let shown = |error: std::io::Error| format!("{}: {error}", program.display());
        let child = Command::new(program)
            .args(["serve", "-c", "anygate.yml", "--io", io_word(io), "--cores", cores])
            .current_dir(folder)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("output")).map_err(shown)?)
            .stderr(File::create(&log).map_err(shown)?)
            .spawn()
            .map_err(shown)?;
        let mut gate = Self {
            account: Account::of(child.id()).map_err(shown)?,
            child,
            log,
            setting,
            read: 0,
            partial: String::new(),
            reloaded: 0,
            drained: false,
            complaints: Complaints::new(),
            faults: Vec::new(),
        };
        let address = gate.setting.address;
        gate.until("it to listen", |_| TcpStream::connect(address).is_ok())?;
        // The connection that found it is forgotten by then.
        thread::sleep(SETTLE);
        Ok(gate)
    }

    /// What it is asked to do.
    pub(super) fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Installs another configuration, and waits until it says so.
    pub(super) fn reload(&mut self, number: u64) -> Result<(), String> {
        self.setting.write(number)?;
        let before = self.reloaded;
        self.signal("HUP")?;
        self.until("a reload", |gate| gate.reloaded > before)
    }

    /// Drains it; how long that took.
    pub(super) fn drain(&mut self) -> Result<Duration, String> {
        let began = Instant::now();
        self.signal("TERM")?;
        let status = loop {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                break status;
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("it does not end\n{}", self.tail()));
            }
            thread::sleep(LOOK);
        };
        self.look();
        if !status.success() || !self.drained {
            return Err(format!("it did not drain: {status}\n{}", self.tail()));
        }
        Ok(began.elapsed())
    }

    /// What the kernel says of it now.
    pub(super) fn sample(&self, at: Duration) -> Result<Sample, String> {
        let pid = self.child.id();
        let fault = |error: std::io::Error| format!("the gate is gone: {error}\n{}", self.tail());
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(fault)?;
        let threads = self.account.threads().map_err(fault)?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        Ok(Sample {
            at_s: at.as_secs_f64(),
            resident: number("VmRSS:") * 1024,
            anonymous: self.account.memory().map_err(fault)?,
            descriptors: self.account.descriptors().map_err(fault)?,
            threads: threads.iter().filter(|thread| !thread.name.starts_with(KERNEL)).count() as u64,
            processor_s: threads.iter().map(|thread| thread.time.as_secs_f64()).sum(),
        })
    }

    /// Open descriptors now, by kind: `socket`, `pipe`, `anon_inode`, and files by their paths.
    pub(super) fn descriptor_kinds(&self) -> Kinds {
        let mut kinds = Kinds::new();
        for entry in fs::read_dir(format!("/proc/{}/fd", self.child.id())).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let target = target.to_string_lossy().into_owned();
            let kind = target.split(":[").next().unwrap_or_default().to_owned();
            *kinds.entry(kind).or_insert(0) += 1;
        }
        kinds
    }

    /// Reads what the log has that is new.
    pub(super) fn look(&mut self) {
        let mut text = String::new();
        let opened = File::open(&self.log).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_string(&mut text)
        });
        let Ok(length) = opened else { return };
        self.read += length as u64;
        self.partial.push_str(&text);
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            self.note(line.trim_end());
        }
    }

    fn note(&mut self, line: &str) {
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            return self.faults.push(format!("no line of a log: {line}"));
        };
        let message = value["message"].as_str().unwrap_or_default();
        match (value["level"].as_str().unwrap_or_default(), message) {
            (_, "reloaded") => self.reloaded += 1,
            (_, "drained") => self.drained = true,
            ("info", _) => {}
            ("warn", "the drain's time is over; connections are cut") | ("error", _) => {
                self.faults.push(format!("logged: {line}"));
            }
            (_, message) => *self.complaints.entry(message.to_owned()).or_insert(0) += 1,
        }
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) -> Result<(), String> {
        let began = Instant::now();
        loop {
            self.look();
            if done(self) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("the gate ended: {status}\n{}", self.tail()));
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("waited in vain for {what}\n{}", self.tail()));
            }
            thread::sleep(LOOK);
        }
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        let kill = format!("kill -s {name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().is_ok_and(|status| status.success());
        if sent { Ok(()) } else { Err(format!("the gate is gone\n{}", self.tail())) }
    }

    /// The log's last lines.
    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
