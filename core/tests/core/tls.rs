//! Certificates, TLS listeners, and rules that need a client's certificate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anygate_core::config::{
    Certificate, ClientAuth, Env, Format, Hsts, HttpsRedirect, ListenAddr, Loader, LocatedName, LocatedPath, Tls,
    TlsProfile,
};
use anygate_core::diagnostic::Diagnostic;
use expect_test::expect;

use crate::common::{good, memory, shown, text, yaml};

/// A listener and a certificate for it.
const SERVED: &str = "server: {listen: [\":80\", {addr: \":443\", tls: true}]}\n";

/// What is said of a section with a certificate and these keys.
fn said(keys: &str) -> String {
    shown(&yaml(&format!("{SERVED}tls: {{certificates: {{cert: a.pem, key: a.key}}, {keys}}}\n")))
}

fn said_first(text: &str) -> String {
    yaml(text).diagnostics.first().map(|finding: &Diagnostic| finding.message.clone()).unwrap_or_default()
}

#[test]
fn a_listener_and_a_certificate_are_all_it_takes() {
    let config =
        good(&format!("{SERVED}tls: {{certificates: {{cert: a.pem, key: /keys/a.key}}}}\nroutes: {{/: OK}}\n"));
    let [Certificate::Pair(pair)] = config.tls.certificates.as_slice() else { panic!("{:?}", config.tls) };
    assert_eq!((&pair.cert, &pair.key), (&LocatedPath::new("/etc/gate/a.pem"), &LocatedPath::new("/keys/a.key")));
    assert!(pair.ocsp.is_none() && pair.names.is_empty() && pair.cert.span.is_some());
    let [plain, tls] = config.server.listen.as_slice() else { panic!("{:?}", config.server.listen) };
    assert_eq!((&plain.addr, &tls.addr), (&ListenAddr::Any(80), &ListenAddr::Any(443)));
    assert!(config.tls_for(plain).is_none());
    let tls = config.tls_for(tls).expect("it speaks TLS");
    assert_eq!((tls.profile, tls.client_auth, tls.client_ca), (TlsProfile::Intermediate, ClientAuth::None, None));
    let left = Tls { certificates: config.tls.certificates.clone(), ..Tls::default() };
    assert_eq!(config.tls, left);
}

#[test]
fn certificates_are_pairs_and_folders_in_the_order_of_the_file() {
    let config = good(&format!(
        "{SERVED}tls:
  certificates:
    - {{cert: b/fullchain.pem, key: b/privkey.pem, ocsp: b.der, names: [B.example, '*.b.example']}}
    - /etc/letsencrypt/live
    - certs/
"
    ));
    let places: Vec<_> = config.tls.certificates.iter().map(|one| one.place().path.clone()).collect();
    assert_eq!(places, ["/etc/gate/b/fullchain.pem", "/etc/letsencrypt/live", "/etc/gate/certs/"].map(PathBuf::from));
    let Certificate::Pair(pair) = &config.tls.certificates[0] else { panic!("the first is a pair") };
    assert_eq!(pair.ocsp, Some(LocatedPath::new("/etc/gate/b.der")));
    assert_eq!(pair.names.iter().map(LocatedName::as_str).collect::<Vec<_>>(), ["b.example", "*.b.example"]);
    assert!(matches!(&config.tls.certificates[1], Certificate::Folder(_)));
    let one = good(&format!("{SERVED}tls: {{certificates: /etc/certs}}"));
    assert_eq!(one.tls.certificates, [Certificate::Folder(LocatedPath::new("/etc/certs"))]);
}

