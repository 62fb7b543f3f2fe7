//! How a finding reads, wherever it points.

use anygate_core::{Diagnostic, Sources, Span, render};
use expect_test::expect;

#[test]
fn a_finding_renders_its_notes_its_other_places_and_its_colours() {
    let mut sources = Sources::new();
    let file = sources.add("a.yml", "one\ntwo\nthree\n");
    let other = sources.add("conf.d/b.yml", "é: \u{1b}[31mred\n");
    let finding = Diagnostic::error("bad \u{1b}[31mtext")
        .at(Span::new(file, 8..13), "this")
        .and_at(Span::new(other, 0..2), "that")
        .and_at(Span::new(file, 0..3), "and this")
        .note("GET /x goes to b.yml")
        .help("remove it");
    expect![[r#"
        error: bad ␛[31mtext
         --> a.yml:3:1
          |
        1 | one
          | --- and this
        2 | two
        3 | three
          | ^^^^^ this
          |
         ::: conf.d/b.yml:1:1
          |
        1 | é: ␛[31mred
          | - that
          |
          = note: GET /x goes to b.yml
          = help: remove it"#]]
    .assert_eq(&render(&sources, &finding, false));
    assert!(render(&sources, &finding, true).contains("\u{1b}[1m"));
    let nowhere = Diagnostic::warning("nothing to show");
    assert_eq!(render(&sources, &nowhere, false), "warning: nothing to show");
}

#[test]
fn any_span_renders_even_in_an_empty_or_a_very_long_line() {
    let mut sources = Sources::new();
    let empty = sources.add("empty", "");
    let long = sources.add("long", format!("a\n{}é\nb", "x".repeat(1_000_000)));
    for (source, range) in
        [(empty, 0..0), (empty, 5..9), (long, 0..1), (long, 1_000_003..1_000_004), (long, 0..2_000_000)]
    {
        let found = render(&sources, &Diagnostic::error("e").at(Span::new(source, range.clone()), "label"), false);
        assert!(found.contains("label") && found.len() < 10_000, "{range:?}: {found}");
    }
    let finding = Diagnostic::error("e").at(Span::new(long, 1_000_002..1_000_004), "label");
    expect![[r#"
        error: e
        --> long:2:1000001
         = note: label"#]]
    .assert_eq(&render(&sources, &finding, false));
}
