//! This instance's own name, random, so that two gates in a row are no loop.

use std::hash::{BuildHasher, RandomState};

/// A token of 16 hexadecimal digits behind `anygate-`. The standard library seeds its hash keys from the system's randomness.
#[must_use]
pub(crate) fn random() -> String {
    format!("anygate-{:016x}", RandomState::new().hash_one(std::process::id()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_instances_have_two_names() {
        assert_ne!(super::random(), super::random());
    }
}
