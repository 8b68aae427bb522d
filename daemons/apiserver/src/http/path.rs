//! Which resource a path names.

use std::sync::Arc;

use super::proxy::PodProxy;
use super::query::decode;
use crate::failure::Failure;
use crate::kinds::Kinds;
use crate::ops::Target;

/// Finds the target of a path like `/apis/metallb.io/v1beta1/namespaces/x/ipaddresspools/y/status`.
///
/// # Errors
/// 404 for what is not served.
pub(super) fn target(kinds: &Kinds, path: &str) -> Result<Target, Failure> {
    let segments: Vec<String> =
        path.trim_matches('/').split('/').map(|segment| decode(segment, false)).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Err(Failure::no_resource()),
    };
    let (namespace, rest) = match rest {
        // The namespace itself has only the status and finalize subresources.
        ["namespaces", name, sub] if matches!(*sub, "status" | "finalize") && group.is_empty() => {
            return found(kinds, ("", version, "namespaces"), "", name, sub);
        }
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        _ => ("", rest),
    };
    match rest {
        [plural] => found(kinds, (group, version, plural), namespace, "", ""),
        [plural, name] => found(kinds, (group, version, plural), namespace, name, ""),
        [plural, name, sub] => found(kinds, (group, version, plural), namespace, name, sub),
        _ => Err(Failure::no_resource()),
    }
}

/// Namespace and name of the service account for which a path asks a token.
pub(super) fn token_request(path: &str) -> Option<(String, String)> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match segments.as_slice() {
        ["api", "v1", "namespaces", namespace, "serviceaccounts", name, "token"] => {
            Some((decode(namespace, false), decode(name, false)))
        }
        _ => None,
    }
}

/// Where a path leads through a pod.
pub(super) fn pod_proxy(path: &str) -> Option<PodProxy> {
    let mut segments = path.trim_start_matches('/').splitn(8, '/');
    let mut next = || segments.next().unwrap_or_default();
    let fixed = [next(), next(), next()];
    let (namespace, pods, target, proxy, rest) = (next(), next(), next(), next(), next());
    (fixed == ["api", "v1", "namespaces"] && pods == "pods" && proxy == "proxy").then(|| PodProxy {
        namespace: decode(namespace, false),
        target: decode(target, false),
        path: format!("/{rest}"),
    })
}

fn found(
    kinds: &Kinds,
    (group, version, plural): (&str, &str, &str),
    namespace: &str,
    name: &str,
    subresource: &str,
) -> Result<Target, Failure> {
    let resource = kinds.find(group, version, plural).ok_or_else(Failure::no_resource)?;
    let misplaced =
        if resource.namespaced { namespace.is_empty() && !name.is_empty() } else { !namespace.is_empty() };
    let has_status = resource.version(version).is_some_and(|version| version.status);
    let status = subresource == "status" && has_status;
    if misplaced || (!subresource.is_empty() && !status) {
        return Err(Failure::no_resource());
    }
    Ok(Target {
        resource: Arc::clone(resource),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        status,
    })
}

#[cfg(test)]
mod tests {
    use super::{PodProxy, pod_proxy};

    #[test]
    fn a_path_through_a_pod_is_recognised() {
        let expected = |target: &str, path: &str| {
            Some(PodProxy { namespace: "n".to_owned(), target: target.to_owned(), path: path.to_owned() })
        };
        for (path, found) in [
            ("/api/v1/namespaces/n/pods/p:7472/proxy/metrics", expected("p:7472", "/metrics")),
            ("/api/v1/namespaces/n/pods/http:p:7472/proxy/a/b", expected("http:p:7472", "/a/b")),
            ("/api/v1/namespaces/n/pods/http%3Ap%3A80/proxy", expected("http:p:80", "/")),
            ("/api/v1/namespaces/n/pods/p/status", None),
            ("/api/v1/namespaces/n/services/p/proxy/x", None),
        ] {
            assert_eq!(pod_proxy(path), found, "{path}");
        }
    }
}
