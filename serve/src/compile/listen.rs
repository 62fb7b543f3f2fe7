//! Do two listeners want the same address? The kernel would refuse the second with words that name another program.

use std::net::SocketAddr;

use anygate_core::Diagnostic;
use anygate_core::config::{Listen, ListenAddr};

/// Finds each listener whose address is part of another's.
pub(super) fn check(listeners: &[Listen], findings: &mut Vec<Diagnostic>) {
    for part in listeners {
        let Some(whole) = listeners.iter().find(|whole| covers(&whole.addr, &part.addr)) else { continue };
        let mut finding = Diagnostic::error(format!("`{}` is part of `{}`", part.addr, whole.addr))
            .help(format!("leave `{}` out: `{}` takes its connections too", part.addr, whole.addr));
        if let Some(span) = part.span {
            finding = finding.at(span, "listens a second time");
        }
        if let Some(span) = whole.span {
            finding = finding.and_at(span, "every address");
        }
        findings.push(finding);
    }
}

/// True when `whole` stands for every address and `part` is one of them. Port 0 is a new one each time.
fn covers(whole: &ListenAddr, part: &ListenAddr) -> bool {
    let (whole, part) = match (whole, part) {
        (ListenAddr::Any(port), ListenAddr::Ip(part)) => return *port == part.port() && *port != 0,
        (ListenAddr::Ip(whole), ListenAddr::Ip(part)) => (whole, part),
        _ => return false,
    };
    // `[::]` is bound for IPv6 alone.
    let same_family =
        matches!((whole, part), (SocketAddr::V4(_), SocketAddr::V4(_)) | (SocketAddr::V6(_), SocketAddr::V6(_)));
    whole != part && same_family && whole.ip().is_unspecified() && whole.port() == part.port() && whole.port() != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(listeners: &[&str]) -> Vec<String> {
        let listen = |text: &&str| Listen::plain(text.parse().unwrap());
        let listeners: Vec<Listen> = listeners.iter().map(listen).collect();
        let mut findings = Vec::new();
        check(&listeners, &mut findings);
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn an_address_that_another_listener_has_already_is_found() {
        assert_eq!(found(&[":80", "127.0.0.1:80"]), ["`127.0.0.1:80` is part of `:80`"]);
        assert_eq!(found(&["[::1]:80", ":80"]), ["`[::1]:80` is part of `:80`"]);
        assert_eq!(found(&["0.0.0.0:80", "127.0.0.1:80"]), ["`127.0.0.1:80` is part of `0.0.0.0:80`"]);
        assert_eq!(found(&[":80", "[::]:80", "0.0.0.0:80"]).len(), 2);
    }

    #[test]
    fn listeners_that_share_nothing_stand_side_by_side() {
        assert_eq!(
            found(&["127.0.0.1:80", "[::1]:80", "127.0.0.2:80", ":81", "unix:/a", "127.0.0.1:0", ":0"]),
            [""; 0]
        );
        assert_eq!(found(&["0.0.0.0:80", "[::]:80"]), [""; 0]);
        assert_eq!(found(&["0.0.0.0:0", "127.0.0.1:0"]), [""; 0]);
    }
}
