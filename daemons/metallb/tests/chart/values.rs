//! Values: what is known, what is refused, what only earns a remark.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::files::{CHART, find, read, yaml};
use crate::helm::Helm;

/// The parts of a schema that speak of a key.
fn described<'a>(schema: &'a Value, part: &'a Value, key: &str) -> Option<&'a Value> {
    let found = &part["properties"][key];
    let resolved = found["$ref"].as_str().map(|reference| {
        let name = reference.strip_prefix("#/definitions/").unwrap();
        &schema["definitions"][name]
    });
    resolved.or(Some(found)).filter(|found| !found.is_null())
}

#[test]
fn the_schema_describes_every_value() {
    fn check(schema: &Value, part: &Value, values: &Value, path: &str) {
        for (key, value) in values.as_object().unwrap() {
            let path = format!("{path}{key}");
            let part = described(schema, part, key).unwrap_or_else(|| panic!("no word about {path}"));
            assert!(part.get("type").or_else(|| part.get("enum")).is_some(), "{path} has no type");
            if part.get("properties").is_some() {
                check(schema, part, value, &format!("{path}."));
            }
        }
    }
    let text = read(&format!("{CHART}/values.schema.json"));
    let schema: Value = serde_json::from_str(&text).unwrap();
    check(&schema, &schema, &yaml(&format!("{CHART}/values.yaml")), "");
}

