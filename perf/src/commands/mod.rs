//! What each command of the instrument does.

pub(crate) mod bench;
pub(crate) mod report;
