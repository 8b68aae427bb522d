//! The TLS flags, under the names and values that MetalLB takes.

use rustls::{CipherSuite, NamedGroup};

use crate::args::{ArgError, Notice};

/// What a TLS port offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The oldest version that is spoken.
    pub(super) min_version: MinVersion,
    /// The suites of TLS 1.2 that are offered; `None`: all there are. Those of TLS 1.3 are always offered, as in Go.
    pub(super) suites: Option<Vec<CipherSuite>>,
    /// The groups of the key exchange that are offered; `None`: all there are. Their order means nothing, as in Go.
    pub(super) groups: Option<Vec<NamedGroup>>,
    /// What was given that Go knows and that is not offered here.
    notices: Vec<Notice>,
}

/// The oldest TLS version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    Tls12,
    /// TLS 1.3 only, MetalLB's default.
    #[default]
    Tls13,
}

impl TlsOptions {
    /// Reads the values of the three flags; an empty one is MetalLB's default.
    ///
    /// Suites and curves that Go has and that are not implemented here are left out with a notice, as long as another one
    /// of the list remains.
    ///
    /// # Errors
    /// [`ArgError`] for the first value that cannot be used, with what would be accepted.
    pub fn parse(min_version: &str, cipher_suites: &str, curves: &str) -> Result<Self, ArgError> {
        let min_version = parse_version(min_version.trim())?;
        let mut notices = Vec::new();
        let suites = parse_suites(cipher_suites.trim(), min_version, &mut notices)?;
        let groups = parse_curves(curves.trim(), &mut notices)?;
        Ok(Self { min_version, suites, groups, notices })
    }

    /// What was given and has no effect.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }
}

fn parse_version(text: &str) -> Result<MinVersion, ArgError> {
    match text {
        "" | "VersionTLS13" => Ok(MinVersion::Tls13),
        "VersionTLS12" => Ok(MinVersion::Tls12),
        _ => Err(ArgError {
            flag: "--tls-min-version",
            value: text.to_owned(),
            expected: "VersionTLS12 or VersionTLS13",
        }),
    }
}

fn parse_suites(
    text: &str,
    min_version: MinVersion,
    notices: &mut Vec<Notice>,
) -> Result<Option<Vec<CipherSuite>>, ArgError> {
    if text.is_empty() {
        return Ok(None);
    }
    let refused = |value: &str, expected| ArgError { flag: SUITES_FLAG, value: value.to_owned(), expected };
    let mut suites = Vec::new();
    let mut of_tls13 = false;
    for name in text.split(',').map(str::trim) {
        if let Some((_, suite)) = SUITES.iter().find(|(known, _)| *known == name) {
            suites.push(*suite);
        } else if SUITES_OF_TLS13.contains(&name) {
            of_tls13 = true;
        } else if SUITES_LEFT_OUT.contains(&name) {
            notices.push(Notice::new(SUITES_FLAG, name, "too weak to be offered: it is left out"));
        } else {
            return Err(refused(name, SUITES_EXPECTED));
        }
    }
    if min_version == MinVersion::Tls13 {
        return Err(refused(
            text,
            "allowed with TLS 1.3 alone, whose suites are fixed; leave it out or add --tls-min-version=VersionTLS12",
        ));
    }
    if suites.is_empty() && !of_tls13 {
        return Err(refused(text, SUITES_EXPECTED));
    }
    Ok(Some(suites))
}

fn parse_curves(text: &str, notices: &mut Vec<Notice>) -> Result<Option<Vec<NamedGroup>>, ArgError> {
    if text.is_empty() {
        return Ok(None);
    }
    let refused = |value: &str, expected| ArgError { flag: CURVES_FLAG, value: value.to_owned(), expected };
    let mut given = Vec::new();
    let mut groups = Vec::new();
    for name in text.split(',').map(str::trim) {
        let curve = CURVES.iter().find(|curve| curve.is_called(name));
        let curve = curve.ok_or_else(|| refused(name, CURVES_EXPECTED))?;
        if given.contains(&curve.id) {
            return Err(refused(text, "a list in which each curve occurs once"));
        }
        given.push(curve.id);
        match curve.group {
            Some(group) => groups.push(group),
            None => notices.push(Notice::new(CURVES_FLAG, name, "not implemented here: it is left out")),
        }
    }
    if groups.is_empty() {
        return Err(refused(text, CURVES_EXPECTED));
    }
    Ok(Some(groups))
}

const SUITES_FLAG: &str = "--tls-cipher-suites";
const CURVES_FLAG: &str = "--tls-curve-preferences";

/// The suites of TLS 1.2 that are offered, under Go's names; the two short names are older ones that Kubernetes takes too.
const SUITES: [(&str, CipherSuite); 8] = [
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", CHACHA_ECDSA),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", CHACHA_ECDSA),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", CHACHA_RSA),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", CHACHA_RSA),
];

const CHACHA_ECDSA: CipherSuite = CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
const CHACHA_RSA: CipherSuite = CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256;

