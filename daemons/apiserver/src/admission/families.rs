//! Dual stack: which families a service has, and its cluster addresses.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::addresses::{Addresses, V4, V6, family_of, in_range, range_of};
use super::{list, text};
use crate::failure::Cause;

/// Settles `ipFamilyPolicy`, `ipFamilies`, `clusterIPs` and `clusterIP`.
pub(super) fn settle(service: &mut Value, old: Option<&Value>, addresses: &mut Addresses) -> Vec<Cause> {
    if text(service, "/spec/type") == "ExternalName" {
        if let Some(Value::Object(spec)) = service.get_mut("spec") {
            for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                spec.remove(name);
            }
        }
        return Vec::new();
    }
    let old = old.filter(|old| text(old, "/spec/type") != "ExternalName");
    let mut wanted = match wanted_addresses(service, old) {
        Ok(wanted) => wanted,
        Err(cause) => return vec![cause],
    };
    let headless = wanted.first().is_some_and(|first| first == NONE);
    let families = match families(service, old, &wanted, headless) {
        Ok(families) => families,
        Err(cause) => return vec![cause],
    };
    if !headless {
        wanted.truncate(families.len());
        let causes = allocate(&mut wanted, &families, old, addresses);
        if !causes.is_empty() {
            return causes;
        }
    }
    let causes = check_unchanged(&wanted, old);
    if let Some(Value::Object(spec)) = service.get_mut("spec") {
        write(spec, &wanted, &families);
    }
    causes
}

fn write(spec: &mut Map<String, Value>, addresses: &[String], families: &[&str]) {
    if let Some(first) = addresses.first() {
        spec.insert("clusterIP".to_owned(), Value::from(first.as_str()));
    }
    spec.insert("clusterIPs".to_owned(), Value::from(addresses));
    spec.insert("ipFamilies".to_owned(), Value::from(families));
}

/// `clusterIPs` as the client wants them, brought in line with `clusterIP`, with what the service already has.
fn wanted_addresses(service: &Value, old: Option<&Value>) -> Result<Vec<String>, Cause> {
    let strings = |object: &Value| -> Vec<String> {
        list(object, "/spec/clusterIPs").iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let first = text(service, "/spec/clusterIP").to_owned();
    let mut all = strings(service);
    let before = old.map(strings).unwrap_or_default();
    if let Some(old) = old {
        // A client that knows only one of the two fields changes it alone.
        let old_first = text(old, "/spec/clusterIP");
        if all == before && first != old_first {
            all.clear();
        } else if first == old_first && all != before && all.first() != Some(&first) && !all.is_empty() {
            return Err(unchangeable(&Value::from(all)));
        }
    }
    if all.is_empty() {
        if !first.is_empty() {
            all.push(first);
            all.extend(before.into_iter().skip(1));
        } else if old.is_some() {
            all = before;
        }
        return Ok(all);
    }
    if !first.is_empty() && all.first() != Some(&first) {
        let value = Value::from(all);
        return Err(Cause::invalid("spec.clusterIPs", &value, "first value must match `clusterIP`"));
    }
    Ok(all)
}

fn families(
    service: &mut Value,
    old: Option<&Value>,
    wanted: &[String],
    headless: bool,
) -> Result<Vec<&'static str>, Cause> {
    let mut families = Vec::new();
    for (index, family) in list(service, "/spec/ipFamilies").iter().enumerate() {
        let known = [V4, V6].into_iter().find(|known| family.as_str() == Some(known));
        let path = format!("spec.ipFamilies[{index}]");
        let known = known.ok_or_else(|| Cause::not_supported(&path, family, &[V4, V6].map(str::to_owned)))?;
        if families.contains(&known) {
            return Err(Cause::duplicate(path, family));
        }
        families.push(known);
    }
    let stated = families.len();
    let selectorless = list_is_empty(service.pointer("/spec/selector"));
    let given = if headless { 0 } else { wanted.len() };
    let policy = policy(service, old, headless && selectorless && stated == 0)?;
    if let Some(old) = old
        && families.is_empty()
    {
        let before = list(old, "/spec/ipFamilies").iter().filter_map(Value::as_str);
        families = before.filter_map(|family| [V4, V6].into_iter().find(|known| *known == family)).collect();
    }
    for (index, address) in wanted.iter().enumerate().filter(|_| !headless) {
        let path = format!("spec.clusterIPs[{index}]");
        let value = Value::from(address.as_str());
        let address: IpAddr =
            address.parse().map_err(|_| Cause::invalid(&path, &value, "must be a valid IP address"))?;
        match families.get(index) {
            None => families.push(family_of(address)),
            Some(family) if *family == family_of(address) => {}
            Some(family) => {
                let why = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
                return Err(Cause::invalid(&path, &value, &why));
            }
        }
    }
    if families.is_empty() {
        families.push(V4);
    }
    if policy == SINGLE {
        if old.is_none() && (stated > 1 || given > 1) {
            let why = "must be RequireDualStack or PreferDualStack when configuring multiple ipFamilies or clusterIPs";
            return Err(Cause::invalid("spec.ipFamilyPolicy", &Value::from(policy), why));
        }
        families.truncate(1);
    } else if families.len() == 1 {
        families.push(if families.first() == Some(&V4) { V6 } else { V4 });
    }
    check_primary(&families, old)?;
    Ok(families)
}

