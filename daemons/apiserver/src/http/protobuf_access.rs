//! Fields of the messages about access: roles, bindings, reviews, tokens.

use super::protobuf_fields::{Field, METADATA, SELECTOR, inner, number, skip, text};

/// The message of a kind.
pub(super) fn message_of(api_version: &str, kind: &str) -> Option<&'static [Field]> {
    match (api_version, kind) {
        ("authentication.k8s.io/v1", "SelfSubjectReview") => Some(EMPTY_REVIEW),
        ("authentication.k8s.io/v1", "TokenRequest") => Some(TOKEN_REQUEST),
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => Some(ACCESS_REVIEW),
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => Some(RULES_REVIEW),
        ("rbac.authorization.k8s.io/v1", "Role" | "ClusterRole") => Some(ROLE),
        ("rbac.authorization.k8s.io/v1", "RoleBinding" | "ClusterRoleBinding") => Some(BINDING),
        _ => None,
    }
}

const EMPTY_REVIEW: &[Field] = &[inner(1, "metadata", METADATA), skip(2, "status")];

const TOKEN_REQUEST: &[Field] = &[
    inner(1, "metadata", METADATA),
    inner(
        2,
        "spec",
        &[
            text(1, "audiences").list(),
            inner(
                3,
                "boundObjectRef",
                &[text(1, "kind"), text(2, "apiVersion"), text(3, "name"), text(4, "uid")],
            ),
            number(4, "expirationSeconds").pointer(),
        ],
    ),
    skip(3, "status"),
];

const ACCESS_REVIEW: &[Field] = &[
    inner(1, "metadata", METADATA),
    inner(
        2,
        "spec",
        &[
            inner(
                1,
                "resourceAttributes",
                &[
                    text(1, "namespace"),
                    text(2, "verb"),
                    text(3, "group"),
                    text(4, "version"),
                    text(5, "resource"),
                    text(6, "subresource"),
                    text(7, "name"),
                ],
            ),
            inner(2, "nonResourceAttributes", &[text(1, "path"), text(2, "verb")]),
        ],
    ),
    skip(3, "status"),
];

const RULES_REVIEW: &[Field] =
    &[inner(1, "metadata", METADATA), inner(2, "spec", &[text(1, "namespace")]), skip(3, "status")];

const ROLE: &[Field] = &[
    inner(1, "metadata", METADATA),
    inner(
        2,
        "rules",
        &[
            text(1, "verbs").list(),
            text(2, "apiGroups").list(),
            text(3, "resources").list(),
            text(4, "resourceNames").list(),
            text(5, "nonResourceURLs").list(),
        ],
    )
    .list(),
    inner(3, "aggregationRule", &[inner(1, "clusterRoleSelectors", SELECTOR).list()]),
];

const BINDING: &[Field] = &[
    inner(1, "metadata", METADATA),
    inner(2, "subjects", &[text(1, "kind"), text(2, "apiGroup"), text(3, "name"), text(4, "namespace")])
        .list(),
    inner(3, "roleRef", &[text(1, "apiGroup"), text(2, "kind"), text(3, "name")]),
];
