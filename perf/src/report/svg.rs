//! How a drawing is written: a few shapes, readable on light and dark pages.

use std::fmt::Write;

/// Where a text leans to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Names whose colour is always the same, and the colour on light and on dark paper.
const COLOURS: &[(&str, &str, &str)] = &[
    ("anygate-uring", "#1f5fd6", "#5c9dff"),
    ("anygate-epoll", "#12909e", "#3fc3d1"),
    ("nginx", "#2f8f3a", "#5ac467"),
    ("haproxy", "#c76a12", "#f09a45"),
    ("h2o", "#8a45c2", "#bd8af0"),
    ("caddy", "#c2375d", "#f0728f"),
    ("floor-uring", "#6b7280", "#9aa3af"),
    ("floor-epoll", "#9aa1ab", "#6f7885"),
    ("relay-uring", "#6b7280", "#9aa3af"),
    ("relay-epoll", "#9aa1ab", "#6f7885"),
];

/// Colours for what has no name of its own there.
pub(super) const OTHERS: usize = 8;

/// A drawing under way.
#[derive(Debug)]
pub(super) struct Drawing {
    width: f64,
    height: f64,
    body: String,
}

impl Drawing {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// A line of the grid or of an axis.
    pub(super) fn rule(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.body,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }

    /// A filled bar.
    pub(super) fn bar(&mut self, at: (f64, f64), width: f64, height: f64, colour: &str) {
        let (x, y) = at;
        let width = width.max(0.5);
        let _ = writeln!(
            self.body,
            "<rect class=\"{colour}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\"/>"
        );
    }

    /// A line through points.
    pub(super) fn curve(&mut self, points: &[(f64, f64)], colour: &str, heavy: bool) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let weight = if heavy { " heavy" } else { "" };
        let _ = writeln!(self.body, "<polyline class=\"curve {colour}{weight}\" points=\"{}\"/>", points.join(" "));
    }

    /// A point.
    pub(super) fn dot(&mut self, at: (f64, f64), colour: &str) {
        let (x, y) = at;
        let _ = writeln!(self.body, "<circle class=\"{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
    }

    /// Words; `class` is empty, `quiet` or `title`.
    pub(super) fn words(&mut self, at: (f64, f64), anchor: Anchor, class: &str, words: &str) {
        let (x, y) = at;
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let words = escaped(words);
        let _ = writeln!(
            self.body,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
        );
    }

    /// The whole file.
    pub(super) fn finish(&self, title: &str) -> String {
        let (width, height) = (self.width, self.height);
        let mut light = String::new();
        let mut dark = String::new();
        for (name, on_light, on_dark) in COLOURS {
            let _ = writeln!(light, ".{name}{{fill:{on_light};stroke:{on_light}}}");
            let _ = writeln!(dark, ".{name}{{fill:{on_dark};stroke:{on_dark}}}");
        }
        for other in 0..OTHERS {
            let hue = 210 + other * 360 / OTHERS;
            let _ = writeln!(light, ".other-{other}{{fill:hsl({hue},60%,40%);stroke:hsl({hue},60%,40%)}}");
            let _ = writeln!(dark, ".other-{other}{{fill:hsl({hue},65%,66%);stroke:hsl({hue},65%,66%)}}");
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\">\n<title>{title}</title>\n<style>\n{STYLE}{light}\
             @media (prefers-color-scheme: dark) {{\n{DARK}{dark}}}\n{SHAPES}</style>\n\
             <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{}</svg>\n",
            self.body,
            title = escaped(title),
        )
    }
}

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#1f2328}
.title{font-size:15px;font-weight:600}
.quiet{fill:#59636e}
.strong{font-weight:600}
.paper{fill:#fff}
.grid{stroke:#d9dee4;stroke-width:1}
.axis{stroke:#818b98;stroke-width:1}
.whisker{stroke:#1f2328;stroke-width:1.2}
";
const DARK: &str = "\
text{fill:#e6edf3}
.quiet{fill:#9198a1}
.paper{fill:#0d1117}
.grid{stroke:#262c34}
.axis{stroke:#6b7480}
.whisker{stroke:#e6edf3}
";
/// Behind the colours, so that it wins over them.
const SHAPES: &str = "\
rect{stroke:none}
circle{stroke:none}
.curve{fill:none;stroke-width:1.6;stroke-linejoin:round}
.heavy{stroke-width:2.8}
";

/// The class of the colour of this name: of what stands before a comma.
pub(super) fn colour(name: &str, at: usize) -> String {
    let subject = name.split(',').next().unwrap_or_default();
    match COLOURS.iter().find(|(known, ..)| *known == subject) {
        Some((known, ..)) => (*known).to_owned(),
        None => format!("other-{}", at % OTHERS),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_break_a_drawing() {
        let mut drawing = Drawing::new(10.0, 10.0);
        drawing.words((1.0, 2.0), Anchor::End, "", "a < b & c");
        let text = drawing.finish("x > y");
        assert!(text.contains("<title>x &gt; y</title>"));
        assert!(text.contains(">a &lt; b &amp; c</text>"));
    }

    #[test]
    fn a_name_has_its_colour_and_a_stranger_has_one_too() {
        assert_eq!(colour("anygate-uring, 10 routes", 3), "anygate-uring");
        assert_eq!(colour("unheard-of", 9), "other-1");
        let text = Drawing::new(1.0, 1.0).finish("");
        assert!(text.contains(".other-7{") && text.contains("prefers-color-scheme: dark"));
    }
}
