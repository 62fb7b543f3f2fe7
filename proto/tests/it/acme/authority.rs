//! A small ACME server in memory, strict where RFC 8555 says MUST: signatures, nonces, states, challenges, requests.

use std::collections::HashSet;
use std::time::Duration;

use anygate_proto::acme::{Answer, Facts, Method, Request};
use anygate_proto::date;
use aws_lc_rs::{digest, signature};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair, SanType, SerialNumber,
};
use serde_json::{Value, json};

use super::Manner;
use super::jose::{bound, decode, encode, point};

/// Where it is, unless it is said to be elsewhere.
pub(super) const BASE: &str = "https://ca.example";

/// Asks as a validating server does: HTTP-01 for a name and token gives a body, TLS-ALPN-01 for a server name a
/// certificate.
pub(super) trait Internet {
    fn http(&self, name: &str, token: &str) -> Option<String>;
    fn tls(&self, server_name: &str) -> Option<Vec<u8>>;
}

pub(super) struct Account {
    point: Vec<u8>,
    thumbprint: String,
    pub(super) contact: Value,
}

pub(super) struct Authorization {
    account: usize,
    name: (String, String),
    status: &'static str,
    token: String,
    tried: Option<String>,
    error: Option<Value>,
    polls: u32,
}

pub(super) struct Order {
    account: usize,
    pub(super) names: Vec<(String, String)>,
    pub(super) status: &'static str,
    authorizations: Vec<usize>,
    polls: u32,
    pub(super) chain: String,
    pub(super) profile: Value,
    pub(super) replaces: Value,
}

pub(super) struct Authority {
    base: String,
    pub(super) manner: Manner,
    issuer: Issuer<'static, KeyPair>,
    root: String,
    nonces: HashSet<String>,
    counter: u64,
    used: u64,
    pub(super) accounts: Vec<Account>,
    pub(super) orders: Vec<Order>,
    pub(super) authorizations: Vec<Authorization>,
    pub(super) window: (String, String),
    /// So many thirds into the life of the last certificate, instead of the window.
    pub(super) suggest: Option<u64>,
    pub(super) now: u64,
    issued_at: u64,
}

