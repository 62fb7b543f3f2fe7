//! HTTP/1.1 read in the simplest way that could be right: whole lines, no tables, everything strict.
//!
//! Written from RFC 9112, and shares nothing with the crates it judges. What it takes, nobody can read in two ways.

/// A head: its first line, its fields with names in lower case, and how many bytes it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NaiveHead {
    /// The first line without its end.
    pub first: Vec<u8>,
    /// Names in lower case, values without blanks around them.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes up to the body.
    pub length: usize,
}

/// How the body that follows is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NaiveBody {
    /// No body and no field that speaks of one.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// A message read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NaiveMessage {
    /// The head.
    pub head: NaiveHead,
    /// The body, unframed.
    pub body: Vec<u8>,
    /// Bytes of all of it.
    pub length: usize,
    /// False where the bytes end before the message does.
    pub whole: bool,
}

/// A head at the start of `bytes`; `Ok(None)` when its end is not there.
///
/// # Errors
///
/// What a strict reader minds.
pub fn head(bytes: &[u8]) -> Result<Option<NaiveHead>, &'static str> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let mut lines = lines(&bytes[..end]);
    let first = lines.next().unwrap_or_default().to_vec();
    if first.iter().any(|&b| b != b'\t' && b < b' ' || b == 0x7f) {
        return Err("a control character in the first line");
    }
    let mut fields = Vec::new();
    for line in lines {
        let colon = line.iter().position(|&b| b == b':').ok_or("a line without a colon")?;
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        if name.is_empty() || !name.iter().all(|&b| token(b)) {
            return Err("a name that is no token");
        }
        if value.iter().any(|&b| b != b'\t' && b < b' ' || b == 0x7f) {
            return Err("a control character in a value");
        }
        fields.push((name.to_ascii_lowercase(), value.to_vec()));
    }
    Ok(Some(NaiveHead { first, fields, length: end + 4 }))
}

impl NaiveHead {
    /// The values of the fields of that name, which is in lower case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.fields.iter().filter(move |(one, _)| one == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// The framing the fields tell of, if they tell of one alone. Empty members of a list are none (RFC 9110 §5.6.1).
    ///
    /// # Errors
    ///
    /// What leaves room for two readings.
    pub fn body(&self) -> Result<NaiveBody, &'static str> {
        let codings: Vec<&[u8]> = self.values("transfer-encoding").collect();
        let members = codings.iter().flat_map(|value| value.split(|&b| b == b',')).map(trim);
        let members: Vec<&[u8]> = members.filter(|member| !member.is_empty()).collect();
        let lengths: Vec<&[u8]> = self.values("content-length").collect();
        match (codings.as_slice(), lengths.as_slice()) {
            ([], []) => Ok(NaiveBody::None),
            ([], [length]) => {
                if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
                    return Err("a length that is no number");
                }
                let digits = std::str::from_utf8(length).map_err(|_| "a length that is no number")?;
                digits.parse().map(NaiveBody::Length).map_err(|_| "a length that overflows")
            }
            ([_, ..], []) => match members.as_slice() {
                [coding] if coding.eq_ignore_ascii_case(b"chunked") => Ok(NaiveBody::Chunked),
                _ => Err("other codings than chunked"),
            },
            _ => Err("more than one framing"),
        }
    }

    /// The three words of a request line.
    ///
    /// # Errors
    ///
    /// Not three words with one blank between them.
    pub fn request_line(&self) -> Result<[&[u8]; 3], &'static str> {
        let words: Vec<&[u8]> = self.first.split(|&b| b == b' ').collect();
        let words: [&[u8]; 3] = words.try_into().map_err(|_| "a request line has three words")?;
        if words[0].is_empty() || !words[0].iter().all(|&b| token(b)) {
            return Err("a method that is no token");
        }
        if words[1].is_empty() || !words[1].iter().all(|&b| (0x21..0x7f).contains(&b)) {
            return Err("a target with a character it must not have");
        }
        if !matches!(words[2], [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9']) {
            return Err("a version that is not 1.x");
        }
        Ok(words)
    }

    /// The status of a status line.
    ///
    /// # Errors
    ///
    /// No `HTTP/1.x`, three digits and a blank.
    pub fn status(&self) -> Result<u16, &'static str> {
        let line = &self.first;
        if !(line.starts_with(b"HTTP/1.1 ") || line.starts_with(b"HTTP/1.0 ")) || line.get(12) != Some(&b' ') {
            return Err("a status line that is none");
        }
        let digits = &line[9..12];
        if !digits.iter().all(u8::is_ascii_digit) || digits[0] == b'0' {
            return Err("a status of other than three digits");
        }
        Ok(digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')))
    }
}

