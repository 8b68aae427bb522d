//! The connection to the API server.

use std::{
    fmt,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode, header::RETRY_AFTER};
use kube::{Client, Config, client::Body};
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

mod connections;

use crate::{
    retry::{self, Retries},
    write::Stats,
};

/// Bounds on every exchange with the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// To establish a connection. Default 5 s.
    pub connect: Duration,
    /// From sending a request to the first of its answer. Default 15 s.
    pub response: Duration,
    /// Between two pieces of an answer; must be longer than
    /// [`watch::Options::timeout`](crate::watch::Options::timeout), as a quiet watch sends nothing.
    /// Default 150 s.
    pub read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(15),
            read: Duration::from_secs(150),
        }
    }
}

/// Connects as the surroundings say: `$KUBECONFIG`, `~/.kube/config`, or the service account of the
/// Pod.
///
/// Nothing is sent yet. A server that vanishes without a word is noticed within 45 s, also by a watch, which has nothing to
/// send. Requests are bounded by `timeouts`, never repeated behind the caller's back,
/// and timed in `stats`; when the server asks to be left alone, `retries` waits.
///
/// # Errors
/// [`ConnectError`] when no usable configuration is found or its certificates cannot be used.
pub async fn connect(
    timeouts: Timeouts,
    stats: Arc<Stats>,
    retries: Retries,
) -> Result<Client, ConnectError> {
    connect_to(infer().await?, timeouts, stats, retries)
}

/// What the surroundings say about the API server; see [`connect`].
///
/// # Errors
/// [`ConnectError::Configuration`] when no usable configuration is found.
pub async fn infer() -> Result<Config, ConnectError> {
    Config::infer()
        .await
        .map_err(|error| ConnectError::Configuration { reason: retry::describe(&error).into() })
}

/// The address of the API server, when `config` gives it by address and not by name.
pub fn server_address(config: &Config) -> Option<IpAddr> {
    let host = config.cluster_url.host()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Connects to the API server that `config` names; see [`connect`].
///
/// # Errors
/// [`ConnectError`] when the configuration's certificates or proxy cannot be used.
pub fn connect_to(
    mut config: Config,
    timeouts: Timeouts,
    stats: Arc<Stats>,
    retries: Retries,
) -> Result<Client, ConnectError> {
    config.default_retry = false;
    config.connect_timeout = Some(timeouts.connect);
    config.read_timeout = Some(timeouts.read);
    config.write_timeout = Some(timeouts.response);
    let server = config.cluster_url.to_string();
    let measure = MeasureLayer { stats, retries, limit: timeouts.response };
    connections::client(config, &measure).map_err(|error| ConnectError::Unusable {
        server: server.into(),
        reason: retry::describe(&error).into(),
    })
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// Neither a kubeconfig nor a service account was found or could be read.
    Configuration {
        /// What was tried, and why it failed.
        reason: Box<str>,
    },
    /// The configuration cannot be used.
    Unusable {
        /// The API server it names.
        server: Box<str>,
        /// What is wrong with it.
        reason: Box<str>,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration { reason } => write!(
                f,
                "no way to the API server is configured: {reason}; set KUBECONFIG or run in a Pod with a service account"
            ),
            Self::Unusable { server, reason } => {
                write!(f, "the configuration for API server {server} cannot be used: {reason}")
            }
        }
    }
}

impl std::error::Error for ConnectError {}

/// Times every request, bounds the wait for its answer, and takes note when the server asks for patience. For clients
/// built by hand; [`connect`] has it already.
#[derive(Clone, Debug)]
pub struct MeasureLayer {
    stats: Arc<Stats>,
    retries: Retries,
    limit: Duration,
}

impl MeasureLayer {
    /// Counts in `stats`; answers must begin within `limit`.
    pub fn new(stats: Arc<Stats>, retries: Retries, limit: Duration) -> Self {
        Self { stats, retries, limit }
    }
}

impl<S> Layer<S> for MeasureLayer {
    type Service = Measure<S>;

    fn layer(&self, inner: S) -> Measure<S> {
        Measure { inner, layer: self.clone() }
    }
}

/// The service that [`MeasureLayer`] makes.
#[derive(Clone, Debug)]
pub struct Measure<S> {
    inner: S,
    layer: MeasureLayer,
}

impl<S, B> Service<Request<Body>> for Measure<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: Send,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (verb, resource) = describe(request.method(), request.uri().path(), request.uri().query());
        let layer = self.layer.clone();
        let call = self.inner.call(request);
        Box::pin(async move {
            let start = Instant::now();
            let outcome = tokio::time::timeout(layer.limit, call).await;
            layer.stats.observe(verb, &resource, start.elapsed());
            match outcome {
                Ok(answer) => {
                    let answer = answer.map_err(Into::into)?;
                    if let Some(asked) = retry_after(&answer) {
                        layer.retries.hold(asked);
                    }
                    Ok(answer)
                }
                Err(_) => Err(Box::new(NoAnswer { limit: layer.limit }) as BoxError),
            }
        })
    }
}

/// For how long the server asks to be left alone. Kubernetes gives seconds, never a date.
fn retry_after<B>(answer: &Response<B>) -> Option<Duration> {
    let asks = matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let seconds = answer.headers().get(RETRY_AFTER).filter(|_| asks)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// The API server did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NoAnswer {
    limit: Duration,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the API server did not answer within {} s", self.limit.as_secs())
    }
}

impl std::error::Error for NoAnswer {}

/// Verb and resource of a request, as Kubernetes' own metrics name them.
fn describe(method: &Method, path: &str, query: Option<&str>) -> (&'static str, String) {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let after_version = match parts.as_slice() {
        ["api", _version, rest @ ..] | ["apis", _, _version, rest @ ..] => rest,
        _ => &[],
    };
    let (resource, named) = match after_version {
        ["namespaces", _namespace, resource, rest @ ..] => (*resource, !rest.is_empty()),
        [resource, rest @ ..] => (*resource, !rest.is_empty()),
        [] => ("other", true),
    };
    let watching =
        query.is_some_and(|query| query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1"));
    let verb = match *method {
        Method::GET if watching => "watch",
        Method::GET if named => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    };
    (verb, resource.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_as_kubernetes_names_them() {
        let cases = [
            (Method::GET, "/api/v1/services?limit=500", "list", "services"),
            (Method::GET, "/api/v1/services?&watch=true&timeoutSeconds=9", "watch", "services"),
            (Method::GET, "/api/v1/namespaces/a/services/b", "get", "services"),
            (Method::GET, "/api/v1/namespaces", "list", "namespaces"),
            (Method::GET, "/api/v1/namespaces/a", "get", "namespaces"),
            (Method::PATCH, "/api/v1/namespaces/a/services/b/status", "patch", "services"),
            (Method::GET, "/apis/metallb.io/v1beta1/namespaces/a/ipaddresspools", "list", "ipaddresspools"),
            (Method::POST, "/api/v1/namespaces/a/events", "create", "events"),
            (Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", "update", "leases"),
            (
                Method::DELETE,
                "/apis/metallb.io/v1beta1/namespaces/a/servicel2statuses/b",
                "delete",
                "servicel2statuses",
            ),
            (Method::GET, "/version", "get", "other"),
        ];
        for (method, target, verb, resource) in cases {
            let (path, query) =
                target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
            assert_eq!(describe(&method, path, query), (verb, resource.to_owned()), "{target}");
        }
    }
}
