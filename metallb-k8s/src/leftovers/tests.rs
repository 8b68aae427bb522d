use proptest::prelude::*;

use super::*;

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the base of virtual time")]
    Instant::now()
}

fn nodes<const N: usize>(names: [&str; N]) -> BTreeSet<NodeLabel> {
    names.into_iter().map(str::to_owned).collect()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_node_that_is_gone_leaves_nothing_and_one_without_a_speaker_is_waited_for() {
    let (mut leftovers, now) = (Leftovers::new(), start());
    let all = Present::new(["a", "b", "c"], ["a", "b", "c"]);
    assert_eq!(leftovers.observe(now, &all), nodes([]));
    let now = now + SECOND;
    let without = Present::new(["b", "c"], ["c"]);
    assert_eq!(leftovers.observe(now, &without), nodes([]), "the watch of Pods may be ahead");
    assert_eq!(leftovers.observe(now + GONE_PATIENCE, &without), nodes(["a"]));
    leftovers.swept("a");
    let almost = now + NODE_PATIENCE.saturating_sub(SECOND);
    assert_eq!(leftovers.observe(almost, &without), nodes([]));
    assert_eq!(leftovers.observe(now + NODE_PATIENCE, &without), nodes(["b"]));
    assert_eq!(leftovers.observe(now + NODE_PATIENCE + SECOND, &without), nodes(["b"]), "until it is swept");
}

#[test]
fn a_pod_on_a_node_that_is_gone_keeps_what_it_wrote() {
    let (mut leftovers, now) = (Leftovers::new(), start());
    let present = Present::new([], ["a"]);
    for second in 0..3600 {
        assert_eq!(leftovers.observe(now + SECOND * second, &present), nodes([]));
    }
}

#[test]
fn a_speaker_that_comes_back_is_waited_for_anew() {
    let (mut leftovers, now) = (Leftovers::new(), start());
    let (with, without) = (Present::new(["a"], ["a"]), Present::new(["a"], []));
    leftovers.observe(now, &with);
    leftovers.observe(now + SECOND, &without);
    leftovers.observe(now + NODE_PATIENCE, &with);
    assert_eq!(leftovers.observe(now + NODE_PATIENCE + SECOND * 2, &without), nodes([]));
}

#[test]
fn what_an_earlier_leader_did_not_see_to_is_found_by_its_label() {
    let (mut leftovers, now) = (Leftovers::new(), start());
    let long = format!("{}.example.com", "a".repeat(200));
    leftovers.name(label_value(&long));
    leftovers.name("gone".to_owned());
    let present = Present::new([long.as_str()], [long.as_str()]);
    leftovers.observe(now, &present);
    assert_eq!(leftovers.observe(now + GONE_PATIENCE, &present), nodes(["gone"]));
}

proptest! {
    #[test]
    fn nothing_of_a_node_with_a_speaker_is_ever_removed_and_all_of_others_in_the_end(
        steps in proptest::collection::vec((0_u64..400, 0_u8..8, 0_u8..8), 1..60),
    ) {
        let (mut leftovers, mut now) = (Leftovers::new(), start());
        let chosen = |bits: u8| ["a", "b", "c"].into_iter().enumerate().filter(move |(bit, _)| bits & (1 << bit) != 0).map(|(_, name)| name);
        let (mut ever, mut last) = (BTreeSet::new(), Present::default());
        for (seconds, existing, speaking) in steps {
            now += Duration::from_secs(seconds);
            last = Present::new(chosen(existing), chosen(speaking));
            ever.extend(last.speakers.iter().cloned());
            let due = leftovers.observe(now, &last);
            prop_assert!(due.is_disjoint(&last.speakers));
            prop_assert!(due.is_subset(&ever));
        }
        let due = leftovers.observe(now + NODE_PATIENCE, &last);
        let expected: BTreeSet<_> = ever.difference(&last.speakers).cloned().collect();
        prop_assert_eq!(due, expected);
    }
}
