//! Watches: a response that streams events until its time is up, the server stops or the watcher is too slow.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::accept::Form;
use super::{ApiBody, response};
use crate::api::Api;
use crate::failure::Failure;
use crate::kinds::Origin;
use crate::ops::{Start, Target};
use crate::selector::Selection;
use crate::store::{Change, Changes};
use crate::webhook::convert;

/// What a watch was asked for.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) form: Form,
    pub(super) selection: Selection,
    /// Ends the initial events with a bookmark that says so.
    pub(super) initial: bool,
    pub(super) bookmarks: bool,
    pub(super) timeout: Option<Duration>,
}

/// Starts the stream. Its task ends when the client goes away, at the latest at the next event or bookmark.
pub(super) fn stream(api: &Arc<Api>, target: Target, start: Start, options: Options) -> Response<ApiBody> {
    let (sender, receiver) = mpsc::channel::<Bytes>(CHUNKS);
    let (version, known) = (start.version, start.known);
    let watch = Watch { api: Arc::clone(api), target, version, known, options, sender, columns_sent: false };
    let frames = Frames(receiver);
    tokio::spawn(watch.run(start));
    let mut answer = response::bytes(StatusCode::OK, response::JSON, Bytes::new());
    *answer.body_mut() = ApiBody(frames.boxed_unsync());
    answer
}

/// Chunks as frames of a body.
#[derive(Debug)]
struct Frames(mpsc::Receiver<Bytes>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}

struct Watch {
    api: Arc<Api>,
    target: Target,
    /// Version up to which the watcher knows everything.
    version: u64,
    /// Changes up to this version are not shown. The watcher may name one that was not reached yet: then all is silent
    /// until it is, as with the real server.
    known: u64,
    options: Options,
    sender: mpsc::Sender<Bytes>,
    columns_sent: bool,
}

/// Why a watch ends.
enum End {
    /// The client is gone.
    Gone,
    /// An error the client should hear of.
    Failed(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Watch {
    async fn run(mut self, start: Start) {
        let stop = self.api.stop.clone();
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = self.follow(start) => ended,
        };
        if let Err(End::Failed(failure)) = ended {
            let event = json!({"type": "ERROR", "object": failure.to_status()});
            // Whether the client still listens makes no difference now.
            drop(self.sender.send(line(&event)).await);
        }
    }

    async fn follow(&mut self, start: Start) -> Result<(), End> {
        let Start { initial, past, mut changes, .. } = start;
        for object in initial {
            self.send("ADDED", &object).await?;
        }
        if self.options.initial {
            self.bookmark(true).await?;
        }
        for change in past {
            self.change(&change).await?;
        }
        let timeout = self.options.timeout.unwrap_or(TIMEOUT);
        let deadline = Instant::now() + timeout.min(TIMEOUT);
        let mut bookmarks = tokio::time::interval(self.api.limits.bookmark_interval);
        bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        bookmarks.reset();
        self.live(&mut changes, &mut bookmarks, deadline).await?;
        if self.options.bookmarks {
            self.bookmark(false).await?;
        }
        Ok(())
    }

    async fn live(
        &mut self,
        changes: &mut Changes,
        bookmarks: &mut Interval,
        deadline: Instant,
    ) -> Result<(), End> {
        loop {
            tokio::select! {
                biased;
                change = changes.recv() => match change {
                    Some(change) => self.change(&change).await?,
                    None => return Err(Failure::expired(TOO_SLOW).into()),
                },
                () = self.sender.closed() => return Err(End::Gone),
                () = tokio::time::sleep_until(deadline) => return Ok(()),
                _ = bookmarks.tick() => {
                    if self.options.bookmarks {
                        self.bookmark(false).await?;
                    }
                }
            }
        }
    }

    /// An object may come into the selection or leave it by a change.
    async fn change(&mut self, change: &Change) -> Result<(), End> {
        if change.version <= self.known {
            return Ok(());
        }
        let before = change.old.as_ref().is_some_and(|old| self.options.selection.matches(old));
        let after = !change.deleted && self.options.selection.matches(&change.new);
        match (before, after) {
            (false, true) => self.send("ADDED", &change.new).await?,
            (true, true) => self.send("MODIFIED", &change.new).await?,
            (true, false) if change.deleted => self.send("DELETED", &change.new).await?,
            (true, false) => {
                // What leaves the selection is shown as it was, with the version at which it left.
                let mut last = change.old.as_deref().cloned().unwrap_or_default();
                if let Some(Value::Object(metadata)) = last.get_mut("metadata") {
                    metadata.insert("resourceVersion".to_owned(), Value::from(change.version.to_string()));
                }
                self.send("DELETED", &last).await?;
            }
            (false, false) => {}
        }
        self.version = self.version.max(change.version);
        Ok(())
    }

    async fn send(&mut self, kind: &str, object: &Value) -> Result<(), End> {
        let resource = &self.target.resource;
        let mut shown = if resource.origin == Origin::CustomWithWebhook {
            let converted = convert(&self.api, resource, &self.target.version, vec![object.clone()]).await?;
            let converted = converted.into_iter().next().unwrap_or_default();
            self.options.form.one(resource, self.target.version()?, &converted)?
        } else {
            self.options.form.one(resource, self.target.version()?, object)?
        };
        if matches!(self.options.form, Form::Table(..)) {
            // The first table of a watch explains the columns for all.
            if self.columns_sent
                && let Value::Object(map) = &mut shown
            {
                map.insert("columnDefinitions".to_owned(), Value::Null);
            }
            self.columns_sent = true;
        }
        self.write(&json!({"type": kind, "object": shown})).await
    }

    async fn bookmark(&mut self, end_of_initial: bool) -> Result<(), End> {
        let mut metadata = json!({"resourceVersion": self.version.to_string(), "creationTimestamp": null});
        if end_of_initial && let Value::Object(map) = &mut metadata {
            map.insert("annotations".to_owned(), json!({"k8s.io/initial-events-end": "true"}));
        }
        let object = match self.options.form {
            Form::Object => json!({
                "kind": self.target.resource.kind, "apiVersion": self.target.api_version(), "metadata": metadata,
            }),
            Form::Metadata(version) => json!({
                "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": metadata,
            }),
            Form::Table(version, _) => json!({
                "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "columnDefinitions": null,
                "metadata": {"resourceVersion": self.version.to_string()},
                "rows": [{"cells": [], "object": {
                    "kind": self.target.resource.kind, "apiVersion": self.target.api_version(),
                    "metadata": metadata,
                }}],
            }),
        };
        self.write(&json!({"type": "BOOKMARK", "object": object})).await
    }

    async fn write(&self, event: &Value) -> Result<(), End> {
        self.sender.send(line(event)).await.map_err(|_| End::Gone)
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Watch").field("target", &self.target).finish_non_exhaustive()
    }
}

fn line(event: &Value) -> Bytes {
    let mut text = event.to_string();
    text.push('\n');
    Bytes::from(text)
}

/// Events that wait in the response, beside those that wait in the hub.
const CHUNKS: usize = 16;
/// Longest watch: the real server ends them between 30 and 60 minutes.
const TIMEOUT: Duration = Duration::from_secs(45 * 60);
const TOO_SLOW: &str = "the watch is ended: the client reads more slowly than changes happen, or the resource is no \
    longer served; list again";
