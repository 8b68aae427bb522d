//! Whether certificates are good, and until when.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::{
    CertificateError, Error, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};

use super::{Material, certificates};

/// Why certificates cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// A part is missing.
    #[error("it lacks ca.crt, tls.crt or tls.key")]
    Incomplete,
    /// A part is not what its name says.
    #[error("a certificate or key in it cannot be read")]
    Unreadable,
    /// Certificate and key do not belong together.
    #[error("its certificate and key do not belong together")]
    KeyMismatch,
    /// The certificate was not signed by the authority.
    #[error("its certificate is not signed by its authority")]
    NotSigned,
    /// The certificate is for another name.
    #[error("its certificate is for another name")]
    WrongName,
    /// It is too early for the certificate or its authority.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// It is too late, or nearly so.
    #[error("its certificate expires soon")]
    Expires,
    /// The authority's time is over, or nearly so.
    #[error("its authority expires soon")]
    AuthorityExpires,
}

/// Ends of validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    /// Of the certificate.
    pub(super) certificate: Timestamp,
    /// Of the authority that new certificates are signed by.
    pub(super) authority: Timestamp,
}

/// Until when a certificate can be used for `host`, if it can now.
pub(super) fn check(material: &Material, host: &str, now: Timestamp) -> Result<Validity, Flaw> {
    if [&material.authority, &material.certificate, &material.key].iter().any(|part| part.trim().is_empty()) {
        return Err(Flaw::Incomplete);
    }
    let authorities = certificates(&material.authority).ok_or(Flaw::Unreadable)?;
    let chain = certificates(&material.certificate).ok_or(Flaw::Unreadable)?;
    let key = PrivateKeyDer::from_pem_slice(material.key.as_bytes()).map_err(|_| Flaw::Unreadable)?;
    CertifiedKey::from_der(chain.clone(), key, &default_provider()).map_err(|error| match error {
        Error::InconsistentKeys(_) => Flaw::KeyMismatch,
        _ => Flaw::Unreadable,
    })?;
    let verifier = Verifier::new(&authorities, host)?;
    let (certificate, intermediates) = chain.split_first().ok_or(Flaw::Incomplete)?;
    verifier.verify(certificate, intermediates, now).map_err(|error| flaw(&error))?;
    let authority = authorities.first().ok_or(Flaw::Incomplete)?;
    // Whoever trusts an authority looks at its time, too.
    if verifier.begins(authority).is_none_or(|begin| now < begin) {
        return Err(Flaw::NotYetValid);
    }
    let validity = Validity {
        certificate: verifier.ends(certificate).ok_or(Flaw::Unreadable)?,
        authority: verifier.ends(authority).ok_or(Flaw::Unreadable)?,
    };
    if validity.authority < now { Err(Flaw::AuthorityExpires) } else { Ok(validity) }
}

/// Whether this certificate is good now.
pub(super) fn is_valid_at(certificate: &CertificateDer<'_>, now: Timestamp) -> bool {
    let Ok(verifier) = Verifier::new(std::slice::from_ref(certificate), "any.invalid") else { return false };
    let (begin, end) = (verifier.begins(certificate), verifier.ends(certificate));
    begin.is_some_and(|begin| begin <= now) && end.is_some_and(|end| now <= end)
}

/// Who trusts some authorities and looks for one host.
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    host: ServerName<'static>,
}

impl Verifier {
    fn new(authorities: &[CertificateDer<'_>], host: &str) -> Result<Self, Flaw> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.clone().into_owned()).map_err(|_| Flaw::Unreadable)?;
        }
        let provider = Arc::new(default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|_| Flaw::Unreadable)?;
        let host = ServerName::try_from(host.to_owned()).map_err(|_| Flaw::WrongName)?;
        Ok(Self { inner, host })
    }

    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        at: Timestamp,
    ) -> Result<(), Error> {
        self.verify_at(certificate, intermediates, unix_time(at))
    }

    fn verify_at(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        at: UnixTime,
    ) -> Result<(), Error> {
        self.inner.verify_server_cert(certificate, intermediates, &self.host, &[], at).map(drop)
    }

    /// The end of a certificate's validity. The verifier looks at the time first, and says what it found.
    fn ends(&self, certificate: &CertificateDer<'_>) -> Option<Timestamp> {
        match self.verify_at(certificate, &[], UnixTime::since_unix_epoch(Duration::from_secs(END_OF_TIME))) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                timestamp(not_after)
            }
            // Good for ever, or at least longer than anybody can count.
            _ => Some(Timestamp::MAX),
        }
    }

    /// The begin of a certificate's validity.
    fn begins(&self, certificate: &CertificateDer<'_>) -> Option<Timestamp> {
        match self.verify_at(certificate, &[], UnixTime::since_unix_epoch(Duration::ZERO)) {
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
                timestamp(not_before)
            }
            _ => Some(Timestamp::UNIX_EPOCH),
        }
    }
}

const fn flaw(error: &Error) -> Flaw {
    match error {
        Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Flaw::Expires,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Flaw::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Flaw::WrongName
            }
            CertificateError::BadEncoding => Flaw::Unreadable,
            _ => Flaw::NotSigned,
        },
        _ => Flaw::Unreadable,
    }
}

fn unix_time(at: Timestamp) -> UnixTime {
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn timestamp(at: UnixTime) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(at.as_secs()).ok()?).ok()
}

/// The year 10000, after the last that a certificate can name.
const END_OF_TIME: u64 = 253_402_300_800;
