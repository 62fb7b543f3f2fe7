//! What is asked of an ACME server: names, how they are proved, and what else an order may say.

use super::{ChallengeKind, Identifier, MOST_NAMES};

/// What is wished for.
#[derive(Debug, Clone)]
pub struct Wish {
    pub(super) names: Vec<Identifier>,
    pub(super) challenge: ChallengeKind,
    pub(super) terms_agreed: bool,
    pub(super) profile: Option<String>,
    pub(super) replaces: Option<String>,
}

impl Wish {
    /// One certificate for all of `names`, proved by `challenge`. `None` for no name, or more than [`MOST_NAMES`].
    #[must_use]
    pub fn new(names: &[Identifier], challenge: ChallengeKind) -> Option<Self> {
        let mut wished: Vec<Identifier> = Vec::with_capacity(names.len());
        for name in names {
            if !wished.contains(name) {
                wished.push(name.clone());
            }
        }
        let fits = (1..=MOST_NAMES).contains(&wished.len());
        fits.then_some(Self { names: wished, challenge, terms_agreed: false, profile: None, replaces: None })
    }

    /// The operator agreed to the server's terms of service.
    #[must_use]
    pub fn agreeing_to_terms(self) -> Self {
        Self { terms_agreed: true, ..self }
    }

    /// A profile of the server's directory, such as `shortlived`.
    #[must_use]
    pub fn with_profile(self, profile: &str) -> Self {
        Self { profile: Some(profile.to_owned()), ..self }
    }

    /// The certificate it takes the place of: [`super::Facts::id`] (RFC 9773 §5). Said where the server knows of it.
    #[must_use]
    pub fn replacing(self, id: Option<&str>) -> Self {
        Self { replaces: id.map(str::to_owned), ..self }
    }

    /// The names, each once.
    #[must_use]
    pub fn names(&self) -> &[Identifier] {
        &self.names
    }
}
