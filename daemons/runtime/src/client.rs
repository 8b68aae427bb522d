//! The connection to the API server, as the flags say.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use metallb_k8s::client::{Timeouts, connect_to, infer, server_address};
use metallb_k8s::retry::{Retries, describe};
use metallb_k8s::write::Stats;

use crate::args::{ArgError, CommonArgs};

/// Connects with the kubeconfig of `--kubeconfig`, else as the surroundings say.
///
/// # Errors
/// When no usable configuration is found; the message names the file or what was tried.
pub async fn connect(args: &CommonArgs, stats: Arc<Stats>, retries: Retries) -> anyhow::Result<Client> {
    connect_knowing(args, stats, retries).await.map(|(client, _)| client)
}

/// As [`connect`], with the address of the API server where the configuration gives one and not a name.
///
/// # Errors
/// As [`connect`].
pub async fn connect_knowing(
    args: &CommonArgs,
    stats: Arc<Stats>,
    retries: Retries,
) -> anyhow::Result<(Client, Option<IpAddr>)> {
    let Some(path) = &args.kubeconfig else {
        let config = infer().await?;
        let server = server_address(&config);
        return Ok((connect_to(config, Timeouts::default(), stats, retries)?, server));
    };
    let file = Kubeconfig::read_from(path).map_err(|error| unread(path, &error))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(|error| unread(path, &error))?;
    let server = server_address(&config);
    let client = connect_to(config, Timeouts::default(), stats, retries).with_context(|| unusable(path))?;
    Ok((client, server))
}

/// Without anything that stands in the file.
fn unread(path: &Path, error: &KubeconfigError) -> anyhow::Error {
    anyhow::Error::msg(describe(error)).context(unusable(path))
}

fn unusable(path: &Path) -> ArgError {
    ArgError { flag: "--kubeconfig", value: path.display().to_string(), expected: "a usable kubeconfig file" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_that_cannot_be_read_is_named_with_the_place_and_not_with_what_stands_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "users:\n- name: a\n  user: hunter2\n").unwrap();
        let error = unread(file.path(), &Kubeconfig::read_from(file.path()).unwrap_err());
        let text = format!("{error:#}");
        assert!(!text.contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{text}");
        assert!(text.contains(&file.path().display().to_string()), "{text}");
        assert!(text.ends_with(": the kubeconfig cannot be parsed: line 3, column 9"), "{text}");
    }
}
