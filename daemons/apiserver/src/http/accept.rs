//! What the client wants back.

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::kinds::{Resource, Version};
use crate::ops::present;
use crate::table::{self, Include};

/// Form of an answer about objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Object,
    /// `meta.k8s.io/VERSION` Table.
    Table(&'static str, Include),
    /// Only type and metadata.
    Metadata(&'static str),
}

impl Form {
    /// Takes the first acceptable of the `Accept` header.
    ///
    /// # Errors
    /// 406 if there is none.
    pub(super) fn negotiate(accept: Option<&str>, include_object: &str) -> Result<Self, Failure> {
        let accept = accept.unwrap_or_default();
        if accept.trim().is_empty() {
            return Ok(Self::Object);
        }
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            if !matches!(media, "application/json" | "*/*" | "application/*" | "application/json+*" | "") {
                continue;
            }
            let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
            let get =
                |wanted: &str| parameters.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
            let version = match get("v") {
                Some("v1beta1") => "v1beta1",
                _ => "v1",
            };
            match get("as") {
                None => return Ok(Self::Object),
                Some("Table") => return Ok(Self::Table(version, Include::parse(include_object)?)),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => {
                    return Ok(Self::Metadata(version));
                }
                Some(_) => {}
            }
        }
        Err(Failure::not_acceptable("application/json"))
    }

    /// One stored object in this form.
    pub(super) fn one(
        self,
        resource: &Resource,
        version: &Version,
        object: &Value,
    ) -> Result<Value, Failure> {
        let shown = present(resource, &version.name, object)?;
        Ok(match self {
            Self::Object => shown,
            Self::Table(meta, include) => {
                let listed = json!({"resourceVersion": shown.pointer("/metadata/resourceVersion")});
                table::render(resource, version, &[shown], &listed, (meta, include))
            }
            Self::Metadata(meta) => metadata_only(&shown, meta),
        })
    }

    /// A list of stored objects in this form.
    pub(super) fn list<'a>(
        self,
        resource: &Resource,
        version: &Version,
        objects: impl Iterator<Item = &'a Value>,
        metadata: &Value,
    ) -> Result<Value, Failure> {
        let shown: Vec<Value> =
            objects.map(|object| present(resource, &version.name, object)).collect::<Result<_, _>>()?;
        Ok(match self {
            Self::Object => json!({
                "kind": resource.list_kind, "apiVersion": resource.api_version(&version.name),
                "metadata": metadata, "items": shown,
            }),
            Self::Table(meta, include) => table::render(resource, version, &shown, metadata, (meta, include)),
            Self::Metadata(meta) => {
                let items: Vec<_> = shown.iter().map(|object| metadata_only(object, meta)).collect();
                json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": format!("meta.k8s.io/{meta}"),
                    "metadata": metadata, "items": items,
                })
            }
        })
    }
}

fn metadata_only(object: &Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": object.get("metadata"),
    })
}
