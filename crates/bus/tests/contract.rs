//! What every bus promises, whichever it is. A new variant is one line in [`variants`].

use std::ops::Range;
use std::time::Duration;

use bus::{Bus, BusError, BusSettings, Delivery, Offset, Record};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Settings of each variant, with two partitions and small segments.
fn variants() -> Vec<BusSettings> {
    let small = BusSettings { partitions: 2, segment_bytes: 4096, ..BusSettings::default() };
    vec![small]
}

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

fn places() -> Vec<Place> {
    let place = |settings| Place { settings, folder: tempfile::tempdir().unwrap() };
    variants().into_iter().map(place).collect()
}

fn record(text: &str) -> Record {
    Record {
        key: b"shop".to_vec(),
        headers: vec![("kind".into(), b"events".to_vec()), ("empty".into(), vec![])],
        payload: text.as_bytes().to_vec().into(),
    }
}

/// Everything from an offset to the end, in calls of few bytes.
async fn read_all(bus: &Bus, partition: u32, from: Offset) -> Vec<(Offset, Record)> {
    let (mut next, mut records) = (from, Vec::new());
    while next < bus.end(partition) {
        for delivery in bus.read(partition, next, 500).await.unwrap() {
            next = delivery.next();
            match delivery {
                Delivery::Record { offset, record } => records.push((offset, record)),
                gap => panic!("{gap:?}"),
            }
        }
    }
    records
}

async fn append(bus: &Bus, partition: u32, texts: Range<usize>) -> Range<Offset> {
    let records = texts.map(|text| record(&text.to_string())).collect();
    bus.append(partition, records).await.unwrap()
}

#[tokio::test]
async fn appended_records_are_read_at_their_offsets_after_reopening_too() {
    for place in places() {
        let bus = place.open().await;
        assert_eq!(append(&bus, 0, 0..3).await, Offset(0)..Offset(3));
        assert_eq!(append(&bus, 0, 3..500).await, Offset(3)..Offset(500));
        assert_eq!(append(&bus, 0, 0..0).await, Offset(500)..Offset(500));
        let written = read_all(&bus, 0, Offset(0)).await;
        let expected: Vec<_> = (0..500).map(|n| (Offset(n), record(&n.to_string()))).collect();
        assert_eq!(written, expected);
        bus.shutdown().await.unwrap();

        let bus = place.open().await;
        assert_eq!((bus.start(0), bus.end(0)), (Offset(0), Offset(500)));
        assert_eq!(append(&bus, 0, 500..501).await, Offset(500)..Offset(501));
        assert_eq!(read_all(&bus, 0, Offset(0)).await[..500], expected);
        assert_eq!(read_all(&bus, 0, Offset(321)).await[..179], expected[321..]);
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn partitions_are_independent_and_unknown_ones_refused() {
    for place in places() {
        let bus = place.open().await;
        append(&bus, 1, 0..5).await;
        assert_eq!((bus.end(0), bus.end(1)), (Offset(0), Offset(5)));
        assert_eq!(read_all(&bus, 1, Offset(4)).await, [(Offset(4), record("4"))]);
        let refused = bus.append(2, vec![record("x")]).await;
        assert!(matches!(refused, Err(BusError::UnknownPartition { partition: 2, .. })));
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
        placed.sort_by_key(|(range, _)| range.start);
        let read = read_all(&bus, 0, Offset(0)).await;
        assert_eq!(read.len(), 16 * 20 * 3);
        let texts = placed.iter().flat_map(|(_, first)| *first..first + 3);
        let expected: Vec<_> =
            (0..).map(Offset).zip(texts.map(|text| record(&text.to_string()))).collect();
        assert_eq!(read, expected);
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn read_waits_for_an_append_and_may_be_cancelled() {
    for place in places() {
        let bus = place.open().await;
        let waiting = timeout(Duration::from_millis(20), bus.read(0, Offset(0), 1000)).await;
        assert!(waiting.is_err(), "there is nothing to read yet");
        let (read, _) = tokio::join!(bus.read(0, Offset(0), 1000), append(&bus, 0, 7..8));
        let (offset, record) = (Offset(0), record("7"));
        assert_eq!(read.unwrap(), [Delivery::Record { offset, record }]);
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn read_keeps_to_its_bytes_but_delivers_at_least_one() {
    for place in places() {
        let bus = place.open().await;
        append(&bus, 0, 0..50).await;
        assert_eq!(bus.read(0, Offset(3), 0).await.unwrap().len(), 1);
        let some = bus.read(0, Offset(3), 200).await.unwrap().len();
        assert!((2..10).contains(&some), "{some} deliveries");
        assert_eq!(bus.read(0, Offset(3), u64::MAX).await.unwrap().len(), 47);
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn positions_beyond_the_end_are_refused() {
    for place in places() {
        let bus = place.open().await;
        append(&bus, 0, 0..2).await;
        bus.register("detect").await.unwrap();
        let read = bus.read(0, Offset(3), 100).await;
        assert!(matches!(read, Err(BusError::BeyondEnd { end: Offset(2), .. })));
        let committed = bus.commit("detect", 0, Offset(3)).await;
        assert!(matches!(committed, Err(BusError::BeyondEnd { .. })));
        bus.commit("detect", 0, Offset(2)).await.unwrap();
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn only_registered_consumers_commit() {
    for place in places() {
        let bus = place.open().await;
        append(&bus, 0, 0..2).await;
        let refused = bus.commit("detect", 0, Offset(1)).await;
        assert!(matches!(refused, Err(BusError::UnknownConsumer(name)) if name == "detect"));
        bus.register("detect").await.unwrap();
        bus.commit("detect", 0, Offset(1)).await.unwrap();
        bus.forget("detect").await.unwrap();
        let refused = bus.commit("detect", 0, Offset(1)).await;
        assert!(matches!(refused, Err(BusError::UnknownConsumer(_))));
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn records_and_appends_above_the_limits_are_refused() {
    for mut place in places() {
        place.settings.record_bytes_max = 1000;
        place.settings.queue_bytes = 2000;
        let bus = place.open().await;
        let large = |bytes: usize| Record { payload: vec![1; bytes].into(), ..Record::default() };
        let refused = bus.append(0, vec![large(1001)]).await;
        assert!(matches!(refused, Err(BusError::TooLarge { what: "record", .. })));
        let refused = bus.append(0, vec![large(900), large(900), large(900)]).await;
        assert!(matches!(refused, Err(BusError::TooLarge { what: "append", .. })));
        assert_eq!(bus.append(0, vec![large(900)]).await.unwrap(), Offset(0)..Offset(1));
        bus.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn shutdown_ends_waiting_readers_and_refuses_appends() {
    for place in places() {
        let bus = place.open().await;
        let reader = tokio::spawn({
            let bus = bus.clone();
            async move { bus.read(0, Offset(0), 100).await }
        });
        tokio::task::yield_now().await;
        bus.shutdown().await.unwrap();
        let read = timeout(Duration::from_secs(5), reader).await.unwrap().unwrap();
        assert!(matches!(read, Err(BusError::Closed)));
        let refused = bus.append(0, vec![record("late")]).await;
        assert!(matches!(refused, Err(BusError::Closed)));
        bus.shutdown().await.unwrap();
    }
}
