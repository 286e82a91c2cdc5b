//! Which partition an event travels on: that of its identity, so that one worker sees everything
//! an identity does, in order.

use std::collections::BTreeMap;

use event::vocabulary::Action;
use event::{EventBatch, EventId};

use super::tick::Tick;

/// What of a batch travels on one partition.
pub struct PartitionSlice {
    pub partition: u32,
    /// The events of its identities.
    pub events: Option<EventBatch>,
    /// Copies of events, wherever those travel, whose clients are counted here.
    pub copies: Option<EventBatch>,
}

/// The partition of an identity at a server; of the server itself, where there is no identity.
pub fn partition_of(instance: &str, identity: Option<&str>, partitions: u32) -> u32 {
    let hash = EventId::of(&[instance.as_bytes(), identity.unwrap_or_default().as_bytes()]);
    let [a, b, c, d, ..] = hash.0;
    u32::from_be_bytes([a, b, c, d]) % partitions.max(1)
}

/// Divides a batch; the order within a slice is that of the batch. Where there are ticks, every
/// partition has a slice, be it empty: each is told of them.
pub fn divide(events: EventBatch, ticks: &[Tick], partitions: u32) -> Vec<PartitionSlice> {
    if events.is_empty() {
        return Vec::new();
    }
    if partitions <= 1 {
        return vec![PartitionSlice { partition: 0, events: Some(events), copies: None }];
    }
    let mut rows: BTreeMap<u32, (Vec<u32>, Vec<u32>)> = BTreeMap::new();
    if !ticks.is_empty() {
        rows.extend((0..partitions).map(|partition| (partition, Default::default())));
    }
    // Rows of one identity come in runs: the last answer is most often the next one too.
    let mut last = (("", None), partition_of("", None, partitions));
    for row in events.rows().iter() {
        let whose = row.instance_and_identity();
        if last.0 != whose {
            last = (whose, partition_of(whose.0, whose.1, partitions));
        }
        let index = row.index() as u32;
        rows.entry(last.1).or_default().0.push(index);
        if row.action() == Action::Login
            && let Some(client) = ::detect::counted_by_client(&row.event())
        {
            let partition = partition_of(whose.0, Some(&client), partitions);
            rows.entry(partition).or_default().1.push(index);
        }
    }
    let take = |rows: Vec<u32>| (!rows.is_empty()).then(|| events.take(rows));
    let slice = |(partition, (own, copied)): (u32, (Vec<u32>, Vec<u32>))| {
        // Most batches of a quiet source are of one identity: they travel as they are.
        let own = if own.len() == events.len() { Some(events.clone()) } else { take(own) };
        PartitionSlice { partition, events: own, copies: take(copied) }
    };
    rows.into_iter().map(slice).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use event::vocabulary::Outcome;
    use event::{AuditEvent, EventBatchBuilder};

    use super::*;

    fn batch(users: &[(&str, bool)]) -> EventBatch {
        let mut builder = EventBatchBuilder::default();
        for (index, (user, is_failed_login)) in users.iter().enumerate() {
            let mut event = AuditEvent::new("log", "test", "postgresql", "orders");
            event.id = EventId::of(&[&index.to_le_bytes()]);
            event.user = Some(user);
            event.client_address = Some("10.0.0.7");
            if *is_failed_login {
                (event.action, event.outcome) = (Action::Login, Outcome::Denied);
            }
            builder.push(&event);
        }
        builder.finish()
    }

    fn users(events: &EventBatch) -> Vec<String> {
        let rows = events.rows().iter();
        rows.map(|row| row.event().user.unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn an_identity_has_one_partition_and_keeps_its_order() {
        let names: Vec<String> = (0..40).map(|n| format!("user{}", n % 10)).collect();
        let all: Vec<(&str, bool)> = names.iter().map(|name| (name.as_str(), false)).collect();
        let slices = divide(batch(&all), &[], 4);
        assert!(slices.len() > 1, "ten identities on four partitions");
        let mut met = BTreeSet::new();
        let mut count = 0;
        for slice in &slices {
            let own = users(slice.events.as_ref().expect("events"));
            count += own.len();
            for user in own.iter().collect::<BTreeSet<_>>() {
                assert_eq!(partition_of("orders", Some(user), 4), slice.partition);
                assert!(met.insert(user.clone()), "{user} travels on two partitions");
            }
            let order: Vec<_> = names.iter().filter(|name| own.contains(name)).cloned().collect();
            assert_eq!(own, order);
        }
        assert_eq!(count, 40);
    }

    #[test]
    fn failed_log_ins_from_one_network_meet_on_one_partition() {
        let slices = divide(batch(&[("ana", true), ("bo", true), ("app", false)]), &[], 8);
        let copies: Vec<_> = slices.iter().filter_map(|p| p.copies.as_ref()).collect();
        assert_eq!(copies.len(), 1);
        assert_eq!(users(copies[0]), ["ana", "bo"]);
        let own: usize = slices.iter().filter_map(|p| p.events.as_ref()).map(|e| e.len()).sum();
        assert_eq!(own, 3, "copies are not events");
    }

    #[test]
    fn one_partition_needs_no_copies() {
        let slices = divide(batch(&[("ana", true), ("bo", false)]), &[], 1);
        assert_eq!(slices.len(), 1);
        assert!(slices[0].copies.is_none() && slices[0].events.is_some());
    }

    #[test]
    fn every_partition_hears_of_a_tick() {
        let tick = Tick { position: 0, instance: "orders".to_owned(), hour: 7 };
        let slices = divide(batch(&[("ana", false)]), &[tick], 5);
        assert_eq!(slices.iter().map(|slice| slice.partition).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(slices.iter().filter(|slice| slice.events.is_some()).count(), 1);
    }
}
