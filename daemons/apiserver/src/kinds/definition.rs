//! Custom resource definitions: their own rules, and the resource that one makes.

use std::sync::Arc;

use metallb_schema::{Rules, check_rules, complete, validate_definition};
use serde_json::{Value, json};

use super::{Origin, Resource, Version};
use crate::admission::{client_config, service_port};
use crate::failure::Cause;

/// What is wrong with a definition.
pub(crate) fn check_definition(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for pointer in ["/spec/group", "/spec/scope", "/spec/names/plural", "/spec/names/kind"] {
        if text(object, pointer).is_empty() {
            causes.push(Cause::required(pointer.trim_start_matches('/').replace('/', "."), ""));
        }
    }
    let name = text(object, "/metadata/name");
    let expected = format!("{}.{}", text(object, "/spec/names/plural"), text(object, "/spec/group"));
    if name != expected {
        let why = format!("must be spec.names.plural+\".\"+spec.group ({expected})");
        causes.push(Cause::invalid("metadata.name", &Value::from(name), &why));
    }
    let scope = text(object, "/spec/scope");
    if !matches!(scope, "" | "Namespaced" | "Cluster") {
        let supported = ["Cluster", "Namespaced"].map(str::to_owned);
        causes.push(Cause::not_supported("spec.scope", &Value::from(scope), &supported));
    }
    check_conversion(object, &mut causes);
    check_versions(object, &mut causes);
    causes
}

fn check_conversion(object: &Value, causes: &mut Vec<Cause>) {
    let webhook = object.pointer("/spec/conversion/webhook");
    match (text(object, "/spec/conversion/strategy"), webhook) {
        ("" | "None", None) => {}
        ("" | "None", Some(_)) => causes.push(Cause::forbidden(
            "spec.conversion.webhook",
            "should not be set when strategy is not set to Webhook",
        )),
        ("Webhook", None) => causes.push(Cause::required(
            "spec.conversion.webhook.clientConfig",
            "required when strategy is set to Webhook",
        )),
        ("Webhook", Some(webhook)) => {
            client_config(webhook, "spec.conversion.webhook.clientConfig", causes);
            let versions = strings(webhook, "/conversionReviewVersions");
            if !versions.iter().any(|version| version == "v1") {
                // The real server also speaks v1beta1, which no webhook of today speaks alone.
                causes.push(Cause::required(
                    "spec.conversion.webhook.conversionReviewVersions",
                    "must include at least one of v1",
                ));
            }
        }
        (other, _) => {
            let supported = ["None", "Webhook"].map(str::to_owned);
            causes.push(Cause::not_supported("spec.conversion.strategy", &Value::from(other), &supported));
        }
    }
}

/// Fills the names that have defaults and the status, as the real server's controllers do, and makes the resource.
pub(crate) fn accept(object: &mut Value, now: &str) -> Resource {
    default_names(object);
    let resource = resource(object);
    let stored =
        object.pointer("/status/storedVersions").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut versions: Vec<Value> = stored;
    let storage = Value::from(resource.storage.as_str());
    if !versions.contains(&storage) {
        versions.push(storage);
    }
    let since = object
        .pointer("/status/conditions/0/lastTransitionTime")
        .and_then(Value::as_str)
        .unwrap_or(now)
        .to_owned();
    let names = object.pointer("/spec/names").cloned().unwrap_or_default();
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": since});
    if let Value::Object(map) = object {
        map.insert(
            "status".to_owned(),
            json!({
                "acceptedNames": names,
                "storedVersions": versions,
                "conditions": [
                    condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                    condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
                ],
            }),
        );
    }
    resource
}

fn check_versions(object: &Value, causes: &mut Vec<Cause>) {
    let empty = Vec::new();
    let versions = object.pointer("/spec/versions").and_then(Value::as_array).unwrap_or(&empty);
    if versions.is_empty() {
        causes.push(Cause::required(
            "spec.versions",
            "must have exactly one version marked as storage version",
        ));
        return;
    }
    let storage = versions.iter().filter(|version| flag(version, "storage")).count();
    if storage != 1 {
        causes.push(Cause::invalid(
            "spec.versions",
            &Value::from(storage),
            "must have exactly one version marked as storage version",
        ));
    }
    for (index, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{index}]");
        if text(version, "/name").is_empty() {
            causes.push(Cause::required(format!("{path}.name"), ""));
        }
        match version.pointer("/schema/openAPIV3Schema") {
            Some(schema) => {
                let path = format!("{path}.schema.openAPIV3Schema");
                validate_definition(schema, &path, causes);
                check_rules(schema, &path, causes);
            }
            None => {
                causes
                    .push(Cause::required(format!("{path}.schema.openAPIV3Schema"), "schemas are required"));
            }
        }
    }
}

