//! What may a configuration file hold? Its JSON Schema, made from the model's types.
//!
//! Sections derive their schema on the model itself, with its documentation; what the model keeps in another shape than
//! the file does (rules, groups, upstreams) has its shape in [`file`]. Keys of later versions are in neither.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

mod file;
mod text;

pub(super) use file::{CertificateForm, Listener};
pub(super) use text::{Cores, OffOr, OneOrMany, Prefix, Rate, Size, Time, TimeOrOff};

/// The JSON Schema (draft 2020-12) of a configuration file, whether YAML, TOML or JSON.
///
/// YAML's unquoted forms inside `routes` are texts by the time a schema sees them. `${VAR}` may stand for any value.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12();
    let mut schema = settings.into_generator().into_root_schema_for::<file::File>().to_value();
    if let Some(defs) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        for (_, def) in defs.iter_mut() {
            if def.get("properties").is_none() {
                admit_variable(def);
            }
        }
        let variable = json!({"type": "string", "pattern": r"\$\{", "description": "Filled in from the environment."});
        defs.insert("Variable".to_owned(), variable);
    }
    admit_variables(&mut schema);
    schema
}

/// Adds `log.access`, which the model has no field for yet.
pub(super) fn access(schema: &mut schemars::Schema) {
    only(schema, "access", "off", "The access log. Only `off` in this version.");
}

/// Adds `static.compress`, which the model has no field for yet.
pub(super) fn compress(schema: &mut schemars::Schema) {
    only(schema, "compress", "off", "Compression. Only `off` in this version.");
}

/// Adds a key that has one value in this version.
fn only(schema: &mut schemars::Schema, key: &str, value: &str, description: &str) {
    let property = json!({"description": description, "const": value, "default": value});
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert(key.to_owned(), property);
    }
}

/// Lets a variable stand for every boolean and number below.
fn admit_variables(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get_mut("properties") {
                properties.iter_mut().for_each(|(_, property)| admit_variable(property));
            }
            object.iter_mut().for_each(|(_, value)| admit_variables(value));
        }
        Value::Array(list) => list.iter_mut().for_each(admit_variables),
        _ => {}
    }
}

