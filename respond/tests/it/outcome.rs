//! What receivers answer, and what comes of it.

use std::time::Duration;

use event::alert::Severity;
use state::DeliveryStatus;

use crate::receiver::{Answer, Receiver};
use crate::{Stage, alert, folder, until, webhook};

async fn settled(stage: &Stage, number: u64, attempts: usize) -> state::Delivery {
    let id = alert(number, Severity::Low).id;
    until("attempts", || async {
        let deliveries = stage.state.deliveries(id).await.expect("read");
        deliveries.first().is_some_and(|delivery| delivery.attempts.len() >= attempts)
    })
    .await;
    stage.state.deliveries(id).await.expect("read").remove(0)
}

#[tokio::test]
async fn failure_is_tried_again_under_the_same_id() {
    let folder = folder();
    let receiver = Receiver::start([Answer::status(500), Answer::status(401)]).await;
    let stage = Stage::start(&folder, vec![webhook(&folder, &receiver.url())], 1_000).await;
    stage.respond.record(&[alert(1, Severity::High)], &[]).await.expect("recorded");
    settled(&stage, 1, 1).await;
    stage.advance(4);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.received().len(), 1, "not before its time");
    stage.advance(2);
    settled(&stage, 1, 2).await;
    stage.advance(361);
    let received = receiver.until(3).await;
    assert!(received.iter().all(|it| it.id == received[0].id && it.body == received[0].body));
    let times: Vec<_> = received.iter().map(|it| it.timestamp.as_str()).collect();
    assert_eq!(times, ["1000", "1006", "1367"], "each attempt is signed with its own time");
    assert!(received.iter().all(|it| it.signature == it.expected_signature(&crate::KEYS[0])));
    let delivery = settled(&stage, 1, 3).await;
    assert_eq!(delivery.status, DeliveryStatus::Delivered);
    let metrics = stage.metrics();
    for line in [
        "respond_attempts_total{channel=\"soc\",outcome=\"failed\"} 2",
        "respond_attempts_total{channel=\"soc\",outcome=\"delivered\"} 1",
        "respond_delivery_seconds_count{channel=\"soc\"} 1",
        "respond_channel_disabled{channel=\"soc\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    until("an empty outbox", || async {
        stage.metrics().contains("respond_outbox_depth{channel=\"soc\"} 0")
    })
    .await;
    stage.stop().await;
}

