//! Words everyone uses: configuration model and loader, diagnostics with spans, limits, metric cells.
//!
//! No sockets, no threads.
#![forbid(unsafe_code)]

pub mod config;
pub mod diagnostic;
pub mod limits;
pub mod metrics;
pub mod status;

pub use diagnostic::{Diagnostic, Located, Severity, Source, SourceId, Sources, Span, nearest, render};
