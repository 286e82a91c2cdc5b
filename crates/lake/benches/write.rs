//! What an event costs on its way into the lake: time of one core and bytes on the disk, by
//! compression level. Run with `cargo bench -p lake`.

#![expect(clippy::print_stdout, reason = "a benchmark reports what it measured")]

use std::time::{Duration, Instant};

use event::enrichment::{DetectionColumns, StatementColumns};
use event::vocabulary::{Action, Evidence, Outcome, StatementState};
use event::{
    AuditEvent, BATCH_ROWS, Enrichment, EventBatch, EventBatchBuilder, EventId, Timestamp,
};
use lake::{Lake, LakeSettings, Sharing};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const BATCHES: usize = 24;
const ROUNDS: usize = 5;

fn main() {
    let batches: Vec<EventBatch> = (0..BATCHES).map(batch).collect();
    let text: usize = batches
        .iter()
        .flat_map(|batch| batch.rows().iter().map(|row| row.statement().unwrap_or_default().len()))
        .sum();
    let events = BATCHES * BATCH_ROWS;
    println!("{events} events, {} bytes of SQL each", text / events);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for zstd_level in [1, 3] {
        let settings = LakeSettings { zstd_level, ..LakeSettings::default() };
        let rounds: Vec<_> = (0..ROUNDS).map(|_| round(&runtime, &settings, &batches)).collect();
        let encode = rounds.iter().map(|round| round.0).min().unwrap_or_default();
        let commit = rounds.iter().map(|round| round.1).min().unwrap_or_default();
        let bytes = rounds.iter().map(|round| round.2).min().unwrap_or_default();
        println!(
            "zstd {zstd_level}: write {:.2} µs/event, commit {:.1} ms ({:.2} µs/event), \
             {:.1} bytes/event",
            encode.as_secs_f64() * 1e6 / events as f64,
            commit.as_secs_f64() * 1e3,
            commit.as_secs_f64() * 1e6 / events as f64,
            bytes as f64 / events as f64,
        );
    }
    many_commits(&runtime, &batches);
    for writers in [1, 2, 4] {
        shared_commits(&runtime, &batches, writers);
    }
}

/// What writers of one lake cost each other: each commits 100 times 1,000 rows.
fn shared_commits(runtime: &tokio::runtime::Runtime, batches: &[EventBatch], writers: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = LakeSettings::default();
    let open = || runtime.block_on(Lake::open(folder.path(), &settings, Sharing::Shared));
    let mut open: Vec<_> = (0..writers).map(|_| open().expect("the lake opens")).collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for (index, (_, writer)) in open.iter_mut().enumerate() {
            scope.spawn(move || {
                let name = format!("bus/{index}");
                writer.claim(&name).expect("claimed");
                for at in 0..100 {
                    writer.write(&batches[at % BATCHES].slice(0, 1_000)).expect("written");
                    writer.commit(&[(name.clone(), at as i64)]).expect("committed");
                }
            });
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    let conflicts: u64 = open.iter().map(|(lake, _)| lake.status().commit_conflicts).sum();
    let rate = writers as f64 * 100.0 / seconds;
    println!("{writers} writers: {rate:.0} commits/s, {conflicts} conflicts");
    let (lake, _) = &open[0];
    let start = Instant::now();
    (0..1_000).for_each(|_| lake.follow().expect("followed"));
    println!("following nothing new: {:.1} µs", start.elapsed().as_secs_f64() * 1e3);
}

/// Whether a commit stays as fast as the first: 400 of 1,000 rows without a merge in between.
fn many_commits(runtime: &tokio::runtime::Runtime, batches: &[EventBatch]) {
    let folder = tempfile::tempdir().expect("a folder");
    let opened =
        runtime.block_on(Lake::open(folder.path(), &LakeSettings::default(), Sharing::Alone));
    let (lake, mut writer) = opened.expect("the lake opens");
    let slices =
        batches.iter().flat_map(|batch| (0..8).map(|part| batch.slice(part * 1_000, 1_000)));
    let mut took: Vec<Duration> = Vec::new();
    for (slice, at) in slices.cycle().zip(0..400) {
        writer.write(&slice).expect("written");
        let start = Instant::now();
        writer.commit(&[("bus/0".to_owned(), at)]).expect("committed");
        took.push(start.elapsed());
    }
    let median = |part: &[Duration]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part[part.len() / 2].as_secs_f64() * 1e3
    };
    let (first, last) = (median(&took[..40]), median(&took[360..]));
    let start = Instant::now();
    let view = lake.view();
    let took = start.elapsed().as_secs_f64() * 1e6;
    println!(
        "commits of 1,000 rows: {first:.1} ms at first, {last:.1} ms after 360; \
         a view of {} files: {took:.0} µs",
        view.events.files.len()
    );
}

