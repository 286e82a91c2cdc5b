//! The way to Kafka: security, clear errors, and the topic that is created or checked.

mod kafka_broker;

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bus::kafka::{KafkaSecurity, SaslMechanism};
use bus::{Bus, BusError, BusSettings, Delivery, KafkaBus, Offset, Record, Turn};
use kafka_broker::{Broker, variable};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use secret::SecretSource;
use tokio::time::timeout;

async fn open(settings: &BusSettings) -> Result<Bus, BusError> {
    Bus::open(settings, Path::new("/nowhere")).await
}

/// The error of a bus that must not open, which must come soon.
async fn refused(settings: &BusSettings) -> BusError {
    let begun = Instant::now();
    let Err(error) = open(settings).await else { panic!("it opened") };
    assert!(begun.elapsed() < Duration::from_secs(4), "{error}: after {:?}", begun.elapsed());
    error
}

fn record(text: &str) -> Record {
    Record { payload: text.as_bytes().to_vec().into(), ..Record::default() }
}

fn admin(broker: &Broker) -> AdminClient<DefaultClientContext> {
    broker.foreign().create().unwrap()
}

async fn create(broker: &Broker, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
    let created = admin(broker).create_topics([&new], &AdminOptions::new()).await.unwrap();
    created.into_iter().for_each(|topic| drop(topic.unwrap()));
}

#[tokio::test]
async fn every_mechanism_works_over_tls() {
    let Some(broker) = Broker::given() else { return };
    for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512]
    {
        let mut settings = broker.secured(1);
        settings.kafka.sasl_mechanism = mechanism;
        let bus = open(&settings).await.unwrap();
        assert_eq!(bus.append(0, vec![record("sealed")]).await.unwrap(), [Offset(0)]);
        let mut member = bus.join("detect").await.unwrap();
        assert_eq!(member.next().await.unwrap(), Turn::Assigned(vec![0]));
        member.assign(&[(0, Offset(0))]).await.unwrap();
        let Turn::Delivery { delivery, .. } = member.next().await.unwrap() else { panic!() };
        assert_eq!(delivery, Delivery::Record { offset: Offset(0), record: record("sealed") });
        member.leave().await.unwrap();
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_connection_is_said_soon() {
    let Some(broker) = Broker::given() else { return };

    let mut settings = broker.secured(1);
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "surely-wrong").unwrap();
    settings.kafka.password = Some(SecretSource::File(password));
    for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha256] {
        settings.kafka.sasl_mechanism = mechanism;
        let error = refused(&settings).await;
        assert!(matches!(error, BusError::Credentials(_)), "{error}");
        assert!(!error.to_string().contains("surely-wrong"), "{error}");
    }

    let mut settings = broker.secured(1);
    settings.kafka.ca_file = Some(PathBuf::from("/etc/ssl/certs/ca-certificates.crt"));
    let error = refused(&settings).await;
    assert!(matches!(error, BusError::Certificate(_)), "{error}");

    let mut settings = broker.settings(1);
    settings.kafka.brokers = vec![variable("KAFKA_SASL")];
    let error = refused(&settings).await;
    assert!(matches!(error, BusError::Encryption(_)), "plain on a TLS port: {error}");

    let mut settings = broker.settings(1);
    settings.kafka.security = KafkaSecurity::Tls;
    let error = refused(&settings).await;
    assert!(matches!(error, BusError::Encryption(_)), "TLS on a plain port: {error}");

    let mut settings = broker.settings(1);
    settings.kafka.security = KafkaSecurity::Tls;
    settings.kafka.ca_file = Some(folder.path().join("missing.pem"));
    let error = refused(&settings).await;
    assert!(matches!(error, BusError::Client(_)), "{error}");
}

#[tokio::test]
async fn who_answers_to_no_broker_gives_up_in_time_and_says_why() {
    let Some(broker) = Broker::given() else { return };
    let mut settings = broker.settings(1);
    settings.kafka.connect_seconds = 2;
    settings.kafka.brokers = vec!["127.0.0.1:1".into()];
    let error = refused(&settings).await.to_string();
    assert!(error.contains("127.0.0.1:1") && error.contains("refused"), "{error}");

    settings.kafka.brokers = vec!["surely-not-there.invalid:9092".into()];
    let error = refused(&settings).await.to_string();
    assert!(error.contains("resolve") && error.contains("bus.kafka.brokers"), "{error}");

    // Somebody listens, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    settings.kafka.brokers = vec![silent.local_addr().unwrap().to_string()];
    let listening = std::thread::spawn(move || {
        let (mut stream, _) = silent.accept().unwrap();
        let _read = stream.read_to_end(&mut Vec::new());
    });
    let error = refused(&settings).await;
    assert!(matches!(error, BusError::NoBroker { .. }), "{error}");
    listening.join().unwrap();
}

