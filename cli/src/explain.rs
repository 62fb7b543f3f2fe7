//! `anygate explain`: what would happen to a request, and why?

use std::fmt::Write;
use std::io;
use std::process::ExitCode;

use anygate_core::Sources;
use anygate_core::config::{ClientAuth, Config, Upstream, UpstreamAddr};
use anygate_route::{Action, Authority, Explanation, Found, Request, Scratch, Table};
use anygate_serve::action::Action as Compiled;
use anygate_serve::action::files::Files;

use crate::args::Explain;
use crate::check::place;
use crate::prepare::Prepared;
use crate::report;
use crate::source::Source;

mod coming;

use self::coming::{Coming, Scheme};

pub(crate) fn run(arguments: &Explain, source: &Source) -> ExitCode {
    let asked = match Asked::new(&arguments.request, &arguments.headers) {
        Ok(asked) => asked,
        Err(why) => {
            report::complain(&why);
            return report::USAGE.into();
        }
    };
    let prepared = Prepared::new(source);
    report::findings(&prepared.sources, &prepared.diagnostics);
    let table = prepared.compiled.as_ref().and_then(|compiled| compiled.table());
    if let (Some(table), Some(config)) = (table, &prepared.config) {
        let explanation = table.explain(&asked.request);
        let paint = Paint { on: report::colours(&io::stdout()) };
        let plan = prepared.compiled.as_ref().and_then(|compiled| compiled.plan.as_ref());
        let coming = Coming { config, plan, scheme: asked.scheme, request: &asked.request };
        let mut text = asked.line();
        for (label, said) in coming.said() {
            let _ = writeln!(text, "  {}  {said}", paint.label(label));
        }
        if let Some(redirected) = coming.redirected() {
            let _ = writeln!(text, "  {}  {redirected}", paint.label("goes to"));
            report::say(&text);
            return if prepared.is_refused() { report::REFUSED.into() } else { report::OK };
        }
        text.push_str(&way(&explanation, table, &prepared.sources, paint));
        if let Found::Rule(rule) = explanation.found {
            let files = plan.and_then(|plan| match &plan.routes[rule as usize].action {
                Compiled::Files(files) => Some(&**files),
                _ => None,
            });
            let winner = Winner { number: rule, config, table, files };
            text.push_str(&winner.end(&explanation, &asked, paint));
        } else {
            let _ = writeln!(text, "  {}  {}", paint.label("gets"), explanation.outcome);
        }
        report::say(&text);
    }
    if prepared.is_refused() { report::REFUSED.into() } else { report::OK }
}

/// The request of the command line.
struct Asked {
    request: Request,
    /// The scheme, where it was written.
    scheme: Option<Scheme>,
    /// Values of `Accept`, joined; none where the header is not there.
    accept: Option<String>,
    /// What a browser says of itself in `Sec-Fetch-Mode`.
    mode: Option<String>,
}

