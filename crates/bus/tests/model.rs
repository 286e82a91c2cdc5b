//! Any sequence of appends, reads, commits and disk faults against a simple model: what was
//! acknowledged is read at its offset, once and in order; the rest is whole, in order, or absent.

mod faulty_disk;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bus::{BusError, BusSettings, Delivery, EmbeddedBus, GapReason, Offset, Record};
use faulty_disk::FaultyDisk;
use proptest::prelude::*;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// One step. Small segments make rotation frequent.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u16>),
    Read(u64),
    Commit(u8),
    FailSyncs(u32),
    TearWrites(u32),
    FillDisk,
    NearlyFillDisk,
    FreeDisk,
    FlipBit(prop::sample::Index, usize),
    Kill,
    Crash(u64),
    /// A crash in the midst of an append, after so many changes of the disk.
    CrashWithin(u32, Vec<u16>, u64),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => prop::collection::vec(0..400_u16, 1..6).prop_map(Step::Append),
        2 => (0..2000_u64).prop_map(Step::Read),
        2 => any::<u8>().prop_map(Step::Commit),
        2 => (1..4_u32).prop_map(Step::FailSyncs),
        2 => (1..3_u32).prop_map(Step::TearWrites),
        1 => Just(Step::FillDisk),
        1 => Just(Step::NearlyFillDisk),
        2 => Just(Step::FreeDisk),
        1 => (any::<prop::sample::Index>(), any::<usize>()).prop_map(|(a, b)| Step::FlipBit(a, b)),
        1 => Just(Step::Kill),
        3 => any::<u64>().prop_map(Step::Crash),
        4 => (0..8_u32, prop::collection::vec(0..400_u16, 1..12), any::<u64>())
            .prop_map(|(changes, sizes, seed)| Step::CrashWithin(changes, sizes, seed)),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

type Appending = JoinHandle<Result<std::ops::Range<Offset>, BusError>>;

/// What should be true of the bus.
struct Model {
    disk: FaultyDisk,
    bus: EmbeddedBus,
    /// Number of the next record; its payload is made of it.
    next: u64,
    /// Size of each submitted record, and the number of the first record of its append.
    submitted: Vec<(u16, u64)>,
    /// Offset to number: acknowledged, or handed to a reader.
    settled: BTreeMap<u64, u64>,
    waiting: Vec<(u64, u64, Appending)>,
    full: bool,
    flips: u64,
    committed: u64,
}

fn payload(number: u64, size: u16) -> Vec<u8> {
    let noise = (0..u64::from(size)).map(|i| (number.wrapping_mul(31) ^ i) as u8);
    number.to_le_bytes().into_iter().chain(noise).collect()
}

async fn open(disk: &FaultyDisk) -> Result<EmbeddedBus, BusError> {
    let settings = BusSettings {
        segment_bytes: 1500,
        retention_bytes: 4000,
        retention_hours: 1,
        ..BusSettings::default()
    };
    EmbeddedBus::open_on(disk.machine(), &settings, Path::new("/bus")).await
}

impl Model {
    async fn start() -> Model {
        let disk = FaultyDisk::default();
        let bus = open(&disk).await.unwrap();
        bus.register("detect").await.unwrap();
        let (submitted, settled, waiting) = (Vec::new(), BTreeMap::new(), Vec::new());
        let (next, full, flips, committed) = (0, false, 0, 0);
        Model { disk, bus, next, submitted, settled, waiting, full, flips, committed }
    }

    async fn apply(&mut self, step: &Step) {
        match step {
            Step::Append(sizes) => self.append(sizes).await,
            Step::Read(bytes) => self.read_one(*bytes).await,
            Step::Commit(part) => self.commit(*part).await,
            Step::FailSyncs(count) => self.disk.set_faults(|faults| faults.failing_syncs = *count),
            Step::TearWrites(count) => {
                self.disk.set_faults(|faults| faults.failing_writes = *count);
            }
            Step::FillDisk => {
                self.disk.set_faults(|faults| faults.full = true);
                self.full = true;
            }
            Step::NearlyFillDisk => {
                self.disk.set_faults(|faults| faults.short = true);
                self.full = true;
            }
            Step::FreeDisk => self.free_disk().await,
            Step::FlipBit(file, bit) => self.flip(file, *bit),
            Step::Kill => {
                self.disk.kill();
                self.reopen().await;
            }
            Step::Crash(seed) => {
                self.disk.crash(*seed);
                self.reopen().await;
            }
            Step::CrashWithin(changes, sizes, seed) => {
                self.disk.set_faults(|faults| faults.changes_left = Some(*changes));
                self.append(sizes).await;
                self.disk.crash(*seed);
                self.reopen().await;
            }
            Step::Reopen => {
                let _ = self.bus.shutdown().await;
                self.reopen().await;
            }
        }
    }

