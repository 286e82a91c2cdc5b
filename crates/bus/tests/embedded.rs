//! The embedded bus on real files: what it finds after damage, what it deletes, when it waits.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bus::{BusError, BusSettings, Delivery, EmbeddedBus, GapReason, Offset, Record, Turn};
use tempfile::TempDir;
use tokio::time::timeout;

/// Payloads of 100 bytes: a record takes 136 bytes, a segment of 1000 holds 8.
const RECORD_BYTES: u64 = 136;
const HEADER_BYTES: u64 = 32;

fn settings() -> BusSettings {
    BusSettings {
        segment_bytes: 1000,
        log_bytes_max: 5000,
        retention_bytes: 0,
        ..BusSettings::default()
    }
}

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    async fn open(&self, settings: &BusSettings) -> EmbeddedBus {
        EmbeddedBus::open(settings, self.0.path()).await.unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.path().join("0")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }
}

async fn append(bus: &EmbeddedBus, count: u64) {
    for _ in 0..count {
        let payload = vec![bus.end(0).0 as u8; 100].into();
        bus.append(0, vec![Record { payload, ..Record::default() }]).await.unwrap();
    }
}

/// Reads everything: offsets of whole records, and the gaps between them.
async fn read_all(bus: &EmbeddedBus) -> (Vec<u64>, Vec<(u64, u64, GapReason)>) {
    let (mut next, mut offsets, mut gaps) = (Offset(0), Vec::new(), Vec::new());
    while next < bus.end(0) {
        for delivery in bus.read(0, next, 300).await.unwrap() {
            next = delivery.next();
            match delivery {
                Delivery::Gap { from, to, reason } => gaps.push((from.0, to.0, reason)),
                Delivery::Record { offset, record } => {
                    assert_eq!(record.payload, vec![offset.0 as u8; 100]);
                    offsets.push(offset.0);
                }
            }
        }
    }
    (offsets, gaps)
}

