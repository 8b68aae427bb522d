//! Webhook configurations: defaults and rules.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::metadata::is_dns_subdomain;
use super::{default_to, list, text};
use crate::failure::Cause;

/// Fills in what a webhook leaves out.
pub(super) fn defaults(object: &mut Value, mutating: bool) {
    for hook in object.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
        let Value::Object(hook) = hook else { continue };
        default_to(hook, "failurePolicy", "Fail");
        default_to(hook, "matchPolicy", "Equivalent");
        default_to(hook, "namespaceSelector", json!({}));
        default_to(hook, "objectSelector", json!({}));
        default_to(hook, "timeoutSeconds", 10);
        if mutating {
            default_to(hook, "reinvocationPolicy", "Never");
        }
        service_port(hook);
        for rule in hook.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Value::Object(rule) = rule {
                default_to(rule, "scope", "*");
            }
        }
    }
}

/// The port of a `clientConfig` that names a service.
pub(crate) fn service_port(holder: &mut Map<String, Value>) {
    let service = holder.get_mut("clientConfig").and_then(|config| config.get_mut("service"));
    if let Some(Value::Object(service)) = service {
        default_to(service, "port", 443);
    }
}

/// What is wrong with a configuration.
pub(super) fn rules(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut names = BTreeSet::new();
    for (index, hook) in list(object, "/webhooks").iter().enumerate() {
        let path = format!("webhooks[{index}]");
        let name = text(hook, "/name");
        if !name.is_empty() && !names.insert(name) {
            causes.push(Cause::duplicate(format!("{path}.name"), &Value::from(name)));
        }
        name_rule(name, &path, &mut causes);
        webhook(hook, &path, &mut causes);
    }
    causes
}

fn name_rule(name: &str, path: &str, causes: &mut Vec<Cause>) {
    let field = format!("{path}.name");
    if name.is_empty() {
        causes.push(Cause::required(field, ""));
    } else if !is_dns_subdomain(name) || name.split('.').count() < 3 {
        let why = "should be a domain with at least three segments separated by dots";
        causes.push(Cause::invalid(field, &Value::from(name), why));
    }
}

fn webhook(hook: &Value, path: &str, causes: &mut Vec<Cause>) {
    one_of(hook, "failurePolicy", &["Fail", "Ignore"], path, causes);
    one_of(hook, "matchPolicy", &["Equivalent", "Exact"], path, causes);
    let harmless = ["None", "NoneOnDryRun"];
    if text(hook, "/sideEffects").is_empty() {
        let why = format!("must specify one of {}", harmless.join(", "));
        causes.push(Cause::required(format!("{path}.sideEffects"), &why));
    } else {
        one_of(hook, "sideEffects", &harmless, path, causes);
    }
    if let Some(seconds) = hook.get("timeoutSeconds")
        && !seconds.as_i64().is_some_and(|seconds| (1..=30).contains(&seconds))
    {
        let why = "the timeout value must be between 1 and 30 seconds";
        causes.push(Cause::invalid(format!("{path}.timeoutSeconds"), seconds, why));
    }
    if !list(hook, "/admissionReviewVersions").iter().any(|version| version == "v1") {
        // The real server also knows v1beta1, which no webhook of today speaks alone.
        let why = "must specify one of v1";
        causes.push(Cause::required(format!("{path}.admissionReviewVersions"), why));
    }
    if !list(hook, "/matchConditions").is_empty() {
        let why = "the embedded API server does not evaluate match conditions; leave them out";
        causes.push(Cause::forbidden(format!("{path}.matchConditions"), why));
    }
    client_config(hook, &format!("{path}.clientConfig"), causes);
    for (index, rule) in list(hook, "/rules").iter().enumerate() {
        rule_with_operations(rule, &format!("{path}.rules[{index}]"), causes);
    }
}

/// Where a webhook is: an URL or a service.
pub(crate) fn client_config(holder: &Value, path: &str, causes: &mut Vec<Cause>) {
    let url = text(holder, "/clientConfig/url");
    let service = holder.pointer("/clientConfig/service");
    if url.is_empty() == service.is_none() {
        causes.push(Cause::required(path, "exactly one of url or service is required"));
        return;
    }
    if let Some(service) = service {
        for field in ["name", "namespace"] {
            if text(service, &format!("/{field}")).is_empty() {
                causes.push(Cause::required(format!("{path}.service.{field}"), ""));
            }
        }
        let route = text(service, "/path");
        if !route.is_empty() && !route.starts_with('/') {
            causes.push(Cause::invalid(
                format!("{path}.service.path"),
                &Value::from(route),
                "must start with a '/'",
            ));
        }
        return;
    }
    let field = format!("{path}.url");
    match url.split_once("://") {
        Some(("https", rest)) if !rest.starts_with('/') && !rest.is_empty() => {}
        Some(("https", _)) => {
            let why = "host must be specified; desired format: https://host[/path]";
            causes.push(Cause::invalid(field, &Value::from(""), why));
        }
        other => {
            let scheme = other.map_or("", |(scheme, _)| scheme);
            let why = "'https' is the only allowed URL scheme; desired format: https://host[/path]";
            causes.push(Cause::invalid(field, &Value::from(scheme), why));
        }
    }
}

fn rule_with_operations(rule: &Value, path: &str, causes: &mut Vec<Cause>) {
    for field in ["operations", "apiGroups", "apiVersions", "resources"] {
        if list(rule, &format!("/{field}")).is_empty() {
            causes.push(Cause::required(format!("{path}.{field}"), ""));
        }
    }
    for (index, operation) in list(rule, "/operations").iter().enumerate() {
        let known = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
        if !operation.as_str().is_some_and(|operation| known.contains(&operation)) {
            let supported = known.map(str::to_owned);
            causes.push(Cause::not_supported(format!("{path}.operations[{index}]"), operation, &supported));
        }
    }
    one_of(rule, "scope", &["*", "Cluster", "Namespaced"], path, causes);
}

fn one_of(holder: &Value, field: &str, supported: &[&str], path: &str, causes: &mut Vec<Cause>) {
    let Some(given) = holder.get(field) else { return };
    if !given.as_str().is_some_and(|given| supported.contains(&given)) {
        let supported: Vec<_> = supported.iter().map(|&one| one.to_owned()).collect();
        causes.push(Cause::not_supported(format!("{path}.{field}"), given, &supported));
    }
}
