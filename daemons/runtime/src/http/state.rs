//! `/debug/state`: the state of a daemon as JSON, put together without holding up its owner.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metallb_core::keys::ServiceKey;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::{Limits, listen, serve};

/// A request for the state. Its owner sees to it that somebody answers.
#[derive(Debug)]
pub struct DebugState {
    /// The one service that is asked about, with everything that was weighed; `None`: all of them, in short.
    pub service: Option<ServiceKey>,
    /// Takes the JSON; `None` when the service is not known.
    pub answer: oneshot::Sender<Option<String>>,
}

impl DebugState {
    /// Answers with the state; `None` when the service is not known.
    pub fn answer(self, state: Option<&impl Serialize>) {
        let json = state.map(serde_json::to_string).transpose();
        let sent = match json {
            Ok(json) => self.answer.send(json).is_ok(),
            Err(error) => return tracing::error!(%error, "the state cannot be written as JSON"),
        };
        if !sent {
            tracing::debug!("the reader of the state went away");
        }
    }

    /// Has the owner of the state explain services, not too many at once: `width` is how many nodes or pools are weighed
    /// for each. What else there is to do comes in between, so each explanation is of its own moment. `None` when the
    /// owner or who asked is gone.
    pub async fn explain<E, T>(
        &self,
        owner: &mpsc::Sender<Piece<E>>,
        mut services: Vec<ServiceKey>,
        width: usize,
        show: impl Fn(E) -> T,
    ) -> Option<Vec<T>> {
        services.sort_unstable();
        let mut shown = Vec::with_capacity(services.len());
        for services in services.chunks(at_once(width)) {
            if self.answer.is_closed() {
                tracing::debug!("the reader of the state went away");
                return None;
            }
            let (answer, waiting) = oneshot::channel();
            owner.send(Piece { services: services.to_vec(), answer }).await.ok()?;
            shown.extend(waiting.await.ok()?.into_iter().map(&show));
        }
        Some(shown)
    }
}

/// A request for the explanations of some services.
#[derive(Debug)]
pub struct Piece<E> {
    /// The services.
    pub services: Vec<ServiceKey>,
    /// Takes their explanations; those that are not known any more are left out.
    pub answer: oneshot::Sender<Vec<E>>,
}

fn at_once(width: usize) -> usize {
    WEIGHED_AT_ONCE.checked_div(width).unwrap_or(MOST_AT_ONCE).clamp(1, MOST_AT_ONCE)
}

/// Serves `/debug/state` and `/debug/state/NAMESPACE/NAME` on `address`, if there is one.
///
/// # Errors
/// When the socket cannot be opened; the message names address and flag.
pub async fn serve_debug(
    address: Option<SocketAddr>,
    states: mpsc::Sender<DebugState>,
) -> anyhow::Result<()> {
    let Some(address) = address else { return Ok(()) };
    let listener = listen(address, "--pprof-bind-address").await?;
    tokio::spawn(serve(listener, router(states), Limits::small(), None));
    Ok(())
}

fn router(states: mpsc::Sender<DebugState>) -> Router {
    Router::new()
        .route("/debug/state", get(whole))
        .route("/debug/state/{namespace}/{name}", get(one))
        .with_state(states)
}

async fn whole(State(states): State<mpsc::Sender<DebugState>>) -> Response {
    answer(&states, None).await
}

async fn one(
    State(states): State<mpsc::Sender<DebugState>>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    answer(&states, Some(ServiceKey::new(&namespace, &name))).await
}

async fn answer(states: &mpsc::Sender<DebugState>, service: Option<ServiceKey>) -> Response {
    let (answer, waiting) = oneshot::channel();
    let asked = async {
        states.send(DebugState { service: service.clone(), answer }).await.ok()?;
        waiting.await.ok()
    };
    match tokio::time::timeout(STATE_LIMIT, asked).await.ok().flatten() {
        Some(Some(json)) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Some(None) => {
            let service = service.as_ref().map(ToString::to_string).unwrap_or_default();
            (StatusCode::NOT_FOUND, format!("no service {service:?} is known here\n")).into_response()
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "the daemon is busy or stopping\n").into_response(),
    }
}

/// Nodes or pools that the owner weighs before it goes on with other things: less than a millisecond's work.
const WEIGHED_AT_ONCE: usize = 4096;

