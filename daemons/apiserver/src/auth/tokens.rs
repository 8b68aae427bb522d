//! Tokens that the test or a client made.

use std::collections::HashMap;

use jiff::Timestamp;

use super::User;

/// Tokens and whom they belong to.
#[derive(Debug, Default)]
pub(crate) struct Tokens(HashMap<String, Token>);

#[derive(Debug)]
struct Token {
    holder: Holder,
    /// Empty: for the API server.
    audiences: Vec<String>,
    expires: Option<Timestamp>,
}

/// Whom a token belongs to.
#[derive(Clone, Debug)]
pub(crate) enum Holder {
    /// A service account, as long as it exists with this uid.
    Account { namespace: String, name: String, uid: String },
    /// Somebody else.
    User(User),
}

impl Tokens {
    pub(crate) fn insert(
        &mut self,
        text: String,
        holder: Holder,
        audiences: Vec<String>,
        expires: Option<Timestamp>,
    ) {
        self.0.insert(text, Token { holder, audiences, expires });
    }

    /// The holder of a token that has not expired and is for one of the audiences.
    pub(super) fn find(&self, text: &str, audiences: &[String], now: Timestamp) -> Option<&Holder> {
        let token = self.0.get(text)?;
        let wanted: &[String] = if audiences.is_empty() { &[AUDIENCE.to_owned()] } else { audiences };
        let fits = wanted.iter().any(|audience| token.is_for(audience));
        (fits && token.expires.is_none_or(|expires| now < expires)).then_some(&token.holder)
    }
}

impl Token {
    fn is_for(&self, audience: &str) -> bool {
        if self.audiences.is_empty() {
            audience == AUDIENCE
        } else {
            self.audiences.iter().any(|one| one == audience)
        }
    }
}

/// What the API server calls itself.
pub(crate) const AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";
