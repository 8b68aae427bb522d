//! Somebody else who undoes what is written.

use std::{fmt, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};

use super::Target;
use crate::facts::annotations;

/// Somebody else undoes what is written to an object, again and again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Contest {
    /// What is contested.
    pub object: Target,
    /// Field manager of the other writer; `None` when it deletes the object, or has our name.
    pub by: Option<Arc<str>>,
}

/// The reason of the event about a contest.
pub const CONTESTED: &str = "StatusContested";

/// A sentence with the remedy.
impl fmt::Display for Contest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, remedy) = match &self.object {
            Target::Service(key) => (
                format!("the status or the annotation {} of Service {key}", annotations::ALLOCATED_FROM_POOL),
                "let only one load balancer serve it: turn the other one off, or tell them apart by spec.loadBalancerClass \
                 and --lb-class",
            ),
            Target::Object(kind, name) => (
                format!("the status of {kind} {name}"),
                "let only MetalLB write it, and leave it out of what other tools apply",
            ),
            Target::Own(kind, name) => (
                format!("{kind} {name}"),
                "let only MetalLB write it, and leave it out of what other tools apply",
            ),
        };
        match &self.by {
            Some(by) => write!(f, "{what} is changed by \"{by}\" again and again")?,
            None => write!(
                f,
                "{what} is deleted by somebody again and again, or changed under MetalLB's own name, as by a second installation"
            )?,
        }
        write!(f, "; it is put right with growing pauses of up to a minute; {remedy}")
    }
}

/// The field manager that wrote the status of an object last, or what else of it we write; `None` when that was us. Of
/// objects that are decoded without their fields, only writers of the status are known.
pub(crate) fn rewritten_by(metadata: &ObjectMeta) -> Option<Arc<str>> {
    let is_ours =
        |entry: &&ManagedFieldsEntry| entry.manager.as_deref().is_some_and(|name| OURS.contains(&name));
    let entries = metadata.managed_fields.iter().flatten().filter(|entry| is_about_what_we_write(entry));
    // Times are whole seconds: of two in the same one, the other may have come later.
    let newest = entries.max_by_key(|entry| (entry.time.as_ref().map(|time| time.0), !is_ours(entry)))?;
    Some(newest).filter(|entry| !is_ours(entry))?.manager.as_deref().map(Arc::from)
}

fn is_about_what_we_write(entry: &ManagedFieldsEntry) -> bool {
    let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
    let annotation = format!("f:{}", annotations::ALLOCATED_FROM_POOL);
    entry.subresource.as_deref() == Some("status")
        || fields.is_some_and(|fields| {
            let annotations = fields.pointer("/f:metadata/f:annotations");
            fields.get("f:status").is_some()
                || annotations.is_some_and(|found| found.get(&annotation).is_some())
        })
}

/// Field managers of what we write.
const OURS: [&str; 4] = ["metallb-controller", "metallb-speaker", "poolReconciler", "configReconciler"];

#[cfg(test)]
mod tests {
    use metallb_core::keys::ServiceKey;
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, second: u32, subresource: &str) -> serde_json::Value {
        json!({
            "manager": manager, "operation": "Update", "subresource": subresource,
            "time": format!("2026-01-01T00:00:{second:02}Z"), "fieldsType": "FieldsV1", "fieldsV1": {},
        })
    }

    fn found(entries: &serde_json::Value) -> Option<Arc<str>> {
        rewritten_by(&serde_json::from_value(json!({ "managedFields": entries })).unwrap())
    }

    #[test]
    fn the_other_writer_is_the_newest_of_the_status_that_is_not_us() {
        let [ours, other] = [entry("metallb-controller", 5, "status"), entry("k3s", 5, "status")];
        assert_eq!(found(&json!([other, ours])).as_deref(), Some("k3s"), "in the same second");
        assert_eq!(found(&json!([entry("k3s", 4, "status"), ours])), None);
        assert_eq!(found(&json!([entry("kubectl", 9, ""), ours])), None, "it wrote something else");
        let mut annotated = entry("flux", 9, "");
        annotated["fieldsV1"] =
            json!({ "f:metadata": { "f:annotations": { "f:metallb.io/ip-allocated-from-pool": {} } } });
        assert_eq!(found(&json!([annotated, ours])).as_deref(), Some("flux"));
        assert_eq!(found(&json!(null)), None);
    }

    #[test]
    fn a_contest_names_the_object_the_other_and_the_remedy() {
        let object = Target::Service(ServiceKey::new("web", "a"));
        let text = Contest { object: object.clone(), by: Some("k3s".into()) }.to_string();
        for part in ["Service web/a", "\"k3s\"", "--lb-class"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(Contest { object, by: None }.to_string().contains("second installation"));
    }
}
