//! Defaults of pods and pod templates.

use serde_json::{Map, Value, json};

use super::default_to;

/// Defaults that a pod and a template share.
pub(super) fn pod_spec(spec: &mut Map<String, Value>) {
    default_to(spec, "restartPolicy", "Always");
    default_to(spec, "dnsPolicy", "ClusterFirst");
    default_to(spec, "schedulerName", "default-scheduler");
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_to(spec, "securityContext", json!({}));
    // The old name of the field follows the new one.
    let account = spec.get("serviceAccountName").or_else(|| spec.get("serviceAccount")).cloned();
    if let Some(account) = account {
        spec.insert("serviceAccountName".to_owned(), account.clone());
        spec.insert("serviceAccount".to_owned(), account);
    }
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        for entry in objects(spec, kind) {
            container(entry);
        }
    }
    for entry in objects(spec, "volumes") {
        volume(entry);
    }
}

fn container(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let policy = if has_floating_tag(image) { "Always" } else { "IfNotPresent" };
    default_to(container, "imagePullPolicy", policy);
    default_to(container, "terminationMessagePath", "/dev/termination-log");
    default_to(container, "terminationMessagePolicy", "File");
    default_to(container, "resources", json!({}));
    for port in objects(container, "ports") {
        default_to(port, "protocol", "TCP");
    }
    for variable in objects(container, "env") {
        let source = variable.get_mut("valueFrom").and_then(|source| source.get_mut("fieldRef"));
        if let Some(Value::Object(field)) = source {
            default_to(field, "apiVersion", "v1");
        }
    }
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(found)) = container.get_mut(kind) {
            probe(found);
        }
    }
    if let Some(Value::Object(hooks)) = container.get_mut("lifecycle") {
        hooks.values_mut().for_each(http_get);
    }
}

/// `latest` or no tag at all; a digest pins the image.
fn has_floating_tag(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn probe(probe: &mut Map<String, Value>) {
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if probe.get(field).and_then(Value::as_i64).unwrap_or(0) == 0 {
            probe.insert(field.to_owned(), Value::from(value));
        }
    }
    if let Some(Value::Object(grpc)) = probe.get_mut("grpc")
        && !grpc.contains_key("service")
    {
        grpc.insert("service".to_owned(), Value::from(""));
    }
    if let Some(Value::Object(get)) = probe.get_mut("httpGet") {
        http_defaults(get);
    }
}

fn http_get(handler: &mut Value) {
    if let Some(Value::Object(get)) = handler.get_mut("httpGet") {
        http_defaults(get);
    }
}

fn http_defaults(get: &mut Map<String, Value>) {
    default_to(get, "path", "/");
    default_to(get, "scheme", "HTTP");
}

fn volume(volume: &mut Map<String, Value>) {
    if volume.keys().all(|field| field == "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for kind in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(Value::Object(source)) = volume.get_mut(kind) {
            default_to(source, "defaultMode", DEFAULT_MODE);
        }
    }
    if let Some(Value::Object(path)) = volume.get_mut("hostPath")
        && !path.contains_key("type")
    {
        path.insert("type".to_owned(), Value::from(""));
    }
    if let Some(Value::Object(projected)) = volume.get_mut("projected") {
        for source in objects(projected, "sources") {
            if let Some(Value::Object(token)) = source.get_mut("serviceAccountToken") {
                default_to(token, "expirationSeconds", 3600);
            }
        }
    }
}

fn objects<'a>(
    map: &'a mut Map<String, Value>,
    field: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let items = map.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten();
    items.filter_map(Value::as_object_mut)
}

/// Octal 644.
const DEFAULT_MODE: i64 = 0o644;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{has_floating_tag, pod_spec};

    #[test]
    fn only_latest_and_no_tag_float() {
        for (image, floats) in [
            ("nginx", true),
            ("nginx:latest", true),
            ("host:5000/nginx", true),
            ("nginx:1.2", false),
            ("host:5000/nginx:1", false),
            ("nginx@sha256:00", false),
        ] {
            assert_eq!(has_floating_tag(image), floats, "{image}");
        }
    }

    #[test]
    fn what_is_given_stays_and_only_what_is_absent_is_filled_in() {
        let given = json!({
            "restartPolicy": "Never", "serviceAccountName": "speaker", "hostNetwork": true,
            "containers": [{
                "name": "c", "image": "i:1", "imagePullPolicy": "Always",
                "ports": [{"containerPort": 1}, {"containerPort": 2, "protocol": "UDP"}],
                "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                "livenessProbe": {"httpGet": {"port": "m"}, "periodSeconds": 5},
            }],
            "volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 256}}, {"name": "e"}],
        });
        let Value::Object(mut spec) = given else { unreachable!() };
        pod_spec(&mut spec);
        assert_eq!(
            Value::Object(spec),
            json!({
                "restartPolicy": "Never", "serviceAccountName": "speaker", "serviceAccount": "speaker",
                "hostNetwork": true, "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
                "terminationGracePeriodSeconds": 30, "securityContext": {},
                "containers": [{
                    "name": "c", "image": "i:1", "imagePullPolicy": "Always", "resources": {},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "ports": [
                        {"containerPort": 1, "protocol": "TCP"},
                        {"containerPort": 2, "protocol": "UDP"},
                    ],
                    "env": [{
                        "name": "N", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName", "apiVersion": "v1"}},
                    }],
                    "livenessProbe": {
                        "httpGet": {"port": "m", "path": "/", "scheme": "HTTP"}, "periodSeconds": 5,
                        "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3,
                    },
                }],
                "volumes": [
                    {"name": "v", "secret": {"secretName": "s", "defaultMode": 256}},
                    {"name": "e", "emptyDir": {}},
                ],
            })
        );
    }
}
