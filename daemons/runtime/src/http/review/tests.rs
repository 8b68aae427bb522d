//! An API server that knows two tokens, and what scrapers get.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;

/// What the API server was asked, and whether it answers.
#[derive(Clone, Default)]
struct Server {
    questions: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: axum::http::Request<kube::client::Body>| {
            let server = server.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let review: Value = serde_json::from_slice(&body).unwrap();
                Ok::<_, Infallible>(server.answer(&path, &review))
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, path: &str, review: &Value) -> axum::http::Response<Body> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        let (status, answer) = match path {
            _ if self.down.load(Ordering::Relaxed) => (500, json!({ "kind": "Status", "code": 500 })),
            "/apis/authentication.k8s.io/v1/tokenreviews" => {
                let user = match review["spec"]["token"].as_str().unwrap() {
                    "good" => json!({ "username": "prometheus", "uid": "1", "groups": ["monitoring"] }),
                    "other" => json!({ "username": "mallory" }),
                    _ => Value::Null,
                };
                let status = json!({ "authenticated": !user.is_null(), "user": user });
                (201, json!({ "spec": {}, "status": status, "metadata": {} }))
            }
            "/apis/authorization.k8s.io/v1/subjectaccessreviews" => {
                let wanted = json!({
                    "user": "prometheus", "uid": "1", "groups": ["monitoring"],
                    "nonResourceAttributes": { "path": "/metrics", "verb": "get" },
                });
                let status = json!({ "allowed": review["spec"] == wanted });
                (201, json!({ "spec": {}, "status": status, "metadata": {} }))
            }
            other => panic!("{other}"),
        };
        axum::http::Response::builder().status(status).body(Body::from(answer.to_string())).unwrap()
    }

    fn router(&self) -> Router {
        let guard = axum::middleware::from_fn_with_state(Reviewer::new(self.client()), Reviewer::guard);
        Router::new().route("/metrics", get(async || "samples")).layer(guard)
    }
}

/// Status and text of the answer to a scrape.
async fn scrape(router: &Router, authorization: Option<&str>) -> (u16, String) {
    let mut request = axum::http::Request::get("/metrics");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(text.to_vec()).unwrap())
}

#[tokio::test]
async fn a_token_that_may_scrape_gets_samples_and_is_asked_about_once() {
    let server = Server::default();
    let router = server.router();
    for value in ["Bearer good", "bearer good", "BEARER  good"] {
        assert_eq!(scrape(&router, Some(value)).await, (200, "samples".to_owned()));
    }
    assert_eq!(server.questions.load(Ordering::Relaxed), 2, "one review each");
}

#[tokio::test]
async fn without_a_known_token_the_answer_is_401() {
    let server = Server::default();
    let router = server.router();
    for value in [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Basic Z29vZA=="), Some("good")] {
        let (status, text) = scrape(&router, value).await;
        assert!(status == 401 && text.contains("Authorization: Bearer TOKEN"), "{value:?}: {status} {text}");
    }
    assert_eq!(server.questions.load(Ordering::Relaxed), 0);
    let (status, text) = scrape(&router, Some("Bearer made-up")).await;
    assert!(status == 401 && text.contains("does not know this token"), "{status} {text}");
}

#[tokio::test]
async fn a_token_without_the_right_gets_403_with_its_owners_name() {
    let router = Server::default().router();
    let (status, text) = scrape(&router, Some("Bearer other")).await;
    assert_eq!((status, text.as_str()), (403, "mallory may not get /metrics\n"));
}

#[tokio::test]
async fn while_the_api_server_fails_nobody_new_gets_in_and_then_they_do() {
    let server = Server::default();
    let router = server.router();
    server.down.store(true, Ordering::Relaxed);
    let (status, text) = scrape(&router, Some("Bearer good")).await;
    assert!(status == 500 && text.contains("cannot ask the API server"), "{status} {text}");
    server.down.store(false, Ordering::Relaxed);
    assert_eq!(scrape(&router, Some("Bearer good")).await.0, 200);
    server.down.store(true, Ordering::Relaxed);
    assert_eq!(scrape(&router, Some("Bearer good")).await.0, 200, "for a minute");
}

#[tokio::test]
async fn made_up_tokens_cost_the_api_server_little() {
    let server = Server::default();
    let router = server.router();
    let mut busy = 0;
    for number in 0..500 {
        let (status, _) = scrape(&router, Some(&format!("Bearer {number}"))).await;
        assert!(status == 401 || status == 429, "{status}");
        busy += usize::from(status == 429);
    }
    assert!(busy > 300, "{busy}");
    assert!(server.questions.load(Ordering::Relaxed) < 200);
}