    async fn append(&mut self, sizes: &[u16]) {
        let first = self.next;
        let mut records = Vec::new();
        for size in sizes {
            let payload = payload(self.next, *size).into();
            records.push(Record { key: vec![], headers: vec![], payload });
            self.submitted.push((*size, first));
            self.next += 1;
        }
        let bus = self.bus.clone();
        let appending = tokio::spawn(async move { bus.append(0, records).await });
        self.waiting.push((first, sizes.len() as u64, appending));
        if !self.full {
            self.settle_waiting().await;
        }
    }

    /// Waits for what was appended: an answer must come now that nothing holds it up.
    async fn settle_waiting(&mut self) {
        for (first, count, appending) in self.waiting.drain(..) {
            let answer = timeout(Duration::from_secs(20), appending).await.expect("an answer");
            let Ok(range) = answer.unwrap() else { continue };
            assert_eq!(range.end.0 - range.start.0, count);
            for (offset, number) in (range.start.0..range.end.0).zip(first..) {
                let before = self.settled.insert(offset, number);
                assert!(before.is_none_or(|b| b == number), "offset {offset} given out twice");
            }
        }
    }

    async fn free_disk(&mut self) {
        self.disk.set_faults(|faults| (faults.full, faults.short) = (false, false));
        self.full = false;
        self.settle_waiting().await;
    }

    async fn read_one(&mut self, bytes: u64) {
        let from = self.bus.start(0);
        if from < self.bus.end(0) {
            let deliveries = self.bus.read(0, from, bytes).await.unwrap();
            assert!(!deliveries.is_empty());
        }
    }

    async fn commit(&mut self, part: u8) {
        let (start, end) = (self.bus.start(0).0, self.bus.end(0).0);
        let offset = start + (end - start) * u64::from(part) / 255;
        self.committed = self.committed.max(offset);
        // On a full or failing disk the offset cannot be saved; that is an answer too.
        let _ = self.bus.commit("detect", 0, Offset(offset)).await;
    }

    /// Only in segments that are not the last: there, damage is told from a tear in every case.
    fn flip(&mut self, file: &prop::sample::Index, bit: usize) {
        let mut files = self.disk.files(".log");
        files.pop();
        if !files.is_empty() && self.disk.flip(&files[file.index(files.len())], 32, bit) {
            self.flips += 1;
        }
    }

    /// The machine or the process is gone: opens again, on a disk that works.
    async fn reopen(&mut self) {
        self.disk.kill();
        self.disk.set_faults(|faults| *faults = faulty_disk::Faults::default());
        self.full = false;
        self.bus = open(&self.disk).await.unwrap();
        self.settle_waiting().await;
        self.check().await;
    }

    /// Reads everything and compares.
    async fn check(&mut self) {
        let (start, end) = (self.bus.start(0), self.bus.end(0));
        assert!(start.0 <= self.committed, "unread records were deleted");
        let (mut next, mut lost, mut last) = (start, 0, None);
        while next < end {
            for delivery in self.bus.read(0, next, 1000).await.unwrap() {
                let after = delivery.next();
                match delivery {
                    Delivery::Gap { from, to, reason } => {
                        assert_eq!(from, next);
                        match reason {
                            GapReason::Damaged => lost += to.0 - from.0,
                            // Retention works beside us.
                            GapReason::Deleted => assert!(to.0 <= self.committed),
                        }
                    }
                    Delivery::Record { offset, record } => {
                        assert_eq!(offset, next);
                        last = Some(self.check_record(offset.0, &record, last));
                    }
                }
                next = after;
            }
        }
        assert!(lost <= self.flips, "{lost} records lost by {} flipped bits", self.flips);
        let beyond = self.settled.range(end.0..).next();
        assert_eq!(beyond, None, "an acknowledged record is behind the end {end}");
    }

    fn check_record(&mut self, offset: u64, record: &Record, last: Option<u64>) -> u64 {
        let number = u64::from_le_bytes(record.payload[..8].try_into().unwrap());
        let (size, first) = self.submitted[number as usize];
        assert_eq!(record.payload, payload(number, size), "a record is not whole");
        assert!(last.is_none_or(|last| last < number), "{number} is repeated or out of order");
        if let Some(last) = last
            && self.flips == 0
            && number != first
        {
            assert_eq!(last, number - 1, "an append lost its beginning but not its end");
        }
        // Handed to a reader, it stays: a crash must not take it back.
        let before = self.settled.insert(offset, number);
        assert!(before.is_none_or(|before| before == number), "offset {offset} changed");
        number
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn acknowledged_records_survive_any_fault(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1).enable_time().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::start().await;
            for step in &steps {
                model.apply(step).await;
            }
            model.free_disk().await;
            model.check().await;
            model.disk.crash(steps.len() as u64);
            model.reopen().await;
            model.bus.shutdown().await.unwrap();
        });
    }
}
