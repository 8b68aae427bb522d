//! New certificates.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};

use super::{
    AUTHORITY_VALIDITY, DAY, Material, RENEWAL, VALIDITY, certificates,
    check::{check, is_valid_at},
};

/// Why no certificate could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The name of the host cannot stand in a certificate.
    #[error("{host:?} cannot be the name of a host; correct --cert-service-name or --namespace")]
    Name {
        /// The name.
        host: Box<str>,
    },
    /// The system has no randomness, or signing failed.
    #[error("the certificate cannot be signed: {reason}")]
    Signing {
        /// What the library said.
        reason: Box<str>,
    },
}

/// A certificate for `host`, signed by the authority in `previous` where that is ours and lasts long enough,
/// else by a new one. The authority before a new one stays among those to trust until it ends.
///
/// # Errors
/// [`IssueError`] when the name is none, or the system has no randomness.
pub fn issue(now: Timestamp, host: &str, previous: Option<&Material>) -> Result<Material, IssueError> {
    if let Some(previous) = previous
        && let Some(material) = sign_again(now, host, previous)?
    {
        return Ok(material);
    }
    let authority_key = new_key()?;
    let params = authority_params(now);
    let certificate = params.self_signed(&authority_key).map_err(signing)?;
    let mut authority = certificate.pem();
    if let Some(before) = previous.and_then(|previous| still_trusted(&previous.authority, now)) {
        authority.push_str(&before);
    }
    let authority_pem = authority_key.serialize_pem();
    let (certificate, key) = sign(now, host, &Issuer::new(params, authority_key))?;
    Ok(Material { authority, authority_key: authority_pem, certificate, key })
}

/// With the authority of `previous`; `None` when it is not ours, or ends too early.
fn sign_again(now: Timestamp, host: &str, previous: &Material) -> Result<Option<Material>, IssueError> {
    let Ok(authority_key) = KeyPair::from_pem(&previous.authority_key) else { return Ok(None) };
    let (certificate, key) = sign(now, host, &Issuer::new(authority_params(now), authority_key))?;
    let material = Material { certificate, key, ..previous.clone() };
    let lasts = check(&material, host, now).is_ok_and(|validity| {
        let needed = VALIDITY.saturating_add(RENEWAL);
        now.checked_add(needed).is_ok_and(|needed| needed < validity.authority)
    });
    Ok(lasts.then_some(material))
}

/// The first of these authorities, in PEM form, if somebody may still have a certificate from it.
fn still_trusted(authority: &str, now: Timestamp) -> Option<String> {
    let first = certificates(authority)?.into_iter().next()?;
    let text = authority.get(authority.find(BEGIN)?..)?;
    let text = text.get(..text.find(END)?.checked_add(END.len())?)?;
    is_valid_at(&first, now).then(|| format!("{}\n", text.replace('\r', "")))
}

fn sign(now: Timestamp, host: &str, issuer: &Issuer<'_, KeyPair>) -> Result<(String, String), IssueError> {
    let mut params =
        CertificateParams::new(vec![host.to_owned()]).map_err(|_| IssueError::Name { host: host.into() })?;
    params.distinguished_name = name(host);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    limit(&mut params, now, VALIDITY);
    let key = new_key()?;
    let certificate = params.signed_by(&key, issuer).map_err(signing)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// The same for every authority of ours, but for its time. Without a subject alternative name: MetalLB, when
/// it takes over again, would otherwise try to use the key, which it cannot read.
fn authority_params(now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("metallb-webhook-authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    limit(&mut params, now, AUTHORITY_VALIDITY);
    params
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    // A common name has at most 64 characters.
    let common: String = common.chars().take(64).collect();
    name.push(DnType::OrganizationName, "metallb");
    name.push(DnType::CommonName, common);
    name
}

/// Valid from the day before, as the clocks of others may be late.
fn limit(params: &mut CertificateParams, now: Timestamp, validity: Duration) {
    let day = |at: Timestamp| {
        let date = at.to_zoned(TimeZone::UTC).date();
        let [month, day] = [date.month(), date.day()].map(|number| u8::try_from(number).unwrap_or(1));
        date_time_ymd(date.year().into(), month, day)
    };
    params.not_before = day(now.checked_sub(DAY).unwrap_or(now));
    params.not_after = day(now.checked_add(validity.saturating_add(DAY)).unwrap_or(now));
}

fn new_key() -> Result<KeyPair, IssueError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(signing)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn signing(error: rcgen::Error) -> IssueError {
    IssueError::Signing { reason: error.to_string().into() }
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
