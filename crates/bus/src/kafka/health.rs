//! What the clients of librdkafka see: brokers, failures, figures. Their log lines go to tracing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientContext, Statistics};

use crate::BusError;
use crate::partition::lock;

/// The same line of librdkafka is logged once in so long.
const LINE_PAUSE: Duration = Duration::from_secs(60);
/// Different lines remembered; when there are more, all are forgotten.
const LINES_MAX: usize = 256;
/// Brokers are let down for so long before it is called problem: connections come and go.
const PATIENCE: Duration = Duration::from_secs(2);

/// What went wrong between us and the brokers, last.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    kind: FailureKind,
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailureKind {
    Unreachable,
    Credentials,
    Certificate,
    Encryption,
}

impl Failure {
    /// Reads a global error of librdkafka; `None` for one that is not about connections.
    fn of(code: RDKafkaErrorCode, reason: &str) -> Option<Failure> {
        use RDKafkaErrorCode as Code;
        // The very first request is answered by closing: it was not understood.
        let misunderstood = reason.contains("Disconnected") && reason.contains("APIVERSION_QUERY");
        let kind = match code {
            Code::Authentication | Code::SaslAuthenticationFailed => FailureKind::Credentials,
            _ if reason.contains("SASL authentication error") => FailureKind::Credentials,
            _ if reason.contains("certificate verify failed") => FailureKind::Certificate,
            Code::SSL => FailureKind::Encryption,
            _ if misunderstood || reason.contains("SSL handshake failed") => {
                FailureKind::Encryption
            }
            Code::BrokerTransportFailure
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::AllBrokersDown => FailureKind::Unreachable,
            _ => return None,
        };
        Some(Failure { kind, reason: reason.to_owned() })
    }

    /// Whether waiting will not cure it.
    pub(super) fn is_decisive(&self) -> bool {
        self.kind != FailureKind::Unreachable
    }

    /// The error for whoever opens the bus.
    pub(super) fn into_error(self, brokers: &[String]) -> BusError {
        match self.kind {
            FailureKind::Credentials => BusError::Credentials(self.reason),
            FailureKind::Certificate => BusError::Certificate(self.reason),
            FailureKind::Encryption => BusError::Encryption(self.reason),
            FailureKind::Unreachable => {
                BusError::NoBroker { brokers: brokers.join(", "), reason: self.reason }
            }
        }
    }
}

/// What one client sees.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    statistics: Statistics,
    brokers_up: u64,
    down_since: Option<Instant>,
    /// Whether a broker ever answered: until then, who opens the bus tells.
    was_up: bool,
    /// Whether the log says that no broker answers.
    is_told: bool,
    failure: Option<Failure>,
    /// What the brokers refuse besides connections, and since when.
    refusal: Option<(Instant, String)>,
    lines: HashMap<String, Instant>,
}

impl Health {
    pub(super) fn brokers_up(&self) -> u64 {
        lock(&self.0).brokers_up
    }

    /// Records and bytes in the producer's queue.
    pub(super) fn queue(&self) -> (u64, u64) {
        let state = lock(&self.0);
        (state.statistics.msg_cnt, state.statistics.msg_size)
    }

    /// The end of a partition as last heard of.
    pub(super) fn end(&self, topic: &str, partition: u32) -> Option<u64> {
        let state = lock(&self.0);
        let topic = state.statistics.topics.get(topic)?;
        let partition = topic.partitions.get(&i32::try_from(partition).ok()?)?;
        u64::try_from(partition.hi_offset).ok()
    }

    /// The last failure since a broker was up.
    pub(super) fn failure(&self) -> Option<Failure> {
        lock(&self.0).failure.clone()
    }

    /// Remembers what the brokers refuse; `None` when they no longer do.
    pub(super) fn set_refusal(&self, reason: Option<String>) {
        let mut state = lock(&self.0);
        let since = state.refusal.take().map_or_else(Instant::now, |(since, _)| since);
        state.refusal = reason.map(|reason| (since, reason));
    }

    /// What does not work, for how long and why.
    pub(super) fn problem(&self) -> Option<String> {
        let state = lock(&self.0);
        if let Some(since) = state.down_since.filter(|since| since.elapsed() > PATIENCE) {
            let reason = state.failure.as_ref().map_or("no connection", |failure| &failure.reason);
            let seconds = since.elapsed().as_secs();
            return Some(format!("no broker answers for {seconds} s: {reason}"));
        }
        let (since, reason) = state.refusal.as_ref()?;
        Some(format!("for {} s: {reason}", since.elapsed().as_secs()))
    }

    fn fail(&self, failure: Failure) {
        let mut state = lock(&self.0);
        // That all are down says less than why the last one is.
        if state.failure.is_none() || !failure.reason.contains("brokers are down") {
            state.failure = Some(failure);
        }
    }

