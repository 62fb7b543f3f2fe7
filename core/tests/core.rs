//! The configuration as its users meet it: what loads, what is refused, and how the refusal reads.

#[path = "core/common.rs"]
mod common;
#[path = "core/environment.rs"]
mod environment;
#[path = "core/errors.rs"]
mod errors;
#[path = "core/formats.rs"]
mod formats;
#[path = "core/fuzz.rs"]
mod fuzz;
#[path = "core/h2.rs"]
mod h2;
#[path = "core/include.rs"]
mod include;
#[path = "core/later.rs"]
mod later;
#[path = "core/model.rs"]
mod model;
#[path = "core/render.rs"]
mod render;
#[path = "core/rules.rs"]
mod rules;
#[path = "core/six_lines.rs"]
mod six_lines;
#[path = "core/syntax.rs"]
mod syntax;
#[path = "core/tls.rs"]
mod tls;
