//! What the server says about itself.

pub mod limit;
pub mod log;