#[tokio::test]
async fn receiver_that_asks_for_time_gets_it() {
    let folder = folder();
    let date = "Thu, 01 Jan 1970 00:20:00 GMT";
    let answers = [Answer::status(429).header("retry-after", 60)];
    let dated = [Answer::status(503).header("retry-after", date)];
    for (answers, wait) in [(answers, 60), (dated, 200)] {
        let receiver = Receiver::start(answers).await;
        let folder_of_state = crate::folder();
        let settings = vec![webhook(&folder, &receiver.url())];
        let stage = Stage::start(&folder_of_state, settings, 1_000).await;
        stage.respond.record(&[alert(1, Severity::High)], &[]).await.expect("recorded");
        let delivery = settled(&stage, 1, 1).await;
        let next = delivery.next_attempt.expect("waits").0 / 1_000_000 - 1_000;
        assert!((wait..=wait * 6 / 5).contains(&next), "{next} seconds");
        stage.respond.record(&[alert(2, Severity::Critical)], &[]).await.expect("recorded");
        stage.advance(wait - 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(receiver.received().len(), 1, "nothing else is sent to it either");
        stage.advance(wait / 5 + 2);
        receiver.until(3).await;
        stage.stop().await;
    }
}

#[tokio::test]
async fn redirect_is_refused_and_not_followed() {
    let folder = folder();
    let elsewhere = Receiver::start([]).await;
    let answers = [307, 301].map(|it| Answer::status(it).header("location", elsewhere.url()));
    let receiver = Receiver::start(answers).await;
    let stage = Stage::start(&folder, vec![webhook(&folder, &receiver.url())], 1_000).await;
    let alerts = [alert(1, Severity::High), alert(2, Severity::Low)];
    stage.respond.record(&alerts, &[]).await.expect("recorded");
    for number in [1, 2] {
        let delivery = settled(&stage, number, 1).await;
        assert_eq!(delivery.status, DeliveryStatus::Refused);
        assert!(delivery.attempts[0].detail.contains("redirects are not followed"));
    }
    assert!(elsewhere.received().is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn gone_receiver_disables_its_channel_until_replaced() {
    let folder = folder();
    let receiver = Receiver::start([Answer::status(410)]).await;
    let stage = Stage::start(&folder, vec![webhook(&folder, &receiver.url())], 1_000).await;
    stage.respond.record(&[alert(1, Severity::High)], &[]).await.expect("recorded");
    settled(&stage, 1, 1).await;
    stage.respond.record(&[alert(2, Severity::High)], &[]).await.expect("recorded");
    stage.advance(1_000_000);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.received().len(), 1);
    let disabled = stage.state.disabled_channels().await.expect("read");
    assert_eq!((disabled[0].channel.as_str(), disabled.len()), ("soc", 1));
    assert!(disabled[0].reason.contains("410"), "{}", disabled[0].reason);
    assert!(stage.metrics().contains("respond_channel_disabled{channel=\"soc\"} 1"));
    stage.stop().await;

    let same = Stage::start(&folder, vec![webhook(&folder, &receiver.url())], 2_000_000).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.received().len(), 1, "a restart does not enable it");
    same.stop().await;

    let replacement = Receiver::start([]).await;
    let settings = vec![webhook(&folder, &replacement.url())];
    let stage = Stage::start(&folder, settings, 2_000_000).await;
    replacement.until(2).await;
    assert!(stage.state.disabled_channels().await.expect("read").is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn hostile_answers_are_bounded_and_plain() {
    let folder = folder();
    let mut hostile = Answer::status(500);
    hostile.body = "\u{1b}[2J\r\nlevel=error \u{202e}\0".repeat(1_000_000).into_bytes();
    let mut binary = Answer::status(422);
    binary.body = vec![0xff; 100_000];
    let receiver = Receiver::start([hostile, binary]).await;
    let stage = Stage::start(&folder, vec![webhook(&folder, &receiver.url())], 1_000).await;
    stage.respond.record(&[alert(1, Severity::High)], &[]).await.expect("recorded");
    let delivery = settled(&stage, 1, 1).await;
    let detail = &delivery.attempts[0].detail;
    assert!(detail.starts_with("the receiver answered 500: [2J"), "{detail}");
    assert!(detail.chars().count() < 300 && !detail.contains('\u{202e}'), "{detail}");
    assert!(!detail.chars().any(char::is_control), "{detail}");
    stage.respond.record(&[alert(2, Severity::High)], &[]).await.expect("recorded");
    assert_eq!(settled(&stage, 2, 1).await.status, DeliveryStatus::Refused);
    stage.stop().await;
}

#[tokio::test]
async fn silent_receiver_is_given_up_in_time_and_dead_one_at_the_end() {
    let folder = folder();
    let silent = Answer { after: Duration::from_secs(60), ..Answer::status(204) };
    let receiver = Receiver::start([silent]).await;
    let mut settings = webhook(&folder, &receiver.url());
    settings.limits.timeout_seconds = 1;
    let stage = Stage::start(&folder, vec![settings.clone()], 1_000).await;
    stage.respond.record(&[alert(1, Severity::High)], &[]).await.expect("recorded");
    let delivery = settled(&stage, 1, 1).await;
    assert_eq!(delivery.attempts[0].outcome, "failed");
    assert!(!delivery.attempts[0].detail.contains("http"), "the address may be a secret");
    stage.stop().await;

    let dead = webhook(&folder, "http://127.0.0.1:1/hook");
    let stage = Stage::start(&folder, vec![dead], 2_000).await;
    for attempts in 2..=10 {
        stage.advance(30 * 3_600);
        settled(&stage, 1, attempts).await;
    }
    let delivery = settled(&stage, 1, 10).await;
    assert_eq!(delivery.status, DeliveryStatus::Refused);
    assert!(delivery.attempts[9].detail.starts_with("given up after 10 attempts"));
    stage.stop().await;
}
