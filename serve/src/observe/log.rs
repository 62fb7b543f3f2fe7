//! The server's own log: one line an event on standard error, written by a thread of its own, because a full pipe must not
//! stall anything else.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anygate_core::config::{LogFormat, LogLevel};
use anygate_proto::date;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// Lines that wait to be written; more are counted and dropped.
const QUEUE: usize = 4096;
/// How long the process's end waits for somebody to read the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The way into the log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {
    lines: Sender<Line>,
    lost: Arc<AtomicU64>,
    style: Arc<Mutex<Style>>,
}

/// Which lines are written, and how.
#[derive(Debug, Clone, Copy)]
struct Style {
    level: LogLevel,
    format: LogFormat,
}

/// The writing thread; it ends when every [`Log`] is gone.
#[derive(Debug)]
pub struct Writer(Receiver<()>);

#[derive(Debug)]
struct Line(String);

/// Lines that nobody writes: they wait for who asks.
#[derive(Debug)]
pub struct Kept(Receiver<Line>);

impl Kept {
    /// Those that came since the last call.
    pub fn lines(&self) -> Vec<String> {
        self.0.try_iter().map(|Line(line)| line).collect()
    }
}

/// A value of a line's field.
pub type Fields<'a> = &'a [(&'a str, &'a dyn std::fmt::Display)];

impl Log {
    /// Starts the writer.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(level: LogLevel, format: LogFormat) -> std::io::Result<(Self, Writer)> {
        let (lines, queue) = bounded::<Line>(QUEUE);
        let (ended, end) = bounded(0);
        let lost = Arc::new(AtomicU64::new(0));
        let style = Arc::new(Mutex::new(Style { level, format }));
        let log = Self { lines, lost: Arc::clone(&lost), style: Arc::clone(&style) };
        std::thread::Builder::new().name("log".into()).spawn(move || {
            // Gone with this thread: that is how its end is told.
            let _ended: Sender<()> = ended;
            let mut out = std::io::stderr();
            for Line(line) in queue {
                // Nobody is left to tell when standard error is gone.
                let _ = out.write_all(line.as_bytes());
                let lost = lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    let line = line_of(
                        now(&style).format,
                        LogLevel::Warn,
                        "lines of the log were lost: nobody read them",
                        &[("lines", &lost)],
                    );
                    let _ = out.write_all(line.as_bytes());
                }
            }
        })?;
        Ok((log, Writer(end)))
    }

    /// A log without a writer, for a server without threads.
    #[must_use]
    pub fn kept(level: LogLevel, format: LogFormat) -> (Self, Kept) {
        let (lines, queue) = bounded(QUEUE);
        let style = Arc::new(Mutex::new(Style { level, format }));
        (Self { lines, lost: Arc::default(), style }, Kept(queue))
    }

    /// Changes level and format for lines to come, of every clone.
    pub fn configure(&self, level: LogLevel, format: LogFormat) {
        *self.style.lock().unwrap_or_else(PoisonError::into_inner) = Style { level, format };
    }

    /// Something failed that should not.
    pub fn error(&self, message: &str, fields: Fields<'_>) {
        self.write(LogLevel::Error, message, fields);
    }

    /// Something that wants a look.
    pub fn warn(&self, message: &str, fields: Fields<'_>) {
        self.write(LogLevel::Warn, message, fields);
    }

    /// The course of things.
    pub fn info(&self, message: &str, fields: Fields<'_>) {
        self.write(LogLevel::Info, message, fields);
    }

    /// Something of the given weight.
    pub fn write(&self, level: LogLevel, message: &str, fields: Fields<'_>) {
        let style = now(&self.style);
        if level > style.level {
            return;
        }
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Line(line_of(style.format, level, message, fields))) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writer {
    /// Waits until everything is written, for a second at most: a pipe that nobody reads must not keep the process. Every
    /// [`Log`] must be gone.
    pub fn finish(self) {
        let _ = self.0.recv_timeout(LAST_LINES);
    }
}

fn now(style: &Mutex<Style>) -> Style {
    *style.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A whole line, of this moment.
fn line_of(format: LogFormat, level: LogLevel, message: &str, fields: Fields<'_>) -> String {
    let (second, millis) = anygate_shard::wall_clock();
    let time = timestamp(second, millis);
    match format {
        LogFormat::Json => json(&time, level, message, fields),
        LogFormat::Text => text(&time, level, message, fields),
    }
}

fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

fn json(time: &str, level: LogLevel, message: &str, fields: Fields<'_>) -> String {
    let mut object = serde_json::Map::new();
    object.insert("time".into(), time.into());
    object.insert("level".into(), word(level).into());
    object.insert("message".into(), message.into());
    for (name, value) in fields {
        object.insert((*name).into(), value.to_string().into());
    }
    let mut line = serde_json::Value::Object(object).to_string();
    line.push('\n');
    line
}

fn text(time: &str, level: LogLevel, message: &str, fields: Fields<'_>) -> String {
    let mut line = format!("{time} {:5} {message}", word(level));
    for (name, value) in fields {
        let _ = write!(line, " {name}={value}");
    }
    line.push('\n');
    line
}

/// RFC 3339 in UTC, to the millisecond.
fn timestamp(unix: u64, millis: u32) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = date::civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_and_format_change_for_every_clone() {
        let (log, kept) = Log::kept(LogLevel::Info, LogFormat::Json);
        let clone = log.clone();
        log.info("one", &[]);
        log.configure(LogLevel::Warn, LogFormat::Text);
        clone.info("two", &[]);
        clone.warn("three", &[("why", &3)]);
        drop((log, clone));
        let written = kept.lines();
        assert_eq!(written.len(), 2, "{written:?}");
        assert!(written[0].starts_with('{') && written[0].contains("\"one\""), "{written:?}");
        assert!(written[1].ends_with(" warn  three why=3\n"), "{written:?}");
    }

    #[test]
    fn a_timestamp_is_rfc_3339() {
        assert_eq!(timestamp(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(951_827_696, 7), "2000-02-29T12:34:56.007Z");
        assert_eq!(timestamp(4_102_444_799, 999), "2099-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_json_line_escapes_what_it_carries() {
        let line = json("t", LogLevel::Warn, "a \"b\"\n", &[("peer", &"x\ny")]);
        assert_eq!(line, "{\"time\":\"t\",\"level\":\"warn\",\"message\":\"a \\\"b\\\"\\n\",\"peer\":\"x\\ny\"}\n");
    }
}
