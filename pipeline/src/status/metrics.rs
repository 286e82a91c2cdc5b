//! What `/metrics` shows of the pipeline, read from its parts when it is asked.

use bus::status::PartitionStatus;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use query::api::{SourceStatus, TaskState, TaskStatus};

use super::Status;

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Status")
    }
}

/// A number of a source.
type Measure = fn(&SourceStatus) -> u64;

/// A number of a partition of the log.
type LogMeasure = fn(&PartitionStatus) -> u64;

impl Collector for Status {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.encode_tasks(&mut encoder)?;
        self.encode_sources(&mut encoder)?;
        self.encode_log(&mut encoder)?;
        self.encode_kafka(&mut encoder)?;
        self.encode_lags(&mut encoder)?;
        self.encode_detection(&mut encoder)?;
        self.encode_state(&mut encoder)?;
        self.encode_lake(&mut encoder)
    }
}

impl Status {
    fn encode_tasks(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let tasks = self.0.supervisor.statuses();
        let of = |value: fn(&TaskStatus) -> u64| {
            tasks.iter().map(move |task| (task.name.clone(), value(task)))
        };
        let running = of(|task| u64::from(task.state == TaskState::Running));
        gauges(encoder, "task_running", "1 while a task goes on", "task", running)?;
        let problems = of(|task| u64::from(task.problem.is_some()));
        gauges(encoder, "task_problem", "1 while something is wrong with it", "task", problems)?;
        let restarts = of(|task| task.restarts);
        family(encoder, "task_restarts", "Times that it was started again", "task", restarts)
    }

    fn encode_sources(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let statuses = self.0.sources.statuses();
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

    /// The log of this machine; its marks tell how much waits for Kafka, if it goes there.
    fn encode_log(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(log) = &self.0.log else { return Ok(()) };
        let partitions = log.status().partitions;
        let measures: [(&str, &str, LogMeasure); 5] = [
            ("bus_end", "Offset after the last record of the log", |status| status.end.0),
            ("bus_bytes", "Bytes kept in the log", |status| status.bytes),
            ("bus_waiting", "Appends that wait for room", |status| status.waiting_appends),
            ("bus_fsync_microseconds", "Duration of the last fsync", |status| {
                status.last_fsync_micros
            }),
            ("bus_gap_records", "Records lost to damage", |status| status.gap_records),
        ];
        for (name, help, value) in measures {
            let figures = partitions.iter().map(|it| (it.partition.to_string(), value(it)));
            gauges(encoder, name, help, "partition", figures)?;
        }
        let Some(waiting) = self.waiting_records() else { return Ok(()) };
        let waiting = waiting.into_iter().map(|(number, records)| (number.to_string(), records));
        let help = "Records of the log that Kafka does not have yet";
        gauges(encoder, "forward_waiting_records", help, "partition", waiting)
    }

    fn encode_kafka(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(kafka) = self.0.bus.status().kafka else { return Ok(()) };
        gauge(encoder, "kafka_brokers_up", "Connections to brokers", kafka.brokers_up)?;
        let help = "Records that wait for the word of the brokers";
        gauge(encoder, "kafka_producer_queue_records", help, kafka.producer_queue_records)?;
        let help = "Bytes of those records";
        gauge(encoder, "kafka_producer_queue_bytes", help, kafka.producer_queue_bytes)?;
        let rebalances = ConstCounter::new(kafka.rebalances);
        let help = "Times that partitions were given to this process or taken from it";
        counter(encoder, "kafka_rebalances", help, &rebalances)?;
        let problem = u64::from(kafka.problem.is_some());
        gauge(encoder, "kafka_problem", "1 while Kafka does not answer", problem)?;
        let lag = kafka.lag.iter().map(|lag| {
            (self.0.bus.partition_name(lag.partition), lag.end.0.saturating_sub(lag.next.0))
        });
        let help = "Records on the bus that this process has not read, of its partitions";
        gauges(encoder, "kafka_consumer_lag_records", help, "partition", lag)
    }

    /// How far the table is behind; a process with an API knows it of all partitions.
    fn encode_lags(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let lags = self.0.lags.lags();
        let help = "Records on the bus that are not in the table yet";
        let lag = lags.into_iter().map(|lag| (lag.partition, lag.lag));
        gauges(encoder, "bus_lag_records", help, "partition", lag)
    }

    fn encode_detection(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(statistics) = self.statistics() else { return Ok(()) };
        let events = ConstCounter::new(statistics.events);
        counter(encoder, "detect_events", "Events judged", &events)?;
        family(encoder, "detect_alerts", "Alerts by rule", "rule", statistics.alerts.into_iter())?;
        gauge(encoder, "detect_identities", "Identities with a baseline", statistics.identities)?;
        let evicted = statistics.identity_evictions + statistics.value_evictions;
        let help = "Baselines and values forgotten for lack of room";
        counter(encoder, "detect_evictions", help, &ConstCounter::new(evicted))
    }

    /// What the state held when it was counted last, which is once a minute.
    fn encode_state(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(counts) = &self.0.counts else { return Ok(()) };
        let alerts = counts.alerts().into_iter();
        gauges(encoder, "state_alerts", "Events of cases that are kept", "severity", alerts)?;
        let cases = counts.cases().into_iter();
        gauges(encoder, "state_cases", "Cases that are kept", "status", cases)?;
        let open = counts.open_cases().into_iter();
        gauges(encoder, "state_open_cases", "Cases that wait for a person", "severity", open)
    }

    fn encode_lake(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(lake) = &self.0.lake else { return Ok(()) };
        let status = lake.status();
        gauge(encoder, "lake_rows", "Rows stored and waiting", status.rows)?;
        gauge(encoder, "lake_waiting_rows", "Rows that wait for a commit", status.waiting_rows)?;
        gauge(encoder, "lake_files", "Files of the tables", status.files as u64)?;
        gauge(encoder, "lake_bytes", "Bytes of those files", status.bytes)?;
        let counts = [
            ("lake_commits", "Commits of this process", status.commits),
            (
                "lake_commit_conflicts",
                "Commits that came after another process's and were redone",
                status.commit_conflicts,
            ),
            (
                "lake_superseded",
                "Times that another process had taken a partition over",
                status.superseded,
            ),
        ];
        for (name, help, count) in counts {
            counter(encoder, name, help, &ConstCounter::new(count))?;
        }
        let problem = u64::from(status.problem.is_some());
        gauge(encoder, "lake_problem", "1 while the lake cannot commit", problem)
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

/// Gauges that differ in the value of one label.
fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &'static str,
    values: impl Iterator<Item = (String, u64)>,
) -> Result<(), std::fmt::Error> {
    let name = format!("querywatch_{name}");
    let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
    for (label_value, value) in values {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        gauge.encode(metric.encode_family(&[(label, label_value)])?)?;
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
