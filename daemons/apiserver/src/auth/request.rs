//! What a request asks for, in the terms of authorisation.

use http::Method;
use http::request::Parts;

use super::User;
use super::user::ACCOUNT_PREFIX;
use crate::http::{Query, decode};

/// One question to RBAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) user: User,
    pub(crate) verb: String,
    pub(crate) asked: Asked,
}

/// What the verb is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    Resource {
        group: String,
        resource: String,
        subresource: String,
        namespace: String,
        name: String,
    },
    /// A path that is not a resource's.
    Path(String),
}

impl Attributes {
    /// From the request line, before anything is known about the resource: an unknown one is refused like a
    /// forbidden one.
    pub(crate) fn of(user: &User, parts: &Parts) -> Self {
        let path = parts.uri.path();
        let segments: Vec<String> =
            path.trim_matches('/').split('/').map(|segment| decode(segment, false)).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, rest) = match segments.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => ("", &[][..]),
        };
        if rest.is_empty() {
            let verb = parts.method.as_str().to_lowercase();
            return Self { user: user.clone(), verb, asked: Asked::Path(path.to_owned()) };
        }
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..]
                if !rest.is_empty() && !matches!(rest.first(), Some(&("status" | "finalize"))) =>
            {
                (*namespace, rest)
            }
            // A namespace is within itself.
            ["namespaces", namespace, ..] => (*namespace, rest),
            _ => ("", rest),
        };
        let at = |index: usize| (*rest.get(index).unwrap_or(&"")).to_owned();
        let mut name = at(1);
        let verb = verb(&parts.method, &mut name, &Query::parse(parts.uri.query()));
        let asked = Asked::Resource {
            group: group.to_owned(),
            resource: at(0),
            subresource: at(2),
            namespace: namespace.to_owned(),
            name,
        };
        Self { user: user.clone(), verb: verb.to_owned(), asked }
    }

    /// What acting as another user, with these groups, needs.
    pub(super) fn impersonations(user: &User, name: &str, groups: &[String]) -> Vec<Self> {
        let ask = |resource: &str, namespace: &str, name: &str| Self {
            user: user.clone(),
            verb: "impersonate".to_owned(),
            asked: Asked::Resource {
                group: String::new(),
                resource: resource.to_owned(),
                subresource: String::new(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
        };
        let account = name.strip_prefix(ACCOUNT_PREFIX).and_then(|rest| rest.split_once(':'));
        let whom = match account {
            Some((namespace, account)) => ask("serviceaccounts", namespace, account),
            None => ask("users", "", name),
        };
        std::iter::once(whom).chain(groups.iter().map(|group| ask("groups", "", group))).collect()
    }

    /// The same request as the creation that an apply becomes when it finds nothing.
    pub(crate) fn as_create(&self) -> Self {
        Self { verb: "create".to_owned(), ..self.clone() }
    }

    /// `User "x" cannot list resource "pods" in API group "" at the cluster scope`.
    pub(super) fn refusal(&self) -> String {
        let Self { user, verb, asked } = self;
        let name = &user.name;
        let text = match asked {
            Asked::Path(path) => format!("User {name:?} cannot {verb} path {path:?}"),
            Asked::Resource { group, namespace, .. } => {
                let scope = if namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace {namespace:?}")
                };
                let resource = asked.combined();
                format!("User {name:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}")
            }
        };
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    }
}

impl Asked {
    /// `services/status`; empty for a path.
    pub(super) fn combined(&self) -> String {
        match self {
            Self::Path(_) => String::new(),
            Self::Resource { resource, subresource, .. } if subresource.is_empty() => resource.clone(),
            Self::Resource { resource, subresource, .. } => format!("{resource}/{subresource}"),
        }
    }
}

