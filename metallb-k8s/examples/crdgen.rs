//! Writes the custom resource definitions into `deploy/crds/`, one file per kind.
//!
//! Run it from anywhere in the workspace: `cargo run -p metallb-k8s --example crdgen`.

use std::{error::Error, fs, path::Path};

use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds");
    fs::create_dir_all(&directory)?;
    for crd in metallb_k8s::crd::all() {
        let file = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
        let mut manifest = serde_json::to_value(&crd)?;
        whole_numbers(&mut manifest);
        fs::write(directory.join(&file), serde_saphyr::to_string(&manifest)?)?;
        println!("{file}");
    }
    Ok(())
}

/// Bounds are floating-point in the definition's type; people write `65535`, not `65535.0`.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = number.as_f64().map(|float| format!("{float:.0}"))
                && let Ok(whole) = whole.parse::<i64>()
                && number.is_f64()
            {
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
