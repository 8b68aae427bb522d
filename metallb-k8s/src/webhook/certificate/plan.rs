//! What to do about the certificates.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    DAY, Material, RENEWAL,
    check::{Flaw, check},
};

/// What to do about the certificates of a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plan {
    /// Nothing before this time.
    Keep {
        /// When to ask again.
        until: Timestamp,
    },
    /// There is no Secret: make it.
    Create,
    /// The Secret has no certificates yet: put some in.
    Fill,
    /// Put others in.
    Rotate {
        /// What is wrong with those that are there.
        flaw: Flaw,
    },
}

/// Decides about the Secret: `None` when there is none, with `None` inside when it holds no certificates.
///
/// Certificates are replaced 90 days before they end; `seed` spreads that over a day, so that of several
/// controllers one is first.
pub fn plan(now: Timestamp, secret: Option<Option<&Material>>, host: &str, seed: u64) -> Plan {
    let material = match secret {
        None => return Plan::Create,
        Some(None) => return Plan::Fill,
        Some(Some(material)) => material,
    };
    let validity = match check(material, host, now) {
        Ok(validity) => validity,
        Err(flaw) => return Plan::Rotate { flaw },
    };
    let early = RENEWAL.saturating_add(Duration::from_secs(seed % DAY.as_secs()));
    let before = |end: Timestamp| end.checked_sub(early).unwrap_or(Timestamp::MIN);
    let (certificate, authority) = (before(validity.certificate), before(validity.authority));
    if authority <= now {
        return Plan::Rotate { flaw: Flaw::AuthorityExpires };
    }
    if certificate <= now {
        return Plan::Rotate { flaw: Flaw::Expires };
    }
    Plan::Keep { until: certificate.min(authority) }
}