/// The verb of a request; a list of one object by a field selector has that object's name.
fn verb(method: &Method, name: &mut String, query: &Query) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if name.is_empty() => "deletecollection",
        Method::DELETE => "delete",
        Method::GET | Method::HEAD if !name.is_empty() => "get",
        Method::GET | Method::HEAD => {
            if let Some(only) = exact_name(query.text("fieldSelector")) {
                *name = only;
            }
            if query.flag("watch") { "watch" } else { "list" }
        }
        _ => "",
    }
}

/// `x` of a field selector with `metadata.name=x`, if it can be a name.
fn exact_name(selector: &str) -> Option<String> {
    let mut parts = selector.split(',').filter(|part| !part.contains("!="));
    let value = parts.find_map(|part| {
        let (field, value) = part.split_once('=')?;
        (field.trim() == "metadata.name").then(|| value.strip_prefix('=').unwrap_or(value))
    })?;
    let usable = !value.is_empty() && !matches!(value, "." | "..") && !value.contains(['/', '%']);
    usable.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::{Asked, Attributes};
    use crate::auth::User;

    fn asked(method: &str, uri: &str) -> String {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        let attributes = Attributes::of(&User::named("u", &[]), &request.into_parts().0);
        match &attributes.asked {
            Asked::Path(path) => format!("{} {path}", attributes.verb),
            Asked::Resource { group, namespace, name, .. } => {
                format!(
                    "{} {group}:{} in {namespace:?} named {name:?}",
                    attributes.verb,
                    attributes.asked.combined()
                )
            }
        }
    }

    #[test]
    fn requests_are_read_as_the_real_server_reads_them() {
        for (method, uri, expected) in [
            ("GET", "/api/v1/pods", "list :pods in \"\" named \"\""),
            ("GET", "/api/v1/pods?watch=true", "watch :pods in \"\" named \"\""),
            ("GET", "/api/v1/pods?watch=false", "list :pods in \"\" named \"\""),
            ("GET", "/api/v1/namespaces/n/pods/p", "get :pods in \"n\" named \"p\""),
            (
                "GET",
                "/api/v1/namespaces/n/pods?fieldSelector=metadata.name%3Dp",
                "list :pods in \"n\" named \"p\"",
            ),
            (
                "GET",
                "/api/v1/namespaces/n/pods?watch=1&fieldSelector=spec.nodeName%3Dx,metadata.name%3D%3Dp",
                "watch :pods in \"n\" named \"p\"",
            ),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name!%3Dp", "list :pods in \"\" named \"\""),
            (
                "DELETE",
                "/api/v1/namespaces/n/pods?fieldSelector=metadata.name%3Dp",
                "deletecollection :pods in \"n\" named \"\"",
            ),
            (
                "DELETE",
                "/apis/apps/v1/namespaces/n/deployments/d",
                "delete apps:deployments in \"n\" named \"d\"",
            ),
            (
                "PATCH",
                "/api/v1/namespaces/n/services/s/status",
                "patch :services/status in \"n\" named \"s\"",
            ),
            (
                "PUT",
                "/apis/apps/v1/namespaces/n/deployments/d",
                "update apps:deployments in \"n\" named \"d\"",
            ),
            (
                "POST",
                "/apis/metallb.io/v1beta1/namespaces/n/ipaddresspools",
                "create metallb.io:ipaddresspools in \"n\" named \"\"",
            ),
            ("GET", "/api/v1/namespaces", "list :namespaces in \"\" named \"\""),
            ("GET", "/api/v1/namespaces/n", "get :namespaces in \"n\" named \"n\""),
            ("PUT", "/api/v1/namespaces/n/finalize", "update :namespaces/finalize in \"n\" named \"n\""),
            ("GET", "/api/v1/nodes/x", "get :nodes in \"\" named \"x\""),
            ("GET", "/api", "get /api"),
            ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
            ("POST", "/metrics", "post /metrics"),
        ] {
            assert_eq!(asked(method, uri), expected, "{method} {uri}");
        }
    }
}
