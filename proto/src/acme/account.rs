//! Who orders certificates: an account's key, its signatures (RFC 7515, RFC 8555 §6.2) and its binding (§7.3.4).

use std::fmt;

use aws_lc_rs::signature::{self, KeyPair as _};
use aws_lc_rs::{digest, hmac, rand};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use super::base64;
use crate::url::is_absolute;

/// An account with an ACME server: an ECDSA P-256 key, and what the server calls it once it knows it.
pub struct Account {
    directory: String,
    contact: Option<String>,
    url: Option<String>,
    key: KeyPair,
    signer: signature::EcdsaKeyPair,
    binding: Option<ExternalBinding>,
}

/// What ties an account to a customer of a server that asks for it: `eab_kid` and `eab_hmac_key` elsewhere.
#[derive(Clone)]
pub struct ExternalBinding {
    kid: String,
    key: Vec<u8>,
}

/// Why an account or a binding cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidAccount {
    /// The key is not an ECDSA P-256 key in PKCS#8 PEM.
    Key,
    /// The address is not one e-mail address.
    Email,
    /// The directory, or the account's own address, is not an absolute `https` or `http` URL.
    Url,
    /// The binding's key is not base64url, or its identifier is empty.
    Binding,
    /// A file that is not what [`Account::entry`] writes.
    File,
}

/// Which key a signature names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer {
    /// The key itself, before the server knows it.
    Jwk,
    /// The account's URL.
    Kid,
}

impl Account {
    /// A new key for the server at `directory`. `email` is where the server may write to, without `mailto:`.
    ///
    /// # Errors
    /// The directory is no URL, or `email` is no single address.
    pub fn generate(directory: &str, email: Option<&str>) -> Result<Self, InvalidAccount> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| InvalidAccount::Key)?;
        Self::with(directory, email, None, key)
    }

    /// The account of a key that was kept; `url` is what [`Account::url`] gave.
    ///
    /// # Errors
    /// The key is not an ECDSA P-256 key in PKCS#8 PEM, or what [`Account::generate`] refuses.
    pub fn of(directory: &str, email: Option<&str>, url: Option<&str>, key: &str) -> Result<Self, InvalidAccount> {
        let key = KeyPair::from_pem(key).map_err(|_| InvalidAccount::Key)?;
        Self::with(directory, email, url, key)
    }

    fn with(directory: &str, email: Option<&str>, url: Option<&str>, key: KeyPair) -> Result<Self, InvalidAccount> {
        if !is_absolute(directory) || url.is_some_and(|url| !is_absolute(url)) {
            return Err(InvalidAccount::Url);
        }
        if email.is_some_and(|email| !is_email(email)) {
            return Err(InvalidAccount::Email);
        }
        let signer =
            signature::EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, key.serialized_der())
                .map_err(|_| InvalidAccount::Key)?;
        Ok(Self {
            directory: directory.to_owned(),
            contact: email.map(str::to_owned),
            url: url.map(str::to_owned),
            key,
            signer,
            binding: None,
        })
    }

    /// The same account, bound to a customer when it is registered (RFC 8555 §7.3.4).
    #[must_use]
    pub fn bound_to(self, binding: ExternalBinding) -> Self {
        Self { binding: Some(binding), ..self }
    }

    /// Where the server's directory is.
    #[must_use]
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// The e-mail address the server knows.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.contact.as_deref()
    }

    /// What the server calls the account; `None` before it was registered.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The private key, PKCS#8 in PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The key's thumbprint, base64url (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let (x, y) = self.point();
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        base64::encode(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref())
    }

    pub(super) fn is_bound(&self) -> bool {
        self.binding.is_some()
    }

    pub(super) fn set_url(&mut self, url: Option<String>) {
        self.url = url;
    }

    /// The body of a signed request: a flattened JWS. `None` when the account has no URL to name, or signing failed.
    pub(super) fn sign(&self, signer: Signer, nonce: &str, url: &str, payload: &str) -> Option<Vec<u8>> {
        let mut head = json!({ "alg": "ES256", "nonce": nonce, "url": url });
        match signer {
            Signer::Jwk => head["jwk"] = self.jwk(),
            Signer::Kid => head["kid"] = self.url.as_deref()?.into(),
        }
        let (head, payload) = (base64::encode(head.to_string().as_bytes()), base64::encode(payload.as_bytes()));
        let signed = format!("{head}.{payload}");
        let signature = self.signer.sign(&rand::SystemRandom::new(), signed.as_bytes()).ok()?;
        let body = json!({ "protected": head, "payload": payload, "signature": base64::encode(signature.as_ref()) });
        Some(body.to_string().into_bytes())
    }

    /// The binding's own JWS, over this account's public key, for the `newAccount` URL.
    pub(super) fn binding_for(&self, new_account: &str) -> Option<Value> {
        let binding = self.binding.as_ref()?;
        let head = json!({ "alg": "HS256", "kid": binding.kid, "url": new_account }).to_string();
        let (head, payload) = (base64::encode(head.as_bytes()), base64::encode(self.jwk().to_string().as_bytes()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &binding.key);
        let tag = hmac::sign(&key, format!("{head}.{payload}").as_bytes());
        Some(json!({ "protected": head, "payload": payload, "signature": base64::encode(tag.as_ref()) }))
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.point();
        json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y })
    }

    /// Both coordinates of the public key; it is 4 and then both, 32 bytes each.
    fn point(&self) -> (String, String) {
        let point = self.signer.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
        (base64::encode(x), base64::encode(y))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("directory", &self.directory).field("url", &self.url).finish_non_exhaustive()
    }
}

