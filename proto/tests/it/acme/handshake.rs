//! What a TLS-ALPN-01 server sees: the certificate of a handshake that offers `acme-tls/1` alone (RFC 8737 §3).

use std::io::Cursor;
use std::sync::Arc;

use anygate_proto::tls::Challenges;
use anygate_proto::tls::challenge::PROTOCOL;
use rustls::ServerConnection;

use super::visitor::visitor;

/// The certificate that is shown for `name`, once both sides agreed on the protocol.
pub(super) fn shown(challenges: &Arc<Challenges>, name: &str) -> Option<Vec<u8>> {
    let mut client = visitor(name);
    let mut server = ServerConnection::new(challenges.config().unwrap()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut Cursor::new(&bytes)).unwrap();
        server.process_new_packets().ok()?;
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut Cursor::new(&bytes)).unwrap();
        client.process_new_packets().ok()?;
    }
    assert_eq!(client.alpn_protocol(), Some(PROTOCOL));
    client.peer_certificates().map(|chain| chain[0].to_vec())
}