/// Processor time of the writes, time that the commit took, bytes of the file.
fn round(
    runtime: &tokio::runtime::Runtime,
    settings: &LakeSettings,
    batches: &[EventBatch],
) -> (Duration, Duration, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = runtime.block_on(Lake::open(folder.path(), settings, Sharing::Alone));
    let (lake, mut writer) = opened.expect("the lake opens");
    let start = processor_time();
    for batch in batches {
        writer.write(batch).expect("written");
    }
    let encoded = processor_time() - start;
    let start = Instant::now();
    writer.commit(&[("bus/0".to_owned(), 1)]).expect("committed");
    let bytes = lake.view().events.files.iter().map(|file| file.bytes).sum();
    (encoded, start.elapsed(), bytes)
}

/// Time that this thread has computed, so that neighbours on the machine do not count.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = text.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.expect("the first field is a number"))
}

/// What pgbench does, as 40 clients of three applications: five statements with random numbers.
fn batch(number: usize) -> EventBatch {
    let mut random = StdRng::seed_from_u64(number as u64);
    let mut builder = EventBatchBuilder::default();
    let mut enrichment = Enrichment::default();
    for row in 0..BATCH_ROWS {
        let position = (number * BATCH_ROWS + row) as i64;
        let (command, table, statement) = statement(&mut random);
        let client = random.random_range(0..40_u32);
        let session = format!("6920{client:04x}.{:x}", 40_000 + client);
        let address = format!("10.4.{}.{}", client % 3, client);
        let at = Timestamp(1_795_262_400_000_000 + position * 7 + random.random_range(0..5_000));
        builder.push(&AuditEvent {
            id: EventId::of(&[b"bench"]).at(position as u64),
            time: at,
            received: Timestamp(1_795_262_400_100_000 + number as i64 * 50_000),
            position: position * 431,
            evidence: Evidence::B,
            database: Some("bench"),
            action: if command == "SELECT" { Action::Read } else { Action::Write },
            command: Some(command),
            user: Some(["app", "etl", "report"][client as usize % 3]),
            client_address: Some(&address),
            client_port: Some(40_000 + client as i32),
            application: Some("pgbench"),
            session: Some(&session),
            statement_number: Some(position / 40),
            object_kind: Some("TABLE"),
            object: Some(table),
            statement: Some(&statement),
            statement_state: StatementState::Full,
            rows: Some(1),
            duration_us: Some(random.random_range(80..9_000)),
            outcome: Outcome::Succeeded,
            ..AuditEvent::new("orders-csv", "postgresql_csvlog", "postgresql", "orders")
        });
        enrich(&mut enrichment, command, table);
    }
    builder.finish().enrich(enrichment)
}

fn enrich(enrichment: &mut Enrichment, command: &str, table: &str) {
    let table = [format!("public.pgbench_{table}")];
    let is_read = command == "SELECT";
    let statement = StatementColumns {
        fingerprint: Some(0x9e37_79b9_7f4a_7c15 ^ (command.len() * table[0].len()) as u64),
        tables_read: if is_read { &table } else { &[] },
        tables_written: if is_read { &[] } else { &table },
        columns: &["aid".to_owned(), "abalance".to_owned()],
        ..StatementColumns::default()
    };
    let verdict = DetectionColumns { sensitivity: Some(1), risk: Some(0.0), ..Default::default() };
    enrichment.push(&statement, &verdict);
}

fn statement(random: &mut StdRng) -> (&'static str, &'static str, String) {
    let account = random.random_range(1..10_000_000);
    let (teller, branch) = (random.random_range(1..1_000), random.random_range(1..100));
    let delta = random.random_range(-5_000..5_000);
    let (command, table, text) = match random.random_range(0..5) {
        0 => ("UPDATE", "accounts", format!("SET abalance = {delta} WHERE aid = {account}")),
        1 => ("SELECT", "accounts", format!("WHERE aid = {account}")),
        2 => ("UPDATE", "tellers", format!("SET tbalance = {delta} WHERE tid = {teller}")),
        3 => ("UPDATE", "branches", format!("SET bbalance = {delta} WHERE bid = {branch}")),
        _ => ("INSERT", "history", format!("VALUES ({teller}, {branch}, {account}, {delta}, 0)")),
    };
    let begin = match command {
        "UPDATE" => "UPDATE",
        "SELECT" => "SELECT aid, bid, abalance, filler FROM",
        _ => "INSERT INTO",
    };
    let trace: u64 = random.random();
    let note = format!("/* service=ledger,route=/v1/transfers,trace={trace:016x} */");
    (command, table, format!("{begin} pgbench_{table} {text}; {note}"))
}
