//! What an ACME server is like: how much patience it asks for, and what it offers and demands.

/// What the server is like.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    /// Each so many nonces that are used, one is not liked; 0 for none.
    pub(super) bad_nonce_each: u64,
    /// Answers carry a nonce, besides those to `newNonce`.
    pub(super) nonces_everywhere: bool,
    /// How often an authorization, and an order being finalized, is asked for before it is decided.
    pub(super) polls: u32,
    pub(super) retry_after: Option<&'static str>,
    pub(super) terms: bool,
    /// Identifier and key of the one binding it takes, and needs.
    pub(super) binding: Option<(&'static str, &'static [u8])>,
    pub(super) profiles: &'static [&'static str],
    pub(super) renewal_info: bool,
    pub(super) challenges: &'static [&'static str],
    /// Authorizations stay valid for other orders of the account.
    pub(super) reuse: bool,
    /// Seconds from a certificate's first to its last.
    pub(super) lifetime: u64,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            bad_nonce_each: 0,
            nonces_everywhere: true,
            polls: 1,
            retry_after: None,
            terms: true,
            binding: None,
            profiles: &[],
            renewal_info: true,
            challenges: &["dns-01", "http-01", "tls-alpn-01"],
            reuse: false,
            lifetime: 90 * 86_400,
        }
    }
}
