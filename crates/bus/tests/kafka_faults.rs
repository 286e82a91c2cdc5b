//! Kafka that fails: damaged batches, a broker that hangs, one that is killed and comes back.

mod kafka_broker;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bus::{Bus, BusSettings, Delivery, GapReason, Member, Offset, Record, Turn};
use kafka_broker::{Broker, OwnBroker, variable};
use tokio::time::timeout;

async fn open(settings: &BusSettings) -> Bus {
    Bus::open(settings, Path::new("/nowhere")).await.unwrap()
}

fn record(number: u64) -> Record {
    Record { payload: number.to_string().into_bytes().into(), ..Record::default() }
}

async fn join(bus: &Bus, starts: &[(u32, Offset)]) -> Member {
    let mut member = bus.join("detect").await.unwrap();
    assert!(matches!(member.next().await.unwrap(), Turn::Assigned(_)));
    member.assign(starts).await.unwrap();
    member
}

/// Until so many offsets were delivered: where what is, by partition.
async fn deliveries(member: &mut Member, mut offsets: u64) -> Vec<(u32, Delivery)> {
    let mut found = Vec::new();
    while offsets > 0 {
        let turn = timeout(Duration::from_secs(30), member.next()).await;
        let turn = turn.unwrap_or_else(|_| panic!("{offsets} are missing after {found:?}"));
        let Turn::Delivery { partition, delivery } = turn.unwrap() else { panic!() };
        offsets -= match &delivery {
            Delivery::Record { .. } => 1,
            Delivery::Gap { from, to, .. } => to.0 - from.0,
        };
        found.push((partition, delivery));
    }
    found.sort_by_key(|(partition, delivery)| (*partition, delivery.next()));
    found
}

fn records(partition: u32, offsets: std::ops::Range<u64>) -> Vec<(u32, Delivery)> {
    let delivery = |n| Delivery::Record { offset: Offset(n), record: record(n) };
    offsets.map(|n| (partition, delivery(n))).collect()
}

fn gap(partition: u32, from: u64, to: u64) -> Vec<(u32, Delivery)> {
    let (from, to) = (Offset(from), Offset(to));
    vec![(partition, Delivery::Gap { from, to, reason: GapReason::Damaged })]
}

/// Flips a bit in the last byte of the batch that begins at an offset, in the broker's file.
fn damage(topic: &str, partition: u32, offset: u64) {
    let folder = PathBuf::from(variable("KAFKA_CA")).with_file_name("data");
    let path = folder.join(format!("{topic}-{partition}/00000000000000000000.log"));
    let mut bytes = std::fs::read(&path).unwrap();
    let mut place = 0;
    loop {
        let base = u64::from_be_bytes(bytes[place..place + 8].try_into().unwrap());
        let length = u32::from_be_bytes(bytes[place + 8..place + 12].try_into().unwrap());
        let end = place + 12 + length as usize;
        if base == offset {
            bytes[end - 1] ^= 0x10;
            break;
        }
        place = end;
    }
    // In place: the broker has the file open.
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
}

