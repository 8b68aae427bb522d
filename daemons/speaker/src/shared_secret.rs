//! The secret that speakers share: from its file, or from the API server while the file is not there yet.
//!
//! On a first installation speakers may start before the controller has made the Secret, and a kubelet takes up to some
//! minutes until the file of an optional volume appears. Later the file is followed: a Secret that is made anew or changed
//! reaches the nodes one after the other.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube::api::ListParams;
use kube::{Api, Client};
use metallb_k8s::retry::{Retries, Subject};
use tokio::sync::watch;

use crate::args::MembershipArgs;

/// Key of the secret in its Secret, and name of its file.
pub(crate) const KEY: &str = "secretkey";

/// Pause between two looks at the file.
const PAUSE: Duration = Duration::from_secs(1);

/// Octets under which a secret can be guessed.
const SHORTEST: usize = 16;

/// A secret that speakers share. Nothing shows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    pub(crate) const fn new(octets: Vec<u8>) -> Self {
        Self(octets)
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Says so when it can be guessed.
    pub(crate) fn warn_if_short(&self) {
        if self.0.trim_ascii().len() < SHORTEST {
            tracing::warn!(
                error = "whoever records a heartbeat can guess it and pose as any speaker",
                at_least = SHORTEST,
                "the speakers' shared secret is too short: put more random octets into it"
            );
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A secret that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the membership secret {path:?} (--ml-secret-key-path)")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds nothing.
    #[error("the membership secret {path:?} is empty (--ml-secret-key-path); put random bytes into it")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The shared secret, as soon as it is there; none, when none is configured.
///
/// # Errors
/// When the file is there and cannot be used.
pub(crate) async fn wait(
    client: &Client,
    retries: &Retries,
    namespace: &str,
    args: &MembershipArgs,
) -> Result<Option<Secret>, SecretError> {
    let Some(path) = &args.secret else { return Ok(None) };
    if path.exists() {
        return read_file(path).map(Some);
    }
    tracing::info!(
        file = %path.display(),
        secret = args.secret_name.as_deref().unwrap_or("(no --ml-secret-name)"),
        "waiting for the speakers' shared secret, which the controller makes"
    );
    let from_api = async {
        match &args.secret_name {
            Some(name) => read(client, retries, namespace, name).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = appears(path) => read_file(path).map(Some),
        secret = from_api => Ok(Some(Secret::new(secret))),
    }
}

/// Passes on what the file holds whenever that changes, until nobody wants to know. A file that goes away or cannot be
/// read changes nothing: the secret at hand stays.
pub(crate) async fn follow(path: PathBuf, changed: watch::Sender<Option<Secret>>) {
    let mut failing = false;
    loop {
        tokio::select! {
            () = changed.closed() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        if let Some(secret) = look(&path, &mut failing) {
            changed.send_if_modified(|known| {
                let differs = known.as_ref() != Some(&secret);
                *known = Some(secret);
                differs
            });
        }
    }
}

/// What the file holds, if that is any use; says once for each outage that it is not.
fn look(path: &Path, failing: &mut bool) -> Option<Secret> {
    match read_file(path) {
        Ok(secret) => {
            *failing = false;
            Some(secret)
        }
        // Not there yet, or not any more: an optional volume.
        Err(SecretError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            if !std::mem::replace(failing, true) {
                tracing::warn!(%error, "the changed secret of the speakers cannot be used: the last one stays");
            }
            None
        }
    }
}

fn read_file(path: &Path) -> Result<Secret, SecretError> {
    let octets =
        std::fs::read(path).map_err(|source| SecretError::Unreadable { path: path.to_owned(), source })?;
    if octets.trim_ascii().is_empty() {
        return Err(SecretError::Empty { path: path.to_owned() });
    }
    Ok(Secret::new(octets))
}

/// Until there is a file.
async fn appears(path: &Path) {
    while !path.exists() {
        tokio::time::sleep(PAUSE).await;
    }
}

/// What the Secret `name` holds, once it holds something. It is listed, not read: speakers may list the Secrets of their
/// namespace anyway.
async fn read(client: &Client, retries: &Retries, namespace: &str, name: &str) -> Vec<u8> {
    let api: Api<SecretObject> = Api::namespaced(client.clone(), namespace);
    let named = ListParams::default().fields(&format!("metadata.name={name}"));
    loop {
        let found = retries.until_done(Subject::needed("list", "secrets"), || api.list(&named)).await;
        let data = found.items.into_iter().find_map(|secret| secret.data?.remove(KEY));
        match data.filter(|data| !data.0.trim_ascii().is_empty()) {
            Some(data) => return data.0,
            None => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_or_empty_secret_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY);
        assert!(read_file(&path).unwrap_err().to_string().contains(KEY));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(read_file(&path), Err(SecretError::Empty { .. })));
        std::fs::write(&path, "hush").unwrap();
        assert_eq!(read_file(&path).unwrap().octets(), b"hush");
    }

    #[tokio::test]
    async fn a_changed_file_is_passed_on_until_nobody_wants_to_know() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY);
        std::fs::write(&path, "first").unwrap();
        let (sender, mut changed) = watch::channel(None);
        let following = tokio::spawn(follow(path.clone(), sender));
        for text in ["first", "second"] {
            std::fs::write(&path, text).unwrap();
            let held = changed.wait_for(|held| *held == Some(Secret::new(text.into())));
            tokio::time::timeout(PAUSE * 60, held).await.unwrap().unwrap();
        }
        drop(changed);
        following.await.unwrap();
    }

    #[test]
    fn an_empty_or_missing_file_leaves_the_secret_at_hand() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut failing) = (dir.path().join(KEY), false);
        assert_eq!((look(&path, &mut failing), failing), (None, false));
        std::fs::write(&path, "").unwrap();
        assert_eq!((look(&path, &mut failing), failing), (None, true));
        std::fs::write(&path, "hush").unwrap();
        assert_eq!((look(&path, &mut failing), failing), (Some(Secret::new(b"hush".to_vec())), false));
    }
}