fn policy(service: &mut Value, old: Option<&Value>, any: bool) -> Result<String, Cause> {
    let stated = text(service, "/spec/ipFamilyPolicy").to_owned();
    let before = old.map(|old| text(old, "/spec/ipFamilyPolicy")).unwrap_or_default();
    let policy = match stated.as_str() {
        SINGLE | PREFER | REQUIRE => stated,
        "" if !before.is_empty() => before.to_owned(),
        "" if any => REQUIRE.to_owned(),
        "" => SINGLE.to_owned(),
        other => {
            let supported = [SINGLE, PREFER, REQUIRE].map(str::to_owned);
            return Err(Cause::not_supported("spec.ipFamilyPolicy", &Value::from(other), &supported));
        }
    };
    if let Some(Value::Object(spec)) = service.get_mut("spec") {
        spec.insert("ipFamilyPolicy".to_owned(), Value::from(policy.as_str()));
    }
    Ok(policy)
}

fn check_primary(families: &[&str], old: Option<&Value>) -> Result<(), Cause> {
    let before = old.map(|old| text(old, "/spec/ipFamilies/0")).unwrap_or_default();
    if before.is_empty() || families.first() == Some(&before) {
        return Ok(());
    }
    let value = Value::from(families);
    Err(Cause::invalid("spec.ipFamilies[0]", &value, "may not change once set"))
}

fn check_unchanged(wanted: &[String], old: Option<&Value>) -> Vec<Cause> {
    let before = old.map(|old| list(old, "/spec/clusterIPs")).unwrap_or_default();
    let changed = |index: usize| match (before.get(index).and_then(Value::as_str), wanted.get(index)) {
        (Some(before), Some(now)) => before != now,
        _ => false,
    };
    if changed(0) || changed(1) { vec![unchangeable(&Value::from(wanted))] } else { Vec::new() }
}

fn unchangeable(value: &Value) -> Cause {
    Cause::invalid("spec.clusterIPs[0]", value, "may not change once set")
}

fn allocate(
    wanted: &mut Vec<String>,
    families: &[&str],
    old: Option<&Value>,
    addresses: &mut Addresses,
) -> Vec<Cause> {
    let before: Vec<IpAddr> =
        old.map(|old| super::addresses::cluster_addresses(old).collect()).unwrap_or_default();
    let mut causes = Vec::new();
    for (index, family) in families.iter().enumerate() {
        let path = format!("spec.clusterIPs[{index}]");
        let Some(stated) = wanted.get(index) else {
            match addresses.free_address(family) {
                Some(address) => wanted.push(address.to_string()),
                None => causes.push(Cause::invalid(path, &Value::Null, "no cluster address is left")),
            }
            continue;
        };
        let value = Value::from(stated.as_str());
        let Ok(address) = stated.parse::<IpAddr>() else { continue };
        if before.contains(&address) {
            continue;
        }
        if !in_range(address) {
            let range = range_of(address);
            let why = format!(
                "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The \
                 range of valid IPs is {range}"
            );
            causes.push(Cause::invalid(path, &value, &why));
        } else if addresses.has_address(address) {
            let why = format!("failed to allocate IP {address}: provided IP is already allocated");
            causes.push(Cause::invalid(path, &value, &why));
        }
    }
    causes
}

fn list_is_empty(value: Option<&Value>) -> bool {
    value.and_then(Value::as_object).is_none_or(Map::is_empty)
}

pub(super) const NONE: &str = "None";
const SINGLE: &str = "SingleStack";
const PREFER: &str = "PreferDualStack";
const REQUIRE: &str = "RequireDualStack";
