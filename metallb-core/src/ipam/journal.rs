//! What has changed in the allocator since somebody asked: who may be helped by it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::claim::Sharing;
use crate::keys::{Family, NamespaceName, PoolName};

/// What a namespace may still have of a pool that limits it.
pub(super) type Room = (PoolName, NamespaceName);

/// Kept only when somebody will ask, see [`Journal::keep`].
#[derive(Debug, Default)]
pub(super) struct Journal {
    kept: bool,
    addresses: BTreeSet<IpAddr>,
    freed: BTreeSet<(PoolName, Family)>,
    sharing: BTreeSet<Arc<Sharing>>,
    rooms: BTreeSet<Room>,
    /// Whether more than the numbers may have changed: who uses the pool, and whose addresses it contains.
    usage: BTreeMap<PoolName, bool>,
}

impl Journal {
    /// A journal that is written; the default one is not.
    pub(super) fn keep() -> Self {
        Self { kept: true, ..Self::default() }
    }

    /// Somebody has left the address, or it can be shared by others now.
    pub(super) fn left(&mut self, address: IpAddr) {
        if self.kept {
            self.addresses.insert(address);
        }
    }

    /// The pool has a new free address.
    pub(super) fn freed(&mut self, pool: &PoolName, family: Family) {
        if self.kept {
            self.freed.insert((pool.clone(), family));
        }
    }

    /// An address can be shared under this sharing, or has more free ports.
    pub(super) fn shareable(&mut self, sharing: &Arc<Sharing>) {
        if self.kept && !self.sharing.contains(sharing) {
            self.sharing.insert(Arc::clone(sharing));
        }
    }

    /// A namespace holds less of a pool that limits that.
    pub(super) fn room(&mut self, pool: &PoolName, namespace: &str) {
        if self.kept {
            self.rooms.insert((pool.clone(), NamespaceName::new(namespace)));
        }
    }

    /// How much of the pool is in use has changed.
    pub(super) fn usage(&mut self, pool: &PoolName) {
        if self.kept && !self.usage.contains_key(pool) {
            self.usage.insert(pool.clone(), false);
        }
    }

    /// Others than before use the pool, or other addresses of it are somebody's own.
    pub(super) fn users(&mut self, pool: &PoolName) {
        if self.kept && self.usage.get(pool) != Some(&true) {
            self.usage.insert(pool.clone(), true);
        }
    }

    pub(super) fn take_addresses(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.addresses)
    }

    pub(super) fn take_freed(&mut self) -> BTreeSet<(PoolName, Family)> {
        std::mem::take(&mut self.freed)
    }

    pub(super) fn take_rooms(&mut self) -> BTreeSet<Room> {
        std::mem::take(&mut self.rooms)
    }

    pub(super) fn take_sharing(&mut self) -> BTreeSet<Arc<Sharing>> {
        std::mem::take(&mut self.sharing)
    }

    /// A pool whose use may have changed, and whether more than the numbers has.
    pub(super) fn pop_usage(&mut self) -> Option<(PoolName, bool)> {
        self.usage.pop_first()
    }
}
