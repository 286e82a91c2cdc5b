//! Cases: the latest telling, whatever is replayed; what people decided, whatever is told.

use std::collections::BTreeSet;

use event::alert::Severity;
use event::decision::{DecisionError, DecisionKind, Disposition};
use event::vocabulary::CauseFamily;
use event::{Case, Decision};
use proptest::prelude::*;
use proptest::test_runner::Config;
use state::{
    CaseFilter, CaseStatus, DecideError, KeptCase, PAGE_MAX, State, TriageChange, VerdictChange,
};

use crate::{alert, case, case_id, new_state, seconds};

async fn tell(state: &State, cases: &[Case], now: i64) {
    state.record(&[], cases, |_| vec![], seconds(now)).await.expect("recorded");
}

async fn kept(state: &State, number: u64) -> KeptCase {
    state.case(case_id(number)).await.expect("read").expect("there")
}

async fn decide(
    state: &State,
    number: u64,
    change: TriageChange,
    now: i64,
) -> Result<Option<(KeptCase, Option<Decision>)>, DecideError> {
    state.decide(case_id(number), &change, "ann", seconds(now)).await
}

fn stands(status: CaseStatus) -> TriageChange {
    TriageChange { status: Some(status), ..TriageChange::default() }
}

#[tokio::test]
async fn the_latest_telling_is_kept() {
    let (_folder, state) = new_state().await;
    tell(&state, &[case(1, 3, 30, Severity::High), case(1, 5, 50, Severity::High)], 60).await;
    tell(&state, &[case(1, 4, 40, Severity::Critical)], 70).await;
    assert_eq!(kept(&state, 1).await.case, case(1, 5, 50, Severity::High));
    let mut reworded = case(1, 5, 50, Severity::High);
    reworded.risk = f64::NAN;
    tell(&state, &[reworded], 80).await;
    assert_eq!(kept(&state, 1).await.case.risk, 0.0, "of equal tellings the newer one");
    assert_eq!(state.case(case_id(2)).await.expect("read"), None);
}

#[tokio::test]
async fn decisions_survive_tellings_and_a_graver_one_opens_again() {
    let (folder, state) = new_state().await;
    tell(&state, &[case(1, 1, 10, Severity::Medium)], 10).await;
    let change = TriageChange {
        status: Some(CaseStatus::Closed),
        owner: Some(Some("ann\u{202e}".into())),
        note: Some(Some("'; DROP TABLE cases; --\n\0".into())),
        verdict: None,
    };
    let (decided, decision) = decide(&state, 1, change, 20).await.expect("decided").expect("found");
    assert_eq!((decided.triage.status, decision), (CaseStatus::Closed, None));
    tell(&state, &[case(1, 9, 90, Severity::Medium)], 30).await;
    let same = kept(&state, 1).await;
    assert_eq!((same.case.signals, same.triage.clone()), (9, decided.triage));
    assert_eq!(same.triage.note.as_deref(), Some("'; DROP TABLE cases; --\n\u{fffd}"));
    tell(&state, &[case(1, 8, 80, Severity::Critical)], 40).await;
    assert_eq!(kept(&state, 1).await.triage.status, CaseStatus::Closed, "an earlier telling");
    tell(&state, &[case(1, 10, 99, Severity::High)], 50).await;
    state.close().await;
    let state = State::open(&folder.path().join("state.sqlite")).await.expect("opened again");
    let opened = kept(&state, 1).await.triage;
    assert_eq!((opened.status, opened.reopened), (CaseStatus::Open, Some(seconds(50))));
    assert_eq!(opened.owner.as_deref(), Some("ann\u{202e}"));
    decide(&state, 1, stands(CaseStatus::Acknowledged), 60).await.expect("decided");
    tell(&state, &[case(1, 11, 100, Severity::Critical)], 70).await;
    assert_eq!(kept(&state, 1).await.triage.status, CaseStatus::Acknowledged, "was not closed");
    let nobody = TriageChange { owner: Some(None), note: Some(None), ..TriageChange::default() };
    let (freed, _) = decide(&state, 1, nobody, 80).await.expect("decided").expect("found");
    assert_eq!((freed.triage.owner, freed.triage.note), (None, None));
    let counts = state.counts().await.expect("counted");
    assert_eq!(counts.cases, [(CaseStatus::Acknowledged, Severity::Critical, 1)]);
}

