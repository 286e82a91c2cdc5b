//! Decisions: kept once, taken to the bus in order, withdrawn by others.

use event::decision::{ChangeWindow, DecisionKind, Exception, Scope};
use event::{Decision, EventId};
use state::{DecideError, DecisionFilter, State};

use crate::{new_state, seconds};

fn exception(at: i64, identity: &str, expires: Option<i64>) -> Decision {
    let scope = Scope { identity: Some(identity.into()), ..Scope::default() };
    let expires = expires.map(seconds);
    let exception = Exception { scope, reason: "nightly load".into(), expires };
    Decision::new(seconds(at), "ann", DecisionKind::Exception(exception))
}

fn window(at: i64, from: i64, until: i64) -> Decision {
    let scope = Scope { instance: Some("orders".into()), ..Scope::default() };
    let (from, until, reason) = (seconds(from), seconds(until), "release 7".into());
    let window = ChangeWindow { scope, from, until, reason };
    Decision::new(seconds(at), "ann", DecisionKind::ChangeWindow(window))
}

fn withdrawal(at: i64, decision: EventId) -> Decision {
    Decision::new(seconds(at), "bob", DecisionKind::Withdrawn { decision })
}

async fn active(state: &State, kind: Option<&'static str>, at: i64) -> Vec<EventId> {
    let filter = DecisionFilter { kind, active_at: Some(seconds(at)), case: None };
    let page = state.list_decisions(&filter, 100, None).await.expect("a page");
    page.decisions.iter().map(|kept| kept.decision.id).collect()
}

#[tokio::test]
async fn published_once_in_the_order_in_which_they_were_made() {
    let (folder, state) = new_state().await;
    // Clocks are set back: the order is that of writing all the same.
    let first = exception(50, "'; DROP TABLE decisions; --\0", None);
    let second = exception(10, "etl*", Some(90));
    let third = withdrawal(5, second.id);
    for decision in [&first, &second, &third] {
        assert!(state.add_decision(decision).await.expect("kept"));
        assert!(!state.add_decision(decision).await.expect("known"));
    }
    let expected = [first.clone(), second, third.clone()];
    assert_eq!(state.unpublished_decisions(9).await.expect("read"), expected);
    assert_eq!(state.unpublished_decisions(1).await.expect("read"), expected[..1]);
    state.published(&[expected[0].id, expected[1].id]).await.expect("written");
    state.close().await;
    let state = State::open(&folder.path().join("state.sqlite")).await.expect("opened again");
    assert_eq!(state.unpublished_decisions(9).await.expect("read"), [third]);
    let kept = state.decision(first.id).await.expect("read").expect("there");
    assert_eq!((kept.decision, kept.published, kept.withdrawn), (first, true, None));
}

#[tokio::test]
async fn hold_from_their_begin_until_they_expire_or_are_withdrawn() {
    let (_folder, state) = new_state().await;
    let (endless, short) = (exception(10, "a", None), exception(11, "b", Some(20)));
    let window = window(12, 30, 40);
    for decision in [&endless, &short, &window] {
        state.add_decision(decision).await.expect("kept");
    }
    assert_eq!(active(&state, None, 9).await, []);
    assert_eq!(active(&state, None, 19).await, [short.id, endless.id]);
    assert_eq!(active(&state, None, 20).await, [endless.id]);
    assert_eq!(active(&state, Some("change_window"), 30).await, [window.id]);
    assert_eq!(active(&state, Some("change_window"), 40).await, []);
    let withdrawn = withdrawal(35, endless.id);
    state.add_decision(&withdrawn).await.expect("kept");
    assert_eq!(active(&state, Some("exception"), 34).await, [endless.id]);
    assert_eq!(active(&state, Some("exception"), 35).await, []);
    for (again, of) in [(36, endless.id), (37, withdrawn.id), (38, EventId([9; 16]))] {
        let refused = state.add_decision(&withdrawal(again, of)).await.expect_err("refused");
        assert!(matches!(refused, DecideError::NotHeld(id) if id == of), "{refused}");
    }
    let whole = state.list_decisions(&DecisionFilter::default(), 2, None).await.expect("a page");
    let rest = state.list_decisions(&DecisionFilter::default(), 2, whole.next).await;
    let rest = rest.expect("a page");
    assert_eq!((whole.decisions.len(), rest.decisions.len(), rest.next), (2, 2, None));
}

#[tokio::test]
async fn what_is_wrong_is_not_kept_and_what_is_over_is_forgotten() {
    let (_folder, state) = new_state().await;
    let wrong = exception(10, "*", None);
    let refused = state.add_decision(&wrong).await.expect_err("refused");
    assert!(refused.to_string().contains("matches everything"), "{refused}");
    let (endless, short) = (exception(10, "a", None), exception(11, "b", Some(20)));
    for decision in [&endless, &short, &withdrawal(12, short.id)] {
        state.add_decision(decision).await.expect("kept");
    }
    assert_eq!(state.forget_decisions(seconds(99), 9).await.expect("forgotten"), 0, "not sent");
    let ids: Vec<_> = state.unpublished_decisions(9).await.expect("read");
    let ids: Vec<_> = ids.iter().map(|decision| decision.id).collect();
    state.published(&ids).await.expect("written");
    assert_eq!(state.forget_decisions(seconds(12), 9).await.expect("forgotten"), 0);
    assert_eq!(state.forget_decisions(seconds(99), 9).await.expect("forgotten"), 2);
    assert_eq!(active(&state, None, 99).await, [endless.id]);
    let next = exception(100, "c", None);
    state.add_decision(&next).await.expect("kept");
    assert_eq!(state.unpublished_decisions(9).await.expect("read"), [next]);
}
