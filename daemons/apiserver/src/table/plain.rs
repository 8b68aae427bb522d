//! Columns of the simpler kinds.

use serde_json::Value;

use super::columns::Column;
use crate::admission::{list, text};

/// Columns after the name.
pub(super) fn columns(id: &str) -> Vec<Column> {
    match id {
        "services" => vec![
            Column::made("Type", |object| Value::from(text(object, "/spec/type"))),
            Column::made("Cluster-IP", cluster_ip),
            Column::made("External-IP", external_ip),
            Column::made("Port(s)", service_ports),
            Column::age(),
            Column::made("Selector", |object| Value::from(pairs(object.pointer("/spec/selector")))).wide(),
        ],
        "namespaces" => {
            vec![Column::made("Status", |object| Value::from(text(object, "/status/phase"))), Column::age()]
        }
        "secrets" => vec![
            Column::made("Type", |object| Value::from(text(object, "/type"))),
            Column::made("Data", |object| Value::from(entries(object, &["data"]))).number(),
            Column::age(),
        ],
        "configmaps" => vec![
            Column::made("Data", |object| Value::from(entries(object, &["data", "binaryData"]))).number(),
            Column::age(),
        ],
        "serviceaccounts" => vec![
            Column::made("Secrets", |object| Value::from(list(object, "/secrets").len())).number(),
            Column::age(),
        ],
        "endpointslices.discovery.k8s.io" => vec![
            Column::made("AddressType", |object| Value::from(text(object, "/addressType"))),
            Column::made("Ports", slice_ports),
            Column::made("Endpoints", endpoints),
            Column::age(),
        ],
        "leases.coordination.k8s.io" => vec![
            Column::made("Holder", |object| Value::from(text(object, "/spec/holderIdentity"))),
            Column::age(),
        ],
        "customresourcedefinitions.apiextensions.k8s.io" => vec![Column::made("Created At", |object| {
            Value::from(text(object, "/metadata/creationTimestamp"))
        })],
        _ => vec![Column::age()],
    }
}

/// Events have no name column.
pub(super) fn events() -> Vec<Column> {
    vec![
        Column::made("Last Seen", last_seen),
        Column::made("Type", |object| Value::from(text(object, "/type"))),
        Column::made("Reason", |object| Value::from(text(object, "/reason"))),
        Column::made("Object", |object| Value::from(involved(object))),
        Column::made("Subobject", |object| {
            Value::from(either(object, "/involvedObject/fieldPath", "/regarding/fieldPath"))
        })
        .wide(),
        Column::made("Source", source).wide(),
        Column::made("Message", |object| Value::from(either(object, "/message", "/note").trim())),
        Column::since("First Seen", "/metadata/creationTimestamp").wide(),
        Column::made("Count", count).number().wide(),
        Column::made("Name", |object| Value::from(text(object, "/metadata/name"))).wide(),
    ]
}

fn cluster_ip(service: &Value) -> Value {
    let address = text(service, "/spec/clusterIP");
    Value::from(if address.is_empty() { "<none>" } else { address })
}

fn external_ip(service: &Value) -> Value {
    let external: Vec<_> = list(service, "/spec/externalIPs").iter().filter_map(Value::as_str).collect();
    let shown = match text(service, "/spec/type") {
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let ingress = list(service, "/status/loadBalancer/ingress").iter();
            let addresses = ingress.map(|entry| either(entry, "/ip", "/hostname"));
            let all: Vec<_> = addresses.chain(external).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        _ if external.is_empty() => "<none>".to_owned(),
        _ => external.join(","),
    };
    Value::from(shown)
}

fn service_ports(service: &Value) -> Value {
    let ports = list(service, "/spec/ports").iter().map(|port| {
        let number = port.get("port").cloned().unwrap_or_default();
        let protocol = text(port, "/protocol");
        match port.get("nodePort").and_then(Value::as_i64).filter(|number| *number > 0) {
            Some(node) => format!("{number}:{node}/{protocol}"),
            None => format!("{number}/{protocol}"),
        }
    });
    let ports: Vec<_> = ports.collect();
    Value::from(if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") })
}

fn slice_ports(slice: &Value) -> Value {
    let ports: Vec<_> = list(slice, "/ports")
        .iter()
        .map(|port| {
            port.get("port").filter(|port| !port.is_null()).map_or_else(|| "*".to_owned(), Value::to_string)
        })
        .collect();
    Value::from(if ports.is_empty() { "<unset>".to_owned() } else { shorten(&ports) })
}

fn endpoints(slice: &Value) -> Value {
    let addresses: Vec<_> = list(slice, "/endpoints")
        .iter()
        .flat_map(|endpoint| list(endpoint, "/addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    Value::from(if addresses.is_empty() { "<unset>".to_owned() } else { shorten(&addresses) })
}

fn shorten(all: &[String]) -> String {
    let first = all.get(..SHOWN.min(all.len())).unwrap_or_default().join(",");
    if all.len() > SHOWN { format!("{first} + {} more...", all.len() - SHOWN) } else { first }
}

fn last_seen(event: &Value) -> Value {
    let times = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    let time = times.iter().find_map(|pointer| event.pointer(pointer).filter(|time| time.is_string()));
    Value::from(super::age::since(time, jiff::Timestamp::now()))
}

fn involved(event: &Value) -> String {
    let kind = either(event, "/involvedObject/kind", "/regarding/kind").to_lowercase();
    let name = either(event, "/involvedObject/name", "/regarding/name");
    if name.is_empty() { kind } else { format!("{kind}/{name}") }
}

fn source(event: &Value) -> Value {
    let component = either(event, "/source/component", "/deprecatedSource/component");
    let component = if component.is_empty() {
        either(event, "/reportingComponent", "/reportingController")
    } else {
        component
    };
    let host = either(event, "/source/host", "/deprecatedSource/host");
    Value::from(if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") })
}

fn count(event: &Value) -> Value {
    let pointers = ["/series/count", "/count", "/deprecatedCount"];
    let found = pointers.iter().find_map(|pointer| event.pointer(pointer).and_then(Value::as_i64));
    Value::from(found.unwrap_or(1))
}

fn entries(object: &Value, fields: &[&str]) -> usize {
    fields.iter().filter_map(|field| object.get(*field)?.as_object()).map(serde_json::Map::len).sum()
}

/// `a=b,c=d`, or `<none>`.
pub(super) fn pairs(labels: Option<&Value>) -> String {
    let pairs = labels.and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<_> =
        pairs.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

fn either<'a>(object: &'a Value, first: &str, second: &str) -> &'a str {
    match text(object, first) {
        "" => text(object, second),
        found => found,
    }
}

/// Values of a list that are shown before the rest is counted.
const SHOWN: usize = 3;
