//! What a receiver gets: signed, small, in order, soon, over one connection.

use std::collections::BTreeSet;
use std::time::Instant;

use event::Alert;
use event::alert::{Fact, Severity};
use event::vocabulary::{CaseChange, CauseFamily};
use respond::channel::webhook::WebhookSettings;
use respond::{BODY_BYTES_MAX, ChannelSettings, Notification, Route};
use secret::SecretSource;

use crate::receiver::{Answer, Receiver};
use crate::{KEYS, Stage, alert, channel, folder, second, webhook, webhook_settings};

#[tokio::test]
async fn signed_by_every_secret() {
    let folder = folder();
    let receiver = Receiver::start([]).await;
    let secrets = [0, 1].map(|number| SecretSource::File(folder.path().join(number.to_string())));
    let secrets = secrets.to_vec();
    let settings = WebhookSettings { secrets, ..webhook_settings(&folder, &receiver.url()) };
    let stage = Stage::start(&folder, vec![channel(&settings)], 1_000).await;
    let sent = alert(1, Severity::High);
    stage.respond.record(std::slice::from_ref(&sent), &[]).await.expect("recorded");
    let received = receiver.until(1).await.remove(0);
    assert_eq!(received.id, format!("alert_{}", sent.id));
    assert_eq!(received.timestamp, "1000");
    let signatures: Vec<_> = received.signature.split(' ').collect();
    assert_eq!(signatures, KEYS.map(|key| received.expected_signature(&key)));
    let body = received.json();
    assert_eq!((&body["type"], &body["truncated"]), (&"case.opened".into(), &().into()));
    assert_eq!(body["timestamp"], sent.time.to_string());
    assert_eq!(serde_json::from_value::<Alert>(body["data"].clone()).expect("an alert"), sent);
    stage.stop().await;
}

#[tokio::test]
async fn routed_by_severity_rule_instance_and_family() {
    let folder = folder();
    let receiver = Receiver::start([]).await;
    let named = |name: &str, route: Route| ChannelSettings {
        name: name.into(),
        route,
        ..webhook(&folder, &receiver.url())
    };
    let any = Route::default;
    let channels = vec![
        named("severe", Route { severity_min: Severity::High, ..any() }),
        named("rule", Route { rules: vec!["D01".into(), "D09".into()], ..any() }),
        named("elsewhere", Route { instances: vec!["billing".into()], ..any() }),
        named("family", Route { families: vec![CauseFamily::Impact], ..any() }),
    ];
    let stage = Stage::start(&folder, channels, 1_000).await;
    let other = Alert { rule: "D02".into(), ..alert(3, Severity::Low) };
    let impact = Alert { family: CauseFamily::Impact, ..alert(2, Severity::Medium) };
    let alerts = [alert(1, Severity::Critical), impact, other];
    stage.respond.record(&alerts, &[]).await.expect("recorded");
    receiver.until(4).await;
    let mut told = Vec::new();
    for alert in &alerts {
        let deliveries = stage.state.deliveries(alert.id).await.expect("read");
        told.push(deliveries.into_iter().map(|it| it.channel).collect::<Vec<_>>());
    }
    assert_eq!(told, [vec!["rule", "severe"], vec!["family", "rule"], vec![]]);
    stage.stop().await;
}

#[tokio::test]
async fn what_happened_to_the_case_is_the_type() {
    let folder = folder();
    let receiver = Receiver::start([]).await;
    let stage = Stage::start(&folder, vec![webhook(&folder, &receiver.url())], 1_000).await;
    for (number, change) in (0..).zip(CaseChange::ALL.iter().copied()) {
        let event = Alert { change, ..alert(number, Severity::High) };
        stage.respond.record(&[event], &[]).await.expect("recorded");
        receiver.until(number as usize + 1).await;
    }
    let received = receiver.received();
    let types: Vec<_> = received.iter().map(|it| it.json()["type"].to_string()).collect();
    let expected = ["opened", "escalated", "extended", "amended"];
    assert_eq!(types, expected.map(|change| format!("\"case.{change}\"")));
    let case = received[0].json()["data"]["case_id"].clone();
    assert!(received.iter().all(|it| it.json()["data"]["case_id"] == case), "one case");
    stage.stop().await;
}

