//! Answers ARP and neighbor discovery for the addresses given as arguments, until interrupted.
//!
//! `cargo run -p metallb-arp --features linux --example answer -- 192.0.2.1 2001:db8::1`

use std::net::IpAddr;

use metallb_arp::io::linux::{Driver, Event, Options};
use metallb_arp::responder::Scope;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (driver, mut events) = Driver::start(Options::new(0))?;
    for argument in std::env::args().skip(1) {
        let address: IpAddr = argument.parse().map_err(|_| format!("{argument:?} is not an IP address"))?;
        driver.announce(address, Scope::All)?;
    }
    while let Some(event) = events.recv().await {
        match event {
            Event::Interfaces(all) => {
                let names: Vec<&str> = all.iter().map(|interface| interface.name.as_str()).collect();
                println!("announcing on {}", names.join(", "));
            }
            Event::Conflict { address, interface, mac, .. } => {
                println!("{mac} on {interface} claims {address} too");
            }
            other => eprintln!("{other:?}"),
        }
    }
    Ok(())
}
