//! HTTP in the lab: the backend on a node that answers with the node's name, and the client's request.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// Most octets of a body that a client reads.
const BODY_LIMIT: usize = 64 * 1024;

/// Names the node that answered.
const NODE_HEADER: &str = "x-lab-node";
/// Names the service that was asked for.
const SERVICE_HEADER: &str = "x-lab-service";

/// Who a backend is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Backend {
    pub(crate) node: String,
    pub(crate) service: String,
}

/// An answer of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The node that answered, empty when the answer does not say.
    pub(crate) node: String,
    /// The service that it answered for, as `namespace/name`.
    pub(crate) service: String,
    pub(crate) body: String,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("no answer within {} ms", .0.as_millis())]
    Silence(Duration),
    #[error("{0}")]
    Connect(io::Error),
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// Answers every connection of a listener, for ever.
pub(crate) async fn serve(listener: TcpListener, backend: Backend) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // Out of file descriptors, or the connection was gone before it was taken.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let backend = backend.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_request| {
                let answer = answer(&backend, from.ip());
                async move { Ok::<_, Infallible>(answer) }
            });
            // A client that goes away in the middle is its own affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(backend: &Backend, from: IpAddr) -> Response<Full<Bytes>> {
    let body = format!("{} answers for {} to {from}\n", backend.node, backend.service);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    for (name, value) in [(NODE_HEADER, &backend.node), (SERVICE_HEADER, &backend.service)] {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Asks for `path` on a connection of its own; run it inside the namespace to ask from.
pub(crate) async fn get(to: SocketAddr, path: &str, limit: Duration) -> Result<Answer, AskError> {
    tokio::time::timeout(limit, ask(to, path)).await.unwrap_or(Err(AskError::Silence(limit)))
}

async fn ask(to: SocketAddr, path: &str) -> Result<Answer, AskError> {
    let stream = TcpStream::connect(to).await.map_err(AskError::Connect)?;
    let broken = |error: hyper::Error| AskError::Broken(error.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::get(path)
        .header(HOST, to.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| AskError::Broken(error.to_string()))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let (head, body) = response.into_parts();
        let header = |name: &str| {
            head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (node, service) = (header(NODE_HEADER), header(SERVICE_HEADER));
        let body = Limited::new(body, BODY_LIMIT)
            .collect()
            .await
            .map_err(|error| AskError::Broken(error.to_string()))?
            .to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status: head.status, node, service, body })
    };
    // The connection does the work while the exchange waits for it.
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = connection => {
            ended.map_err(broken)?;
            exchange.await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_backend_says_who_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let backend = Backend { node: "node1".into(), service: "default/web".into() };
        tokio::spawn(serve(listener, backend));
        let answer = get(at, "/", Duration::from_secs(5)).await.unwrap();
        assert_eq!((answer.node.as_str(), answer.service.as_str()), ("node1", "default/web"));
        assert_eq!(answer.body, "node1 answers for default/web to 127.0.0.1\n");
    }

    #[tokio::test]
    async fn a_closed_port_is_no_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        drop(listener);
        assert!(matches!(get(at, "/", Duration::from_secs(5)).await, Err(AskError::Connect(_))));
    }
}
