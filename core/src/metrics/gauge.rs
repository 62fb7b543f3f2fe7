//! What is to be known of the process as a whole, rather than counted by a shard?

/// A value as it is when somebody asks, and what it is the value of.
///
/// The control thread makes these of its own state on demand: nothing is stored for them, and no shard is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauge {
    /// Its name; the unit is the last word.
    pub name: &'static str,
    /// What tells it from others of this name.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: u64,
}
