//! What librdkafka is told. The table in [`crate::kafka`] says why.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::settings::{KafkaSecurity, KafkaSettings, SaslMechanism};
use crate::{BusError, BusSettings};

/// What a record may take beyond `record_bytes_max`: Kafka's framing of it.
pub(super) const RECORD_SLACK_BYTES: u32 = 64 << 10;

/// What every client is told.
pub(super) fn connection(settings: &KafkaSettings) -> Result<ClientConfig, BusError> {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Info);
    config
        .set("bootstrap.servers", settings.brokers.join(","))
        .set("client.id", process_name())
        .set("allow.auto.create.topics", "false")
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.max.ms", "2000")
        .set("statistics.interval.ms", "1000");
    config.set(
        "security.protocol",
        match settings.security {
            KafkaSecurity::Plaintext => "plaintext",
            KafkaSecurity::Tls => "ssl",
            KafkaSecurity::SaslPlaintext => "sasl_plaintext",
            KafkaSecurity::SaslTls => "sasl_ssl",
        },
    );
    let files = [
        ("ssl.ca.location", "ca_file", &settings.ca_file),
        ("ssl.certificate.location", "certificate_file", &settings.certificate_file),
        ("ssl.key.location", "key_file", &settings.key_file),
    ];
    for (name, setting, file) in files {
        if let Some(file) = file {
            // librdkafka would say that some certificate is wrong.
            std::fs::File::open(file).map_err(|error| {
                BusError::Client(format!("bus.kafka.{setting}, {}: {error}", file.display()))
            })?;
            config.set(name, file.to_string_lossy());
        } else if name == "ssl.ca.location" && settings.tls() {
            config.set(name, "probe"); // where this system keeps those it trusts
        }
    }
    if settings.sasl() {
        config.set(
            "sasl.mechanism",
            match settings.sasl_mechanism {
                SaslMechanism::Plain => "PLAIN",
                SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
                SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
            },
        );
        let secrets = [("username", &settings.username), ("password", &settings.password)];
        for (name, source) in secrets {
            if let Some(source) = source {
                let secret = source.read(&format!("bus.kafka.{name}"))?;
                config.set(format!("sasl.{name}"), secret.expose());
            }
        }
    }
    Ok(config)
}

/// What the producer is told besides.
pub(super) fn producer(connection: &ClientConfig, settings: &BusSettings) -> ClientConfig {
    let mut config = connection.clone();
    let record_bytes = settings.record_bytes_max.saturating_add(RECORD_SLACK_BYTES);
    // Room is given out by bytes before librdkafka is asked; its own limit is never met first.
    let queue_kbytes = (u64::from(settings.queue_bytes) / 512).clamp(1 << 10, 2_097_151);
    config
        .set("enable.idempotence", "true")
        .set("enable.gapless.guarantee", "true")
        .set("acks", "all")
        .set("max.in.flight.requests.per.connection", "5")
        .set("message.timeout.ms", "0")
        .set("compression.type", "zstd")
        .set("compression.level", "1")
        .set("linger.ms", settings.kafka.linger_milliseconds.to_string())
        .set("message.max.bytes", record_bytes.to_string())
        .set("queue.buffering.max.kbytes", queue_kbytes.to_string())
        .set("queue.buffering.max.messages", "0");
    config
}

/// What a consumer is told besides.
pub(super) fn consumer(
    connection: &ClientConfig,
    settings: &BusSettings,
    group: &str,
) -> ClientConfig {
    let mut config = connection.clone();
    let record_bytes = settings.record_bytes_max.saturating_add(RECORD_SLACK_BYTES);
    let fetch_bytes = record_bytes.max(32 << 20);
    let share = settings.queue_bytes / settings.partitions.max(1);
    let queue_kbytes = (share / 1024).max(64);
    // It shrinks on its way: a queue that is not full must not get several times what it holds.
    let partition_bytes = (share / 8).clamp(64 << 10, 1 << 20).min(record_bytes);
    let session_milliseconds = u64::from(settings.kafka.session_timeout_seconds) * 1000;
    config
        .set("group.id", group)
        .set("group.protocol", "classic")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session_milliseconds.to_string())
        .set("heartbeat.interval.ms", (session_milliseconds / 10).clamp(100, 3000).to_string())
        .set("max.poll.interval.ms", session_milliseconds.max(300_000).to_string())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_uncommitted")
        .set("check.crcs", "true")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.error.backoff.ms", "200")
        .set("message.max.bytes", record_bytes.to_string())
        .set("fetch.message.max.bytes", partition_bytes.to_string())
        .set("fetch.max.bytes", fetch_bytes.to_string())
        .set("receive.message.max.bytes", RECEIVE_BYTES.to_string())
        .set("queued.max.messages.kbytes", queue_kbytes.to_string());
    config
}

/// What the producer of reports is told: it gives up, so that nothing ever waits for it.
pub(super) fn report_producer(connection: &ClientConfig) -> ClientConfig {
    let mut config = connection.clone();
    config
        .set("statistics.interval.ms", "0")
        .set("message.timeout.ms", "5000")
        // A report that is sent again must not come after a later one.
        .set("max.in.flight.requests.per.connection", "1")
        .set("queue.buffering.max.messages", "64")
        .set("compression.type", "zstd");
    config
}

/// What the reader of reports is told: it tells when it has read all, and takes part in no group.
pub(super) fn report_consumer(
    connection: &ClientConfig,
    settings: &BusSettings,
    group: &str,
) -> ClientConfig {
    let mut config = consumer(connection, settings, group);
    config
        .set("statistics.interval.ms", "0")
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", "4096");
    config
}

/// Above every fetch, below the first bytes of a TLS alert read as a length.
const RECEIVE_BYTES: u32 = 300 << 20;

/// What every client of this process calls itself: `querywatch-<host>-<process id>`. Kafka's tools
/// show it, and so do the members of a group.
pub fn process_name() -> String {
    format!("querywatch-{}-{}", host_name(), std::process::id())
}

/// What this machine calls itself.
pub fn host_name() -> String {
    let places = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let host = places.iter().find_map(|place| std::fs::read_to_string(place).ok());
    host.as_deref().map_or("unknown", str::trim).to_owned()
}
