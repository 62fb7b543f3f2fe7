//! A certificate that this process made itself, for listeners to be tried with.

use std::sync::{Arc, Mutex, PoisonError};

use anygate_core::config::{Config, ListenAddr};
use anygate_proto::tls::Identity;
use anygate_proto::tls::self_signed::{self, NAMES};

/// Who brings it.
pub(crate) const GIVER: &str = "self-signed";

/// What was made last, and for which names: who trusts it goes on to do so after a reload.
static MADE: Mutex<Option<(Vec<String>, Arc<Identity>)>> = Mutex::new(None);

/// A certificate for this machine, and for the addresses that the configuration listens at. `now` is in seconds since 1970.
///
/// # Errors
/// What is wrong: there are no random bytes.
pub(crate) fn identity(config: &Config, now: u64) -> Result<Arc<Identity>, Box<str>> {
    let names = names(config);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, identity)) = made.as_ref().filter(|(known, _)| *known == names) {
        return Ok(Arc::clone(identity));
    }
    let list: Vec<&str> = names.iter().map(String::as_str).collect();
    let pair = self_signed::make(&list, now)?;
    let identity = Identity::load(pair.cert.as_bytes(), pair.key.as_bytes(), None, now);
    let identity = Arc::new(identity.map_err(|why| why.to_string().into_boxed_str())?);
    *made = Some((names, Arc::clone(&identity)));
    Ok(identity)
}

fn names(config: &Config) -> Vec<String> {
    let mut names = NAMES.map(str::to_owned).to_vec();
    for listen in &config.server.listen {
        let ListenAddr::Ip(address) = &listen.addr else { continue };
        let name = address.ip().to_string();
        if !address.ip().is_unspecified() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use anygate_core::config::{Env, load_text};

    use super::*;

    #[test]
    fn what_was_made_is_kept_as_long_as_the_addresses_are_the_same() {
        let load = |text: &str| load_text("test.yml", text, &Env::new(), &[]).config.expect("it is good");
        let config = load("server: {listen: ['127.0.0.1:1', '10.1.2.3:1', '[::1]:1', ':1', '0.0.0.0:2']}");
        assert_eq!(names(&config), ["localhost", "127.0.0.1", "::1", "10.1.2.3"]);
        let (one, other) = (identity(&config, 0).unwrap(), identity(&config, 9).unwrap());
        assert!(Arc::ptr_eq(&one, &other));
        assert!(!Arc::ptr_eq(&one, &identity(&load("server: {listen: ':1'}"), 9).unwrap()));
    }
}