/// A request at the start of `bytes`; `Ok(None)` when its head is not whole.
///
/// # Errors
///
/// What a strict reader minds.
pub fn request(bytes: &[u8]) -> Result<Option<NaiveMessage>, &'static str> {
    let Some(head) = head(bytes)? else { return Ok(None) };
    let [_, _, version] = head.request_line()?;
    if head.values("host").count() != 1 && !(version == b"HTTP/1.0" && head.values("host").count() == 0) {
        return Err("not one Host");
    }
    let framing = head.body()?;
    if version == b"HTTP/1.0" && framing == NaiveBody::Chunked {
        return Err("chunks in HTTP/1.0");
    }
    message(bytes, head, Some(framing)).map(Some)
}

/// A response to `method` at the start of `bytes`, which end where the connection did; `Ok(None)` when its head is not
/// whole. Interim responses are messages too.
///
/// # Errors
///
/// What a strict reader minds.
pub fn response(bytes: &[u8], method: &[u8]) -> Result<Option<NaiveMessage>, &'static str> {
    let Some(head) = head(bytes)? else { return Ok(None) };
    let status = head.status()?;
    let framing = head.body()?;
    if (status < 200 || status == 204) && framing != NaiveBody::None {
        return Err("a framing where there is no body");
    }
    let none = status < 200 || status == 204 || status == 304 || method == b"HEAD";
    let framing = match framing {
        _ if none => Some(NaiveBody::None),
        // Until the connection closes.
        NaiveBody::None => None,
        framing => Some(framing),
    };
    message(bytes, head, framing).map(Some)
}

fn message(bytes: &[u8], head: NaiveHead, framing: Option<NaiveBody>) -> Result<NaiveMessage, &'static str> {
    let rest = &bytes[head.length..];
    let (body, taken, whole) = match framing {
        None => (rest.to_vec(), rest.len(), true),
        Some(NaiveBody::None) => (Vec::new(), 0, true),
        Some(NaiveBody::Length(length)) => {
            let taken = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
            (rest[..taken].to_vec(), taken, taken as u64 == length)
        }
        Some(NaiveBody::Chunked) => {
            let chunks = chunks(rest)?;
            (chunks.data, chunks.length, chunks.whole)
        }
    };
    Ok(NaiveMessage { length: head.length + taken, head, body, whole })
}

/// A chunked body read as far as it is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NaiveChunks {
    /// The data of all chunks.
    pub data: Vec<u8>,
    /// The trailer fields, names in lower case.
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes taken.
    pub length: usize,
    /// Whether the last chunk and the trailer section were there.
    pub whole: bool,
}

/// The chunked body at the start of `bytes`.
///
/// # Errors
///
/// What a strict reader minds; never for bytes that only end early, as far as whole lines tell.
pub fn chunks(bytes: &[u8]) -> Result<NaiveChunks, &'static str> {
    let mut out = NaiveChunks::default();
    let cut = |mut out: NaiveChunks| {
        out.length = bytes.len();
        Ok(out)
    };
    loop {
        let rest = &bytes[out.length..];
        let Some(end) = find(rest, b"\r\n") else { return cut(out) };
        let line = &rest[..end];
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        let size = std::str::from_utf8(size).map_err(|_| "a size that is no number")?;
        if size.len() > 16 {
            return Err("a size of too many digits");
        }
        let size = u64::from_str_radix(size, 16).map_err(|_| "a size that is no number")?;
        if !extension.is_empty() && trim(extension).first() != Some(&b';') {
            return Err("something else than an extension behind a size");
        }
        if extension.iter().any(|&b| b != b'\t' && b < b' ' || b == 0x7f) {
            return Err("a control character in an extension");
        }
        out.length += end + 2;
        if size == 0 {
            break;
        }
        let rest = &bytes[out.length..];
        if (rest.len() as u64) < size {
            out.data.extend_from_slice(rest);
            return cut(out);
        }
        let size = size as usize;
        out.data.extend_from_slice(&rest[..size]);
        match &rest[size..] {
            [] | [b'\r'] => return cut(out),
            [b'\r', b'\n', ..] => out.length += size + 2,
            _ => return Err("a chunk without its end"),
        }
    }
    let rest = &bytes[out.length..];
    if rest.starts_with(b"\r\n") {
        out.length += 2;
        out.whole = true;
        return Ok(out);
    }
    // A trailer section is a head without a first line.
    let section = [b"x\r\n", rest].concat();
    match head(&section)? {
        None => cut(out),
        Some(read) => {
            out.length += read.length - 3;
            out.trailers = read.fields;
            out.whole = true;
            Ok(out)
        }
    }
}

/// Whether a byte may stand in a token.
#[must_use]
pub fn token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Without blanks at either end.
#[must_use]
pub fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Where `needle` starts first.
#[must_use]
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let all = rest?;
        match find(all, b"\r\n") {
            Some(at) => {
                rest = Some(&all[at + 2..]);
                Some(&all[..at])
            }
            None => rest.take(),
        }
    })
}
