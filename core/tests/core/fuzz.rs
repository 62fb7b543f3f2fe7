//! Nothing panics on what a file holds, and every finding can be shown.

use anygate_core::config::{Env, Loader, from_rules};
use anygate_core::render;
use proptest::prelude::*;

use crate::common::{Memory, env};

fn survive(bytes: &[u8]) {
    for extension in ["yml", "toml", "json"] {
        let mut files = Memory::default();
        files.0.insert(format!("f.{extension}"), bytes.to_vec());
        let env: Env = env(&[("A", "x"), ("ANYGATE_SERVER__NAME", "[x"), ("ANYGATE_PROXY__HOST", "x")]);
        let path = format!("f.{extension}");
        let loaded = Loader { env: &env, rules: &[], files: &files, self_signed: false }.file(path.as_ref());
        for diagnostic in &loaded.diagnostics {
            assert!(!render(&loaded.sources, diagnostic, false).is_empty());
        }
        let config = loaded.config.or(loaded.draft).expect("one of them");
        for route in &config.routes {
            for part in [&route.head, &route.action] {
                let text = &loaded.sources.get(part.span.source).text;
                let written =
                    text.get(part.span.start as usize..part.span.end as usize).expect("a place on boundaries");
                assert!(!part.verbatim || written == part.text, "{part:?} is written {written:?}");
            }
            let _ = (config.proxy_for(route), config.static_for(route), config.max_body_size_for(route));
            let _ = config.client_auth_for(route);
        }
        for listen in &config.server.listen {
            assert!(listen.tls.is_none() || config.tls_for(listen).is_some());
        }
    }
}

/// Pieces that configuration files are made of, and a few they are not.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "routes:",
        "\nroutes:\n  ",
        "groups:\n  - ",
        "  ",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "* ",
        "*",
        ": ",
        ":",
        " #",
        "# x",
        "\"",
        "'",
        "{",
        "}",
        "[",
        "]",
        ",",
        "|\n",
        ">-\n",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "? ",
        "---\n",
        "...\n",
        "\t",
        "\r\n",
        "\u{feff}",
        "é",
        "日",
        "\0",
        "\\",
        "\\n",
        "$",
        "${A}",
        "${A:-",
        "$$",
        "OK",
        "OK {\"a\": 1}",
        "404",
        "/x",
        "GET /x: OK\n",
        "to: ",
        "timeout: 5s",
        "server:\n  ",
        "listen: :80",
        "{addr: :443, tls: true, ",
        "redirect: https",
        "\ntls:\n  ",
        "certificates: [{cert: a, key: b, ",
        "names: [\"*.a\", ",
        "client_auth: required",
        "client_ca: a",
        "hsts: {max_age: 1y, preload: true, ",
        "acme: {domains: a",
        "=",
        "[server]\n",
        "[[groups]]\n",
        "\"/x\" = \"OK\"\n",
        "upstreams:\n  a: ",
        "servers: [b]",
        "include: [\"*\"]",
        "1",
        "-1",
        "1e999",
        ".inf",
        "true",
        "null",
        "~",
    ];
    prop_oneof![6 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,4}"]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survive(&bytes);
    }

    #[test]
    fn pieces_of_configuration_never_panic(pieces in proptest::collection::vec(piece(), 0..30)) {
        survive(pieces.concat().as_bytes());
    }

    #[test]
    fn arbitrary_rules_never_panic(rule in ".{0,40}", colon in "[ -~]{0,10}: [ -~]{0,10}") {
        for rule in [rule, colon] {
            let loaded = from_rules(&[rule], &Env::new());
            for diagnostic in &loaded.diagnostics {
                assert!(!render(&loaded.sources, diagnostic, true).is_empty());
            }
        }
    }
}
