//! A receiver of webhooks that believes no signature it has not computed itself.
#![allow(dead_code, reason = "the bench of latency looks at more of it than the tests")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

/// One delivery whose signature was right.
pub struct Delivery {
    pub id: String,
    pub alert: Value,
    pub received: SystemTime,
}

/// The receiver, on a port of its own until it is dropped.
pub struct Receiver {
    pub url: String,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
    _runtime: tokio::runtime::Runtime,
    pub started: Instant,
}

impl Receiver {
    pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    pub fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let deliveries = Arc::new(Mutex::new(Vec::new()));
        let kept = deliveries.clone();
        let take = move |headers: HeaderMap, body: Bytes| {
            let kept = kept.clone();
            async move {
                let Some(delivery) = verified(&headers, &body) else {
                    return StatusCode::UNAUTHORIZED;
                };
                kept.lock().expect("not poisoned").push(delivery);
                StatusCode::NO_CONTENT
            }
        };
        let bind = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = runtime.block_on(bind).expect("a port");
        let url = format!("http://{}/alerts", listener.local_addr().expect("an address"));
        let router = axum::Router::new().route("/alerts", post(take));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, deliveries, _runtime: runtime, started: Instant::now() }
    }

    /// Rules that were told of.
    pub fn rules(&self) -> BTreeSet<String> {
        let deliveries = self.deliveries.lock().expect("not poisoned");
        let rules = deliveries.iter().filter_map(|delivery| delivery.alert["rule"].as_str());
        rules.map(str::to_owned).collect()
    }

    /// Deliveries with a right signature, and different webhook ids among them.
    pub fn signatures(&self) -> (usize, usize) {
        let deliveries = self.deliveries.lock().expect("not poisoned");
        let ids: BTreeSet<&str> = deliveries.iter().map(|delivery| delivery.id.as_str()).collect();
        (deliveries.len(), ids.len())
    }

    /// Different alerts that were told of.
    pub fn alerts(&self) -> usize {
        let deliveries = self.deliveries.lock().expect("not poisoned");
        let ids: BTreeSet<String> =
            deliveries.iter().map(|delivery| delivery.alert["id"].to_string()).collect();
        ids.len()
    }

    /// Whom the alerts are about.
    pub fn users(&self) -> BTreeSet<String> {
        let deliveries = self.deliveries.lock().expect("not poisoned");
        let users = deliveries.iter().filter_map(|delivery| delivery.alert["user"].as_str());
        users.map(str::to_owned).collect()
    }

    /// When each alert arrived.
    pub fn take(&self) -> Vec<Delivery> {
        std::mem::take(&mut *self.deliveries.lock().expect("not poisoned"))
    }
}

/// The delivery, if the signature is that of the Standard Webhooks specification.
fn verified(headers: &HeaderMap, body: &[u8]) -> Option<Delivery> {
    let header = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
    let key = STANDARD.decode(Receiver::SECRET.strip_prefix("whsec_")?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let is_right = header("webhook-signature")?.split(' ').any(|given| given == expected);
    let body: Value = serde_json::from_slice(body).ok()?;
    let alert = body["data"].get("alert").unwrap_or(&body["data"]).clone();
    is_right.then(|| Delivery { id, alert, received: SystemTime::now() })
}
