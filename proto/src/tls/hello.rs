//! The first message of a client (RFC 8446 §4.1.2): whether it is whole yet, and what it asks for.
//!
//! It is read before anything is spent on the client: who sends it slowly costs its bytes alone, and who does not speak TLS
//! is told apart.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use super::Fault;

/// Longest hello, its records' headers included. Those with key shares of post-quantum groups take 1.8 KiB.
pub const HELLO_MOST: usize = 32 << 10;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const PROTOCOLS: u16 = 16;
const HOST_NAME: u8 = 0;
const MESSAGE_HEADER: usize = 4;
const RECORD_HEADER: usize = 5;
const RECORD_MOST: usize = 16 << 10;
/// The longest method by which a request is told apart; `VERSION-CONTROL` has 15.
const METHOD_MOST: usize = 20;
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
    Ok(match body(input)? {
        Some(body) => Hello::Whole { server_name: server_name(&body) },
        None => Hello::Partial,
    })
}

/// Whether a whole hello offers this application protocol (RFC 7301) and no other, as an authority does that looks for the
/// answer to a challenge (RFC 8737 §4).
#[must_use]
pub fn offers_only(input: &[u8], protocol: &[u8]) -> bool {
    let Ok(Some(body)) = body(input) else { return false };
    let only = || {
        let mut list = Cursor(Cursor(extension(&body, PROTOCOLS)?).vector16()?);
        let first = list.vector8()?;
        Some(first == protocol && list.0.is_empty())
    };
    only().unwrap_or(false)
}

/// The hello's content, once it is whole.
fn body(input: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Fault> {
    match input {
        [] => return Ok(None),
        [HANDSHAKE, 3, ..] | [HANDSHAKE] => {}
        _ => return plain(input),
    }
    let mut message = Cow::Borrowed(&input[..0]);
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
                if body.len() >= length {
                    let end = MESSAGE_HEADER + length;
                    return Ok(Some(match message {
                        Cow::Borrowed(message) => Cow::Borrowed(&message[MESSAGE_HEADER..end]),
                        Cow::Owned(message) => Cow::Owned(message[MESSAGE_HEADER..end].to_vec()),
                    }));
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
        // Nearly every hello is one record, and read where it is.
        if message.is_empty() {
            message = Cow::Borrowed(payload);
        } else {
            message.to_mut().extend_from_slice(payload);
        }
        rest = behind;
    }
}

fn partial<T>(input: &[u8]) -> Result<Option<T>, Fault> {
    if input.len() >= HELLO_MOST { Err(Fault::TooLarge) } else { Ok(None) }
}

/// What begins with no handshake record: a request has a method, a space, and what cannot be mistaken for noise.
fn plain<T>(input: &[u8]) -> Result<Option<T>, Fault> {
    let method = input.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    match input.get(method) {
        _ if method > METHOD_MOST => Err(Fault::NotTls),
        Some(b' ') if method > 0 => Err(Fault::PlainHttp),
        Some(_) => Err(Fault::NotTls),
        None => Ok(None),
    }
}

/// The name in a hello; none where there is none, or where the hello is not in order.
fn server_name(body: &[u8]) -> Option<Box<str>> {
    let mut names = Cursor(Cursor(extension(body, SERVER_NAME)?).vector16()?);
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
    // An address is none (RFC 6066 §3); the engine reads it as none, too.
    if name.parse::<Ipv4Addr>().is_ok() {
        return None;
    }
    // RFC 6066 §3 has no dot at the end; who sends one means the same.
    Some(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into())
}

/// An extension's content (RFC 8446 §4.2), where the hello has it and is in order up to it.
fn extension(body: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut at = Cursor(body);
    at.skip(2 + 32)?;
    at.vector8()?;
    at.vector16()?;
    at.vector8()?;
    let mut extensions = Cursor(at.vector16()?);
    loop {
        let kind = extensions.u16()?;
        let content = extensions.vector16()?;
        if kind == wanted {
            return Some(content);
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
