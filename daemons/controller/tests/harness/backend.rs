//! The API server of a test: the embedded one, or a real kube-apiserver where there is one. Daemons are the service
//! accounts of our manifest there and may do what its roles say.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Request, Response, header};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Incoming};
use kube::Client;
use metallb_apiserver::{RbacUsage, Server};
use serde_json::Value;
use tower::ServiceExt;

use super::NAMESPACE;
use super::real::Real;
use super::roles::{ACCOUNTS, shipped};

/// Names a directory with `kube-apiserver` and `etcd`, as for other projects that test against them.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The body of an answer; how it fails is the affair of whoever reads it.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// An API server with the definitions of MetalLB's kinds.
#[derive(Clone)]
pub(crate) enum Backend {
    /// In this process, with the token of each account.
    Embedded(Server, Arc<BTreeMap<&'static str, String>>),
    /// In processes of its own.
    Real(Real),
}

impl Backend {
    /// A server with the namespaces `default` and [`NAMESPACE`], the accounts of the daemons and their roles.
    pub(crate) async fn start() -> Self {
        if let Some(assets) = std::env::var_os(ASSETS) {
            let real = Real::start(assets.as_ref()).await;
            for object in shipped() {
                real.apply_object(&object);
            }
            return Self::Real(real);
        }
        let server = Server::builder().crds(metallb_k8s::crd::all()).strict_rbac(true).build().unwrap();
        for object in shipped() {
            server.apply_object(&object).unwrap();
        }
        let token = |account| (account, server.token_for(NAMESPACE, account).unwrap());
        let tokens = ACCOUNTS.map(token).into_iter().collect();
        Self::Embedded(server, Arc::new(tokens))
    }

    /// A client past everything that stands between the server and the daemons; it may do everything.
    pub(crate) fn client(&self) -> Client {
        match self {
            Self::Embedded(server, _) => Client::new(server.service(), "default"),
            Self::Real(real) => real.client(),
        }
    }

    /// A kubeconfig for this URL, for an account. What it sends as a token is the account's name, which
    /// [`Self::respond`] understands: so it is good for each server that takes over from another, too.
    pub(crate) fn kubeconfig(url: &str, account: &str) -> String {
        let server = Server::builder().build().unwrap();
        server.kubeconfig_with_token(url, account)
    }

    /// What was allowed and refused so far. A real server does not tell.
    pub(crate) fn rbac_usage(&self) -> Option<RbacUsage> {
        match self {
            Self::Embedded(server, _) => Some(server.rbac_usage()),
            Self::Real(_) => None,
        }
    }

    /// Applies a document of YAML.
    pub(crate) fn apply(&self, manifests: &str) {
        match self {
            Self::Embedded(server, _) => {
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
            Self::Embedded(server, _) => server.apply_object(object).unwrap(),
            Self::Real(real) => real.apply_object(object),
        }
    }

    /// Answers a daemon's request with what its account gets.
    pub(crate) async fn respond(&self, mut request: Request<Incoming>) -> Response<AnswerBody> {
        let account = request.headers_mut().remove(header::AUTHORIZATION).expect("daemons have tokens");
        let account = account.to_str().unwrap().strip_prefix("Bearer ").unwrap();
        match self {
            Self::Embedded(server, tokens) => {
                let token = format!("Bearer {}", tokens[account]).parse().unwrap();
                request.headers_mut().insert(header::AUTHORIZATION, token);
                let response = server.service().oneshot(request).await.unwrap();
                response.map(|body| body.map_err(|never| match never {}).boxed_unsync())
            }
            Self::Real(real) => {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let request = Request::from_parts(head, body.into());
                let response = real.client_of(account).send(request).await.unwrap();
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            }
        }
    }
}
