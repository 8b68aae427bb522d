//! The way to a cluster, as the options say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
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

impl ConnectArgs {
    /// The cluster of a kubeconfig, with MetalLB where it usually is.
    pub(crate) fn to(kubeconfig: &Path) -> Self {
        let way = Way { kubeconfig: Some(kubeconfig.to_owned()), context: None };
        Self { way, metallb_namespace: "metallb-system".to_owned(), lb_class: None }
    }
}

/// A connection, and the namespace that the kubeconfig's context names.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// Prepares the connection; nothing is sent yet.
pub(crate) async fn connect(args: &Way) -> Result<Connected, Trouble> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let named = args.kubeconfig.as_deref();
    let config = match named {
        Some(path) => match Kubeconfig::read_from(path) {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(|error| unusable(named, &error)),
            Err(error) => Err(unusable(named, &error)),
        },
        None if args.context.is_some() => {
            Config::from_kubeconfig(&options).await.map_err(|error| unusable(named, &error))
        }
        None => Config::infer().await.map_err(|error| unusable(named, &error)),
    };
    let mut config = config?;
    config.default_retry = false;
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(PATIENCE * 3);
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(|error| unusable(named, &error))?;
    Ok(Connected { client, namespace })
}

/// A runtime for a command that asks one thing after the other.
pub(crate) fn runtime() -> Result<Runtime, Trouble> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::unknown(format!("cannot start: {error}")))
}

fn unusable(path: Option<&Path>, error: &(dyn std::error::Error + 'static)) -> Trouble {
    Trouble::unknown(format!(
        "no way to a cluster: {}; name a kubeconfig with --kubeconfig or KUBECONFIG, and see \
         `kubectl config get-contexts`",
        reason(path, error)
    ))
}

/// What is the matter with a kubeconfig, in one line, and without what stands in it: that may be a token.
fn reason(path: Option<&Path>, error: &(dyn std::error::Error + 'static)) -> String {
    let mut next = Some(error);
    while let Some(cause) = next {
        match cause.downcast_ref::<KubeconfigError>() {
            Some(KubeconfigError::ReadConfig(why, path)) if why.kind() == std::io::ErrorKind::NotFound => {
                return format!("there is no kubeconfig {}", path.display());
            }
            Some(KubeconfigError::LoadContext(name)) => {
                return format!("the kubeconfig has no context {name:?}");
            }
            Some(KubeconfigError::CurrentContextNotSet) => {
                return "the kubeconfig names no current context".to_owned();
            }
            Some(KubeconfigError::FindPath) => {
                return "there is no kubeconfig, and no home directory to look for one".to_owned();
            }
            Some(KubeconfigError::Parse(error)) => {
                let stated = || std::env::var_os("KUBECONFIG").map(PathBuf::from);
                let path = path.map(Path::to_owned).or_else(stated);
                let file = path.map(|path| format!(" {}", path.display())).unwrap_or_default();
                let place =
                    error.location().map(|at| format!(": line {}, column {}", at.line(), at.column()));
                return format!("the kubeconfig{file} cannot be parsed{}", place.unwrap_or_default());
            }
            Some(_) => return first_line(&describe(cause)),
            None => next = cause.source(),
        }
    }
    first_line(&describe(error))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// For how long a server may take to answer a connection.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    async fn trouble(kubeconfig: &Path, context: Option<&str>) -> String {
        let way = Way { kubeconfig: Some(kubeconfig.to_owned()), context: context.map(str::to_owned) };
        connect(&way).await.err().unwrap().to_string()
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_named() {
        let text = trouble(Path::new("/nonexistent/config"), None).await;
        assert_eq!(
            text,
            "no way to a cluster: there is no kubeconfig /nonexistent/config; name a kubeconfig with --kubeconfig or \
             KUBECONFIG, and see `kubectl config get-contexts`"
        );
    }

    #[tokio::test]
    async fn nothing_of_a_kubeconfig_that_cannot_be_read_is_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for user in ["{token: hunter2", "hunter2", "[hunter2]", "{exec: hunter2}", "{token: {hunter2: 1}}"] {
            std::fs::write(file.path(), format!("users:\n- name: a\n  user: {user}\n")).unwrap();
            let text = trouble(file.path(), None).await;
            assert!(!text.contains("hunter2") && !text.contains('\n'), "{text}");
            let start = format!(
                "no way to a cluster: the kubeconfig {} cannot be parsed: line ",
                file.path().display()
            );
            assert!(text.starts_with(&start), "{text}");
        }
    }

    #[tokio::test]
    async fn a_context_that_is_not_there_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{contexts: [], clusters: [], users: []}").unwrap();
        assert!(trouble(file.path(), Some("nope")).await.contains("the kubeconfig has no context \"nope\";"));
        assert!(trouble(file.path(), None).await.contains("the kubeconfig names no current context;"));
    }
}
