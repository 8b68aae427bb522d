//! RBAC: the rules that bindings give to a user, and whether one of them allows a request.

use std::sync::Arc;

use serde_json::Value;

use super::usage::{Permission, RoleName};
use super::user::account_user;
use super::{Asked, Attributes, Decision, User};
use crate::admission::{list, text};
use crate::state::State;
use crate::store::Key;

const CLUSTER_BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io";
const BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";
const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
const ROLES: &str = "roles.rbac.authorization.k8s.io";

impl State {
    /// Whether the rules allow a request; remembers the rule that does. Cluster-wide bindings are asked first, then
    /// those of the namespace, each in the order of their names.
    pub(crate) fn decide(&mut self, attributes: &Attributes) -> Decision {
        if attributes.user.is_master() {
            return Decision { allowed: true, reason: String::new() };
        }
        let mut missing = Vec::new();
        for binding in self.bindings_for(attributes) {
            let reference = binding.get("roleRef").cloned().unwrap_or_default();
            let own_namespace = text(&binding, "/metadata/namespace").to_owned();
            let Some((name, role)) = self.role(&reference, &own_namespace) else {
                let group = "rbac.authorization.k8s.io";
                let kind = text(&reference, "/kind").to_lowercase();
                missing.push(format!("{kind}.{group} {:?} not found", text(&reference, "/name")));
                continue;
            };
            let granted = list(&role, "/rules").iter().find_map(|rule| grant(rule, attributes));
            if let Some(permission) = granted {
                self.auth.usage.grant(&name, &permission, &attributes.user.name);
                return Decision { allowed: true, reason: reason(&binding, &attributes.user) };
            }
        }
        let reason = match missing.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            many => format!("RBAC: [{}]", many.join(", ")),
        };
        Decision { allowed: false, reason }
    }

    /// Every rule that the user has in a namespace (in none: cluster-wide only), for a list of what they may do.
    pub(super) fn rules_for(&self, user: &User, namespace: &str) -> Vec<Value> {
        let asked = Asked::Resource {
            group: String::new(),
            resource: String::new(),
            subresource: String::new(),
            namespace: namespace.to_owned(),
            name: String::new(),
        };
        let attributes = Attributes { user: user.clone(), verb: String::new(), asked };
        let mut rules = Vec::new();
        for binding in self.bindings_for(&attributes) {
            let reference = binding.get("roleRef").cloned().unwrap_or_default();
            let found = self.role(&reference, text(&binding, "/metadata/namespace"));
            rules.extend(found.iter().flat_map(|(_, role)| list(role, "/rules")).cloned());
        }
        rules
    }

    /// Permissions of all stored roles but those that every cluster has.
    pub(super) fn all_permissions(&self) -> Vec<(RoleName, Permission)> {
        let mut all = Vec::new();
        for (store, kind) in [(CLUSTER_ROLES, "ClusterRole"), (ROLES, "Role")] {
            for (key, role) in self.store.scan(store, None) {
                if super::bootstrap::is_default(role) {
                    continue;
                }
                let name = RoleName { kind, namespace: key.namespace.clone(), name: key.name.clone() };
                let permissions = list(role, "/rules").iter().flat_map(Permission::of_rule);
                all.extend(permissions.map(|permission| (name.clone(), permission)));
            }
        }
        all
    }

    fn bindings_for(&self, attributes: &Attributes) -> Vec<Arc<Value>> {
        let namespace = match &attributes.asked {
            Asked::Resource { namespace, .. } => namespace.as_str(),
            Asked::Path(_) => "",
        };
        let cluster = self.store.scan(CLUSTER_BINDINGS, None);
        let local = (!namespace.is_empty()).then(|| self.store.scan(BINDINGS, Some(namespace)));
        cluster
            .chain(local.into_iter().flatten())
            .filter(|(key, binding)| {
                let mut subjects = list(binding, "/subjects").iter();
                subjects.any(|subject| is_subject(subject, &attributes.user, &key.namespace))
            })
            .map(|(_, binding)| Arc::clone(binding))
            .collect()
    }

    fn role(&self, reference: &Value, namespace: &str) -> Option<(RoleName, Arc<Value>)> {
        let name = text(reference, "/name").to_owned();
        let (store, kind, namespace) = match text(reference, "/kind") {
            "Role" => (ROLES, "Role", namespace.to_owned()),
            _ => (CLUSTER_ROLES, "ClusterRole", String::new()),
        };
        let key = Key { namespace: namespace.clone(), name: name.clone() };
        let role = self.store.get(store, &key)?;
        Some((RoleName { kind, namespace, name }, Arc::clone(role)))
    }
}

