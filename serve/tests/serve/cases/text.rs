//! How is a table of cases written? One line a case, cells between bars, bytes with escapes.
//!
//! | line | meaning |
//! |---|---|
//! | `# …`, or empty | nothing |
//! | `columns: name \| send \| …` | which cells the cases have; once, before the first case |
//! | `let NAME = BYTES` | what `{NAME}` stands for in cells and in later lines like this |
//! | `include FILE` | the `let` lines of that file of the same folder, which the name's tables share |
//! | `gate NAME` | the cases below it run on the gate that serves the configuration in the indented lines below it; without such lines, on that of the earlier line with this name |
//! | anything else | a case: as many cells as there are columns, between ` \| `; `-` is an empty cell |
//!
//! Bytes stand for themselves but for `\r \n \t \0 \\ \| \{ \} \xNN`, `\s` (a blank, for the ends of a cell), `{BYTES*COUNT}`
//! (repeated), `{NAME}` (what `let` says) and `{STEP}`, a step of the conversation that a table's runner knows.
//! The configuration lines are not read: what stands for what in them is the runner's matter.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How deep `{…}` may stand in one another.
const DEPTH: usize = 8;

/// A part of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    /// One of the steps the runner knows.
    Step(&'static str),
}

/// The cases of one file.
pub(crate) struct Table {
    /// Names and configurations, in order.
    pub(crate) gates: Vec<(String, String)>,
    pub(crate) cases: Vec<Case>,
}

/// One line.
pub(crate) struct Case {
    /// File and line.
    pub(crate) place: String,
    /// Which of [`Table::gates`].
    pub(crate) gate: usize,
    cells: HashMap<&'static str, Vec<Piece>>,
}

impl Case {
    /// A cell that is words.
    pub(crate) fn word(&self, column: &str) -> String {
        String::from_utf8(self.bytes(column)).unwrap_or_else(|_| panic!("{}: {column} is not text", self.place))
    }

    /// A cell that is bytes alone.
    pub(crate) fn bytes(&self, column: &str) -> Vec<u8> {
        let mut all = Vec::new();
        for piece in self.pieces(column) {
            match piece {
                Piece::Bytes(bytes) => all.extend_from_slice(bytes),
                Piece::Step(step) => panic!("{}: {{{step}}} cannot stand in {column}", self.place),
            }
        }
        all
    }

    /// A cell that is bytes and steps.
    pub(crate) fn pieces(&self, column: &str) -> &[Piece] {
        &self.cells[column]
    }

    /// Fails with what was wanted and what came, both readable.
    pub(crate) fn differs(&self, context: &str, what: &str, want: &[u8], got: &[u8]) -> String {
        let same = want.iter().zip(got).take_while(|(a, b)| a == b).count();
        format!(
            "{}: {}: {context}: {what}\n  want {}\n   got {}\n  they are the same up to byte {same}: {}",
            self.place,
            self.word("name"),
            escaped(want),
            escaped(got),
            escaped(&got[same.saturating_sub(20).min(got.len())..same.min(got.len())]),
        )
    }
}

/// Every file `NAME*.txt` of the folder `tests/cases`, in order; each must have exactly these columns, of which `name` is one,
/// and at least one case.
pub(crate) fn tables(name: &str, columns: &'static [&'static str], steps: &'static [&'static str]) -> Vec<Table> {
    let folder = folder();
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no table {name}*.txt in {}", folder.display());
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a table is text");
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        table(&name, &text, columns, steps).unwrap_or_else(|why| panic!("{why}"))
    };
    files.iter().map(read).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// One file's text.
