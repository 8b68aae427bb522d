//! What of everything that is wrong concerns one component.

use metallb_core::{
    config::{ConfigError, InForce, Kind, ObjectId},
    select::{Labels, Selector, none_or_any_matches},
};

use super::{Object, Resources, selector::selectors};
use crate::crd::LabelSelector;

/// The verdict of one component on the configuration, for its `ConfigurationState` and its metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "two lists of sentences")]
pub struct Judgement {
    /// What is not in force as it is written, of what the component judges.
    pub errors: Vec<String>,
    /// What runs nevertheless, and what others judge.
    pub warnings: Vec<String>,
}

impl Judgement {
    /// The controller's: it judges pools, as MetalLB's does, and mentions the rest.
    pub fn of_controller(problems: &[ConfigError]) -> Self {
        Self::new(problems.iter(), |problem| problem.object.kind == Kind::Pool)
    }

    /// The speaker's on a node with these labels: it judges everything but objects that select other nodes, which it does not
    /// mention either. Labels that are not known yet belong to every selector.
    pub fn of_speaker(problems: &[ConfigError], resources: &Resources, labels: Option<&Labels>) -> Self {
        let concerns =
            |problem: &&ConfigError| labels.is_none_or(|labels| resources.selects(&problem.object, labels));
        Self::new(problems.iter().filter(concerns), |_| true)
    }

    /// Whether everything that the component judges is in force as it is written.
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    fn new<'a>(
        problems: impl Iterator<Item = &'a ConfigError>,
        judges: impl Fn(&ConfigError) -> bool,
    ) -> Self {
        let (errors, warnings): (Vec<_>, Vec<_>) =
            problems.partition(|problem| problem.in_force != InForce::Fully && judges(problem));
        let sentences = |found: Vec<&ConfigError>| found.iter().map(ToString::to_string).collect();
        Self { errors: sentences(errors), warnings: sentences(warnings) }
    }
}

impl Resources {
    /// Whether an object concerns a node with these labels. One that cannot be read, or whose selectors cannot, may.
    fn selects(&self, object: &ObjectId, labels: &Labels) -> bool {
        let name = &*object.name;
        match object.kind {
            Kind::Peer => selects(&self.peers, name, labels, |peer| &peer.spec.node_selectors),
            Kind::L2Advertisement => {
                selects(&self.l2_advertisements, name, labels, |found| &found.spec.node_selectors)
            }
            Kind::BgpAdvertisement => {
                selects(&self.bgp_advertisements, name, labels, |found| &found.spec.node_selectors)
            }
            Kind::Pool | Kind::Community | Kind::BfdProfile => true,
        }
    }
}

fn selects<K>(
    objects: &[Object<K>],
    name: &str,
    labels: &Labels,
    node_selectors: impl Fn(&K) -> &Vec<LabelSelector>,
) -> bool {
    let mut named = objects.iter().filter(|object| object.meta.name == name);
    named.any(|object| match &object.object {
        Ok(object) => {
            let read = selectors(node_selectors(object));
            let read: Result<Vec<Selector>, _> = read.iter().map(Selector::new).collect();
            read.map_or(true, |read| none_or_any_matches(&read, labels))
        }
        Err(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use metallb_core::{config::Config, keys::Created};
    use serde_json::json;

    use super::*;
    use crate::{
        convert::configure,
        crd::{self, DecodeError},
    };

    fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: &serde_json::Value) -> Object<K> {
        let version = if kind == "BGPPeer" { "v1beta2" } else { "v1beta1" };
        let object = json!({
            "apiVersion": format!("metallb.io/{version}"), "kind": kind, "metadata": { "name": name }, "spec": spec,
        });
        let object: Result<K, DecodeError> = crd::decode(object);
        Object {
            meta: metallb_core::config::Meta::new(name.to_owned(), Created(0)),
            object: object.map(Arc::new),
        }
    }

    fn labels(rack: &str) -> Labels {
        [("rack".to_owned(), rack.to_owned())].into_iter().collect()
    }

    /// A pool and three peers that are wrong: of rack 1, of every rack, and one with selectors that cannot be read.
    fn wrong() -> Resources {
        let peer = |name: &str, selectors: serde_json::Value| {
            object(
                "BGPPeer",
                name,
                &json!({
                    "myASN": 64500, "peerASN": 64501, "peerAddress": "no address", "nodeSelectors": selectors,
                }),
            )
        };
        let mut resources = Resources::default();
        resources.pools.push(object("IPAddressPool", "web", &json!({ "addresses": ["192.0.2.300/24"] })));
        resources.peers.push(peer("first", json!([{ "matchLabels": { "rack": "1" } }])));
        resources.peers.push(peer("every", json!([])));
        resources
            .peers
            .push(peer("odd", json!([{ "matchExpressions": [{ "key": "rack", "operator": "Is" }] }])));
        resources
    }

    fn count(sentences: &[String], name: &str) -> usize {
        sentences.iter().filter(|sentence| sentence.contains(&format!("\"{name}\""))).count()
    }

    #[test]
    fn a_peer_concerns_the_speakers_that_it_selects_and_the_controller_judges_pools() {
        let resources = wrong();
        let problems = configure(&resources, &Config::default()).errors;
        let first = Judgement::of_speaker(&problems, &resources, Some(&labels("1")));
        let other = Judgement::of_speaker(&problems, &resources, Some(&labels("2")));
        let controller = Judgement::of_controller(&problems);
        let errors = |judgement: &Judgement| {
            ["web", "first", "every", "odd"].map(|name| count(&judgement.errors, name) > 0)
        };
        assert_eq!(errors(&first), [true, true, true, true]);
        assert_eq!(errors(&other), [true, false, true, true]);
        assert_eq!(errors(&controller), [true, false, false, false]);
        assert_eq!((count(&other.warnings, "first"), count(&controller.warnings, "first") > 0), (0, true));
        assert_eq!(
            Judgement::of_speaker(&problems, &resources, None),
            first,
            "what is not known may be selected"
        );
    }

    #[test]
    fn what_runs_with_a_lack_is_valid_with_a_warning() {
        let mut resources = Resources::default();
        let peer = json!({
            "myASN": 64500, "peerASN": 64501, "peerAddress": "192.0.2.1", "bfdProfile": "missing",
        });
        resources.peers.push(object("BGPPeer", "router", &peer));
        let built = configure(&resources, &Config::default());
        let problems: Vec<ConfigError> = built.errors.into_iter().chain(built.warnings).collect();
        let judgement = Judgement::of_speaker(&problems, &resources, Some(&labels("1")));
        assert!(judgement.is_valid(), "{judgement:?}");
        assert_eq!(count(&judgement.warnings, "missing"), 1, "{judgement:?}");
    }
}
