//! What would YAML misread inside `routes`? It is masked before the parser sees it, byte for byte, so that places stay true.
//!
//! Inside `routes`, at the top or in a group, and nowhere else:
//!
//! 1. a value that is a bare `*`, or begins with `*` and a blank (YAML: an alias without a name);
//! 2. a key whose first character is `*` followed by a blank (the same), or by a dot as in `*.example.com/x:` (an alias
//!    that would take the colon into its name, so that no key is left);
//! 3. a plain value that starts with a status and `{` or `[` (YAML: `: ` and ` #` inside would end it). It runs to the end
//!    of the line; where its brackets close before a ` #`, what follows is a comment.
//!
//! Rule 1 and 2 hold in flow collections too (`{to: *, timeout: 5s}`). This is a scanner of lines, not a YAML parser: it
//! knows indentation, quotes, flow brackets and block scalars, and leaves alone what it does not understand.

use std::ops::Range;

/// A text with its masks.
pub(super) struct Masked {
    /// As long as the original, with `x` for every masked byte.
    pub(super) text: String,
    /// What was masked, ascending.
    pub(super) marks: Vec<Mark>,
    /// Comments that follow a plain action after a single blank: probably meant as part of it.
    pub(super) cut: Vec<Range<usize>>,
    /// The lines of each `routes` section.
    pub(super) routes: Vec<Range<usize>>,
}

/// One masked stretch.
pub(super) struct Mark {
    pub(super) range: Range<usize>,
    /// The text goes on behind the mask, as a key's does.
    pub(super) goes_on: bool,
}

/// Masks what YAML would misread.
pub(super) fn mask(text: &str) -> Masked {
    let mut scanner = Scanner {
        text,
        open: Open::Nothing,
        root: None,
        below: 0,
        section: Section::Other,
        marks: Vec::new(),
        cut: Vec::new(),
        routes: Vec::new(),
    };
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        scanner.line(start, start + line.trim_end_matches(['\n', '\r']).len());
        start += line.len();
    }
    let mut bytes = text.as_bytes().to_vec();
    for mark in &scanner.marks {
        bytes[mark.range.clone()].fill(b'x');
    }
    // Marks end on character boundaries, so this is UTF-8 still.
    let masked = String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned());
    Masked { text: masked, marks: scanner.marks, cut: scanner.cut, routes: scanner.routes }
}

/// What the end of a line left unfinished.
#[derive(Clone, Copy)]
enum Open {
    Nothing,
    /// A quoted text: in a flow collection of this depth, 0 for none.
    Quote(u8, usize),
    /// A flow collection of this depth; true where a new key or value may begin.
    Flow(usize, bool),
    /// A block scalar whose lines have at least this column.
    Block(usize),
    /// A plain text, which goes on in lines of at least this column.
    Plain(usize),
}

/// Which part of the file a line belongs to.
enum Section {
    Other,
    /// `groups`, whose key has this column; the columns of its dashes and of their keys.
    Groups {
        column: usize,
        dash: Option<usize>,
        key: Option<usize>,
    },
    /// `routes`, whose key has this column; the column of the heads. In a group: that group's section.
    Routes {
        column: usize,
        heads: Option<usize>,
        group: Option<(usize, usize, usize)>,
    },
}

struct Scanner<'t> {
    text: &'t str,
    open: Open,
    /// Column of the top-level keys.
    root: Option<usize>,
    /// Least column of what belongs to the last key or dash.
    below: usize,
    section: Section,
    marks: Vec<Mark>,
    cut: Vec<Range<usize>>,
    routes: Vec<Range<usize>>,
}

/// A key of one line: its bytes with quotes, and where its value starts.
struct Key {
    range: Range<usize>,
    value: usize,
}

