//! The server's own log: one line an event on standard error, written by a thread of its own, because a full pipe must not
//! stall anything else.

use std::fmt::Write as _;
use std::io::Write as _;
use std::thread::JoinHandle;

use anygate_core::config::{LogFormat, LogLevel};
use anygate_proto::date;
use crossbeam_channel::{Sender, TrySendError, bounded};

/// Lines that wait to be written; more are counted and dropped.
const QUEUE: usize = 4096;

/// The way into the log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {
    lines: Sender<Line>,
    level: LogLevel,
    format: LogFormat,
}

/// The writing thread; it ends when every [`Log`] is gone.
#[derive(Debug)]
pub struct Writer(JoinHandle<()>);

#[derive(Debug)]
struct Line(String);

/// A value of a line's field.
pub type Fields<'a> = &'a [(&'a str, &'a dyn std::fmt::Display)];

impl Log {
    /// Starts the writer.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(level: LogLevel, format: LogFormat) -> std::io::Result<(Self, Writer)> {
        let (lines, queue) = bounded::<Line>(QUEUE);
        let writer = std::thread::Builder::new().name("log".into()).spawn(move || {
            let mut out = std::io::stderr();
            for Line(line) in queue {
                // Nobody is left to tell when standard error is gone.
                let _ = out.write_all(line.as_bytes());
            }
        })?;
        Ok((Self { lines, level, format }, Writer(writer)))
    }

    /// Changes level and format for lines to come.
    pub fn configure(&mut self, level: LogLevel, format: LogFormat) {
        self.level = level;
        self.format = format;
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

    fn write(&self, level: LogLevel, message: &str, fields: Fields<'_>) {
        if level > self.level {
            return;
        }
        let (second, millis) = anygate_shard::wall_clock();
        let time = timestamp(second, millis);
        let line = match self.format {
            LogFormat::Json => json(&time, level, message, fields),
            LogFormat::Text => text(&time, level, message, fields),
        };
        match self.lines.try_send(Line(line)) {
            Ok(()) | Err(TrySendError::Disconnected(_) | TrySendError::Full(_)) => {}
        }
    }
}

impl Writer {
    /// Waits until everything is written. Every [`Log`] must be gone.
    pub fn finish(self) {
        let _ = self.0.join();
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
