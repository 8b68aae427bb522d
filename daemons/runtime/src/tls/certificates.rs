//! The certificate that handshakes get, and how it is read.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificate and key that the next handshake gets. Clones share them.
///
/// While there is none, handshakes are refused.
#[derive(Clone, Debug, Default)]
pub struct Certificates(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

/// A certificate with its key that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// No certificate in the text.
    #[error("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// Broken PEM where certificates are expected.
    #[error("the certificate is not valid PEM: {0}")]
    CertificatePem(String),
    /// No private key in the text, or a broken one.
    #[error("holds no private key in PEM form (-----BEGIN PRIVATE KEY-----): {0}")]
    KeyPem(String),
    /// They do not belong together, or are of an unknown kind.
    #[error("certificate and key cannot be used together: {0}")]
    Unusable(String),
}

impl Certificates {
    /// No certificate yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What handshakes get from now on.
    pub fn set(&self, pair: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(pair));
    }

    /// Refuses handshakes from now on.
    pub fn clear(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether handshakes can succeed.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.current().is_some()
    }

    /// What handshakes get.
    #[must_use]
    pub fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

/// Reads a certificate, with what it was signed by after it, and its key from PEM texts.
///
/// # Errors
/// [`CertificateError`] when one of them is missing or broken, or when they do not belong together.
pub fn certified_key(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, CertificateError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| CertificateError::CertificatePem(error.to_string()))?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|error| CertificateError::KeyPem(error.to_string()))?;
    CertifiedKey::from_der(chain, key, &default_provider())
        .map_err(|error| CertificateError::Unusable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::mk_pair;

    #[test]
    fn a_pair_is_read_and_can_be_replaced_and_cleared() {
        let certificates = Certificates::new();
        assert!(!certificates.is_present());
        let (certificate, key) = mk_pair("a.test");
        certificates.set(certified_key(certificate.as_bytes(), key.as_bytes()).unwrap());
        let first = certificates.current().unwrap();
        let (certificate, key) = mk_pair("b.test");
        certificates.clone().set(certified_key(certificate.as_bytes(), key.as_bytes()).unwrap());
        assert_ne!(certificates.current().unwrap().cert, first.cert);
        certificates.clear();
        assert!(!certificates.is_present());
    }

    #[test]
    fn what_is_wrong_with_a_pair_is_said() {
        let (certificate, key) = mk_pair("a.test");
        let (_, other) = mk_pair("b.test");
        let error =
            |certificate: &str, key: &str| certified_key(certificate.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(error("", &key), CertificateError::NoCertificate);
        assert_eq!(error(&key, &key), CertificateError::NoCertificate);
        assert!(matches!(error(&certificate[..80], &key), CertificateError::CertificatePem(_)));
        assert!(matches!(error(&certificate, ""), CertificateError::KeyPem(_)));
        assert!(matches!(error(&certificate, &certificate), CertificateError::KeyPem(_)));
        assert!(matches!(error(&certificate, &other), CertificateError::Unusable(_)));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(error(broken, &key), CertificateError::Unusable(_)));
    }
}
