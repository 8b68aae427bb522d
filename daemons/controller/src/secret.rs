//! What belongs to this controller: who owns it, and the Secret with which speakers seal what they tell each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::PostParams;
use kube::{Api, Client};
use metallb_k8s::convert::PasswordRecord;
use metallb_k8s::retry::{Retries, Subject, describe, is_final};
use metallb_k8s::watch::{ObjectKey, Store};
use metallb_k8s::write::status::owner_reference;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{Notify, oneshot};

/// Key of the secret in its data, and name of the file in which speakers find it.
const DATA_KEY: &str = "secretkey";

/// Octets of randomness in a new secret.
const LENGTH: usize = 128;

/// What the controller looks for at its start and makes when it is missing, however long the API server is away.
pub(crate) struct Belongings {
    client: Client,
    retries: Retries,
    namespace: String,
    deployment: Option<String>,
    secret: Option<String>,
    /// The Secrets that there are, and the sign that they changed.
    secrets: Store<PasswordRecord>,
    changed: Arc<Notify>,
}

impl Belongings {
    /// Owned by `deployment`; `secret` is made whenever it does not exist.
    pub(crate) fn new(
        client: &Client,
        retries: &Retries,
        (namespace, secrets): (&str, &Store<PasswordRecord>),
        deployment: Option<&str>,
        secret: Option<&str>,
    ) -> Self {
        Self {
            client: client.clone(),
            retries: retries.clone(),
            namespace: namespace.to_owned(),
            deployment: deployment.map(str::to_owned),
            secret: secret.map(str::to_owned),
            secrets: secrets.clone(),
            changed: Arc::default(),
        }
    }

    /// To be notified when Secrets changed.
    pub(crate) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Finds the owner and tells it, then makes the Secret whenever it is missing.
    pub(crate) async fn keep(self, tell: oneshot::Sender<Option<OwnerReference>>) {
        let owner = match &self.deployment {
            Some(deployment) => self.owner(deployment).await,
            None => None,
        };
        if tell.send(owner.clone()).is_err() {
            return;
        }
        let Some(name) = &self.secret else { return };
        let key = ObjectKey::namespaced(self.namespace.as_str(), name.as_str());
        // Where Secrets may not be listed it is made once all the same.
        self.secrets.settled().await;
        loop {
            if self.secrets.get(&key).is_none() {
                self.make(name, owner.as_ref()).await;
            }
            self.changed.notified().await;
        }
    }

    /// The controller's own Deployment as the owner of what it makes. An API server that cannot be reached is waited
    /// for; one that refuses to show the Deployment leaves what is made without an owner.
    async fn owner(&self, deployment: &str) -> Option<OwnerReference> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let get = || async {
            match api.get_metadata_opt(deployment).await {
                Err(error) if is_final(&error) => {
                    let error = describe(&error);
                    tracing::warn!(deployment, error, "cannot read the controller's own Deployment");
                    Ok(None)
                }
                other => other,
            }
        };
        let found = self.retries.until_done(Subject::extra("get", "deployments.apps"), get).await;
        let uid = found.and_then(|found| found.metadata.uid);
        if uid.is_none() {
            tracing::warn!(deployment, "no such Deployment (--deployment): what is made has no owner");
        }
        uid.map(|uid| owner_reference("apps/v1", "Deployment", deployment, &uid))
    }

    /// Makes the Secret `name`; one that exists is left alone.
    async fn make(&self, name: &str, owner: Option<&OwnerReference>) {
        let mut octets = vec![0; LENGTH];
        if SystemRandom::new().fill(&mut octets).is_err() {
            tracing::error!(name, error = "the system has no randomness", "no secret for the speakers");
            return;
        }
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            owner_references: owner.map(|owner| vec![owner.clone()]),
            ..ObjectMeta::default()
        };
        let data = BTreeMap::from([(DATA_KEY.to_owned(), ByteString(octets))]);
        let secret = Secret { metadata, data: Some(data), ..Secret::default() };
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let create = || async {
            match api.create(&PostParams::default(), &secret).await {
                Ok(_) => Ok(true),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
                Err(error) => Err(error),
            }
        };
        if self.retries.until_done(Subject::needed("create", "secrets"), create).await {
            tracing::info!(name, "made the speakers' shared secret (--ml-secret-name)");
        }
    }
}
