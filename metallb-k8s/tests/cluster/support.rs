//! A pretended API server, in process: enough of lists, watches, versions, patches and failures to
//! try watches, writers and elections on.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, channel::mpsc};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use kube::{Client, client::Body};
use metallb_k8s::{
    client::MeasureLayer,
    retry::{Retries, Seed},
    write::Stats,
};
use serde_json::{Value, json};

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// The pretended server. Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct Cluster {
    state: Arc<Mutex<State>>,
    pub(crate) in_flight: Arc<AtomicUsize>,
    pub(crate) most_in_flight: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    version: u64,
    /// Watches that stand before this version get 410 Gone.
    oldest: u64,
    objects: BTreeMap<Key, Value>,
    history: Vec<(u64, String, &'static str, Value)>,
    /// Each with the version that it began at: it shows nothing that is not newer.
    watches: Vec<(String, u64, mpsc::UnboundedSender<Bytes>)>,
    requests: Vec<Recorded>,
    failures: Vec<u16>,
    interfere: Option<Box<Interfere>>,
    down: bool,
    refuse_versions: bool,
    delay: Duration,
}

/// Resource, namespace, name.
type Key = (String, String, String);

/// What becomes of a request instead of an answer; `None`: nothing special.
type Interfere = dyn Fn(&Recorded) -> Option<Interference> + Send;

/// What a sick server does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Interference {
    /// Answers with this code.
    Code(u16),
    /// Answers with this code and asks to be left alone for so many seconds.
    RetryAfter(u16, u64),
    /// Never answers.
    Silence,
    /// Takes no connection.
    Refusal,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

impl Recorded {
    pub(crate) fn is_watch(&self) -> bool {
        self.query.contains("watch=true")
    }
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Lets the server be sick.
    pub(crate) fn interfere(&self, with: impl Fn(&Recorded) -> Option<Interference> + Send + 'static) {
        self.lock().interfere = Some(Box::new(with));
    }

    /// The server is well again.
    pub(crate) fn heal(&self) {
        self.lock().interfere = None;
    }

