//! How does a file become a configuration? Read, parse, fill in, include, override, understand; every error on the way is kept.

use std::path::{Path, PathBuf};

use super::files::{Disk, Files};
use super::model::{Config, RouteEntry, RouteSettings};
use super::node::Node;
use super::report::Report;
use super::{Env, expand, include, json, overrides, read, toml, yaml};
use crate::diagnostic::{Diagnostic, Located, SourceId, Sources, Span};
use crate::limits;

/// What came of loading.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` when there is an error.
    pub config: Option<Config>,
    /// What could be understood in spite of errors, so that its rules can be checked in the same run. Never to be served.
    pub draft: Option<Config>,
    /// Every text that was read; the spans of `config` and `diagnostics` point into it.
    pub sources: Sources,
    /// Errors and warnings: those without a place, then in the order of the texts.
    pub diagnostics: Vec<Diagnostic>,
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.2, with the freedoms of `routes`.
    Yaml,
    /// TOML 1.
    Toml,
    /// JSON (RFC 8259).
    Json,
}

/// Everything loading depends on. The process's environment and disk are never read behind its back.
#[derive(Clone, Copy)]
pub struct Loader<'a> {
    /// Environment variables, for `${VAR}` and `ANYGATE_…__…`.
    pub env: &'a Env,
    /// Rules of the command line, `HEAD: ACTION` each; they come before the file's.
    pub rules: &'a [String],
    /// Where files come from.
    pub files: &'a dyn Files,
    /// Whether a certificate that the server makes itself stands in where a TLS listener has none.
    pub self_signed: bool,
}

/// Loads a file from disk, with `rules` before its own.
#[must_use]
pub fn load(path: &Path, env: &Env, rules: &[String]) -> Loaded {
    Loader { env, rules, files: &Disk, self_signed: false }.file(path)
}

/// Loads a YAML text that the caller has, such as the embedded default; `name` stands for it in messages.
#[must_use]
pub fn load_text(name: &str, text: &str, env: &Env, rules: &[String]) -> Loaded {
    Loader { env, rules, files: &Disk, self_signed: false }.text(name, text, Format::Yaml, Path::new(""))
}

/// Loads the rules of the command line alone; everything else has its default, or the environment's override.
#[must_use]
pub fn from_rules(rules: &[String], env: &Env) -> Loaded {
    load_text("defaults", "", env, rules)
}

impl Format {
    /// The format an extension stands for.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "yml" | "yaml" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl Loader<'_> {
    /// Loads a file; its extension says how it is written.
    #[must_use]
    pub fn file(&self, path: &Path) -> Loaded {
        let mut load = Load::new(self);
        let root = load.read(path, None);
        load.config.files.push(path.to_owned());
        load.main(root, path.parent().unwrap_or(Path::new("")))
    }

    /// Loads a text the caller has; relative paths start at `base_dir`.
    #[must_use]
    pub fn text(&self, name: &str, text: &str, format: Format, base_dir: &Path) -> Loaded {
        let mut load = Load::new(self);
        let source = load.sources.add(name, text);
        let root = parse(source, text, format, &mut load.report);
        load.main(root, base_dir)
    }
}

/// One run of the loader.
struct Load<'a> {
    loader: &'a Loader<'a>,
    config: Config,
    sources: Sources,
    report: Report,
}

impl<'a> Load<'a> {
    fn new(loader: &'a Loader<'a>) -> Self {
        Self { loader, config: Config::default(), sources: Sources::new(), report: Report::default() }
    }

    /// Understands the main file, what it includes, and the rules of the command line.
    fn main(mut self, root: Option<Node>, base_dir: &Path) -> Loaded {
        self.config.base_dir = base_dir.to_owned();
        self.config.tls.self_signed = self.loader.self_signed;
        self.rules();
        if let Some(mut root) = root {
            expand::expand(&mut root, self.loader.env, &mut self.report);
            overrides::apply(&mut root, self.loader.env, &mut self.sources, &mut self.report);
            let patterns = read::main_file(&root, base_dir, &mut self.config, &mut self.report);
            for pattern in patterns {
                self.include(&pattern, base_dir);
            }
            read::check_tls(&root, &mut self.config, &mut self.report);
        }
        let failed = self.report.has_errors();
        let (config, draft) = if failed { (None, Some(self.config)) } else { (Some(self.config), None) };
        Loaded { config, draft, sources: self.sources, diagnostics: self.report.into_list() }
    }

