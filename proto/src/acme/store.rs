//! What is kept between two starts: names and bytes; whoever has files writes them, what is secret with mode 0600.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::account::InvalidAccount;
use super::problem::told;
use super::{Account, Failure, Identifier, Issued};

/// Seconds after the first failure, and between two attempts at most.
const FIRST_RETRY: u64 = 60;
const MOST_RETRY: u64 = 86_400;
/// Seconds between a success and the next order, at least.
const AFTER_SUCCESS: u64 = 3600;

/// The file of an account in its server's folder.
pub const ACCOUNT: &str = "account.json";

/// A file.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where, with one `/`: a folder for each server's directory, and the file.
    pub name: String,
    /// What it holds; written whole, then renamed to its name.
    pub bytes: Vec<u8>,
    /// Nobody else may read it.
    pub secret: bool,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("secret", &self.secret).finish_non_exhaustive()
    }
}

/// The folder of what the server at `directory` gave: certificates of a staging server never mix with real ones.
/// `acme-v02.api.letsencrypt.org-directory`.
#[must_use]
pub fn folder(directory: &str) -> String {
    let bare = directory.strip_prefix("https://").or_else(|| directory.strip_prefix("http://")).unwrap_or(directory);
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c.to_ascii_lowercase() } else { '-' };
    let name: String = bare.chars().take(100).map(safe).collect();
    name.trim_matches(['.', '-']).to_owned()
}

/// Where the account at `directory` is kept: `FOLDER/account.json`.
#[must_use]
pub fn account_name(directory: &str) -> String {
    format!("{}/{ACCOUNT}", folder(directory))
}

/// Where the certificate whose first name is `name` is kept: `FOLDER/NAME.pem`.
#[must_use]
pub fn certificate_name(directory: &str, name: &Identifier) -> String {
    format!("{}/{}.pem", folder(directory), name.file_name())
}

/// Where it is kept how often that certificate could not be had: `FOLDER/NAME.json`.
#[must_use]
pub fn attempts_name(directory: &str, name: &Identifier) -> String {
    let file = name.file_name() + ".json";
    // No host's name holds this sign.
    let file = if file == ACCOUNT { format!("_{file}") } else { file };
    format!("{}/{file}", folder(directory))
}

#[derive(Serialize, Deserialize)]
struct AccountFile {
    directory: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    url: Option<String>,
    key: String,
}

impl Account {
    /// What is kept of the account: its key, its URL, its directory. A binding is not: it is used once.
    #[must_use]
    pub fn entry(&self) -> Entry {
        let (directory, email, url, key) = (self.directory(), self.email(), self.url(), self.key_pem());
        let text = json!({ "directory": directory, "email": email, "url": url, "key": key });
        Entry { name: account_name(directory), bytes: format!("{text:#}\n").into_bytes(), secret: true }
    }

    /// The account that [`entry`](Self::entry) wrote.
    ///
    /// # Errors
    /// It is not that, or its key is none.
    pub fn read(bytes: &[u8]) -> Result<Self, InvalidAccount> {
        let file: AccountFile = serde_json::from_slice(bytes).map_err(|_| InvalidAccount::File)?;
        Self::of(&file.directory, file.email.as_deref(), file.url.as_deref(), &file.key)
    }
}

impl Issued {
    /// The certificate with its key, which no crash can part as they are one file: the key, then the chain, as every
    /// tool reads PEM. `name` is the first name that was wished for.
    #[must_use]
    pub fn entry(&self, directory: &str, name: &Identifier) -> Entry {
        let bytes = [self.key_pem.as_bytes(), self.chain_pem.as_bytes()].concat();
        Entry { name: certificate_name(directory, name), bytes, secret: true }
    }
}

/// How often it went wrong in a row and what is known of the next time, so that a server that is started again and again
/// does not ask each time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempts {
    /// Failures since the last success; with none, `last` is that success.
    pub failures: u32,
    /// When the last attempt was, in seconds since 1970; 0 for never.
    pub last: u64,
    /// How many seconds after it the server wants to be left alone at least.
    pub stay_away: u64,
    /// What went wrong, in words.
    pub why: String,
    /// When the server was last asked when to renew, and what it said.
    pub enquiry: Option<Enquired>,
}

/// An answer to when to renew, so that a server that is started again asks no earlier than it would have (RFC 9773 §4.3.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enquired {
    /// Which certificate it is about: [`super::Facts::id`].
    pub id: String,
    /// When it was asked, in seconds since 1970.
    pub at: u64,
    /// How many seconds it holds.
    pub holds: u64,
    /// The first and the last second to renew at; none where the server does not say.
    pub window: Option<(u64, u64)>,
}

impl Attempts {
    /// Counts a failure at `now`.
    pub fn failed(&mut self, failure: &Failure, now: u64) {
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        self.stay_away = failure.retry_after.map_or(0, |time| time.as_secs());
        self.why = told(&failure.to_string(), 4000);
    }