#[tokio::test]
async fn verdicts_have_reasons_and_enter_the_stream() {
    let (_folder, state) = new_state().await;
    tell(&state, &[case(1, 2, 10, Severity::High)], 10).await;
    let verdict = |rule: Option<&str>, cause: Option<&str>, reason: &str| TriageChange {
        verdict: Some(VerdictChange {
            verdict: Disposition::Benign,
            reason: reason.into(),
            rule: rule.map(Into::into),
            cause: cause.map(Into::into),
        }),
        ..TriageChange::default()
    };
    for (change, expected) in [
        (verdict(None, None, " "), DecideError::Decision(DecisionError::Missing("reason"))),
        (verdict(Some("D99"), None, "why"), DecideError::NoSuchCause),
        (verdict(None, Some("program /opt/7.sh"), "why"), DecideError::NoSuchCause),
        (TriageChange::default(), DecideError::Nothing),
        (
            TriageChange { owner: Some(Some("a\nb".into())), ..Default::default() },
            DecideError::Owner,
        ),
        (
            TriageChange { note: Some(Some("é".repeat(4_001))), ..Default::default() },
            DecideError::Note,
        ),
    ] {
        let refused = decide(&state, 1, change, 20).await.expect_err("refused");
        assert_eq!(refused.to_string(), expected.to_string());
    }
    assert_eq!(kept(&state, 1).await.triage.decided, None, "what is refused changes nothing");
    assert!(decide(&state, 7, stands(CaseStatus::Closed), 20).await.expect("read").is_none());
    let change = verdict(None, Some("program /opt/1.sh"), "announced in the change log");
    let (decided, decision) = decide(&state, 1, change, 20).await.expect("decided").expect("found");
    assert_eq!(decided.triage.verdict, Some(Disposition::Benign));
    assert_eq!(decided.triage.reason.as_deref(), Some("announced in the change log"));
    let decision = decision.expect("a verdict is a decision");
    let DecisionKind::Verdict(told) = &decision.kind else { panic!("{decision:?}") };
    assert_eq!((told.rule.as_str(), told.case_id), ("D01", case_id(1)));
    assert_eq!(told.causes, ["program /opt/1.sh"]);
    assert_eq!((decision.author.as_str(), decision.time), ("ann", seconds(20)));
    assert_eq!(state.unpublished_decisions(9).await.expect("read"), [decision]);
    let change = verdict(None, None, "all of it was announced");
    let (_, decision) = decide(&state, 1, change, 30).await.expect("decided").expect("found");
    let DecisionKind::Verdict(told) = decision.expect("a decision").kind else { panic!() };
    let listed = kept(&state, 1).await.case.causes.into_iter().map(|cause| cause.cause);
    assert_eq!(told.causes, listed.collect::<Vec<_>>());
}

#[tokio::test]
async fn filters_narrow_the_page() {
    let (_folder, state) = new_state().await;
    let mut cases: Vec<_> = (0..6).map(|n| case(n, 1, n as i64, Severity::Low)).collect();
    let mut hostile = case(7, 2, 7, Severity::Critical);
    hostile.title = "50%_off '; DROP TABLE cases; -- ÄRGER".into();
    hostile.identity = Some("o'brien\0".into());
    hostile.rule = "C04\0".into();
    hostile.family = CauseFamily::Tampering;
    hostile.causes[1].cause = "x".repeat(1 << 20);
    cases.push(hostile);
    tell(&state, &cases, 9).await;
    decide(&state, 3, stands(CaseStatus::Acknowledged), 10).await.expect("decided");
    decide(&state, 4, stands(CaseStatus::Closed), 10).await.expect("decided");
    let any = CaseFilter::default;
    let (severe, person) = (Some(Severity::High), Some("person0".into()));
    let statuses = vec![CaseStatus::Acknowledged, CaseStatus::Closed];
    let range = CaseFilter { from: Some(seconds(2)), to: Some(seconds(4)), ..any() };
    for (filter, expected) in [
        (any(), vec![7, 5, 4, 3, 2, 1, 0]),
        (CaseFilter { severity_min: severe, ..any() }, vec![7]),
        (CaseFilter { severities: vec![Severity::Low, Severity::High], ..any() }, {
            vec![5, 4, 3, 2, 1, 0]
        }),
        (CaseFilter { statuses, ..any() }, vec![4, 3]),
        (CaseFilter { family: Some(CauseFamily::Tampering), ..any() }, vec![7]),
        (CaseFilter { rule: Some("C04\0".into()), ..any() }, vec![7]),
        (CaseFilter { identity: person, ..any() }, vec![4, 2, 0]),
        (CaseFilter { identity: Some("o'brien\0".into()), ..any() }, vec![7]),
        (CaseFilter { instance: Some("' OR TRUE --".into()), ..any() }, vec![]),
        (range, vec![3, 2]),
        (CaseFilter { text: Some("%_OFF".into()), ..any() }, vec![7]),
        (CaseFilter { text: Some("ärger".into()), ..any() }, vec![7]),
        (CaseFilter { text: Some("/OPT/0.SH".into()), ..any() }, vec![7, 5, 4, 3, 2, 1, 0]),
    ] {
        let page = state.cases(&filter, 100, None).await.expect("a page");
        let found: Vec<i64> = page.cases.iter().map(|it| it.case.updated.0 / 1_000_000).collect();
        assert_eq!(found, expected, "{filter:?}");
        let by_id = state.cases_by_id(&filter, 100, None).await.expect("a page");
        let ids: Vec<_> = by_id.iter().map(|it| it.case.id).collect();
        assert!(ids.is_sorted() && ids.len() == expected.len(), "{filter:?}");
    }
}

