//! TLS towards clients: sessions over sockets of this shard, and what they share.

mod credentials;
pub(crate) mod files;
mod front;
mod fronts;
mod info;
mod kept;
pub(crate) mod keys;
mod rate;
mod session;
mod sessions;
pub(crate) mod stand_in;

pub use anygate_proto::tls::self_signed;
pub(crate) use credentials::Looked;
pub use credentials::{Credentials, Terms};
pub use front::{Front, Shown};
pub use fronts::Fronts;
pub use info::TlsInfo;
pub(crate) use kept::News;
pub use rate::HandshakeRate;
pub use session::Session;
pub use sessions::Sessions;

use anygate_core::metrics::{Counter, ShardCells};
use anygate_proto::tls::Fault;

/// The counter of connections that ended so.
pub(crate) fn counter(fault: Fault, cells: &ShardCells) -> &Counter {
    match fault {
        Fault::PlainHttp => &cells.tls_plain_http,
        Fault::NotTls => &cells.tls_not_tls,
        Fault::TooLarge | Fault::Protocol | Fault::Internal => &cells.tls_protocol_errors,
        Fault::NothingInCommon => &cells.tls_nothing_in_common,
        Fault::UnknownName => &cells.tls_unknown_names,
        Fault::ClientCertificate => &cells.tls_client_certificates_refused,
        Fault::Refused => &cells.tls_refused_by_client,
    }
}
