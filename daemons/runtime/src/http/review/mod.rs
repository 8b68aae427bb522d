//! Whether a client may scrape: the API server is asked who has its token, and what they may do.
//!
//! As in controller-runtime, and so in MetalLB: a TokenReview, then a SubjectAccessReview for `get` of the path. Without a
//! verdict nobody gets in.

mod verdicts;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest, Sha256};

use verdicts::{Fingerprint, Verdict, Verdicts};

/// How long the API server may take for both answers; a scraper waits ten seconds.
const LIMIT: Duration = Duration::from_secs(8);

/// Asks the API server about those who want something. Clones share what they know.
#[derive(Clone)]
pub(super) struct Reviewer {
    client: Client,
    known: Arc<Mutex<Known>>,
}

struct Known {
    verdicts: Verdicts,
    /// Whether the last question got no answer, which was said.
    outage: bool,
}

/// Why there is no verdict.
#[derive(Debug)]
enum Refusal {
    /// No token was sent.
    NoToken,
    /// Too many new tokens come.
    Busy,
    /// The API server was asked for nothing.
    NoAnswer,
}

impl Reviewer {
    pub(super) fn new(client: Client) -> Self {
        let known = Known { verdicts: Verdicts::new(Instant::now()), outage: false };
        Self { client, known: Arc::new(Mutex::new(known)) }
    }

    /// Middleware that lets nobody pass but those who may get the path.
    pub(super) async fn guard(State(reviewer): State<Self>, request: Request, next: Next) -> Response {
        match reviewer.review(request.headers(), request.uri().path()).await {
            Ok(Verdict::Allowed) => next.run(request).await,
            Ok(Verdict::Denied { user }) => {
                (StatusCode::FORBIDDEN, format!("{user} may not get {}\n", request.uri().path()))
                    .into_response()
            }
            Ok(Verdict::Unknown) => unauthorized("the API server does not know this token\n"),
            Err(Refusal::NoToken) => unauthorized("a token is needed: Authorization: Bearer TOKEN\n"),
            Err(Refusal::Busy) => {
                (StatusCode::TOO_MANY_REQUESTS, "too many unknown tokens, try again later\n").into_response()
            }
            Err(Refusal::NoAnswer) => {
                let text = "cannot ask the API server whether this token may scrape; see the log\n";
                (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
            }
        }
    }

    async fn review(&self, headers: &HeaderMap, path: &str) -> Result<Verdict, Refusal> {
        let token = bearer(headers).ok_or(Refusal::NoToken)?;
        let fingerprint: Fingerprint = Sha256::digest(token).into();
        {
            let mut known = self.known();
            let now = Instant::now();
            if let Some(verdict) = known.verdicts.find(&fingerprint, now) {
                return Ok(verdict);
            }
            if !known.verdicts.may_ask(&fingerprint, now) {
                return Err(Refusal::Busy);
            }
        }
        let asked = tokio::time::timeout(LIMIT, self.ask(token, path)).await;
        let error = match asked {
            Ok(Ok(verdict)) => {
                let mut known = self.known();
                known.verdicts.insert(fingerprint, verdict.clone(), Instant::now());
                if std::mem::take(&mut known.outage) {
                    tracing::info!("scrapers are reviewed again");
                }
                return Ok(verdict);
            }
            Ok(Err(error)) => error,
            Err(_) => format!("no answer within {LIMIT:?}"),
        };
        if !std::mem::replace(&mut self.known().outage, true) {
            tracing::warn!(error, "cannot review scrapers, so none of new tokens gets metrics over HTTPS");
        }
        Err(Refusal::NoAnswer)
    }

    async fn ask(&self, token: &str, path: &str) -> Result<Verdict, String> {
        let Some(user) = self.authenticate(token).await? else { return Ok(Verdict::Unknown) };
        let name = user.username.clone().unwrap_or_default();
        let allowed = self.authorize(user, path).await?;
        Ok(if allowed { Verdict::Allowed } else { Verdict::Denied { user: name } })
    }

    /// Who has this token.
    async fn authenticate(&self, token: &str) -> Result<Option<UserInfo>, String> {
        let spec = TokenReviewSpec { token: Some(token.to_owned()), ..Default::default() };
        let review = TokenReview { spec, ..Default::default() };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let review = api.create(&PostParams::default(), &review).await.map_err(chain)?;
        let status = review.status.unwrap_or_default();
        if status.authenticated == Some(true) {
            return Ok(Some(status.user.unwrap_or_default()));
        }
        Ok(None)
    }

    /// Whether this user may get the path.
    async fn authorize(&self, user: UserInfo, path: &str) -> Result<bool, String> {
        let attributes = NonResourceAttributes { path: Some(path.to_owned()), verb: Some("get".to_owned()) };
        let spec = SubjectAccessReviewSpec {
            user: user.username,
            groups: user.groups,
            uid: user.uid,
            extra: user.extra,
            non_resource_attributes: Some(attributes),
            resource_attributes: None,
        };
        let review = SubjectAccessReview { spec, ..Default::default() };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let review = api.create(&PostParams::default(), &review).await.map_err(chain)?;
        let status = review.status.unwrap_or_default();
        Ok(status.allowed && status.denied != Some(true))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unauthorized(text: &'static str) -> Response {
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], text).into_response()
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn chain(error: kube::Error) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

#[cfg(test)]
mod tests;
