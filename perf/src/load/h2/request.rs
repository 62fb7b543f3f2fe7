//! How a plan's request is written in HTTP/2: as header blocks made once (RFC 7541 §6).

use super::super::Plan;
use super::frame::{self, END_HEADERS, END_STREAM, HEADERS};

/// Entries of the static table (RFC 7541, Appendix A).
const STATIC: usize = 61;
/// What a dynamic table holds that nobody said anything about, in bytes (RFC 9113 §6.5.2).
pub(super) const TABLE: u32 = 4096;
/// What an entry takes beside its name and value, in bytes (RFC 7541 §4.1).
const ENTRY: usize = 32;
/// The longest block: one frame of the length everybody takes (RFC 9113 §4.2).
const LONGEST: usize = 16 << 10;
/// Fields that belong to a connection of HTTP/1.1 (RFC 9113 §8.2.2).
const OF_A_CONNECTION: &[&str] = &["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// A request's header blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks {
    /// Of a connection's first request: what is in no table goes into the server's.
    first: Vec<u8>,
    /// Of all others: indices alone.
    next: Vec<u8>,
    /// For a server that keeps no table.
    plain: Vec<u8>,
    /// The answers have no content, whatever length they name.
    pub(super) bodiless: bool,
}

/// Which of them a connection's next request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Turn {
    #[default]
    First,
    Next,
    /// Plain, behind the word that the table is no more.
    Without,
    Plain,
}

impl Blocks {
    /// # Errors
    /// The request cannot be sent in HTTP/2: its head is longer than a frame, or it has fields of HTTP/1.1 alone.
    pub(crate) fn of(plan: &Plan) -> Result<Self, String> {
        let mut fields = vec![
            (":method".to_owned(), plan.method().to_owned()),
            (":scheme".to_owned(), if plan.tls.is_some() { "https" } else { "http" }.to_owned()),
            (":path".to_owned(), plan.path.clone()),
            (":authority".to_owned(), plan.authority()),
        ];
        for header in plan.headers.iter() {
            let (name, value) = header.split_once(':').unwrap_or((header, ""));
            let name = name.trim().to_ascii_lowercase();
            if OF_A_CONNECTION.contains(&name.as_str()) {
                return Err(format!("HTTP/2 has no field `{name}`"));
            }
            if name != "host" {
                fields.push((name, value.trim().to_owned()));
            }
        }
        let known = |name: &str, value: &str| match (name, value) {
            (":method", "GET") => Some(2),
            (":method", "POST") => Some(3),
            (":path", "/") => Some(4),
            (":scheme", "http") => Some(6),
            (":scheme", "https") => Some(7),
            _ => None,
        };
        let kept: Vec<_> = fields.iter().filter(|(name, value)| known(name, value).is_none()).collect();
        let fits = kept.iter().map(|(name, value)| name.len() + value.len() + ENTRY).sum::<usize>() <= TABLE as usize;
        let mut blocks = Self { bodiless: plan.method() == "HEAD", ..Self::default() };
        let mut inserted = 0;
        for (name, value) in &fields {
            if let Some(index) = known(name, value) {
                for block in [&mut blocks.first, &mut blocks.next, &mut blocks.plain] {
                    integer(block, 0x80, 7, index);
                }
                continue;
            }
            inserted += 1;
            literal(&mut blocks.first, 0x40, 6, name, value);
            // The last that was put in is the first of the table.
            integer(&mut blocks.next, 0x80, 7, STATIC + 1 + kept.len() - inserted);
            literal(&mut blocks.plain, 0x00, 4, name, value);
        }
        if !fits {
            blocks.first.clone_from(&blocks.plain);
            blocks.next.clone_from(&blocks.plain);
        }
        let longest = blocks.first.len().max(blocks.plain.len() + 1);
        if longest > LONGEST { Err(format!("a head of {longest} bytes is too long")) } else { Ok(blocks) }
    }

