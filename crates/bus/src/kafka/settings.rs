//! Settings of the bus on Kafka: the brokers, the topic, and how to prove who we are.

use std::path::PathBuf;

use secret::SecretSource;
use serde::{Deserialize, Serialize};

use crate::BusError;

/// What is between us and the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KafkaSecurity {
    /// Nothing: whoever is on the network reads along and writes.
    #[default]
    Plaintext,
    /// Encryption; the brokers know us by `certificate_file` if at all.
    Tls,
    /// User and password without encryption.
    SaslPlaintext,
    /// User and password with encryption.
    SaslTls,
}

/// How user and password are shown to the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaslMechanism {
    /// As they are.
    Plain,
    /// Proven with SHA-256.
    #[serde(rename = "scram_sha_256")]
    ScramSha256,
    /// Proven with SHA-512.
    #[serde(rename = "scram_sha_512")]
    #[default]
    ScramSha512,
}

/// Settings of the bus on Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSettings {
    /// `host:port` of some brokers; they tell of the others.
    pub brokers: Vec<String>,
    /// The topic; nothing else should write to it. What the processes tell of themselves is in
    /// `<topic>.processes`.
    pub topic: String,
    /// Consumer groups are called `<group_prefix>.<consumer>`.
    pub group_prefix: String,
    /// Whether missing topics are created.
    pub create_topic: bool,
    /// Copies of each record of a topic that is created; 0 leaves it to the brokers.
    pub replication: u16,
    /// How long a topic that is created keeps records, read or not.
    pub retention_hours: u32,
    /// What is between us and the brokers.
    pub security: KafkaSecurity,
    /// Certificates (PEM) of those who may sign the brokers'; those of the system if not given.
    pub ca_file: Option<PathBuf>,
    /// Our certificate (PEM), for brokers that ask for one.
    pub certificate_file: Option<PathBuf>,
    /// Its key (PEM).
    pub key_file: Option<PathBuf>,
    /// How user and password are shown.
    pub sasl_mechanism: SaslMechanism,
    /// The user.
    pub username: Option<SecretSource>,
    /// The password.
    pub password: Option<SecretSource>,
    /// How long a record waits for others to go with.
    pub linger_milliseconds: u32,
    /// A member that is silent for so long loses its partitions.
    pub session_timeout_seconds: u32,
    /// Opening gives up after so long.
    pub connect_seconds: u32,
}

impl Default for KafkaSettings {
    fn default() -> KafkaSettings {
        KafkaSettings {
            brokers: Vec::new(),
            topic: "querywatch.events".into(),
            group_prefix: "querywatch".into(),
            create_topic: true,
            replication: 0,
            retention_hours: 168,
            security: KafkaSecurity::default(),
            ca_file: None,
            certificate_file: None,
            key_file: None,
            sasl_mechanism: SaslMechanism::default(),
            username: None,
            password: None,
            linger_milliseconds: 5,
            session_timeout_seconds: 30,
            connect_seconds: 10,
        }
    }
}

impl KafkaSettings {
    /// Whether user and password are shown.
    pub(crate) fn sasl(&self) -> bool {
        matches!(self.security, KafkaSecurity::SaslPlaintext | KafkaSecurity::SaslTls)
    }

    /// Whether there is encryption.
    pub(crate) fn tls(&self) -> bool {
        matches!(self.security, KafkaSecurity::Tls | KafkaSecurity::SaslTls)
    }

