//! What counting costs under a flood, in entries that were touched; no clock decides a test.

use std::borrow::Cow;

use event::{EventId, Timestamp};

use super::hits::touched;
use super::tests::collection;
use super::{Correlations, Limits};

const LIMITS: Limits = Limits { groups_max: 10_000, hits_max: 1_000 };
const BURST: &str =
    "type: event_count, rules: [a], group-by: [user], timespan: 2m, condition: { gte: 8 }";
const SPRAY: &str = "type: value_count, rules: [a], group-by: [net], timespan: 1h, condition: { \
     field: user, gte: 5 }";
const FIVE: &str =
    "type: event_count, rules: [a], group-by: [user, net], timespan: 30m, condition: { gte: 5 }";
const SUCCESS: &str =
    "type: temporal_ordered, rules: [c2, b], group-by: [user, net], timespan: 30m";
const ORDER: &str = "type: temporal_ordered, rules: [a, b], group-by: [net], timespan: 30m";

fn correlations(rules: &[&str]) -> Correlations {
    Correlations::new(&collection(rules), LIMITS).expect("the rules can be counted")
}

/// Entries touched per event by `count` events, ten a second.
fn touched_per_event(
    correlations: &mut Correlations,
    count: u64,
    rule: impl Fn(u64) -> &'static str,
    user: impl Fn(u64) -> String,
) -> f64 {
    let before = touched();
    for n in 0..count {
        let user = user(n);
        let field = |name: &str| match name {
            "user" => Some(Cow::Borrowed(user.as_str())),
            "net" => Some(Cow::Borrowed("10.1.2.0/24")),
            _ => None,
        };
        let time = Timestamp(n as i64 * 100_000);
        correlations.count(time, EventId::default().at(n), &[rule(n)], &field);
    }
    (touched() - before) as f64 / count as f64
}

#[test]
fn distinct_names_cost_the_same_however_many() {
    let cost = |count| {
        let mut correlations = correlations(&[BURST, SPRAY, FIVE, SUCCESS]);
        let cost = touched_per_event(&mut correlations, count, |_| "a", |n| format!("user-{n}"));
        assert!(correlations.groups() <= LIMITS.groups_max);
        // Two groups by name and one by network.
        let evicted = (2 * count + 1).saturating_sub(LIMITS.groups_max as u64);
        assert!(correlations.evictions() >= evicted);
        cost
    };
    let (few, many) = (cost(1_000), cost(120_000));
    assert!(many < few * 1.2 && many < 50.0, "{few} entries an event became {many}");
}

#[test]
fn the_network_of_a_flood_stays_counted_and_says_at_least() {
    let mut correlations = correlations(&[BURST, SPRAY]);
    touched_per_event(&mut correlations, 30_000, |_| "a", |n| format!("user-{n}"));
    let field = |_: &str| Some(Cow::Borrowed("10.1.2.0/24"));
    let fired = correlations.count(Timestamp(3_000_000_000), EventId::default(), &["a"], &field);
    assert_eq!(fired.len(), 1, "the network is used most, so it made no room");
    assert_eq!((fired[0].value, fired[0].at_least), (1_000, true));
    let fired = correlations.count(Timestamp(9_000_000_000), EventId::default(), &["a"], &field);
    assert!(fired.is_empty(), "the window has passed");
}

#[test]
fn a_long_burst_costs_the_same_to_its_end() {
    let cost = |count, user: fn(u64) -> String| {
        let rules = [BURST, SPRAY, FIVE, SUCCESS, ORDER];
        let step = |n| if n % 3 == 0 { "b" } else { "a" };
        touched_per_event(&mut correlations(&rules), count, step, user)
    };
    for user in [|_| "bo".to_owned(), |n| format!("user-{}", n * 7_919 % 2_000)] {
        let (few, many) = (cost(10_000, user), cost(100_000, user));
        // The windows of the shorter stream are not full yet.
        assert!(many < few * 2.0 && many < 100.0, "{few} entries an event became {many}");
    }
}

#[test]
fn events_in_reverse_cost_no_more_than_the_limit_of_a_group() {
    let mut correlations = correlations(&[BURST, ORDER]);
    let before = touched();
    let count = 100_000_i64;
    for n in 0..count {
        let field = |_: &str| Some(Cow::Borrowed("x"));
        let time = Timestamp((count - n) * 100_000);
        correlations.count(time, EventId::default(), &[["a", "b"][n as usize % 2]], &field);
    }
    let cost = (touched() - before) as f64 / count as f64;
    assert!(cost < 100.0, "{cost} entries an event");
}

#[test]
fn a_name_of_a_megabyte_takes_the_room_of_a_short_one() {
    let mut correlations = correlations(&[BURST, SPRAY]);
    let name = |n: u64| "ü".repeat(500_000) + &n.to_string();
    touched_per_event(&mut correlations, 40, |_| "a", |n| name(n % 4));
    let state = rmp_serde::to_vec(&correlations.state()).expect("plain data");
    assert!(state.len() < 10_000, "{} bytes", state.len());
    let user = name(0);
    let field = |_: &str| Some(Cow::Borrowed(user.as_str()));
    let fired = correlations.count(Timestamp(4_000_000), EventId::default().at(99), &["a"], &field);
    assert_eq!(fired[0].value, 11, "names that differ at their end are two");
    assert_eq!(fired[0].group[0].1.len(), 255, "cut between two letters");
}
