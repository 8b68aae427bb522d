//! For which host a request was meant.

use std::net::IpAddr;

use http::{Request, header};

use crate::failure::Failure;

/// Why a request that came over loopback is not taken: it was meant for another host, or does not say for which.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Failure> {
    let said = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = said.or_else(|| request.uri().authority().map(http::uri::Authority::as_str));
    if host.is_some_and(is_loopback) {
        return None;
    }
    let host = host.unwrap_or_default();
    Some(Failure::forbidden_path(&format!(
        "host {host:?}: the embedded API server is asked for as localhost or by a loopback address"
    )))
}

/// Whether a host, with or without a port, is this machine whoever resolves it.
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_this_machine() {
        for ours in ["localhost", "LocalHost:6443", "127.0.0.1", "127.1.2.3:8080", "[::1]", "[::1]:6443"] {
            assert!(is_loopback(ours), "{ours}");
        }
        for other in [
            "",
            "attacker.example:6443",
            "localhost.attacker.example",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "0.0.0.0",
            "a b",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