#[test]
fn every_setting_of_the_section_is_read() {
    let text = format!(
        "{SERVED}tls:
  certificates: certs
  profile: fips-like
  client_auth: optional
  client_ca: ca.pem
  session_tickets: false
  ticket_lifetime: 1h
  session_cache: 0
  early_data: false
  handshake_timeout: 3s
  max_handshakes_per_ip: 20
  ocsp: {{stapling: false}}
  hsts: {{max_age: 2y, include_subdomains: true, preload: true}}
  acme: off
"
    );
    let tls = good(&text).tls;
    assert_eq!((tls.profile, tls.client_auth), (TlsProfile::FipsLike, ClientAuth::Optional));
    assert_eq!(tls.client_ca, Some(LocatedPath::new("/etc/gate/ca.pem")));
    assert_eq!((tls.session_tickets, tls.ticket_lifetime), (false, Duration::from_secs(3600)));
    assert_eq!((tls.session_cache, tls.early_data, tls.ocsp.stapling), (0, false, false));
    assert_eq!((tls.handshake_timeout, tls.max_handshakes_per_ip), (Duration::from_secs(3), Some(20)));
    let hsts = tls.hsts.expect("it is on");
    assert_eq!(hsts.to_string(), "max-age=63072000; includeSubDomains; preload");
    assert_eq!((tls.acme, tls.self_signed), (None, false));
    let plain = good(&format!("{SERVED}tls: {{certificates: c, hsts: {{}}, max_handshakes_per_ip: 0}}")).tls;
    assert_eq!((plain.hsts, plain.max_handshakes_per_ip), (Some(Hsts::default()), None));
    assert_eq!(Hsts::default().to_string(), "max-age=31536000");
    let forget = good(&format!("{SERVED}tls: {{certificates: c, hsts: {{max_age: 0}}}}")).tls.hsts;
    assert_eq!(forget.map(|hsts| hsts.to_string()).as_deref(), Some("max-age=0"));
}

#[test]
fn toml_and_json_say_the_same() {
    let yaml = good(
        "server: {listen: [{addr: \":80\", redirect: {port: 8443}}, {addr: \":8443\", tls: true, client_auth: optional}]}
tls: {certificates: [{cert: a, key: b}, c], client_ca: d, hsts: {max_age: 1d}, ticket_lifetime: 1h}\n",
    );
    let toml = r#"
[server]
listen = [{addr = ":80", redirect = {port = 8443}}, {addr = ":8443", tls = true, client_auth = "optional"}]
[tls]
certificates = [{cert = "a", key = "b"}, "c"]
client_ca = "d"
hsts = {max_age = "1d"}
ticket_lifetime = "1h"
"#;
    let json = r#"{"server": {"listen": [{"addr": ":80", "redirect": {"port": 8443}},
        {"addr": ":8443", "tls": true, "client_auth": "optional"}]},
        "tls": {"certificates": [{"cert": "a", "key": "b"}, "c"], "client_ca": "d", "hsts": {"max_age": "1d"},
        "ticket_lifetime": "1h", "acme": "off"}}"#;
    for (written, format) in [(toml, Format::Toml), (json, Format::Json)] {
        let loaded = text(written, format);
        assert_eq!(shown(&loaded), "", "{format:?}");
        let config = loaded.config.expect("it is good");
        assert_eq!(config.tls, yaml.tls, "{format:?}");
        for (listen, other) in config.server.listen.iter().zip(&yaml.server.listen) {
            assert_eq!((listen, listen.redirect), (other, other.redirect), "{format:?}");
            assert_eq!(config.tls_for(listen), yaml.tls_for(other), "{format:?}");
        }
    }
}

/// Every way to write some keys or leave them out, together.
fn ways(parts: &[&[&str]]) -> Vec<Vec<String>> {
    parts.iter().fold(vec![Vec::new()], |ways, part| {
        let longer = |way: &Vec<String>, word: &str| {
            way.iter().cloned().chain((!word.is_empty()).then(|| word.to_owned())).collect()
        };
        ways.iter().flat_map(|way| part.iter().map(move |word| longer(way, word))).collect()
    })
}

