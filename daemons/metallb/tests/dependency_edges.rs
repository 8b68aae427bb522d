//! The direction of dependencies between the crates of this workspace.
//!
//! core, arp and bgp stand alone; k8s builds on core; daemons build on everything; fuzz and benches
//! use the libraries only; nothing builds on daemons but daemons.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// The libraries that each workspace package may depend on; a package not listed here fails the test.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("metallb-core", &[]),
    ("metallb-arp", &[]),
    ("metallb-bgp", &[]),
    ("metallb-k8s", &["metallb-core"]),
    // What a server holds against an object, and what `check` holds against a file.
    ("metallb-schema", &[]),
    ("metallb-apiserver", &["metallb-k8s", "metallb-schema"]),
    ("metallb-runtime", &["metallb-core", "metallb-k8s"]),
    // The daemons' tests run them against the embedded API server.
    ("metallb-controller", &["metallb-apiserver", "metallb-core", "metallb-k8s", "metallb-runtime"]),
    (
        "metallb-speaker",
        &[
            "metallb-apiserver",
            "metallb-arp",
            "metallb-bgp",
            "metallb-core",
            "metallb-k8s",
            "metallb-runtime",
        ],
    ),
    ("metallb-lab", &["metallb-apiserver", "metallb-arp", "metallb-bgp", "metallb-core", "metallb-k8s"]),
    // Its tests ask the embedded API server.
    (
        "metallb-cli",
        &["metallb-apiserver", "metallb-arp", "metallb-bgp", "metallb-core", "metallb-k8s", "metallb-schema"],
    ),
    // Its tests put what `deploy/` ships into the embedded API server, and are a router.
    (
        "metallb",
        &[
            "metallb-apiserver",
            "metallb-bgp",
            "metallb-cli",
            "metallb-controller",
            "metallb-core",
            "metallb-k8s",
            "metallb-lab",
            "metallb-runtime",
            "metallb-speaker",
        ],
    ),
    ("metallb-fuzz", &["metallb-arp", "metallb-bgp", "metallb-core"]),
    ("metallb-benches", &["metallb-arp", "metallb-bgp", "metallb-core"]),
];

/// Runtime dependencies that the pure crates may have without their IO features.
const PURE_LIMITS: [(&str, usize); 3] = [("metallb-core", 3), ("metallb-arp", 3), ("metallb-bgp", 4)];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn packages(metadata: &Value) -> BTreeMap<&str, &Value> {
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (package["name"].as_str().unwrap(), package)).collect()
}

fn dependencies(package: &Value, wanted: impl Fn(&Value) -> bool) -> BTreeSet<&str> {
    let dependencies = package["dependencies"].as_array().unwrap();
    dependencies.iter().filter(|entry| wanted(entry)).map(|entry| entry["name"].as_str().unwrap()).collect()
}

#[test]
fn every_edge_between_workspace_crates_points_the_right_way() {
    let metadata = metadata();
    let packages = packages(&metadata);
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let mut wrong = Vec::new();
    for (name, package) in &packages {
        let own = dependencies(package, |entry| packages.contains_key(entry["name"].as_str().unwrap()));
        let Some(allowed) = allowed.get(name) else {
            wrong.push(format!("{name} is not listed: say here what it may depend on"));
            continue;
        };
        wrong.extend(
            own.iter()
                .filter(|edge| **edge != *name && !allowed.contains(edge))
                .map(|edge| format!("{name} must not depend on {edge}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_crates_keep_few_runtime_dependencies() {
    let metadata = metadata();
    let packages = packages(&metadata);
    for (name, limit) in PURE_LIMITS {
        let runtime =
            dependencies(packages[name], |entry| entry["kind"].is_null() && entry["optional"] == false);
        assert!(runtime.len() <= limit, "{name} has {} runtime dependencies: {runtime:?}", runtime.len());
    }
}
