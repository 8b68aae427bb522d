//! Why a request failed, cut down to what tells one outage from another.

use std::{error::Error, fmt, time::Duration};

use kube::{client::AuthError, config::KubeconfigError, core::Status, runtime::watcher};

/// What is asked of the API server, for warnings and probes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Subject {
    /// `list`, `watch`, `patch` and the like.
    pub verb: &'static str,
    /// The kind, as rules of RBAC name it, with its group behind a dot: `services`, `bgppeers.metallb.io`.
    pub resource: String,
    /// Whether the process is not able to do its work without it.
    pub needed: bool,
}

impl Subject {
    /// Something without which the process cannot do its work.
    pub fn needed(verb: &'static str, resource: impl Into<String>) -> Self {
        Self { verb, resource: resource.into(), needed: true }
    }

    /// Something that others do not depend on.
    pub fn extra(verb: &'static str, resource: impl Into<String>) -> Self {
        Self { verb, resource: resource.into(), needed: false }
    }

    /// What lies under a path of the API, such as `/apis/metallb.io/v1beta1/namespaces/metallb-system/bgppeers`.
    pub fn of_url(verb: &'static str, path: &str, needed: bool) -> Self {
        let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, rest) = match parts.as_slice() {
            ["apis", group, _version, rest @ ..] => (Some(*group), rest),
            ["api", _version, rest @ ..] => (None, rest),
            rest => (None, rest),
        };
        let plural = match rest {
            ["namespaces", _, plural, ..] | [plural, ..] => *plural,
            [] => "other",
        };
        let resource = group.map_or_else(|| plural.to_owned(), |group| format!("{plural}.{group}"));
        Self { verb, resource, needed }
    }
}

/// What stands in the way. Equal causes are one outage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No answer from the API server.
    Unreachable,
    /// The API server asks for patience (429, 503, 504).
    Overloaded,
    /// The API server does not know who we are (401).
    Unauthenticated,
    /// Rules of RBAC do not allow it (403).
    Forbidden {
        /// The verb that is missing.
        verb: String,
        /// The resource for which it is missing.
        resource: String,
    },
    /// The API server does not know the kind (404): its definition is not installed.
    Missing {
        /// The resource.
        resource: String,
    },
    /// The version that a watch or list stood at is forgotten (410). No fault: a list follows.
    Expired,
    /// Anything else that is refused, of this resource or object.
    Refused {
        /// Which.
        what: String,
    },
}

impl Cause {
    /// Whether it lies with the server as a whole, not with what was asked.
    pub(super) const fn is_of_server(&self) -> bool {
        matches!(self, Self::Unreachable | Self::Overloaded | Self::Unauthenticated)
    }

    /// Whether somebody has to change rules or install a definition before it ends.
    pub(super) const fn is_lasting(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::Missing { .. })
    }

    /// What ends it, where somebody has to do something.
    pub(super) fn remedy(&self) -> Option<String> {
        match self {
            Self::Unauthenticated => {
                Some("check the token or certificate of the kubeconfig or service account".to_owned())
            }
            Self::Forbidden { verb, resource } => Some(format!(
                "RBAC: a Role or ClusterRole must allow the service account to {verb} {resource}, as in deploy/manifests"
            )),
            Self::Missing { resource } if resource.ends_with(".metallb.io") => {
                Some(format!("install the definition of {resource} from deploy/crds"))
            }
            Self::Missing { resource } => Some(format!("this API server must serve {resource}")),
            Self::Unreachable | Self::Overloaded | Self::Expired | Self::Refused { .. } => None,
        }
    }
}

