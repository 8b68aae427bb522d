//! The daemons' service accounts and roles, as they are shipped.

use metallb_apiserver::RbacUsage;
use serde_json::Value;

/// Names of the service accounts, which are the names of the programs, too.
pub(crate) const ACCOUNTS: [&str; 2] = ["controller", "speaker"];

/// Their roles, as [`RbacUsage`] calls them.
const ROLES: [(&str, [&str; 2]); 2] = [
    ("controller", ["ClusterRole metallb-system:controller: ", "Role metallb-system/controller: "]),
    ("speaker", ["ClusterRole metallb-system:speaker: ", "Role metallb-system/pod-lister: "]),
];

/// What an installation applies.
const MANIFEST: &str = include_str!("../../../../deploy/manifests/metallb-native.yaml");

/// Kinds of [`MANIFEST`] that decide what the daemons may do.
const KINDS: [&str; 6] =
    ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];

/// Everything that an installation applies.
pub(crate) fn manifest() -> Vec<Value> {
    serde_saphyr::from_multiple(MANIFEST).unwrap()
}

/// The namespace, the accounts and what they may do, from our manifest.
pub(super) fn shipped() -> Vec<Value> {
    let chosen = manifest().into_iter().filter(|object| KINDS.iter().any(|kind| object["kind"] == *kind));
    let chosen: Vec<Value> = chosen.collect();
    assert_eq!(chosen.len(), 1 + ACCOUNTS.len() * 5, "{chosen:?}");
    chosen
}

/// What an account was granted and has not needed so far.
pub(super) fn unused(usage: &RbacUsage, account: &str) -> Vec<String> {
    let (_, roles) = ROLES.iter().find(|(name, _)| *name == account).unwrap();
    let known = usage.used.iter().any(|granted| roles[0].starts_with(&granted.role));
    assert!(known, "the {account} has not used {:?} at all: is it called so?", roles[0]);
    let of_account = |entry: &&String| roles.iter().any(|role| entry.starts_with(role));
    usage.unused.iter().filter(of_account).cloned().collect()
}
