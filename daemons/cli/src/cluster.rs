//! Objects of a cluster.

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::TypeMeta;
use kube::{Api, Client};
use metallb_k8s::crd::GROUP;
use serde_json::Value;

use crate::document::Document;
use crate::exit::Trouble;

/// Group, version, kind, plural, and whether it is only read where MetalLB is.
pub(crate) type Wanted = (&'static str, &'static str, &'static str, &'static str, bool);

/// What is asked for.
const KINDS: [Wanted; 11] = [
    (GROUP, "v1beta1", "IPAddressPool", "ipaddresspools", true),
    (GROUP, "v1beta1", "L2Advertisement", "l2advertisements", true),
    (GROUP, "v1beta1", "BGPAdvertisement", "bgpadvertisements", true),
    (GROUP, "v1beta2", "BGPPeer", "bgppeers", true),
    (GROUP, "v1beta1", "Community", "communities", true),
    (GROUP, "v1beta1", "BFDProfile", "bfdprofiles", true),
    ("", "v1", "Secret", "secrets", true),
    ("", "v1", "Service", "services", false),
    ("", "v1", "Node", "nodes", false),
    ("", "v1", "Namespace", "namespaces", false),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", false),
];

/// Everything in the cluster that decides, with MetalLB in `namespace`. What the asker may not see of Secrets is told
/// on standard error; without the rest there is no answer.
pub(crate) fn documents(namespace: &str) -> Result<Vec<Document>, Trouble> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let client = client().await?;
        let mut documents = Vec::new();
        for kind in KINDS {
            list(&client, namespace, kind, &mut documents).await?;
        }
        Ok(documents)
    })
}

/// A runtime for a command that asks one thing after the other.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Trouble> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::unknown(format!("cannot start: {error}")))
}

/// Connects as `$KUBECONFIG`, `~/.kube/config` or the service account of the pod say.
pub(crate) async fn client() -> Result<Client, Trouble> {
    Client::try_default().await.map_err(|error| {
        Trouble::unknown(format!("no way to a cluster: {error}; set KUBECONFIG, or write ~/.kube/config"))
    })
}

async fn list(
    client: &Client,
    namespace: &str,
    wanted: Wanted,
    documents: &mut Vec<Document>,
) -> Result<(), Trouble> {
    let take = |object| documents.push(Document::of_cluster(object));
    match every(client, namespace, wanted, take).await {
        Err(kube::Error::Api(status)) if status.code == 403 && wanted.2 == "Secret" => {
            eprintln!(
                "note: Secrets cannot be seen, so passwords of peers are not checked: {}",
                status.message
            );
            Ok(())
        }
        result => result.map_err(|error| Trouble::unknown(failure(&error, wanted.3, namespace))),
    }
}

/// Takes every object of a kind, page by page.
pub(crate) async fn every(
    client: &Client,
    namespace: &str,
    (group, version, kind, plural, ours): Wanted,
    mut take: impl FnMut(Value),
) -> kube::Result<()> {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.clone(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    let api: Api<DynamicObject> = if ours {
        Api::namespaced_with(client.clone(), namespace, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    };
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let listed = api.list(&page).await?;
        let next = listed.metadata.continue_.clone().filter(|next| !next.is_empty());
        for mut object in listed.items {
            object.types = Some(TypeMeta { api_version: api_version.clone(), kind: kind.to_owned() });
            object.metadata.managed_fields = None;
            take(serde_json::to_value(object).map_err(kube::Error::SerdeError)?);
        }
        let Some(next) = next else { return Ok(()) };
        page = page.continue_token(&next);
    }
}

/// What stood in the way, and what would help.
pub(crate) fn failure(error: &kube::Error, plural: &str, namespace: &str) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!("{plural} cannot be seen: {}; ask for the right to list {plural}", status.message)
        }
        kube::Error::Api(status) if status.code == 404 => format!(
            "the cluster does not know {plural}: MetalLB's definitions are not installed; `metallb crds --namespace {namespace} | kubectl apply -f -` installs them"
        ),
        error => format!("cannot list {plural}: {error}; see whether `kubectl get {plural} -A` works"),
    }
}

/// How many objects are asked for at once.
const PAGE: u32 = 500;
