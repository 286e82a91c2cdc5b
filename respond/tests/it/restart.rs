//! Whatever dies, every alert is delivered at least once, and under one id.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use event::alert::Severity;

use crate::receiver::{Answer, Receiver};
use crate::{Stage, alert, folder, webhook};

#[test]
fn killed_in_mid_flight_delivers_after_restart() {
    let folder = folder();
    // The receiver outlives the process that is killed.
    let world = tokio::runtime::Runtime::new().expect("a runtime");
    let slow = || Answer { after: Duration::from_millis(200), ..Answer::status(204) };
    let receiver = world.block_on(Receiver::start((0..8).map(|_| slow())));
    let alerts: Vec<_> = (0..12).map(|number| alert(number, Severity::High)).collect();

    let killed = tokio::runtime::Runtime::new().expect("a runtime");
    killed.block_on(async {
        let stage = Stage::start(&folder, vec![webhook(&folder, &receiver.url())], 1_000).await;
        stage.respond.record(&alerts, &[]).await.expect("recorded");
        receiver.until(6).await;
    });
    // No shutdown, no settlement: every task stops where it stands.
    killed.shutdown_background();
    let before = receiver.received().len();
    assert!((6..12).contains(&before), "{before} requests before the end");

    world.block_on(async {
        // The same second: what was claimed has not run out, and is taken over.
        let stage = Stage::start(&folder, vec![webhook(&folder, &receiver.url())], 1_000).await;
        let again = stage.respond.record(&alerts, &[]).await.expect("recorded again");
        assert!(again.is_empty(), "a replay records nothing twice");
        crate::until("an empty outbox", || async {
            stage.state.pending("soc").await.expect("counted") == 0
        })
        .await;
        stage.stop().await;
    });
    let mut ids_of_alert = BTreeMap::<String, BTreeSet<String>>::new();
    for received in receiver.received() {
        let alert = received.json()["data"]["id"].to_string();
        ids_of_alert.entry(alert).or_default().insert(received.id);
    }
    assert_eq!(ids_of_alert.len(), alerts.len(), "none is lost");
    assert!(ids_of_alert.values().all(|ids| ids.len() == 1), "none has two ids");
}

#[tokio::test]
async fn graceful_stop_lets_attempts_end() {
    let folder = folder();
    let slow = Answer { after: Duration::from_millis(300), ..Answer::status(204) };
    let receiver = Receiver::start([slow]).await;
    let mut stage = Stage::start(&folder, vec![webhook(&folder, &receiver.url())], 1_000).await;
    stage.respond.record(&[alert(1, Severity::High)], &[]).await.expect("recorded");
    receiver.until(1).await;
    stage.stopped().await;
    assert_eq!(stage.state.pending("soc").await.expect("counted"), 0, "it was settled");
    stage.stop().await;
}
