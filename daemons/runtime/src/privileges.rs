//! Rights of the process: what a daemon does not need is given up before it reads or opens anything.
//!
//! Capabilities, the chance to get more of them (`no_new_privs`, bounding and ambient set), and the right of other
//! processes of the same user to read its memory, which holds secrets. Capabilities belong to threads: this comes before
//! the first one is started, and those that follow inherit what is left.

use rustix::io;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// A capability of Linux that a daemon may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Packet sockets for ARP and NDP, and, before Linux 5.7, sockets that are bound to an interface.
    NetRaw,
    /// Listening on a port below 1024.
    NetBindService,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::NetRaw, Self::NetBindService];

    /// The name as in a container's `securityContext`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetRaw => "NET_RAW",
            Self::NetBindService => "NET_BIND_SERVICE",
        }
    }

    const fn flag(self) -> CapabilitySet {
        match self {
            Self::NetRaw => CapabilitySet::NET_RAW,
            Self::NetBindService => CapabilitySet::NET_BIND_SERVICE,
        }
    }
}

/// [`Capability::NetBindService`] if one of the ports needs it; 0 is none.
pub fn for_ports(ports: impl IntoIterator<Item = u16>) -> Option<Capability> {
    ports.into_iter().any(|port| (1..FIRST_FREE).contains(&port)).then_some(Capability::NetBindService)
}

/// Gives up everything but `needed`, as far as it is there: that something is missing, whoever needs it says. What cannot
/// be given up is a warning, because the daemon works with more rights as well.
pub fn give_up_all_but(needed: &[Capability]) {
    let keep = needed.iter().fold(CapabilitySet::empty(), |set, capability| set | capability.flag());
    let steps: [(&str, io::Result<()>); 4] = [
        ("PR_SET_DUMPABLE", set_dumpable_behavior(DumpableBehavior::NotDumpable)),
        ("PR_SET_NO_NEW_PRIVS", set_no_new_privs(true)),
        ("PR_CAP_AMBIENT", clear_ambient_capability_set()),
        ("capset", drop_capabilities(keep)),
    ];
    for (step, result) in steps {
        if let Err(error) = result {
            tracing::warn!(step, %error, "cannot give up rights that are not needed");
        }
    }
}

fn drop_capabilities(keep: CapabilitySet) -> io::Result<()> {
    let present = capabilities(None)?;
    // Without this one the bounding set stays, which means nothing after `no_new_privs`.
    if present.effective.contains(CapabilitySet::SETPCAP) {
        let all = (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit));
        // The kernel knows no more than it has numbered, and refuses the next.
        let known = all.map_while(|one| Some((one, capability_is_in_bounding_set(one).ok()?)));
        for (one, _) in known.filter(|(one, is_there)| *is_there && !keep.contains(*one)) {
            remove_capability_from_bounding_set(one)?;
        }
    }
    set_capabilities(None, left(present, keep))
}

/// What remains of what is there.
fn left(present: CapabilitySets, keep: CapabilitySet) -> CapabilitySets {
    let permitted = present.permitted & keep;
    CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() }
}

/// The first port that everybody may listen on, unless the system says otherwise.
const FIRST_FREE: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(effective: CapabilitySet, permitted: CapabilitySet) -> CapabilitySets {
        CapabilitySets { effective, permitted, inheritable: permitted }
    }

    #[test]
    fn only_what_is_needed_and_there_remains() {
        let (raw, none) = (CapabilitySet::NET_RAW, CapabilitySet::empty());
        let all = CapabilitySet::from_bits_retain((1 << 41) - 1);
        let expect = |kept| CapabilitySets { effective: kept, permitted: kept, inheritable: none };
        assert_eq!(left(sets(all, all), raw), expect(raw));
        assert_eq!(left(sets(all, all), none), expect(none));
        assert_eq!(left(sets(none, none), raw), expect(none), "what is missing stays missing");
        assert_eq!(left(sets(none, all), raw), expect(raw), "what is permitted is made effective");
    }

    #[test]
    fn low_ports_need_a_capability() {
        assert_eq!(for_ports([0, 1024, 7472]), None);
        assert_eq!(for_ports([7472, 179]), Some(Capability::NetBindService));
        assert_eq!(for_ports([1023]), Some(Capability::NetBindService));
    }

    #[test]
    fn a_thread_gives_up_its_rights() {
        std::thread::spawn(|| {
            give_up_all_but(&[]);
            let now = capabilities(None).unwrap();
            assert_eq!((now.effective, now.permitted), (CapabilitySet::empty(), CapabilitySet::empty()));
            assert!(rustix::thread::no_new_privs().unwrap());
            // Again, with nothing left to give up.
            give_up_all_but(&[Capability::NetRaw]);
            assert_eq!(capabilities(None).unwrap(), now);
        })
        .join()
        .unwrap();
    }
}
