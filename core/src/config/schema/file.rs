//! Which shape has a file where the model keeps another? Nothing here is ever made; only its schema is.
#![expect(dead_code, clippy::large_enum_variant, reason = "only the shape counts")]

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::text::Size;
use crate::config::model::{CertificatePair, ClientAuth, Echo, Log, Proxy, Server, Static, Tls, TlsProfile};

/// A configuration of AnyGate. Only `routes`, here or in a group, is needed.
#[derive(JsonSchema, Default)]
#[schemars(title = "AnyGate configuration", deny_unknown_fields, default)]
pub(super) struct File {
    /// More files with `groups`, `routes` and `upstreams`: paths or patterns such as `conf.d/*.yml`.
    include: Vec<String>,
    /// Listeners, cores, limits and timeouts of the connections from clients.
    server: Server,
    /// Certificates, versions and handshakes of the listeners with `tls: true`.
    tls: Tls,
    /// What the echo action returns.
    echo: Echo,
    /// Named pools of servers, for routes to go to as `http://NAME`.
    upstreams: BTreeMap<String, Upstream>,
    /// Defaults of every proxy route; groups, upstreams and rules may have their own.
    proxy: Proxy,
    /// Defaults of every static route; groups and rules may have their own.
    #[schemars(rename = "static")]
    statics: Static,
    /// Rules that share a host or settings.
    groups: Vec<Group>,
    /// The rules: who may come in, and what happens.
    routes: Routes,
    /// Tests beside the rules, such as `GET /x -> 405`.
    expect: Vec<String>,
    /// The server's own log.
    log: Log,
}

/// Where to listen.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Listener {
    /// The address alone.
    Address(String),
    /// An address with settings.
    Settings(ListenerSettings),
}

/// An address with settings.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct ListenerSettings {
    /// `:8080`, `127.0.0.1:80`, `[::1]:80`, `unix:/run/anygate.sock`.
    addr: String,
    /// Whether it speaks TLS, with the certificates of `tls`.
    #[schemars(default)]
    tls: bool,
    /// Versions and cipher suites of this listener; with `tls: true`.
    #[schemars(default)]
    profile: Option<TlsProfile>,
    /// Whether this listener's clients are asked for a certificate; with `tls: true`.
    #[schemars(default)]
    client_auth: Option<ClientAuth>,
    /// The authorities whose client certificates count on this listener; with `tls: true`.
    #[schemars(default)]
    client_ca: Option<String>,
    /// Sends every request to https; never with `tls: true`.
    #[schemars(default)]
    redirect: Option<RedirectForm>,
    /// Whether HTTP/2 is spoken: over TLS where the client agrees (ALPN), in the clear where it begins so.
    #[schemars(default, extend("default" = true))]
    h2: bool,
}

/// Where a plain listener sends its requests.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum RedirectForm {
    /// To the same host's port 443, by 308.
    Https(Https),
    /// With a port and a status.
    Settings(Redirect),
}

/// A redirect with settings.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Redirect {
    /// Always `https`.
    #[schemars(default)]
    to: Https,
    /// The port clients reach TLS at.
    #[schemars(default, extend("default" = 443, "minimum" = 1))]
    port: u16,
    /// 308 and 307 keep the method; 301 and 308 are remembered by browsers.
    #[schemars(default, extend("default" = 308, "enum" = [301, 302, 307, 308]))]
    status: u16,
}

/// The one scheme there is to be sent to.
#[derive(JsonSchema, Default)]
#[schemars(rename_all = "lowercase")]
enum Https {
    /// https.
    #[default]
    Https,
}

/// A certificate with its key, or a folder of them.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(crate) enum CertificateForm {
    /// The path of a folder.
    Folder(String),
    /// A certificate with its key.
    Pair(CertificatePair),
}

/// Whether a rule needs a client certificate that verified.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Demand {
    /// It does not, whatever its group says.
    None,
    /// It does.
    Required,
}

