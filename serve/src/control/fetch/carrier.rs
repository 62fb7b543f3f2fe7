//! What carries a request and its answer: a socket, with TLS over it where that was agreed on.

use std::io::{self, Read as _, Write as _};

use anygate_shard::{Bytes, Class, Close, Shard, SocketId};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::{FetchError, Trust};

/// A connection; cut where it is dropped before its end.
pub(super) struct Carrier<'s> {
    shard: &'s Shard,
    socket: Option<SocketId>,
    tls: Option<Box<ClientConnection>>,
}

impl<'s> Carrier<'s> {
    /// Of a socket that may be connecting yet.
    pub(super) fn new(shard: &'s Shard, socket: SocketId) -> Self {
        Self { shard, socket: Some(socket), tls: None }
    }

    /// The socket below.
    pub(super) fn socket(&self) -> SocketId {
        self.socket.expect("it is there until the end")
    }

    /// Agrees on TLS with a server that must be `host`.
    ///
    /// # Errors
    /// It does not come to that, or it is not that server.
    pub(super) async fn secure(&mut self, trust: &Trust, host: &str) -> Result<(), FetchError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| FetchError::Tls(format!("`{host}` is no name that a certificate can be for")))?;
        let mut tls = Box::new(ClientConnection::new(trust.config(), name).map_err(told)?);
        tls.set_buffer_limit(None);
        self.tls = Some(tls);
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            self.flush()?;
            let (_, ended) = self.receive().await?;
            if ended {
                return Err(FetchError::Tls("the server ended the connection in the handshake".to_owned()));
            }
        }
        Ok(())
    }

    /// Sends this; the kernel has it all when it is done.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes)?,
            None => self.shard.queue(self.socket(), Bytes::from(bytes.to_vec())),
        }
        self.flush()?;
        match self.shard.sent(self.socket(), 0).await {
            // A server may have answered before it heard everything: its answer counts.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// What came, and whether it was the last: over TLS that must be said.
    ///
    /// # Errors
    /// The connection broke, or TLS did.
    pub(super) async fn receive(&mut self) -> Result<(Vec<u8>, bool), FetchError> {
        let lease = self.shard.recv(self.socket(), Class::Tls).await?;
        let Some(tls) = &mut self.tls else { return Ok((lease.filled().to_vec(), lease.is_empty())) };
        let mut content = Vec::new();
        let mut rest = lease.filled();
        if rest.is_empty() {
            return Err(FetchError::Cut);
        }
        let mut closed = false;
        while !rest.is_empty() && !closed {
            tls.read_tls(&mut rest)?;
            let state = match tls.process_new_packets() {
                Ok(state) => state,
                Err(why) => {
                    // The alert that says why is worth a try.
                    let _ = self.flush();
                    return Err(told(why));
                }
            };
            closed = state.peer_has_closed();
            let had = content.len();
            content.resize(had + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut content[had..])?;
        }
        self.flush()?;
        Ok((content, closed))
    }

    /// Hands over what TLS wants to say.
    fn flush(&mut self) -> Result<(), FetchError> {
        let socket = self.socket();
        if let Some(tls) = &mut self.tls {
            let mut out = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut out)?;
            }
            self.shard.queue(socket, Bytes::from(out));
        }
        Ok(())
    }

    /// Ends it: everything was heard.
    pub(super) fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = self.flush();
        }
        if let Some(socket) = self.socket.take() {
            self.shard.close(socket, Close::Graceful);
        }
    }
}

impl Drop for Carrier<'_> {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.shard.close(socket, Close::Abort);
        }
    }
}

fn told(why: rustls::Error) -> FetchError {
    FetchError::Tls(why.to_string())
}