fn default_names(object: &mut Value) {
    let Some(Value::Object(names)) = object.pointer_mut("/spec/names") else { return };
    let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    names.entry("singular").or_insert_with(|| Value::from(kind.to_lowercase()));
    names.entry("listKind").or_insert_with(|| Value::from(format!("{kind}List")));
    if let Some(Value::Object(spec)) = object.get_mut("spec") {
        let conversion = spec.entry("conversion").or_insert_with(|| json!({"strategy": "None"}));
        if let Some(Value::Object(webhook)) = conversion.get_mut("webhook") {
            service_port(webhook);
        }
    }
}

fn resource(object: &Value) -> Resource {
    let group = text(object, "/spec/group").to_owned();
    let plural = text(object, "/spec/names/plural").to_owned();
    let kind = text(object, "/spec/names/kind").to_owned();
    let empty = Vec::new();
    let specs = object.pointer("/spec/versions").and_then(Value::as_array).unwrap_or(&empty);
    let mut versions: Vec<Version> =
        specs.iter().filter(|spec| flag(spec, "served")).map(|spec| version(&group, &kind, spec)).collect();
    versions.sort_by_key(|version| std::cmp::Reverse(priority(&version.name)));
    let storage = specs.iter().find(|spec| flag(spec, "storage"));
    let storage = storage.map_or("", |spec| text(spec, "/name")).to_owned();
    let webhook = text(object, "/spec/conversion/strategy") == "Webhook" && specs.len() > 1;
    let id: Arc<str> = format!("{plural}.{group}").into();
    Resource {
        store: Arc::clone(&id),
        id,
        namespaced: text(object, "/spec/scope") == "Namespaced",
        singular: text(object, "/spec/names/singular").to_owned(),
        list_kind: text(object, "/spec/names/listKind").to_owned(),
        short_names: strings(object, "/spec/names/shortNames"),
        categories: strings(object, "/spec/names/categories"),
        origin: if webhook { Origin::CustomWithWebhook } else { Origin::Custom },
        conversion: object.pointer("/spec/conversion/webhook/clientConfig").cloned().map(Arc::new),
        stored: true,
        group,
        plural,
        kind,
        versions,
        storage,
    }
}

fn version(group: &str, kind: &str, spec: &Value) -> Version {
    let name = text(spec, "/name").to_owned();
    let columns = spec.get("additionalPrinterColumns").and_then(Value::as_array).cloned().unwrap_or_default();
    let selectable = spec.get("selectableFields").and_then(Value::as_array).into_iter().flatten();
    let selectable =
        selectable.map(|field| text(field, "/jsonPath").trim_start_matches('.').to_owned()).collect();
    let deprecated = flag(spec, "deprecated").then(|| {
        let own = text(spec, "/deprecationWarning");
        if own.is_empty() { format!("{group}/{name} {kind} is deprecated") } else { own.to_owned() }
    });
    let schema = spec.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_default();
    Version {
        rules: Arc::new(Rules::compile(&schema)),
        schema: Arc::new(complete(schema)),
        status: spec.pointer("/subresources/status").is_some(),
        generation: true,
        columns,
        selectable,
        deprecated,
        name,
    }
}

/// Order of versions: stable before beta before alpha, higher numbers first, others last.
pub(crate) fn priority(name: &str) -> (u8, u32, u32) {
    let Some(rest) = name.strip_prefix('v') else { return (0, 0, 0) };
    let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    let (major, stage) = rest.split_at(digits);
    let Ok(major) = major.parse() else { return (0, 0, 0) };
    let minor = |text: &str| text.parse().unwrap_or(0);
    match (stage.strip_prefix("beta"), stage.strip_prefix("alpha")) {
        (Some(beta), _) => (2, major, minor(beta)),
        (_, Some(alpha)) => (1, major, minor(alpha)),
        _ if stage.is_empty() => (3, major, 0),
        _ => (0, 0, 0),
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn strings(value: &Value, pointer: &str) -> Vec<String> {
    let list = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}
