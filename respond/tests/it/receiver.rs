//! A receiver on port 0: keeps what it is sent, and answers what it is told to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Response};
use axum::routing::post;
use hmac::{Hmac, Mac};

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) timestamp: String,
    pub(crate) signature: String,
    pub(crate) body: Vec<u8>,
    pub(crate) client: SocketAddr,
    pub(crate) at: Instant,
}

/// What to answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) after: Duration,
}

#[derive(Clone, Default)]
pub(crate) struct Receiver {
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    address: Option<SocketAddr>,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: vec![], body: vec![], after: Duration::ZERO }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

impl Receiver {
    /// Answers in turn, then 204.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        let receiver = Self { answers, address: Some(address), ..Default::default() };
        let serving = receiver.clone();
        let hook = move |client: ConnectInfo<SocketAddr>, headers: HeaderMap, body: Bytes| {
            let serving = serving.clone();
            async move { serving.answer(client.0, &headers, &body).await }
        };
        let router = Router::new().route("/hook", post(hook));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address.expect("started"))
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("not poisoned").clone()
    }

    pub(crate) async fn until(&self, count: usize) -> Vec<Received> {
        crate::until("requests", || async { self.received().len() >= count }).await;
        self.received()
    }

    async fn answer(&self, client: SocketAddr, headers: &HeaderMap, body: &[u8]) -> Response<Body> {
        let header = |name: &str| {
            headers.get(name).map_or("", |value| value.to_str().expect("text")).to_owned()
        };
        let received = Received {
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
            body: body.to_vec(),
            client,
            at: Instant::now(),
        };
        self.received.lock().expect("not poisoned").push(received);
        let next = self.answers.lock().expect("not poisoned").pop_front();
        let answer = next.unwrap_or_else(|| Answer::status(204));
        tokio::time::sleep(answer.after).await;
        let mut response = Response::builder().status(answer.status);
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        response.body(Body::from(answer.body)).expect("a response")
    }
}

impl Received {
    /// The signature that the specification asks for, computed without the code under test.
    pub(crate) fn expected_signature(&self, key: &[u8]) -> String {
        use base64::Engine;
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("any length");
        let mut signed = format!("{}.{}.", self.id, self.timestamp).into_bytes();
        signed.extend_from_slice(&self.body);
        mac.update(&signed);
        let signature = mac.finalize().into_bytes();
        format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(signature))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}