#[test]
fn values_that_cannot_work_are_refused_with_their_name() {
    let Some(helm) = Helm::find() else { return };
    let cases = [
        (r#"controller.logLevel="verbose""#, "/controller/logLevel"),
        (r#"speaker.memberlist.mlBindPort="7946""#, "/speaker/memberlist/mlBindPort"),
        (r"speaker.memberlist.mlBindPort=79460", "/speaker/memberlist/mlBindPort"),
        (r#"speaker.memberlist.mlSecretKeyPath="secret""#, "/speaker/memberlist/mlSecretKeyPath"),
        (r#"speaker.tolerateMaster="yes""#, "/speaker/tolerateMaster"),
        (r"speaker.image.tag=1.3", "/speaker/image/tag"),
        (r#"speaker.bgpListen=["179"]"#, "/speaker/bgpListen/0"),
        (r#"speaker.extraArgs=["bgp-ttl=gtsm"]"#, "/speaker/extraArgs/0"),
        (r"speaker.livenessProbe=null", "livenessProbe"),
        (r#"controller.webhookMode="on""#, "/controller/webhookMode"),
        (r#"controller.strategy={"type":"Rolling"}"#, "/controller/strategy/type"),
        (r#"controller.tolerations={"key":"a"}"#, "/controller/tolerations"),
        (r"controller.replicas=-1", "/controller/replicas"),
        (r#"crds.validationFailurePolicy="ignore""#, "/crds/validationFailurePolicy"),
        (r#"image.registy="example.com""#, "registy"),
        (r#"image.registry="""#, "/image/registry"),
        (r#"imagePullSecrets=["login"]"#, "/imagePullSecrets/0"),
        (r#"tls.minVersion="1.3""#, "/tls/minVersion"),
        (r#"prometheus.podMonitor.interval="often""#, "/prometheus/podMonitor/interval"),
        (
            r#"prometheus.prometheusRule.addressPoolUsage.thresholds=[{"percent":101}]"#,
            "/thresholds/0/percent",
        ),
        (r"prometheus.metricsPort=null", "metricsPort"),
    ];
    for (setting, expected) in cases {
        let error = helm.refusal(&[setting]);
        assert!(error.contains(expected), "{setting}: {error}");
    }
}

#[test]
fn values_that_do_not_go_together_are_refused_with_a_remedy() {
    let Some(helm) = Helm::find() else { return };
    let cases: [(&[&str], &str, &str); 6] = [
        (&[r#"configInline={"address-pools":[]}"#], "configInline", "metallb convert"),
        (
            &["prometheus.podMonitor.enabled=true", "prometheus.serviceMonitor.enabled=true"],
            "scraped twice",
            "choose one",
        ),
        (
            &["prometheus.podMonitor.enabled=true", "prometheus.metricsPort=9120"],
            "prometheus.podMonitor.enabled",
            "prometheus.metricsPort",
        ),
        (
            &["no-webhooks.yaml", "prometheus.serviceMonitor.enabled=true"],
            "nothing to scrape",
            "set one of them",
        ),
        (&["prometheus.serviceMonitor.enabled=true"], "prometheus.serviceAccount", "rbacPrometheus=false"),
        (
            &["prometheus.serviceMonitor.enabled=true", r#"prometheus.serviceAccount="p""#],
            "prometheus.namespace",
            "rbacPrometheus=false",
        ),
    ];
    for (settings, what, remedy) in cases {
        let error = helm.refusal(settings);
        assert!(error.contains(what) && error.contains(remedy), "{settings:?}: {error}");
    }
}

/// The remarks of the notes, one for each value: what stands before the first colon.
fn remarks(cluster: &Cluster, values: &[&str]) -> Vec<(String, String)> {
    let notes = cluster.notes(values);
    let Some((_, warning)) = notes.split_once("WARNING: not all values do what was asked for.\n") else {
        return Vec::new();
    };
    let lines = warning.lines().filter_map(|line| line.strip_prefix("  * "));
    lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(value, why)| (value.to_owned(), why.to_owned()))
        .collect()
}

#[test]
fn what_does_nothing_earns_a_remark_and_nothing_else_does() {
    let Some(cluster) = Cluster::start() else { return };
    let names = |values: &[&str]| -> Vec<String> {
        remarks(&cluster, values).into_iter().map(|(value, _)| value).collect()
    };
    assert_eq!(names(&[]), Vec::<String>::new());
    let old_defaults = ["controller.image", "speaker.image", "controller.strategy.type", "frrk8s"];
    assert_eq!(names(&["metallb-0.16.yaml"]), old_defaults);
    let frr = ["speaker.frr", "speaker.reloader", "speaker.bgpDebounceTimeout", "prometheus.rbacProxy"];
    assert_eq!(names(&["metallb-0.15-frr.yaml"]), frr);
    for quiet in ["names.yaml", "https-only.yaml", "service-monitor.yaml", "pod-monitor.yaml", "bgp.yaml"] {
        assert_eq!(names(&[quiet]), Vec::<String>::new(), "{quiet}");
    }
}

#[test]
fn a_misspelt_value_is_named_with_those_that_exist() {
    let Some(cluster) = Cluster::start() else { return };
    let settings = ["speaker.tolerateMasters=true", "networkPolicies.enabled=true", "crds.enable=false"];
    let found = remarks(&cluster, &settings);
    let values: BTreeSet<_> = found.iter().map(|(value, _)| value.as_str()).collect();
    assert_eq!(values, BTreeSet::from(["crds.enable", "networkPolicies", "speaker.tolerateMasters"]));
    let why = |wanted: &str| &found.iter().find(|(value, _)| value == wanted).unwrap().1;
    assert!(why("speaker.tolerateMasters").contains("tolerateMaster,"), "{found:?}");
    assert!(why("networkPolicies").contains("networkpolicies,"), "{found:?}");
}

#[test]
fn a_tag_without_its_repository_earns_a_remark() {
    let Some(cluster) = Cluster::start() else { return };
    let found = remarks(&cluster, &[r#"speaker.image.tag="v0.15.2""#]);
    let [(value, why)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(value, "speaker.image.tag");
    assert!(why.contains("v0.15.2") && why.contains("image.tag"), "{why}");
}

#[test]
fn tls_of_the_controller_alone_is_what_metallbs_older_charts_meant_by_it() {
    let Some(helm) = Helm::find() else { return };
    let flags = |values: &[&str], workload: &str| -> Vec<String> {
        let objects = helm.template(values);
        let pod = &find(&objects, workload)["spec"]["template"]["spec"];
        let all = pod["containers"][0]["args"].as_array().unwrap();
        let all = all.iter().map(|flag| flag.as_str().unwrap().to_owned());
        all.filter(|flag| flag.starts_with("--tls")).collect()
    };
    let (controller, speaker) = ("Deployment/metallb-controller", "DaemonSet/metallb-speaker");
    let old = [
        r#"controller.tlsMinVersion="VersionTLS12""#,
        r#"controller.tlsCipherSuites="TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256""#,
    ];
    let suites = "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    assert_eq!(flags(&old, controller), ["--tls-min-version=VersionTLS12", suites]);
    assert_eq!(flags(&old, speaker), Vec::<String>::new());
    let both = [r#"controller.tlsMinVersion="VersionTLS12""#, r#"tls.minVersion="VersionTLS13""#];
    assert_eq!(flags(&both, controller), ["--tls-min-version=VersionTLS13"]);
    assert_eq!(flags(&both, speaker), ["--tls-min-version=VersionTLS13"]);
}

#[test]
fn metallbs_own_images_are_not_run() {
    let Some(helm) = Helm::find() else { return };
    let image = |values: &[&str], workload: &str| {
        let objects = helm.template(values);
        let pod = &find(&objects, workload)["spec"]["template"]["spec"];
        pod["containers"][0]["image"].as_str().unwrap().to_owned()
    };
    let tag = yaml(&format!("{CHART}/Chart.yaml"))["appVersion"].as_str().unwrap().to_owned();
    let old = ["metallb-0.16.yaml", r#"speaker.image.tag="v0.15.2""#];
    assert_eq!(image(&old, "DaemonSet/metallb-speaker"), format!("localhost/metallb/speaker:{tag}"));
    let names = ["names.yaml"];
    assert_eq!(
        image(&names, "DaemonSet/edge-balancer-speaker"),
        "registry.example.com/metallb/speaker:v9.9.9"
    );
    assert_eq!(image(&names, "Deployment/edge-balancer-controller"), "mirror.example.com/controller:v9.9.8");
}