    /// Puts a request without content on this stream behind `out`, and says what the next one is.
    #[inline]
    pub(super) fn put(&self, turn: Turn, stream: u32, out: &mut Vec<u8>) -> Turn {
        // A dynamic table of no bytes (RFC 7541 §6.3).
        let (ahead, block, next): (&[u8], _, _) = match turn {
            Turn::First => (&[], &self.first, Turn::Next),
            Turn::Next => (&[], &self.next, Turn::Next),
            Turn::Without => (&[0x20], &self.plain, Turn::Plain),
            Turn::Plain => (&[], &self.plain, Turn::Plain),
        };
        frame::put(HEADERS, END_STREAM | END_HEADERS, stream, ahead.len() + block.len(), out);
        out.extend_from_slice(ahead);
        out.extend_from_slice(block);
        next
    }
}

/// An integer behind a prefix (RFC 7541 §5.1): `first` has its other bits.
fn integer(out: &mut Vec<u8>, first: u8, bits: u32, number: usize) {
    let most = (1 << bits) - 1;
    if number < most {
        return out.push(first | number as u8);
    }
    out.push(first | most as u8);
    let mut left = number - most;
    while left >= 0x80 {
        out.push(0x80 | (left & 0x7f) as u8);
        left >>= 7;
    }
    out.push(left as u8);
}

/// A field as a literal; names of pseudo-header fields are in the static table.
fn literal(out: &mut Vec<u8>, kind: u8, bits: u32, name: &str, value: &str) {
    let index = match name {
        ":authority" => 1,
        ":method" => 2,
        ":path" => 4,
        _ => 0,
    };
    integer(out, kind, bits, index);
    if index == 0 {
        string(out, name);
    }
    string(out, value);
}

/// A string as it is, without Huffman's code.
fn string(out: &mut Vec<u8>, text: &str) {
    integer(out, 0, 7, text.len());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use anygate_proto::h2::hpack::{Decoder, Line};
    use anygate_shard::Io;

    use super::*;

    fn plan(headers: &[&str]) -> Plan {
        let headers = headers.iter().map(|&header| header.to_owned()).collect();
        Plan { path: "/a?b".into(), headers, ..Plan::new("127.0.0.1:8080".parse().unwrap(), Io::Epoll) }
    }

    fn lists(blocks: &Blocks, turns: &[Turn]) -> Vec<String> {
        let mut decoder = Decoder::new(TABLE);
        let lists = turns.iter().map(|&turn| {
            let (mut out, mut list) = (Vec::new(), String::new());
            blocks.put(turn, 1, &mut out);
            let mut sink = |Line { name, value, .. }: Line<'_>| {
                let field = [name, b"=", value, b" "].concat();
                list.push_str(&String::from_utf8(field).unwrap());
            };
            decoder.decode(&out[frame::HEADER..], &mut sink).unwrap();
            list
        });
        lists.collect()
    }

    #[test]
    fn every_request_of_a_connection_says_the_same_and_later_ones_are_shorter() {
        let blocks = Blocks::of(&plan(&["Accept: */*", "host: example.com", "X-Odd:  a b "])).unwrap();
        let said = ":method=GET :scheme=http :path=/a?b :authority=example.com accept=*/* x-odd=a b ";
        for turns in [[Turn::First, Turn::Next, Turn::Next], [Turn::First, Turn::Without, Turn::Plain]] {
            assert_eq!(lists(&blocks, &turns), [said; 3], "{turns:?}");
        }
        assert_eq!(blocks.next.len(), 6, "an index each");
    }

    #[test]
    fn what_is_too_long_for_the_table_is_said_each_time() {
        let long = format!("x: {}", "v".repeat(5000));
        let blocks = Blocks::of(&plan(&[&long])).unwrap();
        let all = lists(&blocks, &[Turn::First, Turn::Next]);
        assert!(all[0] == all[1] && all[0].len() > 5000);
        assert!(Blocks::of(&plan(&[&"y".repeat(20_000)])).is_err());
        assert!(Blocks::of(&plan(&["Connection: close"])).unwrap_err().contains("`connection`"));
    }

    #[test]
    fn numbers_are_written_as_the_rfc_s_examples() {
        let written = |bits, number| {
            let mut out = Vec::new();
            integer(&mut out, 0, bits, number);
            out
        };
        assert_eq!((written(5, 10), written(5, 1337), written(8, 42)), (vec![10], vec![31, 154, 10], vec![42]));
    }
}
