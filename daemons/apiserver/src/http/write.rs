//! Writes: directly where nobody else is asked, otherwise on trial, then the webhooks, then for good.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::handle::{Call, success, with_warnings};
use super::{ApiBody, response};
use crate::admission::{object_mut, text};
use crate::failure::Failure;
use crate::kinds::Origin;
use crate::ops::{DeleteOptions, Intent, PatchKind, Target, WriteOptions, Written, decode, schema_causes};
use crate::patch;
use crate::webhook::{Operation, Question, admit, convert};
use metallb_schema::apply_defaults;

impl Call<'_> {
    /// Carries out a write and answers it in the version of the request.
    pub(super) async fn write(
        &self,
        target: &Target,
        intent: Intent,
        options: WriteOptions,
    ) -> Result<Response<ApiBody>, Failure> {
        let form = self.form()?;
        let patched = matches!(&intent, Intent::Patch(kind, _) if *kind != PatchKind::Apply);
        let mut attempts = ATTEMPTS;
        let (written, options) = loop {
            attempts -= 1;
            let mut options = options.clone();
            let (stored, intent) = self.in_stored_version(target, intent.clone(), &mut options).await?;
            match self.carry_out(&stored, intent, options).await {
                // A patch without a version of its own is made again on what another client wrote meanwhile.
                Err(failure)
                    if failure.code() == 409
                        && patched
                        && stored.version != target.version
                        && attempts > 0 => {}
                outcome => break outcome?,
            }
        };
        let code = if written.created { StatusCode::CREATED } else { StatusCode::OK };
        let shown = self.shown(vec![written.object]).await?;
        let object = shown.first().unwrap_or(&Value::Null);
        let shown = form.one(&target.resource, target.version()?, object)?;
        Ok(with_warnings(response::json(code, &shown), &options.warnings))
    }

    /// Deletes one object, after those who want to be asked were.
    pub(super) async fn delete_one(
        &self,
        target: &Target,
        options: &DeleteOptions,
    ) -> Result<Written, Failure> {
        for _ in 0..ATTEMPTS {
            let old = {
                let mut state = self.api.state();
                if !state.has_hooks(target, Operation::Delete) {
                    return state.delete(target, options);
                }
                state.get(target)?
            };
            let question = Question {
                user: &self.attributes.user,
                target,
                operation: Operation::Delete,
                object: None,
                old: Some(&old),
                dry_run: options.dry_run,
            };
            admit(self.api, &question).await?;
            let mut state = self.api.state();
            if state.stored(target).is_some_and(|now| version(&now) == version(&old)) {
                return state.delete(target, options);
            }
        }
        Err(Failure::conflict(target.named(), BUSY))
    }

    pub(super) async fn delete(&self) -> Result<Response<ApiBody>, Failure> {
        let options = self.delete_options()?;
        let target = self.stored_target();
        let written = self.delete_one(&target, &options).await?;
        let name = self.target.name.as_str();
        if self.target.resource.is("namespaces") && !options.dry_run {
            let (api, name) = (Arc::clone(self.api), name.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(NAMESPACE_PAUSE).await;
                api.state().clear_namespace(&name);
            });
        }
        if !written.created {
            let shown = self.shown(vec![written.object]).await?;
            return Ok(response::json(StatusCode::OK, shown.first().unwrap_or(&Value::Null)));
        }
        let details = json!({
            "name": name, "group": self.target.resource.group, "kind": self.target.resource.plural,
            "uid": written.object.pointer("/metadata/uid"),
        });
        Ok(response::json(StatusCode::OK, &success(&details)))
    }

    pub(super) async fn delete_collection(&self) -> Result<Response<ApiBody>, Failure> {
        let options = self.delete_options()?;
        let selection = self.selection()?;
        let target = self.stored_target();
        let keys = self.api.state().selected(&target, &selection);
        let mut gone = Vec::new();
        for key in keys {
            let one = Target { namespace: key.namespace, name: key.name, ..target.clone() };
            match self.delete_one(&one, &options).await {
                Ok(written) => gone.push(written.object),
                // A dependent that went with its owner a moment ago.
                Err(failure) if failure.code() == 404 => {}
                Err(failure) => return Err(failure),
            }
        }
        let metadata = json!({"resourceVersion": self.api.state().store.version().to_string()});
        let shown = self.shown(gone).await?;
        let form = super::accept::Form::Object;
        let shown = form.list(&self.target.resource, self.target.version()?, shown.iter(), &metadata)?;
        Ok(response::json(StatusCode::OK, &shown))
    }

    /// Stored objects in the version of the request.
    pub(super) async fn shown(&self, objects: Vec<Value>) -> Result<Vec<Value>, Failure> {
        convert(self.api, &self.target.resource, &self.target.version, objects).await
    }

    async fn carry_out(
        &self,
        target: &Target,
        mut intent: Intent,
        options: WriteOptions,
    ) -> Result<(Written, WriteOptions), Failure> {
        for _ in 0..ATTEMPTS {
            let mut trial = options.clone();
            let (old, written, operation) = {
                let mut state = self.api.state();
                let old = if matches!(intent, Intent::Create(_)) { None } else { state.stored(target) };
                if matches!(intent, Intent::Patch(PatchKind::Apply, _)) && old.is_none() {
                    state.permit(&self.attributes.as_create())?;
                }
                let operation = if old.is_some() { Operation::Update } else { Operation::Create };
                trial.dry_run = options.dry_run || state.has_hooks(target, operation);
                let written = state.execute(target, &intent, &mut trial)?;
                if trial.dry_run == options.dry_run && !state.has_hooks(target, operation) {
                    return Ok((written, trial));
                }
                (old, written, operation)
            };
            let named = Target { name: text(&written.object, "/metadata/name").to_owned(), ..target.clone() };
            let asked = Target { version: self.target.version.clone(), ..named.clone() };
            let question = Question {
                user: &self.attributes.user,
                target: &asked,
                operation,
                object: Some(&written.object),
                old: old.as_deref(),
                dry_run: options.dry_run,
            };
            let warnings = admit(self.api, &question).await?;
            if options.dry_run {
                trial.warnings.extend(warnings);
                return Ok((written, trial));
            }
            let mut state = self.api.state();
            let now = if matches!(intent, Intent::Create(_)) { None } else { state.stored(&named) };
            if now.as_deref().map(version) != old.as_deref().map(version) {
                continue;
            }
            keep_name(&mut intent, &named.name);
            let mut options = options.clone();
            text(&written.object, "/metadata/uid").clone_into(&mut options.uid);
            let written = state.execute(target, &intent, &mut options)?;
            options.warnings.extend(warnings);
            return Ok((written, options));
        }
        Err(Failure::conflict(target.named(), BUSY))
    }

    fn stored_target(&self) -> Target {
        in_storage(&self.target)
    }

    /// The same write in the version in which the objects are stored, for definitions with a conversion webhook.
    async fn in_stored_version(
        &self,
        target: &Target,
        intent: Intent,
        options: &mut WriteOptions,
    ) -> Result<(Target, Intent), Failure> {
        let stored = in_storage(target);
        if stored.version == target.version {
            return Ok((stored, intent));
        }
        if let Some(warning) = &target.version()?.deprecated {
            options.warnings.push(warning.clone());
        }
        let intent = match intent {
            Intent::Create(mut object) => {
                decode(target, &mut object, options)?;
                Intent::Create(self.converted(target, object, None).await?)
            }
            Intent::Update(mut object) => {
                decode(target, &mut object, options)?;
                let old = self.old(target).await?;
                Intent::Update(self.converted(target, object, Some(&old)).await?)
            }
            Intent::Patch(PatchKind::Apply, mut config) => {
                decode(target, &mut config, options)?;
                Intent::Patch(PatchKind::Apply, self.converted(target, config, None).await?)
            }
            Intent::Patch(kind, change) => {
                let old = self.old(target).await?;
                let mut object = old.clone();
                match kind {
                    PatchKind::Merge => patch::merge(&mut object, &change),
                    PatchKind::Json => patch::json(&mut object, &change)?,
                    PatchKind::Strategic | PatchKind::Apply => return Err(patch::not_strategic()),
                }
                decode(target, &mut object, options)?;
                Intent::Update(self.converted(target, object, Some(&old)).await?)
            }
        };
        Ok((stored, intent))
    }

    /// What is stored now, in the version of the request.
    async fn old(&self, target: &Target) -> Result<Value, Failure> {
        let stored = self.api.state().get(target)?;
        let shown = convert(self.api, &target.resource, &target.version, vec![(*stored).clone()]).await?;
        Ok(shown.into_iter().next().unwrap_or_default())
    }

    /// Checks an object in the version of the request, and converts it to the stored version.
    async fn converted(
        &self,
        target: &Target,
        mut object: Value,
        old: Option<&Value>,
    ) -> Result<Value, Failure> {
        let version = target.version()?;
        if !target.status {
            apply_defaults(version.node(), &mut object);
        }
        let causes = schema_causes(version, &object, old);
        if !causes.is_empty() {
            let resource = &target.resource;
            return Err(Failure::invalid(&resource.group, &resource.kind, &target.name, causes));
        }
        let converted = convert(self.api, &target.resource, &target.resource.storage, vec![object]).await?;
        Ok(converted.into_iter().next().unwrap_or_default())
    }
}

fn in_storage(target: &Target) -> Target {
    let mut stored = target.clone();
    if target.resource.origin == Origin::CustomWithWebhook {
        target.resource.storage.clone_into(&mut stored.version);
    }
    stored
}

/// The name that was generated on trial stays.
fn keep_name(intent: &mut Intent, name: &str) {
    if let Intent::Create(object) = intent
        && let Some(metadata) = object_mut(object, "metadata")
    {
        metadata.insert("name".to_owned(), Value::from(name));
    }
}

fn version(object: &Value) -> &str {
    text(object, "/metadata/resourceVersion")
}

/// Times that a write is tried when others write the same object between the question and the answer of a webhook.
const ATTEMPTS: u8 = 5;
const BUSY: &str = "the object was modified again and again while webhooks were asked; please try again";
/// Time until the content of a deleted namespace goes: clients delete a namespace and what is in it one after the
/// other, and expect to find both.
const NAMESPACE_PAUSE: std::time::Duration = std::time::Duration::from_millis(300);
