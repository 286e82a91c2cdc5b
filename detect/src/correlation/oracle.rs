//! Correlations against rsigma's engine, which counts the same of events in the order of time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use event::{EventId, Timestamp};
use proptest::prelude::*;
use rsigma_eval::{CorrelationConfig, CorrelationEngine, JsonEvent};
use rsigma_parser::SigmaCollection;

use super::{Correlations, Limits};

const RULES: &str = r"
title: A
id: id-a
name: a
logsource: { category: database }
detection: { s: { kind: a }, condition: s }
---
title: B
id: id-b
name: b
logsource: { category: database }
detection: { s: { kind: b }, condition: s }
---
title: C
id: id-c
name: c
logsource: { category: database }
detection: { s: { kind: c }, condition: s }
---
title: burst
id: burst
name: burst-name
correlation: { type: event_count, rules: [a], group-by: [user],
   timespan: 10s, condition: { gte: 3 } }
---
title: few
id: few
correlation: { type: event_count, rules: [a, id-b], group-by: [user, net],
   timespan: 5s, condition: { lt: 3 } }
---
title: between
id: between
correlation: { type: event_count, rules: [a, b, c],
   timespan: 6s, condition: { gt: 2, lte: 5, neq: 4 } }
---
title: spray
id: spray
correlation: { type: value_count, rules: [a], group-by: [net],
   timespan: 10s, condition: { field: user, gte: 3 } }
---
title: pairs
id: pairs
correlation: { type: value_count, rules: [a, b],
   timespan: 9s, condition: { field: [user, net], eq: 4 } }
---
title: sum
id: sum
correlation: { type: value_sum, rules: [a, c], group-by: [net],
   timespan: 7s, condition: { field: rows, gt: 150 } }
---
title: both
id: both
correlation: { type: temporal, rules: [a, b], group-by: [user],
   timespan: 5s, condition: { gte: 2 } }
---
title: without
id: without
correlation: { type: temporal, rules: [a, b, c], group-by: [net],
   timespan: 4s, condition: a and not (b or c) }
---
title: order
id: order
correlation: { type: temporal_ordered, rules: [a, b, c], group-by: [net], timespan: 8s }
---
title: chain
id: chain
correlation: { type: temporal_ordered, rules: [burst-name, b], group-by: [user], timespan: 10s }
---
title: of a chain
id: of-a-chain
correlation: { type: event_count, rules: [chain], group-by: [user],
   timespan: 10s, condition: { gte: 2 } }
---
title: alias
id: alias
correlation:
  type: temporal_ordered
  rules: [a, b]
  group-by: [who]
  aliases: { who: { a: user, b: net } }
  timespan: 10s
";

#[derive(Clone, Debug)]
struct Input {
    after_seconds: i64,
    kind: usize,
    user: usize,
    net: usize,
    rows: i64,
}

fn input() -> impl Strategy<Value = Input> {
    (prop_oneof![4 => 0..3_i64, 1 => 3..15_i64], 0..3_usize, 0..4_usize, 0..2_usize, 0..90_i64)
        .prop_map(|(after_seconds, kind, user, net, rows)| Input {
            after_seconds,
            kind,
            user,
            net,
            rows,
        })
}

impl Input {
    fn field(&self, name: &str) -> Option<Cow<'static, str>> {
        Some(match name {
            "kind" => ["a", "b", "c"][self.kind].into(),
            "user" => ["ana", "bo", "cy", "net-1"][self.user].into(),
            "net" => ["net-1", "net-2"][self.net].into(),
            "rows" => self.rows.to_string().into(),
            _ => return None,
        })
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "kind": self.field("kind"),
            "user": self.field("user"),
            "net": self.field("net"),
            "rows": self.rows,
        })
    }
}

type Fired = BTreeMap<(String, Vec<(String, String)>), i64>;

fn by_rsigma(engine: &mut CorrelationEngine, input: &Input, seconds: i64) -> Fired {
    let json = input.json();
    let results = engine.process_event_at(&JsonEvent::borrow(&json), seconds);
    let fired = results.iter().filter_map(|result| {
        let body = result.as_correlation()?;
        let id = result.header.rule_id.clone()?;
        Some(((id, body.group_key.clone()), body.aggregated_value as i64))
    });
    fired.collect()
}

fn by_us(correlations: &mut Correlations, input: &Input, seconds: i64, position: u64) -> Fired {
    let matched = ["id-a", "id-b", "id-c"][input.kind];
    let event = EventId::default().at(position);
    let time = Timestamp(seconds * 1_000_000);
    let firings = correlations.count(time, event, &[matched], &|name| input.field(name));
    let fired = firings.iter().map(|firing| {
        assert!(!firing.at_least);
        assert!(firing.events.contains(&event), "the event itself is named");
        ((firing.sigma_id.clone(), firing.group.clone()), firing.value)
    });
    fired.collect()
}

fn collection() -> SigmaCollection {
    let parsed = rsigma_parser::parse_sigma_yaml(RULES).expect("the rules are YAML");
    parsed.into_result().expect("the rules are Sigma")
}

proptest! {
    #[test]
    fn streams_in_order_fire_as_with_rsigma(inputs in prop::collection::vec(input(), 1..80)) {
        let collection = collection();
        let mut engine = CorrelationEngine::new(CorrelationConfig::default());
        engine.add_collection(&collection).expect("rsigma takes the rules");
        let limits = Limits { groups_max: 1_000, hits_max: 1_000 };
        let mut correlations = Correlations::new(&collection, limits).expect("so do we");
        let mut seconds = 1_000;
        for (position, input) in inputs.iter().enumerate() {
            seconds += input.after_seconds;
            let expected = by_rsigma(&mut engine, input, seconds);
            let found = by_us(&mut correlations, input, seconds, position as u64);
            prop_assert_eq!(found, expected, "at event {}", position);
        }
    }
}

/// A property over streams in which nothing fires would prove nothing.
#[test]
fn every_rule_fires_in_some_stream() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let collection = collection();
    let limits = Limits { groups_max: 1_000, hits_max: 1_000 };
    let mut fired = std::collections::BTreeSet::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..50 {
        let stream = prop::collection::vec(input(), 80).new_tree(&mut runner);
        let mut correlations = Correlations::new(&collection, limits).expect("they compile");
        let mut seconds = 1_000;
        for (position, input) in stream.expect("a stream").current().iter().enumerate() {
            seconds += input.after_seconds;
            let found = by_us(&mut correlations, input, seconds, position as u64);
            fired.extend(found.into_keys().map(|(id, _)| id));
        }
    }
    let all: Vec<_> = collection.correlations.iter().filter_map(|rule| rule.id.clone()).collect();
    assert_eq!(fired.len(), all.len(), "{all:?} but only {fired:?}");
}
