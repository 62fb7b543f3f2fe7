//! How a dictionary of structured fields is read (RFC 8941 §4.2.2): members that are numbers or booleans, and no others.

/// The value of a member, as far as anybody here asks for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Item {
    Integer(i64),
    Boolean(bool),
    /// A decimal, a string, a token, a byte sequence or an inner list.
    Other,
}

/// What stands where something else must: all of the field is to be ignored (RFC 8941 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unreadable;

/// Reads a dictionary: `member` gets every key and value, in order. Of two members of one key the last counts. Without
/// members nothing is wrong.
///
/// # Errors
///
/// The whole is no dictionary; members before what is wrong were given.
pub(super) fn read(text: &[u8], member: &mut impl FnMut(&[u8], Item)) -> Result<(), Unreadable> {
    let mut text = Reader(text);
    text.spaces();
    while !text.0.is_empty() {
        let key = text.key()?;
        let item = text.value()?;
        text.parameters()?;
        member(key, item);
        text.white_space();
        if text.0.is_empty() {
            return Ok(());
        }
        text.must_be(b',')?;
        text.white_space();
        if text.0.is_empty() {
            // A comma has something behind it.
            return Err(Unreadable);
        }
    }
    Ok(())
}

/// What is left of the text.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Takes the next byte if it is this one.
    fn take(&mut self, byte: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn must_be(&mut self, byte: u8) -> Result<(), Unreadable> {
        if self.take(byte) { Ok(()) } else { Err(Unreadable) }
    }

    /// Takes bytes as long as they fit.
    fn while_in(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| !fits(byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn spaces(&mut self) {
        self.while_in(|byte| byte == b' ');
    }

    fn white_space(&mut self) {
        self.while_in(|byte| matches!(byte, b' ' | b'\t'));
    }

    /// A key (§4.2.3.3).
    fn key(&mut self) -> Result<&'a [u8], Unreadable> {
        match self.0.first() {
            Some(b'a'..=b'z' | b'*') => {
                Ok(self.while_in(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')))
            }
            _ => Err(Unreadable),
        }
    }

    /// What a member is worth: no value at all is true.
    fn value(&mut self) -> Result<Item, Unreadable> {
        if !self.take(b'=') {
            return Ok(Item::Boolean(true));
        }
        if self.take(b'(') { self.inner_list() } else { self.bare_item() }
    }

    /// Parameters (§4.2.3.2), which say nothing here.
    fn parameters(&mut self) -> Result<(), Unreadable> {
        while self.take(b';') {
            self.spaces();
            self.key()?;
            if self.take(b'=') {
                self.bare_item()?;
            }
        }
        Ok(())
    }

    /// An inner list (§4.2.1.2), behind its parenthesis.
    fn inner_list(&mut self) -> Result<Item, Unreadable> {
        loop {
            self.spaces();
            if self.take(b')') {
                return Ok(Item::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.0.first(), Some(b' ' | b')')) {
                return Err(Unreadable);
            }
        }
    }

    /// A bare item (§4.2.3.1).
    fn bare_item(&mut self) -> Result<Item, Unreadable> {
        match self.0.first() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'?') => {
                self.0 = &self.0[1..];
                if self.take(b'1') {
                    Ok(Item::Boolean(true))
                } else {
                    self.must_be(b'0').map(|()| Item::Boolean(false))
                }
            }
            Some(b'"') => {
                self.0 = &self.0[1..];
                self.string()
            }
            Some(b':') => {
                self.0 = &self.0[1..];
                self.while_in(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
                self.must_be(b':').map(|()| Item::Other)
            }
            Some(b'*' | b'a'..=b'z' | b'A'..=b'Z') => {
                self.while_in(|byte| matches!(byte, b':' | b'/') || crate::text::is_token(&[byte]));
                Ok(Item::Other)
            }
            _ => Err(Unreadable),
        }
    }

    /// An integer of up to 15 digits, or a decimal of up to 12 and 3 (§4.2.4).
    fn number(&mut self) -> Result<Item, Unreadable> {
        let negative = self.take(b'-');
        let whole = self.while_in(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 15 {
            return Err(Unreadable);
        }
        if self.take(b'.') {
            let fraction = self.while_in(|byte| byte.is_ascii_digit());
            let fits = whole.len() <= 12 && (1..=3).contains(&fraction.len());
            return if fits { Ok(Item::Other) } else { Err(Unreadable) };
        }
        let value = whole.iter().fold(0, |value: i64, digit| value * 10 + i64::from(digit - b'0'));
        Ok(Item::Integer(if negative { -value } else { value }))
    }

    /// A string (§4.2.5), behind its first quote.
    fn string(&mut self) -> Result<Item, Unreadable> {
        loop {
            self.while_in(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
            if self.take(b'"') {
                return Ok(Item::Other);
            }
            self.must_be(b'\\')?;
            if !self.take(b'"') {
                self.must_be(b'\\')?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Result<Vec<(String, Item)>, Unreadable> {
        let mut members = Vec::new();
        read(text.as_bytes(), &mut |key, item| members.push((String::from_utf8_lossy(key).into_owned(), item)))?;
        Ok(members)
    }

    #[test]
    fn members_are_read_with_what_they_are_worth() {
        for (text, expected) in [
            ("a", Item::Boolean(true)),
            ("*a-_.*9=?0", Item::Boolean(false)),
            ("a=-007", Item::Integer(-7)),
            ("a=999999999999999", Item::Integer(999_999_999_999_999)),
            ("a=-123456789012.125", Item::Other),
            (r#"a="x, y=\"\\ 1""#, Item::Other),
            ("a=*t:o/k!en", Item::Other),
            ("a=:aGk=:", Item::Other),
            ("a=::", Item::Other),
            ("a=()", Item::Other),
            (r#"a=( 1 "x";q  t;p=1 );z"#, Item::Other),
            ("  a;b; c=1;d=?1  ", Item::Boolean(true)),
        ] {
            let members = members(text);
            assert_eq!(
                members.as_ref().map(|members| members.iter().map(|one| one.1).collect()),
                Ok(vec![expected]),
                "{text}"
            );
        }
        assert_eq!(members(""), Ok(vec![]));
        let three = members("a=1,\tb \t, a=2").map(|all| all.into_iter().map(|(key, _)| key).collect::<Vec<_>>());
        assert_eq!(three, Ok(vec!["a".into(), "b".into(), "a".into()]));
    }

    #[test]
    fn what_is_no_dictionary_is_unreadable() {
        for text in [
            ",",
            "a,",
            "a,,b",
            "a b",
            "A",
            "1",
            "=",
            "a=",
            "a= 1",
            "a =1",
            "\ta",
            "a;",
            "a;B",
            "a;b=",
            "a=1;b=(1)",
            "a=-",
            "a=--1",
            "a=1000000000000000",
            "a=1.",
            "a=1.1234",
            "a=1234567890123.1",
            "a=.1",
            "a=?2",
            "a=?",
            "a=\"",
            "a=\"\\x\"",
            "a=\"\u{7f}\"",
            "a=\"\u{e9}\"",
            "a=:",
            "a=:x",
            "a=:-:",
            "a=(",
            "a=(1",
            "a=(1,2)",
            "a=(\"1\"2)",
            "a=((1))",
            "a=@1",
            "a=%\"x\"",
            "a=\u{e9}",
            "a=x\u{e9}",
            "a\u{0}",
        ] {
            assert_eq!(members(text), Err(Unreadable), "{text}");
        }
    }
}
