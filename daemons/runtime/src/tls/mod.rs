//! TLS for the ports that daemons serve: options from flags, certificates that can be replaced, server configurations.
//!
//! * [`TlsOptions`] — `--tls-min-version`, `--tls-cipher-suites`, `--tls-curve-preferences` as MetalLB takes them;
//! * [`Certificates`] — the pair that the next handshake gets; set, replaced and cleared at any time;
//! * [`follow_directory`] — keeps a [`Certificates`] equal to `tls.crt` and `tls.key` of a directory;
//! * [`self_signed`] — a pair of our own, renewed by [`renew_self_signed`];
//! * [`server_config`] — both together, for [`crate::http::serve`].

mod certificates;
mod directory;
mod options;
mod self_signed;
mod server;
#[cfg(test)]
pub(crate) mod testing;

pub use certificates::{CertificateError, Certificates, certified_key};
pub use directory::{CERTIFICATE_FILE, KEY_FILE, follow_directory};
pub use options::{MinVersion, TlsOptions};
pub use self_signed::{SelfSignedError, renew_self_signed, self_signed};
pub use server::server_config;
