//! Clients that break HTTP/2: one of the frames that end a connection (RFC 9113 §5.4.1) between two requests, of which
//! nobody may see the second.

use std::io;

use anygate_shard::SocketId;

use super::client::Life;
use super::frames::{self, Frames, Request, flag, kind};
use super::ledger::{NOT_BEGUN, Outcome};
use super::line::Line;
use super::scene::{Ask, How, What};
use super::streams::wrong;

/// Kind, flags, stream and payload of frames that nobody may send, on a connection where stream 1 was opened and ended.
type Offence = (u8, u8, u32, &'static [u8]);

const OFFENCES: [Offence; 18] = [
    (kind::DATA, 0, 101, b"idle"),
    (kind::DATA, 0, 0, b"nowhere"),
    (kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 0, &[0x82]),
    (kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 2, &[0x82]),
    // An index that is none (RFC 7541 §6.1), and a string longer than its block.
    (kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 3, &[0x80]),
    (kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 3, &[0, 9, b'x']),
    (kind::CONTINUATION, flag::END_HEADERS, 3, &[0x82]),
    (kind::RST_STREAM, 0, 101, &[0, 0, 0, 8]),
    (kind::RST_STREAM, 0, 1, &[0, 0, 8]),
    (kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0]),
    (kind::SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]),
    (kind::SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]),
    (kind::SETTINGS, 0, 1, &[]),
    (kind::PUSH_PROMISE, flag::END_HEADERS, 1, &[0, 0, 0, 2, 0x82]),
    (kind::PING, 0, 0, b"1234567"),
    (kind::GOAWAY, 0, 1, &[0; 8]),
    (kind::WINDOW_UPDATE, 0, 0, &[0; 4]),
    (kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
];

impl Life {
    /// Does it, and sees what comes of it.
    pub(super) async fn offends(&self, socket: SocketId, ask: &Ask, which: usize) -> io::Result<()> {
        self.shard.connected(socket).await?;
        self.ledger.borrow_mut().sends(*ask);
        let line = self.line(socket);
        let outcome = match self.offence(&line, ask, which).await {
            // Who has closed by then for another reason has said so.
            Ok(Some(0)) if !self.may().never_ends() => Outcome::Right(0),
            Ok(Some(code)) if code != 0 => Outcome::Right(0),
            // The frame may never have come to the house.
            Ok(None) if self.may().lose || self.may().drains => Outcome::Lost(NOT_BEGUN.to_owned()),
            Ok(code) => Outcome::Wrong(format!("{:?} ended in GOAWAY {code:?}", OFFENCES[which % OFFENCES.len()])),
            Err(error) if self.is_turned_away(&error) => Outcome::Lost(NOT_BEGUN.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Outcome::Wrong(error.to_string()),
            Err(error) => Outcome::Lost(format!("{:?}", error.kind())),
        };
        self.ends(ask, outcome);
        Ok(())
    }

    /// The code of the last GOAWAY, when all has come.
    async fn offence(&self, line: &Line, ask: &Ask, which: usize) -> io::Result<Option<u32>> {
        let Some(multi) = self.client.multi else { return Err(wrong("a client of HTTP/1.1")) };
        self.shake(line).await?;
        let mut frames = Frames::default();
        let mut out = frames::PREFACE.to_vec();
        frames::settings(&mut out, &[]);
        frames.ask(&mut out, 1, &Request::of(ask, 1, multi), None);
        let (kind, flags, stream, payload) = OFFENCES[which % OFFENCES.len()];
        frames::put(&mut out, kind, flags, stream, payload);
        // Nobody has asked for this one: the servers behind would tell.
        let unseen = What::Behind { how: How::Length, size: 5, head: false, upload: None };
        frames.ask(&mut out, 3, &Request::of(&Ask { number: 0, what: unseen, ..*ask }, 3, multi), None);
        self.send(line, &out).await;
        let mut code = None;
        loop {
            let bytes = match line.recv().await {
                Ok(bytes) if bytes.is_empty() => return Ok(code),
                Ok(bytes) => bytes,
                // What was said behind it is not read, and so the end may be a reset.
                Err(_) if code.is_some() => return Ok(code),
                Err(error) => return Err(error),
            };
            frames.add(&bytes);
            while let Some(frame) = frames.next()? {
                match frame.kind {
                    _ if code.is_some_and(|code| code != 0) => return Err(wrong(format!("{frame:?} behind the end"))),
                    kind::GOAWAY => code = Some(frame.number(4)),
                    kind::HEADERS | kind::DATA if frame.stream != 1 => {
                        return Err(wrong(format!("{frame:?} for what nobody may see")));
                    }
                    _ => {}
                }
            }
        }
    }
}
