//! Rules from text, as a configuration file would hand them over.

use anygate_core::{Diagnostic, Located, Sources, Span, render};
use anygate_route::{Context, Found, Request, Rule, Scratch, Table, parse_rule};
use expect_test::Expect;

/// Head and action.
pub(crate) type Line<'a> = (&'a str, &'a str);

/// Texts that stand in one source each.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) sources: Sources,
}

impl Desk {
    pub(crate) fn located(&mut self, text: &str) -> Located {
        let source = self.sources.add("rule", text);
        Located { text: text.into(), span: Span::new(source, 0..text.len()), verbatim: true }
    }

    pub(crate) fn rule(&mut self, line: Line<'_>, context: &Context) -> Result<Rule, Vec<Diagnostic>> {
        let text = format!("{}: {}", line.0, line.1);
        let source = self.sources.add("routes.yml", text);
        let head = Located { text: line.0.into(), span: Span::new(source, 0..line.0.len()), verbatim: true };
        let start = line.0.len() + 2;
        let span = Span::new(source, start..start + line.1.len());
        let action = Located { text: line.1.into(), span, verbatim: true };
        parse_rule(&head, &action, None, context)
    }

    pub(crate) fn build(&mut self, lines: &[Line<'_>], context: &Context) -> (Option<Table>, Vec<Diagnostic>) {
        let mut findings = Vec::new();
        let mut rules = Vec::new();
        for line in lines {
            match self.rule(*line, context) {
                Ok(rule) => rules.push(rule),
                Err(errors) => findings.extend(errors),
            }
        }
        if !findings.is_empty() {
            return (None, findings);
        }
        Table::build(rules, context)
    }

    pub(crate) fn render(&self, findings: &[Diagnostic]) -> String {
        findings.iter().map(|finding| render(&self.sources, finding, false) + "\n").collect()
    }
}

/// A table of rules that must be right.
pub(crate) fn table(lines: &[Line<'_>]) -> Table {
    table_in(lines, &Context::default())
}

pub(crate) fn table_in(lines: &[Line<'_>], context: &Context) -> Table {
    let mut desk = Desk::default();
    match desk.build(lines, context) {
        (Some(table), findings) if findings.is_empty() => table,
        (_, findings) => panic!("{}", desk.render(&findings)),
    }
}

/// What is found for `GET example.com/x`.
pub(crate) fn find(table: &Table, request: &str) -> Found {
    let request = Request::parse(request).expect("a request");
    table.find(&request.lookup(), &mut Scratch::new())
}

/// What a person is told about a request, on one line: the winner's head, and where it goes.
pub(crate) fn told(table: &Table, request: &str) -> String {
    let explanation = table.explain(&Request::parse(request).expect("a request"));
    match explanation.candidates.first() {
        Some(winner) if winner.lost.is_none() => format!("{} => {}", winner.head, explanation.outcome),
        _ => explanation.outcome,
    }
}

/// One line for each finding: column, length of the mark, message, label, help.
pub(crate) fn refused(lines: &[Line<'_>], expected: &Expect) {
    let context = Context { upstreams: ["users".to_owned()].into(), ..Context::default() };
    let mut text = String::new();
    for line in lines {
        let mut desk = Desk::default();
        let (table, findings) = desk.build(&[*line], &context);
        assert!(table.is_none(), "{line:?} is accepted");
        text += &format!("{}: {}\n", line.0, line.1);
        for finding in findings {
            let (span, label) = finding.primary.clone().expect("a place");
            let marks = "^".repeat((span.end - span.start).max(1) as usize);
            text += &format!("{}{marks} {label}\n", " ".repeat(span.start as usize));
            text += &format!("    {}; {}\n", finding.message, finding.help.unwrap_or_default());
        }
    }
    expected.assert_eq(&text);
}