    /// Refuses settings that cannot work.
    pub(crate) fn check(&self, record_bytes_max: u32) -> Result<(), BusError> {
        let broker_is_odd = |broker: &String| {
            broker.trim().is_empty() || broker.contains(|c: char| c == ',' || c.is_whitespace())
        };
        let files = [&self.ca_file, &self.certificate_file, &self.key_file];
        let wrong = if self.brokers.is_empty() {
            "kafka.brokers must name a broker as host:port, or kind must be embedded"
        } else if self.brokers.iter().any(broker_is_odd) {
            "kafka.brokers must be a list with one host:port an entry"
        } else if !is_name(&self.topic) || self.topic.len() > TOPIC_LENGTH_MAX {
            "kafka.topic must be 1 to 239 letters, digits, dots, underscores and hyphens"
        } else if self.group_prefix.is_empty() {
            "kafka.group_prefix must not be empty: other programs have groups too"
        } else if self.replication > 100 {
            "kafka.replication must be at most 100; 0 leaves it to the brokers"
        } else if self.sasl() && (self.username.is_none() || self.password.is_none()) {
            "kafka.username and kafka.password must be given for security sasl_tls and \
             sasl_plaintext"
        } else if !self.sasl() && (self.username.is_some() || self.password.is_some()) {
            "kafka.security must be sasl_tls or sasl_plaintext, or kafka.username and \
             kafka.password are never used"
        } else if !self.tls() && files.iter().any(|file| file.is_some()) {
            "kafka.security must be tls or sasl_tls, or the certificates are never used"
        } else if self.certificate_file.is_some() != self.key_file.is_some() {
            "kafka.certificate_file and kafka.key_file must be given together"
        } else if self.linger_milliseconds > 10_000 {
            "kafka.linger_milliseconds must be at most 10000"
        } else if !(1..=1800).contains(&self.session_timeout_seconds) {
            "kafka.session_timeout_seconds must be between 1 and 1800; brokers allow 6 to 1800 \
             unless told otherwise"
        } else if !(1..=3600).contains(&self.connect_seconds) {
            "kafka.connect_seconds must be between 1 and 3600"
        } else if !(1024..=RECORD_BYTES_MOST).contains(&record_bytes_max) {
            "record_bytes_max must be between 1 KiB and 128 MiB with Kafka"
        } else {
            return Ok(());
        };
        Err(BusError::Settings(wrong))
    }
}

/// A fetch must hold a record and stay below the size that tells a TLS port apart.
const RECORD_BYTES_MOST: u32 = 128 << 20;

/// Kafka allows 249; the topic of the reports is called `<topic>.processes`.
const TOPIC_LENGTH_MAX: usize = 239;

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !matches!(text, "" | "." | "..") && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BusKind, BusSettings};

    fn refused(change: impl FnOnce(&mut KafkaSettings)) -> String {
        let mut settings = BusSettings { kind: BusKind::Kafka, ..BusSettings::default() };
        settings.kafka.brokers = vec!["kafka:9092".into()];
        assert!(settings.check().is_ok());
        change(&mut settings.kafka);
        settings.check().expect_err("settings that cannot work").to_string()
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        let user = || Some(SecretSource::Env("USER".into()));
        assert!(refused(|kafka| kafka.brokers.clear()).contains("kafka.brokers"));
        assert!(refused(|kafka| kafka.brokers[0] = "a:1,b:2".into()).contains("one host:port"));
        assert!(refused(|kafka| kafka.topic = "a b".into()).contains("kafka.topic"));
        assert!(refused(|kafka| kafka.security = KafkaSecurity::SaslTls).contains("password"));
        assert!(refused(|kafka| kafka.username = user()).contains("kafka.security"));
        assert!(refused(|kafka| kafka.ca_file = Some("ca.pem".into())).contains("certificates"));
        let half = refused(|kafka| {
            kafka.security = KafkaSecurity::Tls;
            kafka.key_file = Some("key.pem".into());
        });
        assert!(half.contains("together"), "{half}");
        assert!(refused(|kafka| kafka.connect_seconds = 0).contains("connect_seconds"));
    }

    #[test]
    fn kinds_are_written_as_the_file_shows_them() {
        let text = r#"{"kind": "kafka", "kafka": {"security": "sasl_tls",
            "sasl_mechanism": "scram_sha_256", "password": {"env": "SECRET"}}}"#;
        let settings: BusSettings = serde_json::from_str(text).expect("settings");
        assert_eq!(settings.kind, BusKind::Kafka);
        assert_eq!(settings.kafka.security, KafkaSecurity::SaslTls);
        assert_eq!(settings.kafka.sasl_mechanism, SaslMechanism::ScramSha256);
        assert_eq!(settings.kafka.password, Some(SecretSource::Env("SECRET".into())));
    }

    #[test]
    fn nothing_of_kafka_is_asked_of_an_embedded_bus() {
        assert!(BusSettings::default().check().is_ok());
    }
}
