//! The same client in HTTP/2, with and without TLS: frames as they are, requests of four indices each.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::exchange::{Talk, connect};

/// The name of the certificate.
const NAME: &str = "localhost";
/// The preface, and settings that change nothing (RFC 9113 §3.4).
const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Kinds and flags of frames (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:scheme`, as indices of the static table.
const HTTP: u8 = 0x86;
const HTTPS: u8 = 0x87;
/// Bytes of a frame's header.
const HEADER: usize = 9;

/// A certificate and its key, as files that the server reads, and what the client has to know of them.
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    config: Arc<ClientConfig>,
}

impl Identity {
    pub(crate) fn new(folder: &Path) -> Result<Self, String> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| error.to_string())?;
        let params = CertificateParams::new(vec![NAME.to_owned()]).map_err(|error| error.to_string())?;
        let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
        let files = [("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())].map(|(name, text)| {
            let file = folder.join(name);
            fs::write(&file, text).map_err(|error| format!("{name}: {error}")).map(|()| file)
        });
        let [certificate_file, key] = files;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).map_err(|error| error.to_string())?;
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { certificate: certificate_file?, key: key?, config: Arc::new(config) })
    }
}

/// Asks so often on one connection, and reads what comes.
pub(crate) fn ask(address: SocketAddr, talk: &Talk, times: u64, identity: Option<&Identity>) -> Result<(), String> {
    let stream = connect(address)?;
    let Some(identity) = identity else { return converse(stream, HTTP, &address.to_string(), talk, times) };
    let name = ServerName::try_from(NAME).map_err(|error| error.to_string())?;
    let client = ClientConnection::new(Arc::clone(&identity.config), name).map_err(|error| error.to_string())?;
    let authority = format!("{NAME}:{}", address.port());
    converse(StreamOwned::new(client, stream), HTTPS, &authority, talk, times)
}

fn converse(mut stream: impl Read + Write, scheme: u8, authority: &str, talk: &Talk, times: u64) -> Result<(), String> {
    let said = |error: std::io::Error| format!("asking: {error}");
    let mut out = BEGIN.to_vec();
    let mut input = Vec::new();
    let mut piece = vec![0; 64 << 10];
    let mut number = 1;
    for _ in 0..times {
        for _ in 0..talk.depth {
            let block = block(number == 1, scheme, authority);
            out.extend_from_slice(&[0, 0, block.len() as u8, HEADERS, END_STREAM | END_HEADERS]);
            out.extend_from_slice(&u32::to_be_bytes(number));
            out.extend_from_slice(&block);
            number += 2;
        }
        stream.write_all(&out).and_then(|()| stream.flush()).map_err(said)?;
        out.clear();
        let mut left = talk.depth;
        while left > 0 {
            let read = stream.read(&mut piece).map_err(said)?;
            if read == 0 {
                return Err("the connection ended before its answer".into());
            }
            input.extend_from_slice(&piece[..read]);
            left = left.checked_sub(answers(&mut input)?).ok_or("it answered what nobody asked")?;
        }
    }
    Ok(())
}

/// `GET /` there: the first time in words, then by the index of the server's table (RFC 7541 §6).
fn block(first: bool, scheme: u8, authority: &str) -> Vec<u8> {
    if !first {
        return vec![0x82, scheme, 0x84, 0xbe];
    }
    [&[0x82, scheme, 0x84, 0x41, authority.len() as u8], authority.as_bytes()].concat()
}

/// How many answers end in what came; a frame that is not whole stays. Each must be a 200.
fn answers(input: &mut Vec<u8>) -> Result<usize, String> {
    let (mut at, mut ended) = (0, 0);
    while let Some(&[a, b, c, kind, flags, ..]) = input.get(at..at + HEADER) {
        let end = at + HEADER + u32::from_be_bytes([0, a, b, c]) as usize;
        let Some(payload) = input.get(at + HEADER..end) else { break };
        match kind {
            // `:status: 200`, as an index of the static table.
            HEADERS if payload.first() != Some(&0x88) => return Err(format!("it answered {payload:?}")),
            DATA | HEADERS => ended += usize::from(flags & END_STREAM != 0),
            3 | 7 => return Err(format!("it ended a stream or the connection: {payload:?}")),
            _ => {}
        }
        at = end;
    }
    input.drain(..at);
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_where_they_end() {
        let frames = [
            &[0, 0, 0, 4, 0, 0, 0, 0, 0][..],
            &[0, 0, 1, HEADERS, 5, 0, 0, 0, 1, 0x88],
            &[0, 0, 1, HEADERS, 4, 0, 0, 0, 3, 0x88],
            &[0, 0, 2, DATA, 1, 0, 0, 0, 3, b'o', b'k'],
        ]
        .concat();
        let mut input = frames[..frames.len() - 1].to_vec();
        assert_eq!(answers(&mut input), Ok(1));
        input.push(b'k');
        assert_eq!((answers(&mut input), input.len()), (Ok(1), 0));
        assert!(answers(&mut vec![0, 0, 1, HEADERS, 5, 0, 0, 0, 1, 0x8d]).is_err());
        assert!(answers(&mut vec![0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 2]).is_err());
    }
}
