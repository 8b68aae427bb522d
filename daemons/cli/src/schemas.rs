//! The forms of `-o json`, for programs that read it: `docs/schema/`. `UPDATE_GOLDEN=1` writes them.

use std::path::Path;

use schemars::{Schema, schema_for};

fn same(name: &str, schema: &Schema) {
    let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/schema/{name}.json"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        written, text,
        "docs/schema/{name}.json is not what the program prints: UPDATE_GOLDEN=1 writes it"
    );
}

#[test]
fn the_documented_forms_are_those_that_are_printed() {
    same("status", &schema_for!(crate::status::Report));
    same("explain", &schema_for!(crate::explain::Chain));
    same("check", &schema_for!(crate::check::Printed<'_>));
    same("simulate", &schema_for!(crate::simulate::Printed));
    same("version", &schema_for!(crate::version::Versions));
}
