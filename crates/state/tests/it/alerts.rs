//! Alerts: once by id, and every page in one order.

use std::collections::BTreeSet;

use event::alert::Severity;
use event::vocabulary::CauseFamily;
use proptest::prelude::*;
use proptest::test_runner::Config;
use state::{AlertFilter, PAGE_MAX};

use crate::{alert, case_id, new_state, seconds};

#[tokio::test]
async fn recorded_once_by_id() {
    let (_folder, state) = new_state().await;
    let alerts = [alert(1, 10, Severity::High), alert(2, 20, Severity::Low)];
    let channels = |_: &event::Alert| vec!["soc".to_owned()];
    let first = state.record(&alerts, &[], channels, seconds(30)).await.expect("recorded");
    assert_eq!(first, [alerts[0].id, alerts[1].id]);
    let twice = [alerts[0].clone(), alert(3, 5, Severity::Low), alert(3, 5, Severity::Low)];
    let second = state.record(&twice, &[], channels, seconds(40)).await.expect("recorded");
    assert_eq!(second, [twice[1].id]);
    assert_eq!(state.pending("soc").await.expect("counted"), 3);
    let counts = state.counts().await.expect("counted");
    assert_eq!(counts.alerts, [(Severity::Low, 2), (Severity::High, 1)]);
    assert_eq!(state.alert(alerts[0].id).await.expect("read"), Some(alerts[0].clone()));
}

#[tokio::test]
async fn concurrent_recorders_agree_on_what_is_new() {
    let (_folder, state) = new_state().await;
    let alerts: Vec<_> = (0..20).map(|number| alert(number, 0, Severity::Low)).collect();
    let mut recorders = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (state, alerts) = (state.clone(), alerts.clone());
        recorders.spawn(async move {
            let mut new = 0;
            for chunk in alerts.chunks(3) {
                let ids = state.record(chunk, &[], |_| vec!["soc".into()], seconds(1)).await;
                new += ids.expect("recorded").len();
            }
            new
        });
    }
    let new: usize = recorders.join_all().await.into_iter().sum();
    assert_eq!(new, alerts.len());
    assert_eq!(state.pending("soc").await.expect("counted"), alerts.len() as u64);
}

#[tokio::test]
async fn filters_narrow_the_page() {
    let (_folder, state) = new_state().await;
    let mut hostile = alert(7, 7, Severity::Critical);
    hostile.title = "50%_off\0 \u{202e}'; DROP TABLE alerts; -- ÄRGER".into();
    hostile.identity = Some("o'brien\0".into());
    hostile.risk = f64::INFINITY;
    let mut alerts: Vec<_> = (0..6).map(|n| alert(n, n as i64, Severity::Low)).collect();
    alerts.push(hostile.clone());
    state.record(&alerts, &[], |_| vec![], seconds(9)).await.expect("recorded");
    let cases = [
        (AlertFilter { severity_min: Some(Severity::High), ..Default::default() }, vec![7]),
        (AlertFilter { rule: Some("D01".into()), ..Default::default() }, vec![7, 4, 1]),
        (AlertFilter { identity: Some("o'brien\0".into()), ..Default::default() }, vec![7]),
        (AlertFilter { identity: Some("person0".into()), ..Default::default() }, vec![4, 2, 0]),
        (AlertFilter { instance: Some("other".into()), ..Default::default() }, vec![]),
        (AlertFilter { case: Some(case_id(0)), ..Default::default() }, vec![4, 2, 0]),
        (AlertFilter { family: Some(CauseFamily::Impact), ..Default::default() }, vec![]),
        (AlertFilter { severities: vec![Severity::Critical], ..Default::default() }, vec![7]),
        (AlertFilter { text: Some("TABLE T5".into()), ..Default::default() }, vec![5]),
        (
            AlertFilter { from: Some(seconds(2)), to: Some(seconds(4)), ..Default::default() },
            vec![3, 2],
        ),
        (AlertFilter { text: Some("%_OFF".into()), ..Default::default() }, vec![7]),
        (AlertFilter { text: Some("ärger".into()), ..Default::default() }, vec![7]),
        (AlertFilter { text: Some("select 5".into()), ..Default::default() }, vec![5]),
        (AlertFilter { text: Some("' OR 1=1 --".into()), ..Default::default() }, vec![]),
    ];
    for (filter, expected) in cases {
        let page = state.alerts(&filter, 100, None).await.expect("a page");
        let found: Vec<i64> = page.alerts.iter().map(|it| it.time.0 / 1_000_000).collect();
        assert_eq!(found, expected, "{filter:?}");
        assert_eq!(page.next, None);
    }
    let kept = state.alert(hostile.id).await.expect("read").expect("there");
    assert_eq!((kept.title, kept.risk), (hostile.title, 0.0));
}

#[test]
fn pages_join_to_the_whole_list_in_order() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let cases = prop::collection::vec((0u64..200, -5i64..5), 0..60);
    let config = Config { cases: 12, ..Config::default() };
    proptest!(config, |(numbers in cases, limit in 1usize..20, late in 0u64..1000)| {
        runtime.block_on(async {
            let (_folder, state) = new_state().await;
            let alerts: Vec<_> =
                numbers.iter().map(|&(n, time)| alert(n, time, Severity::Low)).collect();
            state.record(&alerts, &[], |_| vec![], seconds(0)).await.expect("recorded");
            let mut seen = Vec::new();
            let mut cursor = None;
            loop {
                let filter = AlertFilter::default();
                let page = state.alerts(&filter, limit, cursor).await.expect("a page");
                assert!(page.alerts.len() <= limit);
                seen.extend(page.alerts.iter().map(|it| (it.time, it.id)));
                let Some(next) = page.next else { break };
                cursor = Some(next.to_string().parse().expect("a cursor"));
                // What arrives while someone pages, and is newer, does not shift the pages.
                let newer = alert(1_000 + late + seen.len() as u64, 100, Severity::Low);
                state.record(&[newer], &[], |_| vec![], seconds(0)).await.expect("recorded");
            }
            let ids: BTreeSet<_> = alerts.iter().map(|it| it.id).collect();
            assert_eq!(seen.len(), ids.len());
            assert!(seen.is_sorted_by(|left, right| left > right));
        });
    });
}

#[tokio::test]
async fn pages_are_bounded() {
    let (_folder, state) = new_state().await;
    let alerts: Vec<_> = (0..1_100).map(|number| alert(number, 0, Severity::Low)).collect();
    state.record(&alerts, &[], |_| vec![], seconds(0)).await.expect("recorded");
    let page = state.alerts(&AlertFilter::default(), usize::MAX, None).await.expect("a page");
    assert_eq!(page.alerts.len(), PAGE_MAX);
    assert!(page.next.is_some());
}