fn is_subject(subject: &Value, user: &User, binding_namespace: &str) -> bool {
    let name = text(subject, "/name");
    match text(subject, "/kind") {
        "User" => user.name == name,
        "Group" => user.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            let stated = text(subject, "/namespace");
            let namespace = if stated.is_empty() { binding_namespace } else { stated };
            !namespace.is_empty() && user.name == account_user(namespace, name)
        }
        _ => false,
    }
}

/// The part of a rule that allows a request, if it does.
fn grant(rule: &Value, attributes: &Attributes) -> Option<Permission> {
    let verb = pick(list(rule, "/verbs"), |verb| verb == attributes.verb)?;
    match &attributes.asked {
        Asked::Path(path) => {
            let url = pick(list(rule, "/nonResourceURLs"), |url| {
                url == path || url.strip_suffix('*').is_some_and(|start| path.starts_with(start))
            })?;
            Some(Permission::Url { verb, url })
        }
        Asked::Resource { group, subresource, name, .. } => {
            let combined = attributes.asked.combined();
            let api_group = pick(list(rule, "/apiGroups"), |one| one == group)?;
            let resource = pick(list(rule, "/resources"), |one| {
                one == combined || (!subresource.is_empty() && one.strip_prefix("*/") == Some(subresource))
            })?;
            let names = list(rule, "/resourceNames");
            let resource_name = match names {
                [] => None,
                names => Some(names.iter().filter_map(Value::as_str).find(|one| one == name)?.to_owned()),
            };
            Some(Permission::Resource { verb, api_group, resource, resource_name })
        }
    }
}

/// The entry of a rule's list that fits, rather than its `*`.
fn pick(entries: &[Value], fits: impl Fn(&str) -> bool) -> Option<String> {
    let texts = || entries.iter().filter_map(Value::as_str);
    texts().find(|entry| fits(entry)).or_else(|| texts().find(|entry| *entry == "*")).map(str::to_owned)
}

