//! Who asks, and what they may do: tokens, RBAC, the reviews that answer for both.

mod bootstrap;
mod request;
mod reviews;
mod rules;
mod tokens;
mod usage;
mod user;

pub(crate) use bootstrap::roles;
pub(crate) use request::{Asked, Attributes};
pub(crate) use reviews::{answer as answer_review, token_request};
pub(crate) use tokens::{Holder, Tokens};
pub(crate) use usage::Usage;
pub use usage::{Permission, RbacUsage, Refusal, RuleUse};
pub(crate) use user::User;

use http::{HeaderMap, header};
use serde_json::Value;

use crate::failure::{Failure, Named};
use crate::state::State;

/// What is known about tokens and the use of rules, and whether rules are enforced.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    pub(crate) tokens: Tokens,
    pub(crate) usage: Usage,
    /// Requests with a token need a rule that allows them.
    pub(crate) strict: bool,
}

/// An answer of RBAC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) allowed: bool,
    /// By which binding, or which roles could not be found.
    pub(crate) reason: String,
}

impl State {
    /// Who sends a request with these headers. Without a token it is the administrator.
    ///
    /// # Errors
    /// 401 for a token that nobody made, that has expired, or whose service account is gone; 403 when the client
    /// acts as somebody else and may not.
    pub(crate) fn identify(&mut self, headers: &HeaderMap) -> Result<User, Failure> {
        let user = match headers.get(header::AUTHORIZATION) {
            None => User::admin(),
            Some(value) => {
                let text = value.to_str().unwrap_or_default();
                let token = text.strip_prefix("Bearer ").or_else(|| text.strip_prefix("bearer "));
                let found = token.and_then(|token| self.holder_of(token.trim(), &[]));
                found.ok_or_else(Failure::unauthorized)?
            }
        };
        self.impersonate(user, headers)
    }

    /// The owner of a token that is valid for one of the audiences; of the API server if there are none.
    pub(crate) fn holder_of(&self, token: &str, audiences: &[String]) -> Option<User> {
        let user = self.auth.tokens.find(token, audiences, jiff::Timestamp::now())?;
        match user {
            Holder::User(user) => Some(user.clone()),
            Holder::Account { namespace, name, uid } => {
                let key = crate::store::Key { namespace: namespace.clone(), name: name.clone() };
                let account = self.store.get("serviceaccounts", &key)?;
                let same = account.pointer("/metadata/uid").and_then(Value::as_str) == Some(uid);
                same.then(|| User::service_account(namespace, name, uid))
            }
        }
    }

    /// Refuses what no rule allows, if rules are enforced.
    ///
    /// # Errors
    /// 403 in the words of the real server.
    pub(crate) fn permit(&mut self, attributes: &Attributes) -> Result<(), Failure> {
        if !self.auth.strict {
            return Ok(());
        }
        let decision = self.decide(attributes);
        if decision.allowed {
            return Ok(());
        }
        let mut why = attributes.refusal();
        if !decision.reason.is_empty() {
            why = format!("{why}: {}", decision.reason);
        }
        self.auth.usage.refuse(attributes);
        Err(match &attributes.asked {
            Asked::Path(_) => Failure::forbidden_path(&why),
            Asked::Resource { group, resource, name, .. } => {
                Failure::forbidden(Named { group, resource, name }, &why)
            }
        })
    }

    /// `Impersonate-User` and `Impersonate-Group`, which `kubectl --as` sends.
    fn impersonate(&mut self, user: User, headers: &HeaderMap) -> Result<User, Failure> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let groups: Vec<String> = headers
            .get_all("impersonate-group")
            .iter()
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect();
        let Some(name) = text("impersonate-user") else {
            if groups.is_empty() {
                return Ok(user);
            }
            return Err(Failure::bad_request(
                "requested [{Group ...}] without impersonating a user name: send Impersonate-User too",
            ));
        };
        for attributes in Attributes::impersonations(&user, name, &groups) {
            self.permit(&attributes)?;
        }
        Ok(User::impersonated(name, groups))
    }
}
