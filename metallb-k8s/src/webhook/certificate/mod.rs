//! The certificates behind the webhooks: what a Secret holds, whether it is good, what to do about it, and
//! new ones. All of it without IO; wall time comes as an argument.
//!
//! A Secret has the keys that MetalLB's controller uses (`ca.crt`, `ca.key`, `tls.crt`, `tls.key`), and one
//! that MetalLB filled is used as long as it is good. The other way round, MetalLB replaces what it finds
//! here: it wants a name in the authority's certificate that ours does not have, and could not read its
//! key.

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rustls::pki_types::{CertificateDer, pem::PemObject};

mod check;
mod issue;
mod plan;

pub use check::Flaw;
pub use issue::{IssueError, issue};
pub use plan::{Plan, plan};

/// A certificate for the webhooks, its authority, and the keys of both, each in PEM form.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Material {
    /// Certificates that clients should trust: the authority's, and after it the one before, as long as
    /// somebody may still show a certificate that it signed.
    pub authority: String,
    /// Key of the authority. Empty when somebody else keeps it.
    pub authority_key: String,
    /// The certificate to show.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Material {
    /// Takes the parts out of the data of a Secret; `None` when it has none of them. Parts that are missing
    /// or no text are empty, which [`plan`] finds.
    pub fn of_secret(data: &BTreeMap<String, ByteString>) -> Option<Self> {
        if !KEYS.iter().any(|key| data.contains_key(*key)) {
            return None;
        }
        let [authority, authority_key, certificate, key] = KEYS.map(|key| {
            let octets = data.get(key).map(|value| value.0.as_slice()).unwrap_or_default();
            String::from_utf8_lossy(octets).into_owned()
        });
        Some(Self { authority, authority_key, certificate, key })
    }

    /// Whether the certificate can be shown now, to somebody who wants `host` and trusts the authority.
    pub fn is_usable(&self, host: &str, now: Timestamp) -> bool {
        check::check(self, host, now).is_ok()
    }

    /// The data of a Secret with these parts.
    pub fn secret_data(&self) -> BTreeMap<String, ByteString> {
        let parts = [&self.authority, &self.authority_key, &self.certificate, &self.key];
        KEYS.into_iter()
            .zip(parts)
            .map(|(key, part)| (key.to_owned(), ByteString(part.clone().into_bytes())))
            .collect()
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authority, certificate, .. } = self;
        f.debug_struct("Material")
            .field("authority", authority)
            .field("certificate", certificate)
            .finish_non_exhaustive()
    }
}

/// The name under which the API server reaches a Service.
pub fn host_name(service: &str, namespace: &str) -> String {
    format!("{service}.{namespace}.svc")
}

fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

const KEYS: [&str; 4] = ["ca.crt", "ca.key", "tls.crt", "tls.key"];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate is replaced when it has less time left than this; the same as MetalLB's.
const RENEWAL: Duration = Duration::from_secs(90 * DAY.as_secs());

/// How long a new certificate is good; the same as MetalLB's.
const VALIDITY: Duration = Duration::from_secs(365 * DAY.as_secs());

/// How long a new authority is good; the same as MetalLB's.
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(3650 * DAY.as_secs());

#[cfg(test)]
mod tests;
