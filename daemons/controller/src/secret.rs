//! The Secret with which speakers seal what they tell each other.

use std::collections::BTreeMap;

use anyhow::Context;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::PostParams;
use kube::{Api, Client};
use metallb_k8s::write::status::owner_reference;
use ring::rand::{SecureRandom, SystemRandom};

/// Key of the secret in its data, and name of the file in which speakers find it.
const DATA_KEY: &str = "secretkey";

/// Octets of randomness in a new secret.
const LENGTH: usize = 128;

/// Makes the Secret `name` if it does not exist; one that exists is left alone.
///
/// # Errors
/// When the API server refuses, or the system has no randomness.
pub(crate) async fn ensure(
    client: &Client,
    namespace: &str,
    name: &str,
    owner: Option<OwnerReference>,
) -> anyhow::Result<()> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    if api.get_metadata_opt(name).await.with_context(|| format!("cannot read Secret {name}"))?.is_some() {
        return Ok(());
    }
    let mut octets = vec![0; LENGTH];
    SystemRandom::new().fill(&mut octets).map_err(|_| anyhow::anyhow!("the system has no randomness"))?;
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        owner_references: owner.map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    let data = BTreeMap::from([(DATA_KEY.to_owned(), ByteString(octets))]);
    let secret = Secret { metadata, data: Some(data), ..Secret::default() };
    match api.create(&PostParams::default(), &secret).await {
        Ok(_) => {
            tracing::info!(name, "made the speakers' shared secret");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot make Secret {name} (--ml-secret-name)")),
    }
}

/// The controller's own Deployment as the owner of what it makes.
///
/// # Errors
/// When the API server cannot be asked.
pub(crate) async fn owner(
    client: &Client,
    namespace: &str,
    deployment: &str,
) -> anyhow::Result<Option<OwnerReference>> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = api
        .get_metadata_opt(deployment)
        .await
        .with_context(|| format!("cannot read Deployment {deployment}"))?;
    if found.is_none() {
        tracing::warn!(deployment, "no such Deployment (--deployment): what is made has no owner");
    }
    let uid = found.and_then(|found| found.metadata.uid);
    Ok(uid.map(|uid| owner_reference("apps/v1", "Deployment", deployment, &uid)))
}
