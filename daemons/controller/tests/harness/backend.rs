//! The API server of a test: the embedded one, or a real kube-apiserver where there is one.

use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Incoming};
use kube::Client;
use metallb_apiserver::Server;
use serde_json::Value;
use tower::ServiceExt;

use super::NAMESPACE;
use super::real::Real;

/// Names a directory with `kube-apiserver` and `etcd`, as for other projects that test against them.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The body of an answer; how it fails is the affair of whoever reads it.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// An API server with the definitions of MetalLB's kinds.
#[derive(Clone)]
pub(crate) enum Backend {
    /// In this process.
    Embedded(Server),
    /// In processes of its own.
    Real(Real),
}

impl Backend {
    /// A server with the namespaces `default` and [`NAMESPACE`].
    pub(crate) async fn start() -> Self {
        let backend = match std::env::var_os(ASSETS) {
            Some(assets) => Self::Real(Real::start(assets.as_ref()).await),
            None => Self::Embedded(Server::builder().crds(metallb_k8s::crd::all()).build().unwrap()),
        };
        backend.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n"));
        backend
    }

    /// A client past everything that stands between the server and the daemons.
    pub(crate) fn client(&self) -> Client {
        match self {
            Self::Embedded(server) => Client::new(server.service(), "default"),
            Self::Real(real) => real.client(),
        }
    }

    /// A kubeconfig for this URL, which needs no credentials.
    pub(crate) fn kubeconfig(url: &str) -> String {
        let server = Server::builder().build().unwrap();
        server.kubeconfig(url)
    }

    /// Applies a document of YAML.
    pub(crate) fn apply(&self, manifests: &str) {
        match self {
            Self::Embedded(server) => {
                if let Err(error) = server.apply(manifests) {
                    panic!("{error}\n{manifests}");
                }
            }
            Self::Real(real) => {
                real.apply_object(&serde_saphyr::from_str(manifests).unwrap());
            }
        }
    }

    /// Applies an object, its status, too. Returns it as stored.
    pub(crate) fn apply_object(&self, object: &Value) -> Value {
        match self {
            Self::Embedded(server) => server.apply_object(object).unwrap(),
            Self::Real(real) => real.apply_object(object),
        }
    }

    /// Answers a daemon's request.
    pub(crate) async fn respond(&self, request: Request<Incoming>) -> Response<AnswerBody> {
        match self {
            Self::Embedded(server) => {
                let response = server.service().oneshot(request).await.unwrap();
                response.map(|body| body.map_err(|never| match never {}).boxed_unsync())
            }
            Self::Real(real) => {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let request = Request::from_parts(head, body.into());
                let response = real.client().send(request).await.unwrap();
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            }
        }
    }
}