/// `RBAC: allowed by RoleBinding "b/ns" of Role "r" to ServiceAccount "a/ns"`, as the real server says it.
fn reason(binding: &Value, user: &User) -> String {
    let namespace = text(binding, "/metadata/namespace");
    let name = text(binding, "/metadata/name");
    let (kind, name) = if namespace.is_empty() {
        ("ClusterRoleBinding", name.to_owned())
    } else {
        ("RoleBinding", format!("{name}/{namespace}"))
    };
    let mut subjects = list(binding, "/subjects").iter();
    let subject = subjects.find(|subject| is_subject(subject, user, namespace));
    let to = subject.map_or_else(String::new, |subject| {
        let name = text(subject, "/name");
        match (text(subject, "/kind"), text(subject, "/namespace")) {
            ("ServiceAccount", "") => format!("ServiceAccount {:?}", format!("{name}/{namespace}")),
            ("ServiceAccount", stated) => format!("ServiceAccount {:?}", format!("{name}/{stated}")),
            (kind, _) => format!("{kind} {name:?}"),
        }
    });
    let (role_kind, role) = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
    format!("RBAC: allowed by {kind} {name:?} of {role_kind} {role:?} to {to}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::grant;
    use crate::auth::{Asked, Attributes, Permission, User};

    fn allows(rule: &Value, verb: &str, group: &str, resource: &str, name: &str) -> bool {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let [group, resource, subresource, name] = [group, resource, subresource, name].map(str::to_owned);
        let asked = Asked::Resource { group, resource, subresource, namespace: "n".to_owned(), name };
        let attributes = Attributes { user: User::named("u", &[]), verb: verb.to_owned(), asked };
        grant(rule, &attributes).is_some()
    }

    fn allows_path(rule: &Value, verb: &str, path: &str) -> bool {
        let asked = Asked::Path(path.to_owned());
        let attributes = Attributes { user: User::named("u", &[]), verb: verb.to_owned(), asked };
        grant(rule, &attributes).is_some()
    }

    #[test]
    fn a_rule_allows_what_all_of_its_lists_contain() {
        let rule = |resources: &[&str], names: &[&str]| json!({"apiGroups": ["apps"], "resources": resources, "resourceNames": names, "verbs": ["get", "patch"]});
        let plain = rule(&["deployments"], &[]);
        let named = rule(&["deployments"], &["a", "b"]);
        let status = rule(&["deployments/status"], &[]);
        let any_status = rule(&["*/status"], &[]);
        let all = rule(&["*"], &[]);
        for (rule, verb, group, resource, name, expected) in [
            (&plain, "get", "apps", "deployments", "a", true),
            (&plain, "get", "apps", "deployments", "", true),
            (&plain, "list", "apps", "deployments", "", false),
            (&plain, "get", "", "deployments", "a", false),
            (&plain, "get", "apps", "daemonsets", "a", false),
            // A resource does not include its subresources, nor the other way round.
            (&plain, "patch", "apps", "deployments/status", "a", false),
            (&status, "patch", "apps", "deployments/status", "a", true),
            (&status, "patch", "apps", "deployments", "a", false),
            (&any_status, "patch", "apps", "daemonsets/status", "a", true),
            (&any_status, "patch", "apps", "daemonsets/scale", "a", false),
            (&any_status, "patch", "apps", "daemonsets", "a", false),
            (&all, "patch", "apps", "daemonsets/scale", "a", true),
            (&named, "get", "apps", "deployments", "b", true),
            (&named, "get", "apps", "deployments", "c", false),
            // Without a name (a create, a list of all) a rule with names allows nothing.
            (&named, "get", "apps", "deployments", "", false),
        ] {
            assert_eq!(
                allows(rule, verb, group, resource, name),
                expected,
                "{rule} {verb} {resource} {name}"
            );
        }
    }

    /// Words that meet often.
    fn words() -> impl Strategy<Value = Vec<&'static str>> {
        proptest::sample::subsequence(vec!["*", "a", "b", "a/s", "*/s"], 0..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// A rule is the sum of its parts: it allows a request exactly when one of them, taken alone, does.
        #[test]
        fn a_rule_allows_what_one_of_its_parts_allows(
            verbs in words(), groups in words(), resources in words(), names in words(),
            request in proptest::sample::select(vec![("a", "a", "a"), ("b", "a", "a/s"), ("a", "b", "b/s"), ("c", "a", "b")]),
            name in proptest::sample::select(vec!["", "a", "b", "c"]),
        ) {
            let rule = json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names});
            let (verb, group, resource) = request;
            let fits = |entry: &str, asked: &str| entry == "*" || entry == asked;
            let expected = Permission::of_rule(&rule).into_iter().any(|part| match part {
                Permission::Url { .. } => false,
                Permission::Resource { verb: v, api_group, resource: r, resource_name } => {
                    let all_of = r.strip_prefix('*').is_some_and(|tail| !tail.is_empty() && resource.ends_with(tail));
                    fits(&v, verb) && fits(&api_group, group) && (fits(&r, resource) || all_of)
                        && resource_name.is_none_or(|one| one == name)
                }
            });
            prop_assert_eq!(allows(&rule, verb, group, resource, name), expected, "{}", rule);
        }
    }

    #[test]
    fn stars_stand_for_everything_in_their_list_only() {
        let rule = json!({"apiGroups": ["*"], "resources": ["pods"], "verbs": ["*"]});
        assert!(allows(&rule, "anything", "any.group", "pods", "x"));
        assert!(!allows(&rule, "get", "", "services", "x"));
        assert!(!allows_path(&rule, "get", "/metrics"));
    }

    #[test]
    fn paths_match_exactly_or_by_what_stands_before_a_star() {
        let rule = json!({"nonResourceURLs": ["/metrics", "/healthz/*"], "verbs": ["get"]});
        for (verb, path, expected) in [
            ("get", "/metrics", true),
            ("get", "/metrics/cadvisor", false),
            ("post", "/metrics", false),
            ("get", "/healthz/ping", true),
            ("get", "/healthz", false),
        ] {
            assert_eq!(allows_path(&rule, verb, path), expected, "{verb} {path}");
        }
        assert!(allows_path(&json!({"nonResourceURLs": ["*"], "verbs": ["*"]}), "get", "/x"));
        assert!(!allows(&rule, "get", "", "metrics", ""));
    }
}