/// Lets a variable stand for a boolean, a number, or one of some words or forms.
fn admit_variable(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let narrow = ["oneOf", "enum", "const", "pattern"].iter().any(|key| object.contains_key(*key))
        || matches!(object.get("type").and_then(Value::as_str), Some("boolean" | "integer"))
        || object.get("type").is_some_and(Value::is_array);
    if !narrow {
        return;
    }
    let mut inner = std::mem::take(object);
    for key in ["description", "default"] {
        if let Some(value) = inner.remove(key) {
            object.insert(key.to_owned(), value);
        }
    }
    object.insert("anyOf".to_owned(), json!([inner, {"$ref": "#/$defs/Variable"}]));
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use serde_json::{Map, Value};

    use super::schema;
    use crate::config::report::Report;
    use crate::config::{Config, Env, Format, json, load_text, read};
    use crate::diagnostic::Sources;

    /// Sections by the name the loader has for them, and where the schema keeps them.
    const SECTIONS: [(&str, &[&str]); 17] = [
        ("the configuration", &[]),
        ("server", &["Server"]),
        ("h2", &["Http2"]),
        ("tls", &["Tls"]),
        ("a certificate", &["Certificate"]),
        ("ocsp", &["Ocsp"]),
        ("hsts", &["Hsts"]),
        ("a redirect", &["Redirect"]),
        ("echo", &["Echo"]),
        ("proxy", &["Proxy"]),
        ("static", &["Static"]),
        ("log", &["Log"]),
        ("a listener", &["ListenerSettings"]),
        ("an upstream", &["Upstream"]),
        ("a server", &["UpstreamServer"]),
        ("a group", &["Group"]),
        ("a rule", &["Rule", "ListedRule"]),
    ];

    /// Visits every section once.
    const EVERYTHING: &str = r#"{
        "server": {"listen": [{"addr": ":80", "redirect": {}}, {"addr": ":443", "tls": true}], "h2": {}},
        "tls": {"certificates": {"cert": "a", "key": "b"}, "ocsp": {}, "hsts": {}},
        "echo": {}, "proxy": {}, "static": {}, "log": {},
        "upstreams": {"a": {"servers": [{"addr": "b:1"}], "proxy": {}}},
        "groups": [{"routes": [{"match": "/x", "to": "OK"}]}],
        "routes": {"/": {"to": "OK", "proxy": {}, "static": {}}}
    }"#;

    /// Keys the loader takes, by section; those of later versions on the second place.
    fn loader_keys() -> BTreeMap<&'static str, (BTreeSet<&'static str>, BTreeSet<&'static str>)> {
        let mut report = Report::default();
        let source = Sources::new().add("everything", EVERYTHING);
        let root = json::parse(source, EVERYTHING, &mut report).expect("valid JSON");
        read::main_file(&root, Path::new(""), &mut Config::default(), &mut report);
        assert!(!report.has_errors());
        let split = |keys: &BTreeMap<&'static str, bool>| {
            let (later, now): (Vec<_>, Vec<_>) = keys.iter().partition(|(_, later)| **later);
            (now.iter().map(|(key, _)| **key).collect(), later.iter().map(|(key, _)| **key).collect())
        };
        report.sections.iter().map(|(section, keys)| (*section, split(keys))).collect()
    }

    fn properties<'s>(schema: &'s Value, def: Option<&str>) -> &'s Map<String, Value> {
        let part = def.map_or(schema, |def| &schema["$defs"][def]);
        part["properties"].as_object().unwrap_or_else(|| panic!("{def:?} has no properties in {part:#}"))
    }

    #[test]
    fn the_schema_and_the_loader_know_the_same_keys_in_every_section() {
        let schema = schema();
        let loader = loader_keys();
        assert_eq!(loader.keys().collect::<BTreeSet<_>>(), SECTIONS.iter().map(|(name, _)| name).collect());
        for (section, defs) in SECTIONS {
            let parts: Vec<_> = match defs {
                [] => vec![properties(&schema, None)],
                _ => defs.iter().map(|def| properties(&schema, Some(def))).collect(),
            };
            let keys: BTreeSet<&str> = parts.iter().flat_map(|part| part.keys().map(String::as_str)).collect();
            assert_eq!(keys, loader[section].0, "{section}");
        }
    }

    #[test]
    fn every_key_that_a_message_proposes_is_one() {
        let loader = loader_keys();
        for (section, key) in read::named() {
            assert!(loader[section].0.contains(key) || loader[section].1.contains(key), "{section}: {key}");
        }
    }

    #[test]
    fn no_section_allows_a_key_it_does_not_name() {
        let schema = schema();
        for def in SECTIONS.iter().flat_map(|(_, defs)| *defs) {
            assert_eq!(schema["$defs"][def]["additionalProperties"], Value::Bool(false), "{def}");
        }
        assert_eq!(schema["additionalProperties"], Value::Bool(false));
    }

    #[test]
    fn every_default_the_schema_names_is_the_models() {
        let schema = schema();
        let mut file = Map::new();
        for (key, def) in [
            ("server", "Server"),
            ("tls", "Tls"),
            ("echo", "Echo"),
            ("proxy", "Proxy"),
            ("static", "Static"),
            ("log", "Log"),
        ] {
            let keys = properties(&schema, Some(def));
            let defaults = keys.iter().map(|(key, property)| {
                let default = property.get("default").unwrap_or_else(|| panic!("{def}.{key} has no default"));
                (key.clone(), default.clone())
            });
            file.insert(key.to_owned(), Value::Object(defaults.collect()));
        }
        let text = Value::Object(file).to_string();
        let disk = crate::config::Disk;
        let loaded = crate::config::Loader { env: &Env::new(), rules: &[], files: &disk, self_signed: false }.text(
            "defaults",
            &text,
            Format::Json,
            Path::new(""),
        );
        let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        let (model, none) = (Config::default(), load_text("nothing", "", &Env::new(), &[]));
        assert_eq!(config.server, model.server);
        assert_eq!(config.tls, model.tls);
        assert_eq!(config.echo, model.echo);
        assert_eq!(config.proxy, model.proxy);
        assert_eq!(config.statics, model.statics);
        assert_eq!(config.log, model.log);
        assert_eq!(none.config.expect("an empty file is valid").server, model.server);
    }

    #[test]
    fn every_property_has_a_description() {
        let schema = schema();
        for (section, defs) in SECTIONS {
            for part in if defs.is_empty() { vec![None] } else { defs.iter().map(Some).collect() } {
                for (key, property) in properties(&schema, part.copied()) {
                    assert!(property.get("description").is_some(), "{section}: {key}: {property}");
                }
            }
        }
    }

    #[test]
    fn the_keys_the_environment_may_set_are_those_of_the_file() {
        let (now, later) = &loader_keys()["the configuration"];
        let keys: BTreeSet<&str> = now.union(later).copied().collect();
        assert_eq!(keys, BTreeSet::from(read::ROOT_KEYS));
    }
}
