//! How do all rules look at a glance?

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use crate::host::Host;
use crate::pattern::{End, Pattern, Segment};
use crate::table::Table;

/// How a tree is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// With ANSI colours, for a terminal.
    Colour,
}

/// One stretch of path and what stands below it.
#[derive(Default)]
struct Branch {
    label: String,
    rules: Vec<u32>,
    branches: BTreeMap<Key, Branch>,
}

/// Ends first, then literals by name, then parameters.
type Key = (u8, String);

/// One line before its columns are aligned.
struct Line {
    lead: String,
    label: String,
    methods: String,
    action: String,
}

impl Table {
    /// The rules as a tree of paths, host by host: a line each, with methods and action, ending in a newline.
    #[must_use]
    pub fn tree(&self, style: Style) -> String {
        let mut text = String::new();
        let mut rules: HashMap<&Host, Vec<u32>> = HashMap::new();
        for (number, rule) in self.rules.iter().enumerate() {
            rules.entry(&rule.host).or_default().push(number as u32);
        }
        for (host, _) in self.roots() {
            let mut root = Branch::default();
            for number in rules.get(&host).into_iter().flatten() {
                root.insert(&self.rules[*number as usize].pattern, *number);
            }
            root.tidy();
            let mut lines = Vec::new();
            self.lines(&root, "", &mut lines);
            let name = match &host {
                Host::Any => "every host".to_owned(),
                host => host.to_string(),
            };
            write_host(&name, &lines, style, &mut text);
        }
        text
    }

    fn lines(&self, branch: &Branch, indent: &str, lines: &mut Vec<Line>) {
        for (at, below) in branch.branches.values().enumerate() {
            let last = at + 1 == branch.branches.len();
            let (turn, next) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let next = format!("{indent}{next}");
            let mut lead = format!("{indent}{turn}");
            let mut label = below.label.clone();
            for number in &below.rules {
                let rule = &self.rules[*number as usize];
                let action = format!("{:<8}  {}", rule.action.kind(), rule.action_text.text.trim());
                lines.push(Line { lead, label, methods: rule.methods.to_string(), action });
                lead = if below.branches.is_empty() { next.clone() } else { format!("{next}│  ") };
                label = String::new();
            }
            if below.rules.is_empty() {
                lines.push(Line { lead, label, methods: String::new(), action: String::new() });
            }
            self.lines(below, &next, lines);
        }
    }
}

impl Branch {
    fn insert(&mut self, pattern: &Pattern, rule: u32) {
        let mut at = self;
        for segment in &pattern.segments {
            at = match segment {
                Segment::Literal(text) => at.below((1, format!("/{text}")), format!("/{text}")),
                Segment::Param(name) => at.below((2, String::new()), format!("/:{name}")),
            };
        }
        let end = match pattern.end {
            End::Exact => return at.rules.push(rule),
            End::Slash => "/{$}",
            End::Subtree => "/",
            End::Splat => "/*",
        };
        at.below((0, end.to_owned()), end.to_owned()).rules.push(rule);
    }

    fn below(&mut self, key: Key, label: String) -> &mut Branch {
        self.branches.entry(key).or_insert_with(|| Branch { label, ..Branch::default() })
    }

    /// Joins stretches without a rule of their own to the only one below them.
    fn tidy(&mut self) {
        for branch in self.branches.values_mut() {
            branch.tidy();
            if branch.rules.is_empty()
                && branch.branches.len() == 1
                && let Some((_, below)) = branch.branches.pop_first()
            {
                branch.label.push_str(&below.label);
                branch.rules = below.rules;
                branch.branches = below.branches;
            }
        }
    }
}

fn write_host(name: &str, lines: &[Line], style: Style, text: &mut String) {
    let width = |columns: fn(&Line) -> usize| lines.iter().map(columns).max().unwrap_or(0);
    let path = width(|line| line.lead.chars().count() + line.label.chars().count());
    let methods = width(|line| line.methods.chars().count());
    let paint = |text: &str, code: &str| match style {
        Style::Plain => text.to_owned(),
        Style::Colour if text.is_empty() => String::new(),
        Style::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
    };
    let _ = writeln!(text, "{}", paint(name, "1"));
    for line in lines {
        let gap = path - line.lead.chars().count() - line.label.chars().count();
        let _ = write!(text, "{}{}", paint(&line.lead, "2"), paint(&line.label, "36"));
        if !line.action.is_empty() {
            let pad = methods - line.methods.chars().count();
            let first_line = line.action.lines().next().unwrap_or_default();
            let (methods, blank) = (paint(&line.methods, "33"), "");
            let _ = write!(text, "{blank:gap$}  {methods}{blank:pad$}  {first_line}");
        }
        text.push('\n');
    }
}
