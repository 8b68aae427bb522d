//! Webhooks: who is asked about a write, and who converts between versions.

mod admission;
mod call;
mod conversion;
mod matching;

pub(crate) use admission::{Operation, Question, admit};
pub(crate) use conversion::convert;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::admission::text;
use crate::state::State;
use crate::store::Key;
use call::Endpoint;

/// Where the pods behind a service are: namespace, name and port of the service.
#[derive(Debug, Default)]
pub(crate) struct Backends(pub(crate) BTreeMap<(String, String, u16), SocketAddr>);

impl State {
    /// Where the webhook of a `clientConfig` is.
    fn endpoint(&self, config: &Value, timeout: u64) -> Result<Endpoint, String> {
        let bundle = text(config, "/caBundle");
        if let Some(service) = config.get("service") {
            let (namespace, name) = (text(service, "/namespace"), text(service, "/name"));
            let port = service.get("port").and_then(Value::as_u64).unwrap_or(443);
            let port = u16::try_from(port).map_err(|_| format!("port {port} is not valid"))?;
            let address = self.backend(namespace, name, port);
            let host = format!("{name}.{namespace}.svc");
            return Endpoint::new(&host, Some(port), text(service, "/path"), timeout, Some(address), bundle);
        }
        let rest = text(config, "/url").strip_prefix("https://").unwrap_or_default();
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (name, port) = match host.rsplit_once(':') {
            // The colons of an IPv6 address stand within brackets.
            Some((name, port)) if !port.contains(']') => {
                (name, Some(port.parse().map_err(|_| format!("invalid port {port:?} in URL"))?))
            }
            _ => (host, None),
        };
        Endpoint::new(name, port, path, timeout, None, bundle)
    }

    fn backend(&self, namespace: &str, name: &str, port: u16) -> Result<SocketAddr, String> {
        let key = (namespace.to_owned(), name.to_owned(), port);
        if let Some(address) = self.backends.0.get(&key) {
            return Ok(*address);
        }
        let service = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        Err(match self.store.get("services", &service) {
            Some(_) => format!("no endpoints available for service {name:?}"),
            None => format!("service {name:?} not found"),
        })
    }
}
