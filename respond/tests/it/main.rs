//! The stage against a real receiver on this machine.

mod delivery;
mod destination;
mod file;
mod outcome;
mod receiver;
mod restart;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use event::alert::{Detector, Explanation, Severity};
use event::vocabulary::{CaseChange, CauseFamily, Evidence};
use event::{Alert, EventId, Timestamp};
use prometheus_client::registry::Registry;
use respond::channel::ChannelKind;
use respond::channel::webhook::WebhookSettings;
use respond::{ChannelSettings, Respond, RespondMetrics, RespondSettings};
use secret::SecretSource;
use state::State;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Keys of the secrets in the folder's files `0` and `1`.
const KEYS: [[u8; 32]; 2] = [[1; 32], [2; 32]];

/// A running stage with a clock that tests set.
struct Stage {
    respond: Arc<Respond>,
    sending: JoinSet<()>,
    state: State,
    registry: Registry,
    seconds: Arc<AtomicI64>,
    shutdown: CancellationToken,
}

impl Stage {
    /// Starts over the state in the folder, at the given second.
    async fn start(folder: &TempDir, channels: Vec<ChannelSettings>, at: i64) -> Self {
        let path = folder.path().join("state.sqlite");
        let state = State::open(&path).await.expect("a state");
        let seconds = Arc::new(AtomicI64::new(at));
        let ticking = Arc::clone(&seconds);
        let clock = Arc::new(move || second(ticking.load(Ordering::SeqCst)));
        let mut registry = Registry::default();
        let metrics = RespondMetrics::register(&mut registry);
        let shutdown = CancellationToken::new();
        let settings = RespondSettings { channels };
        let respond = Respond::start(&settings, state.clone(), metrics, clock).await;
        let (respond, mut sending) = (Arc::new(respond.expect("started")), JoinSet::new());
        for channel in settings.channels {
            let (respond, shutdown) = (Arc::clone(&respond), shutdown.clone());
            sending.spawn(async move { respond.send(&channel.name, shutdown).await });
        }
        Self { respond, sending, state, registry, seconds, shutdown }
    }

    /// Moves the clock on and has the channels look.
    fn advance(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
        self.respond.wake();
    }

    async fn stop(mut self) {
        self.stopped().await;
        self.state.close().await;
    }

    /// Tells the channels to stop and waits for them.
    async fn stopped(&mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.sending.join_next().await {
            ended.expect("a channel ends");
        }
    }

    /// What the metrics endpoint would show.
    fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("text");
        text
    }
}

/// A folder with the secrets in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (number, key) in KEYS.iter().enumerate() {
        let secret = format!("whsec_{}\n", STANDARD.encode(key));
        std::fs::write(folder.path().join(number.to_string()), secret).expect("written");
    }
    folder
}

/// A channel to a receiver on this machine.
fn webhook(folder: &TempDir, url: &str) -> ChannelSettings {
    channel(&webhook_settings(folder, url))
}

fn webhook_settings(folder: &TempDir, url: &str) -> WebhookSettings {
    let secrets = vec![SecretSource::File(folder.path().join("0"))];
    WebhookSettings { url: url.into(), secrets, allow_private: true }
}

fn channel(settings: &WebhookSettings) -> ChannelSettings {
    ChannelSettings::new("soc", ChannelKind::new(settings).expect("settings"))
}

fn alert(number: u64, severity: Severity) -> Alert {
    Alert {
        id: EventId::of(&[b"alert", &number.to_le_bytes()]),
        case_id: EventId([8; 16]),
        change: CaseChange::Opened,
        family: CauseFamily::Exfiltration,
        cause: "table cards".into(),
        time: second(number as i64),
        first_time: second(number as i64),
        rule: "D01".into(),
        title: "bulk read".into(),
        severity,
        detector: Detector::Rule,
        identity: Some("ann".into()),
        instance: "orders".into(),
        database: None,
        user: Some("app".into()),
        client: None,
        application: None,
        session: None,
        statement: Some("SELECT * FROM cards".into()),
        fingerprint: None,
        evidence: Evidence::A,
        events: vec![EventId([7; 16])],
        event_count: 1,
        explanation: Explanation::default(),
        attack: vec![],
        controls: vec![],
        risk: 50.0,
        models: vec![],
    }
}

fn second(second: i64) -> Timestamp {
    Timestamp(0).plus_seconds(second)
}

/// Waits until the condition holds; fails after ten seconds.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    for _ in 0..2_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain for {what}");
}
