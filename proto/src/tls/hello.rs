//! The first message of a client (RFC 8446 §4.1.2): whether it is whole yet, and what it asks for.
//!
//! It is read before anything is spent on the client: who sends it slowly costs its bytes alone, and who does not speak TLS
//! is told apart.

use super::Fault;

/// Longest hello, its records' headers included. Those with key shares of post-quantum groups take 1.8 KiB.
pub const HELLO_MOST: usize = 32 << 10;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const RECORD_HEADER: usize = 5;
const RECORD_MOST: usize = 16 << 10;
/// The longest name there is (RFC 1035 §2.3.4).
const NAME_MOST: usize = 253;

/// What came of a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// Read more, and look again at everything.
    Partial,
    /// It is whole.
    Whole {
        /// The server's name in lower case (RFC 6066 §3), where it gives one that is a name.
        server_name: Option<Box<str>>,
    },
}

/// Looks at everything that came so far.
///
/// # Errors
/// [`Fault::PlainHttp`] where it is a request, [`Fault::NotTls`] where it is anything else; [`Fault::TooLarge`] beyond
/// [`HELLO_MOST`]. What is wrong inside a hello is found when it is answered.
pub fn read(input: &[u8]) -> Result<Hello, Fault> {
    match input {
        [] => return Ok(Hello::Partial),
        [HANDSHAKE, 3, ..] | [HANDSHAKE] => {}
        [b'A'..=b'Z', rest @ ..] if rest.iter().take(8).all(|byte| byte.is_ascii_alphabetic() || *byte == b' ') => {
            return Err(Fault::PlainHttp);
        }
        _ => return Err(Fault::NotTls),
    }
    let mut message = Vec::new();
    let mut rest = input;
    loop {
        if let [kind, length @ ..] = &message[..] {
            if *kind != CLIENT_HELLO {
                return Err(Fault::NotTls);
            }
            if let [a, b, c, body @ ..] = length {
                let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                if length > HELLO_MOST {
                    return Err(Fault::TooLarge);
                }
                if let Some(body) = body.get(..length) {
                    return Ok(Hello::Whole { server_name: server_name(body) });
                }
            }
        }
        let (payload, behind) = match rest {
            [HANDSHAKE, 3, _, a, b, behind @ ..] => {
                let length = usize::from(*a) << 8 | usize::from(*b);
                if length == 0 || length > RECORD_MOST {
                    return Err(Fault::NotTls);
                }
                match behind.split_at_checked(length) {
                    Some(split) => split,
                    None => return partial(input),
                }
            }
            [] | [HANDSHAKE] => return partial(input),
            [HANDSHAKE, 3, ..] if rest.len() < RECORD_HEADER => return partial(input),
            _ => return Err(Fault::NotTls),
        };
        message.extend_from_slice(payload);
        rest = behind;
    }
}

fn partial(input: &[u8]) -> Result<Hello, Fault> {
    if input.len() >= HELLO_MOST { Err(Fault::TooLarge) } else { Ok(Hello::Partial) }
}

/// The name in a hello; none where there is none, or where the hello is not in order.
fn server_name(body: &[u8]) -> Option<Box<str>> {
    let mut at = Cursor(body);
    at.skip(2 + 32)?;
    at.vector8()?;
    at.vector16()?;
    at.vector8()?;
    let mut extensions = Cursor(at.vector16()?);
    loop {
        let kind = extensions.u16()?;
        let content = extensions.vector16()?;
        if kind == SERVER_NAME {
            let mut names = Cursor(Cursor(content).vector16()?);
            let kind = names.u8()?;
            let name = names.vector16()?;
            if kind != HOST_NAME || name.is_empty() || name.len() > NAME_MOST {
                return None;
            }
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            if !name.iter().all(is_name) {
                return None;
            }
            let name = std::str::from_utf8(name).ok()?;
            // RFC 6066 §3 has no dot at the end; who sends one means the same.
            return Some(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into());
        }
    }
}

/// Bytes that are read from the front.
struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    fn skip(&mut self, bytes: usize) -> Option<&'b [u8]> {
        let (skipped, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(skipped)
    }

    fn u8(&mut self) -> Option<u8> {
        Some(self.skip(1)?[0])
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.skip(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn vector8(&mut self) -> Option<&'b [u8]> {
        let length = self.u8()?;
        self.skip(usize::from(length))
    }

    fn vector16(&mut self) -> Option<&'b [u8]> {
        let length = self.u16()?;
        self.skip(usize::from(length))
    }
}
