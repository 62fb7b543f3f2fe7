//! The same rules in the simplest code that could be right: every rule is asked, and the best is taken by sorting.
//!
//! Written from the rules' text, and shares nothing with the library but the names of outcomes.

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Rule(usize),
    AddSlash(usize),
    MethodNotAllowed(Vec<String>),
    Options(Vec<String>),
    NotFound,
    Bad,
}

struct Naive<'a> {
    methods: Vec<&'a str>,
    host: &'a str,
    segments: Vec<&'a str>,
    /// `exact`, `slash`, `subtree`, `splat`.
    end: &'static str,
    files: bool,
    directory: bool,
}

const USUAL: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

pub(crate) fn outcome(rules: &[(String, String)], method: &str, host: &str, path: &str, merge: bool) -> Outcome {
    let rules: Vec<Naive<'_>> = rules.iter().map(|(head, action)| Naive::read(head, action)).collect();
    let Some(once) = normal(path, merge) else { return Outcome::Bad };
    let found = settle(&rules, method, host, &once);
    if !once.contains("%2F") && !once.contains("%5C") {
        return found;
    }
    let plain = once.replace("%2F", "/").replace("%5C", "/");
    let dots = plain.split('/').any(|s| s == "." || s == "..");
    let Some(twice) = normal(&plain, merge) else { return Outcome::Bad };
    match (winner(&rules, method, host, &once), winner(&rules, method, host, &twice)) {
        (Some(a), Some(b)) if a != b => Outcome::Bad,
        (Some(_), None) if dots => Outcome::Bad,
        _ => found,
    }
}

fn fitting(rules: &[Naive<'_>], host: &str, path: &str) -> Vec<usize> {
    let host = bare(host);
    (0..rules.len()).filter(|n| rules[*n].host_fits(&host) && rules[*n].path_fits(path)).collect()
}

fn winner(rules: &[Naive<'_>], method: &str, host: &str, path: &str) -> Option<usize> {
    let candidates = fitting(rules, host, path).into_iter().filter(|n| rules[*n].takes(method));
    candidates.min_by_key(|n| (rules[*n].host_rank(), rules[*n].path_rank(), rules[*n].method_rank(method), *n))
}

fn settle(rules: &[Naive<'_>], method: &str, host: &str, path: &str) -> Outcome {
    let fitting = fitting(rules, host, path);
    if fitting.is_empty() {
        return Outcome::NotFound;
    }
    let reading = method == "GET" || method == "HEAD";
    if let Some(n) = winner(rules, method, host, path).filter(|n| reading || !rules[*n].files) {
        let slashes = path.matches('/').count();
        let wants = rules[n].directory && rules[n].end == "subtree" && slashes == rules[n].segments.len();
        return if wants { Outcome::AddSlash(n) } else { Outcome::Rule(n) };
    }
    let named = fitting.iter().flat_map(|n| rules[*n].methods.iter().copied());
    let mut allow: Vec<String> = Vec::new();
    for method in USUAL.into_iter().chain(named) {
        let answers = |n: usize| {
            let spelt = USUAL.contains(&method) || rules[n].methods.contains(&method);
            spelt && (!rules[n].files || method == "GET" || method == "HEAD")
        };
        if winner(rules, method, host, path).is_some_and(answers) || method == "OPTIONS" {
            allow.push(method.to_owned());
        }
    }
    allow.sort();
    allow.dedup();
    if method == "OPTIONS" { Outcome::Options(allow) } else { Outcome::MethodNotAllowed(allow) }
}

impl<'a> Naive<'a> {
    fn read(head: &'a str, action: &str) -> Self {
        let (methods, rest) = head.rsplit_once(' ').unwrap_or(("", head));
        let (host, path) = rest.split_at(rest.find('/').expect("a path"));
        let mut segments: Vec<&str> = path[1..].split('/').collect();
        let end = match *segments.last().expect("a segment") {
            "" => "subtree",
            "*" => "splat",
            "{$}" => "slash",
            _ => "exact",
        };
        if end != "exact" {
            segments.pop();
        }
        let methods = methods.split(' ').filter(|m| !m.is_empty() && *m != "*").collect();
        let files = action.starts_with('.');
        Self { methods, host, segments, end, files, directory: files && action.ends_with('/') }
    }

    fn host_fits(&self, host: &str) -> bool {
        match self.host.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => self.host.is_empty() || self.host == host,
        }
    }

    fn path_fits(&self, path: &str) -> bool {
        let parts: Vec<&str> = path[1..].split('/').collect();
        let n = self.segments.len();
        if parts.len() < n || !self.segments.iter().zip(&parts).all(|(s, p)| fits(s, p)) {
            return false;
        }
        let rest = &parts[n..];
        match self.end {
            "exact" => rest.is_empty(),
            "slash" => rest == [""],
            "subtree" => true,
            _ => !rest.is_empty(),
        }
    }

    fn takes(&self, method: &str) -> bool {
        if self.methods.is_empty() {
            return method != "CONNECT" && method != "TRACE";
        }
        self.methods.contains(&method) || (method == "HEAD" && self.methods.contains(&"GET"))
    }

    fn host_rank(&self) -> isize {
        match self.host {
            "" => 1000,
            host if host.starts_with('*') => 500 - host.len() as isize,
            _ => 0,
        }
    }

    fn path_rank(&self) -> Vec<u8> {
        let end = match self.end {
            "exact" | "slash" => 2,
            "subtree" => 3,
            _ => 4,
        };
        self.segments.iter().map(|s| u8::from(s.starts_with(':'))).chain([end]).collect()
    }

    fn method_rank(&self, method: &str) -> u8 {
        match () {
            () if self.methods.contains(&method) => 0,
            () if !self.methods.is_empty() => 1,
            () => 2,
        }
    }
}

fn fits(segment: &str, part: &str) -> bool {
    if segment.starts_with(':') { !part.is_empty() } else { segment == part }
}

fn bare(host: &str) -> String {
    let host = host.split(':').next().expect("one part").to_ascii_lowercase();
    host.strip_suffix('.').map_or(host.clone(), str::to_owned)
}

/// The path in matching form; `None` if it deserves 400.
pub(crate) fn normal(path: &str, merge: bool) -> Option<String> {
    let mut text = String::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            if !digits.bytes().all(|d| d.is_ascii_hexdigit()) {
                return None;
            }
            let byte = u8::from_str_radix(digits, 16).ok()?;
            if byte == 0 {
                return None;
            }
            if !(byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
                text.push_str(&format!("%{byte:02X}"));
                continue;
            }
            byte
        } else if byte <= b' ' || byte > b'~' || byte == b'\\' {
            return None;
        } else {
            byte
        };
        text.push(byte as char);
    }
    let mut segments: Vec<&str> = Vec::new();
    let parts: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
    for (at, part) in parts.iter().enumerate() {
        let last = at + 1 == parts.len();
        match *part {
            "" if merge && !last => {}
            "." if !last => {}
            "." => segments.push(""),
            ".." => {
                segments.pop()?;
                if last {
                    segments.push("");
                }
            }
            other => segments.push(other),
        }
    }
    Some(format!("/{}", segments.join("/")))
}