#[test]
fn pages_join_to_the_whole_list_in_order() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let cases = prop::collection::vec((0u64..60, 1u64..9, -5i64..5), 0..60);
    let config = Config { cases: 8, ..Config::default() };
    proptest!(config, |(tellings in cases, limit in 1usize..20)| {
        runtime.block_on(async {
            let (_folder, state) = new_state().await;
            let read = |&(n, signals, at)| case(n, signals, at, Severity::Low);
            let told: Vec<_> = tellings.iter().map(read).collect();
            tell(&state, &told, 0).await;
            let ids: BTreeSet<_> = told.iter().map(|it| it.id).collect();
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                let filter = CaseFilter::default();
                let page = state.cases(&filter, limit, cursor).await.expect("a page");
                seen.extend(page.cases.iter().map(|it| (it.case.updated, it.case.id)));
                let Some(next) = page.next else { break };
                cursor = Some(next.to_string().parse().expect("a cursor"));
            }
            assert_eq!(seen.len(), ids.len());
            assert!(seen.is_sorted_by(|left, right| left > right));
            let (mut by_id, mut after) = (Vec::new(), None);
            loop {
                let filter = CaseFilter::default();
                let some = state.cases_by_id(&filter, limit, after).await.expect("a page");
                let Some(last) = some.last() else { break };
                after = Some(last.case.id);
                by_id.extend(some.iter().map(|it| it.case.id));
                // What grows while someone reads is neither missed nor seen twice.
                tell(&state, &[case(3, 99, 99, Severity::Low)], 1).await;
            }
            let mut expected = ids.clone();
            if !told.is_empty() && by_id.contains(&case_id(3)) {
                expected.insert(case_id(3));
            }
            assert_eq!(by_id, expected.into_iter().collect::<Vec<_>>());
            let kept = told.iter().filter(|it| it.id != case_id(3));
            for telling in kept {
                let most = told.iter().filter(|it| it.id == telling.id).map(|it| it.signals).max();
                let found = state.case(telling.id).await.expect("read").expect("there");
                assert_eq!(Some(found.case.signals), most, "the latest telling");
            }
        });
    });
}

/// Batches of hundreds, each told twice: more cases than any page or cache holds.
#[tokio::test]
async fn many_cases_are_kept_once_each() {
    let (_folder, state) = new_state().await;
    for signals in [1, 2] {
        for first in (0..10_000u64).step_by(400) {
            let told = (first..first + 400).map(|n| case(n, signals, n as i64, Severity::High));
            tell(&state, &told.collect::<Vec<_>>(), 0).await;
        }
    }
    let counts = state.counts().await.expect("counted");
    assert_eq!(counts.cases, [(CaseStatus::Open, Severity::High, 10_000)]);
    let page = state.cases(&CaseFilter::default(), usize::MAX, None).await.expect("a page");
    assert_eq!(page.cases.len(), PAGE_MAX);
    assert!(page.cases.iter().all(|kept| kept.case.signals == 2));
}

#[tokio::test]
async fn cases_go_when_their_alerts_have_gone() {
    let (_folder, state) = new_state().await;
    let alerts = [alert(1, 10, Severity::Low), alert(2, 20, Severity::Low)];
    let cases = [case(0, 1, 20, Severity::Low), case(1, 1, 10, Severity::Low)];
    state.record(&alerts, &cases, |_| vec!["soc".into()], seconds(30)).await.expect("recorded");
    state.delivered(alerts[0].id, "soc", seconds(31)).await.expect("written");
    let forgotten = state.forget(seconds(25), 9).await.expect("forgotten");
    assert_eq!((forgotten.alerts, forgotten.cases), (0, 0), "recorded lately");
    let forgotten = state.forget(seconds(50), 9).await.expect("forgotten");
    assert_eq!((forgotten.alerts, forgotten.cases), (1, 1), "the other alert still waits");
    assert!(state.case(case_id(1)).await.expect("read").is_none());
    state.delivered(alerts[1].id, "soc", seconds(51)).await.expect("written");
    let forgotten = state.forget(seconds(50), 9).await.expect("forgotten");
    assert_eq!((forgotten.alerts, forgotten.cases), (1, 1));
}
