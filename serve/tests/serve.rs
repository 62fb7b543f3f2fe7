//! The server over sockets: raw bytes in, exact bytes out, on both drivers, and on a simulated network.

#[path = "serve/backend.rs"]
mod backend;
#[path = "serve/ground/mod.rs"]
mod ground;
#[path = "serve/h2_client.rs"]
mod h2_client;
#[path = "serve/harness.rs"]
mod harness;
#[path = "serve/issuer.rs"]
mod issuer;
#[path = "serve/papers.rs"]
mod papers;
#[path = "serve/pipe.rs"]
mod pipe;
#[path = "serve/ruled.rs"]
mod ruled;

#[path = "serve/acme/mod.rs"]
mod acme;
#[path = "serve/answers.rs"]
mod answers;
#[path = "serve/balance.rs"]
mod balance;
#[path = "serve/cases/mod.rs"]
mod cases;
#[path = "serve/certificates.rs"]
mod certificates;
#[path = "serve/client_certificates.rs"]
mod client_certificates;
#[path = "serve/connections.rs"]
mod connections;
#[path = "serve/costs.rs"]
mod costs;
#[path = "serve/early_data.rs"]
mod early_data;
#[path = "serve/exchange.rs"]
mod exchange;
#[path = "serve/files.rs"]
mod files;
#[path = "serve/greedy.rs"]
mod greedy;
#[path = "serve/greedy_answers.rs"]
mod greedy_answers;
#[path = "serve/greedy_crowd.rs"]
mod greedy_crowd;
#[path = "serve/h2.rs"]
mod h2;
#[path = "serve/h2_cases/mod.rs"]
mod h2_cases;
#[path = "serve/h2_certificates.rs"]
mod h2_certificates;
#[path = "serve/h2_drains.rs"]
mod h2_drains;
#[path = "serve/h2_ends.rs"]
mod h2_ends;
#[path = "serve/h2_floods.rs"]
mod h2_floods;
#[path = "serve/h2_like_h1.rs"]
mod h2_like_h1;
#[path = "serve/h2_memory.rs"]
mod h2_memory;
#[path = "serve/h2_review.rs"]
mod h2_review;
#[path = "serve/handshakes.rs"]
mod handshakes;
#[path = "serve/hsts.rs"]
mod hsts;
#[path = "serve/kept.rs"]
mod kept;
#[path = "serve/leaks.rs"]
mod leaks;
#[path = "serve/panics.rs"]
mod panics;
#[path = "serve/panics_simulated.rs"]
mod panics_simulated;
#[path = "serve/proxy.rs"]
mod proxy;
#[path = "serve/redirects.rs"]
mod redirects;
#[path = "serve/reviewed.rs"]
mod reviewed;
#[path = "serve/simulated/mod.rs"]
mod simulated;
#[path = "serve/tls.rs"]
mod tls;
#[path = "serve/tls_breaches.rs"]
mod tls_breaches;
#[path = "serve/tunnel.rs"]
mod tunnel;
