//! Correlations out of order, over restarts, at their limits, and with wrong rules.

use std::borrow::Cow;

use event::{EventId, Timestamp};
use proptest::prelude::*;
use rsigma_parser::SigmaCollection;

use super::{Correlations, Firing, Limits, State};

const SINGLES: &str = r"
title: A
id: a
name: name-of-a
logsource: { category: database }
detection: { s: { kind: a }, condition: s }
---
title: B
id: b
logsource: { category: database }
detection: { s: { kind: b }, condition: s }
";
const BURST: &str =
    "type: event_count, rules: [name-of-a], group-by: [user], timespan: 60s, condition: { gte: 3 }";
const SPRAY: &str = "type: value_count, rules: [a], group-by: [net], timespan: 60s, condition: { \
     field: user, gte: 3 }";
const ORDER: &str = "type: temporal_ordered, rules: [a, b], group-by: [user], timespan: 60s";
const BOTH: &str = "type: temporal, rules: [a, b], group-by: [user], timespan: 60s";
const LIMITS: Limits = Limits { groups_max: 1_000, hits_max: 100 };
const DAY: i64 = 86_400;

/// The single rules `a` and `b`, and correlations `c0`, `c1`, …
pub(super) fn collection(correlations: &[&str]) -> SigmaCollection {
    let mut text = SINGLES.to_owned();
    for (index, correlation) in correlations.iter().enumerate() {
        text += &format!("---\ntitle: C{index}\nid: c{index}\ncorrelation: {{ {correlation} }}\n");
    }
    let parsed = rsigma_parser::parse_sigma_yaml(&text).expect("the rules are YAML");
    parsed.into_result().expect("the rules are Sigma")
}

fn correlations(rules: &[&str]) -> Correlations {
    Correlations::new(&collection(rules), LIMITS).expect("the rules can be counted")
}

#[derive(Clone, Debug)]
struct Hit {
    seconds: i64,
    rule: &'static str,
    user: &'static str,
    net: &'static str,
}

fn a(seconds: i64, user: &'static str) -> Hit {
    Hit { seconds, rule: "a", user, net: "net" }
}

fn b(seconds: i64, user: &'static str) -> Hit {
    Hit { rule: "b", ..a(seconds, user) }
}

/// Counts hits; the event at position n has id n.
fn count(correlations: &mut Correlations, hits: &[Hit], first: u64) -> Vec<Vec<Firing>> {
    let positioned = hits.iter().zip(first..);
    let firings = positioned.map(|(hit, position)| {
        let field = |name: &str| match name {
            "user" => Some(Cow::Borrowed(hit.user)),
            "net" => Some(Cow::Borrowed(hit.net)),
            "rows" => Some(Cow::Borrowed("7")),
            _ => None,
        };
        correlations.count(Timestamp(hit.seconds * 1_000_000), id(position), &[hit.rule], &field)
    });
    firings.collect()
}

fn id(position: u64) -> EventId {
    EventId::default().at(position)
}

/// What the last of `hits` fires: the values.
fn last(rules: &[&str], hits: &[Hit]) -> Vec<i64> {
    let fired = count(&mut correlations(rules), hits, 0);
    fired.last().expect("a hit").iter().map(|firing| firing.value).collect()
}

#[test]
fn a_firing_names_its_group_window_and_events() {
    let hits: Vec<Hit> = (0..25).map(|seconds| a(seconds, "bo")).collect();
    let fired = count(&mut correlations(&[BURST]), &hits, 0);
    let expected = Firing {
        sigma_id: "c0".into(),
        group: vec![("user".into(), "bo".into())],
        value: 25,
        at_least: false,
        window_seconds: 60,
        first_time: Timestamp(0),
        events: (5..25).map(id).collect(),
    };
    assert_eq!(fired.iter().filter(|firings| !firings.is_empty()).count(), 23, "fires from 3 on");
    assert_eq!(fired[24], [expected]);
}

#[test]
fn a_late_event_takes_its_place_in_the_window() {
    assert_eq!(last(&[BURST], &[a(100, "bo"), a(130, "bo"), a(70, "bo")]), [3]);
    assert!(last(&[BURST], &[a(100, "bo"), a(131, "bo"), a(70, "bo")]).is_empty(), "61 s apart");
    assert_eq!(last(&[SPRAY], &[a(100, "bo"), a(130, "ana"), a(70, "cy")]), [3]);
    // A value counts with its newest event, whichever came last.
    let late = [a(100, "bo"), a(50, "bo"), a(130, "ana"), a(131, "cy"), a(155, "di")];
    assert_eq!(last(&[SPRAY], &late), [4]);
    // The failure that came after the success happened before it, and the other way round.
    assert_eq!(last(&[ORDER], &[b(100, "bo"), a(90, "bo")]), [2]);
    assert!(last(&[ORDER], &[a(100, "bo"), b(90, "bo")]).is_empty());
}

