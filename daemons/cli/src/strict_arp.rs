//! `metallb strict-arp`: kube-proxy in IPVS mode answers ARP for every service on every node unless told not to.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::connect::{Way, connect, runtime};
use crate::exit::{self, Trouble};
use crate::input::{Node, Value, parse};

/// Looks whether kube-proxy leaves answering ARP to us, and tells it to.
///
/// In IPVS mode kube-proxy holds the addresses of all services on every node, and every kernel answers ARP for them:
/// clients reach any node, not the one that announces. strictARP ends that. Exit status 0: all is well; 1: it is not;
/// 2: wrong usage; 3: it could not be found out.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct StrictArpArgs {
    #[command(subcommand)]
    command: StrictArpCommand,

    /// Namespace of kube-proxy.
    #[arg(long, default_value = "kube-system", value_name = "NAME", global = true)]
    kube_proxy_namespace: String,

    /// ConfigMap of kube-proxy.
    #[arg(long, default_value = "kube-proxy", value_name = "NAME", global = true)]
    kube_proxy_config_map: String,

    #[command(flatten)]
    way: Way,
}

#[derive(Debug, Subcommand)]
enum StrictArpCommand {
    /// Say how it is.
    Check,
    /// Set strictARP in kube-proxy's ConfigMap where it is needed.
    Enable {
        /// Print the configuration as it would be, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  metallb strict-arp check
  metallb strict-arp enable --dry-run | diff <(kubectl -n kube-system get cm kube-proxy -o jsonpath='{.data.config\\.conf}') -
  metallb strict-arp enable && kubectl -n kube-system rollout restart daemonset kube-proxy";

/// What kube-proxy's configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// Another mode, which leaves ARP alone.
    NotIpvs { mode: String },
    /// IPVS, and told not to answer.
    Strict,
    /// IPVS that answers: the configuration as it should be.
    Trap { better: String },
}

/// Runs the command.
pub(crate) fn run(args: &StrictArpArgs) -> ExitCode {
    exit::report(answer(args))
}

fn answer(args: &StrictArpArgs) -> Result<ExitCode, Trouble> {
    runtime()?.block_on(async {
        let client = connect(&args.way).await?.client;
        let api: Api<ConfigMap> = Api::namespaced(client, &args.kube_proxy_namespace);
        let name = args.kube_proxy_config_map.as_str();
        let place = format!("ConfigMap {}/{name}", args.kube_proxy_namespace);
        let found = api.get_opt(name).await.map_err(|error| {
            Trouble::unknown(format!("cannot read {place}: {error}; ask for the right to get configmaps there"))
        })?;
        let Some(found) = found else {
            let help = "if kube-proxy is replaced by something else (Cilium, for example), there is nothing to do";
            return Err(Trouble::unknown(format!(
                "there is no {place}; {help}, else name it with --kube-proxy-namespace and --kube-proxy-config-map"
            )));
        };
        let text = found.data.as_ref().and_then(|data| data.get(KEY)).ok_or_else(|| {
            Trouble::unknown(format!("{place} has no key {KEY:?}; look where kube-proxy's --config points"))
        })?;
        let verdict = judge(text).map_err(|problem| Trouble::unknown(format!("{place}: {KEY}: {problem}")))?;
        match (verdict, &args.command) {
            (Verdict::Trap { better }, StrictArpCommand::Enable { dry_run }) => {
                if *dry_run {
                    exit::print(&better)?;
                    return Ok(exit::NO);
                }
                let version = found.metadata.resource_version.clone();
                let patch = json!({"metadata": {"resourceVersion": version}, "data": {KEY: better}});
                api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(|error| {
                    Trouble::unknown(format!("cannot write {place}: {error}; try again, or ask for the right to patch it"))
                })?;
                exit::print(&format!(
                    "{place}: strictARP is set\nkube-proxy reads it when it starts: kubectl -n {} rollout restart daemonset kube-proxy\n",
                    args.kube_proxy_namespace
                ))?;
                Ok(ExitCode::SUCCESS)
            }
            (verdict, _) => tell(&verdict, &place),
        }
    })
}

fn tell(verdict: &Verdict, place: &str) -> Result<ExitCode, Trouble> {
    let (text, status) = match verdict {
        Verdict::NotIpvs { mode } => {
            (format!("{place}: mode {mode:?} leaves ARP alone; nothing to do\n"), ExitCode::SUCCESS)
        }
        Verdict::Strict => {
            (format!("{place}: mode \"ipvs\" with strictARP; nothing to do\n"), ExitCode::SUCCESS)
        }
        Verdict::Trap { .. } => (
            format!(
                "{place}: mode \"ipvs\" without strictARP: every node answers ARP for every service\nrun: metallb strict-arp enable\n"
            ),
            exit::NO,
        ),
    };
    exit::print(&text)?;
    Ok(status)
}

/// Reads kube-proxy's configuration.
fn judge(text: &str) -> Result<Verdict, String> {
    let (documents, error) = parse(text);
    if let Some(error) = error {
        return Err(format!("line {}: {}", error.span.line, error.message));
    }
    let [root] = &documents[..] else { return Err("is not one document of YAML".to_owned()) };
    let mode = root.text("mode").unwrap_or_default();
    if mode != "ipvs" {
        let mode = if mode.is_empty() { "iptables" } else { mode };
        return Ok(Verdict::NotIpvs { mode: mode.to_owned() });
    }
    if root.find("ipvs.strictARP").node.is_some_and(|node| node.value == Value::Bool(true)) {
        return Ok(Verdict::Strict);
    }
    let better = corrected(text, root)
        .ok_or("ipvs is written in a form that cannot be edited; set ipvs.strictARP: true by hand")?;
    // What was written must be read back, or somebody's kube-proxy does not start.
    let (check, error) = parse(&better);
    let is_set =
        |node: &Node| node.find("ipvs.strictARP").node.is_some_and(|node| node.value == Value::Bool(true));
    if error.is_none() && check.first().is_some_and(is_set) {
        Ok(Verdict::Trap { better })
    } else {
        Err("cannot be edited safely; set ipvs.strictARP: true by hand".to_owned())
    }
}

/// The text with strictARP, and nothing else changed.
fn corrected(text: &str, root: &Node) -> Option<String> {
    if let Some(span) = root.find("ipvs.strictARP").node.and_then(|node| node.span) {
        let value = if span.start == span.end { " true" } else { "true" };
        return splice(text, span.start, span.end, value);
    }
    match root.get("ipvs").map(|node| (&node.value, node.span)) {
        None => {
            let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
            Some(format!("{text}{end}ipvs:\n  strictARP: true\n"))
        }
        Some((Value::Map(fields), Some(span))) if !fields.is_empty() => {
            let before = text.get(..span.start)?;
            let indent = before.rsplit('\n').next().filter(|start| start.trim().is_empty());
            let inserted = match indent {
                Some(indent) => format!("strictARP: true\n{indent}"),
                // `{a: b}`
                None => "strictARP: true, ".to_owned(),
            };
            splice(text, span.start, span.start, &inserted)
        }
        Some((Value::Map(_), Some(span))) => splice(text, span.start, span.end, "{strictARP: true}"),
        Some((Value::Null, Some(span))) => splice(text, span.start, span.end, " {strictARP: true}"),
        Some(_) => None,
    }
}

fn splice(text: &str, start: usize, end: usize, new: &str) -> Option<String> {
    Some([text.get(..start)?, new, text.get(end..)?].concat())
}

/// Where kube-proxy's configuration stands in its ConfigMap.
const KEY: &str = "config.conf";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ipvs_without_strict_arp_is_a_trap() {
        for (text, expected) in [
            ("mode: \"\"\n", Verdict::NotIpvs { mode: "iptables".to_owned() }),
            ("mode: nftables\nipvs: {strictARP: false}\n", Verdict::NotIpvs { mode: "nftables".to_owned() }),
            ("mode: ipvs\nipvs:\n  strictARP: true\n", Verdict::Strict),
        ] {
            assert_eq!(judge(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_correction_changes_nothing_else() {
        for (text, expected) in [
            (
                "# ours\nipvs:\n  minSyncPeriod: 0s\n  strictARP: false # why\nmode: ipvs\n",
                "# ours\nipvs:\n  minSyncPeriod: 0s\n  strictARP: true # why\nmode: ipvs\n",
            ),
            (
                "ipvs:\n    scheduler: rr\nmode: ipvs\n",
                "ipvs:\n    strictARP: true\n    scheduler: rr\nmode: ipvs\n",
            ),
            ("mode: ipvs", "mode: ipvs\nipvs:\n  strictARP: true\n"),
            ("mode: ipvs\nipvs: {scheduler: rr}\n", "mode: ipvs\nipvs: {strictARP: true, scheduler: rr}\n"),
            (
                "{\"mode\": \"ipvs\", \"ipvs\": {\"strictARP\": null}}",
                "{\"mode\": \"ipvs\", \"ipvs\": {\"strictARP\": true}}",
            ),
        ] {
            assert_eq!(judge(text), Ok(Verdict::Trap { better: expected.to_owned() }), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_alone() {
        assert!(judge("mode: [\n").unwrap_err().starts_with("line "));
        assert!(judge("").unwrap_err().contains("one document"));
        assert!(judge("mode: ipvs\nipvs: 7\n").unwrap_err().contains("by hand"));
    }
}
