//! What does the `log` section say: what does the server tell about itself?

use crate::config::schema;

/// The `log` section. `access` other than `off` belongs to a later version.
#[derive(Debug, Clone, PartialEq, Eq, Default, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, default, transform = schema::access)]
pub struct Log {
    /// Form of a log line.
    #[schemars(extend("default" = "json"))]
    pub format: LogFormat,
    /// The least serious level that is written.
    #[schemars(extend("default" = "info"))]
    pub level: LogLevel,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, schemars::JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Words for people.
    Text,
}

/// How serious a log line is; the order is from the most serious to the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, schemars::JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed that should not.
    Error,
    /// Something that wants a look.
    Warn,
    /// The course of things.
    #[default]
    Info,
    /// For those who look for a fault.
    Debug,
    /// Every step.
    Trace,
}
