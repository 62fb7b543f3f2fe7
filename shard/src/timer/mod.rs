//! What is due: lanes for the timeouts that every connection has, a wheel for the rest.

mod lane;
mod wheel;

pub(crate) use lane::Due;
pub(crate) use lane::Lanes;
pub use lane::{LaneEntry, LaneId};
pub use wheel::Deadline;
pub(crate) use wheel::Wheel;
