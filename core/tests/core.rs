//! The configuration as its users meet it: what loads, what is refused, and how the refusal reads.

#[path = "core/common.rs"]
mod common;
#[path = "core/errors.rs"]
mod errors;
#[path = "core/six_lines.rs"]
mod six_lines;
