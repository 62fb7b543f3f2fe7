//! Which rules does a configuration hold, and which table do they make?

use anygate_core::Diagnostic;
use anygate_core::config::Config;
use anygate_route::{Context, Rule, Table, parse_rule};

/// What parsing came to.
#[derive(Debug)]
pub struct Parsed {
    /// Every rule that could be read, with its index in [`Config::routes`].
    pub rules: Vec<(usize, Rule)>,
    /// The table of all rules; its numbers are indices of [`Config::routes`]. `None` when there is an error.
    pub table: Option<Table>,
}

/// Parses all rules and builds their table; what is wrong with any of them, or with all together, goes to `findings`.
pub fn parse(config: &Config, findings: &mut Vec<Diagnostic>) -> Parsed {
    let context = Context {
        upstreams: config.upstreams.iter().map(|upstream| upstream.name.text.to_ascii_lowercase()).collect(),
        merge_slashes: config.server.merge_slashes,
    };
    let mut rules = Vec::with_capacity(config.routes.len());
    for (number, entry) in config.routes.iter().enumerate() {
        let host = config.group_of(entry).and_then(|group| group.host.as_ref());
        match parse_rule(&entry.head, &entry.action, host, &context) {
            Ok(rule) => rules.push((number, rule)),
            Err(errors) => findings.extend(errors),
        }
    }
    let (table, more) = Table::build(rules.iter().map(|(_, rule)| rule.clone()).collect(), &context);
    findings.extend(more);
    let table = table.filter(|_| rules.len() == config.routes.len());
    Parsed { rules, table }
}
