//! What the stage shows of itself, by channel. Channel names come from settings, so they are few.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Counters of the stage. Clones count together.
#[derive(Clone, Debug)]
pub struct RespondMetrics {
    attempts: Family<AttemptLabels, Counter>,
    delivery_seconds: Family<ChannelLabels, Histogram>,
    outbox_depth: Family<ChannelLabels, Gauge>,
    disabled: Family<ChannelLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChannelLabels {
    channel: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    channel: String,
    outcome: &'static str,
}

/// From one millisecond to a day: the first attempt is there in milliseconds, the last in days.
const BUCKETS_SECONDS: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0,
];

impl RespondMetrics {
    /// Adds the metrics to a registry, named `respond_…`.
    pub fn register(registry: &mut Registry) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS_SECONDS);
        let metrics = Self {
            attempts: Family::default(),
            delivery_seconds: Family::new_with_constructor(histogram),
            outbox_depth: Family::default(),
            disabled: Family::default(),
        };
        registry.register(
            "respond_attempts",
            "Attempts to deliver a case event, by channel and outcome",
            metrics.attempts.clone(),
        );
        registry.register(
            "respond_delivery_seconds",
            "Time from recording a case event to its delivery, by channel",
            metrics.delivery_seconds.clone(),
        );
        registry.register(
            "respond_outbox_depth",
            "Deliveries that wait, by channel",
            metrics.outbox_depth.clone(),
        );
        registry.register(
            "respond_channel_disabled",
            "1 if the receiver said that it is gone, by channel",
            metrics.disabled.clone(),
        );
        metrics
    }

    pub(crate) fn attempted(&self, channel: &str, outcome: &'static str) {
        let labels = AttemptLabels { channel: channel.to_owned(), outcome };
        self.attempts.get_or_create(&labels).inc();
    }

    pub(crate) fn delivered_after(&self, channel: &str, seconds: f64) {
        self.delivery_seconds.get_or_create(&labels(channel)).observe(seconds);
    }

    pub(crate) fn outbox_depth(&self, channel: &str, depth: u64) {
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        self.outbox_depth.get_or_create(&labels(channel)).set(depth);
    }

    pub(crate) fn disabled(&self, channel: &str, disabled: bool) {
        self.disabled.get_or_create(&labels(channel)).set(disabled.into());
    }
}

fn labels(channel: &str) -> ChannelLabels {
    ChannelLabels { channel: channel.to_owned() }
}
