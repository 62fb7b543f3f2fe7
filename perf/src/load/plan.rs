//! What a load asks for: whom, how often, on how many connections, and for how long.

use std::net::SocketAddr;
use std::time::Duration;

use anygate_shard::Io;

use super::h2;
use super::tls::Tls;

/// What is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: agreed on by ALPN over TLS, else spoken because it is known that the server does.
    Http2,
}

/// How often a connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Until the server closes it.
    KeepAlive,
    /// For one request, which says `Connection: close`.
    PerRequest,
}

/// When a group's requests begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Closed loop: a connection's next batch begins when the one before is answered.
    Answers,
    /// Open loop: so many requests a second over all connections of the group, at even distances, whatever the answers do.
    /// One that finds every connection busy waits, and its wait counts.
    Rate(f64),
    /// Open loop for each connection: its batches begin this far apart, those of all connections spread evenly. One whose
    /// predecessor is not answered yet waits, and its wait counts.
    Each(Duration),
}

/// Connections that do the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// How many are open at a time, at least 1.
    pub connections: u32,
    /// Requests on a connection that are not answered yet: of a batch with [`Pace::Answers`] and [`Pace::Each`], at most
    /// with [`Pace::Rate`]. At least 1; 1 with [`Reuse::PerRequest`].
    pub depth: u32,
    /// When requests begin.
    pub pace: Pace,
}

/// A load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is asked.
    pub target: SocketAddr,
    /// What is spoken; bodies are sent over HTTP/1.1 alone.
    pub protocol: Protocol,
    /// How TLS is spoken; without it, none is.
    pub tls: Option<Tls>,
    /// The path that is asked for, and a query if there is one.
    pub path: String,
    /// The method; without one GET, or POST when something is uploaded.
    pub method: Option<String>,
    /// Header fields beside the necessary ones, as `Name: value`. A `Host` replaces the target's.
    pub headers: Vec<String>,
    /// Bytes of the body of each request.
    pub upload: u64,
    /// What that body is, over and over if it is shorter; without it, or where it is empty, one letter.
    pub body: Option<Vec<u8>>,
    /// Connections open at a time, at least 1.
    pub connections: u32,
    /// Requests in a batch: they leave in one write, and the next batch when all of them are answered; with a rate, requests
    /// on a connection that are not answered yet. At least 1; 1 with [`Reuse::PerRequest`]. Over HTTP/2, streams at a time:
    /// for those that are answered, as many others begin at once.
    pub depth: u32,
    /// Requests a second over all connections (open loop); without one, answers set the pace (closed loop).
    pub rate: Option<f64>,
    /// More connections beside those, of other kinds, to the same path.
    pub beside: Vec<Group>,
    /// How often a connection is used.
    pub reuse: Reuse,
    /// How long the load runs before anything counts, from when its connections stand.
    pub warm_up: Duration,
    /// How long it counts.
    pub duration: Duration,
    /// A connection that owes answers and moves no byte for so long is given up.
    pub patience: Duration,
    /// The driver the load runs on.
    pub io: Io,
    /// The core it is pinned to.
    pub core: Option<usize>,
}

impl Plan {
    /// A keep-alive load of one request at a time on 64 connections, for 1 s after 0.3 s.
    #[must_use]
    pub fn new(target: SocketAddr, io: Io) -> Self {
        Self {
            target,
            protocol: Protocol::Http1,
            tls: None,
            path: "/".to_owned(),
            method: None,
            headers: Vec::new(),
            upload: 0,
            body: None,
            connections: 64,
            depth: 1,
            rate: None,
            beside: Vec::new(),
            reuse: Reuse::KeepAlive,
            warm_up: Duration::from_millis(300),
            duration: Duration::from_secs(1),
            patience: Duration::from_secs(5),
            io,
            core: None,
        }
    }

    /// All groups: the plan's own connections, then those beside.
    pub(super) fn groups(&self) -> impl Iterator<Item = Group> {
        let pace = self.rate.map_or(Pace::Answers, Pace::Rate);
        let own = Group { connections: self.connections, depth: self.depth, pace };
        std::iter::once(own).chain(self.beside.iter().copied())
    }

