//! How does a lookup's cost grow?

use anygate_route::{Context, Found, Lookup, Scratch, Table};

use crate::text::{Desk, find, table};

/// `count` rules of several shapes, and a catch-all.
fn many(count: usize) -> Table {
    let mut desk = Desk::default();
    let context = Context::default();
    let mut rules = Vec::with_capacity(count + 1);
    for n in 0..count {
        let head = match n % 4 {
            0 => format!("/svc{n}/"),
            1 => format!("GET /api/v{}/res{n}/:id", n % 7),
            2 => format!("t{n}.example.com/x/:a/y"),
            _ => format!("POST /api/:tenant/res{n}/*"),
        };
        rules.push(desk.rule((&head, "OK"), &context).expect("a rule"));
    }
    rules.push(desk.rule(("/", "OK"), &context).expect("a rule"));
    let (table, findings) = Table::build(rules, &context);
    assert!(findings.is_empty(), "{}", desk.render(&findings));
    table.expect("a table")
}

fn steps(table: &Table, method: &str, host: &str, path: &str) -> (Found, u32) {
    let mut steps = 0;
    let lookup = Lookup { method: method.as_bytes(), host: host.as_bytes(), path: path.as_bytes() };
    let found = table.find_counting(&lookup, &mut Scratch::new(), &mut steps);
    (found, steps)
}

#[test]
fn a_lookup_among_100_000_rules_looks_at_as_many_nodes_as_among_100() {
    let (small, large) = (many(100), many(100_000));
    for (method, host, path) in [
        ("GET", "", "/svc96/a/b"),
        ("GET", "", "/api/v6/res97/7"),
        ("GET", "t98.example.com", "/x/1/y"),
        ("POST", "", "/api/acme/res99/a/b/c"),
        ("POST", "", "/api/v1/res99/a"),
        ("GET", "nowhere", "/nothing/at/all"),
    ] {
        let (found, few) = steps(&small, method, host, path);
        let (same, many) = steps(&large, method, host, path);
        assert_eq!(few, many, "{path}");
        assert!(few <= 12, "{path}: {few}");
        assert_eq!(found == Found::Rule(100), same == Found::Rule(100_000), "{path}");
    }
}

#[test]
fn matching_is_bounded_by_the_rules_that_share_a_shape() {
    let mut lines = Vec::new();
    for shape in 0..256_u32 {
        let head: String =
            (0..8).map(|bit| if shape >> bit & 1 == 0 { "/a".into() } else { format!("/:p{bit}") }).collect();
        lines.push((format!("{head}/end{shape}"), "OK".to_owned()));
    }
    let lines: Vec<(&str, &str)> = lines.iter().map(|(head, action)| (head.as_str(), action.as_str())).collect();
    let table = table(&lines);
    let (found, steps) = steps(&table, "GET", "", "/a/a/a/a/a/a/a/a/nothing");
    assert_eq!(found, Found::NotFound);
    assert_eq!(steps, 511);
}

#[test]
fn a_lookup_allocates_nothing() {
    let table = table(&[
        ("/", "./dist/"),
        ("GET /users/:id/*", "http://up"),
        ("*.example.com/x", "OK"),
        ("api.example.com/y", "OK"),
        ("POST [::1]/z", "OK"),
    ]);
    let requests: [(&str, &str, &str); 9] = [
        ("GET", "", "/"),
        ("GET", "api.example.com", "/users/42/a/b"),
        ("GET", "www.example.com:8080", "/x"),
        ("GET", "[::1]:80", "/z"),
        ("POST", "", "/users/42/a"),
        ("OPTIONS", "", "/users/42/a"),
        ("GET", "", "/a/../b//%7e%2e/./c"),
        ("GET", "", "/users/group%2Fproject/x"),
        ("BREW", "nowhere", "/a/%zz"),
    ];
    let mut scratch = Scratch::new();
    let mut allow = Vec::with_capacity(256);
    let mut round = || {
        for (method, host, path) in requests {
            let lookup = Lookup { method: method.as_bytes(), host: host.as_bytes(), path: path.as_bytes() };
            let found = table.find(&lookup, &mut scratch);
            if let Some(rule) = found.rule() {
                let captures = table.captures(rule, lookup.path, &scratch);
                assert!(captures.params().count() < 2 && captures.tail().len() <= path.len());
                assert!(captures.param("none").is_none());
            }
            if let Found::MethodNotAllowed(set) | Found::Options(set) = found {
                allow.clear();
                table.write_allow(set, &mut allow);
            }
        }
    };
    round();
    let counted = allocation_counter::measure(round);
    assert_eq!(counted.count_total, 0);
}

#[test]
fn rules_with_the_same_name_for_a_hundred_thousand_hosts_are_found() {
    let table = many(100_000);
    assert_eq!(find(&table, "GET http://t99998.example.com/x/1/y"), Found::Rule(99_998));
    assert_eq!(find(&table, "GET http://t99999.example.com/x/1/y"), Found::Rule(100_000));
}
