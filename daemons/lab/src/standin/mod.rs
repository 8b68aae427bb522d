//! Stand-ins for the parts of a cluster that are not the load balancer's: kube-proxy with the pods
//! behind it, and the controller that lists a service's endpoints.
//!
//! They follow the API by watches, as the real ones do, and compute the whole wanted state after
//! every change.

mod endpoints;
mod proxy;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};

use crate::net::Room;
use crate::scenario::Place;

/// Namespace and name.
type Key = (String, String);

/// A node as the stand-ins need it.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) place: Place,
    pub(crate) room: Arc<Room>,
}

/// What the API holds, as far as the stand-ins care.
#[derive(Debug, Default)]
struct World {
    services: BTreeMap<Key, Service>,
    slices: BTreeMap<Key, EndpointSlice>,
    services_known: bool,
    slices_known: bool,
}

enum Change {
    Service(Box<watcher::Event<Service>>),
    Slice(Box<watcher::Event<EndpointSlice>>),
}

/// Follows the API and plays the absent parts, for ever.
pub(crate) async fn run(client: Client, hosts: Vec<Host>) {
    let config = watcher::Config::default();
    let services = watcher(Api::<Service>::all(client.clone()), config.clone())
        .default_backoff()
        .map(|event| event.map(|event| Change::Service(Box::new(event))));
    let slices = watcher(Api::<EndpointSlice>::all(client.clone()), config)
        .default_backoff()
        .map(|event| event.map(|event| Change::Slice(Box::new(event))));
    let mut changes = pin!(stream::select(services, slices));
    let mut world = World::default();
    let mut proxy = proxy::Proxy::new(hosts.clone());
    while let Some(change) = changes.next().await {
        match change {
            Ok(Change::Service(event)) => fold(*event, &mut world.services, &mut world.services_known),
            Ok(Change::Slice(event)) => fold(*event, &mut world.slices, &mut world.slices_known),
            Err(error) => {
                tracing::warn!(%error, "the stand-ins' watch failed and is tried again");
                continue;
            }
        }
        if world.services_known && world.slices_known {
            endpoints::update(&client, &world, &hosts).await;
            proxy.update(&world).await;
        }
    }
}

fn fold<K: Resource>(event: watcher::Event<K>, into: &mut BTreeMap<Key, K>, known: &mut bool) {
    match event {
        watcher::Event::Init => {
            into.clear();
            *known = false;
        }
        watcher::Event::InitApply(object) | watcher::Event::Apply(object) => {
            into.insert(key(&object), object);
        }
        watcher::Event::Delete(object) => {
            into.remove(&key(&object));
        }
        watcher::Event::InitDone => *known = true,
    }
}

fn key<K: Resource>(object: &K) -> Key {
    let meta = object.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
