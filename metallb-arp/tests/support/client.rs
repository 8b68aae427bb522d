//! What a client sees: the kernel's neighbor entries, and the frames on its link.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use metallb_arp::io::linux::{Filter, PacketSocket};
use metallb_arp::responder::InterfaceIndex;

use crate::support::{PATIENCE, Space, eventually};

impl Space {
    /// Watches an interface and speaks on it.
    pub(crate) fn observe(&self, interface: &str) -> Observer {
        let index = self.sh(&format!("ip -o link show {interface}"));
        let digits: String = index.trim().chars().take_while(char::is_ascii_digit).collect();
        let index = InterfaceIndex(digits.parse().unwrap());
        self.run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let context = runtime.enter();
            let socket = PacketSocket::open(index, Filter::Observe).unwrap();
            drop(context);
            Observer { runtime, socket }
        })
    }

    /// Sends a datagram, so that the kernel has to resolve the address.
    pub(crate) fn poke(&self, address: IpAddr) {
        self.run(move || {
            let any: SocketAddr = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
            let socket = UdpSocket::bind(any).unwrap();
            // An entry that has just failed makes the kernel refuse; the caller looks at the entry.
            let _unreachable = socket.send_to(b"x", (address, 9));
        });
    }

    /// The kernel's neighbor entry: hardware address and state.
    pub(crate) fn neighbor(&self, address: IpAddr) -> Option<(String, String)> {
        let text = self.sh(&format!("ip neigh show {address}"));
        let words: Vec<&str> = text.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "lladdr")?;
        Some((words.get(at + 1)?.to_string(), words.last()?.to_string()))
    }

    /// Waits until the kernel has resolved the address to this hardware address.
    pub(crate) fn resolves(&self, address: IpAddr, mac: &str) {
        self.poke(address);
        eventually(&format!("{address} at {mac}"), || {
            self.neighbor(address).is_some_and(|(lladdr, _)| lladdr == mac)
        });
    }
}

/// Sees the ARP and neighbor discovery of an interface, and sends frames there.
pub(crate) struct Observer {
    runtime: tokio::runtime::Runtime,
    socket: PacketSocket,
}

impl Observer {
    /// Waits for a frame that `pick` wants, for so long; errors of a link that is down are waited out.
    pub(crate) fn within<T>(&self, time: Duration, mut pick: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        let wait = async {
            let mut room = [0; 2048];
            loop {
                match self.socket.recv(&mut room).await {
                    Ok(length) => {
                        if let Some(found) = pick(&room[..length]) {
                            return found;
                        }
                    }
                    Err(error) => assert_eq!(error.raw_os_error(), Some(100), "{error}"),
                }
            }
        };
        self.runtime.block_on(async { tokio::time::timeout(time, wait).await }).ok()
    }

    /// Waits for a frame that has to come.
    pub(crate) fn wait<T>(&self, what: &str, pick: impl FnMut(&[u8]) -> Option<T>) -> T {
        self.within(PATIENCE, pick).unwrap_or_else(|| panic!("never seen: {what}"))
    }

    /// Sends a whole frame.
    pub(crate) fn send(&self, frame: &[u8]) {
        self.runtime.block_on(self.socket.send(frame)).unwrap();
    }
}
