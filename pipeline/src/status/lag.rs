//! How far the table is behind the bus, by partition.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bus::kafka::{KafkaInspection, KafkaPartition};
use bus::{Bus, BusError, KafkaBus};
use lake::{LakeError, LakeReader};
use query::api::PartitionLag;
use tokio_util::sync::CancellationToken;

use super::report::ProcessReport;
use crate::detect::shard::bus_position;
use crate::detect::worker::DETECT;
use crate::serve::OpenLake;
use crate::{Settings, clock};

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
}

/// Looks until it is told to stop.
pub async fn watch(board: &LagBoard, bus: &Bus, lake: &OpenLake, stop: &CancellationToken) {
    loop {
        match look(bus, lake).await {
            Ok(lags) => *board.0.lock().unwrap_or_else(PoisonError::into_inner) = lags,
            // The last figures stay; what is wrong is told where it stops the work.
            Err(error) => tracing::debug!("the lag is not known: {error:#}"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// What is known of a bus on Kafka from outside.
pub struct BusState {
    /// Brokers of the cluster.
    pub brokers: usize,
    /// Members of the group of workers.
    pub workers: usize,
    /// What the group does; none if there is none yet.
    pub group: Option<String>,
    /// Partitions that are not on as many brokers as they should be.
    pub replicas_missing: Vec<String>,
    /// How far the table is behind each partition.
    pub lags: Vec<PartitionLag>,
    /// What the processes report.
    pub processes: Result<Vec<ProcessReport>, BusError>,
}

/// Asks Kafka, and the table in the data folder if there is one.
///
/// # Errors
/// If no broker answers, or the table cannot be read.
pub async fn bus_state(settings: &Settings) -> anyhow::Result<BusState> {
    let kafka = KafkaBus::open_unconnected(&settings.bus)?;
    let inspected = kafka.inspect(DETECT).await?;
    let lake = match LakeReader::open(&settings.data.join("lake")).await {
        Ok(lake) => Some(OpenLake::Others(lake)),
        Err(LakeError::Absent(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let told = kafka.reports().await.map(|reports| ProcessReport::read(&reports, clock()));
    let processes = told.map(|mut reports| {
        reports.iter_mut().for_each(|report| report.heed_silence(clock()));
        reports
    });
    let bus = Bus::Kafka(kafka);
    let partitions = inspected.partitions.iter();
    let missing = partitions.filter(|part| part.replicas_in_sync < part.replicas);
    Ok(BusState {
        brokers: inspected.brokers.len(),
        workers: inspected.members.len(),
        replicas_missing: missing.map(|part| bus.partition_name(part.partition)).collect(),
        lags: lags(&bus, lake.as_ref(), &inspected),
        group: inspected.group_state,
        processes,
    })
}

async fn look(bus: &Bus, lake: &OpenLake) -> anyhow::Result<Vec<PartitionLag>> {
    match bus {
        Bus::Kafka(kafka) => Ok(lags(bus, Some(lake), &kafka.inspect(DETECT).await?)),
        Bus::Embedded(log) => {
            let ends = (0..bus.partitions()).map(|part| (part, log.end(part).0));
            Ok(ends.map(|(part, end)| lag(bus, Some(lake), part, end, None)).collect())
        }
    }
}

fn lags(bus: &Bus, lake: Option<&OpenLake>, inspected: &KafkaInspection) -> Vec<PartitionLag> {
    let worker = |partition: u32| {
        let mut members = inspected.members.iter();
        let member = members.find(|member| member.partitions.contains(&partition))?;
        Some(format!("{} at {}", member.client_id, member.host.trim_start_matches('/')))
    };
    let partitions = inspected.partitions.iter();
    let of = |part: &KafkaPartition| {
        let mut lag = lag(bus, lake, part.partition, part.end.0, worker(part.partition));
        // What retention has deleted lags no more.
        lag.lag = lag.lag.min(part.end.0.saturating_sub(part.start.0));
        lag
    };
    partitions.map(of).collect()
}

fn lag(
    bus: &Bus,
    lake: Option<&OpenLake>,
    partition: u32,
    end: u64,
    worker: Option<String>,
) -> PartitionLag {
    let partition = bus.partition_name(partition);
    let stored = lake.and_then(|lake| lake.position(&bus_position(&partition)));
    let stored = stored.map_or(0, i64::cast_unsigned);
    PartitionLag { partition, end, stored, lag: end.saturating_sub(stored), worker }
}
