//! The outbox: claimed by one, in order, until delivered or refused; across restarts.

use event::alert::Severity;
use state::{DeliveryStatus, State};

use crate::{alert, new_state, seconds};

async fn claim(state: &State, now: i64) -> Vec<i64> {
    let due = state.claim_due("soc", seconds(now), seconds(now + 60), 2).await.expect("claimed");
    due.iter().map(|due| due.alert.time.0 / 1_000_000).collect()
}

#[tokio::test]
async fn claims_the_worst_then_the_oldest_and_each_once() {
    let (_folder, state) = new_state().await;
    let alerts = [
        alert(1, 1, Severity::Low),
        alert(2, 3, Severity::Critical),
        alert(3, 2, Severity::Critical),
        alert(4, 4, Severity::High),
    ];
    state.record(&alerts, &[], |_| vec!["soc".into()], seconds(5)).await.expect("recorded");
    assert_eq!(claim(&state, 4).await, [0i64; 0]);
    assert_eq!(state.next_due("soc").await.expect("read"), Some(seconds(5)));
    assert_eq!(claim(&state, 5).await, [2, 3]);
    assert_eq!(claim(&state, 5).await, [4, 1]);
    assert_eq!(claim(&state, 5).await, [0i64; 0]);
    assert_eq!(state.next_due("soc").await.expect("read"), Some(seconds(65)));
    assert_eq!(claim(&state, 65).await, [2, 3], "leases run out");
    state.release_claims("soc").await.expect("released");
    assert_eq!(claim(&state, 66).await, [2, 3], "claims of the dead are given back");
}

#[tokio::test]
async fn attempts_are_kept_until_the_end() {
    let (folder, state) = new_state().await;
    let alert = alert(1, 1, Severity::Low);
    let alerts = std::slice::from_ref(&alert);
    state.record(alerts, &[], |_| vec!["soc".into()], seconds(2)).await.expect("recorded");
    assert_eq!(claim(&state, 2).await, [1]);
    let reason = format!("500\r\n\u{1b}[2J{}", "x".repeat(9_999));
    state.failed(alert.id, "soc", seconds(3), seconds(8), &reason).await.expect("written");
    assert_eq!(claim(&state, 7).await, [0i64; 0]);
    state.close().await;
    let state = State::open(&folder.path().join("state.sqlite")).await.expect("opened again");
    let due = state.claim_due("soc", seconds(8), seconds(9), 9).await.expect("claimed");
    assert_eq!((due[0].attempt, due[0].recorded), (2, seconds(2)));
    state.delivered(alert.id, "soc", seconds(9)).await.expect("written");
    state.refused(alert.id, "soc", seconds(10), "too late").await.expect("ignored");
    let deliveries = state.deliveries(alert.id).await.expect("read");
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].status, DeliveryStatus::Delivered);
    assert_eq!(deliveries[0].next_attempt, None);
    let attempts: Vec<_> =
        deliveries[0].attempts.iter().map(|it| (it.number, it.outcome.as_str())).collect();
    assert_eq!(attempts, [(1, "failed"), (2, "delivered")]);
    let detail = &deliveries[0].attempts[0].detail;
    assert!(detail.len() == 500 && detail.starts_with("500   [2Jxx"), "{detail}");
    assert_eq!(state.next_due("soc").await.expect("read"), None);
}

#[tokio::test]
async fn disabled_channels_keep_their_deliveries() {
    let (_folder, state) = new_state().await;
    let alerts = [alert(1, 1, Severity::Low)];
    let channels = |_: &event::Alert| vec!["soc".to_owned(), "it".to_owned()];
    state.record(&alerts, &[], channels, seconds(2)).await.expect("recorded");
    state.disable_channel("soc", "target", "410 gone", seconds(3)).await.expect("off");
    state.disable_channel("soc", "target", "again", seconds(4)).await.expect("off");
    assert_eq!(claim(&state, 5).await, [0i64; 0]);
    assert_eq!(state.next_due("soc").await.expect("read"), None);
    assert_eq!(state.next_due("it").await.expect("read"), Some(seconds(2)));
    let disabled = state.disabled_channels().await.expect("read");
    assert_eq!((disabled.len(), disabled[0].reason.as_str()), (1, "410 gone"));
    assert_eq!(state.pending("soc").await.expect("counted"), 1);
    assert!(state.enable_channel("soc").await.expect("on"));
    assert!(!state.enable_channel("soc").await.expect("on"));
    assert_eq!(claim(&state, 5).await, [1]);
}

#[tokio::test]
async fn old_alerts_are_forgotten_once_delivered() {
    let (_folder, state) = new_state().await;
    let alerts: Vec<_> = (1..=4).map(|n| alert(n, n as i64, Severity::Low)).collect();
    state.record(&alerts[..3], &[], |_| vec!["soc".into()], seconds(5)).await.expect("recorded");
    state.record(&alerts[3..], &[], |_| vec![], seconds(90)).await.expect("recorded");
    for alert in &alerts[..2] {
        state.delivered(alert.id, "soc", seconds(6)).await.expect("written");
    }
    assert_eq!(state.forget(seconds(5), 9).await.expect("forgotten").alerts, 0);
    assert_eq!(state.forget(seconds(50), 1).await.expect("forgotten").alerts, 1);
    assert_eq!(state.forget(seconds(50), 9).await.expect("forgotten").alerts, 1);
    assert_eq!(state.alert(alerts[1].id).await.expect("read"), None);
    assert!(state.deliveries(alerts[1].id).await.expect("read").is_empty());
    assert!(state.alert(alerts[2].id).await.expect("read").is_some(), "still waits");
    assert!(state.alert(alerts[3].id).await.expect("read").is_some(), "recorded lately");
}
