//! What `/metrics` shows of the pipeline, read from its parts when it is asked.

use std::sync::{Arc, Mutex, PoisonError};

use bus::Bus;
use detect::Statistics;
use lake::Lake;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::board::SourceBoard;

/// The parts that are asked.
pub struct PipelineMetrics {
    pub sources: SourceBoard,
    pub bus: Arc<Bus>,
    pub lake: Lake,
    pub statistics: Arc<Mutex<Statistics>>,
}

impl std::fmt::Debug for PipelineMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PipelineMetrics")
    }
}

/// A number of a source.
type Measure = fn(&query::api::SourceStatus) -> u64;

impl Collector for PipelineMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.encode_sources(&mut encoder)?;
        self.encode_bus(&mut encoder)?;
        self.encode_detection(&mut encoder)?;
        self.encode_lake(&mut encoder)
    }
}

impl PipelineMetrics {
    fn encode_sources(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let statuses = self.sources.statuses();
        let measures: [(&str, &str, Measure); 4] = [
            ("source_bytes", "Bytes read", |status| status.bytes),
            ("source_records", "Records read", |status| status.records),
            ("source_events", "Events made of records", |status| status.events),
            ("source_rejects", "Records that could not be read", |status| status.rejects),
        ];
        for (name, help, value) in measures {
            let counts = statuses.iter().map(|status| (status.name.clone(), value(status)));
            family(encoder, name, help, "source", counts)?;
        }
        Ok(())
    }

    fn encode_bus(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for status in self.bus.status().partitions {
            gauge(encoder, "bus_end", "Offset after the last record", status.end.0)?;
            gauge(encoder, "bus_bytes", "Bytes kept on the bus", status.bytes)?;
            gauge(encoder, "bus_waiting", "Appends that wait for room", status.waiting_appends)?;
            let fsync = status.last_fsync_micros;
            gauge(encoder, "bus_fsync_microseconds", "Duration of the last fsync", fsync)?;
            gauge(encoder, "bus_gap_records", "Records lost to damage", status.gap_records)?;
        }
        Ok(())
    }

    fn encode_detection(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let statistics = self.statistics.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let events = ConstCounter::new(statistics.events);
        counter(encoder, "detect_events", "Events judged", &events)?;
        family(encoder, "detect_alerts", "Alerts by rule", "rule", statistics.alerts.into_iter())?;
        gauge(encoder, "detect_identities", "Identities with a baseline", statistics.identities)?;
        let evicted = statistics.identity_evictions + statistics.value_evictions;
        let help = "Baselines and values forgotten for lack of room";
        counter(encoder, "detect_evictions", help, &ConstCounter::new(evicted))
    }

    fn encode_lake(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let status = self.lake.status();
        gauge(encoder, "lake_rows", "Rows stored and waiting", status.rows)?;
        gauge(encoder, "lake_waiting_rows", "Rows that wait for a commit", status.waiting_rows)?;
        gauge(encoder, "lake_files", "Files of the tables", status.files as u64)?;
        gauge(encoder, "lake_bytes", "Bytes of those files", status.bytes)?;
        let trouble = u64::from(status.trouble.is_some());
        gauge(encoder, "lake_trouble", "1 while the lake cannot commit", trouble)
    }
}

/// Counters that differ in the value of one label.
fn family(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &'static str,
    counts: impl Iterator<Item = (String, u64)>,
) -> Result<(), std::fmt::Error> {
    let name = format!("querywatch_{name}");
    let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
    for (value, count) in counts {
        ConstCounter::new(count).encode(metric.encode_family(&[(label, value)])?)?;
    }
    Ok(())
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), std::fmt::Error> {
    let name = format!("querywatch_{name}");
    metric.encode(encoder.encode_descriptor(&name, help, None, metric.metric_type())?)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), std::fmt::Error> {
    let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    let name = format!("querywatch_{name}");
    metric.encode(encoder.encode_descriptor(&name, help, None, metric.metric_type())?)
}
