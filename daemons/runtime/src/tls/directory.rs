//! A certificate and its key in a directory, such as a mounted Secret, which may change at any time.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::sign::CertifiedKey;

use super::{CertificateError, Certificates, certified_key};

/// The file with the certificate and what it was signed by, in PEM form.
pub const CERTIFICATE_FILE: &str = "tls.crt";

/// The file with the private key, in PEM form.
pub const KEY_FILE: &str = "tls.key";

/// Pause between two looks at the files; the kubelet itself takes up to a minute to bring a changed Secret.
const PERIOD: Duration = Duration::from_secs(2);

/// Larger files hold no certificate for one server.
const MAX_FILE: u64 = 1 << 20;

/// Keeps `certificates` equal to [`CERTIFICATE_FILE`] and [`KEY_FILE`] in `directory` until it is dropped.
///
/// Files that are missing or cannot be used leave the last good pair in force; that is said once, and so is the end of it.
pub async fn follow_directory(directory: PathBuf, certificates: Certificates) {
    let mut follower = Follower::default();
    loop {
        match follower.observe(read(&directory).await) {
            Observed::Nothing => {}
            Observed::Pair(pair) => {
                certificates.set(pair);
                tracing::info!(directory = %directory.display(), "certificate loaded");
            }
            Observed::Mended => {
                tracing::info!(directory = %directory.display(), "the certificate in force is there again");
            }
            Observed::Broken(error) => {
                let kept = certificates.is_present();
                let directory = directory.display();
                tracing::warn!(%directory, %error, kept, "cannot use the certificate, looking again every {PERIOD:?}");
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// The contents of the two files.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Why the files of a directory are of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum DirectoryError {
    #[error("{file}: {reason}")]
    Unreadable { file: &'static str, reason: String },
    #[error("{CERTIFICATE_FILE}, {KEY_FILE}: {0}")]
    Unusable(CertificateError),
}

/// What a look at the files means.
#[derive(Debug)]
enum Observed {
    /// Nothing new.
    Nothing,
    /// Another pair.
    Pair(CertifiedKey),
    /// The last good pair again, after a failure that was reported.
    Mended,
    /// A failure that was not there before.
    Broken(DirectoryError),
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Follower {
    /// The last good pair.
    good: Option<Files>,
    /// What the look before this one found instead of a good pair.
    failed: Option<DirectoryError>,
    /// Whether that was reported.
    reported: bool,
}

impl Follower {
    /// Takes a look into account. A failure after a good pair counts when it is seen twice in a row: the files may just be
    /// changing.
    fn observe(&mut self, found: Result<Files, DirectoryError>) -> Observed {
        match found.and_then(|files| self.evaluate(files)) {
            Ok(pair) => {
                self.failed = None;
                let mended = std::mem::take(&mut self.reported);
                pair.map_or(if mended { Observed::Mended } else { Observed::Nothing }, Observed::Pair)
            }
            Err(error) => self.fail(error),
        }
    }

    /// The pair in the files; `None`: it is the last good one.
    fn evaluate(&mut self, files: Files) -> Result<Option<CertifiedKey>, DirectoryError> {
        if self.good.as_ref() == Some(&files) {
            return Ok(None);
        }
        let pair = certified_key(&files.certificate, &files.key).map_err(DirectoryError::Unusable)?;
        self.good = Some(files);
        Ok(Some(pair))
    }

    fn fail(&mut self, error: DirectoryError) -> Observed {
        let repeated = self.failed.as_ref() == Some(&error);
        self.reported &= repeated;
        self.failed = Some(error.clone());
        if self.reported || !(repeated || self.good.is_none()) {
            return Observed::Nothing;
        }
        self.reported = true;
        Observed::Broken(error)
    }
}

async fn read(directory: &Path) -> Result<Files, DirectoryError> {
    let certificate = read_file(directory, CERTIFICATE_FILE).await?;
    let key = read_file(directory, KEY_FILE).await?;
    Ok(Files { certificate, key })
}

async fn read_file(directory: &Path, file: &'static str) -> Result<Vec<u8>, DirectoryError> {
    let path = directory.join(file);
    let read = async {
        if tokio::fs::metadata(&path).await?.len() > MAX_FILE {
            return Err(io::Error::other("is larger than 1 MiB"));
        }
        tokio::fs::read(&path).await
    };
    read.await.map_err(|error| DirectoryError::Unreadable { file, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::tls::testing::mk_pair;

    fn mk_files(name: &str) -> Files {
        let (certificate, key) = mk_pair(name);
        Files { certificate: certificate.into_bytes(), key: key.into_bytes() }
    }

    fn missing() -> Result<Files, DirectoryError> {
        Err(DirectoryError::Unreadable { file: CERTIFICATE_FILE, reason: "missing".to_owned() })
    }

    #[test]
    fn a_pair_is_taken_when_it_comes_and_when_it_changes_only() {
        let mut follower = Follower::default();
        let (first, second) = (mk_files("a.test"), mk_files("b.test"));
        assert!(matches!(follower.observe(Ok(first.clone())), Observed::Pair(_)));
        assert!(matches!(follower.observe(Ok(first)), Observed::Nothing));
        assert!(matches!(follower.observe(Ok(second)), Observed::Pair(_)));
    }

    #[test]
    fn what_is_missing_at_the_start_is_reported_once_until_it_is_there() {
        let mut follower = Follower::default();
        assert!(matches!(follower.observe(missing()), Observed::Broken(_)));
        assert!(matches!(follower.observe(missing()), Observed::Nothing));
        assert!(matches!(follower.observe(Ok(mk_files("a.test"))), Observed::Pair(_)));
    }

    #[test]
    fn files_that_are_just_changing_are_not_reported() {
        let mut follower = Follower::default();
        let (first, second) = (mk_files("a.test"), mk_files("b.test"));
        let torn = Files { certificate: first.certificate.clone(), key: second.key.clone() };
        assert!(matches!(follower.observe(Ok(first.clone())), Observed::Pair(_)));
        assert!(matches!(follower.observe(Ok(torn.clone())), Observed::Nothing));
        assert!(matches!(follower.observe(Ok(second.clone())), Observed::Pair(_)));
        assert!(matches!(follower.observe(Ok(torn.clone())), Observed::Nothing));
        assert!(matches!(follower.observe(Ok(torn.clone())), Observed::Broken(_)));
        assert!(matches!(follower.observe(Ok(torn)), Observed::Nothing));
        assert!(matches!(follower.observe(Ok(second)), Observed::Mended));
    }

    #[test]
    fn another_failure_is_reported_too() {
        let mut follower = Follower::default();
        let broken = Files { certificate: Vec::new(), key: Vec::new() };
        assert!(matches!(follower.observe(missing()), Observed::Broken(_)));
        let said = follower.observe(Ok(broken));
        let Observed::Broken(error) = said else { panic!("{said:?}") };
        assert!(error.to_string().starts_with("tls.crt, tls.key: holds no certificate"), "{error}");
    }

    /// A mounted Secret: files are links into a directory that is swapped as a whole.
    #[tokio::test(start_paused = true)]
    async fn a_mounted_secret_is_followed_over_a_swap_and_a_broken_file() {
        let mount = tempfile::tempdir().unwrap();
        let at = |name: &str| mount.path().join(name);
        let put = |version: &str, files: &Files| {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join(CERTIFICATE_FILE), &files.certificate).unwrap();
            std::fs::write(at(version).join(KEY_FILE), &files.key).unwrap();
            symlink(version, at("..next")).unwrap();
            std::fs::rename(at("..next"), at("..data")).unwrap();
        };
        let (first, second) = (mk_files("a.test"), mk_files("b.test"));
        put("..1", &first);
        symlink("..data/tls.crt", at(CERTIFICATE_FILE)).unwrap();
        symlink("..data/tls.key", at(KEY_FILE)).unwrap();
        let certificates = Certificates::new();
        let following = tokio::spawn(follow_directory(mount.path().to_owned(), certificates.clone()));
        let shows = async |files: &Files| {
            let wanted = certified_key(&files.certificate, &files.key).unwrap().cert;
            while certificates.current().is_none_or(|pair| pair.cert != wanted) {
                tokio::time::sleep(PERIOD / 4).await;
            }
        };
        shows(&first).await;
        put("..2", &second);
        shows(&second).await;
        put("..3", &Files { certificate: b"broken".to_vec(), key: b"broken".to_vec() });
        tokio::time::sleep(PERIOD * 4).await;
        shows(&second).await;
        put("..4", &first);
        shows(&first).await;
        following.abort();
    }
}
