//! Server-side tables: what `kubectl get` prints.

mod age;
mod columns;
mod custom;
mod nodes_pods;
mod plain;
mod policy;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::kinds::{Resource, Version};
use columns::Column;

/// What of an object goes along with its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            other => Err(Failure::bad_request(format!(
                "includeObject: Unsupported value: {other:?}: supported values: \"Metadata\", \"None\", \"Object\""
            ))),
        }
    }
}

/// A table of objects that are in the form of the version already.
pub(crate) fn render(
    resource: &Resource,
    version: &Version,
    objects: &[Value],
    metadata: &Value,
    (meta, include): (&str, Include),
) -> Value {
    let now = jiff::Timestamp::now();
    let columns = columns::of(resource, version);
    let definitions: Vec<_> = columns.iter().map(Column::definition).collect();
    let rows: Vec<_> = objects
        .iter()
        .map(|object| {
            let cells: Vec<_> = columns.iter().map(|column| column.cell(object, now)).collect();
            let mut row = json!({"cells": cells});
            let attached = match include {
                Include::None => None,
                Include::Object => Some(object.clone()),
                Include::Metadata => Some(json!({
                    "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{meta}"),
                    "metadata": object.get("metadata"),
                })),
            };
            if let (Some(attached), Value::Object(map)) = (attached, &mut row) {
                map.insert("object".to_owned(), attached);
            }
            row
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": format!("meta.k8s.io/{meta}"), "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}