    /// # Errors
    /// The plan asks for nothing, or for what cannot be.
    pub(super) fn check(&self) -> Result<(), String> {
        for group in self.groups() {
            if group.connections == 0 || group.depth == 0 {
                return Err("a load has at least one connection and one request".into());
            }
            if self.reuse == Reuse::PerRequest && group.depth > 1 {
                return Err("a connection per request has no pipeline".into());
            }
            let possible = match group.pace {
                Pace::Answers => true,
                Pace::Rate(rate) => rate.is_finite() && rate > 0.0,
                Pace::Each(apart) => !apart.is_zero(),
            };
            if !possible {
                return Err("a rate is more than nothing and less than everything".into());
            }
        }
        if self.protocol == Protocol::Http2 {
            if self.upload > 0 {
                return Err("over HTTP/2 no body is sent".into());
            }
            h2::Blocks::of(self)?;
        }
        Ok(())
    }

    /// The method of its requests.
    pub(super) fn method(&self) -> &str {
        self.method.as_deref().unwrap_or(if self.upload > 0 { "POST" } else { "GET" })
    }

    /// Who is asked: as a field says, or the target.
    pub(crate) fn authority(&self) -> String {
        let host =
            |header: &String| Some(header.split_once(':').filter(|(name, _)| is_host(name))?.1.trim().to_owned());
        self.headers.iter().find_map(host).unwrap_or_else(|| match &self.tls {
            Some(tls) => format!("{}:{}", tls.name, self.target.port()),
            None => self.target.to_string(),
        })
    }

    /// The head of one request.
    pub(super) fn request(&self) -> Vec<u8> {
        let named = |header: &&String| header.split_once(':').is_some_and(|(name, _)| is_host(name));
        let host = self.headers.iter().find(named).cloned().unwrap_or_else(|| format!("Host: {}", self.authority()));
        let mut text = format!("{} {} HTTP/1.1\r\n{host}\r\n", self.method(), self.path);
        for header in self.headers.iter().filter(|header| !named(header)) {
            text.push_str(header);
            text.push_str("\r\n");
        }
        if self.upload > 0 {
            text.push_str(&format!("Content-Length: {}\r\n", self.upload));
        }
        if self.reuse == Reuse::PerRequest {
            text.push_str("Connection: close\r\n");
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

fn is_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::new("127.0.0.1:8080".parse().unwrap(), Io::Epoll)
    }

    #[test]
    fn a_plan_that_asks_for_nothing_is_refused() {
        assert_eq!(plan().check(), Ok(()));
        assert!(Plan { connections: 0, ..plan() }.check().is_err());
        assert!(Plan { depth: 2, reuse: Reuse::PerRequest, ..plan() }.check().is_err());
        assert!(Plan { rate: Some(0.0), ..plan() }.check().is_err());
        assert!(Plan { rate: Some(f64::INFINITY), ..plan() }.check().is_err());
        let none = Group { connections: 1, depth: 1, pace: Pace::Each(Duration::ZERO) };
        assert!(Plan { beside: vec![none], ..plan() }.check().is_err());
    }

    #[test]
    fn a_request_names_its_host_and_says_when_it_is_the_only_one() {
        let mut plan = plan();
        assert_eq!(plan.request(), b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
        plan.reuse = Reuse::PerRequest;
        assert!(plan.request().ends_with(b"\r\nConnection: close\r\n\r\n"));
    }

    #[test]
    fn a_request_carries_its_fields_and_the_length_of_its_body() {
        let headers = vec!["Accept: */*".to_owned(), "host: example.com".to_owned()];
        let plan = Plan { path: "/a?b".into(), upload: 9, headers, ..plan() };
        let expected = "POST /a?b HTTP/1.1\r\nhost: example.com\r\nAccept: */*\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(String::from_utf8(plan.request()).unwrap(), expected);
        assert!(Plan { method: Some("PUT".into()), ..plan }.request().starts_with(b"PUT /a?b "));
    }
}
