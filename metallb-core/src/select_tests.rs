use super::*;

fn mk(labels: &[(&str, &str)], expressions: &[(&str, &str, &[&str])]) -> SelectorInput {
    SelectorInput {
        match_labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        match_expressions: expressions
            .iter()
            .map(|(key, operator, values)| ExpressionInput {
                key: (*key).into(),
                operator: (*operator).into(),
                values: values.iter().map(|v| (*v).into()).collect(),
            })
            .collect(),
    }
}

fn selector(labels: &[(&str, &str)], expressions: &[(&str, &str, &[&str])]) -> Selector {
    Selector::new(&mk(labels, expressions)).unwrap()
}

fn labels(labels: &[(&str, &str)]) -> Labels {
    labels.iter().copied().collect()
}

#[test]
fn every_operator_means_what_kubernetes_says() {
    let red = labels(&[("color", "red")]);
    let none = Labels::new();
    let cases: [(&str, &[&str], bool, bool); 6] = [
        ("In", &["red", "blue"], true, false),
        ("In", &["blue"], false, false),
        ("NotIn", &["blue"], true, true),
        ("NotIn", &["red"], false, true),
        ("Exists", &[], true, false),
        ("DoesNotExist", &[], false, true),
    ];
    for (operator, values, on_red, on_none) in cases {
        let selector = selector(&[], &[("color", operator, values)]);
        assert_eq!(selector.matches(&red), on_red, "{operator} {values:?} on red");
        assert_eq!(selector.matches(&none), on_none, "{operator} {values:?} on no label");
    }
}

#[test]
fn all_requirements_of_one_selector_must_hold() {
    let both = selector(&[("a", "1")], &[("b", "Exists", &[])]);
    assert!(both.matches(&labels(&[("a", "1"), ("b", "")])));
    assert!(!both.matches(&labels(&[("a", "1")])));
    assert!(!both.matches(&labels(&[("b", "")])));
}

#[test]
fn an_empty_list_is_read_by_the_rule_that_is_asked_for() {
    assert!(none_or_any_matches(&[], &Labels::new()));
    assert!(!any_matches(&[], &Labels::new()));
    assert!(any_matches(&[Selector::default()], &Labels::new()), "an empty selector matches everything");
}

#[test]
fn wrong_selectors_say_what_is_wrong() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a str, &'a str, &'a [&'a str])], &'a str);
    let cases: [Case<'_>; 10] = [
        (&[], &[("a", "in", &["x"])], "is not an operator"),
        (&[], &[("a", "In", &[])], "needs values"),
        (&[], &[("a", "Exists", &["x"])], "takes no values"),
        (&[], &[("a", "In", &["x", "x"])], "listed twice"),
        (&[], &[("a", "In", &["x", "y"]), ("a", "In", &["y", "x"])], "\"a in (x,y)\" is listed twice"),
        (&[], &[("a", "Exists", &[]), ("b", "Exists", &[]), ("a", "Exists", &[])], "\"a\" is listed twice"),
        (&[("a b", "x")], &[], "not a label key"),
        (&[("", "x")], &[], "not a label key"),
        (&[("a", "x y")], &[], "cannot be a label value"),
        (&[("a", "x"), ("a", "y")], &[], "listed twice"),
    ];
    for (labels, expressions, expected) in cases {
        let error = Selector::new(&mk(labels, expressions)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} should contain {expected:?}");
    }
    assert!(Selector::new(&mk(&[("node-role.kubernetes.io/control-plane", "")], &[])).is_ok());
    assert!(Selector::new(&mk(&[("Bad.Prefix/x", "")], &[])).is_err());
}

#[test]
fn a_label_and_an_expression_may_say_the_same() {
    let both = selector(&[("a", "x")], &[("a", "In", &["x"]), ("a", "Exists", &[])]);
    assert_eq!(both.to_string(), "a=x,a");
    assert!(both.matches(&labels(&[("a", "x")])));
}

#[test]
fn selectors_are_disjoint_only_when_no_labels_can_match_both() {
    let rack1 = selector(&[("rack", "1")], &[]);
    let rack2 = selector(&[("rack", "2")], &[]);
    let zone = selector(&[("zone", "a")], &[]);
    let no_rack = selector(&[], &[("rack", "DoesNotExist", &[])]);
    let not_rack1 = selector(&[], &[("rack", "NotIn", &["1"])]);
    assert!(rack1.is_disjoint_from(&rack2));
    assert!(!rack1.is_disjoint_from(&zone));
    assert!(rack1.is_disjoint_from(&no_rack));
    assert!(rack1.is_disjoint_from(&not_rack1));
    assert!(!rack2.is_disjoint_from(&not_rack1));
    assert!(!no_rack.is_disjoint_from(&not_rack1));
    assert!(!selector(&[("rack", "1")], &[("rack", "DoesNotExist", &[])]).is_satisfiable());
}

#[test]
fn selectors_read_like_kubectl_writes_them() {
    let selector =
        selector(&[("a", "1")], &[("b", "In", &["y", "x"]), ("c", "Exists", &[]), ("d", "NotIn", &["z"])]);
    assert_eq!(selector.to_string(), "a=1,b in (x,y),c,d notin (z)");
    assert_eq!(Selector::default().to_string(), "everything");
}
