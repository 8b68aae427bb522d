//! A certificate for a port whose clients do not check who it is from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::Certificates;

/// How long a certificate is valid: what clients accept at most.
const VALIDITY: Duration = Duration::from_secs(397 * 24 * 60 * 60);

/// Clocks of other machines may be behind ours.
const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);

/// Pause between two certificates: well before the end of the first.
const RENEWAL: Duration = Duration::from_secs(180 * 24 * 60 * 60);

/// A certificate that could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot make a certificate for {names:?}: {reason}")]
pub struct SelfSignedError {
    /// Names and addresses that it was to be made out to.
    names: Vec<String>,
    /// What the library said.
    reason: String,
}

/// A new certificate for these names and addresses, signed with its own key; the first is its subject.
///
/// # Errors
/// [`SelfSignedError`] when a name is none, or the system gives no randomness.
pub fn self_signed(names: &[String], now: SystemTime) -> Result<CertifiedKey, SelfSignedError> {
    let failed = |reason: String| SelfSignedError { names: names.to_vec(), reason };
    let mut params = CertificateParams::new(names).map_err(|error| failed(error.to_string()))?;
    let epoch = date_time_ymd(1970, 1, 1);
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_before = epoch + since_epoch.saturating_sub(BACKDATED);
    params.not_after = epoch + since_epoch.saturating_add(VALIDITY);
    if let Some(subject) = names.first() {
        params.distinguished_name.push(DnType::CommonName, subject.as_str());
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(|error| failed(error.to_string()))?;
    let certificate = params.self_signed(&key).map_err(|error| failed(error.to_string()))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    CertifiedKey::from_der(vec![certificate.der().clone()], key, &default_provider())
        .map_err(|error| failed(error.to_string()))
}

/// Replaces the certificate long before it ends, until it is dropped.
pub async fn renew_self_signed(names: Vec<String>, certificates: Certificates) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        match self_signed(&names, SystemTime::now()) {
            Ok(pair) => certificates.set(pair),
            Err(error) => tracing::error!(%error, "the certificate was not renewed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::UnixTime;
    use rustls::{CertificateError, Error, RootCertStore};

    use super::*;

    /// What a client says that trusts the certificate, at a time after the start of 2026.
    fn verified(name: &str, days: u64) -> Result<(), Error> {
        let start = UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let names = ["node-1", "localhost", "192.0.2.1", "2001:db8::1"].map(str::to_owned);
        let pair = self_signed(&names, start).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(pair.cert[0].clone()).unwrap();
        let provider = Arc::new(default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        let at = Duration::from_secs(1_767_225_600 + days * 24 * 60 * 60);
        let name = name.try_into().unwrap();
        verifier
            .verify_server_cert(&pair.cert[0], &[], &name, &[], UnixTime::since_unix_epoch(at))
            .map(|_| ())
    }

    #[test]
    fn it_is_made_out_to_names_and_addresses() {
        for name in ["node-1", "localhost", "192.0.2.1", "2001:db8::1"] {
            assert_eq!(verified(name, 0), Ok(()), "{name}");
        }
        assert!(verified("node-2", 0).is_err());
    }

    #[test]
    fn it_is_replaced_before_it_ends() {
        let days = RENEWAL.as_secs() / 86_400;
        assert_eq!(verified("node-1", days + 30), Ok(()));
        let ended = verified("node-1", 398).unwrap_err();
        assert!(
            matches!(ended, Error::InvalidCertificate(CertificateError::ExpiredContext { .. })),
            "{ended:?}"
        );
    }

    #[test]
    fn a_name_that_is_none_is_said() {
        let error = self_signed(&["nöde".to_owned()], SystemTime::now()).unwrap_err();
        assert!(error.to_string().starts_with("cannot make a certificate for [\"nöde\"]: "), "{error}");
    }
}
