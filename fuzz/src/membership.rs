//! Properties of the membership engine: its datagrams, its metadata, and sequences of calls.
#![expect(clippy::expect_used, reason = "a property that does not hold has to panic")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use metallb_core::keys::NodeName;
use metallb_core::membership::wire::{Chunk, Datagram, Header, MAX_DATAGRAM_LEN};
use metallb_core::membership::{Arrival, Config, Epoch, Membership, Metadata, Peer, Token};

/// Any octets are refused, or are a datagram that is written back as the same octets. Its header can be read alone.
///
/// # Panics
/// When it is written back as something else.
pub fn datagram(data: &[u8]) {
    let header = Header::parse(data);
    if let Ok((_, length)) = header {
        assert!(length <= data.len());
    }
    let Ok(datagram) = Datagram::parse(data) else { return };
    let mut again = Vec::new();
    datagram.encode(&mut again).expect("what was read can be written");
    assert_eq!(again, data);
    assert_eq!(header.map(|(header, _)| header), Ok(datagram.header()));
    assert!(data.len() <= MAX_DATAGRAM_LEN);
}

/// Any octets are refused, or are metadata that is read back from what it is written as.
///
/// # Panics
/// When it is read back as something else.
pub fn metadata(data: &[u8]) {
    let Ok(metadata) = Metadata::decode(data) else { return };
    // Subnets and claims that were written twice take less room, other fields as much as before.
    let again = metadata.encode().expect("what was read can be written");
    assert_eq!(Metadata::decode(&again), Ok(metadata));
}

/// Any sequence of calls and datagrams, at any times: this node is a member until it leaves, only peers are
/// members besides it, and the work of a call is bounded.
///
/// # Panics
/// When one of these does not hold.
pub fn calls(data: &[u8]) {
    let mut source = Source(data);
    let mut now = start() + Duration::from_secs(60);
    let this = NodeName::new(NAMES[0]);
    let epoch = Epoch::new(u64::from(source.octet() % 4));
    let config = Config::new(this.clone(), epoch, source.octet().into());
    let mut machine = Membership::new(now, config).expect("the name fits");
    let mut known: BTreeMap<NodeName, Peer> = BTreeMap::new();
    let mut left = false;
    while !source.0.is_empty() {
        // Also backwards: the engine has to clamp.
        let step = Duration::from_millis(source.octet().into());
        now = if source.octet() < 16 { now.checked_sub(step).unwrap_or(now) } else { now + step };
        match source.octet() % 8 {
            0 => machine.handle_timeout(now),
            1 => {
                known = source.peers();
                machine.set_peers(now, known.clone());
            }
            2 => {
                let told = Metadata { version: format!("{}", source.octet()).into(), ..Metadata::default() };
                machine.set_metadata(now, told).expect("it is short");
            }
            3 if source.octet() == 0 => {
                left = true;
                machine.leave(now);
            }
            3 => drop(machine.handle_datagram(now, source.arrival(), source.take(60))),
            _ => {
                let (arrival, octets) = (source.arrival(), source.datagram());
                drop(machine.handle_datagram(now, arrival, &octets));
            }
        }
        drain(&mut machine);
        assert!(!(left && machine.members().contains(&this)), "who has left is no member");
        assert!(machine.members().iter().all(|name| *name == this || known.contains_key(name)));
    }
}

fn drain(machine: &mut Membership) {
    let mut octets = Vec::new();
    for sent in 0.. {
        assert!(sent <= 4 * NAMES.len(), "a call sends a few times to each, at most");
        if machine.poll_transmit(&mut octets).is_none() {
            break;
        }
        datagram(&octets);
    }
    while machine.poll_event().is_some() {}
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Takes values from the input; zeros when it is used up.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn name(&mut self) -> &'static str {
        NAMES.get(usize::from(self.octet()) % NAMES.len()).copied().unwrap_or("a")
    }

    fn peers(&mut self) -> BTreeMap<NodeName, Peer> {
        let (listed, ready) = (self.octet(), self.octet());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 7946));
        let names = NAMES.iter().enumerate().filter(|(index, _)| listed & (1 << index) != 0);
        names
            .map(|(index, name)| (NodeName::new(*name), Peer::new(address, ready & (1 << index) != 0)))
            .collect()
    }

    /// Mostly from the address of the peers, at a clock that some epochs are ahead of.
    fn arrival(&mut self) -> Arrival {
        let octet = self.octet();
        let address = if octet < 240 { Ipv4Addr::LOCALHOST } else { Ipv4Addr::BROADCAST };
        Arrival::new(address.into(), Duration::from_nanos(u64::from(octet % 4)))
    }

    /// A datagram that follows the format. Small numbers make it likely that it proves itself.
    fn datagram(&mut self) -> Vec<u8> {
        let (name, flags) = (self.name(), self.octet());
        let (version, offset) = (self.octet(), self.octet());
        let (epoch, sequence, interval) = (self.octet(), self.octet(), self.octet());
        let (receiver, named, challenge) = (self.octet(), self.octet(), self.octet());
        let length = usize::from(self.octet() % 32);
        let part = self.take(length);
        let chunk = Chunk {
            version: version.into(),
            total: u32::from(self.octet()),
            offset: u32::from(offset % 3) * 1_000,
            octets: part,
        };
        let mut octets = Vec::new();
        let datagram = Datagram {
            name,
            epoch: if epoch == 255 { Epoch::new(u64::MAX) } else { Epoch::new(u64::from(epoch % 4)) },
            to: Token { epoch: Epoch::new(u64::from(receiver % 4)), challenge: u32::from(named % 8) },
            challenge: u32::from(challenge % 8),
            sequence: sequence.into(),
            interval: Duration::from_millis(interval.into()),
            leaving: flags & 0xf0 == 0xf0,
            settled: flags & 1 != 0,
            metadata_version: version.into(),
            held: version.into(),
            bitmap: None,
            chunk: (flags & 2 != 0).then_some(chunk),
        };
        datagram.encode(&mut octets).expect("the parts are within the limits");
        octets
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
fn start() -> Instant {
    Instant::now()
}
