//! An installation of MetalLB with its configuration and fifty services, as its daemons leave them.

use metallb_apiserver::Server;
use serde_json::{Value, json};

/// The one node, its address, and the router's.
pub(super) const NODE: &str = "node1";
pub(super) const NODE_ADDRESS: &str = "10.0.0.1";
pub(super) const ROUTER_ADDRESS: &str = "10.0.0.2";

/// What MetalLB calls where an address is from.
const FROM: &str = "metallb.io/ip-allocated-from-pool";

/// How a service is announced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Layer2,
    Bgp,
}

/// A service with its addresses.
pub(super) struct Given {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) by: By,
    pub(super) addresses: Vec<String>,
    pool: &'static str,
    annotations: Value,
    spec: Value,
}

/// Fifty services of all kinds, with addresses in no order.
pub(super) fn services() -> Vec<Given> {
    let mut all = Vec::new();
    for index in 0..10_u32 {
        let low = (index * 7) % 10;
        let mut add = |kind, by, pool, addresses: &[String], annotations: Value, spec: Value| {
            let name = format!("{}-{index}", ["a", "b", "c", "d", "e"][all.len() % 5]);
            all.push(Given { kind, name, by, addresses: addresses.to_vec(), pool, annotations, spec });
        };
        let v4 = |base: u32| format!("192.0.2.{}", base + low);
        let v6 = |base: &str| format!("2001:db8:{base}::{:x}", low + 16);
        add("Layer 2, IPv4", By::Layer2, "office", &[v4(130)], json!({}), json!({}));
        let both = json!({ "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"] });
        add("Layer 2, both families", By::Layer2, "office", &[v4(150), v6("2")], json!({}), both.clone());
        let routed = json!({ "metallb.io/address-pool": "routed" });
        let addresses = [format!("198.51.100.{}", 20 + low), v6("3")];
        add("BGP, both families, pinned to a pool", By::Bgp, "routed", &addresses, routed, both);
        // Two by two on one address, with different ports.
        let shared = format!("192.0.2.{}", 180 + index / 2);
        let key = format!("key-{}", index / 2);
        let share = json!({ "metallb.io/allow-shared-ip": key, "metallb.io/loadBalancerIPs": shared });
        let port = json!({ "ports": [{ "port": 80 + index % 2, "protocol": "TCP" }] });
        add(
            "Layer 2, two share an address",
            By::Layer2,
            "office",
            std::slice::from_ref(&shared),
            share,
            port,
        );
        let wanted = format!("203.0.113.{}", 1 + low);
        let (annotations, spec) = if index % 2 == 0 {
            (json!({ "metallb.universe.tf/address-pool": "reserved" }), json!({ "loadBalancerIP": wanted }))
        } else {
            (json!({ "metallb.io/loadBalancerIPs": wanted }), json!({ "externalTrafficPolicy": "Local" }))
        };
        add(
            "Layer 2, asked for by annotation or field",
            By::Layer2,
            "reserved",
            std::slice::from_ref(&wanted),
            annotations,
            spec,
        );
    }
    all
}

impl Given {
    fn service(&self) -> Value {
        let mut annotations = self.annotations.clone();
        annotations[FROM] = json!(self.pool);
        let mut spec = json!({
            "type": "LoadBalancer", "selector": { "app": "web" }, "ports": [{ "port": 80, "protocol": "TCP" }],
        });
        spec.as_object_mut().unwrap().extend(self.spec.as_object().unwrap().clone());
        let ingress = |address: &String| json!({ "ip": address, "ipMode": "VIP" });
        let ingress: Vec<Value> = self.addresses.iter().map(ingress).collect();
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": self.name, "annotations": annotations },
            "spec": spec, "status": { "loadBalancer": { "ingress": ingress } },
        })
    }

    /// A slice for each family.
    fn endpoints(&self) -> Vec<Value> {
        let family = |address: &String| {
            if address.contains(':') { ("IPv6", "2001:db8:f::1") } else { ("IPv4", "10.1.0.1") }
        };
        let slice = |(family, pod): (&str, &str)| {
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
                "metadata": {
                    "name": format!("{}-{}", self.name, family.to_lowercase()),
                    "labels": { "kubernetes.io/service-name": self.name },
                },
                "endpoints": [{ "addresses": [pod], "nodeName": NODE, "conditions": { "ready": true } }],
                "ports": [{ "port": 8080, "protocol": "TCP", "name": "" }],
            })
        };
        self.addresses.iter().map(|address| slice(family(address))).collect()
    }

    /// MetalLB's status of it, which has a name made up by the API server.
    fn status(&self, number: usize) -> Value {
        let (kind, prefix, what) = match self.by {
            By::Layer2 => ("ServiceL2Status", "l2", ("interfaces", json!([{ "name": "eth0" }]))),
            By::Bgp => ("ServiceBGPStatus", "bgp", ("peers", json!(["router"]))),
        };
        let labels = json!({
            "metallb.io/node": NODE, "metallb.io/service-name": self.name, "metallb.io/service-namespace": "default",
        });
        let mut status = json!({ "node": NODE, "serviceName": self.name, "serviceNamespace": "default" });
        status[what.0] = what.1;
        system(
            "v1beta1",
            kind,
            &format!("{prefix}-{:05}", number * 7919 % 99_991),
            &json!({ "labels": labels, "status": status }),
        )
    }
}

