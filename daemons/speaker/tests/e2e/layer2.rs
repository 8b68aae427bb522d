//! What the link sees, and what is told about it.

use std::net::Ipv4Addr;

use kube::ResourceExt;
use kube::api::ListParams;
use metallb_arp::io::linux::{Filter, PacketSocket};
use metallb_arp::responder::InterfaceIndex;
use metallb_arp::wire::MacAddr;
use metallb_arp::wire::arp::{Packet, PacketView};
use metallb_arp::wire::ethernet::{EtherType, Frame};
use metallb_k8s::crd::ServiceL2Status;
use serde_json::json;

use crate::harness::{Cluster, PATIENCE, eventually};
use crate::site::{NODE, cluster, endpoint, in_namespace, service, service_alone, speaker};

async fn statuses(cluster: &Cluster) -> Vec<ServiceL2Status> {
    cluster.system::<ServiceL2Status>().list(&ListParams::default()).await.unwrap().items
}

fn other() -> PacketSocket {
    let index = std::fs::read_to_string("/sys/class/net/other0/ifindex");
    let index = index.map_or_else(|_| index_by_ip(), |text| text.trim().parse().unwrap());
    PacketSocket::open(InterfaceIndex(index), Filter::Observe).unwrap()
}

/// In a namespace whose /sys still shows that of the parent.
fn index_by_ip() -> u32 {
    let output = std::process::Command::new("ip").args(["-o", "link", "show", "other0"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(':').next().unwrap().trim().parse().unwrap()
}

/// Waits for an announcement of the address; returns who makes it.
async fn announced(socket: &PacketSocket, address: Ipv4Addr) -> MacAddr {
    let seen = async {
        let mut room = [0; 2048];
        loop {
            let length = socket.recv(&mut room).await.unwrap();
            let Ok(frame) = Frame::parse(&room[..length]) else { continue };
            if frame.ethertype != EtherType::ARP {
                continue;
            }
            let Ok(packet) = PacketView::parse(frame.payload) else { continue };
            if packet.sender() == address && packet.target() == address {
                return packet.sender_mac();
            }
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("the address is announced")
}

#[test]
fn a_service_is_announced_told_and_withdrawn() {
    in_namespace("layer2::a_service_is_announced_told_and_withdrawn", async || {
        let cluster = cluster().await;
        cluster.configure("L2Advertisement", "all", &json!({ "interfaces": ["eth0"] }));
        let socket = other();
        service(&cluster, "web", &["192.0.2.200", "2001:db8::42"]).await;
        let speaker = speaker(&cluster, &[]);
        announced(&socket, Ipv4Addr::new(192, 0, 2, 200)).await;
        let message = cluster.event("web", "nodeAssigned").await;
        assert_eq!(message, "announcing from node \"node1\" with protocol \"layer2\"");
        let found = eventually("a status", async || {
            statuses(&cluster).await.pop().filter(|found| found.status.is_some())
        })
        .await;
        let status = found.status.clone().unwrap();
        assert_eq!([status.node, status.service_name, status.service_namespace], ["node1", "web", "default"]);
        let interfaces: Vec<&str> = status.interfaces.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(interfaces, ["eth0"]);
        assert_eq!(found.labels()["metallb.io/node"], "node1");
        let series = "metallb_speaker_announced{service=\"default/web\",protocol=\"layer2\",node=\"node1\",ip=\"192.0.2.200\"}";
        speaker.shows(series, "1.0").await;

        endpoint(&cluster, "web", false);
        eventually("no status", async || statuses(&cluster).await.is_empty().then_some(())).await;
        let text = speaker.scrape().await;
        let about: Vec<&str> = text.lines().filter(|line| line.contains("192.0.2.200")).collect();
        assert_eq!(
            about,
            ["metallb_layer2_ownership_changes_total{ip=\"192.0.2.200\"} 2.0"],
            "came and left"
        );
        let line = speaker.says(&["withdrawing", "192.0.2.200"]).await;
        assert!(line.contains("protocol=\"layer2\""), "{line}");
    });
}

#[test]
fn another_user_of_an_address_is_told_on_the_service() {
    in_namespace("layer2::another_user_of_an_address_is_told_on_the_service", async || {
        let cluster = cluster().await;
        cluster.configure("L2Advertisement", "all", &json!({}));
        let socket = other();
        service(&cluster, "web", &["192.0.2.200"]).await;
        let speaker = speaker(&cluster, &[]);
        let address = Ipv4Addr::new(192, 0, 2, 200);
        announced(&socket, address).await;
        let intruder: MacAddr = "02:00:00:00:00:99".parse().unwrap();
        let claim = Packet::announcement(intruder, address);
        let mut frame = Vec::new();
        claim.emit_frame(MacAddr::BROADCAST, &mut frame);
        socket.send(&frame).await.unwrap();
        let message = cluster.event("web", "addressConflict").await;
        assert!(message.contains("192.0.2.200") && message.contains("eth0"), "{message}");
        assert!(!message.contains("02:00"), "the same event whoever claims it: {message}");
        let line = speaker.says(&["claims the address", "mac=02:00:00:00:00:99"]).await;
        assert!(line.contains("protocol=\"layer2\"") && line.contains("error="), "{line}");
        speaker.shows("metallb_layer2_conflicts_total{ip=\"192.0.2.200\"}", "1.0").await;
    });
}

#[test]
fn many_claims_are_told_once_on_the_node() {
    in_namespace("layer2::many_claims_are_told_once_on_the_node", async || {
        let cluster = cluster().await;
        cluster.configure("L2Advertisement", "all", &json!({}));
        let socket = other();
        let addresses: Vec<Ipv4Addr> = (200..220).map(|last| Ipv4Addr::new(192, 0, 2, last)).collect();
        for address in &addresses {
            service(&cluster, &format!("web-{}", address.octets()[3]), &[&address.to_string()]).await;
        }
        let speaker = speaker(&cluster, &[]);
        for address in &addresses {
            speaker.says(&["announcing", &format!("{address}")]).await;
        }
        for (number, address) in addresses.iter().enumerate() {
            let intruder = MacAddr::new([2, 0, 0, 0, 0, u8::try_from(number).unwrap()]);
            let mut frame = Vec::new();
            Packet::announcement(intruder, *address).emit_frame(MacAddr::BROADCAST, &mut frame);
            socket.send(&frame).await.unwrap();
        }
        let message = cluster.event(NODE, "addressConflict").await;
        assert!(message.contains("metallb_layer2_conflicts_total"), "{message}");
        let line = speaker.says(&["more addresses than are told one by one"]).await;
        assert!(line.contains("untold=1") && line.contains("mac="), "{line}");
    });
}

#[test]
fn a_service_that_nobody_advertises_says_so_until_somebody_does() {
    in_namespace("layer2::a_service_that_nobody_advertises_says_so_until_somebody_does", async || {
        let cluster = cluster().await;
        service(&cluster, "web", &["192.0.2.200"]).await;
        let _speaker = speaker(&cluster, &[]);
        let message = cluster.event("web", "announceFailed").await;
        assert!(message.contains("L2Advertisement") && message.contains("192.0.2.200"), "{message}");
        cluster.configure("L2Advertisement", "all", &json!({}));
        cluster.event("web", "nodeAssigned").await;
    });
}

#[test]
fn endpoints_of_a_service_that_is_ours_only_later_are_found_at_once() {
    in_namespace("layer2::endpoints_of_a_service_that_is_ours_only_later_are_found_at_once", async || {
        let cluster = cluster().await;
        cluster.configure("L2Advertisement", "all", &json!({}));
        endpoint(&cluster, "early", true);
        let speaker = speaker(&cluster, &[]);
        speaker.ready().await;
        endpoint(&cluster, "late", true);
        for (name, address) in [("early", "192.0.2.200"), ("late", "192.0.2.201")] {
            service_alone(&cluster, name, &[address]).await;
            speaker.says(&["announcing", address]).await;
        }
        endpoint(&cluster, "late", false);
        speaker.says(&["withdrawing", "192.0.2.201"]).await;
    });
}
