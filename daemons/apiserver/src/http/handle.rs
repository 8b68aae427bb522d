//! The way of a request: probes and documents first, then resources.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Body;
use serde_json::{Value, json};

use super::accept::Form;
use super::body::ContentType;
use super::query::Query;
use super::{ApiBody, body, documents, path, proxy, response, watch};
use crate::api::Api;
use crate::auth::{Attributes, answer_review, token_request};
use crate::failure::Failure;
use crate::kinds::Origin;
use crate::ops::{DeleteOptions, Intent, PatchKind, Target, WriteOptions, decode};
use crate::selector::Selection;

/// Answers one request.
pub(super) async fn respond<B>(api: &Arc<Api>, request: Request<B>) -> Response<ApiBody>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    if api.stop.is_cancelled() {
        return response::failure(&Failure::unavailable("the embedded API server is shutting down"));
    }
    let (parts, body) = request.into_parts();
    let answer = match admit(api, &parts) {
        Ok(attributes) => match body::read(body, api.limits.max_body).await {
            Ok(bytes) => route(api, &parts, attributes, &bytes).await,
            Err(failure) => Err(failure),
        },
        Err(failure) => Err(failure),
    };
    answer.unwrap_or_else(|failure| response::failure(&failure))
}

/// Who asks for what, unless they may not.
fn admit(api: &Api, parts: &Parts) -> Result<Attributes, Failure> {
    let mut state = api.state();
    let user = state.identify(&parts.headers)?;
    let attributes = Attributes::of(&user, parts);
    state.permit(&attributes)?;
    Ok(attributes)
}

async fn route(
    api: &Arc<Api>,
    parts: &Parts,
    attributes: Attributes,
    bytes: &[u8],
) -> Result<Response<ApiBody>, Failure> {
    let path = parts.uri.path();
    if let Some(answer) = documents::serve(api, parts)? {
        return Ok(answer);
    }
    let query = Query::parse(parts.uri.query());
    if let Some((namespace, name)) = path::token_request(path) {
        return token(api, parts, (&namespace, &name), bytes);
    }
    if let Some(through) = path::pod_proxy(path) {
        return proxy::forward(api, parts, &through).await;
    }
    let target = path::target(&api.state().kinds, path)?;
    let request = Call { api, parts, query, target, attributes, bytes };
    if !request.target.resource.stored {
        return request.review();
    }
    match (&parts.method, request.target.name.is_empty()) {
        (&Method::GET | &Method::HEAD, _) if request.query.flag("watch") => request.watch(),
        (&Method::GET | &Method::HEAD, true) => request.list().await,
        (&Method::GET | &Method::HEAD, false) => request.get().await,
        (&Method::POST, true) => request.create().await,
        (&Method::PUT, false) => request.update().await,
        (&Method::PATCH, false) => request.patch().await,
        (&Method::DELETE, false) if !request.target.status => request.delete().await,
        (&Method::DELETE, true) => request.delete_collection().await,
        _ => Err(Failure::method_not_allowed()),
    }
}

/// Makes a token of a service account.
fn token(
    api: &Api,
    parts: &Parts,
    (namespace, name): (&str, &str),
    bytes: &[u8],
) -> Result<Response<ApiBody>, Failure> {
    if parts.method != Method::POST {
        return Err(Failure::method_not_allowed());
    }
    let kind = ContentType::parse(text_header(parts, &header::CONTENT_TYPE))?;
    let request = body::document(bytes, kind)?.unwrap_or_else(|| json!({}));
    let answer = token_request(&mut api.state(), namespace, name, request)?;
    Ok(response::json(StatusCode::CREATED, &answer))
}

/// A request on a resource.
pub(super) struct Call<'a> {
    pub(super) api: &'a Arc<Api>,
    parts: &'a Parts,
    query: Query,
    pub(super) target: Target,
    pub(super) attributes: Attributes,
    bytes: &'a [u8],
}