/// An object of MetalLB's namespace; `labels`, `spec` and `status` are taken from `content`.
fn system(version: &str, kind: &str, name: &str, content: &Value) -> Value {
    let mut object = json!({
        "apiVersion": format!("metallb.io/{version}"), "kind": kind,
        "metadata": { "name": name, "namespace": "metallb-system" },
    });
    if let Some(labels) = content.get("labels") {
        object["metadata"]["labels"] = labels.clone();
    }
    for part in ["spec", "status"] {
        if let Some(content) = content.get(part) {
            object[part] = content.clone();
        }
    }
    object
}

fn pool(name: &str, addresses: &[&str], auto_assign: bool) -> Value {
    let spec = json!({ "addresses": addresses, "autoAssign": auto_assign, "avoidBuggyIPs": false });
    let status = json!({ "assignedIPv4": 0, "assignedIPv6": 0, "availableIPv4": 1, "availableIPv6": 1 });
    system("v1beta1", "IPAddressPool", name, &json!({ "spec": spec, "status": status }))
}

/// MetalLB's verdict on its configuration, which has no spec.
fn verdict(name: &str, labels: &Value, condition: &str) -> Value {
    let condition = json!({
        "type": condition, "status": "True", "reason": "SyncStateSuccess", "message": "",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    });
    let status = json!({ "result": "Valid", "errorSummary": "", "conditions": [condition] });
    system("v1beta1", "ConfigurationState", name, &json!({ "labels": labels, "status": status }))
}

/// Fills a server that has MetalLB's definitions.
pub(super) fn fill(server: &Server) {
    let put =
        |object: &Value| server.apply_object(object).unwrap_or_else(|error| panic!("{error}: {object}"));
    put(&json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": NODE, "labels": { "kubernetes.io/hostname": NODE } },
    }));
    put(&pool("office", &["192.0.2.128/25", "2001:db8:2::/64"], true));
    put(&pool("routed", &["198.51.100.0/24", "2001:db8:3::/64"], false));
    put(&pool("reserved", &["203.0.113.0/28"], false));
    let chosen = |pools: &[&str]| json!({ "spec": { "ipAddressPools": pools } });
    put(&system("v1beta1", "L2Advertisement", "near", &chosen(&["office", "reserved"])));
    put(&system("v1beta1", "BGPAdvertisement", "far", &chosen(&["routed"])));
    let peer = json!({
        "myASN": 64500, "peerASN": 64512, "peerAddress": ROUTER_ADDRESS, "sourceAddress": NODE_ADDRESS, "peerPort": 179,
        "dualStackAddressFamily": true, "connectTime": "1s",
    });
    put(&system("v1beta2", "BGPPeer", "router", &json!({ "spec": peer })));
    for (number, given) in services().iter().enumerate() {
        put(&given.service());
        for slice in given.endpoints() {
            put(&slice);
        }
        put(&given.status(number));
    }
    let component = |name: &str| json!({ "metallb.io/component-type": name });
    put(&verdict("controller", &component("controller"), "poolReconcilerValid"));
    let mut speaker = component("speaker");
    speaker["metallb.io/node-name"] = json!(NODE);
    put(&verdict("speaker-node1", &speaker, "configReconcilerValid"));
    put(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "memberlist", "namespace": "metallb-system" },
        "stringData": { "secretkey": "at least sixteen octets" },
    }));
}

/// What MetalLB's speaker tells frr-k8s about its node.
pub(super) fn frr_configuration() -> Value {
    let neighbor = json!({ "asn": 64512, "address": ROUTER_ADDRESS, "port": 179 });
    json!({
        "apiVersion": "frrk8s.metallb.io/v1beta1", "kind": "FRRConfiguration",
        "metadata": { "name": format!("metallb-{NODE}"), "namespace": "metallb-system" },
        "spec": {
            "nodeSelector": { "matchLabels": { "kubernetes.io/hostname": NODE } },
            "bgp": { "routers": [{ "asn": 64500, "neighbors": [neighbor] }] },
        },
    })
}
