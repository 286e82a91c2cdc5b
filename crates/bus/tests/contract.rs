//! What every bus promises, whichever it is. A new variant is one line in [`places`].

mod kafka_broker;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use bus::{Bus, BusError, BusSettings, Delivery, Member, Offset, Record, Turn};
use kafka_broker::Broker;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A bus that can be opened again.
struct Place {
    settings: BusSettings,
    folder: TempDir,
}

impl Place {
    async fn open(&self) -> Bus {
        Bus::open(&self.settings, self.folder.path()).await.unwrap()
    }
}

/// Each variant, with two partitions and small segments.
fn places() -> Vec<Place> {
    let small = BusSettings { partitions: 2, segment_bytes: 4096, ..BusSettings::default() };
    let on_kafka = Broker::given().map(|broker| broker.settings(2));
    let place = |settings| Place { settings, folder: tempfile::tempdir().unwrap() };
    [small].into_iter().chain(on_kafka).map(place).collect()
}

fn record(text: &str) -> Record {
    Record {
        key: b"shop".to_vec(),
        headers: vec![("kind".into(), b"events".to_vec()), ("empty".into(), vec![])],
        payload: text.as_bytes().to_vec().into(),
    }
}

async fn append(bus: &Bus, partition: u32, texts: Range<usize>) -> Vec<Offset> {
    let records = texts.map(|text| record(&text.to_string())).collect();
    bus.append(partition, records).await.unwrap()
}

fn offsets(range: Range<u64>) -> Vec<Offset> {
    range.map(Offset).collect()
}

/// A member that has answered its assignment of all partitions.
async fn join(bus: &Bus, consumer: &str, starts: &[(u32, Offset)]) -> Member {
    let mut member = bus.join(consumer).await.unwrap();
    let turn = timeout(Duration::from_secs(30), member.next()).await.unwrap().unwrap();
    assert_eq!(turn, Turn::Assigned((0..bus.partitions()).collect()));
    member.assign(starts).await.unwrap();
    member
}

async fn delivery(member: &mut Member) -> (u32, Offset, Record) {
    let turn = timeout(Duration::from_secs(30), member.next()).await.unwrap().unwrap();
    match turn {
        Turn::Delivery { partition, delivery: Delivery::Record { offset, record } } => {
            (partition, offset, record)
        }
        other => panic!("{other:?}"),
    }
}

/// So many records, by partition and in the order in which they came.
async fn read(member: &mut Member, count: usize) -> BTreeMap<u32, Vec<(Offset, Record)>> {
    let mut records = BTreeMap::<u32, Vec<_>>::new();
    for _ in 0..count {
        let (partition, offset, record) = delivery(member).await;
        records.entry(partition).or_default().push((offset, record));
    }
    records
}

fn expected(range: Range<u64>) -> Vec<(Offset, Record)> {
    range.map(|n| (Offset(n), record(&n.to_string()))).collect()
}

const START: [(u32, Offset); 2] = [(0, Offset(0)), (1, Offset(0))];

