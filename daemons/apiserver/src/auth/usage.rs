//! What RBAC was used for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Asked, Attributes};
use crate::admission::list;
use crate::state::State;

/// What was granted and refused since the server was built. From
/// [`Server::rbac_usage`](crate::Server::rbac_usage).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RbacUsage {
    /// Permissions that allowed a request, or a question of a `SubjectAccessReview`.
    pub used: Vec<RuleUse>,
    /// Permissions of the stored roles that nothing needed, as `ClusterRole name: verb resource`. The roles that
    /// every cluster has (`cluster-admin`, `system:discovery`, …) are left out.
    pub unused: Vec<String>,
    /// Requests that were refused in strict mode.
    pub refused: Vec<Refusal>,
}

/// One permission of a role that was needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct RuleUse {
    /// `ClusterRole name` or `Role namespace/name`.
    pub role: String,
    /// The part of a rule.
    pub permission: Permission,
    /// Users who needed it.
    pub subjects: Vec<String>,
}

/// A request that no rule allowed, as a sentence, and how often it came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Refusal {
    /// `User "x" cannot list resource "pods" in API group "" at the cluster scope`, with the name of the object if
    /// there is one.
    pub request: String,
    /// Number of requests.
    pub count: u64,
}

/// One verb on one entry of a rule, as it stands in the rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Permission {
    /// On a resource.
    Resource {
        /// `get`, or `*`.
        verb: String,
        /// Empty for the core group.
        api_group: String,
        /// `services`, `services/status`, `*`.
        resource: String,
        /// One of the rule's `resourceNames`; `None` if it has none.
        resource_name: Option<String>,
    },
    /// On a path that is not a resource.
    Url {
        /// `get`, or `*`.
        verb: String,
        /// `/metrics`.
        url: String,
    },
}

/// Which role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoleName {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// What was granted to whom, and what was refused.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    granted: BTreeMap<(RoleName, Permission), BTreeSet<String>>,
    refused: BTreeMap<String, u64>,
}

impl Usage {
    pub(super) fn grant(&mut self, role: &RoleName, permission: &Permission, user: &str) {
        let subjects = self.granted.entry((role.clone(), permission.clone())).or_default();
        if !subjects.contains(user) {
            subjects.insert(user.to_owned());
        }
    }

    pub(super) fn refuse(&mut self, attributes: &Attributes) {
        let mut request = attributes.refusal();
        if let Asked::Resource { name, .. } = &attributes.asked
            && !name.is_empty()
        {
            request = format!("{request}, named {name:?}");
        }
        let known = self.refused.len();
        // A client that asks for ever new names must not fill the memory; what it asks is clear by then.
        if known < MOST_REFUSALS || self.refused.contains_key(&request) {
            *self.refused.entry(request).or_default() += 1;
        }
    }
}

impl State {
    pub(crate) fn rbac_usage(&self) -> RbacUsage {
        let granted = &self.auth.usage.granted;
        let used = granted.iter().map(|((role, permission), subjects)| RuleUse {
            role: role.to_string(),
            permission: permission.clone(),
            subjects: subjects.iter().cloned().collect(),
        });
        let unused = self.all_permissions().into_iter().filter(|entry| !granted.contains_key(entry));
        let unused: BTreeSet<_> = unused.map(|(role, permission)| format!("{role}: {permission}")).collect();
        let refused = self.auth.usage.refused.iter();
        RbacUsage {
            used: used.collect(),
            unused: unused.into_iter().collect(),
            refused: refused.map(|(request, &count)| Refusal { request: request.clone(), count }).collect(),
        }
    }
}

impl Permission {
    /// Everything that a rule permits, one by one.
    pub(super) fn of_rule(rule: &Value) -> Vec<Self> {
        let texts = |field: &str| -> Vec<String> {
            list(rule, field).iter().filter_map(|entry| entry.as_str().map(str::to_owned)).collect()
        };
        let mut names: Vec<Option<String>> = texts("/resourceNames").into_iter().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        let mut permissions = Vec::new();
        for verb in texts("/verbs") {
            for url in texts("/nonResourceURLs") {
                permissions.push(Self::Url { verb: verb.clone(), url });
            }
            for api_group in texts("/apiGroups") {
                for resource in texts("/resources") {
                    permissions.extend(names.iter().map(|resource_name| Self::Resource {
                        verb: verb.clone(),
                        api_group: api_group.clone(),
                        resource: resource.clone(),
                        resource_name: resource_name.clone(),
                    }));
                }
            }
        }
        permissions
    }
}

impl std::fmt::Display for Permission {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url { verb, url } => write!(out, "{verb} {url}"),
            Self::Resource { verb, api_group, resource, resource_name } => {
                write!(out, "{verb} {resource}")?;
                if !api_group.is_empty() {
                    write!(out, ".{api_group}")?;
                }
                resource_name.as_ref().map_or(Ok(()), |name| write!(out, " named {name:?}"))
            }
        }
    }
}

impl std::fmt::Display for RoleName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            write!(out, "{} {}", self.kind, self.name)
        } else {
            write!(out, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// Different refused requests that are remembered.
const MOST_REFUSALS: usize = 10_000;
