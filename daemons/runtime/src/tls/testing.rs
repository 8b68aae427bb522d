//! Certificates and clients for tests.

use std::sync::LazyLock;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::{Certificates, certified_key};

/// A certificate for `localhost` and its key.
static LOCALHOST: LazyLock<(String, String)> = LazyLock::new(|| mk_pair("localhost"));

/// A new self-signed certificate and its key, in PEM form.
pub(crate) fn mk_pair(name: &str) -> (String, String) {
    let pair = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    (pair.cert.pem(), pair.signing_key.serialize_pem())
}

/// Certificates with the pair for `localhost`.
pub(crate) fn mk_certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.set(certified_key(LOCALHOST.0.as_bytes(), LOCALHOST.1.as_bytes()).unwrap());
    certificates
}

/// A client that trusts the certificate for `localhost` alone.
pub(crate) fn mk_client(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(LOCALHOST.0.as_bytes()).unwrap()).unwrap();
    ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