#[test]
fn whatever_is_accepted_can_be_obeyed() {
    let asked = ["", "client_auth: none", "client_auth: optional", "client_auth: required"];
    let authorities = ["", "client_ca: ca.pem", "client_ca:"];
    let sections = ways(&[&["", "certificates: c"], &asked, &authorities]);
    let listeners = ways(&[&["", "tls: true"], &asked, &authorities[..2], &["", "redirect: https"]]);
    let (mut good, mut bad) = (0, 0);
    for section in &sections {
        for listener in &listeners {
            for rule in ["", ", client_auth: none", ", client_auth: required"] {
                let mut text = format!(
                    "server: {{listen: [{{{}}}]}}\n",
                    [&["addr: ':1'".to_owned()], listener.as_slice()].concat().join(", ")
                );
                if !section.is_empty() {
                    text += &format!("tls:\n  {}\n", section.join("\n  "));
                }
                text += &format!("routes: {{/: {{to: OK{rule}}}}}\n");
                let loaded = yaml(&text);
                let Some(config) = loaded.config else {
                    bad += 1;
                    continue;
                };
                good += 1;
                let listen = &config.server.listen[0];
                let tls = config.tls_for(listen);
                assert_eq!(tls.is_some(), listener.contains(&"tls: true".to_owned()), "{text}");
                assert!(tls.is_none() || !config.tls.certificates.is_empty() && listen.redirect.is_none(), "{text}");
                let asks = tls.as_ref().is_some_and(|tls| tls.client_auth != ClientAuth::None);
                assert_eq!(tls.is_some_and(|tls| tls.client_ca.is_some()), asks, "{text}");
                assert!(asks || config.client_auth_for(&config.routes[0]) == ClientAuth::None, "{text}");
            }
        }
    }
    assert!(good > 50 && bad > good, "{good} are good, {bad} are bad");
}

#[test]
fn private_keys_are_among_the_files_that_are_never_served() {
    let text = format!("{SERVED}tls: {{certificates: [{{cert: a.pem, key: a.key}}, certs]}}\n");
    let files = memory(&[("etc/anygate.yml", &text)]);
    let loaded =
        Loader { env: &Env::new(), rules: &[], files: &files, self_signed: false }.file(Path::new("etc/anygate.yml"));
    let config = loaded.config.expect("it is good");
    assert_eq!(config.never_served(), ["etc/anygate.yml", "etc/a.key"].map(PathBuf::from));
}

#[test]
fn the_environment_sets_keys_of_tls_too() {
    let pairs = [("ANYGATE_TLS__PROFILE", "modern"), ("ANYGATE_TLS__CERTIFICATES", "[{cert: a, key: b}, c]")];
    let loaded = crate::common::yaml_env(SERVED, &pairs);
    assert_eq!(shown(&loaded), "");
    let tls = loaded.config.expect("it is good").tls;
    assert_eq!((tls.profile, tls.certificates.len()), (TlsProfile::Modern, 2));
}

#[test]
fn a_listener_may_have_its_own_profile_and_client_authorities() {
    let config = good(
        r#"
server:
  listen:
    - {addr: ":443", tls: true}
    - {addr: ":8443", tls: true, profile: modern, client_auth: required, client_ca: own.pem}
    - {addr: ":9443", tls: true, client_auth: none}
    - {addr: "unix:/run/gate.sock", tls: true, client_auth: optional}
tls: {certificates: certs, client_auth: required, client_ca: ca.pem}
"#,
    );
    let own: Vec<_> = config.server.listen.iter().filter_map(|listen| config.tls_for(listen)).collect();
    let ca = Some(LocatedPath::new("/etc/gate/ca.pem"));
    assert_eq!((own[0].client_auth, &own[0].client_ca), (ClientAuth::Required, &ca));
    assert_eq!((own[1].profile, own[1].client_auth), (TlsProfile::Modern, ClientAuth::Required));
    assert_eq!(own[1].client_ca, Some(LocatedPath::new("/etc/gate/own.pem")));
    assert_eq!((own[2].client_auth, &own[2].client_ca), (ClientAuth::None, &None));
    assert_eq!((own[3].client_auth, &own[3].client_ca), (ClientAuth::Optional, &ca));
    assert_ne!(own[0], own[3]);
}

#[test]
fn a_plain_listener_may_send_everything_to_https() {
    let config = good(
        r#"
server:
  listen:
    - {addr: ":80", redirect: https}
    - {addr: ":8080", redirect: {to: https, port: 8443, status: 301}}
    - {addr: ":8081", redirect: {status: 307}}
    - {addr: ":8443", tls: true}
tls: {certificates: certs}
"#,
    );
    let redirects: Vec<_> = config.server.listen.iter().map(|listen| listen.redirect).collect();
    let to = |port, status| Some(HttpsRedirect { port, status });
    assert_eq!(redirects, [to(443, 308), to(8443, 301), to(443, 307), None]);
}

