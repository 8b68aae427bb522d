//! The connection to the API server, as the flags say.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use metallb_k8s::client::{Timeouts, connect as infer, connect_to};
use metallb_k8s::retry::Retries;
use metallb_k8s::write::Stats;

use crate::args::{ArgError, CommonArgs};

/// Connects with the kubeconfig of `--kubeconfig`, else as the surroundings say.
///
/// # Errors
/// When no usable configuration is found; the message names the file or what was tried.
pub async fn connect(args: &CommonArgs, stats: Arc<Stats>, retries: Retries) -> anyhow::Result<Client> {
    let Some(path) = &args.kubeconfig else {
        return Ok(infer(Timeouts::default(), stats, retries).await?);
    };
    let file = Kubeconfig::read_from(path).with_context(|| unusable(path))?;
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .with_context(|| unusable(path))?;
    connect_to(config, Timeouts::default(), stats, retries).with_context(|| unusable(path))
}

fn unusable(path: &Path) -> ArgError {
    ArgError { flag: "--kubeconfig", value: path.display().to_string(), expected: "a usable kubeconfig file" }
}
