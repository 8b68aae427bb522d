//! Keys of sockets: what [`Authentication`] asks of the kernel.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use ipnetwork::IpNetwork;
use socket2::{Domain, Protocol, Socket, Type};

use super::sys;
use super::sys::ao::{self, Deletion, Present};
use crate::session::{AoKeys, Authentication, AuthenticationError};

/// Whether this kernel has TCP-AO.
///
/// # Errors
/// [`AuthenticationError::AoUnsupported`] when it has not, [`AuthenticationError::Refused`] when it does not say.
pub fn probe_tcp_ao() -> Result<(), AuthenticationError> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP));
    let socket = socket.or_else(|_| Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)));
    let socket = socket.map_err(|error| refused(&error))?;
    ao::is_on(socket.as_fd()).map(|_| ()).map_err(|error| ao_refused(&error))
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Dial,
    Listen,
}

/// Gives a socket that is not connected the keys for every host of a prefix.
pub(super) fn install(
    socket: BorrowedFd<'_>,
    hosts: &IpNetwork,
    authentication: &Authentication,
    purpose: Use,
) -> Result<(), AuthenticationError> {
    match authentication {
        Authentication::None => Ok(()),
        Authentication::Md5(key) => {
            sys::set_md5(socket, hosts, key.as_bytes()).map_err(|error| refused(&error))
        }
        Authentication::Ao(keys) => {
            let mut keys = keys.iter().enumerate();
            let add = |(index, key)| ao::add(socket, hosts, key, index == 0 && purpose == Use::Dial);
            keys.try_for_each(add).map_err(|error| ao_refused(&error))
        }
    }
}

/// Takes the keys of a prefix from a listener. Those that never came there do not matter.
pub(super) fn remove(
    socket: BorrowedFd<'_>,
    hosts: &IpNetwork,
    authentication: &Authentication,
) -> Result<(), AuthenticationError> {
    let delete = |result: &mut io::Result<()>, deleted: io::Result<()>| match deleted {
        Err(error) if !is_absence(&error) => *result = Err(error),
        _ => {}
    };
    let mut result = Ok(());
    match authentication {
        Authentication::None => {}
        Authentication::Md5(_) => delete(&mut result, sys::set_md5(socket, hosts, &[])),
        Authentication::Ao(keys) => {
            for key in keys.iter() {
                delete(&mut result, ao::delete(socket, &Present::of(hosts, key), &Deletion::Listener));
            }
        }
    }
    result.map_err(|error| refused(&error))
}

/// Sees to it that an open connection is authenticated as configured, and that it has the keys that are configured
/// now: while it was opened, or waited to be accepted, they may have changed.
pub(super) fn ensure(
    socket: BorrowedFd<'_>,
    remote: IpAddr,
    authentication: &Authentication,
) -> Result<(), AuthenticationError> {
    let Authentication::Ao(keys) = authentication else { return Ok(()) };
    match ao::is_on(socket) {
        Ok(true) => roll_over(socket, &canonical(remote.into()), keys).map_err(|error| ao_refused(&error)),
        Ok(false) => Err(AuthenticationError::NotAuthenticated),
        Err(error) => Err(ao_refused(&error)),
    }
}

/// Brings the keys of an open connection to those that are configured. The peer is asked for the preferred one; we
/// change over when it asks us (RFC 5925 §6.1), or when the key we use is to go.
fn roll_over(socket: BorrowedFd<'_>, host: &IpNetwork, keys: &AoKeys) -> io::Result<()> {
    let present = ao::keys(socket)?;
    let same = |key: &Present, id: (u8, u8)| key.send_id == id.0 && key.receive_id == id.1;
    for key in keys.iter() {
        if !present.iter().any(|old| same(old, (key.send_id(), key.receive_id()))) {
            ao::add(socket, host, key, false)?;
        }
    }
    ao::ask_for(socket, keys.preferred())?;
    for old in &present {
        if keys.iter().any(|key| same(old, (key.send_id(), key.receive_id()))) {
            continue;
        }
        match ao::delete(socket, old, &Deletion::Unused) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                ao::delete(socket, old, &Deletion::Forced(keys.preferred()))?;
            }
            result => result?,
        }
    }
    Ok(())
}

/// IPv4 hosts in their own form, whichever form they were given in: they connect to listeners of IPv4.
pub(super) fn canonical(hosts: IpNetwork) -> IpNetwork {
    let IpNetwork::V6(v6) = hosts else { return hosts };
    let (Some(v4), Some(length)) = (v6.ip().to_ipv4_mapped(), v6.prefix().checked_sub(MAPPED_PREFIX)) else {
        return hosts;
    };
    IpNetwork::new(IpAddr::V4(v4), length).unwrap_or(hosts)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOPROTOOPT))
}

fn ao_refused(error: &io::Error) -> AuthenticationError {
    match error.raw_os_error() {
        Some(libc::ENOPROTOOPT) => AuthenticationError::AoUnsupported,
        _ => refused(error),
    }
}

fn refused(error: &io::Error) -> AuthenticationError {
    AuthenticationError::Refused { errno: error.raw_os_error().unwrap_or(libc::EINVAL) }
}

/// The length of `::ffff:0:0/96`.
const MAPPED_PREFIX: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    // req: T1
    #[test]
    fn mapped_addresses_are_those_of_ipv4() {
        let of = |text: &str| canonical(text.parse().unwrap()).to_string();
        assert_eq!(of("::ffff:192.0.2.1/128"), "192.0.2.1/32");
        assert_eq!(of("::ffff:192.0.2.0/120"), "192.0.2.0/24");
        assert_eq!(of("::ffff:0.0.0.0/96"), "0.0.0.0/0");
        assert_eq!(of("2001:db8::1/128"), "2001:db8::1/128");
        assert_eq!(of("::/0"), "::/0");
        assert_eq!(of("192.0.2.0/24"), "192.0.2.0/24");
    }
}