#[test]
fn a_rule_that_needs_a_client_certificate_has_clients_asked_for_one() {
    let text = |tls: &str| {
        format!(
            "{SERVED}tls: {{certificates: certs, {tls}}}
groups:
  - client_auth: required
    routes:
      /admin/: OK
      /admin/login: {{to: OK, client_auth: none}}
routes:
  /: OK
  /own: {{to: OK, client_auth: required}}
"
        )
    };
    let config = good(&text("client_ca: ca.pem"));
    let wanted: Vec<_> = config.routes.iter().map(|route| config.client_auth_for(route)).collect();
    assert_eq!(wanted, [ClientAuth::Required, ClientAuth::None, ClientAuth::None, ClientAuth::Required]);
    assert_eq!(config.tls.client_auth, ClientAuth::Optional, "who comes for `/` has no certificate");
    let config = good(&text("client_auth: required, client_ca: ca.pem"));
    assert_eq!(config.tls.client_auth, ClientAuth::Required, "what is written stays");
    for (tls, expected) in [
        ("", "a client certificate is needed here, and no listener asks for one"),
        ("client_auth: none, client_ca: ca.pem", "a client certificate is needed here, and no listener asks for one"),
    ] {
        assert_eq!(said_first(&text(tls)), expected, "{tls}");
    }
    let own = "server: {listen: [{addr: \":443\", tls: true, client_ca: own.pem}, {addr: \":444\", tls: true}]}\n";
    let config = good(&format!("{own}tls: {{certificates: c}}\nroutes: {{/: {{to: OK, client_auth: required}}}}\n"));
    let asked: Vec<_> = config.server.listen.iter().filter_map(|listen| config.tls_for(listen)).collect();
    assert_eq!([asked[0].client_auth, asked[1].client_auth], [ClientAuth::Optional, ClientAuth::None]);
}

#[test]
fn a_group_whose_rules_all_lift_its_demand_asks_nobody() {
    let text = "groups:\n  - client_auth: required\n    routes: {/: {to: OK, client_auth: none}}\n";
    let config = good(text);
    assert_eq!(config.client_auth_for(&config.routes[0]), ClientAuth::None);
}

#[test]
fn a_servers_view_of_the_client_certificate_is_a_proxy_setting() {
    let text = format!(
        "{SERVED}tls: {{certificates: c, client_auth: optional, client_ca: ca.pem}}
proxy: {{client_cert: true}}
routes:
  /a: http://a.example
  /b: {{to: 'http://b.example', proxy: {{client_cert: false}}}}
"
    );
    let config = good(&text);
    let sent: Vec<_> = config.routes.iter().map(|route| config.proxy_for(route).client_cert).collect();
    assert_eq!(sent, [true, false]);
}

#[test]
fn the_command_line_may_do_without_a_certificate() {
    let (env, files) = (Env::new(), memory(&[]));
    for (self_signed, errors) in [(false, 1), (true, 0)] {
        let loader = Loader { env: &env, rules: &[], files: &files, self_signed };
        let loaded = loader.text("anygate.yml", SERVED, Format::Yaml, Path::new(""));
        assert_eq!(loaded.diagnostics.len(), errors);
        assert!(loaded.config.is_none_or(|config| config.tls.self_signed));
    }
}

