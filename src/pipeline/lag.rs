//! How far the table is behind the bus, by partition.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bus::Bus;
use query::api::PartitionLag;
use tokio_util::sync::CancellationToken;

use super::answering::OpenLake;
use super::shard::bus_position;
use super::worker::DETECT;

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The lags as last looked at.
#[derive(Clone, Default)]
pub struct LagBoard(Arc<Mutex<Vec<PartitionLag>>>);

impl LagBoard {
    /// All partitions, in order.
    pub fn lags(&self) -> Vec<PartitionLag> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks until it is told to stop.
    pub async fn watch(self, bus: Bus, lake: OpenLake, stop: CancellationToken) {
        loop {
            match look(&bus, &lake).await {
                Ok(lags) => *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lags,
                // The last figures stay; what is wrong is told where it stops the work.
                Err(error) => tracing::debug!("the lag is not known: {error:#}"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

async fn look(bus: &Bus, lake: &OpenLake) -> anyhow::Result<Vec<PartitionLag>> {
    let (ends, workers) = match bus {
        Bus::Embedded(log) => {
            ((0..bus.partitions()).map(|part| log.end(part).0).collect(), HashMap::new())
        }
        Bus::Kafka(kafka) => {
            let inspected = kafka.inspect(DETECT).await?;
            let ends: Vec<u64> = inspected.partitions.iter().map(|part| part.end.0).collect();
            let members = inspected.members.into_iter();
            let workers = members.flat_map(|member| {
                let name = format!("{} at {}", member.client_id, member.host);
                member.partitions.into_iter().map(move |partition| (partition, name.clone()))
            });
            (ends, workers.collect())
        }
    };
    let lag = |(partition, end): (u32, u64)| {
        let name = bus.partition_name(partition);
        let stored = lake.position(&bus_position(&name)).map_or(0, i64::cast_unsigned);
        let (lag, worker) = (end.saturating_sub(stored), workers.get(&partition).cloned());
        PartitionLag { partition: name, end, stored, lag, worker }
    };
    Ok((0..).zip(ends).map(lag).collect())
}
