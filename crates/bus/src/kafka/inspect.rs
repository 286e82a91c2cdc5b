//! What the brokers know of the topic and its readers, asked without taking part.

use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;

use super::Inner;
use crate::embedded::blocking;
use crate::{BusError, Offset};

/// How long the brokers get for one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// The topic and a group of its readers, as the brokers see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaInspection {
    /// Brokers of the cluster, `host:port`.
    pub brokers: Vec<String>,
    /// Where each partition starts and ends, in order.
    pub partitions: Vec<KafkaPartition>,
    /// The group: `Stable`, `Empty`, `PreparingRebalance`…; `None` if there is none yet.
    pub group_state: Option<String>,
    /// Its members.
    pub members: Vec<KafkaGroupMember>,
}

/// A partition of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaPartition {
    /// Its number.
    pub partition: u32,
    /// Oldest offset that is kept.
    pub start: Offset,
    /// First offset that is not there yet.
    pub end: Offset,
    /// Brokers that have all of it, of those that should.
    pub replicas_in_sync: u32,
    /// Brokers that should have it.
    pub replicas: u32,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaGroupMember {
    /// As it calls itself: `querywatch-<host>-<process>`.
    pub client_id: String,
    /// From where the brokers see it connect.
    pub host: String,
    /// Partitions that it reads.
    pub partitions: Vec<u32>,
}

/// Asks. Errors: no broker answers, or they forbid it.
pub(super) async fn ask(
    bus: &std::sync::Arc<Inner>,
    group: String,
) -> Result<KafkaInspection, BusError> {
    let asked = bus.clone();
    let answer = blocking(move || ask_now(&asked, &group)).await?;
    answer.map_err(|error| bus.unanswered("inspecting the topic and its group", &error))
}

fn ask_now(bus: &Inner, group: &str) -> Result<KafkaInspection, KafkaError> {
    let client = bus.appender.client();
    let metadata = client.client().fetch_metadata(Some(bus.topic()), ANSWER)?;
    let mut partitions = Vec::new();
    for found in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let Ok(partition) = u32::try_from(found.id()) else { continue };
        let (start, end) = bus.watermarks_now(partition, ANSWER)?;
        partitions.push(KafkaPartition {
            partition,
            start: Offset(start),
            end: Offset(end),
            replicas_in_sync: found.isr().len() as u32,
            replicas: found.replicas().len() as u32,
        });
    }
    partitions.sort_by_key(|partition| partition.partition);
    let groups = client.client().fetch_group_list(Some(group), ANSWER)?;
    let group = groups.groups().first().filter(|group| !group.state().is_empty());
    let members = group.map(|group| group.members()).unwrap_or_default();
    let brokers = metadata.brokers().iter();
    Ok(KafkaInspection {
        brokers: brokers.map(|broker| format!("{}:{}", broker.host(), broker.port())).collect(),
        partitions,
        group_state: group.map(|group| group.state().to_owned()),
        members: members
            .iter()
            .map(|member| KafkaGroupMember {
                client_id: member.client_id().to_owned(),
                host: member.client_host().trim_start_matches('/').to_owned(),
                partitions: assigned(member.assignment().unwrap_or_default(), bus.topic()),
            })
            .collect(),
    })
}

/// Partitions of a topic in an assignment of Kafka's consumer protocol: version (i16), topics
/// (i32), each with name (i16, bytes) and partitions (i32, i32 each), user data. What does not
/// read like that has none.
fn assigned(bytes: &[u8], topic: &str) -> Vec<u32> {
    let mut partitions = read_assignment(bytes, topic).unwrap_or_default();
    partitions.sort_unstable();
    partitions
}

fn read_assignment(bytes: &[u8], topic: &str) -> Option<Vec<u32>> {
    let (_version, rest) = bytes.split_first_chunk::<2>()?;
    let (topics, mut rest) = rest.split_first_chunk::<4>()?;
    let mut partitions = Vec::new();
    for _ in 0..u32::from_be_bytes(*topics) {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (name, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        let (count, mut after) = after.split_first_chunk::<4>()?;
        for _ in 0..u32::from_be_bytes(*count) {
            let (number, left) = after.split_first_chunk::<4>()?;
            after = left;
            if name == topic.as_bytes() {
                partitions.push(u32::from_be_bytes(*number));
            }
        }
        rest = after;
    }
    Some(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_and_nonsense_is_none() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2];
        bytes.extend([0, 5]);
        bytes.extend(b"other");
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 9]);
        bytes.extend([0, 3]);
        bytes.extend(b"log");
        bytes.extend([0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 1, 255, 255, 255, 255]);
        assert_eq!(assigned(&bytes, "log"), [1, 4]);
        for cut in 0..bytes.len() - 4 {
            assert!(assigned(&bytes[..cut], "log").is_empty(), "cut at {cut}");
        }
        assert!(assigned(&[255; 64], "log").is_empty());
    }
}
