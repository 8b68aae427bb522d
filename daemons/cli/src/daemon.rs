//! The pods of controller and speakers, as the cluster has them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A pod of MetalLB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Daemon {
    pub(crate) pod: String,
    /// `controller` or `speaker`.
    pub(crate) component: String,
    /// Where it runs; empty while it has no node.
    pub(crate) node: String,
    pub(crate) ready: bool,
    /// What its container was made from.
    pub(crate) image: String,
    /// How often the containers were started again.
    pub(crate) restarts: u64,
    args: Vec<String>,
}

impl Daemon {
    /// Cuts a pod down; `None` when it is none of the two daemons, or has ended.
    pub(crate) fn cut(object: &Value) -> Option<Self> {
        let pod = Pod::deserialize(object).ok()?;
        let label = |name: &str| pod.metadata.labels.get(name).cloned();
        let component = label("component").or_else(|| label("app.kubernetes.io/component"))?;
        if !["controller", "speaker"].contains(&component.as_str())
            || matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"))
        {
            return None;
        }
        // An FRR or a proxy may stand beside it.
        let mut containers = pod.spec.containers.into_iter();
        let first = containers.next().unwrap_or_default();
        let main = containers.find(|container| container.name == component);
        let main = if first.name == component { first } else { main.unwrap_or(first) };
        let is_ready = |found: &Condition| found.type_ == "Ready" && found.status == "True";
        Some(Self {
            pod: pod.metadata.name,
            component,
            node: pod.spec.node_name.unwrap_or_default(),
            ready: pod.status.conditions.iter().any(is_ready),
            image: main.image,
            restarts: pod.status.container_statuses.iter().map(|container| container.restart_count).sum(),
            args: main.args.into_iter().chain(main.command.into_iter().skip(1)).collect(),
        })
    }

    /// The value of one of its flags, in any of the forms that the daemons take: `--a=b`, `--a b`, `-a=b`; `true` for a
    /// flag without a value.
    pub(crate) fn flag(&self, name: &str) -> Option<&str> {
        let mut args = self.args.iter().map(String::as_str).peekable();
        while let Some(arg) = args.next() {
            let Some(rest) = arg.trim_start_matches('-').strip_prefix(name).filter(|_| arg.starts_with('-'))
            else {
                continue;
            };
            if let Some(value) = rest.strip_prefix('=') {
                return Some(value);
            }
            if rest.is_empty() {
                let next = args.peek().copied().filter(|next| !next.starts_with('-'));
                return Some(next.unwrap_or("true"));
            }
        }
        None
    }

    /// Whether a switch is on.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.flag(name).is_some_and(|value| matches!(value, "true" | "1" | "t" | "T" | "TRUE" | "True"))
    }

    /// The port of its metrics over HTTP; `None` when they are switched off.
    pub(crate) fn metrics_port(&self) -> Option<u16> {
        let port = self.flag("port").map_or(Some(METRICS_PORT), |port| port.parse().ok())?;
        (port != 0).then_some(port)
    }

    /// What the image says about the version: `v0.1.0` of `registry/metallb/speaker:v0.1.0`.
    pub(crate) fn tag(&self) -> &str {
        let name = self.image.rsplit('/').next().unwrap_or_default();
        let name = name.split('@').next().unwrap_or_default();
        name.split_once(':').map_or("latest", |(_, tag)| tag)
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Pod {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    image: String,
    command: Vec<String>,
    args: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: Option<String>,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatus {
    restart_count: u64,
}

/// Where the daemons serve metrics unless told otherwise.
const METRICS_PORT: u16 = 7472;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mk_pod(args: &[&str]) -> Daemon {
        Daemon::cut(&json!({
            "metadata": { "name": "speaker-x", "labels": { "app.kubernetes.io/component": "speaker" } },
            "spec": { "nodeName": "node-a", "containers": [
                { "name": "frr", "image": "frr:9", "args": ["--port=1"] },
                { "name": "speaker", "image": "localhost:5000/metallb/speaker:v0.2.0@sha256:00", "args": args },
            ] },
            "status": { "containerStatuses": [{ "restartCount": 2 }, { "restartCount": 1 }] },
        }))
        .unwrap()
    }

    #[test]
    fn flags_are_read_in_every_form_that_the_daemons_take() {
        for (args, expected) in [
            (&["--lb-class=a"][..], Some("a")),
            (&["--lb-class", "a"], Some("a")),
            (&["-lb-class=a"], Some("a")),
            (&["--lb-class-of-others=b"], None),
            (&["--lb-class"], Some("true")),
            (&["--lb-class", "--port=1"], Some("true")),
            (&[], None),
        ] {
            assert_eq!(mk_pod(args).flag("lb-class"), expected, "{args:?}");
        }
        assert!(mk_pod(&["--ignore-exclude-lb"]).is_set("ignore-exclude-lb"));
        assert!(!mk_pod(&["--ignore-exclude-lb=false"]).is_set("ignore-exclude-lb"));
    }

    #[test]
    fn the_daemons_own_container_counts_among_several() {
        let daemon = mk_pod(&["--port=7473"]);
        assert_eq!((daemon.tag(), daemon.metrics_port(), daemon.restarts), ("v0.2.0", Some(7473), 3));
        assert_eq!(mk_pod(&["--port=0"]).metrics_port(), None);
    }

    #[test]
    fn other_pods_and_ended_ones_are_left_out() {
        assert_eq!(
            Daemon::cut(&json!({ "metadata": { "name": "x", "labels": { "component": "web" } } })),
            None
        );
        let ended = json!({
            "metadata": { "name": "x", "labels": { "component": "speaker" } }, "status": { "phase": "Failed" },
        });
        assert_eq!(Daemon::cut(&ended), None);
    }
}