fn flip(path: &Path, position: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[position as usize] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn second_process_is_refused_with_the_path() {
    let place = Place::new();
    let bus = place.open(&settings()).await;
    let Err(refused) = EmbeddedBus::open(&settings(), place.0.path()).await else { panic!() };
    let lock = place.0.path().join("lock");
    let message = format!("another process holds {}: stop it", lock.display());
    assert!(refused.to_string().starts_with(&message), "{refused}");
    bus.shutdown().await.unwrap();
    place.open(&settings()).await;
}

#[tokio::test]
async fn torn_tail_is_cut_and_reported_exactly() {
    let garbage = b"qwbuslog and then some that is not a record at all".to_vec();
    for tail in [vec![0; 4096], garbage, vec![9; 3]] {
        let place = Place::new();
        let bus = place.open(&settings()).await;
        append(&bus, 3).await;
        bus.shutdown().await.unwrap();
        let path = place.segments().pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let whole = bytes.len() as u64;
        assert_eq!(whole, HEADER_BYTES + 3 * RECORD_BYTES);
        bytes.extend(&tail);
        fs::write(&path, bytes).unwrap();

        let bus = place.open(&settings()).await;
        let [cut] = &bus.open_report().cuts[..] else { panic!("{:?}", bus.open_report()) };
        assert_eq!((&cut.segment, cut.offset), (&path, Offset(3)));
        assert_eq!(cut.bytes, whole..whole + tail.len() as u64);
        append(&bus, 1).await;
        assert_eq!(read_all(&bus).await, (vec![0, 1, 2, 3], vec![]));
        bus.shutdown().await.unwrap();
        let bus = place.open(&settings()).await;
        assert_eq!(bus.open_report(), &Default::default());
    }
}

#[tokio::test]
async fn segment_that_never_got_its_header_is_begun_again() {
    for found in [vec![], b"qwbus".to_vec(), vec![0; 32], vec![0; 100_000]] {
        let place = Place::new();
        let bus = place.open(&settings()).await;
        append(&bus, 8).await;
        bus.shutdown().await.unwrap();
        fs::write(place.0.path().join("0/00000000000000000008.log"), found).unwrap();
        let bus = place.open(&settings()).await;
        append(&bus, 1).await;
        assert_eq!(read_all(&bus).await, ((0..9).collect(), vec![]));
    }
}

#[tokio::test]
async fn flipped_bit_costs_one_record_and_is_told() {
    // The first record's head or body, in a sealed and in the last segment.
    for (segment, base) in [(0, 0), (1, 8)] {
        for position in [HEADER_BYTES + 5, HEADER_BYTES + 14, HEADER_BYTES + 100] {
            let place = Place::new();
            let bus = place.open(&settings()).await;
            append(&bus, 12).await;
            bus.shutdown().await.unwrap();
            flip(&place.segments()[segment], position);
            let bus = place.open(&settings()).await;
            let expected: Vec<u64> = (0..12).filter(|offset| *offset != base).collect();
            let gap = (base, base + 1, GapReason::Damaged);
            assert_eq!(read_all(&bus).await, (expected, vec![gap]));
            assert_eq!(bus.open_report().gaps.len(), segment);
            let status = bus.status().partitions.remove(0);
            assert_eq!(status.gap_records, 1 + segment as u64);
        }
    }
}

#[tokio::test]
async fn damaged_end_of_what_was_acknowledged_is_a_gap_and_its_offset_stays_used() {
    let place = Place::new();
    let bus = place.open(&settings()).await;
    append(&bus, 3).await;
    bus.shutdown().await.unwrap();
    flip(&place.segments()[0], HEADER_BYTES + 2 * RECORD_BYTES + 50);
    let bus = place.open(&settings()).await;
    assert_eq!(bus.open_report().cuts, []);
    append(&bus, 1).await;
    assert_eq!(read_all(&bus).await, (vec![0, 1, 3], vec![(2, 3, GapReason::Damaged)]));
}

#[tokio::test]
async fn damaged_header_is_a_gap_up_to_the_next_segment() {
    let place = Place::new();
    let bus = place.open(&settings()).await;
    append(&bus, 12).await;
    bus.shutdown().await.unwrap();
    flip(&place.segments()[0], 20);
    let bus = place.open(&settings()).await;
    let gap = (0, 8, GapReason::Damaged);
    assert_eq!(read_all(&bus).await, (vec![8, 9, 10, 11], vec![gap]));
    bus.shutdown().await.unwrap();

    flip(&place.segments()[1], 20);
    let bus = place.open(&settings()).await;
    let end = bus.end(0).0;
    assert!(end >= 12, "an offset that was given out is given out again");
    append(&bus, 1).await;
    let gaps = vec![gap, (8, end, GapReason::Damaged)];
    assert_eq!(read_all(&bus).await, (vec![end], gaps));
}

#[tokio::test]
async fn payload_that_holds_a_segment_is_not_read_as_records() {
    let (place, other) = (Place::new(), Place::new());
    let bus = other.open(&settings()).await;
    append(&bus, 5).await;
    bus.shutdown().await.unwrap();
    let forged = fs::read(&other.segments()[0]).unwrap();

    let bus = place.open(&settings()).await;
    bus.append(0, vec![Record { payload: forged.into(), ..Record::default() }]).await.unwrap();
    bus.shutdown().await.unwrap();
    flip(&place.segments()[0], HEADER_BYTES + 5);
    let bus = place.open(&settings()).await;
    append(&bus, 1).await;
    assert_eq!(read_all(&bus).await, (vec![1], vec![(0, 1, GapReason::Damaged)]));
}

#[tokio::test]
async fn segments_go_once_every_registered_consumer_has_read_them() {
    let place = Place::new();
    let bus = place.open(&settings()).await;
    append(&bus, 20).await;
    bus.register("detect").await.unwrap();
    bus.register("archive").await.unwrap();
    bus.commit("detect", 0, Offset(20)).await.unwrap();
    bus.shutdown().await.unwrap();

    let bus = place.open(&settings()).await; // `archive` has not started yet
    append(&bus, 1).await;
    assert_eq!((bus.start(0), place.segments().len()), (Offset(0), 3));
    bus.commit("archive", 0, Offset(15)).await.unwrap();
    append(&bus, 1).await;
    assert_eq!((bus.start(0), place.segments().len()), (Offset(8), 2));
    bus.commit("archive", 0, Offset(1)).await.unwrap(); // offsets only rise
    bus.shutdown().await.unwrap();
    let bus = place.open(&settings()).await;
    let (offsets, gaps) = read_all(&bus).await;
    assert_eq!((offsets, gaps), ((8..22).collect(), vec![(0, 8, GapReason::Deleted)]));
}

#[tokio::test]
async fn read_segments_are_kept_while_young_and_the_log_small() {
    let keep = BusSettings { retention_bytes: 5000, ..settings() };
    let place = Place::new();
    let bus = place.open(&keep).await;
    bus.register("detect").await.unwrap();
    append(&bus, 20).await;
    bus.commit("detect", 0, Offset(20)).await.unwrap();
    append(&bus, 1).await;
    assert_eq!(bus.start(0), Offset(0));
    bus.shutdown().await.unwrap();
    let bus = place.open(&BusSettings { retention_hours: 0, ..keep }).await;
    append(&bus, 1).await;
    assert_eq!(bus.start(0), Offset(16));
}

#[tokio::test]
async fn full_log_holds_appenders_up_until_a_commit() {
    let place = Place::new();
    let bus = place.open(&settings()).await;
    bus.register("detect").await.unwrap();
    append(&bus, 36).await; // 5 headers and 36 records: above 5000 bytes
    let waiting = tokio::spawn({
        let bus = bus.clone();
        async move { append(&bus, 30).await }
    });
    let status = async || bus.status().partitions.remove(0);
    timeout(Duration::from_secs(5), async {
        while status().await.problem.is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .expect("a problem");
    let stalled = status().await;
    assert!(stalled.problem.unwrap().contains("log_bytes_max"));
    assert_eq!((stalled.waiting_appends, stalled.end), (1, Offset(36)));
    bus.commit("detect", 0, Offset(36)).await.unwrap();
    timeout(Duration::from_secs(5), waiting).await.expect("room again").unwrap();
    let resumed = status().await;
    assert_eq!((resumed.problem, resumed.waiting_appends), (None, 0));
    let (offsets, _) = read_all(&bus).await;
    assert_eq!(offsets.last(), Some(&65));
}

#[tokio::test]
async fn disk_without_its_reserve_holds_appenders_up_and_gives_back_what_was_read() {
    let place = Place::new();
    let kept = BusSettings { retention_bytes: 5000, ..settings() };
    let bus = place.open(&kept).await;
    bus.register("detect").await.unwrap();
    append(&bus, 20).await;
    assert_eq!(place.segments().len(), 3);
    bus.commit("detect", 0, Offset(20)).await.unwrap();
    bus.shutdown().await.unwrap();
    let bus = place.open(&BusSettings { reserve_bytes: u64::MAX, ..kept.clone() }).await;
    let waiting = timeout(Duration::from_millis(300), append(&bus, 1));
    waiting.await.expect_err("no disk has so much to spare");
    let problem = bus.status().partitions.remove(0).problem.expect("a problem");
    let folder = place.0.path().to_str().expect("text");
    assert!(problem.contains("reserve_bytes") && problem.contains(folder), "{problem}");
    assert_eq!(place.segments().len(), 1, "what was read is gone but for the newest");
    bus.shutdown().await.unwrap();
    let bus = place.open(&kept).await;
    append(&bus, 1).await;
    assert_eq!(bus.end(0).0 - bus.start(0).0, 1, "offsets go on");
}

#[tokio::test]
async fn damaged_marks_and_removed_partitions_are_refused() {
    let place = Place::new();
    let two = BusSettings { partitions: 2, ..settings() };
    let bus = place.open(&two).await;
    bus.register("detect").await.unwrap();
    bus.shutdown().await.unwrap();
    let refused = EmbeddedBus::open(&settings(), place.0.path()).await;
    assert!(matches!(refused, Err(BusError::RemovedPartition(_, 2))));
    flip(&place.0.path().join("consumer-offsets"), 15);
    let refused = EmbeddedBus::open(&two, place.0.path()).await;
    assert!(matches!(refused, Err(BusError::ConsumerOffsets(_))));
}

#[tokio::test]
async fn read_waits_for_an_append_keeps_to_its_bytes_and_delivers_at_least_one() {
    let place = Place::new();
    let bus = place.open(&settings()).await;
    let waiting = timeout(Duration::from_millis(20), bus.read(0, Offset(0), 1000)).await;
    assert!(waiting.is_err(), "there is nothing to read yet");
    let (read, ()) = tokio::join!(bus.read(0, Offset(0), 1000), append(&bus, 1));
    assert_eq!(read.unwrap().len(), 1);
    append(&bus, 7).await;
    assert_eq!(bus.read(0, Offset(3), 0).await.unwrap().len(), 1);
    assert_eq!(bus.read(0, Offset(3), 3 * RECORD_BYTES).await.unwrap().len(), 3);
    assert_eq!(bus.read(0, Offset(3), u64::MAX).await.unwrap().len(), 5);
}

#[tokio::test]
async fn positions_beyond_the_end_are_refused() {
    let place = Place::new();
    let bus = place.open(&settings()).await;
    append(&bus, 2).await;
    bus.register("detect").await.unwrap();
    let read = bus.read(0, Offset(3), 100).await;
    assert!(matches!(read, Err(BusError::BeyondEnd { end: Offset(2), .. })));
    let committed = bus.commit("detect", 0, Offset(3)).await;
    assert!(matches!(committed, Err(BusError::BeyondEnd { .. })));
    bus.commit("detect", 0, Offset(2)).await.unwrap();
}

#[tokio::test]
async fn only_registered_consumers_commit() {
    let place = Place::new();
    let bus = place.open(&settings()).await;
    append(&bus, 2).await;
    let refused = bus.commit("detect", 0, Offset(1)).await;
    assert!(matches!(refused, Err(BusError::UnknownConsumer(name)) if name == "detect"));
    bus.register("detect").await.unwrap();
    bus.commit("detect", 0, Offset(1)).await.unwrap();
    bus.forget("detect").await.unwrap();
    let refused = bus.commit("detect", 0, Offset(1)).await;
    assert!(matches!(refused, Err(BusError::UnknownConsumer(_))));
}

#[tokio::test]
async fn partitions_keep_their_own_ends_after_reopening_too() {
    let place = Place::new();
    let two = BusSettings { partitions: 2, ..settings() };
    let bus = place.open(&two).await;
    append(&bus, 3).await;
    let empty = bus.append(0, vec![]).await.unwrap();
    assert_eq!(empty, Offset(3)..Offset(3));
    bus.append(1, vec![Record::default()]).await.unwrap();
    bus.shutdown().await.unwrap();
    let bus = place.open(&two).await;
    assert_eq!((bus.start(0), bus.end(0), bus.end(1)), (Offset(0), Offset(3), Offset(1)));
}

#[tokio::test]
async fn shutdown_ends_waiting_readers_and_refuses_appends() {
    let place = Place::new();
    let bus = place.open(&settings()).await;
    let reader = tokio::spawn({
        let bus = bus.clone();
        async move { bus.read(0, Offset(0), 100).await }
    });
    tokio::task::yield_now().await;
    bus.shutdown().await.unwrap();
    let read = timeout(Duration::from_secs(5), reader).await.unwrap().unwrap();
    assert!(matches!(read, Err(BusError::Closed)));
    let refused = bus.append(0, vec![Record::default()]).await;
    assert!(matches!(refused, Err(BusError::Closed)));
}

/// A member holds back what it has not committed, and takes partitions in turn.
#[tokio::test]
async fn a_member_holds_records_back_and_reads_partitions_in_turn() {
    let place = Place::new();
    let two = BusSettings { partitions: 2, ..settings() };
    let bus = place.open(&two).await;
    let member = bus::Bus::Embedded(bus.clone()).join("detect").await.unwrap();
    member.leave().await.unwrap();
    append(&bus, 30).await;
    assert_eq!(bus.start(0), Offset(0), "leaving gives nothing up");
    bus.append(1, vec![Record::default()]).await.unwrap();

    let mut member = bus::Bus::Embedded(bus.clone()).join("detect").await.unwrap();
    assert_eq!(member.next().await.unwrap(), Turn::Assigned(vec![0, 1]));
    member.assign(&[(0, Offset(0)), (1, Offset(0))]).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..31 {
        let Turn::Delivery { partition, .. } = member.next().await.unwrap() else { panic!() };
        seen.push(partition);
        if seen.len() == 1 {
            // More of partition 0 must not keep partition 1 waiting.
            append(&bus, 4).await;
        }
    }
    assert!(seen.contains(&1), "{seen:?}");
    member.commit(0, Offset(30)).await.unwrap();
    let deleted = async {
        while bus.start(0) == Offset(0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), deleted).await.expect("what is committed is deleted");
}

#[tokio::test]
async fn segment_of_a_newer_format_is_refused() {
    let place = Place::new();
    let bus = place.open(&settings()).await;
    append(&bus, 1).await;
    bus.shutdown().await.unwrap();
    let path = &place.segments()[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[8] = 2;
    let checksum = crc32fast::hash(&bytes[..28]);
    bytes[28..32].copy_from_slice(&checksum.to_le_bytes());
    fs::write(path, bytes).unwrap();
    let Err(refused) = EmbeddedBus::open(&settings(), place.0.path()).await else { panic!() };
    assert!(refused.to_string().contains("format 2"), "{refused}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let default = BusSettings::default;
    for wrong in [
        BusSettings { partitions: 0, ..default() },
        BusSettings { record_bytes_max: 65 << 20, ..default() },
        BusSettings { log_bytes_max: 100 << 20, ..default() },
        BusSettings { retention_bytes: 17 << 30, ..default() },
    ] {
        let place = Place::new();
        let refused = runtime.block_on(EmbeddedBus::open(&wrong, place.0.path()));
        assert!(matches!(refused, Err(BusError::Settings(_))));
    }
    let unknown = serde_json::from_str::<BusSettings>(r#"{"segment_byte": 1}"#);
    assert!(unknown.unwrap_err().to_string().contains("unknown field"));
}