impl Scanner<'_> {
    /// Looks at the line `start..end`, without its line break.
    fn line(&mut self, start: usize, end: usize) {
        let content = start + self.blanks(start, end);
        let column = content - start;
        let empty = content == end || self.byte(content) == b'#';
        match self.open {
            Open::Block(least) if content == end || column >= least => return,
            Open::Plain(least) if content == end || (column >= least && !empty) => return,
            Open::Quote(..) | Open::Flow(..) => return self.resume(start, end),
            Open::Block(_) | Open::Plain(_) | Open::Nothing => self.open = Open::Nothing,
        }
        if empty || self.rest(start, end).starts_with("---") {
            return;
        }
        self.leave(column, self.is_dash(content, end));
        if let Some(lines) = self.routes.last_mut()
            && matches!(self.section, Section::Routes { .. })
        {
            lines.end = end;
        }
        let mut at = content;
        while self.is_dash(at, end) {
            self.below = at - start + 1;
            at += 1;
            at += self.blanks(at, end);
        }
        let dashed = at > content;
        match self.section {
            Section::Routes { .. } => self.rule(at, at - start, end),
            Section::Groups { dash, key, .. } => {
                let dash = dash.unwrap_or(column);
                let key = if dashed && column == dash { at - start } else { key.unwrap_or(usize::MAX) };
                if let Section::Groups { dash: d, key: k, .. } = &mut self.section {
                    (*d, *k) = (Some(dash), Some(key));
                }
                self.settings(at, at - start, end, at - start == key);
            }
            Section::Other => {
                let root = *self.root.get_or_insert(column);
                self.settings(at, at - start, end, column == root && !dashed);
            }
        }
    }

    /// Leaves the sections a line of this column is no longer part of.
    fn leave(&mut self, column: usize, dash: bool) {
        let inside = |of: usize| column > of || (column == of && dash);
        if let Section::Routes { column: of, group, .. } = self.section
            && !inside(of)
        {
            self.section = match group {
                Some((column, dash, key)) => Section::Groups { column, dash: Some(dash), key: Some(key) },
                None => Section::Other,
            };
        }
        if let Section::Groups { column: of, .. } = self.section
            && !inside(of)
        {
            self.section = Section::Other;
        }
    }

    /// A line outside `routes`; one at the right place may open `groups` or `routes`.
    fn settings(&mut self, at: usize, column: usize, end: usize, entrance: bool) {
        let Some(key) = self.key(at, end) else { return self.value(at, end, None) };
        self.below = column + 1;
        let name = self.rest(key.range.start, key.range.end).trim_matches(['"', '\'']);
        let masked = entrance && name == "routes";
        if masked {
            let group = match self.section {
                Section::Groups { column, dash: Some(dash), key: Some(key) } => Some((column, dash, key)),
                _ => None,
            };
            self.routes.push(key.value..end);
            self.section = Section::Routes { column, heads: None, group };
        } else if entrance && name == "groups" && matches!(self.section, Section::Other) {
            self.section = Section::Groups { column, dash: None, key: None };
        }
        self.value(key.value, end, masked.then_some(false));
    }

    /// A line inside `routes`, its dashes behind it.
    fn rule(&mut self, at: usize, column: usize, end: usize) {
        let Some(key) = self.key(at, end) else { return self.value(at, end, Some(false)) };
        self.below = column + 1;
        let head = self.rest(key.range.start, key.range.end);
        if head.starts_with("* ")
            || head.starts_with("*\t")
            || (head.starts_with("*.") && key.value == key.range.end + 1)
        {
            self.marks.push(Mark { range: key.range.start..key.range.start + 1, goes_on: true });
        }
        let Section::Routes { heads, .. } = &mut self.section else { return };
        let is_head = *heads.get_or_insert(column) == column;
        let is_action = is_head || matches!(self.rest(key.range.start, key.range.end), "to" | "\"to\"" | "'to'");
        self.value(key.value, end, Some(is_action));
    }

    /// Follows a value far enough to know what the next line is.
    ///
    /// Inside `routes`, `rule` is there and masks; it is true where the value is an action.
    fn value(&mut self, at: usize, end: usize, rule: Option<bool>) {
        let at = self.properties(at, end);
        if at == end || self.byte(at) == b'#' {
            return;
        }
        match self.byte(at) {
            quote @ (b'"' | b'\'') => {
                let closed = self.quote_end(at + 1, end, quote).is_some();
                self.open = if closed { Open::Nothing } else { Open::Quote(quote, 0) };
            }
            b'[' | b'{' => self.flow(at, end, (0, true), rule.is_some()),
            b'|' | b'>' => self.open = Open::Block(self.below),
            _ => {
                let comment = comment(self.rest(at, end));
                if comment.is_none() {
                    self.open = Open::Plain(self.below);
                }
                if let Some(is_action) = rule {
                    self.plain(at, end, comment.filter(|_| is_action));
                }
            }
        }
    }

    /// Masks a plain value inside `routes`, whose comment starts at `comment`.
    fn plain(&mut self, start: usize, end: usize, comment: Option<usize>) {
        let value = &self.text[start..end];
        if value == "*" || value.starts_with("* ") || value.starts_with("*\t") {
            self.marks.push(Mark { range: start..start + 1, goes_on: true });
        } else if let Some(body) = body_of(value) {
            let length = json_end(&value[body..]).unwrap_or(value[body..].trim_end().len());
            self.marks.push(Mark { range: start + body..start + body + length, goes_on: false });
            return;
        }
        if let Some(comment) = comment {
            let plain = value[..comment].trim_end();
            if plain != "*" && plain.len() + 1 == comment {
                self.cut.push(start + comment..start + value.trim_end().len());
            }
        }
    }

    /// Goes on with what the line before left open.
    fn resume(&mut self, start: usize, end: usize) {
        let masked = matches!(self.section, Section::Routes { .. });
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Quote(quote, depth) => match self.quote_end(start, end, quote) {
                None => self.open = Open::Quote(quote, depth),
                Some(after) if depth > 0 => self.flow(after, end, (depth, false), masked),
                Some(_) => {}
            },
            Open::Flow(depth, fresh) => self.flow(start, end, (depth, fresh), masked),
            Open::Nothing | Open::Block(_) | Open::Plain(_) => {}
        }
        if masked && let Some(lines) = self.routes.last_mut() {
            lines.end = end;
        }
    }

    /// Follows a flow collection from `at` on, where `depth` brackets are open and something new begins when `fresh`.
    fn flow(&mut self, mut at: usize, end: usize, (mut depth, mut fresh): (usize, bool), masked: bool) {
        while at < end {
            match self.byte(at) {
                b'[' | b'{' => (depth, fresh) = (depth + 1, true),
                b']' | b'}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return;
                    }
                    fresh = false;
                }
                b',' => fresh = true,
                b':' => fresh = at + 1 == end || b" \t\"'[{".contains(&self.byte(at + 1)),
                b' ' | b'\t' => {}
                b'&' | b'!' if fresh => {
                    let name = self.rest(at, end).find([' ', '\t', ',', '[', ']', '{', '}']);
                    at += name.unwrap_or(end - at).max(1);
                    continue;
                }
                b'#' if self.after_blank(at) => break,
                quote @ (b'"' | b'\'') if fresh => match self.quote_end(at + 1, end, quote) {
                    Some(after) => {
                        (at, fresh) = (after, false);
                        continue;
                    }
                    None => return self.open = Open::Quote(quote, depth),
                },
                b'*' if fresh && masked && (at + 1 == end || b" \t,]}".contains(&self.byte(at + 1))) => {
                    self.marks.push(Mark { range: at..at + 1, goes_on: true });
                    fresh = false;
                }
                _ => fresh = false,
            }
            at += 1;
        }
        self.open = Open::Flow(depth, fresh);
    }

    /// The key a line starts with at `at`, if it has one.
    fn key(&self, at: usize, end: usize) -> Option<Key> {
        let at = self.properties(at, end);
        if at >= end || b"[{#|>".contains(&self.byte(at)) {
            return None;
        }
        let quote = self.byte(at);
        let mut colon = if matches!(quote, b'"' | b'\'') {
            let after = self.quote_end(at + 1, end, quote)?;
            let colon = after + self.blanks(after, end);
            (colon < end && self.byte(colon) == b':').then_some(colon)?
        } else {
            at
        };
        while colon < end {
            let ends = colon + 1 == end || b" \t".contains(&self.byte(colon + 1));
            if self.byte(colon) == b':' && ends {
                let key = self.rest(at, colon).trim_end().len();
                return Some(Key { range: at..at + key, value: colon + 1 });
            }
            if self.byte(colon) == b'#' && self.after_blank(colon) {
                return None;
            }
            colon += 1;
        }
        None
    }

    /// The byte behind the closing quote, looking from `at` on.
    fn quote_end(&self, at: usize, end: usize, quote: u8) -> Option<usize> {
        let mut at = at;
        while at < end {
            let byte = self.byte(at);
            let doubled = byte == b'\'' && quote == byte && self.text.as_bytes().get(at + 1) == Some(&byte);
            if doubled || (byte == b'\\' && quote == b'"') {
                at += 1;
            } else if byte == quote {
                return Some(at + 1);
            }
            at += 1;
        }
        None
    }

    fn is_dash(&self, at: usize, end: usize) -> bool {
        at < end && self.byte(at) == b'-' && (at + 1 == end || b" \t".contains(&self.byte(at + 1)))
    }

    /// What follows the blanks, anchors and tags at `at`.
    fn properties(&self, at: usize, end: usize) -> usize {
        let mut at = at + self.blanks(at, end);
        while at < end && b"&!".contains(&self.byte(at)) {
            at += self.rest(at, end).find([' ', '\t']).unwrap_or(end - at);
            at += self.blanks(at, end);
        }
        at
    }

    /// How many blanks stand at `at`.
    fn blanks(&self, at: usize, end: usize) -> usize {
        self.text.as_bytes()[at..end].iter().take_while(|byte| b" \t".contains(byte)).count()
    }

    fn after_blank(&self, at: usize) -> bool {
        at == 0 || b" \t\n".contains(&self.byte(at - 1))
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes()[at]
    }

    fn rest(&self, start: usize, end: usize) -> &str {
        &self.text[start..end]
    }
}

/// Where a plain value's comment starts: the first `#` behind a blank.
fn comment(value: &str) -> Option<usize> {
    let bytes = value.as_bytes();
    (1..bytes.len()).find(|&at| bytes[at] == b'#' && b" \t".contains(&bytes[at - 1]))
}

/// Where the body of `STATUS {…` or `STATUS […` starts.
fn body_of(value: &str) -> Option<usize> {
    let word = value.find([' ', '\t'])?;
    let status = &value[..word];
    let number = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    let name = status.starts_with(|c: char| c.is_ascii_uppercase())
        && status.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    let body = word + value[word..].len() - value[word..].trim_start().len();
    ((number || name) && value[body..].starts_with(['{', '['])).then_some(body)
}

/// Length of the JSON `text` starts with, where its brackets close and nothing but blanks or a comment follows.
fn json_end(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    let rest = &text[at + 1..];
                    let more = rest.trim_start();
                    return (more.is_empty() || (more.starts_with('#') && more.len() < rest.len())).then_some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}
