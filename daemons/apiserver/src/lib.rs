//! An embedded Kubernetes API server, in memory, for tests and the lab. **Not for production.**
//!
//! It speaks the real HTTP API, so that `kubectl`, kube-rs and client-go work against it for what
//! it has: namespaces, services (with cluster addresses and node ports), endpoint slices, nodes,
//! pods, secrets, config maps, events, leases, and every custom resource whose definition is given
//! to it. Workloads (deployments, daemon sets, replica sets, jobs), service accounts, roles and their
//! bindings, webhook configurations, network policies, disruption budgets and priority classes are plain
//! objects with the real defaults, rules and columns. There are no controllers behind it except those the
//! API itself needs: namespace clean-up and garbage collection by owner reference.
//!
//! # What it does not do
//!
//! Ports of pods can be read through it (`GET .../pods/NAME:PORT/proxy/PATH`, by http), where their addresses can be reached
//! from this process; there is no `exec`, `log` or `port-forward`.
//!
//! There is no scheduler, kubelet or workload controller, pods
//! are deleted at once, and nothing survives the process.
//!
//! Unlike the real server it answers a watch from a version that was never reached with 410 instead of waiting for
//! it: such a version can only come from before a restart.
//!
//! There is **no TLS, and whoever sends no token is administrator**. The server therefore refuses to listen anywhere
//! but on loopback unless [`Builder::allow_remote`] says otherwise.
//!
//! # Rules of definitions
//!
//! CEL rules (`x-kubernetes-validations`) are evaluated on every write of a custom resource, transition rules too, with
//! the real server's messages and its tolerance for invalid values that do not change. A definition whose rule uses a
//! function that is not known here (those of URLs, versions, named formats, mathematics and encodings; macros with two
//! variables, `sortBy`, `cel.bind`) is **refused**: no rule ever counts as fulfilled because it could not be evaluated.
//! Types are not checked beforehand and costs are not limited: a rule that the real server refuses for these passes.
//!
//! # Webhooks
//!
//! Validating webhooks are asked about every write over HTTP, and the conversion webhooks of definitions convert. There
//! is no network of services: [`Server::set_service_backend`] says where the pods behind one are. What the owner writes
//! by [`Server::apply`], and what the server itself deletes (with a namespace or an owner), is not reviewed. Mutating
//! webhooks are stored and **not called**, match conditions are refused. A server-side apply in a version that is not
//! the stored one is converted and then applied in the stored version.
//!
//! # Access
//!
//! [`Server::token_for`] makes a token of a service account; `TokenReview`, `SubjectAccessReview` and their relatives
//! answer for such tokens by the roles and bindings that are stored. With [`Builder::strict_rbac`] these are enforced
//! for every request with a token, in the real server's words, and [`Server::rbac_usage`] tells which rules were
//! needed: a missing verb and a superfluous one both show. Not done: aggregated cluster roles are not filled in, and
//! whoever may write roles may write any (the real server asks for the permissions that a role gives).
//!
//! ```
//! use metallb_apiserver::Server;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().build()?;
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let address = server.serve(listener)?;
//! let kubeconfig = server.kubeconfig(&format!("http://{address}"));
//! assert!(kubeconfig.contains("current-context"));
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs, rustdoc::broken_intra_doc_links)]
#![forbid(unsafe_code)]

mod admission;
mod api;
mod auth;
mod discovery;
mod error;
mod failure;
mod http;
mod kinds;
mod load;
mod openapi;
mod ops;
mod patch;
mod selector;
mod server;
mod state;
mod store;
mod table;
mod webhook;

pub use crate::auth::{Permission, RbacUsage, Refusal, RuleUse};
pub use crate::error::{ApplyError, BuildError, ServeError, TokenError};
pub use crate::http::{ApiBody, ApiService};
pub use crate::server::{Builder, ObjectRef, Server};
