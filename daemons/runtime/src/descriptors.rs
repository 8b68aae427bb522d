//! File descriptors: as many as the system allows, and some that no client of a port can use up.

use std::os::fd::RawFd;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many are kept for peers, packet sockets, netlink, files and the API server.
const RESERVED: u64 = 64;

/// Raises the soft limit to the hard one; where that is refused, a warning and the limit as it was.
pub fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of file descriptors");
    }
}

/// The first number that is kept; `None` when there are so many that none needs to be.
#[must_use]
pub fn reserved_from() -> Option<RawFd> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    first_reserved(soft)
}

/// With a limit that leaves little anyway, half of it.
fn first_reserved(limit: u64) -> Option<RawFd> {
    RawFd::try_from(limit.saturating_sub(RESERVED).max(limit / 2)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_and_at_most_half_of_them() {
        assert_eq!(first_reserved(1024), Some(960));
        assert_eq!(first_reserved(100), Some(50));
        assert_eq!(first_reserved(u64::MAX), None);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise_limit();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
    }
}