#[test]
fn a_tls_listener_without_a_certificate_says_what_to_add() {
    expect![[r#"
        error: the listener `:443` speaks TLS, and there is no certificate
         --> anygate.yml:1:46
          |
        1 | server: {listen: [":80", {addr: ":443", tls: true}]}
          |                                              ^^^^ with which certificate?
          |
          = help: add `tls: {certificates: [{cert: /etc/tls/a.pem, key: /etc/tls/a.key}]}`, or start with `--tls-self-signed` to try it
    "#]].assert_eq(&shown(&yaml(SERVED)));
    let empty = ["tls: {}", "tls: {certificates: []}", "tls: {acme: off}"];
    for tls in empty {
        let said = said_first(&format!("{SERVED}{tls}\n"));
        assert_eq!(said, "the listener `:443` speaks TLS, and there is no certificate", "{tls}");
    }
}

#[test]
fn a_certificate_that_is_wrong_is_told_of_once() {
    expect![[r#"
        error: a certificate without `key`
         --> anygate.yml:4:7
          |
        4 |     - {cert: a.pem}
          |       ^ this certificate
          |
          = help: give it `key: FILE`; where one file holds both, name it twice
        error: a certificate without `cert`
         --> anygate.yml:5:7
          |
        5 |     - {key: a.key}
          |       ^ this certificate
          |
          = help: write `{cert: FILE, key: FILE}`, or the path of a folder
        error: unknown key `crt` in a certificate
         --> anygate.yml:6:8
          |
        6 |     - {crt: b.pem, key: b.key}
          |        ^^^ unknown key
          |
          = help: did you mean `cert`?
        error: a certificate without its key
         --> anygate.yml:7:7
          |
        7 |     - certs/b.pem
          |       ^^^^^^^^^^^ a text names a folder
          |
          = help: write `{cert: FILE, key: FILE}`; where one file holds both, name it twice
        error: expected a path
         --> anygate.yml:8:15
          |
        8 |     - {cert: '', key: b.key}
          |               ^
        error: `10.0.0.1` is not a host name
         --> anygate.yml:9:33
          |
        9 |     - {cert: c, key: c, names: [10.0.0.1, 'a*.example', 'münchen.example', '*.*.example', a.example, A.example]}
          |                                 ^^^^^^^^
          |
          = help: clients ask for a name, never for an address or a port
        error: `a*.example` is not a host name
         --> anygate.yml:9:44
          |
        9 |     - {cert: c, key: c, names: [10.0.0.1, 'a*.example', 'münchen.example', '*.*.example', a.example, A.example]}
          |                                            ^^^^^^^^^^
          |
          = help: a `*` stands for the whole first label alone: `*.example.com`
        error: `münchen.example` is not a host name
         --> anygate.yml:9:58
          |
        9 |     - {cert: c, key: c, names: [10.0.0.1, 'a*.example', 'münchen.example', '*.*.example', a.example, A.example]}
          |                                                          ^^^^^^^^^^^^^^^
          |
          = help: write its ASCII form, `xn--…`
        error: `*.*.example` is not a host name
         --> anygate.yml:9:77
          |
        9 |     - {cert: c, key: c, names: [10.0.0.1, 'a*.example', 'münchen.example', '*.*.example', a.example, A.example]}
          |                                                                             ^^^^^^^^^^^
          |
          = help: a `*` stands for the whole first label alone: `*.example.com`
        error: `a.example` stands here twice
         --> anygate.yml:9:102
          |
        9 |     - {cert: c, key: c, names: [10.0.0.1, 'a*.example', 'münchen.example', '*.*.example', a.example, A.example]}
          |                                                                                           ---------  ^^^^^^^^^ again
          |                                                                                           |
          |                                                                                           first here
          |
          = help: keep one of them
        error: `/etc/gate/c` stands here twice
          --> anygate.yml:10:14
           |
         9 |     - {cert: c, key: c, names: [10.0.0.1, 'a*.example', 'münchen.example', '*.*.example', a.example, A.example]}
           |              - first here
        10 |     - {cert: c, key: d}
           |              ^ again
           |
           = help: keep one of them
        error: expected a certificate, found a list
          --> anygate.yml:11:7
           |
        11 |     - [x]
           |       ^
           |
           = help: write `{cert: FILE, key: FILE}`, or a folder
    "#]].assert_eq(&shown(&yaml(&format!(
        "{SERVED}tls:
  certificates:
    - {{cert: a.pem}}
    - {{key: a.key}}
    - {{crt: b.pem, key: b.key}}
    - certs/b.pem
    - {{cert: '', key: b.key}}
    - {{cert: c, key: c, names: [10.0.0.1, 'a*.example', 'münchen.example', '*.*.example', a.example, A.example]}}
    - {{cert: c, key: d}}
    - [x]
"
    ))));
}

