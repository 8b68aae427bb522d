//! Watching configuration resources, where one bad object must not hide the others.

use std::{fmt::Debug, sync::Arc};

use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Change, ObjectKey, Options, Store, Tracked, spawn_telling};
use crate::{
    crd::{self, DecodeError},
    write::{Identity, rewritten_by},
};

/// A configuration object as it was last seen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConfigObject<K> {
    /// Name of the object.
    pub name: String,
    /// Which version of which object it is.
    pub identity: Identity,
    /// Seconds since the Unix epoch at which it was created.
    pub created: i64,
    /// Generation of its spec, for the conditions written about it.
    pub generation: Option<i64>,
    /// The object without its status, or why it could not be read.
    pub object: Result<Arc<K>, DecodeError>,
    /// Its status as it stands in the cluster.
    pub status: Value,
    /// The field manager that wrote that, where it was not us.
    pub rewritten_by: Option<Arc<str>>,
}

impl<K: DeserializeOwned> ConfigObject<K> {
    /// Reads an object.
    pub fn read(object: DynamicObject) -> Self {
        let (name, identity) = (object.name_any(), Identity::of(&object.metadata));
        let rewritten_by = rewritten_by(&object.metadata);
        let DynamicObject { types, metadata, mut data } = object;
        let status = data.as_object_mut().and_then(|data| data.remove("status")).unwrap_or_default();
        if let Value::Object(map) = &mut data {
            if let Some(types) = types {
                map.insert("apiVersion".to_owned(), types.api_version.into());
                map.insert("kind".to_owned(), types.kind.into());
            }
            let needed = serde_json::json!({
                "name": metadata.name,
                "namespace": metadata.namespace,
                "labels": metadata.labels,
                "annotations": metadata.annotations,
            });
            map.insert("metadata".to_owned(), needed);
        }
        Self {
            name,
            identity,
            created: metadata.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_second()),
            generation: metadata.generation,
            object: crd::decode(data).map(Arc::new),
            status,
            rewritten_by,
        }
    }
}

impl<K: PartialEq + Send + Sync + 'static> Tracked for ConfigObject<K> {
    /// A change of the status alone lies aside: we write it ourselves.
    fn differs(&self, previous: &Self) -> bool {
        self.identity.uid() != previous.identity.uid()
            || self.created != previous.created
            || self.generation != previous.generation
            || self.object != previous.object
    }

    fn differs_aside(&self, previous: &Self) -> bool {
        self.identity != previous.identity
    }
}

/// Watches a kind of configuration resource in one namespace; see [`spawn`](super::spawn). `changed` is told whether it
/// was the status only.
///
/// Objects are read one by one, so that one that cannot be read is kept as such while all others
/// arrive as usual. One that is being deleted counts as gone.
pub fn spawn_config<K>(
    client: Client,
    namespace: &str,
    options: Options,
    changed: impl Fn(ObjectKey, Change) + Send + 'static,
) -> Store<ConfigObject<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: DeserializeOwned + Debug + PartialEq + Send + Sync + 'static,
{
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
    let cut = |object: DynamicObject, _previous: Option<&_>| {
        object.metadata.deletion_timestamp.is_none().then(|| ConfigObject::read(object))
    };
    spawn_telling(api, options, cut, changed)
}
