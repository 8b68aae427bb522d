//! The way to a cluster, as the options say.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use metallb_k8s::retry::describe;
use tokio::runtime::{Builder, Runtime};

use crate::exit::Trouble;

/// The way to a cluster.
#[derive(Args, Clone, Debug, Default)]
pub struct Way {
    /// The kubeconfig; without it $KUBECONFIG, ~/.kube/config or the service account of the pod.
    #[arg(long, value_name = "FILE", global = true)]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig; without it the current one.
    #[arg(long, value_name = "NAME", global = true)]
    context: Option<String>,
}

/// Options that every question to a cluster has.
#[derive(Args, Clone, Debug, Default)]
pub struct ConnectArgs {
    #[command(flatten)]
    pub(crate) way: Way,

    /// Namespace of MetalLB.
    #[arg(long, env = "METALLB_NAMESPACE", default_value = "metallb-system", value_name = "NAME")]
    pub(crate) metallb_namespace: String,

    /// The class that the daemons serve; without it what the controller's pod was started with.
    #[arg(long, value_name = "CLASS")]
    pub(crate) lb_class: Option<String>,
}

/// A connection, and the namespace that the kubeconfig's context names.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// Prepares the connection; nothing is sent yet.
pub(crate) async fn connect(args: &Way) -> Result<Connected, Trouble> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let config = match &args.kubeconfig {
        Some(path) => match Kubeconfig::read_from(path) {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(unusable),
            Err(error) => Err(unusable(error)),
        },
        None if args.context.is_some() => Config::from_kubeconfig(&options).await.map_err(unusable),
        None => Config::infer().await.map_err(unusable),
    };
    let mut config = config?;
    config.default_retry = false;
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(PATIENCE * 3);
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(unusable)?;
    Ok(Connected { client, namespace })
}

/// A runtime for a command that asks one thing after the other.
pub(crate) fn runtime() -> Result<Runtime, Trouble> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::unknown(format!("cannot start: {error}")))
}

fn unusable(error: impl std::error::Error + 'static) -> Trouble {
    let reason = describe(&error);
    Trouble::unknown(format!(
        "no way to a cluster: {reason}; name a kubeconfig with --kubeconfig or KUBECONFIG, and see \
         `kubectl config get-contexts`"
    ))
}

/// For how long a server may take to answer a connection.
const PATIENCE: Duration = Duration::from_secs(5);
