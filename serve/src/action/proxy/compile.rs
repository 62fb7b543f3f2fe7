//! What does a proxy rule become at load: which servers, under which names, with which host?

use std::cell::Cell;

use anygate_core::config::{self, UpstreamAddr};
use anygate_core::{Diagnostic, Located};
use anygate_route::{Authority, Scheme, Target};

use super::Proxy;
use crate::upstream::Endpoint;

impl Proxy {
    /// Compiles a rule's targets. `action` is where they are written, `settings` what holds for this rule, `upstreams` the
    /// pools it may name.
    ///
    /// # Errors
    /// A target that cannot be spoken to in this version, or a pool that is not declared.
    pub fn compile(
        targets: &[Target],
        action: &Located,
        settings: &config::Proxy,
        upstreams: &[config::Upstream],
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut errors = Vec::new();
        let mut endpoints = Vec::new();
        let mut hosts = Vec::new();
        for target in targets {
            match endpoints_of(target, action, upstreams) {
                Ok(found) => {
                    hosts.extend(found.iter().map(|_| Box::<str>::from(host_of(target))));
                    endpoints.extend(found);
                }
                Err(error) => errors.push(*error),
            }
        }
        let Some(first) = targets.first().filter(|_| errors.is_empty() && !endpoints.is_empty()) else {
            return Err(errors);
        };
        let path = first.path.clone();
        Ok(Self { endpoints, hosts, path, settings: settings.clone(), turn: Cell::new(0) })
    }
}

fn endpoints_of(
    target: &Target,
    action: &Located,
    upstreams: &[config::Upstream],
) -> Result<Vec<Endpoint>, Box<Diagnostic>> {
    let refuse = |message: String, help: String| {
        let start = action.text.find(&target.text).unwrap_or(0);
        let end = (start + target.text.len()).min(action.text.len());
        Box::new(Diagnostic::error(message).at(action.sub(start..end), "this target").help(help))
    };
    let protocol = match target.scheme {
        Scheme::Http | Scheme::HttpUnix => None,
        Scheme::Https => Some("TLS to an upstream"),
        Scheme::H2c => Some("HTTP/2 to an upstream"),
    };
    if let Some(protocol) = protocol {
        let message = format!("{protocol} is not available in this version");
        return Err(refuse(message, "write `http://`, or `http+unix://` for a socket".into()));
    }
    let default = config::Upstream::KEEP_ALIVE;
    Ok(match &target.authority {
        Authority::Host { host, port } => {
            vec![Endpoint::h1(&UpstreamAddr::Tcp { host: host.clone(), port: Some(*port) }, *port, default)]
        }
        Authority::Unix(path) => vec![Endpoint::h1(&UpstreamAddr::Unix(path.into()), 0, default)],
        Authority::Upstream(name) => {
            let declared = upstreams.iter().find(|upstream| upstream.name.text.eq_ignore_ascii_case(name));
            let Some(upstream) = declared.filter(|upstream| !upstream.servers.is_empty()) else {
                let help = format!("declare `{name}` under `upstreams`, or write a port");
                return Err(refuse(format!("there is no upstream `{name}`"), help));
            };
            let port = target.scheme.default_port().unwrap_or(80);
            upstream.servers.iter().map(|server| Endpoint::h1(&server.addr, port, upstream.keep_alive)).collect()
        }
    })
}

/// The target's host and, where one is written, its port.
fn host_of(target: &Target) -> &str {
    match target.authority {
        Authority::Unix(_) => "localhost",
        _ => target.origin().split_once("://").map_or("", |(_, host)| host),
    }
}

#[cfg(test)]
mod tests {
    use anygate_core::{SourceId, Sources, Span};
    use anygate_route::{Action, Context, parse_rule};

    use super::*;

    fn located(sources: &mut Sources, text: &str) -> Located {
        let id: SourceId = sources.add("test", text);
        Located { text: text.into(), span: Span::new(id, 0..text.len()), verbatim: true }
    }

    fn compiled(action: &str) -> Result<Proxy, Vec<Diagnostic>> {
        let mut sources = Sources::new();
        let (head, action) = (located(&mut sources, "/x/"), located(&mut sources, action));
        let name = located(&mut sources, "users");
        let server = |text: &str| config::UpstreamServer {
            addr: UpstreamAddr::Tcp { host: text.into(), port: None },
            span: name.span,
        };
        let pool = config::Upstream {
            name: name.clone(),
            servers: vec![server("10.0.0.1"), server("ten.internal")],
            balance: config::Balance::RoundRobin,
            keep_alive: 7,
            proxy: config::ProxyOverrides::default(),
        };
        let context = Context { upstreams: ["users".to_owned()].into(), ..Context::default() };
        let rule = parse_rule(&head, &action, None, &context).expect("a good rule");
        let Action::Proxy(targets) = rule.action else { panic!("a proxy rule") };
        Proxy::compile(&targets, &action, &config::Proxy::default(), &[pool])
    }

    #[test]
    fn a_pool_becomes_its_servers() {
        let proxy = compiled("http://users/").unwrap();
        let keys: Vec<String> = proxy.endpoints.iter().map(|endpoint| endpoint.key.to_string()).collect();
        assert_eq!(keys, ["http://10.0.0.1:80", "http://ten.internal:80"]);
        assert!(proxy.endpoints.iter().all(|endpoint| endpoint.keep_alive == 7));
        assert_eq!(proxy.hosts, ["users".into(), "users".into()]);
    }

    #[test]
    fn the_own_host_has_a_port_where_the_url_has_one() {
        let proxy = compiled("http://a.example:8080/ http://b.example/ http+unix:///run/a.sock:/").unwrap();
        assert_eq!(proxy.hosts, ["a.example:8080".into(), "b.example".into(), "localhost".into()]);
    }

    #[test]
    fn what_cannot_be_spoken_yet_is_refused_at_its_place() {
        let errors = compiled("http://a.example/ https://b.example/ h2c://c.example/").unwrap_err();
        let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
        let expected = ["TLS", "HTTP/2"].map(|what| format!("{what} to an upstream is not available in this version"));
        assert_eq!(messages, expected);
        assert_eq!(errors[0].primary.as_ref().map(|(span, _)| span.start), Some(18));
    }
}
