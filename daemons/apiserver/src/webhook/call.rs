//! One request to a webhook, over TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where a webhook is, and whom to trust there.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// As errors name it.
    url: String,
    host: String,
    port: u16,
    path: String,
    /// The address behind a service, or why there is none; `None` to look the host up.
    address: Option<Result<SocketAddr, String>>,
    timeout: Duration,
    tls: Arc<ClientConfig>,
}

impl Endpoint {
    /// # Errors
    /// When the certificates of the authority cannot be read.
    pub(super) fn new(
        host: &str,
        port: Option<u16>,
        path: &str,
        timeout: u64,
        address: Option<Result<SocketAddr, String>>,
        bundle: &str,
    ) -> Result<Self, String> {
        let shown = port.map_or_else(String::new, |port| format!(":{port}"));
        let path = if path.is_empty() { "/" } else { path };
        let query = format!("{path}?timeout={timeout}s");
        Ok(Self {
            url: format!("https://{host}{shown}{query}"),
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.unwrap_or(443),
            path: query,
            address,
            timeout: Duration::from_secs(timeout),
            tls: Arc::new(tls(bundle)?),
        })
    }

    /// Sends a review and reads the one that comes back.
    ///
    /// # Errors
    /// Why there is none, in the words of the real server: `Post "https://…": dial tcp …: connect: connection refused`.
    pub(super) async fn post(&self, review: &Value) -> Result<Value, String> {
        match tokio::time::timeout(self.timeout, self.exchange(review)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.failed("context deadline exceeded")),
        }
    }

    async fn exchange(&self, review: &Value) -> Result<Value, String> {
        let address = self.resolve().await?;
        let stream = TcpStream::connect(address).await.map_err(|error| {
            let why = if error.kind() == std::io::ErrorKind::ConnectionRefused {
                "connection refused".to_owned()
            } else {
                error.to_string()
            };
            self.failed(&format!("dial tcp {address}: connect: {why}"))
        })?;
        let name = ServerName::try_from(self.host.clone())
            .map_err(|error| self.failed(&format!("invalid host {:?}: {error}", self.host)))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream =
            connector.connect(name, stream).await.map_err(|error| self.failed(&tls_problem(&error)))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.failed(&error.to_string()))?;
        // Ends with the exchange: the sender is dropped then.
        tokio::spawn(connection);
        let request = Request::post(&self.path)
            .header(header::HOST, format!("{}:{}", self.host, self.port))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Full::new(Bytes::from(review.to_string())))
            .map_err(|error| self.failed(&error.to_string()))?;
        let response = sender.send_request(request).await.map_err(|error| self.failed(&error.to_string()))?;
        let code = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| self.failed(&error.to_string()))?.to_bytes();
        if code == http::StatusCode::NOT_FOUND {
            return Err("the server could not find the requested resource".to_owned());
        }
        if !code.is_success() {
            let text = String::from_utf8_lossy(&body);
            let text = text.trim();
            return Err(format!(
                "an error on the server ({text:?}) has prevented the request from succeeding"
            ));
        }
        serde_json::from_slice(&body).map_err(|error| format!("the answer is not valid JSON: {error}"))
    }

    async fn resolve(&self) -> Result<SocketAddr, String> {
        if let Some(address) = &self.address {
            return address.clone().map_err(|why| self.failed(&why));
        }
        let mut found = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|error| self.failed(&format!("dial tcp: lookup {}: {error}", self.host)))?;
        found.next().ok_or_else(|| self.failed(&format!("dial tcp: lookup {}: no such host", self.host)))
    }

    fn failed(&self, why: &str) -> String {
        format!("Post {:?}: {why}", self.url)
    }
}

fn tls(bundle: &str) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let pem = BASE64.decode(bundle).map_err(|_| "caBundle is not valid base64".to_owned())?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| UNREADABLE.to_owned())?;
        roots.add(certificate).map_err(|_| UNREADABLE.to_owned())?;
    }
    if roots.is_empty() && !pem.is_empty() {
        return Err(UNREADABLE.to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The commonest problems as Go's library words them, because operators search for that.
fn tls_problem(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let problem = match inner {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => "x509: certificate signed by unknown authority".to_owned(),
        Some(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "x509: certificate has expired or is not yet valid".to_owned(),
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "x509: certificate is not valid for the name of the webhook".to_owned(),
        _ => return error.to_string(),
    };
    format!("tls: failed to verify certificate: {problem}")
}

const UNREADABLE: &str = "unable to load root certificates: unable to parse bytes as PEM block";
/// As the limit of a request's body.
const MAX_ANSWER: usize = 16 << 20;