#[test]
fn settings_out_of_range_say_what_may_stand_there() {
    expect![[r#"
        error: expected one of `modern`, `intermediate`, `fips-like`, found `old`
         --> anygate.yml:2:57
          |
        2 | tls: {certificates: {cert: a.pem, key: a.key}, profile: old, client_auth: require, session_tickets: on, ticket_li...
          |                                                         ^^^
        error: expected one of `none`, `optional`, `required`, found `require`
         --> anygate.yml:2:75
          |
        2 | tls: {certificates: {cert: a.pem, key: a.key}, profile: old, client_auth: require, session_tickets: on, ticket_li...
          |                                                                           ^^^^^^^
          |
          = help: did you mean `required`?
        error: expected `true` or `false`, found `on`
         --> anygate.yml:2:101
          |
        2 | tls: {certificates: {cert: a.pem, key: a.key}, profile: old, client_auth: require, session_tickets: on, ticket_li...
          |                                                                                                     ^^
          |
          = help: write `true`, without quotes
        error: expected a duration from 1m to 7d, found `30s`
         --> anygate.yml:2:122
          |
        2 | ...auth: require, session_tickets: on, ticket_lifetime: 30s, session_cache: 10MiB,
          |                                                         ^^^
        error: expected a whole number from 0 to 1000000, found `10MiB`
         --> anygate.yml:2:142
          |
        2 | ...n_tickets: on, ticket_lifetime: 30s, session_cache: 10MiB,
          |                                                        ^^^^^
        error: a timeout of 0 would never let anything happen
         --> anygate.yml:3:22
          |
        3 |   handshake_timeout: 0, max_handshakes_per_ip: -1, hsts: on, ocsp: {staple: true}}
          |                      ^
          |
          = help: write a duration such as `30s`
        error: expected a whole number from 0 to 4294967295, found `-1`
         --> anygate.yml:3:48
          |
        3 |   handshake_timeout: 0, max_handshakes_per_ip: -1, hsts: on, ocsp: {staple: true}}
          |                                                ^^
        error: expected `off` or a mapping, found `on`
         --> anygate.yml:3:58
          |
        3 |   handshake_timeout: 0, max_handshakes_per_ip: -1, hsts: on, ocsp: {staple: true}}
          |                                                          ^^
          |
          = help: write `{max_age: 1y}`
        error: unknown key `staple` in `ocsp`
         --> anygate.yml:3:69
          |
        3 |   handshake_timeout: 0, max_handshakes_per_ip: -1, hsts: on, ocsp: {staple: true}}
          |                                                                     ^^^^^^ unknown key
          |
          = help: it may have `stapling`
    "#]].assert_eq(&said(
        "profile: old, client_auth: require, session_tickets: on, ticket_lifetime: 30s, session_cache: 10MiB,
  handshake_timeout: 0, max_handshakes_per_ip: -1, hsts: on, ocsp: {staple: true}",
    ));
}