#[tokio::test]
async fn worst_first_over_one_connection() {
    let folder = folder();
    let receiver = Receiver::start([]).await;
    let mut settings = webhook(&folder, &receiver.url());
    settings.limits.concurrency_max = 1;
    let stage = Stage::start(&folder, vec![settings], 1_000).await;
    let alerts = [
        alert(1, Severity::Low),
        alert(3, Severity::Critical),
        alert(2, Severity::Critical),
        alert(4, Severity::Medium),
    ];
    stage.respond.record(&alerts, &[]).await.expect("recorded");
    let received = receiver.until(4).await;
    let order: Vec<String> = received.iter().map(|it| it.json()["timestamp"].to_string()).collect();
    assert_eq!(order, [2, 3, 4, 1].map(|n| format!("\"{}\"", second(n))));
    let clients: BTreeSet<_> = received.iter().map(|it| it.client).collect();
    assert_eq!(clients.len(), 1, "the connection is used again");
    stage.stop().await;
}

#[tokio::test]
async fn concurrency_is_bounded_and_used() {
    let folder = folder();
    let slow = || Answer { after: std::time::Duration::from_millis(300), ..Answer::status(204) };
    let receiver = Receiver::start((0..6).map(|_| slow())).await;
    let mut settings = webhook(&folder, &receiver.url());
    settings.limits.concurrency_max = 3;
    let stage = Stage::start(&folder, vec![settings], 1_000).await;
    let alerts: Vec<_> = (0..6).map(|number| alert(number, Severity::Low)).collect();
    stage.respond.record(&alerts, &[]).await.expect("recorded");
    receiver.until(3).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(receiver.received().len(), 3);
    receiver.until(6).await;
    stage.stop().await;
}

/// About a millisecond on an idle machine; the bound is wide, for other tests run beside it.
#[tokio::test]
async fn soon_after_it_is_recorded() {
    let folder = folder();
    let receiver = Receiver::start([]).await;
    let stage = Stage::start(&folder, vec![webhook(&folder, &receiver.url())], 1_000).await;
    let mut waits = Vec::new();
    for number in 0..30 {
        stage.respond.record(&[alert(number, Severity::High)], &[]).await.expect("recorded");
        let recorded = Instant::now();
        let received = receiver.until(waits.len() + 1).await;
        let arrived = received.last().expect("one").at;
        waits.push(arrived.saturating_duration_since(recorded));
    }
    waits.sort();
    assert!(waits[15].as_millis() < 250, "median {:?}, most {:?}", waits[15], waits[29]);
    stage.stop().await;
}

#[test]
fn large_and_hostile_alerts_become_small_bodies() {
    let hostile = ["\u{1}\u{0}\u{1b}[2J\"\\\r\n", "\u{202e}𝕏日本語", "</script>{{7*7}}${jndi:x}"];
    for (number, piece) in hostile.iter().enumerate() {
        let text = piece.repeat(2_000);
        let facts: Vec<_> = (0..100).map(|n| Fact::new(text.clone(), n)).collect();
        let mut large = alert(number as u64, Severity::Critical);
        large.title = text.clone();
        large.cause = text.clone();
        large.models = vec![text.clone(); 300];
        large.statement = Some(text.clone());
        large.identity = Some(text.clone());
        large.session = Some(text.clone());
        large.attack = vec![text.clone(); 300];
        large.events = vec![event::EventId([9; 16]); 3_000];
        large.explanation.engineer = text.clone();
        large.explanation.manager = text;
        large.explanation.observed = facts.clone();
        large.explanation.usual = facts;
        let note = Notification { alert: large.clone(), time: second(1) };
        let body = note.body().expect("a body");
        assert!(body.len() < BODY_BYTES_MAX, "{} bytes", body.len());
        let later = Notification { alert: large.clone(), time: second(9) };
        assert_eq!(body, later.body().expect("a body"), "the same for every attempt");
        let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(json["truncated"], true);
        let cut: Alert = serde_json::from_value(json["data"].clone()).expect("an alert");
        assert_eq!((cut.id, cut.severity, cut.rule), (large.id, large.severity, large.rule));
        assert!(cut.title.ends_with('…') && cut.title.chars().count() > 1);
    }
}

#[test]
fn only_the_long_texts_are_cut() {
    let mut long = alert(1, Severity::Low);
    long.explanation.engineer = "x".repeat(30_000);
    let note = Notification { alert: long.clone(), time: second(1) };
    let json: serde_json::Value =
        serde_json::from_slice(&note.body().expect("a body")).expect("JSON");
    let cut: Alert = serde_json::from_value(json["data"].clone()).expect("an alert");
    assert_eq!(cut.explanation.engineer.chars().count(), 2_001);
    long.explanation.engineer = cut.explanation.engineer.clone();
    assert_eq!(cut, long);
}