    fn measure(&self, statistics: Statistics) {
        let up = |broker: &&rdkafka::statistics::Broker| {
            broker.state == "UP" && broker.source != "logical"
        };
        let mut state = lock(&self.0);
        state.brokers_up = statistics.brokers.values().filter(up).count() as u64;
        state.statistics = statistics;
        if state.brokers_up == 0 {
            let since = *state.down_since.get_or_insert_with(Instant::now);
            if since.elapsed() > PATIENCE && state.was_up && !state.is_told {
                state.is_told = true;
                let reason = state.failure.as_ref().map_or("no connection", |known| &known.reason);
                tracing::warn!("no broker of Kafka answers, trying again: {reason}");
            }
        } else {
            state.was_up = true;
            if std::mem::take(&mut state.is_told) {
                tracing::info!("a broker of Kafka answers again");
            }
            (state.down_since, state.failure) = (None, None);
        }
    }

    /// Whether a line is to be logged now: numbers in it do not make it another.
    fn admits(&self, line: &str) -> bool {
        let key: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
        let mut state = lock(&self.0);
        if state.lines.get(&key).is_some_and(|at| at.elapsed() < LINE_PAUSE) {
            return false;
        }
        if state.lines.len() >= LINES_MAX {
            state.lines.clear();
        }
        state.lines.insert(key, Instant::now());
        true
    }
}

/// Lines of librdkafka about what we know and tell ourselves: settings chosen on purpose, brokers
/// that are away, damaged batches, and what follows from that.
const QUIET: [&str; 7] =
    ["CONFWARN", "FAIL", "GETPID", "SESSTMOUT", "COMMITFAIL", "REQTMOUT", "OFFSET"];

/// What librdkafka calls back with, for one client.
#[derive(Debug, Clone)]
pub(super) struct Listener(pub(super) Arc<Health>);

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // It starts with the name of the thread: `[thrd:…]: `.
        let line = message.split_once("]: ").map_or(message, |(_, line)| line);
        if facility == "FAIL" {
            // A connection that is closed is told as a line only.
            let code = RDKafkaErrorCode::BrokerTransportFailure;
            Failure::of(code, line).into_iter().for_each(|failure| self.0.fail(failure));
        }
        if QUIET.contains(&facility) {
            tracing::debug!(facility, "kafka: {line}");
        } else if matches!(level, RDKafkaLogLevel::Debug) {
            tracing::trace!(facility, "kafka: {line}");
        } else if self.0.admits(line) {
            match level {
                RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                    tracing::debug!(facility, "kafka: {line}");
                }
                _ => tracing::warn!(facility, "kafka: {line}"),
            }
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.0.measure(statistics);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice(statistics) {
            Ok(statistics) => self.stats(statistics),
            Err(error) => tracing::debug!("kafka: statistics cannot be read: {error}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let failure = error.rdkafka_error_code().and_then(|code| Failure::of(code, reason));
        match failure {
            Some(failure) => self.0.fail(failure),
            None => tracing::debug!("kafka: {error}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_become_errors_that_name_the_setting() {
        use RDKafkaErrorCode as Code;
        let brokers = ["kafka:9092".to_owned()];
        let said = |code, reason: &str| {
            Failure::of(code, reason).expect("a failure").into_error(&brokers).to_string()
        };
        assert!(said(Code::Resolve, "unknown host").contains("bus.kafka.brokers"));
        assert!(said(Code::Authentication, "SASL failed").contains("password"));
        assert!(said(Code::SSL, "x certificate verify failed").contains("bus.kafka.ca_file"));
        assert!(said(Code::SSL, "wrong version number").contains("bus.kafka.security"));
        let closed = "Disconnected: closed by peer (after 0ms in state APIVERSION_QUERY)";
        assert!(said(Code::BrokerTransportFailure, closed).contains("bus.kafka.security"));
        let closed = "Disconnected: closed by peer (after 900ms in state UP)";
        assert!(said(Code::BrokerTransportFailure, closed).contains("bus.kafka.brokers"));
        assert!(Failure::of(Code::TopicAuthorizationFailed, "no").is_none());
    }

    #[test]
    fn the_same_line_is_logged_once() {
        let health = Health::default();
        assert!(health.admits("10.0.0.1:9092: connection refused (after 3 ms)"));
        assert!(!health.admits("10.0.0.1:9092: connection refused (after 17 ms)"));
        assert!(health.admits("10.0.0.1:9092: disconnected"));
    }

    #[test]
    fn a_vague_failure_does_not_hide_the_reason() {
        let health = Health::default();
        let listener = Listener(Arc::new(health));
        let error = |code, reason: &str| listener.error(KafkaError::Global(code), reason);
        error(RDKafkaErrorCode::BrokerTransportFailure, "connection refused");
        error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        let seen = listener.0.failure().expect("a failure");
        assert_eq!(seen.reason, "connection refused");
    }
}
