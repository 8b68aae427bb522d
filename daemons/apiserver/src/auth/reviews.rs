//! The kinds that are only created, to be answered: who has this token, may this user do that.

use serde_json::{Map, Value, json};

use super::tokens::AUDIENCE;
use super::{Asked, Attributes, Holder, User};
use crate::admission::{list, text};
use crate::failure::{Cause, Failure};
use crate::ops::Target;
use crate::state::State;
use crate::store::Key;

/// Fills in the status of a review that was decoded already.
///
/// # Errors
/// 400 and 422 for questions that are not clear.
pub(crate) fn answer(
    state: &mut State,
    target: &Target,
    user: &User,
    mut review: Value,
) -> Result<Value, Failure> {
    let status = match target.resource.plural.as_str() {
        "tokenreviews" => token_review(state, &review)?,
        "selfsubjectreviews" => json!({"userInfo": user.to_value()}),
        "selfsubjectrulesreviews" => rules_review(state, user, &review)?,
        "selfsubjectaccessreviews" => {
            refuse(target, access_causes(&review, true))?;
            access_review(state, user, &review)
        }
        _ => {
            let mut causes = access_causes(&review, false);
            causes.extend(local_causes(target, &review));
            refuse(target, causes)?;
            access_review(state, &stated_user(&review), &review)
        }
    };
    if let Value::Object(map) = &mut review {
        if map.get("metadata").is_some() {
            map.insert("metadata".to_owned(), json!({"creationTimestamp": null}));
        }
        map.insert("status".to_owned(), status);
    }
    Ok(review)
}

/// `POST .../serviceaccounts/NAME/token`: makes a token.
///
/// # Errors
/// 404 without the account, 422 for a life that is too short.
pub(crate) fn token_request(
    state: &mut State,
    namespace: &str,
    name: &str,
    mut request: Value,
) -> Result<Value, Failure> {
    let seconds = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(3600);
    if seconds < 600 {
        let value = Value::from(seconds);
        let cause = Cause::invalid(
            "spec.expirationSeconds",
            &value,
            "may not specify a duration less than 10 minutes",
        );
        return Err(Failure::invalid("authentication.k8s.io", "TokenRequest", name, vec![cause]));
    }
    let audiences = texts(&request, "/spec/audiences");
    let expires = jiff::Timestamp::now()
        .checked_add(jiff::SignedDuration::from_secs(seconds))
        .map_err(|error| Failure::bad_request(format!("spec.expirationSeconds: {error}")))?;
    let token = state.account_token(namespace, name, audiences.clone(), Some(expires))?;
    let said = if audiences.is_empty() { json!([AUDIENCE]) } else { json!(audiences) };
    let Value::Object(map) = &mut request else {
        return Err(Failure::bad_request("a TokenRequest must be an object"));
    };
    map.insert("apiVersion".to_owned(), Value::from("authentication.k8s.io/v1"));
    map.insert("kind".to_owned(), Value::from("TokenRequest"));
    map.insert("metadata".to_owned(), json!({"name": name, "namespace": namespace}));
    map.insert("spec".to_owned(), json!({"audiences": said, "expirationSeconds": seconds}));
    let until = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    map.insert("status".to_owned(), json!({"token": token, "expirationTimestamp": until}));
    Ok(request)
}

impl State {
    /// A new token of a service account.
    ///
    /// # Errors
    /// 404 without the account.
    pub(crate) fn account_token(
        &mut self,
        namespace: &str,
        name: &str,
        audiences: Vec<String>,
        expires: Option<jiff::Timestamp>,
    ) -> Result<String, Failure> {
        let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        let Some(account) = self.store.get("serviceaccounts", &key) else {
            let named = crate::failure::Named { group: "", resource: "serviceaccounts", name };
            return Err(Failure::not_found(named));
        };
        let uid = text(account, "/metadata/uid").to_owned();
        let holder = Holder::Account { namespace: namespace.to_owned(), name: name.to_owned(), uid };
        let token = self.names.token();
        self.auth.tokens.insert(token.clone(), holder, audiences, expires);
        Ok(token)
    }

    /// A new token of somebody who is no service account.
    pub(crate) fn user_token(&mut self, user: User) -> String {
        let token = self.names.token();
        self.auth.tokens.insert(token.clone(), Holder::User(user), Vec::new(), None);
        token
    }
}

