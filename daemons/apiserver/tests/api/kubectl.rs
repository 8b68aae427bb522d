//! A stock `kubectl` against a listening server. Passes without doing anything where there is no `kubectl`; another
//! binary can be named in `METALLB_TEST_KUBECTL`.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use metallb_apiserver::Server;

use crate::support::mk_server;

pub(crate) struct Kubectl {
    program: String,
    home: tempfile::TempDir,
    pub(crate) server: Server,
}

impl Kubectl {
    /// `None` where there is no `kubectl`.
    pub(crate) fn start() -> Option<Self> {
        Self::with(mk_server)
    }

    /// The same on a server of the caller's making.
    pub(crate) fn with(make: impl FnOnce() -> Server) -> Option<Self> {
        let program = std::env::var("METALLB_TEST_KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
        let present = Command::new(&program).args(["version", "--client"]).stdout(Stdio::null()).status();
        if !present.is_ok_and(|status| status.success()) {
            eprintln!("no {program} here: nothing is tested");
            return None;
        }
        let server = make();
        let address = server.serve(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config"), server.kubeconfig(&format!("http://{address}"))).unwrap();
        Some(Self { program, home, server })
    }

    pub(crate) fn path(&self, name: &str, content: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn output(&self, arguments: &[&str]) -> Output {
        command(&self.program, self.home.path()).args(arguments).output().unwrap()
    }

    /// Standard output of a command that must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = tokio::task::block_in_place(|| self.output(arguments));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a command that must fail.
    pub(crate) fn fail(&self, arguments: &[&str]) -> String {
        let output = tokio::task::block_in_place(|| self.output(arguments));
        assert!(!output.status.success(), "kubectl {arguments:?} succeeded");
        String::from_utf8(output.stderr).unwrap()
    }
}

fn command(program: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("KUBECONFIG", home.join("config")).env("HOME", home);
    // Turns `port: 443` into `port: 8443` in `kubectl edit`.
    command.env("EDITOR", "sed -i s/port:.443/port:\\ 8443/");
    command
}

const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: lab}
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: w, namespace: lab}
spec: {size: 3}
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{port: 80, name: http}, {port: 443, name: https}]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_applies_shows_edits_explains_and_deletes() {
    let Some(kubectl) = Kubectl::start() else { return };
    let file = kubectl.path("objects.yaml", OBJECTS);
    assert!(kubectl.run(&["apply", "-f", &file]).contains("service/web created"));
    let again = kubectl.run(&["apply", "-f", &file]);
    assert_eq!(again.matches("unchanged").count(), 3, "{again}");

    let table = kubectl.run(&["get", "svc", "web", "-o", "wide"]);
    let header: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR"]);
    assert!(table.contains("LoadBalancer") && table.contains("<pending>"), "{table}");
    let widgets = kubectl.run(&["get", "wd", "-A"]);
    assert!(widgets.lines().next().unwrap().contains("SIZE") && !widgets.contains("MODE"), "{widgets}");
    assert!(kubectl.run(&["describe", "svc", "web"]).contains("TargetPort:"));

    kubectl.run(&["edit", "svc", "web"]);
    assert!(kubectl.run(&["get", "svc", "web", "-o", "jsonpath={.spec.ports[1].port}"]).contains("8443"));
    kubectl.run(&["label", "svc", "web", "tier=front"]);
    assert!(kubectl.run(&["get", "svc", "-l", "tier=front", "-o", "name"]).contains("service/web"));
    let patch = r#"{"spec":{"ports":[{"port":80,"targetPort":8080}]}}"#;
    kubectl.run(&["patch", "svc", "web", "-p", patch]);
    let ports = kubectl.run(&["get", "svc", "web", "-o", "jsonpath={.spec.ports[*].targetPort}"]);
    assert_eq!(ports, "8080 443");

    assert!(kubectl.run(&["explain", "widget.spec"]).contains("size"));
    assert!(kubectl.run(&["explain", "service.spec.loadBalancerClass"]).contains("loadBalancerClass"));
    let gone = kubectl.run(&["delete", "-f", &file]);
    assert_eq!(gone.matches("deleted").count(), 3, "{gone}");
    kubectl.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_creates_applies_on_the_server_and_reports_errors() {
    let Some(kubectl) = Kubectl::start() else { return };
    kubectl.run(&["create", "namespace", "lab"]);
    kubectl.run(&["create", "configmap", "cm", "--from-literal=a=b"]);
    assert_eq!(kubectl.run(&["get", "cm", "cm", "-o", "jsonpath={.data.a}"]), "b");
    kubectl.run(&["create", "secret", "generic", "s", "--from-literal=password=x"]);
    assert_eq!(kubectl.run(&["get", "secret", "s", "-o", "jsonpath={.data.password}"]), "eA==");
    kubectl.run(&["create", "service", "loadbalancer", "lb", "--tcp=80:8080"]);
    assert_eq!(kubectl.run(&["get", "svc", "lb", "-o", "jsonpath={.spec.ports[0].targetPort}"]), "8080");
    kubectl.run(&["create", "deployment", "d", "--image=nginx"]);
    assert!(kubectl.run(&["get", "deploy", "d"]).contains("0/1"));
    kubectl.run(&["expose", "deployment", "d", "--port=80"]);
    assert_eq!(kubectl.run(&["auth", "can-i", "create", "services"]).trim(), "yes");

    let file = kubectl.path("objects.yaml", OBJECTS);
    kubectl.run(&["apply", "--server-side", "-f", &file]);
    kubectl.run(&["apply", "--dry-run=server", "--server-side", "-f", &file]);
    let wrong = kubectl.path("wrong.yaml", &OBJECTS.replace("size: 3", "size: 11"));
    assert!(kubectl.fail(&["apply", "--server-side", "-f", &wrong]).contains("less than or equal to 10"));
    let unknown = kubectl.path("unknown.yaml", &OBJECTS.replace("size: 3", "size: 3, odd: 1"));
    assert!(kubectl.fail(&["apply", "-f", &unknown]).contains("unknown field"));
    assert!(kubectl.fail(&["get", "svc", "absent"]).contains("services \"absent\" not found"));
    kubectl.server.shutdown().await;
}