    /// The rules of the command line.
    fn rules(&mut self) {
        for (index, rule) in self.loader.rules.iter().enumerate() {
            let source = self.sources.add(format!("-r #{}", index + 1), rule.as_str());
            let Some((head, action)) = read::split_rule(rule) else {
                self.report.push(
                    Diagnostic::error("a rule is `HEAD: ACTION`")
                        .at(Span::new(source, 0..rule.len()), "no `:` with a blank behind it")
                        .help("write -r 'GET /ping: OK'"),
                );
                continue;
            };
            if action.is_empty() || head.is_empty() {
                let what = if head.is_empty() { "no head" } else { "no action" };
                self.report.push(
                    Diagnostic::error("a rule is `HEAD: ACTION`")
                        .at(Span::new(source, 0..rule.len()), what)
                        .help("write -r 'GET /ping: OK'"),
                );
                continue;
            }
            let place = |range: std::ops::Range<usize>| Located {
                text: rule[range.clone()].to_owned(),
                span: Span::new(source, range),
                verbatim: true,
            };
            self.config.routes.push(RouteEntry {
                head: place(head),
                action: place(action),
                group: None,
                settings: RouteSettings::default(),
                base_dir: PathBuf::new(),
            });
        }
    }

    /// Merges the files of one pattern, each only once.
    fn include(&mut self, pattern: &Located, base_dir: &Path) {
        let paths = match include::matching(&pattern.text, base_dir, self.loader.files) {
            Ok(paths) => paths,
            Err(message) => return self.report.push(Diagnostic::error(message).at(pattern.span, "")),
        };
        for path in paths {
            if self.config.files.contains(&path) {
                continue;
            }
            if self.config.files.len() >= limits::CONFIG_FILES {
                let message = format!("more than {} files are included", limits::CONFIG_FILES);
                return self.report.push(Diagnostic::error(message).at(pattern.span, ""));
            }
            self.config.files.push(path.clone());
            let Some(mut root) = self.read(&path, Some(pattern.span)) else { continue };
            expand::expand(&mut root, self.loader.env, &mut self.report);
            let base_dir = path.parent().unwrap_or(Path::new(""));
            read::included(&root, base_dir, &mut self.config, &mut self.report);
        }
    }

    /// Reads and parses a file; `asked` is where another file names it.
    fn read(&mut self, path: &Path, asked: Option<Span>) -> Option<Node> {
        match self.text_of(path) {
            Ok((text, format)) => {
                let source = self.sources.add(path.display().to_string(), text.as_str());
                parse(source, &text, format, &mut self.report)
            }
            Err(diagnostic) => {
                self.report.push(match asked {
                    Some(span) => diagnostic.at(span, "included here"),
                    None => *diagnostic,
                });
                None
            }
        }
    }

    fn text_of(&self, path: &Path) -> Result<(String, Format), Box<Diagnostic>> {
        let shown = path.display();
        let format = Format::of(path).ok_or_else(|| {
            Diagnostic::error(format!("cannot tell how `{shown}` is written"))
                .help("a configuration file ends in .yml, .yaml, .toml or .json")
        })?;
        let bytes = self.loader.files.read(path).map_err(|error| {
            let diagnostic = Diagnostic::error(format!("cannot read `{shown}`: {error}"));
            match error.kind() {
                std::io::ErrorKind::NotFound => {
                    diagnostic.help("check the path; a relative one starts where it is written")
                }
                _ => diagnostic,
            }
        })?;
        if bytes.len() > limits::CONFIG_FILE_SIZE {
            let message = format!("`{shown}` is larger than {} MiB", limits::CONFIG_FILE_SIZE >> 20);
            return Err(Box::new(Diagnostic::error(message)));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
            Diagnostic::error(format!("`{shown}` is not UTF-8: see line {line}"))
        })?;
        Ok((text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text), format))
    }
}

fn parse(source: SourceId, text: &str, format: Format, report: &mut Report) -> Option<Node> {
    match format {
        Format::Yaml => yaml::parse(source, text, report),
        Format::Toml => toml::parse(source, text, report),
        Format::Json => json::parse(source, text, report),
    }
}