    /// Counts a success at `now`.
    pub fn succeeded(&mut self, now: u64) {
        *self = Self { last: now, ..Self::default() };
    }

    /// When to try again: an hour after a success, however soon the next renewal seems due; a minute after the first failure, then twice as long each time, a day at most; later where the
    /// server said so. `jitter`, any number, adds up to a quarter.
    #[must_use]
    pub fn next(&self, jitter: u64) -> u64 {
        if self.failures == 0 {
            return if self.last == 0 { 0 } else { self.last.saturating_add(AFTER_SUCCESS) };
        }
        let doubled = FIRST_RETRY.saturating_mul(1 << (self.failures - 1).min(20)).min(MOST_RETRY);
        let wait = doubled.max(self.stay_away);
        self.last.saturating_add(wait).saturating_add(jitter % (wait / 4).max(1))
    }

    /// How long from `now` until then; nothing when it is time, or when the clock was set back to before it all.
    #[must_use]
    pub fn wait(&self, now: u64, jitter: u64) -> Duration {
        if now.saturating_add(FIRST_RETRY) < self.last {
            return Duration::ZERO;
        }
        Duration::from_secs(self.next(jitter).saturating_sub(now))
    }

    /// What is kept.
    #[must_use]
    pub fn entry(&self, directory: &str, name: &Identifier) -> Entry {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        Entry { name: attempts_name(directory, name), bytes: format!("{text}\n").into_bytes(), secret: false }
    }

    /// What was kept; none where it cannot be read.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use anygate_core::config::Acme;

    use super::super::{Cause, Stage};
    use super::*;

    #[test]
    fn an_account_is_read_as_it_was_kept() {
        let mut account = Account::generate(Acme::LETSENCRYPT, Some("admin@example.com")).unwrap();
        account.set_url(Some("https://ca.example/acct/1".to_owned()));
        let entry = account.entry();
        assert_eq!(entry.name, "acme-v02.api.letsencrypt.org-directory/account.json");
        assert!(entry.secret && !format!("{entry:?}").contains("bytes"));
        let again = Account::read(&entry.bytes).unwrap();
        assert_eq!((again.thumbprint(), again.url()), (account.thumbprint(), account.url()));
        assert_eq!(again.entry(), entry);
        for broken in ["", "{}", "[]", r#"{"directory":"https://a/","key":"x"}"#] {
            assert!(Account::read(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn no_name_leads_out_of_its_folder() {
        let names = ["https://../../etc/", "https://a/../b", "http://[::1]:14000/dir?x=/..", Acme::LETSENCRYPT_STAGING];
        for directory in names {
            let folder = folder(directory);
            assert!(!folder.is_empty() && !folder.contains(['/', ':', '[']) && !folder.starts_with('.'), "{folder}");
        }
        assert_ne!(folder(Acme::LETSENCRYPT), folder(Acme::LETSENCRYPT_STAGING));
        let name = Identifier::parse("2001:db8::1").unwrap();
        assert_eq!(certificate_name("http://a/", &name), "a/2001_db8__1.pem");
        assert_eq!(attempts_name("http://a/", &name), "a/2001_db8__1.json");
        // A host of a house may be called so.
        let name = Identifier::parse("account").unwrap();
        assert_ne!(attempts_name("http://a/", &name), account_name("http://a/"));
    }

    #[test]
    fn after_each_failure_in_a_row_it_takes_twice_as_long_up_to_a_day() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.wait(5, 9), Duration::ZERO);
        let mut failure = Failure::new(Stage::Order, Cause::TooLong);
        let waits: Vec<u64> = (0..14)
            .map(|_| {
                attempts.failed(&failure, 1000);
                attempts.wait(1000, 0).as_secs()
            })
            .collect();
        assert_eq!(waits[..4], [60, 120, 240, 480]);
        assert_eq!(waits[13], MOST_RETRY);
        assert!((75_000..=108_000).contains(&attempts.wait(1000, u64::MAX).as_secs()));
        failure.retry_after = Some(Duration::from_secs(200_000));
        attempts.failed(&failure, 2000);
        assert_eq!(attempts.next(0), 202_000);
        assert_eq!(attempts.wait(0, 0), Duration::ZERO, "the clock was set back");
        let name = Identifier::parse("a.example").unwrap();
        let entry = attempts.entry("https://ca.example/", &name);
        assert_eq!((Attempts::read(&entry.bytes), entry.secret), (attempts, false));
        assert_eq!(Attempts::read(b"{\"failures\":"), Attempts::default());
        let mut attempts = Attempts::read(&entry.bytes);
        attempts.succeeded(9000);
        assert_eq!((attempts.failures, attempts.next(5)), (0, 9000 + AFTER_SUCCESS));
    }
}