impl Call<'_> {
    async fn get(&self) -> Result<Response<ApiBody>, Failure> {
        let form = self.form()?;
        let stored = self.api.state().get(&self.target)?;
        let shown = self.shown(vec![(*stored).clone()]).await?;
        let object = shown.first().unwrap_or(&Value::Null);
        let shown = form.one(&self.target.resource, self.target.version()?, object)?;
        Ok(with_warnings(response::json(StatusCode::OK, &shown), self.deprecation().as_slice()))
    }

    async fn list(&self) -> Result<Response<ApiBody>, Failure> {
        let form = self.form()?;
        let options = self.query.list_options()?;
        let selection = self.selection()?;
        let listed = self.api.state().list(&self.target, &selection, &options)?;
        let version = self.target.version()?;
        let resource = &self.target.resource;
        let shown = if resource.origin == Origin::CustomWithWebhook {
            let objects = listed.objects.iter().map(|object| (**object).clone()).collect();
            let shown = self.shown(objects).await?;
            form.list(resource, version, shown.iter(), &listed.metadata)?
        } else {
            let objects = listed.objects.iter().map(|object| &**object);
            form.list(resource, version, objects, &listed.metadata)?
        };
        Ok(with_warnings(response::json(StatusCode::OK, &shown), self.deprecation().as_slice()))
    }

    fn watch(&self) -> Result<Response<ApiBody>, Failure> {
        let form = self.form()?;
        let mut selection = self.selection()?;
        if !self.target.name.is_empty() {
            selection = selection.named(&self.target.name);
        }
        let initial = self.query.initial_events()?;
        let version = self.query.text("resourceVersion");
        let buffer = self.api.limits.watch_buffer;
        let start = self.api.state().watch(&self.target, &selection, version, initial, buffer)?;
        let bookmarks = self.query.flag("allowWatchBookmarks");
        let options = watch::Options { form, selection, initial, bookmarks, timeout: self.query.timeout()? };
        Ok(watch::stream(self.api, self.target.clone(), start, options))
    }

    async fn create(&self) -> Result<Response<ApiBody>, Failure> {
        let object = self.document()?;
        let mut target = self.target.clone();
        if target.resource.namespaced && target.namespace.is_empty() {
            return Err(Failure::bad_request(format!(
                "an object of kind {} needs a namespace: send it to .../namespaces/NAMESPACE/{}",
                target.resource.kind, target.resource.plural
            )));
        }
        target.name.clear();
        self.write(&target, Intent::Create(object), self.write_options()?).await
    }

    fn review(&self) -> Result<Response<ApiBody>, Failure> {
        if self.parts.method != Method::POST || !self.target.name.is_empty() {
            return Err(Failure::method_not_allowed());
        }
        let mut review = self.document()?;
        let mut options = self.write_options()?;
        decode(&self.target, &mut review, &mut options)?;
        let answer = answer_review(&mut self.api.state(), &self.target, &self.attributes.user, review)?;
        Ok(with_warnings(response::json(StatusCode::CREATED, &answer), &options.warnings))
    }

    async fn update(&self) -> Result<Response<ApiBody>, Failure> {
        let object = self.document()?;
        self.write(&self.target, Intent::Update(object), self.write_options()?).await
    }

    async fn patch(&self) -> Result<Response<ApiBody>, Failure> {
        let content_type = self.content_type()?;
        let kind = match content_type {
            ContentType::MergePatch => PatchKind::Merge,
            ContentType::StrategicMergePatch => PatchKind::Strategic,
            ContentType::JsonPatch => PatchKind::Json,
            ContentType::ApplyPatch => PatchKind::Apply,
            ContentType::Json | ContentType::Yaml | ContentType::Protobuf => {
                return Err(Failure::patch_type("a document", ACCEPTED_PATCHES));
            }
        };
        let patch = self.document()?;
        if kind == PatchKind::Apply && self.query.text("fieldManager").is_empty() {
            return Err(Failure::bad_request(
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            ));
        }
        if kind != PatchKind::Apply && self.query.flag("force") {
            return Err(Failure::unprocessable(
                "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch",
            ));
        }
        self.write(&self.target, Intent::Patch(kind, patch), self.write_options()?).await
    }

    pub(super) fn form(&self) -> Result<Form, Failure> {
        Form::negotiate(text_header(self.parts, &header::ACCEPT), self.query.text("includeObject"))
    }

    pub(super) fn selection(&self) -> Result<Selection, Failure> {
        let namespace = self.target.namespace.as_str();
        let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        let version = self.target.version()?;
        let (labels, fields) = (self.query.text("labelSelector"), self.query.text("fieldSelector"));
        Selection::parse(version, namespace, labels, fields)
    }

    fn write_options(&self) -> Result<WriteOptions, Failure> {
        self.query.write_options(text_header(self.parts, &header::USER_AGENT))
    }

    pub(super) fn delete_options(&self) -> Result<DeleteOptions, Failure> {
        let mut options = DeleteOptions { dry_run: self.query.dry_run()?, ..DeleteOptions::default() };
        options.propagation = crate::ops::Propagation::parse(self.query.text("propagationPolicy"))?;
        if let Some(body) = body::document(self.bytes, self.content_type()?)? {
            options.read_body(&body)?;
        }
        Ok(options)
    }

    fn document(&self) -> Result<Value, Failure> {
        body::document(self.bytes, self.content_type()?)?
            .ok_or_else(|| Failure::bad_request("the request has no body; an object is expected"))
    }

    fn content_type(&self) -> Result<ContentType, Failure> {
        ContentType::parse(text_header(self.parts, &header::CONTENT_TYPE))
    }

    fn deprecation(&self) -> Option<String> {
        self.target.version().ok().and_then(|version| version.deprecated.clone())
    }
}

pub(super) fn success(details: &Value) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

pub(super) fn with_warnings(mut response: Response<ApiBody>, warnings: &[String]) -> Response<ApiBody> {
    for warning in warnings {
        let escaped = warning.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{escaped}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

pub(super) fn text_header<'a>(parts: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

const ACCEPTED_PATCHES: &str = "application/json-patch+json, application/merge-patch+json, \
    application/strategic-merge-patch+json, application/apply-patch+yaml";