impl Asked {
    fn new(text: &str, headers: &[String]) -> Result<Self, String> {
        let one_word = text.split_ascii_whitespace().count() == 1;
        let text = if one_word { format!("GET {text}") } else { text.to_owned() };
        let mut request = Request::parse(&text)?;
        let scheme = Scheme::of(&text);
        let mut accept: Vec<&str> = Vec::new();
        let mut mode = None;
        for header in headers {
            let (name, value) = header
                .split_once(':')
                .filter(|(name, _)| !name.trim().is_empty())
                .ok_or_else(|| format!("`{header}` is no header field: write `Name: value`"))?;
            match name.trim().to_ascii_lowercase().as_str() {
                // As on the wire, a target with a host wins.
                "host" if request.host.is_empty() => request.host = value.trim().to_owned(),
                "accept" => accept.push(value.trim()),
                "sec-fetch-mode" => mode = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        Ok(Self { request, scheme, accept: (!accept.is_empty()).then(|| accept.join(", ")), mode })
    }

    /// The request as a line.
    fn line(&self) -> String {
        let line = format!("{}\n", self.request);
        if self.scheme == Some(Scheme::Https) { line.replacen(" http://", " https://", 1) } else { line }
    }

    /// Whether a page is asked for, as the server decides it: by a browser that says it navigates, or by who says nothing of
    /// the kind and takes HTML.
    fn navigates(&self) -> bool {
        const HTML: [&str; 3] = ["text/html", "text/*", "*/*"];
        match &self.mode {
            Some(mode) => mode == "navigate",
            None => self.accept.as_ref().is_none_or(|accept| HTML.iter().any(|range| accept.contains(range))),
        }
    }
}

/// Colours, or none.
#[derive(Clone, Copy)]
struct Paint {
    on: bool,
}

impl Paint {
    /// A word of the first column, padded.
    fn label(self, word: &str) -> String {
        let code = match word {
            "wins" | "gets" | "goes to" => "1;32",
            "loses" => "33",
            _ => "2",
        };
        self.paint(&format!("{word:<7}"), code)
    }

    fn dim(self, text: &str) -> String {
        self.paint(text, "2")
    }

    fn paint(self, text: &str, code: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// How the request came to its rule.
fn way(explanation: &Explanation, table: &Table, sources: &Sources, paint: Paint) -> String {
    let mut text = String::new();
    for step in &explanation.steps {
        let _ = writeln!(text, "  {}  {step}", paint.label("path"));
    }
    for candidate in &explanation.candidates {
        let at = paint.dim(&place(&table.rules()[candidate.rule as usize].head, sources));
        let action = candidate.action.lines().next().unwrap_or_default();
        let label = paint.label(if candidate.lost.is_none() { "wins" } else { "loses" });
        let _ = writeln!(text, "  {label}  {}  ->  {}  {at}", candidate.head, shortened(action));
        if let Some(lost) = &candidate.lost {
            let _ = writeln!(text, "           {lost}");
        }
    }
    for (name, value) in &explanation.params {
        let _ = writeln!(text, "  {}  :{name} = {value}", paint.label("param"));
    }
    text
}

/// The rule that wins, with what was compiled from it.
struct Winner<'a> {
    number: u32,
    config: &'a Config,
    table: &'a Table,
    /// The folder of a static rule, where the configuration is not refused.
    files: Option<&'a Files>,
}

impl Winner<'_> {
    /// What the rule does with the request.
    fn end(&self, explanation: &Explanation, asked: &Asked, paint: Paint) -> String {
        let mut text = String::new();
        let entry = &self.config.routes[self.number as usize];
        if self.config.client_auth_for(entry) == ClientAuth::Required {
            let _ = writeln!(text, "  {}  client_auth: 403 without a client certificate", paint.label("filter"));
        }
        let headers = &entry.settings.headers;
        if !headers.is_empty() {
            let names: Vec<&str> = headers.iter().map(|(name, _)| name.text.as_str()).collect();
            let _ = writeln!(text, "  {}  headers: sets {}", paint.label("filter"), names.join(", "));
        }
        let action = &self.table.rules()[self.number as usize].action;
        let goes = matches!(action, Action::Proxy(_) | Action::Redirect { .. });
        let goes = paint.label(if goes { "goes to" } else { "gets" });
        if let Some(files) = self.files {
            let (page, other) = (self.file(files, asked, true), self.file(files, asked, false));
            let _ = writeln!(text, "  {goes}  {}", if asked.navigates() { &page } else { &other });
            if asked.mode.is_none() && asked.accept.is_none() && page != other {
                let _ = writeln!(text, "           as a page; for a script's requests {other}");
            }
            return text;
        }
        let outcome = explanation.outcome.lines().next().unwrap_or_default();
        let _ = writeln!(text, "  {goes}  {}", shortened(outcome));
        let Action::Proxy(targets) = action else { return text };
        for target in targets {
            let Authority::Upstream(name) = &target.authority else { continue };
            let named = |pool: &&Upstream| pool.name.text.eq_ignore_ascii_case(name);
            let Some(pool) = self.config.upstreams.iter().find(named) else { continue };
            let servers: Vec<String> = pool.servers.iter().map(|server| address(&server.addr)).collect();
            let turn = if servers.len() > 1 { ", in turn" } else { "" };
            let _ = writeln!(text, "           {name} is {}{turn}", servers.join(", "));
        }
        text
    }

    /// Which file it is, or which status.
    fn file(&self, files: &Files, asked: &Asked, navigates: bool) -> String {
        let mut scratch = Scratch::new();
        let path = asked.request.path.as_bytes();
        let _ = self.table.find(&asked.request.lookup(), &mut scratch);
        match files.locate(self.table.captures(self.number, path, &scratch).tail(), navigates) {
            Ok(path) => {
                let here = std::env::current_dir().unwrap_or_default();
                format!("the file {}", path.strip_prefix(here).unwrap_or(&path).display())
            }
            Err(308) => "308 to the folder's name with its slash".to_owned(),
            Err(403) => "403: the file may not be read".to_owned(),
            Err(404) => "404: there is no such file".to_owned(),
            Err(status) => status.to_string(),
        }
    }
}

/// Where a server listens, as the file has it.
fn address(addr: &UpstreamAddr) -> String {
    match addr {
        UpstreamAddr::Tcp { host, port } => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            port.map_or(host.clone(), |port| format!("{host}:{port}"))
        }
        UpstreamAddr::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// A long text cut to one line's worth.
fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::Asked;

    #[test]
    fn a_target_alone_means_get_and_its_host_wins_over_the_header() {
        let asked = Asked::new("/a", &["Host: h".to_owned()]).unwrap();
        assert_eq!(asked.request.to_string(), "GET http://h/a");
        let asked = Asked::new("PUT http://x/a", &["Host: h".to_owned()]).unwrap();
        assert_eq!(asked.request.to_string(), "PUT http://x/a");
    }

    #[test]
    fn a_header_without_a_colon_is_refused() {
        assert!(Asked::new("/a", &["Host".to_owned()]).is_err());
        assert!(Asked::new("/a", &[": x".to_owned()]).is_err());
    }

    #[test]
    fn who_asks_for_a_page_is_told_by_what_it_says_and_accepts() {
        let navigates = |headers: &[&str]| {
            let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
            Asked::new("/a", &headers).unwrap().navigates()
        };
        assert!(navigates(&[]));
        assert!(navigates(&["accept: text/html,*/*;q=0.8"]));
        assert!(navigates(&["Accept: */*"]));
        assert!(!navigates(&["Accept: application/json"]));
        assert!(!navigates(&["Accept: */*", "Sec-Fetch-Mode: cors"]));
        assert!(navigates(&["Accept: */*", "Sec-Fetch-Mode: navigate"]));
    }
}
