//! What does a configuration come to? A plan to serve, or everything that is wrong with its rules, told in one run.

use std::path::{Path, PathBuf};

use anygate_core::config::{ClientAuth, Config, RouteEntry};
use anygate_core::{Diagnostic, limits, nearest};
use anygate_route::{self as route, Methods, Rule, StaticTarget, Table};

use crate::action::Action;
use crate::action::echo::Echo;
use crate::action::files::Files;
use crate::action::fixed::Fixed;
use crate::action::proxy::Proxy;
use crate::action::redirect::Redirect;
use crate::filter::{Filter, Headers};
use crate::hsts::Hsts;
use crate::pages::Pages;
use crate::plan::{ClientSettings, Plan, Route};
use crate::tls::Credentials;

pub(crate) mod acme;
mod expect;
mod listen;
pub mod rules;
mod tls;

/// What would be right where there are no rules.
const NO_RULES: &str = "write some under `routes`, such as `\"/\": \"./dist/\"`";
/// Most names of a folder that are compared with one that is not there.
const NEIGHBOURS: usize = 1000;

/// What a plan depends on beside the configuration.
#[derive(Debug, Clone, Copy)]
pub struct CompileEnv {
    /// Shards that will serve it; limits of the whole process are divided among them.
    pub shards: usize,
    /// Descriptors the process may use for connections.
    pub descriptors: usize,
    /// Counts reloads, from 1.
    pub serial: u64,
}

/// What came of compiling.
#[derive(Debug)]
pub struct Compiled {
    /// What is to be served, to be cloned for each shard; `None` when there is an error.
    pub plan: Option<Plan>,
    /// The certificates that its TLS listeners show, to be looked after while it serves.
    pub credentials: Credentials,
    /// The routing table of a plan that is refused, where the rules by themselves are right. Never to be served.
    pub draft: Option<Table>,
    /// Errors and warnings: of each rule, of the rules together, of actions, of expectations.
    pub diagnostics: Vec<Diagnostic>,
}

impl Compiled {
    /// The routing table, also where the plan is refused for another reason.
    #[must_use]
    pub fn table(&self) -> Option<&Table> {
        self.plan.as_ref().map(|plan| &plan.table).or(self.draft.as_ref())
    }
}

/// Compiles a configuration. Looks at the file system (do directories exist?), never at the network.
#[must_use]
pub fn compile(config: &Config, env: &CompileEnv) -> Compiled {
    let mut findings = Vec::new();
    if config.routes.is_empty() {
        findings.push(Diagnostic::warning("there are no rules: every request gets 404").help(NO_RULES));
    }
    listen::check(&config.server.listen, &mut findings);
    let (fronts, credentials) = tls::fronts(config, &mut findings);
    let rules::Parsed { rules, table } = rules::parse(config, &mut findings);
    let mut routes = Vec::with_capacity(rules.len());
    let hidden = tls::never_served(config);
    for (number, rule) in &rules {
        routes.extend(compile_route(config, &config.routes[*number], rule, &hidden, &mut findings));
    }
    let proxies = routes.iter().any(|route| matches!(route.action, Action::Proxy(_)));
    let plan = table.map(|table| Plan {
        serial: env.serial,
        table,
        routes,
        pages: Pages::compile(&config.server.name),
        client: ClientSettings::new(config, env.shards, env.descriptors, proxies),
        fronts,
    });
    let complete = |plan: &Plan| plan.routes.len() == config.routes.len();
    let Some(plan) = plan else {
        return Compiled { plan: None, credentials, draft: None, diagnostics: bounded(findings) };
    };
    if complete(&plan) {
        expect::check(config, &plan, &mut findings);
    }
    let refused = !complete(&plan) || findings.iter().any(Diagnostic::is_error);
    let (plan, draft) = if refused { (None, Some(plan.table)) } else { (Some(plan), None) };
    Compiled { plan, credentials, draft, diagnostics: bounded(findings) }
}