    /// A client with the bounds that the daemons have.
    pub(crate) fn bounded_client(&self, stats: &Arc<Stats>, retries: &Retries) -> Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move { cluster.answer(request).await }
        });
        let layer = MeasureLayer::new(Arc::clone(stats), retries.clone(), Duration::from_secs(15));
        Client::new(tower::Layer::layer(&layer, service), "metallb-system")
    }

    pub(crate) fn client(&self) -> Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move { cluster.answer(request).await }
        });
        Client::new(service, "metallb-system")
    }

    /// Creates or replaces an object.
    pub(crate) fn put(&self, resource: &str, object: Value) {
        let name = text(&object, "/metadata/name");
        let namespace = text(&object, "/metadata/namespace");
        self.lock().store((resource.to_owned(), namespace, name), object);
    }

    pub(crate) fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.lock().remove(&(resource.to_owned(), namespace.to_owned(), name.to_owned()));
    }

    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.lock().objects.get(&(resource.to_owned(), namespace.to_owned(), name.to_owned())).cloned()
    }

    pub(crate) fn all(&self, resource: &str) -> Vec<Value> {
        self.lock()
            .objects
            .iter()
            .filter(|(key, _)| key.0 == resource)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Ends all watches, as a server does every few minutes.
    pub(crate) fn end_watches(&self) {
        self.lock().watches.clear();
    }

    /// Forgets everything before now: watches that stand earlier get 410 Gone.
    pub(crate) fn compact(&self) {
        let mut state = self.lock();
        state.history.clear();
        state.version += 1;
        state.oldest = state.version;
    }

    /// The server is restored from a backup: it has these objects of a kind only, and counts from an earlier version.
    pub(crate) fn restore(&self, resource: &str, objects: impl IntoIterator<Item = Value>, version: u64) {
        let mut state = self.lock();
        state.watches.clear();
        state.history.clear();
        state.objects.retain(|key, _| key.0 != resource);
        state.version = version;
        for object in objects {
            let key =
                (resource.to_owned(), text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
            state.store(key, object);
        }
    }

    /// The next requests get these answers.
    pub(crate) fn fail(&self, codes: impl IntoIterator<Item = u16>) {
        self.lock().failures.extend(codes);
    }

    /// The server cannot be reached.
    pub(crate) fn down(&self, down: bool) {
        let mut state = self.lock();
        state.down = down;
        if down {
            state.watches.clear();
        }
    }

    /// Every write that names a version comes too late.
    pub(crate) fn refuse_versions(&self, refuse: bool) {
        self.lock().refuse_versions = refuse;
    }

    /// How long every answer takes.
    pub(crate) fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    pub(crate) fn requests(&self, method: &Method, resource: &str) -> Vec<Recorded> {
        let state = self.lock();
        let part = format!("/{resource}");
        let wanted = |recorded: &&Recorded| recorded.method == *method && recorded.path.contains(&part);
        state.requests.iter().filter(wanted).cloned().collect()
    }

    /// How many objects of a kind there are.
    pub(crate) fn count(&self, resource: &str) -> usize {
        self.lock().objects.keys().filter(|key| key.0 == resource).count()
    }

    /// How many requests with this method came.
    pub(crate) fn method_count(&self, method: &Method) -> usize {
        self.lock().requests.iter().filter(|recorded| recorded.method == *method).count()
    }

    pub(crate) fn request_count(&self) -> usize {
        self.lock().requests.len()
    }

    /// Counts a request and says what becomes of it.
    fn interference(&self, recorded: &Recorded) -> Option<Interference> {
        let mut state = self.lock();
        if state.down {
            return Some(Interference::Refusal);
        }
        state.requests.push(recorded.clone());
        state.interfere.as_ref().and_then(|interfere| interfere(recorded))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn answer(&self, request: Request<Body>) -> Result<Answer, std::io::Error> {
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        let delay = self.lock().delay;
        tokio::time::sleep(delay).await;
        let answer = self.serve(request).await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        answer
    }

    async fn serve(&self, request: Request<Body>) -> Result<Answer, std::io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let recorded = Recorded {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        let interference = self.interference(&recorded);
        let mut answer = None;
        match interference {
            None => {}
            Some(Interference::Silence) => std::future::pending().await,
            Some(Interference::Refusal) => return Err(std::io::Error::other("connection refused")),
            Some(Interference::Code(code)) => answer = Some(failure(code, reason(code))),
            Some(Interference::RetryAfter(code, seconds)) => {
                let mut refusal = failure(code, reason(code));
                refusal.headers_mut().insert("Retry-After", seconds.into());
                answer = Some(refusal);
            }
        }
        if let Some(answer) = answer {
            return Ok(answer);
        }
        let mut state = self.lock();
        if !state.failures.is_empty() {
            let code = state.failures.remove(0);
            return Ok(failure(code, "InternalError"));
        }
        Ok(state.handle(&recorded))
    }
}

impl State {
    fn handle(&mut self, request: &Recorded) -> Answer {
        let (key, status) = target(&request.path);
        let named = !key.2.is_empty();
        let apply = request.query.contains("force=true");
        match request.method {
            Method::GET if request.query.contains("watch=true") => self.watch(&key.0, &request.query),
            Method::GET if named => self.objects.get(&key).map_or_else(|| not_found(&key), ok),
            Method::GET => self.list(&key, &request.query),
            Method::POST => {
                let key = (key.0, key.1, text(&request.body, "/metadata/name"));
                if self.objects.contains_key(&key) {
                    return failure(409, "AlreadyExists");
                }
                ok(&self.store(key, request.body.clone()))
            }
            Method::PATCH if apply && status && !self.objects.contains_key(&key) => not_found(&key),
            Method::PATCH if apply && !self.meets(&key, &request.body, "/metadata") => {
                failure(409, "Conflict")
            }
            Method::PATCH if apply => {
                let mut object = self.objects.get(&key).cloned().unwrap_or_else(|| json!({}));
                merge(&mut object, &request.body);
                merge(&mut object, &json!({ "metadata": { "name": key.2, "namespace": key.1 } }));
                ok(&self.store(key, object))
            }
            Method::PUT | Method::PATCH => self.change(key, request, status),
            Method::DELETE if !self.objects.contains_key(&key) => not_found(&key),
            Method::DELETE if !self.meets(&key, &request.body, "/preconditions") => failure(409, "Conflict"),
            Method::DELETE => self.remove(&key).map_or_else(|| not_found(&key), |found| ok(&found)),
            _ => failure(405, "MethodNotAllowed"),
        }
    }

    fn change(&mut self, key: Key, request: &Recorded, status: bool) -> Answer {
        let Some(mut object) = self.objects.get(&key).cloned() else { return not_found(&key) };
        if !self.meets(&key, &request.body, "/metadata") {
            return failure(409, "Conflict");
        }
        if request.method == Method::PUT {
            object = request.body.clone();
        } else {
            let mut patch = request.body.clone();
            if status && let Some(patch) = patch.as_object_mut() {
                patch.remove("spec");
            }
            merge(&mut object, &patch);
        }
        ok(&self.store(key, object))
    }

    /// Whether an object is in the version that a request names there, if it names one.
    fn meets(&self, key: &Key, body: &Value, place: &str) -> bool {
        ["resourceVersion", "uid"].into_iter().all(|field| {
            let named = text(body, &format!("{place}/{field}"));
            let found = self.objects.get(key).map(|object| text(object, &format!("/metadata/{field}")));
            named.is_empty() || (!self.refuse_versions && found == Some(named))
        })
    }

    fn list(&self, key: &Key, query: &str) -> Answer {
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        let limit: usize = parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
        let skip: usize = parameter("continue").and_then(|token| token.parse().ok()).unwrap_or(0);
        let mut selector = parameter("labelSelector").unwrap_or_default().replace('+', " ");
        for (code, meant) in
            [("%2F", "/"), ("%2C", ","), ("%3D", "="), ("%21", "!"), ("%28", "("), ("%29", ")")]
        {
            selector = selector.replace(code, meant);
        }
        let wanted: Vec<_> = self
            .objects
            .iter()
            .filter(|(found, _)| found.0 == key.0 && (key.1.is_empty() || found.1 == key.1))
            .map(|(_, object)| object)
            .filter(|object| {
                if let Some((name, values)) = selector.split_once(" in (") {
                    let label = object["metadata"]["labels"][name].as_str().unwrap_or_default();
                    return values.trim_end_matches(')').split(',').any(|value| value == label);
                }
                selector.split(',').filter(|term| !term.is_empty()).all(|term| selects(term, object))
            })
            .collect();
        let page: Vec<_> = wanted.iter().skip(skip).take(limit).collect();
        let next = skip + page.len();
        let token = if next < wanted.len() { next.to_string() } else { String::new() };
        ok(&json!({
            "apiVersion": "v1", "kind": "List",
            "metadata": { "resourceVersion": self.version.to_string(), "continue": token },
            "items": page,
        }))
    }

    fn watch(&mut self, resource: &str, query: &str) -> Answer {
        let version = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        let version: u64 = version.and_then(|version| version.parse().ok()).unwrap_or(0);
        let (sender, receiver) = mpsc::unbounded();
        if version < self.oldest {
            let gone = json!({ "type": "ERROR", "object": status(410, "Expired") });
            sender.unbounded_send(line(&gone)).unwrap();
        } else {
            for (_, _, kind, object) in
                self.history.iter().filter(|entry| entry.0 > version && entry.1 == resource)
            {
                sender.unbounded_send(line(&json!({ "type": kind, "object": object }))).unwrap();
            }
            self.watches.push((resource.to_owned(), version, sender));
        }
        let frames = receiver.map(|bytes| Ok(Frame::data(bytes)));
        Response::new(BodyExt::boxed(StreamBody::new(frames)))
    }

    fn store(&mut self, key: Key, mut object: Value) -> Value {
        self.version += 1;
        let version = self.version.to_string();
        let before = self.objects.get(&key);
        let uid = before.map_or_else(|| format!("uid-{version}"), |before| text(before, "/metadata/uid"));
        let given = text(&object, "/metadata/uid");
        let uid = if given.is_empty() { uid } else { given };
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        merge(&mut object, &json!({ "metadata": { "resourceVersion": version, "uid": uid } }));
        self.publish(&key.0, kind, &object);
        self.objects.insert(key, object.clone());
        object
    }

    fn remove(&mut self, key: &Key) -> Option<Value> {
        let object = self.objects.remove(key)?;
        self.version += 1;
        self.publish(&key.0, "DELETED", &object);
        Some(object)
    }

    fn publish(&mut self, resource: &str, kind: &'static str, object: &Value) {
        let mut object = object.clone();
        merge(&mut object, &json!({ "metadata": { "resourceVersion": self.version.to_string() } }));
        self.history.push((self.version, resource.to_owned(), kind, object.clone()));
        let event = line(&json!({ "type": kind, "object": object }));
        let now = self.version;
        let deliver = |(kind, began, watch): &(String, u64, mpsc::UnboundedSender<Bytes>)| {
            kind != resource || *began >= now || watch.unbounded_send(event.clone()).is_ok()
        };
        self.watches.retain(deliver);
    }
}

/// What a path names, and whether it is its status.
fn target(path: &str) -> (Key, bool) {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let rest = if parts[0] == "api" { &parts[2..] } else { &parts[3..] };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let name = rest.get(1).copied().unwrap_or_default();
    ((rest[0].to_owned(), namespace.to_owned(), name.to_owned()), rest.get(2) == Some(&"status"))
}

/// One term of a label selector, `a=b` or `a!=b`.
fn selects(term: &str, object: &Value) -> bool {
    let (name, value) = term.split_once('=').unwrap();
    let label = |name: &str| object["metadata"]["labels"][name].as_str() == Some(value);
    name.strip_suffix('!').map_or_else(|| label(name), |name| !label(name))
}

/// JSON merge patch, RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let map = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn line(value: &Value) -> Bytes {
    format!("{value}\n").into()
}

fn ok(value: &Value) -> Answer {
    answer(200, value)
}

fn status(code: u16, reason: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "message": reason, "reason": reason, "code": code })
}

fn reason(code: u16) -> &'static str {
    match code {
        403 => "Forbidden",
        404 => "NotFound",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    }
}

fn not_found(key: &Key) -> Answer {
    let mut status = status(404, "NotFound");
    status["details"] = json!({ "name": key.2, "kind": key.0 });
    answer(404, &status)
}

fn failure(code: u16, reason: &str) -> Answer {
    answer(code, &status(code, reason))
}

fn answer(code: u16, value: &Value) -> Answer {
    let frame = futures::stream::iter([Ok(Frame::data(Bytes::from(value.to_string())))]);
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(frame)));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

/// Something to report to, with a seed of its own.
pub(crate) fn retries() -> Retries {
    Retries::new(Seed::new(42))
}

/// Waits, in virtual time, until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

/// A Service of type LoadBalancer.
pub(crate) fn service(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "ports": [{ "port": 80, "protocol": "TCP" }], "selector": { "app": name },
        },
        "status": { "loadBalancer": {} },
    })
}