#[tokio::test]
async fn a_missing_topic_is_created_as_events_need_it() {
    let Some(broker) = Broker::given() else { return };
    let settings = broker.settings(3);
    // Two at once: one of them loses the race and does not mind.
    let (first, second) = tokio::join!(open(&settings), open(&settings));
    first.unwrap().shutdown().await.unwrap();
    let Ok(Bus::Kafka(bus)) = second else { panic!() };
    let found = bus.inspect("detect").await.unwrap();
    assert_eq!(found.partitions.len(), 3);
    assert_eq!((found.partitions[0].replicas, found.partitions[0].replicas_in_sync), (1, 1));
    assert_eq!(found.brokers, std::slice::from_ref(&broker.address));
    bus.shutdown().await.unwrap();

    let topic = [ResourceSpecifier::Topic(&settings.kafka.topic)];
    let told = admin(&broker).describe_configs(&topic, &AdminOptions::new()).await.unwrap();
    let told = told.into_iter().next().unwrap().unwrap();
    let value = |name: &str| told.get(name).unwrap().value.clone().unwrap();
    assert_eq!(value("message.timestamp.type"), "LogAppendTime");
    assert_eq!(value("cleanup.policy"), "delete");
    assert_eq!(value("retention.ms"), (168 * 3_600_000_u64).to_string());
    assert_eq!(value("max.message.bytes"), ((24 << 20) + (64 << 10)).to_string());
}

#[tokio::test]
async fn a_topic_that_does_not_fit_is_refused_with_the_cure() {
    let Some(broker) = Broker::given() else { return };
    let mut settings = broker.settings(2);
    settings.kafka.create_topic = false;
    let topic = settings.kafka.topic.clone();
    let error = refused(&settings).await.to_string();
    assert!(error.contains(&topic) && error.contains("create_topic"), "{error}");

    create(&broker, &topic, 3, &[("max.message.bytes", "30000000")]).await;
    let error = refused(&settings).await.to_string();
    assert!(error.contains("has 3 partitions and bus.partitions is 2"), "{error}");
    settings.partitions = 3;
    open(&settings).await.unwrap().shutdown().await.unwrap();

    settings.kafka.topic = format!("{topic}.small");
    create(&broker, &settings.kafka.topic, 3, &[("max.message.bytes", "1000000")]).await;
    let error = refused(&settings).await.to_string();
    assert!(error.contains("max.message.bytes is 1000000"), "{error}");
    settings.record_bytes_max = 900_000;
    open(&settings).await.unwrap().shutdown().await.unwrap();

    settings.kafka.topic = format!("{topic}.compact");
    create(&broker, &settings.kafka.topic, 3, &[("cleanup.policy", "compact")]).await;
    let error = refused(&settings).await.to_string();
    assert!(error.contains("compact") && error.contains("delete"), "{error}");
}

#[tokio::test]
async fn a_bus_opens_without_a_broker_and_connects_later() {
    let Some(broker) = Broker::given() else { return };
    let mut settings = broker.settings(1);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    settings.kafka.brokers = vec![port.to_string()];
    settings.kafka.connect_seconds = 1;
    let begun = Instant::now();
    let bus = KafkaBus::open_unconnected(&settings).unwrap();
    assert!(begun.elapsed() < Duration::from_millis(500));
    for _ in 0..2 {
        let refused = bus.ensure_topic().await;
        assert!(matches!(refused, Err(BusError::NoBroker { .. })), "{refused:?}");
    }
    let append = bus.append(0, vec![record("early")]);
    assert!(timeout(Duration::from_millis(300), append).await.is_err(), "it waits");
    let told = async {
        loop {
            let status = bus.status().kafka.unwrap();
            if let Some(problem) = status.problem {
                return (problem, status.producer_queue_records);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (problem, waiting) = timeout(Duration::from_secs(10), told).await.unwrap();
    assert!(problem.contains("no broker answers for") && problem.contains("refused"), "{problem}");
    assert_eq!(waiting, 1, "the append that was cancelled is under way all the same");
    let begun = Instant::now();
    bus.shutdown().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "shutdown does not wait for ever");
}

#[tokio::test]
async fn a_record_above_the_topic_s_limit_is_told_and_does_not_stop_others() {
    let Some(broker) = Broker::given() else { return };
    let mut settings = broker.settings(1);
    settings.record_bytes_max = 600_000;
    let bus = open(&settings).await.unwrap();
    // Somebody lowers the limit afterwards.
    let change = std::collections::HashMap::from([("max.message.bytes", "100000")]);
    let topic = ResourceSpecifier::Topic(&settings.kafka.topic);
    let change = rdkafka::admin::AlterConfig { specifier: topic, entries: change };
    let altered = admin(&broker).alter_configs([&change], &AdminOptions::new()).await.unwrap();
    altered.into_iter().for_each(|topic| drop(topic.unwrap()));
    assert_eq!(bus.append(0, vec![record("a")]).await.unwrap(), [Offset(0)]);
    // What cannot be compressed.
    let scramble = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let noise = (0..500_000).map(|n| (scramble(scramble(n) ^ (scramble(n) >> 29)) >> 56) as u8);
    let noise: Vec<u8> = noise.collect();
    let large = Record { payload: noise.into(), ..Record::default() };
    let error = bus.append(0, vec![record("b"), large]).await.unwrap_err().to_string();
    assert!(error.contains("max.message.bytes"), "{error}");
    // The producer was replaced: what comes afterwards goes through.
    assert_eq!(bus.append(0, vec![record("c"), record("d")]).await.unwrap().len(), 2);
    bus.shutdown().await.unwrap();
}
