//! What is a rule: who may come in, and what happens?

use std::collections::HashSet;
use std::fmt;

use anygate_core::{Diagnostic, Located};

use crate::captures::Captures;
use crate::host::Host;
use crate::methods::Methods;
use crate::pattern::Pattern;
use crate::template::Template;

/// One rule, parsed.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Which methods may come in.
    pub methods: Methods,
    /// For which host.
    pub host: Host,
    /// Under which path.
    pub pattern: Pattern,
    /// What happens.
    pub action: Action,
    /// The head as written.
    pub head: Located,
    /// The action as written.
    pub action_text: Located,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It goes to one of these targets, in turn; never empty, and all have the same path.
    Proxy(Vec<Target>),
    /// It gets a file.
    Static(StaticTarget),
    /// It gets this answer.
    Fixed(Fixed),
    /// It is sent elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The `Location`; render it with the request's query.
        location: Template,
    },
    /// It gets itself back.
    Echo {
        /// 200–599, none that forbids a body.
        status: u16,
    },
}

/// Files on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticTarget {
    /// As written: absolute, or from the configuration file's folder (`./`, `../`).
    pub path: String,
    /// True if it ends in `/`: a directory; otherwise one file.
    pub is_dir: bool,
}

/// A fixed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// 200–599.
    pub status: u16,
    /// The body's bytes, unchanged; `None`: length 0 and no type.
    pub body: Option<String>,
    /// `application/json` or `text/plain; charset=utf-8`; `None` without a body.
    pub content_type: Option<&'static str>,
}

/// One place a proxy request may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How to speak to it.
    pub scheme: Scheme,
    /// Whom to speak to.
    pub authority: Authority,
    /// What to ask for.
    pub path: TargetPath,
    /// As written.
    pub text: String,
    /// How much of `text` is scheme and authority, in bytes.
    pub(crate) origin_len: usize,
}

/// How to speak to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http://`: HTTP/1.1 in the clear.
    Http,
    /// `https://`: TLS.
    Https,
    /// `h2c://`: HTTP/2 in the clear.
    H2c,
    /// `http+unix://`: HTTP/1.1 over a Unix socket.
    HttpUnix,
}

/// Whom to speak to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Authority {
    /// A host by name or address (IPv6 without brackets) and its port, the scheme's own where none is written.
    Host {
        /// Lower-case name, IPv4 or IPv6 address.
        host: String,
        /// 1–65535.
        port: u16,
    },
    /// A pool declared under `upstreams`.
    Upstream(String),
    /// An absolute socket path.
    Unix(String),
}

/// What a proxy request asks its target for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPath {
    pub(crate) kind: PathKind,
    pub(crate) template: Template,
}

/// How the path of a target is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// The request's own, because the target has none.
    Keep,
    /// The target's, which ends in `/`, and what the head matched beyond its literal prefix.
    Append,
    /// The target's.
    Replace,
}

/// What parsing needs to know of the rest of the configuration.
#[derive(Debug, Clone)]
pub struct Context {
    /// The names declared under `upstreams`, lower-case.
    pub upstreams: HashSet<String>,
    /// `server.merge_slashes`.
    pub merge_slashes: bool,
}

impl Default for Context {
    fn default() -> Self {
        Self { upstreams: HashSet::new(), merge_slashes: true }
    }
}

/// Parses one rule. `group_host` is the host of the group it stands in.
///
/// # Errors
///
/// Everything that is wrong with head and action, each with its place.
pub fn parse_rule(
    head: &Located,
    action: &Located,
    group_host: Option<&Located>,
    context: &Context,
) -> Result<Rule, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let parsed = crate::head::parse(head, group_host, context, &mut errors);
    let pattern = parsed.as_ref().map(|(_, _, pattern)| pattern);
    let action_parsed = crate::action::parse(action, pattern, context, &mut errors);
    match (parsed, action_parsed) {
        (Some((methods, host, pattern)), Some(parsed_action)) if errors.is_empty() => {
            Ok(Rule { methods, host, pattern, action: parsed_action, head: head.clone(), action_text: action.clone() })
        }
        _ => Err(errors),
    }
}

impl Rule {
    /// True if host, path (in matching form) and method all fit.
    #[must_use]
    pub fn fits(&self, method: &[u8], host: &[u8], path: &[u8]) -> bool {
        self.methods.fits(method) && self.host.fits(host) && self.pattern.fits(path)
    }
}

/// The head in its normal spelling: `GET POST api.example.com/v1/:id`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.methods != Methods::Every {
            write!(f, "{} ", self.methods)?;
        }
        write!(f, "{}{}", self.host, self.pattern)
    }
}

impl Action {
    /// What a person calls it: `proxy`, `static`, `fixed`, `redirect`, `echo`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Action::Proxy(_) => "proxy",
            Action::Static(_) => "static",
            Action::Fixed(_) => "fixed",
            Action::Redirect { .. } => "redirect",
            Action::Echo { .. } => "echo",
        }
    }
}

impl Scheme {
    /// The port a target without one means; none for a Unix socket.
    #[must_use]
    pub fn default_port(self) -> Option<u16> {
        match self {
            Scheme::Http | Scheme::H2c => Some(80),
            Scheme::Https => Some(443),
            Scheme::HttpUnix => None,
        }
    }

    /// As written, without `://`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::H2c => "h2c",
            Scheme::HttpUnix => "http+unix",
        }
    }
}

impl Target {
    /// Scheme and authority as written: `http://users`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.text[..self.origin_len]
    }
}

impl TargetPath {
    /// How the path is made.
    #[must_use]
    pub fn kind(&self) -> PathKind {
        self.kind
    }

    /// Appends the request target for the upstream, path and query; `query` is the request's own, without `?`.
    pub fn render(&self, captures: &Captures<'_>, query: Option<&[u8]>, out: &mut Vec<u8>) {
        match self.kind {
            PathKind::Keep => out.extend_from_slice(captures.forward_path()),
            PathKind::Replace => self.template.render_path(captures, out),
            PathKind::Append => {
                self.template.render_path(captures, out);
                out.extend_from_slice(captures.tail());
            }
        }
        self.template.render_query(captures, query, out);
    }

    /// True if the request's target goes on exactly as it came, but for normalisation.
    #[must_use]
    pub fn is_verbatim(&self) -> bool {
        self.kind == PathKind::Keep && self.template.query.is_none()
    }
}
