//! The `ConfigurationState` of one component.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Identity, Target, Write, Writer, rewritten_by,
    status::{Component, Found, OwnKind, configuration_state, contains, without_leftovers},
};
use crate::{
    convert::Judgement,
    crd::{Condition, ConfigurationState, ConfigurationStateStatus},
    watch::{ObjectKey, Store, Tracked},
};

/// A `ConfigurationState` as it stands in the cluster.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StateRecord {
    identity: Identity,
    labels: Value,
    status: ConfigurationStateStatus,
    rewritten_by: Option<Arc<str>>,
}

impl StateRecord {
    /// Takes what is needed.
    pub fn cut(object: &ConfigurationState) -> Self {
        Self {
            identity: Identity::of(&object.metadata),
            labels: json!(object.metadata.labels),
            status: object.status.clone().unwrap_or_default(),
            rewritten_by: rewritten_by(&object.metadata),
        }
    }
}

impl Tracked for StateRecord {
    fn differs(&self, previous: &Self) -> bool {
        self != previous
    }
}

/// What a write of a `ConfigurationState` was decided on.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "all there can be")]
pub enum StateFound {
    /// It is not known what stands there: it is read first.
    Unknown,
    /// There was none.
    Nothing,
    /// There was this.
    State {
        /// The object.
        found: Found,
        /// The conditions that are to stay beside ours, if some have to go that nobody updates any more.
        kept: Option<Vec<Condition>>,
    },
}

/// Keeps the `ConfigurationState` of one component as it shall be, whoever changes or deletes it.
#[derive(Debug)]
pub struct StateKeeper {
    component: Component,
    key: ObjectKey,
    store: Store<StateRecord>,
    /// What was written last, where it may not be watched.
    blind: Option<ConfigurationStateStatus>,
}

impl StateKeeper {
    /// For a component whose state in `namespace` is watched in `store`.
    pub fn new(component: Component, namespace: &str, store: Store<StateRecord>) -> Self {
        let key = ObjectKey::namespaced(namespace, component.state_name());
        Self { component, key, store, blind: None }
    }

    /// Compares what should stand there with what the watch shows, and has the difference written. While neither is known
    /// what stands there nor that it may not be watched, nothing is written.
    pub fn settle(&mut self, writer: &Writer, judgement: &Judgement, now: Timestamp) {
        if self.store.is_synced() {
            let found = self.store.get(&self.key);
            let target = Target::Own(OwnKind::Configuration, self.component.state_name());
            match plan(&self.component, judgement, found.as_deref(), now) {
                Some(write) => writer.submit(write),
                None => writer.cancel(&target),
            }
        } else if self.store.is_settled() {
            let before = self.blind.as_ref();
            let status = configuration_state(&self.component, judgement, before, now);
            if before != Some(&status) {
                self.blind = Some(status.clone());
                let component = self.component.clone();
                writer.submit(Write::ConfigurationState { component, status, found: StateFound::Unknown });
            }
        }
    }
}

/// What to write so that the state of a component tells the judgement: nothing when it does already.
pub fn plan(
    component: &Component,
    judgement: &Judgement,
    found: Option<&StateRecord>,
    now: Timestamp,
) -> Option<Write> {
    replan(component, &configuration_state(component, judgement, None, now), found)
}

/// The same for a content that was decided without a look at what stands there: a verdict that has not changed keeps its
/// time.
pub(super) fn replan(
    component: &Component,
    status: &ConfigurationStateStatus,
    found: Option<&StateRecord>,
) -> Option<Write> {
    let (component, mut status) = (component.clone(), status.clone());
    let Some(record) = found else {
        return Some(Write::ConfigurationState { component, status, found: StateFound::Nothing });
    };
    let mut before = record.status.clone();
    before.conditions.retain(|condition| condition.kind == component.condition());
    for (condition, before) in status.conditions.iter_mut().zip(&before.conditions) {
        if condition.status == before.status {
            condition.last_transition_time = before.last_transition_time.clone();
        }
    }
    let kept = without_leftovers(&record.status, &status);
    let is_labelled = contains(&record.labels, &component.labels());
    if before == status && kept.is_none() && is_labelled {
        return None;
    }
    let (identity, rewritten_by) = (record.identity.clone(), record.rewritten_by.clone());
    let found = StateFound::State { found: Found { identity, is_labelled, rewritten_by }, kept };
    Some(Write::ConfigurationState { component, status, found })
}

#[cfg(test)]
mod tests {
    use metallb_core::keys::NodeName;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn component() -> Component {
        Component::Speaker(NodeName::new("n1"))
    }

    fn wrong(errors: &[&str]) -> Judgement {
        Judgement { errors: errors.iter().map(|error| (*error).to_owned()).collect(), warnings: Vec::new() }
    }

    /// As it stands after a write.
    fn record(write: &Write) -> StateRecord {
        let Write::ConfigurationState { component, status, .. } = write else { panic!("a state") };
        let (identity, labels) = (Identity::new("u", "1"), component.labels());
        StateRecord { identity, labels, status: status.clone(), rewritten_by: None }
    }

    #[test]
    fn nothing_is_written_twice_and_what_others_change_or_delete_is_written_again() {
        let first = plan(&component(), &wrong(&["one"]), None, at(1)).unwrap();
        let stands = record(&first);
        assert_eq!(plan(&component(), &wrong(&["one"]), Some(&stands), at(2)), None);
        let mut edited = stands.clone();
        edited.status.error_summary = "all is well".to_owned();
        let again = plan(&component(), &wrong(&["one"]), Some(&edited), at(3)).unwrap();
        assert_eq!(record(&again).status, stands.status, "with the time that it had");
        edited.status = ConfigurationStateStatus::default();
        assert!(plan(&component(), &wrong(&["one"]), Some(&edited), at(3)).is_some());
        let mut unlabelled = stands;
        unlabelled.labels = json!({});
        assert!(plan(&component(), &wrong(&["one"]), Some(&unlabelled), at(3)).is_some());
    }

    #[test]
    fn errors_that_are_mended_one_by_one_show_one_by_one_and_the_time_is_of_the_verdict() {
        let mut stands = record(&plan(&component(), &wrong(&["one", "two"]), None, at(1)).unwrap());
        for (errors, second, since) in [(&["two"][..], 2, 1), (&[], 3, 3), (&["three"], 4, 4)] {
            stands = record(&plan(&component(), &wrong(errors), Some(&stands), at(second)).unwrap());
            assert_eq!(stands.status.error_summary, errors.join("\n"));
            assert_eq!(stands.status.conditions[0].last_transition_time.0, at(since));
        }
    }

    #[test]
    fn conditions_of_parts_that_are_not_there_go_and_those_of_others_stay() {
        let mut stands = record(&plan(&component(), &wrong(&[]), None, at(1)).unwrap());
        let mut other = stands.status.conditions[0].clone();
        other.kind = "Pretty".to_owned();
        let mut leftover = other.clone();
        leftover.kind = "nodeReconcilerValid".to_owned();
        stands.status.conditions.push(other.clone());
        assert_eq!(plan(&component(), &wrong(&[]), Some(&stands), at(2)), None);
        stands.status.conditions.push(leftover);
        let write = plan(&component(), &wrong(&[]), Some(&stands), at(2)).unwrap();
        let Write::ConfigurationState { found: StateFound::State { kept, .. }, .. } = write else {
            panic!("a state that is known")
        };
        assert_eq!(kept.map(|kept| kept.len()), Some(2));
    }
}
