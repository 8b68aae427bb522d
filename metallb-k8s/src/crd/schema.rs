//! Brings derived definitions into the form that MetalLB ships.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// The definition without `nullable` (the server drops nulls, as it does for MetalLB's), and with
/// `spec` required or not.
pub(super) fn normalized(mut crd: CustomResourceDefinition, spec_required: bool) -> CustomResourceDefinition {
    crd.spec.names.list_kind = Some(format!("{}List", crd.spec.names.kind));
    crd.spec.names.categories = None;
    crd.spec.names.short_names = None;
    for version in &mut crd.spec.versions {
        let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        walk(schema);
        if !spec_required {
            schema.required = None;
        }
    }
    crd
}

/// The definition of a kind that only has a status, with the `spec` that MetalLB's definition takes: an empty object. Our
/// types leave it out, so that objects with and without it can be read whatever definition is installed.
pub(super) fn with_empty_spec(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let spec = JSONSchemaProps {
        description: Some("Nothing: the resource only has a status.".to_owned()),
        type_: Some("object".to_owned()),
        ..JSONSchemaProps::default()
    };
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(schema) = schema {
            schema.properties.get_or_insert_default().insert("spec".to_owned(), spec.clone());
        }
    }
    crd
}

fn walk(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.title = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    for child in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        walk(child);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => walk(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(walk),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut schema.additional_properties {
        walk(value);
    }
}