#[test]
fn a_clock_that_jumps_days_ahead_does_not_blind() {
    for rules in [BURST, SPRAY] {
        let jumps = [a(100, "bo"), a(101, "bo"), a(3 * DAY, "bo"), a(102, "bo")];
        let names = [a(100, "bo"), a(101, "ana"), a(3 * DAY, "x"), a(102, "cy")];
        let hits = if rules == BURST { &jumps } else { &names };
        assert_eq!(last(&[rules], hits), [3], "the events before the jump still count");
    }
    let mut hits = vec![a(100, "bo"), a(3 * DAY + 100, "bo")];
    hits.extend((101..103).flat_map(|seconds| [a(seconds, "bo"), a(seconds + 3 * DAY, "bo")]));
    let fired = count(&mut correlations(&[BURST]), &hits, 0);
    let values: Vec<_> = fired.iter().flatten().map(|firing| firing.value).collect();
    assert_eq!(values, [3, 3], "each clock counts by itself");
    // Nor do the groups of others suffer, however far ahead one is.
    let others = [a(100, "ana"), a(101, "ana"), a(9 * DAY, "bo"), a(102, "ana")];
    assert_eq!(last(&[BURST], &others), [3]);
}

#[test]
fn times_at_the_ends_of_the_range_are_counted() {
    let mut correlations = correlations(&[BURST, SPRAY, ORDER]);
    let field = |_: &str| Some(Cow::Borrowed("x"));
    for time in [i64::MIN, i64::MAX, i64::MIN + 1, 0, i64::MAX - 1, i64::MIN] {
        correlations.count(Timestamp(time), id(0), &["a"], &field);
    }
    let fired = correlations.count(Timestamp(i64::MIN), id(1), &["a"], &field);
    assert!(fired.is_empty() || fired[0].value <= 4);
    assert_eq!(correlations.groups(), 3);
}

#[test]
fn temporal_needs_all_of_its_rules() {
    assert!(last(&[BOTH], &[a(0, "bo"), a(1, "bo")]).is_empty());
    assert!(last(&[BOTH], &[a(0, "bo"), b(1, "ana")]).is_empty());
    assert_eq!(last(&[BOTH], &[b(0, "bo"), a(60, "bo")]), [2]);
    assert!(last(&[BOTH], &[b(0, "bo"), a(61, "bo")]).is_empty());
}

#[test]
fn a_correlation_counts_another_and_is_given_its_events() {
    let chain = "type: temporal_ordered, rules: [c0, b], group-by: [user], timespan: 60s";
    let hits = [a(0, "bo"), a(1, "bo"), a(2, "bo"), a(3, "bo"), b(4, "bo")];
    // Parents may stand before their parts.
    for (rules, id_of_chain) in
        [([BURST, chain], "c1"), ([&chain.replace("c0", "c1"), BURST], "c0")]
    {
        let fired = count(&mut correlations(&rules), &hits, 0);
        let last = &fired[4];
        assert_eq!(last.len(), 1);
        assert_eq!(last[0].sigma_id, id_of_chain);
        assert_eq!(last[0].events, [id(2), id(3), id(4)], "where the burst held, and the log-in");
    }
}

#[test]
fn one_event_fires_a_correlation_once_per_group() {
    let mut correlations = correlations(&[
        "type: temporal, rules: [a, b], group-by: [user], timespan: 60s",
        "type: event_count, rules: [a, b], timespan: 60s, condition: { gte: 1 }",
    ]);
    let fired = correlations.count(Timestamp(0), id(0), &["a", "b"], &|_| None);
    let values: Vec<_> = fired.iter().map(|f| (f.sigma_id.as_str(), f.value)).collect();
    assert_eq!(values, [("c0", 2), ("c1", 2)]);
    assert_eq!(fired[1].events, [id(0)]);
}

#[test]
fn an_event_without_the_field_is_not_counted() {
    let mut correlations = correlations(&[SPRAY]);
    assert!(correlations.counts("a") && !correlations.counts("b"));
    let fired = correlations.count(Timestamp(0), id(0), &["a"], &|_| None);
    assert!(fired.is_empty());
    assert_eq!(correlations.groups(), 0);
}

#[test]
fn sums_are_of_whole_numbers() {
    let sum = "type: value_sum, rules: [a], timespan: 60s, condition: { field: rows, gte: 21 }";
    assert_eq!(last(&[sum], &[a(0, "x"), a(1, "x"), a(2, "x")]), [21]);
    assert!(last(&[sum], &[a(0, "x"), a(1, "x"), a(61, "x")]).is_empty());
}

