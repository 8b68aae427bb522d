//! Options and certificates as a rustls configuration.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedCipherSuite};

use super::{Certificates, MinVersion, TlsOptions};

/// The configuration of a port that offers what `options` say and shows the certificate that `certificates` hold at the
/// time. With `http2` the client may choose HTTP/2.
///
/// # Errors
/// When the options leave nothing to offer, which [`TlsOptions::parse`] rules out.
pub fn server_config(
    options: &TlsOptions,
    certificates: Certificates,
    http2: bool,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions = match options.min_version {
        MinVersion::Tls12 => &[&TLS13, &TLS12][..],
        MinVersion::Tls13 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider(options)))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    let protocols: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn provider(options: &TlsOptions) -> CryptoProvider {
    let mut provider = default_provider();
    if let Some(chosen) = &options.suites {
        provider.cipher_suites.retain(|suite| match suite {
            SupportedCipherSuite::Tls12(_) => chosen.contains(&suite.suite()),
            SupportedCipherSuite::Tls13(_) => true,
        });
    }
    if let Some(chosen) = &options.groups {
        provider.kx_groups.retain(|group| chosen.contains(&group.name()));
    }
    provider
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConfig, ClientConnection, ServerConnection};

    use super::*;
    use crate::tls::testing::{mk_certificates, mk_client};

    /// Version, suite and protocol on which a server with these options and this client agree.
    fn agreed(options: [&str; 3], http2: bool, client: ClientConfig) -> Result<String, rustls::Error> {
        let options = TlsOptions::parse(options[0], options[1], options[2]).unwrap();
        let config = server_config(&options, mk_certificates(), http2).unwrap();
        let mut server = ServerConnection::new(config).unwrap();
        let name = "localhost".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut wire = Vec::new();
        while client.is_handshaking() || server.is_handshaking() {
            wire.clear();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut &*wire).unwrap();
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut &*wire).unwrap();
            client.process_new_packets()?;
        }
        let suite = server.negotiated_cipher_suite().unwrap().suite();
        let group = server.negotiated_key_exchange_group().unwrap().name();
        let protocol = server.alpn_protocol().map(String::from_utf8_lossy);
        Ok(format!("{:?} {suite:?} {group:?} {protocol:?}", server.protocol_version().unwrap()))
    }

    #[test]
    fn the_default_is_tls_13_and_nothing_older() {
        let text = agreed(["", "", ""], false, mk_client(&[&TLS13, &TLS12])).unwrap();
        assert!(text.starts_with("TLSv1_3 "), "{text}");
        assert!(agreed(["", "", ""], false, mk_client(&[&TLS12])).is_err());
    }

    #[test]
    fn an_old_client_gets_the_chosen_suite() {
        let suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
        let text = agreed(["VersionTLS12", suite, ""], false, mk_client(&[&TLS12])).unwrap();
        assert!(text.starts_with(&format!("TLSv1_2 {suite} ")), "{text}");
        let text = agreed(["VersionTLS12", suite, ""], false, mk_client(&[&TLS13])).unwrap();
        assert!(text.starts_with("TLSv1_3 TLS13_"), "{text}");
    }

    #[test]
    fn only_the_curves_of_the_list_are_offered() {
        let text = agreed(["", "", "24"], false, mk_client(&[&TLS13])).unwrap();
        assert!(text.contains("secp384r1"), "{text}");
    }

    #[test]
    fn http2_is_offered_only_when_wanted() {
        let client = || {
            let mut client = mk_client(&[&TLS13]);
            client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            client
        };
        assert!(agreed(["", "", ""], true, client()).unwrap().contains("h2"));
        assert!(agreed(["", "", ""], false, client()).unwrap().contains("http/1.1"));
    }

    #[test]
    fn without_a_certificate_the_handshake_is_refused() {
        let config = server_config(&TlsOptions::default(), Certificates::new(), false).unwrap();
        let mut server = ServerConnection::new(config).unwrap();
        let mut client =
            ClientConnection::new(Arc::new(mk_client(&[&TLS13])), "localhost".try_into().unwrap()).unwrap();
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &*wire).unwrap();
        assert!(server.process_new_packets().is_err());
    }
}