/// One rule's action and filters; `None` when something is wrong with them.
fn compile_route(
    config: &Config,
    entry: &RouteEntry,
    rule: &Rule,
    hidden: &[PathBuf],
    findings: &mut Vec<Diagnostic>,
) -> Option<Route> {
    let headers = compile_headers(config, entry, findings);
    let action = compile_action(config, entry, rule, hidden, headers.as_ref(), findings);
    let (headers, action) = (headers?, action?);
    let fixed = matches!(action, Action::Fixed(_));
    let mut filters = Vec::new();
    if config.client_auth_for(entry) == ClientAuth::Required {
        filters.push(Filter::ClientCertificate);
    }
    if !fixed && headers.iter().next().is_some() {
        filters.push(Filter::Headers(headers));
    }
    Some(Route { action, filters, max_body: config.max_body_size_for(entry) })
}

fn compile_headers(config: &Config, entry: &RouteEntry, findings: &mut Vec<Diagnostic>) -> Option<Headers> {
    let list = &entry.settings.headers;
    if let Some((name, _)) = list.iter().find(|(name, _)| name.text.eq_ignore_ascii_case("server")) {
        findings.push(
            Diagnostic::error("`Server` cannot be set by a rule")
                .at(name.span, "is the same for every answer")
                .help("set `server.name`"),
        );
        return None;
    }
    if let Some((name, _)) = list.iter().find(|(name, _)| name.text.eq_ignore_ascii_case(Hsts::NAME))
        && config.tls.hsts.is_some()
    {
        // One field alone counts (RFC 6797 §8.1).
        findings.push(
            Diagnostic::error(format!("`{}` is set by `tls.hsts` already", Hsts::NAME))
                .at(name.span, "a second one")
                .help("remove one of them; `tls.hsts` is for every answer over TLS"),
        );
        return None;
    }
    match Headers::new(list.iter().map(|(name, value)| (name.text.as_str(), value.text.as_str()))) {
        Ok(headers) => Some(headers),
        Err((at, why)) => {
            findings.push(Diagnostic::error(why).at(list[at].0.span, "this field"));
            None
        }
    }
}

fn compile_action(
    config: &Config,
    entry: &RouteEntry,
    rule: &Rule,
    hidden: &[PathBuf],
    headers: Option<&Headers>,
    findings: &mut Vec<Diagnostic>,
) -> Option<Action> {
    let place = entry.action.span;
    match &rule.action {
        route::Action::Fixed(fixed) => {
            let size = fixed.body.as_ref().map_or(0, String::len);
            if size > limits::FIXED_BODY {
                findings.push(
                    Diagnostic::error(format!("a fixed body of {size} bytes"))
                        .at(place, format!("at most {} bytes", limits::FIXED_BODY))
                        .help("put it into a file, and let the rule name the file"),
                );
                return None;
            }
            match Fixed::compile(fixed, headers?, &config.server.name) {
                Ok(fixed) => Some(Action::Fixed(fixed)),
                Err(reject) => {
                    findings.push(Diagnostic::error(reject.to_string()).at(place, "in this answer"));
                    None
                }
            }
        }
        route::Action::Redirect { status, location } => {
            Some(Action::Redirect(Redirect::new(*status, location.clone())))
        }
        route::Action::Echo { status } => Some(Action::Echo(Echo::new(*status, config.echo.body))),
        route::Action::Static(target) => {
            match Files::compile(target, &config.static_for(entry), &entry.base_dir, hidden) {
                Ok(files) => {
                    findings.extend(no_front_page(&files, rule, target));
                    Some(Action::Files(Box::new(files)))
                }
                Err(why) => {
                    let finding = Diagnostic::error(why).at(place, "this path");
                    findings.push(match path_help(&target.path, &entry.base_dir) {
                        Some(help) => finding.help(help),
                        None => finding,
                    });
                    None
                }
            }
        }
        route::Action::Proxy(_) if names_connect(&rule.methods) => {
            // A server behind is no proxy: it would get a target that CONNECT cannot have (RFC 9110 §9.3.6).
            findings.push(
                Diagnostic::error("a `CONNECT` request cannot be sent to a server behind")
                    .at(rule.head.span, "names it")
                    .help("leave `CONNECT` out; a WebSocket comes as `GET`"),
            );
            None
        }
        route::Action::Proxy(targets) => {
            match Proxy::compile(targets, &entry.action, &config.proxy_for(entry), &config.upstreams) {
                Ok(proxy) => Some(Action::Proxy(Box::new(proxy))),
                Err(errors) => {
                    findings.extend(errors);
                    None
                }
            }
        }
    }
}

