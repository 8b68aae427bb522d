//! The handle by which the owner builds, serves, fills and ends the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::api::{Api, Limits};
use crate::auth::{RbacUsage, User};
use crate::error::{ApplyError, BuildError, ServeError, TokenError};
use crate::http::ApiService;
use crate::webhook::Backends;

/// The embedded API server. A cheap handle: clones share one store.
#[derive(Clone, Debug)]
pub struct Server {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    api: Arc<Api>,
    allow_remote: bool,
    tasks: TaskTracker,
}

/// Options of a [`Server`], from [`Server::builder`].
#[derive(Debug)]
#[must_use = "nothing is built before `build`"]
pub struct Builder {
    definitions: Vec<Result<Value, serde_json::Error>>,
    limits: Limits,
    allow_remote: bool,
    strict_rbac: bool,
    backends: Backends,
}

/// Which object [`Server::apply`] wrote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ObjectRef {
    /// `apiVersion` as stored.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace, absent for cluster-wide kinds.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl Server {
    /// Starts with the defaults described at each method of [`Builder`].
    pub fn builder() -> Builder {
        Builder {
            definitions: Vec::new(),
            limits: Limits::default(),
            allow_remote: false,
            strict_rbac: false,
            backends: Backends::default(),
        }
    }

    /// Serves plain HTTP/1.1 on a listener until [`Server::shutdown`], in tasks of the current tokio runtime.
    /// May be called for several listeners, also for ones that were bound in other network namespaces: a
    /// socket stays in the namespace in which it was made.
    ///
    /// Returns the local address, with the port that the kernel chose.
    ///
    /// # Errors
    /// [`ServeError::NotLoopback`] unless [`Builder::allow_remote`]; [`ServeError::NoRuntime`] outside of
    /// tokio; [`ServeError::ShutDown`] after [`Server::shutdown`]; [`ServeError::Listener`] when the socket
    /// is unusable.
    pub fn serve(&self, listener: std::net::TcpListener) -> Result<SocketAddr, ServeError> {
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() && !self.inner.allow_remote {
            return Err(ServeError::NotLoopback { address });
        }
        if self.inner.api.stop.is_cancelled() {
            return Err(ServeError::ShutDown);
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ServeError::NoRuntime)?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let server = self.clone();
        self.inner.tasks.spawn_on(async move { server.accept(listener).await }, &runtime);
        Ok(address)
    }

    /// A [`tower::Service`] for clients in the same process: `kube::Client::new(server.service(), "default")`.
    pub fn service(&self) -> ApiService {
        ApiService::new(Arc::clone(&self.inner.api))
    }

    /// Creates or changes every object of a YAML text (several documents, `List`s too) by forced server-side
    /// apply as the field manager `embedded-api-server`, past the HTTP layer.
    ///
    /// Unlike over HTTP, a `status` in the document is stored too: the caller owns the store and plays the
    /// controllers that are not there. A namespaced object without a namespace goes to `default`.
    ///
    /// # Errors
    /// [`ApplyError`] names the first document that was refused; those before it are applied.
    pub fn apply(&self, manifests: &str) -> Result<Vec<ObjectRef>, ApplyError> {
        crate::load::apply(&self.inner.api, manifests)
    }

    /// [`Server::apply`] for one object that is a value already. Returns the object as stored.
    ///
    /// # Errors
    /// [`ApplyError::Refused`] with document number 1.
    pub fn apply_object(&self, object: &Value) -> Result<Value, ApplyError> {
        crate::load::apply_object(&self.inner.api, 1, object)
    }

    /// A kubeconfig, as YAML, with one context named `embedded` for the given URL (`http://127.0.0.1:6443`).
    /// It holds no credentials: whoever has none is administrator.
    pub fn kubeconfig(&self, url: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: embedded\n  cluster:\n    server: {}\n\
             contexts:\n- name: embedded\n  context:\n    cluster: embedded\n    user: embedded\n    \
             namespace: default\ncurrent-context: embedded\nusers:\n- name: embedded\n  user: {{}}\n\
             preferences: {{}}\n",
            Value::from(url)
        )
    }

    /// [`Server::kubeconfig`] for a client that sends a token, from [`Server::token_for`] or elsewhere. kube-rs does
    /// so; `kubectl` sends tokens over TLS only, which this server does not have: use its `--as` instead.
    pub fn kubeconfig_with_token(&self, url: &str, token: &str) -> String {
        let user = format!("users:\n- name: embedded\n  user:\n    token: {}\n", Value::from(token));
        self.kubeconfig(url).replace("users:\n- name: embedded\n  user: {}\n", &user)
    }

    /// A new token of a service account, which must exist. It is valid as long as the account does, like those that
    /// `kubectl create token` makes for a while. Whoever sends it is
    /// `system:serviceaccount:NAMESPACE:NAME`, and needs rules for everything with [`Builder::strict_rbac`].
    ///
    /// # Errors
    /// [`TokenError::NoServiceAccount`].
    pub fn token_for(&self, namespace: &str, service_account: &str) -> Result<String, TokenError> {
        let made = self.inner.api.state().account_token(namespace, service_account, Vec::new(), None);
        made.map_err(|_| TokenError::NoServiceAccount {
            namespace: namespace.to_owned(),
            name: service_account.to_owned(),
        })
    }

    /// A new token of a user with these groups (and `system:authenticated`). The group `system:masters` may do
    /// everything.
    pub fn token_for_user(&self, name: &str, groups: &[&str]) -> String {
        self.inner.api.state().user_token(User::named(name, groups))
    }

    /// Which rules of which roles were needed by whom, which were not, and which requests were refused.
    pub fn rbac_usage(&self) -> RbacUsage {
        self.inner.api.state().rbac_usage()
    }

    /// Says where the pods behind a port of a service are, or that there are none any more. Webhooks whose
    /// `clientConfig` names the service are called there; without it the call fails as it does on a cluster when no
    /// pod is ready.
    pub fn set_service_backend(&self, namespace: &str, name: &str, port: u16, backend: Option<SocketAddr>) {
        let key = (namespace.to_owned(), name.to_owned(), port);
        let mut state = self.inner.api.state();
        match backend {
            Some(address) => state.backends.0.insert(key, address),
            None => state.backends.0.remove(&key),
        };
    }

    /// Stops listening, ends every watch, lets requests in flight finish, and waits for all of it. Further
    /// requests of in-process clients are answered with 503. Idempotent.
    pub async fn shutdown(&self) {
        self.inner.api.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    async fn accept(self, listener: tokio::net::TcpListener) {
        let stop = self.inner.api.stop.clone();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    // A client that talks in small pieces must not wait for the other side's delayed ACK.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "connection went away before it was served");
                        continue;
                    }
                    let service = self.service();
                    let service = if self.inner.allow_remote { service } else { service.for_loopback() };
                    self.inner.tasks.spawn(connection(stream, service, stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Builder {
    /// Custom resource definitions (`apiextensions.k8s.io/v1`) to start with, typed or as JSON values.
    pub fn crds<I>(mut self, definitions: I) -> Self
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        self.definitions.extend(definitions.into_iter().map(serde_json::to_value));
        self
    }

    /// Allows [`Server::serve`] on addresses that other machines can reach, and requests under any `Host`. Default:
    /// refused (`Host` must be `localhost` or a loopback address), because every client is administrator.
    pub fn allow_remote(mut self, allow: bool) -> Self {
        self.allow_remote = allow;
        self
    }

    /// Enforces roles and bindings for requests that carry a token, as the real server does. Requests without one
    /// stay the administrator's. Default: off, every token may do everything.
    pub fn strict_rbac(mut self, strict: bool) -> Self {
        self.strict_rbac = strict;
        self
    }

    /// [`Server::set_service_backend`] from the start.
    pub fn service_backend(mut self, namespace: &str, name: &str, port: u16, backend: SocketAddr) -> Self {
        self.backends.0.insert((namespace.to_owned(), name.to_owned(), port), backend);
        self
    }

    /// How many changes are remembered for watches and lists that resume; older ones get 410 Gone.
    /// Default 8192, at least 1.
    pub fn history(mut self, events: usize) -> Self {
        self.limits.history = events;
        self
    }

    /// How many changes may wait for a watcher that reads slowly before its watch is ended with 410.
    /// Default 4096, at least 1.
    pub fn watch_buffer(mut self, events: usize) -> Self {
        self.limits.watch_buffer = events;
        self
    }

    /// Largest request body in bytes; larger ones get 413. Default 3 MiB, as the real server.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.limits.max_body = bytes;
        self
    }

    /// Pause between bookmarks on a watch that asked for them. Default one minute, as the real server.
    pub fn bookmark_interval(mut self, interval: Duration) -> Self {
        self.limits.bookmark_interval = interval;
        self
    }

    /// Builds the server with the namespaces `default`, `kube-system`, `kube-public` and `kube-node-lease`, the
    /// service `default/kubernetes` and the given definitions.
    ///
    /// # Errors
    /// [`BuildError`] names the definition or the option that is wrong.
    pub fn build(self) -> Result<Server, BuildError> {
        self.limits.check()?;
        let api = Arc::new(Api::new(self.limits, CancellationToken::new()));
        crate::load::seed(&api)?;
        {
            let mut state = api.state();
            state.auth.strict = self.strict_rbac;
            state.backends = self.backends;
        }
        for definition in self.definitions {
            crate::load::define(&api, &definition.map_err(BuildError::Encode)?)?;
        }
        let inner = Inner { api, allow_remote: self.allow_remote, tasks: TaskTracker::new() };
        Ok(Server { inner: Arc::new(inner) })
    }
}

async fn connection(stream: tokio::net::TcpStream, service: ApiService, stop: CancellationToken) {
    let service = hyper::service::service_fn(move |request| service.clone().call(request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(DRAIN, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Pause after a failed accept (out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A connection that does not send a complete head for so long is closed. Idle keep-alive counts.
const HEADER_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a connection may finish its request after shutdown.
const DRAIN: Duration = Duration::from_secs(2);
