//! The certificates of the webhooks: watches the Secret and what the API server trusts, shows what is in the Secret, and
//! writes what the keeper says.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use metallb_k8s::queue::Queue;
use metallb_k8s::watch::{self, ObjectKey, Options, Store};
use metallb_k8s::webhook::bundle::{Bundles, CONVERTED, Place, Service, WEBHOOKS};
use metallb_k8s::webhook::certificate::{Material, host_name};
use metallb_k8s::webhook::keeper::{Action, Keeper, Notable, SecretRecord, Subject, Written};
use metallb_runtime::tls::{Certificates, certified_key};
use serde_json::json;

/// How long to sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// Makes, renews and shows the certificates in a Secret.
pub(crate) struct Certification {
    client: Client,
    service: Service,
    secret: String,
    shown: Certificates,
    /// What is shown.
    material: Option<Material>,
    keeper: Keeper,
    queue: Queue<Subject>,
    stores: Stores,
    /// Whether it was said that no certificate can be made.
    stuck: bool,
}

struct Stores {
    secret: Store<SecretRecord>,
    webhooks: Store<Bundles>,
    conversion: Store<Bundles>,
}

impl Certification {
    /// For the webhooks of `service`, with the Secret `secret` in its namespace. Starts the watches.
    pub(crate) fn new(
        client: &Client,
        service: Service,
        secret: &str,
        shown: Certificates,
        options: &Options,
    ) -> Self {
        let queue = Queue::new();
        let report = |subject| {
            let queue = queue.clone();
            move |_: ObjectKey| queue.push(subject)
        };
        let named = |name: &str| options.clone().fields(format!("metadata.name={name}"));
        let (for_webhooks, for_definition) = (service.clone(), service.clone());
        let stores = Stores {
            secret: watch::spawn(
                Api::namespaced(client.clone(), &service.namespace),
                named(secret),
                |object: Secret, _: Option<&_>| Some(SecretRecord::cut(&object)),
                report(Subject::Secret),
            ),
            webhooks: watch::spawn(
                Api::all(client.clone()),
                named(WEBHOOKS),
                move |object: ValidatingWebhookConfiguration, _: Option<&_>| {
                    Bundles::of_webhooks(&object, &for_webhooks)
                },
                report(Subject::Trust(Place::Webhooks)),
            ),
            conversion: watch::spawn(
                Api::all(client.clone()),
                named(CONVERTED),
                move |object: CustomResourceDefinition, _: Option<&_>| {
                    Bundles::of_definition(&object, &for_definition)
                },
                report(Subject::Trust(Place::Conversion)),
            ),
        };
        let host = host_name(&service.name, &service.namespace);
        Self {
            client: client.clone(),
            secret: secret.to_owned(),
            shown,
            material: None,
            keeper: Keeper::new(host, metallb_runtime::seed()),
            service,
            queue,
            stores,
            stuck: false,
        }
    }

