//! What is to be served, and how: the configuration's model, its loader and its schema.

mod model;
mod schema;

pub use model::*;
