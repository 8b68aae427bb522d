//! Rules for `metadata` of every kind.

use serde_json::Value;

use super::{list, text};
use crate::failure::Cause;

/// Checks name, labels, annotations, owner references and finalizers.
pub(crate) fn validate_metadata(id: &str, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = text(object, "/metadata/name");
    name_rule(id, name, &mut causes);
    for (key, value) in entries(object, "/metadata/labels") {
        if !is_qualified(key) {
            causes.push(Cause::invalid("metadata.labels", &Value::from(key.as_str()), QUALIFIED));
        }
        if !value.as_str().is_some_and(is_label_value) {
            causes.push(Cause::invalid("metadata.labels", value, LABEL_VALUE));
        }
    }
    let mut size = 0;
    for (key, value) in entries(object, "/metadata/annotations") {
        if !is_qualified(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &Value::from(key.as_str()), QUALIFIED));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        let message = format!("Too long: may not be more than {ANNOTATIONS_LIMIT} bytes");
        causes.push(Cause { reason: "FieldValueTooLong", message, field: "metadata.annotations".to_owned() });
    }
    for (index, owner) in list(object, "/metadata/ownerReferences").iter().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner.get(field).and_then(Value::as_str).unwrap_or_default().is_empty() {
                causes.push(Cause::required(
                    format!("metadata.ownerReferences[{index}].{field}"),
                    "must not be empty",
                ));
            }
        }
    }
    for (index, finalizer) in list(object, "/metadata/finalizers").iter().enumerate() {
        if !finalizer.as_str().is_some_and(is_qualified) {
            causes.push(Cause::invalid(format!("metadata.finalizers[{index}]"), finalizer, QUALIFIED));
        }
    }
    causes
}

fn name_rule(id: &str, name: &str, causes: &mut Vec<Cause>) {
    if id.ends_with(RBAC_GROUP) {
        if let Some(rule) = path_segment_rule(name) {
            causes.push(Cause::invalid("metadata.name", &Value::from(name), &rule));
        }
        return;
    }
    let (valid, rule) = match id {
        "services" => (is_service_name(name), SERVICE_NAME),
        "namespaces" => (is_dns_label(name), DNS_LABEL),
        _ => (is_dns_subdomain(name), DNS_SUBDOMAIN),
    };
    if !valid {
        causes.push(Cause::invalid("metadata.name", &Value::from(name), rule));
    }
}

/// Roles and bindings may have any name that can stand in a path.
fn path_segment_rule(name: &str) -> Option<String> {
    if matches!(name, "." | "..") {
        return Some(format!("may not be '{name}'"));
    }
    let wrong = ['/', '%'].into_iter().find(|&wrong| name.contains(wrong))?;
    Some(format!("may not contain '{wrong}'"))
}

fn entries<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

/// RFC 1123 subdomain.
pub(crate) fn is_dns_subdomain(name: &str) -> bool {
    !name.is_empty() && name.len() <= 253 && name.split('.').all(is_part)
}

fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_part(name)
}

/// RFC 1035 label.
fn is_service_name(name: &str) -> bool {
    is_dns_label(name) && name.starts_with(|first: char| first.is_ascii_lowercase())
}

fn is_part(part: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && edge(part.bytes().next())
        && edge(part.bytes().last())
}

/// `name` or `example.com/name`.
fn is_qualified(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_name(name),
        None => is_name(key),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    value.len() <= 63
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && edge(value.bytes().next())
        && edge(value.bytes().last())
}

/// How the ids of roles and bindings end.
const RBAC_GROUP: &str = ".rbac.authorization.k8s.io";

/// Total size of annotations.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
    used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const DNS_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
    or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
    must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SERVICE_NAME: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
