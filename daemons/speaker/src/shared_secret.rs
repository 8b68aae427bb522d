//! The secret that speakers share: from its file, or from the API server while the file is not there yet.
//!
//! On a first installation speakers may start before the controller has made the Secret, and a kubelet takes up to some
//! minutes until the file of an optional volume appears.

use std::future::pending;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, Client};
use metallb_k8s::retry::{Retries, Subject};

use crate::args::MembershipArgs;
use crate::seal::{Seal, SealError};

/// Key of the secret in its Secret, and name of its file.
pub(crate) const KEY: &str = "secretkey";

/// Pause between two looks for a secret that is not there yet.
const PAUSE: Duration = Duration::from_secs(1);

/// The seal for the shared secret, as soon as it is there; plain, when none is configured.
///
/// # Errors
/// When the file is there and cannot be used.
pub(crate) async fn seal(
    client: &Client,
    retries: &Retries,
    namespace: &str,
    args: &MembershipArgs,
) -> Result<Seal, SealError> {
    let Some(path) = &args.secret else { return Seal::from_file(None) };
    if path.exists() {
        return Seal::from_file(Some(path));
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
        () = appears(path) => Seal::from_file(Some(path)),
        secret = from_api => Seal::from_secret(&secret),
    }
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
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
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