/// Short, for probes.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("the API server cannot be reached"),
            Self::Overloaded => f.write_str("the API server asks for patience"),
            Self::Unauthenticated => f.write_str("the API server does not accept our credentials"),
            Self::Forbidden { verb, resource } => write!(f, "not allowed to {verb} {resource}"),
            Self::Missing { resource } => write!(f, "{resource} is not defined in the cluster"),
            Self::Expired => f.write_str("the API server has forgotten the version"),
            Self::Refused { what } => write!(f, "{what} is refused"),
        }
    }
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// What stands in the way.
    pub cause: Cause,
    /// What the server, or whoever failed before it, said.
    pub text: String,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// No answer came within a bound of our own.
    pub fn no_answer(within: Duration) -> Self {
        let text = format!("no answer within {} s", within.as_secs_f32());
        Self { cause: Cause::Unreachable, text, retry_after: None }
    }

    /// Why a request about `subject` failed.
    pub fn of(error: &kube::Error, subject: &Subject) -> Self {
        let text = describe(error);
        match error {
            kube::Error::Api(status) => Self::of_status(status, subject),
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => {
                Self { cause: Cause::Unreachable, text, retry_after: None }
            }
            kube::Error::Auth(_) => Self { cause: Cause::Unauthenticated, text, retry_after: None },
            _ => Self { cause: Cause::Refused { what: subject.resource.clone() }, text, retry_after: None },
        }
    }

    /// Why a watch failed.
    pub(crate) fn of_watch(error: &watcher::Error, subject: &Subject) -> Self {
        let watch = Subject { verb: "watch", ..subject.clone() };
        match error {
            watcher::Error::InitialListFailed(error) => Self::of(error, subject),
            watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
                Self::of(error, &watch)
            }
            watcher::Error::WatchError(status) => Self::of_status(status, &watch),
            watcher::Error::NoResourceVersion => {
                let cause = Cause::Refused { what: subject.resource.clone() };
                Self { cause, text: describe(error), retry_after: None }
            }
        }
    }

    fn of_status(status: &Status, subject: &Subject) -> Self {
        let resource = || subject.resource.clone();
        let cause = match status.code {
            401 => Cause::Unauthenticated,
            403 => {
                let (verb, resource) =
                    denied(&status.message).unwrap_or_else(|| (subject.verb.to_owned(), resource()));
                Cause::Forbidden { verb, resource }
            }
            // An object that is not there is named; of a kind that is not known nothing is.
            404 if status.details.as_ref().is_none_or(|details| details.name.is_empty()) => {
                Cause::Missing { resource: resource() }
            }
            410 => Cause::Expired,
            429 | 503 | 504 => Cause::Overloaded,
            _ => Cause::Refused { what: resource() },
        };
        let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        Self { cause, text: message(status), retry_after }
    }
}

/// Verb and resource out of the words of the RBAC authorizer:
/// `… cannot patch resource "services/status" in API group "" at the cluster scope`.
fn denied(message: &str) -> Option<(String, String)> {
    let (_, rest) = message.split_once(" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once('"')?;
    let group = rest.strip_prefix(" in API group \"").and_then(|rest| rest.split('"').next());
    let plain = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace) && text.len() <= 128;
    if !plain(verb) || !plain(resource) {
        return None;
    }
    let group = group.filter(|group| plain(group)).map(|group| format!(".{group}")).unwrap_or_default();
    let resource = match resource.split_once('/') {
        Some((resource, part)) => format!("{resource}{group}/{part}"),
        None => format!("{resource}{group}"),
    };
    Some((verb.to_owned(), resource))
}

/// An error with all its causes in one line. What the API server said stands alone: the error types around it repeat it.
/// Nothing of a kubeconfig is quoted: of one that cannot be parsed, the place is named.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(kube::Error::Api(status)) = current.downcast_ref::<kube::Error>() {
            return message(status);
        }
        if let Some(watcher::Error::WatchError(status)) = current.downcast_ref::<watcher::Error>() {
            return message(status);
        }
        if let Some(words) = withheld(current) {
            return words;
        }
        next = current.source();
        if let Some(cause) = next.map(ToString::to_string)
            && !text.contains(&cause)
        {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// Words for what has to do with credentials, where the error's own quote the file, the environment or the output of a command.
fn withheld(error: &(dyn Error + 'static)) -> Option<String> {
    let (what, error) = match (error.downcast_ref(), error.downcast_ref()) {
        (Some(KubeconfigError::Parse(error)), _) => ("the kubeconfig", error),
        (_, Some(AuthError::AuthExecParse(error))) => ("what the kubeconfig's exec command prints", error),
        (_, Some(AuthError::AuthExecRun { out, .. })) => {
            // What it says to people.
            let said = String::from_utf8_lossy(&out.stderr);
            let said =
                said.lines().find(|line| !line.trim().is_empty()).map(|line| format!(": {}", line.trim()));
            let status = out.status;
            return Some(format!(
                "the kubeconfig's exec command failed ({status}){}",
                said.unwrap_or_default()
            ));
        }
        _ => return None,
    };
    let place = error.location().map(|at| format!(": line {}, column {}", at.line(), at.column()));
    Some(format!("{what} cannot be parsed{}", place.unwrap_or_default()))
}

/// Whether asking again would bring the same answer, for those who can do without.
pub fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code < 500 && status.code != 429)
}