const SUITES_EXPECTED: &str = "offered; choose from TLS_ECDHE_{ECDSA,RSA}_WITH_{AES_128_GCM_SHA256,AES_256_GCM_SHA384,\
                               CHACHA20_POLY1305_SHA256}, separated by commas";

/// Go's names of the suites of TLS 1.3, which cannot be chosen there either.
const SUITES_OF_TLS13: [&str; 3] =
    ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/// What Go still knows: no forward secrecy, RC4, 3DES, or CBC.
const SUITES_LEFT_OUT: [&str; 16] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

/// A group of the key exchange that Go knows.
struct Curve {
    /// Its number in IANA's registry, the form that MetalLB documents.
    id: u16,
    /// Its names: IANA's and Go's.
    names: &'static [&'static str],
    /// The group, where it is implemented.
    group: Option<NamedGroup>,
}

impl Curve {
    const fn new(id: u16, names: &'static [&'static str], group: Option<NamedGroup>) -> Self {
        Self { id, names, group }
    }

    fn is_called(&self, name: &str) -> bool {
        self.names.contains(&name) || name.parse() == Ok(self.id)
    }
}

const CURVES: [Curve; 7] = [
    Curve::new(23, &["secp256r1", "CurveP256"], Some(NamedGroup::secp256r1)),
    Curve::new(24, &["secp384r1", "CurveP384"], Some(NamedGroup::secp384r1)),
    Curve::new(25, &["secp521r1", "CurveP521"], None),
    Curve::new(29, &["x25519", "X25519"], Some(NamedGroup::X25519)),
    Curve::new(4587, &["SecP256r1MLKEM768"], None),
    Curve::new(4588, &["X25519MLKEM768"], None),
    Curve::new(4589, &["SecP384r1MLKEM1024"], None),
];

const CURVES_EXPECTED: &str =
    "offered; choose from 29 (X25519), 23 (CurveP256), 24 (CurveP384), separated by commas";

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(min_version: &str, suites: &str, curves: &str) -> String {
        TlsOptions::parse(min_version, suites, curves).unwrap_err().to_string()
    }

    #[test]
    fn without_flags_it_is_tls_13_alone() {
        assert_eq!(TlsOptions::parse("", "", ""), Ok(TlsOptions::default()));
        assert_eq!(TlsOptions::default().min_version, MinVersion::Tls13);
    }

    #[test]
    fn an_old_version_is_refused_with_those_that_are_accepted() {
        let error = refused("VersionTLS11", "", "");
        assert_eq!(error, "--tls-min-version: \"VersionTLS11\" is not VersionTLS12 or VersionTLS13");
    }

    #[test]
    fn suites_are_those_of_the_list() {
        let list = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305";
        let options = TlsOptions::parse("VersionTLS12", list, "").unwrap();
        let wanted = vec![CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, CHACHA_ECDSA];
        assert_eq!((options.suites, options.notices.len()), (Some(wanted), 0));
    }

    #[test]
    fn weak_suites_are_left_out_with_a_notice_unless_nothing_remains() {
        let list = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
        let options = TlsOptions::parse("VersionTLS12", list, "").unwrap();
        assert_eq!(options.suites, Some(vec![CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]));
        assert_eq!(options.notices().len(), 1);
        let error = refused("VersionTLS12", "TLS_RSA_WITH_AES_128_CBC_SHA", "");
        assert!(error.contains("TLS_RSA_WITH_AES_128_CBC_SHA\" is not offered; choose from"), "{error}");
    }

    #[test]
    fn an_unknown_suite_is_named() {
        let error = refused("VersionTLS12", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,AES", "");
        assert!(error.starts_with("--tls-cipher-suites: \"AES\" is not offered; choose from"), "{error}");
    }

    #[test]
    fn suites_of_tls_13_cannot_be_chosen() {
        let error = refused("", "TLS_AES_128_GCM_SHA256", "");
        assert!(error.contains("--tls-min-version=VersionTLS12"), "{error}");
        let options = TlsOptions::parse("VersionTLS12", "TLS_AES_128_GCM_SHA256", "").unwrap();
        assert_eq!(options.suites, Some(Vec::new()), "none of TLS 1.2");
    }

    #[test]
    fn curves_have_numbers_and_names() {
        let wanted = Some(vec![NamedGroup::secp384r1, NamedGroup::X25519]);
        for list in ["24,29", "CurveP384, X25519", "secp384r1,x25519", "25,24,29"] {
            assert_eq!(TlsOptions::parse("", "", list).unwrap().groups, wanted, "{list}");
        }
        assert_eq!(TlsOptions::parse("", "", "4588,29").unwrap().notices().len(), 1);
    }

    #[test]
    fn curves_that_are_unknown_given_twice_or_not_offered_are_refused() {
        for list in ["0", "99999", "brainpool", "29,", "X25519,29", "25"] {
            let error = refused("", "", list);
            assert!(error.starts_with("--tls-curve-preferences: "), "{list}: {error}");
        }
    }
}
