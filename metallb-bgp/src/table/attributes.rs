//! What the user says about a route.

use std::collections::BTreeSet;

use crate::session::PeerKey;
use crate::types::{Community, LargeCommunity};

/// The attributes a user chooses for a route; everything else (ORIGIN, AS_PATH, NEXT_HOP) follows
/// from the session it is sent over.
///
/// Values are canonical: communities are sorted and without duplicates, so two sets that mean the
/// same compare equal and share UPDATE messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteAttributes {
    local_pref: Option<u32>,
    med: Option<u32>,
    communities: Vec<Community>,
    large_communities: Vec<LargeCommunity>,
}

impl RouteAttributes {
    /// No attributes: LOCAL_PREF 100 on iBGP, no MED, no communities.
    pub const fn new() -> Self {
        Self { local_pref: None, med: None, communities: Vec::new(), large_communities: Vec::new() }
    }

    /// LOCAL_PREF to send on iBGP sessions (RFC 4271 §5.1.5); never sent on eBGP. `None` is 100.
    #[must_use]
    pub const fn with_local_pref(mut self, local_pref: Option<u32>) -> Self {
        self.local_pref = local_pref;
        self
    }

    /// MULTI_EXIT_DISC (RFC 4271 §5.1.4). `None` sends none.
    #[must_use]
    pub const fn with_med(mut self, med: Option<u32>) -> Self {
        self.med = med;
        self
    }

    /// Standard communities (RFC 1997); sorted and deduplicated here.
    #[must_use]
    pub fn with_communities(mut self, communities: impl IntoIterator<Item = Community>) -> Self {
        let set: BTreeSet<_> = communities.into_iter().collect();
        self.communities = set.into_iter().collect();
        self
    }

    /// Large communities (RFC 8092); sorted and deduplicated here.
    #[must_use]
    pub fn with_large_communities(mut self, communities: impl IntoIterator<Item = LargeCommunity>) -> Self {
        let set: BTreeSet<_> = communities.into_iter().collect();
        self.large_communities = set.into_iter().collect();
        self
    }

    /// LOCAL_PREF for iBGP sessions.
    pub const fn local_pref(&self) -> Option<u32> {
        self.local_pref
    }

    /// MULTI_EXIT_DISC.
    pub const fn med(&self) -> Option<u32> {
        self.med
    }

    /// Standard communities, ascending.
    pub fn communities(&self) -> &[Community] {
        &self.communities
    }

    /// Large communities, ascending.
    pub fn large_communities(&self) -> &[LargeCommunity] {
        &self.large_communities
    }
}

/// One route of a prefix: the peers that are to have it and what they are told.
///
/// The announcements of one prefix should name disjoint sets of peers; where they do not, the
/// first one that names a peer is the one it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The peers this route is for. Peers that are not configured are ignored until they are.
    pub peers: BTreeSet<PeerKey>,
    /// What they are told.
    pub attributes: RouteAttributes,
}