/// A named pool of servers.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Upstream {
    /// Its servers, at least one.
    #[schemars(length(min = 1))]
    servers: Vec<UpstreamServerForm>,
    /// How a request's server is chosen.
    #[schemars(default, extend("default" = "round_robin", "const" = "round_robin"))]
    balance: String,
    /// What is spoken to the servers.
    #[schemars(default, extend("default" = "h1", "const" = "h1"))]
    protocol: String,
    /// Most idle connections, divided among the shards.
    #[schemars(default, extend("default" = 256))]
    keep_alive: usize,
    /// Proxy settings of every route that goes there.
    #[schemars(default)]
    proxy: Proxy,
}

/// One server of a pool.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum UpstreamServerForm {
    /// `10.0.0.1:8001`, `name:8001`, `[::1]:8001`, `unix:/run/app.sock`.
    Address(String),
    /// An address with settings.
    Settings(UpstreamServer),
}

/// A server with settings.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct UpstreamServer {
    /// `10.0.0.1:8001`, `name:8001`, `[::1]:8001`, `unix:/run/app.sock`.
    addr: String,
}

/// Rules that share a host or settings.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Group {
    /// Its name in messages.
    #[schemars(default)]
    name: String,
    /// Host of every rule of the group.
    #[schemars(default)]
    host: String,
    /// Longest request body; 0 for no limit.
    #[schemars(default)]
    max_body_size: Size,
    /// Proxy settings of the group's rules.
    #[schemars(default)]
    proxy: Proxy,
    /// Static settings of the group's rules.
    #[schemars(default, rename = "static")]
    statics: Static,
    /// Whether a client certificate is needed that verified; checked after the match.
    #[schemars(default)]
    client_auth: Option<Demand>,
    /// The group's rules.
    routes: Routes,
}

/// Rules, as a mapping from heads to actions or as a list; their order is the file's.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Routes {
    /// `"GET /x": "OK"`.
    Mapping(BTreeMap<String, Action>),
    /// `- "GET /x": "OK"` or `- {match: "GET /x", to: "OK"}`.
    List(Vec<Item>),
}

/// One rule of a list.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Item {
    /// A rule with its keys.
    Listed(ListedRule),
    /// A head and its action.
    Pair(#[schemars(extend("minProperties" = 1, "maxProperties" = 1))] BTreeMap<String, Action>),
}

/// What happens: `http://up`, `./dist/`, `OK hello`, `*`; or a mapping with settings.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Action {
    /// An action.
    Text(String),
    /// A status alone.
    Status(u16),
    /// An action with the rule's own settings.
    Settings(Rule),
}

/// An action with the rule's own settings.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Rule {
    /// What happens.
    to: ActionText,
    /// Longest whole exchange; the same as `proxy.timeout`.
    #[schemars(default)]
    timeout: super::text::TimeOrOff,
    /// Fields added to the answer.
    #[schemars(default)]
    headers: BTreeMap<String, String>,
    /// Longest request body; 0 for no limit.
    #[schemars(default)]
    max_body_size: Size,
    /// Whether a client certificate is needed that verified; checked after the match.
    #[schemars(default)]
    client_auth: Option<Demand>,
    /// The rule's proxy settings.
    #[schemars(default)]
    proxy: Proxy,
    /// The rule's static settings.
    #[schemars(default, rename = "static")]
    statics: Static,
}

/// A rule of a list, with all its keys.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ListedRule {
    /// Who may come in: `GET /x`.
    #[schemars(rename = "match")]
    head: String,
    /// What happens.
    to: ActionText,
    /// Longest whole exchange; the same as `proxy.timeout`.
    #[schemars(default)]
    timeout: super::text::TimeOrOff,
    /// Fields added to the answer.
    #[schemars(default)]
    headers: BTreeMap<String, String>,
    /// Longest request body; 0 for no limit.
    #[schemars(default)]
    max_body_size: Size,
    /// Whether a client certificate is needed that verified; checked after the match.
    #[schemars(default)]
    client_auth: Option<Demand>,
    /// The rule's proxy settings.
    #[schemars(default)]
    proxy: Proxy,
    /// The rule's static settings.
    #[schemars(default, rename = "static")]
    statics: Static,
}

/// An action as text, or a status alone.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum ActionText {
    /// `http://up`, `./dist/`, `OK hello`, `*`.
    Text(String),
    /// A status alone.
    Status(u16),
}

impl Default for Routes {
    fn default() -> Self {
        Self::Mapping(BTreeMap::new())
    }
}
