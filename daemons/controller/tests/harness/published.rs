//! Argument lists and environments of MetalLB's published manifests and chart, and daemons started with them.

use tokio::process::Command;

use super::daemon::spawn;
use super::https;
use super::namespace::{isolated, sh};
use super::{Cluster, eventually};

/// How a container is started by something that MetalLB published.
pub(crate) struct Published {
    /// What was published, and when.
    pub(crate) source: &'static str,
    /// The container's arguments.
    pub(crate) args: &'static [&'static str],
    /// Its environment, with the values that a kubelet fills in.
    pub(crate) env: &'static [(&'static str, &'static str)],
    /// Variables and flags that must be mentioned at the start, as they have no effect.
    pub(crate) notices: &'static [&'static str],
}

/// The port of the probes, unless told otherwise.
const PROBES: u16 = 17472;

impl Published {
    /// Starts a program like that in the namespace of the test, and waits until it serves what the manifest says.
    async fn comes_up(&self, program: &str, cluster: &Cluster) {
        let port = self.args.iter().find_map(|arg| arg.strip_prefix("--port=")).unwrap();
        let port = port.parse().unwrap();
        let mut command = Command::new(program);
        command.args(self.args);
        let mut daemon = spawn(command, self.env, Some(cluster)).with_ports(port, 9120, PROBES);
        daemon.ready().await;
        assert_eq!(daemon.probe("/healthz").await, Some(200), "{}", self.source);
        if port != 9120 {
            daemon.scrape().await;
        }
        let scraped = eventually("metrics over HTTPS", async || https::get(9120, "/metrics", None).await);
        let (status, text, _) = scraped.await;
        assert_eq!(status, 401, "{}: {text}", self.source);
        let notices = daemon.log().into_iter().filter(|line| line.contains("has no effect"));
        let notices: Vec<String> = notices.collect();
        assert_eq!(notices.len(), self.notices.len(), "{}: {notices:?}", self.source);
        for name in self.notices {
            assert!(notices.iter().any(|line| line.contains(name)), "{}: {name}: {notices:?}", self.source);
        }
        assert!(daemon.terminate().await.0.success(), "{}", self.source);
    }
}

/// Starts a program in each of these ways, one after another, in a namespace whose node has the address 10.0.0.1.
pub(crate) fn all_come_up(test: &str, program: &str, published: &[Published], prepare: fn(&Cluster)) {
    isolated(test, async || {
        sh("ip addr add 10.0.0.1/32 dev lo");
        let cluster = Cluster::start().await;
        prepare(&cluster);
        // With the chart these have other names, and the roles, too.
        cluster.refuses("resource \"deployments\" in API group \"apps\" in the namespace \"metallb-system\", named \"metallb-controller\"");
        cluster.refuses("resource \"frrconfigurations\" in API group \"frrk8s.metallb.io\" in the namespace \"frr-k8s-system\"");
        for start in published {
            start.comes_up(program, &cluster).await;
        }
    });
}
