//! Who issues certificates in a test, and says of them what an OCSP responder says.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anygate_proto::tls::{Facts, Identity};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair, SigningKey,
    date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// TLS feature (RFC 7633), and the content that demands a stapled response.
const TLS_FEATURE: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 24];
const DEMAND: [u8; 5] = [0x30, 3, 2, 1, 5];
/// Authority information access (RFC 5280 §4.2.2.1).
const ACCESS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
/// The inside of `id-ad-ocsp`.
const OCSP: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 0x30, 1];
/// `id-pkix-ocsp-basic`.
const BASIC: [u8; 9] = [0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
/// `ecdsa-with-SHA256`.
const SIGNATURE: [u8; 12] = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// Now, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970").as_secs()
}

/// Who issues certificates.
pub(crate) struct Issuer(CertifiedIssuer<'static, KeyPair>);

/// A certificate that was issued, with its issuer's, and its key.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) serial: String,
}

/// What is to be special about a certificate.
#[derive(Default)]
pub(crate) struct Wanted<'w> {
    /// Its first and last second.
    pub(crate) valid: Option<(u64, u64)>,
    pub(crate) must_staple: bool,
    pub(crate) responder: Option<&'w str>,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, &Wanted::default())
    }

    pub(crate) fn issue_with(&self, names: &[&str], wanted: &Wanted<'_>) -> Issued {
        let names: Vec<_> = names.iter().map(|name| String::from(*name)).collect();
        let mut params = CertificateParams::new(names).expect("names");
        if let Some((from, until)) = wanted.valid {
            let moment = |second| date_time_ymd(1970, 1, 1) + Duration::from_secs(second);
            (params.not_before, params.not_after) = (moment(from), moment(until));
        }
        if wanted.must_staple {
            params.custom_extensions.push(CustomExtension::from_oid_content(TLS_FEATURE, DEMAND.to_vec()));
        }
        if let Some(url) = wanted.responder {
            let access = element(0x30, &[&element(0x30, &[&element(6, &[&OCSP]), &element(0x86, &[url.as_bytes()])])]);
            params.custom_extensions.push(CustomExtension::from_oid_content(ACCESS, access));
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let facts = Facts::read(certificate.der()).expect("it can be read");
        let chain = certificate.pem() + &self.0.pem();
        Issued { chain, key: key.serialize_pem(), serial: facts.serial.to_string() }
    }

    /// Says that a certificate is good, as a responder does who was asked by this request.
    pub(crate) fn vouch(&self, request: &[u8], this_update: u64, next_update: u64) -> Vec<u8> {
        // OCSPRequest, TBSRequest, requestList, Request, CertID.
        let id = (0..4).fold(request, |outer, _| inside(outer));
        let good = [0x80, 0];
        let next = element(0xa0, &[&time(next_update)]);
        let answer = element(0x30, &[id, &good, &time(this_update), &next]);
        let responder = element(0xa2, &[&element(4, &[b"a test's"])]);
        let data = element(0x30, &[&responder, &time(this_update), &element(0x30, &[&answer])]);
        let signature = self.0.key().sign(&data).expect("it can sign");
        let basic = element(0x30, &[&data, &SIGNATURE, &element(3, &[&[0], &signature])]);
        let bytes = element(0x30, &[&element(6, &[&BASIC]), &element(4, &[&basic])]);
        element(0x30, &[&[10, 1, 0], &element(0xa0, &[&bytes])])
    }

    /// A client that believes this issuer and begins each session anew.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        self.client_that_notes().0
    }

    /// The same, and the OCSP response of its last handshake; empty for none.
    pub(crate) fn client_that_notes(&self) -> (Arc<ClientConfig>, Arc<Mutex<Vec<u8>>>) {
        let (builder, stapled) = self.believer();
        (settled(builder.with_no_client_auth()), stapled)
    }

    /// The same, with a certificate of its own.
    pub(crate) fn client_with(&self, own: &Issued) -> Arc<ClientConfig> {
        let chain = CertificateDer::pem_slice_iter(own.chain.as_bytes()).map(|der| der.expect("PEM")).collect();
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
        settled(self.believer().0.with_client_auth_cert(chain, key).expect("they fit"))
    }

    fn believer(&self) -> (ConfigBuilder<ClientConfig, WantsClientCert>, Arc<Mutex<Vec<u8>>>) {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("it can be believed");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let stapled = Arc::new(Mutex::new(Vec::new()));
        let notes = Notes { verifier: verifier.build().expect("a verifier"), stapled: Arc::clone(&stapled) };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("both versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(notes));
        (builder, stapled)
    }
}

fn settled(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

impl Issued {
    /// The request for its OCSP response.
    pub(crate) fn ocsp_request(&self) -> Vec<u8> {
        let identity = Identity::load(self.chain.as_bytes(), self.key.as_bytes(), None, now()).expect("they fit");
        identity.ocsp_request().expect("the issuer's certificate is there")
    }
}

/// Verifies as everybody does, and notes what is stapled.
#[derive(Debug)]
struct Notes {
    verifier: Arc<WebPkiServerVerifier>,
    stapled: Arc<Mutex<Vec<u8>>>,
}

impl ServerCertVerifier for Notes {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        stapled.clone_into(&mut self.stapled.lock().expect("nobody panics with it"));
        self.verifier.verify_server_cert(leaf, others, name, stapled, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// An element of DER.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=0x7f => out.push(short as u8),
        middle @ 0x80..=0xff => out.extend([0x81, middle as u8]),
        long => out.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    out.extend(content);
    out
}

/// The content of an element of DER.
fn inside(element: &[u8]) -> &[u8] {
    match element[1] {
        0x81 => &element[3..],
        0x82 => &element[4..],
        _ => &element[2..],
    }
}

/// A GeneralizedTime.
fn time(second: u64) -> Vec<u8> {
    let (year, month, day) = anygate_proto::date::civil(second / 86_400);
    let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
    element(0x18, &[format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z").as_bytes()])
}
