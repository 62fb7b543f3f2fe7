//! Clients that break TLS: what each of them does, and what alone it may get for it.

use std::io;

use anygate_shard::SocketId;

use super::client::{Life, request};
use super::ledger::{NOT_BEGUN, Outcome};
use super::line::Line;
use super::scene::{Ask, Breach};

/// What a handshake never begins with.
const NOISE: [&[u8]; 9] = [
    b"\0\0\0\0",
    b"SSH-2.0-sim\r\n",
    // An SSLv2 hello, which offers SSLv3.
    b"\x80\x1f\x01\x03\x00\x00\x06\x00\x00\x00\x10\x01\x00\x80\x00\x00\x00abcdefghijklmnop",
    // An alert; content; a message that is no hello.
    b"\x15\x03\x01\x00\x02\x02\x28",
    b"\x17\x03\x03\x00\x05hello",
    b"\x16\x03\x01\x00\x04\x0e\x00\x00\x00",
    // Another version; an empty record; a hello longer than any.
    b"\x16\x02\x00\x00\x05hello",
    b"\x16\x03\x01\x00\x00",
    b"\x16\x03\x01\x00\x06\x01\xff\xff\xff\x03\x03",
];
/// A record that nobody has sealed.
const FALSE_RECORD: &[u8] = b"\x17\x03\x03\x00\x20abcdefghijklmnopqrstuvwxyz012345";
/// What a request without TLS is answered.
const REFUSAL: &[u8] = b"HTTP/1.1 400 ";
/// The type of an alert's record.
const ALERT: u8 = 21;

impl Life {
    /// True where a stop has cut who waited to be let in.
    pub(super) fn is_turned_away(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::ConnectionReset && self.may().drains
    }

    /// Does it, and sees what comes of it.
    pub(super) async fn breaks(&self, socket: SocketId, ask: &Ask, breach: Breach) -> io::Result<()> {
        self.shard.connected(socket).await?;
        self.ledger.borrow_mut().sends(*ask);
        let line = self.line(socket);
        let outcome = match self.breaks_on(&line, ask, breach).await {
            Ok(came) if is_due(breach, &came) => Outcome::Right(0),
            Ok(came) if breach == Breach::Plain && REFUSAL.starts_with(&came) => Outcome::Lost("a refusal".to_owned()),
            Ok(came) => Outcome::Wrong(format!("{breach:?} was answered: {}", came.escape_ascii())),
            Err(error) if self.is_turned_away(&error) => Outcome::Lost(NOT_BEGUN.to_owned()),
            Err(error) => Outcome::Lost(format!("{:?}", error.kind())),
        };
        self.ends(ask, outcome);
        Ok(())
    }

    /// All that came, from where it was broken.
    async fn breaks_on(&self, line: &Line, ask: &Ask, breach: Breach) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        request(ask, &mut bytes);
        // Of a body, all but its last byte.
        bytes.pop();
        match breach {
            Breach::Plain => {
                bytes.push(b'\n');
                self.send_raw(line, &bytes).await;
            }
            Breach::Noise(which) => self.send_raw(line, NOISE[which % NOISE.len()]).await,
            Breach::Stall(most) => {
                let hello = line.sealed();
                self.send_raw(line, &hello[..most.min(hello.len() - 1)]).await;
            }
            Breach::Record => {
                self.shake(line).await?;
                self.send_raw(line, FALSE_RECORD).await;
            }
            Breach::Alarm => {
                self.shake(line).await?;
                self.send(line, &bytes).await;
                self.send_raw(line, &line.alarm()).await;
            }
            Breach::Cut => {
                self.shake(line).await?;
                self.send(line, &bytes).await;
                line.cut();
            }
            Breach::Frame(_) => unreachable!("it is one of HTTP/2"),
        }
        let mut came = Vec::new();
        loop {
            // Who is cut reads on.
            let next = match breach {
                Breach::Cut => line.recv().await,
                _ => line.recv_raw().await.map(|lease| lease.filled().to_vec()),
            };
            match next {
                Ok(bytes) if bytes.is_empty() => return Ok(came),
                Ok(bytes) => came.extend_from_slice(&bytes),
                Err(error) if breach == Breach::Cut && error.kind() == io::ErrorKind::UnexpectedEof => return Ok(came),
                // Who says more than is listened to is reset.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(came),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether this is all that it may be answered with.
fn is_due(breach: Breach, came: &[u8]) -> bool {
    match breach {
        Breach::Plain => came.starts_with(REFUSAL) || came.is_empty(),
        // Nothing was agreed on: an alert that can be read, or nothing.
        Breach::Noise(_) | Breach::Stall(_) => came.is_empty() || came[0] == ALERT && came.len() == 7,
        // What was agreed on seals all there is: tickets, an alert.
        Breach::Record | Breach::Alarm => !came.starts_with(b"HTTP"),
        Breach::Frame(_) => false,
        Breach::Cut => came.is_empty() || came.starts_with(b"HTTP/1.1 4") || came.starts_with(b"HTTP/1.1 5"),
    }
}
