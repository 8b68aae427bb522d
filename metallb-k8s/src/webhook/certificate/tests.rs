use super::*;

const HOST: &str = "metallb-webhook-service.metallb-system.svc";

fn day(number: i64) -> Timestamp {
    let start: Timestamp = "2026-12-01T08:00:00Z".parse().unwrap();
    start + jiff::SignedDuration::from_hours(24 * number)
}

fn made_by_metallb() -> Material {
    let [ca_crt, ca_key, tls_crt, tls_key] = [
        include_str!("../../../tests/testdata/webhook/ca.crt"),
        include_str!("../../../tests/testdata/webhook/ca.key"),
        include_str!("../../../tests/testdata/webhook/tls.crt"),
        include_str!("../../../tests/testdata/webhook/tls.key"),
    ]
    .map(str::to_owned);
    Material { authority: ca_crt, authority_key: ca_key, certificate: tls_crt, key: tls_key }
}

fn made() -> Material {
    issue(day(0), HOST, None).unwrap()
}

fn decided(now: Timestamp, material: &Material) -> Plan {
    plan(now, Some(Some(material)), HOST, 0)
}

#[track_caller]
fn assert_flaw(material: &Material, flaw: Flaw) {
    assert_eq!(decided(day(0), material), Plan::Rotate { flaw });
}

#[test]
fn what_is_not_there_is_made() {
    assert_eq!(plan(day(0), None, HOST, 0), Plan::Create);
    assert_eq!(plan(day(0), Some(None), HOST, 0), Plan::Fill);
}

#[test]
fn a_new_certificate_is_kept_until_ninety_days_before_its_end() {
    let material = made();
    let Plan::Keep { until } = decided(day(0), &material) else { panic!("{material:?}") };
    assert!(day(274) < until && until < day(277), "{until}");
    assert!(matches!(decided(day(274), &material), Plan::Keep { .. }));
    assert_eq!(decided(day(277), &material), Plan::Rotate { flaw: Flaw::Expires });
    assert!(material.is_usable(HOST, day(364)) && !material.is_usable(HOST, day(367)));
}

#[test]
fn several_controllers_renew_at_different_times_within_a_day() {
    let material = made();
    let until = |seed| match plan(day(0), Some(Some(&material)), HOST, seed) {
        Plan::Keep { until } => until,
        other => panic!("{other:?}"),
    };
    let all: std::collections::BTreeSet<_> = (0..50).map(|seed| until(seed * 0x9e37_79b9)).collect();
    assert!(all.len() > 40);
    let spread = all.last().unwrap().duration_since(*all.first().unwrap());
    assert!(spread < jiff::SignedDuration::from_hours(24));
}

#[test]
fn a_certificate_is_renewed_by_the_authority_that_is_trusted_already() {
    let material = made();
    let renewed = issue(day(280), HOST, Some(&material)).unwrap();
    assert_eq!(renewed.authority, material.authority);
    assert_ne!(renewed.certificate, material.certificate);
    assert!(matches!(decided(day(280), &renewed), Plan::Keep { .. }));
}

#[test]
fn an_authority_near_its_end_is_replaced_and_stays_trusted_meanwhile() {
    let old = made();
    let late = day(3650 - 400);
    let new = issue(late, HOST, Some(&old)).unwrap();
    assert_ne!(new.authority, old.authority);
    assert!(new.authority.ends_with(old.authority.as_str()), "{}", new.authority);
    assert!(matches!(decided(late, &new), Plan::Keep { .. }));
    let shown = Material { authority: new.authority.clone(), ..issue(late, HOST, None).unwrap() };
    assert!(!shown.is_usable(HOST, late), "a stranger's certificate");
    let before = issue(day(2900), HOST, Some(&old)).unwrap();
    assert_eq!(before.authority, old.authority);
    let before = Material { authority: new.authority.clone(), ..before };
    assert!(before.is_usable(HOST, day(3252)), "the certificate before is still trusted");
    let next = issue(day(3650 + 3250), HOST, Some(&new)).unwrap();
    assert_eq!(next.authority.matches("BEGIN CERTIFICATE").count(), 2, "one before at most");
    assert!(!next.authority.contains(old.authority.trim()));
}

#[test]
fn what_metallb_made_is_used_as_long_as_it_is_good() {
    let material = made_by_metallb();
    assert!(matches!(decided(day(0), &material), Plan::Keep { .. }));
    assert_eq!(decided(day(300), &material), Plan::Rotate { flaw: Flaw::Expires });
    let ours = issue(day(300), HOST, Some(&material)).unwrap();
    assert!(matches!(decided(day(300), &ours), Plan::Keep { .. }));
    assert!(
        ours.authority.contains(material.authority.trim()),
        "who trusts MetalLB's certificate still does"
    );
}

#[test]
fn everything_that_can_be_wrong_with_a_secret_is_found() {
    let good = made();
    let other = issue(day(0), HOST, None).unwrap();
    let changed = |change: fn(&mut Material, Material)| {
        let mut material = good.clone();
        change(&mut material, other.clone());
        material
    };
    assert_flaw(&changed(|material, _| material.certificate.clear()), Flaw::Incomplete);
    assert_flaw(&changed(|material, _| material.key = "\n".to_owned()), Flaw::Incomplete);
    assert_flaw(&changed(|material, _| material.certificate = "rubbish".to_owned()), Flaw::Unreadable);
    assert_flaw(&changed(|material, _| material.authority.truncate(100)), Flaw::Unreadable);
    assert_flaw(&changed(|material, _| material.certificate = material.key.clone()), Flaw::Unreadable);
    assert_flaw(&changed(|material, other| material.key = other.key), Flaw::KeyMismatch);
    assert_flaw(&changed(|material, other| material.authority = other.authority), Flaw::NotSigned);
    let elsewhere = issue(day(0), "metallb-webhook-service.elsewhere.svc", None).unwrap();
    assert_flaw(&elsewhere, Flaw::WrongName);
    assert_flaw(&issue(day(30), HOST, None).unwrap(), Flaw::NotYetValid);
    assert_flaw(&issue(day(-400), HOST, None).unwrap(), Flaw::Expires);
}

#[test]
fn an_authority_key_that_is_lost_is_needed_for_the_next_certificate_only() {
    let lost = Material { authority_key: String::new(), ..made() };
    assert!(matches!(decided(day(0), &lost), Plan::Keep { .. }));
    let next = issue(day(300), HOST, Some(&lost)).unwrap();
    assert_ne!(next.authority, lost.authority);
}

#[test]
fn a_secret_is_written_and_read_with_metallbs_keys() {
    let material = made();
    let data = material.secret_data();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "ca.key", "tls.crt", "tls.key"]);
    assert_eq!(Material::of_secret(&data), Some(material));
    assert_eq!(Material::of_secret(&BTreeMap::new()), None);
    let binary = BTreeMap::from([("tls.crt".to_owned(), ByteString(vec![0xff, 0xfe]))]);
    assert_flaw(&Material::of_secret(&binary).unwrap(), Flaw::Incomplete);
}

#[test]
fn keys_are_not_printed() {
    let text = format!("{:?}", made());
    assert!(text.contains("BEGIN CERTIFICATE") && !text.contains("PRIVATE KEY"));
}

#[test]
fn a_name_that_is_none_is_an_error_that_says_what_to_correct() {
    let error = issue(day(0), "ä.metallb-system.svc", None).unwrap_err();
    assert!(error.to_string().contains("--cert-service-name"), "{error}");
    let long = host_name(&"s".repeat(63), &"n".repeat(63));
    assert!(issue(day(0), &long, None).unwrap().is_usable(&long, day(0)));
}
