//! Words everyone uses: configuration model and loader, diagnostics with spans, limits, metric cells.
//!
//! No sockets, no threads.
#![forbid(unsafe_code)]

pub mod diagnostic;
pub mod status;

pub use diagnostic::{Diagnostic, Located, Severity, Source, SourceId, Sources, Span};
