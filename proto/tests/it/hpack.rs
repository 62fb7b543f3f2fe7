//! HPACK: the examples of RFC 7541 Appendix C, every way a block can be wrong, and what bounds it.

use anygate_proto::Known;
use anygate_proto::h2::hpack::{Block, DEFAULT_TABLE_SIZE, Decoder, Encoder, Error, FIELD_OVERHEAD, Indexing, Name};

/// Bytes of pairs of hex digits, with white space anywhere.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// One line of text for each field; `!` in front of one that must never be indexed, `?` in front of one that is not sound.
fn list(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Error> {
    let mut list = Vec::new();
    decoder.decode(block, &mut |line| {
        let marks = (if line.never_indexed { "!" } else { "" }, if line.sound { "" } else { "?" });
        list.push(format!("{}{}{}: {}", marks.0, marks.1, line.name.escape_ascii(), line.value.escape_ascii()));
    })?;
    Ok(list)
}

/// The examples' tables: indexes from 62 up, until there is none.
fn table(decoder: &mut Decoder) -> Vec<String> {
    (0..).map_while(|index| list(decoder, &[0x80 | (62 + index)]).ok()).flatten().collect()
}

/// A decoder whose table has this size, as a connection gets it.
fn sized(size: u32) -> Decoder {
    let mut decoder = Decoder::new(size);
    decoder.acknowledged();
    let mut update = Vec::new();
    let mut encoder = Encoder::new(DEFAULT_TABLE_SIZE);
    encoder.set_peer_table(size);
    encoder.begin(&mut update);
    assert_eq!(list(&mut decoder, &update), Ok(Vec::new()));
    decoder
}

fn example(decoder: &mut Decoder, block: &str, fields: &[&str], entries: &[&str]) {
    assert_eq!(list(decoder, &hex(block)).expect("the example is valid"), fields, "{block}");
    assert_eq!(table(decoder), entries, "{block}");
}

#[test]
fn the_single_fields_of_appendix_c_2_are_decoded() {
    let fresh = || Decoder::new(4096);
    let custom = ["custom-key: custom-header"];
    example(&mut fresh(), "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", &custom, &custom);
    example(&mut fresh(), "040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"], &[]);
    example(&mut fresh(), "1008 7061 7373 776f 7264 0673 6563 7265 74", &["!password: secret"], &[]);
    example(&mut fresh(), "82", &[":method: GET"], &[]);
}

#[test]
fn the_requests_of_appendix_c_3_and_c_4_are_decoded() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    let (authority, cache, custom) =
        (":authority: www.example.com", "cache-control: no-cache", "custom-key: custom-value");
    for blocks in [plain, coded] {
        let mut decoder = Decoder::new(4096);
        example(&mut decoder, blocks[0], &[":method: GET", ":scheme: http", ":path: /", authority], &[authority]);
        let second = [":method: GET", ":scheme: http", ":path: /", authority, cache];
        example(&mut decoder, blocks[1], &second, &[cache, authority]);
        let third = [":method: GET", ":scheme: https", ":path: /index.html", authority, custom];
        example(&mut decoder, blocks[2], &third, &[custom, cache, authority]);
    }
}

#[test]
fn the_responses_of_appendix_c_5_and_c_6_are_decoded_and_evict_what_they_should() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ];
    let coded = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
         9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    let (found, moved, ok) = (":status: 302", ":status: 307", ":status: 200");
    let (cache, location) = ("cache-control: private", "location: https://www.example.com");
    let (date, later) = ("date: Mon, 21 Oct 2013 20:13:21 GMT", "date: Mon, 21 Oct 2013 20:13:22 GMT");
    let (coding, cookie) =
        ("content-encoding: gzip", "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
    for blocks in [plain, coded] {
        let mut decoder = sized(256);
        example(&mut decoder, blocks[0], &[found, cache, date, location], &[location, date, cache, found]);
        example(&mut decoder, blocks[1], &[moved, cache, date, location], &[moved, location, date, cache]);
        let third = [ok, cache, later, location, coding, cookie];
        example(&mut decoder, blocks[2], &third, &[cookie, coding, later]);
    }
}

