//! What stands between the daemons and the API server: counts requests, interferes, and can be gone.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use http::Method;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::backend::{AnswerBody, Backend};

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
}

impl Request {
    /// Whether it is a write to something whose path ends so.
    pub(crate) fn writes(&self, end: &str) -> bool {
        self.method != Method::GET && self.path.ends_with(end)
    }
}

/// Called before a request reaches the server.
type Hook = Box<dyn FnMut(&Request) + Send>;

/// Decides with which code a request is refused.
type Refusal = Box<dyn Fn(&Request) -> Option<u16> + Send>;

/// The front of a server on a loopback port.
pub(crate) struct Front {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: Option<tokio::task::JoinHandle<()>>,
}

struct Shared {
    server: Mutex<Backend>,
    requests: Mutex<Vec<Request>>,
    hook: Mutex<Option<Hook>>,
    refusal: Mutex<Option<Refusal>>,
    /// Requests are taken and never answered.
    silent: Mutex<bool>,
}

impl Front {
    pub(crate) async fn start(server: Backend) -> Self {
        let shared = Shared {
            server: Mutex::new(server),
            requests: Mutex::default(),
            hook: Mutex::default(),
            refusal: Mutex::default(),
            silent: Mutex::default(),
        };
        let mut front =
            Self { shared: Arc::new(shared), address: (Ipv4Addr::LOCALHOST, 0).into(), listening: None };
        front.up().await;
        front
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens, on the same port as before.
    pub(crate) async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let shared = Arc::clone(&self.shared);
        self.listening = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service =
                        hyper::service::service_fn(move |request| respond(Arc::clone(&shared), request));
                    let connection = hyper::server::conn::http1::Builder::new();
                    // The other side going away is no failure of the test.
                    drop(connection.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        }));
    }

    /// Refuses connections and cuts those that exist.
    pub(crate) async fn down(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            assert!(listening.await.is_err_and(|error| error.is_cancelled()));
        }
    }

    /// Takes requests without ever answering, or answers again.
    pub(crate) fn silence(&self, silent: bool) {
        *self.shared.silent.lock().unwrap() = silent;
    }

    /// Another server answers from now on.
    pub(crate) fn replace(&self, server: Backend) {
        *self.shared.server.lock().unwrap() = server;
    }

    /// Calls `hook` before each request.
    pub(crate) fn hook(&self, hook: impl FnMut(&Request) + Send + 'static) {
        *self.shared.hook.lock().unwrap() = Some(Box::new(hook));
    }

    /// Refuses what `refusal` gives a code for, from now on.
    pub(crate) fn refuse(&self, refusal: impl Fn(&Request) -> Option<u16> + Send + 'static) {
        *self.shared.refusal.lock().unwrap() = Some(Box::new(refusal));
    }

    /// Refuses nothing any more.
    pub(crate) fn relent(&self) {
        *self.shared.refusal.lock().unwrap() = None;
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }
}

async fn respond(
    shared: Arc<Shared>,
    request: http::Request<Incoming>,
) -> Result<http::Response<AnswerBody>, std::convert::Infallible> {
    let seen = Request { method: request.method().clone(), path: request.uri().path().to_owned() };
    if let Some(hook) = shared.hook.lock().unwrap().as_mut() {
        hook(&seen);
    }
    let refused = shared.refusal.lock().unwrap().as_ref().and_then(|refusal| refusal(&seen));
    shared.requests.lock().unwrap().push(seen);
    if let Some(code) = refused {
        return Ok(refusal(code));
    }
    if *shared.silent.lock().unwrap() {
        std::future::pending::<()>().await;
    }
    let server = shared.server.lock().unwrap().clone();
    Ok(server.respond(request).await)
}

/// An answer as the API server refuses.
fn refusal(code: u16) -> http::Response<AnswerBody> {
    let status = serde_json::json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": "refused by the test", "reason": "Forbidden", "code": code,
    });
    let body = http_body_util::Full::new(hyper::body::Bytes::from(status.to_string()));
    let body = http_body_util::BodyExt::map_err(body, |never| match never {});
    let body = http_body_util::BodyExt::boxed_unsync(body);
    http::Response::builder().status(code).header("Content-Type", "application/json").body(body).unwrap()
}