pub(crate) fn table(
    file: &str,
    text: &str,
    columns: &'static [&'static str],
    steps: &'static [&'static str],
) -> Result<Table, String> {
    let mut table = Table { gates: Vec::new(), cases: Vec::new() };
    let mut words = Words { lets: HashMap::new(), steps };
    let mut order: Option<Vec<&'static str>> = None;
    let mut gate = None;
    let mut names = HashMap::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        let place = format!("{file}:{}", at + 1);
        let wrong = |why: &str| format!("{place}: {why}");
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(list) = line.strip_prefix("columns:") {
            if order.is_some() {
                return Err(wrong("the columns are named twice"));
            }
            order = Some(ordered(list, columns).map_err(|why| wrong(&why))?);
        } else if let Some(rest) = line.strip_prefix("let ") {
            words.define(rest).map_err(|why| wrong(&why))?;
        } else if let Some(name) = line.strip_prefix("include ") {
            let text = fs::read_to_string(folder().join(name)).map_err(|why| wrong(&format!("{name}: {why}")))?;
            for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
                let rest = line.strip_prefix("let ").ok_or("only `let` can be included");
                rest.map_err(str::to_owned)
                    .and_then(|rest| words.define(rest))
                    .map_err(|why| format!("{name}:{}: {why}", at + 1))?;
            }
        } else if let Some(name) = line.strip_prefix("gate ") {
            let mut config = String::new();
            while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with("    ")) {
                config += &line[4..];
                config.push('\n');
            }
            let known = table.gates.iter().position(|(known, _)| known == name);
            gate = match (known, config.is_empty()) {
                (Some(at), true) => Some(at),
                (None, false) => {
                    table.gates.push((name.to_owned(), config));
                    Some(table.gates.len() - 1)
                }
                (Some(_), false) => return Err(wrong("this gate has a configuration already")),
                (None, true) => return Err(wrong("this gate has no configuration")),
            };
        } else {
            let Some(order) = &order else { return Err(wrong("a case before `columns:`")) };
            let Some(gate) = gate else { return Err(wrong("a case before `gate`")) };
            let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
            if cells.len() != order.len() {
                return Err(wrong(&format!("{} cells for {} columns", cells.len(), order.len())));
            }
            let mut case = Case { place: place.clone(), gate, cells: HashMap::new() };
            for (column, cell) in order.iter().zip(cells) {
                let cell = if cell == "-" { "" } else { cell };
                let pieces = words.read(cell, 0).map_err(|why| wrong(&format!("{column}: {why}")))?;
                case.cells.insert(column, pieces);
            }
            if let Some(earlier) = names.insert(case.word("name"), place.clone()) {
                return Err(wrong(&format!("{earlier} has this name already")));
            }
            table.cases.push(case);
        }
    }
    if table.cases.is_empty() { Err(format!("{file}: no case")) } else { Ok(table) }
}

/// The columns in the file's order: each that is known, once, and no other.
fn ordered(list: &str, columns: &'static [&'static str]) -> Result<Vec<&'static str>, String> {
    let mut order = Vec::new();
    for name in list.split('|').map(str::trim) {
        let Some(known) = columns.iter().find(|known| **known == name) else {
            return Err(format!("{name:?} is no column; there are {columns:?}"));
        };
        if order.contains(known) {
            return Err(format!("{name:?} is there twice"));
        }
        order.push(*known);
    }
    match columns.iter().find(|column| !order.contains(column)) {
        Some(missing) => Err(format!("{missing:?} is missing")),
        None => Ok(order),
    }
}

/// What stands between braces.
struct Words {
    lets: HashMap<String, Vec<Piece>>,
    steps: &'static [&'static str],
}

impl Words {
    /// `NAME = BYTES`
    fn define(&mut self, rest: &str) -> Result<(), String> {
        let (name, value) = rest.split_once(" = ").ok_or("`let NAME = BYTES`")?;
        let value = self.read(value.trim(), 0)?;
        if self.steps.contains(&name) || self.lets.insert(name.to_owned(), value).is_some() {
            return Err(format!("{name} has a meaning already"));
        }
        Ok(())
    }

    fn read(&self, text: &str, depth: usize) -> Result<Vec<Piece>, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let width = first.len_utf8();
            match first {
                '\\' => {
                    let (byte, length) = escape(&rest[1..])?;
                    push(&mut pieces, Piece::Bytes(vec![byte]));
                    rest = &rest[1 + length..];
                }
                '{' => {
                    let end = closing(rest).ok_or("a brace is not closed")?;
                    for piece in self.braces(&rest[1..end], depth)? {
                        push(&mut pieces, piece);
                    }
                    rest = &rest[end + 1..];
                }
                '}' => return Err("a brace is not opened".into()),
                _ => {
                    push(&mut pieces, Piece::Bytes(rest.as_bytes()[..width].to_vec()));
                    rest = &rest[width..];
                }
            }
        }
        Ok(pieces)
    }

    fn braces(&self, inner: &str, depth: usize) -> Result<Vec<Piece>, String> {
        if depth > DEPTH {
            return Err("braces in braces in braces".into());
        }
        if let Some(known) = self.lets.get(inner) {
            return Ok(known.clone());
        }
        if let Some(step) = self.steps.iter().find(|step| **step == inner) {
            return Ok(vec![Piece::Step(step)]);
        }
        let Some((what, count)) = inner.rsplit_once('*') else {
            return Err(format!(
                "{{{inner}}} is neither a `let`, nor one of the steps {:?}, nor {{BYTES*COUNT}}",
                self.steps
            ));
        };
        let count: usize = count.parse().map_err(|_| format!("{count:?} is no count"))?;
        let once = self.read(what, depth + 1)?;
        let mut pieces = Vec::new();
        for piece in std::iter::repeat_n(once, count).flatten() {
            push(&mut pieces, piece);
        }
        Ok(pieces)
    }
}

fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match (pieces.last_mut(), piece) {
        (Some(Piece::Bytes(before)), Piece::Bytes(bytes)) => before.extend_from_slice(&bytes),
        (_, piece) => pieces.push(piece),
    }
}

/// The byte behind a backslash, and how many letters it is written with.
fn escape(rest: &str) -> Result<(u8, usize), String> {
    Ok(match rest.bytes().next() {
        Some(b'r') => (b'\r', 1),
        Some(b'n') => (b'\n', 1),
        Some(b't') => (b'\t', 1),
        Some(b's') => (b' ', 1),
        Some(b'0') => (0, 1),
        Some(same @ (b'\\' | b'{' | b'}' | b'|')) => (same, 1),
        Some(b'x') => {
            let digits = rest.get(1..3).ok_or("\\x wants two digits")?;
            (u8::from_str_radix(digits, 16).map_err(|_| format!("\\x{digits} is no byte"))?, 3)
        }
        _ => return Err("an escape nobody knows".into()),
    })
}

/// Where the brace that `text` begins with is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Bytes as a table writes them; a long run of one byte is shortened.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    while let Some(&byte) = rest.first() {
        let run = rest.iter().take_while(|b| **b == byte).count();
        let (open, count, close) = if run > 16 { ("{", run, format!("*{run}}}")) } else { ("", 1, String::new()) };
        text += open;
        match byte {
            b'\r' => text += "\\r",
            b'\n' => text += "\\n",
            b'\t' => text += "\\t",
            0 => text += "\\0",
            b'\\' | b'{' | b'}' => text.extend(['\\', byte as char]),
            0x20..0x7f => text.push(byte as char),
            _ => text += &format!("\\x{byte:02x}"),
        }
        text += &close;
        rest = &rest[count..];
    }
    text
}

const COLUMNS: &[&str] = &["name", "send"];

fn tried(text: &str) -> Result<Table, String> {
    table("t.txt", text, COLUMNS, &["end"])
}

#[test]
fn a_cell_is_read_with_its_escapes_repetitions_names_and_steps() {
    let text =
        "columns: name | send\nlet x = a\\x00\ngate g\n    routes: {}\none | \\sb{x}{c*{x}*2}{end}\\r\\n\\|\\{*\n";
    let table = tried(text).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(table.gates, [("g".to_owned(), "routes: {}\n".to_owned())]);
    let pieces = [Piece::Bytes(b" ba\0c*a\0c*a\0".to_vec()), Piece::Step("end"), Piece::Bytes(b"\r\n|{*".to_vec())];
    assert_eq!(table.cases[0].pieces("send"), pieces);
    assert_eq!((table.cases[0].word("name").as_str(), table.cases[0].place.as_str()), ("one", "t.txt:5"));
}

#[test]
fn a_table_that_is_empty_or_whose_columns_are_wrong_is_refused() {
    let head = "columns: name | send\ngate g\n    x\n";
    for (text, why) in [
        (head.to_owned(), "t.txt: no case"),
        ("columns: name | send | send\n".into(), "t.txt:1: \"send\" is there twice"),
        ("columns: name | sent\n".into(), "t.txt:1: \"sent\" is no column"),
        ("columns: name\n".into(), "t.txt:1: \"send\" is missing"),
        (head.to_owned() + "columns: name | send\n", "t.txt:4: the columns are named twice"),
        (head.to_owned() + "a | b | c\n", "t.txt:4: 3 cells for 2 columns"),
        (head.to_owned() + "a | b\na | c\n", "t.txt:5: t.txt:4 has this name already"),
        (head.to_owned() + "a | {b}\n", "t.txt:4: send: {b} is neither"),
        (head.to_owned() + "a | {b*c}\n", "t.txt:4: send: \"c\" is no count"),
        (head.to_owned() + "a | \\q\n", "t.txt:4: send: an escape nobody knows"),
        (head.to_owned() + "let end = b\n", "t.txt:4: end has a meaning already"),
        (head.to_owned() + "gate h\n", "t.txt:4: this gate has no configuration"),
        ("columns: name | send\na | b\n".into(), "t.txt:2: a case before `gate`"),
    ] {
        let error = tried(&text).err().unwrap_or_else(|| panic!("{text:?} passes"));
        assert!(error.starts_with(why), "{text:?}: {error:?}");
    }
}
