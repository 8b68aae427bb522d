//! Who announces what: facts in, differences out.
//!
//! An [`Engine`] runs on every node. It is told everything that matters ([facts](crate::facts), the
//! [configuration](crate::config), who lives and which interfaces nodes have) and decides what this node
//! announces. All nodes that know the same facts agree: of every Layer 2 address there is exactly one owner.
//!
//! [`Engine::evaluate`] yields [`Change`]s, the differences to what it yielded before. The work is that of
//! what was touched. Every decision has a typed reason ([`Rejection`], [`Decision`], [`AnnounceProblem`]),
//! which [`Engine::explain`] shows in full.
//!
//! ```
//! use metallb_core::announce::{Change, Engine, InterfaceScope, Options};
//! use metallb_core::config::{Config, Input, L2AdvertisementInput, Meta, PoolInput};
//! use metallb_core::facts::{Demand, Endpoints, Node, Request, Service};
//! use metallb_core::keys::{Created, Family, NodeName, ServiceKey};
//! use metallb_core::select::Labels;
//! use std::sync::Arc;
//!
//! let mut input = Input::default();
//! let meta = Meta::new("web", Created(0));
//! let addresses = vec!["192.0.2.0/24".to_owned()];
//! input.pools.push(PoolInput { meta: meta.clone(), addresses, ..PoolInput::default() });
//! input.l2_advertisements.push(L2AdvertisementInput { meta, ..L2AdvertisementInput::default() });
//! let built = Config::build(&input, &Config::default());
//!
//! let this = NodeName::new("node-a");
//! let mut engine = Engine::new(this.clone(), Options::default());
//! engine.set_config(Arc::new(built.config));
//! engine.apply_node(Node::new(this.clone(), Labels::new()));
//! let key = ServiceKey::new("default", "shop");
//! let mut service = Service::new(key.clone(), Created(0), Demand::Addresses(Request::single(Family::V4)));
//! service.assigned = vec!["192.0.2.10".parse()?];
//! engine.apply_service(service);
//! engine.apply_endpoints(Endpoints::ready(key, [this].into(), false));
//!
//! let announce = Change::L2 { address: "192.0.2.10".parse()?, state: Some(InterfaceScope::All) };
//! assert!(engine.evaluate().contains(&announce));
//! assert!(engine.evaluate().is_empty());
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

mod audit;
mod bgp;
mod change;
mod coverage;
mod delivery;
mod emit;
mod engine;
mod explain;
mod groups;
mod l2;
mod nodes;
mod readiness;
mod reasons;
mod world;

pub use audit::Advertised;
pub use change::{AnnounceProtocol, Announced, Change, InterfaceScope, Route, RouteAttributes};
pub use delivery::{Deliveries, PATIENCE_WITH_SESSIONS, Receipts};
pub use engine::{Engine, Options};
pub use explain::{
    AddressExplanation, AdvertisementExplanation, BgpExplanation, Explanation, Layer2Explanation, NodeVerdict,
};
pub use l2::Ownership;
pub use nodes::Liveness;
pub use reasons::{AnnounceProblem, Decision, Rejection};
