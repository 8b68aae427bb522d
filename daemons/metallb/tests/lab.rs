//! The tour with the real program: controller, speakers, ARP, NDP, BGP, traffic, failures.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const NOBODY: u32 = 65534;

/// A directory for labs of its own, so that labs of the machine's user are not in the way.
struct Bench {
    directory: tempfile::TempDir,
    program: PathBuf,
    as_nobody: bool,
}

impl Bench {
    fn new(as_nobody: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Other users may not read where the program is built.
        let program = directory.path().join("metallb");
        // By another process: a file that is open for writing here would be so in whatever another test starts meanwhile,
        // and could not be run ("Text file busy").
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_metallb")).arg(&program).status().unwrap();
        assert!(copied.success(), "cp: {copied}");
        if as_nobody {
            std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { directory, program, as_nobody }
    }

    fn lab(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.arg("lab").args(args).env("METALLB_LAB_DIR", self.labs());
        if self.as_nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().unwrap()
    }

    fn labs(&self) -> PathBuf {
        self.directory.path().join("labs")
    }

    fn file(&self, content: &str) -> String {
        let path = self.directory.path().join("own.yaml");
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.lab(&["down", "--all"]);
    }
}

fn root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Where the kernel gives no namespaces there is nothing to test; CI says that it must.
fn no_namespaces(output: &Output) -> bool {
    let refused = text(output).contains("cannot make namespaces");
    assert!(!refused || std::env::var_os("METALLB_REQUIRE_INTEROP").is_none(), "{}", text(output));
    refused
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn holds(bench: &Bench, args: &[&str]) {
    let output = bench.lab(&[&["up", "--tour-only"], args].concat());
    if no_namespaces(&output) {
        return;
    }
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("Every step held"), "{}", text(&output));
    let left: Vec<_> = std::fs::read_dir(bench.labs()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_tour_holds() {
    holds(&Bench::new(false), &[]);
}

#[test]
fn the_tour_holds_for_an_unprivileged_user() {
    if root() {
        holds(&Bench::new(true), &[]);
    }
}

#[test]
fn the_tour_holds_with_bird() {
    if Path::new("/usr/sbin/bird").exists() {
        holds(&Bench::new(false), &["--router", "bird"]);
    }
}

#[test]
fn the_tour_holds_with_frr() {
    if root() && Path::new("/usr/lib/frr/bgpd").exists() {
        holds(&Bench::new(false), &["--router", "frr"]);
    }
}

#[test]
fn the_tour_holds_with_bfd() {
    let bench = Bench::new(false);
    let output = bench.lab(&["up", "--tour-only", "--bfd"]);
    if no_namespaces(&output) {
        return;
    }
    assert!(output.status.success(), "{}", text(&output));
    // None of the steps was left out for want of something to show.
    for step in
        ["BFD: the paths of a cut link go", "the same cut without BFD", "BFD comes back, sessions go on"]
    {
        let line = text(&output).lines().rfind(|line| line.contains(step)).unwrap_or_default().to_owned();
        assert!(line.contains("  yes "), "{step}: {line:?} in\n{}", text(&output));
    }
}

#[test]
fn a_peer_with_the_wrong_as_number_fails_the_tour() {
    let bench = Bench::new(false);
    let file = bench.file(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: routed}\n\
         spec: {addresses: [198.51.100.0/24]}\n---\n\
         apiVersion: metallb.io/v1beta1\nkind: BGPAdvertisement\nmetadata: {name: routed}\n---\n\
         apiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: router}\n\
         spec: {myASN: 64512, peerASN: 65000, peerAddress: 192.0.2.1}\n",
    );
    let output = bench.lab(&["up", "--tour-only", "-f", &file]);
    if no_namespaces(&output) {
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("no route for 198.51.100.0/32"), "{}", text(&output));
    // The speaker's own words say why.
    assert!(text(&output).contains("node1 to router (192.0.2.1:179)"), "{}", text(&output));
}

#[test]
fn the_users_own_configuration_is_what_the_router_gets() {
    let bench = Bench::new(false);
    // A range and a CIDR, both families, an interface, a peer per node selector, aggregation, communities.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/lab/aggregated.yaml");
    let output = bench.lab(&["up", "--tour-only", "-f", file]);
    if no_namespaces(&output) {
        return;
    }
    assert!(output.status.success(), "{}", text(&output));
    for line in [
        "198.51.100.0/24 has 2 next hops: node1, node2",
        "198.51.100.0/24 by 192.0.2.11 came with AS path 64512 and communities 64512:300 64512:301 64512:1:2",
        "198.51.100.0/24 by 192.0.2.12 came with AS path 64512 and communities 64512:300 64512:301 64512:1:2",
        "2001:db8:2ab::/64 has 1 next hop: node2",
    ] {
        assert!(text(&output).contains(line), "{line} is not in\n{}", text(&output));
    }
}
