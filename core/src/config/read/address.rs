//! Which listener, server, prefix or processors does a text stand for?

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net};

use crate::config::model::{CoreList, ListenAddr, UpstreamAddr};
use crate::limits;

/// Longest path of a unix socket, in bytes (`sun_path` less its NUL).
const UNIX_PATH: usize = 107;

/// What is wrong with a text, and what would be right.
pub(in crate::config) type Wrong = (String, Option<String>);

/// `:8080`, `127.0.0.1:80`, `[::1]:80`, `unix:/run/anygate.sock`; a relative path starts at `base_dir`.
pub(in crate::config) fn parse_listen(text: &str, base_dir: &Path) -> Result<ListenAddr, Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix_path(path, base_dir).map(ListenAddr::Unix);
    }
    if let Some((addr, options)) = text.split_once(' ') {
        let addr = if addr.bytes().all(|byte| byte.is_ascii_digit()) { format!(":{addr}") } else { addr.to_owned() };
        let tls = if options.contains("ssl") || options.contains("tls") { ", tls: true" } else { "" };
        let help = format!(
            "write `{{addr: \"{addr}\"{tls}}}`: what else a listener has are keys of its own, and HTTP/2 is on"
        );
        return Err((format!("`{text}` is more than an address"), Some(help)));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let tls = scheme.eq_ignore_ascii_case("https");
        let port =
            rest.rsplit_once(':').map(|(_, port)| port.trim_end_matches('/')).filter(|port| parse_port(port).is_ok());
        let port = port.unwrap_or(if tls { "443" } else { "80" });
        let help = if tls { format!("`{{addr: \":{port}\", tls: true}}`") } else { format!("`:{port}`") };
        return Err((format!("`{text}` is a URL, not where to listen"), Some(format!("write {help}"))));
    }
    if let Some(port) = text.strip_prefix(':') {
        return parse_port(port).map(ListenAddr::Any);
    }
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Ok(ListenAddr::Ip(addr));
    }
    let help = if let Ok(addr) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        SocketAddr::new(addr, 8080).to_string()
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
        format!(":{text}")
    } else if let Some(port) = text.strip_prefix("*:").or_else(|| text.strip_prefix("[::]:")) {
        format!(":{port}")
    } else if let Some(port) = text.strip_prefix("localhost:") {
        format!("127.0.0.1:{port}")
    } else if text.starts_with(['/', '.']) {
        format!("unix:{text}")
    } else {
        let message = "expected where to listen: `:8080`, `127.0.0.1:80`, `[::1]:80` or `unix:/path`";
        return Err((format!("{message}, found `{text}`"), None));
    };
    Err((format!("`{text}` is not an address and a port"), Some(format!("write `{help}`"))))
}

/// `10.0.0.1:8001`, `name:8001`, `name`, `[::1]:8001`, `unix:/run/app.sock`.
pub(super) fn parse_server(text: &str, base_dir: &Path) -> Result<UpstreamAddr, Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix_path(path, base_dir).map(UpstreamAddr::Unix);
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or(rest);
        let message = format!("a server is an address and a port, without `{scheme}://`");
        return Err((message, Some(format!("write `{host}`; the scheme stands in the route's action"))));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((host, after)) = rest.split_once(']').filter(|(host, _)| host.parse::<IpAddr>().is_ok()) else {
                return Err((format!("`{text}` is not an IPv6 address in brackets"), None));
            };
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').unwrap_or(after)) })
        }
        None if text.parse::<std::net::Ipv6Addr>().is_ok() => {
            return Err((
                "an IPv6 address needs brackets before its port".to_owned(),
                Some(format!("write `[{text}]:8080`")),
            ));
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let valid = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    if host.is_empty() || host.len() > 253 || !host.chars().all(valid) {
        return Err((
            format!("expected a server such as `10.0.0.1:8001` or `unix:/run/app.sock`, found `{text}`"),
            None,
        ));
    }
    let port = port.map(parse_port).transpose()?;
    if port == Some(0) {
        return Err(("a server's port cannot be 0".to_owned(), None));
    }
    Ok(UpstreamAddr::Tcp { host: host.to_owned(), port })
}

/// An address or a prefix; what maps IPv4 into IPv6 becomes IPv4.
pub(super) fn parse_prefix(text: &str) -> Result<IpNet, Wrong> {
    let net = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(net), _) => net,
        (_, Ok(addr)) => IpNet::from(addr),
        _ => {
            let message = format!("expected an address or a prefix such as `10.0.0.0/8`, found `{text}`");
            return Err((message, None));
        }
    };
    if net.trunc() != net {
        let message = format!("`{text}` has bits set behind its prefix");
        return Err((message, Some(format!("write `{}`, or `{}` for one address", net.trunc(), net.addr()))));
    }
    let mapped = match net {
        IpNet::V6(net) if net.prefix_len() >= 96 => {
            net.addr().to_ipv4_mapped().and_then(|addr| Ipv4Net::new(addr, net.prefix_len() - 96).ok())
        }
        _ => None,
    };
    Ok(mapped.map_or(net, IpNet::V4))
}

/// `all`, `0-7`, `0,2,4-6`.
pub(in crate::config) fn parse_cores(text: &str) -> Result<CoreList, Wrong> {
    if text == "all" {
        return Ok(CoreList::All);
    }
    let mut cores = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<usize>().ok().filter(|_| digits)
        };
        let (Some(first), Some(last)) = (number(first.trim()), number(last.trim())) else {
            let what = if part.is_empty() { "nothing".to_owned() } else { format!("`{part}`") };
            return Err((format!("expected `all` or processors such as `0-7` or `0,2,4-6`, found {what}"), None));
        };
        if last > limits::CORE {
            return Err((format!("a processor's number is at most {}", limits::CORE), None));
        }
        if first > last {
            return Err((format!("the range `{part}` runs backwards"), Some(format!("write `{last}-{first}`"))));
        }
        cores.extend(first..=last);
    }
    let given = cores.len();
    cores.sort_unstable();
    cores.dedup();
    if cores.len() < given {
        return Err((format!("`{text}` names a processor twice"), None));
    }
    Ok(CoreList::These(cores))
}

fn parse_port(text: &str) -> Result<u16, Wrong> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|_| digits);
    port.ok_or_else(|| (format!("expected a port from 0 to 65535, found `{text}`"), None))
}

fn unix_path(path: &str, base_dir: &Path) -> Result<PathBuf, Wrong> {
    let path = base_dir.join(path.strip_prefix("//").unwrap_or(path));
    let bytes = path.as_os_str().len();
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(("expected the path of a unix socket, such as `unix:/run/anygate.sock`".to_owned(), None));
    }
    if bytes > UNIX_PATH {
        return Err((format!("the path of a unix socket has at most {UNIX_PATH} bytes, this one {bytes}"), None));
    }
    Ok(path)
}
