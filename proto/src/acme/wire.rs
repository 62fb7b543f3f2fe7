//! The objects an ACME server sends, as far as they are used (RFC 8555 §7.1, RFC 9773 §4.2); what else they hold is skipped.

use std::collections::BTreeMap;

use serde::Deserialize;

/// RFC 8555 §7.1.1.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Directory {
    pub(super) new_nonce: String,
    pub(super) new_account: String,
    pub(super) new_order: String,
    /// RFC 9773 §4.1.
    pub(super) renewal_info: Option<String>,
    #[serde(default)]
    pub(super) meta: Meta,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) terms_of_service: Option<String>,
    #[serde(default)]
    pub(super) external_account_required: bool,
    /// Names of profiles and what they are.
    #[serde(default)]
    pub(super) profiles: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Account {
    pub(super) status: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Name {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) value: String,
}

/// RFC 8555 §7.1.3.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Order {
    pub(super) status: Status,
    #[serde(default)]
    pub(super) authorizations: Vec<String>,
    pub(super) finalize: String,
    pub(super) certificate: Option<String>,
    pub(super) error: Option<Problem>,
}

/// RFC 8555 §7.1.4.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Authorization {
    pub(super) identifier: Name,
    pub(super) status: Status,
    #[serde(default)]
    pub(super) challenges: Vec<Challenge>,
}

/// RFC 8555 §7.1.5, §8.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Challenge {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) url: String,
    pub(super) token: Option<String>,
    pub(super) error: Option<Problem>,
}

/// The states of orders and authorizations (RFC 8555 §7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
    Deactivated,
    Expired,
    Revoked,
    #[serde(other)]
    Unknown,
}

/// RFC 7807, RFC 8555 §6.7.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Problem {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) detail: String,
    #[serde(default)]
    pub(super) status: u16,
    pub(super) identifier: Option<Name>,
    pub(super) instance: Option<String>,
    #[serde(default)]
    pub(super) subproblems: Vec<Problem>,
}

/// RFC 9773 §4.2.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RenewalInfo {
    pub(super) suggested_window: Window,
    #[serde(rename = "explanationURL")]
    pub(super) explanation_url: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Window {
    pub(super) start: String,
    pub(super) end: String,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Processing => "processing",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Deactivated => "deactivated",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown",
        }
    }
}