#[tokio::test]
async fn damaged_batches_are_gaps_with_exact_offsets() {
    let Some(broker) = Broker::given() else { return };
    let settings = broker.settings(2);
    let bus = open(&settings).await;
    for partition in 0..2 {
        for batch in 0..4_u64 {
            // Waited for one by one: a batch each.
            let batch = (batch * 4..batch * 4 + 4).map(record).collect();
            bus.append(partition, batch).await.unwrap();
        }
    }
    let topic = &settings.kafka.topic;
    damage(topic, 0, 4);
    damage(topic, 1, 12);
    // Both begin at the same offset: only one of them is damaged there.
    let mut member = join(&bus, &[(0, Offset(4)), (1, Offset(4))]).await;
    let found = deliveries(&mut member, 24).await;
    let expected = [gap(0, 4, 8), records(0, 8..16), records(1, 4..12), gap(1, 12, 16)];
    assert_eq!(found, expected.concat());
    bus.append(1, vec![record(16)]).await.unwrap();
    assert_eq!(deliveries(&mut member, 1).await, records(1, 16..17));
    member.leave().await.unwrap();
    bus.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_the_brokers_forbid_is_said() {
    if Broker::given().is_none() {
        return;
    }
    // Without encryption anybody may do anything; who has a name, nothing.
    let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let own = OwnBroker::start(&[
        &format!("authorizer.class.name={authorizer}"),
        "super.users=User:ANONYMOUS",
    ]);
    let settings = own.secured(1);
    let topic = settings.kafka.topic.clone();
    let Err(error) = Bus::open(&settings, Path::new("/nowhere")).await else { panic!() };
    let error = error.to_string();
    assert!(error.contains("forbid") && error.contains(&topic), "{error}");

    let mut plain = own.broker.settings(1);
    plain.kafka.topic = topic;
    let bus = open(&plain).await;
    bus.append(0, vec![record(0)]).await.unwrap();
    let unchecked = bus::KafkaBus::open_unconnected(&settings).unwrap();
    let append = timeout(Duration::from_secs(20), unchecked.append(0, vec![record(1)])).await;
    let refused = append.expect("an answer").unwrap_err().to_string();
    assert!(refused.contains("forbid writing to topic"), "{refused}");
    let mut member = unchecked.join("detect").map(Member::Kafka).unwrap();
    let refused = timeout(Duration::from_secs(20), member.next()).await.expect("an answer");
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("forbid") && refused.contains("group"), "{refused}");
    member.leave().await.unwrap();
    for refused in [unchecked.report("a", b"1").await, unchecked.reports().await.map(drop)] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("forbid") && refused.contains(".processes"), "{refused}");
    }
    unchecked.shutdown().await.unwrap();

    // Who leaves while the broker is away is not held up.
    let member = join(&bus, &[(0, Offset(0))]).await;
    own.signal("KILL");
    let begun = Instant::now();
    timeout(Duration::from_secs(60), member.leave()).await.expect("it has left").unwrap();
    bus.shutdown().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn appends_wait_for_a_broker_that_hangs_or_dies_and_go_on_in_order() {
    if Broker::given().is_none() {
        return;
    }
    let mut own = OwnBroker::start(&[]);
    let bus = open(&own.broker.settings(1)).await;
    let mut member = join(&bus, &[(0, Offset(0))]).await;
    let mut next = 0;
    let mut append = |count: u64| {
        let (bus, first) = (bus.clone(), next);
        next += count;
        tokio::spawn(async move {
            for number in first..first + count {
                assert_eq!(bus.append(0, vec![record(number)]).await.unwrap(), [Offset(number)]);
            }
        })
    };
    append(10).await.unwrap();
    assert_eq!(deliveries(&mut member, 10).await, records(0, 0..10));

    own.signal("STOP");
    let hanging = append(10);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!hanging.is_finished());
    own.signal("CONT");
    timeout(Duration::from_secs(20), hanging).await.unwrap().unwrap();
    assert_eq!(deliveries(&mut member, 10).await, records(0, 10..20));

    own.signal("KILL");
    let waiting = append(10);
    let told = async {
        loop {
            if let Some(problem) = bus.status().kafka.unwrap().problem {
                return problem;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let problem = timeout(Duration::from_secs(15), told).await.unwrap();
    assert!(problem.contains("no broker answers"), "{problem}");
    let idle = timeout(Duration::from_millis(300), member.next()).await;
    assert!(idle.is_err(), "{idle:?}");
    assert!(!waiting.is_finished());
    own.restart();
    timeout(Duration::from_secs(60), waiting).await.unwrap().unwrap();
    let found = async {
        loop {
            // The broker may have forgotten the member: then it gets its partition anew.
            match member.next().await.unwrap() {
                Turn::Lost(partitions) => member.release(&partitions).await.unwrap(),
                Turn::Assigned(_) => member.assign(&[(0, Offset(20))]).await.unwrap(),
                Turn::Delivery { delivery, .. } => return delivery,
                Turn::Revoked(partitions) => panic!("{partitions:?}"),
            }
        }
    };
    let first = timeout(Duration::from_secs(60), found).await.unwrap();
    assert_eq!(vec![(0, first)], records(0, 20..21));
    assert_eq!(deliveries(&mut member, 9).await, records(0, 21..30));
    let cured = async {
        while bus.status().kafka.unwrap().problem.is_some() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(10), cured).await.expect("the problem is over");
    member.leave().await.unwrap();
    bus.shutdown().await.unwrap();
}
