//! Parts of the server on their own, in a loop: reading heads, finding rules.

use std::hint::black_box;

use anygate_core::config;
use anygate_proto::h1::request::parse_request;
use anygate_proto::{Fields, Limits, Parsed};
use anygate_route::{Context, Found, Request, Scratch, Table, parse_rule};

const SMALL: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";
const BROWSER: &str = "GET /app/users/42?tab=orders&page=2 HTTP/1.1\r\nHost: shop.example.com\r\nConnection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\
    Referer: https://shop.example.com/app/users\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\nIf-None-Match: \"5f3a-1c9d7e42\"\r\n\r\n";
/// Fields of the large head, each with a value of 90 bytes.
const LARGE: usize = 20;
/// Rules that are looked up in.
const RULES: usize = 1000;

/// Does the named work so often.
pub(crate) fn run(name: &str, times: u64) -> Result<(), String> {
    match name {
        "parse-small" => parse(SMALL, times),
        "parse-browser" => parse(BROWSER, times),
        "parse-large" => parse(&large(), times),
        "match" => find(times),
        _ => Err(format!("there is no loop `{name}`")),
    }
}

fn large() -> String {
    let mut head = "GET /files/report.pdf HTTP/1.1\r\nHost: intranet.example.com\r\n".to_owned();
    for number in 0..LARGE {
        head.push_str(&format!("X-Claim-{number}: {}\r\n", "abcdefghi ".repeat(9).trim_end()));
    }
    head + "\r\n"
}

fn parse(head: &str, times: u64) -> Result<(), String> {
    let limits = Limits { max_uri: 8 << 10, max_header_size: 32 << 10, max_headers: 100 };
    let mut fields = Fields::new();
    for _ in 0..times {
        match parse_request(black_box(head.as_bytes()), &limits, &mut fields) {
            Ok(Parsed::Complete(request)) => drop(black_box(request)),
            _ => return Err("the head is refused".into()),
        }
    }
    Ok(())
}

/// A thousand rules of a middling kind: prefixes, parameters, methods, exact paths.
fn table() -> Result<Table, String> {
    let mut text = "routes:\n".to_owned();
    for number in 0..RULES / 4 {
        text.push_str(&format!(
            "  /api/v{}/service{number}/: http://127.0.0.1:9000\n  GET /users{number}/:id: OK\n  \
             POST /users{number}/:id/orders/:order: OK\n  /pages/section{number}/about: OK\n",
            number % 4
        ));
    }
    let config =
        config::load_text("gate.yml", &text, &config::Env::new(), &[]).config.ok_or("the rules do not load")?;
    let context = Context::default();
    let rules = config.routes.iter().map(|route| parse_rule(&route.head, &route.action, None, &context));
    let rules = rules.collect::<Result<Vec<_>, _>>().map_err(|_| "a rule is refused")?;
    Table::build(rules, &context).0.ok_or_else(|| "the rules are refused".into())
}

fn find(times: u64) -> Result<(), String> {
    let table = table()?;
    let asked = [
        "GET shop.example.com/api/v1/service125/orders/7?full=1",
        "GET shop.example.com/users249/42",
        "POST shop.example.com/users0/42/orders/99",
        "GET shop.example.com/pages/section77/about",
        "GET shop.example.com/pages/section77/nothing",
    ];
    let requests = asked.iter().map(|text| Request::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let mut scratch = Scratch::new();
    let mut found = 0;
    for request in requests.iter().cycle().take(usize::try_from(times).unwrap_or(usize::MAX)) {
        found += u64::from(matches!(table.find(black_box(&request.lookup()), &mut scratch), Found::Rule(_)));
    }
    if found == 0 { Err("no rule is found".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_of_the_sizes_they_are_said_to_be() {
        assert_eq!(SMALL.len(), 77);
        assert!((600..900).contains(&BROWSER.len()), "{}", BROWSER.len());
        assert!((1900..2200).contains(&large().len()), "{}", large().len());
    }

    #[test]
    fn there_are_a_thousand_rules() {
        assert_eq!(table().expect("they are good").rules().len(), RULES);
    }
}
