//! The server's side of one TLS connection: records in, content out, and back.
//!
//! The shape is slices in, bytes out, so that another engine can take the place of this one.

use std::fmt;
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};

use super::Fault;

/// The longest content of one record, in bytes (RFC 8446 §5.1).
pub const RECORD_CONTENT: usize = 16 << 10;
/// What a record takes besides its content, at most: header, explicit nonce, tag, type (RFC 5246 §6.2.3, RFC 8446 §5.2).
pub const RECORD_OVERHEAD: usize = 32;
/// What may have to be sent before the next content: an answer to a key update, an alert.
pub const AHEAD: usize = 256;

/// Bytes of unread records that are kept at most: a handshake message as long as they may be, and its records' headers.
const HELD_MOST: usize = 72 << 10;

/// One connection whose client's hello is whole.
pub struct Records {
    engine: UnbufferedServerConnection,
    server_name: Option<Box<str>>,
    /// A record, or a handshake message, that is not whole yet.
    held: Vec<u8>,
    /// The peer said that it sends no more.
    closed: bool,
    failed: bool,
}

/// What records brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed {
    /// The handshake ended with these records.
    pub established: bool,
    /// Content came before that: early data (RFC 8446 §2.3), which anybody may have repeated.
    pub early: bool,
}

/// What was agreed on in a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// True for TLS 1.3.
    pub is_tls13: bool,
    /// The name the client asked for, in lower case (RFC 6066 §3).
    pub server_name: Option<Box<str>>,
    /// The application's protocol (RFC 7301); none where none was agreed on.
    pub protocol: Option<Box<[u8]>>,
    /// The client's certificate and those it sent along, DER, its own first; empty for none. They were verified.
    pub client_chain: Box<[Box<[u8]>]>,
    /// True when an earlier session goes on.
    pub resumed: bool,
    /// Name of the cipher suite.
    pub suite: &'static str,
}

impl Records {
    /// A connection that has seen nothing.
    ///
    /// # Errors
    /// The configuration is of no use.
    pub fn new(config: &Arc<ServerConfig>) -> Result<Self, Fault> {
        let engine = UnbufferedServerConnection::new(Arc::clone(config)).map_err(|_| Fault::Internal)?;
        Ok(Self { engine, server_name: None, held: Vec::new(), closed: false, failed: false })
    }

    /// The same for a client that asked for this name.
    #[must_use]
    pub fn named(mut self, server_name: Option<Box<str>>) -> Self {
        self.server_name = server_name;
        self
    }

    /// Takes what came from the peer: content goes to `content`, a call for each record; what must be sent is put behind
    /// `out`. What follows the peer's last word is ignored.
    ///
    /// # Errors
    /// The connection is at its end. An alert that says why is in `out`.
    pub fn feed(&mut self, input: &mut [u8], mut content: impl FnMut(&[u8]), out: &mut Vec<u8>) -> Result<Fed, Fault> {
        if self.failed {
            return Err(Fault::Protocol);
        }
        let was_handshaking = self.engine.is_handshaking();
        let mut early = false;
        if self.held.is_empty() {
            let used = self.work(input, &mut content, &mut early, out)?;
            self.held.extend_from_slice(&input[used..]);
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(input);
            let used = self.work(&mut held, &mut content, &mut early, out)?;
            held.drain(..used);
            // A connection at rest keeps nothing.
            if held.is_empty() {
                held = Vec::new();
            }
            self.held = held;
        }
        if self.held.len() > HELD_MOST {
            self.failed = true;
            return Err(Fault::TooLarge);
        }
        Ok(Fed { established: was_handshaking && !self.engine.is_handshaking(), early })
    }