#[test]
fn hsts_is_held_to_what_browsers_ask_for() {
    expect![[r#"
        error: `preload` wants a `max_age` of at least `1y`, and `include_subdomains: true`
         --> anygate.yml:2:69
          |
        2 | tls: {certificates: {cert: a.pem, key: a.key}, hsts: {max_age: 30d, preload: true}}
          |                                                                     ^^^^^^^ no browser would build this in
          |
          = help: write `{max_age: 1y, include_subdomains: true, preload: true}`, or remove `preload`
    "#]]
    .assert_eq(&said("hsts: {max_age: 30d, preload: true}"));
    expect![[r#"
        error: a duration is at most 3650 days
         --> anygate.yml:2:64
          |
        2 | tls: {certificates: {cert: a.pem, key: a.key}, hsts: {max_age: 11y, includeSubDomains: true}}
          |                                                                ^^^ longer
        error: unknown key `includeSubDomains` in `hsts`
         --> anygate.yml:2:69
          |
        2 | tls: {certificates: {cert: a.pem, key: a.key}, hsts: {max_age: 11y, includeSubDomains: true}}
          |                                                                     ^^^^^^^^^^^^^^^^^ unknown key
          |
          = help: did you mean `include_subdomains`?
    "#]]
    .assert_eq(&said("hsts: {max_age: 11y, includeSubDomains: true}"));
}

#[test]
fn early_data_needs_a_cache_to_keep_its_sessions_in() {
    expect![[r#"
        error: `early_data: true` without a session cache
         --> anygate.yml:2:81
          |
        2 | tls: {certificates: {cert: a.pem, key: a.key}, early_data: true, session_cache: 0}
          |                                                                                 ^ nothing is kept
          |
          = help: each session may bring early data once, so it is kept here: leave `session_cache` out, or say how many
    "#]]
    .assert_eq(&said("early_data: true, session_cache: 0"));
    assert_eq!(said("early_data: true"), "");
}

#[test]
fn clients_are_asked_only_where_someone_vouches_for_them() {
    expect![[r#"
        error: `client_auth` without `client_ca`
         --> anygate.yml:2:61
          |
        2 | tls: {certificates: {cert: a.pem, key: a.key}, client_auth: required}
          |                                                             ^^^^^^^^ whose certificates count?
          |
          = help: name the file of their authorities beside it: `client_ca: /etc/tls/clients.pem`
    "#]]
    .assert_eq(&said("client_auth: required"));
    expect![[r#"
        error: `client_auth` without `client_ca`
         --> anygate.yml:1:57
          |
        1 | server: {listen: {addr: ":443", tls: true, client_auth: optional}}
          |                                                         ^^^^^^^^ whose certificates count?
          |
          = help: name the file of their authorities beside it: `client_ca: /etc/tls/clients.pem`
    "#]]
    .assert_eq(&shown(&yaml(
        "server: {listen: {addr: \":443\", tls: true, client_auth: optional}}\ntls: {certificates: c}\n",
    )));
    expect![[r#"
        warning: `client_ca` is named, and nobody is asked for a certificate
         --> anygate.yml:2:59
          |
        2 | tls: {certificates: {cert: a.pem, key: a.key}, client_ca: ca.pem}
          |                                                           ^^^^^^ of no effect
          |
          = help: write `client_auth: optional` or `required` beside it, or leave that to the rules that need one
    "#]]
    .assert_eq(&said("client_ca: ca.pem"));
    expect![[r#"
        warning: `client_ca` is named, and nobody is asked for a certificate
         --> anygate.yml:1:74
          |
        1 | server: {listen: {addr: ":443", tls: true, client_auth: none, client_ca: ca.pem}}
          |                                                                          ^^^^^^ of no effect
          |
          = help: write `client_auth: optional` or `required` beside it, or leave that to the rules that need one
    "#]]
    .assert_eq(&shown(&yaml(
        "server: {listen: {addr: \":443\", tls: true, client_auth: none, client_ca: ca.pem}}\ntls: {certificates: c}\n",
    )));
}

#[test]
fn a_demand_that_nobody_can_meet_is_an_error() {
    expect![[r#"
        error: a client certificate is needed here, and no listener speaks TLS
         --> anygate.yml:3:33
          |
        3 |   /admin: {to: OK, client_auth: required}
          |                                 ^^^^^^^^ nobody could meet this
          |
          = help: give a listener `tls: true`, and `tls` a `client_ca: FILE`
    "#]]
    .assert_eq(&shown(&yaml("routes:\n  /: OK\n  /admin: {to: OK, client_auth: required}\n")));
    expect![[r#"
        error: expected one of `none`, `required`, found `optional`
         --> anygate.yml:2:18
          |
        2 |   - client_auth: optional
          |                  ^^^^^^^^
          |
          = help: a rule needs a certificate or does not; whether one is asked for is the listener's `client_auth`
        error: expected one of `none`, `required`, found `true`
         --> anygate.yml:3:39
          |
        3 |     routes: {/: {to: OK, client_auth: true}}
          |                                       ^^^^
    "#]]
    .assert_eq(&shown(&yaml("groups:\n  - client_auth: optional\n    routes: {/: {to: OK, client_auth: true}}\n")));
}

#[test]
fn a_listeners_keys_say_where_they_belong() {
    expect![[r#"
        error: expected `true` or `false`, found a mapping
         --> anygate.yml:3:27
          |
        3 |     - {addr: ":443", tls: {certificates: c}}
          |                           ^
          |
          = help: write `tls: true`; `profile`, `client_auth` and `client_ca` stand beside it, all else in `tls` at the top
        error: expected `true` or `false`, found `yes`
         --> anygate.yml:4:27
          |
        4 |     - {addr: ":444", tls: yes}
          |                           ^^^
          |
          = help: write `true`, without quotes
        error: `profile` on a listener without TLS
         --> anygate.yml:5:22
          |
        5 |     - {addr: ":445", profile: modern, client_ca: ca.pem}
          |                      ^^^^^^^ of no effect
          |
          = help: add `tls: true` beside it
        error: `client_ca` on a listener without TLS
         --> anygate.yml:5:39
          |
        5 |     - {addr: ":445", profile: modern, client_ca: ca.pem}
          |                                       ^^^^^^^^^ of no effect
          |
          = help: add `tls: true` beside it
        error: `client_auth` on a listener without TLS
         --> anygate.yml:6:34
          |
        6 |     - {addr: ":446", tls: false, client_auth: required}
          |                                  ^^^^^^^^^^^ of no effect
          |
          = help: add `tls: true` beside it
        error: a listener with `tls: true` cannot redirect to https
         --> anygate.yml:7:33
          |
        7 |     - {addr: ":447", tls: true, redirect: https}
          |                                 ^^^^^^^^ where the request would come from
          |
          = help: redirect on the plain one: `listen: [{addr: ":80", redirect: https}, {addr: ":443", tls: true}]`
        error: expected one of `https`, found `http`
         --> anygate.yml:8:31
          |
        8 |     - {addr: ":80", redirect: http}
          |                               ^^^^
          |
          = help: did you mean `https`?
        error: expected one of `https`, found `websecure`
         --> anygate.yml:9:36
          |
        9 |     - {addr: ":81", redirect: {to: websecure, port: 0, status: 303, permanent: true}}
          |                                    ^^^^^^^^^
        error: expected a whole number from 1 to 65535, found 0
         --> anygate.yml:9:53
          |
        9 |     - {addr: ":81", redirect: {to: websecure, port: 0, status: 303, permanent: true}}
          |                                                     ^
        error: expected one of `301`, `302`, `307`, `308`, found `303`
         --> anygate.yml:9:64
          |
        9 |     - {addr: ":81", redirect: {to: websecure, port: 0, status: 303, permanent: true}}
          |                                                                ^^^
          |
          = help: did you mean `301`?
        error: unknown key `permanent` in a redirect
         --> anygate.yml:9:69
          |
        9 |     - {addr: ":81", redirect: {to: websecure, port: 0, status: 303, permanent: true}}
          |                                                                     ^^^^^^^^^ unknown key
          |
          = help: it may have `to`, `port`, `status`
    "#]].assert_eq(&shown(&yaml(
        r#"server:
  listen:
    - {addr: ":443", tls: {certificates: c}}
    - {addr: ":444", tls: yes}
    - {addr: ":445", profile: modern, client_ca: ca.pem}
    - {addr: ":446", tls: false, client_auth: required}
    - {addr: ":447", tls: true, redirect: https}
    - {addr: ":80", redirect: http}
    - {addr: ":81", redirect: {to: websecure, port: 0, status: 303, permanent: true}}
tls: {certificates: c}
"#,
    )));
}

#[test]
fn what_does_nothing_is_warned_of() {
    expect![[r#"
        warning: `tls` is written, and no listener speaks TLS
         --> anygate.yml:1:1
          |
        1 | tls: {certificates: certs}
          | ^^^ of no effect
          |
          = help: write `server: {listen: [":80", {addr: ":443", tls: true}]}`
    "#]]
    .assert_eq(&shown(&yaml("tls: {certificates: certs}\n")));
    expect![[r#"
        warning: requests are sent to https, and no listener speaks TLS
         --> anygate.yml:1:26
          |
        1 | server: {listen: {addr: ":80", redirect: https}}
          |                          ^^^ redirects
          |
          = help: give another listener `tls: true`
    "#]]
    .assert_eq(&shown(&yaml("server: {listen: {addr: \":80\", redirect: https}}\n")));
}