fn token_review(state: &State, review: &Value) -> Result<Value, Failure> {
    let token = text(review, "/spec/token");
    if token.is_empty() {
        return Err(Failure::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = texts(review, "/spec/audiences");
    Ok(match state.holder_of(token, &audiences) {
        Some(user) => {
            let common: Vec<_> = if audiences.is_empty() { vec![AUDIENCE.to_owned()] } else { audiences };
            json!({"authenticated": true, "user": user.to_value(), "audiences": common})
        }
        None => json!({"user": {}, "error": "[invalid bearer token]"}),
    })
}

fn access_review(state: &mut State, user: &User, review: &Value) -> Value {
    let asked = |pointer: &str| text(review, pointer).to_owned();
    let resource = |field: &str| asked(&format!("/spec/resourceAttributes/{field}"));
    let attributes = if review.pointer("/spec/resourceAttributes").is_some() {
        Attributes {
            user: user.clone(),
            verb: resource("verb"),
            asked: Asked::Resource {
                group: resource("group"),
                resource: resource("resource"),
                subresource: resource("subresource"),
                namespace: resource("namespace"),
                name: resource("name"),
            },
        }
    } else {
        Attributes {
            user: user.clone(),
            verb: asked("/spec/nonResourceAttributes/verb"),
            asked: Asked::Path(asked("/spec/nonResourceAttributes/path")),
        }
    };
    let decision = state.decide(&attributes);
    let mut status = Map::new();
    status.insert("allowed".to_owned(), Value::Bool(decision.allowed));
    if !decision.reason.is_empty() {
        status.insert("reason".to_owned(), Value::from(decision.reason));
    }
    Value::Object(status)
}

fn rules_review(state: &State, user: &User, review: &Value) -> Result<Value, Failure> {
    let namespace = text(review, "/spec/namespace");
    if namespace.is_empty() {
        return Err(Failure::bad_request("no namespace on request"));
    }
    let rules = if user.is_master() {
        vec![
            json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}),
            json!({"nonResourceURLs": ["*"], "verbs": ["*"]}),
        ]
    } else {
        state.rules_for(user, namespace)
    };
    let (urls, resources): (Vec<_>, Vec<_>) =
        rules.into_iter().partition(|rule| rule.get("nonResourceURLs").is_some());
    Ok(json!({"resourceRules": resources, "nonResourceRules": urls, "incomplete": false}))
}

fn access_causes(review: &Value, own: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    let resource = review.pointer("/spec/resourceAttributes");
    let path = review.pointer("/spec/nonResourceAttributes");
    match (resource, path) {
        (Some(_), Some(path)) => {
            let why = "cannot be specified in combination with resourceAttributes";
            causes.push(Cause::invalid("spec.nonResourceAttributes", path, why));
        }
        (None, None) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            causes.push(Cause::invalid("spec.resourceAttributes", &Value::Null, why));
        }
        _ => {}
    }
    if !own && text(review, "/spec/user").is_empty() && list(review, "/spec/groups").is_empty() {
        let why = "at least one of user or group must be specified";
        causes.push(Cause::invalid("spec.user", &Value::from(""), why));
    }
    causes
}

fn local_causes(target: &Target, review: &Value) -> Vec<Cause> {
    if target.namespace.is_empty() {
        return Vec::new();
    }
    let mut causes = Vec::new();
    if let Some(path) = review.pointer("/spec/nonResourceAttributes") {
        causes.push(Cause::invalid("spec.nonResourceAttributes", path, "disallowed on this kind of request"));
    }
    let namespace = text(review, "/spec/resourceAttributes/namespace");
    if review.pointer("/spec/resourceAttributes").is_some() && namespace != target.namespace {
        let field = "spec.resourceAttributes.namespace";
        causes.push(Cause::invalid(field, &Value::from(namespace), "must match metadata.namespace"));
    }
    causes
}

fn refuse(target: &Target, causes: Vec<Cause>) -> Result<(), Failure> {
    if causes.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid(&target.resource.group, &target.resource.kind, "", causes))
}

fn stated_user(review: &Value) -> User {
    User {
        name: text(review, "/spec/user").to_owned(),
        uid: text(review, "/spec/uid").to_owned(),
        groups: texts(review, "/spec/groups"),
    }
}

fn texts(value: &Value, pointer: &str) -> Vec<String> {
    list(value, pointer).iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}
