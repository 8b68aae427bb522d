//! The way through the API server to a port of a pod: `GET .../pods/[SCHEME:]NAME[:PORT]/proxy/PATH`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::{ApiBody, path};
use crate::api::Api;
use crate::failure::Failure;

/// Where a path leads through a pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PodProxy {
    pub(super) namespace: String,
    /// `[SCHEME:]NAME[:PORT]`, as it stands in the path.
    pub(super) target: String,
    /// Path within the pod, with its slash.
    pub(super) path: String,
}

impl PodProxy {
    /// Name of the pod and port; the port is 80 when none is given, as with a pod that declares none.
    fn pod(&self) -> Result<(&str, u16), Failure> {
        let parts: Vec<&str> = self.target.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, "80"),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return Err(Failure::bad_request(format!("invalid pod request {:?}", self.target))),
        };
        if !matches!(scheme, "" | "http") {
            return Err(Failure::bad_request("the embedded API server reaches pods by http only"));
        }
        let port = port.parse().map_err(|_| Failure::unavailable(format!("no port {port:?} on this pod")))?;
        Ok((name, port))
    }
}

/// Hands the request on, and the answer back.
pub(super) async fn forward(
    api: &Api,
    parts: &Parts,
    proxy: &PodProxy,
) -> Result<Response<ApiBody>, Failure> {
    if parts.method != Method::GET {
        return Err(Failure::method_not_allowed());
    }
    let (name, port) = proxy.pod()?;
    let address = {
        let state = api.state();
        let resource = format!("/api/v1/namespaces/{}/pods/{name}", proxy.namespace);
        let pod = state.get(&path::target(&state.kinds, &resource)?)?;
        let address = pod.pointer("/status/podIP").and_then(Value::as_str).unwrap_or_default();
        address.parse::<IpAddr>().map_err(|_| Failure::unavailable("address not allowed"))?
    };
    let query = parts.uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let request = Request::get(format!("{}{query}", proxy.path))
        .header(header::HOST, SocketAddr::new(address, port).to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::bad_request(error.to_string()))?;
    let exchange = exchange(SocketAddr::new(address, port), request);
    match tokio::time::timeout(LIMIT, exchange).await {
        Ok(answer) => answer.map_err(|why| unreachable(&why)),
        Err(_) => Err(unreachable("context deadline exceeded")),
    }
}

async fn exchange(address: SocketAddr, request: Request<Empty<Bytes>>) -> Result<Response<ApiBody>, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| {
        let why = if error.kind() == std::io::ErrorKind::ConnectionRefused {
            "connection refused".to_owned()
        } else {
            error.to_string()
        };
        format!("dial tcp {address}: connect: {why}")
    })?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    // Ends with the exchange: the sender is dropped then.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| error.to_string())?.to_bytes();
    let mut response = Response::new(ApiBody(Full::new(body).boxed_unsync()));
    *response.status_mut() = parts.status;
    if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    Ok(response)
}

fn unreachable(why: &str) -> Failure {
    Failure::unavailable(format!("error trying to reach service: {why}"))
}

/// How long a pod may take.
const LIMIT: Duration = Duration::from_secs(30);
/// The longest answer that is handed on; the metrics of a daemon with ten thousand services have some megabytes.
const MAX_ANSWER: usize = 64 << 20;