#[tokio::test]
async fn appended_records_are_read_at_their_offsets_after_reopening_too() {
    for place in places() {
        let bus = place.open().await;
        assert_eq!(append(&bus, 0, 0..3).await, offsets(0..3));
        assert_eq!(append(&bus, 0, 3..500).await, offsets(3..500));
        assert_eq!(append(&bus, 0, 0..0).await, []);
        let mut member = join(&bus, "detect", &START).await;
        assert_eq!(read(&mut member, 500).await[&0], expected(0..500));
        assert_eq!(member.end(0).await.unwrap(), Offset(500));
        member.leave().await.unwrap();
        bus.shutdown().await.unwrap();

        let bus = place.open().await;
        assert_eq!(append(&bus, 0, 500..501).await, offsets(500..501));
        let starts = [(0, Offset(321)), (1, Offset(0))];
        let mut member = join(&bus, "detect", &starts).await;
        assert_eq!(read(&mut member, 180).await[&0], expected(321..501));
        member.leave().await.unwrap();
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn partitions_are_independent_and_unknown_ones_refused() {
    for place in places() {
        let bus = place.open().await;
        append(&bus, 1, 0..5).await;
        append(&bus, 0, 0..2).await;
        let mut member = join(&bus, "detect", &[(0, Offset(1)), (1, Offset(2))]).await;
        let records = read(&mut member, 4).await;
        assert_eq!((&records[&0], &records[&1]), (&expected(1..2), &expected(2..5)));
        assert_eq!(member.end(1).await.unwrap(), Offset(5));
        let unknown = |found| matches!(found, BusError::UnknownPartition { partition: 2, .. });
        assert!(unknown(bus.append(2, vec![record("x")]).await.unwrap_err()));
        assert!(unknown(member.end(2).await.unwrap_err()));
        member.leave().await.unwrap();
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn partitions_are_named_for_what_is_stored_about_them() {
    for place in places() {
        let bus = place.open().await;
        assert_eq!(bus.partitions(), 2);
        let name = match &bus {
            Bus::Embedded(_) => "1".to_owned(),
            Bus::Kafka(_) => format!("{}-1", place.settings.kafka.topic),
        };
        assert_eq!(bus.partition_name(1), name);
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_stay_whole_and_get_their_own_offsets() {
    for place in places() {
        let bus = place.open().await;
        let mut appenders = JoinSet::new();
        for appender in 0..16_usize {
            let bus = bus.clone();
            appenders.spawn(async move {
                let mut placed = Vec::new();
                for turn in 0..20 {
                    let first = appender * 10_000 + turn * 10;
                    placed.push((append(&bus, 0, first..first + 3).await, first));
                }
                placed
            });
        }
        let mut placed = appenders.join_all().await.concat();
        placed.sort_by_key(|(offsets, _)| offsets[0]);
        let mut member = join(&bus, "detect", &START).await;
        let read = read(&mut member, 16 * 20 * 3).await.remove(&0).unwrap();
        let texts = placed.iter().flat_map(|(_, first)| *first..first + 3);
        let expected: Vec<_> =
            (0..).map(Offset).zip(texts.map(|text| record(&text.to_string()))).collect();
        assert_eq!(read, expected);
        member.leave().await.unwrap();
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn next_waits_for_an_append_and_may_be_cancelled() {
    for place in places() {
        let bus = place.open().await;
        let mut member = join(&bus, "detect", &START).await;
        let waiting = timeout(Duration::from_millis(50), member.next()).await;
        assert!(waiting.is_err(), "there is nothing to read yet");
        for round in 0..30 {
            // Cancelled at all times around the arrival: nothing may be lost or repeated.
            let cancelled = async {
                loop {
                    let wait = Duration::from_micros(200 + round * 150);
                    if let Ok(turn) = timeout(wait, member.next()).await {
                        return turn.unwrap();
                    }
                }
            };
            let text = round as usize;
            let (turn, _) = tokio::join!(cancelled, append(&bus, 0, text..text + 1));
            let (offset, record) = (Offset(round), record(&round.to_string()));
            let delivery = Delivery::Record { offset, record };
            assert_eq!(turn, Turn::Delivery { partition: 0, delivery });
        }
        member.leave().await.unwrap();
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn positions_beyond_the_end_are_refused_and_may_be_mended() {
    for place in places() {
        let bus = place.open().await;
        append(&bus, 0, 0..2).await;
        let mut member = bus.join("detect").await.unwrap();
        assert!(matches!(member.next().await.unwrap(), Turn::Assigned(_)));
        let refused = member.assign(&[(0, Offset(3)), (1, Offset(0))]).await;
        assert!(matches!(refused, Err(BusError::BeyondEnd { end: Offset(2), .. })));
        member.assign(&[(0, Offset(2)), (1, Offset(0))]).await.unwrap();
        append(&bus, 0, 2..3).await;
        assert_eq!(delivery(&mut member).await, (0, Offset(2), record("2")));
        member.commit(0, Offset(3)).await.unwrap();
        member.leave().await.unwrap();
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn groups_read_independently() {
    for place in places() {
        let bus = place.open().await;
        append(&bus, 0, 0..20).await;
        let mut first = join(&bus, "detect", &START).await;
        let mut second = join(&bus, "archive", &[(0, Offset(10)), (1, Offset(0))]).await;
        assert_eq!(read(&mut first, 20).await[&0], expected(0..20));
        assert_eq!(read(&mut second, 10).await[&0], expected(10..20));
        first.leave().await.unwrap();
        second.leave().await.unwrap();
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn idling_takes_nothing_and_loses_nothing() {
    for place in places() {
        let bus = place.open().await;
        append(&bus, 0, 0..40).await;
        let mut member = join(&bus, "detect", &START).await;
        assert_eq!(read(&mut member, 10).await[&0], expected(0..10));
        for round in 0..3 {
            member.idle(Duration::from_millis(150)).await.unwrap();
            append(&bus, 1, round..round + 1).await;
        }
        let rest = read(&mut member, 33).await;
        assert_eq!((&rest[&0], &rest[&1]), (&expected(10..40), &expected(0..3)));
        member.leave().await.unwrap();
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn records_and_appends_above_the_limits_are_refused() {
    for mut place in places() {
        place.settings.record_bytes_max = 1024;
        place.settings.queue_bytes = 2048;
        let bus = place.open().await;
        let large = |bytes: usize| Record { payload: vec![1; bytes].into(), ..Record::default() };
        let refused = bus.append(0, vec![large(1025)]).await;
        assert!(matches!(refused, Err(BusError::TooLarge { what: "record", .. })));
        let refused = bus.append(0, vec![large(900), large(900), large(900)]).await;
        assert!(matches!(refused, Err(BusError::TooLarge { what: "append", .. })));
        assert_eq!(bus.append(0, vec![large(900)]).await.unwrap(), [Offset(0)]);
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn shutdown_ends_waiting_members_and_refuses_appends() {
    for place in places() {
        let bus = place.open().await;
        let mut member = join(&bus, "detect", &START).await;
        let reader = tokio::spawn(async move { member.next().await });
        tokio::task::yield_now().await;
        bus.shutdown().await.unwrap();
        let read = timeout(Duration::from_secs(5), reader).await.unwrap().unwrap();
        assert!(matches!(read, Err(BusError::Closed)));
        let refused = bus.append(0, vec![record("late")]).await;
        assert!(matches!(refused, Err(BusError::Closed)));
        bus.shutdown().await.unwrap();
    }
}
