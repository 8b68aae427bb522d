//! Users, as the API server sees them.

use serde_json::{Value, json};

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
}

impl User {
    /// Whoever sends no token.
    pub(crate) fn admin() -> Self {
        Self::new("system:admin", &[MASTERS, AUTHENTICATED])
    }

    pub(crate) fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        Self { name: name.to_owned(), uid: String::new(), groups }
    }

    /// A user of the test's own making; everyone with a token is authenticated.
    pub(crate) fn named(name: &str, groups: &[&str]) -> Self {
        let mut user = Self::new(name, groups);
        if !user.groups.iter().any(|group| group == AUTHENTICATED) {
            user.groups.push(AUTHENTICATED.to_owned());
        }
        user
    }

    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let mut user = Self::new(&account_user(namespace, name), &[ACCOUNTS]);
        user.groups.push(format!("{ACCOUNTS}:{namespace}"));
        user.groups.push(AUTHENTICATED.to_owned());
        uid.clone_into(&mut user.uid);
        user
    }

    /// Whom somebody acts as. Without groups a service account gets its own.
    pub(crate) fn impersonated(name: &str, groups: Vec<String>) -> Self {
        let account = name.strip_prefix(ACCOUNT_PREFIX).and_then(|rest| rest.split_once(':'));
        if let (Some((namespace, account)), true) = (account, groups.is_empty()) {
            return Self::service_account(namespace, account, "");
        }
        let mut user = Self { name: name.to_owned(), uid: String::new(), groups };
        if !user.groups.iter().any(|group| group == AUTHENTICATED) {
            user.groups.push(AUTHENTICATED.to_owned());
        }
        user
    }

    /// May do everything, whatever the roles say.
    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }

    /// `UserInfo` of the reviews.
    pub(crate) fn to_value(&self) -> Value {
        let mut value = json!({"username": self.name, "groups": self.groups});
        if let Value::Object(map) = &mut value
            && !self.uid.is_empty()
        {
            map.insert("uid".to_owned(), Value::from(self.uid.as_str()));
        }
        value
    }
}

/// User name of a service account.
pub(crate) fn account_user(namespace: &str, name: &str) -> String {
    format!("{ACCOUNT_PREFIX}{namespace}:{name}")
}

const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";
const ACCOUNTS: &str = "system:serviceaccounts";
pub(crate) const ACCOUNT_PREFIX: &str = "system:serviceaccount:";
