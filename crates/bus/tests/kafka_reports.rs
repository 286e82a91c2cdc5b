//! What processes tell each other: the newest of each key comes back, whatever others write.

mod kafka_broker;

use std::time::{Duration, Instant};

use bus::kafka::{REPORT_BYTES_MAX, Report};
use bus::{BusError, BusSettings, KafkaBus, Record};
use kafka_broker::{Broker, OwnBroker};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::ToBytes;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::time::timeout;

fn open(settings: &BusSettings) -> KafkaBus {
    KafkaBus::open_unconnected(settings).unwrap()
}

/// Keys and what was told, as soon as they are these.
async fn told(bus: &KafkaBus, expected: &[(&str, &str)]) -> Vec<Report> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let reports = bus.reports().await.unwrap();
        let found: Vec<_> = reports
            .iter()
            .map(|report| (report.key.as_str(), std::str::from_utf8(&report.payload).unwrap()))
            .collect();
        if found == expected {
            return reports;
        }
        assert!(Instant::now() < until, "{found:?}");
    }
}

async fn setting(broker: &Broker, topic: &str, name: &str) -> String {
    let admin: AdminClient<DefaultClientContext> = broker.foreign().create().unwrap();
    let topic = [ResourceSpecifier::Topic(topic)];
    let told = admin.describe_configs(&topic, &AdminOptions::new()).await.unwrap();
    let told = told.into_iter().next().unwrap().unwrap();
    told.get(name).unwrap().value.clone().unwrap()
}

#[tokio::test]
async fn the_newest_report_of_each_key_comes_back() {
    let Some(broker) = Broker::given() else { return };
    let settings = broker.settings(3);
    let [first, second, reader] = [(); 3].map(|()| open(&settings));
    let missing = reader.reports().await.unwrap_err();
    assert!(matches!(missing, BusError::TopicMissing(_)), "{missing}");
    // Both find no topic: one of them loses the race and does not mind.
    let (one, other) = tokio::join!(first.report("a", b"1"), second.report("b", b"1"));
    one.unwrap();
    other.unwrap();
    first.report("a", b"2").await.unwrap();
    let found = told(&reader, &[("a", "2"), ("b", "1")]).await;
    assert!(found.iter().all(|report| report.age < Duration::from_secs(10)), "{found:?}");
    second.report("b", b"3").await.unwrap();
    told(&reader, &[("a", "2"), ("b", "3")]).await;
    first.withdraw_report("a").await.unwrap();
    told(&reader, &[("b", "3")]).await;
    // Who comes later reads the same.
    told(&open(&settings), &[("b", "3")]).await;
    let topic = format!("{}.processes", settings.kafka.topic);
    assert_eq!(setting(&broker, &topic, "cleanup.policy").await, "compact,delete");
    // Closed, it says so at once.
    reader.shutdown().await.unwrap();
    assert!(matches!(reader.reports().await, Err(BusError::Closed)));
}

/// The brokers refuse what has no key: the topic is compacted.
async fn send<K: ToBytes + ?Sized>(
    producer: &FutureProducer,
    topic: &str,
    key: &K,
    payload: Option<&[u8]>,
) {
    let record = FutureRecord { payload, ..FutureRecord::to(topic).key(key) };
    producer.send(record, Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn what_others_write_does_no_harm() {
    let Some(broker) = Broker::given() else { return };
    let settings = broker.settings(1);
    let bus = open(&settings);
    bus.report("a", b"ours").await.unwrap();
    let topic = format!("{}.processes", settings.kafka.topic);
    let mut foreign = broker.foreign();
    let foreign: FutureProducer = foreign.set("message.max.bytes", "2000000").create().unwrap();
    let too_large = vec![b'x'; REPORT_BYTES_MAX + 1];
    send(&foreign, &topic, &[0xff_u8, 0xfe][..], Some(b"no text")).await;
    send(&foreign, &topic, &[0xff_u8, 0xfe][..], None).await;
    send(&foreign, &topic, &*"k".repeat(10_000), Some(b"a long name")).await;
    send(&foreign, &topic, "a", Some(&too_large)).await;
    send(&foreign, &topic, "zero\0", Some(b"")).await;
    told(&bus, &[("a", "ours"), ("zero\0", "")]).await;
    let refused = bus.report("a", &too_large).await.unwrap_err();
    assert!(matches!(refused, BusError::TooLarge { .. }), "{refused}");

    // More names than are kept: the newest win, and ours is there again when it is told again.
    let flood = (0..3_000).map(|number| {
        let (foreign, topic) = (foreign.clone(), topic.clone());
        async move { send(&foreign, &topic, &*format!("n{number}"), Some(b"x")).await }
    });
    let flood: Vec<_> = flood.map(tokio::spawn).collect();
    for sent in flood {
        sent.await.unwrap();
    }
    bus.report("a", b"again").await.unwrap();
    let reports = bus.reports().await.unwrap();
    assert_eq!(reports.len(), 1_000);
    let ours = reports.iter().find(|report| report.key == "a").expect("ours");
    assert_eq!(&ours.payload[..], b"again");
    bus.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_reported_hinders_no_append() {
    let Some(broker) = Broker::given() else { return };
    let mut settings = broker.settings(1);
    let admin: AdminClient<DefaultClientContext> = broker.foreign().create().unwrap();
    let topic = NewTopic::new(&settings.kafka.topic, 1, TopicReplication::Fixed(1));
    let created = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
    created.into_iter().for_each(|topic| drop(topic.unwrap()));
    settings.kafka.create_topic = false;
    let bus = open(&settings);
    let refused = bus.report("a", b"1").await.unwrap_err();
    let topic = format!("{}.processes", settings.kafka.topic);
    assert!(matches!(&refused, BusError::TopicMissing(name) if *name == topic), "{refused}");
    let record = Record { payload: b"event".to_vec().into(), ..Record::default() };
    assert_eq!(bus.append(0, vec![record]).await.unwrap().len(), 1);
    bus.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_away_is_given_up_and_found_again() {
    if Broker::given().is_none() {
        return;
    }
    let mut own = OwnBroker::start(&[]);
    let bus = open(&own.broker.settings(1));
    bus.report("a", b"1").await.unwrap();
    told(&bus, &[("a", "1")]).await;
    own.signal("KILL");
    let begun = Instant::now();
    let refused = bus.report("a", b"2").await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(refused.to_string().contains("no broker answers"), "{refused}");
    // What was heard stays, and grows old.
    told(&bus, &[("a", "1")]).await;
    own.restart();
    let again = async {
        while bus.report("a", b"3").await.is_err() {}
        told(&bus, &[("a", "3")]).await
    };
    timeout(Duration::from_secs(60), again).await.expect("it is found again");
    bus.shutdown().await.unwrap();
}
