//! How are findings told? On standard error, in colour on a terminal alone.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anygate_core::{Diagnostic, Sources, render};

/// It went well.
pub(crate) const OK: ExitCode = ExitCode::SUCCESS;
/// The configuration is refused, or a check failed.
pub(crate) const REFUSED: u8 = 1;
/// The command line was not understood.
pub(crate) const USAGE: u8 = 2;
/// The server cannot start.
pub(crate) const CANNOT_START: u8 = 3;
/// The server ran, and ended by a fault of its own.
pub(crate) const FAILED: u8 = 4;

/// Whether colours may be used on what `stream` is connected to: a terminal that knows them, and nobody objects
/// (<https://no-color.org>).
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !set("NO_COLOR") && !dumb
}

/// Writes every finding to standard error, and a line that counts them if there is an error.
pub(crate) fn findings(sources: &Sources, list: &[Diagnostic]) {
    let stderr = io::stderr();
    let colour = colours(&stderr);
    let mut text = String::new();
    for finding in list {
        text.push_str(&render(sources, finding, colour));
        text.push_str("\n\n");
    }
    let errors = list.iter().filter(|finding| finding.is_error()).count();
    if errors > 0 {
        text.push_str(&format!("{}\n", counted(errors, list.len() - errors)));
    }
    // Nobody is left to tell when standard error is gone.
    let _ = stderr.lock().write_all(text.as_bytes());
}

/// `2 errors and 1 warning`.
pub(crate) fn counted(errors: usize, warnings: usize) -> String {
    let errors_text = plural(errors, "error");
    match warnings {
        0 => errors_text,
        _ => format!("{errors_text} and {}", plural(warnings, "warning")),
    }
}

/// `1 rule`, `2 rules`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Writes a result to standard output; a reader that has seen enough (`| head`) is no error. What a configuration holds
/// cannot command the terminal: of control characters only line ends, tabs and our own colours get there.
pub(crate) fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(harmless(text).as_bytes()).and_then(|()| out.flush());
}

/// `text` with every control character shown as its picture, but for line ends, tabs, and colours as in `ESC [ 1;32 m`.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let colour = match after.strip_prefix('[').filter(|_| c == '\u{1b}') {
            Some(codes) => codes.find('m').filter(|end| codes[..*end].bytes().all(|b| b.is_ascii_digit() || b == b';')),
            None => None,
        };
        let length = colour.map_or(c.len_utf8(), |end| "\u{1b}[m".len() + end);
        match u32::from(c) {
            _ if colour.is_some() || matches!(c, '\n' | '\t') => out.push_str(&rest[..length]),
            // U+2400 and what follows it are pictures of U+0000 and what follows it.
            code @ 0..0x20 => out.extend(char::from_u32(0x2400 + code)),
            _ if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            _ => out.push(c),
        }
        rest = &rest[length..];
    }
    out
}

/// Writes what stands in the way to standard error.
pub(crate) fn complain(text: &str) {
    let stderr = io::stderr();
    let (start, end) = if colours(&stderr) { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
    let _ = writeln!(stderr.lock(), "{start}error{end}: {}", harmless(text));
}

/// Writes to standard error what may help.
pub(crate) fn advise(text: &str) {
    let stderr = io::stderr();
    let (start, end) = if colours(&stderr) { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
    let _ = writeln!(stderr.lock(), "{start}help{end}: {text}");
}

#[cfg(test)]
mod tests {
    use super::{counted, harmless};

    #[test]
    fn control_characters_are_shown_and_never_obeyed() {
        assert_eq!(harmless("a\tb\n\u{1b}[1;32mok\u{1b}[0m"), "a\tb\n\u{1b}[1;32mok\u{1b}[0m");
        assert_eq!(
            harmless("\u{1b}]0;title\u{7}\r\u{1b}[2J\u{9b}1m"),
            "\u{241b}]0;title\u{2407}\u{240d}\u{241b}[2J\u{fffd}1m"
        );
        assert_eq!(harmless("\u{1b}["), "\u{241b}[");
    }

    #[test]
    fn what_is_counted_is_singular_or_plural() {
        assert_eq!(counted(1, 0), "1 error");
        assert_eq!(counted(2, 1), "2 errors and 1 warning");
        assert_eq!(counted(0, 3), "0 errors and 3 warnings");
    }
}
