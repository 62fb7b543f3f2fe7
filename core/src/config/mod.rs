//! What is to be served, and how: the configuration's model, its loader and its schema.

mod expand;
mod files;
mod include;
mod json;
mod load;
mod model;
mod node;
mod overrides;
mod read;
mod report;
mod schema;
mod toml;
mod yaml;

pub use files::{Disk, Files};
pub use load::{Format, Loaded, Loader, from_rules, load, load_text};
pub use model::*;
pub use schema::schema;

/// Environment variables by name. The loader reads these and never the process's own.
pub type Env = std::collections::BTreeMap<String, String>;
