//! What can go wrong when the server is built, served or filled by its owner.

use std::net::SocketAddr;

/// Why a [`Server`](crate::Server) could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A custom resource definition handed to the builder was refused.
    #[error("custom resource definition {name:?} is not accepted: {message}")]
    Definition {
        /// `metadata.name` of the definition, empty when it has none.
        name: String,
        /// The message a client would have got.
        message: String,
    },
    /// A value given as a definition cannot be written as JSON.
    #[error("a custom resource definition cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// An option has a value outside its range.
    #[error("option {option}: {problem}")]
    Option {
        /// The builder method.
        option: &'static str,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

/// Why a listener could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The listener is reachable from other machines.
    #[error(
        "refusing to serve on {address}: the embedded API server has no TLS and asks nobody for credentials, so \
         everyone who reaches the address is administrator; bind to 127.0.0.1 or [::1], or allow it with \
         Builder::allow_remote"
    )]
    NotLoopback {
        /// The local address of the listener.
        address: SocketAddr,
    },
    /// The listener could not be taken over.
    #[error("cannot take over the listening socket")]
    Listener(#[from] std::io::Error),
    /// The call was made outside of a tokio runtime.
    #[error("Server::serve must be called inside a tokio runtime")]
    NoRuntime,
    /// The server was shut down before.
    #[error("the server is shut down")]
    ShutDown,
}

/// Why [`Server::token_for`](crate::Server::token_for) made no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is no such service account.
    #[error("there is no service account {namespace}/{name}; apply it before its token is made")]
    NoServiceAccount {
        /// Namespace asked for.
        namespace: String,
        /// Name asked for.
        name: String,
    },
}

/// Why [`Server::apply`](crate::Server::apply) stopped. Documents before the one named here are applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The text is not YAML, or a document is not an object.
    #[error("document {document}: {problem}")]
    Yaml {
        /// Number of the document, from 1.
        document: usize,
        /// What the parser says.
        problem: String,
    },
    /// The server refused an object.
    #[error("document {document}: {kind} {name:?}: {message}")]
    Refused {
        /// Number of the document, from 1.
        document: usize,
        /// Kind as written.
        kind: String,
        /// Name as written, empty when missing.
        name: String,
        /// HTTP status code a client would have got.
        code: u16,
        /// The message a client would have got.
        message: String,
    },
}
