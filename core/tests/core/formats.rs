//! One model in three formats.

use anygate_core::Located;
use anygate_core::config::{Config, Format};

use crate::common::{shown, text};

const YAML: &str = r#"
server:
  listen: [":8080", "unix:run/x.sock", {addr: "[::1]:81"}]
  cores: 0,2,4-6
  header_timeout: 250ms
  max_body_size: 0
  trust: [10.0.0.0/8, ::ffff:192.168.1.1]
  max_headers: 50
echo: {body: 1KiB}
upstreams:
  users:
    servers: ["10.0.0.1:8001", {addr: "unix:/run/app.sock"}]
    keep_alive: 8
proxy: {timeout: 1m, forwarded: true, host: target}
static: {spa: off, index: [a.html, b.html]}
groups:
  - name: v1
    host: api.example.com
    max_body_size: 1MiB
    proxy: {timeout: 5s}
    routes:
      /v1/: http://users/
      * /v2/: {to: http://users, proxy: {retries: 0}}
routes:
  /z: *
  /a: OK {"a": 1}
  /m: {to: 204, headers: {X-B: "1", X-A: 2}}
  /n: {to: ./n/, static: {hidden: allow}}
  /o: {to: http://o, timeout: 0}
expect: ["GET /z -> *"]
log: {format: text, level: warn}
"#;

const TOML: &str = r#"
expect = ['GET /z -> *']
echo.body = "1KiB"

[server]
listen = [":8080", "unix:run/x.sock", {addr = "[::1]:81"}]
cores = "0,2,4-6"
header_timeout = "250ms"
max_body_size = 0
trust = ["10.0.0.0/8", "::ffff:192.168.1.1"]
max_headers = 50

[upstreams.users]
servers = ["10.0.0.1:8001", {addr = "unix:/run/app.sock"}]
keep_alive = 8

[proxy]
timeout = "1m"
forwarded = true
host = "target"

[static]
spa = "off"
index = ["a.html", "b.html"]

[[groups]]
name = "v1"
host = "api.example.com"
max_body_size = "1MiB"
proxy = {timeout = "5s"}
[groups.routes]
"/v1/" = "http://users/"
"* /v2/" = {to = "http://users", proxy = {retries = 0}}

[routes]
"/z" = "*"
"/a" = '''OK {"a": 1}'''
[routes."/m"]
to = 204
headers = {X-B = "1", X-A = 2}
[routes."/n"]
to = "./n/"
static = {hidden = "allow"}
[routes."/o"]
to = "http://o"
timeout = 0

[log]
format = "text"
level = "warn"
"#;

const JSON: &str = r#"{
  "server": {
    "listen": [":8080", "unix:run\/x.sock", {"addr": "[::1]:81"}],
    "cores": "0,2,4-6", "header_timeout": "250ms", "max_body_size": 0,
    "trust": ["10.0.0.0/8", "::ffff:192.168.1.1"], "max_headers": 50
  },
  "echo": {"body": "1KiB"},
  "upstreams": {"users": {"servers": ["10.0.0.1:8001", {"addr": "unix:/run/app.sock"}], "keep_alive": 8}},
  "proxy": {"timeout": "1m", "forwarded": true, "host": "target"},
  "static": {"spa": "off", "index": ["a.html", "b.html"]},
  "groups": [{
    "name": "v1", "host": "api.example.com", "max_body_size": "1MiB", "proxy": {"timeout": "5s"},
    "routes": {"/v1/": "http://users/", "* /v2/": {"to": "http://users", "proxy": {"retries": 0}}}
  }],
  "routes": {
    "/z": "*", "/a": "OK {\"a\": 1}",
    "/m": {"to": 204, "headers": {"X-B": "1", "X-A": 2}},
    "/n": {"to": "./n/", "static": {"hidden": "allow"}}, "/o": {"to": "http://o", "timeout": 0}
  },
  "expect": ["GET \u002fz -> *"],
	"log": {"format": "text", "level": "warn"}
}"#;

/// A configuration without its places, as text that can be compared.
fn placeless(mut config: Config) -> String {
    let source = anygate_core::Sources::new().add("", "");
    let nowhere = anygate_core::Span::new(source, 0..0);
    let strip = |located: &mut Located| (located.span, located.verbatim) = (nowhere, false);
    config.server.listen.iter_mut().for_each(|listen| listen.span = None);
    config.expect.iter_mut().for_each(strip);
    for upstream in &mut config.upstreams {
        strip(&mut upstream.name);
        upstream.servers.iter_mut().for_each(|server| server.span = nowhere);
    }
    for group in &mut config.groups {
        group.name.iter_mut().chain(&mut group.host).for_each(strip);
    }
    for route in &mut config.routes {
        strip(&mut route.head);
        strip(&mut route.action);
        route.settings.headers.iter_mut().flat_map(|(name, value)| [name, value]).for_each(strip);
    }
    format!("{config:#?}")
}

fn load(source: &str, format: Format) -> Config {
    let loaded = text(source, format);
    assert!(loaded.diagnostics.is_empty(), "{format:?}:\n{}", shown(&loaded));
    loaded.config.expect("no error, so a configuration")
}

#[test]
fn yaml_toml_and_json_give_the_same_configuration_in_the_same_order() {
    let yaml = placeless(load(YAML, Format::Yaml));
    assert_eq!(yaml, placeless(load(JSON, Format::Json)));
    // A TOML table ends where the next begins, so `[routes]` stands behind `[[groups]]` there too.
    assert_eq!(yaml, placeless(load(TOML, Format::Toml)));
    for word in ["users", "v1", "\"/z\"", "0,2,4-6"] {
        assert!(yaml.contains(word) || word.contains(','), "{word} in {yaml}");
    }
}

#[test]
fn places_are_true_in_every_format() {
    for (source, format) in [(YAML, Format::Yaml), (TOML, Format::Toml), (JSON, Format::Json)] {
        let config = load(source, format);
        let texts = config.routes.iter().flat_map(|route| [&route.head, &route.action]).chain(&config.expect);
        let mut verbatim = 0;
        for located in texts {
            let written = &source[located.span.start as usize..located.span.end as usize];
            assert!(!written.starts_with(['"', '\'']) || format == Format::Toml, "{format:?}: {written}");
            if located.verbatim {
                verbatim += 1;
                assert_eq!(written, located.text, "{format:?}");
            }
        }
        assert!(verbatim >= 8, "{format:?}: {verbatim}");
    }
}

#[test]
fn every_format_points_at_the_wrong_value() {
    for (source, format) in [
        ("server:\n  header_timeout: x\n", Format::Yaml),
        ("[server]\nheader_timeout = \"x\"\n", Format::Toml),
        ("{\"server\":\n {\"header_timeout\": \"x\"}}\n", Format::Json),
    ] {
        let loaded = text(source, format);
        let (span, _) = loaded.diagnostics[0].primary.clone().expect("a place");
        assert_eq!(span.start as usize, source.find('x').expect("it is there"), "{format:?}");
        assert_eq!(loaded.sources.line_column(span).0, 2);
    }
}