/// A warning where a whole site has no front page, which is most often the wrong folder or one that was not built yet.
fn no_front_page(files: &Files, rule: &Rule, target: &StaticTarget) -> Option<Diagnostic> {
    let whole = target.is_dir && rule.pattern.segments.is_empty() && rule.pattern.has_rest();
    (whole && files.locate(b"", true) == Err(404)).then(|| {
        Diagnostic::warning(format!("the folder `{}` has no front page", target.path))
            .at(rule.action_text.span, "no file of this folder stands for it")
            .note("`/` gets 404, and so does every deep link")
            .help("build the site first, name the folder that has `index.html`, or set `static.index`")
    })
}

fn names_connect(methods: &Methods) -> bool {
    matches!(methods, Methods::Named(names) if names.iter().any(|name| name == "CONNECT"))
}

/// What would be right for a path that is refused: a name that is like it, or where it starts.
fn path_help(written: &str, base_dir: &Path) -> Option<String> {
    let path = base_dir.join(written);
    if path.exists() {
        return None;
    }
    let folder = path.parent()?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let name = path.file_name()?.to_str()?;
    let names: Vec<String> = std::fs::read_dir(folder)
        .ok()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .take(NEIGHBOURS)
        .collect();
    if let Some(near) = nearest(name, names.iter().map(String::as_str)) {
        let before = written.trim_end_matches('/').strip_suffix(name)?;
        let slash = if written.ends_with('/') { "/" } else { "" };
        return Some(format!("did you mean `{before}{near}{slash}`?"));
    }
    let start =
        if base_dir.as_os_str().is_empty() { "the current folder".into() } else { base_dir.display().to_string() };
    Some(match Path::new(written).is_absolute() {
        true => {
            format!("create it, or write `./{}` for a path that starts at {start}", written.trim_start_matches('/'))
        }
        false => format!("create it, or correct the path, which starts at {start}"),
    })
}

