//! What belongs to this controller: who owns it, and the Secret with which speakers seal what they tell each other.

use std::collections::BTreeMap;

use anyhow::Context;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::PostParams;
use kube::{Api, Client};
use metallb_k8s::watch::Backoff;
use metallb_k8s::write::status::owner_reference;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::oneshot;

/// Key of the secret in its data, and name of the file in which speakers find it.
const DATA_KEY: &str = "secretkey";

/// Octets of randomness in a new secret.
const LENGTH: usize = 128;

/// What the controller looks for and makes once at its start, however long the API server is away.
pub(crate) struct Belongings {
    client: Client,
    namespace: String,
    deployment: Option<String>,
    secret: Option<String>,
}

impl Belongings {
    /// Owned by `deployment`; `secret` is made when it does not exist.
    pub(crate) fn new(
        client: &Client,
        namespace: &str,
        deployment: Option<&str>,
        secret: Option<&str>,
    ) -> Self {
        Self {
            client: client.clone(),
            namespace: namespace.to_owned(),
            deployment: deployment.map(str::to_owned),
            secret: secret.map(str::to_owned),
        }
    }

    /// Finds the owner and tells it, then makes the Secret.
    pub(crate) async fn set_up(self, tell: oneshot::Sender<Option<OwnerReference>>) {
        let owner = match &self.deployment {
            Some(deployment) => self.owner(deployment).await,
            None => None,
        };
        if tell.send(owner.clone()).is_err() {
            return;
        }
        let Some(name) = &self.secret else { return };
        let backoff = Backoff::new(metallb_runtime::seed());
        for failures in 0.. {
            match self.ensure(name, owner.as_ref()).await {
                Ok(()) => return,
                Err(error) => {
                    if failures == 0 {
                        let error = format!("{error:#}");
                        tracing::warn!(
                            error,
                            "the speakers' shared secret (--ml-secret-name) is not there, trying again"
                        );
                    }
                }
            }
            tokio::time::sleep(backoff.pause(failures)).await;
        }
    }

    /// The controller's own Deployment as the owner of what it makes. An API server that cannot be reached is waited
    /// for; one that refuses to show the Deployment leaves what is made without an owner.
    async fn owner(&self, deployment: &str) -> Option<OwnerReference> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let backoff = Backoff::new(metallb_runtime::seed());
        let mut failures = 0;
        let found = loop {
            match api.get_metadata_opt(deployment).await {
                Ok(found) => break found,
                Err(kube::Error::Api(status)) if status.code < 500 && status.code != 429 => {
                    tracing::warn!(deployment, error = %status, "cannot read the controller's own Deployment");
                    break None;
                }
                Err(error) => {
                    if failures == 0 {
                        let error = format!("{:#}", anyhow::Error::from(error));
                        tracing::warn!(
                            deployment,
                            error,
                            "cannot read the controller's own Deployment, trying again"
                        );
                    }
                }
            }
            tokio::time::sleep(backoff.pause(failures)).await;
            failures = failures.saturating_add(1);
        };
        let uid = found.and_then(|found| found.metadata.uid);
        if uid.is_none() {
            tracing::warn!(deployment, "no such Deployment (--deployment): what is made has no owner");
        }
        uid.map(|uid| owner_reference("apps/v1", "Deployment", deployment, &uid))
    }

    /// Makes the Secret `name` if it does not exist; one that exists is left alone.
    async fn ensure(&self, name: &str, owner: Option<&OwnerReference>) -> anyhow::Result<()> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        if api.get_metadata_opt(name).await.with_context(|| format!("cannot read Secret {name}"))?.is_some() {
            return Ok(());
        }
        let mut octets = vec![0; LENGTH];
        SystemRandom::new().fill(&mut octets).map_err(|_| anyhow::anyhow!("the system has no randomness"))?;
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            owner_references: owner.map(|owner| vec![owner.clone()]),
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
            Err(error) => Err(error).with_context(|| format!("cannot make Secret {name}")),
        }
    }
}
