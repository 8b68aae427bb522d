//! Objects of a cluster, listed page by page.

use kube::Client;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::{Request, Resource as _};
use metallb_k8s::retry::describe;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::connect::{Way, connect, runtime};
use crate::document::Document;
use crate::exit::Trouble;
use crate::kinds::{self, Wanted};

/// What is asked for.
const KINDS: [Wanted; 11] = [
    kinds::in_one(kinds::POOLS),
    kinds::in_one(kinds::L2_ADVERTISEMENTS),
    kinds::in_one(kinds::BGP_ADVERTISEMENTS),
    kinds::in_one(kinds::PEERS),
    kinds::in_one(kinds::COMMUNITIES),
    kinds::in_one(kinds::BFD_PROFILES),
    kinds::SECRETS,
    kinds::SERVICES,
    kinds::NODES,
    kinds::NAMESPACES,
    kinds::SLICES,
];

/// Everything in the cluster that decides, with MetalLB in `namespace`. What the asker may not see of Secrets is told
/// on standard error; without the rest there is no answer.
pub(crate) fn documents(way: &Way, namespace: &str) -> Result<Vec<Document>, Trouble> {
    runtime()?.block_on(async {
        let client = connect(way).await?.client;
        let mut documents = Vec::new();
        for kind in KINDS {
            list(&client, namespace, kind, &mut documents).await?;
        }
        Ok(documents)
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
        result => result.map_err(|error| failure(&error, wanted.3, namespace)),
    }
}

/// Takes every object of a kind, with its kind and without what tools keep about it.
pub(crate) async fn every(
    client: &Client,
    namespace: &str,
    wanted: Wanted,
    mut take: impl FnMut(Value),
) -> kube::Result<()> {
    let (group, version, kind, ..) = wanted;
    let api_version = api_version(group, version);
    every_as(client, namespace, wanted, ListParams::default(), |mut object: Value| {
        if let Value::Object(fields) = &mut object {
            // The items of a list do not say it themselves.
            fields.insert("apiVersion".to_owned(), Value::from(api_version.as_str()));
            fields.insert("kind".to_owned(), Value::from(kind));
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                metadata.remove("managedFields");
            }
        }
        take(object);
    })
    .await
}

/// Takes every object of a kind that is asked for, read as a type with only the fields that are needed.
pub(crate) async fn every_as<T: DeserializeOwned>(
    client: &Client,
    namespace: &str,
    (group, version, kind, plural, ours): Wanted,
    params: ListParams,
    mut take: impl FnMut(T),
) -> kube::Result<()> {
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version(group, version),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    let request = Request::new(DynamicObject::url_path(&resource, ours.then_some(namespace)));
    let mut params = params.limit(PAGE);
    loop {
        let page = request.list(&params).map_err(kube::Error::BuildRequest)?;
        let page: Page<T> = client.request(page).await?;
        page.items.into_iter().flatten().for_each(&mut take);
        let Some(next) = page.metadata.next.filter(|next| !next.is_empty()) else { return Ok(()) };
        params = params.continue_token(&next);
    }
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Some of the objects of a kind.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    // Written out as `null` by some servers when there is none.
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(rename = "continue")]
    next: Option<String>,
}

/// What stood in the way, and what would help.
pub(crate) fn failure(error: &kube::Error, plural: &str, namespace: &str) -> Trouble {
    Trouble::unknown(match error {
        kube::Error::Api(status) if status.code == 401 => format!(
            "the API server does not know who asks: {}; log in again, or name another --context",
            status.message
        ),
        kube::Error::Api(status) if status.code == 403 => {
            format!("{plural} cannot be seen: {}; ask for the right to list {plural}", status.message)
        }
        kube::Error::Api(status) if status.code == 404 => format!(
            "the cluster does not know {plural}: MetalLB's definitions are not installed; `metallb crds --namespace {namespace} | kubectl apply -f -` installs them"
        ),
        kube::Error::Api(status) => {
            format!("cannot list {plural}: {}; see whether `kubectl get {plural} -A` works", status.message)
        }
        error => {
            // The words of the client's own layer say nothing.
            let reason = std::error::Error::source(error).map_or_else(|| describe(error), describe);
            format!("the API server cannot be reached: {reason}; see whether `kubectl cluster-info` works")
        }
    })
}

/// How many objects are asked for at once.
const PAGE: u32 = 500;
