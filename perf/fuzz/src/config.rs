//! Is every text a configuration that can be served, or refused with places a person can be shown?
//!
//! An input is a byte of flags, whose last two bits say how the text is written, and the text.

use std::io;
use std::path::Path;
use std::sync::LazyLock;

use anygate_core::config::{Env, Files, Format, Loaded, Loader};
use anygate_core::{Diagnostic, Sources, render};
use anygate_route::{Lookup, Scratch};
use anygate_serve::compile::{CompileEnv, compile};

use crate::Numbers;

/// What `${…}` and overrides find.
static PLAIN: LazyLock<Env> = LazyLock::new(|| env(&[("A", "x"), ("E", ""), ("PORT", "8080")]));
static OVERRIDING: LazyLock<Env> = LazyLock::new(|| {
    env(&[
        ("A", "x: [y"),
        ("ANYGATE_SERVER__NAME", "n"),
        ("ANYGATE_SERVER__LISTEN", "[':1', ':2']"),
        ("ANYGATE_X__Y", "{"),
    ])
});

fn env(pairs: &[(&str, &str)]) -> Env {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Two files to include, and nothing else.
struct Shelf;

impl Files for Shelf {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match path.file_name().and_then(|name| name.to_str()) {
            Some("a.yml") => Ok(b"routes:\n  /included: OK\n".to_vec()),
            Some("b.toml") => Ok(b"[routes]\n\"/b\" = \"OKK\"\n".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, _dir: &Path) -> io::Result<Vec<String>> {
        Ok(vec!["a.yml".to_owned(), "b.toml".to_owned()])
    }
}

/// One input.
pub fn run(data: &[u8]) {
    let mut numbers = Numbers::of(data);
    let flags = numbers.next();
    let format = [Format::Yaml, Format::Yaml, Format::Toml, Format::Json][usize::from(flags & 3)];
    let Ok(text) = std::str::from_utf8(numbers.rest()) else { return };
    let env = if flags & 4 == 0 { &*PLAIN } else { &*OVERRIDING };
    let rules: &[String] = &[];
    let loaded = Loader { env, rules, files: &Shelf, self_signed: false }.text(
        "fuzz",
        text,
        format,
        Path::new("/nowhere/at/all"),
    );
    let Loaded { config, draft, sources, diagnostics } = loaded;
    let errors = diagnostics.iter().any(Diagnostic::is_error);
    assert_eq!(config.is_none(), errors, "a configuration exactly where there is no error: {text:?}");
    assert_eq!(draft.is_some(), errors, "a draft exactly where there is an error: {text:?}");
    let show = flags >> 4 == 0;
    shown(&sources, &diagnostics, show);
    let Some(config) = config.or(draft) else { return };
    for route in &config.routes {
        for part in [&route.head, &route.action] {
            let source = &sources.get(part.span.source).text;
            let written = source.get(part.span.start as usize..part.span.end as usize);
            let written = written.unwrap_or_else(|| panic!("no place: {part:?} in {text:?}"));
            assert!(!part.verbatim || written == part.text, "{part:?} is written {written:?} in {text:?}");
        }
    }
    // What is refused already has its rules looked at too, for some inputs.
    if errors && flags & 8 == 0 {
        return;
    }
    let compiled = compile(&config, &CompileEnv { shards: 2, descriptors: 1000, serial: 1 });
    shown(&sources, &compiled.diagnostics, show);
    if !compiled.diagnostics.iter().any(Diagnostic::is_error) {
        assert!(compiled.plan.is_some(), "refused without a word: {text:?}");
    }
    let Some(plan) = &compiled.plan else { return };
    assert_eq!((plan.routes.len(), plan.table.rules().len()), (config.routes.len(), config.routes.len()), "{text:?}");
    let mut scratch = Scratch::new();
    for path in [&b"/"[..], b"/x", b"/a/b/c"] {
        let found = plan.table.find(&Lookup { method: b"GET", host: b"a", path }, &mut scratch);
        assert!(found.rule().is_none_or(|rule| (rule as usize) < plan.routes.len()));
    }
}

/// Every finding stands where a person can be pointed to, and, which takes most of the time and so is tried for some
/// inputs, can be shown.
fn shown(sources: &Sources, findings: &[Diagnostic], show: bool) {
    for finding in findings {
        for (span, _) in finding.primary.iter().chain(&finding.secondary) {
            let text = &sources.get(span.source).text;
            let place = text.get(span.start as usize..span.end as usize);
            assert!(place.is_some(), "{span:?} is no place in {text:?}: {finding:?}");
        }
        assert!(!finding.message.is_empty());
        assert!(!show || !render(sources, finding, false).is_empty());
    }
}
