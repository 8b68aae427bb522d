//! How a watch goes on after a failure: where it stood, or with a list.

use std::fmt::Debug;

use kube::{Api, Resource, api::ListParams, runtime::watcher};
use serde::de::DeserializeOwned;
use tracing::{debug, warn};

use super::{Options, chain};

/// Waits after a failure until the server answers; says whether the watch has to begin anew with a list.
///
/// A server that was restored from a backup counts its versions from an earlier one than ours, and leaves a watch without
/// a word until it has counted up to where that stood. So before a watch is taken up again the server is asked for its
/// present version: one object's metadata, for each watch and outage.
pub(super) async fn must_list<K>(
    api: &Api<K>,
    options: &Options,
    error: &watcher::Error,
    failures: &mut u32,
) -> bool
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let seen = options.stats.newest_version();
    loop {
        tokio::time::sleep(options.backoff.pause(*failures)).await;
        *failures = failures.saturating_add(1);
        match error {
            // A list comes next anyway.
            watcher::Error::InitialListFailed(_) => return false,
            // The watcher of kube-rs lists again when it reads this in a watch that began, but would ask for ever when
            // the watch does not even begin.
            watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410 => return true,
            _ => {}
        }
        match api.list_metadata(&ListParams::default().limit(1)).await {
            Ok(list) => {
                let version = list.metadata.resource_version;
                options.stats.saw_version(version.as_deref());
                let now = version.and_then(|version| version.parse::<u64>().ok());
                let Some(now) = now.filter(|now| *now < seen) else { return false };
                let resource = api.resource_url();
                warn!(resource, seen, now, "the API server has gone back to an earlier state, listing again");
                return true;
            }
            Err(error) => {
                debug!(resource = api.resource_url(), error = chain(&error), failures, "still no answer");
            }
        }
    }
}
