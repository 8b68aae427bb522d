//! Keeps `docs/compatibility.md` and these tests in step: its section "Resources" says what they show, and nothing else.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Beginning of a row's first cell, and the tests that show what the row says.
const ROWS: &[(&str, &[&str])] = &[
    (
        "entries, defaults and wrong values of a pool",
        &[
            "pools::an_empty_configuration_is_one",
            "pools::pools_have_metallbs_entries_and_defaults",
            "pools::pools_that_metallb_refuses_are_refused",
            "pools::a_pool_needs_a_name_of_its_own",
            "pools::an_allocation_that_only_has_a_priority_is_for_every_service",
        ],
    ),
    (
        "`namespaceSelectors` that match no namespace",
        &["pools::a_pool_admits_the_namespaces_and_services_that_it_is_for"],
    ),
    (
        "a range from an IPv4 to an IPv6 address",
        &["pools::entries_that_metallb_takes_for_something_else_are_refused"],
    ),
    ("an IPv4 range written as IPv6", &["pools::entries_that_metallb_takes_for_something_else_are_refused"]),
    ("size of a pool of one address", &["pools::an_address_that_is_avoided_is_a_pool_of_none"]),
    (
        "fields, defaults and wrong values of an L2Advertisement",
        &[
            "layer2::advertisements_have_metallbs_meaning",
            "layer2::preferences_add_up_and_an_empty_one_is_for_every_node",
            "layer2::a_preference_that_says_something_twice_is_only_remarked_upon",
            "layer2::advertisements_that_metallb_refuses_are_refused",
        ],
    ),
    (
        "fields, defaults and wrong values of a BGPAdvertisement",
        &[
            "bgp::advertisements_have_metallbs_meaning_and_defaults",
            "bgp::advertisements_choose_pools_by_name_or_label",
            "bgp::advertisements_that_metallb_refuses_are_refused",
            "bgp::an_aggregate_needs_a_network_that_is_large_enough_in_every_entry",
            "bgp::some_services_go_with_the_lengths_that_do_not_roll_up",
        ],
    ),
    (
        "two advertisements with different `localPref`",
        &["bgp::local_preferences_collide_where_metallb_says_so"],
    ),
    (
        "an alias that is defined later",
        &[
            "bgp::only_a_name_may_be_an_alias_that_is_defined_later",
            "bgp::aliases_that_metallb_refuses_are_refused",
        ],
    ),
    ("well-known communities by name", &["bgp::well_known_communities_have_names"]),
    ("an alias that is named like a value", &["bgp::an_alias_that_is_named_like_a_value_does_not_hide_it"]),
    (
        "fields, defaults and wrong values of a BGPPeer",
        &[
            "peers::a_peer_has_metallbs_defaults",
            "peers::the_fields_of_a_peer_mean_what_they_mean_in_metallb",
            "peers::a_peer_may_be_at_the_end_of_an_interface",
            "peers::peers_that_metallb_refuses_are_refused",
            "peers::a_profile_that_is_not_there_does_not_hold_a_peer_back",
        ],
    ),
    (
        "what only FRR, or only the native mode, cannot do",
        &[
            "peers::what_metallb_refuses_for_the_sake_of_frr_is_taken",
            "peers::what_metallbs_native_mode_refuses_is_taken",
        ],
    ),
    ("a hold time above 65 535 s", &["peers::what_no_session_can_have_is_refused"]),
    ("a password of more than 80 octets", &["peers::what_no_session_can_have_is_refused"]),
    (
        "fields, defaults and limits of a BFDProfile",
        &["peers::profiles_have_metallbs_defaults_and_values", "peers::profiles_have_metallbs_limits"],
    ),
];

fn rows() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let page = fs::read_to_string(page).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("Resources\n")).unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.skip(1).map(str::to_owned).collect()
}

/// Names of the tests beside this file, as `file::function`.
fn tests() -> BTreeSet<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compatibility");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(here).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let after = text.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split('(').next());
        found.extend(after.filter(|_| module != "page").map(|name| format!("{module}::{name}")));
    }
    found
}

#[test]
fn each_row_of_the_page_has_tests_and_each_test_its_row() {
    let rows = rows();
    assert!(rows.len() > 10, "{rows:?}");
    for row in &rows {
        let known = ROWS.iter().filter(|(beginning, _)| row.starts_with(beginning));
        assert_eq!(known.count(), 1, "ROWS has no test, or several lists of tests, for the row {row:?}");
    }
    for (beginning, tests) in ROWS {
        assert!(
            rows.iter().any(|row| row.starts_with(beginning)),
            "no row of the page begins with {beginning:?}"
        );
        assert!(!tests.is_empty());
    }
    let named: BTreeSet<String> =
        ROWS.iter().flat_map(|(_, tests)| *tests).map(|&name| name.to_owned()).collect();
    assert_eq!(named, tests(), "left: named in ROWS; right: the tests there are");
}
