//! Schemas of the built-in kinds, from the types of `k8s-openapi`, with what those lack: how lists and maps merge.

use std::sync::LazyLock;

use k8s_openapi::api::{
    admissionregistration, apps, authentication, authorization, batch, coordination, core, discovery, events,
    networking, policy, rbac, scheduling,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::merge_keys;

/// Before the name of a definition in a reference.
pub(crate) const PREFIX: &str = "#/components/schemas/";

/// All definitions, by their OpenAPI name (`io.k8s.api.core.v1.Service`).
pub fn definitions() -> &'static Map<String, Value> {
    static DEFINITIONS: LazyLock<Map<String, Value>> = LazyLock::new(generate);
    &DEFINITIONS
}

/// A schema that refers to a definition.
pub fn reference(name: &str) -> Value {
    json!({"$ref": format!("{PREFIX}{name}")})
}

fn generate() -> Map<String, Value> {
    let mut generator = SchemaSettings::draft07()
        .with(|settings| {
            "/components/schemas".clone_into(settings.definitions_path.to_mut());
            settings.meta_schema = None;
        })
        .into_generator();
    register(&mut generator);
    let mut definitions = generator.take_definitions(true);
    relax(&mut definitions);
    merge_keys::decorate(&mut definitions);
    definitions
}

fn register(generator: &mut SchemaGenerator) {
    macro_rules! register {
        ($($kind:ty),* $(,)?) => { $(let _ = generator.subschema_for::<$kind>();)* };
    }
    register!(
        core::v1::Namespace,
        core::v1::Service,
        core::v1::Node,
        core::v1::Pod,
        core::v1::Secret,
        core::v1::ConfigMap,
        core::v1::Event,
        core::v1::ServiceAccount,
        events::v1::Event,
        discovery::v1::EndpointSlice,
        coordination::v1::Lease,
        apps::v1::Deployment,
        apps::v1::DaemonSet,
        apps::v1::ReplicaSet,
        admissionregistration::v1::MutatingWebhookConfiguration,
        admissionregistration::v1::ValidatingWebhookConfiguration,
        authentication::v1::SelfSubjectReview,
        authentication::v1::TokenReview,
        authorization::v1::LocalSubjectAccessReview,
        authorization::v1::SelfSubjectAccessReview,
        authorization::v1::SelfSubjectRulesReview,
        authorization::v1::SubjectAccessReview,
        batch::v1::Job,
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
        rbac::v1::ClusterRole,
        rbac::v1::ClusterRoleBinding,
        rbac::v1::Role,
        rbac::v1::RoleBinding,
        scheduling::v1::PriorityClass,
        apiextensions::v1::CustomResourceDefinition,
        meta::v1::DeleteOptions,
        meta::v1::ListMeta,
        meta::v1::ObjectMeta,
        meta::v1::Status,
    );
}

/// Mends where the generated schemas are stricter than the server: quantities may be numbers, `metadata` may be
/// absent from a document, arbitrary JSON has no type.
fn relax(definitions: &mut Map<String, Value>) {
    for (name, definition) in definitions.iter_mut() {
        let Value::Object(definition) = definition else { continue };
        if name == "io.k8s.apimachinery.pkg.api.resource.Quantity" {
            definition.insert("x-kubernetes-int-or-string".to_owned(), Value::Bool(true));
            definition.remove("type");
        }
        if name == "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"
            || name == "io.k8s.apimachinery.pkg.runtime.RawExtension"
        {
            definition.insert("x-kubernetes-preserve-unknown-fields".to_owned(), Value::Bool(true));
        }
        if FREE_FORM.iter().any(|free| name.strip_prefix(APIEXTENSIONS) == Some(*free)) {
            definition.retain(|attribute, _| attribute == "description");
            definition.insert("x-kubernetes-preserve-unknown-fields".to_owned(), Value::Bool(true));
        }
        if let Some(Value::Array(required)) = definition.get_mut("required") {
            required.retain(|field| field != "metadata");
            if required.is_empty() {
                definition.remove("required");
            }
        }
    }
}

const APIEXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";

/// Parts of a definition's schema that hold values of several types.
const FREE_FORM: &[&str] =
    &["JSON", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray"];
