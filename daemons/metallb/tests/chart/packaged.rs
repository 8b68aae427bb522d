//! The chart as an archive in a repository.

use crate::files::{CHART, yaml};
use crate::helm::Helm;

/// The version of this workspace, which chart and images have too.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn the_charts_have_the_version_of_the_program() {
    for chart in [CHART.to_owned(), format!("{CHART}/charts/crds")] {
        let about = yaml(&format!("{chart}/Chart.yaml"));
        assert_eq!(about["version"], VERSION, "{chart}");
        assert_eq!(about["appVersion"], format!("v{VERSION}"), "{chart}");
    }
    assert_eq!(yaml(&format!("{CHART}/Chart.yaml"))["dependencies"][0]["version"], VERSION);
}

#[test]
fn the_archive_is_named_by_its_version_and_renders_as_the_directory() {
    let Some(helm) = Helm::find() else { return };
    let directory = helm.file("repository/about", "");
    let directory = directory.strip_suffix("/about").unwrap();
    helm.run(&["package", CHART, "--destination", directory]);
    let archive = format!("{directory}/metallb-{VERSION}.tgz");
    let options = ["--namespace=metallb-system", "--set-json=prometheus.prometheusRule.enabled=true"];
    let of = |chart: &str| helm.run(&[&["template", "metallb", chart], &options[..]].concat());
    assert_eq!(of(&archive), of(CHART));

    helm.run(&["repo", "index", directory, "--url", "https://charts.example.com/metallb"]);
    let index: serde_json::Value =
        serde_saphyr::from_str(&std::fs::read_to_string(format!("{directory}/index.yaml")).unwrap()).unwrap();
    let entry = &index["entries"]["metallb"][0];
    assert_eq!(entry["urls"][0], format!("https://charts.example.com/metallb/metallb-{VERSION}.tgz"));
    assert_eq!(entry["kubeVersion"], ">= 1.30.0-0");
}

#[test]
fn a_cluster_that_is_too_old_is_refused() {
    let Some(helm) = Helm::find() else { return };
    let error = helm.fail(&["template", "metallb", CHART, "--kube-version=1.29.9"]);
    assert!(error.contains("1.30"), "{error}");
    helm.run(&["template", "metallb", CHART, "--kube-version=1.30.0-eks-1"]);
}
