//! TLS without sockets (RFC 8446, RFC 5246): records in and out, and what a connection is set up with.
//!
//! ```text
//! Identity::load(cert, key, ocsp, now)      a certificate with its key, from PEM; identity.warnings() to be told
//! Names::new(vec![..], strict)              certificates by name, the default first
//! Resolver::new(Arc::new(names))            what can be replaced while it serves: resolver.replace(names)
//! TicketKeys::new(lifetime, now), SessionCache::new(entries, lifetime, now)
//!                                           once for the process; tick(now) on each, once a minute or so
//! Settings { profile, protocols, client_auth, tickets, sessions, .. }.build(resolver)
//!                                           Arc<ServerConfig> for Records::new, on all shards
//! hello::read(input)                        whole: first, while challenges are not empty, hello::offers_only(input, PROTOCOL)
//!                                           gets the challenges' configuration; then names.refuses(name) gets the bytes
//!                                           UNRECOGNIZED_NAME and the end; all others Records::new(config)
//! ```

mod der;
mod expiry;
mod fault;

pub mod certificate;
pub mod challenge;
pub mod client_cert;
pub mod config;
pub mod hello;
pub mod identity;
pub mod names;
pub mod ocsp;
pub mod profile;
pub mod records;
pub mod self_signed;
pub mod tickets;

pub use certificate::Facts;
pub use challenge::Challenges;
pub use client_cert::ClientCert;
pub use config::{Authorities, ClientAuth, ConfigError, Settings};
pub use expiry::Expiry;
pub use fault::Fault;
pub use hello::Hello;
pub use identity::{Identity, IdentityError, Warning};
pub use names::{Names, Resolver, UNRECOGNIZED_NAME};
pub use profile::Profile;
pub use records::Records;
pub use tickets::{SessionCache, TicketKeys};