fn hit() -> impl Strategy<Value = Hit> {
    let seconds = prop_oneof![8 => 0..200_i64, 1 => 3 * DAY..3 * DAY + 200];
    let users = prop::sample::select(vec!["ana", "bo", "cy", "di", "ed"]);
    let rules = prop::sample::select(vec!["a", "b"]);
    let nets = prop::sample::select(vec!["n", "m"]);
    (seconds, users, rules, nets).prop_map(|(seconds, user, rule, net)| Hit {
        seconds,
        rule,
        user,
        net,
    })
}

proptest! {
    #[test]
    fn a_restart_anywhere_changes_nothing(
        hits in prop::collection::vec(hit(), 1..120),
        splits in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        groups_max in 1..12_usize,
        hits_max in 3..8_usize,
    ) {
        let chain = "type: temporal_ordered, rules: [c0, b], group-by: [user], timespan: 90s";
        let sum = "type: value_sum, rules: [a, b], timespan: 60s, group-by: [net], condition: { \
                   field: rows, gt: 21 }";
        let rules = collection(&[BURST, SPRAY, ORDER, BOTH, chain, sum]);
        let limits = Limits { groups_max, hits_max };
        let new = || Correlations::new(&rules, limits).expect("the rules can be counted");
        let mut whole = new();
        let expected = count(&mut whole, &hits, 0);

        let mut at: Vec<usize> = splits.iter().map(|split| split.index(hits.len())).collect();
        at.extend([0, hits.len()]);
        at.sort_unstable();
        let mut parts = new();
        let mut found = Vec::new();
        for range in at.windows(2) {
            found.extend(count(&mut parts, &hits[range[0]..range[1]], range[0] as u64));
            let bytes = rmp_serde::to_vec(&parts.state()).expect("plain data");
            let state: State = rmp_serde::from_slice(&bytes).expect("just written");
            parts = new();
            parts.restore(state);
            prop_assert_eq!(rmp_serde::to_vec(&parts.state()).expect("plain data"), bytes);
        }
        prop_assert_eq!(found, expected);
        let whole = rmp_serde::to_vec(&whole.state()).expect("plain data");
        prop_assert_eq!(rmp_serde::to_vec(&parts.state()).expect("plain data"), whole);
    }
}

#[test]
fn what_a_changed_rule_has_counted_is_left_alone() {
    let mut before = correlations(&[BURST]);
    count(&mut before, &[a(0, "bo"), a(1, "bo")], 0);
    let bytes = rmp_serde::to_vec(&before.state()).expect("plain data");
    let mut after = correlations(&[&ORDER.replace("user", "net")]);
    after.restore(rmp_serde::from_slice(&bytes).expect("just written"));
    assert!(count(&mut after, &[a(2, "bo")], 2)[0].is_empty());
    assert_eq!(count(&mut after, &[b(3, "bo")], 3)[0][0].value, 2);
}

#[test]
fn a_wrong_rule_is_refused_with_the_cure() {
    let chained = |name: &str| format!("type: temporal, rules: [{name}, a], timespan: 1m");
    for (rules, message) in [
        (
            vec![
                "type: value_avg, rules: [a], timespan: 1m, condition: { field: rows, gte: 3 }"
                    .to_owned(),
            ],
            "correlation `c0` has the type `value_avg`; event_count, value_count, value_sum, \
             temporal and temporal_ordered are supported",
        ),
        (
            vec![format!("{BURST}, window: tumbling")],
            "correlation `c0` has the window `tumbling`; `sliding` is supported",
        ),
        (
            vec![BURST.replace("gte: 3", "gte: 101")],
            "correlation `c0` counts further than the 100 hits that a group keeps; lower its \
             threshold, or raise `detect.rules.group_hits_max`",
        ),
        (
            vec![SPRAY.replace("field: user, ", "")],
            "correlation `c0` counts values of no field; add `field` to its condition",
        ),
        (
            vec![chained("gone")],
            "correlation `c0` counts `gone`, which is no rule; write the id or name of one",
        ),
        (
            vec![format!("{BOTH}, condition: a and z")],
            "correlation `c0` has `z` in its condition but not in `rules`; add it there",
        ),
        (
            vec![chained("c1"), chained("c2"), chained("c1")],
            "correlation `c1` counts itself through others; break the circle",
        ),
        (
            std::iter::once(BURST.to_owned())
                .chain((0..10).map(|n| chained(&format!("c{n}"))))
                .collect(),
            "correlation `c10` is the end of a chain of more than 10; shorten it",
        ),
    ] {
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let error = Correlations::new(&collection(&rules), LIMITS).err().expect(message);
        assert_eq!(error.to_string(), message);
    }
}