/// The findings a person can still read: errors beyond the named limit are only counted.
fn bounded(mut findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let more = findings.len().saturating_sub(limits::CONFIG_ERRORS);
    if more > 0 {
        findings.sort_by_key(|finding| !finding.is_error());
        let errors = findings[limits::CONFIG_ERRORS..].iter().filter(|finding| finding.is_error()).count();
        findings.truncate(limits::CONFIG_ERRORS);
        findings.push(match errors {
            0 => Diagnostic::warning(format!("{more} more warnings are not shown")),
            _ => Diagnostic::error(format!("{errors} more errors are not shown")),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use anygate_core::config::{Env, load_text};

    use super::*;
    use crate::filter::Filter;

    fn compiled(yaml: &str) -> Compiled {
        let loaded = load_text("test.yml", yaml, &Env::new(), &[]);
        let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        compile(&config, &CompileEnv { shards: 2, descriptors: 100, serial: 7 })
    }

    fn messages(compiled: &Compiled) -> Vec<&str> {
        compiled.diagnostics.iter().map(|finding| finding.message.as_str()).collect()
    }

    #[test]
    fn headers_are_part_of_a_fixed_image_and_a_filter_of_everything_else() {
        let compiled =
            compiled("routes:\n  /a: {to: OK hi, headers: {X-A: 1}}\n  /b: {to: '*', headers: {X-A: 1}}\n  /c: *\n");
        let plan = compiled.plan.expect("nothing is wrong");
        assert_eq!((plan.serial, plan.client.max_connections), (7, 50));
        let Action::Fixed(fixed) = &plan.routes[0].action else { panic!("a fixed answer") };
        let image = fixed.image().bytes(false, anygate_proto::h1::write::Persistence::Implied);
        assert!(image.windows(6).any(|part| part == b"X-A: 1"));
        assert!(plan.routes[0].filters.is_empty());
        assert!(matches!(plan.routes[1].filters.as_slice(), [Filter::Headers(_)]));
        assert!(plan.routes[2].filters.is_empty());
    }

    #[test]
    fn errors_of_rules_actions_and_all_rules_together_come_in_one_run() {
        let compiled = compiled("routes:\n  - /a: OOK\n  - /b: ./no-such-folder/\n  - /c/:x: OK\n  - /c/:y: OK\n");
        let messages = messages(&compiled);
        assert_eq!(messages.len(), 3, "{messages:?}");
        assert!(messages[0].contains("OOK") && messages[1].contains("/c/:y") && messages[2].contains("no-such-folder"));
        assert!(compiled.plan.is_none() && compiled.table().is_none());
    }

    #[test]
    fn a_configuration_without_rules_is_served_with_a_warning() {
        let compiled = compiled("server: {io: epoll}\n");
        assert!(compiled.plan.is_some() && !compiled.diagnostics[0].is_error());
        assert_eq!(messages(&compiled), ["there are no rules: every request gets 404"]);
    }

    #[test]
    fn a_whole_site_without_a_front_page_is_a_warning_and_a_part_of_one_is_not() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
        let compiled = compiled(&format!("routes:\n  /: {folder}\n  /part/: {folder}\n"));
        assert!(compiled.plan.is_some());
        assert_eq!(messages(&compiled), [format!("the folder `{folder}` has no front page")]);
    }

    #[test]
    fn rules_that_are_right_by_themselves_have_a_table_to_look_at() {
        let compiled = compiled("routes:\n  /a: OK\n  /b: ./no-such-folder/\n");
        assert!(compiled.plan.is_none());
        assert_eq!(compiled.table().map(|table| table.rules().len()), Some(2));
    }

    #[test]
    fn an_expectation_that_fails_refuses_the_plan() {
        let good = "routes:\n  /a: OK\nexpect: ['GET /a -> 200']\n";
        assert!(compiled(good).plan.is_some());
        let bad = compiled(&good.replace("200", "201"));
        assert!(bad.plan.is_none() && bad.diagnostics[0].is_error());
    }

    #[test]
    fn connect_is_for_no_server_behind() {
        let compiled = compiled("routes:\n  GET CONNECT /a: http://127.0.0.1:9\n  CONNECT /b: FORBIDDEN\n");
        assert_eq!(messages(&compiled), ["a `CONNECT` request cannot be sent to a server behind"]);
    }

    #[test]
    fn a_huge_fixed_body_belongs_into_a_file() {
        let compiled = compiled(&format!("routes:\n  /a: OK {}\n", "x".repeat(limits::FIXED_BODY + 1)));
        assert_eq!(messages(&compiled), [format!("a fixed body of {} bytes", limits::FIXED_BODY + 1)]);
    }

    #[test]
    fn more_errors_than_a_person_reads_are_counted() {
        let rules: String = (0..limits::CONFIG_ERRORS + 7).map(|n| format!("  /{n}: OOK\n")).collect();
        let compiled = compiled(&format!("routes:\n{rules}"));
        assert_eq!(compiled.diagnostics.len(), limits::CONFIG_ERRORS + 1);
        assert_eq!(messages(&compiled).last(), Some(&"7 more errors are not shown"));
    }
}
