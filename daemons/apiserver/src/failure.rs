//! Refusals, in the shape of the real server's `Status` object.

use serde_json::{Value, json};

pub(crate) use metallb_schema::Cause;

/// Why a request is refused: everything a `Status` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: u16,
    reason: &'static str,
    message: String,
    details: Option<Box<Details>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Details {
    group: String,
    kind: String,
    name: String,
    causes: Vec<Cause>,
    retry_after: Option<u32>,
}

/// Group and plural name of a resource, for messages (`services`, `bgppeers.metallb.io`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) name: &'a str,
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    fn about(mut self, object: Named<'_>) -> Self {
        let details = self.details.get_or_insert_default();
        object.group.clone_into(&mut details.group);
        object.resource.clone_into(&mut details.kind);
        object.name.clone_into(&mut details.name);
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn not_found(object: Named<'_>) -> Self {
        Self::new(404, "NotFound", format!("{object} not found")).about(object)
    }

    /// No such path.
    pub(crate) fn no_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub(crate) fn already_exists(object: Named<'_>) -> Self {
        Self::new(409, "AlreadyExists", format!("{object} already exists")).about(object)
    }

    pub(crate) fn conflict(object: Named<'_>, why: &str) -> Self {
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {object}: {why}")).about(object)
    }

    /// Server-side apply met fields of other managers.
    pub(crate) fn apply_conflict(causes: Vec<Cause>, message: String) -> Self {
        let mut failure = Self::new(409, "Conflict", message);
        failure.details.get_or_insert_default().causes = causes;
        failure
    }

    pub(crate) fn forbidden(object: Named<'_>, why: &str) -> Self {
        let subject = if object.name.is_empty() { object.without_name() } else { object.to_string() };
        Self::new(403, "Forbidden", format!("{subject} is forbidden: {why}")).about(object)
    }

    /// What a webhook said.
    pub(crate) fn stated(code: u16, reason: &str, message: impl Into<String>) -> Self {
        let known = REASONS.iter().find(|known| **known == reason).copied();
        Self::new(code, known.unwrap_or_default(), message)
    }

    /// 500 without a reason, as the real server answers what it has no name for.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// 403 on a path that is not a resource's.
    pub(crate) fn forbidden_path(why: &str) -> Self {
        let mut failure = Self::new(403, "Forbidden", format!("forbidden: {why}"));
        failure.details.get_or_insert_default();
        failure
    }

    /// 401: a token that is not valid.
    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 422 with all wrong fields. `kind` is the object's kind, not the resource, as the real server has it.
    pub(crate) fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let listed: Vec<_> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let text = match listed.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut failure = Self::new(422, "Invalid", format!("{qualified} \"{name}\" is invalid: {text}"))
            .about(Named { group, resource: kind, name });
        failure.details.get_or_insert_default().causes = causes;
        failure
    }

    /// 422 without a field.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    pub(crate) fn unsupported_media_type(kind: &str) -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json, application/yaml, application/vnd.kubernetes.protobuf (got {kind})"
            ),
        )
    }

    pub(crate) fn patch_type(kind: &str, accepted: &str) -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {accepted} (got {kind})"
            ),
        )
    }

    pub(crate) fn not_acceptable(accepted: &str) -> Self {
        Self::new(406, "NotAcceptable", format!("only the following media types are accepted: {accepted}"))
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// 410: the version asked for is no longer, or not yet, in the history.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 504: a version that was not reached yet.
    pub(crate) fn too_large_version(asked: u64, current: u64) -> Self {
        let mut failure =
            Self::new(504, "Timeout", format!("Too large resource version: {asked}, current: {current}"));
        let details = failure.details.get_or_insert_default();
        details.retry_after = Some(1);
        details.causes = vec![Cause {
            reason: "ResourceVersionTooLarge",
            message: "Too large resource version".to_owned(),
            field: String::new(),
        }];
        failure
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        let mut failure = Self::new(503, "ServiceUnavailable", message);
        failure.details.get_or_insert_default().retry_after = Some(1);
        failure
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new(500, "InternalError", format!("Internal error occurred: {message}"))
    }

    pub(crate) fn code(&self) -> u16 {
        self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn retry_after(&self) -> Option<u32> {
        self.details.as_ref().and_then(|details| details.retry_after)
    }

    /// The `Status` object.
    pub(crate) fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if self.reason.is_empty()
            && let Value::Object(map) = &mut status
        {
            map.remove("reason");
        }
        if let (Some(details), Value::Object(map)) = (&self.details, &mut status) {
            map.insert("details".to_owned(), details.to_value());
        }
        status
    }
}

/// Reasons that a webhook may give.
const REASONS: &[&str] = &[
    "AlreadyExists",
    "BadRequest",
    "Conflict",
    "Forbidden",
    "Gone",
    "InternalError",
    "Invalid",
    "MethodNotAllowed",
    "NotAcceptable",
    "NotFound",
    "RequestEntityTooLarge",
    "ServiceUnavailable",
    "Timeout",
    "TooManyRequests",
    "Unauthorized",
    "UnsupportedMediaType",
];

impl Details {
    fn to_value(&self) -> Value {
        let mut map = serde_json::Map::new();
        for (key, text) in [("group", &self.group), ("kind", &self.kind), ("name", &self.name)] {
            if !text.is_empty() {
                map.insert(key.to_owned(), Value::from(text.as_str()));
            }
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(Cause::to_value).collect();
            map.insert("causes".to_owned(), Value::Array(causes));
        }
        if let Some(seconds) = self.retry_after {
            map.insert("retryAfterSeconds".to_owned(), Value::from(seconds));
        }
        Value::Object(map)
    }
}

impl Named<'_> {
    /// `bgppeers.metallb.io`
    fn without_name(&self) -> String {
        if self.group.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }
}

impl std::fmt::Display for Named<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.group.is_empty() {
            write!(out, "{} \"{}\"", self.resource, self.name)
        } else {
            write!(out, "{}.{} \"{}\"", self.resource, self.group, self.name)
        }
    }
}