    /// Goes on until the program ends. Writes while `active` says so.
    pub(crate) async fn run(mut self, mut active: tokio::sync::watch::Receiver<bool>) {
        self.stores.secret.synced().await;
        self.observe(Subject::Secret);
        loop {
            while let Some(subject) = self.queue.try_pop() {
                self.observe(subject);
            }
            self.keeper.set_active(*active.borrow_and_update());
            let actions = self.due();
            if !actions.is_empty() {
                for action in actions {
                    self.perform(action).await;
                }
                continue;
            }
            let next = self.keeper.next_timeout().unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                subject = self.queue.pop() => self.observe(subject),
                () = changed(&mut active) => {}
                () = tokio::time::sleep_until(next.into()) => {}
            }
        }
    }

    fn observe(&mut self, subject: Subject) {
        match subject {
            Subject::Secret => {
                let key = ObjectKey::namespaced(&*self.service.namespace, &*self.secret);
                self.keeper.set_secret(self.stores.secret.get(&key).map(|record| (*record).clone()));
                self.show();
            }
            Subject::Trust(place) => {
                let (store, name) = match place {
                    Place::Webhooks => (&self.stores.webhooks, WEBHOOKS),
                    Place::Conversion => (&self.stores.conversion, CONVERTED),
                };
                let bundles = store.get(&ObjectKey::cluster(name)).map(|bundles| (*bundles).clone());
                self.keeper.set_bundles(place, bundles);
            }
        }
    }

    /// Shows what is in the Secret. While it holds nothing good, the last good certificate is shown.
    fn show(&mut self) {
        let Some(material) = self.keeper.usable(Timestamp::now()) else { return };
        if self.material.as_ref() == Some(material) {
            return;
        }
        match certified_key(material.certificate.as_bytes(), material.key.as_bytes()) {
            Ok(pair) => {
                self.shown.set(pair);
                self.material = Some(material.clone());
                tracing::info!(secret = self.secret, "webhook certificate loaded");
            }
            Err(error) => {
                tracing::warn!(secret = self.secret, %error, "the webhook certificate is of no use");
            }
        }
    }

    fn due(&mut self) -> Vec<Action> {
        match self.keeper.poll(Instant::now(), Timestamp::now()) {
            Ok(actions) => actions,
            Err(error) => {
                if !std::mem::replace(&mut self.stuck, true) {
                    tracing::error!(%error, "the webhooks get no certificate");
                }
                Vec::new()
            }
        }
    }

    async fn perform(&mut self, action: Action) {
        let subject = action.subject();
        let what = match subject {
            Subject::Secret => format!("Secret {}", self.secret),
            Subject::Trust(place) => place.to_string(),
        };
        let (written, error) = match self.write(&action).await {
            Ok(secret) => (Written::Made(secret), String::new()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                (Written::Overtaken, String::new())
            }
            Err(error) => (Written::Failed, format!("{:#}", anyhow::Error::from(error))),
        };
        if let (Written::Made(_), Action::Replace { flaw: Some(flaw), .. }) = (&written, &action) {
            tracing::info!(what, reason = %flaw, "made a new webhook certificate");
        } else if matches!(written, Written::Made(_)) {
            tracing::info!(what, "webhook certificate written");
        }
        match self.keeper.done(Instant::now(), subject, written) {
            Notable::Nothing => {}
            Notable::Works => tracing::info!(what, "written after all"),
            Notable::Fails => {
                tracing::warn!(what, error, "cannot write a webhook certificate, trying again");
            }
            Notable::Contested => {
                let error = "somebody else keeps changing the caBundle";
                tracing::warn!(what, error, "let only MetalLB manage it, or use --disable-cert-rotation");
            }
        }
        self.show();
    }

    async fn write(&self, action: &Action) -> kube::Result<Option<SecretRecord>> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.service.namespace);
        let params = PatchParams::default();
        match action {
            Action::Create { material } => {
                let metadata = ObjectMeta { name: Some(self.secret.clone()), ..ObjectMeta::default() };
                let secret = Secret { metadata, data: Some(material.secret_data()), ..Secret::default() };
                let made = secrets.create(&PostParams::default(), &secret).await?;
                Ok(Some(SecretRecord::cut(&made)))
            }
            Action::Replace { material, resource_version, .. } => {
                let metadata = json!({ "resourceVersion": resource_version });
                let patch = json!({ "metadata": metadata, "data": material.secret_data() });
                let made = secrets.patch(&self.secret, &params, &Patch::Merge(patch)).await?;
                Ok(Some(SecretRecord::cut(&made)))
            }
            Action::Trust { place: Place::Webhooks, patch } => {
                let api: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
                api.patch(WEBHOOKS, &params, &Patch::Strategic(patch)).await?;
                Ok(None)
            }
            Action::Trust { place: Place::Conversion, patch } => {
                let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
                api.patch(CONVERTED, &params, &Patch::Merge(patch)).await?;
                Ok(None)
            }
        }
    }
}

/// Waits for another value; for ever when none will come.
async fn changed(active: &mut tokio::sync::watch::Receiver<bool>) {
    if active.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