impl ExternalBinding {
    /// The identifier and the key, base64url, as the server's operator gives them out.
    ///
    /// # Errors
    /// `kid` is empty, or `key` is empty or no base64url.
    pub fn new(kid: &str, key: &str) -> Result<Self, InvalidAccount> {
        let key = base64::decode(key.trim_end_matches('=')).filter(|key| !key.is_empty());
        match key {
            Some(key) if !kid.is_empty() => Ok(Self { kid: kid.to_owned(), key }),
            _ => Err(InvalidAccount::Binding),
        }
    }
}

impl fmt::Debug for ExternalBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalBinding").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl fmt::Display for InvalidAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "not an ECDSA P-256 key in PKCS#8 PEM",
            Self::Email => "not one e-mail address, such as `admin@example.com`",
            Self::Url => "not a URL that begins with `https://`",
            Self::Binding => "an external account binding is an identifier and a key in base64url",
            Self::File => "not an account file",
        })
    }
}

/// One address, without what a `mailto:` URL could say besides (RFC 8555 §7.3).
fn is_email(text: &str) -> bool {
    let printable = text.len() <= 254 && text.chars().all(|c| !c.is_control() && !c.is_whitespace());
    let parts = text.rsplit_once('@');
    printable && !text.contains([',', '?', '%', '<', '>']) && parts.is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTORY: &str = "https://ca.example/directory";

    #[test]
    fn an_account_is_the_same_after_it_was_kept() {
        let account = Account::generate(DIRECTORY, Some("admin@example.com")).unwrap();
        let again = Account::of(DIRECTORY, None, None, &account.key_pem()).unwrap();
        assert_eq!(again.thumbprint(), account.thumbprint());
        assert_eq!(account.thumbprint().len(), 43);
        assert_ne!(Account::generate(DIRECTORY, None).unwrap().thumbprint(), account.thumbprint());
    }

    #[test]
    fn a_signature_verifies_with_the_key_it_names() {
        let account = Account::generate(DIRECTORY, None).unwrap();
        let body = account.sign(Signer::Jwk, "n0nce", "https://ca.example/new", "{}").unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let head: Value = serde_json::from_slice(&base64::decode(&text("protected")).unwrap()).unwrap();
        assert_eq!((&head["alg"], &head["nonce"]), (&"ES256".into(), &"n0nce".into()));
        assert_eq!(base64::decode(&text("payload")).unwrap(), b"{}");
        let mut point = vec![4];
        for axis in ["x", "y"] {
            point.extend(base64::decode(head["jwk"][axis].as_str().unwrap()).unwrap());
        }
        let key = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
        let signed = format!("{}.{}", text("protected"), text("payload"));
        key.verify(signed.as_bytes(), &base64::decode(&text("signature")).unwrap()).unwrap();
    }

    #[test]
    fn without_a_url_nothing_is_signed_by_it() {
        let account = Account::generate(DIRECTORY, None).unwrap();
        assert_eq!(account.sign(Signer::Kid, "n", "https://ca.example/", ""), None);
    }

    #[test]
    fn no_key_is_ever_printed() {
        let binding = ExternalBinding::new("kid-1", "c2VjcmV0").unwrap();
        assert!(!format!("{binding:?}").contains("secret") && !format!("{binding:?}").contains("115"));
        let account = Account::generate(DIRECTORY, None).unwrap().bound_to(binding);
        assert_eq!(format!("{account:?}"), format!("Account {{ directory: {DIRECTORY:?}, url: None, .. }}"));
    }

    #[test]
    fn what_is_no_account_is_refused_by_what_is_wrong() {
        let email = |email| Account::generate(DIRECTORY, Some(email)).err();
        assert_eq!(email("admin@example.com"), None);
        for wrong in ["", "admin", "@", "a@", "@b", "a@b,c@d", "a@b?subject=x", "a@b\r\nc", "a b@c"] {
            assert_eq!(email(wrong), Some(InvalidAccount::Email), "{wrong:?}");
        }
        for wrong in ["", "ca.example", "ftp://ca.example/", "https://", "https://a b/", "https://u:p@ca.example/"] {
            assert_eq!(Account::generate(wrong, None).err(), Some(InvalidAccount::Url), "{wrong:?}");
        }
        assert_eq!(Account::of(DIRECTORY, None, None, "").err(), Some(InvalidAccount::Key));
        assert_eq!(ExternalBinding::new("kid", "a+b=").err(), Some(InvalidAccount::Binding));
        assert_eq!(ExternalBinding::new("", "AAAA").err(), Some(InvalidAccount::Binding));
    }
}
