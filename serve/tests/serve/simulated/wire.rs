//! Messages on a simulated connection, as simply as can be: who tests a parser does not test it with itself.

use std::io;

use super::line::Line;

/// A word well mixed from a word.
pub(super) fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The one content of this length that belongs to this number.
pub(super) fn content(number: u32, length: usize) -> Vec<u8> {
    let start = number.wrapping_mul(2_246_822_519);
    (0..length).map(|at| ((at as u32).wrapping_add(start).wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// The same, in chunks of at most `size` bytes with an end.
pub(super) fn chunked(content: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + 64);
    for chunk in content.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// A head: its first line, and its fields with names in lower case.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) first: String,
    pub(super) fields: Vec<(String, String)>,
}

impl Head {
    /// The values of a field.
    pub(super) fn all<'a, 'b>(&'a self, name: &'b str) -> impl Iterator<Item = &'a str> + use<'a, 'b> {
        self.fields.iter().filter(move |(own, _)| own.as_str() == name).map(|(_, value)| value.as_str())
    }

    /// The value of a field that comes at most once.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let mut all = self.all(name);
        let first = all.next();
        if all.next().is_some() { Some("several") } else { first }
    }

    pub(super) fn closes(&self) -> bool {
        self.all("connection").any(|value| value.to_ascii_lowercase().contains("close"))
    }

    pub(super) fn word(&self, at: usize) -> &str {
        self.first.split(' ').nth(at).unwrap_or_default()
    }
}

/// How long a message's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    /// A request's.
    pub(super) fn of_request(head: &Head) -> Framing {
        Self::of(head).unwrap_or(Framing::None)
    }

    /// A response's.
    pub(super) fn of_response(head: &Head, to_head: bool) -> Framing {
        let status = head.word(1);
        if to_head || status.starts_with('1') || status == "204" || status == "304" {
            return Framing::None;
        }
        Self::of(head).unwrap_or(Framing::UntilClose)
    }

    fn of(head: &Head) -> Option<Framing> {
        match (head.one("transfer-encoding"), head.one("content-length")) {
            (Some("chunked"), None) => Some(Framing::Chunked),
            (None, Some(length)) => length.parse().ok().map(Framing::Length),
            (None, None) => None,
            // What nobody may send: a length that no content has.
            _ => Some(Framing::Length(usize::MAX)),
        }
    }
}

/// Bytes that came on a connection and were not used yet.
pub(super) struct Inbox {
    pub(super) line: Line,
    bytes: Vec<u8>,
    used: usize,
}

impl Inbox {
    pub(super) fn new(line: Line) -> Inbox {
        Inbox { line, bytes: Vec::new(), used: 0 }
    }

    /// Reads once; false at the stream's end.
    pub(super) async fn more(&mut self) -> io::Result<bool> {
        let came = self.line.recv().await?;
        if self.used > 0 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        self.bytes.extend_from_slice(&came);
        Ok(!came.is_empty())
    }

    async fn need(&mut self) -> io::Result<()> {
        if self.more().await? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.rest().windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.rest()[..at]).into_owned();
                self.used += at + 2;
                return Ok(line);
            }
            self.need().await?;
        }
    }

    pub(super) async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.rest().len() < length {
            self.need().await?;
        }
        let bytes = self.rest()[..length].to_vec();
        self.used += length;
        Ok(bytes)
    }

    /// Everything to the end of the stream.
    pub(super) async fn until_end(&mut self) -> io::Result<Vec<u8>> {
        while self.more().await? {}
        let bytes = self.rest().to_vec();
        self.used = self.bytes.len();
        Ok(bytes)
    }

    /// The next head; `None` when the stream ends before one.
    pub(super) async fn head(&mut self) -> io::Result<Option<Head>> {
        while self.rest().is_empty() {
            if !self.more().await? {
                return Ok(None);
            }
        }
        let mut head = Head { first: self.line().await?, fields: Vec::new() };
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(Some(head));
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            head.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// A content; what came of it before it ended too early goes to `part`.
    pub(super) async fn content(&mut self, framing: Framing, part: &mut Vec<u8>) -> io::Result<()> {
        match framing {
            Framing::None => {}
            Framing::Length(length) => {
                while part.len() < length {
                    if self.rest().is_empty() {
                        self.need().await?;
                    }
                    let count = self.rest().len().min(length - part.len());
                    part.extend_from_slice(&self.bytes[self.used..self.used + count]);
                    self.used += count;
                }
            }
            Framing::Chunked => loop {
                let line = self.line().await?;
                let size = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16);
                let size = size.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, line))?;
                if size == 0 {
                    while !self.line().await?.is_empty() {}
                    break;
                }
                part.extend_from_slice(&self.exactly(size).await?);
                if !self.line().await?.is_empty() {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk without its end"));
                }
            },
            Framing::UntilClose => part.extend_from_slice(&self.until_end().await?),
        }
        Ok(())
    }
}
