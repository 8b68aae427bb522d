//! The port that the API server calls to have changes reviewed and peers converted.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use kube::core::conversion::ConversionReview;
use metallb_core::config::Kind;
use metallb_core::facts::Node;
use metallb_k8s::watch::{Configuration, Source, Store, Unlisted};
use metallb_k8s::webhook::{CONVERSION_PATH, LARGEST_REVIEW, REVIEW_PATHS, State, convert, needs, review};
use metallb_runtime::http::{Limits, listen, serve};
use metallb_runtime::tls::{Certificates, TlsOptions, server_config};

use crate::inputs::Inputs;

/// How much later than a request the watches may show what was written before it. A refusal is decided again after this
/// time: what stood in the way may be gone.
const LAG: Duration = Duration::from_millis(250);

/// Where the port is and how it is secured.
pub(crate) struct Port {
    /// Its number.
    pub number: u16,
    /// TLS versions, suites and curves.
    pub tls: TlsOptions,
    /// The certificates to show.
    pub certificates: Certificates,
    /// Whether to offer HTTP/2.
    pub http2: bool,
}

/// What is known when a change is reviewed.
pub(crate) struct Webhooks {
    /// MetalLB's namespace.
    namespace: String,
    /// The configuration objects in it.
    configuration: Configuration,
    /// Nodes, whose addresses pools should not contain.
    nodes: Store<Node>,
}

impl Webhooks {
    /// Reviews changes with what is watched.
    pub(crate) fn new(inputs: &Inputs) -> Self {
        Self {
            namespace: inputs.namespace.clone(),
            configuration: inputs.configuration.clone(),
            nodes: inputs.nodes.clone(),
        }
    }

    /// Opens the port and answers until the program ends.
    ///
    /// # Errors
    /// When the port cannot be opened; the message names the flag.
    pub(crate) async fn serve(self, port: Port) -> anyhow::Result<()> {
        let config = server_config(&port.tls, port.certificates, port.http2)
            .context("cannot offer TLS (--tls-min-version, --tls-cipher-suites, --tls-curve-preferences)")?;
        let listener = listen((Ipv6Addr::UNSPECIFIED, port.number).into(), "--webhook-port").await?;
        tokio::spawn(serve(listener, self.router(), Limits::standard(), Some(config)));
        Ok(())
    }

    fn router(self) -> Router {
        let webhooks = Arc::new(self);
        let mut router = Router::new().route(CONVERSION_PATH, post(converted));
        for (path, kind) in REVIEW_PATHS {
            let webhooks = Arc::clone(&webhooks);
            router = router.route(path, post(move |body: Bytes| webhooks.reviewed(kind, body)));
        }
        router.layer(DefaultBodyLimit::max(LARGEST_REVIEW)).layer(from_fn(bounded))
    }

    async fn reviewed(self: Arc<Self>, kind: Kind, body: Bytes) -> Response {
        let request = match read(&body, kind) {
            Ok(request) => Arc::new(request),
            Err(problem) => return (StatusCode::BAD_REQUEST, problem).into_response(),
        };
        let mut answer = self.decided(&request).await;
        if answer.as_ref().is_ok_and(|answer| answer.as_ref().is_ok_and(|answer| !answer.allowed)) {
            tokio::time::sleep(LAG).await;
            answer = self.decided(&request).await;
        }
        match answer {
            Ok(Err(missing)) => {
                let missing: Vec<String> = missing.iter().map(Source::to_string).collect();
                let problem =
                    format!("the configuration is not read yet: {} is missing\n", missing.join(", "));
                (StatusCode::SERVICE_UNAVAILABLE, problem).into_response()
            }
            Ok(Ok(answer)) => {
                let name = &request.name;
                if !answer.allowed {
                    tracing::info!(%kind, name, reason = answer.result.message, "change refused");
                }
                Json(answer.into_review()).into_response()
            }
            Err(problem) => failed(&problem),
        }
    }

    /// On a thread of its own: much configuration takes its time. What is needed and still on its way is no reason for an
    /// answer that would be another one in a moment.
    async fn decided(
        self: &Arc<Self>,
        request: &Arc<AdmissionRequest<DynamicObject>>,
    ) -> Result<Result<AdmissionResponse, Vec<Source>>, tokio::task::JoinError> {
        let (webhooks, request) = (Arc::clone(self), Arc::clone(request));
        tokio::task::spawn_blocking(move || {
            // Before what was listed is read: it may become more in between, never less.
            let unlisted = webhooks.configuration.unlisted();
            let resources = webhooks.configuration.resources();
            let nodes: Vec<Arc<Node>> = webhooks.nodes.all().into_iter().map(|(_, node)| node).collect();
            let (namespace, resources) = (webhooks.namespace.as_str(), &resources);
            let listed = State { nodes: &nodes, ..State::new(namespace, resources) };
            let missing: Vec<Source> = needs(&request, &listed)
                .into_iter()
                .filter(|source| unlisted.get(source) == Some(&Unlisted::Waiting))
                .collect();
            if !missing.is_empty() {
                return Err(missing);
            }
            Ok(review(&request, &State { unlisted: unlisted.into_keys().collect(), ..listed }))
        })
        .await
    }
}

/// Answers a request that says it is too long before its body is read.
async fn bounded(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > LARGEST_REVIEW) {
        let problem = format!("a review has at most {LARGEST_REVIEW} octets\n");
        return (StatusCode::PAYLOAD_TOO_LARGE, problem).into_response();
    }
    next.run(request).await
}

/// The request in a body, if it is about this kind.
fn read(body: &[u8], kind: Kind) -> Result<AdmissionRequest<DynamicObject>, String> {
    let review: AdmissionReview<DynamicObject> =
        serde_json::from_slice(body).map_err(|error| format!("not an AdmissionReview: {error}\n"))?;
    let request: AdmissionRequest<DynamicObject> =
        review.try_into().map_err(|_| "the AdmissionReview has no request\n".to_owned())?;
    if request.kind.kind != kind.to_string() {
        return Err(format!("only {kind} is reviewed under this path; correct the webhook configuration\n"));
    }
    Ok(request)
}

async fn converted(body: Bytes) -> Response {
    let review: ConversionReview = match serde_json::from_slice(&body) {
        Ok(review) => review,
        Err(error) => {
            return (StatusCode::BAD_REQUEST, format!("not a ConversionReview: {error}\n")).into_response();
        }
    };
    match tokio::task::spawn_blocking(move || convert(review)).await {
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => failed(&problem),
    }
}

fn failed(problem: &tokio::task::JoinError) -> Response {
    tracing::error!(error = %problem, "a review failed");
    (StatusCode::INTERNAL_SERVER_ERROR, "the review failed, see the controller's log\n").into_response()
}
