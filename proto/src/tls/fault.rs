//! Why a TLS connection ended.

use std::fmt;

use rustls::Error;

/// Why a TLS connection ended before its time, as counters and logs tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A request in plain text; it gets its answer in plain text.
    PlainHttp,
    /// Nothing that TLS begins with.
    NotTls,
    /// A message or a hello longer than they may be.
    TooLarge,
    /// No version, cipher suite, group or application protocol in common.
    NothingInCommon,
    /// No certificate for the name that was asked for.
    UnknownName,
    /// The client showed no certificate where one is required, or one that is not good.
    ClientCertificate,
    /// The peer ended it with an alert, such as one that does not like our certificate.
    Refused,
    /// Records or messages that are against the rules.
    Protocol,
    /// Nothing the peer did.
    Internal,
}

impl Fault {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::NothingInCommon,
            Error::NoCertificatesPresented | Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_) => {
                Self::ClientCertificate
            }
            Error::AlertReceived(_) => Self::Refused,
            Error::General(_) => Self::UnknownName,
            Error::EncryptError | Error::FailedToGetRandomBytes | Error::FailedToGetCurrentTime => Self::Internal,
            _ => Self::Protocol,
        }
    }

    /// A name for counters, such as `not_tls`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PlainHttp => "plain_http",
            Self::NotTls => "not_tls",
            Self::TooLarge => "too_large",
            Self::NothingInCommon => "nothing_in_common",
            Self::UnknownName => "unknown_name",
            Self::ClientCertificate => "client_certificate",
            Self::Refused => "refused",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PlainHttp => "a request in plain text",
            Self::NotTls => "no TLS",
            Self::TooLarge => "a message that is too large",
            Self::NothingInCommon => "no version, cipher suite, group or protocol in common",
            Self::UnknownName => "no certificate for the name",
            Self::ClientCertificate => "no client certificate, or one that is not good",
            Self::Refused => "the client ended it with an alert",
            Self::Protocol => "against the rules of TLS",
            Self::Internal => "an internal fault",
        })
    }
}
