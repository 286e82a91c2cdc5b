//! What an append costs: alone (one write and one sync) and with many appenders sharing syncs.

use bus::{BusSettings, EmbeddedBus, Offset, Record};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

fn main() {
    divan::main();
}

/// A bus in the build folder: a real disk where the system's folder for temporary files is memory.
fn open(runtime: &Runtime) -> (EmbeddedBus, TempDir) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings = BusSettings { log_bytes_max: 64 << 30, ..BusSettings::default() };
    (runtime.block_on(EmbeddedBus::open(&settings, folder.path())).unwrap(), folder)
}

fn record(bytes: usize) -> Record {
    Record { payload: vec![7; bytes].into(), ..Record::default() }
}

/// Latency of one append on an idle bus.
#[divan::bench(args = [1 << 10, 64 << 10, 1 << 20], sample_count = 50, sample_size = 1)]
fn alone(bencher: Bencher, bytes: usize) {
    let runtime = Runtime::new().unwrap();
    let (bus, _folder) = open(&runtime);
    bencher
        .counter(BytesCount::new(bytes))
        .with_inputs(|| record(bytes))
        .bench_local_values(|record| runtime.block_on(bus.append(0, vec![record])).unwrap());
}

/// Appends of many appenders: 32 records each.
#[divan::bench(
    args = [(16, 1 << 10), (256, 1 << 10), (1024, 1 << 10), (16, 256 << 10)],
    sample_count = 10, sample_size = 1
)]
fn shared(bencher: Bencher, (appenders, bytes): (usize, usize)) {
    const RECORDS: usize = 32;
    let runtime = Runtime::new().unwrap();
    let (bus, _folder) = open(&runtime);
    let record = record(bytes);
    bencher
        .counter(BytesCount::new(appenders * RECORDS * bytes))
        .counter(ItemsCount::new(appenders * RECORDS))
        .bench_local(|| {
            runtime.block_on(async {
                let mut tasks = JoinSet::new();
                for _ in 0..appenders {
                    let (bus, record) = (bus.clone(), record.clone());
                    tasks.spawn(async move {
                        for _ in 0..RECORDS {
                            bus.append(0, vec![record.clone()]).await.unwrap();
                        }
                    });
                }
                tasks.join_all().await;
            });
        });
}

/// Sequential reading of 64 MiB.
#[divan::bench(args = [1 << 10, 256 << 10], sample_count = 10, sample_size = 1)]
fn read(bencher: Bencher, bytes: usize) {
    const TOTAL: usize = 64 << 20;
    let runtime = Runtime::new().unwrap();
    let (bus, _folder) = open(&runtime);
    let records = vec![record(bytes); (1 << 20) / bytes];
    for _ in 0..TOTAL >> 20 {
        runtime.block_on(bus.append(0, records.clone())).unwrap();
    }
    bencher.counter(BytesCount::new(TOTAL)).bench_local(|| {
        let mut next = Offset(0);
        while next < bus.end(0) {
            let deliveries = runtime.block_on(bus.read(0, next, 1 << 20)).unwrap();
            next = deliveries.last().map_or(next, |delivery| delivery.next());
        }
        next
    });
}
