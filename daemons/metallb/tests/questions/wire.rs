//! `metallb explain --wire`, on a segment of its own.

use std::process::{Child, Command};

use crate::namespace::{isolated, sh};
use crate::support::{CLUSTER, Cluster, POOL, RUNNING, err, out};

/// A machine on the segment, in a network namespace of its own.
struct Machine(Child);

impl Machine {
    fn start(number: u8) -> Self {
        let child = Command::new("unshare").args(["-n", "sleep", "infinity"]).spawn().unwrap();
        let machine = Self(child);
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{}/ns/net", machine.0.id());
        while std::fs::read_link(&theirs).is_ok_and(|theirs| theirs == own) {
            std::thread::yield_now();
        }
        let mac = format!("02:00:00:00:00:0{number}");
        sh(&format!(
            "ip link add port{number} type veth peer name eth0 address {mac} netns {}",
            machine.0.id()
        ));
        sh(&format!("ip link set port{number} master segment up"));
        machine.run("ip link set lo up && ip link set eth0 up && ip route add 192.0.2.9/32 dev eth0");
        machine
    }

    fn run(&self, line: &str) {
        sh(&format!("nsenter -t {} -n sh -c '{line}'", self.0.id()));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn who_answers_is_seen_and_who_answers_besides() {
    isolated("wire::who_answers_is_seen_and_who_answers_besides", async || {
        sh(
            "ip link add segment type bridge && ip link set segment up && ip addr add 192.0.2.9/24 dev segment",
        );
        let (one, two) = (Machine::start(1), Machine::start(2));
        let cluster = Cluster::start(true, &[CLUSTER, POOL, RUNNING].join("---"));
        let silent = cluster.explain("admin", &["shop", "--wire"]).await;
        let expected =
            "wire: nobody answers ARP for 192.0.2.0 on segment within a second, though worker-1 should\n";
        assert!(
            out(&silent).starts_with(&format!("default/shop is not reachable: {expected}")),
            "{}{}",
            out(&silent),
            err(&silent)
        );
        assert_eq!(silent.status.code(), Some(1));
        one.run("ip addr add 192.0.2.0/32 dev eth0");
        let answered = cluster.explain("admin", &["shop", "--wire"]).await;
        let text = out(&answered);
        assert_eq!(answered.status.code(), Some(0), "{text}{}", err(&answered));
        assert!(text.contains("02:00:00:00:00:01 answers ARP for 192.0.2.0 on segment\n"), "{text}");
        two.run("ip addr add 192.0.2.0/32 dev eth0");
        let twice = cluster.explain("admin", &["shop", "--wire"]).await;
        let both = "wire: 02:00:00:00:00:01 and 02:00:00:00:00:02 answer ARP for 192.0.2.0 on segment";
        assert!(
            out(&twice).starts_with(&format!("default/shop is not reachable: {both}")),
            "{}",
            out(&twice)
        );
        let elsewhere = cluster.explain("admin", &["shop", "--wire", "--interface", "eth7"]).await;
        assert_eq!(elsewhere.status.code(), Some(3), "{}", out(&elsewhere));
        assert!(out(&elsewhere).contains("this machine has no interface eth7"), "{}", out(&elsewhere));
        cluster.server.shutdown().await;
    });
}
