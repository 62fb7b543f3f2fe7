//! The six lines of the promise, and every freedom of `routes` behind them.

use anygate_core::config::Loaded;
use anygate_core::{Span, nearest};
use expect_test::expect;

use crate::common::{good, rules, shown, yaml};

const SIX: &str = r#"routes:
  "/": "/dist/"                                                      # SPA: index + history fallback
  "/ping": "http://auth/ping"                                        # proxy
  GET POST PATCH /api/mock/rude: FORBIDDEN {"msg":"GO PATCH UR MUM!"} # fixed, JSON
  GET /fastest/ever/ok: OK                                           # fixed
  /a/b/c: *                                                          # echo
  /a/b/c-forbidden: FORBIDDEN *                                      # echo with a status
"#;

#[test]
fn the_six_lines_load_exactly_as_they_stand_and_without_a_warning() {
    let config = good(SIX);
    assert_eq!(
        rules(&config),
        [
            ("/", "/dist/"),
            ("/ping", "http://auth/ping"),
            ("GET POST PATCH /api/mock/rude", r#"FORBIDDEN {"msg":"GO PATCH UR MUM!"}"#),
            ("GET /fastest/ever/ok", "OK"),
            ("/a/b/c", "*"),
            ("/a/b/c-forbidden", "FORBIDDEN *"),
        ]
    );
}
