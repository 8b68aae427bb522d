//! Asking validating webhooks about a write.

use serde_json::{Value, json};

use super::call::Endpoint;
use super::convert;
use super::matching::Match;
use crate::admission::{list, text};
use crate::api::Api;
use crate::auth::User;
use crate::failure::Failure;
use crate::ops::Target;

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

/// A write that webhooks are asked about.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) user: &'a User,
    /// With the name of the object.
    pub(crate) target: &'a Target,
    pub(crate) operation: Operation,
    /// The object as it would be stored.
    pub(crate) object: Option<&'a Value>,
    /// As it is stored.
    pub(crate) old: Option<&'a Value>,
    pub(crate) dry_run: bool,
}

impl Operation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    fn options(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Delete => "DeleteOptions",
        }
    }
}

/// Asks every webhook that the write concerns, all at once. Returns their warnings.
///
/// # Errors
/// The refusal of the first one that refuses or, unless its policy is to ignore that, fails.
pub(crate) async fn admit(api: &Api, question: &Question<'_>) -> Result<Vec<String>, Failure> {
    let matches = {
        let state = api.state();
        state.matching_hooks(question.target, question.operation, question.object, question.old)
    };
    let mut calls = Vec::new();
    for one in matches {
        calls.push(prepare(api, question, one).await?);
    }
    let tasks: Vec<_> = calls.into_iter().map(|call| tokio::spawn(call.run())).collect();
    let mut warnings = Vec::new();
    let mut refusal = None;
    for task in tasks {
        let outcome = task.await.map_err(|error| Failure::internal(format!("calling a webhook: {error}")))?;
        match outcome {
            Ok(said) => warnings.extend(said),
            Err(failure) => refusal = refusal.or(Some(failure)),
        }
    }
    refusal.map_or(Ok(warnings), Err)
}

/// A call that needs nothing of the server any more.
struct Call {
    name: String,
    ignore: bool,
    uid: String,
    endpoint: Result<Endpoint, String>,
    review: Value,
}

async fn prepare(api: &Api, question: &Question<'_>, matched: Match) -> Result<Call, Failure> {
    let Match { hook, version } = matched;
    let timeout = hook.get("timeoutSeconds").and_then(Value::as_u64).unwrap_or(10);
    let (uid, endpoint) = {
        let mut state = api.state();
        let config = hook.get("clientConfig").unwrap_or(&Value::Null);
        (state.names.uid(), state.endpoint(config, timeout))
    };
    let mut shown = Vec::new();
    for object in [question.object, question.old] {
        shown.push(match object {
            Some(object) => {
                let converted =
                    convert(api, &question.target.resource, &version, vec![object.clone()]).await?;
                converted.into_iter().next().unwrap_or_default()
            }
            None => Value::Null,
        });
    }
    let old = shown.pop().unwrap_or_default();
    let object = shown.pop().unwrap_or_default();
    let resource = &question.target.resource;
    let kind = |version: &str| json!({"group": resource.group, "version": version, "kind": resource.kind});
    let place =
        |version: &str| json!({"group": resource.group, "version": version, "resource": resource.plural});
    let namespace =
        if resource.is("namespaces") { &question.target.name } else { &question.target.namespace };
    let dry_run = if question.dry_run { json!(["All"]) } else { Value::Null };
    let mut request = json!({
        "uid": uid, "kind": kind(&version), "resource": place(&version),
        "requestKind": kind(&question.target.version), "requestResource": place(&question.target.version),
        "name": question.target.name, "operation": question.operation.name(),
        "userInfo": question.user.to_value(), "object": object, "oldObject": old, "dryRun": question.dry_run,
        "options": {"kind": question.operation.options(), "apiVersion": "meta.k8s.io/v1", "dryRun": dry_run},
    });
    if let Value::Object(map) = &mut request {
        if !namespace.is_empty() {
            map.insert("namespace".to_owned(), Value::from(namespace.as_str()));
        }
        if question.target.status {
            map.insert("subResource".to_owned(), Value::from("status"));
            map.insert("requestSubResource".to_owned(), Value::from("status"));
        }
    }
    Ok(Call {
        name: text(&hook, "/name").to_owned(),
        ignore: text(&hook, "/failurePolicy") == "Ignore",
        uid,
        endpoint,
        review: json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}),
    })
}

impl Call {
    async fn run(self) -> Result<Vec<String>, Failure> {
        match self.ask().await {
            Ok(response) => self.verdict(&response),
            Err(why) if self.ignore => {
                tracing::warn!(webhook = self.name, why, "a webhook failed; its policy is to ignore that");
                Ok(Vec::new())
            }
            Err(why) => Err(Failure::internal(format!("failed calling webhook {:?}: {why}", self.name))),
        }
    }

    async fn ask(&self) -> Result<Value, String> {
        let endpoint = self.endpoint.as_ref().map_err(|why| format!("could not get REST client: {why}"))?;
        let answer = endpoint.post(&self.review).await;
        let answer = answer.map_err(|why| format!("failed to call webhook: {why}"))?;
        let invalid = |why: String| format!("received invalid webhook response: {why}");
        let response = answer.get("response").filter(|response| response.is_object());
        let response = response.ok_or_else(|| invalid("webhook response was absent".to_owned()))?;
        let uid = text(response, "/uid");
        if uid != self.uid {
            return Err(invalid(format!("expected response.uid={:?}, got {uid:?}", self.uid)));
        }
        let kind = (text(&answer, "/apiVersion"), text(&answer, "/kind"));
        if kind != ("admission.k8s.io/v1", "AdmissionReview") {
            return Err(invalid(format!(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {}, Kind={}",
                kind.0, kind.1
            )));
        }
        if response.get("patch").is_some_and(|patch| !patch.is_null()) {
            return Err(invalid("validating webhook may not return response.patch".to_owned()));
        }
        Ok(response.clone())
    }

    fn verdict(&self, response: &Value) -> Result<Vec<String>, Failure> {
        if response.get("allowed") == Some(&Value::Bool(true)) {
            let warnings = list(response, "/warnings").iter();
            return Ok(warnings.filter_map(|warning| warning.as_str().map(str::to_owned)).collect());
        }
        let denied = format!("admission webhook {:?} denied the request", self.name);
        let (message, reason) = (text(response, "/status/message"), text(response, "/status/reason"));
        let message = match (message, reason) {
            ("", "") => format!("{denied} without explanation"),
            ("", reason) => format!("{denied}: {reason}"),
            (message, _) => format!("{denied}: {message}"),
        };
        let code = response.pointer("/status/code").and_then(Value::as_u64).unwrap_or(0);
        let code = u16::try_from(code).ok().filter(|code| (400..600).contains(code)).unwrap_or(400);
        Err(Failure::stated(code, reason, message))
    }
}
