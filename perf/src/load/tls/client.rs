//! The client's side of one TLS connection without its socket: records in, content out, and back.

use std::fmt;
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::crypto::SupportedKxGroup;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus, WriteTraffic};
use rustls::{CommonState, Error, HandshakeKind, ProtocolVersion};

use super::Sessions;

/// The longest content of a record, in bytes (RFC 8446 §5.1).
const RECORD: usize = 16 << 10;
/// What a record takes besides its content, at most.
const OVERHEAD: usize = 32;
/// What may have to be sent before content: an answer to a key update.
const AHEAD: usize = 256;

/// One connection.
pub(crate) struct Client {
    engine: UnbufferedClientConnection,
    /// A record, or a handshake message, that is not whole yet.
    held: Vec<u8>,
    closed: bool,
}

impl Client {
    /// Begins a connection: its hello is put behind `out`.
    pub(crate) fn begin(sessions: &Sessions, out: &mut Vec<u8>) -> Result<Self, Error> {
        let engine = UnbufferedClientConnection::new(Arc::clone(&sessions.config), sessions.name.clone())?;
        let mut client = Self { engine, held: Vec::new(), closed: false };
        client.work(&mut [], &mut |_| {}, out)?;
        Ok(client)
    }

    /// Takes what came: content goes to `content`, a call for each record; what must be sent is put behind `out`.
    pub(crate) fn feed(
        &mut self,
        input: &mut [u8],
        mut content: impl FnMut(&[u8]),
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if self.held.is_empty() {
            let used = self.work(input, &mut content, out)?;
            self.held.extend_from_slice(&input[used..]);
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(input);
        let used = self.work(&mut held, &mut content, out)?;
        // A connection at rest keeps nothing.
        if used < held.len() {
            held.drain(..used);
            self.held = held;
        }
        Ok(())
    }

    /// Works through `input`; how much of it is done with.
    fn work(&mut self, input: &mut [u8], content: &mut impl FnMut(&[u8]), out: &mut Vec<u8>) -> Result<usize, Error> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = self.engine.process_tls_records(&mut input[used..]);
            let done = match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        content(record.payload);
                    }
                    false
                }
                ConnectionState::EncodeTlsData(encode) => {
                    put(encode, out);
                    false
                }
                ConnectionState::TransmitTlsData(transmit) => {
                    transmit.done();
                    false
                }
                ConnectionState::PeerClosed => {
                    self.closed = true;
                    true
                }
                _ => true,
            };
            used += discard;
            if done {
                return Ok(if self.closed { input.len() } else { used });
            }
        }
    }

    /// Puts content as records behind `out`, once the handshake has ended.
    pub(crate) fn seal(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.write(out, |traffic, out| {
            let at = out.len();
            out.resize(at + content.len() + (content.len() / RECORD + 1) * OVERHEAD + AHEAD, 0);
            let written = traffic.encrypt(content, &mut out[at..]);
            out.truncate(at + written.as_ref().copied().unwrap_or(0));
            written.map(drop).map_err(|_| Error::EncryptError)
        })
    }

    /// Puts the word that no more is sent (RFC 8446 §6.1) behind `out`; nothing where the handshake has not ended.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) {
        // A connection that cannot say so any more ends without it.
        let _ = self.write(out, |traffic, out| {
            let at = out.len();
            out.resize(at + AHEAD, 0);
            let written = traffic.queue_close_notify(&mut out[at..]).unwrap_or(0);
            out.truncate(at + written);
            Ok(())
        });
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut WriteTraffic<'_, ClientConnectionData>, &mut Vec<u8>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            // What is held was looked at already: nothing comes of it now.
            match self.engine.process_tls_records(&mut self.held).state? {
                ConnectionState::WriteTraffic(mut traffic) => return write(&mut traffic, out),
                ConnectionState::EncodeTlsData(encode) => put(encode, out),
                ConnectionState::TransmitTlsData(transmit) => transmit.done(),
                _ => return Err(Error::HandshakeNotComplete),
            }
        }
    }

    /// True until the handshake has ended.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.engine.is_handshaking()
    }

    /// The server said that it sends no more; a stream that ends without that word was cut off.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// An earlier session goes on.
    pub(crate) fn is_resumed(&self) -> bool {
        self.engine.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// What was agreed to be spoken (RFC 7301), once the handshake has ended.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.engine.alpn_protocol()
    }

    /// Version, cipher suite and group, once the handshake has ended.
    pub(crate) fn agreed(&self) -> String {
        agreed(&self.engine)
    }
}

/// Version, cipher suite and group of a connection, as far as they are known.
pub(crate) fn agreed(common: &CommonState) -> String {
    let version = match common.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let suite = common.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("no suite");
    match common.negotiated_key_exchange_group().map(SupportedKxGroup::name) {
        Some(group) => format!("{version}, {suite}, {group:?}"),
        None => format!("{version}, {suite}"),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("held", &self.held.len()).field("closed", &self.closed).finish_non_exhaustive()
    }
}

fn put(mut encode: EncodeTlsData<'_, ClientConnectionData>, out: &mut Vec<u8>) {
    let at = out.len();
    if let Err(EncodeError::InsufficientSize(size)) = encode.encode(&mut []) {
        out.resize(at + size.required_size, 0);
        let written = encode.encode(&mut out[at..]).unwrap_or(0);
        out.truncate(at + written);
    }
}