    /// Works through `input`; how much of it is done with.
    fn work(
        &mut self,
        input: &mut [u8],
        content: &mut impl FnMut(&[u8]),
        early: &mut bool,
        out: &mut Vec<u8>,
    ) -> Result<usize, Fault> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = self.engine.process_tls_records(&mut input[used..]);
            let done = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        content(record.payload);
                    }
                    false
                }
                Ok(ConnectionState::ReadEarlyData(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        content(record.payload);
                        *early = true;
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(mut encode)) => {
                    put(&mut encode, out);
                    false
                }
                Ok(ConnectionState::TransmitTlsData(transmit)) => {
                    transmit.done();
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.closed = true;
                    true
                }
                Ok(_) => true,
                Err(error) => {
                    self.failed = true;
                    self.last_word(&mut input[used + discard..], out);
                    return Err(Fault::of(&error));
                }
            };
            used += discard;
            if done {
                return Ok(if self.closed { input.len() } else { used });
            }
        }
    }

    /// Puts the alert that says what is wrong behind `out`. The engine gives what it has to send before it looks at
    /// `input`; it must not look at that again, which it would answer with another alert, or not survive.
    fn last_word(&mut self, input: &mut [u8], out: &mut Vec<u8>) {
        while self.engine.wants_write() {
            match self.engine.process_tls_records(input).state {
                Ok(ConnectionState::EncodeTlsData(mut encode)) => put(&mut encode, out),
                _ => return,
            }
        }
    }

    /// Seals content, of any length, as records at the start of `out`; how many bytes they take. Until the handshake has
    /// ended nothing can be sealed, but for answers to early data.
    ///
    /// # Errors
    /// `out` is shorter than [`sealed_len`] says, or this connection is at its end.
    pub fn seal(&mut self, content: &[u8], out: &mut [u8]) -> Result<usize, Fault> {
        self.write(out, |traffic, out| match traffic.encrypt(content, out) {
            Ok(written) => Ok(written),
            Err(EncryptError::InsufficientSize(_) | EncryptError::EncryptExhausted) => Err(Fault::Internal),
        })
    }

    /// Puts the word that no more is sent (RFC 8446 §6.1) at the start of `out`, which has [`AHEAD`] bytes; how many it
    /// takes. None where nothing can be sealed.
    #[must_use]
    pub fn close(&mut self, out: &mut [u8]) -> usize {
        if self.failed {
            return 0;
        }
        self.write(out, |traffic, out| traffic.queue_close_notify(out).map_err(|_| Fault::Internal)).unwrap_or(0)
    }

    fn write(
        &mut self,
        out: &mut [u8],
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, Fault>,
    ) -> Result<usize, Fault> {
        if self.failed {
            return Err(Fault::Protocol);
        }
        let mut at = 0;
        loop {
            // What is held was looked at already: nothing comes of it now.
            match self.engine.process_tls_records(&mut self.held).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => return Ok(at + write(&mut traffic, &mut out[at..])?),
                Ok(ConnectionState::EncodeTlsData(mut encode)) => {
                    at += encode.encode(&mut out[at..]).map_err(|_| Fault::Internal)?;
                }
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                Ok(_) => return Err(Fault::Protocol),
                Err(error) => return Err(Fault::of(&error)),
            }
        }
    }

    /// True until the handshake has ended.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.engine.is_handshaking()
    }

    /// True once the peer said that it sends no more. A stream that ends without that word was cut off (RFC 8446 §6.1).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// True while a record has come in part.
    #[must_use]
    pub fn is_amid(&self) -> bool {
        !self.held.is_empty()
    }

    /// What was agreed on, once the handshake has ended or early data came.
    #[must_use]
    pub fn agreed(&self) -> Agreed {
        let chain = self.engine.peer_certificates().unwrap_or_default();
        let suite = self.engine.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        Agreed {
            is_tls13: self.engine.protocol_version() == Some(ProtocolVersion::TLSv1_3),
            server_name: self.server_name.clone(),
            protocol: self.engine.alpn_protocol().map(Into::into),
            client_chain: chain.iter().map(|certificate| certificate.as_ref().into()).collect(),
            resumed: self.engine.handshake_kind() == Some(HandshakeKind::Resumed),
            suite: suite.unwrap_or("unknown"),
        }
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("held", &self.held.len()).field("closed", &self.closed).finish_non_exhaustive()
    }
}

/// Puts a message behind `out`.
fn put(encode: &mut EncodeTlsData<'_, ServerConnectionData>, out: &mut Vec<u8>) {
    let at = out.len();
    if let Err(EncodeError::InsufficientSize(size)) = encode.encode(&mut []) {
        out.resize(at + size.required_size, 0);
        let written = encode.encode(&mut out[at..]).unwrap_or(0);
        out.truncate(at + written);
    }
}

/// Room that [`Records::seal`] wants for so many bytes of content.
#[must_use]
pub const fn sealed_len(content: usize) -> usize {
    content + (content / RECORD_CONTENT + 1) * RECORD_OVERHEAD + AHEAD
}