/// Services that it explains before that, however little there is to weigh.
const MOST_AT_ONCE: usize = 32;

/// Time for the whole answer.
const STATE_LIMIT: Duration = Duration::from_secs(25);

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn get(router: Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn what_is_weighed_at_once_is_bounded() {
        let bounds = [(0, 32), (1, 32), (100, 32), (128, 32), (129, 31), (4096, 1), (10_000, 1)];
        for (width, services) in bounds {
            assert_eq!(at_once(width), services, "{width} nodes or pools");
        }
    }

    #[tokio::test]
    async fn an_owner_that_is_gone_is_no_answer() {
        let (states, receiver) = mpsc::channel(1);
        drop(receiver);
        let (status, text) = get(router(states), "/debug/state").await;
        assert_eq!(
            (status, text.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "the daemon is busy or stopping\n")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_does_not_answer_is_not_waited_for() {
        let (states, _receiver) = mpsc::channel(1);
        assert_eq!(get(router(states), "/debug/state").await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn the_service_of_the_path_is_asked_for() {
        let (states, mut asked) = mpsc::channel::<DebugState>(1);
        let owner = tokio::spawn(async move {
            for known in [true, false] {
                let DebugState { service, answer } = asked.recv().await.unwrap();
                assert_eq!(service, Some(ServiceKey::new("default", "web")));
                answer.send(known.then(|| "{}".to_owned())).unwrap();
            }
            assert_eq!(asked.recv().await.unwrap().service, None);
        });
        assert_eq!(
            get(router(states.clone()), "/debug/state/default/web").await,
            (StatusCode::OK, "{}".to_owned())
        );
        let missing = (StatusCode::NOT_FOUND, "no service \"default/web\" is known here\n".to_owned());
        assert_eq!(get(router(states.clone()), "/debug/state/default/web").await, missing);
        assert_eq!(get(router(states), "/debug/state").await.0, StatusCode::SERVICE_UNAVAILABLE);
        owner.await.unwrap();
    }

    #[tokio::test]
    async fn services_are_explained_in_pieces_and_in_order() {
        let (owner, mut pieces) = mpsc::channel::<Piece<ServiceKey>>(1);
        let answering = tokio::spawn(async move {
            let mut sizes = Vec::new();
            while let Some(Piece { services, answer }) = pieces.recv().await {
                sizes.push(services.len());
                // One of them has gone meanwhile.
                answer.send(services.into_iter().filter(|key| key.name() != "s7").collect()).unwrap();
            }
            sizes
        });
        let services =
            (0..100).rev().map(|number| ServiceKey::new("default", format!("s{number}"))).collect();
        let (asked, _waiting) = asked();
        let shown =
            asked.explain(&owner, services, 1000, |key: ServiceKey| key.name().to_owned()).await.unwrap();
        drop(owner);
        assert_eq!(answering.await.unwrap(), [4; 25]);
        assert_eq!(shown.len(), 99);
        assert!(shown.is_sorted());
    }

    #[tokio::test]
    async fn an_owner_that_goes_meanwhile_is_no_explanation() {
        let (owner, mut pieces) = mpsc::channel::<Piece<()>>(1);
        tokio::spawn(async move { drop(pieces.recv().await) });
        let (asked, _waiting) = asked();
        assert_eq!(asked.explain(&owner, vec![ServiceKey::new("a", "b")], 1, |()| ()).await, None);
    }

    /// Otherwise impatient readers leave behind more work than one can ask for.
    #[tokio::test]
    async fn nothing_more_is_explained_to_a_reader_that_went_away() {
        let (owner, mut pieces) = mpsc::channel::<Piece<ServiceKey>>(1);
        let (asked, waiting) = asked();
        let services = (0..100).map(|number| ServiceKey::new("default", format!("s{number}"))).collect();
        let explaining = tokio::spawn(async move { asked.explain(&owner, services, 1000, |key| key).await });
        let first = pieces.recv().await.unwrap();
        drop(waiting);
        first.answer.send(first.services).unwrap();
        assert!(pieces.recv().await.is_none());
        assert_eq!(explaining.await.unwrap(), None);
    }

    fn asked() -> (DebugState, oneshot::Receiver<Option<String>>) {
        let (answer, waiting) = oneshot::channel();
        (DebugState { service: None, answer }, waiting)
    }
}
