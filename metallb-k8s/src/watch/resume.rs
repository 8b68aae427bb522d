//! How a watch goes on after a failure: where it stood, or with a list.

use std::fmt::Debug;

use kube::{Api, Resource, api::ListParams};
use serde::de::DeserializeOwned;
use tracing::{debug, warn};

use super::Options;
use crate::retry::{Fault, Task, describe};

/// Waits after a failure (while `listing`, or of a watch) until the server answers; says whether the watch has to begin
/// anew with a list.
///
/// A server that was restored from a backup counts its versions from an earlier one than ours, and leaves a watch without
/// a word until it has counted up to where that stood. So before a watch is taken up again the server is asked for its
/// present version: one object's metadata, for each watch and outage.
pub(super) async fn must_list<K>(
    api: &Api<K>,
    options: &Options,
    (listing, fault): (bool, Fault),
    task: &mut Task,
) -> bool
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let seen = options.stats.newest_version();
    // With the selectors of the watch: where rules name the objects, nothing else may be listed.
    let params = ListParams {
        field_selector: options.fields.clone(),
        label_selector: options.labels.clone(),
        ..ListParams::default().limit(1)
    };
    tokio::time::sleep(task.fault(&fault)).await;
    if listing {
        // A list comes next anyway.
        return false;
    }
    loop {
        match api.list_metadata(&params).await {
            Ok(list) => {
                task.answered();
                let version = list.metadata.resource_version;
                options.stats.saw_version(version.as_deref());
                let now = version.and_then(|version| version.parse::<u64>().ok());
                let Some(now) = now.filter(|now| *now < seen) else { return false };
                let resource = task.subject().resource.as_str();
                warn!(resource, seen, now, "the API server has gone back to an earlier state, listing again");
                return true;
            }
            Err(error) => {
                debug!(resource = task.subject().resource, error = describe(&error), "still no answer");
                tokio::time::sleep(task.failed(&error)).await;
            }
        }
    }
}