#[test]
fn a_block_that_ends_within_a_field_is_truncated_at_every_byte() {
    let whole =
        hex("82 be 7f 81 00 0c 2f73 616d 706c 652f 7061 7468 40 88 25a8 49e9 5ba9 7d7f 89 25a8 49e9 5bb8 e8b4 bf bf
         10 08 7061 7373 776f 7264 06 7365 6372 6574 00 01 78 00");
    let prepared = || {
        let mut decoder = Decoder::new(4096);
        for value in 0..150 {
            list(&mut decoder, &[0x40, 1, b'a', 1, value]).expect("a field");
        }
        decoder
    };
    // Where a field ends, or before the first one, the block is whole.
    let mut ends = vec![0];
    for end in 1..=whole.len() {
        match list(&mut prepared(), &whole[..end]) {
            Ok(_) => ends.push(end),
            Err(error) => assert_eq!(error, Error::Truncated, "{end}"),
        }
    }
    assert_eq!(ends, [0, 1, 2, 18, 38, 39, 56, 60]);
}

#[test]
fn every_error_of_a_block_is_found() {
    let wrong = |block: &str| list(&mut Decoder::new(4096), &hex(block)).expect_err("the block is wrong");
    // Index 0, one beyond both tables, one beyond all tables: as a field, and as a name of each kind.
    for block in ["80", "be", "ff ff ff ff 7f", "ff 80 ff ff ff 0f", "7e 00", "0f 2f 00", "1f 2f 00", "c0"] {
        assert_eq!(wrong(block), Error::Index, "{block}");
    }
    for block in [
        "ff ff ff ff ff 1f",
        "ff 80 80 80 80 80 00",
        "7f ff ff ff ff ff ff",
        "00 7f ff ff ff ff ff 01",
        "3f ff ff ff ff ff 01",
    ] {
        assert_eq!(wrong(block), Error::Integer, "{block}");
    }
    // Padding of zeros, of eight ones, and the end-of-string symbol; in a name and in a value.
    for block in ["00 81 00 00", "00 01 61 82 07ff", "00 01 61 84 ffff ffff", "40 84 ffff ffff 01 61", "44 81 ff"] {
        assert_eq!(wrong(block), Error::Huffman, "{block}");
    }
    // 4097, and 2^32 - 1.
    for block in ["3f e2 1f", "3f e0 ff ff ff 0f"] {
        assert_eq!(wrong(block), Error::TableSize, "{block}");
    }
    for block in ["82 20", "82 3f e1 1f", "00 01 61 00 20 20"] {
        assert_eq!(wrong(block), Error::LateUpdate, "{block}");
    }
    for block in ["82 7f", "40", "40 01", "40 01 61", "00 01 61 05 61"] {
        assert_eq!(wrong(block), Error::Truncated, "{block}");
    }
}

#[test]
fn a_table_size_update_holds_at_the_start_of_a_block_and_evicts() {
    let mut decoder = Decoder::new(4096);
    list(&mut decoder, &hex("40 01 61 01 62 40 01 63 01 64")).expect("two fields");
    assert_eq!(table(&mut decoder), ["c: d", "a: b"]);
    // 34 + 34 bytes: 67 leaves one, then back to 4096.
    assert_eq!(list(&mut decoder, &hex("3f 24 3f e1 1f be")), Ok(vec!["c: d".to_owned()]));
    assert_eq!(table(&mut decoder), ["c: d"]);
    assert_eq!(list(&mut decoder, &hex("20")), Ok(Vec::new()));
    assert_eq!(table(&mut decoder), [""; 0]);
    // Nothing fits a table of no size, and that is no error.
    assert_eq!(list(&mut decoder, &hex("40 01 61 01 62")), Ok(vec!["a: b".to_owned()]));
    assert_eq!(table(&mut decoder), [""; 0]);
}

#[test]
fn a_size_below_the_default_holds_from_the_acknowledgement_on_and_must_be_said() {
    let mut decoder = Decoder::new(100);
    // Before it, the peer has 4 KiB.
    assert!(list(&mut decoder, &hex("3f e1 1f 40 01 61 01 62")).is_ok());
    decoder.acknowledged();
    assert_eq!(list(&mut decoder, &hex("82")), Err(Error::NoUpdate));
    assert_eq!(list(&mut decoder, &hex("3f e1 1f 82")), Err(Error::TableSize));
    assert_eq!(list(&mut decoder, &hex("3f 45 be")), Ok(vec!["a: b".to_owned()]));
    assert_eq!(list(&mut decoder, &hex("be")), Ok(vec!["a: b".to_owned()]));
    // One that says the size early need not say it again.
    let mut decoder = Decoder::new(100);
    assert!(list(&mut decoder, &hex("3f 45 82")).is_ok());
    decoder.acknowledged();
    assert!(list(&mut decoder, &hex("82")).is_ok());
}

#[test]
fn a_size_above_the_default_is_the_peers_to_take() {
    let mut decoder = Decoder::new(8192);
    // A field of 4 KiB and more does not fit until the peer takes more.
    let field = [&hex("40 01 61 7f 81 1f")[..], &[b'b'; 4096]].concat();
    assert!(list(&mut decoder, &field).is_ok());
    assert_eq!(list(&mut decoder, &[0xbe]), Err(Error::Index));
    assert!(list(&mut decoder, &[&hex("3f e1 3f")[..], &field].concat()).is_ok());
    assert_eq!(list(&mut decoder, &[0xbe]).map(|list| list[0].len()), Ok(4099));
}

#[test]
fn a_field_may_take_its_name_from_the_entry_it_evicts() {
    let mut decoder = sized(64);
    list(&mut decoder, &hex("40 04 6e61 6d65 03 6f6c 64")).expect("a field");
    assert_eq!(table(&mut decoder), ["name: old"]);
    assert_eq!(list(&mut decoder, &hex("7e 05 6e65 7765 72")), Ok(vec!["name: newer".to_owned()]));
    assert_eq!(table(&mut decoder), ["name: newer"]);
}

#[test]
fn a_field_larger_than_the_table_empties_it_and_is_still_given() {
    let mut decoder = sized(64);
    list(&mut decoder, &hex("40 01 61 01 62")).expect("a field");
    let large = [&hex("40 01 61 40")[..], &[b'x'; 64]].concat();
    assert_eq!(list(&mut decoder, &large).map(|list| list[0].len()), Ok(67));
    assert_eq!(table(&mut decoder), [""; 0]);
}

#[test]
fn a_bomb_of_references_costs_no_memory() {
    let mut decoder = Decoder::new(4096);
    let entry = [&hex("40 01 61 7f e0 1e")[..], &[b'b'; 4063]].concat();
    list(&mut decoder, &entry[..]).expect("one entry that fills the table");
    let block = vec![0xbe; 16 * 1024];
    let (mut fields, mut size) = (0u64, 0u64);
    decoder
        .decode(&block, &mut |line| {
            fields += 1;
            size += (line.name.len() + line.value.len() + FIELD_OVERHEAD) as u64;
        })
        .expect("the block is valid");
    // 16 KiB that claim to be 64 MiB; none of it was copied anywhere, and the decoder is as large as before.
    assert_eq!((fields, size), (16 * 1024, 16 * 1024 * 4096));
}

#[test]
fn a_field_knows_its_id_and_whether_it_is_sound_wherever_it_is_kept() {
    let mut decoder = Decoder::new(4096);
    let mut lines = |block: &[u8]| {
        let mut lines = Vec::new();
        decoder.decode(block, &mut |line| lines.push((line.id, line.sound))).expect("a block");
        lines
    };
    let field = |known| Name::Field(known);
    assert_eq!(lines(&hex("82 90 c0")[..2]), [(Name::Method, true), (field(Known::AcceptEncoding), true)]);
    // `priority: u=1`, then as an entry, then its name with a value that is not sound, twice; upper case; a space behind.
    let first = [&[0x40, 8][..], b"priority", &[3], b"u=1", &[0xbe, 0x7e, 2, b'a', b'\r', 0xbe]].concat();
    let priority = field(Known::Priority);
    assert_eq!(lines(&first), [(priority, true), (priority, true), (priority, false), (priority, false)]);
    assert_eq!(lines(&[0x7e, 1, b'b', 0xbe, 0xbf]), [(priority, true), (priority, true), (priority, false)]);
    let upper = [&[0x40, 6][..], b"Cookie", &[1], b"a", &[0xbe, 0x7e, 1, b'b']].concat();
    assert_eq!(lines(&upper), [(field(Known::Cookie), false); 3]);
    let other = [&[0x40, 3][..], b"x-a", &[2], b"a ", &[0xbe]].concat();
    assert_eq!(lines(&other), [(field(Known::Other), false); 2]);
    let pseudo = [&[0, 9][..], b":protocol", &[1], b"a", &[0, 5], b":host", &[1], b"a"].concat();
    assert_eq!(lines(&pseudo), [(Name::Protocol, true), (Name::Undefined, false)]);
}

#[test]
fn the_count_of_changes_moves_with_the_table_and_with_nothing_else() {
    let mut decoder = Decoder::new(4096);
    let mut after = |block: &str| {
        list(&mut decoder, &hex(block)).expect("a block");
        decoder.changes()
    };
    let start = after("82");
    assert_eq!(after("82 84 00 01 61 00 10 01 61 00"), start);
    assert_eq!(after("3f e1 1f 82"), start);
    assert_eq!(after("40 01 61 00"), start + 1);
    assert_eq!(after("be be"), start + 1);
    assert_eq!(after("3f e0 1f"), start + 2);
    // A block that was good before an update was due is not good again.
    let mut decoder = Decoder::new(100);
    list(&mut decoder, &[0x82]).expect("a block");
    let before = decoder.changes();
    decoder.acknowledged();
    assert_ne!(decoder.changes(), before);
}

/// A block of these fields, and what a decoder that keeps up makes of it.
struct Pair {
    encoder: Encoder,
    decoder: Decoder,
}

impl Pair {
    fn new(table: u32) -> Self {
        Self { encoder: Encoder::new(table), decoder: Decoder::new(DEFAULT_TABLE_SIZE) }
    }

    /// Encodes one field; its bytes, and the decoded text.
    fn send(&mut self, name: &str, value: &str, how: Indexing) -> (usize, String) {
        let (mut field, mut block) = (Vec::new(), Vec::new());
        self.encoder.encode(name.as_bytes(), value.as_bytes(), how, &mut field);
        self.encoder.begin(&mut block);
        block.extend_from_slice(&field);
        let list = list(&mut self.decoder, &block).expect("what was encoded is valid");
        assert_eq!(list.len(), 1);
        (field.len(), list[0].clone())
    }
}

#[test]
fn stable_fields_are_one_byte_at_the_second_time_and_others_at_the_third() {
    let mut pair = Pair::new(4096);
    for (name, value) in [("Server", "anygate"), ("content-type", "text/html"), ("Vary", "accept-encoding")] {
        assert!(pair.send(name, value, Indexing::Auto).0 > 1);
        let text = format!("{}: {value}", name.to_ascii_lowercase());
        assert_eq!(pair.send(name, value, Indexing::Auto), (1, text), "{name}");
    }
    for (name, value) in [("X-Frame-Options", "DENY"), ("x-other", "value"), ("link", "</a>")] {
        let (first, _) = pair.send(name, value, Indexing::Auto);
        let (second, _) = pair.send(name, value, Indexing::Auto);
        assert!(first > 2 && second > 2, "{name}");
        let text = format!("{}: {value}", name.to_ascii_lowercase());
        assert_eq!(pair.send(name, value, Indexing::Auto), (1, text), "{name}");
        // Another value takes the name from the table.
        assert!(pair.send(name, "another", Indexing::Auto).0 <= 2 + "another".len(), "{name}");
    }
}

#[test]
fn secrets_are_never_indexed_and_what_differs_each_time_is_not() {
    let mut pair = Pair::new(4096);
    for (name, value) in [
        ("Set-Cookie", "session=4b1c0ed8a9f7426d8f3f2b1f0a7a6c55"),
        ("authorization", "Bearer abcdef"),
        ("Proxy-Authorization", "Basic abcdef"),
        ("cookie", "a=short"),
    ] {
        for _ in 0..3 {
            let (size, text) = pair.send(name, value, Indexing::Auto);
            assert!(size > 4 && text == format!("!{}: {value}", name.to_ascii_lowercase()), "{text}");
        }
    }
    for (name, value) in
        [("Date", "Mon, 21 Oct 2013 20:13:21 GMT"), ("content-length", "12345"), ("etag", "\"abc\""), (":path", "/a")]
    {
        for _ in 0..3 {
            assert!(pair.send(name, value, Indexing::Auto).0 > 3, "{name}");
        }
    }
    for _ in 0..3 {
        assert!(pair.send("server", "anygate", Indexing::No).0 > 3);
        assert_eq!(pair.send("server", "anygate", Indexing::Never).1, "!server: anygate");
    }
    assert_eq!(table(&mut pair.decoder), [""; 0]);
}

#[test]
fn statuses_of_the_static_table_are_one_byte_and_others_are_indexed() {
    let mut pair = Pair::new(4096);
    for status in [100, 101, 103, 200, 204, 206, 302, 304, 400, 404, 418, 431, 500, 503, 999] {
        for round in 0..2 {
            let mut block = Vec::new();
            pair.encoder.status(status, &mut block);
            assert_eq!(list(&mut pair.decoder, &block), Ok(vec![format!(":status: {status}")]));
            let is_static = [200, 204, 206, 304, 400, 404, 500].contains(&status);
            assert_eq!(block.len() == 1, is_static || round == 1, "{status}");
        }
    }
}

#[test]
fn what_a_peers_table_size_makes_due_stands_before_the_next_block() {
    let begun = |encoder: &mut Encoder| {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        out
    };
    let mut encoder = Encoder::new(4096);
    assert_eq!(begun(&mut encoder), b"");
    // More than we want changes nothing; so does the size there is.
    encoder.set_peer_table(65_536);
    assert_eq!(begun(&mut encoder), b"");
    encoder.set_peer_table(4096);
    assert_eq!(begun(&mut encoder), b"");
    encoder.set_peer_table(100);
    assert_eq!(begun(&mut encoder), hex("3f 45"));
    assert_eq!(begun(&mut encoder), b"");
    // Down and up between two blocks: both are said, the smallest first.
    encoder.set_peer_table(0);
    encoder.set_peer_table(200);
    assert_eq!(begun(&mut encoder), hex("20 3f a9 01"));
    encoder.set_peer_table(50_000);
    assert_eq!(begun(&mut encoder), hex("3f e1 1f"));
    // A small table of ours needs no word until the peer asks for a smaller one than it has itself.
    let mut encoder = Encoder::new(100);
    assert_eq!(begun(&mut encoder), b"");
    encoder.set_peer_table(4000);
    assert_eq!(begun(&mut encoder), hex("3f 45"));
    encoder.set_peer_table(50);
    assert_eq!(begun(&mut encoder), hex("3f 13"));
    // A large one is taken when the peer has it.
    let mut encoder = Encoder::new(16_384);
    encoder.set_peer_table(8192);
    assert_eq!(begun(&mut encoder), hex("3f e1 3f"));
}

#[test]
fn a_block_that_is_lost_on_the_way_leaves_both_tables_the_same() {
    let mut pair = Pair::new(4096);
    pair.send("server", "anygate", Indexing::Auto);
    // One that put nothing in the table may be lost without a trace.
    pair.encoder.encode(b"server", b"anygate", Indexing::Auto, &mut Vec::new());
    pair.encoder.lost();
    assert_eq!(pair.send("server", "anygate", Indexing::Auto).0, 1);
    pair.encoder.encode(b"vary", b"accept", Indexing::Auto, &mut Vec::new());
    pair.encoder.lost();
    for _ in 0..3 {
        for (name, value) in [("vary", "accept"), ("server", "anygate")] {
            assert_eq!(pair.send(name, value, Indexing::Auto).1, format!("{name}: {value}"));
        }
    }
    assert_eq!(table(&mut pair.decoder), ["server: anygate", "vary: accept"]);
}

#[test]
fn a_compiled_block_fits_every_decoder_and_takes_any_date() {
    let fields: [(&[u8], &[u8]); 5] = [
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"content-length", b"2"),
        (b"X-Own", b" padded\t"),
        (b"Accept-Encoding", b"gzip, deflate"),
        (b"Set-Cookie", b"a=b"),
    ];
    let mut block = Block::compile(200, fields, true).expect("the fields are valid");
    let at = block.date_at().expect("it has a date");
    assert_eq!(&block.as_bytes()[at..at + 29], b"Thu, 01 Jan 1970 00:00:00 GMT");
    let date = anygate_proto::date::format(784_111_777);
    let mut out = b"before".to_vec();
    block.write(&date, &mut out);
    block.set_date(&date);
    assert_eq!(&out[6..], block.as_bytes());
    let expected = [
        ":status: 200",
        "date: Sun, 06 Nov 1994 08:49:37 GMT",
        "content-type: text/plain; charset=utf-8",
        "content-length: 2",
        "x-own: padded",
        "accept-encoding: gzip, deflate",
        "!set-cookie: a=b",
    ];
    for mut decoder in [Decoder::new(0), sized(0), Decoder::new(4096), sized(64)] {
        let before = decoder.changes();
        assert_eq!(list(&mut decoder, block.as_bytes()).expect("the block is valid"), expected);
        assert_eq!(decoder.changes(), before);
    }
    let plain = Block::compile(204, [], false).expect("no fields");
    assert_eq!((plain.as_bytes(), plain.date_at()), (&[0x89][..], None));
    plain.write(&date, &mut out);
    assert_eq!(out.last(), Some(&0x89));
    let teapot = Block::compile(418, [], true).expect("no fields");
    let list = list(&mut Decoder::new(4096), teapot.as_bytes()).expect("the block is valid");
    assert_eq!(list, [":status: 418", "date: Thu, 01 Jan 1970 00:00:00 GMT"]);
}

#[test]
fn a_block_that_http_2_cannot_say_is_not_compiled() {
    let compiled =
        |status, name: &str, value: &str| Block::compile(status, [(name.as_bytes(), value.as_bytes())], true).is_some();
    assert!(compiled(200, "a", "b"));
    for status in [0, 99, 1000] {
        assert!(!compiled(status, "a", "b"), "{status}");
    }
    for (name, value) in [
        ("", "a"),
        ("a b", "a"),
        (":status", "200"),
        ("a", "b\r\nc: d"),
        ("a", "\0"),
        ("Connection", "close"),
        ("keep-alive", "a"),
        ("Transfer-Encoding", "chunked"),
        ("upgrade", "a"),
        ("proxy-connection", "a"),
    ] {
        assert!(!compiled(200, name, value), "{name}");
    }
}