/// What a `Status` says to people.
fn message(status: &Status) -> String {
    let said = if status.message.is_empty() { &status.reason } else { &status.message };
    let said = said.trim();
    let said: String = said.chars().take(TEXT_LIMIT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if said.is_empty() { format!("status {}", status.code) } else { format!("{said} ({})", status.code) }
}

/// Longest text of a server that is repeated, in characters.
const TEXT_LIMIT: usize = 1024;

#[cfg(test)]
mod tests {
    use kube::config::{KubeConfigOptions, Kubeconfig};

    use super::*;

    fn status(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Status { code, message: message.to_owned(), ..Status::default() }.boxed())
    }

    fn cause(error: &kube::Error) -> Cause {
        Fault::of(error, &Subject::needed("list", "services")).cause
    }

    #[test]
    fn what_rbac_denies_is_taken_from_the_words_of_the_server() {
        let words = "services \"a\" is forbidden: User \"system:serviceaccount:metallb-system:controller\" cannot patch \
                     resource \"services/status\" in API group \"\" in the namespace \"default\"";
        let forbidden = |verb: &str, resource: &str| Cause::Forbidden {
            verb: verb.to_owned(),
            resource: resource.to_owned(),
        };
        assert_eq!(cause(&status(403, words)), forbidden("patch", "services/status"));
        let words = "x is forbidden: User \"u\" cannot patch resource \"ipaddresspools/status\" in API group \"metallb.io\"";
        assert_eq!(cause(&status(403, words)), forbidden("patch", "ipaddresspools.metallb.io/status"));
        // Other authorizers have other words.
        assert_eq!(cause(&status(403, "computer says no")), forbidden("list", "services"));
    }

    #[test]
    fn of_what_may_hold_a_token_only_the_place_is_named() {
        let kubeconfigs = [
            "users:\n- name: a\n  user: hunter2\n",
            "users:\n- name: a\n  user: {token: hunter2\n",
            "users: hunter2\n",
            "hunter2\n",
            "current-context: [hunter2]\nusers:\n- name: a\n  user: {exec: {args: hunter2}}\n",
        ];
        for text in kubeconfigs {
            let words = describe(&Kubeconfig::from_yaml(text).unwrap_err());
            assert!(!words.contains("hunter2"), "{words}");
            assert!(words.starts_with("the kubeconfig cannot be parsed: line "), "{words}");
        }
        let error = serde_saphyr::from_str::<Vec<u8>>("hunter2").unwrap_err();
        let error = kube::Error::Auth(AuthError::AuthExecParse(Box::new(error)));
        let words = "what the kubeconfig's exec command prints cannot be parsed: line 1, column 1";
        assert_eq!(describe(&error), words);
    }

    #[tokio::test]
    async fn of_an_exec_command_that_fails_only_what_it_says_to_people_is_named() {
        let text = r#"
clusters: [{name: a, cluster: {server: "https://192.0.2.1"}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
current-context: a
users:
- name: a
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: sh
      interactiveMode: Never
      args: [-c, "echo hunter2; printf '\nlog in first\nmore\n' >&2; exit 3", hunter2]
      env: [{name: SECRET, value: hunter2}]
"#;
        let kubeconfig = Kubeconfig::from_yaml(text).unwrap();
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let error = kube::client::ClientBuilder::try_from(config).err().unwrap();
        assert_eq!(describe(&error), "the kubeconfig's exec command failed (exit status: 3): log in first");
    }

    #[test]
    fn an_answer_is_repeated_once_and_without_the_form_of_our_types() {
        let error = status(403, "services is forbidden");
        assert_eq!(describe(&error), "services is forbidden (403)");
        let error = watcher::Error::InitialListFailed(error);
        assert_eq!(describe(&error), "services is forbidden (403)");
        let error = watcher::Error::WatchError(Status { code: 410, ..Status::default() }.boxed());
        assert_eq!(describe(&error), "status 410");
    }

    #[test]
    fn a_refused_connection_is_named_with_its_causes_each_once() {
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let error = watcher::Error::WatchStartFailed(kube::Error::Service(Box::new(refused)));
        let text = describe(&error);
        assert_eq!(text.matches("connection refused").count(), 1, "{text}");
    }

    #[test]
    fn kinds_are_named_as_rules_name_them() {
        let resource = |path: &str| Subject::of_url("list", path, true).resource;
        assert_eq!(resource("/api/v1/services"), "services");
        assert_eq!(resource("/api/v1/namespaces/metallb-system/secrets"), "secrets");
        assert_eq!(resource("/api/v1/namespaces"), "namespaces");
        assert_eq!(
            resource("/apis/metallb.io/v1beta2/namespaces/metallb-system/bgppeers"),
            "bgppeers.metallb.io"
        );
        assert_eq!(resource("/apis/discovery.k8s.io/v1/endpointslices"), "endpointslices.discovery.k8s.io");
    }

    #[test]
    fn codes_tell_outages_apart() {
        let of = |code| cause(&status(code, ""));
        assert_eq!((of(429), of(503), of(504)), (Cause::Overloaded, Cause::Overloaded, Cause::Overloaded));
        assert_eq!(of(404), Cause::Missing { resource: "services".to_owned() });
        assert_eq!((of(410), of(401)), (Cause::Expired, Cause::Unauthenticated));
        assert_eq!(of(500), Cause::Refused { what: "services".to_owned() });
    }

    #[test]
    fn definitions_of_ours_are_to_be_found_in_deploy() {
        let remedy = Cause::Missing { resource: "bgppeers.metallb.io".to_owned() }.remedy().unwrap();
        assert!(remedy.contains("deploy/crds"), "{remedy}");
    }
}
