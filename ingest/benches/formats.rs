//! Bytes to batches: records per second of one workload in each format, and bytes per second of
//! large statements.
//!
//! `cargo bench -p ingest`; divan counts items as records.

use std::path::Path;

use divan::counter::{BytesCount, ItemsCount};
use event::{EventId, Timestamp};
use ingest::{Stream, StreamSettings};

const RECORDS: u32 = 100_000;
const SESSIONS: u32 = 16;

/// About so long is a log of large statements.
const LARGE_BYTES: usize = 64 << 20;

/// What pgbench's built-in script makes pgaudit write.
fn payload(record: u32) -> String {
    let statement = record / SESSIONS + 1;
    let account = record.wrapping_mul(2_654_435_761) % 100_000;
    match record / SESSIONS % 4 {
        0 => format!(
            "AUDIT: SESSION,{statement},1,WRITE,UPDATE,TABLE,public.pgbench_accounts,\"UPDATE \
             pgbench_accounts SET abalance = abalance + 512 WHERE aid = {account}, note = \
             'abc';\",<none>,1"
        ),
        1 => format!(
            "AUDIT: SESSION,{statement},1,READ,SELECT,TABLE,public.pgbench_accounts,SELECT \
             abalance FROM pgbench_accounts WHERE aid = {account};,<none>,1"
        ),
        2 => format!(
            "AUDIT: SESSION,{statement},1,WRITE,INSERT,TABLE,public.pgbench_history,\"INSERT INTO \
             pgbench_history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, \
             CURRENT_TIMESTAMP)\",\"1,2,{account},77\",1"
        ),
        _ => format!("AUDIT: SESSION,{statement},1,MISC,COMMIT,,,END;,<none>,0"),
    }
}

fn log(write: impl Fn(u32, u32, &str, &str) -> String) -> Vec<u8> {
    let mut log = String::new();
    for record in 0..RECORDS {
        let (minutes, seconds) = (record / 600_000 % 60, record / 10_000 % 60);
        let time = format!("2025-03-02 10:{minutes:02}:{seconds:02}.{:03} UTC", record / 10 % 1000);
        log += &write(4_242 + record % SESSIONS, record / SESSIONS + 4, &time, &payload(record));
    }
    log.into_bytes()
}

fn csvlog() -> Vec<u8> {
    log(|process, line, time, payload| {
        let payload = payload.replace('"', "\"\"");
        format!(
            "{time},\"bench\",\"shop\",{process},\"10.1.2.3:51022\",67c42e10.{process:x},{line},\
             \"SELECT\",2025-03-02 10:00:00 UTC,3/17,0,LOG,00000,\"{payload}\",,,,,,,,,\
             \"pgbench\",\"client backend\",,0\n"
        )
    })
}

fn jsonlog() -> Vec<u8> {
    log(|process, line, time, payload| {
        let payload = payload.replace('"', "\\\"");
        format!(
            "{{\"timestamp\":\"{time}\",\"user\":\"bench\",\"dbname\":\"shop\",\"pid\":{process},\
             \"remote_host\":\"10.1.2.3\",\"remote_port\":51022,\"session_id\":\
             \"67c42e10.{process:x}\",\"line_num\":{line},\"ps\":\"SELECT\",\"session_start\":\
             \"2025-03-02 10:00:00 UTC\",\"vxid\":\"3/17\",\"txid\":0,\"error_severity\":\"LOG\",\
             \"message\":\"{payload}\",\"application_name\":\"pgbench\",\"backend_type\":\
             \"client backend\",\"query_id\":0}}\n"
        )
    })
}

fn stderr() -> Vec<u8> {
    log(|process, _, time, payload| format!("{time} [{process}] bench@shop LOG:  {payload}\n"))
}

fn syslog() -> Vec<u8> {
    log(|process, line, time, payload| {
        format!(
            "Mar  2 10:11:12 db1 postgres[{process}]: [{line}-1] {time} [{process}] bench@shop \
             LOG:  {payload}\n"
        )
    })
}

/// Reads the log in pieces as a source gives them; returns the rows.
fn read(format: &str, log: &[u8]) -> usize {
    let settings = StreamSettings { format: Some(format.to_owned()), ..StreamSettings::default() };
    let mut stream = Stream::new(settings);
    let (file, mut rows, mut offset) = (EventId::of(&[b"bench"]), 0, 0);
    for piece in log.chunks(512 << 10) {
        let end = offset + piece.len();
        stream.feed(file, offset as u64, piece, end == log.len(), Timestamp(0));
        offset = end;
        while let Some(decoded) = stream.take(end == log.len()) {
            rows += decoded.events.len();
        }
    }
    rows
}

/// A log of statements of so many bytes.
fn large(statement_bytes: usize) -> Vec<u8> {
    let records = LARGE_BYTES / statement_bytes;
    let mut log = String::new();
    for record in 0..records {
        let list = format!("{record}, ").repeat(statement_bytes / format!("{record}, ").len());
        let payload = format!(
            "AUDIT: SESSION,{record},1,READ,SELECT,,,\"\"select * from t where id in ({list}0)\"\",\
             <none>,1"
        );
        log += &format!(
            "2025-03-02 10:00:00.000 UTC,\"bench\",\"shop\",4242,\"10.1.2.3:51022\",67c42e10.1092,\
             {record},\"SELECT\",2025-03-02 10:00:00 UTC,3/17,0,LOG,00000,\"{payload}\",,,,,,,,,\
             \"pgbench\",\"client backend\",,0\n"
        );
    }
    log.into_bytes()
}

#[divan::bench(args = ["postgresql_csvlog", "postgresql_jsonlog", "postgresql_stderr",
    "postgresql_syslog"], sample_count = 20, sample_size = 1)]
fn pgbench(bencher: divan::Bencher<'_, '_>, format: &str) {
    let log = match format {
        "postgresql_csvlog" => csvlog(),
        "postgresql_jsonlog" => jsonlog(),
        "postgresql_stderr" => stderr(),
        "postgresql_syslog" => syslog(),
        other => unreachable!("the arguments name {other}"),
    };
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| {
        assert_eq!(read(format, &log), RECORDS as usize);
    });
}

/// Every format: its largest capture of a real server.
#[divan::bench(args = ingest::format_names(), sample_count = 20, sample_size = 20)]
fn captures(bencher: divan::Bencher<'_, '_>, format: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/formats").join(format);
    let entries = std::fs::read_dir(folder).expect("every format has captures");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let logs = paths.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let largest = logs.map(|path| std::fs::read(path).expect("readable")).max_by_key(Vec::len);
    let log = largest.expect("every format has captures");
    bencher.counter(BytesCount::new(log.len())).bench_local(|| read(format, &log));
}

#[divan::bench(args = [17_000, 100_000], sample_count = 10, sample_size = 1)]
fn large_statements(bencher: divan::Bencher<'_, '_>, statement_bytes: usize) {
    let log = large(statement_bytes);
    bencher.counter(BytesCount::new(log.len())).bench_local(|| {
        assert_eq!(read("postgresql_csvlog", &log), LARGE_BYTES / statement_bytes);
    });
}

fn main() {
    divan::main();
}