type Refusal = (u16, &'static str, String);

impl Authority {
    pub(super) fn new(manner: Manner) -> Self {
        Self::at(BASE, manner)
    }

    /// One whose URLs begin so, without a slash at the end.
    pub(super) fn at(base: &str, manner: Manner) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().pem();
        Self {
            base: base.to_owned(),
            manner,
            issuer: Issuer::new(params, key),
            root,
            nonces: HashSet::new(),
            counter: 0,
            used: 0,
            accounts: Vec::new(),
            orders: Vec::new(),
            authorizations: Vec::new(),
            window: ("2030-01-01T00:00:00Z".into(), "2030-01-02T00:00:00Z".into()),
            suggest: None,
            now: 0,
            issued_at: 0,
        }
    }

    pub(super) fn answer(&mut self, request: &Request, internet: &dyn Internet) -> Answer {
        assert!(request.headers.iter().any(|(name, _)| *name == "User-Agent"), "RFC 8555 section 6.1");
        let path = request.url.strip_prefix(&self.base).expect("a URL of this server").to_owned();
        let mut answer = match self.route(&path, request, internet) {
            Ok(answer) => answer,
            Err((status, kind, detail)) => problem(status, kind, &detail),
        };
        if path != "/directory" && self.manner.nonces_everywhere || path == "/nonce" {
            let nonce = self.nonce();
            answer.headers.push(("Replay-Nonce".into(), nonce));
        }
        answer
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    fn nonce(&mut self) -> String {
        self.counter += 1;
        let nonce = encode(format!("nonce {}", self.counter).as_bytes());
        self.nonces.insert(nonce.clone());
        nonce
    }

    fn route(&mut self, path: &str, request: &Request, internet: &dyn Internet) -> Result<Answer, Refusal> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (request.method, parts.as_slice()) {
            (Method::Get, ["directory"]) => Ok(object(200, &self.directory())),
            (Method::Head, ["nonce"]) => Ok(Answer { status: 200, ..Answer::default() }),
            (Method::Get, ["renewal", id]) if self.manner.renewal_info => {
                assert!(id.split_once('.').is_some_and(|(key, serial)| !key.is_empty() && !serial.is_empty()), "{id}");
                let (start, end) = match self.suggest {
                    Some(thirds) => {
                        let start = self.issued_at + self.manner.lifetime * thirds / 3;
                        (written(start), written(start + self.manner.lifetime / 30))
                    }
                    None => self.window.clone(),
                };
                let window = json!({ "start": start, "end": end });
                let mut answer =
                    object(200, &json!({ "suggestedWindow": window, "explanationURL": "https://ca.example/why" }));
                answer.headers.push(("Retry-After".into(), "21600".into()));
                Ok(answer)
            }
            (Method::Post, parts) => self.signed(parts, request, internet),
            _ => Err((405, "malformed", format!("{:?} {path}", request.method))),
        }
    }

    fn directory(&self) -> Value {
        let mut meta = json!({ "website": self.base });
        if self.manner.terms {
            meta["termsOfService"] = self.url("terms").into();
        }
        if self.manner.binding.is_some() {
            meta["externalAccountRequired"] = true.into();
        }
        if !self.manner.profiles.is_empty() {
            meta["profiles"] = self.manner.profiles.iter().map(|name| ((*name).to_owned(), json!("…"))).collect();
        }
        let mut directory = json!({
            "newNonce": self.url("nonce"),
            "newAccount": self.url("account"),
            "newOrder": self.url("order"),
            "revokeCert": self.url("revoke"),
            "keyChange": self.url("key"),
            "K0ok7BbGzyc": "https://example.org/why-is-there-a-random-entry",
            "meta": meta,
        });
        if self.manner.renewal_info {
            directory["renewalInfo"] = self.url("renewal").into();
        }
        directory
    }

    fn signed(&mut self, parts: &[&str], request: &Request, internet: &dyn Internet) -> Result<Answer, Refusal> {
        let malformed = |detail: &str| (400, "malformed", detail.to_owned());
        let kind = request.headers.iter().find(|(name, _)| *name == "Content-Type").map(|(_, value)| *value);
        if kind != Some("application/jose+json") {
            return Err((415, "malformed", "content type".into()));
        }
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| malformed("no JSON"))?;
        let text = |name: &str| body[name].as_str().ok_or_else(|| malformed(name));
        let (head, payload) = (text("protected")?, text("payload")?);
        let signed = format!("{head}.{payload}");
        let head: Value = serde_json::from_slice(&decode(head)).map_err(|_| malformed("protected"))?;
        let nonce = head["nonce"].as_str().unwrap_or_default();
        if !self.nonces.remove(nonce) {
            return Err((400, "badNonce", format!("unknown or used: {nonce}")));
        }
        self.used += 1;
        if self.manner.bad_nonce_each > 0 && self.used.is_multiple_of(self.manner.bad_nonce_each) {
            return Err((400, "badNonce", "not this one".into()));
        }
        if head["alg"] != "ES256" {
            return Err((400, "badSignatureAlgorithm", head["alg"].to_string()));
        }
        if head["url"] != request.url.as_str() {
            return Err((401, "unauthorized", "another URL was signed".into()));
        }
        let (account, point) = match (&head["jwk"], head["kid"].as_str()) {
            (Value::Object(_), None) if parts == ["account"] => (None, point(&head["jwk"])),
            (Value::Null, Some(kid)) if parts != ["account"] => {
                let number = kid.strip_prefix(&self.url("account/")).and_then(|number| number.parse().ok());
                let number = number.filter(|&number: &usize| number < self.accounts.len());
                let number = number.ok_or_else(|| (400, "accountDoesNotExist", kid.to_owned()))?;
                (Some(number), self.accounts[number].point.clone())
            }
            _ => return Err(malformed("jwk or kid, each where it belongs")),
        };
        let key = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, &point);
        key.verify(signed.as_bytes(), &decode(text("signature")?))
            .map_err(|_| (401, "unauthorized", "signature".to_owned()))?;
        let payload = decode(payload);
        let reads = payload.is_empty();
        let payload: Value =
            if reads { Value::Null } else { serde_json::from_slice(&payload).map_err(|_| malformed("payload"))? };
        let number = |text: &str| text.parse::<usize>().map_err(|_| malformed("number"));
        let account = account.unwrap_or(usize::MAX);
        match *parts {
            ["account"] => self.register(point, &head["jwk"], &payload, &request.url),
            ["order"] if !reads => self.order(account, &payload),
            ["order", order] if reads => self.show_order(account, number(order)?),
            ["order", order, "finalize"] if !reads => self.finalize(account, number(order)?, &payload),
            ["authorization", one] if reads => self.authorization(account, number(one)?, internet),
            ["challenge", one, kind] if payload == json!({}) => self.challenge(account, number(one)?, kind),
            ["certificate", order] if reads => {
                let accept = request.headers.iter().find(|(name, _)| *name == "Accept").map(|(_, value)| *value);
                assert_eq!(accept, Some("application/pem-certificate-chain"));
                let order = &self.orders[number(order)?];
                let headers = vec![("Content-Type".to_owned(), "application/pem-certificate-chain".to_owned())];
                Ok(Answer { status: 200, headers, body: order.chain.as_bytes().to_vec() })
            }
            _ => Err(malformed("no such thing")),
        }
    }

    fn register(&mut self, point: Vec<u8>, jwk: &Value, payload: &Value, url: &str) -> Result<Answer, Refusal> {
        let known = self.accounts.iter().position(|account| account.point == point);
        let (status, number) = match known {
            Some(number) => (200, number),
            None => {
                if self.manner.terms && payload["termsOfServiceAgreed"] != true {
                    return Err((403, "userActionRequired", "terms".into()));
                }
                if let Some((kid, key)) = self.manner.binding {
                    bound(&payload["externalAccountBinding"], kid, key, jwk, url)?;
                }
                let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
                let thumbprint = encode(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
                self.accounts.push(Account { point, thumbprint, contact: payload["contact"].clone() });
                (201, self.accounts.len() - 1)
            }
        };
        let mut answer = object(status, &json!({ "status": "valid", "orders": self.url(&format!("orders/{number}")) }));
        answer.headers.push(("Location".into(), self.url(&format!("account/{number}"))));
        Ok(answer)
    }

    fn order(&mut self, account: usize, payload: &Value) -> Result<Answer, Refusal> {
        if payload["replaces"].is_string() && self.orders.iter().any(|order| order.replaces == payload["replaces"]) {
            return Err((409, "alreadyReplaced", "once is enough".into()));
        }
        let replaced = self.orders.iter().find(|order| {
            let id = Facts::of(order.chain.as_bytes()).ok().and_then(|facts| facts.id);
            id.is_some_and(|id| payload["replaces"] == id)
        });
        if replaced.is_some_and(|order| order.account != account) {
            return Err((403, "unauthorized", "another account ordered that".into()));
        }
        let named = payload["identifiers"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let names: Vec<_> = named.iter().map(|name| (text(&name["type"]), text(&name["value"]))).collect();
        if names.is_empty() || names.iter().any(|(kind, _)| kind != "dns" && kind != "ip") {
            return Err((400, "unsupportedIdentifier", payload["identifiers"].to_string()));
        }
        if names.iter().any(|(_, name)| name.ends_with(".forbidden.example")) {
            return Err((403, "rejectedIdentifier", "policy".into()));
        }
        let authorizations: Vec<usize> = names.iter().map(|name| self.authorize(account, name)).collect();
        let ready = authorizations.iter().all(|&one| self.authorizations[one].status == "valid");
        self.orders.push(Order {
            account,
            names,
            status: if ready { "ready" } else { "pending" },
            authorizations,
            polls: 0,
            chain: String::new(),
            profile: payload["profile"].clone(),
            replaces: payload["replaces"].clone(),
        });
        let number = self.orders.len() - 1;
        Ok(self.order_object(number, 201))
    }

    fn authorize(&mut self, account: usize, name: &(String, String)) -> usize {
        let valid = |one: &Authorization| one.account == account && one.name == *name && one.status == "valid";
        if let Some(number) = self.authorizations.iter().position(valid).filter(|_| self.manner.reuse) {
            return number;
        }
        let number = self.authorizations.len();
        let token = encode(digest::digest(&digest::SHA256, format!("token {number}").as_bytes()).as_ref());
        let name = name.clone();
        self.authorizations.push(Authorization {
            account,
            name,
            status: "pending",
            token,
            tried: None,
            error: None,
            polls: 0,
        });
        number
    }

    fn order_object(&self, number: usize, status: u16) -> Answer {
        let order = &self.orders[number];
        let names: Vec<_> = order.names.iter().map(|(kind, name)| json!({ "type": kind, "value": name })).collect();
        let urls: Vec<_> = order.authorizations.iter().map(|one| self.url(&format!("authorization/{one}"))).collect();
        let mut body = json!({
            "status": order.status,
            "expires": "2030-01-01T00:00:00Z",
            "identifiers": names,
            "authorizations": urls,
            "finalize": self.url(&format!("order/{number}/finalize")),
        });
        if order.status == "valid" {
            body["certificate"] = self.url(&format!("certificate/{number}")).into();
        }
        let mut answer = object(status, &body);
        answer.headers.push(("Location".into(), self.url(&format!("order/{number}"))));
        if order.status == "processing" {
            self.patience(&mut answer);
        }
        answer
    }

    fn patience(&self, answer: &mut Answer) {
        if let Some(value) = self.manner.retry_after {
            answer.headers.push(("Retry-After".into(), value.into()));
        }
    }

    fn show_order(&mut self, account: usize, number: usize) -> Result<Answer, Refusal> {
        let states: Vec<_> =
            self.orders[number].authorizations.iter().map(|&one| self.authorizations[one].status).collect();
        let order = &mut self.orders[number];
        if order.account != account {
            return Err((403, "unauthorized", "another account's".into()));
        }
        if order.status == "pending" {
            if states.contains(&"invalid") {
                order.status = "invalid";
            } else if states.iter().all(|status| *status == "valid") {
                order.status = "ready";
            }
        } else if order.status == "processing" {
            order.polls += 1;
            if order.polls >= self.manner.polls {
                order.status = "valid";
            }
        }
        Ok(self.order_object(number, 200))
    }

    fn finalize(&mut self, account: usize, number: usize, payload: &Value) -> Result<Answer, Refusal> {
        let order = &mut self.orders[number];
        if order.account != account {
            return Err((403, "unauthorized", "another account's".into()));
        }
        if order.status != "ready" {
            return Err((403, "orderNotReady", order.status.to_owned()));
        }
        let bad = |detail: &str| (400, "badCSR", detail.to_owned());
        let csr = decode(payload["csr"].as_str().ok_or_else(|| bad("none"))?);
        let mut request =
            CertificateSigningRequestParams::from_der(&csr.into()).map_err(|why| bad(&why.to_string()))?;
        let name = |san: &SanType| match san {
            SanType::DnsName(name) => ("dns".to_owned(), name.as_str().to_owned()),
            SanType::IpAddress(address) => ("ip".to_owned(), address.to_string()),
            other => (String::new(), format!("{other:?}")),
        };
        let (mut asked, mut ordered): (Vec<_>, Vec<_>) =
            (request.params.subject_alt_names.iter().map(name).collect(), order.names.clone());
        asked.sort();
        ordered.sort();
        if asked != ordered {
            return Err(bad("other names than the order's"));
        }
        if request.params.distinguished_name.iter().next().is_some() {
            return Err(bad("a subject"));
        }
        request.params.serial_number = Some(SerialNumber::from(0x8000 + number as u64));
        request.params.use_authority_key_identifier_extension = true;
        let second = |unix| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(unix);
        request.params.not_before = second(self.now);
        request.params.not_after = second(self.now + self.manner.lifetime);
        self.issued_at = self.now;
        let leaf = request.signed_by(&self.issuer).map_err(|why| bad(&why.to_string()))?;
        order.chain = leaf.pem() + &self.root;
        order.status = if self.manner.polls == 0 { "valid" } else { "processing" };
        Ok(self.order_object(number, 200))
    }

    fn authorization(&mut self, account: usize, number: usize, internet: &dyn Internet) -> Result<Answer, Refusal> {
        let thumbprint = self.accounts[account].thumbprint.clone();
        let one = &mut self.authorizations[number];
        if one.account != account {
            return Err((403, "unauthorized", "another account's".into()));
        }
        if one.status == "pending"
            && let Some(kind) = one.tried.clone()
        {
            one.polls += 1;
            if one.polls > self.manner.polls {
                match one.prove(&kind, &thumbprint, internet) {
                    Ok(()) => one.status = "valid",
                    Err(detail) => {
                        one.status = "invalid";
                        let kind = "urn:ietf:params:acme:error:unauthorized";
                        one.error = Some(json!({ "type": kind, "detail": detail, "status": 403 }));
                    }
                }
            }
        }
        let one = &self.authorizations[number];
        let challenges: Vec<_> =
            self.manner.challenges.iter().map(|kind| one.challenge_object(&self.base, number, kind)).collect();
        let body = json!({
            "status": one.status,
            "expires": "2030-01-01T00:00:00Z",
            "identifier": { "type": one.name.0, "value": one.name.1 },
            "challenges": challenges,
        });
        let mut answer = object(200, &body);
        if one.status == "pending" && one.tried.is_some() {
            self.patience(&mut answer);
        }
        Ok(answer)
    }

    fn challenge(&mut self, account: usize, number: usize, kind: &str) -> Result<Answer, Refusal> {
        let one = &mut self.authorizations[number];
        if one.account != account {
            return Err((403, "unauthorized", "another account's".into()));
        }
        if one.status != "pending" {
            return Err((400, "malformed", "the authorization must be pending".into()));
        }
        one.tried = Some(kind.to_owned());
        Ok(object(200, &one.challenge_object(&self.base, number, kind)))
    }
}

impl Authorization {
    fn challenge_object(&self, base: &str, number: usize, kind: &str) -> Value {
        let url = format!("{base}/challenge/{number}/{kind}");
        let tried = self.tried.as_deref() == Some(kind);
        let status = match self.status {
            "pending" if tried => "processing",
            "pending" => "pending",
            status if tried => status,
            _ => "pending",
        };
        let mut body = json!({ "type": kind, "url": url, "status": status, "token": self.token });
        if let Some(error) = self.error.as_ref().filter(|_| tried) {
            body["error"] = error.clone();
        }
        body
    }

    /// Asks the internet as RFC 8555 section 8.3, RFC 8737 section 3 and RFC 8738 section 6 have it.
    fn prove(&self, kind: &str, thumbprint: &str, internet: &dyn Internet) -> Result<(), String> {
        let expected = format!("{}.{thumbprint}", self.token);
        if kind == "http-01" {
            let body = internet.http(&self.name.1, &self.token).ok_or("no answer")?;
            return if body.trim_end() == expected { Ok(()) } else { Err("another key authorization".into()) };
        }
        let server_name = match self.name.1.parse::<std::net::Ipv4Addr>() {
            Ok(address) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            Err(_) => self.name.1.clone(),
        };
        let certificate = internet.tls(&server_name).ok_or("no certificate")?;
        let digest = digest::digest(&digest::SHA256, expected.as_bytes());
        let extension = [
            // id-pe-acmeIdentifier, critical, an octet string in an octet string.
            &[6, 8, 0x2b, 6, 1, 5, 5, 7, 1, 0x1f, 1, 1, 0xff, 4, 0x22, 4, 0x20],
            digest.as_ref(),
        ]
        .concat();
        let holds = certificate.windows(extension.len()).any(|window| window == extension);
        if holds { Ok(()) } else { Err("the certificate does not hold the digest".into()) }
    }
}

pub(super) fn object(status: u16, body: &Value) -> Answer {
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    Answer { status, headers, body: body.to_string().into_bytes() }
}

pub(super) fn problem(status: u16, kind: &str, detail: &str) -> Answer {
    let body = json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": status });
    let headers = vec![("content-type".to_owned(), "application/problem+json".to_owned())];
    Answer { status, headers, body: body.to_string().into_bytes() }
}

/// RFC 3339.
fn written(unix: u64) -> String {
    let ((year, month, day), second) = (date::civil(unix / 86_400), unix % 86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
